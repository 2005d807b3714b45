import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from snnx.cells import Shape
from snnx.neurons._discretise import Method, gain, relaxation
from snnx.neurons._neuron import AbstractNeuron, check_common, check_euler, check_numbers
from snnx.parameters import Parameter


class LIState(eqx.Module):
    """The state of a `LI`: membrane `v`."""

    v: Float[Array, "*shape"]


class LI(AbstractNeuron):
    r"""Leaky integrator: a membrane that never fires. The usual readout.

    $$ \tau \frac{dv}{dt} = (v_\text{leak} - v) + r x; \qquad v \leftarrow v + \lambda (v_\text{leak} - v) + g x $$

    with $\lambda$ and $g$ as for `LIF`. The membrane starts at `v_leak`.

    **Arguments:** `tau`, `r`, `v_leak`, `method`, `dt`, `dtype`, as for `LIF`.
    **Returns** (`__call__`): the membrane, `*shape`, and the new `LIState`.
    **Raises:** `ValueError` for `tau <= 0`, `dt <= 0`, an unknown `method`, and Euler steps with `tau <= dt/2`.

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 4.
    """

    tau: Parameter = 20.0
    r: Parameter | None = None
    v_leak: Parameter = 0.0
    method: Method = eqx.field(static=True, default="exponential", kw_only=True)
    dt: float = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: DTypeLike | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_common(self)
        check_euler(self, tau=self.tau)
        check_numbers(self, v_leak=self.v_leak, r=self.r)

    def parameters(self) -> dict[str, Parameter]:
        named = {"tau": self.tau, "v_leak": self.v_leak}
        return named if self.r is None else named | {"r": self.r}

    def init_state(self, shape: Shape) -> LIState:
        return LIState(v=self.zeros(shape, self.v_leak))

    def coefficients(self) -> "tuple[float | Array, float | Array]":
        lam = relaxation(self.tau, self.dt, self.method)
        return self.read(lam), self.read(gain(self.r, lam))

    def step(self, x: Array, state: LIState, coefficients: tuple, key: Key[Array, ""] | None) -> tuple[Array, LIState]:
        lam, g = coefficients
        v = state.v + lam * (self.read(self.v_leak) - state.v) + g * x
        return v, LIState(v)
