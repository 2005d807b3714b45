"""snnx: `simulate` under a vmap, many steps in one program as `fit` runs them; for a whole epoch `fit` itself.

Variants: "bits", "lists": the inputs as packed bits or as lists of active channels, as a `SpikeDataset` holds them, rather
than as floats. "cores", "lists cores": besides, a device for every core, each with its part of a batch.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

import snnx
from benchmarks.peers import Job
from benchmarks.peers.jax_common import Control, Forward, Gradient, Train, batches, cross_entropy
from benchmarks.workloads import LEARNING_RATE, Layer, Workload, batch_of

NAMES = {"bits": "packed bits", "lists": "lists of active channels"}


def build(work: Workload, data: dict[str, np.ndarray], variant: str) -> Job:
    if variant.endswith("cores"):
        snnx.use_cores()
        variant = variant.removesuffix("cores").strip()
    model = make_model(work, data)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    if work.kind == "control":
        return Control(data, params, make_act(work, static))
    if work.kind == "epoch":
        return Fit(work, data, model, make_forward(work, static), variant)
    if work.kind == "gradient":
        return Gradient(work, batches(work, data, time_axis=1), params, make_forward(work, static), batch_axis=0)
    if variant:
        given, note = packed_batches(work, data, variant), f"inputs as {NAMES[variant]}"
    else:
        given, note = batches(work, data, time_axis=1), ""
    return Train(work, given, params, make_forward(work, static), note, batch_axis=0)


def make_model(work: Workload, data: dict[str, np.ndarray]) -> snnx.Sequential:
    """The layers of a workload; of a population, all of its weights in one model, to be vmapped over."""
    parts = []
    for i, layer in enumerate(work.layers):
        if len(layer.weight) != 4 and len(work.sample) > 1:
            parts.append(snnx.Flatten())
        parts += [weighted(layer, data[f"w{i}"]), neuron(layer, data.get(f"f{i}"))]
        if layer.pool:
            parts.append(eqx.nn.MaxPool2d(2, 2))
    return snnx.Sequential(parts)


def weighted(layer: Layer, weight: np.ndarray) -> PyTree:
    key = jax.random.key(0)
    if len(layer.weight) == 4:
        out, channels, *kernel = layer.weight
        part = eqx.nn.Conv2d(channels, out, kernel, use_bias=False, key=key)
    else:
        part = eqx.nn.Linear(layer.weight[-1], layer.weight[-2], use_bias=False, key=key)
    return eqx.tree_at(lambda part: part.weight, part, jnp.asarray(weight))


def neuron(layer: Layer, feedback: np.ndarray | None) -> snnx.AbstractCell:
    if not layer.fires:
        return snnx.LI(20.0)
    cell = snnx.LIF(20.0, surrogate=snnx.surrogates.SuperSpike(1.0))
    if feedback is None:
        return cell
    return snnx.Recurrent(cell, weighted(Layer(feedback.shape), feedback))


def make_forward(work: Workload, static: PyTree) -> Forward:
    """With the chunks that `fit` would take, which knows the number of examples."""

    def forward(params: PyTree, xs: PyTree, with_rates: bool) -> tuple[Array, list[Array]]:
        model = eqx.combine(params, static)
        chunk = snnx.simulation.default_chunk(model, work.steps, work.batch)
        record = {path: snnx.Mean() for path in (snnx.cells.spiking_paths(model) if with_rates else ())}

        def one(x: PyTree) -> tuple[Array, list[Array]]:
            mean, _, seen = snnx.simulate(model, x, readout=snnx.Mean(), record=record, chunk=chunk)
            return mean, [seen[path] for path in record]

        logits, rates = jax.vmap(one)(xs)
        return logits, [jnp.mean(r) for r in rates]

    return forward


def make_act(work: Workload, static: PyTree) -> Forward:
    """Every policy is a model of its own: a vmap over their weights, around one step of a cell."""

    def act(params: PyTree, noise: Array, with_rates: bool) -> tuple[Array, list[Array]]:
        def one(params: PyTree, x: Array, state: PyTree) -> tuple[Array, PyTree, Array]:
            model = eqx.combine(params, static)
            if not with_rates:
                return *model(x, state), jnp.zeros(())
            ys, state, seen = model.over_time(x[None], state, taps=("1",))
            return ys[0], state, jnp.mean(seen["1"])

        def step(carry: PyTree, noise: Array) -> PyTree:
            states, action, square = carry
            seen = jnp.concatenate([noise, action], -1)
            action, states, rate = jax.vmap(one)(params, seen, states)
            return (states, action, square + jnp.mean(action**2)), jnp.mean(rate)

        def start(params: PyTree) -> PyTree:
            return eqx.combine(params, static).init_state(work.sample)

        actions = jnp.zeros((work.batch, work.classes))
        (_, _, square), rates = jax.lax.scan(step, (jax.vmap(start)(params), actions, jnp.zeros(())), noise)
        return square / work.steps, [jnp.mean(rates)] if with_rates else []

    return act


def packed(work: Workload, bits: np.ndarray, variant: str) -> snnx.inputs.Bits | snnx.inputs.ActiveChannels:
    if variant != "lists":
        return snnx.inputs.Bits(jnp.asarray(bits), work.sample)
    spikes = np.unpackbits(bits, axis=-1, bitorder="little", count=math.prod(work.sample))
    return snnx.inputs.ActiveChannels(snnx.inputs.pack_active(spikes), work.sample)


def packed_batches(work: Workload, data: dict[str, np.ndarray], variant: str) -> list[tuple[PyTree, Array]]:
    inputs = packed(work, data["inputs"], variant)  # all at once, so that the lists are equally long
    batches = (jax.tree.map(lambda x, i=i: x[i], inputs) for i in range(work.batches))
    return list(zip(batches, map(jnp.asarray, data["labels"]), strict=True))


class Fit:
    """An epoch of `fit`: each round goes on from the last result for one epoch more."""

    temporaries_mb = None

    def __init__(
        self, work: Workload, data: dict[str, np.ndarray], model: snnx.Sequential, forward: Forward, variant: str
    ):
        self.note = f"snnx.fit, data as {NAMES[variant or 'bits']}; the time is that of the whole call"
        self._work, self._model, self._forward = work, model, forward
        self._first = batch_of(work, data, 0, time_axis=1)
        classes = tuple(map(str, range(work.classes)))
        inputs = packed(work, data["inputs"], variant)
        self._data = snnx.SpikeDataset(inputs, jnp.asarray(data["labels"]), classes=classes)
        self._optimizer, self._result = optax.adam(LEARNING_RATE), None

    def check(self) -> tuple[float, list[float]]:
        xs, labels = map(jnp.asarray, self._first)
        params = eqx.filter(self._model, eqx.is_inexact_array)
        logits, rates = jax.jit(self._forward, static_argnums=2)(params, xs, True)
        return float(cross_entropy(logits, labels)), [float(r) for r in rates]

    def run(self) -> float:
        self._result = snnx.fit(
            self._model,
            self._data,
            loss=snnx.CrossEntropy(snnx.Mean()),
            optimizer=self._optimizer,
            epochs=1 if self._result is None else len(self._result.history) + 1,
            batch_size=self._work.batch,
            key=jax.random.key(0),
            resume=self._result,
            progress=False,
        )
        return self._result.history[-1]["loss"]
