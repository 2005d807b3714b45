"""From and to the objects of the package `nir`, field by field.

Its constructors infer shapes (wrong ones for some layers) and drop what they do not know, and its graphs change the graphs
inside them.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from snnx._errors import NIRError
from snnx.nir._kind import KINDS
from snnx.nir._node import MOST_NESTED, Edge, Node, Tree, is_name


def tree_of(graph: Any) -> Tree:
    """The records of a `nir.NIRGraph`, which is not changed and shares no array with them.

    **Raises:** `NIRError` for anything but a graph, and for one that contains itself, or has nodes of unknown kinds, or names
    that no file can hold.
    """
    return _tree(graph, "the graph", 0)


def _tree(graph: Any, where: str, depth: int) -> Tree:
    import nir

    if not isinstance(graph, nir.NIRGraph):
        raise NIRError(f"expected a nir.NIRGraph or the path of a file, got {type(graph).__name__}.")
    if depth > MOST_NESTED:
        raise NIRError(f"graphs are nested more than {MOST_NESTED} deep, or one contains itself.")
    if not isinstance(graph.nodes, Mapping) or not all(isinstance(name, str) for name in graph.nodes):
        given = list(graph.nodes) if isinstance(graph.nodes, Mapping) else graph.nodes
        raise NIRError(f"{where} has the nodes {given!r}; expected a dict from name, a text, to node.")
    for name in graph.nodes:
        if not is_name(name):
            raise NIRError(
                f"{where} has a node called {name!r}; expected a text that is not empty, not '.', and has no '/'."
            )
    nodes = {
        name: _tree(node, f"the nested graph {name!r}", depth + 1)
        if isinstance(node, nir.NIRGraph)
        else _record(name, node)
        for name, node in graph.nodes.items()
    }
    return Tree(nodes, _edges(graph.edges, where), _metadata(graph))


def _edges(edges: Any, where: str) -> tuple[Edge, ...]:
    if not isinstance(edges, list | tuple):
        raise NIRError(f"{where} has the edges {edges!r}; expected a list of pairs of names.")
    for edge in edges:
        if not isinstance(edge, list | tuple) or len(edge) != 2 or not all(isinstance(end, str) for end in edge):
            raise NIRError(f"{where} has the edge {edge!r}; expected a pair of names.")
    return tuple((source, target) for source, target in edges)


def _record(name: str, node: Any) -> Node:
    kind = type(node).__name__
    if kind not in KINDS:
        raise NIRError(f"node {name!r} is a {kind}, which NIR 1.0.8 does not have; known are {', '.join(KINDS)}.")
    given = [field.name for field in dataclasses.fields(node) if field.init]
    for field in set(given) - {*KINDS[kind].fields, "input_type", "output_type", "metadata"}:
        raise NIRError(f"node {name!r} ({kind}) has the field {field!r}, which snnx does not know.")
    fields = {name: value for name, value in KINDS[kind].from_object(node).items() if value is not None}
    types = {name: getattr(node, name) for name in ("input_type", "output_type") if hasattr(node, name)}
    return Node(kind, copy.deepcopy(fields), _metadata(node), copy.deepcopy(types))


def _metadata(thing: Any) -> Mapping[str, Any]:
    return copy.deepcopy(thing.metadata) if isinstance(getattr(thing, "metadata", None), Mapping) else {}


def graph_of(tree: Tree) -> Any:
    """The `nir.NIRGraph` of records, which shares no array with them. Nothing is inferred, added or checked.

    **Raises:** `NIRError` where nir's own classes refuse a node.
    """
    import nir

    nodes = {
        name: graph_of(node) if isinstance(node, Tree) else _object(name, node) for name, node in tree.nodes.items()
    }
    return nir.NIRGraph(nodes, list(tree.edges), metadata=copy.deepcopy(dict(tree.metadata)), type_check=False)


def _object(name: str, node: Node) -> Any:
    node = copy.deepcopy(node)
    try:
        made = KINDS[node.kind].to_object(node)
    except Exception as error:  # nir asserts, and computes with whatever it is given
        raise NIRError(f"node {name!r} ({node.kind}) is not one that nir can hold: {error}.") from error
    made.metadata = dict(node.metadata)
    for key, types in (node.types or {}).items():
        setattr(made, key, types)
    return made
