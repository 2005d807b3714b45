"""From one event to the next, or to a spike before that: what diffrax is called for."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from snnx._errors import missing_extra
from snnx.event.ode._neuron import AbstractODENeuron

_FAST = 8.0  # thresholds per stretch: above this speed the path is measured along the membrane rather than along time
_FIRST_STEP = 0.01  # of a stretch
_LONGEST = 1e6  # stretches; no path is that long
_ROUNDING = 16.0  # units in the last place


def stretch(
    neuron: AbstractODENeuron,
    state: PyTree,
    current: Float[Array, ""],
    span: Float[Array, ""],
    wanted: Bool[Array, ""],
) -> tuple[Bool[Array, ""], Float[Array, ""], PyTree, Bool[Array, ""]]:
    r"""One neuron for `span`, or until it gets to its threshold: whether it did, when, its state there, and if that was found.

    The state is solved along the length $s$ of its path rather than along time,

    $$ \frac{dt}{ds} = \frac{T}{g}, \qquad \frac{dy}{ds} = F(y)\, \frac{dt}{ds}, \qquad
       g = \sqrt{1 + \left(\frac{T}{8\, \vartheta_0}\, \frac{d\vartheta}{dt}\right)^2} $$

    with $T$ the span and $\vartheta_0$ the threshold's distance from the reset. An upstroke takes next to no time, but as long
    a path as anything else: no step gets too short for the precision of times. Where it is not `wanted`, one step is taken.
    """
    try:
        import diffrax
        import optimistix
    except ImportError as error:
        missing_extra("snnx.event.ode", "diffrax", "ode", error)

    dtype = span.dtype
    eps = float(jnp.finfo(dtype).eps)
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    span = jnp.where(wanted, span, one)
    unit = jax.lax.stop_gradient(span)
    level = jnp.abs(jax.lax.stop_gradient(neuron.threshold(neuron.reset(state))))
    level = _FAST * jnp.where(level == 0.0, one, level)

    def path(t: Any, y: tuple, args: tuple) -> tuple:
        neuron, current, _, unit, level, _ = args
        rates = neuron.vector_field(y[1], current)
        _, speed = jax.jvp(neuron.threshold, (y[1],), (rates,))
        step = unit / jnp.sqrt(1.0 + (unit / level * speed) ** 2)
        return step, jax.tree.map(lambda rate: rate * step, rates)

    def ahead(t: Any, y: tuple, args: tuple, **kwargs: Any) -> Array:
        neuron, _, span, unit, level, wanted = args
        elapsed, state = y
        return jnp.maximum(jnp.where(wanted, neuron.threshold(state) / level, -1.0), (elapsed - span) / unit)

    solver = neuron.solver
    tolerance = (1e-8 if dtype == jnp.float64 else 1e-6) if solver.tolerance is None else solver.tolerance
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(path),
        diffrax.Tsit5(),
        zero,
        jnp.asarray(_LONGEST, dtype),
        jnp.asarray(_FIRST_STEP, dtype),
        (jnp.where(wanted, zero, one), state),
        (neuron, current, span, unit, level, wanted),
        stepsize_controller=diffrax.PIDController(
            rtol=tolerance, atol=tolerance, dtmax=None if solver.max_step is None else solver.max_step / unit
        ),
        event=diffrax.Event(
            ahead, optimistix.Bisection(rtol=_ROUNDING * eps, atol=_ROUNDING * eps, flip=False), direction=True
        ),
        adjoint=diffrax.DirectAdjoint(),  # forwards too; and backwards in less memory than by checkpoints, and no slower
        max_steps=solver.max_steps,
        throw=False,
    )
    elapsed, state = jax.tree.map(lambda x: x[-1], solution.ys)
    found = solution.result == diffrax.RESULTS.event_occurred
    crossed = neuron.threshold(state) / level > (elapsed - span) / unit
    return crossed, elapsed, state, found
