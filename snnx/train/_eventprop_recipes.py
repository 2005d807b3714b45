"""What helps training by exact gradients along: small steps at first, and silent neurons whose weights are lifted.

Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural networks (2025).
"""

import functools
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Num

from snnx._checks import checked
from snnx._typing import AboveZero, Number, Real


@checked
def ease_in(
    rate: AboveZero,
    *,
    start: Annotated[float, Real(0.0, 1.0, above=True)] = 1e-3,
    growth: Annotated[float, Real(1.0, above=True)] = 1.05,
) -> optax.Schedule:
    r"""A learning rate that grows from next to nothing to its full value: a schedule for optax.

    $$ \eta_k = \eta \min(1,\ \texttt{start} \cdot \texttt{growth}^k), \qquad k = 0, 1, \ldots $$

    Exact gradients can be large while few neurons fire; small steps at first keep them from silencing the rest. With the
    defaults the rate is full after 142 steps: `optax.adam(snnx.train.ease_in(1e-3))`.

    **Arguments:**
    - `rate`: $\eta$, > 0.
    - `start`: the fraction of it at the first step, above 0 and at most 1.
    - `growth`: the factor from one step to the next, > 1.

    **Returns:** a function from the number of steps taken to the learning rate.
    """
    return functools.partial(_eased_in, rate=rate, start=start, growth=growth)


def _eased_in(step: ArrayLike, *, rate: float, start: float, growth: float) -> Array:
    # The power overflows long after the minimum has left it behind.
    return rate * jnp.minimum(1.0, start * jnp.power(growth, step))


@checked
def wake_silent_weights(
    weights: Float[Array, "out in"], counts: Num[Array | np.ndarray, "out"], amount: Number
) -> Float[Array, "out in"]:
    r"""Lifts the incoming weights of neurons that do not fire, between one batch or epoch and the next.

    $$ w_{ij} \leftarrow w_{ij} + \texttt{amount} \cdot [n_i = 0] $$

    Exact gradients say nothing about spikes that are not there: a neuron that is silent in all examples stays so. This
    needs no gradient; `snnx.losses.WakeSilent` is the loss that does the same by one.

    **Arguments:**
    - `weights`: `[out, in]`, from the inputs to the neurons, as in `eqx.nn.Linear`.
    - `counts`: `[out]`, the spikes of each neuron, summed over time and over all examples that are meant.
    - `amount`: what each weight gains; of the size of a weight, or less.

    **Returns:** `[out, in]`, the new weights.
    """
    lift = jnp.where(jnp.asarray(counts) == 0, jnp.asarray(amount, weights.dtype), 0.0)
    return weights + lift[:, None]
