"""A search as a job of a run: stretches of generations, their figures, and why they end."""

import warnings
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from snnx._errors import NonFiniteError
from snnx.train._devices import collected, spread
from snnx.train._generation_program import (
    FIGURES,
    GENERATIONS_AT_ONCE,
    Outcome,
    SearchCarry,
    SearchSpec,
    generation_program,
)
from snnx.train._programs import Compilation
from snnx.train._results import EvolveResult
from snnx.train._run import AbstractJob
from snnx.train._states import EvolveState, copied


class Search(AbstractJob[EvolveResult]):
    """Generations of `evolve`. One that leads to numbers that are not finite raises, and so does a first one without any.

    **Arguments:** `names`: those of the user's own figures.
    """

    unit, rate, steps, examples = "generation", "generations", 1, 1

    def __init__(
        self,
        spec: SearchSpec,
        state: EvolveState,
        history: list[dict[str, Any]],
        generations: int,
        names: Sequence[str],
    ):
        constants, static = eqx.partition(spec, eqx.is_array)
        self._spec, self._program = spec, generation_program(static)
        self._constants = spread(spec.mesh, constants)
        self.history, self.total = history, generations
        self._generation, _ = state.place
        self._outcome = _outcome(spec, state, history)
        rows = {name: jnp.zeros(GENERATIONS_AT_ONCE, state.best_value.dtype) for name in (*FIGURES, *names)}
        carry = SearchCarry(
            state.params,
            state.opt_state,
            state.generation,
            state.best,
            state.best_value,
            state.lowest,
            state.lowest_at,
            rows,
            jnp.asarray(self._outcome.value, jnp.int32),
        )
        # Types that are not weak, as they come out of the program: else it would be compiled for both.
        carry = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), carry)
        self._carry: SearchCarry = spread(spec.mesh, copied(carry))
        # Parameters that the first step has to change; a strategy may stay where it is.
        self._before = None if spec.population or self._generation else state.params

    @property
    def place(self) -> tuple[int, int]:
        return self._generation, 0

    @property
    def ended(self) -> bool:
        return self._generation >= self.total or self._outcome != Outcome.RUNNING

    @property
    def compilation(self) -> Compilation:
        return self._program.compilation

    def compile(self) -> None:
        self.advance(0)

    def ready(self) -> int:
        return min(self.total - self._generation, GENERATIONS_AT_ONCE)

    def advance(self, count: int) -> None:
        first, stop = (jnp.asarray(n, jnp.int32) for n in (self._generation, self._generation + count))
        self._carry = self._program(self._carry, self._constants, *spread(self._spec.mesh, (first, stop)))
        jax.block_until_ready(self._carry)

    def finish(self) -> None:
        first, self._generation = self._generation, int(self._carry.generation)
        self._outcome = Outcome(int(self._carry.outcome))
        figures = jax.tree.map(np.asarray, collected(self._carry.figures))
        for place in range(self._generation - first):
            record = {name: row[place].item() for name, row in figures.items()}
            record["failed"] = int(record["failed"])
            names = (*FIGURES, *(name for name in record if name not in FIGURES))
            self.history.append({"generation": first + place + 1} | {name: record[name] for name in names})
        self._check_finite()
        self._check_moved()

    def state(self) -> EvolveState:
        now = copied(collected(eqx.tree_at(lambda c: c.figures, self._carry, {})))
        key = collected(self._constants.key)
        best = (now.best, now.best_value, now.lowest, now.lowest_at)
        return EvolveState(now.params, now.opt_state, key, now.generation, *best)

    def result(self, **common: Any) -> EvolveResult:
        state = self.state()
        found = dict(params=state.params, best=state.best, best_value=float(state.best_value), outcome=self._in_words())
        return EvolveResult(state=state, **found, **common)

    def _in_words(self) -> str:
        if self._outcome == Outcome.TARGET_REACHED:
            return f"reached the target {self._spec.target:g} in generation {self._generation}"
        if self._outcome == Outcome.OUT_OF_PATIENCE:
            return f"no better for {self._spec.patience} generations"
        return "ran all generations" if self._generation >= self.total else "stopped by a callback"

    def _check_finite(self) -> None:
        population, where = self._spec.population, f"in generation {self._generation}"
        if self._outcome == Outcome.NOT_FINITE:
            hint = (
                "Try smaller steps, e.g. a smaller standard deviation in Evolution(strategy, settings), or another strategy"
                if population > 0
                else "Try a smaller learning rate, optax.clip_by_global_norm, or rollout(..., truncate=...)"
            )
            self._raise(f"evolve: a step of {self._spec.solver.name} is not finite {where}. {hint}.")
        if self._generation == 1 and 0 < population <= self.history[-1]["failed"]:
            self._raise(
                f"evolve: no candidate has a finite value {where} ({population} of them); find out what"
                " objective(params, key) gives."
            )

    def _raise(self, message: str) -> None:
        error = NonFiniteError(f"{message} The parameters are as they were before (error.state.params).")
        error.state = self.state()
        raise error

    def _check_moved(self) -> None:
        """Gradient descent goes nowhere on an objective without a gradient, and nothing else would show it."""
        if self._before is not None:
            pairs = zip(jax.tree.leaves(self._before), jax.tree.leaves(self._carry.params), strict=True)
            if all(np.array_equal(one, other) for one, other in pairs):
                warnings.warn(
                    "evolve: the first step of the optimiser has not moved the parameters: has the objective a gradient, all"
                    " the way through environment and policy? (An argmax has none.) A strategy of evosax needs none.",
                    stacklevel=7,
                )
            self._before = None


def _outcome(spec: SearchSpec, state: EvolveState, history: list[dict[str, Any]]) -> Outcome:
    """Whether a run that is resumed has already ended: by the rules of the program."""
    if not history:
        return Outcome.RUNNING
    own: Array = jnp.asarray(history[-1]["value"])
    if spec.target is not None and jnp.isfinite(own) and own <= spec.target:
        return Outcome.TARGET_REACHED
    stale = int(state.generation) - 1 - int(state.lowest_at)
    return Outcome.OUT_OF_PATIENCE if spec.patience is not None and stale >= spec.patience else Outcome.RUNNING
