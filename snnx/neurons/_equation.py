"""A neuron in continuous time, as a plain record: what the event-driven solvers are told."""

import equinox as eqx

from snnx._checks import checked
from snnx._typing import NotNegative
from snnx.neurons._reset import AbstractReset, SubtractReset
from snnx.parameters import Parameter, PositiveParameter


@checked
class Equation(eqx.Module):
    r"""A leaky membrane, behind a synapse whose current decays or without one.

    $$ \tau_m \dot v = E - v + R j, \qquad \tau_s \dot j = -j $$

    An event of weight $w$ adds $w \cdot$ `jump` to the current $j$; without a synapse (`tau_syn` is None) to the membrane $v$.
    Where $v$ rises through `threshold` the neuron fires: `reset` acts, and $v$ stands still for `refractory`. At time 0, $v$ is
    at $E$ and $j$ at 0.

    This is what `equation()` of a neuron returns, and what `snnx.event.simulate` solves in closed form.

    **Arguments:** parameters are numbers (constants), arrays (learned) or wrappers, scalar or per neuron.
    - `tau_mem`, `tau_syn`: $\tau_m$, $\tau_s$, in the unit of the events' times. `tau_syn` None: there is no synapse.
    - `rest`, `resistance`: $E$, $R$ (which only a synapse needs).
    - `threshold`: None for a readout, which never fires.
    - `reset`: `SubtractReset` or `ValueReset`.
    - `refractory`: how long the membrane stands still after a spike, in the unit of time.
    - `jump`: what an event of weight 1 adds: what an input of 1 adds in one step of the neuron's clock.
    - `decay`: the share of it that one step of the clock takes away again. A bias of $b$ comes in at every step; as a constant
        current it is $b \cdot$ `jump` / `decay`, at which as much comes as goes. None: the neuron takes no bias here.

    **Raises:** `ValueError` for time constants <= 0 and numbers that are not finite.
    """

    tau_mem: PositiveParameter
    tau_syn: PositiveParameter | None = None
    rest: Parameter = 0.0
    resistance: Parameter = 1.0
    threshold: Parameter | None = None
    reset: AbstractReset = SubtractReset()
    refractory: NotNegative = 0.0
    jump: Parameter = 1.0
    decay: PositiveParameter | None = None
