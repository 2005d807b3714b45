"""The threshold of the encoders of change: one number, or one a feature."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from snnx.encoding._check import check_positive, positive

Threshold = float | Float[Array, ""] | Float[Array, "*shape"]


def checked_threshold(where: str, threshold: Threshold, dtype: DTypeLike) -> Float[Array, "*shape"]:
    """The threshold as an array of that dtype, refused unless positive and finite."""
    if isinstance(threshold, (int, float)):
        check_positive(where, "threshold", threshold)
    return positive(where, "threshold", jnp.asarray(threshold, dtype))
