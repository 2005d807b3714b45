"""The layouts that augmentations work on, and the way from a compact one to a wider one.

Lists of active channels and lists of events say where each event is. The others are grids of steps and channels: packed
bits, counts of a byte, floats.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Int

from snnx._errors import describe
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, Constant, Counts, EventList, Floats

LARGEST_COUNT = 255

Layout = ActiveChannels | Bits | Counts | Floats | EventList
Grid = Bits | Counts | Floats
Rows = ActiveChannels | Bits | Counts | Floats


def channels_of(inputs: AbstractInputs) -> int:
    """How many channels a step has."""
    return math.prod(inputs.sample_shape)


def unfolded(where: str, inputs: AbstractInputs) -> Layout:
    """The inputs as they are, but a constant as what it is in each step: what changes from step to step is no constant.

    **Raises:** `TypeError` for a layout that augmentations do not know.
    """
    if isinstance(inputs, Constant):
        return Floats(inputs.dense(inputs.values.dtype), inputs.sample_shape)
    if isinstance(inputs, (ActiveChannels, Bits, Counts, Floats, EventList)):
        return inputs
    raise TypeError(
        f"{where}: inputs is {describe(inputs)}; expected a layout: Bits, ActiveChannels, Counts, EventList, Floats, Constant."
    )


def places(inputs: Layout) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """Step and channel of what a layout holds: `[events]` each, or `[time, 1]` and `[time or 1, entries]`.

    Filling has a step or a channel behind the last.
    """
    if isinstance(inputs, EventList):
        return inputs.steps.astype(jnp.int32), inputs.channels.astype(jnp.int32)
    steps = jnp.arange(inputs.num_steps)[:, None]
    if isinstance(inputs, ActiveChannels):
        return steps, inputs.channels.astype(jnp.int32)
    return steps, jnp.arange(channels_of(inputs))[None]


def grid(inputs: Grid, ways: int = 1) -> Array:
    """`[time, channels]`, in bytes where the sum of `ways` bins fits into one for certain, else in floats."""
    if isinstance(inputs, Bits):
        values = jnp.unpackbits(inputs.packed, axis=-1, count=channels_of(inputs), bitorder="little")
    else:
        values = inputs.values.reshape(inputs.num_steps, -1)
    largest = {Bits: 1, Counts: LARGEST_COUNT}.get(type(inputs))
    if largest is not None and ways * largest > LARGEST_COUNT:
        return values.astype(jnp.zeros(()).dtype)
    return values


def from_grid(values: Array, sample_shape: tuple[int, ...]) -> Counts | Floats:
    """The inverse of `grid`: bytes are counts, floats are currents."""
    layout = Counts if values.dtype == jnp.uint8 else Floats
    return layout(values.reshape(-1, *sample_shape), sample_shape)


def rows(inputs: Rows) -> tuple[Array, int]:
    """The array whose leading axis is time, and what silence is in it."""
    if isinstance(inputs, ActiveChannels):
        return inputs.channels, channels_of(inputs)
    return (inputs.packed if isinstance(inputs, Bits) else inputs.values), 0


def from_rows(values: Array, inputs: Rows) -> Rows:
    """Other rows in the layout of `inputs`."""
    return type(inputs)(values, inputs.sample_shape)


def by_row(flags: Array, values: Array) -> Array:
    """`[time]` with as many axes as `values` has."""
    return flags.reshape(-1, *(1 for _ in values.shape[1:]))
