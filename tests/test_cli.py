"""The command line: what it writes, what it says, and what it refuses."""

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import call

import snnx
from snnx.cli import _evaluate as cli_evaluate
from snnx.cli import _train as cli_train
from snnx.cli import main
from snnx.cli._arguments import read_arguments
from snnx.cli._networks import dense
from snnx.cli._recipes import RECIPES, Network, Recipe, make_task
from snnx.cli._run_folder import read_config
from snnx.cli._settings import DATA_SETS, DIALECTS, ENCODINGS, NEURONS, SURROGATES, Config, DataSet, as_command
from snnx.train import AbstractCallback, load_checkpoint, read_meta

TINY = ["train", "digits", "--steps", "4", "--epochs", "2", "--hidden", "16", "--quiet"]
QUICK = ("--quiet", "--no-pictures")
PICTURES = {"learning_curve.png", "confusion.png", "raster.png"}
FILES = {"config.json", "checkpoint.npz", "metrics.jsonl", "model.npz", "test.json"}
TEST_EXAMPLES = 359


pytestmark = pytest.mark.usefixtures("cache_settings")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: its folder, and what was said."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    code, out, err = call(*TINY, "--run", folder)
    assert (code, err) == (0, "")
    return folder, out


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run of another seed, without a name, a picture or matplotlib, that shows its progress: its folder, what was said."""
    place = tmp_path_factory.mktemp("other")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setitem(sys.modules, "matplotlib", None)
        code, out, err = call(*TINY[:-1], "--no-pictures", "--seed", 5)
    assert code == 0
    (folder,) = (place / "runs").iterdir()
    return folder, out, err


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def scores_by_hand(model, data):
    """Class and hidden spikes of every example, in NumPy loops in double precision, from the stored weights alone."""
    first, _, last, _ = model.layers
    w1, b1, w2, b2 = (np.float64(x) for x in (first.weight, first.bias, last.weight, last.bias))
    keep = np.exp(-1 / 20.0)
    predictions, rates = [], []
    for image in np.float64(data.inputs.values):
        v, out, total, fired = np.zeros(16), np.zeros(10), np.zeros(10), 0.0
        for _ in range(4):
            v = keep * v + w1 @ image + b1
            s = (v > 1.0).astype(float)
            v = v - s
            out = keep * out + w2 @ s + b2
            total, fired = total + out, fired + s.mean() / 4
        predictions.append(int(total.argmax()))
        rates.append(fired)
    return np.array(predictions), float(np.mean(rates))


# Training


def test_a_run_writes_its_files(run):
    folder, out = run
    assert names_in(folder) == FILES | PICTURES
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("versions")["jax"] == jax.__version__
    names = {"dataset": "digits", "neuron": "LIF", "surrogate": "ATan", "encoding": "current"}
    numbers = {"hidden": [16], "steps": 4, "epochs": 2, "batch_size": 64, "learning_rate": 3e-3, "seed": 0}
    assert config == names | numbers
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert records == read_meta(folder / "checkpoint.npz")["history"]
    assert records[1]["loss"] < records[0]["loss"]
    best = int(np.argmin([record["validation_loss"] for record in records])) + 1
    test = snnx.data.fingerprint(make_task(Config(steps=4, epochs=2, hidden=(16,))).test)
    assert read_meta(folder / "model.npz") == {"best_epoch": best, "test": test}
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_test_scores_are_those_of_the_stored_model(run):
    folder, _ = run
    task = make_task(Config(steps=4, epochs=2, hidden=(16,)))
    assert len(task.test) == TEST_EXAMPLES
    model = load_checkpoint(folder / "model.npz", eqx.nn.inference_mode(task.model))
    predictions, rate = scores_by_hand(model, task.test)
    labels = np.asarray(task.test.targets)
    scores = json.loads((folder / "test.json").read_text())
    assert scores["accuracy"] == pytest.approx(np.mean(predictions == labels))
    assert scores["accuracy"] > 0.2
    assert scores["examples"] == TEST_EXAMPLES
    assert scores["spike_rates"] == {"1": pytest.approx(rate, rel=1e-4)}
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, predictions), 1)
    np.testing.assert_array_equal(scores["confusion"], confusion)


def test_the_parts_of_the_data_are_disjoint():
    task = make_task(Config(steps=2))
    parts = (task.train, task.valid, task.test)
    assert [len(part) for part in parts] == [1258, 180, TEST_EXAMPLES]
    images = [row.tobytes() for part in parts for row in np.asarray(part.inputs.values)]
    assert sorted(images) == sorted(row.tobytes() for row in np.asarray(snnx.data.digits(2).inputs.values))
    assert len(set(images)) == 1797  # no two are alike: none is in two parts


def test_a_run_says_what_it_does(run):
    folder, out = run
    scores = json.loads((folder / "test.json").read_text())
    right = round(scores["accuracy"] * TEST_EXAMPLES)
    lines = out.splitlines()
    assert lines[0].startswith(f"snnx {snnx.__version__}, digits: ")
    assert f"{TEST_EXAMPLES} to test" in lines[0]
    assert "64 channels x 4 steps (current), seed 0" in out
    assert f"run folder {folder}" in out
    accuracy = f"test accuracy {100 * scores['accuracy']:.2f} % ({right} of 359), loss {scores['loss']:#.4g}"
    assert accuracy in lines
    assert f"spikes per neuron and step, layer 1 (LIF): {scores['spike_rates']['1']:.4f}" in lines
    assert re.search(
        r"^time: compile \d+\.\d s, training \d+\.\d s \(2 epochs, best [12]\), from start .* \d:\d\d$", out, re.M
    )
    assert lines[-1] == f"wrote {folder}: {', '.join(sorted(FILES | PICTURES))}"


def test_another_seed_gives_another_run(run, other):
    assert (other[0] / "test.json").read_text() != (run[0] / "test.json").read_text()


def test_progress_goes_to_standard_error(other):
    _, out, err = other
    assert "epoch 2/2" in err
    assert "epoch 2/2" not in out


def test_without_a_name_the_run_goes_to_runs(other):
    assert re.fullmatch(r"digits-\d{8}-\d{6}-seed5", other[0].name)


# Evaluating


def test_evaluate_gives_the_scores_of_the_run(run):
    folder, _ = run
    scores = json.loads((folder / "test.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    code, out, err = call("evaluate", folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"test accuracy {100 * scores['accuracy']:.2f} % (")
    assert lines[0].endswith(f"loss {scores['loss']:#.4g}")
    assert f"layer 1 (LIF): {scores['spike_rates']['1']:.4f}" in lines[1]
    table = [line.split() for line in lines[-10:]]
    assert lines[-11].split() == list("0123456789")
    for row, (name, *cells) in enumerate(table):
        assert name == str(row)
        assert [0 if cell == "." else int(cell) for cell in cells] == scores["confusion"][row]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


# Going on


class Interrupt(AbstractCallback):
    def after_epoch(self, run):
        if len(run.history) == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_and_ends_as_the_other(run, tmp_path, monkeypatch):
    whole, _ = run
    folder, fit = tmp_path / "run", cli_train.fit
    with monkeypatch.context() as patch:
        patch.setattr(
            cli_train,
            "fit",
            lambda *args, callbacks, **settings: fit(*args, callbacks=[*callbacks, Interrupt()], **settings),
        )
        code, _, err = call(*TINY, "--run", folder, "--no-pictures")
    assert code == 130
    assert err.splitlines()[-1] == f"snnx: interrupted; go on with: snnx train --resume {folder}"
    assert "model.npz" not in names_in(folder)
    code, out, err = call("evaluate", folder)
    assert (code, out) == (1, "")
    assert f"holds no finished model; finish the run with: snnx train --resume {folder}" in err
    code, out, err = call("train", "--resume", folder, "--quiet", "--no-pictures")
    assert (code, err) == (0, "")
    assert names_in(folder) == FILES
    assert (folder / "test.json").read_text() == (whole / "test.json").read_text()
    for name in ("model.npz", "checkpoint.npz"):
        with np.load(folder / name) as got, np.load(whole / name) as expected:
            assert got.files == expected.files
            for entry in got.files:
                if entry != "header":  # which holds times
                    np.testing.assert_array_equal(got[entry], expected[entry])
    done = 1 if "going on at epoch 2 of 2" in out else 0  # a checkpoint is written every other second
    assert f"going on at epoch {done + 1} of 2 in {folder}" in out


def test_a_finished_run_is_not_trained_again(run, monkeypatch):
    folder, said = run
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(cli_train, "fit", None)
        code, out, err = call("train", "--resume", folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{folder}: already finished: 2 of 2 epochs"
    assert out.splitlines()[1:] == [line for line in said.splitlines() if line.startswith(("test acc", "spikes per"))]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize(("name", "flags"), [("test.json", ("--no-pictures",)), ("raster.png", ())])
def test_a_run_that_lacks_one_of_its_last_files_gets_it(name, flags, run, tmp_path):
    folder = copy_of(run[0], tmp_path)
    before = (folder / name).read_bytes()
    (folder / name).unlink()
    code, out, err = call("train", "--resume", folder, "--quiet", *flags)
    assert (code, err) == (0, "")
    assert f"all of 2 epochs are trained; what comes after them is left to do in {folder}" in out
    assert name.endswith(".png") or (folder / name).read_bytes() == before
    assert names_in(folder) == FILES | PICTURES


def test_what_is_no_run_does_not_go_on_after_an_interrupt(run, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_evaluate, "evaluate", interrupt)
    assert call("evaluate", run[0]) == (130, "", "\nsnnx: interrupted\n")


def test_a_run_killed_before_its_first_checkpoint_starts_anew(run, tmp_path):
    whole, _ = run
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_bytes((whole / "config.json").read_bytes())
    (folder / ".checkpoint.npz.0123abcd.part").write_bytes(b"cut short")
    assert call("train", "--resume", folder, "--quiet", "--no-pictures")[0] == 0
    assert names_in(folder) == FILES
    assert (folder / "test.json").read_text() == (whole / "test.json").read_text()


def test_a_reader_that_has_seen_enough_is_left_alone():
    """`snnx info | head -1`: no traceback, and the exit code that a closed pipe gives."""
    command = [sys.executable, "-m", "snnx", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# Choices


@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_is_one_of_a_model(neuron):
    model = dense(Config(neuron=neuron, hidden=(4, 3)), (5,), 2, jax.random.key(0))
    assert [type(layer).__name__ for layer in model.layers] == ["Linear", neuron, "Linear", neuron, "Linear", "LI"]
    ys, _ = snnx.simulate(model, jnp.ones((3, 5)))
    assert ys.shape == (3, 2)
    assert np.all(np.isfinite(ys))


def test_every_surrogate_is_one_of_a_model():
    assert {"ATan", "SuperSpike", "StochasticEscape"} <= set(SURROGATES)
    for name in SURROGATES:
        neuron = dense(Config(surrogate=name, hidden=(4,)), (5,), 2, jax.random.key(0)).layers[1]
        assert type(neuron.surrogate) is type(getattr(snnx.surrogates, name)())
        spikes = neuron.surrogate(jnp.array([-9.0, 9.0]), key=jax.random.key(0))
        np.testing.assert_array_equal(spikes, [0.0, 1.0])


def test_names_are_found_whatever_their_case():
    words = "train DIGITS --neuron cubalif --surrogate superspike --encoding RATE".split()
    assert read_arguments(words).config == Config(neuron="CubaLIF", surrogate="SuperSpike", encoding="rate")


@pytest.mark.slow
def test_a_run_of_other_names_than_the_default_is_scored_again(tmp_path):
    flags = ("--epochs", 1, "--neuron", "cubalif", "--surrogate", "superspike", "--encoding", "RATE", *QUICK)
    code, out, err = call("train", "digits", "--steps", 2, "--hidden", 8, *flags, "--run", tmp_path / "run")
    assert (code, err) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [config[name] for name in ("neuron", "surrogate", "encoding")] == ["CubaLIF", "SuperSpike", "rate"]
    assert "layer 1 (CubaLIF)" in out
    # Random spikes are those of the seed: evaluating draws the same.
    assert out.splitlines()[-4:-2] == call("evaluate", tmp_path / "run")[1].splitlines()[:2]


# What the help is made of, and what is imported


HEAVY = ("jax", "equinox", "jaxtyping", "optax", "numpy", "beartype")
ANSWERED_AT_ONCE = ("--help", "train --help", "--version", "trian", "train digits --lr 1", "train digits --neuron LIFF")


def test_help_and_hints_import_nothing_heavy():
    code = f"""
import sys
from snnx.cli import main
for call in {ANSWERED_AT_ONCE!r}:
    try:
        main(call.split())
    except SystemExit:
        continue
    raise RuntimeError(call)
print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stderr.count("Did you mean") == 3, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


def test_the_lists_of_names_are_those_of_the_package():
    neurons = {name: getattr(snnx.neurons, name) for name in snnx.neurons.__all__}
    cells = {name for name, kind in neurons.items() if isinstance(kind, type) and issubclass(kind, snnx.AbstractCell)}
    assert set(NEURONS) == {name for name in cells if hasattr(neurons[name], "surrogate")}
    assert set(SURROGATES) == set(snnx.surrogates.__all__) - {"AbstractSurrogate", "Custom"}
    assert ENCODINGS == snnx.data.ENCODINGS
    assert set(DIALECTS) == set(snnx.nir._dialects.DIALECTS)


def test_every_data_set_has_settings_and_a_recipe():
    assert DATA_SETS.keys() == RECIPES.keys()
    for name, data_set in DATA_SETS.items():
        assert {choice.dataset for choice in data_set.choices} == {name}
        assert {choice.network for choice in data_set.choices} == RECIPES[name].networks.keys()


def test_a_data_set_is_two_entries(tmp_path, monkeypatch):
    """Its settings and its recipe: it is then in the help, is trained, and its runs are read again."""
    digits = RECIPES["digits"]
    own = dataclasses.replace(DATA_SETS["digits"].default, dataset="mine", steps=3, hidden=(4,), epochs=1)
    monkeypatch.setitem(DATA_SETS, "mine", DataSet("my own digits", (own,)))
    monkeypatch.setitem(RECIPES, "mine", Recipe(digits.load, {None: Network(dense)}))
    assert "mine: my own digits" in call("train", "--help")[1]
    code, out, err = call("train", "mine", *QUICK, "--run", tmp_path / "run")
    assert (code, err) == (0, "")
    assert ", mine: 1258 examples to train" in out
    assert as_command(dataclasses.replace(own, seed=3)) == "snnx train mine --seed 3"
    assert read_config(tmp_path / "run", None) == own


# Info and help


def test_info_names_versions_devices_and_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    code, out, err = call("info")
    assert (code, err) == (0, "")
    assert out.startswith(f"snnx {snnx.__version__}, Python {sys.version.split()[0]}")
    for name in ("jax", "equinox", "optax", "numpy"):
        assert re.search(rf"^  {name} +{re.escape(importlib.metadata.version(name))}$", out, re.M)
    assert re.search(r"^  cpu:0 ", out, re.M)
    assert re.search(r"^  plot +installed$", out, re.M)
    assert re.search(
        r"^  data +missing tonic, h5py: pip install 'snnx\[data\]' \(in a clone: pip install '.\[data\]'\)$", out, re.M
    )
    assert str(jax.config.jax_compilation_cache_dir) in out


def test_info_knows_the_extras_of_the_project():
    from snnx.cli._info import EXTRAS

    known = importlib.metadata.metadata("snnx").get_all("Provides-Extra") if _installed() else _extras_of_pyproject()
    assert set(EXTRAS) <= set(known)


def _installed():
    try:
        return bool(importlib.metadata.metadata("snnx"))
    except importlib.metadata.PackageNotFoundError:
        return False


def _extras_of_pyproject():
    import tomllib
    from pathlib import Path

    text = (Path(snnx.__file__).parents[1] / "pyproject.toml").read_text()
    return tomllib.loads(text)["project"]["optional-dependencies"]


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "snnx", "--version"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"snnx {snnx.__version__}\n", "")


def test_help_explains_every_flag():
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for word in ("train", "evaluate", "export", "nir", "info", "snnx train digits", "snnx train --resume"):
        assert word in out
    code, out, err = call("train", "--help")
    assert (code, err) == (0, "")
    for field in dataclasses.fields(Config):
        assert field.name == "dataset" or f"  --{field.name.replace('_', '-')} " in out
    text = " ".join(out.split())
    for name, data_set in DATA_SETS.items():
        shown = text[text.index(f"{name}: {data_set.about}") :]
        for setting, value in data_set.default.taken().items():
            if setting not in ("dataset", "root"):
                words = " ".join(map(str, value)) if isinstance(value, tuple) else value
                assert f"--{setting.replace('_', '-')} {words}" in shown, (name, setting)
    for name in (*NEURONS, "digits", "current, rate, latency", "checkpoint.npz", "--no-pictures", "--quiet"):
        assert name in text
    assert call("evaluate", "--help")[0] == 0


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"name a command: train, evaluate, export, nir or info"),
        (["trian"], r"there is no command 'trian'\. Did you mean 'train'\? Known: evaluate, export, info, nir, train"),
        (["train"], r"name a data set \(snnx train digits\), or a run to go on with"),
        (["train", "digit"], r"there is no data set 'digit'\. Did you mean 'digits'\?"),
        (["train", "digits", "--neuron", "LIFF"], r"there is no neuron 'LIFF'\. Did you mean 'LIF'\?"),
        (["train", "digits", "--surrogate", "ATn"], r"there is no surrogate 'ATn'\. Did you mean 'ATan'\?"),
        (["train", "digits", "--encoding", "latncy"], r"there is no encoding 'latncy'\. Did you mean 'latency'\?"),
        (["train", "digits", "--neuron", "xyz"], r"there is no neuron 'xyz'\. Known: ALIF, AdLIF, CubaLIF, IF, LIF"),
        (["train", "digits", "--steps", "0"], r"--steps: expected a whole number >= 1, or all, got '0'"),
        (["train", "digits", "--epochs", "1.5"], r"--epochs: expected a whole number >= 1, got '1.5'"),
        (["train", "digits", "--batch-size", "many"], r"--batch-size: expected a whole number >= 1, got 'many'"),
        (["train", "digits", "--hidden", "8", "-1"], r"--hidden: expected a whole number >= 1, got '-1'"),
        (["train", "digits", "--channels", "9999999999"], r"--channels: expected a whole number from 1 to 2147483647"),
        (["train", "digits", "--hidden"], r"--hidden: expected at least one argument"),
        (["train", "digits", "--learning-rate", "0"], r"--learning-rate: expected a number > 0, got '0'"),
        (["train", "digits", "--learning-rate", "nan"], r"--learning-rate: expected a number > 0, got 'nan'"),
        (["train", "digits", "--learning-rate", "inf"], r"--learning-rate: expected a number > 0, got 'inf'"),
        (["train", "digits", "--learning-rate", "fast"], r"--learning-rate: expected a number > 0, got 'fast'"),
        (["train", "digits", "--seed", "-1"], r"--seed: expected a whole number from 0 to 4294967295, got '-1'"),
        (["train", "digits", "--seed", "4294967296"], r"--seed: expected a whole number from 0 to 4294967295"),
        (["train", "digits", "--epoch-count", "3"], r"there is no option --epoch-count\. Did you mean --epochs\?"),
        (["train", "--resume", "x", "--epochs", "3"], r"--resume takes all settings from the run; leave out: --epochs"),
        (["train", "digits", "--resume", "x", "--run", "y"], r"leave out: dataset, --run"),
        (["train", "--resume", "x", "--batch-size", "3", "--seed", "1"], r"leave out: --batch-size, --seed"),
        (["evaluate"], r"required: RUN"),
        (["train", "digits", "--lr", "1"], r"there is no option --lr\. Did you mean --learning-rate\?"),
        (["train", "--lerning-rate=1"], r"there is no option --lerning-rate\. Did you mean --learning-rate\?"),
        (["train", "digits", "--batch_size", "3"], r"there is no option --batch_size\. Did you mean --batch-size\?"),
        (["--sed", "3"], r"^snnx: there is no option --sed\.\nSee: snnx --help"),
        (["train", "digits", "more"], r"there is no place for 'more'"),
        (["evaluate", "run", "more"], r"there is no place for 'more'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_answered_with_a_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def refused(*arguments):
    """Exit code 1, one line on standard error, which is returned."""
    code, _, err = call(*arguments)
    assert code == 1
    (line,) = err.strip().splitlines()
    assert line.startswith("snnx: ")
    return line


def copy_of(folder, tmp_path):
    there = tmp_path / "copy"
    there.mkdir()
    for path in folder.iterdir():
        (there / path.name).write_bytes(path.read_bytes())
    return there


def test_a_run_is_not_written_over(run):
    folder, _ = run
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert f"there is a run in {folder} already; go on with it by --resume {folder}" in refused(*TINY, "--run", folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    none, file = tmp_path / "none", tmp_path / "file"
    for arguments in (["train", "--resume"], ["evaluate"]):
        assert f"{tmp_path} holds no run: there is no config.json in it" in refused(*arguments, tmp_path)
        assert f"there is no folder {none}; name the folder of a run" in refused(*arguments, none)
    assert not list(tmp_path.iterdir())
    file.write_text("no folder")
    assert f"{file} is a file; name the folder of a run" in refused("evaluate", file)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    wanted = tmp_path / "file" / "run"
    line = refused(*TINY, "--run", wanted)
    assert f"the run folder {wanted} cannot be made: " in line
    assert "name another with --run FOLDER" in line
    assert "there is a file of that name" in refused(*TINY, "--run", tmp_path / "file")


def test_a_batch_larger_than_the_data_leaves_no_folder(tmp_path):
    line = refused(*TINY, "--batch-size", 5000, "--run", tmp_path / "run")
    assert re.search(
        r"--batch-size is 5000, but there are 12\d\d examples to train on; take --batch-size 12\d\d or less", line
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_that_explodes_says_where(tmp_path):
    line = refused(*TINY, "--learning-rate", "1e30", "--run", tmp_path / "run")
    assert re.search(r"training diverged in epoch 1, step [2-9]: the loss or an update is not finite", line)
    again = f"snnx train digits --hidden 16 --steps 4 --epochs 2 --run {tmp_path / 'run-2'}"
    assert line.endswith(again)
    assert read_arguments(again.split()[1:]).config.learning_rate == Config.learning_rate


@pytest.mark.parametrize(
    ("name", "command"), [("model.npz", ["evaluate"]), ("checkpoint.npz", ["train", "--quiet", "--resume"])]
)
def test_files_that_were_cut_short_are_refused(name, command, run, tmp_path):
    folder = copy_of(run[0], tmp_path)
    content = (folder / name).read_bytes()
    for length in (0, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:length])
        assert f"{folder / name}: not a whole checkpoint; the file is truncated" in refused(*command, folder)
    (folder / name).write_bytes((folder / ("checkpoint.npz" if name == "model.npz" else "model.npz")).read_bytes())
    assert ("it holds a training state" if name == "model.npz" else "resume holds no TrainState") in refused(
        *command, folder
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", r"config.json is no JSON file"),
        ("[1, 2]", r"config.json lacks batch_size, .*; it is not of this version of snnx"),
        ({"neuron": None}, r"config.json lacks neuron; it is not of this version of snnx"),
        ({"neuron": "LIFF"}, r"there is no neuron 'LIFF'\. Did you mean 'LIF'\?"),
        ({"dataset": "digit"}, r"there is no data set 'digit'\. Did you mean 'digits'\?"),
        ({"hidden": 16}, r"config.json, hidden: .* got 16"),
        ({"hidden": []}, r"config.json, hidden: .* got \[\]"),
        ({"hidden": ["16"]}, r"config.json, hidden: .* got \['16'\]"),
        ({"steps": "4"}, r"config.json, steps: .* got '4'"),
        ({"steps": "all"}, r"config.json, steps: .* got 'all'"),
        ({"epochs": True}, r"config.json, epochs: .* got 'True'"),
        ({"epochs": 0}, r"config.json, epochs: .* got '0'"),
        ({"learning_rate": None, "seed": None}, r"config.json lacks learning_rate, seed"),
    ],
    ids=str,
)
def test_settings_that_were_damaged_are_refused(change, message, run, tmp_path):
    folder = copy_of(run[0], tmp_path)
    path = folder / "config.json"
    if isinstance(change, str):
        path.write_text(change)
    else:
        stored = json.loads(path.read_text()) | change
        path.write_text(json.dumps({name: value for name, value in stored.items() if value is not None}))
    for arguments in (["evaluate", folder], ["train", "--resume", folder]):
        assert re.search(message, refused(*arguments))


def test_without_matplotlib_pictures_are_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = refused(*TINY, "--run", tmp_path / "run")
    assert "the pictures need matplotlib; run: pip install 'snnx[plot]' (in a clone: pip install '.[plot]'), or" in line
    assert not (tmp_path / "run").exists()


def test_without_pictures_no_matplotlib_is_needed(other):
    assert names_in(other[0]) == FILES


# The cache of compiled programs


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    from snnx.cli._main import use_compilation_cache

    used = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    try:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
        assert use_compilation_cache() == tmp_path / "mine"
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert use_compilation_cache() == tmp_path / "cache" / "snnx" / "jax"
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.1
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        if os.name == "posix":
            assert use_compilation_cache() == tmp_path / ".cache" / "snnx" / "jax"
    finally:
        jax.config.update("jax_compilation_cache_dir", used[0])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", used[1])


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    assert f"{tmp_path} holds metrics.jsonl, which the run would write over; name another" in refused(
        *TINY, "--run", tmp_path
    )
    assert (tmp_path / "metrics.jsonl").read_text() == "mine"


def test_examples_of_the_training_are_not_taken_for_the_test(run, tmp_path):
    folder = copy_of(run[0], tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"seed": 7}))
    assert "the test examples are not those that were kept from the training" in refused("evaluate", folder)


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_what_does_not_fit_into_memory_is_said(error, tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(cli_train, "fit", fail)
    line = refused(*TINY, "--run", tmp_path / "run")
    assert "this does not fit into the memory of the device; take smaller --hidden, --steps or --batch-size" in line


@pytest.mark.parametrize("arguments", [["train", "digits", "--run", ""], ["train", "--resume", " "], ["evaluate", ""]])
def test_a_folder_has_a_name(arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "expected the name of a folder, got nothing" in err


def test_a_run_without_an_output_ends_well(run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["evaluate", str(run[0])]) == 0
