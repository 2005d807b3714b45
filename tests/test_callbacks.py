"""What happens between epochs: files, stopping, what is shown."""

import csv
import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small import EXAMPLES, assert_same_bits, fit, make_data, scored

import snnx
from snnx._errors import MissingExtraError
from snnx.data import fingerprint
from snnx.train import AbstractCallback, Compilation, duration, load_checkpoint, read_meta
from snnx.train._progress import Progress, sentence


def scripted(losses):
    """`score`, with these losses one after the other."""
    left = iter(losses)
    return lambda *arguments: scored(next(left), 0.5)


class Noted(AbstractCallback):
    """Every call, with epochs finished and steps of the current one."""

    def __init__(self):
        self.calls = []

    def _note(self, name, snapshot):
        self.calls.append((name, len(snapshot.history), int(snapshot.state.position)))
        assert int(snapshot.state.epoch) == len(snapshot.history)

    def before(self, snapshot):
        self._note("before", snapshot)

    def after_segment(self, snapshot):
        self._note("segment", snapshot)

    def after_epoch(self, snapshot):
        self._note("epoch", snapshot)

    def stop(self, snapshot):
        self._note("stop", snapshot)
        return False

    def after(self, snapshot):
        self._note("after", snapshot)


@pytest.mark.slow
def test_callbacks_are_called_in_their_order(monkeypatch):
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 1e-9)
    noted, other = Noted(), Noted()
    fit(epochs=2, callbacks=[noted, other])
    epoch = [("segment", 0, 1), ("segment", 0, 2), ("epoch", 1, 0), ("stop", 1, 0)]
    second = [("segment", 1, 1), ("segment", 1, 2), ("epoch", 2, 0), ("stop", 2, 0)]
    assert noted.calls == other.calls == [("before", 0, 0), ("stop", 0, 0), *epoch, *second, ("after", 2, 0)]


def test_a_callback_that_does_nothing_is_one():
    expected = fit(epochs=2)
    assert_same_bits(fit(epochs=2, callbacks=[AbstractCallback()]).state, expected.state)


def test_a_callback_may_keep_the_states_that_it_sees():
    # Each is a copy: the program that runs on would otherwise have eaten it.
    class Keep(AbstractCallback):
        def __init__(self):
            self.states = []

        def after_epoch(self, snapshot):
            self.states.append(snapshot.state)

    keep = Keep()
    fit(epochs=3, callbacks=[keep])
    for epoch, state in enumerate(keep.states, start=1):
        assert_same_bits(state, fit(epochs=epoch).state)


# Checkpoint


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Written(AbstractCallback):
    """After every segment and epoch: where the file on disk stands; then time goes on by `seconds`."""

    def __init__(self, path, clock, seconds):
        self.path, self.clock, self.seconds, self.places = path, clock, seconds, []

    def after_segment(self, snapshot):
        like = snapshot.state
        stored = load_checkpoint(self.path, like)
        self.places.append((int(stored.epoch), int(stored.position)))
        self.clock.now += self.seconds

    after_epoch = after_segment


@pytest.mark.parametrize(
    ("every", "places"),
    [
        # Of three steps an epoch two end in a segment, the third with the epoch. Four seconds pass after each.
        (0.0, [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]),
        (8.0, [(0, 0), (0, 0), (1, 0), (1, 0), (1, 2), (1, 2)]),
        (1e9, [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)]),
    ],
)
def test_a_checkpoint_is_written_as_often_as_said_and_at_the_end(every, places, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 1e-9)
    monkeypatch.setattr("snnx.train._callbacks.time", clock)
    path = tmp_path / "run" / "checkpoint.npz"
    written = Written(path, clock, 4.0)
    result = fit(epochs=2, callbacks=[snnx.Checkpoint(path, every=every, meta={"who": "me"}), written])
    assert written.places == places
    assert_same_bits(load_checkpoint(path, result.state), result.state)
    meta = read_meta(path)
    assert meta["config"] == {"who": "me"}
    assert meta["history"] == list(result.history)
    expected = {"epochs": 2, "batch_size": 8, "examples": EXAMPLES, "validation": 0}
    expected |= {"data": fingerprint(make_data()), "loss": "CrossEntropy(readout=Mean())"}
    expected |= {"augment": "[]", "truncate": None, "optimizer": "GradientDescent"}
    assert meta["settings"] == expected
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.npz"]


def test_a_run_that_stops_early_leaves_its_last_epoch_too(tmp_path, monkeypatch):
    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", scripted([1.0, 2.0, 3.0, 4.0]))
    path = tmp_path / "checkpoint.npz"
    callbacks = [snnx.Checkpoint(path, every=1e9), snnx.EarlyStopping(2)]
    result = fit(epochs=4, validation=make_data(10, seed=3), callbacks=callbacks)
    assert len(result.history) == 3
    assert_same_bits(load_checkpoint(path, result.state), result.state)


# EarlyStopping


@pytest.mark.parametrize(
    ("patience", "losses", "epochs"),
    [
        (1, [3.0, 2.0, 2.5, 1.0], 3),
        (2, [3.0, 2.0, 2.5, 2.0, 1.0], 4),  # equal is not better
        (2, [3.0, 2.0, 2.5, 1.0, 1.5, 1.2, 0.5], 6),
        (3, [3.0, 2.0, 1.0], 3),
    ],
)
def test_early_stopping_waits_as_long_as_said(patience, losses, epochs, monkeypatch):
    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", scripted(losses))
    stopping = snnx.EarlyStopping(patience)
    result = fit(epochs=len(losses), validation=make_data(10, seed=3), callbacks=[stopping])
    assert len(result.history) == epochs
    assert result.best_epoch == int(np.argmin(losses[:epochs])) + 1


def test_early_stopping_stops_a_resumed_run_where_it_would_have_stopped(monkeypatch):
    losses = [3.0, 2.0, 2.5, 2.2, 1.0, 0.5]
    settings = {"validation": make_data(10, seed=3), "callbacks": [snnx.EarlyStopping(2)]}
    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", scripted(losses))
    whole = fit(epochs=6, **settings)
    assert len(whole.history) == 4
    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", scripted(losses))
    half = fit(epochs=3, **settings)
    resumed = fit(epochs=6, resume=half, **settings)
    assert_same_bits(resumed.state, whole.state)
    again = fit(epochs=6, resume=resumed, **settings)  # was stopped already
    assert len(again.history) == 4
    assert_same_bits(again.state, whole.state)


def test_early_stopping_needs_something_to_watch():
    with pytest.raises(ValueError, match=r"\bvalidation\b"):
        fit(callbacks=[snnx.EarlyStopping(3)])
    for patience in (0, -1):
        with pytest.raises(ValueError, match=r"\bpatience\b"):
            snnx.EarlyStopping(patience)


# LogFile


def read_log(path):
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                {name: None if value == "" else float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.csv"])
def test_a_log_holds_the_figures_of_every_epoch(name, tmp_path):
    path = tmp_path / "new" / name
    settings = {"validation": make_data(10, seed=3), "callbacks": [snnx.train.LogFile(path)]}
    half = fit(epochs=2, **settings)
    assert read_log(path) == list(half.history)
    path.write_text("left by another run\n")
    resumed = fit(epochs=4, resume=half, **settings)
    assert read_log(path) == list(resumed.history)
    assert [record["epoch"] for record in read_log(path)] == [1, 2, 3, 4]
    path.unlink()
    fit(epochs=4, resume=resumed, **settings)  # no epoch is left: the file is made good all the same
    assert read_log(path) == list(resumed.history)


def test_a_log_grows_with_every_epoch(tmp_path):
    path, lengths = tmp_path / "metrics.jsonl", []

    class Look(AbstractCallback):
        def after_epoch(self, snapshot):
            lengths.append(len(read_log(path)))

    fit(epochs=3, callbacks=[snnx.train.LogFile(str(path)), Look()])
    assert lengths == [1, 2, 3]


# TensorBoard


def test_tensorboard_says_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match=r"\btensorboardX\b") as caught:
        snnx.train.TensorBoard(tmp_path)
    # What it says to run must exist: a package, or an extra that pyproject.toml has.
    command = re.search(r"run: pip install (\S+)$", str(caught.value))
    assert command is not None
    wanted = command[1].strip("'")
    if wanted.startswith("snnx["):
        project = tomllib.loads((Path(snnx.__file__).parents[1] / "pyproject.toml").read_text())["project"]
        assert any("tensorboardX" in p for p in project["optional-dependencies"][wanted[5:-1]])
    else:
        assert wanted == "tensorboardX"


def test_tensorboard_gets_every_figure(monkeypatch, tmp_path):
    seen = []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def add_scalar(self, name, value, step):
            seen.append((step, name, value))

        def flush(self):
            seen.append("flushed")

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=SummaryWriter))
    result = fit(epochs=2, validation=make_data(10, seed=3), callbacks=[snnx.train.TensorBoard(tmp_path)])
    expected = []
    for record in result.history:
        expected += [(record["epoch"], name, value) for name, value in record.items() if name != "epoch"]
        expected.append("flushed")
    assert seen == expected


# What is shown


def test_durations_and_sentences():
    assert [duration(s) for s in (0, 7.4, 59.6, 754, 3723)] == ["0:00", "0:07", "1:00", "12:34", "1:02:03"]
    figures = {"loss": 0.51234, "accuracy": 0.875}
    assert sentence(figures) == "loss 0.5123  acc 87.5 %"
    assert sentence(figures | {"accuracy": None}) == "loss 0.5123"
    valid = {"validation_loss": 1.0, "validation_accuracy": 0.5}
    assert sentence(figures | valid) == "loss 0.5123  acc 87.5 %  valid 1.000  50.0 %"


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys):
    result = fit(epochs=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert re.fullmatch(r"epoch 2/2  loss \d\.\d{3}  acc \d+\.\d %  [\d,]+ samples/s", last)
    assert f"loss {result.history[-1]['loss']:#.4g}" in last
    fit(epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_lines_come_at_the_first_epoch_and_at_every_tenth_of_them(monkeypatch, capsys):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("snnx.train._progress.time", SimpleNamespace(perf_counter=lambda: clock.now))
    with Progress(True, total=40, steps=2, examples=10) as bar:
        bar.compiled(Compilation(compile=0.1))
        for epoch in range(41):
            clock.now += 40.0 if epoch == 30 else 0.1  # an epoch that takes long is said too
            bar.update(epoch, 0, {"loss": 123.456, "samples_per_second": 1.0} if epoch else None)
            bar.update(epoch, 1, {"loss": 123.456})
    said = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert said == [f"{epoch}/40" for epoch in sorted({1, 30, *range(4, 41, 4)})]


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    fit(epochs=2, progress=True)
    err = capsys.readouterr().err
    assert "epoch 2/2" in err
    assert "samples/s" in err
    assert "━" in err
    assert "0:00 left" in err


def test_the_time_left_is_that_of_the_steps_left(monkeypatch, capsys):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("snnx.train._progress.time", SimpleNamespace(perf_counter=lambda: clock.now))
    with Progress(True, total=10, steps=4, examples=100, done=8) as bar:  # resumed after two epochs
        clock.now = 5.0
        bar.compiled(Compilation(trace=1.25, lower=0.5, look_up=0.25, compile=5.0))
        clock.now += 8.0
        bar.update(3, 2, None)
        clock.now = 99.0  # the first epoch ends with a compilation, which says nothing of those to come
        bar.update(4, 0, {"loss": 1.0, "accuracy": None, "samples_per_second": 25.0})  # 24 steps are left, of a second
        clock.now += 8.0
        bar.update(8, 0, {"loss": 0.5, "accuracy": None})  # 16 steps in eight seconds; 8 are left
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "traced in 1.2 s, lowered in 0.5 s, looked up in 0.25 s, compiled in 5.0 s",
        "epoch 4/10  loss 1.000  25 samples/s  0:24 left",
        "epoch 8/10  loss 0.5000  50 samples/s  0:04 left",
    ]
