"""The handwritten digits that come with snnx."""

import importlib.resources
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import from_constant, from_spikes
from snnx.encoding import latency, rate

Encoding: TypeAlias = Literal["current", "rate", "latency"]
ENCODINGS = get_args(Encoding)


@checked
def digits(
    steps: Count = 16, *, encoding: Encoding = "current", key: Key[Array, ""] | None = None, dt: AboveZero = 1.0
) -> SpikeDataset:
    """1797 handwritten digits of 8 x 8 pixels, shipped with snnx: nothing is downloaded.

    The test set of UCI's Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998, CC BY 4.0), which
    scikit-learn bundles too. Pixels are scaled to [0, 1] and flattened to 64 channels.

    **Arguments:**
    - `steps`: time steps of every example.
    - `encoding`: `"current"`, the image as a constant current; `"rate"`, at every step a spike with the probability of
        the pixel's value; `"latency"`, one spike, the brighter the earlier.
    - `key`: for `"rate"`.
    - `dt`: time per step; 1 by default, so that a network's time constants are in steps.

    **Raises:** `ValueError` for an unknown encoding, `steps < 1`, or a missing key.
    """
    with (importlib.resources.files("snnx.data") / "files" / "optdigits.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        images, labels = stored["images"], stored["labels"]
    values = images.reshape(len(images), 64).astype(np.float32) / 16.0
    classes = tuple(str(digit) for digit in range(10))
    if encoding == "current":
        return from_constant(values, labels, steps=steps, classes=classes, dt=dt)
    if encoding == "latency":
        spikes = jax.vmap(lambda x: latency(x, steps))(jnp.asarray(values))
    elif key is None:
        raise ValueError("digits: encoding='rate' draws random spikes and needs a key; pass key=jax.random.key(...).")
    else:
        spikes = jax.vmap(lambda k, x: rate(x, steps, key=k))(jax.random.split(key, len(values)), jnp.asarray(values))
    return from_spikes(np.asarray(spikes), labels, sample_shape=(64,), classes=classes, dt=dt)
