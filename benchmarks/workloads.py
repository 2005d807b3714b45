"""What is measured, and its data: sizes, equations, inputs, weights. NumPy only, for it is read in every peer's environment.

All peers compute, at every time step of every layer, from the spikes `x` of the layer before,

    current = W x  (+ F s, with the layer's own spikes s of the step before, where it has feedback)
    v <- BETA v + current;   s = 1 where v > 1, else 0;   v <- v - s;   ds/dv := 1 / (1 + |v - 1|)^2

with no biases. The last layer is read out: `v <- BETA v + current`, and the mean of v over time gives the logits.
A slope of 1 is the only one that all peers can give this surrogate.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

BETA = math.exp(-1.0 / 20.0)
LEARNING_RATE = 1e-3
RATE = 0.08  # at which each layer fires on the first examples: the weights are scaled to that
LOWEST_RATE, HIGHEST_RATE = 0.005, 0.40  # a layer outside is silent or saturated, and the measurement void


@dataclasses.dataclass(frozen=True)
class Layer:
    """Weights and neurons.

    - `weight`: `(out, in)`, `(out, in, height, width)` of a convolution without padding, or `(policies, out, in)`.
    - `feedback`: whether the spikes of the step before come back through weights `(out, out)`.
    - `pool`: whether a maximum over 2 x 2 follows the spikes.
    - `fires`: whether the neurons are LIF; else they are the readout.
    """

    weight: tuple[int, ...]
    feedback: bool = False
    pool: bool = False
    fires: bool = True


@dataclasses.dataclass(frozen=True)
class Workload:
    """One task.

    - `kind`: `"train"`: forward, backward, Adam. `"gradient"`: forward and backward, called step by step. `"control"`:
        forward, a population of policies that act at every step. `"epoch"`: a whole epoch on data in memory, shuffled.
    - `sample`: the shape of one input step. `density`: how many of its channels spike.
    - `steps`: time steps. `batch`: examples in a batch. `batches`: how many there are; each round takes the next.
    - `round_steps`: training steps, control steps or epochs in a round.
    - `examples`: of the data set of an `"epoch"`.
    """

    name: str
    about: str
    kind: Literal["train", "gradient", "control", "epoch"]
    layers: tuple[Layer, ...]
    sample: tuple[int, ...]
    steps: int
    batch: int
    density: float
    round_steps: int
    batches: int = 4
    examples: int = 0

    @property
    def classes(self) -> int:
        """The number of outputs."""
        return self.layers[-1].weight[-2]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the layers' neurons, without batch axis."""
        shapes, shape = [], self.sample
        for layer in self.layers:
            if len(layer.weight) == 4:
                out, _, height, width = layer.weight
                shape = (out, shape[1] - height + 1, shape[2] - width + 1)
            else:
                shape = (layer.weight[-2],)
            shapes.append(shape)
            shape = (shape[0], shape[1] // 2, shape[2] // 2) if layer.pool else shape
        return tuple(shapes)

    @property
    def unit(self) -> str:
        """What one "step" of a round is."""
        return {"control": "control step", "epoch": "epoch"}.get(self.kind, "training step")


def workloads(quick: bool = False) -> dict[str, Workload]:
    """All of them by name; `quick`: at sizes that say nothing about speed."""
    time, batch = (lambda n: 16, lambda n: 4) if quick else (lambda n: n, lambda n: n)
    steps = (lambda n: 2) if quick else (lambda n: n)

    def dense(*sizes: int, feedback: bool = False) -> tuple[Layer, ...]:
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        hidden = [Layer((n_out, n_in), feedback) for n_in, n_out in pairs[:-1]]
        return (*hidden, Layer(pairs[-1][::-1], fires=False))

    def spoken(name: str, layers: tuple[Layer, ...], density: float, long: int) -> Workload:
        sizes = [layers[0].weight[1], *(layer.weight[0] for layer in layers)]
        about = f"{'-'.join(map(str, sizes))}, T={long}, B=256"
        few = 4 * 128 // long  # so that all peers fit into memory beside each other
        return Workload(name, about, "train", layers, (sizes[0],), time(long), batch(256), density, steps(8), few)

    def square(name: str, n: int, batches: int) -> Workload:
        about = f"Linear + LIF, {n}-{n}, T=500, B=16, forward and backward"
        n = n // 32 if quick else n
        return Workload(name, about, "gradient", (Layer((n, n)),), (n,), time(500), batch(16), 0.05, steps(2), batches)

    policies = 16 if quick else 1024
    examples = 22 if quick else 8156
    convolutions = (
        Layer((12, 2, 5, 5), pool=True),
        Layer((32, 12, 5, 5), pool=True),
        Layer((10, 800), fires=False),
    )
    population = (Layer((policies, 32, 8)), Layer((policies, 2, 32), fires=False))
    # fmt: off
    found = [
        spoken("W1", dense(128, 64, 64, 20), 0.05, 128),
        spoken("W1-256", dense(128, 64, 64, 20), 0.05, 256),
        spoken("W1L", dense(700, 128, 128, 20), 0.015, 128),
        spoken("W1L-256", dense(700, 128, 128, 20), 0.015, 256),
        Workload("W2", "128-256-256-20, both hidden layers with feedback, T=128, B=256", "train",
                 dense(128, 256, 256, 20, feedback=True), (128,), time(128), batch(256), 0.05, steps(4)),
        square("W3-1024", 1024, 4),
        square("W3-4096", 4096, 2),
        Workload("W4", "convolutional, 34x34x2 - C12 - P2 - C32 - P2 - 10, T=64, B=8", "train", convolutions, (2, 34, 34),
                 time(64), batch(8), 0.03, steps(4)),
        Workload("W5", "1024 policies 8-32-2, forward, 1000 control steps", "control", population, (8,),
                 time(1000), policies, 1.0, time(1000)),
        Workload("W6", "an epoch of 8156 examples, T=100, 700-128-128-20, B=256, shuffled", "epoch",
                 dense(700, 128, 128, 20), (700,), time(100), batch(256), 0.015, 1, examples=examples),
    ]
    # fmt: on
    return {work.name: work for work in found}


def draw(work: Workload) -> dict[str, np.ndarray]:
    """Inputs, labels and weights, always the same ones.

    - `inputs`: spikes packed into bits along the (flattened) channels, little-endian: `[batches, batch, time, bytes]`,
        or `[examples, time, bytes]` for an epoch. For control the noise that the policies see, `[time, policies, 6]`.
    - `labels`: `[batches, batch]` or `[examples]`.
    - `w0`, `w1`, ...: the layers' weights; `f0`, ...: those of their feedback.
    """
    rng = np.random.default_rng(0)
    if work.kind == "control":
        actions = work.classes
        noise = rng.random((work.steps, work.batch, work.sample[0] - actions), np.float32)
        silent = np.zeros((*noise.shape[:2], actions), np.float32)
        return {"inputs": noise} | _weights(work, np.concatenate([noise, silent], -1), rng)
    leading = (work.examples,) if work.kind == "epoch" else (work.batches, work.batch)
    labels = rng.integers(0, work.classes, leading)
    shape = (work.steps, math.prod(work.sample))
    packed = np.stack([_pack(rng.random(shape, np.float32) < work.density) for _ in range(labels.size)])
    inputs = packed.reshape(*leading, *packed.shape[1:])
    some = np.swapaxes(unpack(work, packed[:4]), 0, 1)
    return {"inputs": inputs, "labels": labels} | _weights(work, some, rng)


def unpack(work: Workload, packed: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Packed spikes `[..., bytes]` as an array `[..., *sample]` of zeros and ones."""
    flat = np.unpackbits(packed, axis=-1, bitorder="little", count=math.prod(work.sample))
    return flat.reshape(*packed.shape[:-1], *work.sample).astype(dtype)


def batch_of(work: Workload, data: dict[str, np.ndarray], number: int, time_axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a batch as float32, time first (0) or after the batch (1), and its labels; time runs on its axis.

    Of an epoch's data set, which has no batches of its own, the first examples."""
    inputs, labels = (
        (data["inputs"][: work.batch], data["labels"][: work.batch])
        if work.kind == "epoch"
        else (data["inputs"][number % work.batches], data["labels"][number % work.batches])
    )
    xs = unpack(work, inputs)
    return np.ascontiguousarray(np.swapaxes(xs, 0, 1)) if time_axis == 0 else xs, labels


def _pack(spikes: np.ndarray) -> np.ndarray:
    return np.packbits(spikes, axis=-1, bitorder="little")


def _weights(work: Workload, xs: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Normal weights, scaled layer by layer until the neurons fire at `RATE` on `xs`.

    Their mean is positive, so that a membrane climbs to its threshold by many small steps rather than by a few large
    ones: snnTorch does something else where a membrane is still above threshold after its reset.
    """
    weights = {}
    for i, layer in enumerate(work.layers):
        fan_in = math.prod(layer.weight[1:]) if len(layer.weight) != 3 else layer.weight[-1]
        weight = rng.standard_normal(layer.weight) / math.sqrt(fan_in) + 5.0 / fan_in
        feedback = None
        if layer.feedback:
            n = layer.weight[0]
            feedback = weights[f"f{i}"] = (0.5 * rng.standard_normal((n, n)) / math.sqrt(n)).astype(np.float32)
        if layer.fires:
            currents = apply(weight.astype(np.float32), xs)
            gain = _bisect(lambda gain, c=currents, f=feedback: float(fire(gain * c, f).mean()) - RATE)
            weight = (gain * weight).astype(np.float32)
            xs = pool(fire(apply(weight, xs), feedback)) if layer.pool else fire(apply(weight, xs), feedback)
        elif work.kind == "control":
            weight = (1.0 - BETA) * weight  # an action is about one, for it is seen again
        weights[f"w{i}"] = weight.astype(np.float32)
    return weights


def _bisect(function: Callable[[float], float], low: float = 0.05, high: float = 20.0) -> float:
    """Where an increasing function crosses zero, to two per cent."""
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return np.float32(math.sqrt(low * high))


# The forward pass in NumPy: to scale the weights, and for the tests.


def apply(weight: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """The currents `[time, batch, ...]` that spikes `[time, batch, ...]` give."""
    if weight.ndim == 4:
        windows = np.lib.stride_tricks.sliding_window_view(xs, weight.shape[2:], axis=(-2, -1))
        return np.moveaxis(np.tensordot(windows, weight, axes=([2, 5, 6], [1, 2, 3])), -1, 2)
    if weight.ndim == 3:
        return np.einsum("tpi,poi->tpo", xs, weight)
    return xs.reshape(*xs.shape[:2], -1) @ weight.T


def fire(currents: np.ndarray, feedback: np.ndarray | None = None) -> np.ndarray:
    """The spikes `[time, batch, ...]` that currents `[time, batch, ...]` give."""
    v = s = np.zeros_like(currents[0])
    spikes = np.empty_like(currents)
    for t, current in enumerate(currents):
        v = np.float32(BETA) * v + (current if feedback is None else current + s @ feedback.T)
        s = (v > 1.0).astype(currents.dtype)
        v = v - s
        spikes[t] = s
    return spikes


def pool(xs: np.ndarray) -> np.ndarray:
    """The maximum over 2 x 2, of the last two axes; an odd row or column is left out."""
    height, width = xs.shape[-2] // 2, xs.shape[-1] // 2
    cut = xs[..., : 2 * height, : 2 * width]
    return cut.reshape(*xs.shape[:-2], height, 2, width, 2).max((-3, -1))
