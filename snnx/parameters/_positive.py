import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters._check import check_number, check_positive, check_range
from snnx.parameters._parameter import AbstractParameter, as_float_array, at_least_float32

_LIMIT = 40.0


class Positive(AbstractParameter):
    r"""A learned parameter that is positive whatever an optimiser or an evolution strategy does to its leaf.

    $$ p = a + \exp\left(L \tanh(\rho / L)\right), \quad L = 40 $$

    The raw leaf $\rho$ is the logarithm of the value, bent so softly that nobody notices between 1e-4 and 1e4, and so
    that no real number over- or underflows: $p - a$ stays in $[e^{-40}, e^{40}]$. Steps of an optimiser are therefore
    relative: the same learning rate suits a time constant of 20 steps and one of 0.02 seconds.

    **Arguments:**
    - `value`: the initial value, a number or an array of any shape; more than `above` by 1e-17 to 1e17.
    - `above`: $a$, what it stays above, 0 by default; `dt` for a time constant of forward Euler.

    **Raises:** `ValueError` if a value is not in that range (arrays under `jit` cannot be looked at).
    """

    raw: Float[Array, "..."]
    above: float = eqx.field(static=True)

    def __init__(self, value: "float | Float[Array, '...']", above: float = 0.0):
        array = as_float_array("Positive", "value", value)
        check_positive("Positive", "value", array)
        if isinstance(above, bool) or not isinstance(above, (int, float)) or not 0 <= above < math.inf:
            raise ValueError(f"Positive: above is {above!r}, expected a number >= 0.")
        # Near the limits of p the leaf would be infinite.
        check_range("Positive", "value", array, above + 1e-17, above + 1e17)
        wide = at_least_float32(array)
        self.raw = (_LIMIT * jnp.arctanh(jnp.log(wide - above if above else wide) / _LIMIT)).astype(array.dtype)
        self.above = float(above)

    def value(self) -> Float[Array, "..."]:
        free = jnp.exp(_LIMIT * jnp.tanh(at_least_float32(self.raw) / _LIMIT))
        return self.above + free if self.above else free


class Bounded(AbstractParameter):
    r"""A learned parameter that stays between two bounds whatever happens to its leaf.

    $$ p = \text{low} + (\text{high} - \text{low})\, \sigma(\rho) $$

    **Arguments:**
    - `value`: the initial value, a number or an array of any shape, strictly between the bounds.
    - `low`, `high`: the bounds, finite numbers.

    **Raises:** `ValueError` if the bounds are out of order or not finite, or a value is not between them.
    """

    raw: Float[Array, "..."]
    low: float
    high: float

    def __init__(self, value: "float | Float[Array, '...']", low: float, high: float):
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"Bounded: low is {low} and high is {high}; expected two finite numbers, low < high.")
        array = as_float_array("Bounded", "value", value)
        check_number("Bounded", "value", array)
        check_range("Bounded", "value", array, low, high)
        wide = at_least_float32(array)
        self.raw = (jnp.log(wide - low) - jnp.log(high - wide)).astype(array.dtype)
        self.low, self.high = float(low), float(high)

    def value(self) -> Float[Array, "..."]:
        # Measured from the nearer bound, so that rounding does not lead past the other.
        raw, width = at_least_float32(self.raw), self.high - self.low
        return jnp.where(raw < 0, self.low + width * jax.nn.sigmoid(raw), self.high - width * jax.nn.sigmoid(-raw))
