"""The command line on recorded data sets: from files, in their own formats, to a tested network."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import made_recordings as made
import numpy as np
import pytest
import recordings as files
from command_line import call
from scipy.io import wavfile

import snnx
from snnx.augment import ChannelShift
from snnx.cli import _train as cli_train
from snnx.cli._arguments import read_arguments
from snnx.cli._networks import convolutional, dense
from snnx.cli._recipes import make_task
from snnx.cli._run_folder import new_folder, read_config
from snnx.cli._settings import DATA_SETS, NEURONS, as_command
from snnx.inputs import binned
from snnx.train import AbstractCallback

RECORDED = [name for name in DATA_SETS if name != "digits"]
QUICK = ("--quiet", "--no-pictures")


pytestmark = pytest.mark.usefixtures("cache_settings")


def refused(*arguments, code):
    """The one line on standard error of a call that ends with this code; of a wrong call, with the place of the help."""
    got, _, err = call(*arguments)
    assert got == code, err
    line, *more = err.strip().splitlines()
    assert more == (["See: snnx train --help"] if code == 2 else [])
    assert line.startswith("snnx: ")
    return line


def config_of(name, root, **settings):
    return dataclasses.replace(DATA_SETS[name].default, root=str(root), **settings)


# Learning, from the files to the test

LEARNED = {
    "shd": (made.write_shd, ("--epochs", 8, "--batch-size", 32)),
    "ssc": (made.write_ssc, ("--epochs", 8, "--batch-size", 32)),
    "nmnist": (made.write_nmnist, ("--epochs", 3, "--batch-size", 16)),
    "dvs-gesture": (made.write_gestures, ("--epochs", 5)),
    "fsdd": (made.write_fsdd, ("--epochs", 30, "--batch-size", 16)),
    "audio": (made.write_sounds, ("--epochs", 24, "--batch-size", 16)),
}


def as_a_program(*arguments):
    """`call`, as users do: in a process of its own, compiled with all of XLA's optimisation, which convolutions need."""
    words = [sys.executable, "-m", "snnx", *map(str, arguments)]
    done = subprocess.run(words, env=os.environ | {"XLA_FLAGS": ""}, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_the_default_network_learns(name, tmp_path):
    write, flags = LEARNED[name]
    write(tmp_path / "data")
    run = tmp_path / "run"
    calls = as_a_program if DATA_SETS[name].default.network is None else call
    code, out, err = calls("train", name, "--root", tmp_path / "data", *flags, *QUICK, "--run", run)
    assert code == 0, err
    scores = json.loads((run / "test.json").read_text())
    right = int(np.trace(scores["confusion"]))
    assert scores["examples"] == np.sum(scores["confusion"]) >= 40
    assert right >= 0.95 * scores["examples"], out
    assert f"test accuracy {100 * right / scores['examples']:.2f} % ({right} of {scores['examples']})" in out
    assert all(0.001 < rate < 0.5 for rate in scores["spike_rates"].values())


# A run: stopped, moved, scored


class Interrupt(AbstractCallback):
    def after_epoch(self, run):
        if len(run.history) == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A small SHD: 30 recordings to train, 10 to test."""
    root = tmp_path_factory.mktemp("words")
    made.write_shd(root, splits=(("train", 6), ("test", 2)))
    return root


@pytest.mark.slow
def test_a_run_goes_on_where_its_data_are_now(words, tmp_path, monkeypatch):
    small = ("--epochs", 2, "--batch-size", 9, "--hidden", 8, "--quiet")
    root, whole, folder = tmp_path / "data", tmp_path / "whole", tmp_path / "run"
    shutil.copytree(words, root)
    code, said, err = call("train", "shd", "--root", root, *small, "--run", whole)
    assert (code, err) == (0, "")
    assert "140 channels x " in said
    assert " steps of 0.01 s, channels shifted by up to 4, seed 0" in said
    assert {"learning_curve.png", "confusion.png", "raster.png"} <= {path.name for path in whole.iterdir()}
    fit = cli_train.fit
    with monkeypatch.context() as patch:
        patch.setattr(
            cli_train, "fit", lambda *args, callbacks, **kw: fit(*args, callbacks=[*callbacks, Interrupt()], **kw)
        )
        assert call("train", "shd", "--root", root, *small, "--no-pictures", "--run", folder)[0] == 130
    before = (folder / "config.json").read_text()
    assert json.loads(before)["root"] == str(root)
    root.rename(tmp_path / "moved")
    for command in (["train", "--quiet", "--resume", folder], ["evaluate", whole]):
        line = refused(*command, code=1)
        assert f"there is no file {root / 'SHD' / 'shd_train.h5'}" in line
        assert line.endswith("If the data have moved, say where they are with --root FOLDER.")
    monkeypatch.chdir(tmp_path)
    assert call("train", "--resume", folder, *QUICK, "--root", "moved")[0] == 0
    assert (folder / "config.json").read_text() == before
    assert (folder / "test.json").read_text() == (whole / "test.json").read_text()
    code, out, err = call("evaluate", whole, "--root", "moved")
    assert (code, err) == (0, "")
    scores = json.loads((whole / "test.json").read_text())
    assert out.startswith(f"test accuracy {100 * scores['accuracy']:.2f} % (")
    table = [line.split() for line in out.splitlines()[-5:]]
    for number, (row, cells) in enumerate(zip(table, scores["confusion"], strict=True)):
        assert row[:3] == ["word", str(number), str(number)]  # a long name, with the number that its column has
        assert [0 if cell == "." else int(cell) for cell in row[3:]] == cells


# Parts of the data


def write_counted(path, first, count, lasts=0.5):
    """Recordings of two classes that are told apart by their numbers of spikes: `first`, `first + 1`, ..."""
    times = [np.linspace(0, lasts, first + i) for i in range(count)]
    units = [np.arange(first + i) % 700 for i in range(count)]
    files.write_heidelberg(path, times, units, np.arange(count) % 2, np.zeros(count, int), ["no", "yes"])


def spikes_of(data):
    """How many events each example has, sorted."""
    events = binned("test", data.inputs)
    per = events.num_steps * np.prod(events.sample_shape)
    counts = [np.bincount(block // per, minlength=n) for block, n in zip(events.blocks, events.examples, strict=True)]
    return sorted(np.concatenate(counts).tolist())


@pytest.mark.parametrize("seed", [0, 1])
def test_official_splits_stay_apart(seed, tmp_path):
    write_counted(tmp_path / "SHD/shd_train.h5", 10, 40)
    write_counted(tmp_path / "SHD/shd_test.h5", 60, 6)
    task = make_task(config_of("shd", tmp_path, batch_size=8, seed=seed))
    assert [len(part) for part in (task.train, task.valid, task.test)] == [36, 4, 6]
    assert sorted(spikes_of(task.train) + spikes_of(task.valid)) == list(range(10, 50))
    assert spikes_of(task.test) == list(range(60, 66))


def test_the_valid_split_of_ssc_is_its_own(tmp_path):
    for split, first, count in (("train", 10, 20), ("valid", 40, 5), ("test", 50, 6)):
        write_counted(tmp_path / f"SSC/ssc_{split}.h5", first, count)
    task = make_task(config_of("ssc", tmp_path, batch_size=8))
    assert spikes_of(task.train) == list(range(10, 30))
    assert spikes_of(task.valid) == list(range(40, 45))
    assert spikes_of(task.test) == list(range(50, 56))


def test_all_steps_are_those_of_the_longest_recording_and_nothing_is_lost(tmp_path, capsys):
    write_counted(tmp_path / "SHD/shd_train.h5", 10, 40, lasts=0.5)
    write_counted(tmp_path / "SHD/shd_test.h5", 60, 6, lasts=0.75)
    for _ in range(2):  # the second time from what was kept
        task = make_task(config_of("shd", tmp_path, batch_size=8))
        assert [part.num_steps for part in (task.train, task.valid, task.test)] == [76, 76, 76]
        assert spikes_of(task.test) == list(range(60, 66))
    assert capsys.readouterr().err == ""


def test_what_lies_behind_the_steps_is_left_out_and_said(tmp_path, capsys):
    write_counted(tmp_path / "SHD/shd_train.h5", 10, 40, lasts=0.25)
    write_counted(tmp_path / "SHD/shd_test.h5", 61, 3, lasts=0.5)
    task = make_task(config_of("shd", tmp_path, batch_size=8, steps=30))
    assert [part.num_steps for part in (task.train, task.valid, task.test)] == [30, 30, 30]
    kept = [int(np.sum(np.linspace(0, 0.5, n).astype(np.float16) < 0.3)) for n in (61, 62, 63)]
    assert spikes_of(task.test) == kept
    (line,) = capsys.readouterr().err.splitlines()
    lost = 61 + 62 + 63 - sum(kept)
    assert line.startswith(f"snnx: note: shd: {lost} of 186 events (")
    assert line.endswith("and were left out, as --steps 30 asks.")


def test_splits_of_other_classes_are_refused(tmp_path):
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    wave = (8000 * np.sin(np.arange(1600) / 3) * (np.arange(1600) > 800)).astype(np.int16)
    for name in ("0_ada_7", "1_ada_7", "0_ada_0"):
        wavfile.write(folder / f"{name}.wav", 8000, wave)
    line = refused("train", "fsdd", "--root", tmp_path, "--run", tmp_path / "run", *QUICK, code=1)
    assert "fsdd: the classes of the test split, 0, are not those of the training split, 0, 1." in line
    assert not (tmp_path / "run").exists()


# Networks


@pytest.mark.slow
@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("network", [dense, convolutional])
def test_time_constants_are_in_seconds(network, neuron):
    shape = (6,) if network is dense else (2, 14, 14)
    config = dataclasses.replace(DATA_SETS["shd"].default, neuron=neuron, hidden=(4,), dt=0.025)
    model = network(config, shape, 3, jax.random.key(0))
    cells = [layer for layer in model.layers if isinstance(layer, snnx.AbstractCell)]
    assert [type(cell).__name__ for cell in cells] == [neuron, "LI"]
    assert all(cell.dt == 0.025 for cell in cells)
    expected = {
        "IF": {},
        "LIF": {"tau": 0.1},
        "CubaLIF": {"tau_mem": 0.1, "tau_syn": 0.05},
        "ALIF": {"tau": 0.1, "tau_a": 1.0},
        "AdLIF": {"tau": 0.1, "tau_w": 0.5},
    }[neuron]
    assert {name: getattr(cells[0], name) for name in expected} == pytest.approx(expected)
    assert cells[1].tau == 0.2
    ys, _ = snnx.simulate(model, jnp.ones((3, *shape)), key=jax.random.key(1))
    assert ys.shape == (3, 3)
    assert np.all(np.isfinite(ys))


@pytest.mark.slow
def test_maps_shrink_as_convolutions_do():
    config = dataclasses.replace(DATA_SETS["nmnist"].default, hidden=(12, 32))
    model = convolutional(config, (2, 34, 34), 10, jax.random.key(0))
    # 34 - 4 = 30, halved 15; 15 - 4 = 11, halved (a row left over) 5.
    assert model.layers[-2].weight.shape == (10, 32 * 5 * 5)
    with pytest.raises(ValueError, match=r"--hidden\b.*\b3\b.*\b2\b.*\b5 x 5\b"):
        convolutional(dataclasses.replace(config, hidden=(4, 4, 4)), (2, 34, 34), 10, jax.random.key(0))


@pytest.mark.parametrize(("flags", "augment"), [((), (ChannelShift(4),)), (("--channel-shift", 0), ())])
def test_the_training_alone_is_augmented_as_asked(flags, augment, words, tmp_path, monkeypatch):
    given = {}

    def stop(model, train, **settings):
        given.update(settings, train=train)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_train, "fit", stop)
    small = ("--batch-size", 9, *QUICK, "--run", tmp_path / "run")
    assert call("train", "shd", "--root", words, *small, *flags)[0] == 130
    assert given["augment"] == augment
    events = snnx.data.shd(words, channels=140, progress=False)
    assert sorted(spikes_of(given["train"]) + spikes_of(given["validation"])) == spikes_of(events)


# Settings


def parsed(words):
    return read_arguments(words).config


@pytest.mark.parametrize("name", DATA_SETS)
def test_settings_are_found_again(name, tmp_path):
    """In the run's folder, and from the command that is suggested."""
    config = DATA_SETS[name].default
    if config.root is not None:
        config = dataclasses.replace(config, root=str(tmp_path / "some data"), steps=77, dt=0.02)
    config = dataclasses.replace(config, hidden=(3, 4), seed=5)
    new_folder(config, str(tmp_path / "run"))
    assert read_config(tmp_path / "run", None) == config
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert None not in stored.values()
    assert ("root" in stored) == (name != "digits")
    assert parsed(shlex.split(as_command(config))[1:]) == config


def test_a_root_is_kept_as_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert parsed(["train", "shd", "--root", "data"]).root == str(tmp_path / "data")
    assert parsed(["train", "audio", "--root", "~/sounds"]).root == str(tmp_path / "home" / "sounds")


def test_steps_may_be_all(tmp_path):
    assert parsed(["train", "fsdd", "--root", "data"]).steps == 100
    assert parsed(["train", "fsdd", "--root", "data", "--steps", "ALL"]).steps == "all"
    config = config_of("fsdd", tmp_path, steps="all")
    new_folder(config, str(tmp_path / "run"))
    assert read_config(tmp_path / "run", None) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": "al"}, "config.json, steps: expected a whole number >= 1, or all, got 'al'"),
        ({"steps": 1.5}, "config.json, steps: "),
        ({"dt": "0.01"}, "config.json, dt: expected a number, got '0.01'"),
        ({"root": 3}, "config.json, root: expected text, got 3"),
        ({"root": None}, "config.json, root: expected text, got None"),
        ({"channels": 1.5}, "config.json, channels: "),
        ({"dataset": "sdh"}, "config.json, dataset: there is no data set 'sdh'. Did you mean 'shd'?"),
        ({"dataset": "digits"}, "config.json lacks encoding; it is not of this version"),
        ({"dataset": 3}, "config.json, dataset: "),
    ],
    ids=str,
)
def test_settings_that_were_damaged_are_refused(change, message, tmp_path):
    new_folder(config_of("shd", tmp_path), str(tmp_path / "run"))
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message in refused("evaluate", tmp_path / "run", code=1)


# Errors


@pytest.mark.parametrize("name", RECORDED)
def test_recordings_need_a_folder(name):
    line = refused("train", name, code=2)
    assert f"{name} needs --root FOLDER: " in line
    how = {
        "fsdd": "git clone https://github.com/Jakobovski/free-spoken-digit-dataset FOLDER/fsdd",
        "audio": "a folder of files for each class",
    }
    assert how.get(name, "which tonic downloads there if it is missing") in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shd", "--root", "x", "--encoding", "rate"], "shd does not take --encoding; it takes --root, --neuron, "),
        (["nmnist", "--root", "x", "--channels", "70"], "nmnist does not take --channels; it takes "),
        (["fsdd", "--root", "x", "--channel-shift", "3"], "fsdd does not take --channel-shift; it takes "),
        (["digits", "--root", "x"], "digits does not take --root; it takes --neuron, "),
        (["digits", "--dt", "0.1"], "digits does not take --dt"),
        (["digits", "--steps", "all"], "digits has no length of its own: --steps takes a number"),
        (["shd", "--root", "x", "--channel-shift", "-1"], "--channel-shift: expected a whole number >= 0"),
        (["shd", "--root", "x", "--dt", "0"], "--dt: expected a number > 0, got '0'"),
        (["shd", "--root", "x", "--steps", "some"], "--steps: expected a whole number >= 1, or all, got 'some'"),
        (["shd", "--root", ""], "expected the name of a folder, got nothing"),
        (["dvs_gesture"], "there is no data set 'dvs_gesture'. Did you mean 'dvs-gesture'?"),
        (["--resume", "x", "--dt", "0.1", "--root", "y"], "--resume takes all settings from the run; leave out: --dt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_answered_with_a_sentence(arguments, message):
    assert message in refused("train", *arguments, code=2)


def test_what_comes_with_snnx_has_not_moved(tmp_path):
    new_folder(DATA_SETS["digits"].default, str(tmp_path / "run"))
    for command in (["evaluate"], ["train", "--resume"]):
        line = refused(*command, tmp_path / "run", "--root", "data", code=1)
        assert line.endswith("is a run of digits, which come with snnx; leave out --root.")


def test_without_files_the_way_to_them_is_said(tmp_path, monkeypatch):
    run = ("--run", tmp_path / "run", *QUICK)
    line = refused("train", "fsdd", "--root", tmp_path / "none", *run, code=1)
    assert f"git clone https://github.com/Jakobovski/free-spoken-digit-dataset {tmp_path / 'none' / 'fsdd'}" in line
    assert f"there is no folder {tmp_path / 'none'}" in refused(
        "train", "audio", "--root", tmp_path / "none", *run, code=1
    )
    monkeypatch.setitem(sys.modules, "tonic.datasets", None)
    line = refused("train", "shd", "--root", tmp_path, *run, code=1)
    assert "'tonic', which is not installed; run: pip install 'snnx[data]'" in line
    assert not (tmp_path / "run").exists()


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    write_counted(tmp_path / "SHD/shd_train.h5", 10, 4)
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = refused("train", "shd", "--root", tmp_path, "--run", tmp_path / "run", *QUICK, code=1)
    assert "'h5py', which is not installed; run: pip install 'snnx[data]'" in line


def test_more_channels_than_the_cochlea_has_are_refused(words, tmp_path):
    line = refused("train", "shd", "--root", words, "--channels", 701, "--run", tmp_path / "run", *QUICK, code=1)
    assert "shd: channels is 701, expected a whole number from 1 to 700." in line
