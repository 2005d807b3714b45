"""Through the parts of a model: from the signals that go into a part to those that come out of it."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe, sentence
from snnx.cells import AbstractCell, replace, walk
from snnx.event._adjoint import spikes_by_eventprop
from snnx.event._component import solve
from snnx.event._delay import Delay
from snnx.event._dynamics import Dynamics
from snnx.event._events import Events, ordered
from snnx.event._layer import spikes_by_search
from snnx.event._membrane import Membrane
from snnx.event._neurons import dynamics_of
from snnx.event._signal import Own, Signal, Source, check_is_linear
from snnx.event._trajectory import jumps_of, trajectory
from snnx.event.ode._neuron import AbstractODENeuron
from snnx.event.ode._spikes import spikes_of
from snnx.layers import AbstractContainer, Add, Graph, Recurrent
from snnx.layers import Delay as ClockDelay
from snnx.neurons import LI, LIF, CubaLI, CubaLIF
from snnx.parameters import AbstractParameter, value

PerPart = int | Mapping[str, int]
FIRING = (LIF, CubaLIF, AbstractODENeuron)


class Options(NamedTuple):
    """Those of `simulate`; `exactly`: by EventProp rather than by differentiating the solver."""

    duration: float
    most: PerPart
    capacity: PerPart | None
    exactly: bool
    phantom: bool
    dtype: jnp.dtype


class Walker(NamedTuple):
    """Takes signals through the parts of a model, and notes the spikes of each, and what its silent neurons' phantoms are."""

    options: Options
    spikes: dict[str, Events]
    phantoms: dict[str, Callable[[], Array]]

    def run(self, path: str, part: PyTree, *xs: Any) -> Any:
        for x in xs:
            if isinstance(x, Membrane):
                raise ValueError(
                    f"event.simulate: part {path} ({type(part).__name__}) is given the membrane of a readout, which has no"
                    " events; a readout comes last."
                )
            if isinstance(x, dict) and not isinstance(part, (AbstractContainer, Graph)):
                raise ValueError(
                    f"event.simulate: part {path} ({type(part).__name__}) is given several signals by name: {', '.join(x)};"
                    " expected one. A snnx.Graph takes several."
                )
        (x, *more) = xs
        if isinstance(part, Add):
            return functools.reduce(Signal.plus, more, x)
        if more:
            raise ValueError(
                f"event.simulate: part {path} ({type(part).__name__}) joins branches; expected snnx.layers.Add()."
            )
        if isinstance(part, AbstractContainer):
            children = part.children()
            return part.wire(x, lambda name, *given: self.run(_join(path, name), children[name], *given))
        if isinstance(part, Graph):
            return self.graph(path, part, x)
        if isinstance(part, Recurrent):
            return self.recurrent(path, part, x)
        if isinstance(part, (Delay, ClockDelay)):
            return self.delay(path, part, x)
        if isinstance(part, (LI, CubaLI)):
            return self.readout(path, part, x)
        if isinstance(part, AbstractODENeuron):
            return self.by_equation(path, part, x)
        if isinstance(part, AbstractCell):
            return self.layer(path, part, x)
        return self.linear(path, part, x)

    def linear(self, path: str, part: PyTree, x: Signal) -> Signal:
        check_is_linear(path, part)
        try:
            return x.through(part, self.options.dtype)
        except (TypeError, ValueError, AssertionError) as error:  # some of Equinox's layers assert
            raise ShapeError(
                f"event.simulate: part {path} ({type(part).__name__}) is given shape {x.shape}: {sentence(error).rstrip('.')}."
                " Where a step of the input is no list of channels, say its shape, as shape=(2, 34, 34)."
            ) from error

    def delay(self, path: str, part: "Delay | ClockDelay", x: Signal) -> Signal:
        if isinstance(part, Delay):
            times = part.times()
        else:
            times = jnp.asarray(part.delays).reshape(part.shape or ())
        if times.shape not in ((), x.shape):
            raise ShapeError(f"event.simulate: part {path} has delays {describe(times)}, but is given shape {x.shape}.")
        if isinstance(times, Tracer) and not isinstance(getattr(part, "delay", None), AbstractParameter):
            times = eqx.error_if(
                times, times < 0, f"event.simulate: part {path} got a delay < 0; keep it above with snnx.Positive(...)."
            )
        return x.delayed(path, times.astype(self.options.dtype))

    def readout(self, path: str, part: "LI | CubaLI", x: Signal) -> Membrane:
        dynamics, gain = dynamics_of(path, part, x.shape, x.constant)
        times, indices, weights = x.merged(self.options.dtype)
        jumps = jumps_of(weights * gain, times, indices)
        return Membrane(dynamics, *_until(times, jumps, self.options.duration), self.options.duration)

    def layer(self, path: str, part: AbstractCell, x: Signal) -> Signal:
        options = self.options
        dynamics, gain = dynamics_of(path, part, x.shape, x.constant)
        times, indices, weights = x.merged(options.dtype)
        weights, most = weights * gain, _of(options.most, path, 8)
        if options.exactly:
            pinned = path if _coincides(part, x) else ""
            found = spikes_by_eventprop(dynamics, times, indices, weights, options.duration, most, pinned=pinned)
        else:
            jumps = jumps_of(weights, times, indices)
            times_until = jnp.minimum(times, options.duration)
            found = spikes_by_search(dynamics, times_until, jumps, options.duration, most, differentiable=True)
        self.phantoms[path] = lambda: _phantoms(dynamics, times, jumps_of(weights, times, indices), options.duration)
        return self.fired(path, found.times, found.more, x.shape)

    def by_equation(self, path: str, part: AbstractODENeuron, x: Signal) -> Signal:
        options, kind = self.options, type(part).__name__
        if any(isinstance(source.events, Own) for source in x.sources):
            raise ValueError(
                f"event.simulate: part {path} ({kind}) is given by an ODE, and in a loop that feeds back; expected it outside of"
                " loops. In loops: LIF, CubaLIF."
            )

        def phantoms() -> Array:
            raise ValueError(
                f"event.simulate: phantom=True needs LIF or CubaLIF at the end, but part {path} is {kind}, given by an ODE."
            )

        self.phantoms[path] = phantoms
        times, indices, weights = x.merged(options.dtype)
        jumps, most = jumps_of(weights, times, indices), _of(options.most, path, 8)
        found, more = spikes_of(path, part, x.shape, times, jumps, x.constant, options.duration, most)
        return self.fired(path, found, more, x.shape)

    def fired(self, path: str, times: Array, more: Array, shape: tuple[int, ...]) -> Signal:
        """`times`: `[most, size]`, of each neuron's spikes."""
        neurons = jnp.broadcast_to(jnp.arange(times.shape[1], dtype=jnp.int32), times.shape)
        spikes = ordered(times.ravel(), neurons.ravel(), times.shape[1], _of(self.options.capacity, path, times.size))
        self.spikes[path] = eqx.tree_at(lambda e: e.overflow, spikes, spikes.overflow | more)
        return Signal((Source(self.spikes[path], None),), None, shape)

    def result(self, x: Any) -> "Events | Membrane":
        """What a model ends in."""
        phantom = self.options.phantom
        if isinstance(x, Membrane):
            if phantom:
                raise ValueError(
                    "event.simulate: phantom=True needs neurons that fire at the end, but there is a readout."
                )
            return x
        events = x.sources[0].events if len(x.sources) == 1 and x.sources[0].weights is None else None
        if not isinstance(events, Events):
            raise ValueError(
                "event.simulate: the model ends in a linear layer; expected neurons that fire, or a readout LI or CubaLI."
            )
        if not phantom:
            return events
        path = next((path for path, spikes in self.spikes.items() if spikes is events and path in self.phantoms), None)
        if path is None:
            raise ValueError("event.simulate: phantom=True needs LIF or CubaLIF at the end, with nothing behind them.")
        silent = events.first() == jnp.inf
        ghosts = jnp.where(silent, self.phantoms[path](), jnp.inf)
        when = jnp.concatenate([events.times, ghosts])
        which = jnp.concatenate([events.indices, jnp.arange(events.size, dtype=jnp.int32)])
        found = ordered(when, which, events.size, when.shape[0])
        return eqx.tree_at(lambda e: e.overflow, found, events.overflow)

    def recurrent(self, path: str, part: Recurrent, x: Signal) -> Signal:
        name = _join(path, "neuron")
        if not isinstance(part.neuron, (LIF, CubaLIF)):
            raise ValueError(
                f"event.simulate: part {path} is a Recurrent of {type(part.neuron).__name__}; expected LIF or CubaLIF. Other"
                " loops: snnx.Graph."
            )
        own = Signal((Source(Own(None, name, math.prod(x.shape)), None),), None, x.shape)
        back = self.linear(_join(path, "feedback"), part.feedback, own)
        if back.shape != x.shape:
            raise ShapeError(
                f"event.simulate: part {_join(path, 'feedback')} ({type(part.feedback).__name__}) gives shape {back.shape},"
                f" expected that of the input, {x.shape}."
            )
        return self.loop([name], {name: part.neuron}, {name: x.plus(back)})[name]

    def loop(self, names: Sequence[str], parts: dict[str, Any], signals: dict[str, Signal]) -> dict[str, Signal]:
        """Populations that feed each other."""
        options, made = self.options, {}
        for name in names:
            made[name] = dynamics_of(name, parts[name], signals[name].shape, signals[name].constant)
        room = sum(_of(options.capacity, name, _of(options.most, name, 8) * made[name][0].size) for name in names)
        dynamics, gains = [made[name][0] for name in names], [made[name][1] for name in names]
        given = [signals[name] for name in names]
        found = solve(list(names), dynamics, gains, given, options.duration, room, exactly=options.exactly)
        self.spikes.update(found)

        def phantoms(name: str) -> Array:
            times, indices, weights = signals[name].known(found).merged(options.dtype)
            jumps = jumps_of(weights * made[name][1], times, indices)
            return _phantoms(made[name][0], times, jumps, options.duration)

        self.phantoms.update({name: functools.partial(phantoms, name) for name in names})
        return {name: Signal((Source(found[name], None),), None, signals[name].shape) for name in names}

    def graph(self, path: str, graph: Graph, x: Any) -> Any:
        values: dict[str, Any] = dict(x) if isinstance(x, dict) else {graph.inputs[0]: x}
        if set(values) != set(graph.inputs):
            raise ValueError(
                f"event.simulate: events has {', '.join(map(repr, values))}; expected {', '.join(map(repr, graph.inputs))}, the"
                " graph's inputs."
            )
        wiring = graph.wiring()
        shape = {name: signal.shape for name, signal in values.items()}
        shapes = _on_the_clock(graph).step_shapes(shape if len(shape) > 1 else next(iter(shape.values())))

        def total(name: str, found: Mapping[str, Any]) -> Any:
            given = [found[source] for source in wiring.sources[name]]
            if not given:
                return Signal((), None, shapes[name][0])
            return functools.reduce(Signal.plus, given[1:], given[0]) if len(given) > 1 else given[0]

        for names, cyclic in wiring.components:
            if not cyclic:
                (name,) = names
                values[name] = self.run(_join(path, name), graph.nodes[name], total(name, values))
                continue
            firing = [name for name in names if isinstance(graph.nodes[name], (LIF, CubaLIF))]
            full = {name: _join(path, name) for name in firing}
            inside = dict(values)
            for name in firing:
                size = math.prod(shapes[name][1])
                inside[name] = Signal((Source(Own(None, full[name], size), None),), None, shapes[name][1])
            waiting = [name for name in names if name not in firing]
            for name in waiting:
                inner = [part for _, part in walk(graph.nodes[name]) if isinstance(part, (*FIRING, LI, CubaLI))]
                if inner and not isinstance(graph.nodes[name], AbstractODENeuron):
                    raise ValueError(
                        f"event.simulate: part {_join(path, name)} ({type(graph.nodes[name]).__name__}) stands in a cycle, with"
                        f" {type(inner[0]).__name__} inside; expected LIF, CubaLIF, linear layers and delays there, each a node"
                        " of the graph."
                    )
            while waiting:
                ready = [name for name in waiting if all(source in inside for source in wiring.sources[name])]
                if not ready:
                    raise ValueError(
                        f"event.simulate: parts {', '.join(map(repr, waiting))} of the graph feed each other without a neuron"
                        " that fires between them; expected one in every cycle."
                    )
                for name in ready:
                    inside[name] = self.run(_join(path, name), graph.nodes[name], total(name, inside))
                waiting = [name for name in waiting if name not in ready]
            parts = {full[name]: graph.nodes[name] for name in firing}
            found = self.loop([full[n] for n in firing], parts, {full[n]: total(n, inside) for n in firing})
            values |= {name: found[full[name]] for name in firing}
            solved = dict(values)
            for name in names:  # what leads out of the loop, now that its spikes are known
                if name not in firing and all(source in solved for source in wiring.sources[name]):
                    solved[name] = self.run(_join(path, name), graph.nodes[name], total(name, solved))
            values |= solved
        outs = {name: total(name, values) for name in graph.outputs}
        return outs if len(outs) > 1 else outs[graph.outputs[0]]


def _coincides(part: AbstractCell, x: Signal) -> bool:
    """Whether a neuron is known to fire only when an event lifts it: it has no synapse, and rests below its threshold."""
    if not isinstance(part, LIF) or x.constant is not None:
        return False
    rest, threshold = value(part.v_leak), value(part.threshold)
    known = isinstance(rest, (int, float)) and isinstance(threshold, (int, float))
    return bool(known and rest < threshold)


def _on_the_clock(graph: Graph) -> Graph:
    """The graph with a delay of nothing for nodes that run in continuous time alone: of the same shapes."""
    alone = (Delay, AbstractODENeuron)
    nodes = {name: ClockDelay(0) if isinstance(part, alone) else part for name, part in graph.nodes.items()}
    return replace(graph, nodes=nodes)


def _phantoms(dynamics: Dynamics, times: Array, jumps: Array, duration: float) -> Array:
    """The end, moved by the membrane there; of neurons that do not fire."""
    path = trajectory(dynamics, *_until(times, jumps, duration))
    v, _ = dynamics.flow(path.v[-1], path.j[-1], jnp.asarray(duration, dynamics.dtype) - path.starts[-1])
    scale = jax.lax.stop_gradient(dynamics.tau_mem / dynamics.threshold)
    return duration - (v - jax.lax.stop_gradient(v)) * scale


def _until(times: Array, jumps: Array, duration: float) -> tuple[Array, Array]:
    """What happens up to `duration`; entries behind it do nothing, at its end."""
    there = times <= duration
    return jnp.where(there, times, duration), jnp.where(there[:, None], jumps, 0.0)


def _of(given: PerPart | None, path: str, default: int) -> int:
    if isinstance(given, Mapping):
        return given.get(path, given.get("", default))
    return default if given is None else given


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
