"""What is compiled when: solvers called bare, second calls of the trainers with things made alike, memory of a sweep.

    python benchmarks/compilation.py [--task bare|again|sweep]

- `bare`: the second call of a solver with the same shapes, outside of any `jit`, beside the same under `jit`.
- `again`: a trainer called twice in one process, optimiser, loss, model and lambdas made anew: the whole first and second
    call, what the second one spends before its first step, and how much of it is tracing, lowering and looking up.
- `sweep`: resident memory after so many learning rates, thresholds, or arrays of learning rates, in one process.
"""

import argparse
import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snnx

KEYS = jax.random.split(jax.random.key(0), 8)


def net(*sizes: int) -> snnx.Sequential:
    """Linear and LIF for every pair of sizes; the last is read out by a LI."""
    layers = []
    for i, pair in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layers += [eqx.nn.Linear(*pair, key=KEYS[i]), snnx.LIF() if i < len(sizes) - 2 else snnx.LI()]
    return snnx.Sequential(layers)


# Called bare


def environment() -> snnx.control.Environment:
    def reset(key):
        position = jax.random.uniform(key)
        return position[None], position

    def step(state, action, key):
        state = state + 0.1 * action[0]
        return state[None], state, -(state**2), jnp.abs(state) > 2.0

    return snnx.control.Environment(reset, step)


def solvers() -> dict[str, tuple[Callable[..., Any], tuple]]:
    """A function of arrays, and some."""
    exact = snnx.Sequential([eqx.nn.Linear(5, 10, key=KEYS[0]), snnx.CubaLIF(method="exact")])
    equation = snnx.Sequential([eqx.nn.Linear(5, 10, key=KEYS[0]), snnx.event.ode.QIF()])
    events = snnx.event.make_events([3.0, 1.5], [0, 2], size=5)
    env, policy = environment(), net(1, 8, 1)
    settings = dict(duration=60.0, overflow="report")
    return {
        "simulate, 64-128-10, T=100": (lambda xs: snnx.simulate(net_small, xs), (jnp.ones((100, 64)),)),
        "simulate, W1 (128-64-64-20, T=128)": (lambda xs: snnx.simulate(net_w1, xs), (jnp.ones((128, 128)),)),
        "event.simulate, 5-10": (lambda e: snnx.event.simulate(exact, e, **settings), (events,)),
        "event.simulate, 5-10, QIF by its equation": (
            lambda e: snnx.event.simulate(equation, e, **settings),
            (events,),
        ),
        "rollout, 1-8-1, 50 steps": (lambda key: snnx.rollout(policy, env, length=50, key=key), (KEYS[0],)),
    }


net_small, net_w1 = net(64, 128, 10), net(128, 64, 64, 20)


def bare(rounds: int) -> None:
    print("| second call, ms | bare: min | median | under jit: min | median |\n|---|---|---|---|---|")
    for name, (function, args) in solvers().items():
        compiled = eqx.filter_jit(function)
        times: dict[str, list[float]] = {"bare": [], "jit": []}
        for call in (function, compiled):
            jax.block_until_ready(eqx.filter(call(*args), eqx.is_array))
        for _ in range(rounds):
            for kind, call in (("bare", function), ("jit", compiled)):
                start = time.perf_counter()
                jax.block_until_ready(eqx.filter(call(*args), eqx.is_array))
                times[kind].append(1e3 * (time.perf_counter() - start))
        figures = " | ".join(f"{min(t):.2f} | {statistics.median(t):.2f}" for t in times.values())
        print(f"| {name} | {figures} |", flush=True)


# Called again


def fit_digits() -> snnx.train.FitResult:
    """The network of `snnx train digits`, for one epoch."""
    train, valid, _ = DIGITS.split((0.7, 0.1, 0.2), key=KEYS[7])
    tau = snnx.Positive(jnp.full(256, 10.0))
    layers = [
        eqx.nn.Linear(64, 256, key=KEYS[0]),
        snnx.LIF(tau=tau),
        eqx.nn.Linear(256, 10, key=KEYS[1]),
        snnx.LI(tau=20.0),
    ]
    return snnx.fit(
        snnx.Sequential([layers[0], layers[1], lambda x: 1.0 * x, *layers[2:]]),
        train,
        loss=snnx.CrossEntropy(snnx.Mean()) + 10.0 * snnx.UpperRate(0.2),
        optimizer=optax.adam(3e-3),
        epochs=1,
        validation=valid,
        key=KEYS[2],
        progress=False,
    )


def fit_convolutional() -> snnx.train.FitResult:
    """W4's network, 34x34x2-C12-P2-C32-P2-10, on 16 made-up examples, T = 16."""
    conv = lambda i, *channels: eqx.nn.Conv2d(*channels, 5, use_bias=False, key=KEYS[i])
    pool = eqx.nn.MaxPool2d(2, 2)
    layers = [conv(0, 2, 12), snnx.LIF(), pool, conv(1, 12, 32), snnx.LIF(), pool, snnx.Flatten()]
    spikes = np.random.default_rng(0).random((16, 16, 2, 34, 34)) < 0.05
    data = snnx.data.from_spikes(
        spikes.astype(np.uint8), np.arange(16) % 10, sample_shape=(2, 34, 34), classes=tuple("0123456789")
    )
    return snnx.fit(
        snnx.Sequential([*layers, eqx.nn.Linear(800, 10, key=KEYS[2]), snnx.LI()]),
        data,
        loss=snnx.CrossEntropy(snnx.Mean()),
        optimizer=optax.adam(1e-3),
        epochs=1,
        batch_size=8,
        key=KEYS[2],
        progress=False,
    )


def evolve_cart_pole() -> snnx.train.EvolveResult:
    """SNES on CartPole, population 64, three generations."""
    import gymnax
    from evosax.algorithms import SNES

    policy = snnx.Policy(net(4, 32, 2), action=jnp.argmax, ticks=4)
    params, rest = snnx.partition(policy)
    env, _ = gymnax.make("CartPole-v1")

    def objective(params, key):
        run = lambda key: snnx.rollout(snnx.combine(params, rest), env, length=500, key=key)
        return -jax.vmap(run)(jax.random.split(key, 4)).returns.mean()

    strategy = SNES(population_size=64, solution=params)
    settings = dict(generations=3, key=KEYS[2], progress=False)
    return snnx.evolve(objective, params, optimizer=strategy, **settings)


DIGITS = snnx.data.digits(steps=16)


def again() -> None:
    print("| call | first s | second s | tracing | lowering | looking up | compiling |\n|---|---|---|---|---|---|---|")
    for name, call in {
        "`fit`, the digits' network, one epoch": fit_digits,
        "`fit`, W4's network, two steps": fit_convolutional,
        "`evolve`, SNES on CartPole, three generations": evolve_cart_pole,
    }.items():
        try:
            seconds = []
            for _ in range(4):
                start = time.perf_counter()
                result = call()
                seconds.append(time.perf_counter() - start)
        except ImportError as error:
            print(f"| {name} | {error} |")
            continue
        took = getattr(result, "compilation", None)  # not there before snnx 0.1
        parts = [result.compile_seconds] if took is None else [took.trace, took.lower, took.look_up, took.compile]
        shown = " | ".join(f"{part:.2f}" for part in parts)
        print(f"| {name} | {seconds[0]:.2f} | {statistics.median(seconds[1:]):.2f} | {shown} |", flush=True)


# One process, many settings


def resident() -> int:
    """Megabytes that this process holds, what is free given back first."""
    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) // 1024


def sweep(count: int) -> None:
    data = snnx.data.digits(steps=2).subset(np.arange(100))
    model = net(64, 16, 10)
    settings = dict(loss=snnx.CrossEntropy(snnx.Mean()), epochs=1, batch_size=50, key=KEYS[2], progress=False)
    xs = jnp.ones((20, 64))

    def learning_rate(i: int) -> None:
        snnx.fit(model, data, optimizer=optax.adam(1e-3 * (i + 1)), **settings)

    def learning_rate_as_array(i: int) -> None:
        snnx.fit(model, data, optimizer=optax.inject_hyperparams(optax.adam)(jnp.asarray(1e-3 * (i + 1))), **settings)

    def threshold(i: int) -> None:
        snnx.simulate(eqx.tree_at(lambda m: m.layers[1], model, snnx.LIF(threshold=1.0 + 0.01 * i)), xs)

    shown = sorted({1, *(count * k // 5 for k in range(1, 6))})
    print("| MB after | " + " | ".join(map(str, shown)) + " | seconds |\n|---" + "|---" * (len(shown) + 1) + "|")
    for name, run, times in (
        ("learning rates, as arrays (`inject_hyperparams`)", learning_rate_as_array, 1),
        ("learning rates, as numbers", learning_rate, 1),
        ("thresholds, `simulate` bare, three times as many", threshold, 3),
    ):
        start, found = time.perf_counter(), []
        for i in range(times * count):
            run(i)
            if (i + 1) % times == 0 and (i + 1) // times in shown:
                found.append(resident())
        seconds = time.perf_counter() - start
        print(f"| {name} | {' | '.join(map(str, found))} | {seconds:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=["bare", "again", "sweep", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=40, help="settings of a sweep")
    args = parser.parse_args()
    print(f"JAX {jax.__version__}, Python {platform.python_version()}, {jax.devices()[0].device_kind}")
    for task, run in {"bare": lambda: bare(args.rounds), "again": again, "sweep": lambda: sweep(args.count)}.items():
        if args.task in (task, "all"):
            print(f"\n{task}\n")
            run()


if __name__ == "__main__":
    main()
