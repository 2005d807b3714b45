"""The host's side of `fit_ensemble`: what happens between epochs."""

import time
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from snnx.data import SpikeDataset
from snnx.train._callbacks import AbstractCallback, Run
from snnx.train._chunks import with_room
from snnx.train._devices import collected, divided, spread
from snnx.train._ensemble_program import EnsemblePlan, Members, ensemble_program, ensemble_score_program
from snnx.train._program import Fixed, Moving, Part
from snnx.train._programs import Compilation, Program
from snnx.train._progress import Progress
from snnx.train._state import EnsembleState, Totals, TrainState, copied


class EnsembleEpochs:
    """A run under way."""

    def __init__(
        self,
        plan: EnsemblePlan,
        moving: Moving,
        members: Members,
        fixed: Fixed,
        data: SpikeDataset,
        validation: SpikeDataset | None,
        state: EnsembleState,
        history: list[dict[str, Any]],
        settings: dict[str, Any],
        callbacks: Sequence[AbstractCallback],
    ):
        self.plan, self.moving, self.members, self.fixed = plan, moving, members, fixed
        self.program = ensemble_program(plan)
        self._scoring: Program | None = None
        size = settings["batch_size"]
        self.data = spread(plan.mesh, with_room(data, size))
        self.validation = None if validation is None else spread(plan.mesh, with_room(validation, size))
        self.best = state.train.best
        self.history, self.settings, self.callbacks = history, settings, callbacks
        self.failed = state.failed
        self.epoch, self.steps = int(state.train.epoch), -(-settings["examples"] // settings["batch_size"])

    def compile(self) -> None:
        """Compile the program by running it for no step."""
        self._advance(0)
        jax.block_until_ready(self.moving)

    @property
    def compilation(self) -> Compilation:
        """What its programs have taken so far."""
        scoring = Compilation() if self._scoring is None else self._scoring.compilation
        return self.program.compilation + scoring

    def run(self, bar: Progress) -> None:
        """All epochs that are left, or those until a callback stops."""
        while self.epoch < self.settings["epochs"] and not self._stopped():
            begin = time.perf_counter()
            self._advance(self.steps)
            jax.block_until_ready(self.moving)
            self._finish(time.perf_counter() - begin)
            bar.update(self.epoch, 0, _of_the_best(self.history[-1]))
            self.tell("after_epoch")

    def snapshot(self) -> EnsembleState:
        """The state as it is now, in arrays of its own."""
        now, zero = copied(collected(self.moving)), jnp.zeros((), jnp.int32)
        train = TrainState(
            self._models(now),
            now.opt_state,
            collected(self.fixed.key),
            jnp.asarray(self.epoch, jnp.int32),
            zero,
            Totals.zero(),
            self.best,
        )
        return EnsembleState(train, now.failed)

    def tell(self, event: str) -> None:
        """Call the method of this name of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(Run(self.snapshot(), tuple(self.history), self.settings))

    def _stopped(self) -> bool:
        return any(c.stop(Run(self.snapshot(), tuple(self.history), self.settings)) for c in self.callbacks)

    def _models(self, moving: Moving) -> PyTree:
        return eqx.combine(moving.params, collected(self.members.rest), self.plan.one.model)

    def _advance(self, stop: int) -> None:
        numbers = [jnp.asarray(n, jnp.int32) for n in (self.epoch, 0, self.settings["examples"], 0)]
        part = Part(self.data, *spread(self.plan.mesh, numbers))
        first, last = spread(self.plan.mesh, [jnp.asarray(n, jnp.int32) for n in (0, stop)])
        self.moving = self.program(self.moving, self.members, self.fixed, part, first, last)

    def _finish(self, seconds: float) -> None:
        """Score the validation split, if there is one, and note the epoch's figures and each member's best epoch."""
        self.epoch += 1
        now = copied(collected(self.moving))
        totals, count = now.totals, self.settings["members"]
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "loss": (totals.loss / totals.examples).tolist(),
            "accuracy": _numbers(totals.correct / totals.examples),
            "seconds": seconds,
            "samples_per_second": self.settings["examples"] * count / seconds,
        }
        # The program knows steps of this epoch; from here on a step is counted from the first epoch.
        since_start = now.failed + (self.epoch - 1) * self.steps
        failed = jnp.where(self.failed >= 0, self.failed, jnp.where(now.failed >= 0, since_start, -1))
        self.failed = failed
        zeros = jax.tree.map(jnp.zeros_like, (now.position, totals))
        again = eqx.tree_at(lambda m: (m.position, m.totals, m.failed), now, (*zeros, failed))
        self.moving = divided(self.plan.mesh, copied(again))
        if self.validation is not None:
            self._validate(record, self._models(now))
        self.history.append(record)

    def _validate(self, record: dict[str, Any], models: PyTree) -> None:
        arrays, static = eqx.partition(eqx.nn.inference_mode(models), eqx.is_array)
        if self._scoring is None:
            self._scoring = ensemble_score_program(self.plan, static)
        examples = jnp.asarray(self.settings["validation"], jnp.int32)
        given = spread(self.plan.mesh, (self.fixed.loss, self.validation, examples, jax.random.key(0)))
        losses, right = self._scoring(divided(self.plan.mesh, arrays), *given)
        record |= {"validation_loss": np.asarray(losses).tolist(), "validation_accuracy": _numbers(right)}
        before = [r["validation_loss"] for r in self.history]
        last = self.history[-1]["best_epoch"] if self.history else [self.epoch] * len(record["validation_loss"])
        better = np.asarray(losses) < (np.nanmin(before, axis=0) if before else np.inf)
        better |= ~np.isfinite(np.nanmin(before, axis=0)) if before else True
        self.best = _chosen(better, models, self.best)
        record["best_epoch"] = [self.epoch if new else old for new, old in zip(better.tolist(), last, strict=True)]


def _chosen(better: np.ndarray, new: PyTree, old: PyTree) -> PyTree:
    """Of each member the new model or the old one."""

    def choose(n: Any, o: Any) -> Any:
        return jnp.where(better.reshape(-1, *(1,) * (n.ndim - 1)), n, o) if eqx.is_array(n) else n

    return jax.tree.map(choose, new, new if old is None else old)


def _numbers(values: Any) -> "list[float] | None":
    array = np.asarray(values)
    return None if np.isnan(array).all() else array.tolist()


def _of_the_best(record: dict[str, Any]) -> dict[str, Any]:
    """The figures of the member with the lowest loss, to be shown."""
    losses = np.asarray(record.get("validation_loss", record["loss"]))
    index = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
    return {name: value[index] if isinstance(value, list) else value for name, value in record.items()}
