import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.cells import Shape
from snnx.event.ode._neuron import AbstractODENeuron, MembraneState, Solver, check_parameters, filled
from snnx.parameters import Parameter, value


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

    tau: Parameter = 10.0
    v_rest: Parameter = -1.0
    v_crit: Parameter = 1.0
    v_peak: Parameter = 100.0
    v_reset: Parameter = -100.0
    tau_syn: Parameter = 5.0
    solver: Solver = Solver()

    def __check_init__(self):
        levels = dict(v_rest=self.v_rest, v_crit=self.v_crit, v_peak=self.v_peak, v_reset=self.v_reset)
        check_parameters(self, "tau", "tau_syn", tau=self.tau, tau_syn=self.tau_syn, **levels)

    def init_state(self, shape: Shape) -> MembraneState:
        return MembraneState(filled(shape, self.v_rest), jnp.zeros(shape))

    def vector_field(self, state: MembraneState, current: Float[Array, ""]) -> MembraneState:
        square = (state.v - value(self.v_rest)) * (state.v - value(self.v_crit))
        return MembraneState((square + state.j + current) / value(self.tau), -state.j / value(self.tau_syn))

    def threshold(self, state: MembraneState) -> Float[Array, ""]:
        return state.v - value(self.v_peak)

    def reset(self, state: MembraneState) -> MembraneState:
        return MembraneState(jnp.full_like(state.v, value(self.v_reset)), state.j)

    def jump(self, state: MembraneState, weight: Float[Array, ""]) -> MembraneState:
        return MembraneState(state.v, state.j + weight)
