"""A graph without nested graphs: what it means. Nested nodes are called `sub/node`."""

from collections.abc import Iterator
from typing import NamedTuple

from snnx._errors import NIRError
from snnx.layers import CycleError, lagging_edges
from snnx.nir._kind import KINDS
from snnx.nir._node import Edge, Node, Tree, nodes_of, trees_of


class Flat(NamedTuple):
    """All nodes by path, and the edges between them; those of nested graphs come last.

    - `inputs`, `outputs`: the `Input` and `Output` nodes of the graph itself. Those of nested graphs hand on what they get.
    - `lagging`: the edges that carry the value of the step before.
    """

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lagging: frozenset[Edge]


def flat(tree: Tree) -> Flat:
    """The meaning of a graph: a nested graph is its nodes, its edges lead to its `Input` and from its `Output`.

    **Raises:** `NIRError` for edges from or to nothing, or that are there twice; a graph without an `Input` or `Output`; a
    nested one with several, where an edge does not say which; a cycle without a state.
    """
    nodes = dict(nodes_of(tree))
    edges = tuple(edge for path, inner in trees_of(tree) for edge in _edges(path, inner))
    inputs, outputs = _ends(tree, "Input"), _ends(tree, "Output")
    for kind, found in (("Input", inputs), ("Output", outputs)):
        if not found:
            raise NIRError(
                f"the graph has no {kind} node; add one, and an edge {'from' if kind == 'Input' else 'to'} it."
            )
    stateful = frozenset(name for name, node in nodes.items() if KINDS[node.kind].stateful)
    try:
        lagging = lagging_edges(nodes, edges, inputs, stateful)
    except CycleError as error:
        raise NIRError(f"{error}.") from error
    return Flat(nodes, edges, inputs, outputs, lagging)


def as_written(tree: Tree) -> Flat:
    """A graph whose edges mean nothing: as they stand there."""
    edges = []
    for path, inner in trees_of(tree):
        prefix = f"{path}/" if path else ""
        edges += [(f"{prefix}{source}", f"{prefix}{target}") for source, target in inner.edges]
    return Flat(dict(nodes_of(tree)), tuple(edges), _ends(tree, "Input"), _ends(tree, "Output"), frozenset())


def _ends(tree: Tree, kind: str) -> tuple[str, ...]:
    """The names of a graph's own nodes of one kind."""
    return tuple(name for name, node in tree.nodes.items() if isinstance(node, Node) and node.kind == kind)


def _edges(path: str, tree: Tree) -> Iterator[Edge]:
    """The edges of one graph, between paths."""
    where, prefix = (f"the nested graph {path!r}", f"{path}/") if path else ("the graph", "")
    seen: set[Edge] = set()
    for edge in tree.edges:
        if edge in seen:
            raise NIRError(f"{where} has the edge from {edge[0]!r} to {edge[1]!r} twice; leave one out.")
        seen.add(edge)
        for end in edge:
            if end not in tree.nodes:
                raise NIRError(
                    f"{where} has an edge from {edge[0]!r} to {edge[1]!r}, but no node {end!r}; it has"
                    f" {', '.join(map(repr, tree.nodes))}."
                )
        source, target = tree.nodes[edge[0]], tree.nodes[edge[1]]
        if isinstance(source, Node) and source.kind == "Output":
            raise NIRError(
                f"{where} has an edge from the Output {edge[0]!r} to {edge[1]!r}, but nothing comes from an Output; let the"
                f" edge come from what leads to {edge[0]!r}."
            )
        if isinstance(target, Node) and target.kind == "Input":
            raise NIRError(
                f"{where} has an edge from {edge[0]!r} to the Input {edge[1]!r}, but an Input takes none; let the edge lead to"
                f" what comes after {edge[1]!r}."
            )
        yield _end(prefix + edge[0], source, "Output"), _end(prefix + edge[1], target, "Input")


def _end(path: str, node: "Node | Tree", kind: str) -> str:
    """The node that an end of an edge means: of a nested graph, its one node of this kind."""
    while isinstance(node, Tree):
        found = _ends(node, kind)
        if len(found) != 1:
            raise NIRError(
                f"an edge leads {'from' if kind == 'Output' else 'to'} the nested graph {path!r}, which has {len(found)}"
                f" {kind} nodes; with one an edge says what it means, with {len(found)} NIR has no way to."
            )
        path, node = f"{path}/{found[0]}", node.nodes[found[0]]
    return path
