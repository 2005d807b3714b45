"""Two examples in one."""

import jax.numpy as jnp

from snnx.augment._events import added, in_order
from snnx.augment._layout import Layout, from_grid, grid, places
from snnx.inputs import ActiveChannels, EventList


def merged(inputs: Layout, partner: Layout, *, binary: bool) -> Layout:
    """The events of both, of the same layout. Lists are twice as long, and grids are counts or floats.

    **Arguments:** `binary`: whether no bin of either has more than one event, so that counts may stay counts.
    """
    if isinstance(inputs, EventList) and isinstance(partner, EventList):
        both = zip(places(inputs), places(partner), strict=True)
        steps, channels = (jnp.concatenate(pair) for pair in both)
        kept = steps < inputs.num_steps
        return in_order(inputs, steps, channels, kept, added(inputs.busiest, partner.busiest))
    if isinstance(inputs, ActiveChannels) and isinstance(partner, ActiveChannels):
        lists = jnp.concatenate([inputs.channels, partner.channels], axis=1)
        return ActiveChannels(lists, inputs.sample_shape)
    if isinstance(inputs, (ActiveChannels, EventList)) or isinstance(partner, (ActiveChannels, EventList)):
        raise TypeError(f"merged: {type(inputs).__name__} and {type(partner).__name__} are not of one layout.")
    ways = 1 if binary else 2
    return from_grid(grid(inputs, ways) + grid(partner, ways), inputs.sample_shape)
