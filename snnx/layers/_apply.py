"""Plain callables inside containers: at one step, over a stretch of time, and as a shape."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from snnx._errors import ShapeError, describe
from snnx.cells import mark_kept
from snnx.inputs import AbstractInputs, ActiveChannels
from snnx.layers._unrolled import unrolled, unrolls
from snnx.parameters import AbstractParameter


def _is_plain_linear(layer: PyTree) -> bool:
    return type(layer) is eqx.nn.Linear and layer.in_features != "scalar" and layer.out_features != "scalar"


def _affine(layer: eqx.nn.Linear, xs: Array) -> Array:
    # x @ W.T rather than W @ x: under vmap the latter becomes a product with transposed output, 1.6 times slower.
    return _with_bias(layer, xs @ layer.weight.T)


def _with_bias(layer: eqx.nn.Linear, ys: Array) -> Array:
    return ys if layer.bias is None else ys + layer.bias.reshape((1,) * (ys.ndim - 1) + (-1,))


def _check_linear(layer: eqx.nn.Linear, x: "Array | jax.ShapeDtypeStruct") -> None:
    if layer.weight.ndim != 2:
        raise ShapeError(
            f"has weights {describe(layer.weight)}: a stack of models? eqx.filter_vmap runs them side by side"
        )
    if x.shape != (layer.in_features,):
        hint = "one example has no batch axis, jax.vmap adds one; feature maps need snnx.Flatten() before a Linear"
        if len(x.shape) == 0:
            hint = "one example is [time, *features], and a single step goes into the cell itself: model(x, state)"
        wrong = f"takes one step of shape ({layer.in_features},), got {tuple(x.shape)}"
        raise ShapeError(wrong if len(x.shape) == 1 else f"{wrong}; {hint}")


def _read(layer: PyTree) -> PyTree:
    """The layer with the values of its parameters: `Frozen` weights, or constrained ones."""

    def is_parameter(node: PyTree) -> bool:
        return isinstance(node, AbstractParameter)

    if not any(map(is_parameter, jax.tree.leaves(layer, is_leaf=is_parameter))):
        return layer
    return jax.tree.map(lambda node: node.value() if is_parameter(node) else node, layer, is_leaf=is_parameter)


def takes_key(layer: PyTree) -> bool:
    """Whether a callable has an argument `key`."""
    try:
        names = inspect.signature(layer).parameters
    except ValueError:  # some built-in callables have no signature; none of them takes a key
        return False
    return "key" in names


def _draws(part: PyTree) -> bool:
    return (
        isinstance(part, eqx.nn.Dropout)
        and not part.inference
        and not (isinstance(part.p, (int, float)) and part.p == 0)
    )


def check_key(layer: PyTree, key: Key[Array, ""] | None) -> None:
    """Refuse a dropout, or a layer that holds one, that would need a key and got none."""
    if key is None and any(map(_draws, jax.tree.leaves(layer, is_leaf=_draws))):
        raise ValueError(
            "is random and needs a key: pass key=jax.random.key(...), or switch it off with"
            " eqx.nn.inference_mode(model)"
        )


def apply_step(layer: PyTree, *xs: Array, key: Key[Array, ""] | None = None) -> Array:
    """A plain callable at one time step."""
    layer = _read(layer)
    if _is_plain_linear(layer):
        _check_linear(layer, *xs)
        return _affine(layer, *xs)
    if len(xs) == 1 and unrolls(layer, xs[0]):
        return unrolled(layer, xs[0])
    check_key(layer, key)
    return layer(*xs, key=key) if takes_key(layer) else layer(*xs)


def takes_as_it_is(layer: PyTree, xs: AbstractInputs) -> bool:
    """Whether `apply_stretch` makes better use of this compact layout than of the dense array."""
    return isinstance(xs, ActiveChannels) and _is_plain_linear(layer) and xs.sample_shape == (layer.in_features,)


def apply_stretch(layer: PyTree, *xs: Any, key: Key[Array, ""] | None = None) -> Array:
    """A plain callable at every step of a stretch of time, at once; the key is the same at every step."""
    layer = _read(layer)
    if isinstance(xs[0], ActiveChannels):
        return mark_kept(_with_bias(layer, xs[0].product(layer.weight.T)))
    if _is_plain_linear(layer):
        _check_linear(layer, *(jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in xs))
        return mark_kept(_affine(layer, *xs))
    ys = jax.vmap(lambda *x: apply_step(layer, *x, key=key))(*xs)
    return mark_kept(ys) if isinstance(layer, (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose)) else ys


def check_part(where: str, name: str, part: PyTree) -> None:
    """Refuse what cannot be a part of a container."""
    if isinstance(part, eqx.nn.StatefulLayer) and part.is_stateful():
        raise TypeError(
            f"{where}: part {name} ({type(part).__name__}) keeps a hidden state (eqx.nn.State), which does not travel"
            " with a cell's state; use snnx.layers.ThresholdNorm, eqx.nn.LayerNorm or eqx.nn.GroupNorm."
        )
    if isinstance(part, (eqx.nn.GRUCell, eqx.nn.LSTMCell)):
        raise TypeError(
            f"{where}: part {name} ({type(part).__name__}) is a recurrent cell of Equinox, with another contract; wrap"
            " it in a snnx.AbstractCell with init_state and __call__(x, state)."
        )
    if isinstance(part, type):
        raise TypeError(f"{where}: part {name} is the class {part.__name__}; expected an object: {part.__name__}(...).")
    if not callable(part):
        raise TypeError(f"{where}: part {name} is {describe(part)}; expected a cell or a callable.")


def unit(x: "jax.ShapeDtypeStruct | Array") -> jax.ShapeDtypeStruct:
    """Shape and dtype alone."""
    return jax.ShapeDtypeStruct(x.shape, jnp.result_type(x))
