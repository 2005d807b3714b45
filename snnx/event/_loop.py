"""Neurons that feed each other, of one part or of several: one event after the other, a spike or an arrival.

All populations of a loop are solved as one (`solve`). Until something arrives, every neuron follows its closed form; so the
next thing to happen is the earliest of the neurons' next spikes, or the next arrival if that is sooner (`run`). What happened,
in order, is the record that the adjoint goes through backwards.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Float, Int

from snnx._varying import varying_like
from snnx.cells import replace
from snnx.event._dynamics import Dynamics
from snnx.event._events import Events, ordered
from snnx.event._signal import Signal, merged_lists

NOTHING, INPUT, BACK, SPIKE = range(4)  # what a step of the loop was


class Inputs(eqx.Module):
    """What a network of neurons gets: events from outside, and its own spikes, by `loops` connections with delays.

    **Fields:** `times`, `indices`: `[events]`; `weights`: `[sources, size]`; `back`: `[loops, size, size]`, the row of a spike
    being what it adds to all; `delays`: `[loops, size]`, of the neuron that fires.
    """

    times: Float[Array, "events"]
    indices: Int[Array, "events"]
    weights: Float[Array, "sources size"]
    back: Float[Array, "loops size size"]
    delays: Float[Array, "loops size"]


class Record(eqx.Module):
    """What happened, in order: `kind` and `which` of each step; the spikes, with what the adjoint needs of them.

    `which` is the number of an event of the input, `loop * capacity + spike`, or that of a spike. `since`: when the membrane
    of the neuron started to run freely before its spike; `since_end`: of all neurons at the end.
    """

    kind: Int[Array, "steps"]
    which: Int[Array, "steps"]
    times: Float[Array, "capacity"]
    neurons: Int[Array, "capacity"]
    slope: Float[Array, "capacity"]
    slope_after: Float[Array, "capacity"]
    back: Float[Array, "capacity"]
    pinned: Bool[Array, "capacity"]
    since: Float[Array, "capacity"]
    since_end: Float[Array, "size"]
    count: Int[Array, ""]
    more: Bool[Array, ""]


class Neurons(eqx.Module):
    """Each neuron's state at its own time `base`; until `since` its membrane stands still."""

    v: Float[Array, "size"]
    j: Float[Array, "size"]
    base: Float[Array, "size"]
    since: Float[Array, "size"]
    lifted: Bool[Array, "size"]  # right behind a beginning, a reset or, without synapse, an event


def at_start(dynamics: Dynamics) -> Neurons:
    """Before anything has happened."""
    zero = jnp.zeros_like(dynamics.start_v)
    return Neurons(dynamics.start_v, dynamics.start_j, zero, zero - jnp.inf, jnp.ones(zero.shape, bool))


def rests(dynamics: Dynamics, since: Array, time: Array) -> Array:
    """Whether an arrival finds a membrane standing still: also at the very end of a rest, as on the clock."""
    return time <= since if dynamics.refractory else time < since


def arrive(dynamics: Dynamics, neurons: Neurons, time: Array, jumps: Array) -> Neurons:
    """An event at `time` that adds `jumps` to all."""
    resting = rests(dynamics, neurons.since, time)
    # No maximum: at a tie its gradient would be shared out.
    free = jnp.where(resting, time, jnp.where(neurons.since > neurons.base, neurons.since, neurons.base))
    v, j = dynamics.flow(neurons.v, dynamics.fade(neurons.j, free - neurons.base), time - free)
    v, j = jnp.where(resting, neurons.v, v), jnp.where(resting, dynamics.fade(neurons.j, time - neurons.base), j)
    v_new, j_new = dynamics.add(v, j, jumps)
    still = resting | (time <= neurons.base)
    lifted = still & neurons.lifted if dynamics.tau_syn is not None else jnp.ones_like(resting)
    return Neurons(jnp.where(resting, v, v_new), j_new, jnp.full_like(v, time), neurons.since, lifted)


class _Spike(eqx.Module):
    """The next spike: whether there is one, what `Record` keeps of it, and the neurons behind it."""

    fires: Bool[Array, ""]
    neuron: Int[Array, ""]
    time: Float[Array, ""]
    slope: Float[Array, ""]
    slope_after: Float[Array, ""]
    back: Float[Array, ""]
    pinned: Bool[Array, ""]
    since: Float[Array, ""]
    behind: Neurons


def _next_spike(dynamics: Dynamics, neurons: Neurons, until: Array, *, differentiable: bool) -> _Spike:
    """The first of all neurons before `until`, up to which nothing arrives."""
    begin = jnp.maximum(neurons.base, neurons.since)
    j = dynamics.fade(neurons.j, begin - neurons.base)
    span = until - begin
    above = neurons.v > dynamics.threshold
    ahead = jnp.maximum(span, 0.0)
    end, _ = dynamics.flow(neurons.v, j, ahead)
    hit = (span > 0.0) & (above | dynamics.reaches(neurons.v, j, ahead, end))
    wait = jnp.where(above, 0.0, dynamics.time_to_threshold(neurons.v, j, ahead))
    n = jax.lax.stop_gradient(jnp.argmin(jnp.where(hit, begin + wait, jnp.inf)))
    fires = jnp.any(hit)
    one = jax.tree.map(lambda x: x[n], dynamics)
    wait, above, pinned = jax.lax.stop_gradient(wait[n]), above[n], above[n] & neurons.lifted[n]
    if differentiable:
        moved = one.differentiable(neurons.v[n], j[n], wait, fires & ~pinned)
        wait = jnp.where(above, wait + moved - jax.lax.stop_gradient(moved), moved)
    membrane, current = jnp.where(pinned, neurons.v[n], one.threshold), one.fade(j[n], wait)
    time = begin[n] + wait
    back = one.set_back(membrane)
    since = time + dynamics.refractory
    behind = Neurons(
        neurons.v.at[n].set(back),
        neurons.j.at[n].set(current),
        neurons.base.at[n].set(time),
        neurons.since.at[n].set(since),
        neurons.lifted.at[n].set(True),
    )
    slope, slope_after = one.slope(membrane, current), one.slope(back, one.fade(current, since - time))
    return _Spike(fires, n, time, slope, slope_after, back, pinned, neurons.since[n], behind)


def _empty(dynamics: Dynamics, steps: int, capacity: int) -> Record:
    """With room for so many steps and spikes."""
    one, none = jnp.ones(capacity, dynamics.dtype), jnp.zeros(steps, jnp.int32)
    return Record(
        kind=none,
        which=none,
        times=jnp.full(capacity, jnp.inf, dynamics.dtype),
        neurons=jnp.zeros(capacity, jnp.int32),
        slope=one,
        slope_after=one,
        back=one,
        pinned=jnp.zeros(capacity, bool),
        since=one,
        since_end=jnp.zeros(dynamics.size, dynamics.dtype),
        count=jnp.zeros((), jnp.int32),
        more=jnp.zeros((), bool),
    )


def run(dynamics: Dynamics, inputs: Inputs, duration: float, capacity: int, *, differentiable: bool) -> Record:
    """Everything up to `duration`, at most `capacity` spikes. Differentiable in `times`, or faster.

    A step is a spike or an arrival. Without delay a spike's arrival is a step of its own, at the same time.
    """
    events, loops = inputs.times.shape[0], inputs.delays.shape[0]
    steps = events + capacity * (1 + loops)
    times = jnp.append(inputs.times, jnp.asarray(jnp.inf, dynamics.dtype))

    def step(number: Array, carry: tuple) -> tuple:
        neurons, record, seen, waiting = carry
        # What arrives next: from outside, or one of the spikes that are on their way back (`waiting`, by loop and spike).
        due = jnp.where(waiting, record.times + inputs.delays[:, record.neurons], jnp.inf)
        soonest = jnp.argmin(due.ravel())
        outside, own = times[seen], due.ravel()[soonest]
        arrival = jnp.minimum(outside, own)
        until = jax.lax.stop_gradient(jnp.minimum(arrival, duration))
        found = _next_spike(dynamics, neurons, until, differentiable=differentiable)
        # A spike before the arrival happens first, and all others have to be looked for again: it may set them off, or hold
        # them back. One for which there is no room ends the loop.
        full = record.count >= capacity
        spike = found.fires & ~full
        place = jnp.minimum(record.count, capacity - 1)

        def write(old: Array, new: Array) -> Array:
            return old.at[place].set(jnp.where(spike, new, old[place]).astype(old.dtype))

        # The arrival, if nothing fires before.
        comes = ~found.fires & (arrival <= duration)
        from_outside = outside <= own
        loop, source = soonest // capacity, record.neurons[soonest % capacity]
        channel = inputs.indices[jnp.minimum(seen, events - 1)]
        jumps = jnp.where(from_outside, inputs.weights[channel], inputs.back[loop, source])
        when = jnp.where(comes, arrival, 0.0)
        got = arrive(dynamics, neurons, when, jumps)
        neurons = jax.tree.map(
            lambda f, g, old: jnp.where(spike, f, jnp.where(comes, g, old)), found.behind, got, neurons
        )
        kind = jnp.where(spike, SPIKE, jnp.where(comes, jnp.where(from_outside, INPUT, BACK), NOTHING))
        which = jnp.where(spike, place, jnp.where(from_outside, seen, soonest))
        waiting = waiting & ~(
            comes & ~from_outside & (jnp.arange(loops * capacity) == soonest).reshape(loops, capacity)
        )
        waiting = waiting | (spike & (jnp.arange(capacity) == place))
        record = Record(
            record.kind.at[number].set(kind.astype(jnp.int32)),
            record.which.at[number].set(which.astype(jnp.int32)),
            write(record.times, found.time),
            write(record.neurons, found.neuron),
            write(record.slope, found.slope),
            write(record.slope_after, found.slope_after),
            write(record.back, found.back),
            write(record.pinned, found.pinned),
            write(record.since, found.since),
            neurons.since,
            record.count + spike.astype(jnp.int32),
            record.more | (found.fires & full),
        )
        seen = seen + (comes & from_outside).astype(jnp.int32)
        return neurons, record, seen, waiting

    carry = (
        at_start(dynamics),
        _empty(dynamics, steps, capacity),
        jnp.zeros((), jnp.int32),
        jnp.zeros((loops, capacity), bool),
    )
    carry = varying_like(carry, dynamics, inputs)
    if differentiable:

        def body(carry: tuple, number: Array) -> tuple[tuple, None]:
            return step(number, carry), None

        return jax.lax.scan(body, carry, jnp.arange(steps))[0][1]

    def go(state: tuple) -> Array:
        number, carry = state
        last = carry[1].kind[jnp.maximum(number - 1, 0)]
        return anywhere((number < steps) & ((number == 0) | (last != NOTHING)) & ~carry[1].more)

    return jax.lax.while_loop(go, lambda s: (s[0] + 1, step(*s)), (jnp.zeros((), jnp.int32), carry))[1][1]


@custom_vmap
def anywhere(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether it is so for any example of a batch: under `jax.vmap` one answer for all.

    A `while_loop` with this as its condition runs until the last example is done. With a condition for each, JAX would
    choose between the old and the new of the whole state, of each example, at every step.
    """
    return flag


@anywhere.def_vmap
def _of_batch(axis_size: int, in_batched: list[bool], flags: Bool[Array, "batch"]) -> tuple[Array, bool]:
    return (anywhere(jnp.any(flags)) if in_batched[0] else anywhere(flags)), False


def joined(dynamics: list[Dynamics], names: list[str]) -> Dynamics:
    """Several populations as one."""
    first = dynamics[0]
    for name, other in zip(names, dynamics, strict=True):
        for field in ("reset", "refractory"):
            if getattr(other, field) != getattr(first, field):
                raise ValueError(
                    f"event.simulate: parts {names[0]} and {name} feed each other, but have {field} {getattr(first, field)!r}"
                    f" and {getattr(other, field)!r}; expected the same."
                )
        if (other.tau_syn is None) != (first.tau_syn is None):
            raise ValueError(
                f"event.simulate: parts {names[0]} and {name} feed each other, but only one of them has a synapse that decays;"
                " expected both or none."
            )

    twice = all(d.twice for d in dynamics)
    return jax.tree.map(lambda *each: jnp.concatenate(each), *(replace(d, twice=twice) for d in dynamics))


def solve(
    names: list[str],
    dynamics: list[Dynamics],
    gains: list[Array],
    signals: list[Signal],
    run: Callable[[Dynamics, Inputs], Record],
) -> dict[str, Events]:
    """The spikes of populations that feed each other, by name.

    **Arguments:** `gains`: what an event of weight 1 adds to each neuron; `signals`: what goes into each population, with
    `PendingSpikes` for the spikes of each other; `run`: `run` below, or with its adjoint.
    """
    whole = joined(dynamics, names)
    dtype, total = whole.dtype, whole.size
    places, first = {}, 0
    for name, population in zip(names, dynamics, strict=True):
        places[name] = slice(first, first + population.size)
        first += population.size
    # Of each source a block of rows, its channels, and a block of columns, the neurons that it reaches.
    outside, rows_of_outside = [], []
    zero_delay, loops, delays = jnp.zeros((total, total), dtype), [], []
    for name, gain, signal in zip(names, gains, signals, strict=True):
        columns = places[name]
        for source in signal.sources:
            events, block = source.events, source.matrix(signal.shape, dtype) * gain
            if isinstance(events, Events):
                outside.append(events)
                rows_of_outside.append(jnp.zeros((block.shape[0], total), dtype).at[:, columns].set(block))
            elif events.delay is None:
                zero_delay = zero_delay.at[places[events.name], columns].add(block)
            else:
                loops.append(jnp.zeros((total, total), dtype).at[places[events.name], columns].set(block))
                delays.append(jnp.zeros(total, dtype).at[places[events.name]].set(events.delay))
    times, indices = merged_lists(outside, dtype)
    if not times.shape[0]:  # the loop needs one entry to look at
        times, indices = jnp.full(1, jnp.inf, dtype), jnp.zeros(1, jnp.int32)
    record = run(
        whole,
        Inputs(
            times,
            indices,
            jnp.concatenate(rows_of_outside or [jnp.zeros((1, total), dtype)]),
            jnp.stack([zero_delay, *loops]),
            jnp.stack([jnp.zeros(total, dtype), *delays]),
        ),
    )
    return {name: _of_population(record, place) for name, place in places.items()}


def _of_population(record: Record, place: slice) -> Events:
    own = (record.neurons >= place.start) & (record.neurons < place.stop)
    times = jnp.where(own, record.times, jnp.inf)
    size = place.stop - place.start
    found = ordered(times, jnp.where(own, record.neurons - place.start, 0), size, times.shape[0])
    return eqx.tree_at(lambda e: e.overflow, found, record.more)
