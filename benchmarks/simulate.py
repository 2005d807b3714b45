"""Chunk sizes of `snnx.simulate` beside a naive `lax.scan`: time and temporary memory of a training step.

    python benchmarks/simulate.py [--rounds 5] [--json results.json]

Forward, backward and Adam, several steps in one program with donated state, of

- `narrow`: 128-64-64-20 LIF with LI readout, T=128, B=256, mean of the readout;
- `wide`:   one 3072-3072 layer with LIF, T=500, B=16, spike count.

The naive scan is what one would write by hand: one batched step of the whole network, `x @ W.T`, scanned over time,
differentiated by JAX; it gets its input time first, the schedules of snnx get `[batch, time, in]`.
Rounds are interleaved over all schedules; memory is XLA's count of temporaries.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import snnx

WORKLOADS = {
    "narrow": {
        "sizes": (128, 64, 64, 20),
        "steps": 128,
        "batch": 256,
        "repeat": 8,
        "chunks": (1, 2, 4, 8, 16, 32, 64, 128),
    },
    "wide": {
        "sizes": (3072, 3072),
        "steps": 500,
        "batch": 16,
        "repeat": 1,
        "chunks": (1, 5, 10, 20, 50, 100, 250, 500),
    },
}


def make_model(sizes, key):
    """Linear + LIF for every pair of sizes; with more than one pair, the last is read out by a LI."""
    layers, pairs = [], list(zip(sizes[:-1], sizes[1:], strict=True))
    for i, (fan_in, fan_out) in enumerate(pairs):
        key, sub = jax.random.split(key)
        linear = eqx.nn.Linear(fan_in, fan_out, use_bias=False, key=sub)
        weight = jax.random.normal(sub, (fan_out, fan_in)) * 2.0 / math.sqrt(fan_in)
        linear = eqx.tree_at(lambda layer: layer.weight, linear, weight)
        readout = i == len(pairs) - 1 and len(pairs) > 1
        layers += [linear, snnx.LI(20.0) if readout else snnx.LIF(20.0)]
    return snnx.Sequential(layers)


def naive_outputs(model, xs):
    """The mean over time of the outputs, `xs: [time, batch, in]`, by a plain scan of one batched step."""
    lam = -math.expm1(-1.0 / 20.0)
    spike = snnx.surrogates.ATan()

    def step(carry, x):
        states, total = carry
        new = []
        for linear, neuron, v in zip(model.layers[::2], model.layers[1::2], states, strict=True):
            v = v - lam * v + x @ linear.weight.T
            if isinstance(neuron, snnx.LIF):
                x = spike(v - 1.0)
                v = v - x
            else:
                x = v
            new.append(v)
        return (new, total + x), None

    zeros = [jnp.zeros((xs.shape[1], linear.weight.shape[0])) for linear in model.layers[::2]]
    (_, total), _ = jax.lax.scan(step, (zeros, zeros[-1]), xs)
    return total / xs.shape[0]


def naive_from_batch(model, xs):
    """The same from `xs: [batch, time, in]`, as a data set in memory holds them."""
    return naive_outputs(model, jnp.swapaxes(xs, 0, 1))


def snnx_outputs(chunk, keep=None):
    def outputs(model, xs):
        def one(x):
            return snnx.simulate(model, x, chunk=chunk, keep=keep, readout=snnx.Mean())[0]

        return jax.vmap(one)(xs)

    return outputs


def make_program(outputs, model, repeat):
    """`repeat` training steps as one program; compiled, with its temporaries in MB."""
    optimizer = optax.adam(1e-4)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params, xs, labels):
        logits = outputs(eqx.combine(params, static), xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(carry, _):
        params, opt_state, xs, labels = carry
        value, grads = jax.value_and_grad(loss)(params, xs, labels)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state, xs, labels), value

    def program(params, opt_state, xs, labels):
        (params, opt_state, _, _), values = jax.lax.scan(step, (params, opt_state, xs, labels), None, length=repeat)
        return params, opt_state, values

    return params, optimizer.init(params), jax.jit(program, donate_argnums=(0, 1))


class Runner:
    def __init__(self, name, outputs, model, xs, labels, repeat):
        self.name, self.repeat, self.xs, self.labels, self.times = name, repeat, xs, labels, []
        params, opt_state, program = make_program(outputs, model, repeat)
        self.state = jax.tree.map(lambda x: x.copy(), (params, opt_state))
        start = time.perf_counter()
        self.program = program.lower(*self.state, xs, labels).compile()
        self.compile_s = time.perf_counter() - start
        self.temporaries_mb = self.program.memory_analysis().temp_size_in_bytes / 1e6
        self.first_loss = float(self.run()[0])

    def run(self):
        params, opt_state, values = self.program(*self.state, self.xs, self.labels)
        self.state = (params, opt_state)
        return jax.block_until_ready(values)

    def time(self):
        start = time.perf_counter()
        self.run()
        self.times.append((time.perf_counter() - start) / self.repeat * 1e3)


def measure(name, rounds):
    work = WORKLOADS[name]
    key_model, key_x, key_label = jax.random.split(jax.random.key(0), 3)
    model = make_model(work["sizes"], key_model)
    xs = jax.random.bernoulli(key_x, 0.05, (work["batch"], work["steps"], work["sizes"][0])).astype(jnp.float32)
    labels = jax.random.randint(key_label, (work["batch"],), 0, work["sizes"][-1])
    default = snnx.simulation.default_chunk(model, work["steps"], work["batch"])
    schedules = {"naive": naive_outputs, "naive, [batch, time]": naive_from_batch} | {
        f"K={k}": snnx_outputs(k) for k in sorted({*work["chunks"], default})
    }
    schedules |= {f"K={default}, {keep}": snnx_outputs(default, keep) for keep in ("borders", "membranes")}
    schedules["default"] = snnx_outputs(default)
    time_major = jnp.swapaxes(xs, 0, 1).copy()  # what the naive scan likes best
    runners = [
        Runner(n, f, model, time_major if f is naive_outputs else xs, labels, work["repeat"])
        for n, f in schedules.items()
    ]
    for _ in range(rounds):
        for runner in runners:
            runner.time()
    naive = runners[0]
    rows = []
    for r in runners:
        median = statistics.median(r.times)
        rows.append(
            {
                "schedule": r.name,
                "min_ms": min(r.times),
                "median_ms": median,
                "max_ms": max(r.times),
                "temporaries_mb": r.temporaries_mb,
                "compile_s": r.compile_s,
                "first_loss": r.first_loss,
                "time_over_naive": median / statistics.median(naive.times),
                "memory_over_naive": r.temporaries_mb / naive.temporaries_mb,
            }
        )
    print(f"\n{name}: {'-'.join(map(str, work['sizes']))}, T={work['steps']}, B={work['batch']}; default K={default}")
    print("| schedule | min ms | median ms | temporaries MB | time / naive | memory / naive | compile s | first loss |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['schedule']} | {row['min_ms']:.1f} | {row['median_ms']:.1f} | {row['temporaries_mb']:.1f}"
            f" | {row['time_over_naive']:.2f} | {row['memory_over_naive']:.2f} | {row['compile_s']:.1f}"
            f" | {row['first_loss']:.5f} |",
            flush=True,
        )
    return {"workload": name, "default_chunk": default, "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workload", choices=[*WORKLOADS, "all"], default="all")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    names = list(WORKLOADS) if args.workload == "all" else [args.workload]
    result = {
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "workloads": [measure(name, args.rounds) for name in names],
    }
    if args.json:
        with open(args.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
