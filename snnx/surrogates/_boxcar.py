import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class Boxcar(AbstractSurrogate):
    r"""A rectangular window around the threshold.

    $$ \frac{\partial s}{\partial x} := h \text{ if } |x| < w / 2, \text{ else } 0 $$

    **Arguments:**
    - `width`: $w$, the whole width, in units of the membrane.
    - `height`: $h$. Wu et al. take $1 / w$, which makes the area 1, and $w = 1$: the defaults.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `width` or `height` is a number <= 0.

    Source: Wu, Deng, Li, Zhu & Shi, Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural
    Networks, Frontiers in Neuroscience 12 (2018), their $h_1$ with $a_1 = w$.
    """

    width: Parameter = eqx.field(default=1.0, converter=parameter)
    height: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "width", "height")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.where(jnp.abs(x) < like(self.width, x) / 2, like(self.height, x), 0)
