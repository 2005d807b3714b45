"""What was recorded, as NIR's data, which other programs compare with theirs."""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from snnx._checks import checked
from snnx._errors import NIRError, describe, unknown_name
from snnx._typing import AboveZero
from snnx.layers import Graph
from snnx.nir._fields import MOST, Shape
from snnx.nir._file import records
from snnx.nir._kind import KINDS
from snnx.nir._node import nodes_of
from snnx.nir._origin import Origin
from snnx.nir._validate import examined

OF_THE_NODE = ("spikes", "output")  # observables that are what a node puts out, not its state
CLOSE = 1e-3  # of a step: how far an event may be from its step, for times are rounded


@checked
def to_nir_data(
    recorded: Mapping[str, Any], graph: Any | str | os.PathLike, *, dt: AboveZero, events: bool = False
) -> Any:
    r"""What `simulate` recorded as a `nir.NIRGraphData`; step $k$ is the time $k \Delta t$.

    ```python
    ys, state, seen = snnx.simulate(model, xs, record=["lif", "lif.v", "sub/lif"])
    nir.write_data("run.nir", snnx.nir.to_nir_data(seen, graph, dt=1e-3))
    ```

    **Arguments:**
    - `recorded`: a dict from path to `[time, *shape]`, or under `jax.vmap` to `[samples, time, *shape]`. A path is a node's,
        `"lif"` or `"sub/lif"` (what it puts out), or that of its state, `"lif.v"`.
    - `graph`: of which these are: a `nir.NIRGraph`, the path of its file, or the `Graph` that `from_nir` made of it. It tells
        the shape of a step.
    - `dt`: seconds per step.
    - `events`: whether spikes become lists of events; other recordings stay arrays over time.

    **Returns:** for each node its observables, `[samples, time, neurons]`: `"spikes"`, booleans, of nodes that fire, and of
    inputs, outputs, delays and `Flatten` where all is 0 or 1; `"output"` of other nodes; states by their names. One example is
    one sample; axes of a step become one, in row-major order. Nested graphs are nested, which `nir.write_data` of NIR 1.0.8
    cannot write.

    **Raises:** `NIRError` for a path that the graph does not have, another shape, spikes other than 0 and 1.
    """
    nodes = _nodes("to_nir_data", graph)
    found: dict[str, Any] = {}
    for path, values in recorded.items():
        name, state = _split(path, nodes)
        kind, shape = nodes[name]
        array = _samples(path, values, shape)
        spikes = "never" if state else KINDS[kind].spikes
        binary = spikes == "always" or (spikes == "handed on" and _is_binary(array))
        if binary and not _is_binary(array):
            raise NIRError(
                f"to_nir_data: {path!r} is of a {kind}, but has values other than 0 and 1; expected its spikes."
            )
        observable = state or OF_THE_NODE[not binary]
        found.setdefault(name, {})[observable] = _observed(array, float(dt), binary, events)
    return _nested(found)


@checked
def from_nir_data(data: Any, graph: Any | str | os.PathLike, *, dt: AboveZero) -> dict[str, np.ndarray]:
    """The inverse of `to_nir_data`: a dict from path to `[samples, time, *shape]`, e.g. to compare with what is recorded.

    ```python
    theirs = snnx.nir.from_nir_data(nir.read_data("run.nir"), graph, dt=1e-3)
    np.testing.assert_array_equal(seen["lif"], theirs["lif"][0])
    ```

    **Arguments:** `data`: a `nir.NIRGraphData`; `graph`, `dt`: as in `to_nir_data`.

    **Returns:** NumPy arrays; booleans as 0 and 1 in JAX's default float, other values in their own dtype. Lists of events are
    zero where there is none.

    **Raises:** `NIRError` for nodes that the graph does not have, another number of neurons, another `dt`; for events that
    cannot be told apart at `dt`: between two steps, two of a neuron at the same step, after the end, or of no neuron.
    """
    import nir

    if not isinstance(data, nir.NIRGraphData):
        raise NIRError(f"from_nir_data: data is {describe(data)}; expected a nir.NIRGraphData.")
    nodes, found = _nodes("from_nir_data", graph), {}
    for name, observable, values in _flat(data, ""):
        path = name if observable in OF_THE_NODE else f"{name}.{observable}"
        if name not in nodes:
            raise NIRError(unknown_name("from_nir_data", "node", name, nodes))
        if path in found:
            raise NIRError(f"from_nir_data: the data have {path!r} twice; leave one out.")
        _, shape = nodes[name]
        gridded = _gridded(f"from_nir_data: {path!r}", values, float(dt), math.prod(shape))
        found[path] = gridded.reshape(*gridded.shape[:2], *shape)
    return found


def _nodes(where: str, graph: Any) -> dict[str, tuple[str, Shape]]:
    """Kind of each node, and the shape of what it puts out."""
    if isinstance(graph, Graph):
        if not isinstance(graph.source, Origin):
            raise NIRError(
                f"{where}: graph was not made by from_nir; expected the nir.NIRGraph that to_nir makes of it."
            )
        nodes, shapes = dict(nodes_of(graph.source.tree)), graph.source.shapes
    else:
        found = examined(records(graph)).accepted(where)
        nodes, shapes = found.meaning.nodes, found.shapes
    return {name: (node.kind, shapes[name][1]) for name, node in nodes.items()}


def _split(path: str, nodes: Mapping[str, Any]) -> tuple[str, str]:
    """Node and field of its state. Names may have dots: the longest that fits is meant."""
    fits = [name for name in nodes if path == name or path.startswith(f"{name}.")]
    if not fits:
        raise NIRError(unknown_name("to_nir_data", "node", path, nodes))
    name = max(fits, key=len)
    return name, path[len(name) + 1 :]


def _samples(path: str, values: Any, shape: Shape) -> np.ndarray:
    """As `[samples, time, neurons]`."""
    array = np.asarray(values)
    axes = array.ndim - len(shape)
    if axes not in (1, 2) or array.shape[axes:] != shape:
        step = "".join(f", {n}" for n in shape)
        raise NIRError(
            f"to_nir_data: {path!r} is {describe(array)}; expected [time{step}] or [samples, time{step}], every step of it."
        )
    return array.reshape(*((1,) * (2 - axes)), *array.shape[:axes], math.prod(shape))


def _is_binary(array: np.ndarray) -> bool:
    return bool(((array == 0) | (array == 1)).all())


def _observed(array: np.ndarray, dt: float, binary: bool, events: bool) -> Any:
    import nir

    if not binary or not events:
        return nir.TimeGriddedData(array.astype(bool) if binary else array, dt)
    samples, steps, neurons = array.shape
    counts = np.count_nonzero(array, axis=(1, 2))
    idx = np.full((samples, counts.max(initial=0)), -1)
    time = np.full(idx.shape, np.inf)
    times = _times(steps + 1, dt)
    for sample, count in enumerate(counts):
        step, idx[sample, :count] = np.nonzero(array[sample])
        time[sample, :count] = times[step]
    return nir.EventData(idx, time, neurons, float(times[steps]))


def _times(count: int, dt: float) -> np.ndarray:
    """The times of steps, so rounded that nir, which divides and leaves the fraction out, finds each in its step."""
    steps = np.arange(count)
    times = steps * dt
    return np.where(np.floor(times / dt) < steps, np.nextafter(times, np.inf), times)


def _nested(found: Mapping[str, Any]) -> Any:
    """Nodes called `sub/node` as nested data."""
    import nir

    nodes: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for name, observables in found.items():
        first, _, rest = name.partition("/")
        if rest:
            inside.setdefault(first, {})[rest] = observables
        else:
            nodes[name] = nir.NIRNodeData(observables)
    return nir.NIRGraphData(nodes | {name: _nested(inner) for name, inner in inside.items()})


def _flat(data: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Node, observable and values, of nested graphs too."""
    import nir

    for name, node in data.nodes.items():
        if isinstance(node, nir.NIRGraphData):
            yield from _flat(node, f"{path}{name}/")
        else:
            for observable, values in node.observables.items():
                yield f"{path}{name}", observable, values


def _gridded(where: str, values: Any, dt: float, neurons: int) -> np.ndarray:
    """As `[samples, time, neurons]`."""
    import nir

    if not isinstance(values, (nir.EventData, nir.TimeGriddedData)):
        raise NIRError(f"{where} is {describe(values)}; expected TimeGriddedData, EventData or ValuedEventData.")
    if values.n_neurons != neurons:
        raise NIRError(f"{where} has {values.n_neurons} neurons, but one step of the node {neurons} elements.")
    if isinstance(values, nir.EventData):
        return _from_events(where, values, dt)
    if not math.isclose(values.dt, dt, rel_tol=1e-6):
        raise NIRError(f"{where} has steps of {values.dt:g} s, expected {dt:g} s; pass the dt of the data.")
    return values.data.astype(_float()) if values.data.dtype == bool else values.data


def _from_events(where: str, events: Any, dt: float) -> np.ndarray:
    import nir

    idx, time, neurons, end = (
        np.asarray(events.idx),
        np.asarray(events.time),
        int(events.n_neurons),
        float(events.t_max),
    )
    time = time if time.dtype.kind == "f" else time.astype(np.float64)
    if idx.ndim != 2 or idx.dtype.kind not in "iu":
        raise NIRError(f"{where}: idx is {describe(idx)}; expected whole numbers [samples, events].")

    def refuse(wrong: np.ndarray, why: str) -> None:
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise NIRError(f"{where}: event {at[1]} of sample {at[0]} is of neuron {idx[at]} at {time[at]:g} s; {why}.")

    there = idx != -1
    refuse(there != np.isfinite(time), "expected a neuron and a time, or where there is no event -1 and inf")
    refuse((idx < -1) | (idx >= neurons), f"there are {neurons} neurons")
    steps = int(_steps(where, "t_max", np.array([end]), dt)[0])
    step = np.full(idx.shape, -1)
    step[there] = _steps(where, "time", time[there], dt)
    refuse(there & ((step < 0) | (step >= steps)), f"there are {steps} steps of {dt:g} s, until {end:g} s")
    places = (np.nonzero(there)[0], step[there], idx[there])
    several, counts = np.unique(np.stack(places), axis=1, return_counts=True)
    if (counts > 1).any():
        sample, when, neuron = several[:, np.argmax(counts > 1)]
        raise NIRError(
            f"{where}: in sample {sample} neuron {neuron} has {counts[counts > 1][0]} events at step {when} of {dt:g} s, which"
            " has room for one; take a smaller dt."
        )
    values = np.asarray(events.value) if isinstance(events, nir.ValuedEventData) else np.ones(idx.shape, _float())
    grid = np.zeros((len(idx), steps, neurons), values.dtype)
    grid[places] = values[there]
    return grid


def _steps(where: str, name: str, seconds: np.ndarray, dt: float) -> np.ndarray:
    """Times in steps; those that are between two are refused. A time may be as far off as its dtype rounds it."""
    found = seconds.astype(np.float64) / dt
    nearest = np.rint(found)
    whole = np.isclose(found, nearest, rtol=float(np.finfo(seconds.dtype).eps), atol=CLOSE)
    off = ~whole | (np.abs(found) > MOST)
    if off.any():
        first = float(found[off].flat[0])
        raise NIRError(
            f"{where}: a {name} is {first * dt:g} s, {first:g} steps of {dt:g} s; expected whole steps. If events may be"
            f" moved, and those that meet be one, the data's own to_time_gridded({dt:g}) does that."
        )
    return nearest.astype(np.int64)


def _float() -> Any:
    return jax.dtypes.canonicalize_dtype(np.float64)
