"""Phase code: the binary digits of a value, and back."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._typing import Count
from snnx.encoding._values import at_least_single, binary, check_steps


@checked
def phase(values: Float[Array, "*shape"], steps: Count, *, bits: Count) -> Float[Array, "time *shape"]:
    r"""Phase code (weighted spikes): the binary digits of the value, the most significant first, in every period.

    $$ s_t = \lfloor 2^k x \rfloor - 2 \lfloor 2^{k - 1} x \rfloor, \qquad k = 1 + t \bmod K $$

    A spike at step $t$ has the weight $2^{-k}$. The code holds $K$ digits and says nothing of further ones: values come
    back rounded down to a multiple of $2^{-K}$.

    ```python
    phase(jnp.array([0.75, 0.3]), 3, bits=3)  # [[1., 0.], [1., 1.], [0., 0.]]: 0.110 and 0.010
    ```

    **Arguments:**
    - `values`: `[*shape]`, in [0, 1). Values up to and including 1 fit after a product with $1 - 2^{-K}$.
    - `steps`: number of time steps, a multiple of `bits`: whole periods.
    - `bits`: $K$, the steps of a period; at most 24 (in float64 53), the digits of the numbers themselves.

    **Returns:** zeros and ones, `[steps, *shape]`, in the dtype of `values`.

    **Raises:** `ValueError` for `bits` or `steps` out of range; an error at run time for values outside [0, 1), NaN
    included.

    Source: Kim, Kim, Huh, Lee & Choi, Deep neural networks with weighted spikes, Neurocomputing (2018).
    """
    wide = at_least_single(values.dtype)
    _check_bits("phase", bits, steps, wide)
    wrong = ~((values >= 0) & (values < 1))
    message = "phase: values lie outside [0, 1), which the digits span; scale them, e.g. by 1 - 2**-bits."
    fraction = eqx.error_if(values, wrong, message).astype(wide)[None]
    scale = jnp.asarray(2.0 ** np.arange(1, bits + 1), wide).reshape((bits,) + (1,) * values.ndim)
    # All of this is exact: a power of two moves the point, and a floor drops digits behind it.
    digits = jnp.floor(scale * fraction) - 2.0 * jnp.floor(scale / 2.0 * fraction)
    return jnp.tile(digits, (steps // bits,) + (1,) * values.ndim).astype(values.dtype)


@checked
def phase_inverse(spikes: Float[Array, "time *shape"], *, bits: Count) -> Float[Array, "*shape"]:
    r"""The weighted sum of the spikes of a period, averaged over the periods.

    $$ x = \frac{K}{T} \sum_t 2^{-(1 + t \bmod K)} s_t $$

    The inverse of `phase` with the same `bits`: exact for the multiples of $2^{-K}$, $0 \le x - \hat x < 2^{-K}$ for
    others.

    **Arguments:** `spikes`: `[time, *shape]`, zeros and ones, a whole number of periods; `bits`: as for `phase`.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ValueError` for `bits` out of range, or for steps that are not a multiple of it; `ShapeError` for no step;
    an error at run time for values other than 0 and 1.
    """
    steps = check_steps("phase_inverse", "spikes", spikes)
    wide = at_least_single(spikes.dtype)
    _check_bits("phase_inverse", bits, steps, wide)
    periods = binary("phase_inverse", spikes).astype(wide).reshape(-1, bits, *spikes.shape[1:])
    digits = jnp.sum(periods, axis=0) / (steps // bits)
    weights = jnp.asarray(2.0 ** -np.arange(1, bits + 1), wide).reshape((bits,) + (1,) * (spikes.ndim - 1))
    return jnp.sum(weights * digits, axis=0).astype(spikes.dtype)


def _check_bits(where: str, bits: int, steps: int, dtype: jnp.dtype) -> None:
    if bits > jnp.finfo(dtype).nmant + 1:
        raise ValueError(
            f"{where}: bits is {bits}, expected at most {jnp.finfo(dtype).nmant + 1}, the digits of {dtype.name}."
        )
    if steps % bits:
        raise ValueError(f"{where}: there are {steps} steps, expected a multiple of bits, {bits}: whole periods.")
