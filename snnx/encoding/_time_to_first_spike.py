import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.encoding._check import check_count, check_positive, check_train, in_unit_interval
from snnx.encoding._one_spike import value_of


@checked
def time_to_first_spike(values: Float[Array, "*shape"], steps: int, *, tau: float) -> Float[Array, "time *shape"]:
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

    **Raises:** `ValueError` for `steps < 1`, or `tau` not positive; an error at run time for values outside [0, 1], NaN
    included.

    Source: Park, Kim, Na & Yoon, T2FSNN: Deep Spiking Neural Networks with Time-to-first-spike Coding, DAC (2020), for
    the threshold, without their delay and their learned constants. Rueckauer & Liu, Conversion of analog to spiking
    neural networks using sparse temporal coding, ISCAS (2018), for thresholds that change with time.
    """
    check_count("time_to_first_spike", "steps", steps)
    check_positive("time_to_first_spike", "tau", tau)
    values = in_unit_interval("time_to_first_spike", "values", values)
    thresholds = jnp.asarray(_thresholds(steps, tau), values.dtype).reshape((steps,) + (1,) * values.ndim)
    crossed = (values[None] >= thresholds) & (values[None] > 0)  # zero stays silent where the threshold underflows
    before = jnp.concatenate([jnp.zeros_like(crossed[:1]), crossed[:-1]])
    return (crossed & ~before).astype(values.dtype)


@checked
def time_to_first_spike_inverse(spikes: Float[Array, "time *shape"], *, tau: float) -> Float[Array, "*shape"]:
    r"""The threshold at the step of the spike; 0 without a spike.

    $$ \hat x = e^{-t / \tau} $$

    The inverse of `time_to_first_spike` with the same `tau`: exact for the thresholds themselves, and otherwise the next
    one below, $\hat x \le x < \hat x e^{1 / \tau}$.

    **Arguments:** `spikes`: `[time, *shape]`, at most a single 1 in each train; `tau`: as for `time_to_first_spike`.

    **Returns:** `[*shape]`, in the dtype of `spikes`.

    **Raises:** `ValueError` if `tau` is not positive; `ShapeError` for no step; an error at run time for several spikes,
    or values other than 0 and 1.
    """
    steps = check_train("time_to_first_spike_inverse", "spikes", spikes)
    check_positive("time_to_first_spike_inverse", "tau", tau)
    return value_of("time_to_first_spike_inverse", spikes, _thresholds(steps, tau))


def _thresholds(steps: int, tau: float) -> np.ndarray:
    """In double precision, so that both directions round the same numbers."""
    return np.exp(-np.arange(steps) / tau)
