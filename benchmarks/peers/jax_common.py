"""What the JAX peers share: compiled programs, and training around a forward pass. It needs JAX and optax only."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.workloads import LEARNING_RATE, Workload, batch_of

PyTree = Any
Forward = Callable[[PyTree, PyTree, bool], tuple[Array, list[Array]]]
"""From parameters, a batch, and whether rates are wanted, to logits `[batch, classes]` and each spiking layer's mean rate.

What is timed never asks for the rates. For control the second argument is the noise and the result the mean square of
the actions."""


class Program:
    """A function, compiled at its first call, which notes how much temporary memory it takes."""

    def __init__(self, function: Callable, donate: tuple[int, ...] = ()):
        self._jitted = jax.jit(function, donate_argnums=donate)
        self._compiled = None
        self.temporaries_mb: float | None = None

    def __call__(self, *args: PyTree) -> PyTree:
        if self._compiled is None:
            self._compiled = self._jitted.lower(*args).compile()
            self.temporaries_mb = temporaries_mb(self._compiled)
        return jax.block_until_ready(self._compiled(*args))


def temporaries_mb(compiled: jax.stages.Compiled) -> float | None:
    """XLA's count of a program's temporary memory, on all devices together."""
    analysis = compiled.memory_analysis()
    return None if analysis is None else len(jax.devices()) * analysis.temp_size_in_bytes / 1e6


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Its mean over the batch."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def batches(work: Workload, data: dict[str, np.ndarray], time_axis: int) -> list[tuple[Array, Array]]:
    """Every batch on the device, `(inputs, labels)`."""
    made = (batch_of(work, data, i, time_axis) for i in range(work.batches))
    return [(jnp.asarray(xs), jnp.asarray(labels)) for xs, labels in made]


def checked(forward: Forward, params: PyTree, xs: PyTree, labels: Array) -> tuple[float, list[float]]:
    """Loss and rates of a batch."""
    logits, rates = jax.jit(forward, static_argnums=2)(params, xs, True)
    return float(cross_entropy(logits, labels)), [float(r) for r in rates]


def use_cores() -> None:
    """Make every core a device; to be called before JAX starts."""
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


class Cores:
    """All devices, each of which computes its part of a batch; `batch_axis` is that of the inputs."""

    def __init__(self, batch_axis: int):
        self._mesh = Mesh(np.asarray(jax.devices()), ("examples",))
        self._whole, self._labels = PartitionSpec(), PartitionSpec("examples")
        self._inputs = PartitionSpec(*[None] * batch_axis, "examples")

    def everywhere(self, tree: PyTree) -> PyTree:
        """On every device as a whole."""
        return jax.device_put(tree, NamedSharding(self._mesh, self._whole))

    def divided(self, batches: list[tuple[PyTree, Array]]) -> list[tuple[PyTree, Array]]:
        """Every device with its part of each batch."""
        inputs, labels = (NamedSharding(self._mesh, spec) for spec in (self._inputs, self._labels))
        return [(jax.device_put(xs, inputs), jax.device_put(ys, labels)) for xs, ys in batches]

    def value_and_grad(self, loss: Callable) -> Callable:
        """Of a batch's mean loss, by the parameters: the mean over the devices, all of which have as many examples."""
        if self._mesh.size == 1:
            return jax.value_and_grad(loss)
        return jax.shard_map(
            lambda *args: jax.lax.pmean(jax.value_and_grad(loss)(*args), "examples"),
            mesh=self._mesh,
            in_specs=(self._whole, self._inputs, self._labels),
            out_specs=self._whole,
            check_vma=False,
        )


class _Batches:
    """The batches in turn, one a round."""

    def __init__(self, batches: list[tuple[PyTree, Array]]):
        self.all, self._round = batches, 0

    def next(self) -> tuple[PyTree, Array]:
        self._round += 1
        return self.all[(self._round - 1) % len(self.all)]


class Train:
    """Training: `steps` steps (forward, backward, Adam) in a program to which parameters and optimiser are donated."""

    def __init__(
        self,
        work: Workload,
        batches: list,
        params: PyTree,
        forward: Forward,
        note: str = "",
        *,
        batch_axis: int,
        steps: int | None = None,
    ):
        steps = work.round_steps if steps is None else steps
        self.note, self._calls = note, work.round_steps // steps
        cores = Cores(batch_axis)
        self._batches, self._forward = _Batches(cores.divided(batches)), forward
        optimizer = optax.adam(LEARNING_RATE)
        self._first, self._state = cores.everywhere((params, jax.tree.map(jnp.array, (params, optimizer.init(params)))))

        def loss(params: PyTree, xs: PyTree, labels: Array) -> Array:
            return cross_entropy(forward(params, xs, False)[0], labels)

        def train(params: PyTree, opt_state: PyTree, xs: PyTree, labels: Array) -> PyTree:
            def step(carry: PyTree, _: None) -> PyTree:
                params, opt_state = carry
                value, grads = cores.value_and_grad(loss)(params, xs, labels)
                updates, opt_state = optimizer.update(grads, opt_state)
                return (optax.apply_updates(params, updates), opt_state), value

            (params, opt_state), values = jax.lax.scan(step, (params, opt_state), length=steps)
            return params, opt_state, values

        self._program = Program(train, donate=(0, 1))

    @property
    def temporaries_mb(self) -> float | None:
        return self._program.temporaries_mb

    def check(self) -> tuple[float, list[float]]:
        return checked(self._forward, self._first, *self._batches.all[0])

    def run(self) -> float:
        xs, labels = self._batches.next()
        values = []
        for _ in range(self._calls):
            params, opt_state, value = self._program(*self._state, xs, labels)
            self._state = params, opt_state
            values.append(value)
        return float(np.mean(values))


class Gradient:
    """Loss and gradient, one call a step."""

    def __init__(
        self, work: Workload, batches: list, params: PyTree, forward: Forward, note: str = "", *, batch_axis: int
    ):
        cores = Cores(batch_axis)
        self.note, self._calls = note, work.round_steps
        self._batches, self._forward = _Batches(cores.divided(batches)), forward
        self._params = cores.everywhere(params)

        def loss(params: PyTree, xs: PyTree, labels: Array) -> Array:
            return cross_entropy(forward(params, xs, False)[0], labels)

        self._program = Program(cores.value_and_grad(loss))

    @property
    def temporaries_mb(self) -> float | None:
        return self._program.temporaries_mb

    def check(self) -> tuple[float, list[float]]:
        return checked(self._forward, self._params, *self._batches.all[0])

    def run(self) -> float:
        xs, labels = self._batches.next()
        for _ in range(self._calls):
            _, grads = self._program(self._params, xs, labels)
        return float(optax.global_norm(grads))


class Control:
    """A population that acts at every step of one program."""

    def __init__(self, data: dict[str, np.ndarray], params: PyTree, act: Forward, note: str = ""):
        self.note = note
        self._noise, self._params, self._act = jnp.asarray(data["inputs"]), params, act
        self._program = Program(lambda params, noise: act(params, noise, False)[0])

    @property
    def temporaries_mb(self) -> float | None:
        return self._program.temporaries_mb

    def check(self) -> tuple[float, list[float]]:
        square, rates = jax.jit(self._act, static_argnums=2)(self._params, self._noise, True)
        return float(square), [float(r) for r in rates]

    def run(self) -> float:
        return float(self._program(self._params, self._noise))
