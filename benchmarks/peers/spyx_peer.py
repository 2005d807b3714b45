"""Spyx: its neurons in its `Sequential`, run by its `run`, trained by its `make_train_step`.

Variant "compile_fit": by its `compile_fit`, many steps in one program.
"""

from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import spyx.axn  # pyright: ignore[reportMissingImports]
import spyx.data  # pyright: ignore[reportMissingImports]
import spyx.nn  # pyright: ignore[reportMissingImports]
import spyx.optimize  # pyright: ignore[reportMissingImports]
from flax import nnx  # pyright: ignore[reportMissingImports]
from jax import Array

from benchmarks.peers import Job
from benchmarks.peers.jax_common import Control, Forward, Gradient, Program, batches, cross_entropy, temporaries_mb
from benchmarks.workloads import BETA, LEARNING_RATE, Workload, batch_of, unpack

NOTE = "fires on the membrane of the step before (compared with naive_jax_late)"


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    model = make_model(work, data)
    if work.kind in ("control", "gradient"):
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        if work.kind == "control":
            return Control(data, params, make_act(work, graph, rest), NOTE)

        def forward(params: Any, xs: Array, with_rates: bool) -> tuple[Array, list[Array]]:
            model = nnx.merge(graph, params, rest)
            return logits(model, xs), rates(model, xs) if with_rates else []

        return Gradient(work, batches(work, data, time_axis=0), params, forward, NOTE, batch_axis=1)
    return (CompileFit if variant == "compile_fit" else TrainSteps)(work, data, model)


def make_model(work: Workload, data: dict[str, np.ndarray]) -> Any:
    """The layers of a workload, channels last, as Flax has them."""
    rngs, fire, parts = nnx.Rngs(0), spyx.axn.superspike(k=1), []
    for i, (layer, shape) in enumerate(zip(work.layers, work.shapes, strict=True)):
        weight = data[f"w{i}"]
        if len(layer.weight) == 4:
            out, channels, *size = layer.weight
            part = nnx.Conv(channels, out, tuple(size), padding="VALID", use_bias=False, rngs=rngs)
            weight, shape = weight.transpose(2, 3, 1, 0), (*shape[1:], shape[0])
        else:
            part = nnx.Linear(layer.weight[-1], layer.weight[-2], use_bias=False, rngs=rngs)
            if len(work.sample) > 1:
                parts.append(spyx.nn.Flatten())
                weight = channels_last(weight, work.shapes[i - 1])
            weight = np.swapaxes(weight, -1, -2)
        part.kernel = nnx.Param(jnp.asarray(weight))
        if not layer.fires:
            neuron = spyx.nn.LI(shape, BETA, rngs=rngs)
        elif layer.feedback:
            neuron = spyx.nn.RLIF(shape, BETA, activation=fire, rngs=rngs)
            neuron.recurrent_w = nnx.Param(jnp.asarray(data[f"f{i}"].T))
        else:
            neuron = spyx.nn.LIF(shape, BETA, activation=fire, rngs=rngs)
        neuron.beta = nnx.Variable(jnp.asarray(BETA))  # a constant: the others train no decay either
        parts += [part, neuron, pool] if layer.pool else [part, neuron]
    return spyx.nn.Sequential(*parts)


def channels_last(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Weights `[out, channels * height * width]` of pooled maps as `[out, height * width * channels]`."""
    channels, height, width = shape[0], shape[1] // 2, shape[2] // 2
    return weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(weight.shape)


def pool(x: Array) -> Array:
    return nnx.max_pool(x, (2, 2), (2, 2))


def logits(model: Any, xs: Array) -> Array:
    outputs, _ = spyx.nn.run(model, as_flax_has_it(xs))
    return jnp.mean(outputs, axis=0)


def as_flax_has_it(xs: Array) -> Array:
    """Images with their channels last."""
    return jnp.moveaxis(xs, 2, -1) if xs.ndim == 5 else xs


def loss(model: Any, xs: Array, labels: Array) -> Array:
    return cross_entropy(logits(model, xs), labels)


def loss_of_packed(steps: int) -> Any:
    """The loss of spikes packed along time, `[batch, bytes, channels]`, as Spyx's loaders give them."""

    def loss_fn(model: Any, packed: Array, labels: Array) -> Array:
        xs = jnp.unpackbits(packed, axis=1)[:, :steps].astype(jnp.float32)
        return loss(model, jnp.swapaxes(xs, 0, 1), labels)

    return loss_fn


def counted(model: Any, x: Array, states: list) -> tuple[Array, list, list[Array]]:
    """`Sequential.__call__`, and besides the mean of what every spiking layer puts out."""
    new, seen = [], []
    for layer, state in zip(model.layers, states, strict=True):
        if state is None:
            x = layer(x)
        else:
            x, state = layer(x, state)
        new.append(state)
        if hasattr(layer, "spike"):
            seen.append(jnp.mean(x))
    return x, new, seen


def rates(model: Any, xs: Array) -> list[Array]:
    def step(states: list, x: Array) -> tuple[list, list[Array]]:
        _, states, seen = counted(model, x, states)
        return states, seen

    _, seen = jax.lax.scan(step, model.initial_state(xs.shape[1]), as_flax_has_it(xs))
    return [jnp.mean(r) for r in seen]


def make_act(work: Workload, graph: Any, rest: Any) -> Forward:
    """A vmap over the policies' weights, each acting on a batch of one."""

    def act(params: Any, noise: Array, with_rates: bool) -> tuple[Array, list[Array]]:
        def one(params: Any, x: Array, state: list) -> tuple[Array, list, list[Array]]:
            model = nnx.merge(graph, params, rest)
            action, state, seen = counted(model, x[None], state) if with_rates else (*model(x[None], state), [])
            return action[0], state, seen

        def step(carry: Any, noise: Array) -> Any:
            states, action, square = carry
            seen = jnp.concatenate([noise, action], -1)
            action, states, rates = jax.vmap(one)(params, seen, states)
            return (states, action, square + jnp.mean(action**2)), rates

        states = nnx.merge(graph, params, rest).initial_state(work.batch)
        states = jax.tree.map(lambda s: s[:, None], states)
        start = (states, jnp.zeros((work.batch, work.classes)), jnp.zeros(()))
        (_, _, square), rates = jax.lax.scan(step, start, noise)
        return square / work.steps, [jnp.mean(r) for r in rates]

    return act


class _Trained:
    """What both ways of training have in common: the check, and the data of an epoch."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], model: Any):
        self.work, self.model, self.note = work, model, NOTE
        self._first = tuple(map(jnp.asarray, batch_of(work, data, 0, time_axis=0)))
        if work.kind == "epoch":
            spikes = unpack(work, data["inputs"], np.uint8)
            self.dataset = jnp.asarray(np.packbits(spikes, axis=1)), jnp.asarray(data["labels"])
            self.shuffle = spyx.data.shuffler(self.dataset, work.batch)
            self.note += f"; data packed along time; drops the last {work.examples % work.batch} examples"

    def check(self) -> tuple[float, list[float]]:
        xs, labels = self._first
        return float(loss(self.model, xs, labels)), [float(r) for r in rates(self.model, xs)]


class TrainSteps(_Trained):
    """A call of the train step for every step."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], model: Any):
        super().__init__(work, data, model)
        self._optimizer = nnx.Optimizer(model, optax.adam(LEARNING_RATE), wrt=nnx.Param)
        self._epoch = work.kind == "epoch"
        self._step = spyx.optimize.make_train_step(loss_of_packed(work.steps) if self._epoch else loss)
        self._batches, self._round = [] if self._epoch else batches(work, data, time_axis=0), 0

    @property
    def temporaries_mb(self) -> float | None:
        batch = self._shuffled()[0] if self._epoch else self._batches[0]
        return temporaries_mb(self._step.lower(self.model, self._optimizer, *batch).compile())

    def run(self) -> float:
        if self._epoch:
            steps = self._shuffled()
        else:
            steps = [self._batches[self._round % len(self._batches)]] * self.work.round_steps
        self._round += 1
        values = [self._step(self.model, self._optimizer, *batch) for batch in steps]
        jax.block_until_ready((values, nnx.state(self.model)))
        return float(np.mean(values))

    def _shuffled(self) -> list[tuple[Array, Array]]:
        xs, labels = self.shuffle(self.dataset, jax.random.key(self._round))
        return list(zip(xs, labels, strict=True))


class CompileFit(_Trained):
    """The program that `compile_fit` builds, caught as it passes it to `jax.jit`, and then called once a round."""

    def __init__(self, work: Workload, data: dict[str, np.ndarray], model: Any):
        super().__init__(work, data, model)
        if work.kind == "epoch":
            self.note += "; compile_fit does not shuffle again"
            self._data, self._epochs = self.shuffle(self.dataset, jax.random.key(0)), 1
            self._loss = loss_of_packed(work.steps)
        else:
            self.note += "; compile_fit starts anew each round, on the first batch"
            xs, labels = batches(work, data, time_axis=0)[0]
            self._data, self._epochs, self._loss = (xs[None], labels[None]), work.round_steps, loss
        self._program: Program | None = None

    @property
    def temporaries_mb(self) -> float | None:
        return None if self._program is None else self._program.temporaries_mb

    def run(self) -> float:
        if self._program is None:
            history = self._first_call()
        else:
            _, history = self._program(jax.random.PRNGKey(0))
        return float(jnp.mean(history["train_loss"]))

    def _first_call(self) -> dict[str, Array]:
        caught = []

        def jit(function: Any) -> Program:
            caught.append(Program(function))
            return caught[-1]

        with mock.patch.object(spyx.optimize, "jax", mock.Mock(wraps=jax, jit=jit)):
            adam = optax.adam(LEARNING_RATE)
            _, history = spyx.optimize.compile_fit(self.model, adam, self._loss, self._data, epochs=self._epochs)
        (self._program,) = caught
        return history
