"""A graph without nested graphs: what it means. Nested nodes are called `sub/node`."""

from collections.abc import Iterator
from typing import NamedTuple

from snnx._errors import NIRError
from snnx.layers import CycleError, lagging_edges
from snnx.nir._tree import KINDS, Edge, Node, Tree, nodes_of, trees_of


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

    **Raises:** `NIRError` for edges from or to nothing, or that are there twice; names that no file can hold; a graph without
    an `Input` or `Output`; a nested one with several, where an edge does not say which; a cycle without a state.
    """
    nodes = dict(nodes_of(tree))
    edges = tuple(edge for path, inner in trees_of(tree) for edge in _edges(tree, path, inner))
    own = {name: node for name, node in tree.nodes.items() if isinstance(node, Node)}
    inputs, outputs = (tuple(n for n, node in own.items() if node.kind == kind) for kind in ("Input", "Output"))
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


def _edges(tree: Tree, path: str, inner: Tree) -> Iterator[Edge]:
    """The edges of one of the graphs, between paths."""
    where = f"the nested graph {path!r}" if path else "the graph"
    check_names(path, inner)
    seen: set[Edge] = set()
    for edge in inner.edges:
        if edge in seen:
            raise NIRError(f"{where} has the edge from {edge[0]!r} to {edge[1]!r} twice; leave one out.")
        seen.add(edge)
        for end in edge:
            if end not in inner.nodes:
                raise NIRError(
                    f"{where} has an edge from {edge[0]!r} to {edge[1]!r}, but no node {end!r}; it has"
                    f" {', '.join(map(repr, inner.nodes))}."
                )
        source, target = inner.nodes[edge[0]], inner.nodes[edge[1]]
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
        prefix = f"{path}/" if path else ""
        yield _end(prefix + edge[0], source, "Output"), _end(prefix + edge[1], target, "Input")


def check_names(path: str, tree: Tree) -> None:
    """Refuse names that HDF5 takes for something else: a `/` is a folder there.

    **Raises:** `NIRError`.
    """
    where = f"the nested graph {path!r}" if path else "the graph"
    for name in tree.nodes:
        if not is_name(name):
            raise NIRError(
                f"{where} has a node called {name!r}; expected a text that is not empty, not '.', and has no '/'."
            )


def is_name(name: object) -> bool:
    """Whether HDF5 can hold a name, and takes it for one."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # halves of letters, which UTF-8 does not have


def _end(path: str, node: "Node | Tree", kind: str) -> str:
    """The node that an end of an edge means."""
    while isinstance(node, Tree):
        found = [name for name, part in node.nodes.items() if isinstance(part, Node) and part.kind == kind]
        if len(found) != 1:
            raise NIRError(
                f"an edge leads {'from' if kind == 'Output' else 'to'} the nested graph {path!r}, which has {len(found)}"
                f" {kind} nodes; with one an edge says what it means, with {len(found)} NIR has no way to."
            )
        path, node = f"{path}/{found[0]}", node.nodes[found[0]]
    return path
