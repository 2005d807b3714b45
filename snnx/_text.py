"""Floor 0: tables of text, and sizes in words."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows as lines, the first one underlined; `align` has a `<` or `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = ["  ".join(map(_pad, row, widths, align)).rstrip() for row in rows]
    return [head, "-" * max(map(len, (head, *lines))), *lines]


def _pad(cell: str, width: int, align: str) -> str:
    return f"{cell:{align}{width}}"


def amount(nbytes: int) -> str:
    """Bytes for people."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= 0.9995 * size:  # which three digits round up to it
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes} bytes"
