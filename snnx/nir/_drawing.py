"""A model drawn as NIR's nodes and edges: its wiring is followed part by part."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from snnx._errors import NIRError
from snnx.cells import AbstractCell, cell_dtype
from snnx.layers import AbstractContainer, Add, Graph, Identity, Recurrent
from snnx.nir._export import Export, exported, is_registered
from snnx.nir._fields import Shape
from snnx.nir._kind import put_out
from snnx.nir._node import MOST_NESTED, Edge, Node, Tree, is_name, nodes_of
from snnx.nir._origin import Origin

NO_JOIN = "NIR adds up what several edges bring, and cannot put it side by side, or anything else"


class Value(NamedTuple):
    """What flows from part to part: the sum of the outputs of some nodes, the sources, and its shape and dtype.

    A source may also stand in for the input of a graph's node: see `_Inside`.
    """

    sources: tuple[str, ...]
    like: jax.ShapeDtypeStruct

    @property
    def shape(self) -> Shape:
        return tuple(self.like.shape)


class Drawing:
    """The graph that is being drawn.

    - `nodes`: by path; `given`, `put_out`: the shapes of one step of their inputs and outputs.
    - `edges`: in the order in which they were drawn; `lagging`: those that carry the value of the step before in the model.
    """

    def __init__(self, model: AbstractCell, dt: float):
        self.dt, self.like = dt, cell_dtype(model)
        # Neither NumPy nor NIR's files have bfloat16.
        self.dtype = np.dtype(np.float32) if self.like == jax.numpy.bfloat16 else np.dtype(self.like)
        self.nodes: dict[str, Node] = {}
        self.given: dict[str, Shape] = {}
        self.put_out: dict[str, Shape] = {}
        self.edges: list[Edge] = []
        self.lagging: set[Edge] = set()
        self._in_place = 0

    def model(self, model: AbstractCell, shapes: Mapping[str, Shape]) -> None:
        """Draw the whole model, with its inputs and outputs."""
        values = {}
        for name, shape in shapes.items():
            values[name] = self._node(name, _border("Input", shape), Value((), self._like(shape)), shape)
        if isinstance(model, Graph):
            outs = self.graph(model, "", values)
        else:
            outs = {"output": self.part(model, "", values["input"])}
        for name, out in outs.items():
            self._node(name, _border("Output", out.shape), out, out.shape)

    def tree(self) -> Tree:
        """What was drawn, as a graph; nodes called `sub/node` are in nested ones."""
        return _nested(self.nodes, self.edges)

    # -------------------------------------------------------------- parts
    def part(self, part: PyTree, path: str, x: Value) -> Value:
        """Draw a part with the input `x`; returns its output."""
        if not is_registered(part):
            if isinstance(part, Identity):
                return x
            if isinstance(part, Graph):
                return self._single(part, path, x)
            if isinstance(part, AbstractContainer):
                return self._container(part, path, x)
            if isinstance(part, Recurrent):
                return self._recurrent(part, path, x)
        name = path or type(part).__name__
        export = Export(part, name, x.shape, put_out(part, x.like).shape, self.dt, self.dtype)
        found = exported(export)
        if isinstance(found, Node):
            return self._node(name, found, x, export.put_out)
        self._in_place += 1
        if self._in_place > MOST_NESTED:
            export.refuse(f"what is drawn in its place, a {type(found).__name__}, leads back to such a part")
        y = self.part(found, path, x)
        self._in_place -= 1
        if y.shape != export.put_out:
            instead = f"what is drawn in its place, a {type(found).__name__}, has outputs of shape {y.shape}"
            export.refuse(f"{instead}, but its own have {export.put_out}")
        return y

    def _node(self, path: str, node: Node, x: Value, out: Shape) -> Value:
        """Draw a node and the edges that lead to it."""
        if path in self.nodes:
            raise NIRError(f"to_nir: two parts would be called {path!r}; rename one.")
        if not all(map(is_name, path.split("/"))):
            raise NIRError(f"to_nir: a part is called {path!r}, a name that no file can hold; rename it.")
        # nir itself leaves the shapes of some kinds open, or infers wrong ones.
        types = {"input_type": {"input": _whole(x.shape)}, "output_type": {"output": _whole(out)}}
        self.nodes[path] = dataclasses.replace(node, types=types)
        self.given[path], self.put_out[path] = x.shape, out
        for source in x.sources:
            self._edge(source, path)
        return Value((path,), self._like(out))

    def _edge(self, source: str, target: str) -> None:
        """Draw an edge; if it is there already, a detour over an extra node, as NIR has each edge only once."""
        if (source, target) in self.edges:
            path = f"{target}.again{len(self.nodes)}"
            self._junction(path, Value((source,), self._like(self.put_out[source])))
            source = path
        self.edges.append((source, target))

    def _junction(self, path: str, x: Value) -> Value:
        """Draw a node that hands on its input."""
        return self._node(path, Node("Scale", {"scale": np.ones(x.shape, self.dtype)}), x, x.shape)

    def _sum(self, path: str, *xs: Value) -> Value:
        """Values that are added up; what comes from the same node twice takes a detour the second time."""
        sources: tuple[str, ...] = ()
        for i, x in enumerate(xs):
            if set(x.sources) & set(sources):
                x = self._junction(f"{path}.{i}", x)
            sources += x.sources
        return Value(sources, xs[0].like)

    def _container(self, container: AbstractContainer, path: str, x: Value) -> Value:
        children = container.children()

        def run(name: str, x: Value, *more: Value) -> Value:
            inner = f"{path}.{name}" if path else name
            if isinstance(children[name], Add):
                return self._sum(inner, x, *more)
            if more:
                Export(children[name], inner, (), (), self.dt, self.dtype).refuse(NO_JOIN)
            return self.part(children[name], inner, x)

        return container.wire(x, run)

    def _recurrent(self, part: Recurrent, path: str, x: Value) -> Value:
        inner = f"{path}." if path else ""
        back = inner + "feedback"
        # The neuron is drawn first, and already gets what its feedback will put out, under the name that this will have.
        y = self.part(part.neuron, inner + "neuron", x._replace(sources=(*x.sources, back)))
        before = len(self.edges)
        fed_back = self.part(part.feedback, back, y)
        if fed_back.sources != (back,):  # the feedback became several nodes, or none
            self._junction(back, fed_back)
        # What goes into the feedback is the neuron's output of the step before.
        self.lagging |= {edge for edge in self.edges[before:] if edge[0] in y.sources}
        return y

    def _like(self, shape: Shape) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, self.like)

    # -------------------------------------------------------------- graphs
    def _single(self, graph: Graph, path: str, x: Value) -> Value:
        """Draw a graph inside another part."""
        if len(graph.inputs) > 1 or len(graph.outputs) > 1:
            raise NIRError(f"to_nir: part {path!r} is a Graph with several inputs or outputs inside another part.")
        (y,) = self.graph(graph, path, {next(iter(graph.inputs)): x}).values()
        return y

    def graph(self, graph: Graph, path: str, values: Mapping[str, Value]) -> dict[str, Value]:
        """Draw the nodes of a graph, and its edges in their order; returns its outputs by name."""
        prefix = f"{path}." if path else ""
        before = len(self.edges)
        outs = dict(values) | self._drawn_apart(graph, prefix, values)
        drawn, self.edges = self.edges[before:], self.edges[:before]
        inside = _Inside(graph, prefix, outs, drawn)
        lagging = graph.wiring().lagging
        for edge in graph.edges:
            source, target = edge
            if target in graph.outputs:
                continue
            ways = [(a, b) for a in inside.sources_of(source) for b in inside.entries(target)]
            self.lagging |= set(ways) if edge in lagging else set()
            for way in ways:
                self._edge(*way)
        self.edges += [edge for edge in drawn if edge[0] not in inside.stand_ins]
        ends = {name: value._replace(sources=inside.sources_of(name)) for name, value in outs.items()}
        fed = graph.wiring().sources
        return {name: self._sum(prefix + name, *(ends[source] for source in fed[name])) for name in graph.outputs}

    def _drawn_apart(self, graph: Graph, prefix: str, values: Mapping[str, Value]) -> dict[str, Value]:
        """Draw every node of a graph with its stand-in as input; returns their outputs by name."""
        shapes = graph.step_shapes({name: x.shape for name, x in values.items()})
        outs = {}
        for name in graph.names:
            path, given = prefix + name, shapes[name][0]
            x = Value((_stand_in(path),), self._like(given))
            self.put_out[x.sources[0]] = given
            y = self.part(graph.nodes[name], path, x)
            if y.sources == x.sources:  # it hands on its input: the graph's edges still need a node to lead to
                border = _border_of(graph, name)
                y = self._junction(path, x) if border is None else self._node(path, _border(border, given), x, given)
            outs[name] = y
        return outs


def _stand_in(path: str) -> str:
    """The name of the source that stands in for all that feed a node of a graph; no node can have it."""
    return f"\0{path}"


class _Inside:
    """A graph whose nodes have been drawn one by one, and what its edges become.

    In a cycle, no order of the nodes has every node after all that feed it. So each is drawn as if its input came from a single
    source, its stand-in. Then each edge of the graph becomes the edges from the nodes that its source's output comes from to the
    nodes that its target's input goes to. A container may have several of both.

    - `outs`: the output of each node and input. A node's own stand-in may be among its sources: a `Residual` hands on its input.
    - `drawn`: the edges inside the nodes, and those from their stand-ins.
    """

    def __init__(self, graph: Graph, prefix: str, outs: Mapping[str, Value], drawn: list[Edge]):
        self.wiring, self.prefix, self.outs = graph.wiring(), prefix, outs
        self.stand_ins = {_stand_in(prefix + name): name for name in graph.names}
        self._entries: dict[str, list[str]] = {}
        for source, target in drawn:
            self._entries.setdefault(source, []).append(target)

    def entries(self, name: str) -> list[str]:
        """The drawn nodes that the input of a node of the graph goes to."""
        return self._entries.get(_stand_in(self.prefix + name), [])

    def sources_of(self, name: str) -> tuple[str, ...]:
        """The drawn nodes that the output of a node of the graph comes from; what it hands on comes from those that feed it."""
        found: tuple[str, ...] = ()
        for source in self.outs[name].sources:
            through = self.stand_ins.get(source)
            feeding = () if through is None else self.wiring.sources[through]
            if any((fed, through) in self.wiring.lagging for fed in feeding):
                # The way past this part would have to lag, but in NIR only an edge that closes a cycle does.
                raise NIRError(
                    f"to_nir: part {self.prefix + (through or '')!r} hands on a value that comes back to it from the step before,"
                    " which NIR cannot express; make the way around it a node of the graph."
                )
            found += (source,) if through is None else tuple(x for fed in feeding for x in self.sources_of(fed))
        return found


def _whole(shape: Shape) -> np.ndarray:
    return np.array(shape, np.int64)


def _border(kind: str, shape: Shape) -> Node:
    return Node(kind, {"shape": _whole(shape)})


def _border_of(graph: Graph, name: str) -> str | None:
    """Whether a node that hands on its input is the `Input` or `Output` of a nested graph: it was, or its edges lead outside."""
    parent, slash, _ = name.rpartition("/")
    if not slash:
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


def _nested(nodes: Mapping[str, Node], edges: list[Edge]) -> Tree:
    """The tree of nodes called `sub/node`; edges between graphs lead to the nested graph's name."""
    own: dict[str, Node | Tree] = {}
    inner: dict[str, dict[str, Node]] = {}
    for path, node in nodes.items():
        top, slash, rest = path.partition("/")
        own.setdefault(top, node)  # for a nested graph, only its place in the order
        if slash and top in nodes:
            raise NIRError(f"to_nir: {top!r} would be both a part and the nested graph of {path!r}; rename one.")
        if slash:
            inner.setdefault(top, {})[rest] = node
    at_top: list[Edge] = []
    within: dict[str, list[Edge]] = {}
    for source, target in edges:
        (a, _, rest_a), (b, _, rest_b) = source.partition("/"), target.partition("/")
        # An edge from a nested graph's end to its beginning does not run inside: it leads around it.
        around = a == b and nodes[source].kind == "Output" and nodes[target].kind == "Input"
        if a == b and rest_a and rest_b and not (around and "/" not in rest_a + rest_b):
            within.setdefault(a, []).append((rest_a, rest_b))
        else:
            at_top.append((a, b))
    return Tree(own | {name: _nested(part, within.get(name, [])) for name, part in inner.items()}, tuple(at_top))
