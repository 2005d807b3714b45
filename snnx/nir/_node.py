"""A NIR graph as plain records: the one form that files and objects are read into and written from."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from snnx.nir._fields import Shape, sizes, whole

Edge: TypeAlias = tuple[str, str]
Reset: TypeAlias = Literal["value", "subtract"]
MOST_NESTED = 32  # graphs in graphs

# What snnx notes in metadata: in a graph's
DT = "snnx_dt"  # seconds per step for which it was written
VERSION = "snnx_version"
# in a node's
RESET = "snnx_reset"  # what a spike does to the membrane: a Reset
ABSENT = "snnx_absent"  # fields that it did without, but which other readers need


@dataclasses.dataclass(frozen=True)
class Node:
    """One node: its kind, its fields and its metadata, as they were given.

    ```python
    snnx.nir.Node("Scale", {"scale": np.full(3, 0.5)})
    ```

    - `kind`: the format's name for it; `fields`: by name, without those that are missing.
    - `types`: the shapes of what goes in and comes out that an object of `nir` carries besides; files have none.
    """

    kind: str
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    types: Mapping[str, Any] | None = None

    def array(self, name: str) -> np.ndarray:
        """A field of numbers."""
        return np.asarray(self.fields[name])

    def whole(self, name: str, missing: int | None = None) -> int:
        """A field that is one whole number.

        **Raises:** `NIRError` if it is not.
        """
        return whole(name, self.fields[name] if missing is None else self.fields.get(name, missing))

    def sizes(self, name: str, axes: int | None = None, least: int = 1) -> Shape:
        """A field that is a shape or, with `axes`, a whole number for each of so many axes (or one for all of them).

        **Raises:** `NIRError` if it is not, or has numbers below `least`.
        """
        return sizes(name, self.fields[name], axes, least)


@dataclasses.dataclass(frozen=True)
class Tree:
    """A graph: nodes and nested graphs by name, in their order; edges in theirs; metadata."""

    nodes: "Mapping[str, Node | Tree]"
    edges: tuple[Edge, ...]
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def noted_dt(self) -> float | None:
        """Seconds per step for which the graph was written, if its metadata say so."""
        noted = self.metadata.get(DT)
        return float(noted) if isinstance(noted, int | float | np.number) and 0 < noted < math.inf else None


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


def is_name(name: object) -> bool:
    """Whether HDF5 can hold a name, and takes it for one: a `/` is a folder there."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)  # halves of letters, which UTF-8 does not have
