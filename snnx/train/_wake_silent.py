import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from snnx._checks import checked
from snnx._errors import describe


@checked
def wake_silent_weights(
    weights: Float[Array, "out in"], counts: Num[Array | np.ndarray, "out"], amount: float
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

    **Raises:** `ValueError` unless `amount` is finite; `ShapeError`, `DtypeError` for arrays of another kind.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025).
    """
    if not math.isfinite(amount):
        raise ValueError(f"wake_silent_weights: amount is {describe(amount)}, expected a finite number.")
    lift = jnp.where(jnp.asarray(counts) == 0, jnp.asarray(amount, weights.dtype), 0.0)
    return weights + lift[:, None]
