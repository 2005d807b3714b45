"""What the trainers make of their arguments, and what is refused before anything is compiled."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe
from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.cells import AbstractCell, Keep, refused_parameters, walk
from snnx.data import AbstractStream, SpikeDataset, fingerprint
from snnx.losses import AbstractLoss
from snnx.parameters import check_params
from snnx.simulation import chunk_size, simulate
from snnx.solvers import AbstractSolver, GradientDescent
from snnx.surrogates import AbstractSurrogate
from snnx.train._scoring import Schedule

BATCH = 128  # examples of a training step by default


def like_of(data: SpikeDataset | AbstractStream) -> SpikeDataset:
    """Examples whose shapes, classes and time step are those of all."""
    return data.like if isinstance(data, AbstractStream) else data


def check_training(
    where: str,
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    loss: AbstractLoss,
    batch_size: int | None,
    validation: SpikeDataset | AbstractStream | None,
    augment: Sequence[AbstractAugmentation | AbstractMixing],
) -> int:
    """Refuse what does not fit together; returns the batch size."""
    like = like_of(data)
    size = min(BATCH, len(data)) if batch_size is None else batch_size
    check_task(where, model, like, loss)
    if size > len(data):
        raise ValueError(
            f"{where}: batch_size is {size}, but the data set has {len(data)} examples; take batch_size={len(data)} or less."
        )
    if validation is not None:
        shown = like_of(validation)
        for name in ("sample_shape", "classes", "dt"):
            ours, theirs = getattr(shown, name), getattr(like, name)
            if ours != theirs:
                raise ValueError(f"{where}: validation has {name} {ours}, but data has {theirs}; they must be alike.")
        check_task(f"{where}, validation", model, shown, loss)
    mixing = [type(step).__name__ for step in augment if isinstance(step, AbstractMixing)]
    if len(mixing) > 1:
        raise ValueError(
            f"{where}: augment has {len(mixing)} mixings; expected one at most: an example has one partner."
        )
    if any(isinstance(step, AbstractMixing) and step.same_class for step in augment) and like.classes is None:
        raise ValueError(
            f"{where}: augment has {mixing[0]}, whose partners are of the same class: data has no classes."
        )
    if mixing and like.mask is not None:
        raise ValueError(f"{where}: augment has {mixing[0]}, which cannot mix examples of data with a mask.")
    return size


def schedule_of(
    where: str,
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    batch_size: int,
    chunk: int | None,
    keep: Keep | None,
    truncate: int | None,
) -> Schedule:
    """How time is cut in training."""
    return Schedule(chunk_size(model, like_of(data).num_steps, chunk, truncate, batch_size, where), keep, truncate)


def settings_of(
    data: SpikeDataset | AbstractStream,
    loss: AbstractLoss,
    batch_size: int,
    validation: SpikeDataset | AbstractStream | None,
    augment: Sequence[Any],
    **others: Any,
) -> dict[str, Any]:
    """What a resumed training has to agree with."""
    return {
        **others,
        "batch_size": batch_size,
        "examples": len(data),
        "validation": 0 if validation is None else len(validation),
        "data": fingerprint(like_of(data)),
        "augment": " ".join(repr(list(augment)).split()),
        "loss": " ".join(repr(loss).split()),
    }


def divide(
    where: str, model: PyTree, trainable: Callable[[PyTree], PyTree], solver: AbstractSolver
) -> tuple[PyTree, PyTree]:
    """A model as the arrays that are trained, and the rest."""
    if isinstance(trainable, AbstractCell):
        raise TypeError(
            f"{where}: trainable is a {type(trainable).__name__}; expected a function from a model to a PyTree of bools, such"
            " as snnx.trainable itself."
        )
    params, rest = eqx.partition(model, trainable(model))
    check_params(where, params)
    if isinstance(solver, GradientDescent):
        _refuse_slopes(where, params)
    return params, rest


def _refuse_slopes(where: str, params: PyTree) -> None:
    """A slope's own gradient is zero by definition: refuse to train it rather than do nothing."""
    found = jax.tree_util.tree_leaves_with_path(params, is_leaf=lambda node: isinstance(node, AbstractSurrogate))
    for path, node in found:
        if isinstance(node, AbstractSurrogate) and jax.tree.leaves(node):
            raise ValueError(
                f"{where}: {jax.tree_util.keystr(path)} ({type(node).__name__}) has an array parameter, which gradient descent"
                " cannot train: its gradient through the spike is zero by definition. Give a number, or"
                " snnx.Frozen(array) to anneal it by hand."
            )


def check_task(where: str, model: PyTree, data: SpikeDataset, loss: AbstractLoss) -> None:
    """Refuse a model, data and a loss that do not fit together."""
    if not isinstance(model, AbstractCell):
        hint = "pass result.model" if hasattr(model, "model") else "wrap callables: snnx.Sequential([...])"
        raise TypeError(f"{where}: model is {describe(model)}; expected a cell: {hint}.")
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((model, data))):
        raise TypeError(
            f"{where}: runs a compiled program of its own and cannot be transformed; loop over the models, or transform"
            " snnx.simulate."
        )
    _check_parameters(where, model)
    for path, part in walk(model):
        dt = getattr(part, "dt", data.dt) if isinstance(part, AbstractCell) else data.dt
        if dt != data.dt:
            raise ValueError(
                f"{where}: data has dt={data.dt:g}, but part {path or 'model'} ({type(part).__name__}) has dt={dt:g};"
                f" give the neurons the time step of the data (snnx.with_dt(model, {data.dt:g}), their time constants"
                f" being in its unit), or the data that of the neurons (data.with_dt({dt:g}))."
            )
    outputs = jax.eval_shape(lambda *given: _outputs(model, *given), *_one_example(data))
    if data.num_classes is not None and outputs.shape[1:] != (data.num_classes,):
        raise ShapeError(
            f"{where}: one step of the model's output has shape {outputs.shape[1:]}, but the data set has"
            f" {data.num_classes} classes; expected one output a class."
        )
    loss.check_targets(np.asarray(data.targets), data.num_classes)
    _check_loss(where, model, data, loss)


def _check_parameters(where: str, model: AbstractCell) -> None:
    """A membrane that is not a number never fires, and nothing would show it."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if eqx.is_inexact_array(leaf) and not bool(jnp.isfinite(leaf).all()):
            raise ValueError(f"{where}: model{jax.tree_util.keystr(path)} holds values that are not finite.")
    refused = refused_parameters(model)
    if refused:
        raise ValueError(f"{where}: the model has parameters that no cell can be made with. {refused}")


def _check_loss(where: str, model: AbstractCell, data: SpikeDataset, loss: AbstractLoss) -> None:
    """A loss is one number for one example: of an array, the trainer's mean would be of something else."""

    def one(inputs: PyTree, key: Array, target: Array) -> Any:
        reduced, _, record = simulate(
            eqx.nn.inference_mode(model), inputs, key=key, readout=loss.readout, record=loss.taps(model)
        )
        return loss(reduced, target, record=record)

    target = jax.ShapeDtypeStruct(data.targets.shape[1:], data.targets.dtype)
    value = jax.eval_shape(one, *_one_example(data), target)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        came = describe(value) if hasattr(value, "dtype") else type(value).__name__
        raise ShapeError(
            f"{where}: loss ({type(loss).__name__}) gives {came} for one example; expected one float, e.g. the mean of"
            " what there is."
        )


def _one_example(data: SpikeDataset) -> tuple[PyTree, Any]:
    """Shapes and dtypes of one input, and of a key."""
    example = jax.eval_shape(lambda d: jax.tree.map(lambda x: x[0], d.take(jnp.zeros(1, jnp.int32))), data)
    return example.inputs, jax.eval_shape(lambda: jax.random.key(0))


def _outputs(model: AbstractCell, inputs: PyTree, key: Array) -> Array:
    return simulate(eqx.nn.inference_mode(model), inputs, key=key)[0]
