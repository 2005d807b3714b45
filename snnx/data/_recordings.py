"""Recordings as they are read, turned into binned events: the one way that events of any source go."""

import math
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from snnx._errors import DataError, DataLossWarning
from snnx.data._check import check_dt
from snnx.inputs import Binned, key_dtype

WORKERS = 2  # threads: NumPy lets go of the interpreter's lock
AHEAD = 4  # pieces that may wait for them


class Piece(NamedTuple):
    """Some recordings, one after the other: how many events each has, and of each event step and channel."""

    lengths: np.ndarray
    steps: np.ndarray
    channels: np.ndarray


class Recordings:
    """Recordings under way into a data set: add them piece by piece, then `finish`.

    **Arguments:**
    - `where`: the caller, for messages.
    - `name`: from a recording's number to what it is called in messages.
    - `dt`: time per step; `num_steps`: steps in all, or None for as many as the last event needs.
    - `drop_late`: whether events behind the last step are left out, and counted; else they are refused.
    - `sort`: whether times may go back within a recording (of which a bin shows nothing); else that is refused.
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
        self.where, self.name, self.dt = where, name, check_dt(where, dt)
        self.sample_shape, self.drop_late, self.sort, self.tell = tuple(sample_shape), drop_late, sort, tell
        if num_steps is not None and (isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1):
            raise ValueError(f"{where}: num_steps is {num_steps!r}, expected a whole number >= 1, or None.")
        self.num_steps = num_steps
        self.pieces: list[Piece] = []
        self._pool = ThreadPoolExecutor(WORKERS)
        self._under_way: deque[Future[tuple[Piece, list[int]]]] = deque()
        self.count = 0
        self.backwards: list[int] = []
        self.said: list[tuple[str, type[Warning]]] = []  # what `finish` has warned of

    def add(self, lengths: np.ndarray, times: np.ndarray, channels: np.ndarray, *, scale: float = 1.0) -> None:
        """Add recordings: the number of events of each, and all their times and channels one after the other.

        **Arguments:** `times`: in units of `dt / scale`: whole microseconds where `dt` is in seconds have `scale=1e6`.
        **Raises:** `DataError` naming the recording, for times that are no numbers, negative, or go back; for channels
        outside the sensor.
        """
        self._under_way.append(self._pool.submit(self._piece, self.count, np.asarray(lengths), times, channels, scale))
        self.count += len(lengths)
        while len(self._under_way) > AHEAD:
            self._collect()

    def _collect(self) -> None:
        piece, backwards = self._under_way.popleft().result()
        self.pieces.append(piece)
        self.backwards += backwards

    def finish(self) -> Binned:
        """All events in their bins.

        **Raises:** as `add`, which may come to know of it only here; `DataError` for events behind the last step.
        """
        while self._under_way:
            self._collect()
        if self.count == 0:
            raise DataError(f"{self.where}: there is no recording; expected at least one.")
        if self.backwards and self.tell:
            self._say(
                f"{self.where}: times go back in {len(self.backwards)} of {self.count} recordings, first in"
                f" {self.name(self.backwards[0])}; their events are binned all the same.",
                UserWarning,
                stacklevel=5,
            )
        steps = self._window()
        with self._pool:
            blocks = tuple(self._pool.map(lambda piece: self._block(piece, steps), self.pieces))
        return Binned(blocks, tuple(len(piece.lengths) for piece in self.pieces), steps, self.sample_shape)

    def _block(self, piece: Piece, num_steps: int) -> np.ndarray:
        channels = math.prod(self.sample_shape)
        cells = num_steps * channels
        kind = key_dtype(len(piece.lengths) * cells)
        events = np.repeat(np.arange(len(piece.lengths), dtype=kind) * kind(cells), piece.lengths)
        events += piece.steps.astype(kind) * kind(channels)
        events += piece.channels
        events.sort()
        return events

    def _piece(
        self, first: int, lengths: np.ndarray, times: np.ndarray, channels: np.ndarray, scale: float
    ) -> tuple[Piece, list[int]]:
        """Recordings from number `first` on, checked and in steps; and those in which times go back."""
        places = _Places(self.where, self.name, first, np.cumsum(lengths))
        size = math.prod(self.sample_shape)
        steps, backwards = np.zeros(0, np.uint16), []
        if len(times):
            steps = self._steps(times, places, scale)
            places.refuse((channels < 0) | (channels >= size), channels, "channel", self._outside())
            back = _backwards(times, places.ends)
            if back.any() and not self.sort:
                places.refuse(back, times, "time", "which is before that of the event before; sort=True allows it")
            backwards = [first + int(i) for i in np.unique(np.searchsorted(places.ends, np.flatnonzero(back), "right"))]
        return Piece(lengths, steps, channels.astype(np.uint16 if size <= 2**16 else np.uint32)), backwards

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
        beyond = steps >= 2**32 - 1
        places.refuse(
            beyond,
            times,
            "time",
            f"which is step {steps[np.argmax(beyond)]:.0f} of dt={self.dt:g}, but steps go up to 2^32 - 2; take a larger dt",
        )
        return steps.astype(np.uint16 if steps.max(initial=0) < 2**16 else np.uint32)

    def _say(self, sentence: str, kind: type[Warning], *, stacklevel: int) -> None:
        self.said.append((sentence, kind))
        warnings.warn(sentence, kind, stacklevel=stacklevel)

    def _outside(self) -> str:
        return f"expected 0 to {math.prod(self.sample_shape) - 1}, for a step has shape {self.sample_shape}"

    def _window(self) -> int:
        """The number of steps; events behind it are taken out where that was asked for."""
        needed = max((int(piece.steps.max(initial=0)) for piece in self.pieces), default=0) + 1
        if self.num_steps is None:
            return needed
        late = [piece.steps >= self.num_steps for piece in self.pieces]
        count = sum(int(np.count_nonzero(x)) for x in late)
        if not count:
            return self.num_steps
        events = sum(len(piece.steps) for piece in self.pieces)
        whose, pieces = 0, []
        for piece, behind in zip(self.pieces, late, strict=True):
            sums = np.concatenate([[0], np.cumsum(behind)])
            ends = np.cumsum(piece.lengths)
            lost = sums[ends] - sums[ends - piece.lengths]
            whose += int(np.count_nonzero(lost))
            pieces.append(Piece(piece.lengths - lost, piece.steps[~behind], piece.channels[~behind]))
        said = (
            f"{self.where}: {count} of {events} events ({count / events:.2%}), of {whose} of {self.count} recordings, lie"
            f" behind the last of {self.num_steps} steps of {self.dt:g}"
        )
        if not self.drop_late:
            raise DataError(
                f"{said}; the longest recording needs {needed} steps. Take num_steps={needed} or None, a larger dt, or"
                " leave them out with drop_late=True."
            )
        self._say(f"{said}, and were left out, as drop_late=True asks.", DataLossWarning, stacklevel=6)
        self.pieces = pieces
        return self.num_steps


class _Places(NamedTuple):
    """Where each event of a piece is from: the reader, names of recordings, the number of the first, and where each ends."""

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
