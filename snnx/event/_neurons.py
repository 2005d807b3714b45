"""From a neuron with a clock to its equation: the same parameters, no steps."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from snnx.cells import cell_dtype
from snnx.event._dynamics import Dynamics, Reset
from snnx.neurons import LI, LIF, CubaLI, CubaLIF, NoReset, ValueReset, gain, relaxation
from snnx.parameters import value


def dynamics_of(path: str, neuron: Any, shape: tuple[int, ...], constant: Array | None) -> tuple[Dynamics, Array]:
    """The equation of a neuron, flat, and what an event of weight 1 adds: what it adds at a step of the neuron's clock.

    **Arguments:** `constant`: what its input adds at every step (a bias): a constant current, or for neurons without a synapse
    another resting value.
    """
    kind = type(neuron)
    if kind not in (LI, LIF, CubaLI, CubaLIF):
        raise ValueError(
            f"event.simulate: part {path} ({kind.__name__}) has no solution in closed form here; those that have: LIF, CubaLIF,"
            " and as readouts LI, CubaLI. Neurons given by an ODE: snnx.event.ode."
        )
    dtype = cell_dtype(neuron)

    def flat(x: Any) -> Array:
        return jnp.broadcast_to(jnp.asarray(x, dtype), shape).reshape(-1)

    v_leak = value(neuron.v_leak)
    if isinstance(neuron, (LI, LIF)):
        lam = relaxation(neuron.tau, neuron.dt, neuron.method)
        per_event, tau_mem, tau_syn, resistance = gain(neuron.r, lam), flat(value(neuron.tau)), None, flat(1.0)
        current = None if constant is None else constant * per_event / lam
        rest = v_leak if current is None else v_leak + current
        start_j, twice = flat(0.0), False
    else:
        lam = relaxation(neuron.tau_syn, neuron.dt, neuron.method)
        per_event, tau_mem, tau_syn = gain(neuron.w_in, lam), flat(value(neuron.tau_mem)), flat(value(neuron.tau_syn))
        leak = relaxation(neuron.tau_mem, neuron.dt, neuron.method)
        ohm = 1.0 / leak if neuron.r is None else value(neuron.r)
        # Of what comes at every step the mean current: an exact step lets it decay, the others hold it.
        held = neuron.dt / value(neuron.tau_syn) if neuron.method == "exact" else lam
        current = None if constant is None else constant * per_event / held
        rest = v_leak if current is None else v_leak + ohm * current
        start_j, resistance = flat(0.0 if current is None else -current), flat(ohm)
        mem, syn = value(neuron.tau_mem), value(neuron.tau_syn)
        twice = isinstance(mem, (int, float)) and isinstance(syn, (int, float)) and mem == 2 * syn
    threshold, after, reset = flat(jnp.inf), flat(0.0), "subtract"
    if isinstance(neuron, (LIF, CubaLIF)):
        threshold = flat(value(neuron.threshold))
        if isinstance(neuron.reset, NoReset):
            raise ValueError(
                f"event.simulate: part {path} ({kind.__name__}) has NoReset(): without a reset it would fire without end while"
                " it is above its threshold. Take SubtractReset() or ValueReset(v_reset)."
            )
        _check_ends(path, neuron)
        if isinstance(neuron.reset, ValueReset):
            after, reset = flat(value(neuron.reset.v_reset)), "value"
    dynamics = Dynamics(
        tau_mem,
        tau_syn,
        flat(rest),
        resistance,
        flat(v_leak),
        start_j,
        threshold,
        after,
        _as_reset(reset),
        float(getattr(neuron, "refractory", 0) * neuron.dt),
        twice,
    )
    return dynamics, flat(per_event)


def _check_ends(path: str, neuron: LIF | CubaLIF) -> None:
    """Refuse, where numbers are known, a reset that leaves a membrane at its threshold or above it: it fires without end."""
    by_value, level = isinstance(neuron.reset, ValueReset), value(neuron.threshold)
    after = value(neuron.reset.v_reset) if isinstance(neuron.reset, ValueReset) else level
    known = isinstance(level, (int, float)) and isinstance(after, (int, float))
    if known and not neuron.refractory and (after >= level if by_value else level <= 0.0):
        came = f"v_reset {after} and threshold {level}" if by_value else f"threshold {level}, which its reset subtracts"
        raise ValueError(
            f"event.simulate: part {path} ({type(neuron).__name__}) has {came}: it would fire without end. Expected"
            f" {'v_reset below the threshold' if by_value else 'a threshold > 0'}, or a refractory time."
        )


def _as_reset(name: str) -> Reset:
    return "value" if name == "value" else "subtract"
