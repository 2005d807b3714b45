from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

# Meddis (1986): rates per second, amounts in units of a full free pool.
_A = 5.0
_B = 300.0
_RELEASE = 2000.0  # g
_REPLENISH = 5.05  # y
_LOSS = 2500.0  # l
_REUPTAKE = 6580.0  # r
_REPROCESS = 66.31  # x
_FULL = 1.0  # M
_FIRING = 50_000.0  # h
LOWEST_SAMPLE_RATE = 20_000  # where forward Euler is still accurate: (l + r) dt < 0.5


class HairCell(NamedTuple):
    """Transmitter in the free pool, in the cleft, and in reprocessing."""

    q: Float[Array, "*shape"]
    c: Float[Array, "*shape"]
    w: Float[Array, "*shape"]


def _permeability(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    open_part = jnp.maximum(x + _A, 0)
    return _RELEASE * open_part / (open_part + _B)


def hair_cell_at_rest(x: Float[Array, "*shape"]) -> HairCell:
    r"""The pools' equilibrium at a constant stimulus.

    $$ q = \frac{y M}{y + k l / (l + r)}, \quad c = \frac{k q}{l + r}, \quad w = \frac{r c}{x} $$
    """
    k = _permeability(x)
    q = _REPLENISH * _FULL / (_REPLENISH + k * _LOSS / (_LOSS + _REUPTAKE))
    c = k * q / (_LOSS + _REUPTAKE)
    return HairCell(q, c, _REUPTAKE * c / _REPROCESS)


def hair_cell(x: Float[Array, "*shape"], state: HairCell, dt: float) -> tuple[Float[Array, "*shape"], HairCell]:
    r"""One step of Meddis' hair cell: three pools of transmitter, by forward Euler.

    $$ k = g \frac{[x + A]_+}{[x + A]_+ + B}, \quad \dot q = y (M - q) + x_r w - k q, \quad
       \dot c = k q - (l + r) c, \quad \dot w = r c - x_r w $$

    **Arguments:** `x`: stimulus, in units whose RMS of 1 is 30 dB SPL; `state`: the pools; `dt`: in seconds.
    **Returns:** the rate $h c$ at which a fibre fires, per second, and the pools.

    Source: Meddis, Simulation of mechanical to neural transduction in the auditory receptor, JASA 79 (1986), 702-711.
    """
    q, c, w = state
    released = _permeability(x) * q
    q = q + dt * (_REPLENISH * (_FULL - q) + _REPROCESS * w - released)
    w = w + dt * (_REUPTAKE * c - _REPROCESS * w)
    c = c + dt * (released - (_LOSS + _REUPTAKE) * c)
    return _FIRING * c, HairCell(q, c, w)
