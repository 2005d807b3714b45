"""Metrics of spike trains `[batch, time, *shape]`."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from snnx._checks import checked
from snnx._jitted import run_jitted
from snnx._varying import varying_like
from snnx.metrics._classification import Weights, floats, weighted_mean

Mask: TypeAlias = Bool[Array, "batch time"] | None


@checked
def spike_rate(
    spikes: Shaped[Array, "batch time *shape"], weights: Weights = None, mask: Mask = None
) -> Float[Array, "*shape"]:
    """The mean number of spikes per step of each neuron; divide by the step's duration for a rate in Hz.

    **Arguments:**
    - `spikes`: `[batch, time, *shape]`, zeros and ones (or counts), of any dtype.
    - `weights`: `[batch]`, floats or bools; an example of weight 0 (padding) does not count.
    - `mask`: `[batch, time]`, steps that are False (padding) do not count. An example counts by the number of its steps.

    **Returns:** `[*shape]`; its mean is the rate of the population. NaN where nothing counts.
    """
    return _mean_over_steps(floats(spikes), weights, mask)


@checked
def sparsity(
    activations: Shaped[Array, "batch time *shape"], weights: Weights = None, mask: Mask = None
) -> Float[Array, ""]:
    """The fraction of zeros among all activations: 1 for silence; for spikes, one minus the mean rate.

    **Arguments:** `activations`: `[batch, time, *shape]`, of any dtype; `weights` and `mask` as for `spike_rate`.
    """
    return jnp.mean(_mean_over_steps((activations == 0).astype(jnp.float32), weights, mask))


@checked
def interval_variation(spikes: Shaped[Array, "batch time *shape"], mask: Mask = None) -> Float[Array, "batch *shape"]:
    r"""The coefficient of variation of the intervals between the spikes of each neuron, $\sigma_I / \mu_I$.

    0 for a clock, 1 for a Poisson process, more for bursts. $\sigma_I^2$ is the mean squared deviation of a train's
    intervals, without correction for their number.

    **Arguments:**
    - `spikes`: `[batch, time, *shape]`; every value above zero is one spike.
    - `mask`: `[batch, time]`; masked steps are skipped, as if they were not there.

    **Returns:** `[batch, *shape]`; NaN for fewer than two intervals.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 5.
    """
    trains = jnp.moveaxis(spikes > 0, 1, 0)
    live = jnp.ones(trains.shape[:2], bool) if mask is None else mask.T
    live = live.reshape(live.shape + (1,) * (trains.ndim - 2))
    return run_jitted(_interval_variation, trains, live)


def _interval_variation(trains: Array, live: Array) -> Array:
    zeros = jnp.zeros(trains.shape[1:])

    def step(carry: tuple[Array, ...], inputs: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        since, count, mean, squares = carry
        spike, live = inputs
        since = since + live
        spike = spike & live
        ended = spike & jnp.isfinite(since)  # the time before the first spike is not an interval
        # Welford's running mean and sum of squared deviations.
        interval = jnp.where(ended, since, 0.0)
        count = count + ended
        change = jnp.where(ended, interval - mean, 0.0)
        mean = mean + change / jnp.maximum(count, 1.0)
        squares = squares + jnp.where(ended, change * (interval - mean), 0.0)
        return (jnp.where(spike, 0.0, since), count, mean, squares), None

    start = (jnp.full_like(zeros, jnp.inf), zeros, zeros, zeros)
    (_, count, mean, squares), _ = jax.lax.scan(step, varying_like(start, trains, live), (trains, live))
    return jnp.where(count < 2, jnp.nan, jnp.sqrt(squares / jnp.maximum(count, 1.0)) / jnp.maximum(mean, 1.0))


def _mean_over_steps(values: Float[Array, "batch time *shape"], weights: Weights, mask: Mask) -> Float[Array, "*shape"]:
    if mask is None:
        return weighted_mean(jnp.mean(values, axis=1), weights)
    steps = jnp.sum(mask, axis=1).astype(values.dtype)
    live = mask.reshape(mask.shape + (1,) * (values.ndim - 2))
    means = jnp.sum(jnp.where(live, values, 0.0), axis=1) / jnp.maximum(steps, 1.0).reshape(
        (-1,) + (1,) * (values.ndim - 2)
    )
    return weighted_mean(means, steps if weights is None else steps * weights.astype(values.dtype))
