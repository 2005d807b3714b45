"""Metrics of classes, and the weighted mean that all metrics take."""

from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from snnx._checks import checked
from snnx._typing import Count

Weights: TypeAlias = Float[Array, "batch"] | Bool[Array, "batch"] | None


@checked
def accuracy(
    scores: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"],
    weights: Weights = None,
) -> Float[Array, ""]:
    """The fraction of examples whose label has the highest score; of equal scores the first class has it.

    A row with a NaN, and a label that is not a class, count as wrong.

    **Arguments:**
    - `scores`: `[batch, classes]`, larger being more likely.
    - `labels`: `[batch]`, integers.
    - `weights`: `[batch]`, floats or bools; an example of weight 0 (padding) does not count. The result is NaN if all
        are 0.
    """
    return weighted_mean((_places_above(scores, labels) < 1).astype(jnp.float32), weights)


@checked
def top_k(
    scores: Float[Array, "batch classes"],
    labels: Integer[Array, "batch"],
    k: Count,
    weights: Weights = None,
) -> Float[Array, ""]:
    """The fraction of examples whose label has one of the `k` highest scores; `k = 1` is `accuracy`.

    **Arguments:** `k`: from 1 to the number of classes, static under `jit`; the others as for `accuracy`, which also
    says what becomes of equal scores, NaN, and labels that are not classes.

    **Raises:** `ValueError` for more than there are classes.
    """
    if k > scores.shape[1]:
        raise ValueError(f"top_k: k is {k}, expected 1 to {scores.shape[1]}, the number of classes.")
    return weighted_mean((_places_above(scores, labels) < k).astype(jnp.float32), weights)


@checked
def confusion_matrix(
    labels: Integer[Array, "batch"],
    predictions: Integer[Array, "batch"],
    classes: Count,
    weights: Weights = None,
) -> Integer[Array, "classes classes"] | Float[Array, "classes classes"]:
    """How often an example of the class of the row was taken for the class of the column.

    Examples whose label or prediction is not a class are left out.

    **Arguments:**
    - `labels`, `predictions`: `[batch]`, integers; the true classes, and e.g. `scores.argmax(-1)`.
    - `classes`: their number, static under `jit`.
    - `weights`: `[batch]`, floats or bools; an example counts by its weight.

    **Returns:** `[classes, classes]`; whole numbers without weights or with bools, else floats.
    """
    counts = jnp.ones(labels.shape, jnp.int32) if weights is None else weights
    counts = counts.astype(jnp.int32) if counts.dtype == bool else counts
    rows, columns = (index.astype(jnp.int32) for index in (labels, predictions))
    known = (rows >= 0) & (rows < classes) & (columns >= 0) & (columns < classes)
    flat = jnp.where(known, rows * classes + columns, classes * classes)
    return jnp.zeros(classes * classes, counts.dtype).at[flat].add(counts, mode="drop").reshape(classes, classes)


def _places_above(scores: Float[Array, "batch classes"], labels: Integer[Array, "batch"]) -> Integer[Array, "batch"]:
    """How many classes come before the label's: by score, and where it is equal, in their order."""
    scores, labels = floats(scores), labels.astype(jnp.int32)
    count = scores.shape[1]
    classes = jnp.arange(count, dtype=jnp.int32)[None]
    own: Bool[Array, "batch classes"] = classes == labels[:, None]
    at_label = jnp.sum(jnp.where(own, scores, 0.0), axis=1, keepdims=True)
    ahead = (scores > at_label) | ((scores == at_label) & (classes < labels[:, None]))
    valid = jnp.any(own, axis=1) & ~jnp.any(jnp.isnan(scores), axis=1)
    return jnp.where(valid, jnp.sum(ahead, axis=1), count)


def weighted_mean(values: Float[Array, "batch *shape"], weights: Weights) -> Float[Array, "*shape"]:
    """The mean over the batch, each example by its weight; NaN where the weights add up to zero."""
    if weights is None:
        return jnp.mean(values, axis=0)
    given = weights.astype(values.dtype).reshape((-1,) + (1,) * (values.ndim - 1))
    # Whatever an example of weight zero holds, NaN included, does not count.
    total = jnp.sum(jnp.where(given == 0, 0.0, values) * given, axis=0)
    return total / jnp.sum(given)


def floats(values: Array) -> Array:
    """In at least float32."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
