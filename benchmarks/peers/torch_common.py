"""What the PyTorch peers share: the network around a library's neurons, and its training.

Only the files of those peers import this one, in an environment that has PyTorch.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.peers import Job
from benchmarks.workloads import LEARNING_RATE, Workload, batch_of, unpack

Tensor = Any
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""One step of neurons: from currents and state (None at the start) to outputs and the new state."""
Sequence = Callable[[Tensor], Tensor]
"""All steps of neurons, from the start: from currents to outputs, with time on the library's axis."""


@dataclasses.dataclass(frozen=True)
class Library:
    """A library's neurons.

    - `lif`, `li`: make neurons: a `Step`, or a `Sequence` where `whole` is set. `lif` gets the weights of the feedback,
        a parameter `[n, n]`, or None.
    - `whole`: its neurons take all time steps at once.
    - `by_layer`: of neurons that take one step, whether each layer runs over all time before the next one does, which
        makes one product of its weights; else the whole network goes step by step.
    - `time_axis`: 0, or 1 for `[batch, time, ...]`.
    - `scale`: what it multiplies currents by. Its weights, and with them the learning rate, are divided by this.
    - `wrap_step`: around the step of the whole network, where that goes step by step.
    """

    lif: Callable[[Tensor | None], Any]
    li: Callable[[], Any]
    note: str = ""
    whole: bool = False
    by_layer: bool = True
    time_axis: int = 0
    scale: float = 1.0
    wrap_step: Callable[[Callable], Callable] = lambda step: step


class Network:
    """The layers of a workload around a library's neurons."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], library: Library):
        def parameter(name: str) -> Tensor:
            return torch.nn.Parameter(torch.from_numpy(data[name] / np.float32(library.scale)))

        self._layers, self._library = work.layers, library
        self._weights = [parameter(f"w{i}") for i in range(len(work.layers))]
        feedback = [parameter(f"f{i}") if layer.feedback else None for i, layer in enumerate(work.layers)]
        self.parameters = [*self._weights, *(f for f in feedback if f is not None)]
        pairs = zip(work.layers, feedback, strict=True)
        self._neurons = [library.lif(f) if layer.fires else library.li() for layer, f in pairs]
        self.step = library.wrap_step(self._one_step)

    def __call__(self, xs: Tensor, with_rates: bool = False) -> tuple[Tensor, list[float]]:
        """The mean over time of the last layer's outputs, and the rates of the spiking layers where they are wanted."""
        if self._library.whole or self._library.by_layer:
            outputs = self._layer_by_layer(xs)
            return outputs[-1].mean(self._library.time_axis), self.rates(outputs) if with_rates else []
        states, total, seen = [None] * len(self._layers), 0.0, []
        for x in xs:
            outputs, states = self.step(x, states)
            total = total + outputs[-1]
            if with_rates:
                seen.append(self.rates(outputs))
        return total / len(xs), np.mean(seen, axis=0).tolist() if with_rates else []

    def rates(self, outputs: list[Tensor]) -> list[float]:
        """The mean output of every spiking layer."""
        return [float(ys.mean()) for layer, ys in zip(self._layers, outputs, strict=True) if layer.fires]

    def _layer_by_layer(self, xs: Tensor) -> list[Tensor]:
        outputs = []
        for layer, weight, neurons in zip(self._layers, self._weights, self._neurons, strict=True):
            currents = _at_once(lambda x, w=weight: _apply(w, x), xs)
            xs = neurons(currents) if self._library.whole else over_time(neurons)(currents)
            outputs.append(xs)
            xs = _at_once(_pool, xs) if layer.pool else xs
        return outputs

    def _one_step(self, x: Tensor, states: list) -> tuple[list[Tensor], list]:
        """The outputs of every layer, and their new states."""
        outputs, new = [], []
        for layer, weight, neurons, state in zip(self._layers, self._weights, self._neurons, states, strict=True):
            y, state = neurons(_apply(weight, x), state)
            outputs.append(y)
            new.append(state)
            x = _pool(y) if layer.pool else y
        return outputs, new


def over_time(step: Step) -> Sequence:
    """Neurons that take one step, over all of them, time first."""

    def sequence(currents: Tensor) -> Tensor:
        state, outputs = None, []
        for current in currents:
            y, state = step(current, state)
            outputs.append(y)
        return torch.stack(outputs)

    return sequence


def _apply(weight: Tensor, x: Tensor) -> Tensor:
    """The currents that spikes `[batch, ...]` give."""
    if weight.ndim == 4:
        return F.conv2d(x, weight)
    if weight.ndim == 3:
        return torch.bmm(weight, x.unsqueeze(-1)).squeeze(-1)
    return F.linear(x.flatten(1), weight)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def _at_once(function: Callable[[Tensor], Tensor], xs: Tensor) -> Tensor:
    """A function of a batch, of all batches of all time steps at once."""
    return function(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])


def integrator(beta: float) -> Step:
    """A readout in plain PyTorch, for libraries that have none that fits."""

    def step(current: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        v = current if v is None else beta * v + current
        return v, v

    return step


def build(work: Workload, data: dict[str, np.ndarray], library: Library) -> Job:
    """The job of a peer, from its neurons."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    job = {"train": Train, "epoch": Train, "gradient": Gradient, "control": Control}[work.kind]
    return job(work, data, library)


class _Job:
    """What they have in common."""

    temporaries_mb = None

    def __init__(self, work: Workload, data: dict[str, np.ndarray], library: Library):
        self.work, self.library, self.note = work, library, library.note
        self.network = Network(work, data, library)
        self._round = 0


class _Supervised(_Job):
    """A loss, on batches in turn."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], library: Library):
        super().__init__(work, data, library)
        count = 1 if work.kind == "epoch" else work.batches
        made = (batch_of(work, data, i, library.time_axis) for i in range(count))
        self.batches = [tuple(map(torch.from_numpy, pair)) for pair in made]

    def check(self) -> tuple[float, list[float]]:
        xs, labels = self.batches[0]
        with torch.no_grad():
            logits, rates = self.network(xs, with_rates=True)
            return float(F.cross_entropy(logits, labels)), rates

    def backward(self, xs: Tensor, labels: Tensor) -> Tensor:
        """The loss, after its gradients."""
        for parameter in self.network.parameters:
            parameter.grad = None
        loss = F.cross_entropy(self.network(xs)[0], labels)
        loss.backward()
        return loss.detach()

    def next_batch(self) -> tuple[Tensor, Tensor]:
        self._round += 1
        return self.batches[(self._round - 1) % len(self.batches)]


class Train(_Supervised):
    """Steps of Adam, on a batch a round or on an epoch's data in a random order."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], library: Library):
        super().__init__(work, data, library)
        self._optimizer = torch.optim.Adam(self.network.parameters, lr=LEARNING_RATE / library.scale)
        if work.kind == "epoch":
            self._data = torch.from_numpy(unpack(work, data["inputs"], np.uint8)), torch.from_numpy(data["labels"])
            self.note = "; ".join(filter(None, [self.note, "data as bytes, one per spike"]))

    def run(self) -> float:
        if self.work.kind == "epoch":
            return self._epoch()
        xs, labels = self.next_batch()
        losses = [self._train(xs, labels) for _ in range(self.work.round_steps)]
        return float(torch.stack(losses).mean())

    def _train(self, xs: Tensor, labels: Tensor) -> Tensor:
        loss = self.backward(xs, labels)
        self._optimizer.step()
        return loss

    def _epoch(self) -> float:
        spikes, labels = self._data
        total = torch.zeros(())
        for index in torch.randperm(len(labels)).split(self.work.batch):
            xs = spikes[index].float()
            xs = xs.transpose(0, 1).contiguous() if self.library.time_axis == 0 else xs
            total += len(index) * self._train(xs, labels[index])
        return float(total / len(labels))


class Gradient(_Supervised):
    """Loss and gradient, without an optimiser."""

    def run(self) -> float:
        xs, labels = self.next_batch()
        for _ in range(self.work.round_steps):
            self.backward(xs, labels)
        # Weights that were divided by the library's scale have a gradient that is multiplied by it.
        squares = [(parameter.grad / self.library.scale).square().sum() for parameter in self.network.parameters]
        return float(sum(squares)) ** 0.5


class Control(_Job):
    """Steps of a population, without gradients."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], library: Library):
        super().__init__(work, data, library)
        self._noise = torch.from_numpy(data["inputs"])

    def check(self) -> tuple[float, list[float]]:
        square, seen = self._act(with_rates=True)
        return square, np.mean(seen, axis=0).tolist()

    def run(self) -> float:
        return self._act(with_rates=False)[0]

    def _act(self, with_rates: bool) -> tuple[float, list[list[float]]]:
        action, square = torch.zeros(self.work.batch, self.work.classes), torch.zeros(())
        states, seen = [None] * len(self.work.layers), []
        with torch.inference_mode():
            for noise in self._noise:
                outputs, states = self.network.step(torch.cat([noise, action], -1), states)
                action = outputs[-1]
                square += action.square().mean()
                if with_rates:
                    seen.append(self.network.rates(outputs))
        return float(square / self.work.steps), seen
