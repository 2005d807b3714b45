"""Codes of one spike, whose time says the value: latency, logarithmic latency, time to first spike; and their inverses."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from snnx._checks import checked
from snnx._typing import AboveZero, Count
from snnx.encoding._values import at_least_single, binary, check_steps, in_unit_interval, not_negative


@checked
def latency(values: Float[Array, "*shape"], steps: Count) -> Float[Array, "time *shape"]:
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

    **Raises:** an error at run time for values outside [0, 1], NaN included.

    Source: Thorpe, Delorme & Van Rullen, Spike-based strategies for rapid processing (2001), for the idea that the most
    active fire first; the linear form is common in the libraries.
    """
    values = in_unit_interval("latency", "values", values)
    wide = values.astype(at_least_single(values.dtype))
    return _spike_at(jnp.round((1.0 - wide) * (steps - 1)), values > 0, steps, values)


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
    steps = check_steps("latency_inverse", "spikes", spikes)
    grid = np.arange(steps)[::-1] / (steps - 1) if steps > 1 else np.ones(1)
    return _value_of("latency_inverse", spikes, grid)


@checked
def log_latency(
    values: Float[Array, "*shape"], steps: Count, *, tau: AboveZero, threshold: AboveZero
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

    **Raises:** an error at run time for values that are negative or not finite.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 4, solved for the time of the first spike.
    """
    values = not_negative("log_latency", "values", values)
    wide = values.astype(at_least_single(values.dtype))
    fires = wide > threshold
    current = jnp.where(fires, wide, 2.0 * threshold)  # no NaN below the threshold
    return _spike_at(jnp.round(-tau * jnp.log1p(-threshold / current)), fires, steps, values)


@checked
def log_latency_inverse(
    spikes: Float[Array, "time *shape"], *, tau: AboveZero, threshold: AboveZero
) -> Float[Array, "*shape"]:
    r"""The current that makes an integrator fire at the step of the spike; 0 without a spike.

    $$ x = \frac{\vartheta}{1 - e^{-t / \tau}} $$

    The inverse of `log_latency` with the same `tau` and `threshold`: exact for currents that fire at a whole step,
    within half a step in time for others. A spike at step 0 gives infinity: no finite current fires at once, and all
    above $\vartheta / (1 - e^{-1 / 2 \tau})$ round to it. Silence, below the threshold or too late, gives 0. After some
    ten `tau` the currents of neighbouring steps are equal to float32.

    **Arguments:** `spikes`: `[time, *shape]`, at most a single 1 in each train; `tau`, `threshold`: as for `log_latency`.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ShapeError` for no step; an error at run time for several spikes, or values other than 0 and 1.
    """
    steps = check_steps("log_latency_inverse", "spikes", spikes)
    later = threshold / -np.expm1(-np.arange(1, steps) / tau)
    return _value_of("log_latency_inverse", spikes, np.concatenate([[np.inf], later]))


@checked
def time_to_first_spike(values: Float[Array, "*shape"], steps: Count, *, tau: AboveZero) -> Float[Array, "time *shape"]:
    r"""Time-to-first-spike code: one spike, at the first step at which a decaying threshold is down to the value.

    $$ t = \min \{ t : x \ge \vartheta_t \}, \qquad \vartheta_t = e^{-t / \tau} $$

    Steps of equal ratio: small values are told apart as finely as large ones. No spike where the value is below the last
    threshold, $e^{-(T - 1) / \tau}$. A threshold that decays linearly instead, from 1 to 0, gives `latency`, but for the
    rounding.

    ```python
    time_to_first_spike(jnp.array([1.0, 0.5, 0.0]), 3, tau=1.0)  # [[1., 0., 0.], [0., 1., 0.], [0., 0., 0.]]
    ```

    **Arguments:**
    - `values`: `[*shape]`, in [0, 1].
    - `steps`: number of time steps, $T$.
    - `tau`: time constant of the threshold, in steps.

    **Returns:** zeros and ones, `[steps, *shape]`, in the dtype of `values`.

    **Raises:** an error at run time for values outside [0, 1], NaN included.

    Source: Park, Kim, Na & Yoon, T2FSNN: Deep Spiking Neural Networks with Time-to-first-spike Coding, DAC (2020), for
    the threshold, without their delay and their learned constants. Rueckauer & Liu, Conversion of analog to spiking
    neural networks using sparse temporal coding, ISCAS (2018), for thresholds that change with time.
    """
    values = in_unit_interval("time_to_first_spike", "values", values)
    thresholds = jnp.asarray(_thresholds(steps, tau), values.dtype).reshape((steps,) + (1,) * values.ndim)
    crossed = (values[None] >= thresholds) & (values[None] > 0)  # zero stays silent where the threshold underflows
    before = jnp.concatenate([jnp.zeros_like(crossed[:1]), crossed[:-1]])
    return (crossed & ~before).astype(values.dtype)


@checked
def time_to_first_spike_inverse(spikes: Float[Array, "time *shape"], *, tau: AboveZero) -> Float[Array, "*shape"]:
    r"""The threshold at the step of the spike; 0 without a spike.

    $$ \hat x = e^{-t / \tau} $$

    The inverse of `time_to_first_spike` with the same `tau`: exact for the thresholds themselves, and otherwise the next
    one below, $\hat x \le x < \hat x e^{1 / \tau}$.

    **Arguments:** `spikes`: `[time, *shape]`, at most a single 1 in each train; `tau`: as for `time_to_first_spike`.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ShapeError` for no step; an error at run time for several spikes, or values other than 0 and 1.
    """
    steps = check_steps("time_to_first_spike_inverse", "spikes", spikes)
    return _value_of("time_to_first_spike_inverse", spikes, _thresholds(steps, tau))


def _thresholds(steps: int, tau: float) -> np.ndarray:
    """In double precision, so that both directions round the same numbers."""
    return np.exp(-np.arange(steps) / tau)


# ------------------------------------------------------------------ a train of one spike at most
def _spike_at(
    when: Float[Array, "*shape"], fires: Bool[Array, "*shape"], steps: int, like: Float[Array, "*shape"]
) -> Float[Array, "time *shape"]:
    """One spike at step `when`; none where `fires` is False, or after the last step."""
    times = jnp.arange(steps, dtype=when.dtype).reshape((steps,) + (1,) * when.ndim)
    return ((times == when[None]) & fires[None]).astype(like.dtype)


def _value_of(where: str, spikes: Float[Array, "time *shape"], grid: np.ndarray) -> Float[Array, "*shape"]:
    """The entry of `grid`, one a step, at which the train has its spike; 0 without a spike."""
    spikes = binary(where, spikes)
    several = jnp.sum(spikes.astype(at_least_single(spikes.dtype)), axis=0) > 1
    spikes = eqx.error_if(spikes, several, f"{where}: a train has more than one spike.")
    values = jnp.asarray(grid, spikes.dtype).reshape((-1,) + (1,) * (spikes.ndim - 1))
    return jnp.sum(jnp.where(spikes > 0, values, 0), axis=0)
