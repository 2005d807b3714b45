"""A model in two parts, what a solver moves and the rest, and the first of them as one vector."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx.parameters._parameter import trainable as trainable_by_default

_Model = TypeVar("_Model")


@checked
def partition(model: PyTree, trainable: Callable[[PyTree], PyTree] = trainable_by_default) -> tuple[PyTree, PyTree]:
    """A model as what is trained or evolved, and the rest; `combine` puts them together again.

    ```python
    params, rest = snnx.partition(model)
    same = snnx.combine(params, rest)
    ```

    **Arguments:**
    - `model`: any PyTree.
    - `trainable`: from a model to a PyTree of bools: which arrays go into the first part; by default every array of
        floats that is not in a `Frozen`. Numbers, functions and whole numbers stay in the rest.

    **Returns:** two PyTrees of the structure of `model`, with None where the other one has the leaf.

    **Raises:** `ValueError` if there is nothing to train; `TypeError` if `trainable` marks something other than an array
    of floats.
    """
    params, rest = eqx.partition(model, trainable(model))
    check_params("partition", params)
    return params, rest


def check_params(where: str, params: PyTree) -> None:
    """Refuse what no solver can move: other leaves than arrays of floats, and nothing at all."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError(
            f"{where}: there is nothing to train; the model has no array of floats that `trainable` lets through."
        )
    for path, leaf in leaves:
        if not (eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)):
            raise TypeError(
                f"{where}: the leaf {jax.tree_util.keystr(path) or 'params'} is {describe(leaf)}, and only arrays of floats"
                " can be moved; take the first part of snnx.partition(model) for params."
            )


@checked
def combine(params: PyTree, rest: PyTree) -> PyTree:
    """The model of which `partition` made `params` and `rest`. Within `jax.vmap` over `params`, one model of many.

    **Raises:** `ValueError` if the two are not parts of one model.
    """
    mine, other = (jax.tree.structure(part, is_leaf=lambda leaf: leaf is None) for part in (params, rest))
    leaves = [jax.tree.leaves(part, is_leaf=lambda leaf: leaf is None) for part in (params, rest)]
    twice = any(a is not None and b is not None for a, b in zip(*leaves, strict=False))
    if mine != other or twice:
        raise ValueError(
            "combine: params and rest are not the parts of one model; take both from one call of snnx.partition(model)."
        )
    return eqx.combine(params, rest)


@checked
def flatten(model: PyTree) -> Float[Array, "size"]:
    """All that would be trained, as one vector: the leaves in their order, each in C order.

    ```python
    vector = snnx.parameters.flatten(model)                          # [size]
    moved = snnx.parameters.unflatten(vector + 0.1, model)
    ```

    Leaves of several float dtypes give a vector of the widest. A model and the `params` of `partition(model)` give the
    same vector.

    **Raises:** `ValueError` if there is nothing to train.
    """
    params, _ = partition(model)
    leaves = jax.tree.leaves(params)
    dtype = jnp.result_type(*leaves)
    return jnp.concatenate([leaf.astype(dtype).ravel() for leaf in leaves])


@checked
def unflatten(vector: Float[Array, "size"], like: _Model) -> _Model:
    """The model `like` with the numbers of a vector in the places from which `flatten` takes them.

    A population `[members, size]` is a `jax.vmap` of it: `jax.vmap(lambda v: snnx.parameters.unflatten(v, model))(population)`.

    **Arguments:** `vector`: `[size]`; each stretch of it is cast to the dtype of the leaf that it becomes. `like`: a model,
    or the `params` of one.

    **Raises:** `ShapeError` for a vector of another length.
    """
    params, rest = partition(like)
    leaves, structure = jax.tree.flatten(params)
    size = sum(leaf.size for leaf in leaves)
    if vector.shape != (size,):
        raise ShapeError(f"unflatten: vector is {describe(vector)}, but the model has {size} numbers to train.")
    new, start = [], 0
    for leaf in leaves:
        new.append(vector[start : start + leaf.size].reshape(leaf.shape).astype(leaf.dtype))
        start += leaf.size
    return eqx.combine(jax.tree.unflatten(structure, new), rest)
