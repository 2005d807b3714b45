"""What acts on each element alone: a factor, a threshold, noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._readers import check_float
from snnx.cells import AbstractCell, Shape
from snnx.parameters import NotNegativeParameter, Parameter, check_parameter_shape, value
from snnx.surrogates import AbstractSurrogate, ATan


@checked
class Scale(eqx.Module):
    r"""Multiplies each element by a factor: $y = x \odot s$.

    **Arguments:** `scale`: a number, or an array (learned), scalar or of the shape of one step.
    **Raises:** `ShapeError` where the two do not have one shape.
    """

    scale: Parameter

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return x * _fitting("Scale", "scale", self.scale, x)


@checked
class Threshold(eqx.Module):
    r"""A spike wherever the input is above a threshold: $y = H(x - \vartheta)$. It has no memory.

    **Arguments:**
    - `threshold`: $\vartheta$; a number, or an array (learned), scalar or of the shape of one step.
    - `surrogate`: the step and its pseudo derivative.

    **Raises:** `ShapeError` where the two do not have one shape.
    """

    threshold: Parameter = 1.0
    surrogate: AbstractSurrogate = ATan()

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


class GaussianNoiseState(eqx.Module):
    """The state of a `GaussianNoise`: how many steps it has taken."""

    step: Int[Array, ""]


@checked
class GaussianNoise(AbstractCell):
    r"""Adds fresh Gaussian noise at every time step; silent in inference mode.

    $$ y_t = x_t + \sigma\, \xi_t, \qquad \xi_t \sim N(0, 1) \text{, drawn with the key } \text{fold\_in}(k, t) $$

    with $k$ the sequence's key and $t$ the number of steps taken, which the state counts: the noise is the same
    however time is cut, goes on where a sequence is continued from its state, and does not count masked steps. (A
    `eqx.nn.Dropout`, which keeps no state, draws one mask for the whole sequence.)

    **Arguments:**
    - `std`: $\sigma \geq 0$; a number is constant, an array (a scalar, or per feature) is learned.
    - `inference`: whether to be silent; switched by `eqx.nn.inference_mode(model)`.

    **Returns** (`__call__`): the noisy input, in its dtype, and the new `GaussianNoiseState`.

    **Raises:** `ValueError` at a step without key, unless in inference mode or with `std=0`.
    """

    std: NotNegativeParameter
    inference: bool = False

    @checked
    def init_state(self, shape: Shape) -> GaussianNoiseState:
        check_parameter_shape("GaussianNoise", "std", self.std, shape)
        return GaussianNoiseState(step=jnp.zeros((), jnp.int32))

    def __call__(
        self, x: Float[Array, "*shape"], state: GaussianNoiseState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "*shape"], GaussianNoiseState]:
        check_float("GaussianNoise", "x", x)
        new = GaussianNoiseState(step=state.step + 1)
        std = value(self.std)
        if self.inference or (isinstance(std, (int, float)) and std == 0):
            return x, new
        if key is None:
            raise ValueError(
                "GaussianNoise: is random and needs a key: pass key=jax.random.key(...), or switch it off with"
                " eqx.nn.inference_mode(model)."
            )
        noise = jax.random.normal(jax.random.fold_in(key, state.step), x.shape, x.dtype)
        return x + (std * noise).astype(x.dtype), new
