"""Gaussian tails: the normal density, and a sum of three."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.parameters import NotNegativeParameter, PositiveParameter
from snnx.surrogates._surrogate import AbstractSurrogate, like


@checked
class Gaussian(AbstractSurrogate):
    r"""The normal density, area 1.

    $$ \frac{\partial s}{\partial x} := \mathcal{N}(x; 0, \sigma^2)
       = \frac{1}{\sqrt{2 \pi} \, \sigma} e^{-x^2 / (2 \sigma^2)} $$

    **Arguments:**
    - `sigma`: $\sigma$, in units of the membrane. The default of 0.5 is that of Sinabs, and of `MultiGaussian`.

    Source: Wu, Deng, Li, Zhu & Shi, Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural
    Networks, Frontiers in Neuroscience 12 (2018), their $h_4$ with $a_4 = \sigma^2$.
    """

    sigma: PositiveParameter = 0.5

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return _normal(x, like(self.sigma, x))


@checked
class MultiGaussian(AbstractSurrogate):
    r"""A Gaussian with two wide, shallow ones subtracted: slightly negative far from the threshold.

    $$ \frac{\partial s}{\partial x} := (1 + h) \, \mathcal{N}(x; 0, \sigma^2)
       - h \, \mathcal{N}(x; \sigma, (c \sigma)^2) - h \, \mathcal{N}(x; -\sigma, (c \sigma)^2) $$

    The area under it is $1 - h$. The authors' code multiplies this by a further 0.5, their equation does not.

    **Arguments:**
    - `sigma`: $\sigma$, in units of the membrane.
    - `height`: $h$, the weight of the negative parts; 0 gives `Gaussian`.
    - `spread`: $c$, how much wider than the centre the negative parts are (the paper's $s$).

    Source: Yin, Corradi & Bohté, Accurate and efficient time-domain classification with adaptive spiking recurrent
    neural networks, Nature Machine Intelligence 3 (2021).
    """

    sigma: PositiveParameter = 0.5
    height: NotNegativeParameter = 0.15
    spread: PositiveParameter = 6.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        sigma, height = like(self.sigma, x), like(self.height, x)
        wide = like(self.spread, x) * sigma
        return (1 + height) * _normal(x, sigma) - height * (_normal(x - sigma, wide) + _normal(x + sigma, wide))


def _normal(x: Array, sigma: Array) -> Array:
    return jnp.exp(-((x / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)
