"""An epoch of event-driven training beside jaxsnn's layered EventProp example: the same network, weights, batches and events.

    SNNX_BENCH_JAXSNN_PYTHON=.../bin/python python benchmarks/event.py --epochs 6

The variable names an interpreter that has jaxsnn 0.3.0 (`pip install jaxsnn==0.3.0 matplotlib`). Both train 5-100-3 with one
spike a neuron on 4992 points, batches of 64, the loss and the optimiser of that example; epochs take turns. Before anything is
timed, the first spikes of the first batch are compared.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snnx

BATCH, TAU_MEM, DURATION = 64, 2.0, 4.0  # in units of the synapse's time constant


class Peer:
    """jaxsnn in a process of its own, which trains an epoch when told to."""

    def __init__(self, python: str, path: Path):
        worker = Path(__file__).with_name("event_jaxsnn.py")
        self.process = subprocess.Popen(
            [python, str(worker), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answer()

    def answer(self) -> dict:
        """The next line that is JSON."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"jaxsnn ended with {self.process.wait()}; is it installed there?")

    def epoch(self) -> dict:
        """Train one."""
        assert self.process.stdin is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        return self.answer()


class Ours:
    """The same in snnx."""

    def __init__(self, given: dict):
        self.data = tuple(
            jnp.asarray(given[name], dtype)
            for name, dtype in (("times", jnp.float32), ("indices", jnp.int32), ("targets", jnp.float32))
        )
        layers = []
        for name in ("weight_first", "weight_second"):
            sources, size = given[name].shape
            linear = eqx.nn.Linear(sources, size, use_bias=False, key=jax.random.key(0))
            layers.append(eqx.tree_at(lambda layer: layer.weight, linear, jnp.asarray(given[name].T)))
            # jaxsnn's membrane has a gain of 1 for the current: R = 1
            reset = snnx.ValueReset(-1000.0)
            layers.append(snnx.CubaLIF(TAU_MEM, 1.0, r=1.0, reset=reset, method="exact"))
        self.model = snnx.Sequential(layers)
        steps = len(given["times"]) // BATCH
        self.optimizer = optax.chain(optax.clip(0.01), optax.adam(optax.exponential_decay(0.005, steps, 0.99)))
        self.state = self.optimizer.init(eqx.filter(self.model, eqx.is_inexact_array))
        self.number = 0

    def epoch(self) -> dict:
        """Train one."""
        wall, cpu = time.perf_counter(), time.process_time()
        key = jax.random.fold_in(jax.random.key(1), self.number)
        self.model, self.state, (loss, accuracy) = one_epoch(
            self.optimizer.update, self.data, self.model, self.state, key
        )
        jax.block_until_ready(self.state)
        self.number += 1
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        return spent | {"loss": float(loss), "accuracy": float(accuracy)}


def first_spikes(model: snnx.Sequential, times: jax.Array, indices: jax.Array) -> jax.Array:
    """Of the three neurons at the end."""
    events = snnx.event.make_events(times, indices, size=5)
    return snnx.event.simulate(model, events, duration=DURATION, most=1).output.first()


def loss_of(model: snnx.Sequential, times: jax.Array, indices: jax.Array, target: jax.Array) -> tuple:
    """The example's: squared distances in units of the membrane's time constant, silent neurons at twice that."""
    first = first_spikes(model, times, indices)
    distance = (jnp.minimum(first, 2 * TAU_MEM) - target) / TAU_MEM
    return jnp.sum(jnp.square(distance)), jnp.argmin(first) == jnp.argmin(target)


@eqx.filter_jit
def one_epoch(update, data: tuple, model: snnx.Sequential, state, key: jax.Array) -> tuple:
    """An epoch as one program."""
    order = jax.random.permutation(key, len(data[0]))
    order = order[: len(order) // BATCH * BATCH].reshape(-1, BATCH)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def step(carry: tuple, index: jax.Array) -> tuple:
        params, state = carry

        def batch_loss(params):
            losses, right = jax.vmap(functools.partial(loss_of, eqx.combine(params, static)))(*(x[index] for x in data))
            return losses.mean(), right.mean()

        (loss, right), grads = jax.value_and_grad(batch_loss, has_aux=True)(params)
        updates, state = update(grads, state)
        return (optax.apply_updates(params, updates), state), (loss, right)

    (params, state), (losses, right) = jax.lax.scan(step, (params, state), order)
    return eqx.combine(params, static), state, (losses.mean(), right.mean())


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    python = os.environ.get("SNNX_BENCH_JAXSNN_PYTHON")
    if not python:
        raise SystemExit("benchmarks/event.py: set SNNX_BENCH_JAXSNN_PYTHON to an interpreter that has jaxsnn 0.3.0.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.npz"
        peer = Peer(python, path)
        given = dict(np.load(path))
        ours = Ours(given)
        first = jax.vmap(functools.partial(first_spikes, ours.model))(*(x[:BATCH] for x in ours.data[:2]))
        theirs, mine = (np.where(np.isfinite(x), x, DURATION) for x in (given["first"], np.asarray(first)))
        print(f"first spikes of the first batch differ by at most {np.abs(theirs - mine).max():.1e} time constants")
        rows = []
        for number in range(epochs):
            rows.append((peer.epoch(), ours.epoch()))
            print(
                f"epoch {number + 1}: jaxsnn {rows[-1][0]['cpu']:.2f} CPU s, {rows[-1][0]['wall']:.2f} s, accuracy"
                f" {rows[-1][0]['accuracy']:.3f}; snnx {rows[-1][1]['cpu']:.2f} CPU s, {rows[-1][1]['wall']:.2f} s, accuracy"
                f" {rows[-1][1]['accuracy']:.3f}",
                flush=True,
            )
    print("| | jaxsnn 0.3.0 | snnx | ratio |\n|---|---|---|---|")
    for what, unit in (("cpu", "CPU seconds"), ("wall", "seconds")):
        (a, b) = (rows[0][side][what] for side in (0, 1))
        print(f"| first epoch, {unit} | {a:.1f} | {b:.1f} | {a / b:.1f} |")
        for name, reduce in (("min", min), ("median", statistics.median)):
            a, b = (reduce(row[side][what] for row in rows[1:]) for side in (0, 1))
            print(f"| later epochs, {unit}, {name} | {a:.2f} | {b:.2f} | {a / b:.1f} |")


if __name__ == "__main__":
    main()
