"""The compiled program of `fit`: many training steps as one."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.data import SpikeDataset
from snnx.losses import AbstractLoss
from snnx.solvers import AbstractSolver, Evolution, Objective
from snnx.train._batches import Augment
from snnx.train._devices import my_rows, on_every_device, summed
from snnx.train._programs import Compilation, Program
from snnx.train._scoring import Schedule, score_batch
from snnx.train._states import Totals

SOLVER = 2**32 - 1  # tells the keys of the solver from those of the steps, which are folded in by number


def first_state(solver: AbstractSolver, params: PyTree, key: Key[Array, ""]) -> tuple[PyTree, Compilation]:
    """The solver's state before the first step, and what compiling it took.

    A strategy's state comes from a program of ours, because evosax compiles its own anew for each strategy object.
    """
    key = jax.random.fold_in(key, SOLVER)
    if not isinstance(solver, Evolution):
        return solver.init(params, key=key), Compilation()
    program = Program(lambda params, key: solver.init(params, key=key))
    return program(params, key), program.compilation


class Carry(eqx.Module):
    """What a training step changes: donated to the program, which gives it back; of an ensemble with a leading axis."""

    params: PyTree
    opt_state: PyTree
    position: Int[Array, "*members"]
    totals: Totals
    failed: Int[Array, "*members"]  # the first step that was not finite, counted from the start of the run, or -1


class Spec(eqx.Module):
    """What training does not change.

    Its arrays, the *constants*, are arguments of the program; all else is read while the program is traced. `model` is the
    model without the arrays that are trained. An ensemble has no `solver` here: each member has its own.
    """

    model: PyTree
    loss: AbstractLoss
    augment: tuple[AbstractAugmentation | AbstractMixing, ...]
    solver: Any
    key: Key[Array, ""]
    batch_size: int = eqx.field(static=True)
    schedule: Schedule = eqx.field(static=True)
    streamed: bool = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(static=True)


class Segment(eqx.Module):
    """What a stretch of training steps is over: a chunk of the data, and its place.

    `examples` of the data are real; `first` is the step of the epoch that begins with them; `before` counts the steps of all
    earlier epochs.
    """

    data: SpikeDataset
    epoch: Int[Array, ""]
    chunk: Int[Array, ""]
    examples: Int[Array, ""]
    first: Int[Array, ""]
    before: Int[Array, ""]


def training_program(static: Spec) -> Program:
    """Training steps from `carry.position` up to `stop`, or up to the first that is not finite.

    The order of the examples is drawn from the key and the epoch's number, so that any segment of an epoch can be run
    by itself. A step that is not finite changes neither parameters nor optimiser. With several devices each computes its
    part of the batch, and then the same update as all others.
    """
    return Program(on_every_device(static.mesh, functools.partial(_train, static)), donated=True, mesh=static.mesh)


def _train(static: Spec, carry: Carry, constants: Spec, segment: Segment, stop: Int[Array, ""]) -> Carry:
    spec = eqx.combine(constants, static)
    step = training_step(spec, segment)

    def more(carry: Carry) -> Array:
        return (carry.position < stop) & (carry.failed < 0)

    return jax.lax.while_loop(more, lambda carry: step(carry, spec.model, spec.solver), carry)


def training_step(spec: Spec, segment: Segment) -> Callable[[Carry, PyTree, AbstractSolver], Carry]:
    """A training step, from a carry to the next: a batch is gathered, the solver moves the parameters.

    The step takes the model without its trained arrays, and the solver: an ensemble's members each have their own.
    """
    data, size, mesh = segment.data, spec.batch_size, spec.mesh
    n = len(data)
    batches = -(-n // size)
    key_epoch = jax.random.fold_in(spec.key, segment.epoch)
    if spec.streamed:
        key_epoch = jax.random.fold_in(key_epoch, segment.chunk)
    key_order, key_steps = jax.random.split(key_epoch)
    order = jax.random.permutation(key_order, n)
    # There may be room for more examples than there are: those that are not real go behind all others.
    order = order[jnp.argsort(order >= segment.examples, stable=True)]
    order = jnp.pad(order, (0, batches * size - n))
    augment = Augment(spec.augment, data, segment.examples)
    key_solver = jax.random.fold_in(key_epoch, SOLVER)

    def batch_loss(
        params: PyTree, rest: PyTree, batch: SpikeDataset, others: PyTree, keys: Array, weights: Array, count: Array
    ) -> tuple:
        losses, scores, _ = score_batch(eqx.combine(params, rest), spec.loss, batch, keys, spec.schedule, others=others)
        total = jnp.sum(jnp.where(weights > 0, losses, 0.0))
        right = jnp.sum(_right(scores, batch.targets) * weights)
        return total / count, (total, right)

    def step(carry: Carry, rest: PyTree, solver: AbstractSolver) -> Carry:
        place = carry.position - segment.first
        first = place * size
        index = jax.lax.dynamic_slice_in_dim(order, first, size)
        weights = (first + jnp.arange(size) < segment.examples).astype(jnp.float32)
        keys = jax.random.split(jax.random.fold_in(key_steps, place), size)
        mine, real = my_rows(mesh, size)
        count = jnp.sum(weights)
        batch, others = augment.batch(index[mine], keys[mine])
        given = (rest, batch, others, keys[mine], weights[mine] * real, count)

        # SEAM `fit(gradient=...)`: an object from (model, batch, loss) to (value, gradients) takes the place of this
        # `jax.value_and_grad`. What it gives are sums over this device's rows, which `summed` adds up as it does here.
        def value_and_grad(params: PyTree) -> PyTree:
            return summed(mesh, jax.value_and_grad(batch_loss, has_aux=True)(params, *given))

        def values(population: PyTree) -> PyTree:
            return summed(mesh, jax.vmap(lambda params: batch_loss(params, *given))(population))

        found = solver.step(
            carry.params,
            carry.opt_state,
            Objective(value_and_grad, values),
            key=jax.random.fold_in(key_solver, place),
        )
        # SEAM statistics over a batch: `score_batch` names its batch axis, what layers want to remember comes back through
        # `found.aux` beside `total` and `right`, and here it moves running numbers: `Frozen` leaves of `rest`, which
        # are then part of the carry, so that a step that is not finite leaves them as they are.
        total, right = found.aux
        new = Carry(
            found.params,
            found.state,
            carry.position + 1,
            Totals(carry.totals.loss + total, carry.totals.correct + right, carry.totals.examples + count),
            carry.failed,
        )
        old = eqx.tree_at(lambda c: c.failed, carry, segment.before + carry.position)
        return jax.tree.map(lambda n, o: jnp.where(found.finite & jnp.isfinite(found.value), n, o), new, old)

    return step


def _right(scores: Float[Array, "batch classes"] | None, targets: Array) -> Float[Array, "batch"]:
    if scores is None:
        return jnp.full(targets.shape[0], jnp.nan)
    return (jnp.argmax(scores, axis=-1) == targets).astype(jnp.float32)
