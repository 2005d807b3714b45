"""Recurrent PPO with spiking neurons: an example of what stands on `rollout`, not a part of the library.

    python benchmarks/ppo.py [--env cartpole|cartpole_positions|inverted_pendulum] [--updates 60] [--seeds 1]

One recurrent layer of LIF neurons; its readout gives logits (or means of real actions) and the value. The neurons live on
from step to step, and are fresh where an episode begins. A round is collected by `snnx.rollout(auto_reset=True)`; an update
runs the network over the same observations again, from the neurons' state at the beginning of the round, so that its
gradient goes back through time. Minibatches are of environments, whole rounds long. All updates are one compiled program.

`cartpole_positions` hides the speeds: only who remembers can balance.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

import snnx


class Settings(NamedTuple):
    """What there is to choose."""

    updates: int
    environments: int = 32
    steps: int = 128
    epochs: int = 4
    minibatches: int = 4
    rate: float = 5e-3
    discount: float = 0.99
    smooth: float = 0.95  # lambda of the generalised advantage estimate
    clip: float = 0.2
    value: float = 0.5
    entropy: float = 0.01
    hidden: int = 64


class Task(NamedTuple):
    """An environment, and what is known of it: `discrete` says whether actions are whole numbers."""

    env: snnx.control.Environment
    observations: int
    actions: int
    discrete: bool
    length: int
    updates: int


def task(name: str) -> Task:
    if name == "inverted_pendulum":
        env = snnx.control.from_brax("inverted_pendulum", backend="spring")
        return Task(env, 4, 1, False, 1000, 60)
    import gymnax

    env, params = gymnax.make("CartPole-v1")
    if name == "cartpole":
        return Task(snnx.control.from_gymnax(env, params), 4, 2, True, 500, 60)
    positions = snnx.control.from_gymnax(env, params, observe=lambda seen: seen[jnp.array([0, 2])])
    return Task(positions, 2, 2, True, 500, 300)


class Actor(snnx.AbstractCell):
    """A policy that draws its actions; `network` gives what they are drawn by, and in the last place the value.

    `rollout` gives a policy one key an episode. The noise of a step comes from that key and the number of the step, which
    the state of a `snnx.Policy` counts.
    """

    network: snnx.Policy
    spread: Array | None  # of real actions the logarithm of their standard deviation; None: whole numbers are drawn

    def init_state(self, shape: Any) -> PyTree:
        return self.network.init_state(shape)

    def __call__(self, x: Array, state: PyTree, *, key: Array | None = None) -> tuple[Array, PyTree]:
        if key is None:
            raise ValueError("Actor: draws its actions and needs a key.")
        y, new = self.network(x, state)
        now = jax.random.fold_in(key, state.step)
        if self.spread is None:
            return jax.random.categorical(now, y[:-1]), new
        return y[:-1] + jnp.exp(self.spread) * jax.random.normal(now, y[:-1].shape), new

    def judged(self, y: Array, action: Array) -> tuple[Array, Array, Array]:
        """Log-probability of an action, value, entropy."""
        if self.spread is None:
            logs = jax.nn.log_softmax(y[:-1])
            return logs[action], y[-1], -jnp.sum(jnp.exp(logs) * logs)
        logs = jax.scipy.stats.norm.logpdf(action, y[:-1], jnp.exp(self.spread))
        return logs.sum(), y[-1], jnp.sum(self.spread + 0.5 * jnp.log(2 * jnp.pi * jnp.e))

    def likeliest(self) -> snnx.Policy:
        """The policy without noise."""
        return snnx.Policy(self.network, action=lambda y: jnp.argmax(y[:-1]) if self.spread is None else y[:-1])


def make_actor(given: Task, settings: Settings, key: Array) -> Actor:
    """Observations - recurrent LIF, time constants of 2 to 20 steps - a leaky readout of actions and value."""
    key_in, key_back, key_out = jax.random.split(key, 3)
    size, outputs = settings.hidden, given.actions + 1
    tau = snnx.Positive(jnp.geomspace(2.0, 20.0, size))
    readout = eqx.nn.Linear(size, outputs, key=key_out)
    readout = jax.tree.map(lambda x: 0.1 * x if eqx.is_array(x) else x, readout)  # at first all actions are alike
    network = snnx.Sequential(
        [
            eqx.nn.Linear(given.observations, size, key=key_in),
            snnx.Recurrent(snnx.LIF(tau=tau), eqx.nn.Linear(size, size, use_bias=False, key=key_back)),
            readout,
            snnx.LI(tau=2.0),
        ]
    )
    return Actor(snnx.Policy(network), None if given.discrete else jnp.full(given.actions, -0.5))


def replayed(actor: Actor, seen: snnx.control.Trajectory, neurons: PyTree) -> tuple[Array, Array, Array]:
    """Log-probabilities of what was done, values and entropies, `[steps]` each, by the actor as it is now."""
    fresh = actor.init_state(seen.observation.shape[1:])

    def step(neurons: PyTree, now: snnx.control.Trajectory) -> tuple[PyTree, tuple]:
        y, after = actor.network(now.observation, neurons)
        over = now.terminated | now.truncated
        return jax.tree.map(lambda f, a: jnp.where(over, f, a), fresh, after), actor.judged(y, now.action)

    return jax.lax.scan(step, neurons, seen)[1]


def advantages(seen: snnx.control.Trajectory, values: Array, last: Array, settings: Settings) -> Array:
    """The generalised advantage estimate of every step; `last` is the value of what stands behind the round.

    Where time was up more would have followed, but it is not known what was observed then: the value of the observation
    before stands for it. Rewards are weighed by 1 - discount, so that values are means of rewards and of their size.
    """
    over = seen.terminated | seen.truncated
    following = jnp.where(over, 0.0, jnp.append(values[1:], last))
    following = jnp.where(seen.truncated & ~seen.terminated, values, following)
    errors = (1.0 - settings.discount) * seen.reward + settings.discount * following - values

    def step(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        error, over = now
        advantage = error + settings.discount * settings.smooth * jnp.where(over, 0.0, later)
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros(()), (errors, over), reverse=True)[1]


def loss(params: PyTree, rest: PyTree, batch: tuple, settings: Settings) -> Array:
    """The clipped objective, the values' error, and entropy."""
    seen, neurons, logs_before, gains, targets = batch
    actor = snnx.combine(params, rest)
    logs, values, entropies = jax.vmap(lambda *one: replayed(actor, *one))(seen, neurons)
    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
    ratio = jnp.exp(logs - logs_before)
    objective = jnp.minimum(ratio * gains, jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip) * gains)
    error = jnp.mean((values - targets) ** 2)
    return -objective.mean() + settings.value * error - settings.entropy * entropies.mean()


def finished(so_far: Array, seen: snnx.control.Trajectory) -> tuple[Array, tuple[Array, Array]]:
    """The return of the episode under way; at every step the return of the episode that ended there, and if one did."""

    def step(total: Array, now: snnx.control.Trajectory) -> tuple[Array, tuple[Array, Array]]:
        total, over = total + now.reward, now.terminated | now.truncated
        return jnp.where(over, 0.0, total), (jnp.where(over, total, 0.0), over)

    return jax.lax.scan(step, so_far, seen)


def training(actor: Actor, env: snnx.control.Environment, settings: Settings) -> tuple[Callable, PyTree, PyTree]:
    """The training as a function of parameters and a key, to new parameters and the mean return of the episodes that ended
    in each round (not a number where none did); the parameters to begin with, and the rest of the actor."""
    params, rest = snnx.partition(actor)
    minibatches = settings.epochs * settings.minibatches
    schedule = optax.linear_schedule(settings.rate, 0.0, settings.updates * minibatches)
    solver = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(schedule))

    def collected(actor: Actor, worlds: Any, key: Array, steps: int) -> snnx.control.Rollout:
        def one(world: Any, key: Array) -> snnx.control.Rollout:
            return snnx.rollout(actor, env, length=steps, key=key, state=world, auto_reset=True, trajectory=True)

        keys = jax.random.split(key, settings.environments)
        return jax.vmap(one, in_axes=(None if worlds is None else 0, 0))(worlds, keys)

    def update(carry: tuple, key: Array) -> tuple[tuple, Array]:
        params, state, worlds, so_far = carry
        key_collect, key_order = jax.random.split(key)
        actor = snnx.combine(params, rest)
        found = collected(actor, worlds, key_collect, settings.steps)
        seen, now = found.trajectory, found.state
        logs, values, _ = jax.vmap(lambda *one: replayed(actor, *one))(seen, worlds.policy)
        last = jax.vmap(lambda x, neurons: actor.network(x, neurons)[0][-1])(now.observation, now.policy)
        gains = jax.vmap(lambda *one: advantages(*one, settings))(seen, values, last)
        data = (seen, worlds.policy, logs, gains, gains + values)

        def minibatch(carry: tuple, rows: Array) -> tuple[tuple, None]:
            params, state = carry
            gradient = jax.grad(loss)(params, rest, jax.tree.map(lambda x: x[rows], data), settings)
            updates, state = solver.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(key_order, settings.epochs)
        order = jax.vmap(lambda key: jax.random.permutation(key, settings.environments))(keys)
        (params, state), _ = jax.lax.scan(minibatch, (params, state), order.reshape(minibatches, -1))
        so_far, (returns, ends) = jax.vmap(finished)(so_far, seen)
        return (params, state, now, so_far), returns.sum() / ends.sum()

    def train(params: PyTree, key: Array) -> tuple[PyTree, Array]:
        key_start, key_updates = jax.random.split(key)
        worlds = collected(snnx.combine(params, rest), None, key_start, 1).state
        start = (params, solver.init(params), worlds, jnp.zeros(settings.environments))
        (params, *_), curve = jax.lax.scan(update, start, jax.random.split(key_updates, settings.updates))
        return params, curve

    return train, params, rest


@eqx.filter_jit
def tested(policy: snnx.Policy, given: Task, key: Array) -> Array:
    """The returns of 128 fresh episodes."""
    run = lambda key: snnx.rollout(policy, given.env, length=given.length, key=key).returns
    return jax.vmap(run)(jax.random.split(key, 128))


def mean_of(returns: np.ndarray) -> str:
    """The mean of those rounds in which an episode ended."""
    there = returns[~np.isnan(returns)]
    return f"{there.mean():.0f}" if there.size else "none ended"


def main() -> None:
    """Train, and test without noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=("cartpole", "cartpole_positions", "inverted_pendulum"), default="cartpole")
    parser.add_argument("--updates", type=int, default=0, help="by default 60, for cartpole_positions 300")
    parser.add_argument("--seeds", type=int, default=1)
    chosen = parser.parse_args()
    given = task(chosen.env)
    settings = Settings(chosen.updates or given.updates)
    print("| seed | tested: mean return | worst | steps | compile s | run s | returns of every sixth of the training |")
    print("|---|---|---|---|---|---|---|")
    for seed in range(chosen.seeds):
        key_make, key_train, key_test = jax.random.split(jax.random.key(seed), 3)
        train, params, rest = training(make_actor(given, settings, key_make), given.env, settings)
        begin = time.perf_counter()
        program = jax.jit(train).lower(params, key_train).compile()
        compiled = time.perf_counter()
        params, curve = jax.block_until_ready(program(params, key_train))
        seconds = time.perf_counter() - compiled
        returns = tested(snnx.combine(params, rest).likeliest(), given, key_test)
        steps = settings.updates * settings.environments * settings.steps
        sixths = ", ".join(map(mean_of, np.array_split(np.asarray(curve), 6)))
        times = f"{compiled - begin:.1f} | {seconds:.1f}"
        print(f"| {seed} | {returns.mean():.1f} | {returns.min():.0f} | {steps} | {times} | {sixths} |", flush=True)


if __name__ == "__main__":
    main()
