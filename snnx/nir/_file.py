"""Reading and writing NIR's files (HDF5): nothing in a file is trusted, nothing in a graph is lost."""

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnx._errors import NIRError, describe
from snnx._files import write_atomically
from snnx.nir._flat import check_names, flat, is_name
from snnx.nir._shapes import Shape, shapes_of
from snnx.nir._superblock import check_superblock
from snnx.nir._texts import Texts
from snnx.nir._tree import KINDS, MOST_NESTED, Node, Tree, graph_of, tree_of, trees_of

MOST_NODES = 100_000
SMALL = 2**20  # bytes that may be declared without being there: HDF5 fills up with zeros
DENSEST = 1100  # times that deflate makes something smaller at most
FILTERS = frozenset((1, 2, 3, 4, 32000))  # gzip, shuffle, checksum, szip, lzf
ABSENT = "snnx_absent"  # in a node's metadata: fields that were None, which other readers cannot do without


def read(path: "str | os.PathLike") -> Any:
    """The `nir.NIRGraph` of a file, exactly as it is there: nothing is inferred or added.

    Nodes come in the order in which snnx wrote them; other writers' files do not have one, and give that of names.

    **Raises:** `NIRError` for a file that is damaged, no HDF5, or no NIR; `FileNotFoundError`.
    """
    return graph_of(read_tree(Path(path)))


def write(graph: Any, path: "str | os.PathLike") -> None:
    """Write a graph to a file, whole or not at all. What is None in a graph comes back so with `snnx.nir.read`.

    **Raises:** `NIRError` for names that no file can hold, such as those with a `/`, and for what is no graph.
    """
    tree = tree_of(graph)
    for where, inner in trees_of(tree):
        check_names(where, inner)
    import h5py
    import nir

    content = io.BytesIO()
    with h5py.File(content, "w", track_order=True) as file:
        file.create_dataset("version", data=nir.version, dtype=h5py.string_dtype())
        _write_tree(file.create_group("node", track_order=True), tree, "", _known_shapes(tree))
    write_atomically(Path(path), content.getvalue())


def _known_shapes(tree: Tree) -> dict[str, tuple[Shape, Shape]]:
    """The shapes of all steps; none where the graph is none that runs, which can be written all the same."""
    try:
        return shapes_of(flat(tree))
    except (IndexError, KeyError, TypeError, ValueError):  # fields may be missing, or anything
        return {}


def _write_tree(group: Any, tree: Tree, path: str, shapes: Mapping[str, tuple[Shape, Shape]]) -> None:
    import h5py

    if tree.metadata:
        _write_dictionary(group, "metadata", tree.metadata)
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


def _write_node(group: Any, node: Node, shapes: tuple[Shape, Shape] | None) -> None:
    fields = dict(node.fields)
    if node.kind in ("Conv1d", "Conv2d"):  # nir's own reader asks for all fields
        weight = node.array("weight") if "weight" in fields else np.zeros(())
        if weight.ndim:
            fields.setdefault("bias", np.zeros(len(weight), weight.dtype))
        if shapes is not None:
            space = shapes[0][1:]
            fields.setdefault("input_shape", np.array(space).squeeze() if len(space) == 1 else np.array(space))
    absent = [name for name in fields if name not in node.fields]
    metadata = {key: value for key, value in node.metadata.items() if key != ABSENT}
    metadata |= {ABSENT: ",".join(absent)} if absent else {}
    if metadata:
        _write_dictionary(group, "metadata", metadata)
    for name, value in fields.items():
        _write_value(group, name, value)
    _write_value(group, "type", node.kind)


def _write_dictionary(group: Any, name: str, values: Mapping[str, Any], depth: int = 0) -> None:
    inner = group.create_group(name, track_order=True)
    if depth > MOST_NESTED:
        raise NIRError(f"{inner.name} is nested more than {MOST_NESTED} deep; no reader takes that.")
    for key, value in values.items():
        if not is_name(key):
            raise NIRError(
                f"{inner.name} has the key {key!r}; expected a text that is not empty, not '.', and has no '/'."
            )
        if isinstance(value, Mapping):
            _write_dictionary(inner, key, value, depth + 1)
        else:
            _write_value(inner, key, value)


def _write_value(group: Any, name: str, value: Any) -> None:
    import h5py

    where = f"{group.name}/{name}"
    try:
        array = np.asarray(value)
        if array.dtype.kind in "US" or (
            array.dtype.kind == "O" and all(isinstance(v, (str, bytes)) for v in array.flat)
        ):
            group.create_dataset(name, data=array.astype(object)[()], dtype=h5py.string_dtype())
            return
    except ValueError as error:  # lists of several lengths; texts with zeros or halves of letters
        raise NIRError(f"{where} is {describe(value)}, which no file can hold: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise NIRError(f"{where} is {describe(value)}, which no file can hold; expected numbers or a text.")
    if array.ndim and array.size:
        group.create_dataset(name, data=array, compression="gzip")
    else:
        group.create_dataset(name, data=array)


def read_tree(path: Path) -> Tree:
    """The records of a file.

    **Raises:** `NIRError`, `FileNotFoundError`.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    size = os.path.getsize(path)
    with path.open("rb") as content:
        try:
            check_superblock(content, size)
            with h5py.File(path, "r") as file:
                if "node" not in file:
                    raise NIRError(
                        f"{path} has no group 'node', but {', '.join(file) or 'nothing'}; NIR's files have one."
                    )
                reader = _Reader(path, size, Texts(content, size, file.userblock_size, SMALL))
                found = reader.node(reader.group(file, "node", ""), "", 0)
        except NIRError:
            raise
        except Exception as error:  # a damaged file makes the library raise nearly anything
            raise NIRError(f"{path} is no whole NIR file (HDF5): {error}.") from error
    if isinstance(found, Node):
        raise NIRError(f"{path} holds a single {found.kind}; expected a NIRGraph.")
    return found


class _Reader:
    """Reads a file, and keeps count of what it has asked for."""

    def __init__(self, path: Path, size: int, texts: Texts):
        self.path, self.size, self.texts = path, size, texts
        self.count = self.declared = self.there = self.pieces = 0

    def node(self, group: Any, path: str, depth: int) -> "Node | Tree":
        self.count += 1
        if self.count > MOST_NODES:
            raise NIRError(f"{self.path} has more than {MOST_NODES:,} nodes, or graphs that contain themselves.")
        kind = self.text(group, "type", path)
        if kind == "NIRGraph":
            return self.tree(group, path, depth)
        if kind not in KINDS:
            raise NIRError(f"{self.path}: node {path!r} is a {kind!r}; NIR 1.0.8 has {', '.join(KINDS)}, NIRGraph.")
        metadata = self.metadata(group, path, depth)
        absent = {*str(metadata.pop(ABSENT, "")).split(",")} & {"bias", "input_shape"}
        known = {*KINDS[kind].arrays, *KINDS[kind].settings, "type", "metadata"}
        more = sorted(set(self.names(group)) - known)
        if more:
            raise NIRError(
                f"{self.path}: node {path!r} ({kind}) has the field {more[0]!r}, which NIR 1.0.8 does not know."
            )
        fields = {
            name: self.value(group, name, path) for name in self.names(group) if name in known - {"type", "metadata"}
        }
        if "bias" in fields and np.any(fields["bias"]):  # given one since, by a program that does not know of this
            absent.discard("bias")
        return Node(kind, {name: value for name, value in fields.items() if name not in absent}, metadata)

    def tree(self, group: Any, path: str, depth: int) -> Tree:
        if depth > MOST_NESTED:
            raise NIRError(f"{self.path} nests graphs more than {MOST_NESTED} deep, or one that contains itself.")
        nodes = self.group(group, "nodes", path)
        found = {}
        for name in self.names(nodes):
            inner = f"{path}/{name}" if path else name
            found[name] = self.node(self.group(nodes, name, inner), inner, depth + 1)
        edges = self.value(group, "edges", path) if "edges" in group else np.zeros((0, 2), object)
        if not isinstance(edges, np.ndarray) or (edges.size and (edges.ndim != 2 or edges.shape[1] != 2)):
            raise NIRError(f"{self.path}: the edges of {path or 'the graph'!r} are {edges!r}; expected pairs of names.")
        pairs = tuple((self.decoded(a), self.decoded(b)) for a, b in edges.reshape(-1, 2))
        return Tree(found, pairs, self.metadata(group, path, depth))

    def metadata(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        return self.dictionary(self.group(group, "metadata", path), path, depth) if "metadata" in group else {}

    def dictionary(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        import h5py

        if depth > MOST_NESTED:
            raise NIRError(f"{self.path}: the metadata of {path!r} are nested more than {MOST_NESTED} deep.")
        found = {}
        for name in self.names(group):
            if isinstance(group.get(name), h5py.Group):
                found[name] = self.dictionary(self.group(group, name, path), path, depth + 1)
            else:
                found[name] = self.value(group, name, path)
        return found

    def names(self, group: Any) -> list[str]:
        return list(group)

    def group(self, parent: Any, name: str, path: str) -> Any:
        import h5py

        self.own(parent, name, path)
        found = parent.get(name)
        if not isinstance(found, h5py.Group):
            raise NIRError(f"{self.path}: node {path!r} has no group {name!r}.")
        return found

    def own(self, parent: Any, name: str, path: str) -> None:
        """Refuse links to elsewhere: into other files, or back into this one."""
        import h5py

        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise NIRError(f"{self.path}: {name!r} of node {path!r} is missing, or is a link to elsewhere.")

    def text(self, group: Any, name: str, path: str) -> str:
        value = self.value(group, name, path)
        if not isinstance(value, str):
            raise NIRError(f"{self.path}: {name!r} of node {path!r} is {value!r}; expected a text.")
        return value

    def value(self, group: Any, name: str, path: str) -> Any:
        """The content of a data set: a text, a number or an array."""
        import h5py

        self.own(group, name, path)
        data = group.get(name)
        if not isinstance(data, h5py.Dataset):
            raise NIRError(f"{self.path}: {name!r} of node {path!r} is a group; expected numbers or a text.")
        if data.shape is None:
            raise NIRError(f"{self.path}: {name!r} of node {path!r} is empty.")
        self.check_storage(data, name, path)
        if data.dtype.kind == "O":
            return self.texts_of(data, name, path)
        if data.dtype.kind not in "fiubcS":
            raise NIRError(f"{self.path}: {name!r} of node {path!r} holds {data.dtype}; expected numbers or a text.")
        content = data[()]
        return content.decode("utf8") if isinstance(content, bytes) else content

    def check_storage(self, data: Any, name: str, path: str) -> None:
        """Refuse what would take more memory or time than there are bytes for, or stand in another file."""
        what, plan = f"{self.path}: {name!r} of node {path!r}", data.id.get_create_plist()
        if data.external or data.is_virtual:
            raise NIRError(f"{what} is kept in other files, which are not looked at.")
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if len({*filters}) < len(filters) or not {*filters} <= FILTERS:
            raise NIRError(f"{what} has the filters {filters}; expected gzip, lzf or szip, once each.")
        chunks = data.chunks or data.shape
        if len(chunks) != data.ndim or (0 in chunks and data.size):
            raise NIRError(f"{what} has shape {list(data.shape)}, but is cut into pieces of {list(chunks)}.")
        self.pieces += math.prod(-(-n // m) for n, m in zip(data.shape, chunks, strict=True) if m)
        declared = max(data.nbytes, math.prod(chunks) * data.dtype.itemsize)
        self.declared += declared
        self.there += data.id.get_storage_size()
        if (
            self.there > SMALL + self.size  # the same bytes for several
            or self.declared > SMALL + DENSEST * self.there
            or self.pieces * 8 > SMALL + self.size
        ):
            raise NIRError(
                f"{what} is declared to have {declared:,} bytes, shape {list(data.shape)}, but the file has"
                f" {data.id.get_storage_size():,} bytes for it."
            )

    def texts_of(self, data: Any, name: str, path: str) -> "str | np.ndarray":
        """A text, or an array of them."""
        import h5py

        if h5py.check_string_dtype(data.dtype) is None:
            raise NIRError(f"{self.path}: {name!r} of node {path!r} holds lists or references; expected texts.")
        start = data.id.get_offset()
        if data.size and start is None:
            raise NIRError(
                f"{self.path}: {name!r} of node {path!r} is a text in pieces (chunked or compressed), which is not read; write"
                " the file with nir.write, which does not."
            )
        try:
            found = self.texts.read(start, data.size) if data.size else np.empty(0, object)
        except NIRError as error:
            raise NIRError(f"{self.path}: {name!r} of node {path!r} is damaged: {error}.") from error
        return found.item() if data.shape == () else found.reshape(data.shape)

    def decoded(self, text: Any) -> str:
        if isinstance(text, bytes):
            return text.decode("utf8")
        if not isinstance(text, str):
            raise NIRError(f"{self.path}: an edge has the end {text!r}; expected a name.")
        return text
