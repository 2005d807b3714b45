"""Codes in which every step says the value: rate, Poisson, and direct, a constant current."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count
from snnx.encoding._values import at_least_single, counts_as, finite, in_unit_interval, not_negative


@checked
def rate(values: Float[Array, "*shape"], steps: Count, *, key: Key[Array, ""]) -> Float[Array, "time *shape"]:
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

    **Raises:** an error at run time for values outside [0, 1], NaN included.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 1.
    """
    values = in_unit_interval("rate", "values", values)
    # Drawn in bfloat16, which has 128 numbers to draw from, a probability of 0.001 would become 1/128.
    probabilities = values.astype(at_least_single(values.dtype))
    return jax.random.bernoulli(key, probabilities[None], (steps, *values.shape)).astype(values.dtype)


@checked
def poisson(
    rates: Float[Array, "*shape"], steps: Count, *, dt: AboveZero, key: Key[Array, ""]
) -> Float[Array, "time *shape"]:
    r"""Poisson process: how many spikes fall into each step.

    $$ N_t \sim \text{Poisson}(r \, \Delta t) $$

    These are counts, as a step may hold several spikes. `jnp.minimum(counts, 1)` keeps whether there was any, which has
    probability $1 - e^{-r \Delta t}$. `rate(rates * dt, steps, key=key)` puts out at most one with probability
    $r \Delta t$; both approach the counts as $r \Delta t$ goes to 0.

    ```python
    poisson(jnp.array([20.0, 300.0]), 500, dt=1e-3, key=key).sum(axis=0)  # about [10., 150.]: Hz, for half a second
    ```

    **Arguments:**
    - `rates`: `[*shape]`, spikes per unit of `dt`, >= 0: in Hz where `dt` is in seconds.
    - `steps`: number of time steps.
    - `dt`: duration of a step.
    - `key`: decides the spikes; of JAX's default kind (threefry), the only one that `jax.random.poisson` takes.

    **Returns:** counts, `[steps, *shape]`, in the dtype of `rates`.

    **Raises:** an error at run time for rates that are negative or not finite, and for counts beyond the
    whole numbers of the dtype (256 in bfloat16, 2^24 in float32).

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 5.
    """
    wide = at_least_single(rates.dtype)
    expected = not_negative("poisson", "rates", rates).astype(wide) * dt
    counts = jax.random.poisson(key, expected[None], (steps, *rates.shape)).astype(wide)
    return counts_as("poisson", counts, rates.dtype)


@checked
def direct(values: Float[Array, "*shape"], steps: Count) -> Float[Array, "time *shape"]:
    r"""Direct code: the value as a constant current, so that the first layer learns how to turn it into spikes.

    $$ x_t = x $$

    Every step is the value itself, which is the inverse. `snnx.inputs.Constant` is the same input stored once.

    ```python
    direct(jnp.array([0.2, -1.0]), 2)  # [[0.2, -1.], [0.2, -1.]]
    ```

    **Arguments:**
    - `values`: `[*shape]`, any finite numbers.
    - `steps`: number of time steps.

    **Returns:** `[steps, *shape]`, in the dtype of `values`.

    **Raises:** an error at run time for NaN and infinity.

    Source: Rueckauer, Lungu, Hu, Pfeiffer & Liu, Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven
    Networks for Image Classification, Frontiers in Neuroscience (2017).
    """
    values = finite("direct", "values", values)
    return jnp.broadcast_to(values[None], (steps, *values.shape))
