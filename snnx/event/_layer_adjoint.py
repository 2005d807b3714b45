r"""EventProp: the gradient of spikes by their adjoint, from the events alone.

$p = \partial L / \partial v(t)$ and $q = \partial L / \partial j(t)$: what the loss would change by if membrane or current were a
little higher from time $t$ on. Backwards in time, over a span $\Delta$ without spikes,

$$ p \leftarrow p\, e^{-\Delta/\tau_m}, \qquad q \leftarrow q\, e^{-\Delta/\tau_s} + p R K(\Delta) $$

and at a spike, where $\sigma$ is the loss's derivative with respect to its time, $\dot v^-$ the membrane's slope before it and
$\dot v^+$ where it starts again,

$$ p \leftarrow \frac{p\, \dot v^+ - \sigma}{\dot v^-} $$

The weight of an event gets $q$ (without synapses $p$) at its time, the time of an event $\sum w\,(q/\tau_s - p R/\tau_m)$, the
threshold $-p$ from before the spike, the value of the reset $p$ from behind it. All other parameters act on the membranes that
are at their threshold at known times: their gradient is that of these membranes, each weighted with its $p$.

Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021), Table 2
and Eq. 2. There $R = 1$, the reset is to 0, $p = -\tau_m \lambda_V$, $q = -\tau_s \lambda_I$, and what $\sigma$ gets from a
spike's arrivals is $W^\top (\lambda_V - \lambda_I)$.
"""

import warnings
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from snnx._varying import varying_like
from snnx.event._dynamics import Dynamics, jumps_of, trajectory
from snnx.event._flow import response
from snnx.event._layer import Spikes, spikes_by_search

_Tree = TypeVar("_Tree", bound=PyTree)


@eqx.filter_custom_vjp
def _spikes(vjp_arg: tuple, *, duration: float, most: int, pinned: str) -> Spikes:
    dynamics, times, indices, weights = vjp_arg
    jumps = jumps_of(weights, times, indices)
    return spikes_by_search(dynamics, jnp.minimum(times, duration), jumps, duration, most, differentiable=False)


def spikes_by_eventprop(
    dynamics: Dynamics,
    times: Float[Array, "events"],
    indices: Int[Array, "events"],
    weights: Float[Array, "sources size"],
    duration: float,
    most: int,
    *,
    pinned: str = "",
) -> Spikes:
    """The spikes of `spikes_by_search`, with a gradient for their times whose residuals are the events.

    **Arguments:** `pinned`: the path of neurons all of whose spikes are known to coincide with events; to train what leads
    there is warned of.
    """
    given = (dynamics, times, indices, weights)
    return _spikes(varying_like(given, given), duration=duration, most=most, pinned=pinned)


class Backward(eqx.Module):
    """Of each spike $p$ and $q$ right before it, and $p$ where the membrane starts again behind it."""

    p: Float[Array, "*most size"]
    q: Float[Array, "*most size"]
    p_after: Float[Array, "*most size"]


def backward(dynamics: Dynamics, spikes: Spikes, sigma: Array) -> Backward:
    """From the last spike to the first."""

    def step(later: tuple, row: tuple) -> tuple[tuple, Backward]:
        p, q, until = later
        time, slope, slope_after, pinned, sigma = row
        there = time < jnp.inf
        start = jnp.where(there, time, 0.0) + dynamics.refractory
        span = jnp.maximum(until - start, 0.0)
        p_after = p * jnp.exp(-span / dynamics.tau_mem)
        # A rise by dv moves a crossing by dt = -dv / slope: sigma dt, and -p_after slope_after dt where it starts again.
        crossing = (p_after * slope_after - sigma) / jnp.where(there & ~pinned, slope, 1.0)
        # A spike at an event does not move: a membrane that is lifted higher keeps the excess, or none of it.
        lifted = p_after if dynamics.reset == "subtract" else jnp.zeros_like(p_after)
        p_before = jnp.where(pinned, lifted, crossing)
        if dynamics.tau_syn is None:
            q_before = q
        else:
            q_after = q * jnp.exp(-span / dynamics.tau_syn)
            q_after = q_after + p * dynamics.resistance * response(span, dynamics.tau_mem, dynamics.tau_syn)
            # While the membrane stands still the current only fades; a spike leaves it as it is.
            q_before = q_after * jnp.exp(-dynamics.refractory / dynamics.tau_syn)
        new = tuple(jnp.where(there, n, o) for n, o in zip((p_before, q_before, time), later, strict=True))
        zero = jnp.zeros_like(p)
        return new, Backward(*(jnp.where(there, x, zero) for x in (p_before, q_before, p_after)))

    zero = jnp.zeros(dynamics.size, dynamics.dtype)
    rows = (spikes.times, spikes.slope, spikes.slope_after, spikes.pinned, sigma)
    start = varying_like((zero, zero, zero), dynamics, rows)
    return jax.lax.scan(step, start, rows, reverse=True)[1]


def of_events(dynamics: Dynamics, spikes: Spikes, back: Backward, times: Array) -> tuple[Array, Array]:
    """$p$ and $q$ of all neurons behind each event, `[events, size]`: from the next spike back to the event."""
    fired, when = spikes.times < jnp.inf, times[:, None]
    ends = [jnp.where(there, time, jnp.inf) for there, time in zip(fired, spikes.times, strict=True)]
    done = (lambda end: end < when) if dynamics.tau_syn is None else (lambda end: end <= when)
    shape = (times.shape[0], dynamics.size)
    p, q, until = (jnp.zeros(shape, dynamics.dtype) for _ in range(3))
    since = jnp.full(shape, -jnp.inf, dynamics.dtype)
    for row in reversed(range(len(ends))):  # the first spike that is not done, by overwriting later ones
        coming = fired[row] & ~done(ends[row])
        p, q = jnp.where(coming, back.p[row], p), jnp.where(coming, back.q[row], q)
        until = jnp.where(coming, spikes.times[row], until)
    span = jnp.maximum(until - when, 0.0)
    if dynamics.refractory:
        for end in ends:
            since = jnp.where(done(end), end + dynamics.refractory, since)
        start = jnp.maximum(when, since)
        rest = jnp.minimum(start - when, span)
        span = span - rest
    else:
        rest = jnp.zeros_like(span)
    away = jnp.exp(-span / dynamics.tau_mem)
    if dynamics.tau_syn is None:
        return jnp.where(rest > 0.0, 0.0, p * away), q
    q = q * jnp.exp(-span / dynamics.tau_syn) + p * dynamics.resistance * response(
        span, dynamics.tau_mem, dynamics.tau_syn
    )
    return jnp.where(rest > 0.0, 0.0, p * away), q * jnp.exp(-rest / dynamics.tau_syn)


@_spikes.def_fwd
def _forward(perturbed: tuple, vjp_arg: tuple, *, duration: float, most: int, pinned: str) -> tuple[Spikes, Spikes]:
    if pinned and any(jax.tree.leaves(perturbed[3])):
        warnings.warn(
            f"event.simulate: the spikes of part {pinned}, which has no synapse, coincide with spikes at its input, whatever the"
            " weights: their times give those weights no gradient. Take CubaLIF, whose current decays.",
            stacklevel=2,
        )
    spikes = _spikes(vjp_arg, duration=duration, most=most, pinned=pinned)
    return spikes, spikes


@_spikes.def_bwd
def _backward(
    spikes: Spikes, cotangent: Spikes, perturbed: tuple, vjp_arg: tuple, *, duration: float, most: int, pinned: str
) -> tuple:
    dynamics, times, indices, weights = vjp_arg
    valid = times < jnp.inf
    jumps, times = jumps_of(weights, times, indices), jnp.minimum(times, duration)
    there = spikes.times < jnp.inf
    sigma = jnp.zeros_like(spikes.times) if cotangent.times is None else cotangent.times
    sigma = jnp.where(there, sigma, 0.0)
    back = backward(dynamics, spikes, sigma)
    p, q = of_events(dynamics, spikes, back, times)
    if dynamics.tau_syn is None:
        d_jumps, d_times = p, jnp.sum(jumps * p / dynamics.tau_mem, axis=1)
    else:
        d_jumps = q
        d_times = jnp.sum(jumps * (q / dynamics.tau_syn - p * dynamics.resistance / dynamics.tau_mem), axis=1)
    # A spike that an event sets off moves with it: it takes the gradient of that spike's time along.
    at_events = spikes.pinned & there & (spikes.event > 0)
    moved = jnp.where(at_events, back.p * spikes.slope - back.p_after * spikes.slope_after + sigma, 0.0)
    if dynamics.tau_syn is None:
        d_times = d_times + jnp.zeros_like(d_times).at[spikes.event - 1].add(moved, mode="drop")
    crossed, zero = there & ~spikes.pinned, jnp.zeros_like(back.p)
    lifted = there & spikes.pinned if dynamics.reset == "subtract" else zero > 0.0
    d_threshold = -jnp.sum(jnp.where(crossed, back.p, zero) + jnp.where(lifted, back.p_after, zero), axis=0)
    d_after = jnp.sum(jnp.where(there, back.p_after, zero), axis=0) if dynamics.reset == "value" else zero[0]
    d_dynamics = of_parameters(
        dynamics,
        perturbed[0],
        lambda d: _before_spikes(d, spikes, times, jumps),
        jnp.where(there, back.p, zero),
        threshold=d_threshold,
        after=d_after,
    )
    d_weights = jnp.zeros_like(weights).at[indices].add(jnp.where(valid[:, None], d_jumps, 0.0))
    return once((d_dynamics, jnp.where(valid, d_times, 0.0), None, d_weights))


def of_parameters(
    dynamics: Dynamics,
    perturbed: Dynamics,
    before_spikes: Callable[[Dynamics], Array],
    p: Array,
    *,
    threshold: Array,
    after: Array,
) -> Dynamics:
    """The gradient of the neurons' parameters; of `threshold` and `after` it is known.

    **Arguments:** `perturbed`: which of them are differentiated; `before_spikes`: the membranes right before the known spikes, as
    functions of the parameters; `p`: of these.
    """
    gradient = jax.tree.map(jnp.zeros_like, dynamics)
    others = eqx.tree_at(lambda d: (d.threshold, d.after), perturbed, (False, False))
    if any(jax.tree.leaves(others)):  # going through all events again, which weights alone do not need
        _, pull = jax.vjp(before_spikes, dynamics)
        (gradient,) = pull(p)
    known = (gradient.threshold + threshold, gradient.after + after)
    return eqx.tree_at(lambda d: (d.threshold, d.after), gradient, known)


@jax.custom_jvp
def _once(x: Array) -> Array:
    return x


@_once.defjvp
def _twice(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    raise TypeError(
        "event.simulate: gradient='eventprop' has first derivatives only, and was differentiated twice; take"
        " gradient='autodiff'."
    )


def once(gradient: _Tree) -> _Tree:
    """A gradient that refuses to be differentiated again: the adjoint takes what it knows of a spike as given."""
    return jax.tree.map(lambda x: _once(x) if eqx.is_inexact_array(x) else x, gradient)


def _before_spikes(dynamics: Dynamics, spikes: Spikes, times: Array, jumps: Array) -> Array:
    """The membranes right before known spikes, `[most, size]`: what the parameters do between one spike and the next.

    Where a membrane starts again is known (`back`), and so is when; both are constants here.
    """
    path = trajectory(dynamics, times, jumps)
    when = jnp.where(spikes.times < jnp.inf, spikes.times, 0.0)
    v, _ = path.read(dynamics, when)
    since = when[:-1] + dynamics.refractory
    free, _ = path.read(dynamics, since)
    fading = (spikes.back[:-1] - free) * jnp.exp(-jnp.maximum(when[1:] - since, 0.0) / dynamics.tau_mem)
    return v + jnp.concatenate([jnp.zeros_like(v[:1]), fading])
