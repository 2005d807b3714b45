import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class SuperSpike(AbstractSurrogate):
    r"""The fast sigmoid's derivative, with peak 1 at every slope.

    $$ \frac{\partial s}{\partial x} := \frac{1}{(1 + \beta |x|)^2} $$

    The area under it is $2 / \beta$: a steeper slope also passes less gradient. snnTorch calls it
    `fast_sigmoid`. `SoftSign` is the same curve scaled to area 1.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 25 is that of snnTorch and Spyx, for a threshold of 1;
      the paper has 1 / mV. Zenke & Vogels, Neural Computation 33 (2021), study what it changes.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Zenke & Ganguli, SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks,
    Neural Computation 30 (2018).
    """

    slope: Parameter = eqx.field(default=25.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return 1 / (1 + like(self.slope, x) * jnp.abs(x)) ** 2


class SoftSign(AbstractSurrogate):
    r"""The fast sigmoid's derivative, scaled to area 1.

    $$ \frac{\partial s}{\partial x} := \frac{\beta / 2}{(1 + \beta |x|)^2} $$

    The exact derivative of $\frac12 (1 + \frac{\beta x}{1 + \beta |x|})$. `SuperSpike` is the same curve with peak 1.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 2 is SpikingJelly's.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: the curve is Zenke & Ganguli's (2018); the scaling is that of SpikingJelly, Fang et al., Science Advances 9
    (2023).
    """

    slope: Parameter = eqx.field(default=2.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope / 2 / (1 + slope * jnp.abs(x)) ** 2


class SparseFastSigmoid(AbstractSurrogate):
    r"""`SuperSpike` inside a band around the threshold, and exactly zero outside of it.

    $$ \frac{\partial s}{\partial x} := \frac{1}{(1 + \beta |x|)^2} \text{ if } |x| \le w, \text{ else } 0 $$

    Neurons outside the band take no part in the backward pass.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `width`: $w$, the half-width of the band, in units of the membrane.

    The defaults are those of snnTorch's `SFS`, whose code, however, passes the gradient where $x > w$ only.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` or `width` is a number <= 0.

    Source: Perez-Nieves & Goodman, Sparse Spiking Gradient Descent, NeurIPS (2021).
    """

    slope: Parameter = eqx.field(default=25.0, converter=parameter)
    width: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope", "width")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        distance = jnp.abs(x)
        return jnp.where(distance <= like(self.width, x), 1 / (1 + like(self.slope, x) * distance) ** 2, 0)


FastSigmoid = SuperSpike  # the name that snnTorch and others give to the same curve and slope
