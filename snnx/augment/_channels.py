"""All events of a channel move to another one."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._checks import checked
from snnx._typing import Natural
from snnx.augment._augmentation import AbstractDrawn
from snnx.augment._layout import channels_of, check_vector, closed_up, from_grid, grid, known_layout, unmoved
from snnx.inputs import AbstractInputs, ActiveChannels, Constant, EventList


@checked
class ChannelShift(AbstractDrawn):
    r"""All events move by the same random number of channels; those that leave are gone.

    $$ x'_{t,c} = x_{t,c-d}, \quad x_{t,c} = 0 \text{ for } c \notin [0, C), \quad
    d \sim U\{-\texttt{most}, \dots, \texttt{most}\} $$

    Bits become counts; every other layout stays.

    **Arguments:**
    - `most`: the largest shift, in channels.

    **Raises:** `ShapeError`, when called, for an image.

    Source: Nowotny, Turner & Knight, Loss Shaping Enhances Exact Gradient Learning With Eventprop in Spiking Neural Networks,
    Neuromorphic Computing and Engineering (2025), where 40 of the 700 channels did best on spoken digits.
    """

    most: Natural = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Int[Array, ""]:
        return jax.random.randint(key, (), -self.most, self.most + 1)

    def _apply(self, inputs: AbstractInputs, move: Int[Array, ""]) -> AbstractInputs:
        check_vector("ChannelShift", inputs, "Translate")
        return move_channels(inputs, shifted(inputs.sample_shape, jnp.arange(channels_of(inputs)), (move,)))


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


def move_channels(inputs: AbstractInputs, target: Int[Array, "channels"], ways: int = 1) -> AbstractInputs:
    """The events of channel `c` in channel `target[c]`, or gone where that is the number of channels.

    **Arguments:** `ways`: how many channels may end in the same one. Bits become counts; with several ways, counts become
    floats unless a byte holds the sum for certain. Every other layout stays.
    """
    count = channels_of(inputs)
    if isinstance(inputs, Constant):
        values = _moved(inputs.values.reshape(1, count), target, ways).reshape(inputs.sample_shape)
        return Constant(values, inputs.num_steps)
    inputs = known_layout(inputs)
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
    # One channel at most ends in each: a gather from where it comes from is cheaper than a scatter.
    count = target.shape[0]
    source = jnp.full(count, count).at[target].set(jnp.arange(count), mode="drop")
    return values.at[:, source].get(mode="fill", fill_value=0)
