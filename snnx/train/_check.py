"""What is refused before anything is compiled: model, data and loss that do not fit together."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe
from snnx.cells import AbstractCell, refused_parameters, walk
from snnx.data import SpikeDataset
from snnx.losses import AbstractLoss
from snnx.simulation import simulate


def check_task(where: str, model: PyTree, data: SpikeDataset, loss: AbstractLoss, batch_size: int) -> None:
    """Refuse what does not fit together, before anything is compiled: model and data, loss and targets."""
    if not isinstance(model, AbstractCell):
        hint = "pass result.model" if hasattr(model, "model") else "wrap callables: snnx.Sequential([...])"
        raise TypeError(f"{where}: model is {describe(model)}; expected a cell: {hint}.")
    if not isinstance(data, SpikeDataset):
        raise TypeError(
            f"{where}: data is {type(data).__name__}; expected a SpikeDataset, e.g. snnx.data.from_spikes(...)."
        )
    if not isinstance(loss, AbstractLoss):
        raise TypeError(f"{where}: loss is {loss!r}; expected an object such as snnx.CrossEntropy(snnx.Mean()).")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"{where}: batch_size is {batch_size!r}, expected a whole number >= 1.")
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
    """A membrane that is no number never fires: nothing would be seen of it."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if eqx.is_inexact_array(leaf) and not bool(jnp.isfinite(leaf).all()):
            raise ValueError(f"{where}: model{jax.tree_util.keystr(path)} holds values that are not finite.")
    refused = refused_parameters(model)
    if refused:
        raise ValueError(f"{where}: the model has parameters that no cell could be made with. {refused}")


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
