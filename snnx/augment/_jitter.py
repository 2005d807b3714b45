"""Every event moves by a random number of its own."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._checks import checked
from snnx._typing import NotNegative
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._channels import shifted
from snnx.augment._layout import (
    Grid,
    Layout,
    bounds,
    channels_of,
    events_of,
    from_grid,
    grid,
    in_order,
    known_layout,
    places,
)
from snnx.inputs import AbstractInputs, ActiveChannels, Counts, EventList

SIGMAS = 4.0  # where the normal ends: 6e-5 of it lie beyond


@checked
class Jitter(AbstractAugmentation):
    r"""Every event moves by a random number of steps, and of channels; those that leave are gone.

    $$ t' = t + \text{round}(\sigma_t n), \quad c' = c + \text{round}(\sigma_c m), \quad n, m \sim \mathcal{N}(0, 1)
    \text{ truncated to } [-4, 4] $$

    independently for each event, also for those that share a bin. The normal is truncated so that the longest way is known.
    Of an image rows and columns move, the last two axes, each by a number of its own. Currents move bin by bin.

    Events stay events, sorted anew. Lists of active channels stay lists if time does not move, else they become events. Bits
    become counts, counts floats unless a byte holds for certain what may meet in a bin, and a constant becomes dense; on
    these every bin draws its numbers, whether there is an event in it or not, counts as many times as the fullest bin has
    events: events are the layout to jitter.

    **Arguments:**
    - `steps`: the standard deviation $\sigma_t$, in steps.
    - `channels`: the standard deviation $\sigma_c$, in channels or pixels.

    Source: Nowotny, Turner & Knight, Loss Shaping Enhances Exact Gradient Learning With Eventprop in Spiking Neural Networks,
    Neuromorphic Computing and Engineering (2025), for channels; the jitter of times is common practice.
    """

    steps: NotNegative = eqx.field(static=True)
    channels: NotNegative = eqx.field(static=True, default=0.0)

    @checked
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        layout = known_layout(inputs)
        if isinstance(layout, ActiveChannels):
            if self.steps == 0:
                moves = self._draw(layout.channels.shape, layout.sample_shape, key)
                moved = shifted(layout.sample_shape, layout.channels.astype(jnp.int32), moves[1:])
                return ActiveChannels(moved.astype(layout.channels.dtype), layout.sample_shape)
            layout = events_of(layout)
        if isinstance(layout, EventList):
            return self._events(layout, self._draw(layout.steps.shape, layout.sample_shape, key))
        return self._grid(layout, key)

    def _draw(
        self, shape: tuple[int, ...], sample_shape: tuple[int, ...], key: Key[Array, ""]
    ) -> tuple[Int[Array, "..."], ...]:
        """By how much each moves in time, and along the last one or two axes of a step."""
        deviations = (self.steps, *(self.channels for _ in sample_shape[-2:]))
        keys = jax.random.split(key, len(deviations))
        return tuple(_rounded_normal(k, sigma, shape) for k, sigma in zip(keys, deviations, strict=True))

    def _moved(
        self, layout: Layout, moves: tuple[Int[Array, "..."], ...]
    ) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
        """New steps and channels; a step is `num_steps` where the event is gone."""
        steps, channels = places(layout)
        there = (steps < layout.num_steps) & (channels < channels_of(layout))
        moved = steps + moves[0]
        channels = shifted(layout.sample_shape, jnp.broadcast_to(channels, moves[0].shape), moves[1:])
        inside = there & (moved >= 0) & (moved < layout.num_steps) & (channels < channels_of(layout))
        return jnp.where(inside, moved, layout.num_steps), channels

    def _events(self, events: EventList, moves: tuple[Int[Array, "events"], ...]) -> EventList:
        steps, channels = self._moved(events, moves)
        way = 2 * _longest_way(self.steps)
        busiest = bounds(events, lambda window: window + way)
        return in_order(events, steps, channels, steps < events.num_steps, busiest)

    def _grid(self, layout: Grid, key: Key[Array, ""]) -> AbstractInputs:
        axes = len(layout.sample_shape[-2:])
        ways = (2 * _longest_way(self.steps) + 1) * (2 * _longest_way(self.channels) + 1) ** axes
        values = grid(layout, ways)

        def add(total: Array, some: Array, key: Key[Array, ""]) -> Array:
            steps, channels = self._moved(layout, self._draw(some.shape, layout.sample_shape, key))
            return total.at[steps, channels].add(some, mode="drop")

        zeros = jnp.zeros_like(values)
        if not isinstance(layout, Counts):
            return from_grid(add(zeros, values, key), layout.sample_shape)

        def one_each(k: Array, total: Array) -> Array:
            return add(total, (values > k).astype(values.dtype), jax.random.fold_in(key, k))

        most = layout.values.max().astype(jnp.int32)
        return from_grid(jax.lax.fori_loop(0, most, one_each, zeros), layout.sample_shape)


def _longest_way(sigma: float) -> int:
    return math.floor(SIGMAS * sigma + 0.5)


def _rounded_normal(key: Key[Array, ""], sigma: float, shape: tuple[int, ...]) -> Int[Array, "..."]:
    if sigma == 0:
        return jnp.zeros(shape, jnp.int32)
    longest = _longest_way(sigma)
    moves = jnp.round(sigma * jax.random.truncated_normal(key, -SIGMAS, SIGMAS, shape, jnp.float32)).astype(jnp.int32)
    return jnp.clip(moves, -longest, longest)  # single precision may end a step further out
