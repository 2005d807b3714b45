"""Data sets in device memory."""

from snnx.data._arrays import from_constant as from_constant
from snnx.data._arrays import from_counts as from_counts
from snnx.data._arrays import from_currents as from_currents
from snnx.data._arrays import from_spikes as from_spikes
from snnx.data._dataset import SpikeDataset as SpikeDataset
from snnx.data._dataset import fingerprint as fingerprint
from snnx.data._digits import ENCODINGS as ENCODINGS
from snnx.data._digits import digits as digits
from snnx.data._events import from_events as from_events

__all__ = ["SpikeDataset", "digits", "from_constant", "from_counts", "from_currents", "from_events", "from_spikes"]
