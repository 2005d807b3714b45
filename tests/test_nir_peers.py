"""Files of other frameworks' exporters: snnx puts out what the frameworks did, with a dialect where they leave the format.

references/make_nir_peers.py ran them and wrote references/nir/*.npz; docs/nir_dialects.md has the figures.
"""

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import nir
import numpy as np
import pytest

import snnx
from snnx.nir._dialects import DIALECTS

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
STEP = {"snntorch": 1e-4, "norse": 1e-3, "sinabs": 1.0, "spikingjelly": 1e-4, "spyx": 1e-3}
SUBTRACT, VALUE = {"reset": "subtract"}, {"reset": "value"}

# Framework, model, arguments of from_nir besides dt.
SAME = [
    *[("snntorch", case, {"dialect": "snntorch"}) for case in ("leaky", "rleaky", "synaptic", "rsynaptic", "conv")],
    ("snntorch", "leaky_zero", {}),
    ("snntorch", "leaky_zero", {"dialect": "snntorch"} | VALUE),
    ("snntorch", "leaky_at_once", SUBTRACT),
    ("snntorch", "leaky_at_once", {"dialect": "snntorch"} | SUBTRACT),
    *[("norse", case, {"dialect": "norse"}) for case in ("lif_box", "lif_li", "conv_iaf")],
    *[("sinabs", case, {"dialect": "sinabs"}) for case in ("lif_single", "lif_leak", "conv_iaf_single")],
    ("spikingjelly", "lif", {}),
    *[("spikingjelly", case, {"dialect": "spikingjelly"}) for case in ("lif", "plif_cuba", "conv_if")],
    *[("spyx", case, {"dialect": "spyx"}) for case in ("lif", "if", "cuba", "psu", "rlif", "rif", "rcuba", "conv")],
]

# ..., and how many of the outputs differ: what the format cannot say, or the file does not.
DIFFERENT = [
    ("snntorch", "leaky", {}, 21),
    ("snntorch", "leaky", SUBTRACT, 18),
    ("snntorch", "leaky_at_once_strong", SUBTRACT, 10),
    ("snntorch", "leaky_none", SUBTRACT, 49),
    ("snntorch", "rleaky_zero", VALUE, 42),
    ("snntorch", "synaptic_zero", VALUE, 32),
    ("sinabs", "lif_single", SUBTRACT, 22),
    ("sinabs", "lif", {"dialect": "sinabs"}, 28),
    ("sinabs", "lif_synapse", {"dialect": "sinabs"}, 19),
    ("sinabs", "conv_iaf", {"dialect": "sinabs"}, 50),
    ("sinabs", "conv_iaf_clipped", {"dialect": "sinabs"}, 24),
    ("spikingjelly", "plif_cuba", {}, 5),
    ("spikingjelly", "conv_if", {}, 21),
    ("spyx", "lif", SUBTRACT, 26),
]


@functools.cache
def archive(framework: str) -> Mapping[str, np.ndarray]:
    with np.load(HERE / "references" / "nir" / f"{framework}.npz") as found:
        return dict(found)


@pytest.fixture
def load(tmp_path):
    """The file, inputs and outputs of a model."""

    def loaded(framework: str, case: str) -> tuple[Path, np.ndarray, np.ndarray]:
        found = archive(framework)
        path = tmp_path / "model.nir"
        path.write_bytes(found[f"{case}.nir"].tobytes())
        return path, found[f"{case}.x"], found[f"{case}.y"]

    return loaded


@functools.cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_nir_peers", HERE / "references" / "make_nir_peers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(graph, xs, dt: float, **arguments) -> np.ndarray:
    model = snnx.nir.from_nir(graph, dt=dt, **arguments)
    return np.asarray(snnx.simulate(model, jnp.asarray(xs, jnp.float32))[0])


@pytest.mark.parametrize(("framework", "case", "arguments"), SAME)
def test_the_model_does_what_it_did_in_its_framework(load, framework, case, arguments):
    path, xs, wanted = load(framework, case)
    ys = run(path, xs, STEP[framework], **arguments)
    if wanted.dtype == np.uint8:
        assert wanted.max() == 1
        assert wanted.sum() >= 15
        assert int((ys != wanted).sum()) == 0
    else:
        assert np.ptp(wanted) > 1
        np.testing.assert_allclose(ys, wanted, atol=1e-5)


@pytest.mark.parametrize(("framework", "case", "arguments", "differing"), DIFFERENT)
def test_what_stays_different_is_known(load, framework, case, arguments, differing):
    path, xs, wanted = load(framework, case)
    assert int((run(path, xs, STEP[framework], **arguments) != wanted).sum()) == differing


def test_what_norse_writes_is_no_net_under_the_format(load):
    path, xs, wanted = load("norse", "lif_box")
    with pytest.warns(UserWarning, match="shorter than the step"):
        assert int((run(path, xs, 1e-3) != wanted).sum()) == 126


def test_a_layer_that_the_exporter_left_out_is_missing(load):
    path, _, wanted = load("spyx", "li")
    assert [node.__class__.__name__ for node in snnx.nir.read(path).nodes.values()].count("LI") == 0
    assert wanted.max() > 1


def test_sinabs_without_norm_input_takes_one_line(load):
    path, xs, wanted = load("sinabs", "lif_sum")
    graph = snnx.nir.read(path)
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            node.r = 1 / (1 - np.exp(-1 / node.tau))
    assert wanted.sum() > 20
    np.testing.assert_array_equal(run(graph, xs, 1.0, dialect="sinabs"), wanted)


def test_a_file_is_the_same_whatever_a_step_of_sinabs_lasts(load):
    path, xs, wanted = load("sinabs", "lif_single")
    np.testing.assert_array_equal(run(path, xs, 1e-3, dialect="sinabs"), wanted)


def test_snntorch_writes_for_one_step_only(load):
    with pytest.raises(snnx.NIRError, match=r"\bdt\b"):
        snnx.nir.from_nir(load("snntorch", "leaky")[0], dt=1e-3, dialect="snntorch")


def test_a_node_that_a_dialect_adds_is_not_put_over_another(load):
    graph = snnx.nir.read(load("snntorch", "leaky")[0])
    graph.nodes["1_reset"] = nir.Scale(np.ones(4))
    graph.edges = [(a, b) for a, b in graph.edges if b != "output"] + [("3", "1_reset"), ("1_reset", "output")]
    with pytest.raises(snnx.NIRError, match=r"'1_reset'"):
        snnx.nir.from_nir(graph, dt=1e-4, dialect="snntorch")


def test_in_the_snntorch_dialect_only_the_way_back_lags(load):
    wiring = snnx.nir.from_nir(load("snntorch", "rleaky")[0], dt=1e-4, dialect="snntorch").wiring()
    assert wiring.lagging == {("1.lif", "1.w_rec"), ("1.lif", "1.lif_reset"), ("3", "3_reset")}


def rockpool_loop(xs, weight, tau_syn, tau_mem, dt):
    """Rockpool's LIFTorch: synapse and membrane decay, spikes at the threshold itself, which is subtracted."""
    alpha, beta = np.exp(-dt / tau_mem), np.exp(-dt / tau_syn)
    current, v, ys = np.zeros(4), np.zeros(4), []
    for x in xs:
        current = beta * (current + weight @ x)
        v = alpha * v + current
        spikes = (v >= 1.0).astype(np.float64)
        v = v - spikes
        ys.append(spikes)
    return np.stack(ys)


def rockpool_graph(weight, tau_syn, tau_mem, dt):
    ends = nir.Input({"input": np.array([1, 6])}), nir.Output({"output": np.array([1, 1, 4])})
    r = tau_mem * np.exp(-dt / tau_mem) / dt
    neuron = nir.CubaLIF(tau_syn, tau_mem, r, np.zeros(4), np.ones(4))
    nodes = {"input": ends[0], "0_LinearTorch": nir.Linear(weight), "1_LIFTorch": neuron, "output": ends[1]}
    names = list(nodes)
    return nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False)), type_check=False)


def test_rockpool_as_its_source_says():
    rng = np.random.default_rng(3)
    xs, weight = rng.random((60, 6)) < 0.4, rng.normal(0.05, 0.3, (4, 6))
    tau_syn, tau_mem = rng.uniform(2e-3, 6e-3, 4), rng.uniform(3e-3, 9e-3, 4)
    graph = rockpool_graph(weight, tau_syn, tau_mem, 1e-3)
    wanted = rockpool_loop(xs, weight, tau_syn, tau_mem, 1e-3)
    assert 30 < wanted.sum() < 200
    np.testing.assert_array_equal(run(graph, xs, 1e-3, dialect="rockpool"), wanted)
    with pytest.raises(snnx.NIRError, match=r"'1_LIFTorch'.*\bdt\b"):
        snnx.nir.from_nir(graph, dt=2e-3, dialect="rockpool")


@pytest.mark.parametrize("number", range(10))
def test_snnx_takes_in_the_graphs_that_the_importers_were_tried_on(number):
    _, nodes, edges, names = list(script().graphs(1e-4))[number]
    xs = script().spikes(*next(iter(nodes["input"].output_type.values())))
    wanted = script().meant(nodes, edges, names, xs, 1e-4)
    assert wanted.sum() >= 15
    np.testing.assert_array_equal(run(nir.NIRGraph(nodes, edges, type_check=False), xs, 1e-4), wanted)


def test_each_dialect_is_in_the_docs():
    page = (HERE.parent / "docs" / "nir_dialects.md").read_text()
    missing = [name for name in DIALECTS if f'`dialect="{name}"`' not in page]
    assert not missing
    assert [name for name in STEP if str(archive(name)["versions"]).split(", ")[0].split()[-1] not in page] == []
