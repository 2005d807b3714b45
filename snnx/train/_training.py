"""Training as a job of a run: epochs, their chunks of data, validation, and what a step that is not finite means."""

import abc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from snnx._errors import NonFiniteError
from snnx.cells import refused_parameters
from snnx.data import AbstractStream, SpikeDataset
from snnx.train._batches import Chunk, Chunks
from snnx.train._devices import collected, divided, spread
from snnx.train._ensemble_program import Members, ensemble_program
from snnx.train._programs import Compilation, Program
from snnx.train._results import EnsembleResult, FitResult
from snnx.train._run import AbstractJob
from snnx.train._scoring import Scoring
from snnx.train._states import TrainState, copied
from snnx.train._training_program import Carry, Segment, Spec, training_program


class Start(NamedTuple):
    """Where a training begins, and what it goes through; `params` is the trained part of the state's model."""

    state: TrainState
    params: PyTree
    history: list[dict[str, Any]]
    data: SpikeDataset | AbstractStream
    validation: SpikeDataset | AbstractStream | None
    epochs: int
    chunk: int | None


_Result = TypeVar("_Result", FitResult, EnsembleResult)


class AbstractTraining(AbstractJob[_Result]):
    """Epochs of training, of one model or of a stack of models: all that does not depend on which.

    **Arguments:** `spec`: what training does not change; `program`, and the `constants` that it takes behind the carry: the
    first has the arrays of the model that are not trained, the last those of `spec`.

    **Attributes:** `where`: whose errors these are; `stacked`: whether many models are trained; `place_on`: puts the carry on
    the devices.
    """

    unit, rate = "epoch", "samples"
    where: str
    stacked: bool
    place_on: Callable[[Mesh | None, Any], Any]

    def __init__(self, spec: Spec, program: Program, constants: tuple[Any, ...], mesh: Mesh | None, start: Start):
        state, size = start.state, spec.batch_size
        self._spec, self._program, self._constants, self._mesh = spec, program, constants, mesh
        self._chunks = Chunks(start.data, size, state.key, mesh, spec.loss, self.where)
        self._scoring = Scoring(spec.loss, size, jax.random.key(0), start.chunk, mesh, members=self.stacked)
        self._validation, self._best, self.history = start.validation, state.best, start.history
        self.total, self.steps, self.examples = start.epochs, self._chunks.steps, len(start.data) * state.failed.size
        position = jnp.broadcast_to(state.position, state.failed.shape)
        carry = Carry(start.params, state.opt_state, position, state.totals, state.failed)
        self._carry: Carry = self.place_on(mesh, copied(carry))
        self._epoch, self._position = state.place
        self._chunk: Chunk | None = None
        self._left: Iterator[Chunk] | None = None  # the chunks of the epoch that come after it
        self._began: tuple[float, int] | None = None  # when, and with which step, this part of the epoch began

    @abc.abstractmethod
    def _check(self) -> None:
        """What is done about steps that were not finite."""

    @abc.abstractmethod
    def _score(self, model: PyTree) -> tuple[Any, Any]:
        """Loss and accuracy of the validation, of each member; None for an accuracy that there is not."""

    @property
    def place(self) -> tuple[int, int]:
        return self._epoch, self._position

    @property
    def ended(self) -> bool:
        return self._epoch >= self.total

    @property
    def compilation(self) -> Compilation:
        return self._program.compilation + self._scoring.compilation

    def compile(self) -> None:
        self._next_chunk()
        self._train(self._position)

    def ready(self) -> int:
        if self._began is None:
            self._began = (time.perf_counter(), self._position)
        if self._chunk is None or self._position >= self._chunk.stop:
            self._next_chunk()
        return self._chunk.stop - self._position  # pyright: ignore[reportOptionalMemberAccess]

    def advance(self, count: int) -> None:
        self._train(self._position + count)
        self._position += count
        self._check()

    def finish(self) -> None:
        if self._position < self.steps or self._began is None:
            return
        begin, first = self._began
        seconds = time.perf_counter() - begin
        totals = collected(self._carry.totals)
        self._epoch += 1
        record = {
            "epoch": self._epoch,
            "loss": (totals.loss / totals.examples).tolist(),
            "accuracy": _numbers(totals.correct / totals.examples),
            "seconds": seconds,
            "samples_per_second": self.examples * (self.steps - first) / self.steps / seconds,
        }
        zeros = self.place_on(self._mesh, jax.tree.map(jnp.zeros_like, (self._carry.position, self._carry.totals)))
        self._carry = eqx.tree_at(lambda c: (c.position, c.totals), self._carry, zeros)
        self._position, self._chunk, self._left, self._began = 0, None, None, None
        best_epoch = np.full(np.shape(record["loss"]), self._epoch)
        if self._validation is not None:
            model = self._model(copied(collected(self._carry.params)))
            losses, accuracies = self._score(model)
            record |= {"validation_loss": losses, "validation_accuracy": accuracies}
            better = self._better(np.asarray(losses))
            self._best = _chosen(better, model, self._best)
            if self.history:
                best_epoch = np.where(better, best_epoch, self.history[-1]["best_epoch"])
        self.history.append(record | {"best_epoch": best_epoch.tolist()})

    def state(self) -> TrainState:
        now = copied(collected(self._carry))
        key = collected(self._constants[-1].key)
        epoch, position = (jnp.asarray(number, jnp.int32) for number in self.place)
        model = self._model(now.params)
        return TrainState(model, now.opt_state, key, epoch, position, now.totals, now.failed, self._best)

    def _model(self, params: PyTree) -> PyTree:
        return eqx.combine(params, collected(self._constants[0].model), self._spec.model)

    def _train(self, stop: int) -> None:
        self._carry = self._program(self._carry, *self._constants, self._segment, self._number(stop))
        jax.block_until_ready(self._carry)

    def _number(self, number: int) -> Array:
        return spread(self._mesh, jnp.asarray(number, jnp.int32))

    def _next_chunk(self) -> None:
        """Train on the next chunk from here on; at first on the one that holds the present step."""
        if self._left is None:
            self._left = self._chunks.of(self._epoch, self._position)
        chunk = self._chunk = next(self._left)
        numbers = (self._epoch, chunk.number, chunk.examples, chunk.first, self._epoch * self.steps)
        self._segment = Segment(chunk.data, *(self._number(number) for number in numbers))

    def _better(self, losses: np.ndarray) -> np.ndarray:
        """Whether these validation losses are the lowest so far. (Accuracy is a coarse number on a small split.)"""
        if not self.history:
            return np.ones(losses.shape, bool)
        before = np.asarray([record["validation_loss"] for record in self.history], float)
        best = np.asarray(self.history[-1]["best_epoch"])
        lowest = np.take_along_axis(before, best[None] - 1, axis=0)[0]
        return np.asarray(np.isnan(lowest) | (losses < lowest))


class Training(AbstractTraining[FitResult]):
    """Epochs of one model. A step that is not finite raises."""

    where, stacked, place_on = "fit", False, staticmethod(spread)

    def __init__(self, spec: Spec, start: Start):
        constants, static = eqx.partition(spec, eqx.is_array)
        super().__init__(spec, training_program(static), (spread(spec.mesh, constants),), spec.mesh, start)

    def result(self, **common: Any) -> FitResult:
        state = self.state()
        model = eqx.nn.inference_mode(state.model if state.best is None else state.best)
        best_epoch = self.history[-1]["best_epoch"] if self.history else 0
        return FitResult(model=model, state=state, best_epoch=best_epoch, **common)

    def _score(self, model: PyTree) -> tuple[float, float | None]:
        scored = self._scoring(model, self._validation)  # pyright: ignore[reportArgumentType]
        return scored.loss, scored.accuracy

    def _check(self) -> None:
        failed = int(self._carry.failed)
        if failed < 0:
            return
        self._position = failed % self.steps
        self._carry = eqx.tree_at(lambda c: c.failed, self._carry, self._number(-1))  # as it was before
        state = self.state()
        wrong = refused_parameters(state.model)
        hint = (
            f" {wrong} Learn it as snnx.Positive(...) or snnx.Bounded(...), which cannot leave its range."
            if wrong
            else " Try a smaller learning rate, optax.clip_by_global_norm, or another surrogate."
        )
        error = NonFiniteError(
            f"fit: loss or update is not finite in epoch {self._epoch + 1}, step {self._position + 1}. The parameters are as"
            f" they were before that step (error.state.model).{hint}"
        )
        error.state = state
        raise error


class EnsembleTraining(AbstractTraining[EnsembleResult]):
    """Epochs of a stack of models. A member whose step is not finite stands still, which its result says.

    **Arguments:** `optimizer`: one for all, or a function from an entry of `members.sweep` to one; `mesh`: the devices that the
    members are divided among.
    """

    where, stacked, place_on = "fit_ensemble", True, staticmethod(divided)

    def __init__(self, spec: Spec, members: Members, optimizer: Any, mesh: Mesh | None, start: Start):
        constants, static = eqx.partition(spec, eqx.is_array)
        placed = divided(mesh, members), spread(mesh, constants)
        super().__init__(spec, ensemble_program(static, optimizer, mesh), placed, mesh, start)

    def shown(self) -> dict[str, Any] | None:
        """The figures of the member with the lowest loss."""
        if not self.history:
            return None
        record = self.history[-1]
        best = _lowest(record.get("validation_loss", record["loss"]))
        return {name: value[best] if isinstance(value, list) else value for name, value in record.items()}

    def result(self, **common: Any) -> EnsembleResult:
        state = self.state()
        failed = np.asarray(state.failed).tolist()
        best_epoch, best = (0,) * len(failed), 0
        if self.history:
            best_epoch = tuple(self.history[-1]["best_epoch"])
            losses = [record.get("validation_loss", record["loss"]) for record in self.history]
            best = _lowest([losses[epoch - 1][member] for member, epoch in enumerate(best_epoch)])
        models = eqx.nn.inference_mode(state.model if state.best is None else state.best)
        found = dict(models=models, best=best, best_epoch=best_epoch, failed=tuple(failed))
        return EnsembleResult(state=state, **found, **common)

    def _score(self, model: PyTree) -> tuple[list[float], list[float] | None]:
        targets, scores = self._scoring.scores(model, self._validation)  # pyright: ignore[reportArgumentType]
        right = None if scores.predictions is None else (scores.predictions == targets[None]).mean(axis=1).tolist()
        return scores.losses.mean(axis=1, dtype=np.float64).tolist(), right

    def _check(self) -> None:
        pass


def _numbers(values: Array) -> Any:
    """A number, or of an ensemble a list of them; None where there are none, as of a regression's accuracy."""
    array = np.asarray(values)
    return None if np.isnan(array).all() else array.tolist()


def _lowest(losses: list[float]) -> int:
    return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))


def _chosen(better: np.ndarray, new: PyTree, old: PyTree) -> PyTree:
    """The new model or the old one; of an ensemble of each member."""
    if better.all() or not better.any():
        return new if better.all() else old

    def choose(n: Any, o: Any) -> Any:
        return jnp.where(better.reshape(-1, *(1,) * (n.ndim - 1)), n, o) if eqx.is_array(n) else n

    return jax.tree.map(choose, new, old)
