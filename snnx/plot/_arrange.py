"""Parts of laying out a graph: what stands before what, where long rows are cut, places that are near to what is wanted."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Edge: TypeAlias = tuple[str, str]

LONGEST = 15.0  # inches of a line; longer pictures are cut into lines of about LINE
LINE = 12.0


def acyclic(keys: Iterable[str], links: Iterable[Edge]) -> tuple[list[str], dict[str, list[str]]]:
    """Sources before targets, and the targets of each, without the links that close a cycle of nested graphs."""
    after: dict[str, list[str]] = {key: [] for key in keys}
    for source, target in links:
        if target not in after[source]:
            after[source].append(target)
    order: list[str] = []
    kept: dict[str, list[str]] = {key: [] for key in after}
    entered: set[str] = set()
    for root in after:
        path = [] if root in entered else [(root, iter(after[root]))]
        entered.add(root)
        while path:
            key, ahead = path[-1]
            target = next(ahead, None)
            if target is None:
                order.append(key)
                path.pop()
            elif target not in entered:
                kept[key].append(target)
                entered.add(target)
                path.append((target, iter(after[target])))
            elif all(target != other for other, _ in path):
                kept[key].append(target)
    return order[::-1], kept


def cut(widths: Sequence[float], spans: Sequence[tuple[int, int]], gap: float) -> list[list[int]]:
    """The columns, cut into lines of about the same length where the fewest edges are cut.

    The first column and the last, of no width, stay with those beside them.
    """
    total = sum(widths) + gap * (len(widths) - 1)
    count = 1 if total <= LONGEST else math.ceil(total / LINE)
    ends = [sum(widths[: i + 1]) + gap * i for i in range(len(widths))]
    lines, start = [], 0
    for n in range(1, count):
        ideal = total * n / count
        free = range(max(start, 1), len(widths) - 2)
        if not free:
            break
        near = [c for c in free if abs(ends[c] - ideal) < total / count / 5]
        near = near or [min(free, key=lambda c: abs(ends[c] - ideal))]
        end = min(near, key=lambda c: (sum(min(s) <= c < max(s) for s in spans), abs(ends[c] - ideal)))
        lines.append(list(range(start, end + 1)))
        start = end + 1
    return [*lines, list(range(start, len(widths)))]


def in_order(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The numbers nearest to those wanted (least squares, weighted) none of which is smaller than the one before."""
    groups: list[tuple[float, float, int]] = []  # sum of weights, weighted sum, how many
    for value, weight in zip(wanted, weights, strict=True):
        groups.append((weight, weight * value, 1))
        while len(groups) > 1 and groups[-2][1] / groups[-2][0] > groups[-1][1] / groups[-1][0]:
            last, before = groups.pop(), groups.pop()
            groups.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    return [moment / weight for weight, moment, count in groups for _ in range(count)]
