"""Environments of Gymnax and Brax as ours, known by their methods: neither library is imported unless a name asks for it."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe, missing_extra, unknown_name
from snnx.control._environment import Environment, check_action

_OWN_STEP = "gymnax.environments.environment"  # where Gymnax defines the step that resets by itself


@checked
def from_gymnax(env: Any, params: PyTree = None, *, observe: Callable[[PyTree], PyTree] | None = None) -> Environment:
    """An environment of Gymnax, 1.x (whose step gives six values) or 0.x (five).

    ```python
    cart_pole = snnx.control.from_gymnax("CartPole-v1")
    cart_pole = snnx.control.from_gymnax(*gymnax.make("CartPole-v1"))      # the same
    ```

    Gymnax resets an environment within its `step`, at every step, and chooses afterwards. An environment of its own is
    therefore stepped by `step_env`, and reset by `rollout` where that is asked for. A wrapper is stepped by its `step`:
    what it observes after an end belongs to the next episode, which `rollout` masks.

    **Arguments:**
    - `env`: a name, or what `gymnax.make` gives first.
    - `params`: as it gives them second; `env.default_params` by default.
    - `observe`: as in `Environment`.

    **Raises:** `TypeError` for what is not such an environment; `ValueError` for an unknown name; `MissingExtraError` for a
    name without Gymnax; at a rollout `ShapeError` for an action that does not fit its action space: of discrete actions one
    whole number (`Policy(..., action=jnp.argmax)`).
    """
    if isinstance(env, str):
        try:
            import gymnax  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            missing_extra("from_gymnax", "gymnax", "evo", error)
        if env not in gymnax.registered_envs:
            raise ValueError(unknown_name("from_gymnax", "environment", env, gymnax.registered_envs))
        env, default = gymnax.make(env)
        params = default if params is None else params
    if isinstance(env, type) or not is_gymnax(env):
        raise TypeError(
            f"from_gymnax: env is {describe(env)}; expected an environment of Gymnax, with reset(key, params), step(key,"
            " state, action, params) and default_params."
        )
    params = env.default_params if params is None else params
    own = getattr(getattr(type(env), "step", None), "__module__", None) == _OWN_STEP
    space = env.action_space(env.default_params) if hasattr(env, "action_space") else None
    name = str(getattr(env, "name", type(env).__name__))

    def reset(key: Array) -> tuple[PyTree, PyTree]:
        return (env.reset_env if own else env.reset)(key, params)

    def step(state: PyTree, action: PyTree, key: Array) -> tuple:
        action = _fitting(name, space, action)
        found = env.step_env(key, state, action, params) if own else env.step(key, state, action, params)
        if not isinstance(found, tuple) or len(found) not in (5, 6):
            count = f"{len(found)} values" if isinstance(found, tuple) else describe(found)
            raise TypeError(f"from_gymnax: {name}.step gives {count}; expected six (Gymnax 1.x) or five (0.x).")
        observation, state, reward, ended, *more = found
        if len(found) == 6:
            return observation, state, reward, ended, more[0]
        if own and hasattr(env, "is_truncated"):  # 1.x: the time limit stands beside step_env
            return observation, state, reward, ended, env.is_truncated(state, params)
        return observation, state, reward, ended

    return Environment(reset, step, observe)


def is_gymnax(env: Any) -> bool:
    """Whether something looks like an environment of Gymnax."""
    return all(hasattr(env, name) for name in ("reset", "step", "default_params"))


def _fitting(name: str, space: Any, action: Any) -> Any:
    """The action in the dtype that the space has, once it is known to be one of its kind."""
    shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None or not hasattr(action, "dtype"):
        return action
    discrete = jnp.issubdtype(dtype, jnp.integer)
    if discrete and (action.shape != shape or not jnp.issubdtype(action.dtype, jnp.integer)):
        raise ShapeError(
            f"from_gymnax: {name} takes one of {getattr(space, 'n', 'several')} actions, a whole number, but the policy"
            f" gives {describe(action)}; choose one: snnx.Policy(..., action=jnp.argmax)."
        )
    if not discrete and action.shape != shape:
        if action.size != math.prod(shape):
            raise ShapeError(
                f"from_gymnax: {name} takes actions of shape {shape}, but the policy gives {describe(action)}; give its"
                " last layer as many outputs."
            )
        return jnp.reshape(action, shape)
    return action if discrete else jnp.asarray(action, dtype)


@checked
def from_brax(env: Any, *, observe: Callable[[PyTree], PyTree] | None = None, **options: Any) -> Environment:
    """An environment of Brax, or one alike (MuJoCo Playground): `reset(key) -> State`, `step(State, action) -> State`,
    where a `State` has `obs`, `reward` and `done`.

    ```python
    pendulum = snnx.control.from_brax("inverted_pendulum", backend="spring")
    pendulum = snnx.control.from_brax(brax.envs.get_environment("inverted_pendulum", backend="spring"))   # the same
    walker = snnx.control.from_brax(mujoco_playground.registry.load("WalkerWalk"), observe=lambda obs: obs["state"])
    ```

    Take the bare environment (`get_environment`), not one that resets by itself (`create`): `rollout` ends episodes, and
    starts new ones where asked to. An episode has the length of the rollout, unless the environment ends it before. What
    Brax's `EpisodeWrapper` says of time that is up (`info["truncation"]`) is taken over.

    **Arguments:** `env`: a name of Brax's, or an environment; `observe`: as in `Environment`, of dicts of observations the
    part to act on; `options`: of `brax.envs.get_environment`, with a name.

    **Raises:** `TypeError` for what is not such an environment; `ValueError` for an unknown name; `MissingExtraError` for a name
    without Brax; at a rollout `ShapeError` for an action of another size than `env.action_size`.
    """
    if isinstance(env, str):
        try:
            import brax.envs  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            missing_extra("from_brax", "brax", "brax", error)
        known = brax.envs._envs
        if env not in known:
            raise ValueError(unknown_name("from_brax", "environment", env, known))
        env = brax.envs.get_environment(env, **options)
    elif options:
        raise TypeError(f"from_brax: {', '.join(options)} go with a name; this environment is made already.")
    if isinstance(env, type) or not is_brax(env):
        raise TypeError(
            f"from_brax: env is {describe(env)}; expected an environment of Brax or MuJoCo Playground, with reset(key) and"
            " step(state, action)."
        )
    name = type(getattr(env, "unwrapped", env)).__name__

    def reset(key: Array) -> tuple[PyTree, PyTree]:
        state = env.reset(key)
        missing = [part for part in ("obs", "reward", "done") if not hasattr(state, part)]
        if missing:
            raise TypeError(f"from_brax: {name}.reset gives {describe(state)} without {', '.join(missing)}.")
        return state.obs, state

    def step(state: PyTree, action: PyTree, key: Array) -> tuple:
        check_action(f"from_brax: {name}", action, env.action_size)
        new = env.step(jax.tree.map(lambda x: x, state), action)  # wrappers of Brax write into the info that they get
        info = getattr(new, "info", None)
        truncated = info.get("truncation", False) if isinstance(info, dict) else False
        ended = jnp.asarray(new.done).astype(bool) & ~jnp.asarray(truncated).astype(bool)
        return new.obs, new, new.reward, ended, truncated

    return Environment(reset, step, observe)


def is_brax(env: Any) -> bool:
    """Whether something looks like an environment of Brax."""
    # Looked up without being read: Brax finds its `observation_size` by a reset.
    missing = object()
    names = ("reset", "step", "action_size", "observation_size")
    return all(inspect.getattr_static(env, name, missing) is not missing for name in names)


def as_environment(given: Any) -> Environment:
    """An environment from what the user gave: one of ours, of Gymnax, of Brax or alike, or a pair of functions.

    No other kinds can be registered: any other is an `Environment` of two functions, which is as short.
    """
    if isinstance(given, Environment):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        if is_gymnax(given[0]) and not callable(given[1]):  # what gymnax.make gives
            return from_gymnax(*given)
        if all(map(callable, given)):
            return Environment(*given)
    if is_brax(given):
        return from_brax(given)
    if is_gymnax(given):
        return from_gymnax(given)
    raise TypeError(
        f"rollout: env is {describe(given)}; expected an environment of Gymnax or Brax (snnx.control.from_gymnax(name),"
        " from_brax(name)), or two functions: snnx.control.Environment(reset, step)."
    )
