"""All events of a channel move to another one."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Int

from snnx.augment._events import closed_up, unmoved
from snnx.augment._layout import channels_of, from_grid, grid, unfolded
from snnx.inputs import AbstractInputs, ActiveChannels, Constant, EventList


def shifted(
    sample_shape: tuple[int, ...], channels: Int[Array, "*places"], moves: tuple[Int[Array, "..."], ...]
) -> Int[Array, "*places"]:
    """Channels moved along the last axes of a step, by one number each or one for all: the number of channels where that
    leads outside, and where it is given."""
    count = math.prod(sample_shape)
    inside, moved, stride = channels < count, channels, 1
    for size, move in zip(reversed(sample_shape), reversed(moves), strict=False):
        place = channels // stride % size + move
        inside &= (place >= 0) & (place < size)
        moved += stride * move
        stride *= size
    return jnp.where(inside, moved, count)


def move_channels(where: str, inputs: AbstractInputs, target: Int[Array, "channels"], ways: int = 1) -> AbstractInputs:
    """The events of channel `c` in channel `target[c]`, or gone where that is the number of channels.

    **Arguments:** `ways`: how many channels may end in the same one. Bits become counts; with several ways, counts become
    floats unless a byte holds the sum for certain. Every other layout stays.
    """
    count = channels_of(inputs)
    if isinstance(inputs, Constant):
        return Constant(
            _moved(inputs.values.reshape(1, count), target, ways).reshape(inputs.sample_shape), inputs.num_steps
        )
    inputs = unfolded(where, inputs)
    if isinstance(inputs, ActiveChannels):
        moved = target.at[inputs.channels].get(mode="fill", fill_value=count)
        return ActiveChannels(moved.astype(inputs.channels.dtype), inputs.sample_shape)
    if isinstance(inputs, EventList):
        moved = target.at[inputs.channels].get(mode="fill", fill_value=count)
        kept = (moved < count) & (inputs.steps < inputs.num_steps)
        return closed_up(inputs, inputs.steps.astype(jnp.int32), moved, kept, unmoved)
    return from_grid(_moved(grid(inputs, ways), target, ways), inputs.sample_shape)


def _moved(values: Array, target: Int[Array, "channels"], ways: int) -> Array:
    if ways > 1:
        return jnp.zeros_like(values).at[:, target].add(values, mode="drop")
    count = target.shape[0]
    source = jnp.full(count, count).at[target].set(jnp.arange(count), mode="drop")
    return values.at[:, source].get(mode="fill", fill_value=0)
