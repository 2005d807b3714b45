"""The host's side of a run: epochs cut into segments, and what happens between them."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._errors import NonFiniteError
from snnx.cells import refused_parameters
from snnx.train._callbacks import AbstractCallback, Run
from snnx.train._chunks import Chunk, Chunks
from snnx.train._devices import collected, spread
from snnx.train._evaluate import Evaluation
from snnx.train._program import Fixed, Moving, Part, Plan, train_program
from snnx.train._progress import Progress
from snnx.train._state import Totals, TrainState, copied

SEGMENT_SECONDS = 10.0


class Epochs:
    """A run under way: what it trains is on the device, the figures of its finished epochs are here.

    `moving` belongs to the compiled program, which is given it and gives it back; whoever else looks at it gets a copy.
    """

    def __init__(
        self,
        plan: Plan,
        fixed: Fixed,
        moving: Moving,
        state: TrainState,
        chunks: Chunks,
        *,
        history: list[dict[str, Any]],
        settings: dict[str, Any],
        callbacks: Sequence[AbstractCallback],
        validate: Callable[[PyTree], Evaluation | None],
    ):
        self.plan, self.fixed, self.moving = plan, fixed, moving
        self.program = train_program(plan)
        self.epoch, self.best, self.history, self.settings = int(state.epoch), state.best, history, settings
        self.callbacks, self.validate = callbacks, validate
        self.chunks, self.steps = chunks, chunks.steps
        self._ahead: Iterator[Chunk] | None = None
        self._seconds_per_step: float | None = None

    def run(self, bar: Progress) -> None:
        """All epochs that are left, or those until a callback stops."""
        stopped = self._stopped()
        while self.epoch < self.settings["epochs"] and not stopped:
            self._finish_epoch(self._run_epoch(bar))
            bar.update(self.epoch, 0, self.history[-1])
            self.tell("after_epoch")
            stopped = self._stopped()

    def compile(self) -> None:
        """Compile the program by running it for no step."""
        first = next(self._chunks())
        self._enter(first)
        self._ahead = itertools.chain([first], self._ahead or ())
        self._advance(int(self.moving.position))
        jax.block_until_ready(self.moving)

    def snapshot(self) -> TrainState:
        """The state as it is now, in arrays of its own."""
        now = copied(collected(self.moving))
        epoch = jnp.asarray(self.epoch, jnp.int32)
        return TrainState(
            self._model(now), now.opt_state, collected(self.fixed.key), epoch, now.position, now.totals, self.best
        )

    def tell(self, event: str) -> None:
        """Call the method of this name of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(self._seen())

    def _seen(self) -> Run:
        return Run(self.snapshot(), tuple(self.history), self.settings)

    def _stopped(self) -> bool:
        return any(callback.stop(self._seen()) for callback in self.callbacks)

    def _model(self, moving: Moving) -> PyTree:
        return eqx.combine(moving.params, collected(self.fixed.rest), self.plan.model)

    def _advance(self, stop: int) -> None:
        self.moving = self.program(self.moving, self.fixed, self._part, self._number(stop))

    def _number(self, number: int) -> Array:
        return spread(self.plan.mesh, jnp.asarray(number, jnp.int32))

    def _run_epoch(self, bar: Progress) -> dict[str, Any]:
        """The rest of the current epoch, segment by segment; returns its figures."""
        begin, first = time.perf_counter(), int(self.moving.position)
        for chunk in self._chunks():
            self._enter(chunk)
            self._run_chunk(chunk, bar)
        self._ahead = None
        seconds = time.perf_counter() - begin
        examples = self.chunks.examples * (self.steps - first) / self.steps
        return _record(self.epoch + 1, self.moving.totals, seconds, examples / seconds)

    def _chunks(self) -> Iterator[Chunk]:
        """What is left of the epoch's chunks."""
        if self._ahead is None:
            self._ahead = self.chunks.of(self.epoch, int(self.moving.position))
        return self._ahead

    def _enter(self, chunk: Chunk) -> None:
        """Train on this chunk from here on."""
        numbers = (self.epoch, chunk.number, chunk.examples, chunk.first)
        self._part = Part(chunk.data, *(self._number(number) for number in numbers))

    def _run_chunk(self, chunk: Chunk, bar: Progress) -> None:
        """The rest of a chunk's steps, segment by segment."""
        position = int(self.moving.position)
        while position < chunk.stop:
            # The first segment is one step, to learn how long a step takes; then about ten seconds each.
            size = 1 if self._seconds_per_step is None else max(1, int(SEGMENT_SECONDS / self._seconds_per_step))
            begin = time.perf_counter()
            self._advance(min(position + size, chunk.stop))
            reached, failed = int(self.moving.position), int(self.moving.failed)
            if failed >= 0:
                raise _not_finite(self.snapshot(), self.epoch, failed)
            self._seconds_per_step = max((time.perf_counter() - begin) / (reached - position), 1e-7)
            position = reached
            bar.update(self.epoch, position, self.history[-1] if self.history else None)
            if position < self.steps:
                self.tell("after_segment")

    def _finish_epoch(self, record: dict[str, Any]) -> None:
        """Score the validation split, if there is one, and note the epoch's figures and the best epoch so far."""
        self.epoch += 1
        start = (self._number(0), spread(self.plan.mesh, Totals.zero()))
        self.moving = eqx.tree_at(lambda m: (m.position, m.totals), self.moving, start)
        model = self._model(copied(collected(self.moving)))
        scored = self.validate(model)
        if scored is None:
            best_epoch = self.epoch
        else:
            record |= {"validation_loss": scored.loss, "validation_accuracy": scored.accuracy}
            if _better(record, self.history):
                self.best, best_epoch = model, self.epoch
            else:
                best_epoch = self.history[-1]["best_epoch"]
        self.history.append(record | {"best_epoch": best_epoch})


def _record(epoch: int, totals: Totals, seconds: float, samples_per_second: float) -> dict[str, Any]:
    accuracy = float(totals.correct / totals.examples)
    return {
        "epoch": epoch,
        "loss": float(totals.loss / totals.examples),
        "accuracy": None if math.isnan(accuracy) else accuracy,
        "seconds": seconds,
        "samples_per_second": samples_per_second,
    }


def _better(record: dict[str, Any], history: list[dict[str, Any]]) -> bool:
    """Whether an epoch's validation loss is the lowest so far. (Accuracy is a coarse number on a small split.)"""
    if not history:
        return True
    best = history[history[-1]["best_epoch"] - 1]["validation_loss"]
    return math.isnan(best) or record["validation_loss"] < best


def _not_finite(state: TrainState, epoch: int, position: int) -> NonFiniteError:
    wrong = refused_parameters(state.model)
    hint = (
        f" {wrong} Learn it as snnx.Positive(...) or snnx.Bounded(...), which cannot leave its range."
        if wrong
        else " Try a smaller learning rate, optax.clip_by_global_norm, or another surrogate."
    )
    error = NonFiniteError(
        f"fit: loss or update is not finite in epoch {epoch + 1}, step {position + 1}. The parameters are as they were"
        f" before that step (error.state.model).{hint}"
    )
    error.state = state
    return error
