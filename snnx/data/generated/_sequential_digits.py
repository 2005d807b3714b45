import jax
import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_currents
from snnx.data._dataset import SpikeDataset
from snnx.data._digits import digits
from snnx.data.generated._shared import generator


@checked
def sequential_digits(permuted: bool = False, *, key: Key[Array, ""] | None = None) -> SpikeDataset:
    """The digits of `snnx.data.digits` pixel by pixel: 64 steps of one channel, row by row, as currents in [0, 1].

    **Arguments:**
    - `permuted`: whether the pixels come in another order, one and the same for all digits.
    - `key`: decides that order; by default `jax.random.key(0)`. Without `permuted` nothing is random.

    **Returns:** a `SpikeDataset` of 1797 examples and 10 classes.

    **Raises:** `ValueError` for a key where nothing is permuted.

    Source: Le, Jaitly & Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units (2015), who read
    MNIST so, permuted and not; here it is the small digits that are shipped.
    """
    if key is not None and not permuted:
        raise ValueError("sequential_digits: key decides the order of permuted pixels; pass permuted=True or no key.")
    still = digits(steps=1)
    pixels = np.asarray(jax.vmap(lambda inputs: inputs.dense())(still.inputs))[:, 0, :]
    if permuted:
        pixels = pixels[:, generator("sequential_digits", key).permutation(64)]
    return from_currents(pixels[:, :, None], np.asarray(still.targets), sample_shape=(1,), classes=still.classes)
