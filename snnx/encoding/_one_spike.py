"""Codes in which a train holds one spike at most: both directions, given what a spike at each step stands for."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from snnx.encoding._check import at_least_single, binary


def spike_at(
    when: Float[Array, "*shape"], fires: Bool[Array, "*shape"], steps: int, like: Float[Array, "*shape"]
) -> Float[Array, "time *shape"]:
    """One spike at step `when`; none where `fires` is False, or after the last step."""
    times = jnp.arange(steps, dtype=when.dtype).reshape((steps,) + (1,) * when.ndim)
    return ((times == when[None]) & fires[None]).astype(like.dtype)


def value_of(where: str, spikes: Float[Array, "time *shape"], grid: np.ndarray) -> Float[Array, "*shape"]:
    """The entry of `grid`, one a step, at which the train has its spike; 0 without a spike."""
    spikes = binary(where, spikes)
    several = jnp.sum(spikes.astype(at_least_single(spikes.dtype)), axis=0) > 1
    spikes = eqx.error_if(spikes, several, f"{where}: a train has more than one spike.")
    values = jnp.asarray(grid, spikes.dtype).reshape((-1,) + (1,) * (spikes.ndim - 1))
    return jnp.sum(jnp.where(spikes > 0, values, 0), axis=0)
