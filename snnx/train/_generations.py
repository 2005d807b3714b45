"""The host's side of `evolve`: generations cut into segments, and what happens between them."""

import time
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from snnx._errors import NonFiniteError
from snnx.train._callbacks import AbstractCallback, Run
from snnx.train._devices import collected, spread
from snnx.train._generation_program import BROKEN, FIGURES, ROOM, RUNNING, Fixed, Moving, Plan, generation_program
from snnx.train._progress import Progress
from snnx.train._state import EvolveState, copied

SEGMENT_SECONDS = 2.0


class Generations:
    """A run under way: what it moves is on the device, the figures of finished generations are here."""

    def __init__(
        self,
        plan: Plan,
        moving: Moving,
        fixed: Fixed,
        key: Array,
        history: list[dict[str, Any]],
        settings: dict[str, Any],
        callbacks: Sequence[AbstractCallback],
    ):
        self.plan, self.moving, self.fixed, self.key = plan, moving, fixed, key
        self.program = generation_program(plan)
        self.history, self.settings, self.callbacks = history, settings, callbacks
        self.generation = int(moving.generation)
        self._before = None if plan.population or self.generation else copied(collected(moving.params))

    def compile(self) -> None:
        """Compile the program by running it for no generation."""
        self._advance(self.generation)
        jax.block_until_ready(self.moving)

    def run(self, bar: Progress) -> None:
        """All generations that are left, or those until an end."""
        size, total = 1, self.settings["generations"]
        ended = self._ended()
        while self.generation < total and not ended:
            begin = time.perf_counter()
            first = self.generation
            self._advance(min(first + size, total))
            self._read(first)
            seconds = max((time.perf_counter() - begin) / (self.generation - first), 1e-7)
            size = max(1, min(ROOM, int(SEGMENT_SECONDS / seconds)))
            self._check_finite()
            self._check_moved()
            self.tell("after_epoch")
            ended = self._ended()
            bar.update(self.generation, 0, self.history[-1], last=ended)

    def _ended(self) -> bool:
        """Whether the program has come to its end, or a callback wants to."""
        return int(self.moving.outcome) != RUNNING or any(callback.stop(self._seen()) for callback in self.callbacks)

    def snapshot(self) -> EvolveState:
        """The state as it is now, in arrays of its own."""
        now = copied(collected(self.moving))
        return EvolveState(
            now.params,
            now.solver,
            self.key,
            now.generation,
            now.best,
            self.plan.sign * now.best_cost,
            self.plan.sign * now.lowest,
            now.lowest_at,
        )

    def tell(self, event: str) -> None:
        """Call the method of this name of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(self._seen())

    def _seen(self) -> Run:
        return Run(self.snapshot(), tuple(self.history), self.settings)

    def _advance(self, stop: int) -> None:
        first, last = (spread(self.plan.mesh, jnp.asarray(n, jnp.int32)) for n in (self.generation, stop))
        self.moving = self.program(self.moving, self.fixed, first, last)

    def _read(self, first: int) -> None:
        """Note the figures of the generations from `first` on."""
        self.generation = int(self.moving.generation)
        figures = jax.tree.map(np.asarray, collected(self.moving.figures))
        for place in range(self.generation - first):
            record = {name: row[place].item() for name, row in figures.items()}
            record["failed"] = int(record["failed"])
            names = (*FIGURES, *(name for name in record if name not in FIGURES))
            self.history.append({"generation": first + place + 1} | {name: record[name] for name in names})

    def _check_finite(self) -> None:
        last = self.history[-1]
        where = f"in generation {self.generation}"
        if int(self.moving.outcome) == BROKEN:
            hint = (
                "Try smaller steps, e.g. a smaller standard deviation in Evolution(strategy, settings), or another strategy"
                if self.plan.population > 0
                else "Try a smaller learning rate, optax.clip_by_global_norm, or rollout(..., truncate=...)"
            )
            self._raise(f"evolve: a step of {self.settings['strategy']} is not finite {where}. {hint}.")
        if self.generation == 1 and 0 < self.plan.population <= last["failed"]:
            self._raise(
                f"evolve: no candidate has a finite fitness {where} ({self.plan.population} of them); find out what"
                " fitness(params, key) gives."
            )

    def _check_moved(self) -> None:
        """A fitness without a gradient is climbed by nobody, and nothing else would show it."""
        if self._before is not None:
            pairs = zip(jax.tree.leaves(self._before), jax.tree.leaves(self.moving.params), strict=True)
            if all(np.array_equal(one, other) for one, other in pairs):
                warnings.warn(
                    "evolve: the first step of the optimiser has not moved the parameters: has the fitness a gradient, all the"
                    " way through environment and policy? (An argmax has none.) A strategy of evosax needs none.",
                    stacklevel=4,
                )
            self._before = None

    def _raise(self, message: str) -> None:
        error = NonFiniteError(f"{message} The parameters are as they were before (error.state.params).")
        error.state = self.snapshot()
        raise error


def moving_of(state: EvolveState, sign: float, extra: Sequence[str], outcome: int) -> Moving:
    """What the program moves, from the state that a run starts with."""
    moving = Moving(
        state.params,
        state.solver,
        state.generation,
        state.best,
        sign * state.best_fitness,
        sign * state.highest,
        state.highest_at,
        {name: jnp.zeros(ROOM, state.best_fitness.dtype) for name in (*FIGURES, *extra)},
        jnp.asarray(outcome, jnp.int32),
    )
    # Types that are not weak, as they come out of the program: else it would be compiled for both.
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), moving)
