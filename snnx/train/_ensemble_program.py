"""The compiled programs of `fit_ensemble`: every member's training steps beside each other, and their scores."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from snnx.data import SpikeDataset
from snnx.solvers import AbstractSolver, as_solver
from snnx.train._devices import AXIS
from snnx.train._program import Fixed, Moving, Part, Plan, score_examples, stepper
from snnx.train._programs import Program


class EnsemblePlan(NamedTuple):
    """What the programs are compiled for: as one model's, and what makes a member's solver."""

    one: Plan
    optimizer: Any
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


def ensemble_program(plan: EnsemblePlan) -> Program:
    """Training steps from `start` up to `stop`, all members at the same batch. One that is not finite stands still from
    then on; the others go on."""
    run = functools.partial(_train_members, plan)
    stacked = (True, True, False, False, False, False)
    return Program(_on_each(plan.mesh, run, stacked), donated=True, mesh=plan.mesh)


def _train_members(
    plan: EnsemblePlan,
    moving: Moving,
    members: Members,
    fixed: Fixed,
    part: Part,
    start: Int[Array, ""],
    stop: Int[Array, ""],
) -> Moving:
    step = stepper(plan.one, fixed, part)

    def one(moving: Moving, member: Members, place: Array) -> Moving:
        solver = solver_of(plan.optimizer, plan.swept, member.sweep)
        alone = eqx.tree_at(lambda m: m.position, moving, place)  # the same for all: so is the batch
        after = step(alone, member.rest, solver)
        return jax.tree.map(lambda n, o: jnp.where(moving.failed < 0, n, o), after, moving)

    def all_members(place: Array, moving: Moving) -> Moving:
        return jax.vmap(one, in_axes=(0, 0, None))(moving, members, place)

    return jax.lax.fori_loop(start, stop, all_members, moving)


def ensemble_score_program(plan: EnsemblePlan, model: PyTree) -> Program:
    """Mean loss and share of right answers of every member, each of the first `examples` scored once.

    **Arguments:** `model`: all of it that is no array, in inference mode.
    """
    one = plan.one

    def score(arrays: PyTree, loss: PyTree, data: SpikeDataset, examples: Array, key: Array) -> tuple[Array, Array]:
        found = score_examples(
            eqx.combine(arrays, model),
            eqx.combine(loss, one.loss),
            data,
            key,
            batch_size=min(one.batch_size, len(data)),
            schedule=one.schedule._replace(keep="all", truncate=None),
            mesh=None,
        )
        real = jnp.arange(len(data)) < examples
        right = jnp.nan if found.predictions is None else jnp.mean(found.predictions == data.targets, where=real)
        return jnp.mean(found.losses, where=real), jnp.asarray(right)

    def all_members(arrays: PyTree, *given: Any) -> tuple[Float[Array, "members"], Float[Array, "members"]]:
        return jax.vmap(lambda arrays: score(arrays, *given))(arrays)

    return Program(_on_each(plan.mesh, all_members, (True, False, False, False, False)), mesh=plan.mesh)
