"""A policy in an environment, step by step."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError
from snnx._jitted import as_jax, run_jitted
from snnx._typing import Count
from snnx._varying import varying_like
from snnx.cells import AbstractCell, State, Taps, cell_dtype, check_state, keep_where, zero_where_masked
from snnx.control._adapters import as_environment
from snnx.control._environment import Environment
from snnx.layers import Sequential
from snnx.neurons import AbstractNeuron
from snnx.simulation import Record, reductions_by_path


class RolloutState(eqx.Module):
    """Where a rollout stands: given back, and given to another to go on there.

    `ended`: whether the episode is over; `episode`: how many are.
    """

    observation: PyTree
    environment: PyTree
    policy: State
    ended: Bool[Array, ""]
    episode: Int[Array, ""]


class Trajectory(eqx.Module):
    """Every step of a rollout, `[length, ...]`; zeros behind the end of the episode.

    `observation` is what the policy saw before it chose `action`; `reward`, `terminated` and `truncated` are what the
    action led to. `alive`: whether the step counts. `state`: the environment's before the action, if asked for, to draw it by; it
    stands still behind the end.
    """

    observation: PyTree
    action: PyTree
    reward: Float[Array, "*length"]
    terminated: Bool[Array, "*length"]
    truncated: Bool[Array, "*length"]
    alive: Bool[Array, "*length"]
    state: PyTree = None


class Rollout(eqx.Module):
    """What `rollout` returns.

    - `returns`: the sum of the rewards that count.
    - `lengths`: how many steps count: those up to the end of the episode, the step that ends it included; with
        `auto_reset` all.
    - `episodes`: how many episodes came to an end.
    - `state`: where it stopped.
    - `trajectory`, `record`: what was asked for; else None and empty.
    """

    returns: Float[Array, ""]
    lengths: Int[Array, ""]
    episodes: Int[Array, ""]
    state: RolloutState
    trajectory: Trajectory | None
    record: dict[str, PyTree]


@checked
def rollout(
    policy: AbstractCell,
    env: Any,
    *,
    length: Count,
    key: Key[Array, ""],
    state: RolloutState | None = None,
    auto_reset: bool = False,
    trajectory: bool = False,
    env_states: bool = False,
    record: Record | None = None,
    truncate: Count | None = None,
) -> Rollout:
    r"""Let a policy act in an environment: a scan of `length` steps, with the neurons' state in its carry.

    $$ a_t, n_t = \text{policy}(o_t, n_{t-1}), \qquad o_{t+1}, e_{t+1}, r_t = \text{env}(e_t, a_t), \qquad
       R = \sum_{t \leq t_\text{end}} r_t $$

    One policy in one environment; `jax.vmap` over keys makes many episodes of it, over parameters a population. Pure, and
    differentiable as far as policy and environment are: of a differentiable one, `jax.grad` of `returns` is the analytic
    policy gradient. Backwards, each step is computed again from what stood before it.

    ```python
    one = snnx.rollout(policy, env, length=500, key=key)
    many = jax.vmap(lambda key: snnx.rollout(policy, env, length=500, key=key))(jax.random.split(key, 64))
    seen = snnx.rollout(policy, env, length=500, key=key, trajectory=True, record=["network.1"])
    more = snnx.rollout(policy, env, length=500, key=other, state=one.state)
    ```

    It is compiled by itself, once for arguments of a kind, as by `jax.jit`: what `env` or a function in the policy reads
    from outside is read once (docs/compilation.md). Make the environment once, too: two functions made anew are another.
    Within a program that is traced already, such as `evolve`'s, it is a part of that.

    **Arguments:**
    - `policy`: a `Policy`, or any cell whose output is an action. It runs in inference mode.
    - `env`: an environment of Gymnax or Brax as it is (or `gymnax.make(...)`), an `Environment`, or two functions (reset,
        step).
    - `length`: steps of the environment.
    - `key`: for everything random: the reset, the environment, and the policy, which gets one key an episode.
    - `state`: where to go on; by default a reset.
    - `auto_reset`: at the end of an episode a new one begins, with fresh neurons; else environment, neurons and sums stand
        still from there on.
    - `trajectory`: whether to keep observations, actions, rewards, ends of all steps; `env_states`: and the environment's
        states.
    - `record`: paths to parts of the policy, as in `simulate`; behind the end there are zeros. Of a `Policy` with an axis of
        ticks.
    - `truncate`: no gradient flows through environment and neurons across every `truncate`-th step.

    **Raises:** `TypeError`, `ShapeError`, `DtypeError` for an environment with another signature, or whose states change
    their shape, for actions that do not fit, and for observations that are not floats.
    """
    as_environment(env)
    if env_states and not trajectory:
        raise ValueError("rollout: env_states are part of a trajectory; pass trajectory=True too.")
    wanted = reductions_by_path("rollout", policy, record)
    state = as_jax(state)
    # The environment as it was given: an adapter made anew would be another function, and compile another program.
    found = run_jitted(_rollout, policy, env, length, key, state, auto_reset, trajectory, env_states, wanted, truncate)
    # A dict comes out of a program sorted; what was asked for first comes first.
    return dataclasses.replace(found, record={path: found.record[path] for path in wanted})


def _rollout(
    policy: AbstractCell,
    env: Any,
    length: int,
    key: Key[Array, ""],
    state: RolloutState | None,
    auto_reset: bool,
    trajectory: bool,
    env_states: bool,
    wanted: dict[str, Any],
    truncate: int | None,
) -> Rollout:
    """`rollout` behind its checks."""
    world = as_environment(env)
    policy = eqx.nn.inference_mode(policy)
    taps: Taps = tuple(wanted)
    key_reset, key_env, key_policy = jax.random.split(key, 3)
    fresh = _fresh(policy, world)
    begin = start = fresh(key_reset, jnp.zeros((), jnp.int32))
    if state is not None:
        check_state("rollout: state", state, begin)
        begin = eqx.tree_at(lambda s: s.episode, begin, state.episode)
        start = keep_where(state.ended, begin, state) if auto_reset else state

    def step(carry: RolloutState, number: Array) -> tuple[RolloutState, PyTree]:
        if truncate is not None:
            cut = (number > 0) & (number % truncate == 0)
            carry = jax.tree.map(lambda x: jnp.where(cut, jax.lax.stop_gradient(x), x), carry)
        alive = ~carry.ended
        # Behind the end the environment may be undefined, and 0 times a derivative that is NaN is NaN: step from a beginning
        # instead, and count nothing of it.
        now = (carry.observation, carry.environment)
        if not auto_reset:
            now = keep_where(alive, now, (begin.observation, begin.environment))
        key_now = jax.random.fold_in(key_policy, carry.episode)
        action, neurons, seen = _act(policy, now[0], carry.policy, key_now, taps)
        key_step, key_again = jax.random.split(jax.random.fold_in(key_env, number))
        new = world.advance(now[1], action, key_step)
        _check_observation(new.observation, now[0])
        ends = alive & (new.terminated | new.truncated)
        episode = carry.episode + ends.astype(jnp.int32)
        after = RolloutState(_cast(new.observation, policy), new.state, neurons, ends, episode)
        if auto_reset:
            after = keep_where(ends, fresh(key_again, episode), after)
        else:  # what is over stands still, so that nothing in it can grow without bounds
            after = keep_where(alive, after, carry)
        reward = jnp.where(alive, new.reward, 0.0)
        steps = Trajectory(
            zero_where_masked(alive, carry.observation),
            zero_where_masked(alive, action),
            reward,
            alive & new.terminated,
            alive & new.truncated,
            alive,
            carry.environment if env_states else None,
        )
        return after, (reward, alive, steps if trajectory else None, zero_where_masked(alive, seen))

    body = jax.checkpoint(step, prevent_cse=False)
    begin, start = varying_like((begin, start), policy, env, key, state)
    last, (rewards, alive, steps, seen) = jax.lax.scan(body, start, jnp.arange(length, dtype=jnp.int32))
    return Rollout(
        jnp.sum(rewards),
        jnp.sum(alive, dtype=jnp.int32),
        last.episode - start.episode,
        last,
        steps,
        {path: _reduce(wanted[path], trace, alive) for path, trace in seen.items()},
    )


def _fresh(policy: AbstractCell, world: Environment) -> Callable[[Array, Array], RolloutState]:
    """The beginning of an episode."""

    def start(key: Array, episode: Array) -> RolloutState:
        observation, environment = world.start(key)
        _check_named(observation, policy)
        observation = _cast(observation, policy)
        neurons = policy.init_state(jax.tree.map(lambda x: x.shape, observation))
        return RolloutState(observation, environment, neurons, jnp.array(False), episode)

    return start


def _cast(observation: PyTree, policy: AbstractCell) -> PyTree:
    """The observation in the policy's dtype: an environment knows nothing of that."""
    return jax.tree.map(lambda x: x.astype(cell_dtype(policy)), observation)


def _act(policy: AbstractCell, observation: PyTree, state: State, key: Array, taps: Taps) -> tuple[Any, State, dict]:
    if not taps:
        return (*policy(observation, state, key=key), {})
    ys, state, seen = policy.over_time(jax.tree.map(lambda x: x[None], observation), state, key=key, taps=taps)
    return jax.tree.map(lambda y: y[0], ys), state, {path: trace[0] for path, trace in seen.items()}


def _reduce(reduction: Any, trace: Array, alive: Bool[Array, "length"]) -> PyTree:
    """A reduction, or several, of what was recorded, over the steps that count."""
    if isinstance(reduction, tuple):
        return tuple(_reduce(r, trace, alive) for r in reduction)
    if reduction.stacks:
        return trace
    like = jax.ShapeDtypeStruct(trace.shape[1:], trace.dtype)
    carry = reduction.init(like, jnp.sum(alive, dtype=jnp.int32))
    times = jnp.arange(trace.shape[0], dtype=jnp.int32)
    return reduction.finish(reduction.step(carry, trace, times, alive))


def _check_named(observation: PyTree, policy: AbstractCell) -> None:
    """Refuse several observations by name where the policy has one input."""
    network = getattr(policy, "network", policy)
    if isinstance(observation, Mapping) and isinstance(network, (Sequential, AbstractNeuron)):
        names = list(observation)
        raise ShapeError(
            f"rollout: the environment observes several things by name ({', '.join(map(str, names))}), but the policy has one"
            f" input; choose one: from_brax(env, observe=lambda seen: seen[{names[0]!r}])."
        )


def _check_observation(new: PyTree, first: PyTree) -> None:
    """Refuse an observation of another kind than the first."""
    kinds = [jax.tree.map(lambda x: x.shape, tree) for tree in (new, first)]
    if kinds[0] != kinds[1]:
        raise ShapeError(
            f"rollout: step of the environment gives an observation of shape {kinds[0]}, but reset one of {kinds[1]}; expected"
            " the same at every step."
        )
