"""The clock and the solver from spike to spike: the same networks, spike times within a step, graphs of NIR likewise."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx import event

nir = pytest.importorskip("nir")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ranks_are_promoted")]  # nearly all of it is compiling
QUICKLY = {"xla_backend_optimization_level": 0}
DURATION, STEP = 32.0, 0.04


def linear(weights, bias=None):
    layer = eqx.nn.Linear(*weights.shape[::-1], use_bias=bias is not None, key=jax.random.key(0))
    layer = eqx.tree_at(lambda part: part.weight, layer, jnp.asarray(weights))
    return layer if bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.asarray(bias))


def on_the_grid(seed=0, channels=3, events=12, dt=STEP):
    """Input spikes on the grid of 0.32, so on all grids used here: as a raster of steps `dt`, and as events."""
    rng = np.random.default_rng(seed)
    raster = np.zeros((round(DURATION / dt), channels))
    for k, channel in zip(rng.integers(1, 70, events), rng.integers(0, channels, events), strict=True):
        raster[round(k * 0.32 / dt), channel] = 1.0
    return jnp.asarray(raster), event.from_raster(jnp.asarray(raster), dt, capacity=events)


def neuron(method, dt, **options):
    """A spike makes the current jump by its weight, and not by a share of it that depends on the step: no `w_in`."""
    return snnx.CubaLIF(12.0, 4.0, 1.0, 1.0, method=method, dt=dt, **options)


INTO, BETWEEN, BACK = (np.random.default_rng(n).normal(m, 0.8, (3, 3)) for n, m in ((4, 1.4), (5, 1.0), (6, -0.2)))
BIAS = np.array([0.3, 0.2, 0.4])  # per time

NETWORKS = {
    "one layer": lambda method, dt: [linear(INTO), neuron(method, dt)],
    "bias, rest": lambda method, dt: [
        linear(INTO, BIAS * dt / 4.0),
        neuron(method, dt, reset=snnx.ValueReset(-0.3), refractory=round(1.28 / dt)),
    ],
    "two layers, delay": lambda method, dt: [
        *[linear(INTO), neuron(method, dt), snnx.Delay(1.6, dt=dt), linear(2 * np.abs(BETWEEN)), neuron(method, dt)]
    ],
    "recurrent": lambda method, dt: [linear(INTO), snnx.Recurrent(neuron(method, dt), linear(BACK))],
}
CASES = [*((name, "exact") for name in NETWORKS), ("one layer", "exponential"), ("two layers, delay", "exponential")]


def spikes_of(raster):
    """Of a clock's spikes the neuron and the step, neuron after neuron."""
    steps, neurons = np.nonzero(np.asarray(raster))
    return [(n, k) for n, k in sorted(zip(neurons.tolist(), steps.tolist(), strict=True))]


def times_of(events):
    count = int(events.count)
    return sorted(
        zip(np.asarray(events.indices)[:count].tolist(), np.asarray(events.times)[:count].tolist(), strict=True)
    )


@functools.cache
def programs():
    """Both take a model whose arrays are all of one shape, so that each network is compiled twice and not more."""

    def clock(model, raster, record):
        return snnx.simulate(model, raster, record=list(record))[2]

    def solver(model, events):
        return event.simulate(model, events, duration=DURATION, overflow="report", most=9).spikes

    return eqx.filter_jit(clock), eqx.filter_jit(solver)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_spikes_of_the_clock_are_those_in_continuous_time(name, method, x64):
    """A spike of step k is one at a time in (k dt, (k + 1) dt]: to the letter the first ones of a first layer of `"exact"`
    whose input is events alone.

    Behind a reset, and in what spikes set off in later layers or the same one, it is so up to a few steps; the step of
    `"exponential"` is itself of the first order.
    """
    model = snnx.Sequential(NETWORKS[name](method, STEP))
    raster, events = on_the_grid()
    paths = snnx.cells.spiking_paths(model)
    clock, solver = programs()
    found, expected = solver(model, events), clock(model, raster, paths)
    for layer, path in enumerate(paths):
        ours, theirs = times_of(found[path]), spikes_of(expected[path])
        assert len(ours) >= 4
        assert [n for n, _ in ours] == [n for n, _ in theirs]
        steps = np.asarray([t for _, t in ours]) / STEP - np.asarray([k for _, k in theirs])  # in (0, 1]
        if method == "exact" and layer == 0 and name in ("one layer", "two layers, delay"):
            # a reset lets go of what the membrane has gained since the crossing: later spikes come a little late or early
            firsts = [i for i in range(len(ours)) if i == 0 or ours[i][0] != ours[i - 1][0]]
            within = (steps[firsts] > -1e-6) & (steps[firsts] <= 1 + 1e-6)
            assert np.all(within)
        assert np.all(np.abs(steps - 0.5) < 12), steps


def test_spike_times_of_the_clock_converge(x64):
    """With the step, to the first order."""
    name, errors = "recurrent", []
    for dt in (0.16, 0.04):
        model = snnx.Sequential(NETWORKS[name]("exact", dt))
        raster, events = on_the_grid(dt=dt)
        (*_, path) = snnx.cells.spiking_paths(model)
        clock, solver = programs()
        ours, theirs = times_of(solver(model, events)[path]), spikes_of(clock(model, raster, (path,))[path])
        assert [n for n, _ in ours] == [n for n, _ in theirs]
        errors.append(np.mean([abs(t - (k + 0.5) * dt) for (_, t), (_, k) in zip(ours, theirs, strict=True)]))
    assert errors[1] < 0.4 * errors[0]
    assert errors[1] < 3 * 0.04


def test_the_gradient_on_the_grid_converges_to_the_solvers(x64):
    """Of the clock's `EventProp`, with the step; of weights, feedback, time constants, threshold, behind a readout."""
    rng = np.random.default_rng(8)
    coefficients = rng.normal(size=2)
    p = {
        "in": INTO,
        "back": BACK,
        "out": rng.normal(size=(2, 3)),
        "tau_mem": np.full(3, 12.0),
        "tau_syn": np.full(3, 4.0),
    }
    p = jax.tree.map(jnp.asarray, p | {"threshold": np.ones(3)})

    def model(p, dt):
        fire = snnx.CubaLIF(
            p["tau_mem"] / dt, p["tau_syn"] / dt, p["threshold"], 1.0, method="exact", gradient=snnx.EventProp()
        )
        read = snnx.CubaLI(10.0 / dt, 5.0 / dt, 1.0, method="exact")
        return snnx.Sequential([linear(p["in"]), snnx.Recurrent(fire, linear(p["back"])), linear(p["out"]), read])

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    @jax.grad
    def exactly(p, events):
        membrane = event.simulate(model(p, 1.0), events, duration=DURATION, overflow="report", capacity=24).output
        return membrane.integral(1.0 / DURATION) @ coefficients / DURATION

    @functools.partial(jax.jit, compiler_options=QUICKLY)
    @functools.partial(jax.grad, has_aux=True)
    def on_clock(p, raster, mask, dt):
        ys, _, seen = snnx.simulate(model(p, dt), raster, mask=mask, record={"1.neuron": snnx.Sum()}, chunk=len(raster))
        times = dt * (1 + jnp.arange(len(raster)))
        weights = jnp.where(mask, jnp.exp(-times / DURATION), 0.0) * dt / DURATION
        return weights @ (ys @ coefficients), seen["1.neuron"]

    events = on_the_grid()[1]
    expected = exactly(p, events)
    errors, counts = [], []
    for dt in (0.08, 0.02):
        raster = on_the_grid(dt=dt)[0]
        padded = jnp.zeros((round(DURATION / 0.02), 3)).at[: len(raster)].set(raster)
        found, count = on_clock(p, padded, jnp.arange(len(padded)) < len(raster), dt)
        counts.append(np.asarray(count))
        errors.append([np.linalg.norm(found[k] - expected[k]) / np.linalg.norm(expected[k]) for k in sorted(p)])
    assert counts[0].sum() >= 5
    np.testing.assert_array_equal(counts[0], counts[1])
    errors = np.asarray(errors)
    assert np.all(errors[-1] < 0.05), errors
    assert np.all(errors[-1] < 0.5 * errors[0]), errors


# NIR: in seconds, steps of 0.1 ms; jumps are `dt / tau_syn` of a weight, as in a file's own time steps.

DT = 1e-4


def node(kind, size=3, **named):
    values = dict(tau_mem=12e-3, tau_syn=4e-3, tau=9e-3, r=1.0, w_in=1.0, v_leak=0.0, v_threshold=1.0, v_reset=-0.1)
    fields = {
        nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
        nir.LI: ("tau", "r", "v_leak"),
    }[kind]
    return kind(**{name: np.full(size, (values | named)[name]) for name in fields})


def graph(kind):
    scale = 1 / -np.expm1(-DT / 4e-3)
    nodes = {
        "input": nir.Input(np.array([3])),
        "in": nir.Linear(scale * INTO),
        "fire": node(nir.CubaLIF),
        "out": nir.Affine(100 * BETWEEN[:2], np.array([0.1, -0.2])),
        "read": node(nir.LI, 2),
        "output": nir.Output(np.array([2])),
    }
    chain = ["input", "in", "fire", "out", "read", "output"]
    edges = list(zip(chain[:-1], chain[1:], strict=True))
    late = nir.Delay(np.array([2e-3, 1e-3, 4e-3]))
    if kind == "delay":
        nodes["wait"] = late
        edges.remove(("input", "in"))
        edges += [("input", "wait"), ("wait", "in")]
    else:
        nodes |= {"back": nir.Linear(scale * BACK), "late": late, "back later": nir.Linear(scale * BACK[::-1])}
        edges += [("fire", "back"), ("back", "fire")]
        edges += [("fire", "late"), ("late", "back later"), ("back later", "fire")]
    return nir.NIRGraph(nodes, edges)


@pytest.mark.parametrize("kind", ["delay", "recurrent"])
def test_a_graph_of_nir_runs_from_spike_to_spike(kind, x64):
    """Spikes within some steps of the clock's, the readout's membranes within as many; the graph stays what it was."""
    given = graph(kind)
    model = snnx.nir.from_nir(given, dt=DT, dtype="float64")
    raster, events = on_the_grid(dt=0.1)
    events = eqx.tree_at(lambda e: e.times, events, events.times * 1e-3)
    run = eqx.filter_jit(
        lambda model, events: event.simulate(model, events, duration=DURATION * 1e-3, overflow="report", most=9)
    )(model, events)
    ys, _, seen = snnx.simulate(model, raster, record=["fire"])
    ours, theirs = times_of(run.spikes["fire"]), spikes_of(seen["fire"])
    assert len(ours) >= 5
    assert [n for n, _ in ours] == [n for n, _ in theirs]
    steps = np.asarray([t for _, t in ours]) / DT - np.asarray([k for _, k in theirs])
    assert np.all(np.abs(steps - 0.5) < 4), steps
    at = run.output.at(DT * jnp.arange(1, len(ys) + 1))
    far = np.abs(at - ys).max(1) > 0.05 * np.abs(ys).max()  # but for the steps between one's spike and the other's
    assert far.mean() < 0.1
    again = snnx.nir.to_nir(model, dt=DT)
    assert set(again.nodes) == set(given.nodes)
    assert set(again.edges) == set(given.edges)
    for name, before in given.nodes.items():
        after = again.nodes[name]
        assert type(after) is type(before)
        for field in ("weight", "bias", "tau_mem", "tau_syn", "tau", "r", "w_in", "v_threshold", "v_reset", "delay"):
            if hasattr(before, field):
                np.testing.assert_array_equal(getattr(after, field), getattr(before, field))
