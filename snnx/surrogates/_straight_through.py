import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class StraightThrough(AbstractSurrogate):
    r"""The gradient passes as if the spike were the membrane.

    $$ \frac{\partial s}{\partial x} := 1 $$

    **Returns** (`derivative`): ones, in the shape and dtype of `x`.

    Source: Bengio, Léonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation, arXiv 1308.3432 (2013).
    """

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.ones_like(x)


class LeakyGradient(AbstractSurrogate):
    r"""One constant where the neuron fires, a smaller one where it does not: a leaky ReLU's gradient.

    $$ \frac{\partial s}{\partial x} := a \text{ if } x > 0, \text{ else } b $$

    **Arguments:**
    - `below`: $b$, where the neuron stays silent. 0 is allowed.
    - `above`: $a$, where it fires.

    The defaults are those that snnTorch documents for its leaky spike operator, `LSO`.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `above` is a number <= 0, or `below` a number < 0.

    Source: Eshraghian et al., Training Spiking Neural Networks Using Lessons From Deep Learning, Proceedings of the
    IEEE 111 (2023); SpikingJelly's `LeakyKReLU`.
    """

    below: Parameter = eqx.field(default=0.1, converter=parameter)
    above: Parameter = eqx.field(default=1.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "below", zero=True)
        check_numbers(self, "above")

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.where(x > 0, like(self.above, x), like(self.below, x))
