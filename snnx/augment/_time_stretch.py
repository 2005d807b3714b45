import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_positive
from snnx.augment._layout import unfolded
from snnx.augment._steps import move_steps
from snnx.inputs import AbstractInputs


class TimeStretch(AbstractAugmentation):
    r"""Time runs slower or faster by a random factor; no event is made or lost, but for those that move behind the end.

    $$ x'_u = \sum_{t : \lfloor f t \rfloor = u} x_t, \quad u < T, \quad f \sim U[\texttt{low}, \texttt{high}] $$

    A factor above 1 leaves silent steps in between, one below 1 adds up steps. The factor is a multiple of $2^{-b}$, with
    the largest $b$ for which $f t$ is exact in whole numbers of 32 bits (1000 steps, up to twice as long: $b = 19$).

    With `low >= 1` every layout stays. Below, up to $\lceil 1 / \texttt{low} \rceil$ steps end in one: bits become counts,
    counts become floats, and lists of active channels grow by that factor. Events stay events. A constant becomes dense.

    **Arguments:**
    - `low`, `high`: the smallest and the largest factor, > 0.

    **Raises:** `ValueError` if a factor is not positive, or `low` is above `high`; when called, if the input has so many
    steps that `low` is no more than a multiple of $2^{-b}$.

    Source: Nowotny, Turner & Knight, Loss Shaping Enhances Exact Gradient Learning With Eventprop in Spiking Neural Networks,
    Neuromorphic Computing and Engineering (2025): "dilation" of the times of events.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    def __check_init__(self):
        check_positive("TimeStretch", "low", self.low)
        check_positive("TimeStretch", "high", self.high)
        if self.low > self.high:
            raise ValueError(f"TimeStretch: low is {self.low}, but high is {self.high}; expected low <= high.")

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(inputs.num_steps, key))

    def _range(self, steps: int) -> tuple[int, int, int]:
        """The smallest and the largest factor as multiples of 2^-bits, and bits."""
        bits = 30 - math.ceil(steps * self.high).bit_length()
        low, high = (round(math.ldexp(factor, bits)) for factor in (self.low, self.high))
        if low < 1:
            raise ValueError(
                f"TimeStretch: low is {self.low}, which is too small beside {steps} steps and high, {self.high}; expected at"
                f" least {math.ldexp(1.0, -bits):g}."
            )
        return low, high, bits

    def _draw(self, steps: int, key: Key[Array, ""]) -> Int[Array, ""]:
        read_key("TimeStretch", "key", key)
        low, high, _ = self._range(steps)
        return jax.random.randint(key, (), low, high + 1)

    def _apply(self, inputs: AbstractInputs, factor: Int[Array, ""]) -> AbstractInputs:
        low, _, bits = self._range(inputs.num_steps)

        def within(steps: int) -> int:
            return -(-(steps << bits) // low)  # so many t have f t in an interval of this length

        target = (jnp.arange(inputs.num_steps) * factor) >> bits
        return move_steps(unfolded("TimeStretch", inputs), target, within(1), within)
