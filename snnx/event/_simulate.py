import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, PyTree

from snnx._errors import DtypeError, ShapeError, describe, unknown_name
from snnx.cells import AbstractCell, cell_dtype, replace, walk
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

Gradient = Literal["eventprop", "autodiff"]
Overflow = Literal["error", "report"]
PerPart = int | Mapping[str, int]
FIRING = (LIF, CubaLIF, AbstractODENeuron)


class Run(eqx.Module):
    """What `simulate` returns.

    **Fields:**
    - `output`: `Events` of the last neurons, with their phantoms, or a `Membrane` where the model ends in a readout; of a graph
        with several outputs a dict by name.
    - `spikes`: the `Events` of every part that fires, by its path; without phantoms.
    - `overflow`: whether there were more events anywhere than there was room for.
    """

    output: Any
    spikes: dict[str, Events]
    overflow: Bool[Array, ""]


class _Options(NamedTuple):
    duration: float
    most: PerPart
    capacity: PerPart | None
    exactly: bool
    phantom: bool
    dtype: jnp.dtype


def simulate(
    model: AbstractCell,
    events: "Events | Mapping[str, Events]",
    *,
    duration: float,
    most: PerPart = 8,
    capacity: PerPart | None = None,
    gradient: Gradient = "eventprop",
    overflow: Overflow = "error",
    phantom: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Run:
    r"""Run a network in continuous time, from spike to spike, and differentiate it exactly.

    The same model as on the clock. Between events membranes follow their equation in closed form; an event adds what it adds at
    one step of the neurons' clock (`dt` has no other meaning here). A bias is a constant current. Feedback arrives at
    once, but for delays. Neurons that do not feed each other are solved layer by layer: only the times of spikes pass between.

    ```python
    events = snnx.event.make_events([3.0, 1.5], [0, 2], size=5)
    run = snnx.event.simulate(model, events, duration=60.0)
    run.output.first()                                             # first spikes, if the model ends in neurons that fire
    run.output.mean(), run.output.maximum(), run.output.at(times)  # a readout's membranes
    many = jax.vmap(lambda e: snnx.event.simulate(model, e, duration=60.0).output.first())(batch_of_events)
    ```

    **Arguments:**
    - `model`: `LIF` and `CubaLIF` with `SubtractReset` or `ValueReset`, of any `method`; `LI`, `CubaLI` at the end; in
        `Sequential`, `Recurrent`, `Graph`, `Parallel` and `Residual` with `Add`; `Delay` (of either kind) and linear layers
        between; outside of loops neurons given by an equation, `snnx.event.ode`. Spikes of a `LIF` coincide with spikes at
        its input, unless its `v_leak` is above its threshold: such times have no gradient with respect to
        weights, and training them warns.
    - `events`: one example's; of a graph with several inputs a dict by name.
    - `duration`: until when; events and spikes after it do not happen.
    - `most`: spikes of one neuron, at most; a number, or a dict by path (`""`: for the others).
    - `capacity`: spikes of one part, at most; by default `most` times the neurons. As small as there are spikes: the next layer
        works through all of it.
    - `gradient`: `"eventprop"`: by the adjoint, which keeps the events alone. `"autodiff"`: by differentiating the
        solver, which also works forwards (`jax.jvp`), and more slowly.
    - `overflow`: `"error"` where there is no room for a spike, or `"report"` in `Run.overflow`.
    - `phantom`: whether neurons at the output that stay silent get a spike at `duration`, which comes earlier when the membrane
        then is higher: $dt = -\tau_m\, dv / \vartheta$. So that a loss of spike times can wake them. The output's list gets room
        for them.
    - `shape`: of one step of the input, where its channels are no list: `(2, 34, 34)`.

    **Returns:** a `Run`. **Raises:** `ValueError`, naming the part, for parts without such a solution; `ShapeError`,
    `DtypeError` for events that do not fit.

    Source: for the gradient Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural
    networks (2021).
    """
    if not isinstance(model, AbstractCell):
        raise TypeError(f"event.simulate: model is {describe(model)}; expected a cell.")
    if not (isinstance(duration, (int, float)) and 0 < duration < float("inf")):
        raise ValueError(f"event.simulate: duration is {duration!r}, expected a number > 0.")
    for name, given, known in (("gradient", gradient, Gradient), ("overflow", overflow, Overflow)):
        if given not in known.__args__:
            raise ValueError(
                f"event.simulate: {name} is {given!r}, expected one of {', '.join(map(repr, known.__args__))}."
            )
    for name, given in (("most", most), ("capacity", capacity)):
        _check_per_part(name, given, model)
    model = eqx.nn.inference_mode(model)
    dtype = cell_dtype(model)
    options = _Options(float(duration), most, capacity, gradient == "eventprop", phantom, dtype)
    inputs = events if isinstance(events, Mapping) else {"": events}
    for given in inputs.values():
        if not isinstance(given, Events):
            raise TypeError(f"event.simulate: events is {describe(given)}; expected snnx.event.Events.")
        if given.times.dtype != dtype:
            raise DtypeError(
                f"event.simulate: events has times {describe(given.times)}, but the model is {dtype.name}."
            )
        if given.times.ndim != 1:
            raise ShapeError(
                f"event.simulate: events has times {describe(given.times)}; expected one example: use jax.vmap."
            )
        if shape is not None and math.prod(shape) != given.size:
            raise ShapeError(f"event.simulate: shape is {shape}, but events has {given.size} channels.")
    signals = {name: Signal((Source(e, None),), None, shape or (e.size,)) for name, e in inputs.items()}
    walker = _Walker(options, {}, {})
    out = walker.run("", model, signals if isinstance(events, Mapping) else signals[""])
    output = {name: walker.result(x) for name, x in out.items()} if isinstance(out, dict) else walker.result(out)
    spikes = walker.spikes
    full = functools.reduce(jnp.logical_or, [e.overflow for e in (*spikes.values(), *inputs.values())])
    if overflow == "error":
        output, spikes = eqx.error_if(
            (output, spikes),
            full,
            "event.simulate: there are more events than there is room for; raise most= or capacity= (or that of the input), or"
            " take overflow='report'.",
        )
    return Run(output, spikes, full)


class _Walker(NamedTuple):
    """Takes signals through the parts of a model, and notes the spikes of each, and what its silent neurons' phantoms are."""

    options: _Options
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
        check_is_linear(path, part)
        return x.through(part, self.options.dtype)

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
        check_is_linear(_join(path, "feedback"), part.feedback)
        size = functools.reduce(lambda a, b: a * b, x.shape, 1)
        own = Signal((Source(Own(None, name, size), None),), None, x.shape)
        return self.loop([name], {name: part.neuron}, {name: x.plus(own.through(part.feedback, self.options.dtype))})[
            name
        ]

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

        for names, cyclic in wiring.units:
            if not cyclic:
                (name,) = names
                values[name] = self.run(_join(path, name), graph.nodes[name], total(name, values))
                continue
            firing = [name for name in names if isinstance(graph.nodes[name], (LIF, CubaLIF))]
            full = {name: _join(path, name) for name in firing}
            inside = dict(values)
            for name in firing:
                size = functools.reduce(lambda a, b: a * b, shapes[name][1], 1)
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


def _check_per_part(name: str, given: PerPart | None, model: AbstractCell) -> None:
    numbers = given if isinstance(given, Mapping) else {"": given}
    known = [path for path, part in walk(model) if isinstance(part, FIRING)]
    for path, number in numbers.items():
        if path and path not in known:
            raise ValueError(unknown_name("event.simulate", f"part in {name}", path, known))
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ValueError(f"event.simulate: {name} is {number!r}, expected a whole number >= 1.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
