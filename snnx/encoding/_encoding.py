"""From numbers to spikes: pure functions of one example."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._typing import checked


def _check_steps(where: str, steps: int) -> None:
    if isinstance(steps, bool) or steps < 1:
        raise ValueError(f"{where}: steps is {steps}, expected at least 1.")


@checked
def rate(values: Float[Array, "*shape"], steps: int, *, key: Key[Array, ""]) -> Float[Array, "time *shape"]:
    r"""Rate code: an independent spike at every step with the probability that the value says, $s_t \sim B(x)$.

    **Arguments:** `values`: probabilities in [0, 1]; `steps`: number of time steps; `key`.
    **Returns:** zeros and ones, `[steps, *shape]`. Values outside [0, 1] act as 0 and 1 do, by the definition of the
    draw; check them before if that is not meant.
    """
    _check_steps("rate", steps)
    return jax.random.bernoulli(key, values[None], (steps, *values.shape)).astype(values.dtype)


@checked
def latency(values: Float[Array, "*shape"], steps: int) -> Float[Array, "time *shape"]:
    r"""Latency code: one spike, the earlier the larger the value; none where the value is 0.

    $$ t = \text{round}\left((1 - x)(T - 1)\right) $$

    **Arguments:** `values`: in [0, 1]; `steps`: number of time steps, $T$.
    **Returns:** zeros and ones, `[steps, *shape]`.
    """
    _check_steps("latency", steps)
    when = jnp.round((1.0 - values) * (steps - 1)).astype(jnp.int32)
    times = jnp.arange(steps, dtype=jnp.int32).reshape((steps,) + (1,) * values.ndim)
    return ((times == when[None]) & (values[None] > 0)).astype(values.dtype)
