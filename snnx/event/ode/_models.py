"""Neurons of the literature that are given by an ODE: `QIF`, `EIF`, `AdEx`, `Izhikevich`."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.cells import Shape
from snnx.event.ode._neuron import AbstractODENeuron, MembraneState, Solver
from snnx.parameters import Parameter, PositiveParameter, value

_STEEPEST = 32.0


@checked
class QIF(AbstractODENeuron):
    r"""Quadratic integrate-and-fire neuron.

    $$ \tau \dot v = (v - v_\text{rest})(v - v_\text{crit}) + j + c, \qquad \tau_s \dot j = -j, \qquad
       v \leftarrow v_\text{reset}\ \text{at}\ v = v_\text{peak} $$

    At its defaults $\tau \dot v = v^2 - 1 + j + c$, the normal form of neurons that start to fire at any rate however low: with
    $v = \tan(\theta/2)$ and $v_\text{peak} = -v_\text{reset} = \infty$ the canonical model of the source. No units but time.

    **Arguments:** numbers (constant) or arrays (learned), scalar or `*shape`.
    - `tau`: of the membrane, in ms.
    - `v_rest`: where it starts, and rests without input. `v_crit`: above it the membrane runs away.
    - `v_peak`, `v_reset`: where it fires, and starts again.
    - `tau_syn`: of the synaptic current, to which an event adds its weight; in ms.

    **Raises:** `ValueError` for time constants <= 0; `TypeError` for what is no parameter.
    Source: Ermentrout & Kopell, Parabolic bursting in an excitable system coupled with a slow oscillation (1986).
    """

    tau: PositiveParameter = 10.0
    v_rest: Parameter = -1.0
    v_crit: Parameter = 1.0
    v_peak: Parameter = 100.0
    v_reset: Parameter = -100.0
    tau_syn: PositiveParameter = 5.0
    solver: Solver = Solver()

    def init_state(self, shape: Shape) -> MembraneState:
        return MembraneState(_filled(shape, self.v_rest), jnp.zeros(shape))

    def vector_field(self, state: MembraneState, current: Float[Array, ""]) -> MembraneState:
        square = (state.v - value(self.v_rest)) * (state.v - value(self.v_crit))
        return MembraneState((square + state.j + current) / value(self.tau), -state.j / value(self.tau_syn))

    def threshold(self, state: MembraneState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: MembraneState) -> MembraneState:
        return MembraneState(jnp.full_like(state.v, value(self.v_reset)), state.j)

    def jump(self, state: MembraneState, weight: Float[Array, ""]) -> MembraneState:
        return MembraneState(state.v, state.j + weight)


@checked
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

    capacitance: PositiveParameter = 1.0
    g_leak: PositiveParameter = 0.1
    e_leak: Parameter = -65.0
    v_t: Parameter = -59.9
    delta_t: PositiveParameter = 3.48
    v_peak: Parameter = 0.0
    v_reset: Parameter = -68.0
    tau_syn: PositiveParameter = 5.0
    solver: Solver = Solver()

    def init_state(self, shape: Shape) -> MembraneState:
        return MembraneState(_filled(shape, self.e_leak), jnp.zeros(shape))

    def vector_field(self, state: MembraneState, current: Float[Array, ""]) -> MembraneState:
        v = value(self.g_leak) * (value(self.e_leak) - state.v + _upstroke(state.v, self.v_t, self.delta_t))
        v = (v + state.j + current) / value(self.capacitance)
        return MembraneState(v, -state.j / value(self.tau_syn))

    def threshold(self, state: MembraneState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: MembraneState) -> MembraneState:
        return MembraneState(jnp.full_like(state.v, value(self.v_reset)), state.j)

    def jump(self, state: MembraneState, weight: Float[Array, ""]) -> MembraneState:
        return MembraneState(state.v, state.j + weight)


class AdExState(eqx.Module):
    """Membrane, adaptation current, synaptic current. In `vector_field` their derivatives."""

    v: Float[Array, "*shape"]
    w: Float[Array, "*shape"]
    j: Float[Array, "*shape"]


@checked
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

    capacitance: PositiveParameter = 281.0
    g_leak: PositiveParameter = 30.0
    e_leak: Parameter = -70.6
    v_t: Parameter = -50.4
    delta_t: PositiveParameter = 2.0
    tau_w: PositiveParameter = 144.0
    a: Parameter = 4.0
    b: Parameter = 80.5
    v_peak: Parameter = 20.0
    v_reset: Parameter = -70.6
    tau_syn: PositiveParameter = 5.0
    solver: Solver = Solver()

    def init_state(self, shape: Shape) -> AdExState:
        return AdExState(_filled(shape, self.e_leak), jnp.zeros(shape), jnp.zeros(shape))

    def vector_field(self, state: AdExState, current: Float[Array, ""]) -> AdExState:
        above = state.v - value(self.e_leak)
        v = value(self.g_leak) * (_upstroke(state.v, self.v_t, self.delta_t) - above) - state.w + state.j + current
        w = (value(self.a) * above - state.w) / value(self.tau_w)
        return AdExState(v / value(self.capacitance), w, -state.j / value(self.tau_syn))

    def threshold(self, state: AdExState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: AdExState) -> AdExState:
        return AdExState(jnp.full_like(state.v, value(self.v_reset)), state.w + value(self.b), state.j)

    def jump(self, state: AdExState, weight: Float[Array, ""]) -> AdExState:
        return AdExState(state.v, state.w, state.j + weight)


class IzhikevichState(eqx.Module):
    """Membrane, recovery, synaptic current. In `vector_field` their derivatives."""

    v: Float[Array, "*shape"]
    u: Float[Array, "*shape"]
    j: Float[Array, "*shape"]


@checked
class Izhikevich(AbstractODENeuron):
    r"""Izhikevich's neuron.

    $$ \dot v = 0.04 v^2 + 5 v + 140 - u + j + i, \qquad \dot u = a (b v - u), \qquad \tau_s \dot j = -j $$

    $$ v \leftarrow c,\ u \leftarrow u + d\ \text{at}\ v = v_\text{peak} $$

    with $i$ the constant current of a bias. $v$ in mV, time in ms. The defaults are regular spiking; others of the source:

    | | a | b | c | d |
    |---|---|---|---|---|
    | intrinsically bursting | 0.02 | 0.2 | -55 | 4 |
    | chattering | 0.02 | 0.2 | -50 | 2 |
    | fast spiking | 0.1 | 0.2 | -65 | 2 |
    | low-threshold spiking | 0.02 | 0.25 | -65 | 2 |

    **Arguments:** numbers (constant) or arrays (learned), scalar or `*shape`.
    - `a`: how fast the recovery is, in 1/ms. `b`: how it follows the membrane.
    - `c`: what the membrane is set back to, and starts from, with $u = b c$. `d`: what a spike adds to the recovery.
    - `v_peak`: where it fires, in mV.
    - `tau_syn`: of the synaptic current, to which an event adds its weight; in ms.

    **Raises:** `ValueError` for `a` or `tau_syn` <= 0; `TypeError` for what is no parameter.
    Source: Izhikevich, Simple model of spiking neurons (2003).
    """

    a: PositiveParameter = 0.02
    b: Parameter = 0.2
    c: Parameter = -65.0
    d: Parameter = 8.0
    v_peak: Parameter = 30.0
    tau_syn: PositiveParameter = 5.0
    solver: Solver = Solver()

    def init_state(self, shape: Shape) -> IzhikevichState:
        v = _filled(shape, self.c)
        return IzhikevichState(v, _filled(shape, self.b) * v, jnp.zeros(shape))

    def vector_field(self, state: IzhikevichState, current: Float[Array, ""]) -> IzhikevichState:
        v = 0.04 * state.v**2 + 5.0 * state.v + 140.0 - state.u + state.j + current
        u = value(self.a) * (value(self.b) * state.v - state.u)
        return IzhikevichState(v, u, -state.j / value(self.tau_syn))

    def threshold(self, state: IzhikevichState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: IzhikevichState) -> IzhikevichState:
        return IzhikevichState(jnp.full_like(state.v, value(self.c)), state.u + value(self.d), state.j)

    def jump(self, state: IzhikevichState, weight: Float[Array, ""]) -> IzhikevichState:
        return IzhikevichState(state.v, state.u, state.j + weight)


def _upstroke(v: Float[Array, "*shape"], v_t: Parameter, delta_t: Parameter) -> Float[Array, "*shape"]:
    r"""The sodium current of a spike, over the conductance of the leak, in the unit of $v$.

    $$ \Delta_T \exp\left(\min\left(\frac{v - V_T}{\Delta_T}, 32\right)\right) $$

    What the minimum changes lasts 1e-14 time constants. It keeps float32 from overflow, also in steps that are only tried.
    """
    return value(delta_t) * jnp.exp(jnp.minimum((v - value(v_t)) / value(delta_t), _STEEPEST))


def _filled(shape: Shape, parameter: Parameter) -> Float[Array, "*shape"]:
    """A parameter of every neuron."""
    return jnp.broadcast_to(jnp.asarray(value(parameter), float), shape)
