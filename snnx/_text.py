"""Floor 0: tables of text, and sizes in words."""

import math
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows as lines, the first one underlined; `align` has a `<` or `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = ["  ".join(map(_pad, row, widths, align)).rstrip() for row in rows]
    return [head, "-" * max(map(len, (head, *lines))), *lines]


def _pad(cell: str, width: int, align: str) -> str:
    return f"{cell:{align}{width}}"


def bytes_in_words(size: float) -> str:
    """`812 bytes`, `1.23 MB`."""
    if size < 1000:
        return f"{size:.0f} bytes"
    exponent = min(int(math.log10(size)) // 3, 3)
    return f"{size / 1000**exponent:.3g} {('kB', 'MB', 'GB')[exponent - 1]}"
