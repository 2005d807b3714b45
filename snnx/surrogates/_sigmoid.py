"""Exponential tails: the derivatives of the logistic function and of tanh, and $e^{-|x|}$."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx.parameters import PositiveParameter
from snnx.surrogates._surrogate import AbstractSurrogate, like


@checked
class Sigmoid(AbstractSurrogate):
    r"""The logistic function's derivative; area 1, peak $\beta / 4$.

    $$ \frac{\partial s}{\partial x} := \beta \, \sigma(\beta x) \, \sigma(-\beta x), \qquad
       \sigma(-\beta x) = 1 - \sigma(\beta x) $$

    Written with $\sigma(-\beta x)$ because $1 - \sigma$ rounds to zero on one side, and $e^{-\beta x}$ overflows on the
    other.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane. The default of 4 is SpikingJelly's, where this is the default
      surrogate of every neuron; snnTorch has 25.

    Source: Wu, Deng, Li, Zhu & Shi, Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural
    Networks, Frontiers in Neuroscience 12 (2018), their $h_3$ with $a_3 = 1 / \beta$.
    """

    slope: PositiveParameter = 4.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)


@checked
class Tanh(AbstractSurrogate):
    r"""The hyperbolic tangent's derivative, with peak 1 at every slope.

    $$ \frac{\partial s}{\partial x} := 4 \, \sigma(2 k x) \, \sigma(-2 k x) = 1 - \tanh^2(k x) $$

    No chain-rule factor $k$, as in Spyx and Norse; the area under it is $2 / k$. It is `Sigmoid(2 k)` times $2 / k$.

    **Arguments:**
    - `slope`: $k$, in units of 1 / membrane.

    Source: Woźniak, Pantazi, Bohnstingl & Eleftheriou, Deep learning incorporating biologically inspired neural
    dynamics and in-memory computing, Nature Machine Intelligence 2 (2020); the slope is that of Spyx and Norse.
    """

    slope: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        twice = 2 * like(self.slope, x) * x
        return 4 * jax.nn.sigmoid(twice) * jax.nn.sigmoid(-twice)


@checked
class StochasticEscape(AbstractSurrogate):
    r"""Escape noise: a spike is drawn with a probability that rises with the membrane.

    $$ s \sim \text{Bernoulli}(\sigma(\beta x)), \qquad
       \frac{\partial s}{\partial x} := \beta \, \sigma(\beta x) \, \sigma(-\beta x) $$

    The derivative is that of the spike's expectation, and equals `Sigmoid`'s. A membrane at its threshold fires every
    second time. The same key gives the same draw: split it over steps and examples.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane; noise with a spread of about $1 / \beta$ on the threshold.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 5.3; Jang, Simeone, Gardner & Grüning, An Introduction
    to Probabilistic Spiking Neural Networks, IEEE Signal Processing Magazine 36 (2019).
    """

    needs_key: ClassVar[bool] = True

    slope: PositiveParameter = 4.0

    def fire(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*shape"]:
        # At least float32: a uniform draw in bfloat16 has 128 values, too few for a small probability.
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        probability = jax.nn.sigmoid(like(self.slope, wide) * wide)
        drawn = jax.random.bernoulli(key, probability)  # pyright: ignore[reportArgumentType]  (never None: needs_key)
        return drawn.astype(x.dtype)

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)


@checked
class SlayerExponential(AbstractSurrogate):
    r"""A two-sided exponential: SLAYER's probability density of a change of the spike's state.

    $$ \frac{\partial s}{\partial x} := \alpha \, e^{-\beta |x|} $$

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane.
    - `height`: $\alpha$, the peak; $\beta / 2$ makes the area 1.

    The defaults are those of the authors' code (`tauRho = scaleRho = 1`) at a threshold of 1.

    Source: Shrestha & Orchard, SLAYER: Spike Layer Error Reassignment in Time, NeurIPS (2018).
    """

    slope: PositiveParameter = 1.0
    height: PositiveParameter = 1.0

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return like(self.height, x) * jnp.exp(-like(self.slope, x) * jnp.abs(x))
