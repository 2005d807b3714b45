"""The compiled program of `fit_ensemble`: the training steps of all members beside each other."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from snnx.solvers import AbstractSolver, as_solver
from snnx.train._devices import over_members
from snnx.train._programs import Program
from snnx.train._training_program import Carry, Segment, Spec, training_step


class Members(eqx.Module):
    """What differs between the members and is not trained: the other arrays of their models, and what is swept."""

    model: PyTree
    sweep: PyTree


def solver_of(optimizer: Any, sweep: PyTree) -> AbstractSolver:
    """A member's solver: made from its entry of the sweep, if there is a sweep."""
    return as_solver("fit_ensemble", "optimizer", optimizer if sweep is None else optimizer(sweep))


def ensemble_program(static: Spec, optimizer: Any, mesh: Mesh | None) -> Program:
    """Training steps of all members, on the same batches, up to `stop`. A member whose step is not finite stands still from
    there on, and the others go on.

    **Arguments:** `mesh`: the devices that the members are divided among; to a member's step there is one device.
    """
    run = functools.partial(_train_members, static, optimizer)
    stacked = (True, True, False, False, False)
    return Program(over_members(mesh, run, stacked), donated=True, mesh=mesh)


def _train_members(
    static: Spec,
    optimizer: Any,
    carry: Carry,
    members: Members,
    constants: Spec,
    segment: Segment,
    stop: Int[Array, ""],
) -> Carry:
    step = training_step(eqx.combine(constants, static), segment)

    def one(carry: Carry, member: Members, place: Array) -> Carry:
        # `place` is the same for all members, and so is the batch: it is gathered once.
        alone = eqx.tree_at(lambda c: c.position, carry, place)
        after = step(alone, eqx.combine(member.model, static.model), solver_of(optimizer, member.sweep))
        after = jax.tree.map(lambda n, o: jnp.where(carry.failed < 0, n, o), after, carry)
        return eqx.tree_at(lambda c: c.position, after, place + 1)

    def all_members(place: Array, carry: Carry) -> Carry:
        return jax.vmap(one, in_axes=(0, 0, None))(carry, members, place)

    return jax.lax.fori_loop(carry.position[0], stop, all_members, carry)
