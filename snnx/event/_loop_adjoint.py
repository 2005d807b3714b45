r"""EventProp for neurons that feed each other: the equations of `_layer_adjoint.py`, step after step of the loop backwards.

$p$ and $q$ are those of all neurons at one time, which goes from each step of the record to the one before it. A spike's
$\sigma$ is the loss's derivative by its time, and grows by that of the times of its arrivals, which come behind it and so are
passed first: $\sum w\,(q/\tau_s - p R/\tau_m)$ for each.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._varying import varying_like
from snnx.event._dynamics import Dynamics
from snnx.event._flow import response
from snnx.event._layer_adjoint import of_parameters, once
from snnx.event._loop import (
    BACK,
    INPUT,
    NOTHING,
    SPIKE,
    Inputs,
    Neurons,
    Record,
    anywhere,
    arrive,
    at_start,
    rests,
    run,
)


@eqx.filter_custom_vjp
def _run(vjp_arg: tuple[Dynamics, Inputs], *, duration: float, capacity: int) -> Record:
    dynamics, inputs = vjp_arg
    return run(dynamics, inputs, duration, capacity, differentiable=False)


def run_by_eventprop(dynamics: Dynamics, inputs: Inputs, duration: float, capacity: int) -> Record:
    """`run`, with a gradient for `times` whose residuals are the events."""
    given = (dynamics, inputs)
    return _run(varying_like(given, given), duration=duration, capacity=capacity)


@_run.def_fwd
def _forward(perturbed: object, vjp_arg: tuple, *, duration: float, capacity: int) -> tuple[Record, Record]:
    record = _run(vjp_arg, duration=duration, capacity=capacity)
    return record, record


class _Adjoint(eqx.Module):
    """Going backwards: $p$ and $q$ of all neurons at `time`, and what has been gathered.

    `sigma`: of the spikes' times, growing as their arrivals are passed; `lift`: of the next arrival's time, from spikes that it
    set off; `extra`: by how much arrivals during a rest change the slope behind it; `before`: $p$ right before each spike.
    """

    p: Float[Array, "size"]
    q: Float[Array, "size"]
    time: Float[Array, ""]
    since: Float[Array, "size"]
    sigma: Float[Array, "capacity"]
    lift: Float[Array, ""]
    extra: Float[Array, "size"]
    before: Float[Array, "capacity"]
    threshold: Float[Array, "size"]
    after: Float[Array, "size"]
    times: Float[Array, "events"]
    weights: Float[Array, "sources size"]
    back: Float[Array, "loops size size"]
    delays: Float[Array, "loops size"]


def _steps(record: Record, inputs: Inputs, capacity: int) -> tuple[Array, ...]:
    """Of each step what it was: time, neuron that fired, loop, number of the spike, number of the event, channel."""
    is_back, is_spike = record.kind == BACK, record.kind == SPIKE
    loop = jnp.where(is_back, record.which // capacity, 0)
    spike = jnp.where(is_back, record.which % capacity, jnp.where(is_spike, record.which, 0))
    event = jnp.where(record.kind == INPUT, record.which, 0)
    neuron = record.neurons[spike]
    time = jnp.where(record.kind == INPUT, inputs.times[event], record.times[spike])
    time = time + jnp.where(is_back, inputs.delays[loop, neuron], 0.0)
    return jnp.where(record.kind == NOTHING, jnp.inf, time), neuron, loop, spike, event, inputs.indices[event]


@_run.def_bwd
def _backward(
    record: Record, cotangent: Record, perturbed: tuple, vjp_arg: tuple, *, duration: float, capacity: int
) -> tuple:
    dynamics, inputs = vjp_arg
    sigma = jnp.zeros_like(record.times) if cotangent.times is None else cotangent.times
    sigma = jnp.where(record.times < jnp.inf, sigma, 0.0)
    zero, end = jnp.zeros_like(dynamics.start_v), jnp.asarray(duration, dynamics.dtype)
    sums = map(jnp.zeros_like, (inputs.times, inputs.weights, inputs.back, inputs.delays))
    at_end = _Adjoint(
        *(zero, zero, end, record.since_end, sigma, jnp.zeros_like(end), zero, jnp.zeros_like(sigma), zero, zero), *sums
    )

    rows = (record.kind, *_steps(record, inputs, capacity))

    def step(state: tuple[Array, _Adjoint]) -> tuple[Array, _Adjoint]:
        left, a = state
        number = jnp.maximum(left - 1, 0)
        kind, time, n, loop, spike, event, channel = jax.tree.map(lambda x: x[number], rows)
        kind = jnp.where(left > 0, kind, NOTHING)  # others of the batch may not be at their beginning yet
        time = jnp.where(kind != NOTHING, time, a.time)
        p, q = _flow_back(dynamics, a, time)
        fired, from_outside, returned = kind == SPIKE, kind == INPUT, kind == BACK
        jumps = jnp.where(from_outside, inputs.weights[channel], inputs.back[loop, n])
        of_jumps, of_time, late = _arrival(dynamics, a, time, p, q, jumps)
        arrived = from_outside | returned
        after = p[n]
        before, of_threshold, lift = _spike(dynamics, record, a, spike, n, after)

        def add(x: Array, index: object, value: Array, condition: Array) -> Array:
            return x.at[index].add(jnp.where(condition, value, 0.0))

        return number, _Adjoint(
            p=p.at[n].set(jnp.where(fired, before, p[n])),
            q=q,
            time=time,
            since=a.since.at[n].set(jnp.where(fired, record.since[spike], a.since[n])),
            sigma=add(a.sigma, spike, of_time, returned),
            lift=jnp.where(arrived, 0.0, a.lift + jnp.where(fired, lift, 0.0)),
            extra=jnp.where(arrived, a.extra + late, a.extra.at[n].set(jnp.where(fired, 0.0, a.extra[n]))),
            before=add(a.before, spike, before, fired),
            threshold=add(a.threshold, n, of_threshold, fired),
            after=add(a.after, n, after, fired & (dynamics.reset == "value")),
            times=add(a.times, event, of_time, from_outside),
            weights=add(a.weights, channel, of_jumps, from_outside),
            back=add(a.back, (loop, n), of_jumps, returned),
            delays=add(a.delays, (loop, n), of_time, returned),
        )

    happened = jnp.sum(record.kind != NOTHING, dtype=jnp.int32)
    _, found = jax.lax.while_loop(
        lambda state: anywhere(state[0] > 0),
        step,
        varying_like((happened, at_end), dynamics, inputs, record, cotangent.times),
    )
    d_dynamics = of_parameters(
        dynamics,
        perturbed[0],
        lambda d: _before_spikes(d, record, inputs, capacity),
        found.before,
        threshold=found.threshold,
        after=found.after,
    )
    d_inputs = (found.times, None, found.weights, found.back, found.delays)
    return once(
        (d_dynamics, eqx.tree_at(lambda i: (i.times, i.indices, i.weights, i.back, i.delays), inputs, d_inputs))
    )


def _arrival(
    dynamics: Dynamics, a: _Adjoint, time: Array, p: Array, q: Array, jumps: Array
) -> tuple[Array, Array, Array]:
    """What an arrival's weights are worth, and its time; and what it adds to the slope with which membranes at rest start.

    Its weight gets q (without a synapse p), its time what the jump moved is worth. A membrane that stands still does not feel
    it yet, but starts again with another slope than the record of its spike has (`extra`).
    """
    resting = rests(dynamics, a.since, time)
    felt = jnp.where(resting, 0.0, p)
    if dynamics.tau_syn is None:
        of_jumps, of_time, late = felt, jumps * felt / dynamics.tau_mem, jnp.zeros_like(p)
    else:
        rate = dynamics.resistance / dynamics.tau_mem
        of_jumps, of_time = q, jumps * (q / dynamics.tau_syn - felt * rate)
        until = jnp.where(resting, a.since - time, 0.0)
        late = jnp.where(resting, rate * jumps * jnp.exp(-until / dynamics.tau_syn), 0.0)
    return of_jumps, jnp.sum(of_time) + a.lift, late


def _spike(
    dynamics: Dynamics, record: Record, a: _Adjoint, spike: Array, n: Array, after: Array
) -> tuple[Array, Array, Array]:
    """p before a spike of neuron `n` behind which it is `after`; what the threshold is worth; what moves with an event.

    p = (p_after slope_after - sigma) / slope before it, unless an event lifted the membrane over the threshold: the spike then
    moves with that event, which is the next one backwards (`lift`).
    """
    slope, slope_after = record.slope[spike], record.slope_after[spike] + a.extra[n]
    crossing = (after * slope_after - a.sigma[spike]) / slope
    pinned = record.pinned[spike]
    lifted = after if dynamics.reset == "subtract" else jnp.zeros_like(after)
    before = jnp.where(pinned, lifted, crossing)
    lift = before * slope - after * slope_after + a.sigma[spike]
    no_synapse = dynamics.tau_syn is None
    return before, -jnp.where(pinned, lifted, before), jnp.where(pinned & no_synapse, lift, 0.0)


def _flow_back(dynamics: Dynamics, a: _Adjoint, time: Array) -> tuple[Array, Array]:
    """From `a.time` back to `time`; the membrane of a neuron at rest stands still."""
    free = jnp.clip(a.since, time, a.time)
    span, rest = a.time - free, free - time
    p = a.p * jnp.exp(-span / dynamics.tau_mem)
    if dynamics.tau_syn is None:
        return p, a.q
    q = a.q * jnp.exp(-span / dynamics.tau_syn)
    q = q + a.p * dynamics.resistance * response(span, dynamics.tau_mem, dynamics.tau_syn)
    return p, q * jnp.exp(-rest / dynamics.tau_syn)


def _before_spikes(dynamics: Dynamics, record: Record, inputs: Inputs, capacity: int) -> Array:
    """The membrane of the neuron that fires right before each spike, at the times that are known, `[capacity]`."""

    def step(carry: tuple, row: tuple) -> tuple[tuple, None]:
        neurons, found = carry
        kind, time, n, loop, spike, _, channel = row
        fired, arrived = kind == SPIKE, (kind == INPUT) | (kind == BACK)
        jumps = jnp.where(kind == INPUT, inputs.weights[channel], inputs.back[loop, n])
        when = jnp.where(kind == NOTHING, neurons.base.max(), time)
        got = arrive(dynamics, neurons, when, jumps)
        one = jax.tree.map(lambda x: x[n], dynamics)
        begin = jnp.maximum(neurons.base[n], neurons.since[n])
        current = one.fade(neurons.j[n], begin - neurons.base[n])
        before, current = one.flow(neurons.v[n], current, jnp.where(fired, when - begin, 0.0))
        reset = Neurons(
            neurons.v.at[n].set(record.back[spike]),
            neurons.j.at[n].set(current),
            neurons.base.at[n].set(when),
            neurons.since.at[n].set(when + dynamics.refractory),
            neurons.lifted,
        )
        found = found.at[spike].set(jnp.where(fired, before, found[spike]))
        new = jax.tree.map(lambda r, g, o: jnp.where(fired, r, jnp.where(arrived, g, o)), reset, got, neurons)
        return (new, found), None

    rows = (record.kind, *_steps(record, inputs, capacity))
    carry = varying_like((at_start(dynamics), jnp.zeros(capacity, dynamics.dtype)), dynamics, record, inputs)
    return jax.lax.scan(step, carry, jax.lax.stop_gradient(rows))[0][1]
