import math
from collections.abc import Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, PyTree

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._jitted import as_jax, run_jitted
from snnx._typing import AboveZero, Count, Shape
from snnx.cells import AbstractCell, cell_dtype, walk
from snnx.event._events import Events
from snnx.event._signal import Signal, Source
from snnx.event._walker import Options, Walker


class Solution(eqx.Module):
    """What `simulate` returns.

    **Fields:**
    - `output`: `Events` of the last neurons, with their phantoms, or a `Membrane` where the model ends in a readout; of a graph
        with several outputs a dict by name.
    - `spikes`: the `Events` of every part that fires, by its path; without phantoms.
    - `overflow`: whether there were more events anywhere than there was room for.
    """

    output: Any
    spikes: dict[str, Events]
    overflow: Bool[Array, ""]


@checked
def simulate(
    model: AbstractCell,
    events: Events | Mapping[str, Events],
    *,
    duration: AboveZero,
    most: Count | Mapping[str, Count] = 8,
    capacity: Count | Mapping[str, Count] | None = None,
    gradient: Literal["eventprop", "autodiff"] = "eventprop",
    overflow: Literal["error", "report"] = "error",
    phantom: bool = False,
    shape: Shape | None = None,
) -> Solution:
    r"""Run a network in continuous time, from spike to spike, and differentiate it exactly.

    The same model as on the clock. Between events membranes follow their equation in closed form; an event adds what it adds at
    one step of the neurons' clock. A bias is a constant current: the mean of what it adds at every step. `dt` has no other
    meaning here; with `w_in` None a bias is worth more where steps are shorter, as on the clock. Feedback arrives at once, but
    for delays. Neurons that do not feed each other are solved layer by layer: only the times of spikes pass between.

    ```python
    events = snnx.event.make_events([3.0, 1.5], [0, 2], size=5)
    run = snnx.event.simulate(model, events, duration=60.0)
    run.output.first()                                             # first spikes, if the model ends in neurons that fire
    run.output.mean(), run.output.maximum(), run.output.at(times)  # a readout's membranes
    many = jax.vmap(lambda e: snnx.event.simulate(model, e, duration=60.0).output.first())(batch_of_events)
    ```

    It is compiled by itself, once for arguments of a kind, as by `jax.jit` (docs/compilation.md).

    **Arguments:**
    - `model`: neurons that say their equation (`LIF`, `CubaLIF`, your own by a method `equation()`), with `SubtractReset` or
        `ValueReset`; at the end also readouts (`LI`, `CubaLI`). In `Sequential`, `Recurrent`, `Graph`, `Parallel` and
        `Residual` with `Add`; linear layers and delays between (`snnx.Delay`, `ContinuousDelay`); outside of loops also
        neurons given by an ODE, `snnx.event.ode`. Spikes of a neuron without synapse (`LIF`) coincide with spikes at its
        input, unless it rests above its threshold: such times have no gradient with respect to weights, and training them
        warns.
    - `events`: one example's; of a graph with several inputs a dict by name.
    - `duration`: until when; events and spikes after it do not happen.
    - `most`: spikes of one neuron, at most; a number, or a dict by path (`""`: for the others).
    - `capacity`: spikes of one part, at most; by default `most` times the neurons. As small as there are spikes: the next layer
        works through all of it.
    - `gradient`: `"eventprop"`: by the adjoint, which keeps the events alone. `"autodiff"`: by differentiating the
        solver, which also works forwards (`jax.jvp`) and twice (`jax.hessian`), and more slowly.
    - `overflow`: `"error"` where there is no room for a spike, or `"report"` in `Solution.overflow`.
    - `phantom`: whether neurons at the output that stay silent get a spike at `duration`, which comes earlier when the membrane
        then is higher: $dt = -\tau_m\, dv / \vartheta$. So that a loss of spike times can wake them. The output's list gets room
        for them.
    - `shape`: of one step of the input, where its channels are no list: `(2, 34, 34)`.

    **Returns:** a `Solution`; a parameter that is NaN or infinite makes all its times NaN.

    **Raises:** `ValueError`, naming the part, for parts without such a solution; `ShapeError`, `DtypeError`, `ValueError` for
    events that do not fit; when it runs, a `RuntimeError` that names the part where there is no room for a spike.

    Source: for the gradient Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural
    networks (2021).
    """
    _check_not_random(model)
    dtype = cell_dtype(model)
    options = Options(float(duration), most, capacity, gradient == "eventprop", phantom, dtype)
    for given in events.values() if isinstance(events, Mapping) else (events,):
        _check_events(given, dtype, shape)
    keyed = dict(events) if isinstance(events, Mapping) else events
    return run_jitted(_simulate, model, as_jax(keyed), options, shape, overflow)


def _simulate(
    model: AbstractCell, events: Events | dict[str, Events], options: Options, shape: Shape | None, overflow: str
) -> Solution:
    """`simulate` behind its checks."""
    inputs = events if isinstance(events, dict) else {"": events}
    signals = {name: Signal((Source(e, None),), None, shape or (e.size,)) for name, e in inputs.items()}
    walker = Walker(options, {}, {})
    out = walker.run("", model, signals if isinstance(events, dict) else signals[""])
    walker.check_paths()
    output = {name: walker.result(x) for name, x in out.items()} if isinstance(out, dict) else walker.result(out)
    output, spikes = _nan_where(_has_diverged(model), (output, walker.spikes))
    lists = {f"events {name!r}" if name else "events": e for name, e in inputs.items()}
    lists |= {f"part {path}": e for path, e in spikes.items()}
    full = jnp.stack([e.overflow for e in lists.values()])
    if overflow == "error":
        output, spikes = eqx.branched_error_if(
            (output, spikes), jnp.any(full), jnp.argmax(full), [_too_many(name) for name in lists]
        )
    return Solution(output, spikes, jnp.any(full))


def _check_not_random(model: AbstractCell) -> None:
    def is_dropout(part: PyTree) -> bool:
        return isinstance(part, eqx.nn.Dropout)

    for path, part in walk(model):
        parts = () if isinstance(part, AbstractCell) else jax.tree.leaves(part, is_leaf=is_dropout)
        if any(is_dropout(inner) and not inner.inference and inner.p for inner in parts):
            raise ValueError(
                f"event.simulate: part {path} (Dropout) is random, and there is no key here; expected a model without it, or"
                " eqx.nn.inference_mode(model)."
            )


def _check_events(given: Events, dtype: jnp.dtype, shape: Shape | None) -> None:
    if given.times.dtype != dtype:
        raise DtypeError(f"event.simulate: events has times {describe(given.times)}, but the model is {dtype.name}.")
    if given.times.ndim != 1:
        raise ShapeError(
            f"event.simulate: events has times {describe(given.times)}; expected one example: use jax.vmap."
        )
    if shape is not None and math.prod(shape) != given.size:
        raise ShapeError(f"event.simulate: shape is {shape}, but events has {given.size} channels.")
    if any(isinstance(x, Tracer) for x in (given.times, given.indices, given.count)):
        return
    times, count = np.asarray(given.times), int(given.count)
    which = np.asarray(given.indices)[:count]
    if not (0 <= count <= times.size and np.all(times[:count] >= 0) and np.all(times[1:] >= times[:-1])):
        raise ValueError(
            f"event.simulate: events has count {count} and times {describe(times.tolist())}; expected times >= 0, ascending,"
            " inf behind the last. snnx.event.make_events takes them in any order."
        )
    if np.any((which < 0) | (which >= given.size)):
        raise ValueError(
            f"event.simulate: events has channels from {which.min()} to {which.max()}, but size is {given.size}."
        )


def _too_many(name: str) -> str:
    if name.startswith("events"):
        cause = ", or times and channels that are none (from within a compiled program)"
        remedy = "raise its capacity="
    else:
        cause, remedy = "", "raise most= or capacity="
    return (
        f"event.simulate: {name}: there are more events than there is room for{cause}; {remedy}, or take"
        " overflow='report'."
    )


def _has_diverged(model: AbstractCell) -> Bool[Array, ""]:
    """Whether a parameter is NaN or infinite, as where training diverged."""
    arrays = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return jnp.any(jnp.stack([jnp.any(~jnp.isfinite(x)) for x in arrays])) if arrays else jnp.zeros((), bool)


def _nan_where(condition: Array, tree: PyTree) -> PyTree:
    """All floats of a tree: NaN. A parameter that is NaN compares with nothing, and would look like a silent network."""
    return jax.tree.map(lambda x: jnp.where(condition, jnp.nan, x) if eqx.is_inexact_array(x) else x, tree)
