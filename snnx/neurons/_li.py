import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Dtype
from snnx.cells import Shape
from snnx.neurons._discretise import Method, check_euler, gain, relaxation
from snnx.neurons._equation import Equation
from snnx.neurons._neuron import AbstractNeuron
from snnx.parameters import Parameter, PositiveParameter


class LIState(eqx.Module):
    """The state of a `LI` or `Integrator`: membrane `v`."""

    v: Float[Array, "*shape"]


@checked
class LI(AbstractNeuron):
    r"""Leaky integrator: a membrane that never fires. The usual readout.

    $$ \tau \frac{dv}{dt} = (v_\text{leak} - v) + r x; \qquad v \leftarrow v + \lambda (v_\text{leak} - v) + g x $$

    with $\lambda$ and $g$ as for `LIF`. The membrane starts at `v_leak`.

    **Arguments:** `tau`, `r`, `v_leak`, `method`, `dt`, `dtype`, as for `LIF`.
    **Returns** (`__call__`): the membrane, `*shape`, and the new `LIState`.
    **Raises:** `ValueError` for `tau <= 0`, `dt <= 0`, an unknown `method`, and Euler steps with `tau <= dt/2`.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 4.
    """

    tau: PositiveParameter = 20.0
    r: Parameter | None = None
    v_leak: Parameter = 0.0
    method: Method = eqx.field(static=True, default="exponential", kw_only=True)
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_euler("LI", self.method, self.dt, tau=self.tau)

    def init_state(self, shape: Shape) -> LIState:
        return LIState(v=self.zeros(shape, self.v_leak))

    def coefficients(self) -> "tuple[float | Array, float | Array]":
        lam = relaxation(self.tau, self.dt, self.method)
        return self.read(lam), self.read(gain(self.r, lam))

    def step(self, x: Array, state: LIState, coefficients: tuple, key: Key[Array, ""] | None) -> tuple[Array, LIState]:
        lam, g = coefficients
        v = state.v + lam * (self.read(self.v_leak) - state.v) + g * x
        return v, LIState(v)

    def equation(self) -> Equation:
        lam = relaxation(self.tau, self.dt, self.method)
        return Equation(tau_mem=self.tau, rest=self.v_leak, jump=gain(self.r, lam), decay=lam)


@checked
class Integrator(AbstractNeuron):
    r"""Integrator: a membrane without leak that never fires.

    $$ \frac{dv}{dt} = r x; \qquad v \leftarrow v + g x $$

    with $g = 1$ when `r` is None, else $\Delta t\, r$. The membrane starts at 0.

    **Arguments:** `r`, `dt`, `dtype`, as for `IF`.
    **Returns** (`__call__`): the membrane, `*shape`, and the new `LIState`.
    **Raises:** `ValueError` for `dt <= 0`.

    Source: NIR's `I` (Pedersen et al., Nature Communications, 2024).
    """

    r: Parameter | None = None
    dt: AboveZero = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, default=None, kw_only=True)

    def init_state(self, shape: Shape) -> LIState:
        return LIState(v=self.zeros(shape))

    def coefficients(self) -> "float | Array":
        return self.read(gain(self.r, self.dt))

    def step(
        self, x: Array, state: LIState, coefficients: "float | Array", key: Key[Array, ""] | None
    ) -> tuple[Array, LIState]:
        v = state.v + coefficients * x
        return v, LIState(v)
