"""What is wrong, or odd, with a graph."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from snnx._errors import NIRError, describe
from snnx.nir._flat import Flat, flat
from snnx.nir._import_nodes import DT
from snnx.nir._shapes import MOST, shapes_of, sizes, whole
from snnx.nir._tree import KINDS, Node, Tree, nodes_of

TAUS = ("tau", "tau_syn", "tau_mem")
THRESHOLDS = ("v_threshold", "threshold")


class Finding(NamedTuple):
    """Something about a graph.

    - `level`: `"error"`, it cannot run; or `"warning"`, it runs exactly as written, but hardly as meant.
    - `path`: the node, `sub/node` in a nested graph; empty for the graph itself.
    - `text`: what is found, and what to do about it.
    """

    level: Literal["error", "warning"]
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {f'node {self.path!r}: ' if self.path else ''}{self.text}"


def validate(graph: "Any | str | os.PathLike", *, dt: float | None = None) -> list[Finding]:
    """What is wrong, or odd, with a graph: nothing is built or run.

    ```python
    for finding in snnx.nir.validate("model.nir", dt=1e-3):
        print(finding)
    ```

    **Arguments:**
    - `graph`: a `nir.NIRGraph`, or the path of a file.
    - `dt`: seconds per step; with it, what depends on it is looked at as well.

    **Returns:** the findings, errors first; an empty list where there is nothing to say.
    **Raises:** `ValueError` for a `dt` that is no number > 0.
    """
    dt = None if dt is None else seconds_per_step("validate", dt)
    from snnx.nir._file import read_tree
    from snnx.nir._tree import tree_of

    try:
        tree = read_tree(Path(graph)) if isinstance(graph, (str, os.PathLike)) else tree_of(graph)
    except NIRError as error:
        return [Finding("error", "", str(error))]
    return findings(tree, dt)


def seconds_per_step(where: str, dt: Any) -> float:
    """`dt` as a number of Python, if it is one > 0."""
    if isinstance(dt, bool) or not isinstance(dt, (int, float, np.number)) or not 0 < dt < math.inf:
        raise ValueError(f"{where}: dt is {dt!r}, expected seconds per step, a number such as 1e-3.")
    return float(dt)


def findings(tree: Tree, dt: float | None = None) -> list[Finding]:
    """As `validate`, of records."""
    found = [*_of_metadata(tree), *(f for path, node in nodes_of(tree) for f in _of_node(path, node, dt))]
    errors = [f for f in found if f.level == "error"]
    if not errors:
        try:
            graph = flat(tree)
            odd = [*_of_graph(graph), *_of_buffers(graph, dt)]
            found, errors = found + odd, [f for f in odd if f.level == "error"]
        except NIRError as error:
            errors.append(Finding("error", "", str(error)))
    return errors + [f for f in found if f.level == "warning"]


def check(tree: Tree, where: str, dt: float | None = None) -> tuple[Flat, list[str]]:
    """The meaning of a graph, and what is odd about it.

    **Raises:** `NIRError` with all that is wrong.
    """
    found = findings(tree, dt)
    _refuse(where, found)
    return flat(tree), [str(f).removeprefix("warning: ") for f in found]


def check_nodes(tree: Tree, where: str) -> None:
    """Only what each node says by itself, e.g. before it is translated.

    **Raises:** `NIRError` with all that is wrong.
    """
    _refuse(where, [f for path, node in nodes_of(tree) for f in _of_node(path, node, None)])


def _refuse(where: str, found: Iterable[Finding]) -> None:
    errors = [str(f).removeprefix("error: ") for f in found if f.level == "error"]
    if errors:
        more = f" ({len(errors) - 3} more; snnx.nir.validate lists all)" if len(errors) > 3 else ""
        raise NIRError(f"{where}: {' '.join(errors[:3])}{more}")


def _of_metadata(tree: Tree) -> Iterator[Finding]:
    noted = tree.metadata.get(DT)
    if noted is not None and not (isinstance(noted, (int, float, np.number)) and 0 < noted < math.inf):
        yield Finding(
            "error", "", f"the metadata's {DT} is {describe(noted)}; expected seconds per step, or leave it out."
        )


def _of_node(path: str, node: Node, dt: float | None) -> Iterator[Finding]:
    kind = KINDS[node.kind]
    for field in (*kind.arrays, *kind.settings):
        if field not in node.fields and field not in kind.optional:
            yield Finding("error", path, f"the field {field} is missing, which every {node.kind} has; add it.")
    wrong = not {*kind.arrays, *kind.settings} <= {*node.fields, *kind.optional}
    for field in kind.arrays:
        if field in node.fields:
            for text in _of_array(field, node):
                wrong = True
                yield Finding("error", path, text)
    if not wrong:
        try:
            _special(node.kind)(node)
        except NIRError as error:
            yield Finding("error", path, f"{str(error).rstrip('.')}.")
        for text in _odd(node, dt):
            yield Finding("warning", path, text)


def _of_array(field: str, node: Node) -> Iterator[str]:
    try:
        array = node.array(field)
    except ValueError:
        yield f"{field} is a list of lists that differ in length; expected an array of numbers."
        return
    if array.dtype.kind not in "fiub":
        yield f"{field} holds {array.dtype}; expected real numbers."
        return
    if array.dtype.kind == "f" and np.isnan(array).any():
        yield f"{field} is NaN at {_where(np.isnan(array))}; every number has to be one."
        return
    endless = np.isinf(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    if field in THRESHOLDS:
        endless = endless & (array < 0)
    if endless.any():
        yield f"{field} is infinite at {_where(endless)}; expected finite numbers."
    if field in TAUS and (array <= 0).any():
        least = array[array <= 0].flat[0]
        yield (
            f"{field} is {least:g} at {_where(array <= 0)}; a time constant is > 0 (snnx.nir.constrain keeps it so in training)."
        )
    if field == "delay" and (array < 0).any():
        yield f"delay is {array[array < 0].flat[0]:g} at {_where(array < 0)}; expected seconds >= 0."


def _where(wrong: np.ndarray) -> str:
    place = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
    others = int(wrong.sum()) - 1
    return f"{list(place)}" + (f" and {others} more" if others else "")


def _odd(node: Node, dt: float | None) -> Iterator[str]:
    for field in THRESHOLDS:
        if field in node.fields and np.isinf(node.array(field)).any():
            yield f"{field} is infinite at {_where(np.isinf(node.array(field)))}: there it never fires."
    if {"v_reset", "v_threshold"} <= set(node.fields):
        above = np.asarray(node.array("v_reset") > node.array("v_threshold"))
        if above.any():
            yield f"v_reset is above v_threshold at {_where(above)}: once it has fired, it fires again and again."
    if dt is None:
        return
    for field in TAUS:
        if field in node.fields and (node.array(field) < dt).any():
            least = node.array(field).min()
            yield (
                f"{field} is {least:g} s at least, shorter than the step, {dt:g} s: forward Euler's factor 1 - dt/tau is"
                f" {1 - dt / float(least):g}. It is run as written; a smaller dt would follow the equation."
            )
    if node.kind == "Delay":
        steps = node.array("delay").astype(np.float64) / dt
        off = np.abs(steps - np.rint(steps))
        if (off > 1e-3).any():
            worst = int(np.argmax(off))
            yield (
                f"delay is {node.array('delay').flat[worst]:g} s, {steps.flat[worst]:g} steps of {dt:g} s, which is rounded to"
                f" {np.rint(steps.flat[worst]):g}: off by {off.flat[worst] * dt:g} s."
            )


def _special(kind: str) -> Callable[[Node], object]:
    """What else is asked of a kind."""
    special: dict[str, Callable[[Node], object]] = {
        "Conv1d": _conv,
        "Conv2d": _conv,
        "Affine": _linear,
        "Linear": _linear,
    }
    special |= dict.fromkeys(("SumPool2d", "AvgPool2d"), _pool) | dict.fromkeys(("Input", "Output"), _shape)
    return special.get(kind, lambda node: None)


def _shape(node: Node) -> None:
    sizes("shape", node.fields["shape"])


def _linear(node: Node) -> None:
    weight = node.array("weight")
    if weight.ndim < 2:
        raise NIRError(f"weight has shape {weight.shape}; expected (out, in), with or without axes before")
    if node.kind == "Affine":
        bias, out = node.array("bias"), (*weight.shape[:-2], weight.shape[-2])
        if bias.shape != out:
            raise NIRError(f"bias has shape {bias.shape}; expected {out}, for weight is {weight.shape}")


def _conv(node: Node) -> None:
    axes = 3 if node.kind == "Conv1d" else 4
    weight = node.array("weight")
    if weight.ndim != axes or 0 in weight.shape:
        names = "(out, in / groups, length)" if axes == 3 else "(out, in / groups, height, width)"
        raise NIRError(f"weight has shape {weight.shape}; expected {names}")
    groups = whole("groups", node.fields["groups"])
    if groups < 1 or weight.shape[0] % groups:
        raise NIRError(f"groups is {groups}; expected a divisor of the {weight.shape[0]} channels of its output")
    if "bias" in node.fields and node.array("bias").shape != weight.shape[:1]:
        raise NIRError(f"bias has shape {node.array('bias').shape}; expected {weight.shape[:1]}")


def _pool(node: Node) -> None:
    for name in KINDS[node.kind].settings:
        sizes(name, node.fields[name], node.kind)


def _of_buffers(graph: Flat, dt: float | None) -> Iterator[Finding]:
    """Delays that no memory holds. Shapes that do not fit raise `NIRError`."""
    shapes = shapes_of(graph)
    if dt is None:
        return
    for name, node in graph.nodes.items():
        if node.kind == "Delay" and node.array("delay").size:
            seconds, elements = float(node.array("delay").max()), math.prod(shapes[name][0])
            if not seconds / dt * elements <= MOST:
                text = (
                    f"delay is {seconds:g} s, {seconds / dt:g} steps of {dt:g} s, for each of which {elements:,} elements are"
                    f" kept; the most is {MOST:,} numbers. Is it in seconds? Else take a larger dt, or a shorter delay."
                )
                yield Finding("error", name, text)


def _of_graph(graph: Flat) -> Iterator[Finding]:
    """What is odd about how nodes are tied to each other."""
    sources, targets = {source for source, _ in graph.edges}, {target for _, target in graph.edges}
    for name, node in graph.nodes.items():
        if name not in targets and node.kind == "Output":
            yield Finding("error", name, "no edge leads to this Output; add one, or leave the node out.")
        elif name not in targets and name not in graph.inputs:
            yield Finding("warning", name, f"no edge leads to this {node.kind}: it gets zeros at every step.")
        if name not in sources and name not in graph.outputs:
            yield Finding("warning", name, f"no edge leads away from this {node.kind}: what it puts out goes nowhere.")
