from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Dtype, Natural
from snnx.cells import Shape
from snnx.neurons._discretise import Method, check_euler, gain, relaxation
from snnx.neurons._fire import Clock, fire, init_clock
from snnx.neurons._neuron import AbstractNeuron
from snnx.neurons._reset import AbstractReset, SubtractReset
from snnx.parameters import Parameter, PositiveParameter
from snnx.surrogates import AbstractSurrogate, ATan


class ALIFState(eqx.Module):
    """The state of an `ALIF`: membrane `v`, adaptation `a`, and counters where it needs them."""

    v: Float[Array, "*shape"]
    a: Float[Array, "*shape"]
    clock: Clock


@checked
class ALIF(AbstractNeuron):
    r"""Leaky integrate-and-fire neuron whose threshold rises with its own spikes.

    $$ v \leftarrow v + \lambda (v_\text{leak} - v) + g x, \qquad s = H(v - \vartheta - \beta a), $$
    $$ v \leftarrow \text{reset}(v, s, \vartheta), \qquad a \leftarrow a - \lambda_a a + s $$

    with $\lambda$, $g$ as for `LIF`, $\lambda_a$ likewise from `tau_a`, and $\beta$ the `strength`. A spike raises the
    threshold from the next step on. The reset subtracts the base threshold $\vartheta$.

    This is the form of Bellec et al. 2020. Bellec et al. 2018 weigh each spike by $1 - \rho_a$ (divide their `strength`
    by `tau_a`, in steps, to first order) and subtract the raised threshold.

    **Arguments:** `tau`: of the membrane; `tau_a`: of the adaptation, in the unit of `dt`; > 0. `strength`: by how much
    one spike raises the threshold. All others as for `LIF`.

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `ALIFState`.

    **Raises:** `ValueError` for time constants <= 0, a number `strength < 0` (the neuron would excite itself without
    bound), `dt <= 0`, an unknown `method`, Euler steps with `tau <= dt/2`.

    Source: Bellec et al., A solution to the learning dilemma for recurrent networks of spiking neurons, Nature
    Communications 11 (2020); Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons,
    NeurIPS 2018.
    """

    spikes: ClassVar[bool] = True

    tau: PositiveParameter = 20.0
    tau_a: PositiveParameter = 200.0
    strength: Parameter = 0.1
    threshold: Parameter = 1.0
    r: Parameter | None = None
    v_leak: Parameter = 0.0
    reset: AbstractReset = SubtractReset()
    surrogate: AbstractSurrogate = ATan()
    refractory: Natural = eqx.field(static=True, default=0, kw_only=True)
    method: Method = eqx.field(static=True, default="exponential", kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_euler("ALIF", self.method, self.dt, tau=self.tau, tau_a=self.tau_a)
        if isinstance(self.strength, (int, float)) and self.strength < 0:
            raise ValueError(f"ALIF: strength is {self.strength}, expected >= 0: spikes would lower the threshold.")

    def init_state(self, shape: Shape) -> ALIFState:
        return ALIFState(v=self.zeros(shape, self.v_leak), a=self.zeros(shape), clock=init_clock(self, shape))

    def coefficients(self) -> tuple:
        lam = relaxation(self.tau, self.dt, self.method)
        return self.read(lam), self.read(gain(self.r, lam)), self.read(relaxation(self.tau_a, self.dt, self.method))

    def step(
        self, x: Array, state: ALIFState, coefficients: tuple, key: Key[Array, ""] | None
    ) -> tuple[Array, ALIFState]:
        lam, g, lam_a = coefficients
        v = state.v + lam * (self.read(self.v_leak) - state.v) + g * x
        raised = self.read(self.threshold) + self.read(self.strength) * state.a
        spikes, v, clock = fire(self, v, state.v, state.clock, key, threshold=raised)
        a = state.a - lam_a * state.a + spikes
        return spikes, ALIFState(v, a, clock)
