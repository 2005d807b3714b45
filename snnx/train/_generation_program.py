"""The compiled program of `evolve`: many generations as one."""

import enum
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from snnx.solvers import AbstractSolver, Candidates, Objective, Step
from snnx.train._devices import gathered, my_rows, on_every_device
from snnx.train._programs import Program

GENERATIONS_AT_ONCE = 1024  # at most, in one call of the program: their figures are kept on the device until it ends
FIGURES = ("value", "mean", "std", "best", "failed")


class Outcome(enum.IntEnum):
    """Why a search has ended, or that it has not."""

    RUNNING = 0
    TARGET_REACHED = 1
    OUT_OF_PATIENCE = 2
    NOT_FINITE = 3


class SearchCarry(eqx.Module):
    """What a generation changes: donated to the program, which gives it back."""

    params: PyTree
    opt_state: PyTree
    generation: Int[Array, ""]
    best: PyTree
    best_value: Float[Array, ""]
    lowest: Float[Array, ""]
    lowest_at: Int[Array, ""]
    figures: dict[str, Float[Array, "generations"]]
    outcome: Int[Array, ""]


class SearchSpec(eqx.Module):
    """What a search does not change: its arrays are arguments of the program, all else is read while that is traced."""

    objective: Callable[[PyTree, Array], Array]
    solver: AbstractSolver
    key: Key[Array, ""]
    figures: Callable[[Any], dict[str, Array]] | None = eqx.field(static=True)
    target: float | None = eqx.field(static=True)
    patience: int | None = eqx.field(static=True)
    population: int = eqx.field(static=True)
    at_once: int | None = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(static=True)


def generation_program(static: SearchSpec) -> Program:
    """Generations up to `stop`, or up to where the run ends before; figures are written from `first` on.

    Everything random is drawn from the key and the generation's number, so that any stretch can be run by itself.
    """
    return Program(on_every_device(static.mesh, functools.partial(_search, static)), donated=True, mesh=static.mesh)


def _search(
    static: SearchSpec, carry: SearchCarry, constants: SearchSpec, first: Int[Array, ""], stop: Int[Array, ""]
) -> SearchCarry:
    spec = eqx.combine(constants, static)

    def generation(carry: SearchCarry) -> SearchCarry:
        key_objective, key_solver = jax.random.split(jax.random.fold_in(spec.key, carry.generation))

        def value(params: PyTree) -> tuple[Array, None]:
            return spec.objective(params, key_objective), None

        def values(population: PyTree) -> tuple[Array, None]:
            return _values(spec, lambda params: value(params)[0], population), None

        objective = Objective(jax.value_and_grad(value, has_aux=True), values)
        found = spec.solver.step(carry.params, carry.opt_state, objective, key=key_solver)
        return _after(spec, carry, found, first)

    def more(carry: SearchCarry) -> Bool[Array, ""]:
        return (carry.generation < stop) & (carry.outcome == Outcome.RUNNING.value)

    return jax.lax.while_loop(more, generation, carry)


def _values(spec: SearchSpec, value: Callable[[PyTree], Array], population: PyTree) -> Float[Array, "members"]:
    """The value of every member; each device has its part of them."""
    count = jax.tree.leaves(population)[0].shape[0]
    mine, _ = my_rows(spec.mesh, count)
    some = population if spec.mesh is None else jax.tree.map(lambda x: x[mine], population)
    if spec.at_once is None or spec.at_once >= mine.shape[0]:
        found = jax.vmap(value)(some)
    else:
        found = jax.lax.map(value, some, batch_size=spec.at_once)
    return gathered(spec.mesh, found, count, axis=0)


def _after(spec: SearchSpec, carry: SearchCarry, found: Step, first: Int[Array, ""]) -> SearchCarry:
    """The run after a generation: moved, unless there was nothing to go by, or the target was reached before."""
    of = found.candidates
    nothing = (of.failed >= spec.population) & (spec.population > 0) & of.sound
    own = jnp.where(jnp.isfinite(found.value), found.value, jnp.inf)
    reached = jnp.array(False) if spec.target is None else jnp.isfinite(own) & (own <= spec.target)
    moves = found.finite & ~reached
    params, opt_state = jax.tree.map(
        lambda n, o: jnp.where(moves, n, o), (found.params, found.state), (carry.params, carry.opt_state)
    )
    lower = own < carry.lowest
    lowest_at = jnp.where(lower, carry.generation, carry.lowest_at)
    best, best_value = _best(carry, own, of)
    stale = jnp.array(False) if spec.patience is None else carry.generation - lowest_at >= spec.patience
    ends = {
        Outcome.TARGET_REACHED: reached,
        Outcome.NOT_FINITE: ~found.finite & ~nothing,
        Outcome.OUT_OF_PATIENCE: stale,
    }
    outcome = jnp.select(list(ends.values()), [jnp.asarray(end.value) for end in ends], Outcome.RUNNING.value)
    seen = {
        "value": found.value,
        "mean": of.mean,
        "std": of.std,
        "best": of.best,
        "failed": of.failed,
        **figures_of(spec.figures, carry.opt_state),
    }
    place = carry.generation - first
    figures = {name: row.at[place].set(seen[name].astype(row.dtype)) for name, row in carry.figures.items()}
    return SearchCarry(
        params,
        opt_state,
        carry.generation + 1,
        best,
        best_value,
        jnp.where(lower, own, carry.lowest),
        lowest_at,
        figures,
        outcome.astype(jnp.int32),
    )


def _best(carry: SearchCarry, own: Array, of: Candidates) -> tuple[PyTree, Array]:
    """The best so far: of the candidates, or the parameters themselves."""
    best, lowest = carry.best, carry.best_value
    for params, value in ((of.params, of.best), (carry.params, own)):
        better = value < lowest
        best = jax.tree.map(lambda n, o, better=better: jnp.where(better, n, o).astype(o.dtype), params, best)
        lowest = jnp.where(better, value, lowest)
    return best, lowest


def figures_of(figures: Callable[[Any], dict[str, Array]] | None, state: PyTree) -> dict[str, Array]:
    """What the user wants to know of the solver's state: of a strategy its own."""
    if figures is None:
        return {}
    return {name: jnp.asarray(x) for name, x in figures(getattr(state, "strategy", state)).items()}
