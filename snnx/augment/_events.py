"""Lists of events stay what `EventList` promises: ascending, filled up at their end, with a bound that holds."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from snnx.augment._layout import channels_of
from snnx.inputs import ActiveChannels, EventList

Window = Callable[[int], int]  # in how many steps the events were that are now within so many


def closed_up(
    events: EventList,
    steps: Int[Array, "events"],
    channels: Int[Array, "events"],
    kept: Bool[Array, "events"],
    within: Window,
) -> EventList:
    """Events whose order has not changed, without those that are not kept: these leave no gaps.

    A twelfth of the time of a sort (8000 events, 64 examples, 2 CPU cores: 3.6 and 45 ms).
    """
    size = steps.shape[0]
    at = jnp.where(kept, jnp.cumsum(kept) - 1, size)
    filling = jnp.full(size, events.num_steps, events.steps.dtype)
    return EventList(
        filling.at[at].set(steps.astype(events.steps.dtype), mode="drop"),
        jnp.zeros(size, events.channels.dtype).at[at].set(channels.astype(events.channels.dtype), mode="drop"),
        events.sample_shape,
        events.num_steps,
        bounds(events, within),
    )


def in_order(
    events: EventList,
    steps: Int[Array, "moved"],
    channels: Int[Array, "moved"],
    kept: Bool[Array, "moved"],
    busiest: tuple[int, ...],
) -> EventList:
    """Events in any order, those that are kept, sorted by their steps."""
    steps = jnp.where(kept, steps, events.num_steps).astype(events.steps.dtype)
    channels = jnp.where(kept, channels, 0).astype(events.channels.dtype)
    if steps.dtype == channels.dtype == jnp.uint16:  # both in one number: a third of the time of a sort of pairs
        pairs = jnp.sort((steps.astype(jnp.uint32) << 16) | channels)
        steps, channels = (pairs >> 16).astype(jnp.uint16), (pairs & 0xFFFF).astype(jnp.uint16)
    else:
        steps, channels = jax.lax.sort((steps, channels), num_keys=1)
    return EventList(steps, channels, events.sample_shape, events.num_steps, busiest)


def bounds(events: EventList, within: Window) -> tuple[int, ...]:
    """`busiest` of events that moved: those now within `w` steps were within `within(w)` consecutive ones."""
    old = events.busiest
    found = [old[min((within(2**i) - 1).bit_length(), len(old) - 1)] for i in range(len(old) - 1)]
    return (*found, old[-1])


def unmoved(steps: int) -> int:
    """The window of events that stay in their step, or all move by as much."""
    return steps


def added(some: Iterable[int], others: Iterable[int]) -> tuple[int, ...]:
    """`busiest` of two lists in one."""
    return tuple(a + b for a, b in zip(some, others, strict=True))


def events_of(lists: ActiveChannels) -> EventList:
    """Lists of active channels as a list of events."""
    steps, capacity = lists.channels.shape
    channels = lists.channels.astype(jnp.int32)
    small = jnp.uint16 if steps < 2**16 else jnp.uint32
    powers = range((steps - 1).bit_length() + 1)
    every = EventList(
        jnp.broadcast_to(jnp.arange(steps, dtype=small)[:, None], channels.shape).reshape(-1),
        lists.channels.reshape(-1),
        lists.sample_shape,
        steps,
        tuple(min(2**power, steps) * capacity for power in powers),
    )
    kept = (channels < channels_of(lists)).reshape(-1)
    return closed_up(every, every.steps.astype(jnp.int32), channels.reshape(-1), kept, unmoved)
