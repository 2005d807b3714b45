"""The spikes of neurons that are not connected to each other, spike after spike, all neurons at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from snnx._varying import varying_like
from snnx.event._dynamics import Dynamics, Trajectory, trajectory


class Spikes(eqx.Module):
    """The spikes of each neuron in their order, and what the adjoint needs of them. Neurons without one have a time `inf`.

    **Fields:** `times`; `slope`: of the membrane before the spike; `back`, `slope_after`: membrane and slope where it starts
    again; `pinned`: no crossing, but at the time of an event (or of the beginning) that lifts the membrane over the threshold;
    `event`: which, counted from 1, 0 being the beginning; `more`: whether a neuron would have fired more often.
    """

    times: Float[Array, "most size"]
    slope: Float[Array, "most size"]
    back: Float[Array, "most size"]
    slope_after: Float[Array, "most size"]
    pinned: Bool[Array, "most size"]
    event: Int[Array, "most size"]
    more: Bool[Array, ""]


class _Search(eqx.Module):
    """Between two spikes: since when a membrane runs freely, from what membrane and current, and how far the membrane is then
    from the trajectory."""

    since: Array
    back: Array
    current: Array
    offset: Array
    event: Array  # the one that the last spike came from


def first_search(dynamics: Dynamics) -> _Search:
    """At the beginning."""
    zero = jnp.zeros_like(dynamics.start_v)
    return _Search(zero, dynamics.start_v, dynamics.start_j, zero, jnp.zeros(zero.shape, jnp.int32))


class _Ahead(eqx.Module):
    """Of every stretch between events, from where a membrane runs freely on: its state at the beginning."""

    v: Array
    j: Array
    begin: Array
    span: Array
    above: Array
    behind: Array  # whether it begins with an event, rather than where the membrane started again
    hit: Array  # whether the neuron fires within it


def look_ahead(dynamics: Dynamics, path: Trajectory, search: _Search, duration: float) -> _Ahead:
    """All stretches at once, as if the next spike were in none before."""
    end = jnp.asarray(duration, dynamics.dtype)
    borders = jnp.append(path.starts, end)[:, None]
    starts, ends = borders[:-1], borders[1:]
    behind = starts >= search.since
    fading = jnp.exp(-jnp.maximum(borders - search.since, 0.0) / dynamics.tau_mem) * search.offset
    last, _ = dynamics.flow(path.v[-1], path.j[-1], end - path.starts[-1])
    v = jnp.where(behind, path.v + fading[:-1], search.back)
    j = jnp.where(behind, path.j, search.current)
    begin = jnp.where(behind, starts, search.since)
    span = ends - begin
    above = v > dynamics.threshold
    v_end = jnp.concatenate([path.before, last[None]]) + fading[1:]
    hit = (span > 0.0) & (above | dynamics.reaches(v, j, span, v_end))
    return _Ahead(v, j, begin, span, above, behind, hit)


def next_spikes(
    dynamics: Dynamics, path: Trajectory, search: _Search, duration: float, *, differentiable: bool
) -> tuple[Array, _Search, tuple]:
    """Of every neuron the next spike: whether there is one, where to search on, and what `Spikes` keeps of it.

    With `differentiable` times have the derivatives that the implicit function theorem gives them.
    """
    ahead = look_ahead(dynamics, path, search, duration)
    # The first: a minimum of numbers is several times faster on a CPU than argmax.
    many = ahead.hit.shape[0]
    first = jnp.min(jnp.where(ahead.hit, jnp.arange(many, dtype=jnp.int32)[:, None], many), axis=0)
    fires, event = first < many, jnp.minimum(first, many - 1)

    def there(x: Array) -> Array:
        return jnp.take_along_axis(x, event[None], axis=0)[0]

    v, j, begin, span = map(there, (ahead.v, ahead.j, ahead.begin, ahead.span))
    above, behind = there(ahead.above), there(ahead.behind)
    # An event without a synapse, or the beginning, may lift the membrane; else only rounding puts it above at a start.
    pinned = above & ((begin == 0.0) | ~behind) if dynamics.tau_syn is not None else above
    wait = jax.lax.stop_gradient(jnp.where(above | ~fires, 0.0, dynamics.time_to_threshold(v, j, span)))
    if differentiable:
        wait = dynamics.differentiable(v, j, wait, fires & ~pinned)
        wait = jnp.where(above, wait - jax.lax.stop_gradient(wait), wait)
    slope = dynamics.slope(jnp.where(pinned, v, dynamics.threshold), dynamics.fade(j, wait))
    time = begin + wait
    since = time + dynamics.refractory
    membrane = jnp.where(pinned, v, dynamics.threshold)
    back = dynamics.set_back(membrane)
    if dynamics.refractory:
        free, current = path.read(dynamics, since)
    else:
        free, current = dynamics.flow(there(path.v), there(path.j), time - path.starts[event])
    event = jnp.where(behind, event, search.event)
    new = _Search(since, back, current, back - free, event)
    found = (jnp.where(fires, time, jnp.inf), slope, back, dynamics.slope(back, current), pinned, event)
    return fires, jax.tree.map(lambda n, o: jnp.where(fires, n, o), new, search), found


def spikes_by_search(
    dynamics: Dynamics,
    times: Float[Array, "events"],
    jumps: Float[Array, "events size"],
    duration: float,
    most: int,
    *,
    differentiable: bool,
) -> Spikes:
    """At most `most` spikes of each neuron up to `duration`. Differentiable, or faster: it then stops when all are silent."""
    path = trajectory(dynamics, times, jumps)
    shape = (most, dynamics.size)
    one = jnp.ones(shape, dynamics.dtype)
    empty = Spikes(
        times=jnp.full(shape, jnp.inf, dynamics.dtype),
        slope=one,
        back=one,
        slope_after=one,
        pinned=jnp.zeros(shape, bool),
        event=jnp.zeros(shape, jnp.int32),
        more=jnp.zeros((), bool),
    )

    def look(number: Array, search: _Search, active: Array) -> tuple[Array, _Search, tuple]:
        fires, search, found = next_spikes(dynamics, path, search, duration, differentiable=differentiable)
        fires = fires & active
        return fires, search, (jnp.where(fires, found[0], jnp.inf), *found[1:])

    start = varying_like((jnp.ones(dynamics.size, bool), first_search(dynamics)), dynamics, path)
    if differentiable:

        def step(carry: tuple, number: Array) -> tuple[tuple, tuple]:
            active, search = carry
            active, search, found = look(number, search, active)
            return (active, search), found

        (active, search), found = jax.lax.scan(step, start, jnp.arange(most))
        return Spikes(*found, more=_more(dynamics, path, search, duration, active))

    def go(carry: tuple) -> Array:
        number, active, _, _ = carry
        return (number < most) & jnp.any(active)

    def next_of_all(carry: tuple) -> tuple:
        number, active, search, spikes = carry
        active, search, found = look(number, search, active)
        rows = (spikes.times, spikes.slope, spikes.back, spikes.slope_after, spikes.pinned, spikes.event)
        new = [
            jax.lax.dynamic_update_index_in_dim(old, row.astype(old.dtype), number, axis=0)
            for old, row in zip(rows, found, strict=True)
        ]
        return number + 1, active, search, Spikes(*new, more=spikes.more)

    carry = (jnp.zeros((), jnp.int32), *start, varying_like(empty, dynamics, path))
    _, active, search, spikes = jax.lax.while_loop(go, next_of_all, carry)
    return eqx.tree_at(lambda s: s.more, spikes, _more(dynamics, path, search, duration, active))


def _more(dynamics: Dynamics, path: Trajectory, search: _Search, duration: float, active: Array) -> Array:
    """Whether any of the neurons that are still active fires again."""
    hit = jax.lax.stop_gradient(look_ahead(dynamics, path, search, duration).hit)
    return jnp.any(hit & active)
