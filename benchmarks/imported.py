"""An imported network beside the `Sequential` that it was exported from: a training step, and a forward pass.

    python benchmarks/imported.py [--rounds 7]

One `Sequential` has constants, the other an array for every parameter, as files have them: the one to compare with. A training
step is forward, backward and Adam, as `fit` runs it; rounds are interleaved.
"""

import argparse
import statistics
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snnx

DT = 1e-3
NETS = {"W1: 128-64-64-20, T=128, B=256": (128, 64, 64, 20), "W1L: 700-128-128-20, T=128, B=256": (700, 128, 128, 20)}


def neurons(width: int, arrays: bool):
    if not arrays:
        return snnx.LIF(tau=0.02, dt=DT, reset=snnx.ValueReset())
    full = [jnp.full(width, number) for number in (0.02, 1.0, 20.0, 0.0, 0.0)]
    tau, threshold, r, v_leak, v_reset = full
    return snnx.LIF(tau, threshold, r, v_leak, snnx.ValueReset(v_reset), method="euler", dt=DT)


def readout(width: int, arrays: bool):
    if not arrays:
        return snnx.LI(tau=0.02, dt=DT)
    return snnx.LI(jnp.full(width, 0.02), jnp.full(width, 20.0), jnp.full(width, 0.0), method="euler", dt=DT)


def sequential(sizes, arrays):
    layers = []
    for i, (fan_in, width) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        cell = readout if i == len(sizes) - 2 else neurons
        layers += [eqx.nn.Linear(fan_in, width, key=jax.random.key(i)), cell(width, arrays)]
    return snnx.Sequential(layers)


def training(model, data):
    """Seconds per step of one epoch of `fit`, compiled before."""
    history = snnx.fit(
        model,
        data,
        loss=snnx.CrossEntropy(snnx.Mean()),
        optimizer=optax.adam(1e-3),
        epochs=4,
        batch_size=256,
        key=jax.random.key(9),
        progress=False,
        devices=jax.devices()[:1],
    ).history
    return [record["seconds"] / 8 for record in history[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print("| net | model | training step, min ms | median ms | of the second | forward, median ms | of the second |")
    print("|---|---|---|---|---|---|---|")
    for name, sizes in NETS.items():
        spikes = np.random.default_rng(0).random((2048, 128, sizes[0]), np.float32) < 0.05
        data = snnx.data.from_spikes(spikes, np.arange(2048) % 20, sample_shape=(sizes[0],), dt=DT)
        xs = jnp.asarray(spikes[:256], jnp.float32)
        plain, arrays = sequential(sizes, arrays=False), sequential(sizes, arrays=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            imported = snnx.nir.from_nir(snnx.nir.to_nir(arrays, (sizes[0],), dt=DT), dt=DT)
        models = {"`Sequential` of constants": plain, "`Sequential` of arrays": arrays, "imported": imported}
        forward = {
            key: eqx.filter_jit(lambda m, xs: jax.vmap(lambda x: snnx.simulate(m, x, readout=snnx.Mean())[0])(xs))
            for key in models
        }
        steps, passes = {key: [] for key in models}, {key: [] for key in models}
        for _ in range(rounds):
            for key, model in models.items():
                steps[key] += training(model, data)
                forward[key](model, xs).block_until_ready()
                start = time.perf_counter()
                forward[key](model, xs).block_until_ready()
                passes[key].append(time.perf_counter() - start)
        base, base_pass = (statistics.median(times["`Sequential` of arrays"]) for times in (steps, passes))
        for key in models:
            step, one = statistics.median(steps[key]), statistics.median(passes[key])
            print(
                f"| {name} | {key} | {1e3 * min(steps[key]):.1f} | {1e3 * step:.1f} | {step / base:.2f} | {1e3 * one:.1f} |"
                f" {one / base_pass:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
