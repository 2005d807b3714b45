import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe, missing_extra, unknown_name
from snnx.control._environment import Environment

_OWN_STEP = "gymnax.environments.environment"  # where Gymnax defines the step that resets by itself


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

    **Raises:** `TypeError` for what is no such environment; `ValueError` for an unknown name; `MissingExtraError` for a name
    without Gymnax; at a rollout `ShapeError` for an action
    that does not fit its action space: of discrete actions one whole number (`Policy(..., action=jnp.argmax)`).
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
    return action if discrete else jax.numpy.asarray(action, dtype)
