import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.cells import Shape
from snnx.event.ode._exponential import upstroke
from snnx.event.ode._neuron import AbstractODENeuron, MembraneState, Solver, check_parameters, filled
from snnx.parameters import Parameter, value


class EIF(AbstractODENeuron):
    r"""Exponential integrate-and-fire neuron.

    $$ C \dot v = -g_L (v - E_L) + g_L \Delta_T\, e^{(v - V_T)/\Delta_T} + j + c, \qquad \tau_s \dot j = -j, \qquad
       v \leftarrow v_\text{reset}\ \text{at}\ v = v_\text{peak} $$

    The defaults are those that fit the Wang-Buzsáki neuron, but for its refractory period of 1.7 ms, which there is not here.
    In the source a spike is where $v$ gets infinite; from the default of `v_peak` it would get there within 1e-6 ms.

    **Arguments:** numbers (constant) or arrays (learned), scalar or `*shape`.
    - `capacitance`: $C$, in µF/cm². `g_leak`: $g_L$, in mS/cm². `e_leak`: $E_L$, in mV; where it starts.
    - `v_t`, `delta_t`: where the spike sets in, and how sharply, in mV.
    - `v_peak`, `v_reset`: where it fires, and starts again, in mV.
    - `tau_syn`: of the synaptic current, to which an event adds its weight (µA/cm²); in ms.

    **Raises:** `ValueError` for a capacitance, conductance, `delta_t` or time constant <= 0; `TypeError` for what is no
    parameter.
    Source: Fourcaud-Trocmé, Hansel, van Vreeswijk & Brunel, How spike generation mechanisms determine the neuronal response to
    fluctuating inputs (2003).
    """

    capacitance: Parameter = 1.0
    g_leak: Parameter = 0.1
    e_leak: Parameter = -65.0
    v_t: Parameter = -59.9
    delta_t: Parameter = 3.48
    v_peak: Parameter = 0.0
    v_reset: Parameter = -68.0
    tau_syn: Parameter = 5.0
    solver: Solver = Solver()

    def __check_init__(self):
        levels = dict(e_leak=self.e_leak, v_t=self.v_t, v_peak=self.v_peak, v_reset=self.v_reset)
        scales = dict(capacitance=self.capacitance, g_leak=self.g_leak, delta_t=self.delta_t, tau_syn=self.tau_syn)
        check_parameters(self, *scales, **scales, **levels)

    def init_state(self, shape: Shape) -> MembraneState:
        return MembraneState(filled(shape, self.e_leak), jnp.zeros(shape))

    def vector_field(self, state: MembraneState, current: Float[Array, ""]) -> MembraneState:
        v = value(self.g_leak) * (value(self.e_leak) - state.v + upstroke(state.v, self.v_t, self.delta_t))
        v = (v + state.j + current) / value(self.capacitance)
        return MembraneState(v, -state.j / value(self.tau_syn))

    def threshold(self, state: MembraneState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: MembraneState) -> MembraneState:
        return MembraneState(jnp.full_like(state.v, value(self.v_reset)), state.j)

    def jump(self, state: MembraneState, weight: Float[Array, ""]) -> MembraneState:
        return MembraneState(state.v, state.j + weight)
