import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from snnx._errors import NIRError, describe
from snnx._version import __version__
from snnx.cells import AbstractCell, Shape, cell_dtype
from snnx.layers import AbstractContainer, Add, Graph, Recurrent, apply_step
from snnx.nir._export_nodes import NO_JOIN, Exporting, dtype_of, export, is_identity, ones
from snnx.nir._import_nodes import DT, RESET, VERSION
from snnx.nir._origin import Origin
from snnx.nir._restore import restored
from snnx.nir._shapes import shapes_of
from snnx.nir._tree import Edge, Node, Tree, graph_of, nodes_of
from snnx.nir._validate import check, seconds_per_step


def to_nir(
    model: AbstractCell,
    input_shape: "Shape | Mapping[str, Shape] | None" = None,
    *,
    dt: float,
    strict: bool = False,
) -> Any:
    r"""A model as a `nir.NIRGraph` that has the same spikes wherever the format's rules are kept.

    ```python
    graph = snnx.nir.to_nir(result.model, (64,), dt=1e-3)
    snnx.nir.write(graph, "model.nir")
    ```

    Nodes are called as the parts that `record` takes: `0`, `1`, `3.neuron`. NIR has forward Euler, so that a neuron with
    `method="exponential"` is given the Euler time constant of the same decay, $\tau = \Delta t / \lambda$; one whose input is
    a voltage step (`r` or `w_in` None) the $1/\lambda$ that means it. An imported graph leaves as it came, but for what was
    changed.

    **Arguments:**
    - `model`: neurons, containers, `Graph`; layers of Equinox that are linear, convolutions or pools; in inference mode.
    - `input_shape`: of one step, without batch and time; of a graph with several inputs a dict by name; not needed for an
        imported one.
    - `dt`: seconds per step of the model. Time constants of neurons with `dt=1`, in steps, become seconds; other neurons have
        to have this `dt`.
    - `strict`: refuse what NIR itself cannot say, and only metadata of snnx do: a reset by subtraction. Else that is warned
        of, once.

    **Raises:** `NIRError` naming the part, for what NIR cannot say: adaptive thresholds, refractoriness, neurons without
    reset, `method="exact"` of pairs, dropout in training mode, normalisation, maxima, concatenation, feedback that NIR's rule
    would let lag elsewhere; for parameters out of range, as training may leave them; for a neuron of another `dt`.
    """
    if not isinstance(model, AbstractCell):
        raise TypeError(f"to_nir: model is {describe(model)}; expected a cell. Wrap callables: snnx.Sequential([...]).")
    dt = seconds_per_step("to_nir", dt)
    shapes = _input_shapes(model, input_shape)
    drawing = _Drawing(model, dt)
    for name, shape in shapes.items():
        drawing.add(name, Node("Input", {"shape": np.array(shape, np.int64)}), shape)
    outs = drawing.draw(model, shapes)
    tree, lagging = drawing.finish(outs)
    origin = model.source if isinstance(model, Graph) and isinstance(model.source, Origin) else None
    tree = _noted(tree, dt) if origin is None else restored(tree, origin, dt)
    graph, _ = check(tree, "to_nir", dt)
    if origin is None:
        tree = _typed(tree, shapes_of(graph))
    if graph.lagging != lagging:
        _refuse_lags(graph.lagging, lagging)
    _warn_of_resets(tree, strict)
    return graph_of(tree)


def _input_shapes(model: AbstractCell, given: Any) -> dict[str, Shape]:
    """The shape of one step of each input; the model is held to it."""
    names = model.inputs if isinstance(model, Graph) else ("input",)
    if given is None:
        source = model.source if isinstance(model, Graph) else None
        if not isinstance(source, Origin):
            raise TypeError(
                "to_nir: input_shape is missing: the shape of one step, e.g. to_nir(model, (64,), dt=1e-3)."
            )
        own = {name: source.tree.nodes.get(name) for name in names}
        given = {name: tuple(np.asarray(n.fields["shape"]).tolist()) for name, n in own.items() if isinstance(n, Node)}
    shapes = dict(given) if isinstance(given, Mapping) else {names[0]: given}
    if set(shapes) != set(names):
        raise ValueError(f"to_nir: input_shape is {given!r}; expected a dict by input: {', '.join(map(repr, names))}.")
    for shape in shapes.values():
        if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
            raise TypeError(f"to_nir: input_shape is {shape!r}, expected a tuple such as (64,) or (2, 34, 34).")
    jax.eval_shape(lambda: model.init_state(shapes if len(shapes) > 1 else next(iter(shapes.values()))))  # pyright: ignore[reportArgumentType]
    return shapes


class _Value(NamedTuple):
    """What flows along: the sum of what some nodes put out, and its shape.

    A source may be a name that begins with a zero byte, and stands for what goes into a node of a graph: see `_Drawing.graph`.
    """

    sources: tuple[str, ...]
    like: jax.ShapeDtypeStruct


class _Drawing:
    """A graph under way: nodes, edges, and which of those have to lag."""

    def __init__(self, model: AbstractCell, dt: float):
        self.dt, self.dtype, self.like = dt, dtype_of(model), cell_dtype(model)
        self.nodes: dict[str, Node] = {}
        self.put_out: dict[str, Shape] = {}
        self.edges: list[Edge] = []
        self.lagging: set[Edge] = set()

    def add(self, path: str, node: Node, put_out: Shape) -> None:
        if path in self.nodes:
            raise NIRError(f"to_nir: two parts would be called {path!r}; rename one.")
        self.nodes[path], self.put_out[path] = node, put_out

    def draw(self, model: AbstractCell, shapes: Mapping[str, Shape]) -> dict[str, _Value]:
        """The whole model: what comes out, by output."""
        values = {name: _Value((name,), jax.ShapeDtypeStruct(shape, self.like)) for name, shape in shapes.items()}
        if isinstance(model, Graph):
            return self.graph(model, "", values)
        return {"output": self.part(model, "", values["input"])}

    def finish(self, outs: Mapping[str, _Value]) -> tuple[Tree, frozenset[Edge]]:
        for name, out in outs.items():
            shape = tuple(out.like.shape)
            self.add(name, Node("Output", {"shape": np.array(shape, np.int64)}), shape)
            self.edges += [(source, name) for source in out.sources if (source, name) not in self.edges]
        return _nested(self.nodes, self.edges), frozenset(self.lagging)

    def part(self, part: PyTree, path: str, x: _Value) -> _Value:
        """A part that gets `x`: what it puts out."""
        if isinstance(part, Graph):
            if len(part.inputs) > 1 or len(part.outputs) > 1:
                raise NIRError(f"to_nir: part {path!r} is a Graph with several inputs or outputs inside another part.")
            entry, exit_ = next(iter(part.inputs)), next(iter(part.outputs))
            return self.graph(part, path, {entry: x})[exit_]
        if isinstance(part, AbstractContainer):
            children = part.children()

            def run(name: str, x: _Value, *more: _Value) -> _Value:
                inner = f"{path}.{name}" if path else name
                if isinstance(children[name], Add):
                    return self.sum(inner, x, *more)
                if more:
                    Exporting(inner, children[name], (), (), self.dt, self.dtype).refuse(NO_JOIN)
                return self.part(children[name], inner, x)

            return part.wire(x, run)
        if isinstance(part, Recurrent):
            return self.recurrent(part, path, x)
        if isinstance(part, eqx.nn.Sequential):
            for i, layer in enumerate(part.layers):
                x = self.part(layer, f"{path}.{i}" if path else str(i), x)
            return x
        if is_identity(part):
            return x
        return self.leaf(part, path or type(part).__name__, x)

    def leaf(self, part: PyTree, path: str, x: _Value) -> _Value:
        """A part that is one node."""
        like = _put_out(part, x.like)
        node = export(part, path, tuple(x.like.shape), tuple(like.shape), self.dt, self.dtype)
        self.add(path, node, tuple(like.shape))
        self.edges += [(source, path) for source in x.sources]
        return _Value((path,), like)

    def junction(self, path: str, x: _Value) -> _Value:
        """A node that hands on what it gets."""
        shape = tuple(x.like.shape)
        self.add(path, ones(Exporting(path, None, shape, shape, self.dt, self.dtype)), shape)
        self.edges += [(source, path) for source in x.sources]
        return _Value((path,), x.like)

    def sum(self, path: str, *xs: _Value) -> _Value:
        """Values that are added up: what comes from one node twice takes a way of its own the second time."""
        sources: tuple[str, ...] = ()
        for i, x in enumerate(xs):
            if set(x.sources) & set(sources):
                x = self.junction(f"{path}.{i}", x)
            sources += x.sources
        return _Value(sources, xs[0].like)

    def recurrent(self, part: Recurrent, path: str, x: _Value) -> _Value:
        inner = f"{path}." if path else ""
        back = inner + "feedback"
        y = self.part(part.neuron, inner + "neuron", x._replace(sources=(*x.sources, back)))
        before = len(self.edges)
        if is_identity(part.feedback):
            self.junction(back, y)
        else:
            self.leaf(part.feedback, back, y)
        self.lagging |= set(self.edges[before:])
        return y

    def graph(self, graph: Graph, path: str, values: dict[str, _Value]) -> dict[str, _Value]:
        """The nodes of a graph, and its edges in their order.

        What goes into a node is drawn as if it came from a stand-in, as a node of a cycle does not exist yet when it is needed.
        """
        prefix = f"{path}." if path else ""
        given = graph.step_shapes({name: tuple(x.like.shape) for name, x in values.items()})
        before, outs = len(self.edges), dict(values)
        for name in graph.names:
            stand_in = _Value((f"\0{prefix}{name}",), jax.ShapeDtypeStruct(given[name][0], self.like))
            self.put_out[stand_in.sources[0]] = given[name][0]
            part, border = graph.nodes[name], _border(graph, name)
            if border is not None:
                self.add(prefix + name, Node(border, {"shape": np.array(given[name][0], np.int64)}), given[name][0])
                self.edges.append((stand_in.sources[0], prefix + name))
                outs[name] = stand_in._replace(sources=(prefix + name,))
            else:
                draw = self.junction if is_identity(part) else lambda path, x, part=part: self.part(part, path, x)
                outs[name] = draw(prefix + name, stand_in)
        inner, self.edges = self.edges[before:], self.edges[:before]
        entries: dict[str, list[str]] = {}
        for source, target in inner:
            entries.setdefault(source, []).append(target)
        lagging, fed = graph.wiring().lagging, graph.wiring().sources
        own = {f"\0{prefix}{name}": name for name in graph.names}

        def sources_of(name: str) -> tuple[str, ...]:
            """The nodes that put out what a part puts out; what it hands on comes from those that feed it."""
            found: tuple[str, ...] = ()
            for source in outs[name].sources:
                through = own.get(source)
                if any((feeding, through) in lagging for feeding in fed.get(through or "", ())):
                    raise NIRError(
                        f"to_nir: part {prefix + (through or '')!r} hands on what comes back to it of the step before, which no"
                        " node of NIR does; put the way around it into the graph as a node of its own."
                    )
                found += (source,) if through is None else tuple(x for f in fed[through] for x in sources_of(f))
            return found

        for source, target in graph.edges:
            if target not in graph.outputs:
                ways = [(a, b) for a in sources_of(source) for b in entries.get(f"\0{prefix}{target}", ())]
                self.lagging |= set(ways) if (source, target) in lagging else set()
                for way in ways:
                    self.edges.append(way if way not in self.edges else self.detour(*way))
        self.edges += [edge for edge in inner if edge[0] not in own]
        drawn = {name: value._replace(sources=sources_of(name)) for name, value in outs.items()}
        return {name: self.sum(prefix + name, *(drawn[source] for source in fed[name])) for name in graph.outputs}

    def detour(self, source: str, target: str) -> Edge:
        """A second way between two nodes, over one of its own: an edge can be there but once."""
        path = f"{target}.again{len(self.nodes)}"
        shape = self.put_out[source]
        self.add(path, ones(Exporting(path, None, shape, shape, self.dt, self.dtype)), shape)
        self.edges.append((source, path))
        return path, target


def _border(graph: Graph, name: str) -> str | None:
    """Whether a node is the `Input` or `Output` of a nested graph: it was, or it hands on what comes from or goes outside."""
    parent, slash, _ = name.rpartition("/")
    if not slash or not is_identity(graph.nodes[name]):
        return None
    if isinstance(graph.source, Origin):
        node = dict(nodes_of(graph.source.tree)).get(name)
        if node is not None:
            return node.kind if node.kind in ("Input", "Output") else None
    came = [source for source, target in graph.edges if target == name]
    went = [target for source, target in graph.edges if source == name]
    for kind, others in (("Input", came), ("Output", went)):
        if others and not any(other.startswith(f"{parent}/") for other in others):
            return kind
    return None


def _put_out(part: PyTree, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what comes out of a part."""
    if isinstance(part, AbstractCell):
        return jax.eval_shape(lambda x: part(x, part.init_state(x.shape), key=jax.random.key(0))[0], x)
    return jax.eval_shape(lambda x: apply_step(part, x, key=jax.random.key(0)), x)


def _nested(nodes: Mapping[str, Node], edges: list[Edge]) -> Tree:
    """The tree of nodes called `sub/node`; edges between graphs lead to the nested graph's name."""
    inner: dict[str, dict[str, Node]] = {}
    own: dict[str, Any] = {}
    for path, node in nodes.items():
        top, slash, rest = path.partition("/")
        if slash:
            own.setdefault(top, None)
            inner.setdefault(top, {})[rest] = node
        else:
            own[path] = node
    at_top: list[Edge] = []
    within: dict[str, list[Edge]] = {}
    for source, target in edges:
        (a, _, rest_a), (b, _, rest_b) = source.partition("/"), target.partition("/")
        around = a == b and nodes[source].kind == "Output" and nodes[target].kind == "Input"
        around = around and "/" not in rest_a + rest_b  # from the nested graph's end to its beginning
        if a == b and rest_a and rest_b and not around:
            within.setdefault(a, []).append((rest_a, rest_b))
        else:
            at_top.append((a, b))
    for name, part in inner.items():
        own[name] = _nested(part, within.get(name, []))
    return Tree(own, tuple(at_top))


def _typed(tree: Tree, shapes: Mapping[str, tuple[Shape, Shape]], path: str = "") -> Tree:
    """The graph with the shapes that nir's objects carry, where nir itself leaves them open."""
    nodes: dict[str, Any] = {}
    for name, node in tree.nodes.items():
        if isinstance(node, Tree):
            nodes[name] = _typed(node, shapes, f"{path}{name}/")
        elif node.kind in ("SumPool2d", "AvgPool2d", "Conv1d", "Conv2d", "Flatten"):
            given, put_out = (np.array(shape, np.int64) for shape in shapes[path + name])
            types = {"input_type": {"input": given}, "output_type": {"output": put_out}}
            nodes[name] = dataclasses.replace(node, types=types)
        else:
            nodes[name] = node
    return dataclasses.replace(tree, nodes=nodes)


def _noted(tree: Tree, dt: float) -> Tree:
    """The graph with a note of the step for which it was written."""
    return Tree(tree.nodes, tree.edges, {**tree.metadata, DT: dt, VERSION: __version__})


def _refuse_lags(found: frozenset[Edge], meant: frozenset[Edge]) -> None:
    came = ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(found - meant)) or "none"
    expected = ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(meant - found)) or "none"
    raise NIRError(
        f"to_nir: of a cycle NIR lets the edge lag that leaves its last stateful node, here {came}; the model's feedback lags at"
        f" {expected}. A Recurrent whose neuron ends in a layer without state is such a model: put that layer behind it."
    )


def _warn_of_resets(tree: Tree, strict: bool) -> None:
    count = sum(node.array("v_threshold").size for _, node in nodes_of(tree) if node.metadata.get(RESET) == "subtract")
    if not count:
        return
    said = (
        f"to_nir: {count} neurons are reset by subtraction, which NIR cannot say: its neurons are set to v_reset. Other readers"
        " will do that"
    )
    if strict:
        raise NIRError(f"{said}; train with reset=snnx.ValueReset().")
    warnings.warn(f"{said}; snnx.nir.from_nir goes by the metadata.", stacklevel=3)
