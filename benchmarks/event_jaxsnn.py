"""The jaxsnn side of `benchmarks/event.py`, run by an interpreter that has jaxsnn and not snnx.

It makes the network of jaxsnn's example `yinyang_layered_event_prop` (5-100-3, one spike a neuron, MSE of first spikes), writes
events, targets and first weights to the file given, and then trains one epoch for each line that comes in. Times are in units
of the synapse's time constant, which is 6e-6 there.
"""

import functools
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxsnn.base.dataset import data_loader, yinyang_dataset
from jaxsnn.event.encode import encode, spatio_temporal_encode, target_temporal_encode
from jaxsnn.event.loss import mse_loss
from jaxsnn.event.modules import LIF, Linear, Source
from jaxsnn.event.modules.lif.lif import LIFParameters
from jaxsnn.event.topology import Topology
from jaxsnn.event.training import update
from jaxsnn.event.types import OptState
from jaxsnn.examples.event.utils import loss_wrapper

TAU, EXAMPLES, BATCH, HIDDEN = 6e-6, 4992, 64, 100


def main(path: str) -> None:
    """Prepare, then an epoch a line."""
    key_weights, key_data, key = jax.random.split(jax.random.key(0), 3)
    neuron = LIFParameters(v_reset=-1000.0, v_th=1.0, tau_syn=TAU, tau_mem=2 * TAU)
    points = yinyang_dataset(key_data, EXAMPLES, mirror=True, bias_spike=0.0)
    as_spikes = functools.partial(spatio_temporal_encode, t_late=2 * TAU, duplication=5, duplicate_neurons=False)
    as_times = functools.partial(
        target_temporal_encode, n_classes=3, correct_target_time=0.8 * TAU, wrong_target_time=1.2 * TAU
    )
    spikes, targets = encode(points, jax.jit(jax.vmap(as_spikes)), jax.jit(jax.vmap(as_times)))
    network = Topology(t_max=4 * TAU, backprop_method="eventprop")
    network.add(
        {
            "in": Source(5),
            "hidden": LIF(HIDDEN, HIDDEN + 25, neuron),
            "out": LIF(3, HIDDEN + 3, neuron),
            "first": Linear(mean=3.0 / 5, std=1.6 / 5, min_delay=0.0),
            "second": Linear(mean=0.5, std=0.8, min_delay=0.0),
        }
    )
    network.connect([("in", "first"), ("first", "hidden"), ("hidden", "second"), ("second", "out")])
    init, apply = network.done()
    weights = init(key_weights)
    steps = EXAMPLES // BATCH
    rate = optax.exponential_decay(0.005, steps, 0.99)
    optimizer = optax.chain(optax.scale(1.0 / TAU), optax.clip(0.01), optax.adam(rate))
    loss = functools.partial(loss_wrapper, apply, mse_loss, neuron.tau_mem, "out", 3)
    step = jax.jit(functools.partial(update, optimizer, loss))
    batch = ({"in": jax.tree.map(lambda x: x[:BATCH], spikes)}, targets[:BATCH])
    value, (first, _) = loss(weights, batch)
    arrays = {f"weight_{name}": np.asarray(w) for name, w in weights.items() if w is not None and np.ndim(w) == 2}
    np.savez(
        path,
        times=np.asarray(spikes.time) / TAU,
        indices=np.asarray(spikes.idx),
        targets=np.asarray(targets) / TAU,
        loss=np.asarray(value),
        first=np.asarray(first) / TAU,
        **arrays,
    )
    print(json.dumps({"ready": True, "weights": {name: list(w.shape) for name, w in arrays.items()}}), flush=True)
    state = OptState(optimizer.init(weights), weights, key)
    for number, _ in enumerate(sys.stdin):
        wall, cpu = time.perf_counter(), time.process_time()
        batches = data_loader(({"in": spikes}, targets), BATCH, rng=jax.random.fold_in(key, number))
        state, ((values, (times, _)), _) = jax.lax.scan(step, state, batches)
        jax.block_until_ready(state.params)
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        right = jnp.mean(jnp.argmin(batches[1], axis=-1) == jnp.argmin(times, axis=-1))
        print(json.dumps(spent | {"loss": float(values.mean()), "accuracy": float(right)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
