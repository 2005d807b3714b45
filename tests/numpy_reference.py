"""Every neuron as plain loops over units and time steps, in double precision, without JAX.

Written from the equations in the docstrings, one unit at a time, with `if` where the package has masks and counters.
`run` returns what the package's cells call outputs and state, all `[time, units]`.
"""

import math
from collections.abc import Callable

import numpy as np

NEVER = -(10**9)


def relaxation(tau: float, dt: float, method: str) -> float:
    """The share of the way to rest that a step covers."""
    return dt / tau if method == "euler" else 1 - math.exp(-dt / tau)


def gain(r: float | None, lam: float) -> float:
    return 1.0 if r is None else lam * r


def pair_gain(tau_mem: float, tau_syn: float, r: float | None, dt: float) -> float:
    """The membrane at the end of a step, from a current of 1 at its start that decays meanwhile (textbook form)."""
    resistance = 1 / (1 - math.exp(-dt / tau_mem)) if r is None else r
    if tau_mem == tau_syn:
        return resistance * dt / tau_mem * math.exp(-dt / tau_mem)
    return resistance * tau_syn / (tau_syn - tau_mem) * (math.exp(-dt / tau_syn) - math.exp(-dt / tau_mem))


class Membrane:
    """Threshold, spike, reset, refractoriness of one unit.

    `reset` is `"subtract"`, `"none"`, or the value that is set. `margin` is the smallest distance to the threshold met.
    """

    def __init__(self, v: float, threshold: float, reset: "str | float", refractory: int):
        self.v, self.threshold, self.reset, self.refractory = v, threshold, reset, refractory
        self.last_spike, self.now, self.margin = NEVER, -1, math.inf

    def step(self, candidate: float, threshold: float | None = None) -> float:
        """Take the value that leak and input lead to; the spike, 0 or 1."""
        self.now += 1
        if self.now <= self.last_spike + self.refractory:
            return 0.0
        threshold = self.threshold if threshold is None else threshold
        self.margin = min(self.margin, abs(candidate - threshold))
        self.v = candidate
        if candidate <= threshold:
            return 0.0
        self.last_spike = self.now
        if self.reset == "subtract":
            self.v = candidate - self.threshold
        elif self.reset != "none":
            self.v = float(self.reset)
        return 1.0

    def silent_steps_left(self) -> int:
        return max(0, self.last_spike + self.refractory - self.now)


def li(xs, *, tau, r, v_leak, method, dt):
    lam = relaxation(tau, dt, method)
    v = v_leak
    for x in xs:
        v = v + lam * (v_leak - v) + gain(r, lam) * x
        yield {"y": v, "v": v}


def cubali(xs, *, tau_mem, tau_syn, r, w_in, v_leak, method, dt):
    lam_mem, lam_syn = relaxation(tau_mem, dt, method), relaxation(tau_syn, dt, method)
    g_mem = pair_gain(tau_mem, tau_syn, r, dt) if method == "exact" else gain(r, lam_mem)
    v, i = v_leak, 0.0
    for x in xs:
        i = i - lam_syn * i + gain(w_in, lam_syn) * x
        v = v + lam_mem * (v_leak - v) + g_mem * i
        yield {"y": v, "v": v, "i": i}


def integrate_and_fire(xs, *, membrane, r, dt):
    for x in xs:
        s = membrane.step(membrane.v + gain(r, dt) * x)
        yield {"y": s, "v": membrane.v}


def lif(xs, *, membrane, tau, r, v_leak, method, dt):
    lam = relaxation(tau, dt, method)
    for x in xs:
        s = membrane.step(membrane.v + lam * (v_leak - membrane.v) + gain(r, lam) * x)
        yield {"y": s, "v": membrane.v}


def cubalif(xs, *, membrane, tau_mem, tau_syn, r, w_in, v_leak, method, dt):
    lam_mem, lam_syn = relaxation(tau_mem, dt, method), relaxation(tau_syn, dt, method)
    g_mem = pair_gain(tau_mem, tau_syn, r, dt) if method == "exact" else gain(r, lam_mem)
    i = 0.0
    for x in xs:
        i = i - lam_syn * i + gain(w_in, lam_syn) * x
        s = membrane.step(membrane.v + lam_mem * (v_leak - membrane.v) + g_mem * i)
        yield {"y": s, "v": membrane.v, "i": i}


def alif(xs, *, membrane, tau, tau_a, strength, r, v_leak, method, dt):
    lam, lam_a = relaxation(tau, dt, method), relaxation(tau_a, dt, method)
    a = 0.0
    for x in xs:
        candidate = membrane.v + lam * (v_leak - membrane.v) + gain(r, lam) * x
        s = membrane.step(candidate, membrane.threshold + strength * a)
        a = a - lam_a * a + s
        yield {"y": s, "v": membrane.v, "a": a}


def adlif(xs, *, membrane, tau, tau_w, a, b, r, v_leak, method, dt, coupling):
    lam, lam_w = relaxation(tau, dt, method), relaxation(tau_w, dt, method)
    w = 0.0
    for x in xs:
        before = membrane.v
        s = membrane.step(before + lam * (v_leak - before - w) + gain(r, lam) * x)
        followed = before if coupling == "explicit" else membrane.v
        w = w + lam_w * (a * (followed - v_leak) + b * s - w)
        yield {"y": s, "v": membrane.v, "w": w}


NEURONS: dict[str, Callable] = {
    "LI": li,
    "CubaLI": cubali,
    "IF": integrate_and_fire,
    "LIF": lif,
    "CubaLIF": cubalif,
    "ALIF": alif,
    "AdLIF": adlif,
}
SPIKING = ("IF", "LIF", "CubaLIF", "ALIF", "AdLIF")


def run(name: str, xs: np.ndarray, **given) -> dict[str, np.ndarray]:
    """A neuron on `xs: [time, units]`; every number in `given` is shared, every array `[units]` has one value a unit.

    **Returns:** `y`, the fields of the state, and for spiking neurons `refractory`, the silent steps left; `margin`,
    the distance to the nearest tie between membrane and threshold.
    """
    columns = []
    margins = [math.inf]
    for unit in range(xs.shape[1]):
        p = {k: float(v[unit]) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        if name in SPIKING:
            start = p.get("v_leak", 0.0)
            membrane = Membrane(start, p.pop("threshold"), p.pop("reset"), p.pop("refractory"))
            rows = []
            for row in NEURONS[name]([float(x) for x in xs[:, unit]], membrane=membrane, **p):
                rows.append(row | {"refractory": membrane.silent_steps_left()})
            margins.append(membrane.margin)
        else:
            rows = list(NEURONS[name]([float(x) for x in xs[:, unit]], **p))
        columns.append({k: [row[k] for row in rows] for k in rows[0]})
    traces = {k: np.array([c[k] for c in columns]).T for k in columns[0]}
    return traces | {"margin": np.array(min(margins))}


def pair_by_runge_kutta(xs, *, tau_mem, tau_syn, r, w_in, v_leak, dt, substeps=400):
    """`CubaLI` by brute force: each input makes the current jump, then the two equations run on in tiny RK4 steps.

    All arguments but `dt` are `[units]` (`r`, `w_in` may be None). Returns the current just after each jump, and the
    membrane at the end of each step, `[time, units]`.
    """
    resistance = 1 / (1 - np.exp(-dt / tau_mem)) if r is None else r
    jump = np.ones_like(tau_syn) if w_in is None else (1 - np.exp(-dt / tau_syn)) * w_in

    def slope(v, i):
        return ((v_leak - v) + resistance * i) / tau_mem, -i / tau_syn

    h = dt / substeps
    v, i = v_leak + np.zeros_like(tau_mem), np.zeros_like(tau_syn)
    currents, membranes = [], []
    for x in xs:
        i = i + jump * x
        currents.append(i)
        for _ in range(substeps):
            v1, i1 = slope(v, i)
            v2, i2 = slope(v + h / 2 * v1, i + h / 2 * i1)
            v3, i3 = slope(v + h / 2 * v2, i + h / 2 * i2)
            v4, i4 = slope(v + h * v3, i + h * i3)
            v, i = v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), i + h / 6 * (i1 + 2 * i2 + 2 * i3 + i4)
        membranes.append(v)
    return np.array(currents), np.array(membranes)
