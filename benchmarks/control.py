"""Networks that act: an evolved policy that balances, policies trained through physics, and a thousand of them side by side.

    python -m benchmarks.control --task pendulum [--seeds 3]
    python -m benchmarks.control --task apg
    python -m benchmarks.control --task policies [--rounds 15]

`pendulum`: Brax's inverted pendulum (spring), reward 1 a step as long as it is upright. A policy 4-16-1 of LIF neurons, 2 ticks
a step of the environment, evolved by SNES on 2 episodes of 500 steps a candidate, and tested on 32 others of 1000 steps.
The first seed compiles, the others find its program.
Steps of the environment per second are those of the generations after the first two seconds, steps behind an end included: a
rollout has a fixed length.

`apg`: analytic policy gradient, Adam up the gradient that comes back through environment and neurons. A pendulum to be swung up,
solved if 100 other episodes of 200 steps return more than -200 on average (where it starts sets the bound: about -150); and a
point to be brought to the origin, solved if it is less than 0.1 away after 200 steps, on average. `truncate` cuts the gradient
every so many steps; "whole" lets it come back through all of them. The first seed compiles; the others find its program.

`policies`: 1024 policies 8-32-2 that chase a point, 200 steps, one episode each: all of them by `jax.vmap` of `rollout`, by
`jax.vmap` of a scan written by hand that computes the same, and one after the other by the same compiled `rollout` (32 of them,
times 32). Returns and spikes are compared before anything is timed; rounds are interleaved, medians.
"""

import argparse
import importlib.metadata
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

import snnx
from benchmarks import report
from snnx.train import AbstractCallback, Snapshot

POPULATION, GENERATIONS, EPISODES, STEPS, TEST_STEPS = 64, 100, 2, 500, 1000
POLICIES, CHASE, ONE_BY_ONE = 1024, 200, 32


class Clock(AbstractCallback):
    """When `evolve` had come how far."""

    times: list[tuple[float, int]]

    def __init__(self) -> None:
        self.times = []

    def after_epoch(self, snapshot: Snapshot) -> None:
        self.times.append((time.perf_counter(), len(snapshot.history)))

    def generations_per_second(self) -> float:
        (begin, first), *_, (end, last) = self.times
        return (last - first) / (end - begin)


# The inverted pendulum


class Balancing(NamedTuple):
    """A run of the inverted pendulum."""

    compile: float
    seconds: float
    per_second: float
    reached: int | None
    before: float
    after: float
    worst: float


def balancing(env: Any, seed: int) -> Balancing:
    from evosax.algorithms import SNES

    k1, k2, key, key_test = jax.random.split(jax.random.key(seed), 4)
    hidden, out = eqx.nn.Linear(4, 16, key=k1), eqx.nn.Linear(16, 1, key=k2)
    network = snnx.Sequential([hidden, snnx.LIF(tau=4.0), out, snnx.LI(tau=4.0)])
    params, rest = snnx.partition(snnx.Policy(network, ticks=2, action=jnp.tanh))

    def returns(params: PyTree, keys: Array, length: int) -> Array:
        policy = snnx.combine(params, rest)
        return jax.vmap(lambda key: snnx.rollout(policy, env, length=length, key=key).returns)(keys)

    def objective(params: PyTree, key: Array) -> Array:
        return -returns(params, jax.random.split(key, EPISODES), STEPS).mean()

    strategy, clock = SNES(population_size=POPULATION, solution=params), Clock()
    result = snnx.evolve(
        objective,
        params,
        optimizer=strategy,
        generations=GENERATIONS,
        key=key,
        callbacks=[clock],
        progress=False,
    )
    test = jax.jit(lambda params: returns(params, jax.random.split(key_test, 32), TEST_STEPS))
    before, after = test(params), test(result.params)
    whole = [record["generation"] for record in result.history if record["value"] == -STEPS]
    return Balancing(
        result.compile_seconds,
        result.seconds,
        clock.generations_per_second() * (POPULATION + 1) * EPISODES * STEPS,
        whole[0] if whole else None,
        float(before.mean()),
        float(after.mean()),
        float(after.min()),
    )


def pendulum(seeds: int, rounds: int) -> None:
    """The table of the inverted pendulum."""
    env = snnx.control.from_brax("inverted_pendulum", backend="spring")
    print(
        f"| seed | compile s | whole s | steps per second | first generation of {STEPS} | mean of 32 other episodes of"
        f" {TEST_STEPS} steps | worst | untrained |\n|---|---|---|---|---|---|---|---|"
    )
    for seed in range(seeds):
        run = balancing(env, seed)
        print(
            f"| {seed} | {run.compile:.1f} | {run.seconds:.1f} | {run.per_second:.0f} | {run.reached} | {run.after:.1f} |"
            f" {run.worst:.0f} | {run.before:.1f} |",
            flush=True,
        )


# Analytic policy gradient


class Physics(NamedTuple):
    """A differentiable task, and how it is learned."""

    env: snnx.control.Environment
    observations: int
    actions: int
    length: int
    steps: int
    truncates: tuple[int | None, ...]


def through_physics(task: Physics, truncate: int | None, seed: int) -> tuple[snnx.train.EvolveResult, Array, Array]:
    """A trained policy; returns and last observations of 100 episodes that it had no part in."""
    k1, k2, key, key_test = jax.random.split(jax.random.key(seed), 4)
    hidden, out = eqx.nn.Linear(task.observations, 64, key=k1), eqx.nn.Linear(64, task.actions, key=k2)
    neurons = snnx.LIF(tau=snnx.Positive(jnp.full(64, 4.0)))
    params, rest = snnx.partition(snnx.Policy(snnx.Sequential([hidden, neurons, out, snnx.LI(tau=4.0)]), ticks=2))

    def run(params: PyTree, keys: Array, **options: Any) -> snnx.control.Rollout:
        policy = snnx.combine(params, rest)
        return jax.vmap(lambda key: snnx.rollout(policy, task.env, key=key, **options))(keys)

    def objective(params: PyTree, key: Array) -> Array:
        return -run(params, jax.random.split(key, 64), length=task.length, truncate=truncate).returns.mean()

    rate = optax.cosine_decay_schedule(1e-2, task.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    options = dict(generations=task.steps, key=key, progress=False)
    result = snnx.evolve(objective, params, optimizer=optimizer, **options)
    found = jax.jit(lambda params: run(params, jax.random.split(key_test, 100), length=200))(result.params)
    return result, found.returns, found.state.observation


def apg(seeds: int, rounds: int) -> None:
    """The table of analytic policy gradients."""
    tasks = {
        "pendulum": Physics(snnx.control.pendulum(), 3, 1, length=150, steps=200, truncates=(30, 50, None)),
        "point mass": Physics(snnx.control.point_mass(), 4, 2, length=60, steps=60, truncates=(30, None)),
    }
    print(
        "| task | truncated after | seed | compile s | whole s | return of 100 other episodes | worst | distance at the end |"
        " solved |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, task in tasks.items():
        for truncate in task.truncates:
            for seed in range(seeds):
                result, returns, seen = through_physics(task, truncate, seed)
                distance = float(jnp.linalg.norm(seen[:, :2], axis=1).mean()) if name == "point mass" else None
                solved = returns.mean() > -200.0 if distance is None else distance < 0.1
                print(
                    f"| {name} | {truncate or 'whole'} | {seed} | {result.compile_seconds:.1f} | {result.seconds:.1f} |"
                    f" {returns.mean():.1f} | {returns.min():.0f} | {'' if distance is None else f'{distance:.3f}'} |"
                    f" {'yes' if solved else 'no'} |",
                    flush=True,
                )


# A thousand policies


def chase() -> snnx.control.Environment:
    """A point with a force of two numbers on it, that is to reach another, which circles."""

    def see(state: Array) -> Array:
        place, speed, target, turn = jnp.split(state, 4)
        return jnp.concatenate([place, speed, target, target - place])

    def reset(key: Array) -> tuple[Array, Array]:
        place, turn = jax.random.uniform(key, (2, 2), minval=-1.0, maxval=1.0)
        target = turn / jnp.linalg.norm(turn)
        state = jnp.concatenate([place, jnp.zeros(2), target, turn])
        return see(state), state

    def step(state: Array, action: Array, key: Array) -> tuple[Array, Array, Array, Array]:
        place, speed, target, turn = jnp.split(state, 4)
        speed = 0.95 * speed + 0.1 * jnp.clip(action, -1.0, 1.0)
        place = place + 0.1 * speed
        target = target + 0.05 * jnp.stack([-target[1], target[0]])
        target = target / jnp.linalg.norm(target)
        state = jnp.concatenate([place, speed, target, turn])
        return see(state), state, -jnp.sum((target - place) ** 2), jnp.array(False)

    return snnx.control.Environment(reset, step)


def by_hand(weights: tuple[Array, ...], env: snnx.control.Environment, key: Array) -> tuple[Array, Array]:
    """The same policy in the same environment as a plain scan: return, spikes."""
    w_in, b_in, w_out, b_out = weights
    leak = 1.0 - np.exp(np.float32(-1.0 / 4.0))
    observation, state = env.reset(jax.random.split(key, 3)[0])

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        observation, state, v, readout, total = carry
        v = v - leak * v + (observation @ w_in.T + b_in)
        spikes = (v > 1.0).astype(v.dtype)
        v = v - spikes
        readout = readout - leak * readout + (spikes @ w_out.T + b_out)
        observation, state, reward, _ = env.step(state, readout, key)
        return (observation, state, v, readout, total + reward), spikes.sum()

    start = (observation, state, jnp.zeros(32), jnp.zeros(2), jnp.zeros(()))
    (*_, total), counts = jax.lax.scan(step, start, length=CHASE)
    return total, counts.sum()


def policies(seeds: int, rounds: int) -> None:
    """The table of policies side by side."""
    env = chase()

    def make(key: Array) -> snnx.Policy:
        k1, k2 = jax.random.split(key)
        hidden, out = eqx.nn.Linear(8, 32, key=k1), eqx.nn.Linear(32, 2, key=k2)
        return snnx.Policy(snnx.Sequential([hidden, snnx.LIF(tau=4.0), out, snnx.LI(tau=4.0)]))

    key_make, key = jax.random.split(jax.random.key(0))
    many = snnx.parameters.init_ensemble(make, jax.random.split(key_make, POLICIES))
    keys = jax.random.split(key, POLICIES)
    params, rest = snnx.partition(many)
    layers = many.network.layers
    weights = (layers[0].weight, layers[0].bias, layers[2].weight, layers[2].bias)

    def one(params: PyTree, key: Array) -> Array:
        return snnx.rollout(snnx.combine(params, rest), env, length=CHASE, key=key).returns

    def counted(params: PyTree, key: Array) -> tuple[Array, Array]:
        found = snnx.rollout(snnx.combine(params, rest), env, length=CHASE, key=key, record={"network.1": snnx.Stack()})
        return found.returns, found.record["network.1"].sum()

    returns, spikes = jax.jit(jax.vmap(counted))(params, keys)
    returns_by_hand, spikes_by_hand = jax.jit(jax.vmap(lambda w, key: by_hand(w, env, key)))(weights, keys)
    apart = float(jnp.max(jnp.abs(returns - returns_by_hand) / jnp.abs(returns_by_hand)))
    other = int(jnp.sum(spikes != spikes_by_hand))
    rate = float(spikes.mean()) / (CHASE * 32)

    some = [(jax.tree.map(lambda x, i=i: x[i], params), keys[i]) for i in range(ONE_BY_ONE)]
    runs = {
        "`jax.vmap` of `rollout`": compiled(jax.vmap(one), [(params, keys)]),
        "`jax.vmap` of a scan by hand": compiled(jax.vmap(lambda w, key: by_hand(w, env, key)[0]), [(weights, keys)]),
        f"`rollout`, one after the other ({ONE_BY_ONE} of them)": compiled(one, some),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, _, count) in runs.items():
            begin = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append((time.perf_counter() - begin) * POLICIES / count)
    base = statistics.median(times["`jax.vmap` of `rollout`"])
    print(
        f"Returns differ by at most {apart:.1e} of themselves, the numbers of spikes in {other} of {POLICIES} policies; a"
        f" neuron fires in {100 * rate:.0f} % of the steps.\n"
    )
    print(f"| {POLICIES} policies, {CHASE} steps | compile s | min ms | median ms | of the first | steps per second |")
    print("|---|---|---|---|---|---|")
    for name, (_, compile_seconds, _) in runs.items():
        median = statistics.median(times[name])
        print(
            f"| {name} | {compile_seconds:.2f} | {1e3 * min(times[name]):.1f} | {1e3 * median:.1f} | {median / base:.2f} |"
            f" {POLICIES * CHASE / median:.3g} |"
        )


def compiled(function: Callable, arguments: Sequence[tuple]) -> tuple[Callable, float, int]:
    """A call for each of some arguments, the seconds that compiling took, and how many policies that is."""
    begin = time.perf_counter()
    program = jax.jit(function).lower(*arguments[0]).compile()
    seconds = time.perf_counter() - begin
    return lambda: [program(*each) for each in arguments], seconds, len(arguments) if len(arguments) > 1 else POLICIES


def main() -> None:
    """One of the tables, and what it was made with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = {"pendulum": pendulum, "apg": apg, "policies": policies}
    parser.add_argument("--task", choices=tuple(tasks), default="pendulum")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    cores = snnx.use_cores(
        None if chosen.task == "pendulum" else 1
    )  # before anything makes an array: importing Brax does
    begin, on = time.perf_counter(), report.machine()
    tasks[chosen.task](chosen.seeds, chosen.rounds)
    names = ("jax", "equinox", *(("evosax", "brax") if chosen.task == "pendulum" else ("optax",)))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    print(
        f"\n{on['cpu']}, {cores} of {on['cores']} cores, {on['date']}, load {on['load']:.2f} before; snnx"
        f" {snnx.__version__}, {versions}; {time.perf_counter() - begin:.0f} s in all."
    )


if __name__ == "__main__":
    main()
