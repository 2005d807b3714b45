import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe, missing_extra, unknown_name
from snnx.control._environment import Environment


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

    **Raises:** `TypeError` for what is no such environment; `ValueError` for an unknown name; `MissingExtraError` for a name
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
        size = env.action_size
        if jnp.shape(action) != (size,):
            raise ShapeError(
                f"from_brax: {name} takes actions [{size}], but the policy gives {describe(action)}; give its last layer"
                f" {size} output{'s' if size != 1 else ''}."
            )
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
