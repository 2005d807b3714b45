"""The Yin-Yang task: the published points, as latencies or as currents."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from snnx._checks import checked
from snnx._typing import AboveZero, Count, Natural, Number
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import from_constant, from_spikes

CLASSES = ("yin", "yang", "dot")
SPLITS = {"train": (5000, 42), "validation": (1000, 41), "test": (1000, 40)}  # points, seed


@checked
def yin_yang(
    split: Literal["train", "validation", "test"] = "train",
    *,
    encoding: Literal["latency", "current"] = "latency",
    steps: Count = 80,
    t_early: Number = 3.0,
    t_late: Number = 40.0,
    t_bias: Number | None = None,
    dt: AboveZero = 1.0,
) -> SpikeDataset:
    r"""The Yin-Yang task: in which of three areas of a Yin-Yang symbol does a point lie?

    The points of the publication, `yin_yang_points(5000, 42)` for training, `(1000, 41)` for validation, `(1000, 40)`
    for testing, as latencies of one spike for each of $(x, y, 1 - x, 1 - y)$,

    $$ t_i = t_\text{early} + x_i (t_\text{late} - t_\text{early}), \qquad \text{step } k_i = \text{round}(t_i / \Delta t) $$

    so that the smaller is the earlier. The default times are those of Göltz et al., $0.15\,\tau_s$ and $2\,\tau_s$ of
    $4\,\tau_s$, for $\tau_s$ = 20 steps; their bias spike, at $0.9\,\tau_s$, is then `t_bias=18.0`.

    **Arguments:**
    - `split`: `"train"`, `"validation"` or `"test"`.
    - `encoding`: `"latency"`, or `"current"`: the four numbers as constant currents.
    - `steps`: time steps of every example.
    - `t_early`, `t_late`: when the values 0 and 1 spike, in the unit of `dt`; for `"latency"`.
    - `t_bias`: when a fifth channel spikes, in every example; by default there is none. For `"latency"`.
    - `dt`: time per step.

    **Returns:** a `SpikeDataset` of 4 channels (5 with a bias), classes `"yin"`, `"yang"`, `"dot"`.

    **Raises:** `ValueError` for an unknown split or encoding, for spikes that would fall outside the steps, and for a bias
    spike among currents.

    Source: Kriener, Göltz & Petrovici, The Yin-Yang dataset, NICE (2022); the times: Göltz et al., Fast and
    energy-efficient neuromorphic deep learning with first-spike times (2021).
    """
    if encoding == "current":
        if t_bias is not None:
            raise ValueError("yin_yang: t_bias is the time of a spike, and encoding='current' has none; leave it out.")
        return from_constant(*yin_yang_points(*SPLITS[split]), steps=steps, classes=CLASSES, dt=dt)
    if not t_early < t_late:
        raise ValueError(f"yin_yang: t_early is {t_early!r} and t_late {t_late!r}; expected t_early < t_late.")
    for name, time in (("t_early", t_early), ("t_late", t_late), ("t_bias", t_bias)):
        if time is not None and not 0 <= np.rint(time / dt) < steps:
            raise ValueError(
                f"yin_yang: {name} is {time!r}, but {steps} steps of {dt!r} hold spikes at 0 to {(steps - 1) * dt!r};"
                " raise steps or move it."
            )
    values, labels = yin_yang_points(*SPLITS[split])
    times = t_early + values * (t_late - t_early)
    if t_bias is not None:
        times = np.concatenate([times, np.full((len(times), 1), t_bias)], axis=1)
    when = np.rint(times / dt).astype(int)
    spikes = np.zeros((len(times), steps, times.shape[1]), np.uint8)
    np.put_along_axis(spikes, when[:, None], 1, axis=1)
    return from_spikes(spikes, labels, sample_shape=times.shape[1:], classes=CLASSES, dt=dt)


@checked
def yin_yang_points(
    size: Count, seed: Natural, r_small: AboveZero = 0.1, r_big: AboveZero = 0.5
) -> tuple[Float[np.ndarray, "n 4"], Int[np.ndarray, "n"]]:
    r"""Points of the Yin-Yang task in float64: bit for bit those of the published generator.

    Let $R$ be `r_big`, $r$ `r_small`, and $d_l$, $d_r$ the distances of $(x, y)$ from $(R/2, R)$ and $(3R/2, R)$. Within
    the disc of radius $R$ around $(R, R)$ the label is

    $$ 2 \text{ if } d_l < r \text{ or } d_r < r; \quad \text{else } 1 \text{ if } d_r \le r,\ r < d_l \le R/2,
       \text{ or } (y > R \text{ and } d_r > R/2); \quad \text{else } 0 $$

    For each point a label is drawn first, then points of the square, until one lies in the disc and has that label.

    **Arguments:** `size`: points, at least 1. `seed`: of NumPy's `RandomState`, whose numbers never change.
    `r_small`, `r_big`: radii of the dots and of the symbol, $0 < r < R/2$.

    **Returns:** $(x, y, 1 - x, 1 - y)$ and the labels: 0 yin, 1 yang, 2 dot, as the publication names them.

    **Raises:** `ValueError` for sizes and radii that give no such points.

    Source: Kriener, Göltz & Petrovici, The Yin-Yang dataset, NICE (2022), and its public files.
    """
    if not r_small < r_big / 2:
        raise ValueError(
            f"yin_yang_points: r_small is {r_small!r} and r_big {r_big!r}; expected r_small < r_big / 2, or the dots do"
            " not fit."
        )
    random = np.random.RandomState(seed)
    values, labels = np.empty((size, 4)), np.empty(size, np.int64)
    for i in range(size):
        labels[i] = random.randint(3)
        x, y = random.rand(2) * 2.0 * r_big
        while _label(x, y, r_small, r_big) != labels[i]:
            x, y = random.rand(2) * 2.0 * r_big
        values[i] = x, y, 1.0 - x, 1.0 - y
    return values, labels


def _label(x: float, y: float, r_small: float, r_big: float) -> int | None:
    """The area that a point lies in, None outside the symbol; in the published order of operations, for equal bits."""
    if np.sqrt((x - r_big) ** 2 + (y - r_big) ** 2) > r_big:
        return None
    right = np.sqrt((x - 1.5 * r_big) ** 2 + (y - r_big) ** 2)
    left = np.sqrt((x - 0.5 * r_big) ** 2 + (y - r_big) ** 2)
    if left < r_small or right < r_small:
        return 2
    return int(right <= r_small or r_small < left <= 0.5 * r_big or (y > r_big and right > 0.5 * r_big))
