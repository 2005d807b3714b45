"""The compiled programs: many training steps as one, and the scoring of a whole data set as one."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from snnx.cells import Keep, spiking_paths
from snnx.data import SpikeDataset
from snnx.losses import AbstractLoss
from snnx.reductions import Mean
from snnx.simulation import chunk_size, simulate
from snnx.solvers import AbstractSolver, Evolution, Objective
from snnx.train._augment import Augment
from snnx.train._devices import gathered, my_rows, on_every_device, summed
from snnx.train._programs import Compilation, Program
from snnx.train._state import Totals

SOLVER = 2**32 - 1  # tells the keys of the solver from those of the steps, which are folded in by number


def first_state(solver: AbstractSolver, params: PyTree, key: Key[Array, ""]) -> tuple[PyTree, Compilation]:
    """The solver's state before the first step, and what compiling it took.

    A strategy's state comes from a program of ours, because evosax compiles its own anew for each strategy object.
    """
    if not isinstance(solver, Evolution):
        return solver.init(params, key=key), Compilation()
    program = Program(lambda params, key: solver.init(params, key=key))
    return program(params, key), program.compilation


class Schedule(NamedTuple):
    """How `simulate` cuts time."""

    chunk: int | None
    keep: Keep | None
    truncate: int | None


class Moving(eqx.Module):
    """What a training step changes: donated to the program, and given back; of an ensemble with a leading axis."""

    params: PyTree
    opt_state: PyTree
    position: Int[Array, "*members"]
    totals: Totals
    failed: Int[Array, "*members"]  # the position of the first step that was not finite, or -1


class Fixed(eqx.Module):
    """What it does not: the arrays that are not trained, those of loss, augmentations and solver, and the key."""

    rest: PyTree
    loss: PyTree
    augment: PyTree
    solver: PyTree
    key: Key[Array, ""]


class Part(eqx.Module):
    """What a stretch of training steps is over: a chunk of the data, and where it stands in which epoch.

    `examples` of the data are real; `first` is the step of the epoch that begins with them.
    """

    data: SpikeDataset
    epoch: Int[Array, ""]
    chunk: Int[Array, ""]
    examples: Int[Array, ""]
    first: Int[Array, ""]


class Plan(NamedTuple):
    """What is no array: it is read while the program is traced."""

    model: PyTree
    loss: PyTree
    augment: PyTree
    solver: PyTree
    batch_size: int
    schedule: Schedule
    mesh: Mesh | None
    streamed: bool


def _examples(
    model: PyTree,
    loss: AbstractLoss,
    batch: SpikeDataset,
    keys: Array,
    schedule: Schedule,
    rates_of: tuple[str, ...] = (),
    others: tuple[PyTree, Array] | None = None,
) -> tuple[Array, Array | None, dict[str, Array]]:
    """Loss, class scores and mean rates (at the paths asked for) of every example. The only vmap over examples.

    **Arguments:** `others`: targets that every example has besides its own, and the share of its own in the loss.
    """
    wanted = {path: r if isinstance(r, tuple) else (r,) for path, r in loss.taps(model).items()}
    record = {
        path: wanted.get(path, ()) + ((Mean(),) if path in rates_of else ())
        for path in dict.fromkeys((*wanted, *rates_of))
    }

    def one(example: SpikeDataset, key: Array, others: tuple[PyTree, Array] | None) -> tuple:
        reduced, _, seen = simulate(
            model,
            example.inputs,  # pyright: ignore[reportArgumentType]  # what a table gives is no table
            key=key,
            mask=example.mask,
            readout=loss.readout,
            record=record,
            **schedule._asdict(),
        )
        asked = {
            path: seen[path][: len(given)] if isinstance(loss.taps(model)[path], tuple) else seen[path][0]
            for path, given in wanted.items()
        }
        rates = {path: jnp.mean(seen[path][-1]) for path in rates_of}
        value = loss(reduced, example.targets, record=asked)
        if others is not None:
            target, share = others
            value = share * value + (1.0 - share) * loss(reduced, target, record=asked)
        return value, loss.scores(reduced), rates

    return jax.vmap(one)(batch, keys, others)


def _right(scores: Float[Array, "batch classes"] | None, targets: Array) -> Float[Array, "batch"]:
    if scores is None:
        return jnp.full(targets.shape[0], jnp.nan)
    return (jnp.argmax(scores, axis=-1) == targets).astype(jnp.float32)


def train_program(plan: Plan) -> Program:
    """Training steps from `moving.position` up to `stop`, or up to the first that is not finite.

    The order of the examples is drawn from the key and the epoch's number, so that any segment of an epoch can be run
    by itself. A step that is not finite changes neither parameters nor optimiser. With several devices each computes its
    part of the batch, and then the same update as all others.
    """
    run = functools.partial(_train_steps, plan)
    return Program(on_every_device(plan.mesh, run), donated=True, mesh=plan.mesh)


def _train_steps(plan: Plan, moving: Moving, fixed: Fixed, part: Part, stop: Int[Array, ""]) -> Moving:
    step = stepper(plan, fixed, part)
    solver = eqx.combine(fixed.solver, plan.solver)

    def more(moving: Moving) -> Array:
        return (moving.position < stop) & (moving.failed < 0)

    return jax.lax.while_loop(more, lambda moving: step(moving, fixed.rest, solver), moving)


def stepper(plan: Plan, fixed: Fixed, part: Part) -> Callable[[Moving, PyTree, AbstractSolver], Moving]:
    """One training step, of a model whose other arrays are given, by a solver."""
    n, size = len(part.data), plan.batch_size
    batches = -(-n // size)
    key_epoch = jax.random.fold_in(fixed.key, part.epoch)
    if plan.streamed:
        key_epoch = jax.random.fold_in(key_epoch, part.chunk)
    key_order, key_steps = jax.random.split(key_epoch)
    order = jax.random.permutation(key_order, n)
    # There may be room for more examples than there are: those stand behind.
    order = order[jnp.argsort(order >= part.examples, stable=True)]
    order = jnp.pad(order, (0, batches * size - n))
    loss = eqx.combine(fixed.loss, plan.loss)
    augment = Augment(eqx.combine(fixed.augment, plan.augment), part.data, part.examples)
    key_solver = jax.random.fold_in(key_epoch, SOLVER)

    def batch_loss(
        params: PyTree, rest: PyTree, batch: SpikeDataset, others: PyTree, keys: Array, weights: Array, count: Array
    ) -> tuple:
        model = eqx.combine(params, rest, plan.model)
        losses, scores, _ = _examples(model, loss, batch, keys, plan.schedule, others=others)
        total = jnp.sum(jnp.where(weights > 0, losses, 0.0))
        right = jnp.sum(_right(scores, batch.targets) * weights)
        return total / count, (total, right)

    def step(moving: Moving, rest: PyTree, solver: AbstractSolver) -> Moving:
        place = moving.position - part.first
        first = place * size
        index = jax.lax.dynamic_slice_in_dim(order, first, size)
        weights = (first + jnp.arange(size) < part.examples).astype(jnp.float32)
        keys = jax.random.split(jax.random.fold_in(key_steps, place), size)
        mine, real = my_rows(plan.mesh, size)
        count = jnp.sum(weights)
        batch, others = augment.batch(index[mine], keys[mine])
        given = (rest, batch, others, keys[mine], weights[mine] * real, count)

        def value_and_grad(params: PyTree) -> PyTree:
            return summed(plan.mesh, jax.value_and_grad(batch_loss, has_aux=True)(params, *given))

        def values(population: PyTree) -> PyTree:
            return summed(plan.mesh, jax.vmap(lambda params: batch_loss(params, *given))(population))

        found = solver.step(
            moving.params,
            moving.opt_state,
            Objective(value_and_grad, values),
            key=jax.random.fold_in(key_solver, place),
        )
        total, right = found.aux
        new = Moving(
            found.params,
            found.state,
            moving.position + 1,
            Totals(moving.totals.loss + total, moving.totals.correct + right, moving.totals.examples + count),
            moving.failed,
        )
        old = eqx.tree_at(lambda m: m.failed, moving, moving.position)
        return jax.tree.map(lambda n, o: jnp.where(found.finite & jnp.isfinite(found.value), n, o), new, old)

    return step


class Scores(eqx.Module):
    """Per example: loss, the likeliest class, and the mean rate of every spiking part by its path."""

    losses: Float[Array, "n"]
    predictions: Int[Array, "n"] | None
    rates: dict[str, Float[Array, "n"]]


def score_program(model: PyTree, loss: PyTree, batch_size: int, chunk: int | None, mesh: Mesh | None) -> Program:
    """Score every example of a data set once, of models and losses of whom all that is no array is given.

    A scan over batches, the last of them padded and its padding cut off again.
    """

    def run(model_arrays: PyTree, loss_arrays: PyTree, data: SpikeDataset, key: Array) -> Scores:
        whole, whole_loss = eqx.combine(model_arrays, model), eqx.combine(loss_arrays, loss)
        size = chunk_size(whole, data.num_steps, chunk, batch=batch_size, where="evaluate")
        schedule = Schedule(size, "all", None)
        return score_examples(whole, whole_loss, data, key, batch_size=batch_size, schedule=schedule, mesh=mesh)

    return Program(on_every_device(mesh, run), mesh=mesh)


def score_examples(
    model: PyTree,
    loss: AbstractLoss,
    data: SpikeDataset,
    key: Key[Array, ""],
    *,
    batch_size: int,
    schedule: Schedule,
    mesh: Mesh | None,
) -> Scores:
    """The scores of every example that there is room for, as a part of a program."""
    n = len(data)
    batches = -(-n // batch_size)
    index = jnp.pad(jnp.arange(n), (0, batches * batch_size - n)).reshape(batches, batch_size)
    mine, _ = my_rows(mesh, batch_size)

    def batch(number: Array, index: Array) -> tuple[Array, PyTree]:
        keys = jax.random.split(jax.random.fold_in(key, number), batch_size)
        batch = data.take(index[mine])
        losses, scores, rates = _examples(model, loss, batch, keys[mine], schedule, spiking_paths(model))
        predictions = None if scores is None else jnp.argmax(scores, axis=-1)
        return number + 1, Scores(losses, predictions, rates)

    found = gathered(mesh, jax.lax.scan(batch, jnp.zeros((), jnp.int32), index)[1], batch_size)
    return jax.tree.map(lambda x: x.reshape(-1)[:n], found)
