"""What a NIR graph means: imported, it does what plain loops in double precision do, see nir_reference.py."""

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from nir_graphs import DT, GRAPHS, ODD, cycles, inputs_of, random_graphs, side_by_side
from nir_reference import SPIKING, flatten, lagging_edges, simulate

import snnx

pytestmark = pytest.mark.slow

STEPS = 14
TIE = 1e-5  # how near to its threshold, relative to its size, a membrane is that rounding to float32 may push over it
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}

Traces = Mapping[str, np.ndarray]


@functools.cache
def expected(name: str, reset: str = "value") -> Traces:
    return simulate(GRAPHS[name], inputs_of(GRAPHS[name], STEPS), DT, reset)


def spiking(graph: nir.NIRGraph) -> list[str]:
    return [path for path, node in flatten(graph)[0].items() if isinstance(node, SPIKING)]


@contextlib.contextmanager
def warned_of(texts: list[str]) -> Iterator[None]:
    """Exactly these warnings come, each once."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    messages = [str(warning.message) for warning in seen]
    assert len(messages) == len(texts), messages
    for text in texts:
        assert any(re.search(text, message) for message in messages), messages


def imported(name: str, **how: Any) -> snnx.Graph:
    with warned_of(ODD.get(name, [])):
        return snnx.nir.from_nir(GRAPHS[name], dt=DT, **how)


def recordable(graph: nir.NIRGraph, traces: Traces) -> list[str]:
    """Nodes that are no ends of the whole graph, and the states."""
    ends = graph.inputs | graph.outputs
    return [path for path in traces if path not in ends and not path.endswith(".margin")]


def bare(values: Traces) -> Any:
    """What a graph takes: a dict by name, or of one its value; in JAX's default precision."""
    cast = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in values.items()}
    return cast if len(cast) > 1 else next(iter(cast.values()))


def named(graph: nir.NIRGraph, outputs: Any) -> dict[str, Any]:
    return outputs if len(graph.outputs) > 1 else {next(iter(graph.outputs)): outputs}


@eqx.filter_jit
def run(model: snnx.Graph, xs: Any, record: list[str], chunk: int | None = None) -> tuple[Any, Any, dict[str, Any]]:
    return snnx.simulate(model, xs, record=record, chunk=chunk)


@eqx.filter_jit
def run_in_steps(model: snnx.Graph, xs: Any) -> tuple[Any, Any]:
    def step(state, x):
        y, state = model(x, state)
        return state, y

    start = model.init_state({k: x.shape[1:] for k, x in xs.items()} if isinstance(xs, dict) else xs.shape[1:])
    state, ys = jax.lax.scan(step, start, xs)
    return ys, state


def check(traces: Mapping[str, Any], reference: Traces, dtype: str) -> int | None:
    """Every trace up to where a membrane comes too near to its threshold, spikes exactly; the step where that is."""
    near = [np.any(m.reshape(len(m), -1) < TIE, axis=1) for path, m in reference.items() if path.endswith(".margin")]
    ties = np.flatnonzero(np.any(near, axis=0)) if near else []
    until = int(ties[0]) if len(ties) else None
    for path, trace in traces.items():
        assert trace.shape == reference[path].shape, path
        assert trace.dtype == dtype, path
        here, there = np.asarray(trace)[:until], reference[path][:until]
        if f"{path}.margin" in reference:
            np.testing.assert_array_equal(here, there, err_msg=path)
        else:
            atol = TOLERANCE[dtype] * max(1.0, np.max(np.abs(there), initial=0.0))
            np.testing.assert_allclose(here, there, rtol=TOLERANCE[dtype], atol=atol, err_msg=path)
    return until


@pytest.mark.parametrize("name", GRAPHS)
def test_collection_fires_and_has_no_ties(name):
    for path, trace in expected(name).items():
        if path.endswith(".margin"):
            assert trace.min() > 10 * TIE, path
    for path in spiking(GRAPHS[name]):
        assert 0 < expected(name)[path].mean() < 1, path


@pytest.mark.parametrize("name", GRAPHS)
def test_runs_as_the_reference(name, x64):
    graph, reference, model = GRAPHS[name], expected(name), imported(name)
    assert model.wiring().lagging == lagging_edges(*flatten(graph))
    ys, _, seen = run(model, bare(inputs_of(graph, STEPS)), recordable(graph, reference))
    assert sorted(seen) == sorted(recordable(graph, reference))
    check(named(graph, ys) | seen, reference, "float64")


@pytest.mark.parametrize("name", GRAPHS)
def test_runs_as_the_reference_in_single_precision_and_in_chunks(name):
    graph, reference, model = GRAPHS[name], expected(name), imported(name)
    ys, _, seen = run(model, bare(inputs_of(graph, STEPS)), recordable(graph, reference), chunk=5)
    check(named(graph, ys) | seen, reference, "float32")


STEPPED = [
    "maps",
    "0-d",
    "Delay",
    "Conv2d, ways",
    "convolutions that fire",
    "two inputs, two outputs",
    "nothing comes in",
]
STEPPED += [*cycles(), "nested two deep", "names"]


@pytest.mark.parametrize("name", STEPPED)
def test_one_step_at_a_time(name, x64):
    """As the reference, and to the state where running over time ends too."""
    graph, model, xs = GRAPHS[name], imported(name), bare(inputs_of(GRAPHS[name], STEPS))
    ys, state = run_in_steps(model, xs)
    check(named(graph, ys), expected(name), "float64")
    _, over_time, _ = run(model, xs, recordable(graph, expected(name)))
    assert jax.tree.structure(state) == jax.tree.structure(over_time)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(over_time), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


RESET = ["maps", "0-d for all", "tau under dt", "threshold at infinity", "without", "types", "all to all", "names"]


@pytest.mark.parametrize("name", RESET)
def test_reset_by_subtraction(name, x64):
    graph, reference, model = GRAPHS[name], expected(name, "subtract"), imported(name, reset="subtract")
    by_value = expected(name)
    assert any(not np.array_equal(reference[path], by_value[path]) for path in reference)
    ys, _, seen = run(model, bare(inputs_of(graph, STEPS)), recordable(graph, reference))
    assert check(named(graph, ys) | seen, reference, "float64") is None


@settings(max_examples=20)
@given(random_graphs(), st.integers(0, 2**20), st.sampled_from(["value", "subtract"]), st.booleans())
def test_random_graphs_run_as_the_reference(graph_and_dt, seed, reset, double):
    graph, dt = graph_and_dt
    inputs = inputs_of(graph, STEPS, seed)
    reference = simulate(graph, inputs, dt, reset)
    with jax.enable_x64(double):
        model = snnx.nir.from_nir(graph, dt=dt, reset=reset)
        assert model.wiring().lagging == lagging_edges(*flatten(graph))
        ys, _, seen = run(model, bare(inputs), recordable(graph, reference))
        check(named(graph, ys) | seen, reference, "float64" if double else "float32")


def test_single_neuron_of_the_paper_fires_when_the_closed_form_says():
    # v after k steps towards x from v0 is x - (x - v0) 0.96^k: dt / tau = 0.04, v_leak = 0, r = 1.
    tau, threshold, dt = 2.5e-3, 0.1, 1e-4
    keep = 1 - dt / tau
    xs = np.concatenate([np.full(60, 0.2), np.zeros(40), np.full(40, 0.35)])

    def steps_to_threshold(x: float, v: float) -> int:
        return math.floor(math.log((x - threshold) / (x - v)) / math.log(keep)) + 1

    period = steps_to_threshold(0.2, 0.0)
    times = [period * k - 1 for k in range(1, 60 // period + 1)]
    left = 0.2 * (1 - keep ** (60 % period)) * keep**40
    times += range(99 + steps_to_threshold(0.35, left), 140, steps_to_threshold(0.35, 0.0))
    assert times == [16, 33, 50, 107, 116, 125, 134]

    p = {name: np.array([value]) for name, value in dict(tau=tau, r=1.0, v_leak=0.0, v_threshold=threshold).items()}
    nodes = {"input": nir.Input(np.array([1])), "lif": nir.LIF(**p), "output": nir.Output(np.array([1]))}
    model = snnx.nir.from_nir(nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")]), dt=dt)
    ys, _, seen = run(model, jnp.asarray(xs, jnp.float32)[:, None], ["lif.v"])
    np.testing.assert_array_equal(np.flatnonzero(ys[:, 0]), times)
    np.testing.assert_array_equal(seen["lif.v"][np.array(times), 0], 0.0)
    np.testing.assert_allclose(seen["lif.v"][99, 0], left, rtol=1e-5)


def test_single_neuron_of_the_paper_does_what_the_paper_recorded():
    # Input and membrane as recorded with Norse for the NIR paper (paper/01_lif in its repository): a thousand steps of 0.1 ms,
    # every tenth of which may have a spike.
    fed = [6, 22, 27, 31, 32, 35, 37, 40, 41, *range(43, 54), *range(67, 79), 84, 85]
    recorded = {
        59: 0.0, 60: 0.04, 61: 0.038399998, 219: 6.069961e-05, 220: 0.04005827, 270: 0.045202997, 310: 0.048831135,
        320: 0.072464526, 350: 0.061294258, 370: 0.06709221, 400: 0.059715554, 410: 0.07970084, 430: 0.07522796,
        440: 0.090013996, 450: 0.09984423, 459: 0.06914552, 460: 0.0, 470: 0.04, 500: 0.09602771, 510: 0.0, 530: 0.066593304,
        669: 0.00022862932, 670: 0.040219482, 700: 0.09609221, 710: 0.0, 760: 0.0, 780: 0.066593304,
    }  # fmt: skip
    xs = np.zeros((1000, 1), np.float32)
    xs[10 * np.array(fed)] = 1.0
    p = {name: np.array([x]) for name, x in dict(tau=2.5e-3, r=1.0, v_leak=0.0, v_threshold=0.1).items()}
    nodes = {"input": nir.Input(np.array([1])), "0": nir.Affine(np.ones((1, 1)), np.zeros(1)), "1": nir.LIF(**p)}
    nodes |= {"output": nir.Output(np.array([1]))}
    graph = nir.NIRGraph(nodes, [("input", "0"), ("0", "1"), ("1", "output")])
    ys, _, seen = run(snnx.nir.from_nir(graph, dt=1e-4), jnp.asarray(xs), ["1.v"])
    assert np.flatnonzero(ys[:, 0]).tolist() == [460, 510, 710, 760]
    np.testing.assert_allclose(seen["1.v"][list(recorded), 0], list(recorded.values()), rtol=1e-5, atol=1e-8)


def test_a_membrane_at_its_threshold_does_not_fire():
    # All numbers are sums of powers of two, so that 0.5 is met exactly.
    dt, half = 2.0**-10, np.full(1, 0.5)
    p = {"r": np.ones(1), "v_leak": np.zeros(1), "v_threshold": half}
    graph = side_by_side(
        IF=(nir.IF(np.full(1, 0.25 / dt), half), (1,)),  # 0.25, 0.5, 0.75: fires
        LIF=(nir.LIF(np.full(1, 2 * dt), **p), (1,)),  # 0.5, 0.75: fires
        CubaLIF=(nir.CubaLIF(np.full(1, dt), np.full(1, 2 * dt), **p), (1,)),  # the current is 1 at once
        Threshold=(nir.Threshold(np.array([0.75, 1.0, 1.25])), (3,)),
    )
    model = snnx.nir.from_nir(graph, dt=dt)
    ys, _, _ = run(model, {name: jnp.ones((4, *node.input_type["input"])) for name, node in graph.inputs.items()}, [])
    np.testing.assert_array_equal(ys["IF out"][:, 0], [0, 0, 1, 0])
    np.testing.assert_array_equal(ys["LIF out"][:, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(ys["CubaLIF out"][:, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(ys["Threshold out"][0], [1, 0, 0])
