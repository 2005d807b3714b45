import jax
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx.encoding._check import at_least_single, check_count, in_unit_interval


@checked
def rate(values: Float[Array, "*shape"], steps: int, *, key: Key[Array, ""]) -> Float[Array, "time *shape"]:
    r"""Rate code: an independent spike at every step with the probability that the value says.

    $$ s_t \sim B(x) $$

    The mean over time estimates the value, with a standard error of $\sqrt{x (1 - x) / T}$.

    ```python
    rate(jnp.array([0.0, 1.0]), 2, key=key)  # [[0., 1.], [0., 1.]]
    ```

    **Arguments:**
    - `values`: `[*shape]`, probabilities in [0, 1].
    - `steps`: number of time steps, $T$.
    - `key`: decides the spikes.

    **Returns:** zeros and ones, `[steps, *shape]`, in the dtype of `values`.

    **Raises:** `ValueError` for `steps < 1`; an error at run time for values outside [0, 1], NaN included.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 1.
    """
    check_count("rate", "steps", steps)
    values = in_unit_interval("rate", "values", values)
    # Drawn in bfloat16, which has 128 numbers to draw from, a probability of 0.001 would become 1/128.
    probabilities = values.astype(at_least_single(values.dtype))
    return jax.random.bernoulli(key, probabilities[None], (steps, *values.shape)).astype(values.dtype)
