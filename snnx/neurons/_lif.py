from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Dtype, Natural
from snnx.cells import Shape
from snnx.neurons._discretise import Method, check_euler, gain, relaxation
from snnx.neurons._equation import Equation
from snnx.neurons._fire import Clock, fire, init_clock
from snnx.neurons._neuron import AbstractNeuron
from snnx.neurons._reset import AbstractReset, SubtractReset
from snnx.parameters import Parameter, PositiveParameter
from snnx.surrogates import AbstractSurrogate, ATan


class LIFState(eqx.Module):
    """The state of a `LIF` or `IF`: membrane `v`, and counters where it needs them."""

    v: Float[Array, "*shape"]
    clock: Clock


@checked
class LIF(AbstractNeuron):
    r"""Leaky integrate-and-fire neuron.

    $$ \tau \frac{dv}{dt} = (v_\text{leak} - v) + r x $$
    $$ v \leftarrow v + \lambda (v_\text{leak} - v) + g x, \qquad
       s = H(v - \vartheta), \qquad v \leftarrow \text{reset}(v, s, \vartheta) $$

    with $\lambda = 1 - e^{-\Delta t/\tau}$ (`"exponential"`, and `"exact"`, which is the same for one equation) or
    $\Delta t/\tau$ (`"euler"`), and $g = 1$ when `r` is None (the input is a voltage step), else $\lambda r$.
    The membrane starts at `v_leak`.

    **Arguments:** of the parameters a number is a constant, an array (scalar or per neuron) is learned, and a wrapper
    such as `Positive` is learned within its bounds.
    - `tau`: membrane time constant, in the unit of `dt`; > 0.
    - `threshold`: $\vartheta$.
    - `r`: membrane resistance, or None.
    - `v_leak`: resting value.
    - `reset`: `SubtractReset()`, `ValueReset(v_reset)` or `NoReset()`.
    - `surrogate`: the spike and its pseudo derivative, e.g. `ATan(2.0)`.
    - `refractory`: steps after the step of a spike in which the neuron is silent and its membrane stands still.
    - `method`: discretisation.
    - `dt`: time step; 1 by default, so that time constants are in steps.
    - `dtype`: of state and spikes; by default that of the array parameters, else JAX's default float.

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `LIFState`.

    **Raises:** `ValueError` at construction for `tau <= 0`, `dt <= 0`, an unknown `method`, and Euler steps with
    `tau <= dt/2`; `ShapeError`, `DtypeError` at the first step for an input that does not fit.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 4.
    """

    spikes: ClassVar[bool] = True

    tau: PositiveParameter = 20.0
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
        check_euler("LIF", self.method, self.dt, tau=self.tau)

    def init_state(self, shape: Shape) -> LIFState:
        return LIFState(v=self.zeros(shape, self.v_leak), clock=init_clock(self, shape))

    def coefficients(self) -> "tuple[float | Array, float | Array]":
        lam = relaxation(self.tau, self.dt, self.method)
        return self.read(lam), self.read(gain(self.r, lam))

    def step(
        self, x: Array, state: LIFState, coefficients: tuple, key: Key[Array, ""] | None
    ) -> tuple[Array, LIFState]:
        lam, g = coefficients
        v = state.v + lam * (self.read(self.v_leak) - state.v) + g * x
        spikes, v, clock = fire(self, v, state.v, state.clock, key)
        return spikes, LIFState(v, clock)

    def equation(self) -> Equation:
        lam = relaxation(self.tau, self.dt, self.method)
        return Equation(
            tau_mem=self.tau,
            rest=self.v_leak,
            threshold=self.threshold,
            reset=self.reset,
            refractory=self.refractory * self.dt,
            jump=gain(self.r, lam),
            decay=lam,
        )


@checked
class IF(AbstractNeuron):
    r"""Integrate-and-fire neuron, without leak.

    $$ \frac{dv}{dt} = r x; \qquad v \leftarrow v + g x, \quad
       s = H(v - \vartheta), \quad v \leftarrow \text{reset}(v, s, \vartheta) $$

    with $g = 1$ when `r` is None, else $\Delta t\, r$. The membrane starts at 0.

    **Arguments:** as for `LIF`.
    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `LIFState`.
    **Raises:** `ValueError` for `dt <= 0`; `ShapeError`, `DtypeError` for an input that does not fit.

    Source: Lapicque, J. Physiol. Pathol. Gen. 9 (1907); NIR's `IF` for the meaning of `r`.
    """

    spikes: ClassVar[bool] = True

    threshold: Parameter = 1.0
    r: Parameter | None = None
    reset: AbstractReset = SubtractReset()
    surrogate: AbstractSurrogate = ATan()
    refractory: Natural = eqx.field(static=True, default=0, kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def init_state(self, shape: Shape) -> LIFState:
        return LIFState(v=self.zeros(shape), clock=init_clock(self, shape))

    def coefficients(self) -> "float | Array":
        return self.read(gain(self.r, self.dt))

    def step(
        self, x: Array, state: LIFState, coefficients: "float | Array", key: Key[Array, ""] | None
    ) -> tuple[Array, LIFState]:
        v = state.v + coefficients * x
        spikes, v, clock = fire(self, v, state.v, state.clock, key)
        return spikes, LIFState(v, clock)
