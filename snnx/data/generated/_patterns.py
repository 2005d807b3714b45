"""Random patterns, published definitions: smooth manifolds (Randman), and spikes with nothing to learn but by heart.

All generated data are made by NumPy on the host, in float64: the same key gives the same task on every device, with x64 or
without.
"""

from typing import Annotated

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count, Real, Whole
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import from_spikes

SMALLEST_AMPLITUDE = 1e-3  # sines below it are left out,
MOST_SINES = 1000  # and so is what comes after these
EPSILON = 1e-7  # keeps standardised times below 1


def generator(key: Key[Array, ""] | None) -> np.random.Generator:
    """NumPy's generator, seeded with the bits of a key; with `jax.random.key(0)` if there is none."""
    return np.random.default_rng(np.asarray(jax.random.key_data(jax.random.key(0) if key is None else key)))


def spike_probability(where: str, name: str, rate: float, dt: float) -> float:
    """Of a spike in a step of `dt` seconds at `rate` Hz, the caller's argument `name`."""
    if rate * dt > 1:
        raise ValueError(
            f"{where}: {name} is {rate!r} Hz and dt {dt!r} s: more than one spike a step; expected {name} * dt <= 1."
        )
    return rate * dt


@checked
def randman(
    *,
    nb_classes: Count = 10,
    nb_units: Count = 100,
    nb_steps: Count = 100,
    dim_manifold: Count = 2,
    nb_samples: Annotated[int, Whole(2)] = 1000,
    alpha: AboveZero = 2.0,
    step_frac: Annotated[float, Real(0.0, 1.0, above=True)] = 1.0,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""Random smooth manifolds as spike times: which manifold does a sample lie on? Every unit fires once.

    Each class $c$ has a function of $D$ intrinsic coordinates for each unit $u$,

    $$ f_u(x) = \prod_{d=1}^{D} \sum_{i=0}^{F-1} \frac{\theta^0_{udi}}{(i + 1)^\alpha}
       \sin 2 \pi (i\, x_d\, \theta^1_{udi} + \theta^2_{udi}), \qquad F = \min(\lceil 1000^{1/\alpha} \rceil, 1000) $$

    with all $\theta$ uniform in [0, 1), but $\theta^0_{ud0} = 0$. A sample is a point $x$, uniform in the unit cube. Over
    the samples of a class each unit's values are standardised to [0, 1), and make its spike's step

    $$ k_u = \left\lfloor \frac{f_u(x) - \min f_u}{\max f_u - \min f_u + 10^{-7}}\, T \rho \right\rfloor $$

    **Arguments:** names and defaults are the published ones.
    - `nb_classes`, `nb_units`, `nb_samples`: classes, units, and samples of each class (at least 2).
    - `nb_steps`: $T$. `step_frac`: $\rho$, the part of the steps, from the first on, in which there are spikes.
    - `dim_manifold`: $D$. `alpha`: $\alpha$, the larger the smoother, and the easier. From 1 down there are 1000 sines, which
        take their time.
    - `key`: decides the manifolds and the samples; by default `jax.random.key(0)`. Another key is another task: for
        training and testing take one data set and its `split`.

    **Returns:** a `SpikeDataset` of `nb_classes * nb_samples` examples in random order.

    Source: Zenke & Vogels, The Remarkable Robustness of Surrogate Gradient Learning for Instilling Complex Function in
    Spiking Neural Networks (2021), in the form of NumpyRandman in the authors' package randman. (TorchRandman there has
    1 / ((i + 1)^alpha + 1) for 1 / (i + 1)^alpha.)
    """
    random = generator(key)
    spikes = np.zeros((nb_classes, nb_samples, nb_steps, nb_units), np.uint8)
    for label in range(nb_classes):
        theta = random.random((nb_units, dim_manifold, 3, frequencies(alpha)))
        theta[:, :, 0, 0] = 0.0
        values = manifold(random.random((nb_samples, dim_manifold)), theta, alpha)
        low, high = values.min(axis=0), values.max(axis=0)
        when = ((values - low) / (high - low + EPSILON) * (nb_steps * step_frac)).astype(int)
        np.put_along_axis(spikes[label], when[:, None], 1, axis=1)
    order = random.permutation(nb_classes * nb_samples)
    labels = np.repeat(np.arange(nb_classes), nb_samples)[order]
    flat = spikes.reshape(-1, nb_steps, nb_units)[order]
    return from_spikes(flat, labels, sample_shape=(nb_units,), classes=[str(c) for c in range(nb_classes)])


def frequencies(alpha: float) -> int:
    """How many sines a function has: as many as have an amplitude above a thousandth, and at most 1000."""
    # The bound on the exponent only keeps the power finite: 1000 are reached at alpha = 1.
    return int(min(np.ceil(SMALLEST_AMPLITUDE ** (-1.0 / max(alpha, 0.1))), MOST_SINES))


def manifold(
    points: Float[np.ndarray, "samples dims"], theta: Float[np.ndarray, "units dims 3 frequencies"], alpha: float
) -> Float[np.ndarray, "samples units"]:
    """The functions of all units at all points."""
    values = np.ones((len(points), len(theta)))
    for d in range(points.shape[1]):
        amplitude, stretch, phase = np.moveaxis(theta[:, d], 1, 0)
        total = np.zeros_like(values)
        for i in range(theta.shape[-1]):
            angle = i * points[:, d, None] * stretch[None, :, i] + phase[None, :, i]
            total += amplitude[None, :, i] / (i + 1) ** alpha * np.sin(2 * np.pi * angle)
        values *= total
    return values


@checked
def random_patterns(
    *,
    nb_samples: Count = 256,
    nb_steps: Count = 200,
    nb_inputs: Count = 100,
    freq: AboveZero = 5.0,
    dt: AboveZero = 1e-3,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""Random spikes with random labels: what a network can learn by heart.

    $$ s_{nti} \sim B(f\,\Delta t), \qquad \text{label}_n \sim B(1/2), \qquad \text{all independent} $$

    **Arguments:** names and defaults are the published ones.
    - `nb_samples`, `nb_steps`, `nb_inputs`: patterns, time steps, channels.
    - `freq`: $f$, spikes per second. `dt`: $\Delta t$, seconds per step.
    - `key`: decides spikes and labels; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` of two classes. Nothing generalises: there is no test set, accuracy is on the patterns.

    **Raises:** `ValueError` for `freq * dt` above 1.

    Source: Zenke, SpyTorch, tutorial 1 (2019), to Neftci, Mostafa & Zenke, Surrogate Gradient Learning in Spiking Neural
    Networks (2019).
    """
    chance = spike_probability("random_patterns", "freq", freq, dt)
    random = generator(key)
    spikes = np.empty((nb_samples, nb_steps, nb_inputs), bool)
    for pattern in spikes:  # one at a time: the numbers behind them take eight times the room
        pattern[:] = random.random(pattern.shape) < chance
    labels = random.integers(2, size=nb_samples)
    return from_spikes(spikes, labels, sample_shape=(nb_inputs,), classes=("0", "1"), dt=dt)
