"""Plain callables inside containers: at one step, over a stretch of time, and as a shape.

A linear layer is one product for all steps of a stretch. On a CPU a convolution is one, too, and a maximum comparisons.
"""

import functools
import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx.cells import saveable
from snnx.inputs import AbstractInputs, ActiveChannels
from snnx.parameters import AbstractParameter

_Kind = TypeVar("_Kind", bound=type)
_WITH_WEIGHTS: list[type] = [eqx.nn.Linear, eqx.nn.Conv]


def has_weights(layer: PyTree) -> bool:
    """Whether a layer is a product with its `weight: [out, in, *kernel]`, plus its `bias`, which may be None.

    Such a layer gets new weights from `he` and its kind, its outputs are kept with `keep="membranes"`, and as the feedback
    of a `Recurrent` it has its gradient as one product. A class of one's own says so by a class attribute,
    `has_weights: ClassVar[bool] = True`; somebody else's is registered, see `register_weights`.
    """
    return getattr(type(layer), "has_weights", False) is True or isinstance(layer, tuple(_WITH_WEIGHTS))


@checked
def register_weights(kind: _Kind) -> _Kind:
    """Make somebody else's class known as a layer with weights, in its own place as a decorator or in yours as a call.

    ```python
    snnx.layers.register_weights(theirs.Dense)
    ```

    Its objects need `weight: [out, in, *kernel]`, with `in` that of one group, and `bias: [out, ...]` or None.

    **Raises:** `ValueError` for a class that is registered already.
    """
    if kind in _WITH_WEIGHTS:
        raise ValueError(f"register_weights: kind is {kind.__name__}, which is registered already.")
    _WITH_WEIGHTS.append(kind)
    return kind


# By exact type: what follows stands in for the class's own call, and a subclass may do something else.
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
        return saveable(_with_bias(layer, xs[0].product(layer.weight.T)))
    if _is_plain_linear(layer):
        _check_linear(layer, *(jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in xs))
        return saveable(_affine(layer, *xs))
    ys = jax.vmap(lambda *x: apply_step(layer, *x, key=key))(*xs)
    return saveable(ys) if has_weights(layer) or isinstance(layer, eqx.nn.ConvTranspose) else ys


def shape_and_dtype(x: "jax.ShapeDtypeStruct | Array") -> jax.ShapeDtypeStruct:
    """The shape and dtype of a result alone."""
    return jax.ShapeDtypeStruct(x.shape, jnp.result_type(x))


# Convolutions and maxima on a CPU.
#
# The same numbers as Equinox's, several times faster: inside a loop XLA's CPU convolution, and the backward pass of its
# windowed maximum, run far below what a product of the same size does. Training 34x34x2-C12-P2-C32-P2-10 (5 x 5 kernels,
# T=64, B=8, 2 cores) takes 926 ms a step as they are, about 190 so. Closed, and by exact type: this stands in for their call.

LARGEST_KERNEL = 49  # places under a kernel: the columns are that many times as large as the input
LARGEST_WINDOW = 16
CONVOLUTIONS = (eqx.nn.Conv1d, eqx.nn.Conv2d, eqx.nn.Conv3d)
POOLS = (eqx.nn.MaxPool1d, eqx.nn.MaxPool2d, eqx.nn.MaxPool3d)


def unrolls(layer: PyTree, x: Array) -> bool:
    """Whether `unrolled` does what the layer does, and faster; where not, the layer is called, also to refuse its input."""
    if type(layer) not in (*CONVOLUTIONS, *POOLS) or jax.default_backend() != "cpu":
        return False
    if isinstance(layer.padding, str) or x.ndim != layer.num_spatial_dims + 1:
        return False
    padded = [n + low + high for n, (low, high) in zip(x.shape[1:], layer.padding, strict=True)]
    if type(layer) in POOLS:
        plain = not layer.use_ceil and padded == list(x.shape[1:])
        return plain and math.prod(layer.kernel_size) <= LARGEST_WINDOW and _fits(padded, layer.kernel_size)
    reach = [d * (k - 1) + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    plain = layer.groups == 1 and layer.padding_mode == "ZEROS" and x.dtype == layer.weight.dtype
    fits = x.shape[0] == layer.in_channels and _fits(padded, reach)
    return plain and fits and 1 < math.prod(layer.kernel_size) <= LARGEST_KERNEL


def _fits(sizes: Sequence[int], reach: Sequence[int]) -> bool:
    return all(n >= r for n, r in zip(sizes, reach, strict=True))


def unrolled(layer: PyTree, x: Array) -> Array:
    """What the layer gives for one step `[channels, *spatial]`."""
    return _convolved(layer, x) if type(layer) in CONVOLUTIONS else _pooled(layer, x)


def _convolved(layer: eqx.nn.Conv, x: Array) -> Array:
    # Its columns are, for each place of the output, all inputs under the kernel (im2col), so that one product does the rest.
    # The channels come last meanwhile: slices then copy stretches of memory rather than single numbers.
    margins: Any = ((0, 0), *layer.padding)
    x = jnp.pad(x, margins) if any(map(any, margins)) else x
    places = _places(jnp.moveaxis(x, 0, -1), 0, layer.kernel_size, layer.stride, layer.dilation)
    columns = jnp.concatenate(list(places), axis=-1)
    weight = jnp.moveaxis(layer.weight, (0, 1), (-1, -2)).reshape(-1, layer.out_channels)
    ys = jnp.moveaxis((columns.reshape(-1, len(weight)) @ weight).reshape(*columns.shape[:-1], -1), -1, 0)
    return ys if layer.bias is None else ys + layer.bias


def _pooled(layer: eqx.nn.Pool, x: Array) -> Array:
    def larger(best: Array, new: Array) -> Array:
        # The first of equals, as the windowed maximum has it: it alone gets the gradient. NaN stays NaN.
        return jnp.where((best >= new) | jnp.isnan(best), best, new)

    return functools.reduce(larger, _places(x, 1, layer.kernel_size, layer.stride, (1,) * layer.num_spatial_dims))


def _places(
    x: Array, axis: int, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> Iterator[Array]:
    """For each place under a kernel the values of `x` that come to lie there; `axis` is the first of the spatial ones."""
    for place in itertools.product(*map(range, kernel)):
        cut = [slice(None)] * axis
        for size, k, s, d, at in zip(x.shape[axis:], kernel, stride, dilation, place, strict=False):
            count = (size - d * (k - 1) - 1) // s + 1
            cut.append(slice(at * d, at * d + s * (count - 1) + 1, s))
        yield x[tuple(cut)]
