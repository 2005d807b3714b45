"""From a neuron to what is solved: its equation, and that equation flat, with what a bias adds to it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from snnx.cells import AbstractCell, cell_dtype
from snnx.event._dynamics import Dynamics, Reset
from snnx.event.ode._neuron import AbstractODENeuron
from snnx.neurons import AbstractReset, Equation, SubtractReset, ValueReset
from snnx.parameters import check_parameter_shape, value

_STEPS = ("coefficients", "step", "__call__", "over_time")  # what an equation speaks for
_PARAMETERS = ("tau_mem", "tau_syn", "rest", "resistance", "threshold", "jump", "decay")


def equation_of(path: str, part: AbstractCell) -> Equation | AbstractODENeuron:
    """What a part says of itself in continuous time.

    **Raises:** `ValueError`, naming the part, where it says nothing, or where only a class above it with another step does.
    """
    if isinstance(part, AbstractODENeuron):
        return part
    where, kind = f"event.simulate: part {path} ({type(part).__name__})", type(part)
    speaks = getattr(part, "equation", None)
    found = speaks() if callable(speaks) else None
    if found is None:
        raise ValueError(
            f"{where} has no equation in continuous time; those that have: LIF, CubaLIF, as readouts LI, CubaLI, and the neurons"
            " of snnx.event.ode. One of your own says its equation by a method equation(), which returns a snnx.neurons.Equation"
            " or such a neuron."
        )
    if not isinstance(found, Equation | AbstractODENeuron):
        raise TypeError(
            f"{where}: equation() returns {type(found).__name__}, expected a snnx.neurons.Equation or a neuron of snnx.event.ode."
        )
    spoken_by = _definer(kind, "equation")
    changed = [name for name in _STEPS if _definer(kind, name) < spoken_by]
    if changed:
        raise ValueError(
            f"{where} has a {changed[0]} of its own, but the equation of {kind.__mro__[spoken_by].__name__}, which is that of"
            f" another step; define equation() in {kind.__mro__[_definer(kind, changed[0])].__name__}, too."
        )
    return found


def _definer(kind: type, name: str) -> int:
    """How many classes above `kind` the one stands that defines a name; above all of them where none does."""
    mro = kind.__mro__
    return next((height for height, above in enumerate(mro) if name in vars(above)), len(mro))


def dynamics_of(
    path: str, part: AbstractCell, equation: Equation, shape: tuple[int, ...], constant: Array | None
) -> tuple[Dynamics, Array]:
    """An equation for neurons of `shape`, flat, and what an event of weight 1 adds to each.

    **Arguments:** `constant`: what the neuron's input adds at every step (a bias): a constant current, or for neurons without a
    synapse another resting value.
    """
    where, dtype = f"event.simulate: part {path} ({type(part).__name__})", cell_dtype(part)
    for name in _PARAMETERS:
        if (parameter := getattr(equation, name)) is not None:
            check_parameter_shape(where, name, parameter, shape)

    def flat(x: Any) -> Array:
        return jnp.broadcast_to(jnp.asarray(x, dtype), shape).reshape(-1)

    rest = start = value(equation.rest)
    start_j, twice = 0.0, False
    if constant is not None:
        if equation.decay is None:
            raise ValueError(
                f"{where} is given a constant current (a bias), but its equation does not say what a step takes away of it; give"
                " its Equation a decay, or take layers without bias."
            )
        # What comes in at every step and what a step takes away hold each other at the mean current.
        current = constant * value(equation.jump) / value(equation.decay)
        if equation.tau_syn is None:
            rest = rest + current
        else:  # as on the clock it comes in through the synapse: beyond what is in `rest`, j starts at minus all of it
            rest, start_j = rest + value(equation.resistance) * current, -current
    if equation.tau_syn is not None:
        mem, syn = value(equation.tau_mem), value(equation.tau_syn)
        twice = isinstance(mem, (int, float)) and isinstance(syn, (int, float)) and mem == 2 * syn
    threshold, after, reset = jnp.inf, 0.0, "subtract"
    if equation.threshold is not None:
        threshold = value(equation.threshold)
        after, reset = _checked_reset(where, equation)
    dynamics = Dynamics(
        tau_mem=flat(value(equation.tau_mem)),
        tau_syn=None if equation.tau_syn is None else flat(value(equation.tau_syn)),
        rest=flat(rest),
        resistance=flat(value(equation.resistance)),
        start_v=flat(start),
        start_j=flat(start_j),
        threshold=flat(threshold),
        after=flat(after),
        reset=reset,
        refractory=float(equation.refractory),
        twice=twice,
    )
    return dynamics, flat(value(equation.jump))


def coincides(equation: Equation, constant: Array | None) -> bool:
    """Whether a neuron is known to fire only when an event lifts it: it has no synapse, and rests below its threshold."""
    rest, threshold = value(equation.rest), equation.threshold
    if equation.tau_syn is not None or constant is not None or not isinstance(rest, (int, float)):
        return False
    return isinstance(threshold, (int, float)) and rest < threshold


def _checked_reset(where: str, equation: Equation) -> tuple[Any, Reset]:
    """The value that a membrane is set to (0 where the threshold is subtracted), and how it is reset.

    Refuses resets after which a neuron would fire without end, where numbers are known.
    """
    reset: AbstractReset = equation.reset
    if not isinstance(reset, SubtractReset | ValueReset):
        raise ValueError(
            f"{where} has the reset {type(reset).__name__}, which has no solution here; take snnx.SubtractReset() or"
            " snnx.ValueReset(v_reset)."
        )
    level = value(equation.threshold)  # pyright: ignore[reportArgumentType]
    sets = isinstance(reset, ValueReset)
    after = value(reset.v_reset) if isinstance(reset, ValueReset) else 0.0
    known = isinstance(level, (int, float)) and isinstance(after, (int, float))
    if known and not equation.refractory and (after >= level if sets else level <= 0.0):
        came = f"v_reset {after} and threshold {level}" if sets else f"threshold {level}, which its reset subtracts"
        raise ValueError(
            f"{where} has {came}: it would fire without end. Expected"
            f" {'v_reset below the threshold' if sets else 'a threshold > 0'}, or a refractory time."
        )
    return after, "value" if sets else "subtract"
