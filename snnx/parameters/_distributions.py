"""Random values per neuron: heterogeneous time constants make better networks (Perez-Nieves et al. 2021)."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Shape


@checked
def log_uniform(key: Key[Array, ""], shape: Shape, low: AboveZero, high: AboveZero) -> Float[Array, "..."]:
    r"""Values whose logarithm is uniform, $\log p \sim U(\log \text{low}, \log \text{high})$.

    ```python
    snnx.LIF(tau=snnx.Positive(snnx.parameters.log_uniform(key, (256,), 5.0, 50.0)))
    ```

    **Arguments:** `key`; `shape` of the result, that of one step; `low`, `high`: bounds, 0 < low < high.
    **Raises:** `ValueError` if the bounds are out of order.
    """
    if not low < high:
        raise ValueError(f"log_uniform: low is {low} and high is {high}; expected low < high.")
    return jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))


@checked
def gamma(key: Key[Array, ""], shape: Shape, mean: AboveZero, concentration: AboveZero = 3.0) -> Float[Array, "..."]:
    r"""Gamma-distributed values of mean `mean`: $p \sim \Gamma(k, \text{mean} / k)$, with $k$ the `concentration`.

    **Arguments:** `key`; `shape` of the result, that of one step; `mean` > 0; `concentration` > 0, where 3 is the
    value of the source and larger means less spread (the standard deviation is $\text{mean}/\sqrt{k}$).
    Source: Perez-Nieves et al., Neural heterogeneity promotes robust learning (Nature Communications, 2021).
    """
    return jax.random.gamma(key, concentration, shape) * (mean / concentration)
