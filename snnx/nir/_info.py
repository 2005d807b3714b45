"""What is in a graph, as a table."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from snnx._checks import checked
from snnx._text import amount, table
from snnx.nir._fields import Shape
from snnx.nir._file import records
from snnx.nir._kind import KINDS
from snnx.nir._node import RESET, VERSION, Edge, Node
from snnx.nir._validate import examined

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
class GraphInfo:
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
        """The nodes that are neither inputs nor outputs of the graph."""
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


@checked
def info(graph: Any | str | os.PathLike) -> GraphInfo:
    """The nodes of a graph: kinds, shapes, parameters, and what feeds what. Nothing is built or run.

    ```python
    print(snnx.nir.info("model.nir"))
    ```

    **Arguments:** `graph`: a `nir.NIRGraph`, or the path of a file.

    **Returns:** a `GraphInfo`, which prints as a table, and which `snnx.plot.graph` draws. A graph that is not valid has one too,
    without shapes, and without lagging edges where its edges mean nothing: see `validate`.

    **Raises:** `NIRError` for anything but a graph or its file; `FileNotFoundError`.
    """
    tree, meaning, shapes, _ = examined(records(graph))
    sources: dict[str, list[str]] = {path: [] for path in meaning.nodes}
    for source, target in meaning.edges:
        sources.setdefault(target, []).append(source)
    rows = {}
    for path, node in meaning.nodes.items():
        late = tuple(source for source in sources[path] if (source, path) in meaning.lagging)
        rows[path] = _row(path, node, shapes.get(path, (None, None)), tuple(sources[path]), late)
    version = tree.metadata.get(VERSION)
    return GraphInfo(
        rows,
        meaning.edges,
        meaning.lagging,
        meaning.inputs,
        meaning.outputs,
        parameters=sum(row.parameters for row in rows.values()),
        bytes=sum(row.bytes for row in rows.values()),
        dt=tree.noted_dt,
        version=None if version is None else str(version),
    )


def _row(
    path: str,
    node: Node,
    shapes: "tuple[Shape | None, Shape | None]",
    sources: tuple[str, ...],
    lagging: tuple[str, ...],
) -> Row:
    kind = KINDS[node.kind]
    arrays = [node.array(name) for name in kind.numbers if name in node.fields]
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
