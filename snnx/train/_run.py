"""One run, whatever is trained or searched for: compile, segments, callbacks, snapshots, progress, result."""

import abc
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from snnx._typing import default
from snnx.train._callbacks import AbstractCallback, Snapshot
from snnx.train._programs import Compilation
from snnx.train._progress import Progress
from snnx.train._results import AbstractResult
from snnx.train._states import EvolveState, TrainState

SEGMENT_SECONDS = 2.0  # about how long one call of a program runs, between two looks at it


_Result = TypeVar("_Result", bound=AbstractResult)


class AbstractJob(abc.ABC, Generic[_Result]):
    """What a run drives: a state on the devices, the program that changes it, and the figures so far.

    A job is a number of units (epochs, generations) of `steps` steps each. The run asks how many steps can be done in one
    call (`ready`), has the job do them (`advance`) and finish the units that are now complete (`finish`): note their
    figures, score the validation. The job decides what a number that is not finite means: it raises `NonFiniteError`
    with the last good state, or notes it and goes on. Buffers are donated to the program, so anyone else who looks at the
    state gets a copy (`state`).

    **Attributes:** `unit`: what is counted; `total`: units in all; `rate`, `examples`: what the speed is measured in, and how
    many of them a unit has; `history`: the figures of every finished unit.
    """

    unit: str
    rate: str
    total: int
    steps: int
    examples: int
    history: list[dict[str, Any]]

    @property
    @abc.abstractmethod
    def place(self) -> tuple[int, int]:
        """Units finished, and steps of the current one."""

    @property
    @abc.abstractmethod
    def ended(self) -> bool:
        """Whether nothing is left to do: all units are finished, or the program has come to an end before."""

    @property
    @abc.abstractmethod
    def compilation(self) -> Compilation:
        """What its programs have taken so far."""

    @abc.abstractmethod
    def compile(self) -> None:
        """Compile the program by running it for no step."""

    @abc.abstractmethod
    def ready(self) -> int:
        """Load what the next steps need (a chunk of a stream); returns how many steps can be done with it."""

    @abc.abstractmethod
    def advance(self, count: int) -> None:
        """Do this many steps, and wait for them."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Finish the units that the last steps have completed, if any."""

    @abc.abstractmethod
    def state(self) -> TrainState | EvolveState:
        """The state as it is now, in arrays of its own."""

    @abc.abstractmethod
    def result(self, **common: Any) -> _Result:
        """What the trainer returns; `common` are the fields that all results have."""

    @default
    def shown(self) -> dict[str, Any] | None:
        """The figures of the last finished unit, for a person."""
        return self.history[-1] if self.history else None


class Run(Generic[_Result]):
    """A job, run to its end.

    **Arguments:** `settings`: what a resumed run has to agree with; `shown`: whether the progress is; `begin`, `starting`:
    when the trainer was called, and what compiling the first state took.
    """

    def __init__(
        self,
        job: AbstractJob[_Result],
        settings: dict[str, Any],
        callbacks: Sequence[AbstractCallback],
        *,
        shown: bool,
        begin: float,
        starting: Compilation,
    ):
        self._job, self._settings, self._callbacks = job, settings, callbacks
        self._shown, self._begin, self._starting = shown, begin, starting

    def result(self) -> _Result:
        """Run the job to its end, and return its result."""
        job = self._job
        self._tell("before")
        if not (any(self._tell("stop")) or job.ended):
            job.compile()
            units, position = job.place
            done = units * job.steps + position
            with Progress(self._shown, job.total, job.steps, job.examples, done, job.unit, job.rate) as bar:
                bar.compiled(self._starting + job.compilation)
                self._run(bar)
        self._tell("after")
        return job.result(
            history=tuple(job.history),
            compilation=self._starting + job.compilation,
            seconds=time.perf_counter() - self._begin,
            settings=self._settings,
        )

    def _run(self, bar: Progress) -> None:
        job, stopped, seconds = self._job, False, None
        while not (stopped or job.ended):
            # The first segment is one step, to learn how long a step takes.
            count = 1 if seconds is None else max(1, int(SEGMENT_SECONDS / seconds))
            count = min(count, job.ready())
            begin = time.perf_counter()
            job.advance(count)
            seconds = max((time.perf_counter() - begin) / count, 1e-7)
            job.finish()
            units, position = job.place
            if position:
                self._tell("after_segment")
            else:
                self._tell("after_epoch")
                stopped = any(self._tell("stop"))
            bar.update(units, position, job.shown(), last=stopped or job.ended)

    def _tell(self, event: str) -> list[Any]:
        """Call the method of this name of every callback."""
        if not self._callbacks:
            return []
        seen = Snapshot(self._job.state(), tuple(self._job.history), self._settings)
        return [getattr(callback, event)(seen) for callback in self._callbacks]
