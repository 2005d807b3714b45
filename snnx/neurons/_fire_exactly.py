"""The second half of a step whose gradient is exact: `EventProp` has the equations."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array

from snnx.cells import mark_kept
from snnx.neurons._eventprop import EventProp
from snnx.neurons._fire import Clock, Moved, Spiking, tick
from snnx.neurons._reset import NoReset, ValueReset
from snnx.parameters import value


def fire_exactly(
    neuron: Spiking,
    gradient: EventProp,
    v: Array,
    held: Array,
    clock: Clock,
    leak: "float | Array",
    drift: Callable[[Array], Array],
) -> tuple[Array, Array, Clock]:
    """`fire` with the same values and another gradient.

    Tangents travel in numbers that are 0: `x - stop_gradient(x)`, and what is made of it.

    **Arguments:** `leak`: the membrane's share of the way to rest in one step; `drift`: what a membrane changes by in the
    next step, were there no input.
    """
    moved, resting = clock.moved, None if clock.refractory is None else clock.refractory > 0
    if moved is None:
        raise ValueError("the state was made without gradient=EventProp(); make it anew with init_state")
    if resting is not None and moved.last is not None:  # the membrane starts again at the end of the last step of rest
        begin = jnp.where(clock.refractory == 1, stop_gradient(drift(held)), 0.0)
        v = jnp.where(resting, held - begin * moved.last, v)
    v = mark_kept(v)
    threshold = neuron.read(neuron.threshold)
    distance = v - threshold
    fired = distance > 0 if resting is None else (distance > 0) & ~resting
    ones = fired.astype(v.dtype)
    rise = jnp.where(fired, distance - stop_gradient(distance), 0.0)
    shift = -rise / stop_gradient(jnp.maximum(v - held, gradient.smallest * leak))
    spikes = ones + (moved.shift - shift)
    counted = ones + gradient.count * rise
    if not isinstance(neuron.reset, NoReset):
        back = _value_after(neuron)
        after = stop_gradient(neuron.reset(v, ones, stop_gradient(threshold))) + (back - stop_gradient(back))
        if resting is None:
            after = after - stop_gradient(drift(after)) * shift
        v = jnp.where(fired, after, v)
    last = None if moved.last is None else jnp.where(fired, shift, moved.last)
    return spikes, v, tick(neuron, clock, ones, Moved(shift, counted, last))


def _value_after(neuron: Spiking) -> Array:
    """What the reset sets a membrane to that has just reached its threshold: without jumps, subtracting it leaves 0."""
    x = value(neuron.reset.v_reset) if isinstance(neuron.reset, ValueReset) else 0.0
    return jnp.asarray(neuron.read(x))
