import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._readers import check_float
from snnx.cells import AbstractCell, Shape
from snnx.parameters import Parameter, check_number, check_parameter_shape, value


class GaussianNoiseState(eqx.Module):
    """The state of a `GaussianNoise`: how many steps it has taken."""

    step: Int[Array, ""]


class GaussianNoise(AbstractCell):
    r"""Adds fresh Gaussian noise at every time step; silent in inference mode.

    $$ y_t = x_t + \sigma\, \xi_t, \qquad \xi_t \sim N(0, 1) \text{, drawn with the key } \text{fold\_in}(k, t) $$

    with $k$ the sequence's key and $t$ the number of steps taken, which the state counts: the noise is the same
    however time is cut, goes on where a sequence is continued from its state, and does not count masked steps. (A
    `eqx.nn.Dropout`, which keeps no state, draws one mask for the whole sequence.)

    **Arguments:**
    - `std`: $\sigma \geq 0$; a number is constant, an array (a scalar, or per feature) is learned.
    - `inference`: whether to be silent; switched by `eqx.nn.inference_mode(model)`.

    **Returns** (`__call__`): the noisy input, `*shape`, in its dtype, and the new `GaussianNoiseState`.

    **Raises:** `ValueError` for a `std` < 0, and at a step without key, unless in inference mode or with `std=0`;
    `DtypeError` for an input that is no float.
    """

    std: Parameter
    inference: bool = False

    def __check_init__(self):
        check_number("GaussianNoise", "std", self.std)
        if isinstance(self.std, (int, float)) and self.std < 0:
            raise ValueError(f"GaussianNoise: std must not be negative, got {self.std:g}.")

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
