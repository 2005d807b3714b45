"""The weighted mean that all metrics take."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Weights: TypeAlias = Float[Array | np.ndarray, "batch"] | Bool[Array | np.ndarray, "batch"] | None


def weighted_mean(values: Float[Array, "batch *shape"], weights: Array | np.ndarray | None) -> Float[Array, "*shape"]:
    """The mean over the batch, each example by its weight; NaN where the weights add up to zero."""
    if weights is None:
        return jnp.mean(values, axis=0)
    given = jnp.asarray(weights).astype(values.dtype).reshape((-1,) + (1,) * (values.ndim - 1))
    # Whatever an example of weight zero holds, NaN included, does not count.
    total = jnp.sum(jnp.where(given == 0, 0.0, values) * given, axis=0)
    return total / jnp.sum(given)


def floats(values: "jax.typing.ArrayLike") -> Array:
    """As a JAX array of at least float32."""
    array = jnp.asarray(values)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
