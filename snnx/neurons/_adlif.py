from typing import ClassVar, Literal

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Dtype, Natural
from snnx.cells import Shape
from snnx.neurons._discretise import check_euler, gain, relaxation
from snnx.neurons._fire import Clock, fire, init_clock
from snnx.neurons._neuron import AbstractNeuron
from snnx.neurons._reset import AbstractReset, SubtractReset
from snnx.parameters import Parameter, PositiveParameter, known
from snnx.surrogates import AbstractSurrogate, ATan

Coupling = Literal["explicit", "symplectic"]


class AdLIFState(eqx.Module):
    """The state of an `AdLIF`: membrane `v`, adaptation `w`, and counters where it needs them."""

    v: Float[Array, "*shape"]
    w: Float[Array, "*shape"]
    clock: Clock


@checked
class AdLIF(AbstractNeuron):
    r"""Adaptive leaky integrate-and-fire neuron: a second variable that follows the membrane and its spikes.

    $$ \tau \frac{dv}{dt} = (v_\text{leak} - v) + r x - w, \qquad
       \tau_w \frac{dw}{dt} = -w + a (v - v_\text{leak}) + b s $$
    $$ \hat v = v + \lambda (v_\text{leak} - v - w) + g x, \quad s = H(\hat v - \vartheta), \quad
       v' = \text{reset}(\hat v, s, \vartheta), $$
    $$ w \leftarrow w + \lambda_w \left(a (v^* - v_\text{leak}) + b s - w\right) $$

    with $\lambda$, $g$ as for `LIF`, $\lambda_w$ likewise from `tau_w`. `coupling` chooses $v^*$: the membrane before
    the step, $v$ (`"explicit"`, forward Euler, Bittar & Garner), or after it, $v'$ (`"symplectic"`, Baronig et al.),
    which decays and oscillates as the differential equation does, whatever `a`.

    Below threshold the pair is stable, with $\alpha = 1 - \lambda$, $\beta = 1 - \lambda_w$,
    $\gamma = (1 - \alpha)(1 - \beta)$, if and only if $a > -1$ and

    $$ a < \frac{1 - \alpha\beta}{\gamma}\ (\texttt{explicit}), \qquad
       a < \frac{(1 + \alpha)(1 + \beta)}{\gamma}\ (\texttt{symplectic}) $$

    (Jury's conditions for the step's 2x2 matrix; ours). Other parameters are refused.

    Deviations: the spike acts on `w` in its own step, where the printed forms have it one step later. `a` and `b` are
    those of the differential equation; SpArch's are `lambda_w` times these. For its input scaling take `r=1.0`.

    **Arguments:** `tau`, `tau_w`: time constants, in the unit of `dt`; > 0. `a`: coupling to the membrane; `b`: jump by a
    spike. `coupling`: `"explicit"` or `"symplectic"`. All others as for `LIF`. To learn `a`, bound it:
    `Bounded(1.0, 0.0, 60.0)`.

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `AdLIFState`.

    **Raises:** `ValueError` for time constants <= 0, an unstable `a` (the message names the bound), `dt <= 0`, an unknown
    `method` (`"exact"` too: the coupled pair has no exact step here) or `coupling`.

    Source: Bittar & Garner, A surrogate gradient spiking baseline for speech command recognition, Front. Neurosci. 16
    (2022); Baronig et al., Advancing spatio-temporal processing through adaptation in spiking neural networks, Nature
    Communications 16 (2025; arXiv 2408.07517).
    """

    spikes: ClassVar[bool] = True

    tau: PositiveParameter = 20.0
    tau_w: PositiveParameter = 100.0
    a: Parameter = 1.0
    b: Parameter = 1.0
    threshold: Parameter = 1.0
    r: Parameter | None = None
    v_leak: Parameter = 0.0
    reset: AbstractReset = SubtractReset()
    surrogate: AbstractSurrogate = ATan()
    coupling: Coupling = eqx.field(static=True, default="explicit", kw_only=True)
    refractory: Natural = eqx.field(static=True, default=0, kw_only=True)
    method: Literal["exponential", "euler"] = eqx.field(static=True, default="exponential", kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_euler("AdLIF", self.method, self.dt, tau=self.tau, tau_w=self.tau_w)
        lam, lam_w = (known(relaxation(tau, self.dt, self.method)) for tau in (self.tau, self.tau_w))
        a = known(self.a)
        if lam is None or lam_w is None or a is None:
            return
        low, high = stable_range(lam, lam_w, self.coupling)
        if np.any(a <= low) or np.any(a >= high):
            other = ", or take coupling='symplectic'" if self.coupling == "explicit" and np.all(a > low) else ""
            raise ValueError(
                f"AdLIF: a={np.min(a):g}..{np.max(a):g} is unstable below threshold; with these time constants and"
                f" coupling={self.coupling!r} it must lie between {np.max(low):.4g} and {np.min(high):.4g} (exclusive)"
                f"{other}."
            )

    def init_state(self, shape: Shape) -> AdLIFState:
        return AdLIFState(v=self.zeros(shape, self.v_leak), w=self.zeros(shape), clock=init_clock(self, shape))

    def coefficients(self) -> tuple:
        lam = relaxation(self.tau, self.dt, self.method)
        return self.read(lam), self.read(gain(self.r, lam)), self.read(relaxation(self.tau_w, self.dt, self.method))

    def step(
        self, x: Array, state: AdLIFState, coefficients: tuple, key: Key[Array, ""] | None
    ) -> tuple[Array, AdLIFState]:
        lam, g, lam_w = coefficients
        v_leak = self.read(self.v_leak)
        v = state.v + lam * (v_leak - state.v - state.w) + g * x
        spikes, v, clock = fire(self, v, state.v, state.clock, key)
        followed = state.v if self.coupling == "explicit" else v
        w = state.w + lam_w * (self.read(self.a) * (followed - v_leak) + self.read(self.b) * spikes - state.w)
        return spikes, AdLIFState(v, w, clock)


def stable_range(
    lam: np.ndarray, lam_w: np.ndarray, coupling: Coupling
) -> "tuple[np.ndarray | np.floating, np.ndarray | np.floating]":
    """The open interval of `a` in which the pair is stable below threshold, from the decays of one step."""
    alpha, beta, product = 1.0 - lam, 1.0 - lam_w, lam * lam_w
    far = (1.0 + alpha) * (1.0 + beta) / product
    if coupling == "symplectic":
        return np.full_like(far, -1.0), far
    return np.maximum(-1.0, -far), (1.0 - alpha * beta) / product
