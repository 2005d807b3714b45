"""The table of a NIR graph: what it says is what is in the graph."""

import nir
import numpy as np
import pytest

import snnx
from snnx import NIRError

TABLE = """\
node         kind                   in         out        parameters  dtype             from
------------------------------------------------------------------------------------------------------------
input        Input                  [2, 4, 4]  [2, 4, 4]
conv         Conv2d                 [2, 4, 4]  [3, 3, 3]          27  float32           input
flat         Flatten                [3, 3, 3]  [27]                                     conv
block/input  Input                  [27]       [27]                                     flat
block/fc     Affine                 [27]       [5]               140  float32, float64  block/input
block/lif    LIF (reset: subtract)  [5]        [5]                25  float32           block/fc, block/back
block/back   Linear                 [5]        [5]                25  float32           ~block/lif
block/out    Output                 [5]        [5]                                      block/lif
output       Output                 [5]        [5]                                      block/out
9 nodes, 9 edges, 1 cycle (~: of the step before); 217 parameters, 888 bytes
written by snnx 9.8.7 for steps of 0.002 s"""


def ends(shape):
    return nir.Input({"input": np.array(shape)}), nir.Output({"output": np.array(shape)})


def ones(*shape):
    return np.ones(shape, np.float32)


def lif(size):
    return nir.LIF(*(ones(size) * x for x in (0.02, 1.0, 0.0, 1.0, 0.0)))


def made():
    """A convolution, and a recurrent layer in a nested graph."""
    before, after = ends([5])
    neuron = lif(5)
    neuron.metadata["snnx_reset"] = "subtract"
    block = nir.NIRGraph(
        {
            "input": ends([27])[0],
            "fc": nir.Affine(ones(5, 27), np.zeros(5)),
            "lif": neuron,
            "back": nir.Linear(ones(5, 5)),
            "out": after,
        },
        [("input", "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")],
        type_check=False,
    )
    conv = nir.Conv2d((4, 4), ones(3, 2, 2, 2), 1, 0, 1, 1, ones(3))
    return nir.NIRGraph(
        {
            "input": ends([2, 4, 4])[0],
            "conv": conv,
            "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, 2),
            "block": block,
            "output": ends([5])[1],
        },
        [("input", "conv"), ("conv", "flat"), ("flat", "block"), ("block", "output")],
        metadata={"snnx_dt": 0.002, "snnx_version": "9.8.7"},
        type_check=False,
    )


def test_the_table_has_what_is_in_the_graph():
    summary = snnx.nir.info(made())
    assert str(summary) == TABLE
    assert repr(summary) == str(summary)


def test_a_file_has_the_table_of_its_graph(tmp_path):
    snnx.nir.write(made(), tmp_path / "model.nir")
    summary = snnx.nir.info(tmp_path / "model.nir")
    assert summary == snnx.nir.info(made())
    assert (summary.dt, summary.version) == (0.002, "9.8.7")


def test_the_graph_is_not_changed():
    graph = made()
    edges, names = list(graph.edges), list(graph.nodes)
    weight = graph.nodes["conv"].weight.copy()
    snnx.nir.info(graph)
    assert (list(graph.edges), list(graph.nodes)) == (edges, names)
    np.testing.assert_array_equal(graph.nodes["conv"].weight, weight)


def test_the_rows_add_up():
    summary = snnx.nir.info(made())
    assert summary.parameters == sum(row.parameters for row in summary.nodes.values()) == 27 + 140 + 25 + 25
    assert summary.bytes == sum(row.bytes for row in summary.nodes.values()) == 4 * (27 + 135 + 25 + 25) + 8 * 5
    assert summary.inputs == ("input",)
    assert summary.outputs == ("output",)
    assert summary.names == tuple(path for path in summary.nodes if path not in ("input", "output"))
    assert summary.lagging == {("block/lif", "block/back")}
    assert {path for path, row in summary.nodes.items() if row.stateful} == {"block/lif"}
    assert summary.nodes["block/back"].lagging == summary.nodes["block/back"].sources == ("block/lif",)


def test_without_cycles_and_notes_the_table_says_so():
    start, end = ends([3])
    graph = nir.NIRGraph({"x": start, "lif": lif(3), "y": end}, [("x", "lif"), ("lif", "y")], type_check=False)
    last = str(snnx.nir.info(graph)).splitlines()[-1]
    assert last == "3 nodes, 2 edges, no cycles; 15 parameters, 60 bytes"


@pytest.mark.parametrize(
    ("edges", "sources"),
    [
        ([("x", "fc"), ("fc", "y")], ("fc",)),  # shapes that do not fit
        ([("x", "fc"), ("fc", "z"), ("fc", "y")], ("fc",)),  # to nowhere
        ([("x", "fc"), ("fc", "fc"), ("x", "y")], ("x",)),  # a cycle without state
    ],
)
def test_a_graph_that_is_not_valid_is_shown_without_shapes(edges, sources):
    start, end = ends([3])
    graph = nir.NIRGraph({"x": start, "fc": nir.Linear(ones(4, 4)), "y": end}, edges, type_check=False)
    assert any(finding.level == "error" for finding in snnx.nir.validate(graph))
    summary = snnx.nir.info(graph)
    assert summary.nodes["y"].sources == sources
    assert all(row.input is None and row.output is None for row in summary.nodes.values())
    assert "?" in str(summary)
    assert "cycle" not in str(summary)


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "file.nir").write_text("no graph")
    with pytest.raises(NIRError, match=r"\bfile\.nir\b"):
        snnx.nir.info(tmp_path / "file.nir")
    with pytest.raises(FileNotFoundError, match=r"\bnone\.nir\b"):
        snnx.nir.info(tmp_path / "none.nir")
    with pytest.raises(NIRError, match=r"\bNIRGraph\b.*\bint\b"):
        snnx.nir.info(3)
