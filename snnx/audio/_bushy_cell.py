import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_TAU_SYN = 0.5e-3  # seconds
_TAU_MEM = 1e-3
_REFRACTORY = 1e-3
_THRESHOLD = 3.5  # in inputs


class BushyCell(NamedTuple):
    """Synaptic current, membrane potential, and the number of steps for which the cell stays silent."""

    i: Float[Array, "*shape"]
    v: Float[Array, "*shape"]
    wait: Int[Array, "*shape"]


def bushy_cell_at_rest(x: Float[Array, "*shape"]) -> BushyCell:
    """No current and no potential, in the shape of `x`."""
    return BushyCell(jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros(x.shape, jnp.int32))


def bushy_cell(
    x: Float[Array, "*shape"], state: BushyCell, sample_rate: int
) -> tuple[Bool[Array, "*shape"], BushyCell]:
    r"""One step of a leaky integrate-and-fire cell with an exponential synapse and a refractory time.

    $$ i_t = e^{-\Delta t / \tau_s} i_{t-1} + x_t, \quad v_t = v_{t-1} + (1 - e^{-\Delta t / \tau_m}) (i_t - v_{t-1}),
       \quad s_t = H(v_t - \vartheta) $$

    After a spike $v$ is held at 0 for the refractory time, rounded to steps.

    **Arguments:** `x`: number of inputs of this step; `state`; `sample_rate`: steps in a second.
    **Returns:** whether the cells fire, and the new state.
    """
    i = math.exp(-1 / (_TAU_SYN * sample_rate)) * state.i + x
    v = state.v - math.expm1(-1 / (_TAU_MEM * sample_rate)) * (i - state.v)
    v = jnp.where(state.wait > 0, 0, v)
    spikes = v > _THRESHOLD
    wait = jnp.where(spikes, round(_REFRACTORY * sample_rate), jnp.maximum(state.wait - 1, 0))
    return spikes, BushyCell(i, jnp.where(spikes, 0, v), wait)
