"""Some events stay, the others are gone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from snnx.augment._events import closed_up, unmoved
from snnx.augment._layout import Layout, channels_of, from_grid, grid, places
from snnx.inputs import ActiveChannels, Bits, Counts, EventList


def keep_where(
    inputs: Layout,
    kept: Callable[[Int[Array, "..."], Int[Array, "..."]], Bool[Array, "..."]],
) -> Layout:
    """The events for whose step and channel `kept` is true.

    Bits become counts, unless whole steps or whole channels go. Every other layout stays.

    **Arguments:** `kept`: of the steps and channels that `places` gives, element by element.
    """
    return _masked(inputs, kept(*places(inputs)))


def keep_each(inputs: Layout, probability: "float | Float[Array, '']", key: Key[Array, ""]) -> Layout:
    """Every event independently with this probability; of currents every bin. Bits become counts, every other layout stays.

    Of $n$ events in a bin a binomial number stays: the trial of event $k$ of all bins draws from `fold_in(key, k)`.
    """
    if not isinstance(inputs, Counts):
        steps, channels = places(inputs)
        shape = jnp.broadcast_shapes(steps.shape, channels.shape)
        return _masked(inputs, jax.random.uniform(key, shape, jnp.float32) < probability)

    def trial(k: Array, total: Array) -> Array:
        kept = jax.random.uniform(jax.random.fold_in(key, k), total.shape, jnp.float32) < probability
        return total + (kept & (inputs.values > k)).astype(total.dtype)

    # As many rounds as the fullest bin has events: mostly two to four.
    most = inputs.values.max().astype(jnp.int32)
    return Counts(jax.lax.fori_loop(0, most, trial, jnp.zeros_like(inputs.values)), inputs.sample_shape)


def _masked(inputs: Layout, kept: Bool[Array, "..."]) -> Layout:
    """`kept` has the axes of `places`, each as long or 1."""
    if isinstance(inputs, EventList):
        there = kept & (inputs.steps < inputs.num_steps)
        steps, channels = places(inputs)
        return closed_up(inputs, steps, channels, there, unmoved)
    if isinstance(inputs, ActiveChannels):
        none = jnp.asarray(channels_of(inputs), inputs.channels.dtype)
        return ActiveChannels(jnp.where(kept, inputs.channels, none), inputs.sample_shape)
    if isinstance(inputs, Bits) and kept.shape[1] == 1:
        return Bits(jnp.where(kept, inputs.packed, jnp.uint8(0)), inputs.sample_shape)
    if isinstance(inputs, Bits) and kept.shape[0] == 1:
        return Bits(inputs.packed & jnp.packbits(kept, axis=1, bitorder="little"), inputs.sample_shape)
    values = grid(inputs)  # to pack a mask of all bins would take ten times as long as to unpack the bits
    return from_grid(jnp.where(kept, values, jnp.zeros((), values.dtype)), inputs.sample_shape)
