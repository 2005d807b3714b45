"""Small networks of `CubaLIF` neurons in continuous time, from event to event, in double precision, without JAX.

    tau_s di/dt = -i + w_in bias,   tau_m dv/dt = (v_leak - v) + r i,   v = threshold: a spike, v is reset, i jumps behind it

Between events every membrane is a sum of two exponentials and a constant, so that its extremum is known in closed form and
a spike is bracketed without a grid. Gradients are central finite differences: nothing of the adjoint's theory is in here.
What the grid has, this has in the limit of small steps: a spike's feedback acts at once, a current jumps by
`w_in * weight`, a refractory membrane stands still while its current decays.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import brentq

Spike = tuple[float, int, int]  # time, layer, neuron
Numbers = float | np.ndarray  # one for all neurons of a layer, or one each
FIELDS = ("tau_mem", "tau_syn", "threshold", "r", "w_in", "v_leak", "v_reset", "bias", "refractory")


@dataclasses.dataclass(frozen=True)
class Layer:
    """Neurons that fire. `bias` is a current that comes in all the time, `refractory` a time, `reset` as the rule is called."""

    weights: np.ndarray  # [neurons, inputs]
    tau_mem: Numbers = 20.0
    tau_syn: Numbers = 5.0
    threshold: Numbers = 1.0
    r: Numbers = 1.0
    w_in: Numbers = 1.0
    v_leak: Numbers = 0.0
    v_reset: Numbers = 0.0
    bias: Numbers = 0.0
    refractory: Numbers = 0.0
    reset: str = "subtract"  # or "value", "none"
    feedback: np.ndarray | None = None  # [neurons, neurons]


@dataclasses.dataclass(frozen=True)
class Readout:
    """A `CubaLI`; with `tau_syn=None` a `LI`, whose membrane jumps by the weights."""

    weights: np.ndarray
    tau_mem: Numbers = 20.0
    tau_syn: Numbers | None = 5.0
    r: Numbers = 1.0
    w_in: Numbers = 1.0
    v_leak: Numbers = 0.0
    bias: Numbers = 0.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What a network did: its spikes, and the membranes of its last layer, piece by piece between events.

    From `starts[p]` on they are `a e^{-s / tau_mem} + b e^{-s / tau_syn} + c` with `a[p]`, `b[p]`, `c[p]`, `lengths[p]` long.
    """

    spikes: list[Spike]
    duration: float
    starts: np.ndarray  # [pieces, 1]
    lengths: np.ndarray  # [pieces, 1]
    a: np.ndarray  # [pieces, outputs]
    b: np.ndarray
    c: np.ndarray
    tau_mem: np.ndarray  # [outputs]
    tau_syn: np.ndarray

    def counts(self, layer: int, neurons: int) -> np.ndarray:
        """Spikes of each neuron of a layer."""
        return np.bincount([n for _, of, n in self.spikes if of == layer], minlength=neurons)

    def first(self, layer: int, neurons: int) -> np.ndarray:
        """The first spike of each neuron of a layer; the duration where there is none."""
        return np.array(
            [min([t for t, *of in self.spikes if of == [layer, i]], default=self.duration) for i in range(neurons)]
        )

    def _at(self, s: Numbers) -> np.ndarray:
        return self.a * np.exp(-s / self.tau_mem) + self.b * np.exp(-s / self.tau_syn) + self.c

    def last(self) -> np.ndarray:
        """The membranes at the end."""
        return self._at(self.lengths)[-1]

    def mean(self) -> np.ndarray:
        return self._integral(0.0) / self.duration

    def weighted(self, scale: float = 1.0) -> np.ndarray:
        r"""$\frac{1}{T} \int_0^T e^{-t / (\texttt{scale}\ T)} v\, dt$."""
        return self._integral(1.0 / (scale * self.duration)) / self.duration

    def _integral(self, rate: float) -> np.ndarray:
        """Of the membranes times e^{-rate t}."""
        h, total = self.lengths, 0.0
        for factor, own in ((self.a, 1 / self.tau_mem), (self.b, 1 / self.tau_syn), (self.c, 0 * self.tau_mem)):
            k = own + rate
            total = total + factor * np.where(k > 0, -np.expm1(-k * h) / np.where(k > 0, k, 1.0), h)
        return (np.exp(-rate * self.starts) * total).sum(0)

    def maximum(self) -> np.ndarray:
        """The highest value of each membrane."""
        inside = np.clip(_extremum(self.a, self.b, self.tau_mem, self.tau_syn), 0.0, self.lengths)
        return np.max([self._at(inside), self._at(self.lengths), self._at(0.0)], axis=(0, 1))

    def mean_of(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray], nodes: int = 8) -> np.ndarray:
        r"""$\frac{1}{T} \int_0^T f(t, v(t))\, dt$ of a function of `t: [...]`, `v: [..., outputs]`; by Gauss, piece by piece."""
        x, w = np.polynomial.legendre.leggauss(nodes)
        s = 0.5 * self.lengths[None] * (1 + x[:, None, None])  # [nodes, pieces, 1]
        values = function((self.starts + s)[..., 0], self._at(s))
        weights = (0.5 * self.lengths[None] * w[:, None, None])[..., 0]
        return (weights.reshape(weights.shape + (1,) * (values.ndim - 2)) * values).sum((0, 1)) / self.duration


class Network:
    """Layers one behind the other, the first behind the inputs; the last one may be a `Readout`."""

    def __init__(self, layers: Sequence[Layer | Readout]):
        self.layers = tuple(layers)
        sizes = [len(layer.weights) for layer in self.layers]
        self._ends = np.cumsum([0, *sizes])
        self._names = [(layer, n) for layer, size in enumerate(sizes) for n in range(size)]

    def spike_times(self, inputs: Sequence[tuple[float, int]], duration: float) -> list[Spike]:
        """All spikes, in order, of inputs `(time, channel)`."""
        return self.run(inputs, duration).spikes

    def gradient(
        self,
        loss: Callable[[Run], "float | np.ndarray"],
        parameter: tuple[int, str],
        inputs: Sequence[tuple[float, int]],
        duration: float,
        step: float = 1e-5,
    ) -> np.ndarray:
        """Central differences of `loss` of a run by a parameter `(layer, name)`: `[*loss, *parameter]`.

        **Raises:** `ValueError` where a change by `step` makes spikes appear, vanish or change places within a layer.
        """
        index, name = parameter
        original = np.asarray(getattr(self.layers[index], name), float)
        columns, order = [], self._order(self.run(inputs, duration))
        for at in np.ndindex(original.shape):
            sides = []
            for sign in (1, -1):
                changed = original.copy()
                changed[at] += sign * step
                layers = list(self.layers)
                layers[index] = dataclasses.replace(layers[index], **{name: changed})
                run = Network(layers).run(inputs, duration)
                if self._order(run) != order:
                    raise ValueError(f"gradient: {name}{list(at)} of layer {index} changes the spikes.")
                sides.append(np.asarray(loss(run), float))
            columns.append((sides[0] - sides[1]) / (2 * step))
        return np.stack(columns, -1).reshape(columns[0].shape + original.shape)

    def _order(self, run: Run) -> list[list[int]]:
        return [[n for _, of, n in run.spikes if of == layer] for layer in range(len(self.layers))]

    def run(self, inputs: Sequence[tuple[float, int]], duration: float) -> Run:
        """From event to event: an input, a spike, the end of a rest."""
        p = {name: self._concatenated(name) for name in FIELDS}
        jumps, from_inputs, by_membrane = self._jumps(p["w_in"])
        resets = [getattr(layer, "reset", "") for layer in self.layers for _ in layer.weights]
        tau_mem, tau_syn, threshold, r = p["tau_mem"], p["tau_syn"], p["threshold"], p["r"]
        steady = p["w_in"] * p["bias"]
        v, i, now = p["v_leak"].copy(), np.zeros(len(resets)), 0.0
        rests_until = np.zeros(len(resets))
        waiting = sorted(((t, c) for t, c in inputs if t < duration), reverse=True)
        spikes, pieces = [], []
        tail = slice(self._ends[-2], None)
        while now < duration:
            coming = waiting[-1][0] if waiting else duration
            rests = rests_until > now
            release = min(rests_until[rests], default=math.inf)
            length = min(coming, release, duration) - now
            c = p["v_leak"] + r * steady
            b = r * (i - steady) * tau_syn / (tau_syn - tau_mem)
            a = v - b - c
            a, b, c = np.where(rests, 0.0, a), np.where(rests, 0.0, b), np.where(rests, v, c)
            length, fired = _first_crossing(a, b, c, tau_mem, tau_syn, threshold, rests, length)
            pieces.append((now, length, a[tail], b[tail], c[tail]))
            v = a * np.exp(-length / tau_mem) + b * np.exp(-length / tau_syn) + c
            i = steady + (i - steady) * np.exp(-length / tau_syn)
            now += length
            if fired is not None:
                layer, neuron = self._names[fired]
                if spikes and spikes[-1] == (now, layer, neuron):
                    raise ValueError(f"run: neuron {neuron} of layer {layer} still rises behind its reset at {now:g}.")
                spikes.append((now, layer, neuron))
                v[fired] = {"subtract": 0.0, "value": p["v_reset"][fired], "none": threshold[fired]}[resets[fired]]
                rests_until[fired] = now + p["refractory"][fired]
                jump = jumps[:, fired]
            elif waiting and coming <= release:
                now, channel = waiting.pop()
                jump = from_inputs[:, channel]
            else:
                now, jump = min(release, duration), 0.0
            v, i = v + np.where(by_membrane, jump, 0.0), i + np.where(by_membrane, 0.0, jump)
        starts, lengths, a, b, c = (np.array(x) for x in zip(*pieces, strict=True))
        return Run(spikes, duration, starts[:, None], lengths[:, None], a, b, c, tau_mem[tail], tau_syn[tail])

    def _concatenated(self, name: str) -> np.ndarray:
        """A parameter of all neurons; what a readout lacks, it does not need."""
        missing = {"threshold": math.inf, "tau_syn": None}
        columns = []
        for layer in self.layers:
            x = getattr(layer, name, missing.get(name, 0.0))
            x = 0.5 * np.asarray(layer.tau_mem) if x is None else x  # a LI has no current
            columns.append(np.broadcast_to(np.asarray(x, float), len(layer.weights)))
        return np.concatenate(columns)

    def _jumps(self, w_in: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a spike of every neuron, or an input, adds to the currents; and where it adds to the membranes instead."""
        ends = self._ends
        jumps, from_inputs = np.zeros((ends[-1], ends[-1])), np.zeros((ends[-1], np.shape(self.layers[0].weights)[1]))
        for n, layer in enumerate(self.layers):
            own = slice(ends[n], ends[n + 1])
            if n == 0:
                from_inputs[own] = layer.weights
            else:
                jumps[own, ends[n - 1] : ends[n]] = layer.weights
            feedback = getattr(layer, "feedback", None)
            if feedback is not None:
                jumps[own, own] = feedback
        by_membrane = np.repeat([layer.tau_syn is None for layer in self.layers], np.diff(ends))
        return w_in[:, None] * jumps, w_in[:, None] * from_inputs, by_membrane


def _extremum(a: np.ndarray, b: np.ndarray, tau_mem: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
    """Where `a e^{-s / tau_mem} + b e^{-s / tau_syn}` is stationary; -1 where it is nowhere."""
    there = a * b < 0
    ratio = np.where(there, -b * tau_mem / np.where(there, a * tau_syn, 1.0), 1.0)
    return np.where(there, np.log(ratio) / (1 / tau_syn - 1 / tau_mem), -1.0)


def _first_crossing(a, b, c, tau_mem, tau_syn, threshold, rests, length) -> tuple[float, int | None]:
    """How far to go, at most `length`, and which neuron then comes up to its threshold."""

    def above(n: int, s: float) -> float:
        return a[n] * math.exp(-s / tau_mem[n]) + b[n] * math.exp(-s / tau_syn[n]) + c[n] - threshold[n]

    turn = _extremum(a, b, tau_mem, tau_syn)
    turns = (turn > 0) & (turn < length)
    rising = -a / tau_mem - b / tau_syn > 0
    highest = np.where(turns & rising, turn, length)  # on the way up to here from `lowest` a threshold may be met
    lowest = np.where(turns & ~rising, turn, 0.0)
    reached = a * np.exp(-highest / tau_mem) + b * np.exp(-highest / tau_syn) + c > threshold
    found: tuple[float, int | None] = (length, None)
    for n in np.flatnonzero(reached & ~rests & (rising | turns)).tolist():
        s = lowest[n]
        if above(n, s) < 0:
            s = float(brentq(lambda s, n=n: above(n, s), s, highest[n], xtol=1e-15))  # pyright: ignore[reportArgumentType]
        if s < found[0]:
            found = (s, n)
    return found
