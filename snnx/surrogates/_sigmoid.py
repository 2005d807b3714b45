import equinox as eqx
import jax
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class Sigmoid(AbstractSurrogate):
    r"""The logistic function's derivative; area 1, peak $\beta / 4$.

    $$ \frac{\partial s}{\partial x} := \beta \, \sigma(\beta x) \, \sigma(-\beta x), \qquad
       \sigma(-\beta x) = 1 - \sigma(\beta x) $$

    Written with $\sigma(-\beta x)$ because $1 - \sigma$ rounds to zero on one side, and $e^{-\beta x}$ overflows on the
    other.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 4 is SpikingJelly's, where this is the default
      surrogate of every neuron; snnTorch has 25.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Wu, Deng, Li, Zhu & Shi, Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural
    Networks, Frontiers in Neuroscience 12 (2018), their $h_3$ with $a_3 = 1 / \beta$.
    """

    slope: Parameter = eqx.field(default=4.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)


class Tanh(AbstractSurrogate):
    r"""The hyperbolic tangent's derivative, with peak 1 at every slope.

    $$ \frac{\partial s}{\partial x} := 4 \, \sigma(2 k x) \, \sigma(-2 k x) = 1 - \tanh^2(k x) $$

    No chain-rule factor $k$, as in Spyx and Norse; the area under it is $2 / k$. It is `Sigmoid(2 k)` times $2 / k$.

    **Arguments:**
    - `slope`: $k$, in units of 1 / membrane.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0.

    Source: Woźniak, Pantazi, Bohnstingl & Eleftheriou, Deep learning incorporating biologically inspired neural
    dynamics and in-memory computing, Nature Machine Intelligence 2 (2020); the slope is that of Spyx and Norse.
    """

    slope: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        twice = 2 * like(self.slope, x) * x
        return 4 * jax.nn.sigmoid(twice) * jax.nn.sigmoid(-twice)
