"""The picture of a graph: boxes from left to right, arrows between them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snnx._checks import checked
from snnx._errors import describe, missing_extra
from snnx.cells import AbstractCell
from snnx.plot._layout import HEAD, Graph, Point, lay_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 18
NAME, KIND = 9.0, 7.5  # points
HEIGHT, LEAST = 0.46, 0.7  # of a box, inches
LATE = "#c2410c"
LINE = "#475569"
CELL, PLAIN, END = ("#dbeafe", "#2563eb"), ("#ffffff", "#94a3b8"), ("#f1f5f9", "#475569")


@checked
def graph(graph: Any, *, ax: "Axes | None" = None) -> "Axes":
    """The picture of a graph: nodes in columns by depth, from left to right; what comes from the step before is dashed.

    Nodes with a state are blue. Those of nested graphs (`sub/node`) stand in a frame; pictures that are long have several lines.

    **Arguments:** `graph`: a `snnx.Graph`, or what `snnx.nir.info` makes of a file; `ax`: where to draw, by default a figure
    of its own, as large as the graph needs.
    **Raises:** `TypeError` for what is not a graph.
    """
    if not all(hasattr(graph, name) for name in ("names", "nodes", "edges", "inputs", "outputs")):
        raise TypeError(
            f"graph: graph is {describe(graph)}; expected a snnx.Graph, or snnx.nir.info(path). Of other models:"
            " snnx.nir.info(snnx.nir.to_nir(model, input_shape, dt=1e-3))."
        )
    try:
        from matplotlib.patches import FancyBboxPatch
    except ImportError as error:
        missing_extra("snnx.plot", "matplotlib", "plot", error)
    names = (*graph.inputs, *graph.names, *graph.outputs)
    lagging = graph.lagging if hasattr(graph, "lagging") else graph.wiring().lagging
    labels = {name: (shortened(name.rpartition("/")[2] or name), _kind(graph, name)) for name in names}
    sizes = {name: (_width(*labels[name]), HEIGHT) for name in names}
    block = lay_out(Graph(sizes, graph.edges, lagging, graph.inputs))
    ax, scale = _canvas(ax, block.width, block.height)
    for path, (x, y, width, height) in block.frames.items():
        depth = path.count("/") - 1
        ax.add_patch(
            FancyBboxPatch(
                (x + 0.05, y + 0.05),
                width - 0.1,
                height - 0.1,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor="#94a3b822",
                edgecolor="#94a3b8",
                linewidth=0.8 * scale,
                zorder=depth * 0.01,
            )
        )
        label = shortened(path.rstrip("/").rpartition("/")[2])
        _text(ax, (x + 0.14, y + 0.07 + HEAD / 2), label, KIND * scale, "#475569", ha="left", style="italic")
    for edge, way in block.ways.items():
        _arrow(ax, way, edge in lagging, scale)
    for name, (x, y) in block.boxes.items():
        ends = name in graph.inputs or name in graph.outputs
        fill, border = END if ends else CELL if _has_state(graph.nodes[name]) else PLAIN
        width, height = sizes[name]
        ax.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={0.2 if ends else 0.06}",
                facecolor=fill,
                edgecolor=border,
                linewidth=1.1 * scale,
                zorder=3,
            )
        )
        text, kind = labels[name]
        _text(ax, (x, y - 0.075 if kind else y), text, NAME * scale, "black", weight="bold")
        if kind:
            _text(ax, (x, y + 0.1), kind, KIND * scale, "#334155")
    count = f"{len(names)} nodes, {len(graph.edges)} edges"
    ax.set_title(f"{count}; dashed: the value of the step before" if lagging else count, fontsize=NAME * scale)
    return ax


def shortened(name: str) -> str:
    """A name that fits into a box, without its middle where it is long."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _kind(graph: Any, name: str) -> str:
    """The class of a node, or the name of a function."""
    part = graph.nodes.get(name)
    if part is None or name in graph.inputs or name in graph.outputs:
        return ""
    kind = getattr(part, "kind", None) or getattr(part, "__name__", type(part).__name__)
    return shortened(kind)


def _has_state(part: Any) -> bool:
    return isinstance(part, AbstractCell) or bool(getattr(part, "stateful", False))


def _width(name: str, kind: str) -> float:
    """Of a box, from the letters in it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    fonts = FontProperties(size=NAME, weight="bold"), FontProperties(size=KIND)
    points = [
        text_to_path.get_text_width_height_descent(text, font, False)[0]
        for text, font in zip((name, kind), fonts, strict=True)
        if text
    ]
    return max(LEAST, max(points) / 72 + 0.2)


def _canvas(ax: "Axes | None", width: float, height: float) -> "tuple[Axes, float]":
    """Axes in inches, y downwards; and how much smaller than that they are."""
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(figsize=(max(width, 3.0), height + 0.3)).add_axes((0.0, 0.0, 1.0, height / (height + 0.3)))
    figure = ax.get_figure(root=True)
    place = ax.get_position()
    given = [side * length for side, length in zip((place.width, place.height), figure.get_size_inches(), strict=True)]  # pyright: ignore[reportOptionalMemberAccess]
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return ax, min(1.0, given[0] / width, given[1] / height)


def _text(ax: "Axes", at: Point, text: str, size: float, color: str, ha: str = "center", **style: Any) -> None:
    ax.text(*at, text, fontsize=size, color=color, ha=ha, va="center", zorder=4, parse_math=False, **style)


def _arrow(ax: "Axes", way: Sequence[Point], late: bool, scale: float) -> None:
    """A line through the points, smooth where it changes its height, with a head."""
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    (x, y), head = way[-1], 0.085
    points, codes = [way[0]], [Path.MOVETO]
    stops = [*way[:-1], (x - head, y)]
    ahead = 1.0  # where the line goes: to the right, or to the left
    for (x0, y0), (x1, y1) in zip(stops[:-1], stops[1:], strict=True):
        if abs(y0 - y1) < 1e-6:
            points.append((x1, y1))
            codes.append(Path.LINETO)
            ahead = 1.0 if x1 > x0 else -1.0
            continue
        if abs(x0 - x1) < 1e-6:  # it turns round
            reach = 0.45 - 0.25 * math.exp(-abs(y1 - y0))
            bends = [(x0 + ahead * reach, y0), (x1 + ahead * reach, y1)]
            ahead = -ahead
        else:
            half = abs(x1 - x0) / 2 if ahead * (x1 - x0) > 0 else 0.6
            bends = [(x0 + ahead * half, y0), (x1 - ahead * half, y1)]
        points += [*bends, (x1, y1)]
        codes += [Path.CURVE4] * 3
    color, style = (LATE, (0, (4, 2))) if late else (LINE, "-")
    line = Path(points, codes)
    ax.add_patch(PathPatch(line, fill=False, edgecolor=color, linestyle=style, linewidth=1.1 * scale, zorder=2))
    ax.add_patch(Polygon([(x, y), (x - 0.1, y - 0.045), (x - 0.1, y + 0.045)], color=color, linewidth=0, zorder=2))
