"""Events on the host, each in its bin: what every layout can be made of, and every layout of counts turned into."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from snnx._memory import host_array, to_device
from snnx.inputs._active_channels import ActiveChannels, list_dtype
from snnx.inputs._event_list import EventList, EventTable, count_examples
from snnx.inputs._inputs import AbstractInputs, Bits, Constant, Counts, Floats

_Result = TypeVar("_Result")
THREADS = 2  # NumPy lets go of the interpreter's lock
BINS_AT_ONCE = 2**20  # examples x steps x channels that are worked on together: they stay in a core's cache


class Binned(NamedTuple):
    """The events of many examples, as sorted numbers that each name a bin, in blocks of examples.

    An event of step `t` in channel `c` of a block's `i`-th example is `(i * num_steps + t) * channels + c`. Events that
    share a bin stand beside each other.
    """

    blocks: tuple[np.ndarray, ...]
    examples: tuple[int, ...]  # of each block
    num_steps: int
    sample_shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Channels of one step."""
        return math.prod(self.sample_shape)

    @property
    def events(self) -> int:
        """How many there are."""
        return sum(len(block) for block in self.blocks)

    def each(self, work: "Callable[[slice, int, np.ndarray], _Result]") -> list[_Result]:
        """What `work` makes of stretches of examples, few enough for an array of all their bins: which they are, where their
        events begin among all, and these as signed integers."""

        def one(part: tuple[slice, int, np.ndarray, np.generic]) -> _Result:
            examples, start, events, offset = part
            return work(examples, start, (events - offset).astype(np.intp))

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(one, self._parts()))

    def _parts(self) -> "Iterator[tuple[slice, int, np.ndarray, np.generic]]":
        cells = self.num_steps * self.channels
        size, first, before = max(1, BINS_AT_ONCE // cells), 0, 0
        for block, count in zip(self.blocks, self.examples, strict=True):
            for start in range(0, count, size):
                stop = min(start + size, count)
                offset = block.dtype.type(start * cells)
                low = int(np.searchsorted(block, offset))
                high = len(block) if stop == count else int(np.searchsorted(block, block.dtype.type(stop * cells)))
                yield slice(first + start, first + stop), before + low, block[low:high], offset
            first, before = first + count, before + len(block)


def doubled(binned: Binned) -> int:
    """Events that share their bin with one before: what zeros and ones would lose."""
    return sum(int(np.count_nonzero(block[1:] == block[:-1])) for block in binned.blocks)


def single(binned: Binned) -> Binned:
    """The same, but for the events that share their bin with one before."""
    return binned._replace(blocks=tuple(block[_runs(block)[0]] for block in binned.blocks))


def longest_list(binned: Binned) -> int:
    """The largest number of events in one step of one example."""
    return max(binned.each(lambda where, start, events: int(_runs(_rows(binned, events)[0])[1].max(initial=0))))


def largest_count(binned: Binned) -> int:
    """The largest number of events in one bin."""
    most = 0
    for block in binned.blocks:
        _, counts = _runs(block)
        most = max(most, int(counts.max(initial=0)))
    return most


def _rows(binned: Binned, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each event its example and step in one number, and its channel."""
    rows = events // binned.channels
    return rows, events - rows * binned.channels


def _runs(events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each bin's first event stands, and how many the bin has."""
    first = np.flatnonzero(np.concatenate([[True], events[1:] != events[:-1]])) if len(events) else np.zeros(0, np.intp)
    return first, np.diff(first, append=len(events))


def as_bits(binned: Binned) -> Bits:
    """Packed bits: one where a bin has an event."""
    total, steps, channels = sum(binned.examples), binned.num_steps, binned.channels
    width = -(-channels // 8)
    packed = host_array((total, steps, width), np.uint8)

    def fill(where: slice, start: int, events: np.ndarray) -> None:
        rows, _ = _rows(binned, events)
        bins = np.zeros((where.stop - where.start) * steps * width * 8, bool)
        bins[events + rows * (8 * width - channels)] = True
        packed[where] = np.packbits(bins, bitorder="little").reshape(-1, steps, width)

    binned.each(fill)
    return Bits(to_device(packed), binned.sample_shape)


def as_counts(binned: Binned) -> Counts:
    """A byte for every bin. At most 255 events in any, which the caller has made sure of."""
    shape = (binned.num_steps, *binned.sample_shape)
    values = host_array((sum(binned.examples), *shape), np.uint8)

    def fill(where: slice, start: int, events: np.ndarray) -> None:
        first, counts = _runs(events)
        values[where].reshape(-1)[events[first]] = counts

    binned.each(fill)
    return Counts(to_device(values), binned.sample_shape)


def as_floats(binned: Binned) -> Floats:
    """A float for every bin."""
    counts = host_array((sum(binned.examples), binned.num_steps, *binned.sample_shape), jnp.zeros(()).dtype)

    def fill(where: slice, start: int, events: np.ndarray) -> None:
        first, number = _runs(events)
        counts[where].reshape(-1)[events[first]] = number

    binned.each(fill)
    return Floats(to_device(counts), binned.sample_shape)


def as_lists(binned: Binned, longest: int | None = None) -> ActiveChannels:
    """Lists of active channels, as long as the longest; a channel stands as often as it has events."""
    steps, count = binned.num_steps, binned.channels
    size = max(longest_list(binned) if longest is None else longest, 1)
    lists = host_array((sum(binned.examples), steps, size), list_dtype(count))
    lists[:] = count

    def fill(where: slice, start: int, events: np.ndarray) -> None:
        rows, channels = _rows(binned, events)
        lengths = np.bincount(rows, minlength=(where.stop - where.start) * steps)
        before = np.cumsum(lengths) - lengths  # events in all the steps before
        lists[where].reshape(-1, size)[rows, np.arange(rows.size) - before[rows]] = channels

    binned.each(fill)
    return ActiveChannels(to_device(lists), binned.sample_shape)


def as_events(binned: Binned) -> EventTable:
    """Every event as its step and its channel.

    **Raises:** `ValueError` for more events than a table counts.
    """
    if binned.events >= 2**31:
        raise ValueError(
            f"events: {binned.events} events are more than one table holds, 2^31 - 1; take fewer examples."
        )
    step_kind, channel_kind = _event_dtypes(binned)
    steps, channels = host_array((binned.events,), step_kind), host_array((binned.events,), channel_kind)
    powers = (binned.num_steps - 1).bit_length() + 1

    def fill(where: slice, start: int, events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, own = _rows(binned, events)
        here, examples = slice(start, start + len(events)), where.stop - where.start
        steps[here], channels[here] = rows % binned.num_steps, own
        return np.bincount(rows // binned.num_steps, minlength=examples), _busiest(
            rows, examples, binned.num_steps, powers
        )

    found = binned.each(fill)
    starts = np.concatenate([[0], np.cumsum(np.concatenate([lengths for lengths, _ in found]))]).astype(np.int32)
    busiest = np.max([busy for _, busy in found], axis=0)
    longest = int(busiest[-1])
    return EventTable(
        to_device(starts),
        to_device(steps),
        to_device(channels),
        binned.sample_shape,
        binned.num_steps,
        tuple(int(n) for n in busiest),
        longest,
    )


def _event_dtypes(binned: Binned) -> tuple[type, type]:
    return np.uint16 if binned.num_steps < 2**16 else np.uint32, np.uint16 if binned.channels <= 2**16 else np.uint32


def layout_bytes(binned: Binned, longest: int | None) -> dict[str, int]:
    """What the data set takes in every layout; in lists if it is known how long the longest is."""
    examples = sum(binned.examples)
    rows, channels = examples * binned.num_steps, binned.channels
    each = sum(np.dtype(kind).itemsize for kind in _event_dtypes(binned))
    lists = {} if longest is None else {"lists": rows * max(longest, 1) * np.dtype(list_dtype(channels)).itemsize}
    return lists | {
        "bits": rows * -(-channels // 8),
        "counts": rows * channels,
        "events": binned.events * each + 4 * (examples + 1),
        "floats": rows * channels * jnp.zeros(()).dtype.itemsize,
    }


def _busiest(rows: np.ndarray, examples: int, num_steps: int, count: int) -> np.ndarray:
    """The most events of any example within 1, 2, 4, ... consecutive steps."""
    windows = [min(2**power, num_steps) for power in range(count)]
    if examples * num_steps > 4 * len(rows):  # few events: of each window that begins with one
        apart = rows + rows // num_steps * num_steps  # no window reaches from one example into the next
        own = np.arange(len(rows))
        return np.asarray([(np.searchsorted(apart, apart + window) - own).max(initial=0) for window in windows])
    per_step = np.bincount(rows, minlength=examples * num_steps).reshape(examples, num_steps)
    sums = np.concatenate([np.zeros((examples, 1), np.int64), np.cumsum(per_step, axis=1)], axis=1)
    return np.asarray([(sums[:, window:] - sums[:, :-window]).max(initial=0) for window in windows])


def binned(where: str, inputs: "AbstractInputs | EventTable") -> Binned:
    """The events of a data set's examples, whatever their layout.

    **Arguments:** `where`: the caller, for messages.
    **Raises:** `ValueError` for currents, which are no whole numbers of events.
    """
    count = count_examples(inputs)
    steps, shape = inputs.num_steps, inputs.sample_shape
    cells = steps * math.prod(shape)
    size, blocks, sizes = max(1, BINS_AT_ONCE // cells), [], []
    for first in range(0, count, size):
        stop = min(first + size, count)
        kind = key_dtype((stop - first) * cells)
        blocks.append(np.sort(_keys(where, inputs, first, stop).astype(kind)))
        sizes.append(stop - first)
    return Binned(tuple(blocks), tuple(sizes), steps, shape)


def key_dtype(bins: int) -> type:
    """The smaller integer that can name so many bins."""
    return np.uint32 if bins < 2**32 else np.uint64


def _keys(where: str, inputs: "AbstractInputs | EventTable", first: int, stop: int) -> np.ndarray:
    """The bins of the events of some examples."""
    steps, channels = inputs.num_steps, math.prod(inputs.sample_shape)
    if isinstance(inputs, EventTable):
        starts = np.asarray(inputs.starts[first : stop + 1]).astype(np.int64)
        own = np.repeat(np.arange(stop - first, dtype=np.uint64), np.diff(starts))
        at = slice(starts[0], starts[-1])
        return (own * steps + np.asarray(inputs.steps[at])) * channels + np.asarray(inputs.channels[at])
    if isinstance(inputs, EventList):
        lists = np.asarray(inputs.steps[first:stop])
        rows, place = np.nonzero(lists != steps)
        own = rows.astype(np.uint64) * steps + lists[rows, place]
        return own * channels + np.asarray(inputs.channels[first:stop])[rows, place]
    if isinstance(inputs, ActiveChannels):
        lists = np.asarray(inputs.channels[first:stop])
        lists = lists.reshape(-1, lists.shape[-1])
        rows, place = np.nonzero(lists != channels)
        return rows.astype(np.uint64) * channels + lists[rows, place]
    if isinstance(inputs, Bits):
        packed = np.asarray(inputs.packed[first:stop])
        bits = np.unpackbits(packed.reshape(-1, packed.shape[-1]), axis=1, count=channels, bitorder="little")
        return np.flatnonzero(bits)
    if isinstance(inputs, (Counts, Floats)):
        values = np.asarray(inputs.values[first:stop]).reshape(-1)
    elif isinstance(inputs, Constant):
        values = np.asarray(inputs.values[first:stop]).reshape(stop - first, 1, channels)
        values = np.broadcast_to(values, (stop - first, steps, channels)).reshape(-1)
    else:
        raise TypeError(f"{where}: {type(inputs).__name__} is not a layout that events can be read from.")
    with np.errstate(invalid="ignore"):  # bfloat16 compares NaN with a warning
        wrong = ~((values >= 0) & np.isfinite(values) & (values == np.floor(values)))
    if wrong.any():
        value = values[np.argmax(wrong)]
        raise ValueError(
            f"{where}: {type(inputs).__name__} holds {value:g}, which is not a number of events; it stays as floats."
        )
    at = np.flatnonzero(values)
    return np.repeat(at, values[at].astype(np.int64))
