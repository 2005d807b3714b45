"""Data sets in device memory: from arrays, from recordings, from files, and made up."""

from snnx.data._dataset import SpikeDataset as SpikeDataset
from snnx.data._dataset import fingerprint as fingerprint
from snnx.data._digits import ENCODINGS as ENCODINGS
from snnx.data._digits import digits as digits
from snnx.data._events import from_events as from_events
from snnx.data._makers import from_constant as from_constant
from snnx.data._makers import from_counts as from_counts
from snnx.data._makers import from_currents as from_currents
from snnx.data._makers import from_spikes as from_spikes
from snnx.data._split import k_fold as k_fold
from snnx.data._split import leave_one_out as leave_one_out
from snnx.data._split import leave_out as leave_out
from snnx.data._stream import AbstractStream as AbstractStream
from snnx.data._stream import filled as filled
from snnx.data._stream import stream as stream
from snnx.data._stream import stream_chunks as stream_chunks
from snnx.data._stream import stream_grain as stream_grain
from snnx.data._tonic import from_tonic as from_tonic
from snnx.data.generated import adding as adding
from snnx.data.generated import copy_memory as copy_memory
from snnx.data.generated import delayed_match_to_sample as delayed_match_to_sample
from snnx.data.generated import mackey_glass as mackey_glass
from snnx.data.generated import mackey_glass_series as mackey_glass_series
from snnx.data.generated import randman as randman
from snnx.data.generated import random_patterns as random_patterns
from snnx.data.generated import sequential_digits as sequential_digits
from snnx.data.generated import store_recall as store_recall
from snnx.data.generated import yin_yang as yin_yang
from snnx.data.generated import yin_yang_points as yin_yang_points
from snnx.data.recorded import Options as Options
from snnx.data.recorded import asldvs as asldvs
from snnx.data.recorded import cifar10dvs as cifar10dvs
from snnx.data.recorded import dvs_gesture as dvs_gesture
from snnx.data.recorded import from_audio as from_audio
from snnx.data.recorded import fsdd as fsdd
from snnx.data.recorded import ncaltech101 as ncaltech101
from snnx.data.recorded import nmnist as nmnist
from snnx.data.recorded import shd as shd
from snnx.data.recorded import smnist as smnist
from snnx.data.recorded import ssc as ssc

__all__ = [
    "AbstractStream",
    "Options",
    "SpikeDataset",
    "adding",
    "asldvs",
    "cifar10dvs",
    "copy_memory",
    "delayed_match_to_sample",
    "digits",
    "dvs_gesture",
    "from_audio",
    "from_constant",
    "from_counts",
    "from_currents",
    "from_events",
    "from_spikes",
    "from_tonic",
    "fsdd",
    "k_fold",
    "leave_one_out",
    "leave_out",
    "mackey_glass",
    "mackey_glass_series",
    "ncaltech101",
    "nmnist",
    "randman",
    "random_patterns",
    "sequential_digits",
    "shd",
    "smnist",
    "ssc",
    "store_recall",
    "stream",
    "stream_chunks",
    "stream_grain",
    "yin_yang",
    "yin_yang_points",
]
