"""Paths to the parts of a cell: `"3"`, `"3.neuron"`, and `"3.neuron.v"` for a field of a part's state."""

from collections.abc import Iterator

from jaxtyping import PyTree

from snnx._errors import unknown_name
from snnx.cells._cell import AbstractCell, Taps


def walk(cell: PyTree, path: str = "") -> Iterator[tuple[str, PyTree]]:
    """Every part of a cell with its path, outermost first; the cell itself comes as `""`."""
    yield path, cell
    if isinstance(cell, AbstractCell):
        for name, child in cell.children().items():
            yield from walk(child, f"{path}.{name}" if path else name)


def find(cell: PyTree, path: str) -> PyTree:
    """The part at a path.

    **Raises:** `ValueError` if there is none; the message lists the paths that there are.
    """
    parts = dict(walk(cell))
    if path not in parts:
        raise ValueError(unknown_name(type(cell).__name__, "part", path, [p for p in parts if p]))
    return parts[path]


def spiking_paths(cell: PyTree) -> tuple[str, ...]:
    """The paths of all parts whose outputs are spikes: `("1", "3.neuron")`; of a bare neuron, `("",)`."""
    return tuple(path for path, part in walk(cell) if isinstance(part, AbstractCell) and part.spikes)


def taps_of_child(taps: Taps, name: str) -> Taps:
    """The taps that concern a child, as paths within it."""
    return tuple(t[len(name) + 1 :] for t in taps if t == name or t.startswith(name + "."))


def with_prefix(name: str, tapped: dict) -> dict:
    """A child's traces under the names that its container uses."""
    return {f"{name}.{path}" if path else name: trace for path, trace in tapped.items()}
