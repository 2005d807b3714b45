import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.encoding._check import at_least_single, check_count, check_train, in_unit_interval
from snnx.encoding._one_spike import spike_at, value_of


@checked
def latency(values: Float[Array, "*shape"], steps: int) -> Float[Array, "time *shape"]:
    r"""Latency code: one spike, the earlier the larger the value; none where the value is 0.

    $$ t = \text{round}\left((1 - x)(T - 1)\right) $$

    Halves round to the even step.

    ```python
    latency(jnp.array([1.0, 0.5, 0.0]), 3)  # [[1., 0., 0.], [0., 1., 0.], [0., 0., 0.]]
    ```

    **Arguments:**
    - `values`: `[*shape]`, in [0, 1].
    - `steps`: number of time steps, $T$.

    **Returns:** zeros and ones, `[steps, *shape]`, in the dtype of `values`.

    **Raises:** `ValueError` for `steps < 1`; an error at run time for values outside [0, 1], NaN included.

    Source: Thorpe, Delorme & Van Rullen, Spike-based strategies for rapid processing (2001), for the idea that the most
    active fire first; the linear form is common in the libraries.
    """
    check_count("latency", "steps", steps)
    values = in_unit_interval("latency", "values", values)
    wide = values.astype(at_least_single(values.dtype))
    return spike_at(jnp.round((1.0 - wide) * (steps - 1)), values > 0, steps, values)


@checked
def latency_inverse(spikes: Float[Array, "time *shape"]) -> Float[Array, "*shape"]:
    r"""The value that a spike of `latency` stands for; 0 without a spike.

    $$ x = \frac{T - 1 - t}{T - 1} $$

    Exact for the multiples of $1 / (T - 1)$; other values come back within half of that. With a single step there is
    only one spike time, which stands for 1.

    **Arguments:** `spikes`: `[time, *shape]`, at most a single 1 in each train.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ShapeError` for no step; an error at run time for several spikes, or values other than 0 and 1.
    """
    steps = check_train("latency_inverse", "spikes", spikes)
    grid = np.arange(steps)[::-1] / (steps - 1) if steps > 1 else np.ones(1)
    return value_of("latency_inverse", spikes, grid)
