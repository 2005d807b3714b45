"""Polynomials in pieces: windows, triangles, and constants that reach all the way."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.parameters import NotNegativeParameter, PositiveParameter
from snnx.surrogates._surrogate import AbstractSurrogate, like


@checked
class Boxcar(AbstractSurrogate):
    r"""A rectangular window around the threshold.

    $$ \frac{\partial s}{\partial x} := h \text{ if } |x| < w / 2, \text{ else } 0 $$

    **Arguments:**
    - `width`: $w$, the whole width, in units of the membrane.
    - `height`: $h$. Wu et al. take $1 / w$, which makes the area 1, and $w = 1$: the defaults.

    Source: Wu, Deng, Li, Zhu & Shi, Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural
    Networks, Frontiers in Neuroscience 12 (2018), their $h_1$ with $a_1 = w$.
    """

    width: PositiveParameter = 1.0
    height: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.where(jnp.abs(x) < like(self.width, x) / 2, like(self.height, x), 0)


@checked
class Triangular(AbstractSurrogate):
    r"""A triangle of a given height, zero where $|x| \ge 1 / \beta$.

    $$ \frac{\partial s}{\partial x} := \gamma \max(0, 1 - \beta |x|) $$

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `height`: $\gamma$, the peak. The default of 1 is Esser et al.'s; Bellec et al. (2018, 2020) dampen deep
      recurrences with 0.3.

    Source: Esser et al., Convolutional networks for fast, energy-efficient neuromorphic computing, PNAS 113 (2016);
    Bellec, Salaj, Subramoney, Legenstein & Maass, Long short-term memory and learning-to-learn in networks of spiking
    neurons, NeurIPS (2018).
    """

    slope: PositiveParameter = 1.0
    height: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return like(self.height, x) * jnp.maximum(0, 1 - like(self.slope, x) * jnp.abs(x))


@checked
class PiecewiseQuadratic(AbstractSurrogate):
    r"""A triangle of area 1: the derivative of a step that is smoothed by two parabolas.

    $$ \frac{\partial s}{\partial x} := \alpha \max(0, 1 - \alpha |x|) $$

    It is `Triangular(slope=alpha, height=alpha)`, so that annealing one number keeps the area.

    **Arguments:**
    - `slope`: $\alpha$, in units of 1 / membrane.

    Source: Esser et al. (2016), see `Triangular`; Wu et al. (2018), their $h_2$ with $\sqrt{a_2} / 2 = \alpha$;
    name and scaling are SpikingJelly's.
    """

    slope: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jnp.maximum(0, 1 - slope * jnp.abs(x))


@checked
class StraightThrough(AbstractSurrogate):
    r"""The gradient passes as if the spike were the membrane.

    $$ \frac{\partial s}{\partial x} := 1 $$

    Source: Bengio, Léonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation, arXiv 1308.3432 (2013).
    """

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.ones_like(x)


@checked
class LeakyGradient(AbstractSurrogate):
    r"""One constant where the neuron fires, a smaller one where it does not: a leaky ReLU's gradient.

    $$ \frac{\partial s}{\partial x} := a \text{ if } x > 0, \text{ else } b $$

    **Arguments:**
    - `below`: $b$, where the neuron stays silent. 0 is allowed.
    - `above`: $a$, where it fires.

    The defaults are those that snnTorch documents for its leaky spike operator, `LSO`.

    Source: Eshraghian et al., Training Spiking Neural Networks Using Lessons From Deep Learning, Proceedings of the
    IEEE 111 (2023); SpikingJelly's `LeakyKReLU`.
    """

    below: NotNegativeParameter = 0.1
    above: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.where(x > 0, like(self.above, x), like(self.below, x))
