"""Initial weights, as functions that give a new model: the one that comes in stays as it is."""

import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from snnx.parameters import at_least_float32

_Model = TypeVar("_Model")


def scaled_normal(model: _Model, *, key: Key[Array, ""], scale: float = 1.0) -> _Model:
    r"""Normal weights whose sum over all inputs keeps their variance: $W \sim N(0, \text{scale}^2 / n_\text{in})$.

    ```python
    model = snnx.scaled_normal(model, key=key, scale=0.5)
    ```

    **Arguments:**
    - `model`: an `eqx.nn.Linear` or `eqx.nn.Conv`, or any model that holds some: each gets new weights, and a bias of
        zeros if it has one.
    - `scale`: a factor on the standard deviation.

    `n_in` is the number of inputs of one unit: `in_features`, or `in_channels / groups * prod(kernel_size)`.

    **Returns:** a model of the same structure.
    **Raises:** `TypeError` where there is no such layer; `ValueError` for a `scale` that is not positive.

    Source: LeCun et al., Efficient BackProp (1998).
    """
    return _redraw("scaled_normal", model, key, lambda n_in, n_out: positive("scaled_normal", scale) / math.sqrt(n_in))


def he(model: _Model, *, key: Key[Array, ""], scale: float = 1.0) -> _Model:
    r"""He's normal weights: $W \sim N(0, 2\, \text{scale}^2 / n_\text{in})$.

    They keep the variance of a stack of rectified linear units; spiking layers, whose outputs are sparse, often need a
    `scale` above 1. `fluctuation_driven` works that out from the neurons.

    **Arguments**, **Returns**, **Raises:** as for `scaled_normal`.

    Source: He et al., Delving deep into rectifiers (ICCV 2015).
    """
    return _redraw("he", model, key, lambda n_in, n_out: positive("he", scale) * math.sqrt(2.0 / n_in))


def xavier(model: _Model, *, key: Key[Array, ""], scale: float = 1.0) -> _Model:
    r"""Glorot's normal weights: $W \sim N(0, 2\, \text{scale}^2 / (n_\text{in} + n_\text{out}))$.

    `n_out` is `out_features`, or `out_channels / groups * prod(kernel_size)`.

    **Arguments**, **Returns**, **Raises:** as for `scaled_normal`.

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks (AISTATS 2010).
    """
    return _redraw(
        "xavier", model, key, lambda n_in, n_out: positive("xavier", scale) * math.sqrt(2.0 / (n_in + n_out))
    )


def _redraw(where: str, model: _Model, key: Array, deviation: Callable[[int, int], float]) -> _Model:
    """New normal weights for every layer that has some."""
    count = itertools.count()

    def redraw(part: PyTree) -> PyTree:
        if not has_weights(part):
            return part
        return with_weights(part, deviation(*fans(part)) * draw(part, jax.random.fold_in(key, next(count))))

    new = jax.tree.map(redraw, model, is_leaf=has_weights)
    if next(count) == 0:
        raise TypeError(f"{where}: {type(model).__name__} holds no eqx.nn.Linear or eqx.nn.Conv.")
    return new


def positive(where: str, number: float, name: str = "scale") -> float:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not (math.isfinite(number) and number > 0):
        raise ValueError(f"{where}: {name} is {number!r}, expected a positive number.")
    return float(number)


def has_weights(part: PyTree) -> bool:
    return isinstance(part, (eqx.nn.Linear, eqx.nn.Conv))


def fans(layer: PyTree) -> tuple[int, int]:
    """How many inputs one unit has, and how many outputs one input."""
    place = math.prod(layer.weight.shape[2:])
    groups = getattr(layer, "groups", 1)
    return layer.weight.shape[1] * place, layer.weight.shape[0] // groups * place


def draw(layer: PyTree, key: Array) -> Array:
    return jax.random.normal(key, layer.weight.shape, at_least_float32(layer.weight).dtype)


def with_weights(layer: PyTree, weight: Array) -> PyTree:
    layer = eqx.tree_at(lambda part: part.weight, layer, weight.astype(layer.weight.dtype))
    return layer if layer.bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.zeros_like(layer.bias))
