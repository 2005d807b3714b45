"""The reference: what one would write by hand. A batched step of the whole network, scanned over time.

Variants: "call": one training step a call of the program, rather than a round of them in one program. "late": a neuron
fires on the membrane that the step before left, as in Spyx, whose numbers are compared with these. "cores": a device for
every core, each with its part of a batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks.peers import Job
from benchmarks.peers.jax_common import Control, Forward, Gradient, Program, PyTree, Train, batches, checked, use_cores
from benchmarks.workloads import BETA, LEARNING_RATE, Workload, batch_of, unpack


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    if variant == "cores":
        use_cores()
    params = {name: jnp.asarray(value) for name, value in data.items() if name[0] in "wf"}
    forward = make_forward(work, late=variant == "late")
    if work.kind == "control":
        return Control(data, params, forward)
    if work.kind == "epoch":
        return Epoch(work, data, params, forward)
    if work.kind == "gradient":
        return Gradient(work, batches(work, data, time_axis=0), params, forward, batch_axis=1)
    steps = 1 if variant == "call" else work.round_steps
    return Train(work, batches(work, data, time_axis=0), params, forward, batch_axis=1, steps=steps)


@jax.custom_jvp
def spike(x: Array) -> Array:
    return (x > 0).astype(x.dtype)


@spike.defjvp
def _spike_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return spike(x), dx / (1.0 + jnp.abs(x)) ** 2


def apply(weight: Array, x: Array) -> Array:
    """The currents of one step, `x: [batch, ...]`."""
    if weight.ndim == 4:
        return jax.lax.conv_general_dilated(x, weight, (1, 1), "VALID")
    if weight.ndim == 3:
        return jnp.einsum("pi,poi->po", x, weight)
    return x.reshape(x.shape[0], -1) @ weight.T


def max_pool(x: Array) -> Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def make_forward(work: Workload, late: bool) -> Forward:
    """The mean over time of the last layer's outputs, for inputs `[time, batch, ...]`; for control, see `Control`."""

    def network(params: PyTree, x: Array, states: list) -> tuple[list[Array], list]:
        """One step of all layers: the outputs of each, and their new states: membrane and, with feedback, spikes."""
        outputs, new = [], []
        for i, (layer, (v, *s)) in enumerate(zip(work.layers, states, strict=True)):
            current = apply(params[f"w{i}"], x)
            if not layer.fires:
                y = v = BETA * v + current
            elif late:
                y = spike(v - 1.0)
                back = y @ params[f"f{i}"].T if layer.feedback else 0.0
                v = BETA * v + current + back - y
            else:
                back = s[0] @ params[f"f{i}"].T if layer.feedback else 0.0
                v = BETA * v + current + back
                y = spike(v - 1.0)
                v = v - y
            outputs.append(y)
            new.append((v, y) if layer.feedback else (v,))
            x = max_pool(y) if layer.pool else y
        return outputs, new

    def initial(batch: int) -> list:
        zeros = [jnp.zeros((batch, *shape)) for shape in work.shapes]
        return [(z, z) if layer.feedback else (z,) for layer, z in zip(work.layers, zeros, strict=True)]

    def rates_of(outputs: list[Array], wanted: bool) -> list[Array]:
        pairs = zip(work.layers, outputs, strict=True)
        return [jnp.mean(y) for layer, y in pairs if layer.fires] if wanted else []

    def forward(params: PyTree, xs: Array, with_rates: bool) -> tuple[Array, list[Array]]:
        def step(carry: PyTree, x: Array) -> PyTree:
            states, total = carry
            outputs, states = network(params, x, states)
            return (states, total + outputs[-1]), rates_of(outputs, with_rates)

        states = initial(xs.shape[1])
        (_, total), rates = jax.lax.scan(step, (states, jnp.zeros((xs.shape[1], *work.shapes[-1]))), xs)
        return total / xs.shape[0], [jnp.mean(r) for r in rates]

    def act(params: PyTree, noise: Array, with_rates: bool) -> tuple[Array, list[Array]]:
        def step(carry: PyTree, noise: Array) -> PyTree:
            states, action, square = carry
            outputs, states = network(params, jnp.concatenate([noise, action], -1), states)
            action = outputs[-1]
            return (states, action, square + jnp.mean(action**2)), rates_of(outputs, with_rates)

        start = (initial(work.batch), jnp.zeros((work.batch, work.classes)), jnp.zeros(()))
        (_, _, square), rates = jax.lax.scan(step, start, noise)
        return square / work.steps, [jnp.mean(r) for r in rates]

    return act if work.kind == "control" else forward


class Epoch:
    """An epoch in one program, over a data set of bytes; the last batch is filled up, and what fills it weighs nothing."""

    note = "data as bytes, one per spike"

    def __init__(self, work: Workload, data: dict[str, np.ndarray], params: PyTree, forward: Forward):
        self._forward, self._first = forward, params
        self._batch = tuple(map(jnp.asarray, batch_of(work, data, 0, time_axis=0)))
        self._data = jnp.asarray(unpack(work, data["inputs"], np.uint8)), jnp.asarray(data["labels"])
        optimizer, self._key = optax.adam(LEARNING_RATE), jax.random.key(0)
        self._state = jax.tree.map(jnp.array, (params, optimizer.init(params)))
        count = -(-work.examples // work.batch)
        filler = count * work.batch - work.examples

        def loss(params: PyTree, xs: Array, labels: Array, weights: Array) -> Array:
            logits = forward(params, jnp.swapaxes(xs, 0, 1).astype(jnp.float32), False)[0]
            values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return jnp.sum(values * weights) / jnp.sum(weights)

        def epoch(params: PyTree, opt_state: PyTree, key: Array, spikes: Array, labels: Array) -> PyTree:
            order = jnp.pad(jax.random.permutation(key, work.examples), (0, filler)).reshape(count, work.batch)
            weights = (jnp.arange(count * work.batch) < work.examples).astype(jnp.float32).reshape(count, work.batch)

            def step(carry: PyTree, inputs: PyTree) -> PyTree:
                (params, opt_state), (index, weights) = carry, inputs
                value, grads = jax.value_and_grad(loss)(params, spikes[index], labels[index], weights)
                updates, opt_state = optimizer.update(grads, opt_state)
                return (optax.apply_updates(params, updates), opt_state), value * jnp.sum(weights)

            (params, opt_state), values = jax.lax.scan(step, (params, opt_state), (order, weights))
            return params, opt_state, jnp.sum(values) / work.examples

        self._program = Program(epoch, donate=(0, 1))

    @property
    def temporaries_mb(self) -> float | None:
        return self._program.temporaries_mb

    def check(self) -> tuple[float, list[float]]:
        return checked(self._forward, self._first, *self._batch)

    def run(self) -> float:
        self._key, key = jax.random.split(self._key)
        params, opt_state, value = self._program(*self._state, key, *self._data)
        self._state = params, opt_state
        return float(value)
