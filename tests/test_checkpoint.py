"""Checkpoints: every bit comes back, or a sentence says why not; a run that was killed goes on as if it had not been."""

import errno
import io
import json
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import time
import zipfile

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import HIDDEN, TAU, assert_same_bits, fit, make_data, make_model, scored

import snnx
from snnx._errors import CheckpointError
from snnx.train import AbstractCallback, Checkpoint, LogFile, load_checkpoint, read_meta, save_checkpoint

# There and back


def make_tree(fill=True):
    """Every kind of leaf; with `fill` False other values in the same places."""
    payload = np.array([0x7FC12345, 0xFFA00001, 0x00000001, 0x80000000], np.uint32).view(np.float32)
    rng = np.random.default_rng(0 if fill else 1)
    seed = 3 if fill else 4
    return {
        "nan": jnp.asarray(payload if fill else np.zeros(4, np.float32)),
        "single": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
        "brain": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "half": jnp.asarray(rng.normal(size=5), jnp.float16),
        "ints": [jnp.asarray(rng.integers(0, 100, 4), d) for d in (jnp.int8, jnp.uint8, jnp.int32, jnp.uint32)],
        "bools": jnp.asarray(rng.integers(0, 2, 7), bool),
        "scalar": jnp.asarray(rng.normal(), jnp.float32),
        "empty": (jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32)),
        "numpy": rng.normal(size=(2, 2)),
        "keys": [jax.random.key(seed), jax.random.split(jax.random.key(seed), 3), jax.random.key(seed, impl="rbg")],
        "other": (None, 3, 2.5, "text", True, jnp.tanh),
    }


def test_every_bit_comes_back(tmp_path):
    tree, path = make_tree(), tmp_path / "tree.npz"
    save_checkpoint(path, tree)
    read = load_checkpoint(path, make_tree(fill=False))
    assert jax.tree.structure(read) == jax.tree.structure(tree)
    assert_same_bits(read, tree)
    np.testing.assert_array_equal(jax.random.normal(read["keys"][2], (3,)), jax.random.normal(tree["keys"][2], (3,)))
    assert isinstance(read["numpy"], np.ndarray)
    assert isinstance(read["nan"], jax.Array)


def test_double_precision_comes_back(tmp_path, x64):
    tree = {"a": jnp.asarray([np.pi, np.nan]), "b": jnp.arange(3)}
    assert (tree["a"].dtype, tree["b"].dtype) == (jnp.float64, jnp.int64)
    save_checkpoint(tmp_path / "tree.npz", tree)
    assert_same_bits(load_checkpoint(tmp_path / "tree.npz", jax.tree.map(jnp.zeros_like, tree)), tree)


def test_a_model_comes_back(tmp_path):
    model = make_model(seed=1, tau=snnx.Positive(jnp.full(HIDDEN, TAU)), between=(eqx.nn.Dropout(0.3), jnp.tanh))
    save_checkpoint(tmp_path / "model.npz", model)
    fresh = make_model(seed=2, tau=snnx.Positive(jnp.full(HIDDEN, 1.0)), between=(eqx.nn.Dropout(0.3), jnp.tanh))
    read = load_checkpoint(tmp_path / "model.npz", fresh)
    assert_same_bits(read, model)


def test_there_is_no_pickle_in_a_checkpoint(tmp_path):
    tree, path = make_tree(), tmp_path / "tree.npz"
    save_checkpoint(path, tree, {"note": "ü"})
    with np.load(path, allow_pickle=False) as file:
        entries = {name: file[name] for name in file.files}
    assert {entry.dtype for entry in entries.values()} == {np.dtype(np.uint8)}
    header = json.loads(entries["header"].tobytes())
    assert header["meta"] == read_meta(path) == {"note": "ü"}
    assert (header["format"], header["version"], header["jax"]) == ("snnx-checkpoint", 1, jax.__version__)
    # The leaves are named by their paths, and lie there as plain bytes in the order of the header.
    number = header["order"].index("['single']")
    assert header["leaves"]["['single']"] == {"dtype": "float32", "shape": [3, 2]}
    stored = np.frombuffer(entries[f"leaf_{number}"].tobytes(), np.float32).reshape(3, 2)
    np.testing.assert_array_equal(stored, tree["single"])


class Holder(eqx.Module):
    """A module with a static field whose text holds the address of an object."""

    weight: jax.Array
    choice: object = eqx.field(static=True)


class Choice:
    pass


def test_addresses_are_no_part_of_a_structure(tmp_path):
    kept = [Choice() for _ in range(2)]
    assert repr(kept[0]) != repr(kept[1])
    save_checkpoint(tmp_path / "a.npz", (Holder(jnp.ones(2), kept[0]), kept[0]))
    read = load_checkpoint(tmp_path / "a.npz", (Holder(jnp.zeros(2), kept[1]), kept[1]))
    np.testing.assert_array_equal(read[0].weight, [1.0, 1.0])


# What is refused


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.npz"
    save_checkpoint(path, {"a": jnp.arange(40.0), "b": jnp.arange(3)}, {"epoch": 1})
    return path


LIKE = {"a": np.zeros(40, np.float32), "b": np.zeros(3, np.int32)}


def test_a_file_cut_short_anywhere_is_refused(small_file):
    content = small_file.read_bytes()
    assert_same_bits(load_checkpoint(small_file, LIKE)["a"], np.arange(40, dtype=np.float32))
    for length in range(len(content)):
        small_file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"\bfile\b"):
            load_checkpoint(small_file, LIKE)


def test_a_changed_byte_is_refused_or_means_nothing(small_file):
    content = small_file.read_bytes()
    expected = {"a": np.arange(40, dtype=np.float32), "b": np.arange(3, dtype=np.int32)}
    with zipfile.ZipFile(small_file) as archive:
        data = {
            info.filename: (info.header_offset + 30 + len(info.filename), info.file_size) for info in archive.infolist()
        }
    payload = {at for start, size in data.values() for at in range(start + 64, start + size)}
    assert len(payload) > 40 * 4
    refused = set()
    for at in range(len(content)):
        small_file.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        try:
            assert_same_bits(load_checkpoint(small_file, LIKE), expected)
            assert read_meta(small_file) == {"epoch": 1}
        except CheckpointError:
            refused.add(at)
    assert payload <= refused
    assert len(refused) > 0.8 * len(content)


def write_npz(path, **entries):
    np.savez(path, **entries)


def header_bytes(header):
    return np.frombuffer(json.dumps(header).encode(), np.uint8)


def test_another_version_says_so(small_file):
    # A later version may have changed anything, the other entries of the header included.
    write_npz(small_file, header=header_bytes({"format": "snnx-checkpoint", "version": 2, "tree": {}}))
    for read in (read_meta, lambda path: load_checkpoint(path, LIKE)):
        with pytest.raises(CheckpointError, match=r"\bversion 2\b"):
            read(small_file)


def test_a_header_that_was_edited_is_refused(small_file):
    with np.load(small_file) as file:
        entries = {name: file[name] for name in file.files}
    header = json.loads(entries["header"].tobytes())
    header["leaves"]["['a']"]["shape"] = [20, 2]
    write_npz(small_file, **(entries | {"header": header_bytes(header)}))
    with pytest.raises(CheckpointError, match=r"small.npz"):
        load_checkpoint(small_file, {"a": np.zeros((20, 2), np.float32), "b": np.zeros(3, np.int32)})
    header["leaves"]["['a']"]["shape"] = [40]
    for missing in ("leaves", "version", "structure", "order", "meta"):
        write_npz(small_file, **(entries | {"header": header_bytes({k: v for k, v in header.items() if k != missing})}))
        with pytest.raises(CheckpointError, match=r"small.npz"):
            read_meta(small_file)
    write_npz(small_file, **{name: entry for name, entry in entries.items() if name != "leaf_1"})
    with pytest.raises(CheckpointError, match=r"small.npz"):
        load_checkpoint(small_file, LIKE)
    write_npz(small_file, **entries)
    load_checkpoint(small_file, LIKE)


class Dangerous:
    """Unpickling it would leave a mark."""

    loaded = False

    def __reduce__(self):
        return setattr, (Dangerous, "loaded", True)


def other_files():
    npy, objects, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(3.0))
    np.savez(objects, header=np.array([Dangerous()], dtype=object), allow_pickle=True)
    np.savez(archive, weights=np.arange(3.0))
    plain_zip, foreign, odd = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(plain_zip, "w") as file:
        file.writestr("header", "{}")
    np.savez(foreign, header=header_bytes({"format": "another", "version": 1}))
    np.savez(odd, header=header_bytes([1, 2]))
    return {
        "empty": b"",
        "text": b"epoch,loss\n1,0.5\n",
        "pickle": pickle.dumps(Dangerous()),
        "pickled array in an archive": objects.getvalue(),
        "array": npy.getvalue(),
        "archive of arrays": archive.getvalue(),
        "zip": plain_zip.getvalue(),
        "another format": foreign.getvalue(),
        "a list": odd.getvalue(),
    }


@pytest.mark.parametrize("kind", other_files())
def test_what_is_no_checkpoint_is_refused(kind, tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(other_files()[kind])
    for read in (read_meta, lambda path: load_checkpoint(path, LIKE)):
        with pytest.raises(CheckpointError, match=r"file.npz"):
            read(path)
    assert not Dangerous.loaded


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.npz", LIKE)
    with pytest.raises(FileNotFoundError):
        read_meta(tmp_path / "none.npz")
    with pytest.raises(OSError, match=tmp_path.name):
        read_meta(tmp_path)


def sine(x):
    return jnp.sin(x)


def cosine(x):
    return jnp.cos(x)


LEARNED = {"tau": jnp.full(HIDDEN, TAU)}


@pytest.mark.parametrize(
    ("saved", "given", "message"),
    [
        ({}, LEARNED, r"\.layers\[1\]\.tau is 4.0 in the file, but float32\[7\] in the model given"),
        (LEARNED, {"tau": jnp.asarray(TAU)}, r"\.layers\[1\]\.tau is float32\[7\] in the file, but float32\[\] in"),
        ({}, {"tau": 5.0}, r"\.layers\[1\]\.tau is 4.0 in the file, but 5.0 in the model given"),
        (LEARNED, {"tau": snnx.Positive(jnp.full(HIDDEN, TAU))}, r"\.layers\[1\]\.tau:class is absent in the file"),
        (
            {},
            {"surrogate": snnx.surrogates.SuperSpike(2.0)},
            r"\.layers\[1\]\.surrogate:class is ATan in the file, but SuperSpike",
        ),
        ({}, {"surrogate": snnx.surrogates.ATan(3.0)}, r"\.layers\[1\]\.surrogate\.slope is 2.0 in the file, but 3.0"),
        ({"between": (sine,)}, {"between": (cosine,)}, r"\.layers\[2\] is sine in the file, but cosine in the model"),
        ({"between": (sine,)}, {}, r"\.layers\[2\]:class is absent in the file, but Linear in the model"),
        (
            {"between": (eqx.nn.Dropout(0.1),)},
            {"between": (eqx.nn.Dropout(0.1, inference=True),)},
            r"\.layers\[2\]\.inference is False in the file, but True in the model given",
        ),
    ],
)
def test_another_model_is_refused_by_path(saved, given, message, tmp_path):
    save_checkpoint(tmp_path / "model.npz", make_model(**saved))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "model.npz", make_model(**given))


@pytest.mark.parametrize(
    ("saved", "given", "message"),
    [
        (snnx.LIF(dt=1.0), snnx.LIF(dt=0.5), r"\.dt is 1.0 in the file, but 0.5"),
        (snnx.LIF(refractory=1), snnx.LIF(refractory=2), r"\.refractory is 1 in the file, but 2"),
        (snnx.LIF(), snnx.LIF(method="euler"), r"\.method is 'exponential' in the file, but 'euler'"),
        (snnx.LIF(), snnx.IF(), r":class is LIF in the file, but IF"),
        ([jnp.zeros(2)], [jnp.zeros(2, jnp.bfloat16)], r"\[0\] is float32\[2\] in the file, but bfloat16\[2\]"),
        ([jnp.zeros(2)], [jnp.zeros(2, jnp.int32)], r"\[0\] is float32\[2\] in the file, but int32\[2\]"),
        (
            {"k": jax.random.key(0)},
            {"k": jax.random.key(0, impl="rbg")},
            r"\['k'\] is a key \(.*\) in .* a key \(rbg\)",
        ),
        ({"k": jax.random.key(0)}, {"k": jnp.zeros(2, jnp.uint32)}, r"\['k'\] is a key \(.*\) in .*, but uint32\[2\]"),
        (
            {"a": jnp.zeros(2)},
            {"b": jnp.zeros(2)},
            r"\['b'\] is absent in the file, but float32\[2\] in the model given",
        ),
        ({"a": jnp.zeros(2), "b": 1}, {"a": jnp.zeros(2)}, r"\['b'\] is 1 in the file, but absent in the model given"),
    ],
)
def test_another_structure_is_refused_by_path(saved, given, message, tmp_path):
    save_checkpoint(tmp_path / "tree.npz", saved)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "tree.npz", given)


# Writing


def no_space(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["replace", "fsync"])
@pytest.mark.parametrize("failure", [no_space, interrupted])
def test_a_write_that_fails_leaves_the_old_file(where, failure, small_file, monkeypatch):
    before = small_file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, where, failure)
        with pytest.raises((OSError, KeyboardInterrupt)):
            save_checkpoint(small_file, {"a": jnp.ones(40), "b": jnp.arange(3)})
        with pytest.raises((OSError, KeyboardInterrupt)):
            save_checkpoint(small_file.with_name("new.npz"), {"a": jnp.ones(40)})
    assert small_file.read_bytes() == before
    assert [path.name for path in small_file.parent.iterdir()] == ["small.npz"]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"not JSON serializable"):
        save_checkpoint(tmp_path / "a.npz", {"a": jnp.ones(2)}, {"x": object()})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"[Ff]ile|directory"):
        save_checkpoint(tmp_path / "file" / "a.npz", {"a": jnp.ones(2)})


def test_files_are_as_readable_as_any_other(tmp_path):
    save_checkpoint(tmp_path / "new" / "folder" / "a.npz", {"a": jnp.ones(2)})
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE((tmp_path / "new/folder/a.npz").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


# Going on


@pytest.fixture
def quick(monkeypatch):
    """One step a segment; and what is written need not survive a power cut, for which a disk may take long."""
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 1e-9)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Interrupt(AbstractCallback):
    """An interrupt (or power cut) when so many steps of so many epochs are done."""

    def __init__(self, epoch, position):
        self.place = (epoch, position)

    def after_segment(self, snapshot):
        if (int(snapshot.state.epoch), int(snapshot.state.position)) == self.place:
            raise KeyboardInterrupt

    after_epoch = after_segment


def without_times(history):
    return [{name: value for name, value in record.items() if "second" not in name} for record in history]


def settings(**other):
    """A run with everything that a state holds: random layers, a validation, an optimiser with a schedule."""
    return {
        "model": make_model(between=(eqx.nn.Dropout(0.3),)),
        "optimizer": optax.adam(optax.cosine_decay_schedule(3e-2, 20)),
        "validation": make_data(10, seed=3),
        "epochs": 4,
    } | other


PLACES = [(0, 1), (1, 0), (2, 1), (3, 2), (4, 0)]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(place, tmp_path, quick):
    path = tmp_path / "checkpoint.npz"
    whole = fit(**settings())
    with pytest.raises(KeyboardInterrupt):
        fit(**settings(), callbacks=[snnx.Checkpoint(path, every=0.0), Interrupt(*place)])
    # Everything is made anew, as in another process.
    resumed = fit(**settings(), callbacks=[snnx.Checkpoint(path, every=0.0)], resume=path)
    assert_same_bits(resumed.state, whole.state)
    assert_same_bits(resumed.model, whole.model)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.best_epoch == whole.best_epoch
    assert_same_bits(load_checkpoint(path, whole.state), whole.state)
    assert json.loads(json.dumps(read_meta(path)["history"])) == list(resumed.history)


def test_the_place_within_an_epoch_is_resumed_and_not_run_again(tmp_path, quick):
    path, places = tmp_path / "checkpoint.npz", []

    class Place(AbstractCallback):
        def after_segment(self, snapshot):
            places.append((int(snapshot.state.epoch), int(snapshot.state.position)))

    with pytest.raises(KeyboardInterrupt):
        fit(**settings(), callbacks=[snnx.Checkpoint(path, every=0.0), Interrupt(1, 1)])
    fit(**settings(epochs=2), callbacks=[Place()], resume=path)
    assert places == [(1, 2)]


def test_a_resumed_run_stops_early_where_it_would_have(tmp_path, monkeypatch, quick):
    losses = [3.0, 2.0, 2.5, 2.2, 1.0, 0.5]

    def script():
        left = iter(losses)
        return lambda *arguments: scored(next(left))

    def callbacks(path):
        return [snnx.Checkpoint(path, every=0.0), snnx.EarlyStopping(2)]

    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", script())
    whole = fit(**settings(epochs=6), callbacks=callbacks(tmp_path / "whole.npz"))
    assert (len(whole.history), whole.best_epoch) == (4, 2)
    scores = script()
    monkeypatch.setattr("snnx.train._scoring.Scoring.__call__", scores)
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(**settings(epochs=6), callbacks=[*callbacks(path), Interrupt(3, 0)])
    resumed = fit(**settings(epochs=6), callbacks=callbacks(path), resume=path)
    again = fit(**settings(epochs=6), callbacks=callbacks(path), resume=path)
    for run in (resumed, again):
        assert without_times(run.history) == without_times(whole.history)
        assert_same_bits(run.state, whole.state)
        assert_same_bits(run.model, whole.model)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"key": jax.random.key(8)}, "key"),
        ({"key": jax.random.key(7, impl="rbg")}, "key"),
        ({"batch_size": 7}, "batch_size"),
        ({"data": make_data(22)}, "examples"),
        ({"validation": make_data(9)}, "validation"),
        ({"validation": None}, "validation"),
        ({"model": make_model()}, "model"),
        ({"optimizer": optax.sgd(0.1)}, "optimizer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_run_is_refused(other, name, tmp_path, quick):
    path = tmp_path / "checkpoint.npz"
    fit(**settings(epochs=1), callbacks=[snnx.Checkpoint(path)])
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"\b{name}\b"):
        fit(**(settings(epochs=2) | other), callbacks=[snnx.Checkpoint(path)], resume=path)
    assert path.read_bytes() == before


def test_a_missing_or_damaged_checkpoint_is_no_start(tmp_path, quick):
    with pytest.raises(FileNotFoundError):
        fit(**settings(), resume=tmp_path / "none.npz")
    path = tmp_path / "checkpoint.npz"
    fit(**settings(epochs=1), callbacks=[snnx.Checkpoint(path)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"checkpoint.npz"):
        fit(**settings(), resume=path)


# kill -9

# The command line, but with a checkpoint after every step, so that many are cut short.
PROGRAM = """
import sys
import snnx.cli._train as train
import snnx.train._run
from snnx.cli import main
from snnx.train import Checkpoint
sys.modules["snnx.train._run"].SEGMENT_SECONDS = 1e-9
train.Checkpoint = lambda path, every: Checkpoint(path, every=0.0)
sys.exit(main(["train", "--no-pictures", "--quiet", *sys.argv[1:]]))
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def wait_for_writes(path, count, process):
    """Until the file has been replaced so many times, or the process is done."""
    seen, changes, begin = None, -1, time.monotonic()
    while changes < count and process.poll() is None and time.monotonic() - begin < 120:
        now = path.stat().st_mtime_ns if path.exists() else None
        changes, seen = changes + (now != seen), now
        time.sleep(0.001)


def leaves_of(path):
    """The arrays of a checkpoint, what they are called, and the figures of the epochs, whatever their times."""
    with np.load(path, allow_pickle=False) as file:
        entries = {name: file[name].tobytes() for name in file.files}
    header = json.loads(entries.pop("header"))
    return entries, header["leaves"], without_times(header["meta"].get("history", []))


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    flags = ("digits", "--steps", 2, "--hidden", 8, "--epochs", 6, "--run")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(*flags, whole)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error.decode()
    rng, epochs = random.Random(0), []
    for attempt in range(4):
        process = start("--resume", killed) if attempt else start(*flags, killed)
        wait_for_writes(killed / "checkpoint.npz", rng.randrange(10, 30) if attempt else 0, process)
        time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, error.decode()
        epochs.append(len(read_meta(killed / "checkpoint.npz")["history"]))
    assert epochs == sorted(epochs)
    assert 0 < epochs[-1] < 6
    process = start("--resume", killed)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error.decode()
    for name in ("model.npz", "checkpoint.npz"):
        assert leaves_of(killed / name) == leaves_of(whole / name)
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (killed, whole)]
    assert without_times(logs[0]) == without_times(logs[1])
    assert len(logs[0]) == 6
    assert (killed / "test.json").read_text() == (whole / "test.json").read_text()


def test_a_path_that_is_none_is_named(tmp_path):
    model, none = make_model(), tmp_path / "none.npz"
    with pytest.raises(FileNotFoundError, match=rf"^{none}\b"):
        load_checkpoint(none, model)
    with pytest.raises(IsADirectoryError, match=rf"{tmp_path}\b"):
        load_checkpoint(tmp_path, model)
    with pytest.raises(IsADirectoryError, match=rf"{tmp_path}\b"):
        save_checkpoint(tmp_path, model)
    for call in (lambda: load_checkpoint(3, model), lambda: save_checkpoint(3, model), lambda: read_meta(3)):
        with pytest.raises(TypeError, match=r"\bpath\b"):
            call()


def test_the_model_is_read_out_of_a_training_state(tmp_path):
    path = tmp_path / "run.npz"
    result = fit(epochs=3, validation=make_data(9, seed=3), callbacks=[Checkpoint(path)])
    model = make_model()
    with pytest.raises(CheckpointError, match=r"\bmodel\b"):
        load_checkpoint(path, model)
    assert_same_bits(load_checkpoint(path, model, part=".model"), result.state.model)
    best = load_checkpoint(path, model, part=".best")
    assert_same_bits(eqx.nn.inference_mode(best), result.model)
    with pytest.raises(CheckpointError, match=r"'.params'"):
        load_checkpoint(path, model, part=".params")
    with pytest.raises(CheckpointError, match=r"\.layers"):
        load_checkpoint(path, make_model(between=(eqx.nn.Dropout(0.1),)), part=".model")
    fit(epochs=1, callbacks=[Checkpoint(path)])
    with pytest.raises(CheckpointError, match=r"'.best'"):
        load_checkpoint(path, model, part=".best")


def test_a_file_that_cannot_be_written_is_the_one_that_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "run.npz"
    for call in (
        lambda: save_checkpoint(path, make_model()),
        lambda: fit(epochs=1, callbacks=[Checkpoint(path)]),
        lambda: fit(epochs=1, callbacks=[LogFile(path)]),
    ):
        with pytest.raises(OSError, match="run.npz") as caught:
            call()
        assert caught.value.filename == str(path)
