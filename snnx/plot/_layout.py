"""Where the boxes and lines of a graph's picture go: columns by depth, nested parts in frames, long ones in several lines.

All lengths are inches; y grows downwards.
"""

# Ours, after four others were tried on a skip, a cycle and nested graphs (December 2026). In networkx's multipartite_layout
# and in fast-sugiyama lines run through boxes, and nested graphs have no frames; grandalf has neither frames nor a way for
# what feeds back. Graphviz draws all of it as well as this does, but is a program that pip does not install.

import dataclasses
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from snnx.plot._arrange import Edge, acyclic, cut, in_order

Point: TypeAlias = tuple[float, float]

GAP = 0.5  # between columns
BOX_GAP = 0.28  # between boxes of a column; around lines it is less
PAD, HEAD = 0.14, 0.24  # of a frame: around, and for its name
TURN = 0.12  # before a box, where a line that turned round goes straight again
LANE = 0.1  # between lines that go from the end of one line of columns to the start of the next
SWEEPS = 12


class Block(NamedTuple):
    """A graph, or a nested one, laid out with its upper left corner at 0.

    - `boxes`: the centre of every node; `frames`: left, top, width, height of every nested graph, by path.
    - `ways`: the points of every edge that is in it; `entries`, `exits`: those of ways from its left border to a node, and from
        a node to its right border.
    """

    width: float
    height: float
    boxes: dict[str, Point]
    frames: dict[str, tuple[float, float, float, float]]
    ways: dict[Edge, list[Point]]
    entries: dict[str, list[Point]]
    exits: dict[str, list[Point]]

    def moved(self, dx: float, dy: float) -> "Block":
        """The same elsewhere."""

        def move(points: Iterable[Point]) -> list[Point]:
            return [(x + dx, y + dy) for x, y in points]

        return Block(
            self.width,
            self.height,
            {name: (x + dx, y + dy) for name, (x, y) in self.boxes.items()},
            {path: (x + dx, y + dy, w, h) for path, (x, y, w, h) in self.frames.items()},
            {edge: move(way) for edge, way in self.ways.items()},
            {name: move(way) for name, way in self.entries.items()},
            {name: move(way) for name, way in self.exits.items()},
        )


class Graph(NamedTuple):
    """What is laid out: nodes in their order with width and height, edges, those that lag, and where it begins."""

    sizes: dict[str, Point]
    edges: Sequence[Edge]
    lagging: frozenset[Edge]
    inputs: Sequence[str]


def lay_out(graph: Graph) -> Block:
    """The whole picture."""
    return _Level(graph, "").block()


@dataclasses.dataclass
class _Item:
    """What stands in a column: a node, a nested graph, or a place (of no width) that a line goes through."""

    width: float
    height: float
    column: int
    y: float = 0.0


class _Link(NamedTuple):
    """An edge, or the part of one that is in this graph: its nodes, None at an end that is outside."""

    source: str | None
    target: str | None
    stops: list[Any]  # the items that it goes through, first and last included


class _Level:
    """One graph: its own nodes and the nested graphs in it, which are laid out before it."""

    def __init__(self, graph: Graph, prefix: str):
        self.graph, self.prefix = graph, prefix
        self.children = list(dict.fromkeys(filter(None, map(self.owner, graph.sizes))))
        self.inner = {key: _Level(graph, key).block() for key in self.children if key not in graph.sizes}
        ends = [(source, target, self.owner(source), self.owner(target)) for source, target in graph.edges]
        self.column = self._columns(ends)
        sizes = graph.sizes | {key: (block.width, block.height) for key, block in self.inner.items()}
        self.items: dict[Hashable, _Item] = {key: _Item(*sizes[key], self.column[key]) for key in self.children}
        self.widths = [0.0] * (max(self.column.values()) + 2)
        for item in self.items.values():
            self.widths[item.column] = max(self.widths[item.column], item.width)
        spans = [(self.column[a], self.column[b]) for _, _, a, b in ends if a is not None and b is not None and a != b]
        self.lines = cut(self.widths, spans, GAP)
        self.line_of = [n for n, line in enumerate(self.lines) for _ in line]
        self.links: dict[Any, _Link] = {}
        for source, target, a, b in ends:
            self._add(source, target, a, b)
        self._order()
        self._heights()

    def owner(self, name: str) -> str | None:
        """The node or nested graph of this level that a node is, or is in; None for one elsewhere."""
        if not name.startswith(self.prefix):
            return None
        top, slash, _ = name[len(self.prefix) :].partition("/")
        return self.prefix + top + slash

    def _columns(self, ends: Sequence[tuple[str, str, str | None, str | None]]) -> dict[str, int]:
        """The column of each child: behind all that feed it within a step. 0 is the left border of a nested graph."""
        late = self.graph.lagging
        links = [(a, b) for s, t, a, b in ends if a is not None and b is not None and a != b and (s, t) not in late]
        begin = [b for _, _, a, b in ends if b is not None and a is None]
        begin += [key for key in self.children if key in self.graph.inputs]
        order, after = acyclic(dict.fromkeys((*begin, *self.children)), links)
        column, reached = dict.fromkeys(self.children, 1), set(begin)
        for key in order:
            for target in after[key]:
                column[target] = max(column[target], column[key] + 1)
                reached |= {target} if key in reached else set()
        for key in reversed(order):  # what only feeds back stands right before what it feeds
            if key not in reached and after[key]:
                column[key] = min(column[target] for target in after[key]) - 1
        return column

    def _add(self, source: str, target: str, a: str | None, b: str | None) -> None:
        """The way of an edge from item to item, with a place in every column that it goes through."""
        if (a is None and b is None) or (a == b and a in self.inner):
            return
        last = len(self.widths) - 1
        first_column, last_column = 0 if a is None else self.column[a], last if b is None else self.column[b]
        key: Any = (source, target) if a and b else ("", target) if b else (source, "")
        if key in self.links:
            return
        if a is None or b is None:
            self.items[key] = _Item(0.0, LANE, first_column if a is None else last_column)
        between: Iterable[int] = range(first_column + 1, last_column)
        if first_column >= last_column:
            same_line = self.line_of[first_column] == self.line_of[last_column]
            between = range(first_column, last_column - 1, -1) if same_line else ()
        places = [(key, column) for column in between]
        self.items |= {place: _Item(0.0, LANE, place[1]) for place in places}
        self.links[key] = _Link(source if a else None, target if b else None, [a or key, *places, b or key])

    def _pairs(self) -> Iterable[tuple[Any, float, Any, float, float]]:
        """Items that follow one another on a way, where on them it ends, and how straight the line should be."""
        for link in self.links.values():
            for i, (one, other) in enumerate(zip(link.stops[:-1], link.stops[1:], strict=True)):
                below = 0.0
                if i == 0 and one in self.inner and link.source is not None:
                    below = self.inner[one].exits[link.source][-1][1] - self.inner[one].height / 2
                above = 0.0
                if i == len(link.stops) - 2 and other in self.inner and link.target is not None:
                    above = self.inner[other].entries[link.target][0][1] - self.inner[other].height / 2
                places = isinstance(one, tuple) + isinstance(other, tuple)
                yield one, below, other, above, (1.0, 2.0, 6.0)[places]

    def _order(self) -> None:
        """The order in each column: that of the fewest crossings that sweeps to and fro find."""
        columns: list[list[Hashable]] = [[] for _ in self.widths]
        for key, item in self.items.items():
            columns[item.column].append(key)
        beside: dict[Hashable, list[Hashable]] = {key: [] for key in self.items}
        for one, _, other, _, _ in self._pairs():
            beside[one].append(other)
            beside[other].append(one)
        best, fewest = [list(column) for column in columns], self._crossings(columns)
        for sweep in range(SWEEPS):
            forward = sweep % 2 == 0
            for n in range(1, len(columns)) if forward else range(len(columns) - 2, -1, -1):
                near = {key: i for i, key in enumerate(columns[n - 1 if forward else n + 1])}
                share = max(len(near), 1) / max(len(columns[n]), 1)
                middle = {}
                for i, key in enumerate(columns[n]):
                    places = [near[other] for other in beside[key] if other in near]
                    middle[key] = sum(places) / len(places) if places else i * share
                columns[n].sort(key=middle.__getitem__)
            count = self._crossings(columns)
            if count < fewest:
                best, fewest = [list(column) for column in columns], count
        self.columns = best

    def _crossings(self, columns: Sequence[Sequence[Hashable]]) -> int:
        place = {key: i for column in columns for i, key in enumerate(column)}
        between: dict[int, list[tuple[int, int]]] = {}
        for one, _, other, _, _ in self._pairs():
            left, right = sorted((one, other), key=lambda key: self.items[key].column)
            if self.items[left].column != self.items[right].column:
                between.setdefault(self.items[left].column, []).append((place[left], place[right]))
        return sum(
            (a[0] - b[0]) * (a[1] - b[1]) < 0 for ends in between.values() for i, a in enumerate(ends) for b in ends[:i]
        )

    def _heights(self) -> None:
        """Where in its column each item stands: beside those that it is tied to, without overlap."""
        ties: dict[Hashable, list[tuple[Hashable, float, float]]] = {key: [] for key in self.items}
        for one, below, other, above, weight in self._pairs():
            ties[one].append((other, above - below, weight))
            ties[other].append((one, below - above, weight))
        for column in self.columns:
            self._stack(column, dict.fromkeys(column, 0.0), dict.fromkeys(column, 1.0))
        for sweep in range(4 * SWEEPS):
            for column in self.columns if sweep % 2 == 0 else reversed(self.columns):
                wanted, weights = {}, {}
                for key in column:
                    weights[key] = sum(weight for _, _, weight in ties[key]) or 0.01
                    total = sum(weight * (self.items[other].y + shift) for other, shift, weight in ties[key])
                    wanted[key] = total / weights[key] if ties[key] else self.items[key].y
                self._stack(column, wanted, weights)

    def _stack(self, column: Sequence[Any], wanted: Mapping[Any, float], weights: Mapping[Any, float]) -> None:
        """As near to what is wanted as the order and the room between items let (least squares)."""
        heights, below, total = [], None, 0.0
        for key in column:
            if below is not None:
                one, other = self.items[below], self.items[key]
                small = isinstance(below, tuple) + isinstance(key, tuple)
                total += (one.height + other.height) / 2 + BOX_GAP / (1, 1.5, 3)[small]
            heights.append(total)
            below = key
        places = in_order(
            [wanted[key] - height for key, height in zip(column, heights, strict=True)],
            [weights[key] for key in column],
        )
        for key, height, place in zip(column, heights, places, strict=True):
            self.items[key].y = place + height

    def block(self) -> Block:
        """Everything in its place."""
        centre, self.width = self._centres()
        shift, self.lanes, height = self._lines_below_each_other()
        self.at = {key: (centre[item.column], item.y + shift[item.column]) for key, item in self.items.items()}
        self.placed = {
            key: block.moved(self.at[key][0] - block.width / 2, self.at[key][1] - block.height / 2)
            for key, block in self.inner.items()
        }
        boxes = {key: self.at[key] for key in self.children if key not in self.placed}
        frames = {self.prefix: (0.0, 0.0, self.width, height)} if self.prefix else {}
        whole = Block(self.width, height, boxes, frames, {}, {}, {})
        for block in self.placed.values():
            whole.boxes.update(block.boxes)
            whole.frames.update(block.frames)
            whole.ways.update(block.ways)
        for key, link in self.links.items():
            way = self._way(key, link)
            if link.source is None and link.target is not None:
                whole.entries[link.target] = way
            elif link.target is None and link.source is not None:
                whole.exits[link.source] = way
            else:
                whole.ways[key] = way
        return whole

    def _centres(self) -> tuple[list[float], float]:
        """Where the columns are, and how wide all of it is. Nested graphs begin and end at their borders.

        A whole picture has room at its sides, and more of it where lines turn there.
        """
        ends = [(self.items[link.stops[0]].column, self.items[link.stops[-1]].column) for link in self.links.values()]
        turning = len(self.lines) > 1 or any(one >= other for one, other in ends)
        first = 0.0 if self.prefix else GAP if turning else PAD
        last = len(self.widths) - 1
        centre, most = [0.0] * len(self.widths), 0.0
        for line in self.lines:
            x = first
            for column in line:
                if column > (0 if self.prefix else 1) and column < (last + 1 if self.prefix else last):
                    x += GAP if column != line[0] or self.prefix else 0.0
                centre[column] = x + self.widths[column] / 2
                x += self.widths[column]
            most = max(most, x)
        return centre, most + first

    def _lines_below_each_other(self) -> tuple[dict[int, float], dict[Any, float], float]:
        """By how much each column is lower than laid out, the height of each link between two lines, and that of all."""
        # Between each line of columns and the next: the links, with the columns they come from, the uppermost first.
        between: list[list[tuple[float, Any]]] = [[] for _ in self.lines]
        for key, link in self.links.items():
            for one, other in zip(link.stops[:-1], link.stops[1:], strict=True):
                before, after = self.items[one], self.items[other]
                lines = sorted((self.line_of[before.column], self.line_of[after.column]))
                if lines[1] == lines[0] + 1:
                    between[lines[0]].append((before.y, (key, before.column)))
        shift, lanes, bottom = {}, {}, (HEAD if self.prefix else 0.0) + PAD
        for n, line in enumerate(self.lines):
            items = [self.items[key] for column in line for key in self.columns[column]]
            top = min((item.y - item.height / 2 for item in items), default=0.0)
            end = max((item.y + item.height / 2 for item in items), default=0.0)
            shift |= dict.fromkeys(line, bottom - top)
            bottom += end - top
            if n + 1 < len(self.lines):
                crossing = [key for _, key in sorted(between[n], key=lambda entry: entry[0])]
                lanes |= {key: bottom + BOX_GAP + LANE * i for i, key in enumerate(reversed(crossing))}
                bottom += 2 * BOX_GAP + LANE * len(crossing)
        return shift, lanes, bottom + PAD

    def _way(self, key: Any, link: _Link) -> list[Point]:
        """The points of a link. Where two that follow one another have the same x, the line turns round there."""
        points: list[Point] = []
        before: int | None = None
        for stop in link.stops:
            column = self.items[stop].column
            part, (low, high) = self._part(stop, before is None, link)
            back = before is not None and column <= before and not isinstance(stop, str)
            if before is not None and (lane := self.lanes.get((key, before))) is not None:
                (x, _), (entry, y) = points[-1], (low - TURN, part[0][1])
                if entry < x:
                    points += [(x, lane), (entry, lane), (entry, y)]
                else:
                    points += [(x + GAP, lane), (entry - GAP, lane)]
            elif back and column == before:
                points.append((high, part[0][1]))
            elif before is not None and not back and column <= before and self.line_of[column] == self.line_of[before]:
                points += [(low - TURN, points[-1][1]), (low - TURN, part[0][1])]
            points += part[::-1] if back else part
            before = column
        return [point for i, point in enumerate(points) if i == 0 or math.dist(point, points[i - 1]) > 1e-6]

    def _part(self, stop: Any, first: bool, link: _Link) -> tuple[list[Point], Point]:
        """The points of a link at one of its stops, from left to right; and where the stop's column begins and ends."""
        item, (x, y) = self.items[stop], self.at[stop]
        low, high = x - self.widths[item.column] / 2, x + self.widths[item.column] / 2
        if not isinstance(stop, str):
            border = [(0.0, y)] if first else [(self.width, y)] if stop == link.stops[-1] else []
            return border or [(low, y), (high, y)], (low, high)
        inside = self.placed.get(stop)
        if first and link.source is not None:
            way = inside.exits[link.source] if inside else [(x + item.width / 2, y)]
            return [*way, (high, way[-1][1])], (low, high)
        way = inside.entries[link.target] if inside and link.target else [(x - item.width / 2, y)]
        return [(low, way[0][1]), *way], (low, high)
