import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class Triangular(AbstractSurrogate):
    r"""A triangle of a given height, zero where $|x| \ge 1 / \beta$.

    $$ \frac{\partial s}{\partial x} := \gamma \max(0, 1 - \beta |x|) $$

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `height`: $\gamma$, the peak. The default of 1 is Esser et al.'s; Bellec et al. (2018, 2020) dampen deep
      recurrences with 0.3.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` or `height` is a number <= 0.

    Source: Esser et al., Convolutional networks for fast, energy-efficient neuromorphic computing, PNAS 113 (2016);
    Bellec, Salaj, Subramoney, Legenstein & Maass, Long short-term memory and learning-to-learn in networks of spiking
    neurons, NeurIPS (2018).
    """

    slope: Parameter = eqx.field(default=1.0, converter=parameter)
    height: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope", "height")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return like(self.height, x) * jnp.maximum(0, 1 - like(self.slope, x) * jnp.abs(x))


class PiecewiseQuadratic(AbstractSurrogate):
    r"""A triangle of area 1: the derivative of a step that is smoothed by two parabolas.

    $$ \frac{\partial s}{\partial x} := \alpha \max(0, 1 - \alpha |x|) $$

    It is `Triangular(slope=alpha, height=alpha)`, so that annealing one number keeps the area.

    **Arguments:**
    - `slope`: $\alpha$, in units of 1 / membrane.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Esser et al. (2016), see `Triangular`; Wu et al. (2018), their $h_2$ with $\sqrt{a_2} / 2 = \alpha$;
    name and scaling are SpikingJelly's.
    """

    slope: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jnp.maximum(0, 1 - slope * jnp.abs(x))
