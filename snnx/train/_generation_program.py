"""The compiled program of `evolve`: many generations as one."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from snnx.solvers import Candidates, Objective, Step
from snnx.train._devices import gathered, my_rows, on_every_device
from snnx.train._programs import Program

ROOM = 1024  # generations whose figures are kept on the device, and so the most that one call of the program runs
RUNNING, TARGET, PATIENCE, BROKEN = range(4)
FIGURES = ("fitness", "mean", "std", "best", "failed")


class Moving(eqx.Module):
    """What a generation changes: donated to the program, and given back. Costs are fitness turned so that less is better."""

    params: PyTree
    solver: PyTree
    generation: Int[Array, ""]
    best: PyTree
    best_cost: Float[Array, ""]
    lowest: Float[Array, ""]
    lowest_at: Int[Array, ""]
    figures: dict[str, Float[Array, "room"]]
    outcome: Int[Array, ""]


class Fixed(eqx.Module):
    """What it does not: the arrays of fitness and solver, and the key."""

    fitness: PyTree
    solver: PyTree
    key: Key[Array, ""]


class Plan(NamedTuple):
    """What is no array: it is read while the program is traced."""

    fitness: PyTree
    solver: PyTree
    record: Callable[[Any], dict[str, Array]] | None
    sign: float
    target: float | None
    patience: int | None
    population: int
    at_once: int | None
    mesh: Mesh | None


def generation_program(plan: Plan) -> Program:
    """Generations up to `stop`, or up to where the run ends before; figures are written from `first` on.

    Everything random is drawn from the key and the generation's number, so that any stretch can be run by itself.
    """
    return Program(on_every_device(plan.mesh, functools.partial(_run, plan)), donated=True, mesh=plan.mesh)


def _run(plan: Plan, moving: Moving, fixed: Fixed, first: Int[Array, ""], stop: Int[Array, ""]) -> Moving:
    fitness = eqx.combine(fixed.fitness, plan.fitness)
    solver = eqx.combine(fixed.solver, plan.solver)

    def generation(moving: Moving) -> Moving:
        key_fitness, key_solver = jax.random.split(jax.random.fold_in(fixed.key, moving.generation))

        def cost(params: PyTree) -> tuple[Array, None]:
            return plan.sign * fitness(params, key_fitness), None

        def values(population: PyTree) -> tuple[Array, None]:
            return _costs(plan, lambda params: cost(params)[0], population), None

        objective = Objective(jax.value_and_grad(cost, has_aux=True), values)
        found = solver.step(moving.params, moving.solver, objective, key=key_solver)
        return _after(plan, moving, found, first)

    def more(moving: Moving) -> Bool[Array, ""]:
        return (moving.generation < stop) & (moving.outcome == RUNNING)

    return jax.lax.while_loop(more, generation, moving)


def _costs(plan: Plan, cost: Callable[[PyTree], Array], population: PyTree) -> Float[Array, "members"]:
    """The cost of every member; each device has its part of them."""
    count = jax.tree.leaves(population)[0].shape[0]
    mine, _ = my_rows(plan.mesh, count)
    some = population if plan.mesh is None else jax.tree.map(lambda x: x[mine], population)
    if plan.at_once is None or plan.at_once >= mine.shape[0]:
        costs = jax.vmap(cost)(some)
    else:
        costs = jax.lax.map(cost, some, batch_size=plan.at_once)
    return gathered(plan.mesh, costs, count, axis=0)


def _after(plan: Plan, moving: Moving, found: Step, first: Int[Array, ""]) -> Moving:
    """The run after a generation: moved, unless there was nothing to go by or the target was reached before."""
    of = found.candidates
    nothing = (of.failed >= plan.population) & (plan.population > 0) & of.sound
    own = jnp.where(jnp.isfinite(found.value), found.value, jnp.inf)
    reached = jnp.array(False) if plan.target is None else jnp.isfinite(own) & (own <= plan.sign * plan.target)
    moves = found.finite & ~reached
    params, solver = jax.tree.map(
        lambda n, o: jnp.where(moves, n, o), (found.params, found.state), (moving.params, moving.solver)
    )
    lower = own < moving.lowest
    lowest_at = jnp.where(lower, moving.generation, moving.lowest_at)
    best, best_cost = _best(moving, own, of)
    stale = jnp.array(False) if plan.patience is None else moving.generation - lowest_at >= plan.patience
    outcome = jnp.select(
        [reached, ~found.finite & ~nothing, stale], [jnp.asarray(o) for o in (TARGET, BROKEN, PATIENCE)], RUNNING
    ).astype(jnp.int32)
    seen = {
        "fitness": plan.sign * found.value,
        "mean": plan.sign * of.mean,
        "std": of.std,
        "best": plan.sign * of.best,
        "failed": of.failed,
        **recorded(plan.record, moving.solver),
    }
    place = moving.generation - first
    figures = {name: row.at[place].set(seen[name].astype(row.dtype)) for name, row in moving.figures.items()}
    return Moving(
        params,
        solver,
        moving.generation + 1,
        best,
        best_cost,
        jnp.where(lower, own, moving.lowest),
        lowest_at,
        figures,
        outcome,
    )


def _best(moving: Moving, center: Array, of: Candidates) -> tuple[PyTree, Array]:
    """The best so far: of the candidates, or the parameters themselves."""
    best, cost = moving.best, moving.best_cost
    for params, value in ((of.params, of.best), (moving.params, center)):
        better = value < cost
        best = jax.tree.map(lambda n, o, better=better: jnp.where(better, n, o).astype(o.dtype), params, best)
        cost = jnp.where(better, value, cost)
    return best, cost


def recorded(record: Callable[[Any], dict[str, Array]] | None, state: PyTree) -> dict[str, Array]:
    """What the user wants to know of the solver's state: of a strategy its own."""
    if record is None:
        return {}
    return {name: jnp.asarray(x) for name, x in record(getattr(state, "strategy", state)).items()}
