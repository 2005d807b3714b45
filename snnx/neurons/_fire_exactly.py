"""The second half of a step whose gradient is exact: `EventProp` has the equations."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array

from snnx.cells import saveable
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
    drift: Callable[[Array, Array], Array],
) -> tuple[Array, Array, Clock]:
    """`fire` with the same values and another gradient.

    Tangents travel in numbers that are 0: `tangent(x)`, and what is made of it.

    **Arguments:** `leak`: the membrane's share of the way to rest in one step; `drift`: what a membrane changes by in the
    next step, were there no input; its second argument is the membrane that this step has led to.
    """
    moved, resting = clock.moved, None if clock.refractory is None else clock.refractory > 0
    if moved is None:
        raise ValueError("the state was made without gradient=EventProp(); make it anew with init_state")
    v = saveable(v)
    arrived = v
    if resting is not None and moved.last is not None:  # the membrane starts again at the end of the last step of rest
        begin = jnp.where(clock.refractory == 1, stop_gradient(drift(held, arrived)), 0.0)
        v = jnp.where(resting, held - begin * moved.last, v)
    threshold = neuron.read(neuron.threshold)
    distance = v - threshold
    fired = distance > 0 if resting is None else (distance > 0) & ~resting
    ones = fired.astype(v.dtype)
    slope = jnp.maximum(v - held, gradient.smallest * leak)
    crosses = held <= threshold  # from above, it fires at a time that nothing moves
    shift = stop_gradient(jnp.where(crosses, -ones / slope, 0.0)) * tangent(distance)
    spikes = ones + (moved.shift - shift)
    if not isinstance(neuron.reset, NoReset):
        back = _value_after(neuron)
        after = stop_gradient(neuron.reset(v, ones, stop_gradient(threshold))) + tangent(back)
        if resting is None:
            after = after - stop_gradient(drift(after, arrived)) * shift
        v = jnp.where(fired, jnp.where(crosses, after, neuron.reset(v, ones, threshold)), v)
    elif resting is not None:  # it stands still at its threshold
        v = jnp.where(fired, stop_gradient(v) + tangent(jnp.asarray(threshold)), v)
    last = None if moved.last is None else jnp.where(fired, shift, moved.last)
    return spikes, v, tick(neuron, clock, ones, Moved(shift, last))


def tangent(x: Array) -> Array:
    """0, with the tangent of `x`."""
    return x - stop_gradient(x)


def count_exactly(neuron: Spiking, gradient: EventProp, spikes: Array, v: Array) -> Array:
    """The spikes, with the gradient of their number; `v`: the membrane before the reset."""
    ones = stop_gradient(spikes)
    return ones + stop_gradient(gradient.count * ones) * tangent(v - neuron.read(neuron.threshold))


def _value_after(neuron: Spiking) -> Array:
    """What the reset sets a membrane to that has just reached its threshold: without jumps, subtracting it leaves 0."""
    x = value(neuron.reset.v_reset) if isinstance(neuron.reset, ValueReset) else 0.0
    return jnp.asarray(neuron.read(x))
