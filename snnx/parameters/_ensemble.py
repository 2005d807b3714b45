"""Many models of one structure, as one PyTree with a leading axis."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe


@checked
def init_ensemble(make: Callable[..., PyTree], keys: Key[Array, "members"], *more: Any) -> PyTree:
    """As many models as there are keys, made side by side: every array gets a leading axis.

    ```python
    def make(key, threshold):
        k1, k2 = jax.random.split(key)
        neurons = snnx.LIF(threshold=snnx.Frozen(threshold))       # differs between the members, and is not trained
        return snnx.Sequential([eqx.nn.Linear(64, 32, key=k1), neurons, eqx.nn.Linear(32, 10, key=k2), snnx.LI()])

    models = snnx.parameters.init_ensemble(make, jax.random.split(key, 32), jnp.linspace(0.5, 2.0, 32))
    outputs = eqx.filter_vmap(lambda model: snnx.simulate(model, xs)[0])(models)
    ```

    **Arguments:**
    - `make`: from a key, and one entry of each of `more`, to a model.
    - `keys`: `[members]`, from `jax.random.split`.
    - `more`: arrays `[members, ...]`, or PyTrees of such: what else differs between the members.

    **Returns:** one PyTree: a model as `make` gives it, its arrays with a leading axis of `members`. Whatever is not an
    array is the same for all. `member(models, i)` takes one out.

    **Raises:** `TypeError`, `ShapeError` for keys or arrays without such an axis.
    """
    for leaf in jax.tree.leaves(more):
        if not eqx.is_array_like(leaf) or jnp.shape(leaf)[:1] != keys.shape:
            raise ShapeError(
                f"init_ensemble: there are {keys.shape[0]} keys, but more has {describe(leaf)}; expected arrays of one entry"
                f" a key, [{keys.shape[0]}, ...]: jnp.array([...]). What all share goes into make itself."
            )
    return eqx.filter_vmap(make)(keys, *jax.tree.map(jnp.asarray, more))


@checked
def members(models: PyTree) -> int:
    """How many models a stack holds: the length of the leading axis that all of its arrays share.

    **Raises:** `ShapeError` if they share none.
    """
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(models) if eqx.is_array(leaf)}
    if len(sizes) != 1 or sizes == {()}:
        raise ShapeError(
            f"members: models has arrays with leading axes {sorted(sizes)}; expected one length for all, as in a stack made by"
            " snnx.parameters.init_ensemble."
        )
    return sizes.pop()[0]


@checked
def member(models: PyTree, index: int | Int[Array, ""]) -> PyTree:
    """One model of a stack of them.

    **Raises:** `ShapeError` if `models` is not a stack; `IndexError` if there is no such member.
    """
    count = members(models)
    if isinstance(index, int) and not -count <= index < count:
        raise IndexError(f"member: index is {index}, but there are {count} models.")
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, models)
