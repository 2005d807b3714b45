"""The shape of one step at every node: worked out here, as what `nir` infers is wrong for some layers."""

import math
from collections.abc import Mapping
from typing import TypeAlias

from snnx._errors import NIRError
from snnx.nir._fields import MOST, Shape
from snnx.nir._flat import Flat
from snnx.nir._kind import KINDS
from snnx.nir._node import Node

Shapes: TypeAlias = Mapping[str, tuple[Shape, Shape]]  # by path: what goes into a node, and what comes out


class NodeError(NIRError):
    """Something is wrong with one node, for a reason; the message names the node by its path."""

    def __init__(self, path: str, reason: str):
        self.path, self.reason = path, f"{reason.rstrip('.')}."
        super().__init__(f"node {path!r}: {self.reason}")


def shapes_of(graph: Flat, dt: float | None = None) -> Shapes:
    """What goes into every node at one step, and what comes out.

    **Raises:** `NIRError` where shapes do not fit or nothing tells them; for what no memory holds, with `dt` in steps of so many
    seconds.
    """
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    found: dict[str, tuple[Shape, Shape]] = {}
    waiting = list(graph.nodes)
    while waiting:
        later = []
        for name in waiting:
            came = next((found[source][1] for source in sources[name] if source in found), None)
            try:
                shapes = _of_node(graph.nodes[name], came, dt)
            except NIRError as error:
                raise NodeError(name, str(error)) from error
            if shapes is None:
                later.append(name)
            else:
                found[name] = shapes
        if len(later) == len(waiting):
            raise NIRError(
                f"nothing tells the shape of what goes into {', '.join(map(repr, later))}: no edge from a node whose shape"
                " is known leads there, and its parameters do not say."
            )
        waiting = later
    for source, target in graph.edges:
        if found[source][1] != found[target][0]:
            raise NodeError(
                target,
                f"this {graph.nodes[target].kind} takes steps of shape {found[target][0]}, but from {source!r}"
                f" ({graph.nodes[source].kind}) come {found[source][1]}",
            )
    return found


def _of_node(node: Node, came: Shape | None, dt: float | None) -> tuple[Shape, Shape] | None:
    """What goes into a node and what comes out; None where neither its parameters nor what `came` tell."""
    kind = KINDS[node.kind]
    own = kind.own_shape(node)
    given = came if own is None else own
    if given is None:
        return None
    if kind.axes is not None and len(given) != len(kind.axes):
        raise NIRError(f"it takes steps [{', '.join(kind.axes)}], got {given}")
    put_out = kind.put_out(node, given)
    for shape in (given, put_out):
        if math.prod(shape) > MOST:
            raise NIRError(f"a step has {math.prod(shape):,} elements, {list(shape)}; the most is {MOST:,}")
        if any(n < 1 for n in shape):
            raise NIRError(f"a step has shape {shape}; expected at least one element on each axis")
    if dt is not None:
        kind.check_memory(node, given, dt)
    return given, put_out
