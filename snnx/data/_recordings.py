"""Recordings as they are read, turned into binned events: the one way that events of any source go."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from snnx._errors import DataError, DataLossWarning, warn_caller
from snnx.inputs import Binned, key_dtype

_Item = TypeVar("_Item")
RECORDINGS_PER_BATCH = 256
THREADS = 2  # NumPy lets go of the interpreter's lock
BATCHES_AHEAD = 4  # that may wait for the threads
DOUBTFUL_STEPS = 1_000_000  # of one recording: more are hardly meant
DOUBTFUL_EVENTS = 100  # of every recording: so many in a single step are hardly meant

Read: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
"""How many events each of some recordings has, and times and channels of all of them, one recording after the other."""


class Batch(NamedTuple):
    """Some recordings: how many events each has; all of them in their bins, as in `Binned`, but of `span` steps."""

    lengths: np.ndarray
    events: np.ndarray
    span: int


class Recordings:
    """Recordings under way into a data set: add them batch by batch, then `finish`.

    **Arguments:**
    - `where`: the caller, for messages.
    - `name`: from a recording's number to what it is called in messages.
    - `dt`: time per step; `num_steps`: steps in all, or None for as many as the last event needs.
    - `drop_late`: whether events behind the last step are left out, and counted; else they are refused.
    - `sort`: whether times may go back within a recording (their bins are the same); else that is refused.
    - `tell`: whether `finish` warns that they do. Not where the user has asked for `sort`.
    """

    def __init__(
        self,
        where: str,
        sample_shape: tuple[int, ...],
        *,
        dt: float,
        num_steps: int | None,
        drop_late: bool,
        sort: bool,
        tell: bool = True,
        name: Callable[[int], str] = lambda i: f"recording {i}",
    ):
        self.where, self.name, self.dt = where, name, dt
        self.sample_shape, self.drop_late, self.sort, self.tell = sample_shape, drop_late, sort, tell
        self.num_steps = num_steps
        self.batches: list[Batch] = []
        self._pool = ThreadPoolExecutor(THREADS)
        self._under_way: deque[Future[tuple[Batch, list[int]]]] = deque()
        self.count = 0
        self.backwards: list[int] = []
        self.said: list[tuple[str, type[Warning]]] = []  # what `finish` has warned of

    def add(self, count: int, read: Callable[[], Read], *, scale: float = 1.0) -> None:
        """Add `count` recordings, which `read` gives; it is called by another thread.

        **Arguments:** `scale`: times are in units of `dt / scale`: whole microseconds where `dt` is in seconds have 1e6.
        **Raises:** `DataError` naming the recording, for times that are not finite, negative, or go back; for channels
        outside the sensor. It may be raised by a later call.
        """
        self._under_way.append(self._pool.submit(self._binned, self.count, read, scale))
        self.count += count
        while len(self._under_way) > BATCHES_AHEAD:
            self._collect()

    def _collect(self) -> None:
        batch, backwards = self._under_way.popleft().result()
        self.batches.append(batch)
        self.backwards += backwards

    def finish(self, at_least: int = 1) -> Binned:
        """All events in their bins.

        **Arguments:** `at_least`: steps that recordings last, with or without events.
        **Raises:** as `add`, which may come to know of it only here; `DataError` for events behind the last step.
        """
        while self._under_way:
            self._collect()
        if self.count == 0:
            raise DataError(f"{self.where}: there is no recording; expected at least one.")
        if self.backwards and self.tell:
            self.say(
                f"{self.where}: times go back in {len(self.backwards)} of {self.count} recordings, first in"
                f" {self.name(self.backwards[0])}; their events are binned all the same."
            )
        steps = self._window(at_least)
        with self._pool:
            blocks = tuple(self._pool.map(lambda batch: self._block(batch, steps), self.batches))
        return Binned(blocks, tuple(len(batch.lengths) for batch in self.batches), steps, self.sample_shape)

    def _block(self, batch: Batch, num_steps: int) -> np.ndarray:
        """The events of a batch in bins of as many steps as all have."""
        if batch.span == num_steps:
            return batch.events
        channels, count = math.prod(self.sample_shape), len(batch.lengths)
        kind = key_dtype(count * num_steps * channels)
        more = np.arange(count) * ((num_steps - batch.span) * channels)  # of every example
        return (batch.events + np.repeat(more, batch.lengths)).astype(kind)

    def _binned(self, first: int, read: Callable[[], Read], scale: float) -> tuple[Batch, list[int]]:
        """Recordings from number `first` on, checked and in their bins; and those in which times go back."""
        lengths, times, channels = read()
        places = _Places(self.where, self.name, first, np.cumsum(lengths))
        size = math.prod(self.sample_shape)
        if not len(times):
            return Batch(lengths, np.zeros(0, np.uint32), 1), []
        steps = self._steps(times, places, scale)
        places.refuse((channels < 0) | (channels >= size), channels, "channel", self._outside())
        back = _backwards(times, places.ends)
        if back.any() and not self.sort:
            places.refuse(back, times, "time", "which is before that of the event before; sort=True allows it")
        backwards = [first + int(i) for i in np.unique(np.searchsorted(places.ends, np.flatnonzero(back), "right"))]
        span = int(steps.max()) + 1
        kind = key_dtype(len(lengths) * span * size)
        events = np.repeat(np.arange(len(lengths), dtype=kind) * kind(span * size), lengths)
        events += steps.astype(kind) * kind(size)
        events += channels.astype(kind)
        events.sort()
        return Batch(lengths, events, span), backwards

    def _steps(self, times: np.ndarray, places: "_Places", scale: float) -> np.ndarray:
        """The step of every time: floor(time / dt), where a quotient that is a whole number but for rounding is one."""
        if times.dtype == np.float16:  # 65536 values: looked up
            every = np.arange(2**16, dtype=np.uint16).view(np.float16)
            with np.errstate(all="ignore"):
                known = np.where(every >= 0, _floor(every, self.dt * scale), 2**16 - 1)
            table = np.where(known < 2**16 - 1, known, 2**16 - 1).astype(np.uint16)
            steps = table[times.view(np.uint16)]
            if not len(steps) or steps.max() < 2**16 - 1:
                return steps
        wrong = ~(times >= 0) | ~np.isfinite(times)
        places.refuse(wrong, times, "time", "expected times from 0 on")
        steps = _floor(times, self.dt * scale)
        beyond = steps >= 2**31 - 1
        places.refuse(
            beyond,
            times,
            "time",
            f"which is step {steps[np.argmax(beyond)]:.0f} of dt={self.dt:g}, but steps go up to 2^31 - 2; take a larger dt",
        )
        return steps.astype(np.uint16 if steps.max(initial=0) < 2**16 else np.uint32)

    def say(self, sentence: str, kind: type[Warning] = UserWarning) -> None:
        """Warn, and keep the warning in `said`."""
        self.said.append((sentence, kind))
        warn_caller(sentence, kind)

    def _outside(self) -> str:
        return f"expected 0 to {math.prod(self.sample_shape) - 1}, for a step has shape {self.sample_shape}"

    def _window(self, at_least: int) -> int:
        """The number of steps; events behind it are taken out where that was asked for."""
        needed = max((batch.span for batch in self.batches if len(batch.events)), default=1)
        self._doubt(needed)
        if self.num_steps is None:
            return max(needed, at_least)
        if needed <= self.num_steps:
            return self.num_steps
        batches = [self._early(batch, self.num_steps) for batch in self.batches]
        lost = [old.lengths - new.lengths for old, new in zip(self.batches, batches, strict=True)]
        count, whose = sum(int(x.sum()) for x in lost), sum(int(np.count_nonzero(x)) for x in lost)
        events = sum(len(batch.events) for batch in self.batches)
        said = (
            f"{self.where}: {count} of {events} events ({count / events:.2%}), of {whose} of {self.count} recordings, lie"
            f" behind the last of {self.num_steps} steps of {self.dt:g}"
        )
        if not self.drop_late:
            raise DataError(
                f"{said}; the longest recording needs {needed} steps. Take num_steps={needed} or None, a larger dt, or"
                " leave them out with drop_late=True."
            )
        self.say(f"{said}, and were left out, as drop_late=True asks.", DataLossWarning)
        self.batches = batches
        return self.num_steps

    def _doubt(self, needed: int) -> None:
        """Say so where times and `dt` hardly can be in the same unit."""
        if self.num_steps is not None:
            return
        if needed > DOUBTFUL_STEPS:
            self.say(
                f"{self.where}: the last event needs {needed} steps of dt={self.dt:g}; are times in the unit of dt?"
                " num_steps says that it is meant."
            )
        if needed == 1 and sum(len(batch.events) for batch in self.batches) > DOUBTFUL_EVENTS * self.count:
            self.say(
                f"{self.where}: all events fall into the first step, of dt={self.dt:g}; are times in the unit of dt?"
            )

    def _early(self, batch: Batch, num_steps: int) -> Batch:
        """The events of a batch before the end of the window."""
        if batch.span <= num_steps:
            return batch
        rows = batch.events // batch.events.dtype.type(math.prod(self.sample_shape))
        examples = np.repeat(np.arange(len(batch.lengths)), batch.lengths)
        early = rows - examples * batch.span < num_steps
        return Batch(np.bincount(examples[early], minlength=len(batch.lengths)), batch.events[early], batch.span)


class _Places(NamedTuple):
    """Where each event of a batch is from: the reader, names of recordings, the number of the first, and where each ends."""

    where: str
    name: Callable[[int], str]
    first: int
    ends: np.ndarray

    def refuse(self, wrong: np.ndarray, values: np.ndarray, what: str, why: str) -> None:
        """Name the first event that is wrong, if there is one."""
        if wrong.any():
            event = int(np.argmax(wrong))
            recording = int(np.searchsorted(self.ends, event, "right"))
            place = event - (int(self.ends[recording - 1]) if recording else 0)
            name = self.name(self.first + recording)
            raise DataError(f"{self.where}: {name}, event {place}: {what} is {values[event]}, {why}.")


def _backwards(times: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which events are before the one before, of the same recording."""
    back = np.empty(len(times), bool)
    back[0] = False
    # Halves that are not negative are ordered as their bits are; -0.0 is 0.0.
    ordered = times.view(np.uint16) & np.uint16(2**15 - 1) if times.dtype == np.float16 else times
    np.less(ordered[1:], ordered[:-1], out=back[1:])
    back[ends[:-1][ends[:-1] < len(times)]] = False  # a recording may begin earlier than the one before ended
    return back


def _floor(times: np.ndarray, dt: float) -> np.ndarray:
    """floor(time / dt); a quotient within rounding of a whole number is that number (0.29 / 0.01 is 28.999999999999996).

    Halves are taken for what they are: within their rounding of a whole number would soon be everything.
    """
    if np.issubdtype(times.dtype, np.integer) and abs(dt - round(dt)) < 1e-9 * dt:
        whole = round(dt)
        return times // times.dtype.type(whole) if whole <= np.iinfo(times.dtype).max else np.zeros_like(times)
    quotient = times.astype(np.float64) / dt
    nearest = np.rint(quotient)
    rounding = 4 * np.finfo(times.dtype if times.dtype == np.float32 else np.float64).eps
    return np.where(np.abs(quotient - nearest) <= rounding * np.abs(quotient), nearest, np.floor(quotient))


def track(items: Iterable[_Item], what: str, total: int, shown: bool) -> Iterator[_Item]:
    """Go through the items, with a bar on a terminal that shows how many are done, and how long the rest will take."""
    if not shown:
        yield from items
        return
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    yield from rich.progress.track(items, what, total=total, console=console, transient=True)
