"""What to record of a cell that runs: paths to its parts, and what becomes of each trace."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from jaxtyping import PyTree

from snnx._errors import UnknownNameError, unknown_name
from snnx._readers import reader
from snnx.cells import AbstractCell, walk
from snnx.reductions import AbstractReduction, Stack

Reductions: TypeAlias = AbstractReduction | tuple[AbstractReduction, ...]
Record: TypeAlias = Mapping[str, Reductions] | Iterable[str] | str


def as_tuple(given: Any) -> tuple:
    return given if isinstance(given, tuple) else (given,)


def reductions_by_path(where: str, cell: AbstractCell, record: Record | None) -> dict[str, Reductions]:
    """What to record as a dict from path to reductions, every path being one of the cell's."""
    if record is None:
        return {}
    given: Any = reader(Record)(where, "record", record)  # pyright: ignore[reportOptionalCall]
    paths = [given] if isinstance(given, str) else given
    wanted: dict[str, Reductions] = dict(given) if isinstance(given, Mapping) else {path: Stack() for path in paths}
    parts = dict(walk(cell))
    for path in wanted:
        parent, _, field = path.rpartition(".")
        owner = parts.get(parent)
        if path not in parts and not (field and _is_leaf(owner)):
            known = [p for p in parts if p]
            inner = [f"{p}.{field}" for p in known if p.startswith(f"{parent}.") and _is_leaf(parts[p])]
            misspelt = difflib.get_close_matches(path, known, n=1, cutoff=0.75)
            raise UnknownNameError(unknown_name(where, "part to record", path, known, misspelt or inner))
    return wanted


def _is_leaf(part: PyTree) -> bool:
    """Whether a part is a cell with a state of its own rather than of its parts."""
    return isinstance(part, AbstractCell) and not part.children()
