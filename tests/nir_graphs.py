"""NIR graphs to test with: a collection by hand, small and valid, that has everything once; and random ones."""

import dataclasses
import math
from typing import Any

import hypothesis.strategies as st
import nir
import numpy as np
from nir_reference import STATEFUL

DT = 1e-3  # seconds per step of all of these

# Where parameters are drawn from: neurons that fire now and then at inputs around 0.5.
RANGES = {
    "tau": (2e-3, 8e-3),
    "tau_syn": (1.5e-3, 5e-3),
    "tau_mem": (2e-3, 8e-3),
    "r": (1.0, 2.5),
    "v_leak": (-0.2, 0.2),
    "v_threshold": (0.25, 0.6),
    "v_reset": (-0.3, 0.2),
    "w_in": (0.7, 1.6),
}
WITHOUT_TAU = (nir.I, nir.IF)


def neuron(kind: type, *shape: int, seed: int = 0, dtype: Any = np.float64, **given: Any) -> Any:
    """A neuron with random parameters `[*shape]`, but for those given."""
    rng = np.random.default_rng([seed, *shape])
    names = [field.name for field in dataclasses.fields(kind) if field.name in RANGES]
    drawn = {name: np.asarray(rng.uniform(*RANGES[name], shape), dtype) for name in names}
    if kind in WITHOUT_TAU:
        drawn["r"] = np.asarray(drawn["r"] * 150, dtype)
    return kind(**{name: given.get(name, drawn[name]) for name in names} | given)


def new_class(name: str, *fields: str) -> type:
    """A class of nodes that NIR 1.0.8 does not have."""

    def say_nothing_of_shapes(self: Any) -> None:
        self.input_type, self.output_type = {"input": None}, {"output": None}

    namespace = {"__post_init__": say_nothing_of_shapes}
    return dataclasses.make_dataclass(name, fields, bases=(nir.NIRNode,), namespace=namespace, eq=False)


def lif(*shape: int, seed: int = 0, **given: Any) -> nir.LIF:
    return neuron(nir.LIF, *shape, seed=seed, **given)


def weight(*shape: int, seed: int = 0, mean: float = 0.3) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(mean, 0.7, shape)


def linear(*shape: int, seed: int = 0) -> nir.Linear:
    return nir.Linear(weight(*shape, seed=seed))


def affine(*shape: int, seed: int = 0) -> nir.Affine:
    return nir.Affine(weight(*shape, seed=seed), weight(*shape[:-1], seed=seed + 1))


def conv1d(
    *shape: int,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    bias: bool = True,
    size: Any = None,
) -> nir.Conv1d:
    return nir.Conv1d(size, weight(*shape), stride, padding, dilation, groups, weight(shape[0]) if bias else None)


def conv2d(
    *shape: int,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    bias: bool = True,
    size: Any = None,
) -> nir.Conv2d:
    return nir.Conv2d(size, weight(*shape), stride, padding, dilation, groups, weight(shape[0]) if bias else None)


def array(*values: Any, dtype: Any = None) -> np.ndarray:
    return np.array(values, dtype)


def ins(*shape: int) -> nir.Input:
    return nir.Input(np.array(shape, int))


def outs(*shape: int) -> nir.Output:
    return nir.Output(np.array(shape, int))


def net(nodes: dict[str, nir.NIRNode], *chains: str, metadata: dict | None = None) -> nir.NIRGraph:
    """A graph whose edges are chains of names, `"input > a > output"`, in the order in which they stand there."""
    split = [chain.split(" > ") for chain in chains]
    edges = [edge for names in split for edge in zip(names[:-1], names[1:], strict=True)]
    return nir.NIRGraph(nodes, edges, {} if metadata is None else metadata, type_check=False)


def one(node: nir.NIRNode, shape: tuple[int, ...], to: tuple[int, ...] | None = None) -> nir.NIRGraph:
    """A graph of one node, `[*shape]` in and `[*to]` out."""
    nodes = {"input": ins(*shape), "node": node, "output": outs(*(shape if to is None else to))}
    return net(nodes, "input > node > output")


def side_by_side(**parts: tuple) -> nir.NIRGraph:
    """One graph of nodes that have nothing to do with each other: `(node, shape)`, or `(node, shape, shape of outputs)`."""
    nodes = {name.replace("_", " "): part for name, part in parts.items()}
    return net(
        {f"{name} in": ins(*part[1]) for name, part in nodes.items()}
        | {name: part[0] for name, part in nodes.items()}
        | {f"{name} out": outs(*part[-1]) for name, part in nodes.items()},
        *(f"{name} in > {name} > {name} out" for name in nodes),
    )


def within(node: nir.NIRNode, shape: tuple[int, ...], to: tuple[int, ...] | None = None) -> nir.NIRGraph:
    """A graph to be nested."""
    nodes = {"in": ins(*shape), "node": node, "out": outs(*(shape if to is None else to))}
    return net(nodes, "in > node > out")


def io(nodes: dict[str, nir.NIRNode], *chains: str, shape: tuple[int, ...] = (3,), **more: Any) -> nir.NIRGraph:
    """A graph with `input` and `output` of one shape."""
    return net({"input": ins(*shape)} | nodes | {"output": outs(*shape)}, *chains, **more)


NEURONS = {"I": nir.I, "IF": nir.IF, "LI": nir.LI, "LIF": nir.LIF, "CubaLI": nir.CubaLI, "CubaLIF": nir.CubaLIF}


def kinds() -> dict[str, nir.NIRGraph]:
    """Every kind of node but convolutions."""
    scalar = np.asarray(0.4)
    return {name: one(neuron(kind, 3), (3,)) for name, kind in NEURONS.items()} | {
        "nothing hidden": net({"input": ins(2, 3), "output": outs(2, 3)}, "input > output"),
        "maps": side_by_side(**{name: (neuron(kind, 2, 3, 2), (2, 3, 2)) for name, kind in NEURONS.items()}),
        "0-d": side_by_side(**{name: (neuron(kind), ()) for name, kind in NEURONS.items()}),
        "0-d for all": side_by_side(**{name: (neuron(kind), (3,)) for name, kind in NEURONS.items()}),
        "Threshold": side_by_side(
            vector=(nir.Threshold(array(0.1, 0.45, -0.3)), (3,)), shared=(nir.Threshold(scalar), (2, 3))
        ),
        "Scale": side_by_side(vector=(nir.Scale(array(0.5, -2.0, 0.0)), (3,)), shared=(nir.Scale(scalar), (2, 3))),
        "Linear": side_by_side(
            plain=(linear(4, 3), (3,), (4,)),
            leading_axes=(linear(2, 3, 4, 5), (2, 3, 5), (2, 3, 4)),
            float16=(nir.Linear(weight(2, 3).astype(np.float16)), (3,), (2,)),
            Fortran_order=(nir.Linear(np.asfortranarray(weight(4, 3))), (3,), (4,)),
        ),
        "Affine": side_by_side(
            plain=(affine(2, 3), (3,), (2,)),
            leading_axes=(affine(2, 4, 3), (2, 3), (2, 4)),
            integers=(nir.Affine(array([1, -2, 3], [0, 1, 1]), array(1, -1, dtype=np.int32)), (3,), (2,)),
        ),
        "Delay": side_by_side(
            vector=(nir.Delay(array(0.0, 1e-3, 3e-3, 7e-3)), (4,)),
            halves=(nir.Delay(array(0.5e-3, 1.5e-3, 2.5e-3, 3.2e-3)), (4,)),
            map=(nir.Delay(array([0.0, 1e-3, 2e-3], [3e-3, 1e-3, 25e-3])), (2, 3)),
            shared=(nir.Delay(np.asarray(2e-3)), (3,)),
            none=(nir.Delay(np.zeros(3)), (3,)),
            float32=(nir.Delay(array(1e-3, 3e-3, 0, dtype=np.float32)), (3,)),
        ),
        "Flatten": side_by_side(
            all=(nir.Flatten({"input": array(2, 3, 4)}, 0), (2, 3, 4), (24,)),
            default=(nir.Flatten({"input": array(2, 3, 4)}), (2, 3, 4), (2, 12)),
            inner_axes=(nir.Flatten({"input": array(2, 3, 4, 2)}, 1, 2), (2, 3, 4, 2), (2, 12, 2)),
            negative_axes=(nir.Flatten({"input": array(2, 3, 4, 2)}, -3, -2), (2, 3, 4, 2), (2, 12, 2)),
            unknown_shape=(nir.Flatten({"input": None}, 0, 1), (2, 3, 4), (6, 4)),
        ),
    }


def convolutions() -> dict[str, nir.NIRGraph]:
    """Kernels that are no squares, strides, paddings, dilations, groups; pools."""
    pair = array(2, 2)
    many = {"stride": array(1, 2), "padding": array(0, 1), "dilation": array(2, 1)}
    return {
        "Conv1d": one(conv1d(3, 2, 3), (2, 8), (3, 6)),
        "Conv1d, known size": one(conv1d(3, 2, 3, size=8), (2, 8), (3, 6)),
        "Conv1d, ways": side_by_side(
            stride_and_padding=(conv1d(3, 2, 4, stride=3, padding=2, bias=False), (2, 9), (3, 4)),
            groups_and_dilation=(conv1d(6, 2, 3, dilation=2, groups=3), (6, 7), (6, 3)),
            same=(conv1d(2, 3, 4, padding="same", dilation=3), (3, 7), (2, 7)),
            same_and_stride=(conv1d(2, 3, 4, padding="same", stride=2), (3, 7), (2, 4)),
            same_and_no_bias=(conv1d(2, 3, 3, padding="same", bias=False), (3, 4), (2, 4)),
            valid=(conv1d(2, 3, 2, padding="valid", stride=2), (3, 7), (2, 3)),
            of_arrays=(conv1d(2, 3, 2, stride=array(2), padding=array(1), dilation=array(1)), (3, 6), (2, 4)),
        ),
        "Conv2d": one(conv2d(3, 2, 2, 3), (2, 4, 5), (3, 3, 3)),
        "Conv2d, known size": one(conv2d(3, 2, 3, 2, size=(4, 5)), (2, 4, 5), (3, 2, 4)),
        "Conv2d, no bias": one(conv2d(3, 2, 3, 2, padding=1, bias=False), (2, 4, 5), (3, 4, 6)),
        "Conv2d, ways": side_by_side(
            pairs=(conv2d(3, 2, 3, 2, stride=(2, 1), padding=(2, 1), dilation=(1, 3)), (2, 5, 6), (3, 4, 5)),
            arrays=(conv2d(2, 1, 2, 2, **many), (1, 5, 4), (2, 3, 3)),
            groups=(conv2d(6, 2, 1, 3, groups=2, padding=(0, 1)), (4, 3, 4), (6, 3, 4)),
            depthwise=(conv2d(3, 1, 2, 2, groups=3), (3, 3, 3), (3, 2, 2)),
            same=(conv2d(2, 3, 4, 3, padding="same", dilation=(1, 2)), (3, 5, 6), (2, 5, 6)),
            same_and_stride=(conv2d(2, 3, 2, 3, padding="same", stride=(2, 3)), (3, 5, 6), (2, 3, 2)),
            valid=(conv2d(2, 3, 2, 3, padding="valid", stride=(1, 2)), (3, 4, 5), (2, 3, 2)),
        ),
        "SumPool2d": side_by_side(
            plain=(nir.SumPool2d(pair, pair, array(0, 0)), (2, 4, 6), (2, 2, 3)),
            overlapping=(nir.SumPool2d(array(3, 2), array(1, 2), array(1, 0)), (2, 4, 5), (2, 4, 2)),
        ),
        "AvgPool2d": side_by_side(
            plain=(nir.AvgPool2d(pair, pair, array(0, 0)), (2, 5, 6), (2, 2, 3)),
            padding_counts=(nir.AvgPool2d(array(2, 3), array(2, 1), array(1, 1)), (1, 4, 4), (1, 3, 4)),
        ),
        "convolutions that fire": net(
            {
                "input": ins(1, 6, 6),
                "1": conv2d(2, 1, 3, 3, padding=1),
                "2": neuron(nir.IF, 2, 6, 6),
                "3": nir.SumPool2d(pair, pair, array(0, 0)),
                "4": lif(2, 3, 3),
                "5": nir.Flatten({"input": array(2, 3, 3)}, 0),
                "6": affine(4, 18),
                "7": neuron(nir.CubaLI, 4),
                "output": outs(4),
            },
            "input > 1 > 2 > 3 > 4 > 5 > 6 > 7 > output",
        ),
    }


def parameters() -> dict[str, nir.NIRGraph]:
    """Numbers at the edge, and of every type."""
    cuba = neuron(nir.CubaLIF, 3)
    given = {name: getattr(cuba, name) for name in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold")}
    no_v_reset = nir.LIF(*(getattr(lif(3), k) for k in ("tau", "r", "v_leak", "v_threshold")))
    types = {"r": array(2, 1, 3, dtype=np.int64), "v_leak": array(0.1, 0, 0.3, dtype=np.float16)}
    integers = {"r": array(400, 500, 600), "v_threshold": array(1, 2, 1), "v_reset": array(0, 1, -1)}
    return {
        "tau under dt": one(lif(3, tau=array(0.7e-3, 0.6e-3, 4e-3)), (3,)),
        "tau of dt": one(neuron(nir.LI, 3, tau=np.full(3, DT)), (3,)),
        "threshold at infinity": one(lif(3, v_threshold=array(np.inf, 0.3, np.inf)), (3,)),
        "threshold below rest": one(lif(3, v_leak=array(0.1, 0.9, 0.2), v_threshold=array(-0.2, 0.4, 0.6)), (3,)),
        "negative r": one(lif(3, r=array(-1.5, 2.0, 0.0)), (3,)),
        "without": side_by_side(
            v_reset=(no_v_reset, (3,)), w_in=(nir.CubaLIF(**given), (3,)), array=(nir.CubaLIF(**given, w_in=1.7), (3,))
        ),
        "float32": one(lif(3, dtype=np.float32), (3,)),
        "types": side_by_side(
            float16=(neuron(nir.CubaLI, 3, dtype=np.float16), (3,)),
            integers=(neuron(nir.IF, 3, **integers), (3,)),
            mixed=(lif(3, **types), (3,)),
            other_byte_order=(lif(3, dtype=">f8"), (3,)),
        ),
    }


def branches() -> dict[str, nir.NIRGraph]:
    """No cycles: skips, sums, several inputs and outputs, nodes that hang loose."""
    return {
        "skip": io(
            {"a": affine(3, 3), "b": lif(3)}, "input > a > b > output", "input > b", "a > output", "input > output"
        ),
        "diamond": io(
            {"right": linear(3, 3, seed=1), "left": affine(3, 3, seed=2), "join": lif(3)},
            "input > right > join > output",
            "input > left > join",
        ),
        "four into one": io(
            {f"w{i}": linear(3, 3, seed=i) for i in range(4)} | {"lif": lif(3)},
            *(f"input > w{i} > lif" for i in range(4)),
            "lif > output",
        ),
        "fires through five in a step": io(
            {str(i): lif(3, seed=i, r=np.full(3, 4.0), v_threshold=np.full(3, 0.35 + 0.01 * i)) for i in range(5)},
            "input > 0 > 1 > 2 > 3 > 4 > output",
        ),
        "one input, two ways": net(
            {"input": ins(3), "a": lif(3), "b": neuron(nir.CubaLIF, 3), "y": outs(3), "x": outs(3)},
            "input > a > y",
            "input > b > x",
            "a > x",
        ),
        "two inputs": net(
            {"right": ins(2), "left": ins(3), "r": linear(4, 2), "l": linear(4, 3), "lif": lif(4), "output": outs(4)},
            "right > r > lif > output",
            "left > l > lif",
        ),
        "two inputs, two outputs": net(
            {"b": ins(3), "a": ins(2, 2), "f": nir.Flatten({"input": array(2, 2)}, 0), "w": linear(3, 4), "lif": lif(3)}
            | {"z": outs(3), "y": outs(3), "x": outs(4)},
            "b > lif > z",
            "a > f > w > lif",
            "w > y",
            "f > x",
            "b > y",
        ),
        "inputs straight to outputs": net(
            {"b": ins(3), "a": ins(3), "z": outs(3), "y": outs(3)}, "b > z", "a > z", "b > y"
        ),
        "an input that goes nowhere": net({"b": ins(3), "a": ins(2), "lif": lif(3), "y": outs(3)}, "b > lif > y"),
        "nothing comes in": io(
            {"lif": lif(3, v_leak=array(0.9, 0.1, 0.8)), "w": affine(3, 3), "sum": neuron(nir.LI, 3)},
            "lif > sum > output",
            "w > sum",
            "input > output",
        ),
        "going nowhere": io(
            {"lif": lif(3), "lost": affine(2, 3), "more": lif(2), "alone": neuron(nir.CubaLI, 4)},
            "input > lif > output",
            "lif > lost > more",
        ),
        "delays that differ": io(
            {"d": nir.Delay(array(0.0, 2e-3, 5e-3)), "w": linear(3, 3), "lif": lif(3)},
            "input > d > w > lif > output",
            "input > lif",
        ),
        "one object twice": (lambda node: io({"a": node, "b": node}, "input > a > b > output"))(lif(3)),
    }


def cycles() -> dict[str, nir.NIRGraph]:
    """Feedback, and where it lags."""
    return {
        "LIF to itself": io({"lif": lif(3)}, "input > lif > lif", "lif > output"),
        "LI to itself": io({"li": neuron(nir.LI, 3, r=np.full(3, 0.7))}, "input > li > output", "li > li"),
        "CubaLIF to itself": io({"n": neuron(nir.CubaLIF, 3)}, "n > n > output", "input > n"),
        "Delay to itself": io({"d": nir.Delay(array(0.0, 1e-3, 3e-3))}, "input > d > d", "d > output"),
        "recurrent": io({"lif": lif(3), "back": linear(3, 3)}, "input > lif > back > lif > output"),
        "a bias fed back": io({"lif": lif(3), "back": affine(3, 3)}, "input > lif > output", "lif > back > lif"),
        "a bias and a scale fed back": io(
            {"lif": lif(3), "a": affine(3, 3), "s": nir.Scale(array(0.3, -0.5, 1.2))},
            "input > lif > a > s > lif > output",
        ),
        "two neurons": io({"a": lif(3), "b": lif(3, seed=1)}, "input > a > b > a", "b > output"),
        "two neurons, entered at the later": io({"a": lif(3), "b": lif(3, seed=1)}, "input > b > a > b", "b > output"),
        "two neurons, entered at both": io(
            {"b": lif(3), "a": lif(3, seed=1)}, "input > b > a > b > output", "input > a"
        ),
        "two neurons, two inputs": net(
            {"x": ins(3), "w": ins(3), "a": lif(3), "b": lif(3, seed=1), "output": outs(3)},
            "x > a > b > a > output",
            "w > b > output",
        ),
        "Delay in a cycle": io(
            {"lif": lif(3), "d": nir.Delay(array(0.0, 1e-3, 4e-3)), "back": affine(3, 3)},
            "input > lif > output",
            "lif > back > d > lif",
        ),
        "a state in the middle": io(
            {
                "1": affine(3, 3),
                "2": neuron(nir.LI, 3),
                "3": nir.Scale(array(0.6, -0.4, 0.5)),
                "4": nir.Threshold(np.full(3, 0.2)),
            },
            "input > 1 > 2 > 3 > 4 > 1",
            "4 > output",
        ),
        "one within the other": io(
            {"a": lif(3), "b": lif(3, seed=1), "c": lif(3, seed=2), "back": affine(3, 3), "far": linear(3, 3)},
            "input > a > b > c > output",
            "c > back > b",
            "c > far > a",
        ),
        "two that share nodes": io(
            {"a": lif(3), "b": neuron(nir.IF, 3), "l": affine(3, 3), "r": linear(3, 3, seed=3)},
            "input > a > b > output",
            "b > l > a",
            "b > r > a",
        ),
        "an eight": io(
            {"m": lif(3), "l": lif(3, seed=1), "r": neuron(nir.CubaLIF, 3)},
            "input > m > l > m > r > m > output",
        ),
        "all to all": io(
            {"a": lif(3), "b": lif(3, seed=1), "c": lif(3, seed=2), "w": linear(3, 3), "v": affine(3, 3)},
            "input > a > w > b > v > c > a",
            "c > b > a > c > w",
            "b > output",
        ),
        "the names decide": io(
            {"a b": lif(3), "a": within(lif(3, seed=1), (3,)), "B": nir.Scale(array(0.4, 0.3, 0.5))},
            "input > a b > a > B > a b",
            "input > a > output",
            "a b > output",
        ),
        "through a nested graph": io(
            {"sub": within(lif(3), (3,)), "back": affine(3, 3), "lif": lif(3, seed=1)},
            "input > sub > lif > back > sub",
            "lif > output",
        ),
        "a nested graph to itself": io(
            {"sub": within(neuron(nir.CubaLIF, 3), (3,))}, "input > sub > sub", "sub > output"
        ),
        "in a nested graph": io(
            {
                "sub": net(
                    {"in": ins(3), "w": affine(3, 3), "lif": lif(3), "out": outs(3)}, "in > lif > w > lif > out"
                ),
                "after": lif(3, seed=1),
            },
            "input > sub > after > output",
        ),
        "nothing leads there": io(
            {"a": lif(3, v_leak=np.full(3, 0.5)), "b": affine(3, 3), "sum": neuron(nir.LI, 3)},
            "a > b > a > sum > output",
            "input > sum",
        ),
        "recurrent convolution": net(
            {
                "input": ins(1, 5),
                "c": conv1d(2, 1, 3, padding="same"),
                "n": lif(2, 5),
                "back": conv1d(2, 2, 3, padding=1),
            }
            | {"output": outs(2, 5)},
            "input > c > n > back > n > output",
        ),
        "through a Flatten": net(
            {"input": ins(2, 2), "f": nir.Flatten({"input": array(2, 2)}, 0), "w": linear(3, 4), "lif": lif(3)}
            | {"back": linear(3, 3), "output": outs(3)},
            "input > f > w > lif > output",
            "lif > back > lif",
        ),
    }


def nested() -> dict[str, nir.NIRGraph]:
    """Graphs in graphs, and names."""
    deep = net(
        {"in": ins(3), "sub": within(lif(3), (3,)), "w": linear(3, 3), "out": outs(3)},
        "in > sub > w > out",
        "sub > out",
    )
    wire = net({"in": ins(3), "out": outs(3)}, "in > out")
    names = ["a.v", "lif.v", "a b", "größe", "10", "9", "層", "Z", "init_state"]
    return {
        "nested": io({"sub": within(lif(3), (3,)), "w": affine(3, 3)}, "input > w > sub > output"),
        "nested two deep": io(
            {"deep": deep, "after": lif(3, seed=1)}, "input > deep > after > output", "input > after"
        ),
        "nested twice": io({"b": deep, "a": within(affine(3, 3), (3,))}, "input > b > a > output", "b > output"),
        "a nested wire": io({"wire": wire, "lif": lif(3)}, "input > wire > lif > output", "wire > output"),
        "nested ends named alike": io(
            {"sub": io({"lif": lif(3)}, "input > lif > output"), "lif": neuron(nir.CubaLI, 3)},
            "input > sub > lif > output",
        ),
        "a nested graph that nothing enters": io(
            {"sub": within(affine(3, 3), (3,)), "lif": lif(3)}, "sub > lif > output", "input > lif"
        ),
        "names": io(
            {name: lif(3, seed=i) if i % 2 else linear(3, 3, seed=i) for i, name in enumerate(names)},
            "input > " + " > ".join(names) + " > output",
            "10 > a.v > 9",
            "größe > a.v",
        ),
        "ends named otherwise": net({"10": ins(3), "9.5": lif(3), "2": outs(3)}, "10 > 9.5 > 2"),
        "metadata": net(
            {
                "input": nir.Input(array(3), metadata={"note": "in"}),
                "w": nir.Linear(weight(3, 3), metadata={"mask": array(1, 0, 1), "layer": {"index": 3, "name": "w"}}),
                "sub": within(lif(3, metadata={"a": 0.5}), (3,)),
                "output": outs(3),
            },
            "input > w > sub > output",
            metadata={"author": "nobody", "version": 2, "scales": array(0.5, 2.0, dtype=np.float32)},
        ),
        "types inferred": nir.NIRGraph(
            {
                "input": ins(1, 4, 4),
                "c": conv2d(2, 1, 3, 3, padding=1),
                "p": nir.AvgPool2d(array(2, 2), array(2, 2), array(0, 0)),
                "f": nir.Flatten({"input": None}, 0),
                "lif": lif(8),
                "output": nir.Output(None),
            },
            [("input", "c"), ("c", "p"), ("p", "f"), ("f", "lif"), ("lif", "output")],
        ),
    }


GRAPHS = kinds() | convolutions() | parameters() | branches() | cycles() | nested()


def inputs_of(graph: nir.NIRGraph, steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs, by name, `[steps, *shape]`."""
    rng = np.random.default_rng(seed)
    shapes = {n: tuple(int(k) for k in node.input_type["input"]) for n, node in sorted(graph.inputs.items())}
    return {name: rng.normal(0.5, 0.9, (steps, *shape)) for name, shape in shapes.items()}


# What is warned of in some of these, once each.
ODD = {
    "Delay": ["0.5 steps"],
    "tau under dt": ["shorter than the step"],
    "threshold at infinity": ["never fires"],
    "threshold below rest": ["v_reset is above v_threshold"],
    "an input that goes nowhere": ["no edge leads away from this Input"],
    "nothing comes in": ["no edge leads to this LIF", "no edge leads to this Affine"],
    "going nowhere": ["from this LIF", "no edge leads to this CubaLI", "no edge leads away from this CubaLI"],
    "a nested graph that nothing enters": ["no edge leads to this Input"],
}

INPUT_SHAPES = [(3,), (2, 3), (2, 4, 3), (3, 5)]
NAMES = ["b", "a", "10", "9", "a.b", "c d", "é", "Z"]
KINDS = [*NEURONS, "LIF", "CubaLIF", "Threshold", "Scale", "Linear", "Affine", "Delay"]
OF_MAPS = ["Flatten", "Conv"]
OF_IMAGES = [*OF_MAPS, "SumPool2d", "AvgPool2d"]


def random_node(kind: str, shape: tuple[int, ...], seed: int, dt: float) -> tuple[nir.NIRNode, tuple[int, ...]]:
    """A node of this kind that takes `[*shape]`, and the shape of what it puts out."""
    rng = np.random.default_rng(seed)
    out, stride = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    kernel = [int(rng.integers(1, n + 1)) for n in shape[1:]]
    match kind:
        case "Threshold":
            return nir.Threshold(rng.normal(0.3, 0.3, shape)), shape
        case "Scale":
            return nir.Scale(rng.normal(0.5, 0.5, shape)), shape
        case "Delay":
            return nir.Delay(rng.integers(0, 4, shape) * dt), shape
        case "Linear":
            return nir.Linear(rng.normal(0.4, 0.8, (*shape[:-1], out, shape[-1])) / shape[-1]), (*shape[:-1], out)
        case "Affine":
            weight = rng.normal(0.4, 0.8, (*shape[:-1], out, shape[-1])) / shape[-1]
            return nir.Affine(weight, rng.normal(0.1, 0.2, weight.shape[:-1])), (*shape[:-1], out)
        case "Flatten":
            first = int(rng.integers(0, len(shape) - 1))
            return nir.Flatten({"input": np.array(shape)}, first), (*shape[:first], math.prod(shape[first:]))
        case "Conv":
            weight = rng.normal(0.3, 0.5, (out, shape[0], *kernel)) / math.prod(kernel)
            make = nir.Conv1d if len(kernel) == 1 else nir.Conv2d
            node = make(None, weight, stride, "same", 1, 1, rng.normal(0.1, 0.2, out))
            return node, (out, *(-(-n // stride) for n in shape[1:]))
        case "SumPool2d" | "AvgPool2d":
            node = getattr(nir, kind)(np.array(kernel), np.array([stride, 1]), np.array([0, 0]))
            return node, (shape[0], (shape[1] - kernel[0]) // stride + 1, shape[2] - kernel[1] + 1)
    return neuron(NEURONS[kind], *shape, seed=seed), shape


@st.composite
def random_graphs(draw: st.DrawFn) -> tuple[nir.NIRGraph, float]:
    """A graph of up to eight nodes, some of them nested, with feedback out of what has a state; and its `dt`."""
    dt = draw(st.sampled_from([1e-3, 2.0**-10, 2.5e-4]))
    shape = draw(st.sampled_from(INPUT_SHAPES))
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, len(NAMES)))]
    nodes: dict[str, nir.NIRNode] = {"input": ins(*shape)}
    takes, gives = {}, {"input": shape}
    edges: list[tuple[str, str]] = []
    stateful = []
    for name in names:
        source = draw(st.sampled_from(list(reversed(gives))))
        takes[name] = gives[source]
        kinds = KINDS + {1: [], 2: OF_MAPS, 3: OF_IMAGES}[len(takes[name])]
        node, to = random_node(draw(st.sampled_from(kinds)), takes[name], draw(st.integers(0, 2**20)), dt)
        others = [other for other in gives if other != source and gives[other] == takes[name]]
        more = draw(st.lists(st.sampled_from(others), unique=True, max_size=2)) if others else []
        edges += [(one, name) for one in (source, *more)]
        nodes[name] = within(node, takes[name], to) if draw(st.booleans()) else node
        gives[name] = to
        if isinstance(node, STATEFUL):
            stateful.append(name)
    back = [(m, n) for m in stateful for n in takes if gives[m] == takes[n] and (m, n) not in edges]
    if back:
        edges += (
            draw(st.lists(st.sampled_from(back), unique=True, min_size=1, max_size=3))
            if draw(st.integers(0, 3))
            else []
        )
    ends = [name for name in names if name not in {source for source, _ in edges}] or [names[-1]]
    nodes |= {f"out {name}": outs(*gives[name]) for name in ends}
    edges += [(name, f"out {name}") for name in ends]
    order = draw(st.permutations(list(nodes)))
    return nir.NIRGraph({name: nodes[name] for name in order}, edges, {}, type_check=False), dt
