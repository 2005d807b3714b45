"""The spikes of neurons that are given by an ODE and do not feed each other, from event to event, or to a spike before that."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from snnx._errors import missing_extra
from snnx._varying import varying_like
from snnx.event.ode._neuron import AbstractODENeuron
from snnx.parameters import AbstractParameter, check_parameter_shape, value

_FAST = 8.0  # thresholds per stretch: above this speed the path is measured along the membrane rather than along time
_FIRST_STEP = 0.01  # of a stretch
_LONGEST = 1e6  # stretches; no path is that long
_ROUNDING = 16.0  # units in the last place


class _Progress(eqx.Module):
    """Of a neuron: its state at `time`, how many events it has had, whether it is through, and if all was well."""

    state: PyTree
    time: Float[Array, "*size"]
    seen: Array
    done: Bool[Array, "*size"]
    found: Bool[Array, "*size"]


def spikes_of(
    path: str,
    neuron: AbstractODENeuron,
    shape: tuple[int, ...],
    times: Float[Array, "events"],
    jumps: Float[Array, "events size"],
    constant: Array | None,
    duration: float,
    most: int,
) -> tuple[Float[Array, "most size"], Bool[Array, ""]]:
    """At most `most` spikes of each neuron up to `duration`, `inf` where there are fewer; whether there would be more.

    **Arguments:** `jumps`: what each event is worth to each neuron; `constant`: a current, of `shape`.
    """
    dtype, size = times.dtype, jumps.shape[1]
    shared, own = _one_each(path, neuron, shape, dtype)
    current = jnp.zeros(size, dtype) if constant is None else constant.astype(dtype).reshape(-1)
    due = jnp.append(times, jnp.inf)
    weights = jnp.concatenate([jumps, jnp.zeros((1, size), dtype)])
    end = jnp.asarray(duration, dtype)

    def begin(own: dict[str, Array]) -> _Progress:
        zero, no = jnp.zeros((), dtype), jnp.zeros((), bool)
        state = _with(shared, own).init_state(())
        state = jax.tree.map(lambda x: jnp.asarray(x, dtype), state)
        return _Progress(state, zero, jnp.zeros((), jnp.int32), no, ~no)

    def go_on(own: dict[str, Array], current: Array, weights: Array, now: _Progress) -> tuple[_Progress, Array]:
        neuron = _with(shared, own)
        arrives = due[now.seen] < end
        stop = jnp.where(arrives, due[now.seen], end)
        span = stop - now.time
        above = neuron.threshold(now.state) > 0.0
        runs = ~now.done & ~above & (span > 0.0)
        crossed, elapsed, later, found = _stretch(neuron, now.state, current, span, runs)
        # Where no time passes: the state as it is, and yet with the derivative by the times at either end.
        rates = neuron.vector_field(now.state, current)
        still = jax.tree.map(lambda y, rate: y + rate * jnp.where(above | now.done, 0.0, span), now.state, rates)
        state = _either(runs, later, still)
        fires = ~now.done & (above | (runs & crossed))
        time = jnp.where(above, now.time, now.time + elapsed)
        arrived = _either(arrives, neuron.jump(state, weights[now.seen]), state)
        new = _Progress(
            _either(fires, neuron.reset(state), arrived),
            jnp.where(fires, time, stop),
            now.seen + (arrives & ~fires).astype(jnp.int32),
            (~fires & ~arrives) | (runs & ~found),
            now.found & (found | ~runs),
        )
        return _either(now.done, now, new), jnp.where(fires, time, jnp.inf)

    def step(now: _Progress, _: None) -> tuple[_Progress, Array]:
        def skip(now: _Progress) -> tuple[_Progress, Array]:
            return now, jnp.full(size, jnp.inf, dtype)

        def go(now: _Progress) -> tuple[_Progress, Array]:
            return jax.vmap(go_on, in_axes=(0, 0, 1, 0))(own, current, weights, now)

        return jax.lax.cond(jnp.all(now.done), skip, go, now)

    start = varying_like(jax.vmap(begin, axis_size=size)(own), own, current, due, weights)
    last, found = jax.lax.scan(step, start, length=times.shape[0] + most + 1)  # all events, all spikes, and the end
    found = eqx.error_if(
        found,
        ~jnp.all(last.found),
        f"event.simulate: part {path} ({type(neuron).__name__}): its equation was not solved in the steps that there are between"
        " two events, or its state is not finite. Raise max_steps, or tolerance, in its ode.Solver(...).",
    )
    more = jnp.any(~last.done) | jnp.any(jnp.sum(found < jnp.inf, axis=0) > most)
    return jnp.sort(found, axis=0)[:most], more


def _stretch(
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


def _one_each(
    path: str, neuron: AbstractODENeuron, shape: tuple[int, ...], dtype: jnp.dtype
) -> tuple[AbstractODENeuron, dict[str, Array]]:
    """What all neurons have in common, and by name the parameters of each, `[size]`."""
    own = {}
    for field in dataclasses.fields(neuron):
        given = getattr(neuron, field.name)
        if isinstance(given, AbstractParameter) or eqx.is_array(given):
            check_parameter_shape(f"event.simulate: part {path} ({type(neuron).__name__})", field.name, given, shape)
            own[field.name] = jnp.broadcast_to(jnp.asarray(value(given), dtype), shape).reshape(-1)
    return neuron, own


def _with(neuron: AbstractODENeuron, own: dict[str, Array]) -> AbstractODENeuron:
    """The neuron with other parameters."""
    if not own:
        return neuron
    return eqx.tree_at(
        lambda n: [getattr(n, name) for name in own],
        neuron,
        list(own.values()),
        is_leaf=lambda x: isinstance(x, AbstractParameter),
    )


def _either(condition: Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)
