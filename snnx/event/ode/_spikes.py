"""The spikes of neurons given by an equation, that are not connected to each other."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from snnx._varying import varying_like
from snnx.event.ode._neuron import AbstractODENeuron
from snnx.event.ode._stretch import stretch
from snnx.parameters import AbstractParameter, check_parameter_shape, value


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
        crossed, elapsed, later, found = stretch(neuron, now.state, current, span, runs)
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
