"""What is in a graph, as a table."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snnx._errors import NIRError
from snnx._text import amount, table
from snnx.nir._file import read_tree
from snnx.nir._flat import flat
from snnx.nir._import_nodes import RESET, VERSION, noted_dt
from snnx.nir._shapes import Shape, shapes_of
from snnx.nir._tree import KINDS, Edge, Node, Tree, nodes_of, tree_of, trees_of
from snnx.nir._validate import findings

LAGS = "~"  # stands before a source whose value of the step before comes
_HEAD = ("node", "kind", "in", "out", "parameters", "dtype", "from")
_ALIGN = "<<<<><<"


@dataclasses.dataclass(frozen=True)
class Row:
    """One node.

    - `path`: `sub/node` of one in a nested graph; `kind`: the format's name for it.
    - `input`, `output`: the shape of one step; None in a graph that is not valid.
    - `parameters`, `bytes`: how many numbers its arrays hold, and the memory of these; `dtype`: of them, several with commas.
    - `sources`: the nodes that feed it, in the order of the edges; `lagging`: those of them whose value of the step before it
        gets.
    - `stateful`: whether it remembers anything from step to step.
    - `reset`: `"subtract"` or `"value"`, where snnx noted it.
    """

    path: str
    kind: str
    input: Shape | None
    output: Shape | None
    parameters: int
    bytes: int
    dtype: str
    sources: tuple[str, ...]
    lagging: tuple[str, ...]
    stateful: bool
    reset: str | None


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """The nodes of a graph, those of nested ones too, and what they come to; its `str` is a table.

    - `nodes`: a `Row` each, by path.
    - `edges`: pairs of paths; `lagging`: those that carry the value of the step before, one for each cycle that was found.
    - `inputs`, `outputs`: the `Input` and `Output` nodes of the graph itself.
    - `parameters`, `bytes`: of all arrays.
    - `dt`, `version`: seconds per step for which snnx wrote the graph, and snnx's version; None where it is not said, or is no
        number.
    """

    nodes: Mapping[str, Row]
    edges: tuple[Edge, ...]
    lagging: frozenset[Edge]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: int
    bytes: int
    dt: float | None
    version: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes that are no inputs or outputs of the graph."""
        return tuple(path for path in self.nodes if path not in (*self.inputs, *self.outputs))

    def __str__(self) -> str:
        return "\n".join([*table([_HEAD, *map(_cells, self.nodes.values())], _ALIGN), *self._totals()])

    def _totals(self) -> list[str]:
        count = len(self.lagging)
        valid = all(row.input is not None for row in self.nodes.values())
        cycles = (
            f", {_number(count, 'cycle')} ({LAGS}: of the step before)" if count else ", no cycles" if valid else ""
        )
        sizes = f"{_number(self.parameters, 'parameter')}, {amount(self.bytes)}"
        lines = [f"{_number(len(self.nodes), 'node')}, {_number(len(self.edges), 'edge')}{cycles}; {sizes}"]
        if self.dt is not None or self.version is not None:
            by = "" if self.version is None else f" {self.version}"
            lines.append(f"written by snnx{by}" + ("" if self.dt is None else f" for steps of {self.dt:g} s"))
        return lines

    __repr__ = __str__


def summary(graph: "Any | str | os.PathLike") -> Summary:
    """The nodes of a graph: kinds, shapes, parameters, and what feeds what. Nothing is built or run.

    ```python
    print(snnx.nir.summary("model.nir"))
    ```

    **Arguments:** `graph`: a `nir.NIRGraph`, or the path of a file.

    **Returns:** a `Summary`, which prints as a table; `snnx.plot.graph` draws it. A graph that is not valid has one too, without
    shapes, and without lagging edges where its edges mean nothing: see `validate`.

    **Raises:** `NIRError` for what is no graph, or a file that is none; `FileNotFoundError`.
    """
    tree = read_tree(Path(graph)) if isinstance(graph, (str, os.PathLike)) else tree_of(graph)
    shapes: Mapping[str, tuple[Shape, Shape]] = {}
    edges, lagging = _as_written(tree), frozenset()
    try:
        meaning = flat(tree)
        edges, lagging = meaning.edges, meaning.lagging
        if not any(found.level == "error" for found in findings(tree)):
            shapes = shapes_of(meaning)
    except NIRError:
        pass
    sources: dict[str, list[str]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    rows = {}
    for path, node in nodes_of(tree):
        from_ = tuple(sources.get(path, ()))
        late = tuple(source for source in from_ if (source, path) in lagging)
        rows[path] = _row(path, node, shapes.get(path, (None, None)), from_, late)
    own = {name: node for name, node in tree.nodes.items() if isinstance(node, Node)}
    version = tree.metadata.get(VERSION)
    return Summary(
        rows,
        edges,
        lagging,
        inputs=tuple(name for name, node in own.items() if node.kind == "Input"),
        outputs=tuple(name for name, node in own.items() if node.kind == "Output"),
        parameters=sum(row.parameters for row in rows.values()),
        bytes=sum(row.bytes for row in rows.values()),
        dt=noted_dt(tree.metadata),
        version=None if version is None else str(version),
    )


def _as_written(tree: Tree) -> tuple[Edge, ...]:
    """The edges as they stand there, of a graph in which they mean nothing."""
    found = []
    for path, inner in trees_of(tree):
        prefix = f"{path}/" if path else ""
        found += [(f"{prefix}{source}", f"{prefix}{target}") for source, target in inner.edges]
    return tuple(found)


def _row(
    path: str,
    node: Node,
    shapes: "tuple[Shape | None, Shape | None]",
    sources: tuple[str, ...],
    lagging: tuple[str, ...],
) -> Row:
    kind = KINDS[node.kind]
    arrays = [node.array(field) for field in kind.arrays if field in node.fields]
    return Row(
        path,
        node.kind,
        *shapes,
        parameters=sum(array.size for array in arrays),
        bytes=sum(array.nbytes for array in arrays),
        dtype=", ".join(dict.fromkeys(array.dtype.name for array in arrays)),
        sources=sources,
        lagging=lagging,
        stateful=kind.stateful,
        reset=None if RESET not in node.metadata else str(node.metadata[RESET]),
    )


def _cells(row: Row) -> tuple[str, ...]:
    """A row as text, a cell a column."""
    sources = ", ".join(f"{LAGS}{source}" if source in row.lagging else source for source in row.sources)
    kind = row.kind if row.reset is None else f"{row.kind} (reset: {row.reset})"
    count = f"{row.parameters:,}" if row.parameters else ""
    return (row.path, kind, _shape(row.input), _shape(row.output), count, row.dtype, sources)


def _shape(shape: Shape | None) -> str:
    return "?" if shape is None else f"[{', '.join(map(str, shape))}]"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
