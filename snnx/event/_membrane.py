from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from numpy import ndarray

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._jitted import run_jitted
from snnx._typing import NotNegative
from snnx.event._dynamics import Dynamics, trajectory
from snnx.event._flow import time_of_extremum


class Membrane(eqx.Module):
    """The membranes of a readout as functions of time: what `simulate` gives for a model that ends in `LI` or `CubaLI`.

    They follow in closed form from the events, and so do `at`, `integral`, `mean` and `maximum`; all are differentiable.

    **Fields:** `dynamics`; `times`: `[events]` of the input; `jumps`: `[events, size]`, what each event adds; `duration`.
    """

    dynamics: Dynamics
    times: Float[Array, "events"]
    jumps: Float[Array, "events size"]
    duration: float = eqx.field(static=True)

    @checked
    def at(
        self, times: Float[Array, "samples"] | Int[Array, "samples"] | ndarray | Sequence[float]
    ) -> Float[Array, "samples size"]:
        """Values at these times, from 0 to `duration`, behind events of the same time. Other times give NaN."""
        when = jnp.asarray(times, self.dynamics.dtype)
        if when.ndim != 1:
            raise ShapeError(f"Membrane.at: times is {describe(when)}, expected a list [samples].")
        return run_jitted(_at, self, when)

    @checked
    def integral(self, decay: NotNegative = 0.0) -> Float[Array, "size"]:
        r"""$\int_0^T e^{-\mu t}\, v\, dt$ with $\mu$ = `decay` >= 0: with $1/T$ the exponential loss shaping.

        From the equation itself, integrated once:
        $(1/\tau_m + \mu) \int e^{-\mu t} u = u(0) - e^{-\mu T} u(T) + \frac{R}{\tau_m} \int e^{-\mu t} j$, and alike for $j$.
        """
        return run_jitted(_integral, self, decay)

    def mean(self) -> Float[Array, "size"]:
        r"""$\frac{1}{T} \int_0^T v\, dt$."""
        return self.integral() / self.duration

    def maximum(self) -> Float[Array, "size"]:
        """The highest value that each membrane gets to; its gradient is that of the membrane at this time."""
        return run_jitted(_maximum, self)


def _at(membrane: Membrane, when: Float[Array, "samples"]) -> Float[Array, "samples size"]:
    d = membrane.dynamics
    path = trajectory(d, membrane.times, membrane.jumps)
    index = jnp.searchsorted(path.starts, when, side="right") - 1
    lag = jnp.maximum(when - path.starts[index], 0.0)[:, None]
    v, _ = d.flow(path.v[index], path.j[index], lag)
    return jnp.where(((when >= 0.0) & (when <= membrane.duration))[:, None], v, jnp.nan)


def _integral(membrane: Membrane, decay: float) -> Float[Array, "size"]:
    d, end = membrane.dynamics, jnp.exp(-decay * membrane.duration)
    path = trajectory(d, membrane.times, membrane.jumps)
    last = jnp.asarray(membrane.duration, d.dtype) - path.starts[-1]
    v, j = d.flow(path.v[-1], path.j[-1], last)
    jumps = jnp.sum(jnp.exp(-decay * membrane.times)[:, None] * membrane.jumps, axis=0)
    rest = d.rest * (membrane.duration if decay == 0.0 else (1.0 - end) / decay)
    lost = (d.start_v - d.rest) - end * (v - d.rest)
    if d.tau_syn is None:
        return rest + (lost + jumps) / (1.0 / d.tau_mem + decay)
    current = (d.start_j + jumps - end * j) / (1.0 / d.tau_syn + decay)
    return rest + (lost + d.resistance / d.tau_mem * current) / (1.0 / d.tau_mem + decay)


def _maximum(membrane: Membrane) -> Float[Array, "size"]:
    d = membrane.dynamics
    path = trajectory(d, membrane.times, membrane.jumps)
    ends = jnp.append(path.starts[1:], jnp.asarray(membrane.duration, d.dtype))
    span = (ends - path.starts)[:, None]
    at_ends, _ = d.flow(path.v, path.j, span)
    highest = jnp.maximum(_highest(path.v), _highest(at_ends))
    if d.tau_syn is None:
        return highest
    u, drive = path.v - d.rest, d.drive(path.j)
    peak = jax.lax.stop_gradient(time_of_extremum(u, drive, d.tau_mem, d.tau_syn))
    inside = (drive > 0.0) & (u < drive) & (peak > 0.0) & (peak < span)
    at_peaks, _ = d.flow(path.v, path.j, jnp.where(inside, peak, 0.0))
    return jnp.maximum(highest, _highest(at_peaks))


def _highest(v: Float[Array, "stretches size"]) -> Float[Array, "size"]:
    """The highest of each column. By its place: a maximum's own gradient compares it with every number, and where a compiler
    has rounded the two differently, none is equal and the gradient is 0/0."""
    return jnp.take_along_axis(v, jnp.argmax(jax.lax.stop_gradient(v), axis=0)[None], axis=0)[0]
