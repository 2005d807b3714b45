import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.cells import Shape
from snnx.event.ode._neuron import AbstractODENeuron, Solver, check_parameters, filled
from snnx.parameters import Parameter, value


class IzhikevichState(eqx.Module):
    """Membrane, recovery, synaptic current. In `vector_field` their derivatives."""

    v: Float[Array, "*shape"]
    u: Float[Array, "*shape"]
    j: Float[Array, "*shape"]


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

    a: Parameter = 0.02
    b: Parameter = 0.2
    c: Parameter = -65.0
    d: Parameter = 8.0
    v_peak: Parameter = 30.0
    tau_syn: Parameter = 5.0
    solver: Solver = Solver()

    def __check_init__(self):
        others = dict(b=self.b, c=self.c, d=self.d, v_peak=self.v_peak)
        check_parameters(self, "a", "tau_syn", a=self.a, tau_syn=self.tau_syn, **others)

    def init_state(self, shape: Shape) -> IzhikevichState:
        v = filled(shape, self.c)
        return IzhikevichState(v, filled(shape, self.b) * v, jnp.zeros(shape))

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
