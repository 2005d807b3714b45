import abc
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count
from snnx.cells import AbstractCell, Shape, State


@checked
class Solver(eqx.Module):
    """How an equation is solved between events: by a Runge-Kutta method of order 5 (Tsitouras) with steps of its own choice.

    **Arguments:**
    - `tolerance`: of a step's error, relative and absolute, in the units of the state; by default 1e-6, in float64 1e-8.
        Gradients are less precise than times: some 1e-3 of them, in float64 1e-5.
    - `max_step`: the longest step, in the neuron's unit of time; by default none. A membrane that passes its threshold and
        comes back within one step is not seen. Those of this room run away once they are there, and need no bound.
    - `max_steps`: steps between two events, at most; more are an error.

    **Raises:** `ValueError` for numbers <= 0, and a `max_steps` that is not whole.
    """

    tolerance: AboveZero | None = eqx.field(default=None, static=True)
    max_step: AboveZero | None = eqx.field(default=None, static=True)
    max_steps: Count = eqx.field(default=4096, static=True)


class MembraneState(eqx.Module):
    """The state of a neuron with one variable: membrane, and synaptic current. In `vector_field` their derivatives."""

    v: Float[Array, "*shape"]
    j: Float[Array, "*shape"]


class AbstractODENeuron(AbstractCell):
    r"""A neuron that is given by its equation, where it fires, and what is then set back.

    $$ \dot y = F(y, c), \qquad y \leftarrow \text{reset}(y)\ \text{where}\ \vartheta(y)\ \text{rises through}\ 0, \qquad
       y \leftarrow \text{jump}(y, w)\ \text{at an event of weight}\ w $$

    with $c$ the constant current that a bias before it is. To write one: its fields, and five methods. The methods are given
    one neuron, each parameter and each field of its state a scalar. Fields that are arrays or wrappers are parameters per
    neuron; what else there is, a network of one's own say, is shared.

    ```python
    class Leaky(snnx.event.ode.AbstractODENeuron):
        tau: snnx.parameters.Parameter = 20.0
        solver: snnx.event.ode.Solver = snnx.event.ode.Solver(max_step=1.0)

        def init_state(self, shape):
            return snnx.event.ode.MembraneState(jnp.zeros(shape), jnp.zeros(shape))

        def vector_field(self, state, current):
            v = (-state.v + state.j + current) / snnx.value(self.tau)
            return snnx.event.ode.MembraneState(v, -state.j / 5.0)

        def threshold(self, state):
            return state.v - 1.0

        def reset(self, state):
            return snnx.event.ode.MembraneState(state.v - 1.0, state.j)

        def jump(self, state, weight):
            return snnx.event.ode.MembraneState(state.v, state.j + weight)
    ```

    Runs in `snnx.event.simulate`, without feedback. Its spikes have the gradient of the solver, by the implicit
    function theorem at the threshold, whichever `gradient` is asked for, and forwards too.
    """

    spikes: ClassVar[bool] = True

    solver: eqx.AbstractVar[Solver]

    @abc.abstractmethod
    def init_state(self, shape: Shape) -> State:
        """The state at time 0."""

    @abc.abstractmethod
    def vector_field(self, state: State, current: Float[Array, ""]) -> State:
        """The derivative of the state by time, of the same structure, under a constant input `current`."""

    @abc.abstractmethod
    def threshold(self, state: State) -> Float[Array, ""]:
        """How far the state is above its threshold: where this rises through 0, the neuron fires."""

    @abc.abstractmethod
    def reset(self, state: State) -> State:
        """The state behind a spike."""

    @abc.abstractmethod
    def jump(self, state: State, weight: Float[Array, ""]) -> State:
        """The state behind an event of the input."""

    def __call__(self, x: Array, state: State, *, key: Key[Array, ""] | None = None) -> tuple[Array, State]:
        raise TypeError(f"ode.{type(self).__name__}: has no step of a clock; run it in snnx.event.simulate.")
