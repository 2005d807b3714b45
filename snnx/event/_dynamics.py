"""The neurons of one layer in continuous time: what the solvers know of them, and what they do as long as none fires."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from snnx._varying import varying_like
from snnx.event._flow import bracket, highest, response, time_at_twice, time_to_level

Reset = Literal["subtract", "value"]


class Dynamics(eqx.Module):
    r"""Membranes, with synapses that decay or without.

    $$ \tau_m \dot v = E - v + R j, \qquad \tau_s \dot j = -j $$

    An event adds its weight to $j$, the current beyond the constant one that is in $E$ already; without synapses (`tau_syn` is
    None) to $v$. At the threshold the membrane is set to `after`, or loses the threshold, and stands still for `refractory`.
    """

    tau_mem: Float[Array, "size"]
    tau_syn: Float[Array, "size"] | None
    rest: Float[Array, "size"]  # E, constant currents included
    resistance: Float[Array, "size"]  # R
    start_v: Float[Array, "size"]
    start_j: Float[Array, "size"]
    threshold: Float[Array, "size"]
    after: Float[Array, "size"]
    reset: Reset = eqx.field(static=True)
    refractory: float = eqx.field(static=True)
    twice: bool = eqx.field(static=True, default=False)  # whether tau_mem is known to be twice tau_syn

    @property
    def size(self) -> int:
        """How many neurons."""
        return self.tau_mem.shape[-1]

    @property
    def dtype(self) -> jnp.dtype:
        """Of state and times."""
        return self.tau_mem.dtype

    def flow(self, v: Array, j: Array, span: Array) -> tuple[Array, Array]:
        """Membrane and current after `span` without events."""
        u = (v - self.rest) * jnp.exp(-span / self.tau_mem)
        if self.tau_syn is None:
            return self.rest + u, j
        return self.rest + u + self.drive(j) * response(span, self.tau_mem, self.tau_syn), self.fade(j, span)

    def fade(self, j: Array, span: Array) -> Array:
        """The current after `span`."""
        return j if self.tau_syn is None else j * jnp.exp(-span / self.tau_syn)

    def drive(self, j: Array) -> Array:
        """What a current raises the membrane to if it lasts."""
        return self.resistance * j

    def add(self, v: Array, j: Array, jump: Array) -> tuple[Array, Array]:
        """Membrane and current behind an event."""
        return (v + jump, j) if self.tau_syn is None else (v, j + jump)

    def slope(self, v: Array, j: Array) -> Array:
        r"""$\dot v$."""
        drive = 0.0 if self.tau_syn is None else self.drive(j)
        return (self.rest - v + drive) / self.tau_mem

    def set_back(self, v: Array) -> Array:
        """The membrane behind a spike."""
        return v - self.threshold if self.reset == "subtract" else jnp.broadcast_to(self.after, v.shape)

    def reaches(self, v: Array, j: Array, span: Array, end: Array) -> Array:
        """Whether a membrane not above its threshold gets above it within `span`, at whose end it is `end`."""
        if self.tau_syn is None:
            return end > self.threshold
        u = v - self.rest
        top = highest(u, self.drive(j), end - self.rest, span, self.tau_mem, self.tau_syn)
        return top > self.threshold - self.rest

    def differentiable(self, v: Array, j: Array, wait: Array, crosses: Array) -> Array:
        """`wait`, the time to the threshold where a membrane `crosses` it, with its derivatives.

        By two steps of Newton's method at the solution, which move it by rounding alone: one is right in the first derivatives,
        by the implicit function theorem, two up to the third.
        """
        for _ in range(2):
            arrived, current = self.flow(v, j, wait)
            slope = jnp.where(crosses, self.slope(arrived, current), 1.0)
            wait = wait - jnp.where(crosses, (arrived - self.threshold) / slope, 0.0)
        return wait

    def time_to_threshold(self, v: Array, j: Array, span: Array) -> Array:
        """When a membrane that gets above its threshold within `span` does. Has no gradient."""
        u, level = v - self.rest, self.threshold - self.rest
        if self.tau_syn is None:
            low = (level < 0.0) & (u < level)
            return self.tau_mem * jnp.log(jnp.where(low, u / jnp.where(low, level, 1.0), 1.0))
        drive = self.drive(j)
        if self.twice:
            return time_at_twice(u, drive, level, span, self.tau_mem)
        after, until = bracket(u, drive, level, span, self.tau_mem, self.tau_syn)
        return time_to_level(u, drive, level, after, until, self.tau_mem, self.tau_syn)


class Trajectory(eqx.Module):
    """Membrane and current of every neuron behind each event of the input, as if none of them ever fired.

    Between spikes all is linear, so that a spike only adds to this what fades.

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
