import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class SlayerExponential(AbstractSurrogate):
    r"""A two-sided exponential: SLAYER's probability density of a change of the spike's state.

    $$ \frac{\partial s}{\partial x} := \alpha \, e^{-\beta |x|} $$

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `height`: $\alpha$, the peak; $\beta / 2$ makes the area 1.

    The defaults are those of the authors' code (`tauRho = scaleRho = 1`) at a threshold of 1.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` or `height` is a number <= 0.

    Source: Shrestha & Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS (2018).
    """

    slope: Parameter = eqx.field(default=1.0, converter=parameter)
    height: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope", "height")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return like(self.height, x) * jnp.exp(-like(self.slope, x) * jnp.abs(x))
