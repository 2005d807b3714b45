import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_spikes
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_whole, generator, probability


@checked
def random_patterns(
    *,
    nb_samples: int = 256,
    nb_steps: int = 200,
    nb_inputs: int = 100,
    freq: float = 5.0,
    dt: float = 1e-3,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""Random spikes with random labels: what a network can learn by heart.

    $$ s_{nti} \sim B(f\,\Delta t), \qquad \text{label}_n \sim B(1/2), \qquad \text{all independent} $$

    **Arguments:** names and defaults are the published ones.
    - `nb_samples`, `nb_steps`, `nb_inputs`: patterns, time steps, channels.
    - `freq`: $f$, spikes per second. `dt`: $\Delta t$, seconds per step.
    - `key`: decides spikes and labels; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` of two classes. Nothing generalises: there is no test set, accuracy is on the patterns.

    **Raises:** `ValueError` for sizes below 1, or `freq * dt` outside (0, 1].

    Source: Zenke, SpyTorch, tutorial 1 (2019), to Neftci, Mostafa & Zenke, Surrogate Gradient Learning in Spiking Neural
    Networks (2019).
    """
    check_whole("random_patterns", 1, nb_samples=nb_samples, nb_steps=nb_steps, nb_inputs=nb_inputs)
    chance = probability("random_patterns", "freq", freq, dt)
    random = generator("random_patterns", key)
    spikes = np.empty((nb_samples, nb_steps, nb_inputs), bool)
    for pattern in spikes:  # one at a time: the numbers behind them take eight times the room
        pattern[:] = random.random(pattern.shape) < chance
    labels = random.integers(2, size=nb_samples)
    return from_spikes(spikes, labels, sample_shape=(nb_inputs,), classes=("0", "1"), dt=dt)
