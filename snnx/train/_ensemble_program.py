"""The compiled programs of `fit_ensemble`: every member's training steps beside each other, and their scores."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from snnx._intern import Static
from snnx.data import SpikeDataset
from snnx.solvers import AbstractSolver, as_solver
from snnx.train._devices import AXIS
from snnx.train._program import TRACES, Fixed, Moving, Part, Plan, score_examples, stepper


class EnsemblePlan(NamedTuple):
    """What the programs are compiled for: as one model's, and what makes a member's solver."""

    one: Plan
    optimizer: Static
    swept: bool
    mesh: Mesh | None


class Members(eqx.Module):
    """What differs between the members and is not trained: their other arrays, and what is swept."""

    rest: PyTree
    sweep: PyTree


def solver_of(optimizer: Any, swept: bool, sweep: PyTree) -> AbstractSolver:
    """A member's solver: made of its entry of the sweep, if there is one."""
    return as_solver("fit_ensemble", "optimizer", optimizer(sweep) if swept else optimizer)


def _on_each(mesh: Mesh | None, function: Callable, stacked: tuple[bool, ...], out: bool = True) -> Callable:
    """The function with the members (the leading axis of what is stacked) divided among the devices."""
    if mesh is None:
        return function
    specs = tuple(PartitionSpec(AXIS) if yes else PartitionSpec() for yes in stacked)
    return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def train_members(
    plan: EnsemblePlan,
    moving: Moving,
    members: Members,
    fixed: Fixed,
    part: Part,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> Moving:
    """Training steps from `start` up to `stop`, all members at the same batch. One that is not finite stands still from
    then on; the others go on."""
    TRACES["train_members"] += 1
    run = functools.partial(_train_members, plan)
    stacked = (True, True, False, False, False, False)
    return _on_each(plan.mesh, run, stacked)(moving, members, fixed, part, start, stop)


def _train_members(
    plan: EnsemblePlan, moving: Moving, members: Members, fixed: Fixed, part: Part, start: Array, stop: Array
) -> Moving:
    step = stepper(plan.one, fixed, part)

    def one(moving: Moving, member: Members, place: Array) -> Moving:
        solver = solver_of(plan.optimizer.value, plan.swept, member.sweep)
        alone = eqx.tree_at(lambda m: m.position, moving, place)  # the same for all: so is the batch
        after = step(alone, member.rest, solver)
        return jax.tree.map(lambda n, o: jnp.where(moving.failed < 0, n, o), after, moving)

    def all_members(place: Array, moving: Moving) -> Moving:
        return jax.vmap(one, in_axes=(0, 0, None))(moving, members, place)

    return jax.lax.fori_loop(start, stop, all_members, moving)


@functools.partial(jax.jit, static_argnums=0)
def score_members(
    plan: EnsemblePlan, arrays: PyTree, loss: PyTree, data: SpikeDataset, key: Array
) -> tuple[Float[Array, "members"], Float[Array, "members"]]:
    """Mean loss and share of right answers of every member, each example scored once."""
    TRACES["score_members"] += 1
    one = plan.one

    def score(arrays: PyTree, loss: PyTree, data: SpikeDataset, key: Array) -> tuple[Array, Array]:
        size = min(one.batch_size, len(data))
        schedule = one.schedule._replace(keep="all", truncate=None)
        found = score_examples(one.model, one.loss, size, schedule, None, arrays, loss, data, key)
        right = jnp.nan if found.predictions is None else jnp.mean(found.predictions == data.targets)
        return jnp.mean(found.losses), jnp.asarray(right)

    def all_members(arrays: PyTree, *given: Any) -> tuple[Array, Array]:
        return jax.vmap(lambda arrays: score(arrays, *given))(arrays)

    return _on_each(plan.mesh, all_members, (True, False, False, False))(arrays, loss, data, key)
