"""Layers without state that act on each element alone."""

import equinox as eqx
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe
from snnx.parameters import Parameter, check_number, value
from snnx.surrogates import AbstractSurrogate, ATan


class Scale(eqx.Module):
    r"""Multiplies each element by a factor: $y = x \odot s$.

    **Arguments:** `scale`: a number, or an array (learned), scalar or of the shape of one step.
    **Raises:** `ShapeError` where the two do not have one shape.
    """

    scale: Parameter

    def __check_init__(self):
        check_number("Scale", "scale", self.scale)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x * _fitting("Scale", "scale", self.scale, x)


class Threshold(eqx.Module):
    r"""A spike wherever the input is above a threshold: $y = H(x - \vartheta)$. It has no memory.

    **Arguments:**
    - `threshold`: $\vartheta$; a number, or an array (learned), scalar or of the shape of one step.
    - `surrogate`: the step and its pseudo derivative.

    **Raises:** `ShapeError` where the two do not have one shape.
    """

    threshold: Parameter = 1.0
    surrogate: AbstractSurrogate = ATan()

    def __check_init__(self):
        check_number("Threshold", "threshold", self.threshold)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.surrogate(x - _fitting("Threshold", "threshold", self.threshold, x))


def _fitting(where: str, name: str, parameter: Parameter, x: Array) -> "float | Array":
    """A parameter's value, in the dtype of `x`."""
    number = value(parameter)
    if isinstance(number, (int, float)):
        return number
    if number.ndim and number.shape != x.shape:
        raise ShapeError(f"{where}: x is {describe(x)}, but {name} {describe(number)}; expected one shape for both.")
    return number.astype(x.dtype)
