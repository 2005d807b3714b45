from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Dtype, Natural
from snnx.cells import Shape
from snnx.neurons._discretise import Method, check_euler, exact_pair_gain, gain, relaxation
from snnx.neurons._equation import Equation
from snnx.neurons._eventprop import EventProp, count_exactly, fire_exactly
from snnx.neurons._fire import Clock, Moved, fire, init_clock
from snnx.neurons._neuron import AbstractNeuron
from snnx.neurons._reset import AbstractReset, SubtractReset
from snnx.parameters import Parameter, PositiveParameter, value
from snnx.surrogates import AbstractSurrogate, ATan


class CubaLIState(eqx.Module):
    """The state of a `CubaLI`: membrane `v`, synaptic current `i`."""

    v: Float[Array, "*shape"]
    i: Float[Array, "*shape"]


class CubaLIFState(eqx.Module):
    """The state of a `CubaLIF`: membrane `v`, synaptic current `i`, and counters where it needs them."""

    v: Float[Array, "*shape"]
    i: Float[Array, "*shape"]
    clock: Clock


def _pair_coefficients(neuron: "CubaLI | CubaLIF") -> tuple:
    """Decay and gain of the synapse, then of the membrane."""
    lam_syn = relaxation(neuron.tau_syn, neuron.dt, neuron.method)
    lam_mem = relaxation(neuron.tau_mem, neuron.dt, neuron.method)
    if neuron.method == "exact":
        g_mem = exact_pair_gain(neuron.tau_mem, neuron.tau_syn, neuron.r, neuron.dt)
    else:
        g_mem = gain(neuron.r, lam_mem)
    return tuple(map(neuron.read, (lam_syn, gain(neuron.w_in, lam_syn), lam_mem, g_mem)))


def _pair_equation(neuron: "CubaLI | CubaLIF", **spiking: Any) -> Equation:
    lam_syn = relaxation(neuron.tau_syn, neuron.dt, neuron.method)
    return Equation(
        tau_mem=neuron.tau_mem,
        tau_syn=neuron.tau_syn,
        rest=neuron.v_leak,
        resistance=1.0 / relaxation(neuron.tau_mem, neuron.dt, neuron.method) if neuron.r is None else neuron.r,
        jump=gain(neuron.w_in, lam_syn),
        # An exact step lets the current decay while it acts; the others hold it until the next.
        decay=neuron.dt / value(neuron.tau_syn) if neuron.method == "exact" else lam_syn,
        **spiking,
    )


@checked
class CubaLIF(AbstractNeuron):
    r"""Leaky integrate-and-fire neuron with a synapse whose current decays exponentially.

    $$ \tau_s \frac{di}{dt} = -i + w_\text{in} x, \qquad \tau_m \frac{dv}{dt} = (v_\text{leak} - v) + r i $$
    $$ i \leftarrow i - \lambda_s i + g_s x, \qquad v \leftarrow v + \lambda_m (v_\text{leak} - v) + g_m i, $$
    $$ s = H(v - \vartheta), \qquad v \leftarrow \text{reset}(v, s, \vartheta) $$

    The synapse comes first and the membrane sees the new current. $\lambda$ is $1 - e^{-\Delta t/\tau}$
    (`"exponential"`, `"exact"`) or $\Delta t/\tau$ (`"euler"`); $g_s = 1$ when `w_in` is None, else
    $\lambda_s w_\text{in}$; $g_m = 1$ when `r` is None, else $\lambda_m r$. With `"exact"` the current decays within the
    step too: $g_m = r \frac{\tau_s}{\tau_s - \tau_m}(e^{-\Delta t/\tau_s} - e^{-\Delta t/\tau_m})$, where an `r` of None
    stands for $1/\lambda_m$; `i` is then the current at the start of the step, `v` the membrane at its end.
    The current starts at 0, the membrane at `v_leak`. A refractory membrane stands still; its current does not.

    **Arguments:** `tau_mem`, `tau_syn`: time constants, in the unit of `dt`; > 0. `w_in`: input weight, or None.
    `gradient`: None for that of the surrogate, `EventProp()` for the exact one; with `method="exact"`.
    All others as for `LIF`.

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `CubaLIFState`.

    **Raises:** `ValueError` for time constants <= 0, `dt <= 0`, an unknown `method`, Euler steps with `tau <= dt/2`, and
    another method than `"exact"` with `EventProp()`.

    Source: NIR (Pedersen et al., Nature Communications 2024) for the equations; Rotter & Diesmann, Biol. Cybern. 81
    (1999) for the exact step.
    """

    spikes: ClassVar[bool] = True

    tau_mem: PositiveParameter = 20.0
    tau_syn: PositiveParameter = 10.0
    threshold: Parameter = 1.0
    r: Parameter | None = None
    w_in: Parameter | None = None
    v_leak: Parameter = 0.0
    reset: AbstractReset = SubtractReset()
    surrogate: AbstractSurrogate = ATan()
    gradient: EventProp | None = eqx.field(default=None, kw_only=True)
    refractory: Natural = eqx.field(static=True, default=0, kw_only=True)
    method: Method = eqx.field(static=True, default="exponential", kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_euler("CubaLIF", self.method, self.dt, tau_mem=self.tau_mem, tau_syn=self.tau_syn)
        if self.gradient is not None and self.method != "exact":
            raise ValueError(
                "CubaLIF: gradient=EventProp() is for method='exact', where the membrane follows its equation within a step;"
                f" this one has method={self.method!r}."
            )
        if self.gradient is not None and self.surrogate.needs_key:
            raise ValueError(
                "CubaLIF: gradient=EventProp() needs spikes that follow from the membrane; those of surrogate,"
                f" {type(self.surrogate).__name__}, are random."
            )

    def init_state(self, shape: Shape) -> CubaLIFState:
        v, i = self.zeros(shape, self.v_leak), self.zeros(shape)
        moved = None if self.gradient is None else Moved(i, i if self.refractory else None)
        return CubaLIFState(v, i, clock=init_clock(self, shape, moved))

    def coefficients(self) -> tuple:
        return _pair_coefficients(self)

    def step(
        self, x: Array, state: CubaLIFState, coefficients: tuple, key: Key[Array, ""] | None
    ) -> tuple[Array, CubaLIFState]:
        lam_syn, g_syn, lam_mem, _ = coefficients
        i = state.i - lam_syn * state.i + g_syn * x
        v = self._membrane(state.v, i, coefficients)
        if self.gradient is None:
            spikes, v, clock = fire(self, v, state.v, state.clock, key)
        else:

            def drift(v: Array, arrived: Array) -> Array:
                # By membranes alone: a backward pass that keeps them need not compute the current again.
                v_leak = self.read(self.v_leak)
                by_current = arrived - state.v - lam_mem * (v_leak - state.v)
                return lam_mem * (v_leak - v) + (1.0 - lam_syn) * by_current

            spikes, v, clock = fire_exactly(self, self.gradient, v, state.v, state.clock, lam_mem, drift)
        return spikes, CubaLIFState(v, i, clock)

    def recorded(self, y: Array, state: CubaLIFState, before: CubaLIFState, coefficients: tuple) -> Array:
        if self.gradient is None:
            return y
        return count_exactly(self, self.gradient, y, self._membrane(before.v, state.i, coefficients))

    def equation(self) -> Equation:
        refractory = self.refractory * self.dt
        return _pair_equation(self, threshold=self.threshold, reset=self.reset, refractory=refractory)

    def _membrane(self, v: Array, i: Array, coefficients: tuple) -> Array:
        _, _, lam_mem, g_mem = coefficients
        return v + lam_mem * (self.read(self.v_leak) - v) + g_mem * i


@checked
class CubaLI(AbstractNeuron):
    r"""Leaky integrator behind a synapse whose current decays exponentially: a `CubaLIF` that never fires.

    $$ i \leftarrow i - \lambda_s i + g_s x, \qquad v \leftarrow v + \lambda_m (v_\text{leak} - v) + g_m i $$

    **Arguments:** `tau_mem`, `tau_syn`, `r`, `w_in`, `v_leak`, `method`, `dt`, `dtype`, as for `CubaLIF`.
    **Returns** (`__call__`): the membrane, `*shape`, and the new `CubaLIState`.
    **Raises:** `ValueError` for time constants <= 0, `dt <= 0`, an unknown `method`, Euler steps with `tau <= dt/2`.

    Source: NIR (Pedersen et al., Nature Communications 2024).
    """

    tau_mem: PositiveParameter = 20.0
    tau_syn: PositiveParameter = 10.0
    r: Parameter | None = None
    w_in: Parameter | None = None
    v_leak: Parameter = 0.0
    method: Method = eqx.field(static=True, default="exponential", kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_euler("CubaLI", self.method, self.dt, tau_mem=self.tau_mem, tau_syn=self.tau_syn)

    def init_state(self, shape: Shape) -> CubaLIState:
        return CubaLIState(v=self.zeros(shape, self.v_leak), i=self.zeros(shape))

    def coefficients(self) -> tuple:
        return _pair_coefficients(self)

    def step(
        self, x: Array, state: CubaLIState, coefficients: tuple, key: Key[Array, ""] | None
    ) -> tuple[Array, CubaLIState]:
        lam_syn, g_syn, lam_mem, g_mem = coefficients
        i = state.i - lam_syn * state.i + g_syn * x
        v = state.v + lam_mem * (self.read(self.v_leak) - state.v) + g_mem * i
        return v, CubaLIState(v, i)

    def equation(self) -> Equation:
        return _pair_equation(self)
