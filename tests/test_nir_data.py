"""Recordings as NIR's data and back: the same numbers, at the same steps, also by nir's own conversions and files."""

import functools
from typing import Any

import equinox as eqx
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from hypothesis import given
from nir_graphs import affine, array, conv2d, ins, io, lif, linear, net, neuron, outs, within

import snnx
from snnx import NIRError
from snnx.nir._data import from_nir_data, to_nir_data

pytestmark = pytest.mark.slow  # left to the older Python, that the newer one's tests stay short

DT = 1e-3
# Names with a dot, a map, a nested graph, a node of no shape.
GRAPH = net(
    {
        "input": ins(3),
        "0": affine(4, 3),
        "1.neuron": lif(4),
        "sub": within(neuron(nir.CubaLIF, 4), (4,)),
        "li": neuron(nir.LI, 4),
        "output": outs(4),
        "image": ins(2, 4, 5),
        "conv": conv2d(3, 2, 2, 3),
        "map": lif(3, 3, 3),
        "maps": outs(3, 3, 3),
        "number": ins(),
        "scale": nir.Scale(np.asarray(2.0)),
        "numbers": outs(),
    },
    "input > 0 > 1.neuron > sub > li > output",
    "image > conv > map > maps",
    "number > scale > numbers",
)
SHAPES = {"input": (3,), "1.neuron": (4,), "sub/node": (4,), "li": (4,), "map": (3, 3, 3), "numbers": (), "number": ()}
SPIKING = ("1.neuron", "sub/node", "map")


def spikes(*shape: int, seed: int = 0, density: float = 0.3) -> np.ndarray:
    return (np.random.default_rng([seed, *shape]).random(shape) < density).astype(np.float32)


def potentials(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def assert_same(found: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    assert {*found} == {*expected}
    for path, values in expected.items():
        assert found[path].dtype == values.dtype, path
        np.testing.assert_array_equal(found[path], values, path)


# From a simulation


@functools.cache
def recordings() -> tuple[snnx.Graph, dict, dict]:
    """Of a graph with a nested one: of one example, and of a batch of three."""
    graph = io({"w": linear(4, 3), "lif": lif(4), "sub": within(lif(4), (4,)), "li": neuron(nir.LI, 4), "v": linear(3, 4)},
               "input > w > lif > sub > li > v > output")  # fmt: skip
    model = snnx.nir.from_nir(graph, dt=DT)
    xs = jax.random.uniform(jax.random.key(1), (3, 20, 3)) * 3
    run = functools.partial(snnx.simulate, model, record=["lif", "lif.v", "sub/node", "sub/node.v", "li", "v"])
    return model, run(xs[0])[2], jax.vmap(lambda x: run(x)[2])(xs)


@pytest.mark.parametrize("events", [False, True])
def test_recordings_of_one_example_come_back(events):
    model, one, _ = recordings()
    data = to_nir_data(one, model, dt=DT, events=events)
    assert_same(from_nir_data(data, model, dt=DT), {path: np.asarray(values)[None] for path, values in one.items()})
    assert {*data.nodes} == {"lif", "sub", "li", "v"}
    assert {*data.nodes["lif"].observables} == {"spikes", "v"}
    assert {*data.nodes["sub"].nodes["node"].observables} == {"spikes", "v"}
    assert {*data.nodes["li"].observables} == {"output"}
    fired = data.nodes["lif"].observables["spikes"]
    if events:
        assert isinstance(fired, nir.EventData)
        assert fired.shape == (1, int(one["lif"].sum()))
        assert fired.n_neurons == 4
        fired = fired.to_time_gridded(DT)  # nir's own conversion
    np.testing.assert_array_equal(fired.data[0], np.asarray(one["lif"]) == 1)
    assert fired.data.dtype == bool
    assert 0 < fired.data.sum() < fired.data.size
    membrane = data.nodes["lif"].observables["v"]
    assert membrane.dt == DT
    np.testing.assert_array_equal(membrane.data[0], one["lif.v"])


@pytest.mark.parametrize("events", [False, True])
def test_recordings_of_a_batch_come_back(events):
    model, one, batch = recordings()
    data = to_nir_data(batch, model, dt=DT, events=events)
    found = from_nir_data(data, model, dt=DT)
    assert_same(found, {path: np.asarray(values) for path, values in batch.items()})
    assert found["lif"].shape == (3, 20, 4)
    np.testing.assert_array_equal(found["lif"][0], one["lif"])


def test_a_graph_may_be_a_file(tmp_path):
    snnx.nir.write(GRAPH, tmp_path / "a.nir")
    recorded = {"map": spikes(5, 3, 3, 3)}
    data = to_nir_data(recorded, tmp_path / "a.nir", dt=DT)
    assert_same(from_nir_data(data, tmp_path / "a.nir", dt=DT), {"map": recorded["map"][None]})


def test_a_model_of_ones_own_goes_by_the_graph_that_it_is_exported_to():
    back = eqx.nn.Linear(2, 2, use_bias=False, key=jax.random.key(2))
    model = snnx.Sequential([snnx.Recurrent(snnx.LIF(tau=5.0, reset=snnx.ValueReset()), back), snnx.LI(tau=3.0)])
    record = ["0.neuron", "0.neuron.v", "1"]
    _, _, seen = snnx.simulate(model, jnp.ones((9, 2)) * 3, record=record)
    graph = snnx.nir.to_nir(model, (2,), dt=DT)
    data = to_nir_data(seen, graph, dt=DT)
    assert {*data.nodes} == {"0.neuron", "1"}
    assert_same(from_nir_data(data, graph, dt=DT), {path: np.asarray(seen[path])[None] for path in record})


# Names, shapes and kinds


def test_nodes_observables_and_axes():
    recorded = {
        "input": potentials(2, 5, 3),
        "1.neuron": spikes(2, 5, 4),
        "1.neuron.v": potentials(2, 5, 4),
        "sub/node.i": potentials(2, 5, 4),
        "map": spikes(2, 5, 3, 3, 3),
        "map.v": potentials(2, 5, 3, 3, 3),
        "number": spikes(2, 5),
        "numbers": potentials(2, 5),
    }
    data = to_nir_data(recorded, GRAPH, dt=DT)
    names = {name: {*node.observables} for name, node in data.nodes.items() if name != "sub"}
    assert names == {
        "input": {"output"},
        "1.neuron": {"spikes", "v"},
        "map": {"spikes", "v"},
        "number": {"spikes"},  # of an input, as all of it is 0 or 1
        "numbers": {"output"},
    }
    grid = data.nodes["map"].observables["v"].data
    assert grid.shape == (2, 5, 27)
    assert grid[1, 4, 2 * 9 + 1 * 3 + 2] == recorded["map.v"][1, 4, 2, 1, 2]
    assert data.nodes["number"].observables["spikes"].data.shape == (2, 5, 1)
    assert_same(from_nir_data(data, GRAPH, dt=DT), recorded)


def test_what_does_not_fire_is_no_spike_however_it_looks():
    data = to_nir_data({"li": np.zeros((5, 4), np.float32), "0": spikes(5, 4)}, GRAPH, dt=DT, events=True)
    for name in ("li", "0"):
        assert isinstance(data.nodes[name].observables["output"], nir.TimeGriddedData)


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"gone": spikes(5, 4)}, r"to_nir_data: there is no node 'gone'"),
        ({"1": spikes(5, 4)}, r"to_nir_data: there is no node '1'"),
        ({"sub": spikes(5, 4)}, r"to_nir_data: there is no node 'sub'"),
        (
            {"li": spikes(5, 3)},
            r"'li' is float32\[5, 3\]; expected \[time, 4\] or \[samples, time, 4\], every step of it",
        ),
        ({"li": spikes(4)}, r"'li' is float32\[4\]; expected \[time, 4\] or"),
        ({"li": spikes(2, 2, 2, 4)}, r"'li' is float32\[2, 2, 2, 4\]; expected"),
        (
            {"map": spikes(5, 27)},
            r"'map' is float32\[5, 27\]; expected \[time, 3, 3, 3\] or \[samples, time, 3, 3, 3\]",
        ),
        ({"number": spikes(1, 2, 3)}, r"'number' is float32\[1, 2, 3\]; expected \[time\] or \[samples, time\]"),
        (
            {"1.neuron": potentials(5, 4)},
            r"'1.neuron' is of a LIF, but has values other than 0 and 1; expected its spikes",
        ),
        ({"map": np.full((5, 3, 3, 3), np.nan)}, r"'map' is of a LIF, but has values other than 0 and 1"),
    ],
)
def test_recordings_of_something_else(recorded, message):
    with pytest.raises(NIRError, match=message):
        to_nir_data(recorded, GRAPH, dt=DT)


@pytest.mark.parametrize("dt", [0, -1.0, np.nan, np.inf, "1e-3", True])
def test_a_step_of_no_length(dt):
    error = ValueError if isinstance(dt, int | float) and not isinstance(dt, bool) else TypeError
    for function, given_ in ((to_nir_data, {}), (from_nir_data, nir.NIRGraphData({}))):
        with pytest.raises(error, match=rf"{function.__name__}: \bdt\b"):
            function(given_, GRAPH, dt=dt)


def test_a_graph_that_tells_nothing():
    own = snnx.Graph({"n": snnx.LIF()}, [("input", "n"), ("n", "output")])
    with pytest.raises(NIRError, match=r"\bgraph\b"):
        to_nir_data({"n": spikes(5, 4)}, own, dt=DT)
    with pytest.raises(NIRError, match=r"\bgraph\b"):
        to_nir_data({}, net({}), dt=DT)
    with pytest.raises(NIRError, match=r"\bdata\b"):
        from_nir_data({}, GRAPH, dt=DT)


# Round trips

STEPS_OF_TIME = st.sampled_from([1e-3, 1e-4, 0.3e-3, 7e-5, 0.1, 1 / 3, 2.0**-10, 1e-9])


@given(st.data(), STEPS_OF_TIME, st.booleans())
def test_round_trip(data, dt, events):
    samples, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    paths = data.draw(st.lists(st.sampled_from([*SHAPES, "1.neuron.v", "sub/node.i"]), unique=True, min_size=1))
    recorded = {}
    for path in paths:
        shape = (samples, steps, *SHAPES.get(path, (4,)))
        numbers = st.floats(-4, 4, width=32) if path not in SPIKING else st.sampled_from([0.0, 1.0])
        recorded[path] = data.draw(hnp.arrays(np.float32, shape, elements=numbers, fill=st.just(0.0)))
    converted = to_nir_data(recorded, GRAPH, dt=dt, events=events)
    assert_same(from_nir_data(converted, GRAPH, dt=dt), recorded)
    if samples == 1:
        assert_same(
            from_nir_data(to_nir_data({p: v[0] for p, v in recorded.items()}, GRAPH, dt=dt), GRAPH, dt=dt), recorded
        )


@given(STEPS_OF_TIME, st.integers(1, 3000), st.integers(0, 9))
def test_nir_finds_each_event_at_its_step(dt, steps, seed):
    recorded = {"number": spikes(steps, seed=seed)}
    data = to_nir_data(recorded, GRAPH, dt=dt, events=True).nodes["number"].observables["spikes"]
    np.testing.assert_allclose(data.time[0], np.flatnonzero(recorded["number"]) * dt, rtol=1e-15)
    np.testing.assert_allclose(data.t_max, steps * dt, rtol=1e-15)
    grid = data.to_time_gridded(dt).data
    np.testing.assert_array_equal(grid[0, :, 0], recorded["number"])


def test_what_nir_makes_of_a_grid_is_read():
    grid = spikes(3, 30, 4).astype(bool)
    made = nir.TimeGriddedData(grid, DT).to_event(n_events=200)  # as many places, most of which are left
    found = from_nir_data(nir.NIRGraphData({"1.neuron": nir.NIRNodeData({"spikes": made})}), GRAPH, dt=DT)
    np.testing.assert_array_equal(found["1.neuron"], grid)


@pytest.mark.parametrize("events", [False, True])
def test_files_hold_them(events, tmp_path):
    recorded = {
        "1.neuron": spikes(2, 9, 4),
        "1.neuron.v": potentials(2, 9, 4),
        "li": potentials(2, 9, 4),
        "map": spikes(2, 9, 3, 3, 3),
    }
    nir.write_data(tmp_path / "run.nir", to_nir_data(recorded, GRAPH, dt=DT, events=events))
    assert_same(from_nir_data(nir.read_data(tmp_path / "run.nir"), GRAPH, dt=DT), recorded)


def test_files_hold_lists_without_events(tmp_path):
    recorded = {"1.neuron": np.zeros((2, 9, 4), np.float32)}
    nir.write_data(tmp_path / "run.nir", to_nir_data(recorded, GRAPH, dt=DT, events=True))
    assert_same(from_nir_data(nir.read_data(tmp_path / "run.nir"), GRAPH, dt=DT), recorded)


@pytest.mark.xfail(
    reason="write_data of NIR 1.0.8 writes the outermost nodes again into every nested graph", strict=True
)
def test_files_hold_nested_graphs(tmp_path):
    recorded = {"sub/node": spikes(2, 9, 4)}
    nir.write_data(tmp_path / "run.nir", to_nir_data(recorded, GRAPH, dt=DT))
    assert_same(from_nir_data(nir.read_data(tmp_path / "run.nir"), GRAPH, dt=DT), recorded)


def test_nir_finds_the_nodes_in_the_graph():
    model, one, _ = recordings()
    graph = io({"lif": lif(4), "li": neuron(nir.LI, 4)}, "input > lif > li > output", shape=(4,))
    to_nir_data({path: one[path] for path in ("lif", "lif.v", "li")}, graph, dt=DT).check_nodes(graph)


# Events that are not of these steps


def listed(
    idx: Any, time: Any, *, t_max: float = 5e-3, neurons: int = 4, name: str = "1.neuron", value: Any = None
) -> Any:
    idx, time = np.atleast_2d(np.asarray(idx)), np.atleast_2d(np.asarray(time))
    made = (
        nir.EventData(idx, time, neurons, t_max)
        if value is None
        else nir.ValuedEventData(idx, time, neurons, t_max, value)
    )
    return nir.NIRGraphData({name: nir.NIRNodeData({"spikes" if value is None else "output": made})})


def test_events_are_placed():
    data = listed([[3, 0, -1], [1, 1, 1]], [[0.0, 4e-3, np.inf], [4e-3, 0.0, 2e-3]])
    expected = np.zeros((2, 5, 4))
    expected[0, 0, 3] = expected[0, 4, 0] = expected[1, [0, 2, 4], 1] = 1
    np.testing.assert_array_equal(from_nir_data(data, GRAPH, dt=DT)["1.neuron"], expected)


def test_values_of_events_are_placed():
    data = listed([[3, -1], [1, 0]], [[2e-3, np.inf], [4e-3, 0.0]], name="li", value=array([0.5, 9.0], [-2.0, 0.25]))
    expected = np.zeros((2, 5, 4))
    expected[0, 2, 3], expected[1, 4, 1], expected[1, 0, 0] = 0.5, -2.0, 0.25
    np.testing.assert_array_equal(from_nir_data(data, GRAPH, dt=DT)["li"], expected)


def test_times_may_be_rounded_as_far_as_their_dtype_does():
    steps = np.arange(0, 200_000, 991)
    for dtype in (np.float32, np.float64):
        data = listed(np.zeros(len(steps), int), (steps * 1e-4).astype(dtype), t_max=20.0)
        np.testing.assert_array_equal(np.flatnonzero(from_nir_data(data, GRAPH, dt=1e-4)["1.neuron"][0, :, 0]), steps)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (listed([0, 1], [1e-3, 1.5e-3]), r"a time is 0\.0015 s, 1\.5 steps of 0\.001 s; expected whole"),
        (listed([0, 1], [1e-3, 1.01e-3]), r"a time is 0\.00101 s, 1\.01 steps"),
        (
            listed([0, 0], [1e-3, 1e-3]),
            r"in sample 0 neuron 0 has 2 events at step 1 of 0\.001 s, .* take a smaller dt",
        ),
        (
            listed([0, 1], [1e-3, 5e-3]),
            r"event 1 of sample 0 is of neuron 1 at 0\.005 s; there are 5 steps of 0\.001 s, until",
        ),
        (listed([0, 1], [-1e-3, 1e-3]), r"event 0 of sample 0 is of neuron 0 at -0\.001 s; there are 5 steps"),
        (listed([0, 4], [0.0, 1e-3]), r"event 1 of sample 0 is of neuron 4 at 0\.001 s; there are 4 neurons"),
        (listed([0, -2], [0.0, 1e-3]), r"event 1 of sample 0 is of neuron -2"),
        (
            listed([0, -1], [0.0, 1e-3]),
            r"event 1 of sample 0 is of neuron -1 at 0\.001 s; expected a neuron and a time, or",
        ),
        (listed([0, 1], [0.0, np.inf]), r"event 1 of sample 0 is of neuron 1 at inf s; expected a neuron and a time"),
        (listed([0, 1], [0.0, np.nan]), r"event 1 of sample 0 is of neuron 1 at nan s; expected"),
        (listed([0], [0.0], t_max=4.5e-3), r"a t_max is 0\.0045 s, 4\.5 steps of 0\.001 s; expected whole steps"),
        (listed([0], [0.0], t_max=np.inf), r"a t_max is inf s"),
        (listed([0], [0.0], t_max=1e30), r"a t_max is 1e\+30 s"),
        (listed([0.0], [0.0]), r"idx is float64\[1, 1\]; expected whole numbers \[samples, events\]"),
        (
            listed([0], [0.0], neurons=10**12),
            r"'1.neuron' has 1000000000000 neurons, but one step of the node 4 elements",
        ),
        (listed([0], [0.0], name="gone"), r"there is no node 'gone'"),
        (
            nir.NIRGraphData({"li": nir.NIRNodeData({"v": nir.TimeGriddedData(spikes(1, 5, 3), DT)})}),
            r"'li.v' has 3 neurons,",
        ),
        (
            nir.NIRGraphData({"li": nir.NIRNodeData({"v": nir.TimeGriddedData(spikes(1, 5, 4), 2e-3)})}),
            r"'li.v' has steps of",
        ),
        (nir.NIRGraphData({"li": nir.NIRNodeData({"v": spikes(1, 5, 4)})}), r"'li.v' is float32\[1, 5, 4\]; expected"),
        (
            nir.NIRGraphData(
                {"li": nir.NIRNodeData(dict.fromkeys(("spikes", "output"), nir.TimeGriddedData(spikes(1, 5, 4), DT)))}
            ),
            r"the data have 'li' twice; leave one out",
        ),
    ],
)
def test_data_that_say_something_else(data, message):
    with pytest.raises(NIRError, match=rf"from_nir_data: .*{message}"):
        from_nir_data(data, GRAPH, dt=DT)


def test_double_precision(x64):
    recorded = {"li": np.random.default_rng(0).normal(size=(2, 5, 4)), "1.neuron": spikes(2, 5, 4).astype(np.float64)}
    assert_same(from_nir_data(to_nir_data(recorded, GRAPH, dt=DT), GRAPH, dt=DT), recorded)
