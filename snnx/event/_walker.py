"""Through the parts of a model: from the signals that go into a part to those that come out of it.

What happens at a neuron follows from its equation: one without a threshold is a readout, one in closed form is solved here, an
ODE by a solver of its own. Neurons that do not feed each other are solved part by part, those of a `Recurrent` or of a cycle in
a `Graph` together. Everything else is linear, or a delay.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe, sentence, unknown_name
from snnx.cells import AbstractCell, replace, walk
from snnx.event._delay import ContinuousDelay
from snnx.event._dynamics import Dynamics, jumps_of, trajectory
from snnx.event._events import Events, ordered
from snnx.event._layer import spikes_by_search
from snnx.event._layer_adjoint import spikes_by_eventprop
from snnx.event._loop import Inputs, Record, run, solve
from snnx.event._loop_adjoint import run_by_eventprop
from snnx.event._membrane import Membrane
from snnx.event._neurons import coincides, dynamics_of, equation_of
from snnx.event._signal import PendingSpikes, Signal, Source
from snnx.event.ode._neuron import AbstractODENeuron
from snnx.event.ode._spikes import spikes_of
from snnx.layers import AbstractContainer, Add, Delay, Graph, Recurrent, is_linear
from snnx.neurons import Equation
from snnx.parameters import AbstractParameter

PerPart = int | Mapping[str, int]


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
        where = f"event.simulate: part {path} ({type(part).__name__})"
        for x in xs:
            if isinstance(x, Membrane):
                raise ValueError(
                    f"{where} is given the membrane of a readout, which has no events; a readout comes last."
                )
            if isinstance(x, dict) and not isinstance(part, (AbstractContainer, Graph)):
                raise ValueError(
                    f"{where} is given several signals by name: {', '.join(x)}; expected one. A snnx.Graph takes several."
                )
        (x, *more) = xs
        if isinstance(part, Add):
            return functools.reduce(Signal.plus, more, x)
        if more:
            raise ValueError(f"{where} joins branches; expected snnx.layers.Add().")
        if isinstance(part, AbstractContainer):
            children = part.children()
            return part.wire(x, lambda name, *given: self.run(_join(path, name), children[name], *given))
        if isinstance(part, Graph):
            return self.graph(path, part, x)
        if isinstance(part, Recurrent):
            return self.recurrent(path, part, x)
        if isinstance(part, (ContinuousDelay, Delay)):
            return self.delay(path, part, x)
        if isinstance(part, AbstractCell):
            return self.neurons(path, part, x)
        return self.linear(path, part, x)

    def linear(self, path: str, part: PyTree, x: Signal) -> Signal:
        where = f"event.simulate: part {path} ({type(part).__name__})"
        if not is_linear(part):
            raise ValueError(
                f"{where} is not known to be linear; between neurons events pass linear layers (eqx.nn.Linear, convolutions,"
                " average and sum pooling, snnx.Flatten, snnx.layers.Scale) and delays. A class of your own says that it is by"
                " linear = True, of somebody else's snnx.layers.register_linear does; write a function as such a class."
            )
        try:
            return x.through(part, self.options.dtype)
        except (TypeError, ValueError, AssertionError) as error:  # some of Equinox's layers assert
            raise ShapeError(
                f"{where} is given shape {x.shape}: {sentence(error).rstrip('.')}. Where a step of the input is no list of"
                " channels, say its shape, as shape=(2, 34, 34)."
            ) from error

    def delay(self, path: str, part: ContinuousDelay | Delay, x: Signal) -> Signal:
        if isinstance(part, ContinuousDelay):
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

    def neurons(self, path: str, part: AbstractCell, x: Signal) -> "Signal | Membrane":
        """Neurons that do not feed each other."""
        options, equation = self.options, equation_of(path, part)
        if not isinstance(equation, Equation):
            return self.by_ode(path, equation, x)
        dynamics, gain = dynamics_of(path, part, equation, x.shape, x.constant)
        times, indices, weights = x.merged(options.dtype)
        weights = weights * gain
        if equation.threshold is None:
            jumps = jumps_of(weights, times, indices)
            return Membrane(dynamics, *_until(times, jumps, options.duration), options.duration)
        most = _of(options.most, path, 8)
        if options.exactly:
            pinned = f"{path} ({type(part).__name__})" if coincides(equation, x.constant) else ""
            found = spikes_by_eventprop(dynamics, times, indices, weights, options.duration, most, pinned=pinned)
        else:
            jumps = jumps_of(weights, times, indices)
            times_until = jnp.minimum(times, options.duration)
            found = spikes_by_search(dynamics, times_until, jumps, options.duration, most, differentiable=True)
        self.phantoms[path] = lambda: _phantoms(dynamics, times, jumps_of(weights, times, indices), options.duration)
        return self.fired(path, found.times, found.more, x.shape)

    def by_ode(self, path: str, neuron: AbstractODENeuron, x: Signal) -> Signal:
        options = self.options

        def phantoms() -> Array:
            raise ValueError(
                f"event.simulate: phantom=True needs neurons in closed form at the end, such as LIF and CubaLIF; part {path} is"
                f" {type(neuron).__name__}, given by an ODE."
            )

        self.phantoms[path] = phantoms
        times, indices, weights = x.merged(options.dtype)
        jumps, most = jumps_of(weights, times, indices), _of(options.most, path, 8)
        found, more = spikes_of(path, neuron, x.shape, times, jumps, x.constant, options.duration, most)
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
                "event.simulate: the model ends in a linear layer; expected neurons that fire, or a readout such as LI, CubaLI."
            )
        if not phantom:
            return events
        path = next((path for path, spikes in self.spikes.items() if spikes is events and path in self.phantoms), None)
        if path is None:
            raise ValueError(
                "event.simulate: phantom=True needs neurons that fire at the end, such as LIF and CubaLIF, with nothing behind."
            )
        silent = events.first() == jnp.inf
        ghosts = jnp.where(silent, self.phantoms[path](), jnp.inf)
        when = jnp.concatenate([events.times, ghosts])
        which = jnp.concatenate([events.indices, jnp.arange(events.size, dtype=jnp.int32)])
        found = ordered(when, which, events.size, when.shape[0])
        return eqx.tree_at(lambda e: e.overflow, found, events.overflow)

    def check_paths(self) -> None:
        """Refuse settings for parts that did not fire; to be called when the walk is over."""
        for name, given in (("most", self.options.most), ("capacity", self.options.capacity)):
            for path in given if isinstance(given, Mapping) else ():
                if path and path not in self.spikes:
                    raise ValueError(unknown_name("event.simulate", f"part in {name}", path, self.spikes))

    def recurrent(self, path: str, part: Recurrent, x: Signal) -> Signal:
        name = _join(path, "neuron")
        pending = Signal((Source(PendingSpikes(None, name, math.prod(x.shape)), None),), None, x.shape)
        back = self.linear(_join(path, "feedback"), part.feedback, pending)
        if back.shape != x.shape:
            raise ShapeError(
                f"event.simulate: part {_join(path, 'feedback')} ({type(part.feedback).__name__}) gives shape {back.shape},"
                f" expected that of the input, {x.shape}."
            )
        return self.loop({name: (part.neuron, _closed_form(name, part.neuron), x.plus(back))})[name]

    def loop(self, neurons: "dict[str, tuple[AbstractCell, Equation, Signal]]") -> dict[str, Signal]:
        """Populations that feed each other: of each, what goes into it, with `PendingSpikes` for the spikes of each other."""
        options, made = self.options, {}
        for name, (part, equation, x) in neurons.items():
            made[name] = dynamics_of(name, part, equation, x.shape, x.constant)
        signals = {name: x for name, (_, _, x) in neurons.items()}
        room = sum(_of(options.capacity, name, _of(options.most, name, 8) * made[name][0].size) for name in neurons)

        def solver(dynamics: Dynamics, inputs: Inputs) -> Record:
            if options.exactly:
                return run_by_eventprop(dynamics, inputs, options.duration, room)
            return run(dynamics, inputs, options.duration, room, differentiable=True)

        dynamics, gains = ([pair[i] for pair in made.values()] for i in (0, 1))
        found = solve(list(neurons), dynamics, gains, list(signals.values()), solver)
        self.spikes.update(found)

        def phantoms(name: str) -> Array:
            times, indices, weights = signals[name].known(found).merged(options.dtype)
            jumps = jumps_of(weights * made[name][1], times, indices)
            return _phantoms(made[name][0], times, jumps, options.duration)

        self.phantoms.update({name: functools.partial(phantoms, name) for name in neurons})
        return {name: Signal((Source(found[name], None),), None, x.shape) for name, x in signals.items()}

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
            """What comes in at a node."""
            given = [found[source] for source in wiring.sources[name]]
            if not given:
                return Signal((), None, shapes[name][0])
            return functools.reduce(Signal.plus, given[1:], given[0]) if len(given) > 1 else given[0]

        for names, cyclic in wiring.components:
            if cyclic:
                values |= self.cycle(path, graph, names, {name: shapes[name][1] for name in names}, values, total)
            else:
                (name,) = names
                values[name] = self.run(_join(path, name), graph.nodes[name], total(name, values))
        outs = {name: total(name, values) for name in graph.outputs}
        return outs if len(outs) > 1 else outs[graph.outputs[0]]

    def cycle(
        self,
        path: str,
        graph: Graph,
        names: Sequence[str],
        shapes: dict[str, tuple[int, ...]],
        outside: dict[str, Any],
        total: Callable[[str, Mapping[str, Any]], Any],
    ) -> dict[str, Any]:
        """What the nodes of a cycle give, its neurons solved together."""
        sources, full = graph.wiring().sources, {name: _join(path, name) for name in names}
        firing = {n: _closed_form(full[n], graph.nodes[n]) for n in names if _is_neuron(graph.nodes[n])}
        waiting = [name for name in names if name not in firing]
        for name in waiting:
            inner = [part for _, part in walk(graph.nodes[name]) if _is_neuron(part)]
            if inner:
                raise ValueError(
                    f"event.simulate: part {full[name]} ({type(graph.nodes[name]).__name__}) stands in a cycle, with"
                    f" {type(inner[0]).__name__} inside; expected neurons, linear layers and delays there, each a node of the"
                    " graph."
                )
        # First the parts between the neurons, for spikes that nobody knows yet: they are linear.
        inside, order = dict(outside), []
        for name in firing:
            pending = PendingSpikes(None, full[name], math.prod(shapes[name]))
            inside[name] = Signal((Source(pending, None),), None, shapes[name])
        while waiting:
            ready = [name for name in waiting if all(source in inside for source in sources[name])]
            if not ready:
                raise ValueError(
                    f"event.simulate: parts {', '.join(map(repr, waiting))} of the graph feed each other without a neuron"
                    " that fires between them; expected one in every cycle."
                )
            for name in ready:
                inside[name] = self.run(full[name], graph.nodes[name], total(name, inside))
            order += ready
            waiting = [name for name in waiting if name not in ready]
        found = self.loop({full[n]: (graph.nodes[n], equation, total(n, inside)) for n, equation in firing.items()})
        # Then the same parts for the spikes as they are: something may lead out of the cycle.
        solved = {name: found[full[name]] for name in firing}
        for name in order:
            solved[name] = self.run(full[name], graph.nodes[name], total(name, outside | solved))
        return solved


def _is_neuron(part: PyTree) -> bool:
    structures = (AbstractContainer, Graph, Recurrent, ContinuousDelay, Delay)
    return isinstance(part, AbstractCell) and not isinstance(part, structures)


def _closed_form(path: str, part: AbstractCell) -> Equation:
    """The equation of a neuron in a loop."""
    equation = equation_of(path, part)
    if not isinstance(equation, Equation) or equation.threshold is None:
        came = "has no threshold" if isinstance(equation, Equation) else "is given by an ODE"
        raise ValueError(
            f"event.simulate: part {path} ({type(part).__name__}) {came}, and feeds itself; a neuron in a loop has to fire, by an"
            " equation in closed form, as LIF and CubaLIF do."
        )
    return equation


def _on_the_clock(graph: Graph) -> Graph:
    """The graph with a delay of nothing for nodes that run in continuous time alone: of the same shapes."""
    alone = (ContinuousDelay, AbstractODENeuron)
    nodes = {name: Delay(0) if isinstance(part, alone) else part for name, part in graph.nodes.items()}
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
