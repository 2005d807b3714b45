"""What is wrong, or odd, with a graph."""

import math
import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from snnx._checks import checked
from snnx._errors import NIRError, describe
from snnx._typing import AboveZero
from snnx.nir._file import records
from snnx.nir._flat import Flat, as_written, flat
from snnx.nir._kind import KINDS
from snnx.nir._node import DT, Node, Tree
from snnx.nir._shapes import NodeError, Shapes, shapes_of


class Finding(NamedTuple):
    """Something about a graph.

    - `level`: `"error"`: it cannot run; `"warning"`: it runs exactly as written, but hardly as intended.
    - `path`: the node, `sub/node` in a nested graph; empty for the graph itself.
    - `text`: what was found, and what to do about it.
    """

    level: Literal["error", "warning"]
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """Path and text."""
        return f"{f'node {self.path!r}: ' if self.path else ''}{self.text}"


@checked
def validate(graph: Any | str | os.PathLike, *, dt: AboveZero | None = None) -> list[Finding]:
    """What is wrong, or odd, with a graph: nothing is built or run.

    ```python
    for finding in snnx.nir.validate("model.nir", dt=1e-3):
        print(finding)
    ```

    **Arguments:**
    - `graph`: a `nir.NIRGraph`, or the path of a file.
    - `dt`: seconds per step; with it, what depends on it is checked as well.

    **Returns:** the findings, errors first; an empty list where there is nothing to say.
    **Raises:** `ValueError` for a `dt` that is not positive; `FileNotFoundError`.
    """
    try:
        tree = records(graph)
    except NIRError as error:
        return [Finding("error", "", str(error))]
    return examined(tree, None if dt is None else float(dt)).findings


class Examined(NamedTuple):
    """What was found about a graph.

    - `meaning`: its nodes and edges; if the edges mean nothing, as they are written.
    - `shapes`: of one step at every node; empty if anything is wrong.
    - `findings`: errors first.
    """

    tree: Tree
    meaning: Flat
    shapes: Shapes
    findings: list[Finding]

    def accepted(self, where: str) -> "Examined":
        """The same, if nothing is wrong.

        **Raises:** `NIRError` with what is.
        """
        errors = [found.sentence for found in self.findings if found.level == "error"]
        if errors:
            more = f" ({len(errors) - 3} more; snnx.nir.validate lists all)" if len(errors) > 3 else ""
            raise NIRError(f"{where}: {' '.join(errors[:3])}{more}")
        return self

    @property
    def warnings(self) -> list[str]:
        """The warnings, a sentence each."""
        return [found.sentence for found in self.findings if found.level == "warning"]


def examined(tree: Tree, dt: float | None = None, *, with_shapes: bool = True) -> Examined:
    """Work out a graph's meaning, then its shapes, and what is wrong or odd on the way.

    **Arguments:** `with_shapes`: whether to look at shapes; in the files of some dialects they do not fit.
    """
    try:
        meaning, why = flat(tree), None
    except NIRError as error:
        meaning, why = as_written(tree), Finding("error", "", str(error))
    found = [*_of_metadata(tree, dt), *(f for path, node in meaning.nodes.items() for f in _of_node(path, node, dt))]
    shapes: Shapes = {}
    if not _errors(found):  # else what follows from an error would be reported beside it
        found += _of_edges(meaning) if why is None else [why]
        try:
            shapes = shapes_of(meaning, dt) if why is None and with_shapes else {}
        except NodeError as error:
            found.append(Finding("error", error.path, error.reason))
        except NIRError as error:
            found.append(Finding("error", "", str(error)))
    findings = sorted(found, key=lambda finding: finding.level != "error")
    return Examined(tree, meaning, {} if _errors(found) else shapes, findings)


def _errors(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.level == "error"]


def _of_metadata(tree: Tree, dt: float | None) -> Iterator[Finding]:
    noted = tree.noted_dt
    if noted is None and tree.metadata.get(DT) is not None:
        came = describe(tree.metadata[DT])
        yield Finding("error", "", f"the metadata's {DT} is {came}; expected seconds per step, or leave it out.")
    if noted is not None and dt is not None and not math.isclose(noted, dt, rel_tol=1e-6):
        text = f"the file was written for dt={noted:g}, and is now run at dt={dt:g}: spikes will differ."
        yield Finding("warning", "", text)


def _of_node(path: str, node: Node, dt: float | None) -> Iterator[Finding]:
    """What a node says by itself."""
    kind = KINDS[node.kind]
    there = {name: field for name, field in kind.numbers.items() if name in node.fields}
    errors = [
        f"the field {name} is missing, which every {node.kind} has; add it."
        for name, field in kind.fields.items()
        if name not in node.fields and not field.optional
    ]
    errors += [text for name, field in there.items() for text in field.errors(name, node.fields[name])]
    if not errors:
        try:
            kind.check(node)
        except NIRError as error:
            errors.append(f"{str(error).rstrip('.')}.")
    yield from (Finding("error", path, text) for text in errors)
    if not errors:
        odd = [text for name, field in there.items() for text in field.odd(name, node.array(name), dt)]
        yield from (Finding("warning", path, text) for text in (*odd, *kind.odd(node, dt)))


def _of_edges(graph: Flat) -> Iterator[Finding]:
    """What is wrong, or odd, about how nodes are tied to each other."""
    sources, targets = {source for source, _ in graph.edges}, {target for _, target in graph.edges}
    for name, node in graph.nodes.items():
        if name not in targets and node.kind == "Output":
            yield Finding("error", name, "no edge leads to this Output; add one, or leave the node out.")
        elif name not in targets and name not in graph.inputs:
            yield Finding("warning", name, f"no edge leads to this {node.kind}: it gets zeros at every step.")
        if name not in sources and name not in graph.outputs:
            yield Finding("warning", name, f"no edge leads away from this {node.kind}: what it puts out goes nowhere.")
