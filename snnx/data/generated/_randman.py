import numpy as np
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx.data._arrays import from_spikes
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_positive, check_whole, generator

PRECISION = 1e-3  # amplitudes below it are left out,
MOST_FREQUENCIES = 1000  # and so is what comes after these
EPSILON = 1e-7  # keeps standardised times below 1


@checked
def randman(
    *,
    nb_classes: int = 10,
    nb_units: int = 100,
    nb_steps: int = 100,
    dim_manifold: int = 2,
    nb_samples: int = 1000,
    alpha: float = 2.0,
    step_frac: float = 1.0,
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

    **Raises:** `ValueError` for sizes below 1, `alpha <= 0`, or `step_frac` outside (0, 1].

    Source: Zenke & Vogels, The Remarkable Robustness of Surrogate Gradient Learning for Instilling Complex Function in
    Spiking Neural Networks (2021), in the form of NumpyRandman in the authors' package randman. (TorchRandman there has
    1 / ((i + 1)^alpha + 1) for 1 / (i + 1)^alpha.)
    """
    check_whole("randman", 1, nb_classes=nb_classes, nb_units=nb_units, nb_steps=nb_steps, dim_manifold=dim_manifold)
    check_whole("randman", 2, nb_samples=nb_samples)
    check_positive("randman", alpha=alpha, step_frac=step_frac)
    if step_frac > 1:
        raise ValueError(f"randman: step_frac is {step_frac!r}, expected at most 1: a part of the steps.")
    random = generator("randman", key)
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
    return int(min(np.ceil(PRECISION ** (-1.0 / max(alpha, 0.1))), MOST_FREQUENCIES))


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
