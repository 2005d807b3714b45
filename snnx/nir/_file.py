"""Reading and writing NIR's files: nothing in a file is trusted, nothing in a graph is lost."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from snnx._checks import checked
from snnx._errors import NIRError
from snnx._files import write_atomically
from snnx.nir._fields import Numbers
from snnx.nir._flat import flat
from snnx.nir._hdf5 import Reader, read_hdf5, write_dictionary, write_value
from snnx.nir._kind import KINDS
from snnx.nir._node import ABSENT, MOST_NESTED, Node, Tree
from snnx.nir._shapes import Shapes, shapes_of
from snnx.nir._tree import graph_of, tree_of

MOST_NODES = 100_000


@checked
def read(path: str | os.PathLike) -> Any:
    """The `nir.NIRGraph` of a file, exactly as it is there: nothing is inferred or added.

    Nodes come in the order in which snnx wrote them; other writers' files do not have one, and give that of names.

    **Raises:** `NIRError` for a file that is damaged, or is not a NIR file; `FileNotFoundError`.
    """
    return graph_of(_read_tree(Path(path)))


@checked
def write(graph: Any, path: str | os.PathLike) -> None:
    """Write a graph to a file, whole or not at all. What is None in a graph comes back so with `snnx.nir.read`.

    **Raises:** `NIRError` for anything but a graph, and for names that no file can hold, such as those with a `/`.
    """
    import h5py
    import nir

    tree, content = tree_of(graph), io.BytesIO()
    with h5py.File(content, "w", track_order=True) as file:
        file.create_dataset("version", data=nir.version, dtype=h5py.string_dtype())
        _write_tree(file.create_group("node", track_order=True), tree, "", _known_shapes(tree))
    write_atomically(Path(path), content.getvalue())


def records(graph: Any) -> Tree:
    """The records of a `nir.NIRGraph`, or of the file at a path.

    **Raises:** `NIRError`; `FileNotFoundError`.
    """
    return _read_tree(Path(graph)) if isinstance(graph, str | os.PathLike) else tree_of(graph)


# ------------------------------------------------------------------ writing
def _known_shapes(tree: Tree) -> Shapes:
    """The shapes of all steps; none for a graph that is not valid, which can be written all the same."""
    try:
        return shapes_of(flat(tree))
    except (IndexError, KeyError, TypeError, ValueError):  # fields may be missing, or anything
        return {}


def _write_tree(group: Any, tree: Tree, path: str, shapes: Shapes) -> None:
    import h5py

    if tree.metadata:
        write_dictionary(group, "metadata", tree.metadata)
    edges = np.array(tree.edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=edges, dtype=h5py.string_dtype())
    nodes = group.create_group("nodes", track_order=True)
    for name, node in tree.nodes.items():
        own = nodes.create_group(name, track_order=True)
        if isinstance(node, Tree):
            _write_tree(own, node, f"{path}{name}/", shapes)
        else:
            _write_node(own, node, shapes.get(path + name))
    group.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())


def _write_node(group: Any, node: Node, shapes: Any) -> None:
    filled = KINDS[node.kind].filled(node, None if shapes is None else shapes[0])
    metadata = {key: value for key, value in node.metadata.items() if key != ABSENT}
    metadata |= {ABSENT: ",".join(filled)} if filled else {}
    if metadata:
        write_dictionary(group, "metadata", metadata)
    for name, value in {**node.fields, **filled}.items():
        write_value(group, name, value)
    write_value(group, "type", node.kind)


# ------------------------------------------------------------------ reading
def _read_tree(path: Path) -> Tree:
    """The records of a file."""

    def read(file: Any, reader: Reader) -> Node | Tree:
        if "node" not in file:
            raise NIRError(f"{path} has no group 'node', but {', '.join(file) or 'nothing'}; NIR's files have one.")
        return _Nodes(reader).node(reader.group(file, "node", ""), "", 0)

    found = read_hdf5(path, read)
    if isinstance(found, Node):
        raise NIRError(f"{path} holds a single {found.kind}; expected a NIRGraph.")
    return found


class _Nodes:
    """Reads nodes, and counts them."""

    def __init__(self, reader: Reader):
        self.reader, self.file, self.count = reader, reader.file, 0

    def node(self, group: Any, path: str, depth: int) -> "Node | Tree":
        self.count += 1
        if self.count > MOST_NODES:
            raise NIRError(f"{self.file} has more than {MOST_NODES:,} nodes, or graphs that contain themselves.")
        kind = self.reader.text(group, "type", path)
        if kind == "NIRGraph":
            return self._tree(group, path, depth)
        if kind not in KINDS:
            raise NIRError(f"{self.file}: node {path!r} is a {kind!r}; NIR 1.0.8 has {', '.join(KINDS)}, NIRGraph.")
        fields, metadata = {}, self._metadata(group, path, depth)
        for name in sorted(set(group) - {*KINDS[kind].fields, "type", "metadata"}):
            raise NIRError(
                f"{self.file}: node {path!r} ({kind}) has the field {name!r}, which NIR 1.0.8 does not know."
            )
        for name in list(group):
            if name in KINDS[kind].fields:
                fields[name] = self.reader.value(group, name, path)
        for name in {*str(metadata.pop(ABSENT, "")).split(",")} & set(fields):
            field = KINDS[kind].fields[name]
            # A bias that is not 0 was given one since, by a program that does not know of the note.
            if field.optional and not (isinstance(field, Numbers) and np.any(fields[name] != field.missing)):
                del fields[name]
        return Node(kind, fields, metadata)

    def _tree(self, group: Any, path: str, depth: int) -> Tree:
        if depth > MOST_NESTED:
            raise NIRError(f"{self.file} nests graphs more than {MOST_NESTED} deep, or one that contains itself.")
        nodes = self.reader.group(group, "nodes", path)
        found = {}
        for name in list(nodes):
            inner = f"{path}/{name}" if path else name
            found[name] = self.node(self.reader.group(nodes, name, inner), inner, depth + 1)
        edges = self.reader.value(group, "edges", path) if "edges" in group else np.zeros((0, 2), object)
        if not isinstance(edges, np.ndarray) or (edges.size and (edges.ndim != 2 or edges.shape[1] != 2)):
            raise NIRError(f"{self.file}: the edges of {path or 'the graph'!r} are {edges!r}; expected pairs of names.")
        pairs = tuple((self._name(a), self._name(b)) for a, b in edges.reshape(-1, 2))
        return Tree(found, pairs, self._metadata(group, path, depth))

    def _metadata(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        if "metadata" not in group:
            return {}
        return self.reader.dictionary(self.reader.group(group, "metadata", path), path, depth)

    def _name(self, text: Any) -> str:
        """One end of an edge."""
        if isinstance(text, bytes):
            return text.decode("utf8")
        if not isinstance(text, str):
            raise NIRError(f"{self.file}: an edge has the end {text!r}; expected a name.")
        return text
