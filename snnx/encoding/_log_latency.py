import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.encoding._check import at_least_single, check_count, check_positive, check_train, not_negative
from snnx.encoding._one_spike import spike_at, value_of


@checked
def log_latency(
    values: Float[Array, "*shape"], steps: int, *, tau: float, threshold: float
) -> Float[Array, "time *shape"]:
    r"""Logarithmic latency code: when a leaky integrator that is charged by the constant current $x$ would first fire.

    $$ t = \text{round}\left(-\tau \log(1 - \vartheta / x)\right) = \text{round}\left(\tau \log \frac{x}{x - \vartheta}\right) $$

    The integrator is $\tau \dot v = -v + x$, from $v = 0$. There is no spike where $x \le \vartheta$, which the membrane
    never reaches, nor where $t \ge T$: the stretch of time ends before.

    ```python
    log_latency(jnp.array([0.2, 1.0]), 8, tau=10.0, threshold=0.1).argmax(axis=0)  # [7, 1]
    ```

    **Arguments:**
    - `values`: `[*shape]`, currents >= 0, in units of the threshold's.
    - `steps`: number of time steps, $T$.
    - `tau`: membrane time constant in steps. One above $x / (2 \vartheta)$, with $x$ the largest value, leaves step 0
        empty, which has no inverse.
    - `threshold`: $\vartheta$.

    **Returns:** zeros and ones, `[steps, *shape]`, in the dtype of `values`.

    **Raises:** `ValueError` for `steps < 1`, or `tau` or `threshold` not positive; an error at run time for values that
    are negative or not finite.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 4, solved for the time of the first spike.
    """
    check_count("log_latency", "steps", steps)
    check_positive("log_latency", "tau", tau)
    check_positive("log_latency", "threshold", threshold)
    values = not_negative("log_latency", "values", values)
    wide = values.astype(at_least_single(values.dtype))
    fires = wide > threshold
    current = jnp.where(fires, wide, 2.0 * threshold)  # no NaN below the threshold
    return spike_at(jnp.round(-tau * jnp.log1p(-threshold / current)), fires, steps, values)


@checked
def log_latency_inverse(spikes: Float[Array, "time *shape"], *, tau: float, threshold: float) -> Float[Array, "*shape"]:
    r"""The current that makes an integrator fire at the step of the spike; 0 without a spike.

    $$ x = \frac{\vartheta}{1 - e^{-t / \tau}} $$

    The inverse of `log_latency` with the same `tau` and `threshold`: exact for currents that fire at a whole step,
    within half a step in time for others. A spike at step 0 gives infinity: no finite current fires at once, and all
    above $\vartheta / (1 - e^{-1 / 2 \tau})$ round to it. Silence, below the threshold or too late, gives 0. After some
    ten `tau` the currents of neighbouring steps are equal to float32.

    **Arguments:** `spikes`: `[time, *shape]`, at most a single 1 in each train; `tau`, `threshold`: as for `log_latency`.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ValueError` if `tau` or `threshold` is not positive; `ShapeError` for no step; an error at run time for
    several spikes, or values other than 0 and 1.
    """
    steps = check_train("log_latency_inverse", "spikes", spikes)
    check_positive("log_latency_inverse", "tau", tau)
    check_positive("log_latency_inverse", "threshold", threshold)
    later = threshold / -np.expm1(-np.arange(1, steps) / tau)
    return value_of("log_latency_inverse", spikes, np.concatenate([[np.inf], later]))
