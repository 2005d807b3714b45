"""Graphs that are wrong are refused before anything runs, by the name of the node; what is odd is said, and run as written."""

import re
import time
import tracemalloc
from typing import Any

import jax.numpy as jnp
import nir
import numpy as np
import pytest
from nir_graphs import GRAPHS, affine, array, conv2d, ins, io, lif, linear, net, neuron, one, outs, within

import snnx
from snnx import NIRError
from snnx.nir import from_nir, validate
from snnx.nir._dialects import DIALECTS

pytestmark = pytest.mark.slow  # left to the older Python, that the newer one's tests stay short

DT = 1e-3
INF, NAN = np.inf, np.nan


def changed(node: Any, **fields: Any) -> Any:
    """A node after someone has written to its fields: nir's constructors refuse some of these."""
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def through(node: nir.NIRNode) -> nir.NIRGraph:
    return io({"n": node}, "input > n > output")


def fires(**fields: Any) -> nir.NIRGraph:
    return through(changed(lif(3), **fields))


def image(**fields: Any) -> nir.NIRGraph:
    """A convolution of `[2, 4, 5]`, by a kernel of `[2, 3]`."""
    return one(changed(conv2d(3, 2, 2, 3), **fields), (2, 4, 5), (3, 3, 3))


def pool(kind: type, size: Any, stride: Any, padding: Any) -> nir.NIRGraph:
    return one(kind(size, stride, padding), (2, 4, 5), (2, 2, 2))


def flatten(start: Any, end: Any, shape: tuple[int, ...] = (2, 3, 4)) -> nir.NIRGraph:
    return one(changed(nir.Flatten({"input": np.array(shape)}, 0, -1), start_dim=start, end_dim=end), (2, 3, 4), (24,))


def straight(shape: Any) -> nir.NIRGraph:
    shape = np.asarray(shape)
    return net({"input": nir.Input(shape), "output": nir.Output(shape)}, "input > output")


def raw(nodes: Any, edges: Any) -> nir.NIRGraph:
    return changed(nir.NIRGraph({}, [], type_check=False), nodes=nodes, edges=edges)


def deep(times: int) -> nir.NIRGraph:
    graph = within(lif(3), (3,))
    for _ in range(times):
        graph = within(graph, (3,))
    return io({"sub": graph}, "input > sub > output")


def in_itself() -> nir.NIRGraph:
    graph = straight([3])
    graph.nodes["me"] = graph
    return graph


class Own(nir.NIRNode):
    """A node of someone's own kind."""

    def __init__(self):
        self.metadata, self.input_type, self.output_type = {}, {"input": array(3)}, {"output": array(3)}


ENDS = {"input": ins(3), "output": outs(3)}
TWO_INPUTS = net({"a": ins(3), "b": ins(3), "n": lif(3), "out": outs(3)}, "a > n > out", "b > n")
TWO_OUTPUTS = net({"in": ins(3), "n": lif(3), "a": outs(3), "b": outs(3)}, "in > n > a", "n > b")

WIRED_WRONGLY = {
    "no nodes": (net({}), r"the graph has no Input node; add one, and an edge from it"),
    "no Input": (net({"n": lif(3), "output": outs(3)}, "n > output"), r"the graph has no Input node; add one"),
    "no Output": (
        net({"input": ins(3), "n": lif(3)}, "input > n"),
        r"the graph has no Output node; add one, and an edge to it",
    ),
    "nothing to the Output": (
        io({"n": lif(3)}, "input > n"),
        r"node 'output': no edge leads to this Output; add one, or leave the node out",
    ),
    "a dangling edge": (
        io({"n": lif(3)}, "input > n > output", "n > gone"),
        r"the graph has an edge from 'n' to 'gone', but no node 'gone'; it has 'input', 'n', 'output'",
    ),
    "a dangling edge, its source": (
        io({"n": lif(3)}, "input > n > output", "gone > n"),
        r"from 'gone' to 'n', but no node 'g",
    ),
    "a nested dangling edge": (
        io({"sub": net(within(lif(3), (3,)).nodes, "in > node > out", "node > gone")}, "input > sub > output"),
        r"the nested graph 'sub' has an edge from 'node' to 'gone', but no node 'gone'",
    ),
    "an edge twice": (
        io({"n": lif(3)}, "input > n > output", "input > n"),
        r"the graph has the edge from 'input' to 'n' twice; leave one out",
    ),
    "into an Input": (
        io({"n": lif(3)}, "input > n > output", "n > input"),
        r"an edge from 'n' to the Input 'input', but an Input takes none; let the edge lead to what comes after 'input'",
    ),
    "out of an Output": (
        io({"n": lif(3)}, "input > n > output", "output > n"),
        r"from the Output 'output' to 'n', but nothing comes from an Output; let the edge come from what leads to 'output'",
    ),
    "a loop": (
        io({"a": linear(3, 3), "b": linear(3, 3)}, "input > a > b > output", "b > a"),
        r"the cycle a -> b -> a has no node with a state, .* put a neuron or a Delay into it",
    ),
    "a loop of one": (
        io({"a": linear(3, 3)}, "input > a > output", "a > a"),
        r"the cycle a -> a has no node with a state",
    ),
    "a loop through a nested graph": (
        io({"sub": within(linear(3, 3), (3,)), "b": linear(3, 3)}, "input > sub > b > sub", "b > output"),
        r"the cycle sub/in -> sub/node -> sub/out -> b -> sub/in has no node with a state",
    ),
    "an edge of three": (
        raw(ENDS, [("input", "output", "x")]),
        r"the edge \('input', 'output', 'x'\); expected a pair of names",
    ),
    "an edge to a number": (
        raw(ENDS, [("input", 3)]),
        r"the graph has the edge \('input', 3\); expected a pair of names",
    ),
    "an edge that is a text": (raw(ENDS, ["io"]), r"the graph has the edge 'io'; expected a pair of names"),
    "an edge that is none": (raw(ENDS, [None]), r"the graph has the edge None; expected a pair of names"),
    "edges that are none": (raw(ENDS, None), r"the graph has the edges None; expected a list of pairs of names"),
    "nodes in a list": (
        raw([lif(3)], []),
        r"the graph has the nodes \[LIF\(.*; expected a dict from name, a text, to node",
    ),
    "two Inputs within": (
        io({"sub": TWO_INPUTS}, "input > sub > output"),
        r"an edge leads to the nested graph 'sub', which has 2 Input nodes; with one an edge says what it means",
    ),
    "two Outputs within": (
        io({"sub": TWO_OUTPUTS}, "input > sub > output"),
        r"leads from the nested graph 'sub', which has 2 Out",
    ),
    "no Input within": (
        io({"sub": net({"n": lif(3)})}, "input > sub > output"),
        r"the nested graph 'sub', which has 0 Input",
    ),
    "metadata": (
        changed(straight([3]), metadata={"snnx_dt": "1 ms"}),
        r"the metadata's snnx_dt is str '1 ms'; expected seconds",
    ),
    "a graph in itself": (in_itself(), r"graphs are nested more than 32 deep, or one contains itself"),
    "too deep": (deep(40), r"graphs are nested more than 32 deep, or one contains itself"),
    "a slash": (
        net(ENDS | {"a/b": lif(3)}, "input > a/b > output"),
        r"a node called 'a/b'; expected a text .* has no '/'",
    ),
    "no name": (
        net(ENDS | {"": lif(3)}, "input > output"),
        r"a node called ''; expected a text that is not empty, not '\.'",
    ),
    "a dot": (net(ENDS | {".": lif(3)}, "input > . > output"), r"a node called '\.'; expected a text"),
    "two dots": (net(ENDS | {"..": lif(3)}, "input > .. > output"), r"a node called '\.\.'; expected a text"),
    "a slash within": (
        io({"sub": net({"in": ins(3), "a/b": lif(3), "out": outs(3)}, "in > a/b > out")}, "input > sub > output"),
        r"the nested graph 'sub' has a node called 'a/b'",
    ),
    "a number for a name": (
        net(ENDS | {1: lif(3)}, "input > output"),
        r"has the nodes \['input', 'output', 1\]; expected a dict",
    ),
    "a kind of one's own": (
        through(Own()),
        r"node 'n' is a Own, which NIR 1.0.8 does not have; known are Input, Output,",
    ),
    "no node": (
        raw(ENDS | {"x": 3}, [("input", "x"), ("x", "output")]),
        r"node 'x' is a int, which NIR 1.0.8 does not have",
    ),
    "no graph": ({"nodes": {}}, r"expected a nir.NIRGraph or the path of a file, got dict"),
    "a node alone": (lif(3), r"expected a nir.NIRGraph or the path of a file, got LIF"),
}

SHAPED_WRONGLY = {
    "too wide": (
        io({"w": linear(4, 3), "n": lif(3)}, "input > w > n > output"),
        r"node 'n': .* shape \(3,\), but from 'w' \(Linear\) come \(4,\)",
    ),
    "too wide for the Output": (
        io({"w": linear(4, 3)}, "input > w > output"),
        r"node 'output': .* shape \(3,\), but from 'w' \(Linear\) come \(4,\)",
    ),
    "one of two": (
        io({"a": linear(2, 3), "b": linear(3, 3), "n": neuron(nir.LIF)}, "input > a > n", "input > b > n > output"),
        r"node 'n': .* shape \(2,\), but from 'b' \(Linear\) come \(3,\)",
    ),
    "another rank": (
        through(lif(1, 3)),
        r"node 'n': .* shape \(1, 3\), but from 'input' \(Input\) come \(3,\)",
    ),
    "unknown": (
        io({"a": nir.Scale(array(2.0).reshape(()))}, "input > output"),
        r"nothing tells the shape of what goes into 'a'",
    ),
    "weight [3]": (
        through(changed(linear(3, 3), weight=np.ones(3))),
        r"'n': weight has shape \(3,\); expected \(out, in\)",
    ),
    "weight of none": (
        through(changed(linear(3, 3), weight=np.ones((0, 3)))),
        r"node 'n': a step has shape \(0,\); expected",
    ),
    "bias [4]": (
        through(changed(affine(3, 3), bias=np.ones(4))),
        r"node 'n': bias has shape \(4,\); expected \(3,\), for weight",
    ),
    "bias []": (
        through(changed(affine(3, 3), bias=np.ones(()))),
        r"node 'n': bias has shape \(\); expected \(3,\), for weight",
    ),
    "parameters": (
        fires(tau=np.ones(4)),
        r"node 'n': .* tau \(4,\), r \(3,\), v_leak \(3,\)",
    ),
    "parameters that would broadcast": (
        fires(tau=np.ones((3, 1))),
        r"node 'n': .* tau \(3, 1\), r \(3,\)",
    ),
    "kernel": (
        image(weight=np.ones((3, 2, 2))),
        r"weight has shape \(3, 2, 2\); expected \(out, in / groups, height, width\)",
    ),
    "channels": (
        one(conv2d(3, 2, 2, 3), (3, 4, 5), (3, 3, 3)),
        r"steps \[channels, height, width\] of 2 channels, got \(3, 4, 5\)",
    ),
    "an image of two axes": (
        one(conv2d(3, 2, 2, 3), (4, 5), (3, 3, 3)),
        r"node 'node': .*\[channels, height, width\], got \(4, 5\)",
    ),
    "an input_shape": (
        image(input_shape=(9, 9)),
        r"node 'node': .* shape \(2, 9, 9\), but from 'input' \(Input\) come \(2, 4, 5\)",
    ),
    "bias of a kernel": (image(bias=np.ones((3, 1, 1))), r"node 'node': bias has shape \(3, 1, 1\); expected \(3,\)"),
    "groups": (image(groups=2), r"node 'node': groups is 2; expected a divisor of the 3 channels of its output"),
    "groups 0": (image(groups=0), r"node 'node': groups is 0; expected a divisor"),
    "groups of the input": (one(conv2d(4, 2, 2, 3, groups=2), (2, 4, 5), (4, 3, 3)), r"of 4 channels, got \(2, 4, 5\)"),
    "stride 0": (image(stride=0), r"node 'node': stride is 0; expected whole numbers >= 1"),
    "half a stride": (image(stride=1.5), r"stride is 1\.5; expected whole numbers"),
    "three strides": (image(stride=(1, 1, 1)), r"stride is \(1, 1, 1\); expected a whole number, or 2 of them"),
    "strides of strides": (image(stride=[[1], [1, 2]]), r"stride is \[\[1\], \[1, 2\]\]; expected whole numbers"),
    "dilation 0": (image(dilation=0), r"dilation is 0; expected whole numbers >= 1"),
    "negative padding": (image(padding=(-1, 0)), r"padding is \(-1, 0\); expected whole numbers >= 0"),
    "padding that is True": (image(padding=True), r"padding is True; expected whole numbers"),
    "padding of another name": (image(padding="full"), r"padding is 'full'; expected whole numbers, 'same' or 'valid'"),
    "a large kernel": (
        one(conv2d(3, 2, 5, 3), (2, 4, 5), (3, 1, 3)),
        r"a step of \(4, 5\) places, \(4, 5\) with its padding, is smaller than the kernel",
    ),
    "a large pool": (
        pool(nir.AvgPool2d, 6, 6, 0),
        r"a step of \(4, 5\) places, \(4, 5\) with its padding, is smaller than the ker",
    ),
    "stride 0 of a pool": (pool(nir.SumPool2d, 2, 0, 0), r"node 'node': stride is 0; expected whole numbers >= 1"),
    "no stride of a pool": (
        pool(nir.SumPool2d, 2, None, 0),
        r"node 'node': the field stride is missing, which every SumPool2d has; add it",
    ),
    "negative padding of a pool": (pool(nir.AvgPool2d, 2, 2, -1), r"padding is -1; expected whole numbers >= 0"),
    "an axis that there is not": (
        flatten(0, 5),
        r"node 'node': start_dim is 0 and end_dim 5, but one step has shape \(2, 3",
    ),
    "from the end": (flatten(2, 1), r"start_dim is 2 and end_dim 1, but one step has shape \(2, 3, 4\)"),
    "half an axis": (flatten(0.5, -1), r"start_dim is 0\.5; expected a whole number"),
    "another shape": (
        flatten(0, -1, (2, 3)),
        r"node 'node': .* shape \(2, 3\), but from 'input' \(Input\) come \(2, 3, 4\)",
    ),
    "a shape of no elements": (straight([0]), r"node 'input': shape is array\(\[0\]\); expected whole numbers >= 1"),
    "a negative shape": (straight([-3]), r"node 'input': shape is array\(\[-3\]\); expected whole numbers >= 1"),
    "a shape of halves": (straight([2.5]), r"node 'input': shape is array\(\[2\.5\]\); expected whole numbers"),
    "no shape": (
        net({"input": nir.Input({"input": None}), "output": outs(3)}, "input > output"),
        r"node 'input': the field shape is missing, which every Input has; add it",
    ),
}

TOO_LARGE = {
    "an Input": (
        straight([10**12]),
        r"node 'input': a step has 1,000,000,000,000 elements, .*; the most is 268,435,456",
    ),
    "an Input of more than 64 bits": (
        straight([2**40, 2**40]),
        r"a step has 1,208,925,819,614,629,174,706,176 elements",
    ),
    "an image": (straight([10**4, 10**4, 10**4]), r"a step has 1,000,000,000,000 elements, \[10000, 10000, 10000\]"),
    "a neuron for all of it": (
        net({"input": ins(10**6, 10**6), "n": neuron(nir.LIF), "output": outs(10**6, 10**6)}, "input > n > output"),
        r"node 'input': a step has 1,000,000,000,000 elements",
    ),
    "padding": (image(padding=10**9), r"node 'node': a step has [\d,]* elements"),
    "padding of a pool": (pool(nir.SumPool2d, 2, 2, 10**9), r"node 'node': a step has [\d,]* elements"),
    "a delay": (
        through(nir.Delay(array(1e9, 0.0, 0.0))),
        r"node 'n': delay is 1e\+09 s, 1e\+12 steps of 0\.001 s, for each of which 3 elements are kept; the most is 268,435,456",
    ),
    "a delay of more than 64 bits": (
        through(nir.Delay(np.full(3, 1e30))),
        r"delay is 1e\+30 s, 1e\+33 steps of 0\.001 s",
    ),
    "a delay in milliseconds": (
        one(nir.Delay(array(50.0).reshape(())), (100, 100)),
        r"50000 steps of 0\.001 s, .* 10,000 elements are kept; .* Is it in seconds\? Else take a larger dt, or a shorter delay",
    ),
}

NO_NUMBERS = {
    "NaN": (fires(tau=array(1.0, NAN, NAN)), r"node 'n': tau is NaN at \[1\] and 1 more"),
    "a NaN weight": (
        through(changed(linear(3, 3), weight=np.diag([1, NAN, 1]))),
        r"node 'n': weight is NaN at \[1, 1\]",
    ),
    "a NaN bias": (image(bias=array(0.0, NAN, 0.0)), r"node 'node': bias is NaN at \[1\]"),
    "a NaN threshold": (fires(v_threshold=np.full(3, NAN)), r"node 'n': v_threshold is NaN at \[0\] and 2 more"),
    "an infinite weight": (
        through(changed(linear(3, 3), weight=np.full((3, 3), -INF))),
        r"node 'n': weight is infinite at \[0, 0\] and 8 more; expected finite numbers",
    ),
    "an infinite tau": (
        fires(tau=array(1.0, 1.0, INF)),
        r"node 'n': tau is infinite at \[2\]; expected finite numbers",
    ),
    "an infinite reset": (fires(v_reset=np.full(3, INF)), r"node 'n': v_reset is infinite at \[0\] and 2 more"),
    "threshold -inf": (
        fires(v_threshold=np.full(3, -INF)),
        r"node 'n': v_threshold is infinite at \[0\] and 2 more; expected fin",
    ),
    "tau 0": (fires(tau=array(1.0, 0.0, 1.0)), r"node 'n': tau is 0 at \[1\]; a time constant is > 0"),
    "tau < 0": (fires(tau=array(1.0, -0.5, 1.0)), r"node 'n': tau is -0\.5 at \[1\]; a time constant is > 0"),
    "tau_syn 0": (
        through(neuron(nir.CubaLIF, 3, tau_syn=np.zeros(3))),
        r"node 'n': tau_syn is 0 at \[0\] and 2 more; a time",
    ),
    "tau_mem < 0": (
        through(neuron(nir.CubaLI, 3, tau_mem=np.full(3, -1.0))),
        r"node 'n': tau_mem is -1 at \[0\] and 2 more",
    ),
    "a negative delay": (
        through(nir.Delay(array(0.0, -1e-3, 0.0))),
        r"node 'n': delay is -0\.001 at \[1\]; expected seconds >= 0",
    ),
    "an infinite delay": (through(nir.Delay(np.full(3, INF))), r"node 'n': delay is infinite at \[0\] and 2 more"),
    "within": (
        io({"sub": within(changed(lif(3), tau=np.zeros(3)), (3,))}, "input > sub > output"),
        r"node 'sub/node': tau is 0 at \[0\] and 2 more",
    ),
    "complex": (
        through(changed(linear(3, 3), weight=np.ones((3, 3), complex))),
        r"weight holds complex128; expected real num",
    ),
    "objects": (fires(tau=np.array([None, 1.0, 2.0])), r"node 'n': tau holds object; expected real numbers"),
    "texts": (fires(tau="0.1"), r"node 'n': tau holds <U3; expected real numbers"),
    "lists of several lengths": (
        through(changed(linear(3, 3), weight=[[1.0, 2.0], [3.0]])),
        r"node 'n': weight is a list of lists that differ in length; expected an array of numbers",
    ),
    "nothing": (fires(tau=None), r"node 'n': the field tau is missing, which every LIF has; add it"),
    "no bias": (
        through(changed(affine(3, 3), bias=None)),
        r"node 'n': the field bias is missing, which every Affine has; add it",
    ),
}

BAD = WIRED_WRONGLY | SHAPED_WRONGLY | NO_NUMBERS | TOO_LARGE


def test_no_case_hides_another():
    assert len(BAD) == len(WIRED_WRONGLY) + len(SHAPED_WRONGLY) + len(NO_NUMBERS) + len(TOO_LARGE)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_graph_is_refused_by_the_name_of_its_node(name):
    graph, message = BAD[name]
    with pytest.raises(NIRError, match=message) as caught:
        from_nir(graph, dt=DT)
    errors = [finding for finding in validate(graph, dt=DT) if finding.level == "error"]
    for finding in errors[:3]:  # what is found is what is said
        assert finding.text in str(caught.value)
    assert re.search(message, " ".join(map(str, errors)))


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_refused_before_it_takes_memory(name):
    graph, _ = TOO_LARGE[name]
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(NIRError):
        from_nir(graph, dt=DT)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2e6
    assert time.perf_counter() - start < 5


def test_all_that_is_wrong_with_nodes_is_listed():
    graph = io(
        {
            "a": changed(lif(3), tau=np.zeros(3), v_leak=np.full(3, NAN)),
            "b": nir.Delay(np.full(3, -1.0)),
            "c": changed(lif(3), r=None),
        },
        "input > a > b > c > output",
    )
    found = validate(graph)
    assert [(f.level, f.path, f.text.split()[0]) for f in found] == [
        ("error", "a", "tau"),
        ("error", "a", "v_leak"),
        ("error", "b", "delay"),
        ("error", "c", "the"),
    ]
    with pytest.raises(
        NIRError, match=r"'a': tau .* 'a': v_leak .* 'b': delay .* \(1 more; snnx.nir.validate lists all\)"
    ):
        from_nir(graph, dt=DT)


def test_a_delay_is_too_large_only_for_a_step():
    graph = through(nir.Delay(np.full(3, 1e5)))
    assert validate(graph) == []
    assert validate(graph, dt=1.0) == []
    (finding,) = validate(graph, dt=DT)
    assert finding.path == "n"
    assert finding.level == "error"


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_is_wrong_with_what_is_right(name):
    assert [finding for finding in validate(GRAPHS[name]) if finding.level == "error"] == []


# Odd, but legal

KICK = array([0.4, 0.0, 0.0], [0.0, 0.5, 0.0], [0.3, 0.3, 0.3], [0.0, 0.0, 0.9], [0.0, 0.0, 0.0], [0.2, 0.0, 0.1])


def plain(graph: nir.NIRGraph) -> nir.LIF:
    return next(node for node in graph.nodes.values() if isinstance(node, nir.LIF))


def by_hand(node: nir.LIF, xs: np.ndarray) -> np.ndarray:
    """Forward Euler, spike, reset."""
    v, spikes = np.asarray(node.v_leak, float), []
    for x in xs:
        v = v + DT / node.tau * (node.v_leak - v + node.r * x)
        fired = v > node.v_threshold
        v = np.where(fired, node.v_reset, v)
        spikes.append(fired.astype(float))
    return np.array(spikes)


def delayed(xs: np.ndarray, steps: int) -> np.ndarray:
    return np.concatenate([np.zeros((steps, *xs.shape[1:])), xs])[: len(xs)]


def with_tau(tau: float) -> nir.NIRGraph:
    return through(
        lif(3, tau=np.full(3, tau), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.full(3, 0.4), v_reset=np.zeros(3))
    )


UNFED = io({"lone": lif(3, v_leak=np.full(3, 9.0)), "w": linear(3, 3)}, "input > w > output", "lone > output")
ODD = {
    "tau < dt": (
        with_tau(0.5e-3),
        r"node 'n': tau is 0\.0005 s at least, shorter than the step, 0\.001 s: forward Euler's factor 1 - dt/tau is -1",
        lambda graph: by_hand(plain(graph), KICK),
    ),
    "an infinite threshold": (
        fires(tau=np.full(3, 0.01), v_threshold=array(INF, 0.01, INF), v_leak=np.zeros(3), v_reset=np.zeros(3)),
        r"node 'n': v_threshold is infinite at \[0\] and 1 more: there it never fires",
        lambda graph: by_hand(plain(graph), KICK),
    ),
    "an infinite threshold of none": (
        through(nir.Threshold(array(INF, 0.25, 0.25))),
        r"node 'n': threshold is infinite at \[0\]: there it never fires",
        lambda graph: (array(INF, 0.25, 0.25) < KICK).astype(float),
    ),
    "a delay of two and a bit": (
        through(nir.Delay(np.full(3, 2.3e-3))),
        r"node 'n': delay is 0\.0023 s, 2\.3 steps of 0\.001 s, which is rounded to 2: off by 0\.0003 s",
        lambda graph: delayed(KICK, 2),
    ),
    "nothing comes in": (
        UNFED,
        r"node 'lone': no edge leads to this LIF: it gets zeros at every step",
        lambda graph: KICK @ graph.nodes["w"].weight.T + by_hand(graph.nodes["lone"], 0 * KICK),
    ),
    "nothing goes out": (
        io({"w": linear(3, 3), "lone": lif(3)}, "input > w > output", "input > lone"),
        r"node 'lone': no edge leads away from this LIF: what it puts out goes nowhere",
        lambda graph: KICK @ graph.nodes["w"].weight.T,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_said_and_run_as_written(name, x64):
    graph, message, expected = ODD[name]
    (finding,) = validate(graph, dt=DT)
    assert finding.level == "warning"
    assert re.search(message, str(finding))
    with pytest.warns(UserWarning, match=rf"from_nir: {message}"):
        cell = from_nir(graph, dt=DT)
    ys, _ = snnx.simulate(cell, jnp.asarray(KICK))
    np.testing.assert_allclose(ys, expected(graph), rtol=1e-12, atol=1e-12)
    assert 0 < np.abs(expected(graph)).sum()


@pytest.mark.parametrize("reset", ["value", "subtract"])
def test_an_infinite_threshold_makes_no_nan(reset):
    graph = fires(v_threshold=np.full(3, INF))
    with pytest.warns(UserWarning, match="there it never fires"):
        cell = from_nir(graph, dt=DT, reset=reset)
    ys, state, seen = snnx.simulate(cell, jnp.asarray(KICK, jnp.float32), record=["n.v"])
    assert not np.asarray(ys).any()
    assert np.isfinite(seen["n.v"]).all()


def test_a_delay_that_is_a_multiple_is_not_odd():
    for dt in (1e-3, 1e-4, 0.3e-3):
        assert validate(through(nir.Delay(array(0.0, 7 * dt, 1000 * dt))), dt=dt) == []
        assert validate(through(nir.Delay(np.array([0.0, 7 * dt, 13 * dt], np.float32))), dt=dt) == []


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"dt": 0}, ValueError),
        ({"dt": -1e-3}, ValueError),
        ({"dt": NAN}, ValueError),
        ({"dt": INF}, ValueError),
        ({"dt": "1e-3"}, TypeError),
        ({"dt": True}, TypeError),
        ({"dt": DT, "reset": "zero"}, ValueError),
        ({"dt": DT, "method": "heun"}, ValueError),
        ({"dt": DT, "dialect": "norsk"}, ValueError),
        ({"dt": DT, "surrogate": 3.0}, TypeError),
        ({"dt": DT, "dtype": "int32"}, ValueError),
        ({"dt": DT, "dtype": "float64"}, ValueError),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(arguments, error):
    with pytest.raises(error, match=rf"from_nir: .*\b{list(arguments)[-1]}\b"):
        from_nir(through(lif(3)), **arguments)


def test_a_number_that_the_dtype_does_not_hold(x64):
    graph = fires(tau=np.full(3, 1e300))
    with pytest.raises(NIRError, match=r"\btau\b"):
        from_nir(graph, dt=DT, dtype="float32")
    assert from_nir(graph, dt=DT, dtype="float64").nodes["n"].tau[0] == 1e300


def test_a_time_constant_that_the_dtype_does_not_hold():
    with (
        pytest.warns(UserWarning, match="shorter than the step"),
        pytest.raises(NIRError, match=r"\btau\b"),
    ):
        from_nir(fires(tau=np.full(3, 1e-45)), dt=DT)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_bad_graph_is_refused_in_every_dialect(dialect):
    for name in ("a dangling edge", "no shape", "nothing", "parameters", "tau 0", "groups", "a loop", "an Input"):
        graph, _ = BAD[name]
        with pytest.raises(NIRError):
            from_nir(graph, dt=DT, dialect=dialect)


def test_a_graph_that_is_refused_is_not_changed():
    graph = fires(tau=array(1.0, 0.0, 1.0))
    before = graph.nodes["n"].tau
    with pytest.raises(NIRError):
        from_nir(graph, dt=DT)
    assert graph.nodes["n"].tau is before
    np.testing.assert_array_equal(before, [1.0, 0.0, 1.0])
