"""From numbers to spikes: pure functions of one example."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._typing import checked


def _check_steps(where: str, steps: int) -> None:
    if isinstance(steps, bool) or steps < 1:
        raise ValueError(f"{where}: steps is {steps}, expected at least 1.")


def _within(where: str, values: Array) -> Array:
    wrong = ~((values >= 0) & (values <= 1))  # so that NaN is wrong too
    return eqx.error_if(values, wrong, f"{where}: values lie outside [0, 1]; scale or clip them yourself.")


@checked
def rate(values: Float[Array, "*shape"], steps: int, *, key: Key[Array, ""]) -> Float[Array, "time *shape"]:
    r"""Rate code: an independent spike at every step with the probability that the value says, $s_t \sim B(x)$.

    **Arguments:** `values`: probabilities in [0, 1]; `steps`: number of time steps; `key`.
    **Returns:** zeros and ones, `[steps, *shape]`.
    **Raises:** an error at run time for values outside [0, 1], or that are no numbers.
    """
    _check_steps("rate", steps)
    values = _within("rate", values)
    return jax.random.bernoulli(key, values[None], (steps, *values.shape)).astype(values.dtype)


@checked
def latency(values: Float[Array, "*shape"], steps: int) -> Float[Array, "time *shape"]:
    r"""Latency code: one spike, the earlier the larger the value; none where the value is 0.

    $$ t = \text{round}\left((1 - x)(T - 1)\right) $$

    **Arguments:** `values`: in [0, 1]; `steps`: number of time steps, $T$.
    **Returns:** zeros and ones, `[steps, *shape]`.
    **Raises:** an error at run time for values outside [0, 1], or that are no numbers.
    """
    _check_steps("latency", steps)
    values = _within("latency", values)
    when = jnp.round((1.0 - values) * (steps - 1)).astype(jnp.int32)
    times = jnp.arange(steps, dtype=jnp.int32).reshape((steps,) + (1,) * values.ndim)
    return ((times == when[None]) & (values[None] > 0)).astype(values.dtype)
