"""Population code: Gaussian receptive fields, how to lay them out, and the value back."""

from typing import Annotated, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._typing import AboveZero, Number, Whole
from snnx.encoding._values import at_least_single, finite, in_unit_interval, positive

Widths: TypeAlias = AboveZero | Float[Array, "fields"]


@checked
def population_fields(
    low: Number, high: Number, fields: Annotated[int, Whole(3)], *, beta: AboveZero = 1.5
) -> tuple[Float[Array, "fields"], float]:
    r"""The centres and the width of receptive fields that overlap evenly over a range.

    $$ \mu_i = l + \frac{2 i - 3}{2} \, \frac{h - l}{m - 2}, \quad i = 1, \ldots, m, \qquad
    \sigma = \frac{1}{\beta} \, \frac{h - l}{m - 2} $$

    The first and the last centre lie half a spacing outside the range.

    ```python
    population_fields(0.0, 1.0, 4)  # [-0.25, 0.25, 0.75, 1.25], 0.333
    ```

    **Arguments:**
    - `low`, `high`: the range of the values, $l < h$.
    - `fields`: $m$, at least 3.
    - `beta`: spacing of the centres in units of the width; 1 to 2 in the paper, 1.5 its choice.

    **Returns:** the centres, `[fields]`, in JAX's default float, and the width, a number: the arguments of `population`.

    **Raises:** `ValueError` for fewer than 3 fields, for an empty range, and for `beta` not positive.

    Source: Bohte, La Poutre & Kok, Unsupervised Clustering With Spiking Neurons By Sparse Temporal Coding and Multilayer
    RBF Networks, IEEE Transactions on Neural Networks (2002).
    """
    if not low < high:
        raise ValueError(f"population_fields: low is {low} and high {high}; expected low < high.")
    spacing = (high - low) / (fields - 2)
    centers = low + (2 * np.arange(1, fields + 1) - 3) / 2 * spacing
    return jnp.asarray(centers, jnp.zeros(()).dtype), spacing / beta


@checked
def population(
    values: Float[Array, "*shape"], centers: Float[Array, "fields"], widths: Widths
) -> Float[Array, "*shape fields"]:
    r"""Population code: how strongly each of several Gaussian receptive fields answers to the value.

    $$ a_i = \exp\left(-\frac{(x - \mu_i)^2}{2 \sigma_i^2}\right) $$

    These are activations in [0, 1], not spikes; another encoder makes them such.

    ```python
    activations = population(values, *population_fields(0.0, 1.0, 8))  # [*shape, 8]
    latency(activations, 16)                                           # the nearest field fires first (Bohte et al.)
    rate(activations, 16, key=key)                                     # ... or most often
    ```

    **Arguments:**
    - `values`: `[*shape]`, any finite numbers. Far outside all fields every activation is 0.
    - `centers`: `[fields]`, $\mu$.
    - `widths`: > 0, $\sigma$: a number, or `[fields]`.

    **Returns:** `[*shape, fields]`, in the dtype of `values`.

    **Raises:** `ValueError` for a width that is not positive; an error at run time for an array of such widths, and
    for values or centres with NaN or infinity.

    Source: Bohte, La Poutre & Kok, Unsupervised Clustering With Spiking Neurons By Sparse Temporal Coding and Multilayer
    RBF Networks, IEEE Transactions on Neural Networks (2002).
    """
    wide = at_least_single(values.dtype)
    centers, widths = _fields("population", centers, widths, wide)
    one = (1,) * values.ndim
    away = finite("population", "values", values).astype(wide)[..., None] - centers.reshape(*one, -1)
    return jnp.exp(-((away / widths.reshape(*one, -1)) ** 2) / 2).astype(values.dtype)


@checked
def population_inverse(
    activations: Float[Array, "*shape fields"], centers: Float[Array, "fields"], widths: Widths
) -> Float[Array, "*shape"]:
    r"""The value that the two strongest activations, $i$ and $j$, agree on.

    $$ x = \frac{\mu_i + \mu_j}{2} + \frac{\sigma_j^2 \log a_j - \sigma_i^2 \log a_i}{\mu_j - \mu_i} $$

    Exact for Gaussian fields, inside and outside the range, at the edges too, where the mean of the centres weighted by
    the activations is not. A small relative error $\epsilon$ of one activation moves the value by
    $\sigma^2 \epsilon / |\mu_j - \mu_i|$.

    **Arguments:** `activations`: `[*shape, fields]`, in [0, 1]; `centers` and `widths`: as for `population`, at least two.

    **Returns:** `[*shape]`, in the dtype of `activations`.

    **Raises:** `ValueError` for a single field, or a width that is not positive; an error at run time for
    activations outside [0, 1], where fewer than two fields with centres of their own are active, and for centres and
    widths as for `population`.
    """
    if centers.shape[0] < 2:
        raise ValueError(f"population_inverse: there are {centers.shape[0]} fields, expected at least 2.")
    wide = at_least_single(activations.dtype)
    centers, widths = _fields("population_inverse", centers, widths, wide)
    strongest, which = jax.lax.top_k(in_unit_interval("population_inverse", "activations", activations).astype(wide), 2)
    center, width = centers[which], widths[which]
    lost = (strongest[..., 1] <= 0) | (center[..., 0] == center[..., 1])
    message = (
        "population_inverse: fewer than two fields with centres of their own are active; the value is too far away."
    )
    strongest = eqx.error_if(strongest, lost, message)
    shift = width**2 * jnp.log(strongest)
    values = center.sum(axis=-1) / 2 + (shift[..., 1] - shift[..., 0]) / (center[..., 1] - center[..., 0])
    return values.astype(activations.dtype)


def _fields(
    where: str, centers: Array, widths: Widths, dtype: jnp.dtype
) -> tuple[Float[Array, "fields"], Float[Array, "fields"]]:
    """Centres and widths as arrays of one length and dtype, checked."""
    widths = jnp.broadcast_to(jnp.asarray(widths, dtype), centers.shape)
    return finite(where, "centers", centers).astype(dtype), positive(where, "widths", widths)
