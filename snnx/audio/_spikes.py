import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from snnx._checks import checked


@checked
def bin_spikes(spikes: Bool[Array, "time channels"], size: int) -> Int32[Array, "bins channels"]:
    """Numbers of spikes in bins of `size` steps; none is lost. What `counts > 0` then merges is yours to decide.

    **Arguments:** `spikes`: `bool[time, channels]`; `size`: steps of a bin.
    **Returns:** `[ceil(time / size), channels]`; the last bin may cover fewer steps.
    **Raises:** `ValueError` for a size below 1.
    """
    if size < 1:
        raise ValueError(f"bin_spikes: size is {size}, expected at least 1 step.")
    padded = jnp.pad(spikes, ((0, -spikes.shape[0] % size), (0, 0)))
    return padded.reshape(-1, size, spikes.shape[1]).sum(axis=1, dtype=jnp.int32)


@checked
def events(
    spikes: Bool[Array, "time channels"] | Bool[np.ndarray, "time channels"], *, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes as a list of events, in the order of time. Runs on the host, so not under `jit` or `vmap`.

    **Arguments:** `spikes`: `bool[time, channels]`; `sample_rate`: steps in a second.
    **Returns:** times in seconds, `float64[events]` (a spike of step t is at `t / sample_rate`), and channels,
    `int64[events]`: what the Heidelberg data sets call times and units.
    **Raises:** `ValueError` for a sample rate below 1.
    """
    if sample_rate < 1:
        raise ValueError(f"events: sample_rate is {sample_rate}, expected at least 1 step in a second.")
    steps, channels = np.nonzero(np.asarray(spikes))
    return steps / sample_rate, channels
