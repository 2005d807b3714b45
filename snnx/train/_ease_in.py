import functools
import math

import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike

from snnx._errors import describe


def ease_in(rate: float, *, start: float = 1e-3, growth: float = 1.05) -> optax.Schedule:
    r"""A learning rate that grows from next to nothing to its full value: a schedule for optax.

    $$ \eta_k = \eta \min(1,\ \texttt{start} \cdot \texttt{growth}^k), \qquad k = 0, 1, \ldots $$

    Exact gradients can be large while few neurons fire; small steps at first keep them from silencing the rest. With the
    defaults the rate is full after 142 steps: `optax.adam(snnx.train.ease_in(1e-3))`.

    **Arguments:**
    - `rate`: $\eta$, > 0.
    - `start`: the fraction of it at the first step, above 0 and at most 1.
    - `growth`: the factor from one step to the next, > 1.

    **Returns:** a function from the number of steps taken to the learning rate.

    **Raises:** `ValueError` for numbers out of range.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025).
    """
    _check("rate", rate, "> 0", 0.0, math.inf)
    _check("start", start, "> 0 and <= 1", 0.0, 1.0)
    _check("growth", growth, "> 1", 1.0, math.inf)

    return functools.partial(_eased_in, rate=rate, start=start, growth=growth)


def _eased_in(step: ArrayLike, *, rate: float, start: float, growth: float) -> Array:
    # The power overflows long after the minimum has left it behind.
    return rate * jnp.minimum(1.0, start * jnp.power(growth, step))


def _check(name: str, number: float, wanted: str, above: float, most: float) -> None:
    known = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    if not known or not above < number <= most:
        raise ValueError(f"ease_in: {name} is {describe(number)}, expected a number {wanted}.")
