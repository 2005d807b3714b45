"""Evolution of spiking networks: a pole on a cart, handwritten digits, and what it adds to a trained network.

    python -m benchmarks.evolution --task cartpole [--only SNES] [--seeds 3]
    python -m benchmarks.evolution --task digits
    python -m benchmarks.evolution --task refine

`cartpole`: CartPole-v1 of Gymnax, a policy 4-32-2 of LIF neurons with 4 ticks for each step of the environment. In a generation
every candidate has the same 16 episodes of 500 steps, and so has the mean of the strategy's distribution (of a `SimpleGA` the
best of its population), whose average return is to reach 500. A run is a process of its own; its seconds are those from the call
of `evolve` to its end, compiling included. What was found is tried in 100 other episodes.

`digits`: 64-32-10 on the handwritten digits that come with snnx, by evolution alone: no gradient is taken anywhere.

`refine`: the same network by gradient first, then by evolution from there; also after a few epochs only, with weights rounded to
few levels, and with most weights removed. Beside it as many further steps of Adam on the same objective, straight through the
rounding. Spikes are hard in all forward passes. The lowest validation loss chooses the model, that before evolution among them.

No test example, and none of the 100 episodes, has a say in any choice.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import snnx
from benchmarks import report

POPULATION, EPISODES, STEPS, GENERATIONS = 64, 16, 500, 40
CARTPOLE = {  # standard deviation at first, and Adam's rate for those that have an optimiser
    "SNES": (0.5, 0.0),
    "Sep_CMA_ES": (0.5, 0.0),
    "CMA_ES": (0.5, 0.0),
    "CR_FM_NES": (0.5, 0.0),
    "Open_ES": (0.5, 0.6),
    "PGPE": (0.5, 0.6),
    "SimpleGA": (0.3, 0.0),
}
DIGITS = {"SNES": 80, "Sep_CMA_ES": 40, "CR_FM_NES": 40, "Open_ES": 40, "PGPE": 40}  # epochs, of 5 generations each
LOSS = snnx.CrossEntropy(snnx.Mean())


def evolution(
    name: str, params, *, population: int, std: float, rate: optax.ScalarOrSchedule
) -> snnx.solvers.Evolution:
    """A strategy of evosax with a standard deviation to start from, and Adam at a rate for those that want an optimiser."""
    from evosax import algorithms

    more = {}
    if name in ("Open_ES", "SimpleGA"):
        more["std_schedule"] = optax.constant_schedule(std)
    if name in ("Open_ES", "PGPE"):
        more["optimizer"] = optax.adam(rate)
    strategy = getattr(algorithms, name)(population_size=population, solution=params, **more)
    settings = strategy.default_params
    if hasattr(settings, "std_init"):
        settings = settings.replace(std_init=std)
    return snnx.solvers.Evolution(strategy, settings, spread=std)


def pole(name: str, seed: int) -> dict:
    """One run of CartPole."""
    import gymnax

    env = gymnax.make("CartPole-v1")
    k1, k2, key, key_fresh = jax.random.split(jax.random.key(seed), 4)
    hidden, out = eqx.nn.Linear(4, 32, key=k1), eqx.nn.Linear(32, 2, key=k2)
    network = snnx.Sequential([hidden, snnx.LIF(tau=4.0), out, snnx.LI(tau=4.0)])
    params, rest = snnx.partition(snnx.Policy(network, ticks=4, action=jnp.argmax))

    def returns(params, keys):
        policy = snnx.combine(params, rest)
        return jax.vmap(lambda key: snnx.rollout(policy, env, length=STEPS, key=key).returns)(keys)

    def objective(params, key):
        return -returns(params, jax.random.split(key, EPISODES)).mean()

    std, rate = CARTPOLE[name]
    strategy = evolution(name, params, population=POPULATION, std=std, rate=rate)
    settings = dict(optimizer=strategy, generations=GENERATIONS, target=-float(STEPS), progress=False)
    start = time.perf_counter()
    result = snnx.evolve(objective, params, key=key, **settings)
    seconds = time.perf_counter() - start
    fresh = jax.jit(returns)(result.params, jax.random.split(key_fresh, 100))
    start = time.perf_counter()  # once more, with other random numbers: now everything is compiled
    again = snnx.evolve(objective, params, key=key_fresh, **settings)
    rate = len(again.history) / (time.perf_counter() - start)
    return {
        "reached": len(result.history) if result.outcome.startswith("reached") else None,
        "seconds": seconds,
        "compile": result.compile_seconds,
        "generations_per_second": rate,
        "steps_per_second": rate * (POPULATION + 1) * EPISODES * STEPS,
        "fresh": float(fresh.mean()),
        "whole": int((fresh == STEPS).sum()),
    }


def poles(names: list[str], seeds: int) -> None:
    """The table of CartPole; every run in a process of its own, without a compilation cache."""
    print(
        "| strategy | generation that reaches 500, by seed | seconds, whole | compile | generations per second | steps of the"
        " environment per second | mean of 100 other episodes, by seed | of them 500 |\n|---|---|---|---|---|---|---|---|"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment["OPENBLAS_NUM_THREADS"] = "1"  # of CMA_ES: threads within a matrix of 226 rows get in each other's way
    for name in names:
        runs = []
        for seed in range(seeds):
            call = [sys.executable, "-m", "benchmarks.evolution", "--one", name, "--seed", str(seed)]
            found = subprocess.run(call, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(found.stdout.splitlines()[-1]))
        reached = ", ".join(str(run["reached"] or f"not in {GENERATIONS}") for run in runs)
        cells = [f"{run['seconds']:.1f}" for run in runs]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "reached"}
        fresh = ", ".join(f"{run['fresh']:.0f}" for run in runs)
        whole = ", ".join(f"{run['whole']} %" for run in runs)
        print(
            f"| {name} | {reached} | {', '.join(cells)} | {middle['compile']:.1f} | {middle['generations_per_second']:.1f} |"
            f" {middle['steps_per_second'] / 1e6:.1f} million | {fresh} | {whole} |",
            flush=True,
        )


def sets(key: jax.Array) -> tuple:
    return snnx.data.digits(steps=8).split((0.7, 0.1, 0.2), key=key)


def network(key: jax.Array) -> snnx.Sequential:
    """64-32-10, 2,410 parameters."""
    k1, k2 = jax.random.split(key)
    hidden, out = eqx.nn.Linear(64, 32, key=k1), eqx.nn.Linear(32, 10, key=k2)
    return snnx.Sequential([hidden, snnx.LIF(tau=4.0), out, snnx.LI(tau=8.0)])


def percent(shares: list[float]) -> str:
    return ", ".join(f"{100 * share:.1f}" for share in shares)


def digits(names: list[str], seeds: int) -> None:
    """The table of the digits: by evolution alone."""
    population, batch = 128, 256
    print(
        "| strategy | population | generations, on 256 examples each | test accuracy, mean | seeds | seconds |\n"
        "|---|---|---|---|---|---|"
    )
    for name in names:
        accuracies, seconds, epochs = [], [], DIGITS[name]
        for seed in range(seeds):
            key_split, key_model, key_fit = jax.random.split(jax.random.key(seed), 3)
            train, valid, test = sets(key_split)
            model, generations = network(key_model), epochs * -(-len(train) // batch)
            params, _ = snnx.partition(model)
            std = 0.05 if name in ("Open_ES", "PGPE") else 0.1
            rate = optax.cosine_decay_schedule(0.05, generations)
            result = snnx.fit(
                model,
                train,
                loss=LOSS,
                optimizer=evolution(name, params, population=population, std=std, rate=rate),
                epochs=epochs,
                batch_size=batch,
                validation=valid,
                key=key_fit,
                progress=False,
            )
            accuracies.append(float(snnx.evaluate(result.model, test, loss=LOSS).accuracy))
            seconds.append(result.seconds)
        print(
            f"| {name} | {population} | {generations} | {100 * statistics.mean(accuracies):.2f} % | {percent(accuracies)} |"
            f" {statistics.median(seconds):.0f} |",
            flush=True,
        )


def rounded(params, bits: int):
    """Weights and biases at so many levels, array by array; a gradient goes straight through."""

    def one(leaf):
        scale = jnp.max(jnp.abs(leaf)) / (2 ** (bits - 1) - 1)
        return leaf + jax.lax.stop_gradient(jnp.round(leaf / scale) * scale - leaf)

    return jax.tree.map(one, params)


def pruner(params, share: float):
    """A function that sets the same weights to zero, of every matrix the smallest ones."""
    masks = jax.tree.map(lambda x: (jnp.abs(x) >= jnp.quantile(jnp.abs(x), share)) | (x.ndim == 1), params)
    return lambda params: jax.tree.map(lambda leaf, mask: leaf * mask, params, masks)


class Case(NamedTuple):
    """A network by gradient, and the form that it is brought into."""

    epochs: int
    form: Callable  # from the trained parameters to a function of parameters
    errors: bool = False  # what is made smaller is the share of errors, not the cross-entropy


CASES = {
    "60 epochs of Adam": Case(60, lambda params: lambda params: params),
    "the same; fitness is the number of errors": Case(60, lambda params: lambda params: params, errors=True),
    "3 epochs of Adam": Case(3, lambda params: lambda params: params),
    "the same; fitness is the number of errors ": Case(3, lambda params: lambda params: params, errors=True),
    "60 epochs, then weights of 3 bits": Case(60, lambda params: lambda params: rounded(params, 3)),
    "60 epochs, then 80 % of the weights removed": Case(60, lambda params: pruner(params, 0.8)),
}


def refine_one(seed: int, case: Case, stretches: int = 10, each: int = 20) -> dict:
    """A network by gradient, brought into the form; from there by evolution, and by as many further steps of Adam."""
    key_split, key_model, key_fit, key_evolve = jax.random.split(jax.random.key(seed), 4)
    train, valid, test = sets(key_split)
    trained = snnx.fit(
        network(key_model),
        train,
        loss=LOSS,
        optimizer=optax.adam(5e-3),
        epochs=case.epochs,
        batch_size=64,
        validation=valid,
        key=key_fit,
        progress=False,
    )
    start, rest = snnx.partition(trained.model)
    form = case.form(start)

    def objective(params, key):
        batch = train.take(jax.random.choice(key, len(train), (256,), replace=False))
        model = snnx.combine(form(params), rest)
        means = jax.vmap(lambda xs: snnx.simulate(model, xs, readout=LOSS.readout)[0])(batch.inputs)
        if case.errors:
            return jnp.mean((jnp.argmax(means, axis=-1) != batch.targets).astype(float))
        return optax.softmax_cross_entropy_with_integer_labels(means, batch.targets).mean()

    def score(params, data):
        return snnx.evaluate(snnx.combine(form(params), rest), data, loss=LOSS)

    solvers = {"evolution": evolution("SNES", start, population=POPULATION, std=0.02, rate=0.0)}
    if not case.errors:
        solvers["adam"] = optax.adam(1e-3)
    before = score(start, test)
    found = {"before": before.accuracy, "loss_before": before.loss, "train": score(start, train).accuracy}
    for name, solver in solvers.items():
        result, states = None, [(score(start, valid).loss, 0, start)]
        for done in range(each, each * stretches + 1, each):
            settings = dict(generations=done, key=key_evolve, progress=False)
            result = snnx.evolve(objective, start, optimizer=solver, resume=result, **settings)
            states.append((score(result.params, valid).loss, done, result.params))
        _, found[f"chosen_{name}"], best = min(states, key=lambda state: state[:2])
        after = score(best, test)
        found |= {name: after.accuracy, f"loss_{name}": after.loss}
    return found


def refine(seeds: int) -> None:
    """The table of what evolution adds to gradient descent."""
    print(
        "| by gradient | training accuracy | test accuracy | after 200 generations | by seed, before; after | their number, as"
        " chosen | after 200 steps of Adam instead | test loss: before, evolution, Adam |\n|---|---|---|---|---|---|---|---|"
    )
    for name, case in CASES.items():
        runs = [refine_one(seed, case) for seed in range(seeds)]
        mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        before, after = (percent([run[which] for run in runs]) for which in ("before", "evolution"))
        chosen = ", ".join(str(run["chosen_evolution"]) for run in runs)
        losses = ", ".join(f"{mean[key]:.3f}" for key in ("loss_before", "loss_evolution", "loss_adam") if key in mean)
        instead = f"{100 * mean['adam']:.2f} %" if "adam" in mean else "has no gradient"
        print(
            f"| {name.strip()} | {100 * mean['train']:.2f} % | {100 * mean['before']:.2f} % | {100 * mean['evolution']:.2f} % |"
            f" {before}; {after} | {chosen} | {instead} | {losses} |",
            flush=True,
        )


def main() -> None:
    """One of the tables, and what it was made with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("cartpole", "digits", "refine"), default="cartpole")
    parser.add_argument("--only", help="one strategy")
    parser.add_argument("--seeds", type=int, help="by default 3, of `refine` 5")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    cores = snnx.use_cores()  # before anything else makes an array: importing gymnax or evosax.algorithms does
    if chosen.one:
        print(json.dumps(pole(chosen.one, chosen.seed)))
        return
    begin, on = time.perf_counter(), report.machine()
    if chosen.task == "cartpole":
        poles([chosen.only] if chosen.only else list(CARTPOLE), chosen.seeds or 3)
    elif chosen.task == "digits":
        digits([chosen.only] if chosen.only else list(DIGITS), chosen.seeds or 3)
    else:
        refine(chosen.seeds or 5)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("jax", "equinox", "evosax", "gymnax")
    )
    print(
        f"\n{on['cpu']}, {cores} cores, {on['date']}, load {on['load']:.2f} before; snnx {snnx.__version__}, {versions};"
        f" {time.perf_counter() - begin:.0f} s in all."
    )


if __name__ == "__main__":
    main()
