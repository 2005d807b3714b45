import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.encoding._check import at_least_single, check_train, finite
from snnx.encoding._threshold import Threshold, checked_threshold


@checked
def delta(signal: Float[Array, "time *shape"], threshold: Threshold) -> Float[Array, "time 2 *shape"]:
    r"""Delta modulation: an ON or an OFF spike where a sample differs from the one before by the threshold or more.

    $$ s^\text{on}_t = H(x_t - x_{t-1} - \vartheta), \quad s^\text{off}_t = H(x_{t-1} - x_t - \vartheta), \quad H(0) = 1 $$

    The first step is silent, as there is no sample before. One spike stands for every change from the threshold up, and
    slow drifts leave none, so that the signal cannot be had back; with `send_on_delta` it can.

    Several thresholds, each with channels of its own, are a `vmap`:

    ```python
    delta(jnp.array([1.0, 2.0, 0.0]), 1.0)  # [[0., 0.], [1., 0.], [0., 1.]]
    jax.vmap(delta, in_axes=(None, 0), out_axes=1)(signal, thresholds)  # [time, thresholds, 2, *shape]
    ```

    **Arguments:**
    - `signal`: `[time, *shape]`, any finite numbers.
    - `threshold`: > 0, in units of the signal: a number, or an array, scalar or `[*shape]`, one a feature.

    **Returns:** zeros and ones, `[time, 2, *shape]`, in the dtype of `signal`: ON at index 0, OFF at index 1.

    **Raises:** `ShapeError` for no step; `ValueError` for a threshold that is no positive number; an error at run time for
    an array of such thresholds, and for a signal with NaN or infinity.

    Source: Eshraghian et al., Training Spiking Neural Networks Using Lessons From Deep Learning, Proceedings of the IEEE
    (2023), sec. III.
    """
    check_train("delta", "signal", signal)
    wide = at_least_single(signal.dtype)
    samples = finite("delta", "signal", signal).astype(wide)
    threshold = checked_threshold("delta", threshold, wide)
    change = jnp.diff(samples, axis=0, prepend=samples[:1])
    level = jnp.broadcast_to(threshold, signal.shape[1:])[None]
    return jnp.stack([change >= level, -change >= level], axis=1).astype(signal.dtype)
