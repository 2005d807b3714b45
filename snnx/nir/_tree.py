"""A NIR graph as plain records: the one form that files and objects are read into and written from.

The package `nir` has a class for each kind of node; its constructors infer shapes (for some layers wrong ones), drop what they
do not know, and graphs change the graphs inside them. Here a node is its kind and its fields, as they are.
"""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from snnx._errors import NIRError

Edge: TypeAlias = tuple[str, str]
MOST_NESTED = 32  # graphs in graphs


class Kind(NamedTuple):
    """What a kind of node has.

    - `arrays`: fields of numbers; `settings`: other fields, whole numbers or texts; `optional`: those that may be missing.
    - `per_element`: whether the arrays all have the shape of one step of the input.
    - `stateful`: whether it remembers anything from step to step.
    """

    arrays: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    per_element: bool = False
    stateful: bool = False


_CONV = Kind(("weight", "bias"), ("input_shape", "stride", "padding", "dilation", "groups"), ("input_shape", "bias"))
_POOL = Kind(settings=("kernel_size", "stride", "padding"))
KINDS = {
    "Input": Kind(settings=("shape",)),
    "Output": Kind(settings=("shape",)),
    "Affine": Kind(("weight", "bias")),
    "Linear": Kind(("weight",)),
    "Scale": Kind(("scale",), per_element=True),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": Kind(settings=("input_type", "start_dim", "end_dim"), optional=("input_type", "start_dim", "end_dim")),
    "Delay": Kind(("delay",), per_element=True, stateful=True),
    "Threshold": Kind(("threshold",), per_element=True),
    "I": Kind(("r",), per_element=True, stateful=True),
    "IF": Kind(("r", "v_threshold", "v_reset"), (), ("v_reset",), True, True),
    "LI": Kind(("tau", "r", "v_leak"), per_element=True, stateful=True),
    "LIF": Kind(("tau", "r", "v_leak", "v_threshold", "v_reset"), (), ("v_reset",), True, True),
    "CubaLI": Kind(("tau_syn", "tau_mem", "r", "v_leak", "w_in"), (), ("w_in",), True, True),
    "CubaLIF": Kind(
        ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"), (), ("v_reset", "w_in"), True, True
    ),
}
"""All kinds of NIR 1.0.8 but the nested graph."""


@dataclasses.dataclass(frozen=True)
class Node:
    """A node: its kind, its fields, and its metadata, as they were given. A field that is missing is not in `fields`.

    `types`: the shapes of what goes in and comes out that an object of `nir` carries besides; files have none.
    """

    kind: str
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    types: Mapping[str, Any] | None = None

    def array(self, name: str) -> np.ndarray:
        """A field of numbers."""
        return np.asarray(self.fields[name])


@dataclasses.dataclass(frozen=True)
class Tree:
    """A graph: nodes and nested graphs by name, in their order; edges in theirs; metadata."""

    nodes: "Mapping[str, Node | Tree]"
    edges: tuple[Edge, ...]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def nodes_of(tree: Tree, path: str = "") -> Iterator[tuple[str, Node]]:
    """All nodes with their paths, `sub/node`, those of nested graphs too."""
    for name, node in tree.nodes.items():
        if isinstance(node, Tree):
            yield from nodes_of(node, f"{path}{name}/")
        else:
            yield f"{path}{name}", node


def trees_of(tree: Tree, path: str = "") -> Iterator[tuple[str, Tree]]:
    """The graph and all that are nested in it, with their paths; its own is empty."""
    yield path, tree
    for name, node in tree.nodes.items():
        if isinstance(node, Tree):
            yield from trees_of(node, f"{path}/{name}" if path else name)


def tree_of(graph: Any) -> Tree:
    """The records of a `nir.NIRGraph`, which is not changed and shares no array with them.

    **Raises:** `NIRError` for what is no graph, has nodes of unknown kinds, nodes or edges without names, or contains itself.
    """
    return graph if isinstance(graph, Tree) else _tree_of(graph, "the graph", 0)


def _tree_of(graph: Any, where: str, depth: int) -> Tree:
    import nir

    if not isinstance(graph, nir.NIRGraph):
        raise NIRError(f"expected a nir.NIRGraph or the path of a file, got {type(graph).__name__}.")
    if depth > MOST_NESTED:
        raise NIRError(f"graphs are nested more than {MOST_NESTED} deep, or one contains itself.")
    if not isinstance(graph.nodes, Mapping) or not all(isinstance(name, str) for name in graph.nodes):
        given = list(graph.nodes) if isinstance(graph.nodes, Mapping) else graph.nodes
        raise NIRError(f"{where} has the nodes {given!r}; expected a dict from name, a text, to node.")
    nodes = {
        name: _tree_of(node, f"the nested graph {name!r}", depth + 1)
        if isinstance(node, nir.NIRGraph)
        else _record(name, node)
        for name, node in graph.nodes.items()
    }
    return Tree(
        nodes, _edges(graph.edges, where), _copied(graph.metadata if isinstance(graph.metadata, Mapping) else {})
    )


def _edges(edges: Any, where: str) -> tuple[Edge, ...]:
    if not isinstance(edges, (list, tuple)):
        raise NIRError(f"{where} has the edges {edges!r}; expected a list of pairs of names.")
    for edge in edges:
        if not isinstance(edge, (list, tuple)) or len(edge) != 2 or not all(isinstance(end, str) for end in edge):
            raise NIRError(f"{where} has the edge {edge!r}; expected a pair of names.")
    return tuple((source, target) for source, target in edges)


def _record(name: str, node: Any) -> Node:
    kind = type(node).__name__
    if kind not in KINDS:
        raise NIRError(f"node {name!r} is a {kind}, which NIR 1.0.8 does not have; known are {', '.join(KINDS)}.")
    fields = {}
    for field in (*KINDS[kind].arrays, *KINDS[kind].settings):
        value = _shape(node) if field == "shape" else getattr(node, field, None)
        if field == "input_type" and isinstance(value, Mapping):
            value = value.get("input")
        if value is not None:
            fields[field] = _copied(value)
    metadata = node.metadata if isinstance(node.metadata, Mapping) else {}
    types = {name: _copied(getattr(node, name)) for name in ("input_type", "output_type") if hasattr(node, name)}
    return Node(kind, fields, _copied(metadata), types)


def _shape(node: Any) -> Any:
    """The shape that an `Input` or `Output` declares."""
    for types, key in ((getattr(node, "input_type", None), "input"), (getattr(node, "output_type", None), "output")):
        if isinstance(types, Mapping) and types.get(key) is not None:
            return types[key]
    return None


def _copied(value: Any) -> Any:
    return copy.deepcopy(value)


def graph_of(tree: Tree) -> Any:
    """The `nir.NIRGraph` of records, which shares no array with them. Nothing is inferred, added or checked.

    **Raises:** `NIRError` where nir's own classes refuse a node.
    """
    import nir

    nodes = {
        name: graph_of(node) if isinstance(node, Tree) else _object(name, node) for name, node in tree.nodes.items()
    }
    return nir.NIRGraph(nodes, list(tree.edges), metadata=_copied(dict(tree.metadata)), type_check=False)


def _object(name: str, node: Node) -> Any:
    import nir

    given = {field: _copied(value) for field, value in node.fields.items()}
    for field in KINDS[node.kind].optional:
        if field not in given and field in ("bias", "input_shape", "input_type"):
            given[field] = None
    if node.kind in ("Input", "Output"):
        key = node.kind.lower()
        given = {f"{key}_type": {key: given["shape"]}}
    if "input_type" in given and node.kind == "Flatten":
        given["input_type"] = {"input": given["input_type"]}
    try:
        made = getattr(nir, node.kind)(**given, metadata=_copied(dict(node.metadata)))
    except Exception as error:  # nir asserts, and computes with whatever it is given
        raise NIRError(f"node {name!r} ({node.kind}) is none that nir can hold: {error}.") from error
    for field, value in node.fields.items():  # as they are: constructors turn numbers into pairs, and broadcast
        if field not in ("shape", "input_type"):
            setattr(made, field, _copied(value))
    for name, types in (node.types or {}).items():
        setattr(made, name, _copied(types))
    return made
