"""An environment as two functions, and what one step of it gives."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe


class Transition(eqx.Module):
    """What a step of an environment gives: the observation and state after it, the reward for it, and whether the episode
    ended: by the rules of the task (`terminated`), or because its time was up (`truncated`)."""

    observation: PyTree
    state: PyTree
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


@checked
class Environment(eqx.Module):
    """An environment for `rollout`: two pure functions of one episode, without a batch axis.

    ```python
    def reset(key):
        position = jax.random.uniform(key, minval=-1.0, maxval=1.0)
        return position[None], position                                     # observation, state

    def step(state, action, key):
        state = state + 0.1 * action[0]
        return state[None], state, -(state**2), jnp.abs(state) > 2.0        # observation, state, reward, done

    env = snnx.control.Environment(reset, step)
    ```

    **Arguments:**
    - `reset`: from a key to the observation and the state, any PyTrees.
    - `step`: from state, action and a key to `(observation, state, reward, done)`, or to `(observation, state, reward,
        terminated, truncated)`. It does not reset by itself.
    - `observe`: what the policy sees of an observation, e.g. `lambda seen: seen["state"]`; all of it by default.

    **Raises:** `TypeError` unless these are functions of such arguments. What they return is checked at the first `rollout`.
    """

    reset: Callable[..., Any]
    step: Callable[..., Any]
    observe: Callable[[PyTree], PyTree] | None = None

    def __check_init__(self):
        _check_signature("reset", self.reset, ("key",))
        _check_signature("step", self.step, ("state", "action", "key"))

    def start(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """The observation, as the policy sees it, and the state at the beginning of an episode."""
        found = self.reset(key)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"Environment: reset gives {_kinds(found)}; expected two things: observation, state.")
        return self._seen(found[0]), jax.tree.map(jnp.asarray, found[1])

    def advance(self, state: PyTree, action: PyTree, key: Key[Array, ""]) -> Transition:
        """One step, in the shapes and dtypes that the first state had."""
        found = self.step(state, action, key)
        if not isinstance(found, tuple) or len(found) not in (4, 5):
            raise TypeError(
                f"Environment: step gives {_kinds(found)}; expected (observation, state, reward, done), or (observation,"
                " state, reward, terminated, truncated). Environments of Gymnax go in through snnx.control.from_gymnax,"
                " of Brax through snnx.control.from_brax."
            )
        observation, new, reward, terminated, *rest = found
        return Transition(
            self._seen(observation),
            _like("state", new, state),
            _number("reward", reward).astype(jnp.zeros(()).dtype),
            _number("done" if not rest else "terminated", terminated).astype(bool),
            _number("truncated", rest[0]).astype(bool) if rest else jnp.array(False),
        )

    def _seen(self, observation: PyTree) -> PyTree:
        seen = observation if self.observe is None else self.observe(observation)
        seen = jax.tree.map(jnp.asarray, seen)
        for leaf in jax.tree.leaves(seen):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise DtypeError(
                    f"Environment: the observation is {describe(leaf)}, but a policy takes floats; pass observe=, e.g."
                    " observe=lambda seen: seen.astype(float)."
                )
        return seen


def check_action(where: str, action: Any, size: int) -> None:
    """Refuse an action of another size."""
    if jnp.shape(action) != (size,):
        raise ShapeError(
            f"{where}: takes actions [{size}], but the policy gives {describe(action)}; give its last layer {size}"
            f" output{'s' if size != 1 else ''}."
        )


def _check_signature(name: str, function: Callable, wanted: tuple[str, ...]) -> None:
    """Refuse a function that cannot be called with so many arguments."""
    try:
        inspect.signature(function).bind(*wanted)
    except TypeError:
        raise TypeError(
            f"Environment: {name} takes {inspect.signature(function)}; expected {name}({', '.join(wanted)})."
        ) from None
    except ValueError:  # some built-in functions have no signature
        return


def _like(what: str, new: PyTree, old: PyTree) -> PyTree:
    """`new` with the dtypes of `old`, where only JAX's weak types differ; refused where anything else does."""
    if jax.tree.structure(new) != jax.tree.structure(old):
        raise TypeError(
            f"Environment: step gives a {what} of another structure than the one that it was given:"
            f" {describe(jax.tree.structure(new))} instead of {describe(jax.tree.structure(old))}."
        )
    return jax.tree_util.tree_map_with_path(lambda path, n, o: _cast(what, path, n, o), new, old)


def _cast(what: str, path: Any, new: Any, old: Array) -> Array:
    new = jnp.asarray(new)
    # A number of no dtype of its own takes that of the state, if both are whole or both are not.
    fits = new.dtype == old.dtype or (new.weak_type and new.dtype.kind == old.dtype.kind)
    if new.shape != old.shape or not fits:
        place = jax.tree_util.keystr(path)
        whole = jnp.issubdtype(old.dtype, jnp.integer) and jnp.issubdtype(new.dtype, jnp.floating)
        hint = " (a 0 in reset is a whole number, 0.0 is a float)" if whole else ""
        raise ShapeError(
            f"Environment: step gives {what}{place} as {describe(new)}, but it was given {describe(old)}; expected the same"
            f" shape and dtype at every step{hint}."
        )
    return new.astype(old.dtype)


def _number(what: str, value: Any) -> Array:
    if value is None:
        raise TypeError(f"Environment: step gives {what} as None; expected one number.")
    array = jnp.asarray(value)
    if array.shape != ():
        raise ShapeError(
            f"Environment: step gives {what} as {describe(array)}; expected one number. An environment of a whole batch is"
            " vmapped from outside: jax.vmap over rollout."
        )
    return array


def _kinds(found: Any) -> str:
    """How many things came, and which."""
    if isinstance(found, tuple):
        return f"{len(found)} things ({', '.join(type(x).__name__ for x in found)})"
    return f"a {type(found).__name__}"
