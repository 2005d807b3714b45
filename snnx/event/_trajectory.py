"""Membranes over time that nothing resets: between spikes all is linear, so that a spike only adds what fades."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from snnx._varying import varying_like
from snnx.event._dynamics import Dynamics


class Trajectory(eqx.Module):
    """Membrane and current of every neuron behind each event of the input, as if none of them ever fired.

    **Fields:** `starts`: `[events + 1]`, 0 and the times of the events; `v`, `j`: `[events + 1, size]`; `before`:
    `[events, size]`, the membranes right before the events.
    """

    starts: Float[Array, "starts"]
    v: Float[Array, "starts size"]
    j: Float[Array, "starts size"]
    before: Float[Array, "events size"]

    def read(self, dynamics: Dynamics, times: Float[Array, "*spikes size"]) -> tuple[Array, Array]:
        """Membrane and current at other times, of each neuron its own; behind the events of the same time."""
        starts = self.starts.reshape((-1,) + (1,) * times.ndim)
        at = jnp.sum(starts <= times, axis=0) - 1
        flat = at.reshape(-1, times.shape[-1])
        v, j = (jnp.take_along_axis(x, flat, axis=0).reshape(times.shape) for x in (self.v, self.j))
        return dynamics.flow(v, j, times - self.starts[at])


def jumps_of(weights: Float[Array, "sources size"], times: Array, indices: Int[Array, "events"]) -> Array:
    """What each event adds, `[events, size]`; entries behind the last event add nothing."""
    return jnp.where((times < jnp.inf)[:, None], weights[indices], 0.0)


def trajectory(dynamics: Dynamics, times: Float[Array, "events"], jumps: Float[Array, "events size"]) -> Trajectory:
    """Event after event."""

    def step(state: tuple[Array, Array, Array], event: tuple[Array, Array]) -> tuple[tuple, tuple]:
        (v, j, before), (time, jump) = state, event
        arrived, j = dynamics.flow(v, j, time - before)
        v, j = dynamics.add(arrived, j, jump)
        return (v, j, time), (v, j, arrived)

    zero = jnp.zeros((), dynamics.dtype)
    start = varying_like((dynamics.start_v, dynamics.start_j, zero), dynamics, times, jumps)
    _, (v, j, arrived) = jax.lax.scan(step, start, (times, jumps))
    return Trajectory(
        jnp.concatenate([zero[None], times]),
        jnp.concatenate([dynamics.start_v[None], v]),
        jnp.concatenate([dynamics.start_j[None], j]),
        arrived,
    )
