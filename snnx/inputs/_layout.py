"""Which layout suits which events: the rule, with its measurement; and what may be lost on the way.

`benchmarks/first_layer.py` on 2 CPU cores, a training step of channels-128-20 from lists over one from bits, by the ratio of
channels to the longest list:

| channels | 100 | 50 | 25 | 12.5 | 6.2 | 3.1 |
|---|---|---|---|---|---|---|
| 128 | 0.44 | 0.45 | 0.52 | 0.59 | 0.73 | 1.07 |
| 700 | 0.25 | 0.32 | 0.41 | 0.61 | 0.93 | 1.77 |
| 2048 | 0.16 | 0.23 | 0.38 | 0.68 | 4.9 | 14 |

Hence lists where there are at least `CHANNELS_PER_SPIKE` channels for each entry of the longest list, up to the longest list
that was measured on the winning side.
"""

from typing import Literal, TypeAlias, get_args

import jax
import numpy as np

from snnx._errors import DataLossWarning, warn_caller
from snnx._memory import check_memory
from snnx._typing import HostArray
from snnx.inputs._active_channels import ActiveChannels, pack_active
from snnx.inputs._binned import (
    Binned,
    as_bits,
    as_counts,
    as_events,
    as_floats,
    as_lists,
    doubled,
    largest_count,
    layout_bytes,
    longest_list,
    single,
)
from snnx.inputs._event_list import EventTable
from snnx.inputs._inputs import AbstractInputs, Bits, pack_bits

SpikeLayout: TypeAlias = Literal["auto", "bits", "lists"]
Layout: TypeAlias = Literal["auto", "bits", "lists", "counts", "events", "floats"]
LAYOUTS = get_args(Layout)
CHANNELS_PER_SPIKE = 12
LONGEST_LIST = 164
COUNTS_OVER_EVENTS = 8  # times the memory of a list of events that counts may take
LARGE_LAYOUT = 2**27  # bytes, from which on memory counts for more than speed
LARGEST_COUNT = 255


def suits_lists(longest: int, channels: int, sample_shape: tuple[int, ...]) -> bool:
    """Whether lists of active channels train faster than bits: on a CPU, for sparse vectors.

    (On a GPU a dense product may win: no lists there unless they are asked for.)
    """
    sparse = longest <= LONGEST_LIST and CHANNELS_PER_SPIKE * longest <= channels
    return sparse and len(sample_shape) == 1 and jax.default_backend() == "cpu"


def compact(spikes: HostArray, sample_shape: tuple[int, ...], layout: SpikeLayout) -> Bits | ActiveChannels:
    """Binary spikes `[..., time, channels]` in a compact layout: with `"auto"`, the one that trains faster.

    Lists of active channels on a CPU, where a step is a vector, no step has more than 164 spikes, and there are at least 12
    times as many channels; else bits.
    """
    values = np.asarray(spikes)
    if layout == "auto":
        longest = int(values.astype(bool, copy=False).sum(axis=-1).max(initial=0))
        layout = "lists" if suits_lists(longest, values.shape[-1], sample_shape) else "bits"
    if layout == "lists":
        return ActiveChannels(pack_active(values), sample_shape)
    return Bits(pack_bits(values), sample_shape)


def lay_out(where: str, binned: Binned, layout: Layout, *, binarize: bool) -> "AbstractInputs | EventTable":
    """Events in the layout asked for; with `"auto"` in that of `compact`, or, where events share a bin, as counts, unless
    these take more than 8 times the memory of a list of events or a bin has more than 255, then as events.

    A training step of 700-128-128-20 from counts takes 0.7 of the time from events, and as long as from bits (T=120,
    B=128, 8000 events in each example, 2 CPU cores).

    **Arguments:** `where`: the caller, for messages; `binarize`: whether events that share a bin may become one.
    **Raises:** `ValueError` for bits of events that share a bin, and for more than 255 in a bin as counts; `MemoryError`
    where it does not fit.
    """
    twice = doubled(binned)
    if twice and binarize:
        warn_caller(
            f"{where}: {twice} of {binned.events} events ({twice / binned.events:.2%}) share their step and channel with an"
            " earlier one and were left out, as binarize=True asks.",
            DataLossWarning,
        )
        binned, twice = single(binned), 0
    longest = longest_list(binned) if layout in ("auto", "lists") else None
    sizes = layout_bytes(binned, longest)
    crowded = largest_count(binned) if twice else 1
    if layout == "auto":
        fine = crowded > LARGEST_COUNT or sizes["counts"] > COUNTS_OVER_EVENTS * sizes["events"]
        lists = longest is not None and suits_lists(longest, binned.channels, binned.sample_shape)
        layout = "lists" if lists else ("events" if fine else "counts") if twice else "bits"
        if sizes[layout] > max(COUNTS_OVER_EVENTS * sizes["events"], LARGE_LAYOUT):  # hardly any step has an event
            layout = "events"
    if layout == "bits" and twice:
        raise ValueError(
            f"{where}: {twice} of {binned.events} events ({twice / binned.events:.2%}) share their step and channel with an"
            " earlier one, which bits cannot say. Keep them (layout='counts'), make them one (binarize=True), or take"
            " shorter steps."
        )
    if layout == "counts" and crowded > LARGEST_COUNT:
        raise ValueError(
            f"{where}: a step and channel has {crowded} events, but counts go up to {LARGEST_COUNT}; take layout='events' or"
            " 'floats', or shorter steps."
        )
    if twice:
        sizes.pop("bits")
    if crowded > LARGEST_COUNT:
        sizes.pop("counts")
    check_memory(where, layout, sizes)
    if layout == "lists":
        return as_lists(binned, longest)
    return {"bits": as_bits, "counts": as_counts, "events": as_events, "floats": as_floats}[layout](binned)
