"""Moves in time: all events by as much, slower or faster, or a window of them."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count, Natural
from snnx.augment._augmentation import AbstractDrawn
from snnx.augment._layout import (
    Layout,
    Window,
    check_window,
    closed_up,
    from_grid,
    from_rows,
    grid,
    keep_where,
    known_layout,
    rows,
    unmoved,
)
from snnx.inputs import AbstractInputs, ActiveChannels, EventList


@checked
class TimeShift(AbstractDrawn):
    r"""All events move by the same random number of steps; those that leave are gone.

    $$ x'_t = x_{t-d}, \quad x_t = 0 \text{ for } t \notin [0, T), \quad d \sim U\{-\texttt{most}, \dots, \texttt{most}\} $$

    Every layout stays, but a constant becomes dense.

    **Arguments:**
    - `most`: the largest shift, in steps.

    Source: common practice for sound and events.
    """

    most: Natural = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.randint(key, (), -self.most, self.most + 1)

    def _apply(self, inputs: AbstractInputs, move: Int[Array, ""]) -> AbstractInputs:
        return move_steps(known_layout(inputs), jnp.arange(inputs.num_steps) + move, 1, unmoved)


@checked
class TimeStretch(AbstractDrawn):
    r"""Time runs slower or faster by a random factor; no event is made or lost, but for those that move behind the end.

    $$ x'_u = \sum_{t : \lfloor f t \rfloor = u} x_t, \quad u < T, \quad f \sim U[\texttt{low}, \texttt{high}] $$

    A factor above 1 leaves silent steps in between, one below 1 adds up steps. The factor is a multiple of $2^{-b}$, with
    the largest $b$ for which $f t$ is exact in whole numbers of 32 bits (1000 steps, up to twice as long: $b = 19$).

    With `low >= 1` every layout stays. Below, up to $\lceil 1 / \texttt{low} \rceil$ steps end in one: bits become counts,
    counts become floats, and lists of active channels grow by that factor. Events stay events. A constant becomes dense.

    **Arguments:**
    - `low`, `high`: the smallest and the largest factor, > 0.

    **Raises:** `ValueError` if `low` is above `high`; when called, if the input has so many steps that `low` is less than
    $2^{-b}$.

    Source: Nowotny, Turner & Knight, Loss Shaping Enhances Exact Gradient Learning With Eventprop in Spiking Neural Networks,
    Neuromorphic Computing and Engineering (2025): "dilation" of the times of events.
    """

    low: AboveZero = eqx.field(static=True)
    high: AboveZero = eqx.field(static=True)

    def __check_init__(self):
        if self.low > self.high:
            raise ValueError(f"TimeStretch: low is {self.low}, but high is {self.high}; expected low <= high.")

    def _range(self, steps: int) -> tuple[int, int, int]:
        """The smallest and the largest factor as multiples of 2^-bits, and bits."""
        # steps * high * 2^bits stays below 2^30, so that every t * factor is a whole number of 32 bits.
        bits = 30 - math.ceil(steps * self.high).bit_length()
        low, high = (round(math.ldexp(factor, bits)) for factor in (self.low, self.high))
        if low < 1:
            raise ValueError(
                f"TimeStretch: low is {self.low}, which is too small beside {steps} steps and high, {self.high}; expected at"
                f" least {math.ldexp(1.0, -bits):g}."
            )
        return low, high, bits

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Int[Array, ""]:
        low, high, _ = self._range(inputs.num_steps)
        return jax.random.randint(key, (), low, high + 1)

    def _apply(self, inputs: AbstractInputs, factor: Int[Array, ""]) -> AbstractInputs:
        low, _, bits = self._range(inputs.num_steps)

        def within(steps: int) -> int:
            return -(-(steps << bits) // low)  # so many t have f t in an interval of this length

        target = (jnp.arange(inputs.num_steps) * factor) >> bits
        return move_steps(known_layout(inputs), target, within(1), within)


@checked
class TimeCrop(AbstractDrawn):
    r"""A random window of time stays where it is; before and behind it is silence.

    $$ x'_t = x_t \text{ for } s \le t < s + \texttt{steps}, \text{ else } 0, \quad s \sim U\{0, \dots, T - \texttt{steps}\} $$

    Every layout stays, but a constant becomes dense.

    **Arguments:**
    - `steps`: the length of the window.

    **Raises:** `ValueError`, when called, if the input has fewer steps.

    Source: common practice for sound and events; the complement of the time masks of Park et al., SpecAugment, Interspeech
    (2019).
    """

    steps: Count = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Int[Array, ""]:
        check_window("TimeCrop", "steps", self.steps, inputs.num_steps, "steps")
        return jax.random.randint(key, (), 0, inputs.num_steps - self.steps + 1)

    def _apply(self, inputs: AbstractInputs, start: Int[Array, ""]) -> AbstractInputs:
        def kept(steps: Array, _: Array) -> Array:
            return (steps >= start) & (steps < start + self.steps)

        return keep_where(known_layout(inputs), kept)


def move_steps(inputs: Layout, target: Int[Array, "time"], ways: int, within: Window) -> Layout:
    """The events of step `t` in step `target[t]`, or gone where there is no such step. A step that none reaches is silent.

    **Arguments:**
    - `target`: ascending, but for negative entries and those from `num_steps` on, which stand for gone.
    - `ways`: how many steps may end in the same one. With one, every layout stays; with more, bits become counts, counts
        floats unless a byte holds the sum for certain, and lists of active channels `ways` times as long.
    - `within`: see `bounds`.
    """
    steps = inputs.num_steps
    target = jnp.where((target >= 0) & (target < steps), target, steps)
    if isinstance(inputs, EventList):
        moved = target.at[inputs.steps].get(mode="fill", fill_value=steps)
        return closed_up(inputs, moved, inputs.channels.astype(jnp.int32), moved < steps, within)
    if ways > 1 and not isinstance(inputs, ActiveChannels):
        values = grid(inputs, ways)
        return from_grid(jnp.zeros_like(values).at[target].add(values, mode="drop"), inputs.sample_shape)
    # The steps that end in one are neighbours, since `target` ascends: the first of them, and the `ways - 1` behind it.
    values, silence = rows(inputs)
    first = jnp.full(steps, steps).at[target].min(jnp.arange(steps), mode="drop")
    source = first[:, None] + jnp.arange(ways)[None]
    arrived = target.at[source].get(mode="fill", fill_value=steps) == jnp.arange(steps)[:, None]
    taken = values.at[jnp.where(arrived, source, steps)].get(mode="fill", fill_value=silence)
    return from_rows(taken.reshape(steps, -1, *values.shape[2:]), inputs)
