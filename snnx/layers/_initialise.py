"""Initial weights, as functions that give a new model: the one that comes in stays as it is."""

import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._typing import AboveZero
from snnx.layers._apply import has_weights
from snnx.parameters import at_least_float32

_Model = TypeVar("_Model")


@checked
def scaled_normal(model: _Model, *, key: Key[Array, ""], scale: AboveZero = 1.0) -> _Model:
    r"""Normal weights whose sum over all inputs keeps their variance: $W \sim N(0, \text{scale}^2 / n_\text{in})$.

    ```python
    model = snnx.scaled_normal(model, key=key, scale=0.5)
    ```

    **Arguments:**
    - `model`: an `eqx.nn.Linear` or `eqx.nn.Conv`, or any model that holds some: each gets new weights, and a bias of
        zeros if it has one. So does a layer of another class that says that it has weights, see `register_weights`.
    - `scale`: a factor on the standard deviation.

    `n_in` is the number of inputs of one output: `in_features`, or `in_channels / groups * prod(kernel_size)`.

    **Returns:** a model of the same structure.
    **Raises:** `TypeError` where there is no such layer.

    Source: LeCun et al., Efficient BackProp (1998).
    """
    return _redraw("scaled_normal", model, key, lambda n_in, n_out: scale / math.sqrt(n_in))


@checked
def he(model: _Model, *, key: Key[Array, ""], scale: AboveZero = 1.0) -> _Model:
    r"""He's normal weights: $W \sim N(0, 2\, \text{scale}^2 / n_\text{in})$.

    They keep the variance of a stack of rectified linear units; spiking layers, whose outputs are sparse, often need a
    `scale` above 1. `fluctuation_driven` works that out from the neurons.

    **Arguments**, **Returns**, **Raises:** as for `scaled_normal`.

    Source: He et al., Delving deep into rectifiers (ICCV 2015).
    """
    return _redraw("he", model, key, lambda n_in, n_out: scale * math.sqrt(2.0 / n_in))


@checked
def xavier(model: _Model, *, key: Key[Array, ""], scale: AboveZero = 1.0) -> _Model:
    r"""Glorot's normal weights: $W \sim N(0, 2\, \text{scale}^2 / (n_\text{in} + n_\text{out}))$.

    `n_out` is `out_features`, or `out_channels / groups * prod(kernel_size)`.

    **Arguments**, **Returns**, **Raises:** as for `scaled_normal`.

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks (AISTATS 2010).
    """
    return _redraw("xavier", model, key, lambda n_in, n_out: scale * math.sqrt(2.0 / (n_in + n_out)))


def _redraw(where: str, model: _Model, key: Array, deviation: Callable[[int, int], float]) -> _Model:
    """New normal weights for every layer that has some."""
    count = itertools.count()

    def redraw(part: PyTree) -> PyTree:
        if not has_weights(part):
            return part
        return with_weights(part, deviation(*fans(part)) * draw(part, jax.random.fold_in(key, next(count))))

    new = jax.tree.map(redraw, model, is_leaf=has_weights)
    if next(count) == 0:
        raise TypeError(
            f"{where}: model is {type(model).__name__}, which holds no layer with weights (eqx.nn.Linear, eqx.nn.Conv, or a"
            " class that is known to snnx.layers.register_weights)."
        )
    return new


def fans(layer: PyTree) -> tuple[int, int]:
    """How many inputs one output has, and how many outputs one input."""
    place = math.prod(layer.weight.shape[2:])
    groups = getattr(layer, "groups", 1)
    return layer.weight.shape[1] * place, layer.weight.shape[0] // groups * place


def draw(layer: PyTree, key: Array) -> Array:
    return jax.random.normal(key, layer.weight.shape, at_least_float32(layer.weight).dtype)


def with_weights(layer: PyTree, weight: Array) -> PyTree:
    """The layer with other weights, and a bias of zeros if it has one."""
    layer = eqx.tree_at(lambda part: part.weight, layer, weight.astype(layer.weight.dtype))
    bias = getattr(layer, "bias", None)
    return layer if bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.zeros_like(bias))
