"""The picture of a graph: every node and edge is in it, where it belongs, and nothing hides anything."""

import equinox as eqx
import jax
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import FancyBboxPatch, PathPatch

import snnx
from snnx import MissingExtraError, plot
from snnx.plot._arrange import acyclic, cut, in_order
from snnx.plot._layout import Graph, lay_out

slow = pytest.mark.slow

SIZE = (1.0, 0.5)


def net(edges, outputs=("output",), inputs=("input",)):
    """A graph of these edges; nodes whose names begin with l are neurons."""
    ends = {*inputs, *outputs}
    names = dict.fromkeys(name for edge in edges for name in edge if name not in ends)
    nodes = {name: snnx.LIF() if name.rpartition("/")[2].startswith("l") else jax.nn.relu for name in names}
    return snnx.Graph(nodes, edges, inputs=inputs, outputs=outputs)


RECURRENT = [("input", "a"), ("a", "l"), ("l", "b"), ("b", "l"), ("l", "output")]
RESIDUAL = [("input", "a"), ("a", "l1"), ("l1", "b"), ("b", "l2"), ("a", "l2"), ("l2", "output")]
NESTED = [
    ("input", "s/in"),
    ("s/in", "s/l"),
    ("s/l", "s/t/x"),
    ("s/t/x", "s/t/l"),
    ("s/t/l", "s/out"),
    ("s/in", "s/out"),
    ("s/out", "z"),
    ("input", "z"),
    ("z", "output"),
]


def placed(graph):
    """The layout of a graph, all of whose boxes have one size."""
    names = (*graph.inputs, *graph.names, *graph.outputs)
    return lay_out(Graph(dict.fromkeys(names, SIZE), graph.edges, graph.wiring().lagging, graph.inputs))


def corners(centre, size=SIZE):
    (x, y), (width, height) = centre, size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def lines(ax):
    """The lines of the picture: whether each is dashed."""
    return [patch.get_linestyle() not in ("-", "solid") for patch in ax.patches if isinstance(patch, PathPatch)]


@st.composite
def wirings(draw):
    """The edges of graphs with skips, feedback through neurons, and nested parts."""
    count = draw(st.integers(1, 12))
    homes = [draw(st.sampled_from(["", "", "s/", "s/t/", "u/"])) for _ in range(count)]
    names = ["input", *(f"{home}l{i}" for i, home in enumerate(homes))]
    edges = []
    for i, name in enumerate(names[1:], start=1):
        for source in draw(st.sets(st.sampled_from(names[max(0, i - 4) : i]), min_size=1, max_size=2)):
            edges.append((source, name))
        if draw(st.booleans()):
            edges.append((name, draw(st.sampled_from(names[1 : i + 1]))))
    return [*dict.fromkeys(edges), (names[-1], "output")]


@slow
@given(wirings())
def test_boxes_do_not_overlap_and_edges_join_their_boxes(edges):
    graph = net(edges)
    block = placed(graph)
    boxes = {name: corners(centre) for name, centre in block.boxes.items()}
    assert boxes.keys() == {"input", "output", *graph.names}
    for name, box in boxes.items():
        assert 0 <= box[0] <= box[2] <= block.width
        assert 0 <= box[1] <= box[3] <= block.height
        assert all(apart(box, other) for one, other in boxes.items() if one != name)
    assert block.ways.keys() == set(graph.edges)
    for (source, target), way in block.ways.items():
        (x, y), (left, low) = block.boxes[source], block.boxes[target]
        np.testing.assert_allclose(way[0], (x + SIZE[0] / 2, y))
        np.testing.assert_allclose(way[-1], (left - SIZE[0] / 2, low))


@slow
@given(wirings())
def test_frames_hold_their_own_nodes_and_no_others(edges):
    graph = net(edges)
    block = placed(graph)
    groups = {name[: i + 1] for name in graph.names for i, letter in enumerate(name) if letter == "/"}
    assert block.frames.keys() == groups
    for path, (x, y, width, height) in block.frames.items():
        frame = (x, y, x + width, y + height)
        for name, centre in block.boxes.items():
            left, top, right, bottom = corners(centre)
            if name.startswith(path):
                assert x <= left <= right <= frame[2]
                assert y <= top <= bottom <= frame[3]
            else:
                assert apart(frame, (left, top, right, bottom))


@slow
@given(wirings())
def test_level_parts_of_lines_pass_no_box(edges):
    """A line that goes level through a column has a place of its own there."""
    block = placed(net(edges))
    for way in block.ways.values():
        for (x0, y0), (x1, y1) in zip(way[:-1], way[1:], strict=True):
            if abs(y0 - y1) < 1e-9:
                low, high = sorted((x0, x1))
                for centre in block.boxes.values():
                    left, top, right, bottom = corners(centre)
                    assert y0 <= top or y0 >= bottom or high <= left + 1e-6 or low >= right - 1e-6


def test_depth_goes_from_left_to_right():
    at = placed(net(RESIDUAL)).boxes
    columns = [at[name][0] for name in ("input", "a", "l1", "b", "l2", "output")]
    assert columns == sorted(columns)
    assert len(set(columns)) == 6


def test_what_feeds_back_stands_before_what_it_feeds():
    at = placed(net(RECURRENT)).boxes
    assert at["a"][0] == at["b"][0] < at["l"][0]
    assert at["a"][1] != at["b"][1]


def test_a_long_chain_has_several_lines():
    names = ["input", *(f"n{i}" for i in range(30)), "output"]
    block = placed(net(list(zip(names[:-1], names[1:], strict=True))))
    assert block.width < 15
    heights = sorted({round(y, 6) for _, y in block.boxes.values()})
    assert len(heights) == 5
    order = sorted(names, key=lambda name: (block.boxes[name][1], block.boxes[name][0]))
    assert order == names


@pytest.mark.parametrize("edges", [RECURRENT, RESIDUAL, NESTED])
def test_the_picture_has_every_node_and_edge(edges, tmp_path):
    graph = net(edges)
    ax = plot.graph(graph)
    names = [name.rpartition("/")[2] for name in (*graph.inputs, *graph.names, *graph.outputs)]
    for name in names:
        assert texts(ax).count(name) >= names.count(name)
    assert texts(ax).count("LIF") == sum(isinstance(part, snnx.LIF) for part in graph.nodes.values())
    assert texts(ax).count("relu") == sum(part is jax.nn.relu for part in graph.nodes.values())
    assert len(lines(ax)) == len(edges)
    assert sum(lines(ax)) == len(graph.wiring().lagging)
    assert ax.get_title().startswith(f"{len(names)} nodes, {len(edges)} edges")
    assert ("dashed" in ax.get_title()) == bool(graph.wiring().lagging)
    frames = {name.rpartition("/")[0].rpartition("/")[2] for name in graph.names} - {""}
    assert frames <= set(texts(ax))
    assert sum(isinstance(patch, FancyBboxPatch) for patch in ax.patches) == len(names) + len(frames)
    ax.get_figure().savefig(tmp_path / "graph.png", dpi=40)
    assert matplotlib.image.imread(tmp_path / "graph.png").std() > 0.01


def test_nodes_with_a_state_have_a_colour_of_their_own():
    ax = plot.graph(net(RESIDUAL))
    colors = [patch.get_facecolor() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    boxes = [text for text in texts(ax) if text not in ("LIF", "relu")]
    by_name = dict(zip(boxes, colors, strict=True))
    assert by_name["l1"] == by_name["l2"]
    assert by_name["a"] == by_name["b"]
    assert by_name["input"] == by_name["output"]
    assert len({by_name["l1"], by_name["a"], by_name["input"]}) == 3


@slow
def test_a_nir_graph_is_drawn_from_its_summary():
    key = jax.random.key(0)
    model = snnx.Sequential([eqx.nn.Linear(4, 3, key=key), snnx.LIF(reset=snnx.ValueReset())])
    ax = plot.graph(snnx.nir.info(snnx.nir.to_nir(model, (4,), dt=1e-3)))
    assert set(texts(ax)) == {"input", "0", "Affine", "1", "LIF", "output"}
    assert lines(ax) == [False] * 3


def test_long_names_are_shortened_and_signs_are_not_read_as_formulas(tmp_path):
    long = "a_layer_with_a_name_that_is_too_long"
    ax = plot.graph(net([("input", long), (long, "$x^2"), ("$x^2", "l$1"), ("l$1", "output")]))
    assert "a_layer_\N{HORIZONTAL ELLIPSIS}too_long" in texts(ax)
    assert {"$x^2", "l$1"} <= set(texts(ax))
    ax.get_figure().savefig(tmp_path / "graph.png", dpi=40)


def test_letters_stay_in_their_boxes():
    figure = (ax := plot.graph(net([("input", "MMMMMMMMMMMMMMMMMM"), ("MMMMMMMMMMMMMMMMMM", "output")]))).get_figure()
    figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    for text in ax.texts:
        inside = text.get_window_extent()
        assert any(box.x0 <= inside.x0 and inside.x1 <= box.x1 for box in boxes), text.get_text()


def test_the_picture_is_drawn_where_it_is_told():
    figure = matplotlib.figure.Figure(figsize=(4, 4))
    left, right = figure.subplots(1, 2)
    assert plot.graph(net(RESIDUAL), ax=right) is right
    assert not left.patches
    alone = plot.graph(net(RESIDUAL))
    assert max(t.get_fontsize() for t in right.texts) < max(t.get_fontsize() for t in alone.texts)


def test_pictures_are_registered_nowhere():
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    plot.graph(net(RECURRENT))
    assert matplotlib.pyplot.get_fignums() == before


def test_what_is_not_a_graph_is_refused():
    with pytest.raises(TypeError, match=r"\bgraph\b"):
        plot.graph(snnx.LIF())


def test_without_matplotlib_the_line_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.patches", None)
    with pytest.raises(MissingExtraError, match=r"snnx\[plot\]"):
        plot.graph(net(RECURRENT))


# The parts of the layout


def test_links_that_close_a_cycle_are_left_out():
    order, after = acyclic(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a"), ("a", "b")])
    assert order == ["a", "b", "c"]
    assert after == {"a": ["b"], "b": ["c"], "c": []}


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 5)), min_size=1, max_size=6))
def test_numbers_in_order_are_the_nearest(pairs):
    """Beside every other way of making equal what stands side by side: the least squares of isotonic regression."""
    wanted, weights = (np.array(column) for column in zip(*pairs, strict=True))
    found = np.array(in_order(wanted.tolist(), weights.tolist()))
    assert np.all(np.diff(found) >= -1e-9)
    count, best = len(wanted), np.inf
    for cuts in range(2 ** (count - 1)):
        groups = np.cumsum([0, *((cuts >> i) & 1 for i in range(count - 1))])
        means = np.array([np.average(wanted[groups == g], weights=weights[groups == g]) for g in groups])
        if np.all(np.diff(means) >= 0):
            best = min(best, float(np.sum(weights * (means - wanted) ** 2)))
    assert np.sum(weights * (found - wanted) ** 2) == pytest.approx(best, abs=1e-6)


def test_columns_are_cut_where_the_fewest_edges_are():
    widths = [0.0, *[1.0] * 20, 0.0]
    spans = [(i, i + 1) for i in range(21)] + [(4, 10), (11, 16)]
    lines = cut(widths, spans, 0.5)
    assert [column for line in lines for column in line] == list(range(22))
    assert [line[-1] for line in lines[:-1]] == [10, 17] or len(lines) == 3
    assert cut([0.0, 1.0, 1.0, 0.0], [(1, 2)], 0.5) == [[0, 1, 2, 3]]
    assert cut([0.0, 50.0, 0.0], [], 0.5) == [[0, 1, 2]]
