import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.cells import Shape
from snnx.event.ode._exponential import upstroke
from snnx.event.ode._neuron import AbstractODENeuron, Solver, check_parameters, filled
from snnx.parameters import Parameter, value


class AdExState(eqx.Module):
    """Membrane, adaptation current, synaptic current. In `vector_field` their derivatives."""

    v: Float[Array, "*shape"]
    w: Float[Array, "*shape"]
    j: Float[Array, "*shape"]


class AdEx(AbstractODENeuron):
    r"""Adaptive exponential integrate-and-fire neuron.

    $$ C \dot v = -g_L (v - E_L) + g_L \Delta_T\, e^{(v - V_T)/\Delta_T} - w + j + c, \qquad
       \tau_w \dot w = a (v - E_L) - w, \qquad \tau_s \dot j = -j $$

    $$ v \leftarrow v_\text{reset},\ w \leftarrow w + b\ \text{at}\ v = v_\text{peak} $$

    The source's defaults, and of its inputs the current alone: its synapses are conductances.

    **Arguments:** numbers (constant) or arrays (learned), scalar or `*shape`.
    - `capacitance`: $C$, in pF. `g_leak`: $g_L$, in nS. `e_leak`: $E_L$, in mV; where it starts, with $w = 0$.
    - `v_t`, `delta_t`: where the spike sets in, and how sharply, in mV.
    - `tau_w`, `a`, `b`: of the adaptation: in ms, in nS, and what a spike adds, in pA.
    - `v_peak`, `v_reset`: where it fires, and starts again, in mV.
    - `tau_syn`: of the synaptic current, to which an event adds its weight (pA); in ms.

    **Raises:** `ValueError` for a capacitance, conductance `g_leak`, `delta_t` or time constant <= 0; `TypeError` for what is
    no parameter.
    Source: Brette & Gerstner, Adaptive exponential integrate-and-fire model as an effective description of neuronal activity
    (2005).
    """

    capacitance: Parameter = 281.0
    g_leak: Parameter = 30.0
    e_leak: Parameter = -70.6
    v_t: Parameter = -50.4
    delta_t: Parameter = 2.0
    tau_w: Parameter = 144.0
    a: Parameter = 4.0
    b: Parameter = 80.5
    v_peak: Parameter = 20.0
    v_reset: Parameter = -70.6
    tau_syn: Parameter = 5.0
    solver: Solver = Solver()

    def __check_init__(self):
        levels = dict(e_leak=self.e_leak, v_t=self.v_t, a=self.a, b=self.b, v_peak=self.v_peak, v_reset=self.v_reset)
        scales = dict(capacitance=self.capacitance, g_leak=self.g_leak, delta_t=self.delta_t, tau_w=self.tau_w)
        check_parameters(self, *scales, "tau_syn", **scales, tau_syn=self.tau_syn, **levels)

    def init_state(self, shape: Shape) -> AdExState:
        return AdExState(filled(shape, self.e_leak), jnp.zeros(shape), jnp.zeros(shape))

    def vector_field(self, state: AdExState, current: Float[Array, ""]) -> AdExState:
        above = state.v - value(self.e_leak)
        v = value(self.g_leak) * (upstroke(state.v, self.v_t, self.delta_t) - above) - state.w + state.j + current
        w = (value(self.a) * above - state.w) / value(self.tau_w)
        return AdExState(v / value(self.capacitance), w, -state.j / value(self.tau_syn))

    def threshold(self, state: AdExState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: AdExState) -> AdExState:
        return AdExState(jnp.full_like(state.v, value(self.v_reset)), state.w + value(self.b), state.j)

    def jump(self, state: AdExState, weight: Float[Array, ""]) -> AdExState:
        return AdExState(state.v, state.w, state.j + weight)
