"""The exact gradient on the clock's grid: spikes are moved in time rather than made larger or smaller."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array

from snnx._checks import checked
from snnx._typing import AboveZero, NotNegative
from snnx.cells import saveable
from snnx.neurons._fire import Clock, Moved, Spiking, tick
from snnx.neurons._reset import NoReset, ValueReset
from snnx.parameters import value


@checked
class EventProp(eqx.Module):
    r"""The exact gradient: what a small change does to the times of spikes, in the limit of small steps.

    Where the membrane crosses the threshold at step $k$, with slope $m = v_k - v_{k-1}$ per step before the reset, a rise of
    the membrane moves the spike by $\delta$ steps, and the membrane behind the reset, which would change by $m^+$ in the
    next step were there no input, by as much of that:

    $$ \delta = -\frac{dv_k - d\vartheta}{m}, \qquad dv_k \leftarrow dv_\text{reset} - m^+ \delta $$

    ($v_\text{reset}$ is 0 for `SubtractReset`; with `NoReset` $dv_k$ stays.) To move a spike is to take it from step $k$ and
    to put it on step $k + 1$,

    $$ ds_k = -\delta, \qquad ds_{k+1} = +\delta $$

    so that the gradient with respect to its time is the slope over time, $A_{k+1} - A_k$, of what one spike more would be
    worth, $A$. All between spikes is linear and differentiated as it is. Transposed, these are EventProp's equations:
    behind synapses $A = -\tau_s \sum w \lambda_I$ over the weights that the spike goes through, and $1/m$ is the factor of the
    jump of $\lambda_V$. Every parameter has its gradient, and forward mode works too. The forward pass is that of a surrogate:
    the same operations, of which a compiler may round the last bit otherwise.

    A membrane that is above its threshold before the step (it kept what exceeded it) fires at a time that nothing moves.

    A small change of a membrane changes no number of spikes: losses that count spikes have no gradient. Rates that are
    *recorded* (`UpperRate(...)`, `simulate(record=...)`) get one all the same, which leaves the others as they are: `count`
    for each unit of membrane at a spike, $dn = \texttt{count} \sum_k s_k\, (dv_k - d\vartheta)$.

    **Arguments:**
    - `count`: in spikes per unit of membrane, >= 0.
    - `smallest`: $\tau_m\, dv/dt$ at a spike counts as no less than this, > 0; a membrane that only just reaches its
        threshold would have a gradient without bound.

    **Raises:** `ValueError` for numbers out of range.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021);
    Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks
    (2025), for counts. The slope is the mean one of the step: unlike that at its end, it is positive.
    """

    count: NotNegative = eqx.field(static=True, default=1.0)
    smallest: AboveZero = eqx.field(static=True, default=1e-3)


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
    if resting is not None and moved.last is not None:
        # The membrane starts again at the end of the last step of rest, by as much later as its spike was: -m^+ delta.
        begin = jnp.where(clock.refractory == 1, stop_gradient(drift(held, arrived)), 0.0)
        v = jnp.where(resting, held - begin * moved.last, v)
    threshold = neuron.read(neuron.threshold)
    distance = v - threshold
    fired = distance > 0 if resting is None else (distance > 0) & ~resting
    ones = fired.astype(v.dtype)
    # delta = -(dv_k - dtheta) / m. A membrane that was above its threshold before fires at a time that nothing moves.
    slope = jnp.maximum(v - held, gradient.smallest * leak)
    crosses = held <= threshold
    shift = stop_gradient(jnp.where(crosses, -ones / slope, 0.0)) * tangent(distance)
    # ds_k = -delta of this step's spike, +delta of the last step's. The value is that of `ones`: both shifts are 0.
    spikes = ones + (moved.shift - shift)
    if not isinstance(neuron.reset, NoReset):
        # dv_k <- dv_reset - m^+ delta, where the membrane starts again at once: the reset's own tangent, which would be
        # that of the membrane's overshoot, is replaced by that of the value at which a crossing leaves the membrane.
        after = stop_gradient(neuron.reset(v, ones, stop_gradient(threshold))) + tangent(_value_after(neuron))
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
