import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._errors import ShapeError, describe


@checked
def resample(
    wave: Float[Array, "time"] | Float[np.ndarray, "time"], sample_rate: int, new_rate: int
) -> Float[Array, "new_time"]:
    """The wave at another sample rate: up and down by whole numbers, with an antialiasing filter in between.

    `scipy.signal.resample_poly`, in double precision, by the smallest numbers: 48000 -> 16000 Hz is every third sample
    of the filtered wave. Runs on the host, so not under `jit` or `vmap`.

    **Arguments:** `wave`: `float[time]`; `sample_rate`, `new_rate`: in Hz.
    **Returns:** `ceil(time * new_rate / sample_rate)` samples, of the wave's dtype.
    **Raises:** `ValueError` for rates below 1, `ShapeError` for an empty wave.
    """
    from scipy.signal import resample_poly

    if min(sample_rate, new_rate) < 1:
        raise ValueError(f"resample: sample_rate is {sample_rate}, new_rate {new_rate}; expected at least 1 Hz.")
    if wave.size == 0:
        raise ShapeError(f"resample: wave is {describe(wave)}, expected at least one sample.")
    common = math.gcd(sample_rate, new_rate)
    samples = resample_poly(np.asarray(wave, np.float64), new_rate // common, sample_rate // common)
    return jnp.asarray(samples.astype(wave.dtype))
