"""Neurons that feed each other, of one part or of several, as one population."""

import jax.numpy as jnp
from jaxtyping import Array

from snnx.event._dynamics import Dynamics
from snnx.event._events import Events, ordered
from snnx.event._recurrent import Inputs, Record, run
from snnx.event._recurrent_adjoint import run_by_eventprop
from snnx.event._signal import Own, Signal


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

    def together(field: str) -> Array:
        return jnp.concatenate([getattr(d, field) for d in dynamics])

    return Dynamics(
        tau_mem=together("tau_mem"),
        tau_syn=None if first.tau_syn is None else together("tau_syn"),
        rest=together("rest"),
        resistance=together("resistance"),
        start_v=together("start_v"),
        start_j=together("start_j"),
        threshold=together("threshold"),
        after=together("after"),
        reset=first.reset,
        refractory=first.refractory,
        twice=all(d.twice for d in dynamics),
    )


def solve(
    names: list[str],
    dynamics: list[Dynamics],
    gains: list[Array],
    signals: list[Signal],
    duration: float,
    capacity: int,
    *,
    exactly: bool,
) -> dict[str, Events]:
    """The spikes of populations that feed each other, by name.

    **Arguments:** `signals`: what goes into each, with `Own` sources for the spikes of each other; `exactly`: by EventProp
    rather than by differentiating the solver.
    """
    whole = joined(dynamics, names)
    sizes = [d.size for d in dynamics]
    starts = dict(zip(names, [sum(sizes[:i]) for i in range(len(sizes))], strict=True))
    dtype, total = whole.dtype, sum(sizes)
    outside, zero_delay, loops, delays = [], jnp.zeros((total, total), dtype), [], []
    for name, size, gain, signal in zip(names, sizes, gains, signals, strict=True):
        columns = slice(starts[name], starts[name] + size)
        for source in signal.sources:
            rows = source.matrix(signal.shape, dtype) * gain
            if isinstance(source.events, Own):
                first = starts[source.events.name]
                rows_at = slice(first, first + source.events.size)
                if source.events.delay is None:
                    zero_delay = zero_delay.at[rows_at, columns].add(rows)
                else:
                    loops.append(jnp.zeros((total, total), dtype).at[rows_at, columns].set(rows))
                    delays.append(jnp.zeros(total, dtype).at[rows_at].set(source.events.delay))
            else:
                outside.append((source.events, jnp.zeros((rows.shape[0], total), dtype).at[:, columns].set(rows)))
    times, indices, weights = _merged(outside, total, dtype)
    inputs = Inputs(
        times, indices, weights, jnp.stack([zero_delay, *loops]), jnp.stack([jnp.zeros(total, dtype), *delays])
    )
    record = (
        run_by_eventprop(whole, inputs, duration, capacity)
        if exactly
        else run(whole, inputs, duration, capacity, differentiable=True)
    )
    return {name: _of_part(record, starts[name], size) for name, size in zip(names, sizes, strict=True)}


def _merged(outside: list[tuple[Events, Array]], total: int, dtype: jnp.dtype) -> tuple[Array, Array, Array]:
    """What comes from outside, as one list; of at least one entry, which may be none."""
    first, times, indices = 0, [jnp.zeros(0, dtype)], [jnp.zeros(0, jnp.int32)]
    for events, _ in outside:
        times.append(events.times)
        indices.append(events.indices + first)
        first += events.size
    when = jnp.concatenate(times)
    found = ordered(when, jnp.concatenate(indices), first, max(when.shape[0], 1))
    return found.times, found.indices, jnp.concatenate([rows for _, rows in outside] or [jnp.zeros((1, total), dtype)])


def _of_part(record: Record, first: int, size: int) -> Events:
    own = (record.neurons >= first) & (record.neurons < first + size)
    times = jnp.where(own, record.times, jnp.inf)
    found = ordered(times, jnp.where(own, record.neurons - first, 0), size, times.shape[0])
    return Events(found.times, found.indices, found.count, record.more, size)
