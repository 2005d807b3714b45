"""NIR graphs as plain loops over time steps and nodes, in double precision, without JAX.

Written from the meaning of the format alone: forward Euler at `dt`, edges without lag but for one in each cycle.
"""

import functools
from collections.abc import Mapping

import nir
import numpy as np

STATEFUL = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Delay)
SPIKING = (nir.IF, nir.LIF, nir.CubaLIF)
CUBA = (nir.CubaLI, nir.CubaLIF)

Edge = tuple[str, str]


def words(path: str) -> list[str]:
    """What paths are sorted by: the names on the way."""
    return path.split("/")


def flatten(graph: nir.NIRGraph, prefix: str = "") -> tuple[dict[str, nir.NIRNode], list[Edge]]:
    """Nodes by path, and edges between paths; nested graphs are their nodes, their ends are Input and Output nodes."""
    nodes, edges = {}, []
    first, last = {}, {}
    for name, node in graph.nodes.items():
        path = prefix + name
        first[name] = last[name] = path
        if isinstance(node, nir.NIRGraph):
            (entry,) = (name for name, inner in node.nodes.items() if isinstance(inner, nir.Input))
            (way_out,) = (name for name, inner in node.nodes.items() if isinstance(inner, nir.Output))
            first[name], last[name] = f"{path}/{entry}", f"{path}/{way_out}"
            inner_nodes, inner_edges = flatten(node, f"{path}/")
            nodes |= inner_nodes
            edges += inner_edges
        else:
            nodes[path] = node
    return nodes, edges + [(last[source], first[target]) for source, target in graph.edges]


def a_cycle(starts: list[str], edges: set[Edge]) -> list[str] | None:
    """The cycle that a search in depth, in the order of names, closes first; its last node closes it."""
    done: set[str] = set()

    def visit(path: str, way: list[str]) -> list[str] | None:
        way = [*way, path]
        for target in sorted((target for source, target in edges if source == path), key=words):
            if target in way:
                return way[way.index(target) :]
            if target not in done and (found := visit(target, way)):
                return found
        done.add(path)
        return None

    for start in starts:
        if start not in done and (found := visit(start, [])):
            return found
    return None


def lagging_edges(nodes: Mapping[str, nir.NIRNode], edges: list[Edge]) -> set[Edge]:
    """One edge of each cycle: the one that leaves its last node with a state, counted from the edge that closes it."""

    def is_input(path: str) -> bool:
        return "/" not in path and isinstance(nodes[path], nir.Input)

    starts = sorted(nodes, key=lambda path: (not is_input(path), words(path)))
    left, lagging = set(edges), set()
    while cycle := a_cycle(starts, left):
        where = max((i for i, path in enumerate(cycle) if isinstance(nodes[path], STATEFUL)), default=None)
        if where is None:
            raise ValueError(f"the cycle {cycle} has no state")
        edge = (cycle[where], cycle[(where + 1) % len(cycle)])
        left.remove(edge)
        lagging.add(edge)
    return lagging


def in_order(nodes: Mapping[str, nir.NIRNode], edges: set[Edge]) -> list[str]:
    """The nodes, each after those that it gets something from."""
    order: list[str] = []
    while len(order) < len(nodes):
        order += [p for p in nodes if p not in order and all(m in order for m, n in edges if n == p)]
    return order


def convolve(node: "nir.Conv1d | nir.Conv2d", x: np.ndarray) -> np.ndarray:
    """Cross-correlation: `y[o, p] = b[o] + sum_ck w[o, c, k] x[c of o's group, p stride + k dilation - padding]`."""
    weight = node.weight.astype(np.float64)
    outs, ins, *kernel = weight.shape
    axes = len(kernel)
    stride, dilation = np.broadcast_to(node.stride, axes), np.broadcast_to(node.dilation, axes)
    reach = [int(d) * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if isinstance(node.padding, str):
        padding = {"valid": [(0, 0)] * axes, "same": [(r // 2, r - r // 2) for r in reach]}[node.padding]
    else:
        padding = [(int(p), int(p)) for p in np.broadcast_to(node.padding, axes)]
    padded = np.pad(x, [(0, 0), *padding])
    places = [(n - r - 1) // int(s) + 1 for n, r, s in zip(padded.shape[1:], reach, stride, strict=True)]
    y = np.zeros((outs, *places))
    for out in range(outs):
        group = out // (outs // int(node.groups))
        for place in np.ndindex(*places):
            for k in np.ndindex(*kernel):
                at = tuple(int(p * s + j * d) for p, s, j, d in zip(place, stride, k, dilation, strict=True))
                for channel in range(ins):
                    y[(out, *place)] += weight[(out, channel, *k)] * padded[(group * ins + channel, *at)]
        y[out] += 0.0 if node.bias is None else float(node.bias[out])
    return y


def pool(node: "nir.SumPool2d | nir.AvgPool2d", x: np.ndarray) -> np.ndarray:
    height, width = (int(k) for k in np.broadcast_to(node.kernel_size, 2))
    down, right = (int(s) for s in np.broadcast_to(node.stride, 2))
    padding = [(int(p), int(p)) for p in np.broadcast_to(node.padding, 2)]
    padded = np.pad(x, [(0, 0), *padding])
    rows, columns = (padded.shape[1] - height) // down + 1, (padded.shape[2] - width) // right + 1
    y = np.zeros((x.shape[0], rows, columns))
    for row in range(rows):
        for column in range(columns):
            window = padded[:, row * down : row * down + height, column * right : column * right + width]
            y[:, row, column] = window.sum((1, 2))
    return y / (height * width) if isinstance(node, nir.AvgPool2d) else y


def multiply(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`y[..., o] = sum_i W[..., o, i] x[..., i]`, one matrix for each place of the leading axes."""
    y = np.zeros(weight.shape[:-1])
    for place in np.ndindex(weight.shape[:-2]):
        y[place] = weight[place].astype(np.float64) @ x[place]
    return y


def flat(node: nir.Flatten, x: np.ndarray) -> np.ndarray:
    first, last = int(node.start_dim) % x.ndim, int(node.end_dim) % x.ndim
    return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


def without_state(node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    match node:
        case nir.Input() | nir.Output():
            return x
        case nir.Scale():
            return x * node.scale.astype(np.float64)
        case nir.Threshold():
            return np.where(x > node.threshold.astype(np.float64), 1.0, 0.0)
        case nir.Linear():
            return multiply(node.weight, x)
        case nir.Affine():
            return multiply(node.weight, x) + node.bias.astype(np.float64)
        case nir.Conv1d() | nir.Conv2d():
            return convolve(node, x)
        case nir.SumPool2d() | nir.AvgPool2d():
            return pool(node, x)
        case nir.Flatten():
            return flat(node, x)
    raise TypeError(f"what is a {type(node).__name__}?")


class Neuron:
    """A neuron or an integrator; after a step `v` is the membrane after the reset, `i` the current of the synapse.

    `margin` is the distance between membrane and threshold before the reset, relative to the larger of the two (for the
    membrane, the largest that it was), with which the rounding of single precision grows.
    """

    def __init__(self, node: nir.NIRNode, dt: float, reset: str):
        given = {k: p for k, p in vars(node).items() if k not in ("input_type", "output_type", "metadata")}
        self.p = {k: np.asarray(p, np.float64) for k, p in given.items()}
        self.dt, self.reset, self.cuba, self.spikes = dt, reset, isinstance(node, CUBA), isinstance(node, SPIKING)
        self.tau = self.p.get("tau_mem", self.p.get("tau"))
        self.v = self.p.get("v_leak", np.zeros_like(self.p["r"]))
        self.i = np.zeros_like(self.p["r"])
        self.largest = np.abs(self.v)
        self.margin = np.full_like(self.v, np.inf)
        self.seen = ["v", *(["i"] if self.cuba else []), *(["margin"] if self.spikes else [])]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        p, dt = self.p, self.dt
        if self.cuba:
            self.i = self.i + dt / p["tau_syn"] * (-self.i + p["w_in"] * x)
            x = self.i
        if self.tau is None:
            v = self.v + dt * p["r"] * x
        else:
            v = self.v + dt / self.tau * (p["v_leak"] - self.v + p["r"] * x)
        self.v = v
        if not self.spikes:
            return v
        spike = v > p["v_threshold"]
        self.largest = np.maximum(self.largest, np.abs(v))
        self.margin = margin(v, p["v_threshold"], self.largest)
        self.v = np.where(spike, p["v_reset"] if self.reset == "value" else v - p["v_threshold"], v)
        return np.where(spike, 1.0, 0.0)


def margin(x: np.ndarray, threshold: np.ndarray, largest: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(threshold), threshold, 0.0)
    distance = np.abs(x - threshold) / np.maximum(np.maximum(np.abs(finite), largest), 1e-300)
    return np.where(np.isfinite(threshold), distance, np.inf)


def late(history: list[np.ndarray], steps: np.ndarray) -> np.ndarray:
    """Of every element what it was `steps` ago, zero before the start; the last of `history` is now."""
    y = np.zeros_like(history[-1])
    steps = np.broadcast_to(steps, y.shape)
    for place in np.ndindex(y.shape):
        if steps[place] < len(history):
            y[place] = history[-1 - int(steps[place])][place]
    return y


def simulate(
    graph: nir.NIRGraph, inputs: Mapping[str, np.ndarray], dt: float, reset: str = "value"
) -> dict[str, np.ndarray]:
    """Run a graph on `inputs`, from the name of an Input node to `[time, *shape]`.

    **Returns:** by path the output of every node, `[time, *shape]`; of neurons and integrators also `path.v`, of those
    with a synapse `path.i`, and of what spikes `path.margin`, see `Neuron`.
    """
    nodes, edges = flatten(graph)
    lagging = lagging_edges(nodes, edges)
    order = in_order(nodes, set(edges) - lagging)
    neurons = {
        path: Neuron(node, dt, reset)
        for path, node in nodes.items()
        if isinstance(node, STATEFUL) and not isinstance(node, nir.Delay)
    }
    traces: dict[str, list[np.ndarray]] = {}
    came: dict[str, list[np.ndarray]] = {path: [] for path in nodes}
    before = {source: np.zeros(nodes[source].output_type["output"]) for source, _ in lagging}
    for step in range(len(next(iter(inputs.values())))):
        now: dict[str, np.ndarray] = {}
        for path in order:
            node = nodes[path]
            given = [before[m] if (m, n) in lagging else now[m] for m, n in edges if n == path]
            if path in inputs:
                given.append(np.asarray(inputs[path][step], np.float64))
            x = functools.reduce(np.add, given) if given else np.zeros(node.input_type["input"])
            came[path].append(x)
            if path in neurons:
                now[path] = neurons[path](x)
                seen = {name: getattr(neurons[path], name) for name in neurons[path].seen}
            elif isinstance(node, nir.Delay):
                now[path] = late(came[path], np.round(node.delay.astype(np.float64) / dt))
                seen = {}
            else:
                now[path] = without_state(node, x)
                seen = {"margin": margin(x, node.threshold, np.abs(x))} if isinstance(node, nir.Threshold) else {}
            traces.setdefault(path, []).append(now[path])
            for name, value in seen.items():
                traces.setdefault(f"{path}.{name}", []).append(value)
        before = now
    return {name: np.array(values) for name, values in traces.items()}
