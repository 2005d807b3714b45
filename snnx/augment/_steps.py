"""All events of a step move to another one."""

import jax.numpy as jnp
from jaxtyping import Array, Int

from snnx.augment._events import Window, closed_up
from snnx.augment._layout import Layout, from_grid, from_rows, grid, rows
from snnx.inputs import ActiveChannels, EventList


def move_steps(inputs: Layout, target: Int[Array, "time"], ways: int, within: Window) -> Layout:
    """The events of step `t` in step `target[t]`, or gone where that is no step; where none arrive there is silence.

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
    values, silence = rows(inputs)
    first = jnp.full(steps, steps).at[target].min(jnp.arange(steps), mode="drop")  # the first to arrive in each step
    source = first[:, None] + jnp.arange(ways)[None]
    arrived = target.at[source].get(mode="fill", fill_value=steps) == jnp.arange(steps)[:, None]
    taken = values.at[jnp.where(arrived, source, steps)].get(mode="fill", fill_value=silence)
    return from_rows(taken.reshape(steps, -1, *values.shape[2:]), inputs)
