from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx.parameters import Parameter
from snnx.surrogates._base import AbstractSurrogate, check_numbers, like, parameter


class StochasticEscape(AbstractSurrogate):
    r"""Escape noise: a spike is drawn with a probability that rises with the membrane.

    $$ s \sim \text{Bernoulli}(\sigma(\beta x)), \qquad
       \frac{\partial s}{\partial x} := \beta \, \sigma(\beta x) \, \sigma(-\beta x) $$

    The derivative is that of the spike's expectation, and equals `Sigmoid`'s. A membrane at its threshold fires every
    second time. The same key gives the same draw: split it over steps and examples.

    **Arguments:**
    - `slope`: $\beta$, in units of 1 / membrane; noise with a spread of about $1 / \beta$ on the threshold.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `ValueError` if `slope` is a number <= 0, or if it is called without `key`.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 5.3; Jang, Simeone, Gardner & Grüning, An Introduction
    to Probabilistic Spiking Neural Networks, IEEE Signal Processing Magazine 36 (2019).
    """

    needs_key: ClassVar[bool] = True

    slope: Parameter = eqx.field(default=4.0, converter=parameter)

    def __check_init__(self):
        check_numbers(self, "slope")

    def fire(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*shape"]:
        # At least float32: a uniform draw in bfloat16 has 128 values, too few for a small probability.
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        probability = jax.nn.sigmoid(like(self.slope, wide) * wide)
        drawn = jax.random.bernoulli(key, probability)  # pyright: ignore[reportArgumentType]  (never None: needs_key)
        return drawn.astype(x.dtype)

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        slope = like(self.slope, x)
        return slope * jax.nn.sigmoid(slope * x) * jax.nn.sigmoid(-slope * x)
