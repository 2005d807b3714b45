"""NIR on the command line: what it says, writes and compares; runs and exports against loops in NumPy."""

import re
import warnings

import h5py
import nir as package
import numpy as np
import pytest
from command_line import call
from test_cli import TEST_EXAMPLES, TINY, copy_of, refused, run  # noqa: F401

import snnx
from snnx.cli import _export as cli_export
from snnx.cli._recipes import make_task
from snnx.cli._settings import Config

pytestmark = pytest.mark.usefixtures("cache_settings")
DT = 1e-3
PARAMETERS = {"tau": 5e-3, "r": 12.0, "v_leak": 0.1, "v_threshold": 1.0, "v_reset": -0.2}


def layer(size, **changed):
    return package.LIF(**{name: np.full(size, x, np.float32) for name, x in (PARAMETERS | changed).items()})


def graph_of(threshold=1.0, names=("input", "output"), metadata=None):
    """Three inputs, a recurrent layer of four neurons, two of which are put out."""
    rng = np.random.default_rng(0)
    weights = {"fc": (4, 3), "back": (4, 4), "out": (2, 4)}
    nodes = {name: package.Linear(rng.normal(size=shape).astype(np.float32)) for name, shape in weights.items()}
    nodes["lif"] = layer(4)
    nodes["last"] = layer(2, v_threshold=np.array([1.0, threshold]))
    nodes[names[0]] = package.Input({"input": np.array([3])})
    nodes[names[1]] = package.Output({"output": np.array([2])})
    way = [names[0], "fc", "lif", "out", "last", names[1]]
    edges = [*zip(way[:-1], way[1:], strict=True), ("lif", "back"), ("back", "lif")]
    return package.NIRGraph(nodes, edges, metadata=metadata or {}, type_check=False)


def written(folder, name="model.nir", **settings):
    snnx.nir.write(graph_of(**settings), folder / name)
    return folder / name


def spikes_in(folder, shape=(5, 20, 3), name="spikes.npz"):
    xs = np.random.default_rng(1).random(shape) < 0.5
    np.savez(folder / name, spikes=xs)
    return xs, folder / name


def by_hand(graph, xs, subtract=False, dt=DT):
    """The recurrent net in double precision, step by step: spikes of both layers, and the membranes of the first."""
    fc, back, out = (np.float64(graph.nodes[name].weight) for name in ("fc", "back", "out"))

    def step(node, v, x):
        v = v + dt / node.tau.astype(float) * (node.v_leak - v + node.r * x)
        s = (v > node.v_threshold).astype(float)
        return (v - s * node.v_threshold if subtract else np.where(s > 0, node.v_reset, v)), s

    first, last = graph.nodes["lif"], graph.nodes["last"]
    hidden, membranes, outputs = [], [], []
    v, w, s = first.v_leak.astype(float), last.v_leak.astype(float), np.zeros(4)
    for x in np.float64(xs):
        v, s = step(first, v, fc @ x + back @ s)
        w, y = step(last, w, out @ s)
        hidden.append(s)
        membranes.append(v)
        outputs.append(y)
    return np.array(hidden), np.array(membranes), np.array(outputs)


# Info


def test_info_shows_the_table_and_what_is_odd(tmp_path):
    path = written(tmp_path)
    code, out, err = call("nir", "info", path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["node", "kind", "in", "out", "parameters", "dtype", "from"]
    assert ["back", "Linear", "[4]", "[4]", "16", "float32", "~lif"] in [line.split() for line in lines]
    assert lines[-1].startswith("7 nodes, 7 edges, 1 cycle")
    code, out, err = call("nir", "info", path, "--dt", 0.01)
    assert (code, err) == (0, "")
    assert re.search(r"^warning: node 'lif': tau is 0.005 s at least, shorter than the step, 0.01 s", out, re.M)


def test_info_ends_with_1_where_a_file_cannot_run(tmp_path):
    graph = graph_of()
    graph.nodes["fc"].weight = graph.nodes["fc"].weight[:, :2]
    snnx.nir.write(graph, tmp_path / "bad.nir")
    code, out, err = call("nir", "info", tmp_path / "bad.nir")
    assert (code, err) == (1, "")
    assert re.search(r"^error: .*'fc'", out, re.M)


def test_info_draws_the_graph(tmp_path):
    picture = tmp_path / "new" / "picture.png"
    code, out, err = call("nir", "info", written(tmp_path), "--picture", picture)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"wrote {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")


# Run


@pytest.mark.parametrize("subtract", [False, True])
def test_a_run_is_what_the_format_means(subtract, tmp_path):
    path, (xs, inputs), out = written(tmp_path), spikes_in(tmp_path), tmp_path / "out.npz"
    reset = ("--reset", "subtract") if subtract else ()
    code, said, err = call(
        "nir", "run", path, "--input", inputs, "--dt", DT, "--out", out, "--record", "lif", "lif.v", *reset
    )
    assert (code, err) == (0, "")
    hidden, membranes, outputs = (
        np.stack(traces) for traces in zip(*(by_hand(graph_of(), x, subtract) for x in xs), strict=True)
    )
    assert hidden.sum() > 20
    assert outputs.sum() > 10
    with np.load(out) as found:
        assert set(found.files) == {"output", "lif", "lif.v"}
        np.testing.assert_array_equal(found["output"], outputs)
        np.testing.assert_array_equal(found["lif"], hidden)
        np.testing.assert_allclose(found["lif.v"], membranes, atol=1e-5)
    lines = said.splitlines()
    assert lines[0] == "5 examples of 20 steps of 0.001 s (0.02 s)"
    counts = {line.split()[0]: line for line in lines[1:3]}
    for name, trace in (("lif", hidden), ("last", outputs)):
        assert f"{int(trace.sum())} spikes, {trace.mean():.4f} per neuron and step" in counts[name]
    assert re.fullmatch(r"time: compile \d+\.\d s, run \S+ s", lines[3])
    assert lines[4] == f"wrote {out}: output [5, 20, 2], lif [5, 20, 4], lif.v [5, 20, 4]"


def test_one_example_needs_no_batch_and_a_noted_dt_no_flag(tmp_path):
    path = written(tmp_path, metadata={"snnx_dt": DT})
    (xs, inputs), out = spikes_in(tmp_path, (20, 3)), tmp_path / "out.npz"
    code, said, err = call("nir", "run", path, "--input", inputs, "--out", out)
    assert (code, err) == (0, "")
    assert said.splitlines()[0] == "20 steps of 0.001 s (0.02 s)"
    with np.load(out) as found:
        assert found.files == ["output"]
        np.testing.assert_array_equal(found["output"], by_hand(graph_of(), xs)[2])
    code, _, err = call("nir", "run", path, "--input", inputs, "--out", out, "--dt", 2e-3)
    assert code == 0
    assert err.count("snnx: warning: from_nir: the file was written for dt=0.001, and is now run at dt=0.002") == 1


def test_several_inputs_and_outputs_go_by_name(tmp_path):
    ends = {"a": package.Input({"input": np.array([2])}), "file": package.Input({"input": np.array([2])})}
    ends |= {
        "sum": package.Output({"output": np.array([2])}),
        "allow_pickle": package.Output({"output": np.array([2])}),
    }
    gain = package.Scale(np.array([2.0, 3.0], np.float32))
    edges = [("a", "gain"), ("file", "gain"), ("gain", "sum"), ("file", "allow_pickle")]
    snnx.nir.write(package.NIRGraph({**ends, "gain": gain}, edges, type_check=False), tmp_path / "two.nir")
    xs = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    np.savez(tmp_path / "in.npz", a=xs[0])
    line = refused(
        "nir", "run", tmp_path / "two.nir", "--input", tmp_path / "in.npz", "--dt", 1, "--out", tmp_path / "out"
    )
    assert line.endswith("in.npz holds a; expected a, file.")
    with (tmp_path / "in.npz").open("wb") as file:
        package_of(file, {"a": xs[0], "file": xs[1]})
    code, _, err = call(
        "nir", "run", tmp_path / "two.nir", "--input", tmp_path / "in.npz", "--dt", 1, "--out", tmp_path / "out"
    )
    assert (code, err) == (0, "")
    with np.load(tmp_path / "out") as found:
        np.testing.assert_allclose(found["sum"], (xs[0] + xs[1]) * [2.0, 3.0], rtol=1e-6)
        np.testing.assert_array_equal(found["allow_pickle"], xs[1])


def package_of(file, arrays):
    """`np.savez` for names that are also its own arguments."""
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, r"x has shape \[4, 2\]; expected \[time, 3\] or \[batch, time, 3\]"),
        ({"x": np.zeros(3)}, r"input has shape \[3\]; expected \[time, 3\]"),
        ({"x": np.zeros((0, 3))}, r"there is nothing to run: input \[0, 3\]"),
        ({"x": np.full((4, 3), np.nan)}, r"x holds numbers that are not finite"),
        ({"x": np.full((4, 3), 1e300)}, r"x holds numbers that are not finite, or too large"),
        ({"x": np.full((4, 3), "a")}, r"x holds <U1; expected spikes or currents"),
        ({"x": np.zeros((4, 3)), "y": np.zeros((4, 3))}, r"holds x, y; expected one array"),
        ({}, r"holds nothing; expected one array"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "in.npz", **arrays)
    path, out = written(tmp_path), tmp_path / "out.npz"
    message = message.replace("x has shape", "input has shape")
    assert re.search(message, refused("nir", "run", path, "--input", tmp_path / "in.npz", "--dt", DT, "--out", out))
    assert not out.exists()


def test_files_that_are_none_are_refused(tmp_path):
    path, (_, inputs), text = written(tmp_path), spikes_in(tmp_path), tmp_path / "text"
    text.write_text("no numbers")
    end = ("--dt", DT, "--out", tmp_path / "out.npz")
    assert "is no .npz file of numbers" in refused("nir", "run", path, "--input", text, *end)
    assert f"there is no file {tmp_path / 'none'}" in refused("nir", "run", path, "--input", tmp_path / "none", *end)
    assert "whole NIR file" in refused("nir", "run", text, "--input", inputs, *end)
    assert "whole NIR file" in refused("nir", "info", text)
    assert "there is no file" in refused("nir", "check", path, tmp_path / "none", "--input", inputs)
    assert "Did you mean" in refused("nir", "run", path, "--input", inputs, *end, "--record", "lift")


# Check


def test_files_that_mean_the_same_are_equal(tmp_path):
    one, other = written(tmp_path), written(tmp_path, "other.nir", names=("start", "end"))
    xs, inputs = spikes_in(tmp_path)
    code, out, err = call("nir", "check", one, other, "--input", inputs, "--dt", DT)
    assert (code, err) == (0, "")
    count = int(sum(by_hand(graph_of(), x)[2].sum() for x in xs))
    assert out.splitlines() == [
        "5 examples of 20 steps of 0.001 s (0.02 s)",
        f"output: equal, {count} spikes and {count} spikes",
    ]


def test_the_first_difference_is_named(tmp_path):
    one, other = written(tmp_path), written(tmp_path, "other.nir", threshold=1.5)
    xs, inputs = spikes_in(tmp_path)
    code, out, err = call("nir", "check", one, other, "--input", inputs, "--dt", DT, "--reset", "value")
    assert (code, err) == (1, "")
    a, b = (np.stack([by_hand(graph_of(threshold=t), x)[2] for x in xs]) for t in (1.0, 1.5))
    places = np.argwhere(a != b)
    example, step, element = map(int, places[0])
    assert out.splitlines()[1] == (
        f"output: not equal, {int(a.sum())} spikes and {int(b.sum())} spikes; {len(places)} of {a.size} values differ, by 1 at"
        f" most; first in example {example}, step {step}, element [{element}]:"
        f" {a[example, step, element]:g} and {b[example, step, element]:g}"
    )


def test_files_that_cannot_be_compared_are_refused(tmp_path):
    one, (_, inputs) = written(tmp_path), spikes_in(tmp_path)
    narrow = package.NIRGraph(
        {"x": package.Input({"input": np.array([2])}), "y": package.Output({"output": np.array([2])})},
        [("x", "y")],
        type_check=False,
    )
    snnx.nir.write(narrow, tmp_path / "narrow.nir")
    line = refused("nir", "check", one, tmp_path / "narrow.nir", "--input", inputs, "--dt", DT)
    assert "differ in shape: [3], [2]" in line


# Export


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):  # noqa: F811
    """The file of a run, and what was said."""
    path = tmp_path_factory.mktemp("export") / "model.nir"
    code, out, err = call("export", run[0], "--dt", DT, "-o", path)
    assert code == 0
    return path, out, err


@pytest.mark.slow
def test_the_exported_file_has_the_scores_of_the_run(run, exported):  # noqa: F811
    """Read by nir itself and run in double precision, with the reset that the metadata name."""
    import json

    graph = package.read(exported[0])
    task = make_task(Config(steps=4, epochs=2, hidden=(16,)))
    images, labels = np.float64(task.test.inputs.values), np.asarray(task.test.targets)
    first, neuron, second, readout = (graph.nodes[str(i)] for i in range(4))
    with h5py.File(exported[0]) as file:
        assert file["node/nodes/1/metadata/snnx_reset"][()] == b"subtract"
        assert float(file["node/metadata/snnx_dt"][()]) == DT
    confusion = np.zeros((10, 10), int)
    for image, label in zip(images, labels, strict=True):
        v, w, total = np.zeros(16), np.zeros(10), np.zeros(10)
        for _ in range(4):
            v = v + DT / neuron.tau.astype(float) * (-v + neuron.r * (first.weight @ image + first.bias))
            s = (v > neuron.v_threshold).astype(float)
            v = v - s * neuron.v_threshold
            w = w + DT / readout.tau.astype(float) * (-w + readout.r * (second.weight @ s + second.bias))
            total = total + w
        confusion[label, total.argmax()] += 1
    assert confusion.sum() == TEST_EXAMPLES
    np.testing.assert_array_equal(confusion, json.loads((run[0] / "test.json").read_text())["confusion"])


@pytest.mark.slow
def test_an_export_is_checked_and_warned_of_once(run, exported):  # noqa: F811
    path, out, err = exported
    assert re.fullmatch(r"snnx: warning: to_nir: 16 neurons are reset by subtraction, which NIR cannot say.*\n", err)
    lines = out.splitlines()
    assert lines[0] == f"wrote {path}: 4 nodes, steps of 0.001 s"
    assert re.match(r"checked on 8 test examples: the file's \d+ spikes are those of the model, the outputs ", lines[1])
    task = make_task(Config(steps=4, epochs=2, hidden=(16,)))
    with np.load(run[0] / "model.npz") as stored:
        w, b = (np.frombuffer(stored[f"leaf_{i}"].tobytes(), np.float32) for i in range(2))
    count = 0
    for image in np.float64(task.test.inputs.values)[:8]:
        v = np.zeros(16)
        for _ in range(4):
            v = np.exp(-1 / 20) * v + w.reshape(16, 64) @ image + b
            s = v > 1
            v, count = v - s, count + int(s.sum())
    assert f"the file's {count} spikes" in lines[1]


@pytest.mark.slow
def test_a_strict_export_refuses_what_only_snnx_reads(run, tmp_path):  # noqa: F811
    line = refused("export", run[0], "--dt", DT, "-o", tmp_path / "model.nir", "--strict")
    assert "16 neurons are reset by subtraction, which NIR cannot say" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_with_other_spikes_is_not_the_model(run, tmp_path, monkeypatch):  # noqa: F811
    read = snnx.nir.from_nir
    monkeypatch.setattr(cli_export.snnx.nir, "from_nir", lambda path, dt: read(path, dt=dt, reset="value"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code, _, err = call("export", run[0], "--dt", DT, "-o", tmp_path / "model.nir")
    assert code == 1
    assert re.search(r"model.nir, run on 8 test examples, is not the model: \d+ of 512 spikes and silences differ", err)


@pytest.mark.slow
def test_an_export_needs_a_finished_run(run, tmp_path):  # noqa: F811
    folder = copy_of(run[0], tmp_path)
    (folder / "model.npz").unlink()
    line = refused("export", folder, "--dt", DT, "-o", tmp_path / "model.nir")
    assert f"{folder} holds no finished model; finish the run with: snnx train --resume {folder}" in line


@pytest.mark.slow
def test_training_exports_at_its_end_and_again(tmp_path):
    path, folder = tmp_path / "model.nir", tmp_path / "run"
    code, out, err = call(*TINY, "--no-pictures", "--run", folder, "--export", path, "--export-dt", DT)
    assert code == 0
    assert err.count("snnx: warning") == err.count("\n") == 1
    assert out.splitlines()[-2] == f"wrote {path}: 4 nodes, steps of 0.001 s"
    first = path.read_bytes()
    path.unlink()
    code, out, _ = call("train", "--resume", folder, "--no-pictures", "--export", path, "--export-dt", DT)
    assert code == 0
    assert out.splitlines()[0].endswith("already finished: 2 of 2 epochs")
    again, graph = package.read(path), None
    path.write_bytes(first)
    graph = package.read(path)
    for name in ("0", "2"):
        np.testing.assert_array_equal(again.nodes[name].weight, graph.nodes[name].weight)


def test_what_nir_cannot_say_is_refused_before_the_training(tmp_path):
    line = refused(
        *TINY, "--neuron", "ALIF", "--run", tmp_path / "run", "--export", tmp_path / "m.nir", "--export-dt", DT
    )
    assert "adaptive" in line
    assert not list(tmp_path.iterdir())


# Wrong calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nir"], r"name what to do: info, run or check\nSee: snnx nir --help"),
        (["nir", "inof"], r"there is no action 'inof'\. Did you mean 'info'\? Known: check, info, run"),
        (["nir", "info"], r"required: FILE"),
        (["nir", "info", ""], r"expected the name of a file, got nothing"),
        (["nir", "info", "x", "--dt", "0"], r"--dt: expected a number > 0, got '0'"),
        (["nir", "run", "x", "--input", "y"], r"required: --out"),
        (["nir", "run", "x", "--inputs", "y"], r"there is no option --inputs\. Did you mean --input\?"),
        (["nir", "run", "x", "--reset", "zero"], r"there is no reset 'zero'\. Known: subtract, value"),
        (["nir", "run", "x", "--dialect", "pytorch"], r"there is no dialect 'pytorch'"),
        (["nir", "check", "x"], r"required: B, --input"),
        (["export"], r"required: RUN, -o/--out"),
        (["train", "digits", "--export-dt", "1"], r"--export-dt is of --export FILE.nir, which is missing"),
        (["train", "digits", "--export", "x"], r"--export-dt is missing"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_answered_with_a_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_dt_that_nobody_says_is_asked_for(run, tmp_path):  # noqa: F811
    one, noted = written(tmp_path), written(tmp_path, "noted.nir", metadata={"snnx_dt": DT})
    _, inputs = spikes_in(tmp_path)
    code, _, err = call("nir", "run", one, "--input", inputs, "--out", tmp_path / "out.npz")
    assert (code, err.splitlines()[0]) == (2, f"snnx: --dt is missing, the seconds per step: {one} says nothing")
    code, _, err = call("nir", "check", one, noted, "--input", inputs)
    assert code == 2
    assert f"{one} says nothing, {noted} says 0.001 s" in err
    code, _, err = call("export", run[0], "-o", tmp_path / "model.nir")
    assert (code, err.splitlines()[0]) == (
        2,
        "snnx: --dt is missing, the seconds per step: the run has none of its own",
    )


def test_every_action_has_help():
    for words in (["export"], ["nir"], ["nir", "info"], ["nir", "run"], ["nir", "check"]):
        code, out, err = call(*words, "--help")
        assert (code, err) == (0, "")
        assert "usage: snnx " + " ".join(words) in out
