"""The Mackey-Glass series, chaos from an equation with a delay: the series, and its forecast as a task."""

import math

import numpy as np
from jaxtyping import Float

from snnx._checks import checked
from snnx._typing import AboveZero, Count
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import from_currents

# NeuroBench's table: tau -> Lyapunov time, initial condition.
NEUROBENCH = {
    17: (197, 0.72066),
    18: (138, 0.774431),
    19: (315, 0.778347),
    20: (131, 0.922599),
    21: (191, 0.947943),
    22: (119, 0.545596),
    23: (106, 0.862225),
    24: (97, 0.325966),
    25: (98, 0.829783),
    26: (104, 1.003349),
    27: (112, 0.649141),
    28: (119, 1.09575),
    29: (131, 0.925618),
    30: (139, 0.271364),
}
POINTS_PER_LYAPUNOV_TIME = 75


@checked
def mackey_glass(
    windows: Count = 50,
    *,
    steps: Count = 75,
    horizon: Count = 1,
    tau: AboveZero = 17.0,
    interval: AboveZero | None = None,
    initial: AboveZero | None = None,
) -> SpikeDataset:
    r"""Forecasting the Mackey-Glass series: at every step, the value `horizon` points ahead.

    The series $x$ of `mackey_glass_series` is cut into windows that follow each other,

    $$ \text{input}_{wt} = x_{w T + t}, \qquad \text{target}_{wt} = x_{w T + t + h}, \qquad t = 0 \ldots T - 1 $$

    By default these are NeuroBench's 50 Lyapunov times of 75 points, and one point ahead.

    **Arguments:**
    - `windows`: examples, in the order of time: `data.subset(range(25))` is the first half.
    - `steps`: $T$, points of a window. `horizon`: $h$, at least 1.
    - `tau`, `interval`, `initial`: as in `mackey_glass_series`.

    **Returns:** a `SpikeDataset` of currents `[n, steps, 1]` with targets `[n, steps, 1]`, for `TraceMSE()`.

    **Raises:** `ValueError` as `mackey_glass_series` does.

    Source: as for `mackey_glass_series`.
    """
    series = mackey_glass_series(windows * steps + horizon, tau=tau, interval=interval, initial=initial)
    inputs, targets = (part.reshape(windows, steps, 1) for part in (series[:-horizon], series[horizon:]))
    return from_currents(inputs, targets, sample_shape=(1,))


@checked
def mackey_glass_series(
    points: Count = 3751,
    *,
    tau: AboveZero = 17.0,
    interval: AboveZero | None = None,
    initial: AboveZero | None = None,  # from a positive start the solution stays positive, and its powers are numbers
    beta: AboveZero = 0.2,
    gamma: AboveZero = 0.1,
    n: AboveZero = 10.0,
    steps_per_delay: Count = 400,
) -> Float[np.ndarray, "time"]:
    r"""The Mackey-Glass series: chaos from an equation with a delay.

    $$ \dot x(t) = \beta \frac{x(t - \tau)}{1 + x(t - \tau)^n} - \gamma\, x(t), \qquad x(t \le 0) = x_0 $$

    Integrated by the classical Runge-Kutta method with steps of $h = \tau / m$, so that every break of the solution, at
    multiples of $\tau$, falls on a step; halfway, and at the points asked for, the solution is the cubic through values and
    slopes at the steps (Hermite). The error falls as $h^4$; by default it is below 1e-6 over the first ten Lyapunov times at
    $\tau$ = 17 and 30. Chaos magnifies it, and rounding too, about e-fold in each Lyapunov time.

    **Arguments:**
    - `points`: how many, the first at $t = 0$. The default is NeuroBench's: 50 Lyapunov times of 75 points, and the end.
    - `tau`: the delay.
    - `interval`: time between points. By default a 75th of the Lyapunov time that NeuroBench gives for `tau` (197 for 17).
    - `initial`: $x_0$; by default NeuroBench's for this `tau` (0.72066 for 17).
    - `beta`, `gamma`, `n`: of the equation.
    - `steps_per_delay`: $m$, steps of the integration in a delay.

    **Returns:** `[points]`, in float64.

    **Raises:** `ValueError` where `interval` or `initial` is left out for a `tau` that NeuroBench does not list (it lists
    17, 18, ... 30).

    Source: Mackey & Glass, Oscillation and chaos in physiological control systems (1977); parameters: Yik et al., The
    neurobench framework for benchmarking neuromorphic computing algorithms and systems (2025), and its data set's table.
    """
    if (interval is None or initial is None) and tau not in NEUROBENCH:
        raise ValueError(
            f"mackey_glass_series: tau is {tau!r}, for which there are no defaults; pass interval and initial, or take"
            f" a tau of NeuroBench's: {', '.join(map(str, NEUROBENCH))}."
        )
    if interval is None:
        interval = NEUROBENCH[int(tau)][0] / POINTS_PER_LYAPUNOV_TIME
    if initial is None:
        initial = NEUROBENCH[int(tau)][1]
    times = interval * np.arange(points)
    h = tau / steps_per_delay
    last = max(math.ceil(times[-1] / h), 1)
    values, slopes = _integrate(initial, h, last, steps_per_delay, (beta, gamma, n))
    before = np.minimum((times / h).astype(int), last - 1)
    s = times / h - before
    return (
        (1 + 2 * s) * (1 - s) ** 2 * values[before]
        + s**2 * (3 - 2 * s) * values[before + 1]
        + h * s * (1 - s) ** 2 * slopes[before]
        - h * s**2 * (1 - s) * slopes[before + 1]
    )


def _integrate(
    initial: float, h: float, steps: int, delay: int, parameters: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Values and right-hand slopes at 0, h, ... steps * h; `delay` is counted in steps."""
    beta, gamma, n = parameters

    def slope(x: float, delayed: float) -> float:
        return beta * delayed / (1 + delayed**n) - gamma * x

    x = initial
    values, slopes = [x], [slope(x, x)]
    for k in range(steps):
        past = k - delay  # the step that lies a delay back
        half = end = initial
        if past >= 0:
            half = (values[past] + values[past + 1]) / 2 + h / 8 * (slopes[past] - slopes[past + 1])
            end = values[past + 1]
        k1 = slopes[k]
        k2 = slope(x + h / 2 * k1, half)
        k3 = slope(x + h / 2 * k2, half)
        k4 = slope(x + h * k3, end)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        values.append(x)
        slopes.append(slope(x, end))
    return np.asarray(values), np.asarray(slopes)
