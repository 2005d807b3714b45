"""Recorded data sets: what is damaged, missing or misspelt is named, with its place; a damaged copy is made anew."""

import errno
import gc
import io
import os
import re
import sys
import urllib.error

import numpy as np
import pytest
import recordings as files

import snnx
from snnx._errors import DataError, MissingExtraError
from snnx.data.recorded._files import read_cached

QUIET = {"progress": False, "download": False}
PLAIN = {**QUIET, "cache": False}
SPOKEN = {"labels": [0, 1, 1], "speakers": [3, 3, 5], "keys": ["zero", "one"]}
TIMES = [[0.1, 0.2], [], [0.0, 0.5, 0.75]]
SPIKES = [[5, 699], [], [0, 1, 2]]
EVENTS = [[10, 1, 3, 4], [20, 0, 33, 33], [300, 1, 0, 0]]


def write_spoken(path, times=TIMES, units=SPIKES, **others):
    pytest.importorskip("h5py")
    files.write_heidelberg(path, times, units, **(SPOKEN | others))
    return path


def write_digits(root, some=(EVENTS, EVENTS[:1])):
    for i, events in enumerate(some):
        files.write_address_events(root / f"NMNIST/Train/{i}/a.bin", events)
    return root / "NMNIST/Train/1/a.bin"


def refused(message, load, *args, error=DataError, **settings):
    with pytest.raises(error, match=message) as caught:
        load(*args, **settings)
    return str(caught.value)


# HDF5


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_file_is_named(share, tmp_path):
    path = write_spoken(tmp_path / "SHD/shd_train.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = refused("HDF5", snnx.data.shd, tmp_path, **QUIET)
    assert str(path) in message
    assert not list(tmp_path.rglob(".snnx*"))


@pytest.mark.parametrize(
    ("instead", "named"),
    [
        ({"spikes/times": None}, "spikes/times"),
        ({"labels": None, "extra/keys": None}, "labels, extra/keys"),
        ({"labels": [0, 1]}, "'labels': 2"),
        ({"extra/speaker": [0, 1, 2, 3]}, "'extra/speaker': 4"),
        ({"spikes/times": np.zeros((3, 2), np.float16)}, "spikes/times of float16"),
        ({"spikes/units": [1, 2, 3]}, "spikes/units of int64"),
    ],
)
def test_entries_of_another_kind(instead, named, tmp_path):
    path = write_spoken(tmp_path / "SHD/shd_train.h5", instead=instead)
    assert str(path) in refused(named, snnx.data.shd, tmp_path, **QUIET)


@pytest.mark.parametrize(
    ("times", "units", "named"),
    [
        ([[0.1, 0.2], [], [0.5]], SPIKES, r"recording 2 of .*shd_train.h5 has 1 times.*\b3 units"),
        (TIMES, [[5, 699], [], [0, 700, 900]], "recording 2 of .*unit 700"),
        ([[0.1, np.nan], [], TIMES[2]], SPIKES, "recording 0 of .*, event 1: time is nan"),
        ([TIMES[0], [], [0.0, -0.5, 0.1]], SPIKES, "recording 2 of .*, event 1: time is -0.5"),
        ([TIMES[0], [], [0.0, 0.5, np.inf]], SPIKES, "recording 2 of .*, event 2: time is inf"),
    ],
)
def test_spikes_that_cannot_be(times, units, named, tmp_path):
    write_spoken(tmp_path / "SHD/shd_train.h5", times, units)
    refused(named, snnx.data.shd, tmp_path, **QUIET)


def test_the_recording_is_counted_through_all_batches(tmp_path):
    units = [[1]] * 300
    units[299] = [800]
    labels = {"labels": [0] * 300, "speakers": [0] * 300}
    write_spoken(tmp_path / "SHD/shd_train.h5", [[0.5]] * 300, units, **labels)
    refused(r"recording 299 of .* unit 800", snnx.data.shd, tmp_path, **QUIET)
    write_spoken(tmp_path / "SHD/shd_train.h5", [[0.5]] * 299 + [[-1.0]], [[1]] * 300, **labels)
    refused(r"recording 299 of .*, event 0: time is -1.0", snnx.data.shd, tmp_path, **QUIET)


def test_times_that_go_back_are_counted(tmp_path):
    write_spoken(tmp_path / "SHD/shd_train.h5", [[0.2, 0.1], [], [0.5, 0.75, 0.25]])
    for cache in (False, True, True):  # not kept, kept, and loaded
        with pytest.warns(UserWarning, match=r"shd: .*\b2 of 3 recordings\b.*\brecording 0 of .*h5"):
            data = snnx.data.shd(tmp_path, layout="floats", cache=cache, **QUIET)
        where = [[0, 10, 699], [0, 20, 5], [2, 25, 2], [2, 50, 0], [2, 75, 1]]  # 0.1 as a half is less
        where[0][1] = int(np.floor(float(np.float16(0.1)) * 100))
        where[1][1] = int(np.floor(float(np.float16(0.2)) * 100))
        np.testing.assert_array_equal(np.argwhere(np.asarray(data.inputs.values)), where)


def test_a_label_that_has_no_name(tmp_path):
    write_spoken(tmp_path / "SHD/shd_train.h5", labels=[0, 1, 2])
    refused(r"shd: .*\btargets\b", snnx.data.shd, tmp_path, error=ValueError, **QUIET)


def test_a_file_is_closed_whatever_happens(tmp_path):
    h5py = pytest.importorskip("h5py")

    def still_open():
        gc.collect()
        return len(h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE))

    before = still_open()
    path = write_spoken(tmp_path / "SHD/shd_train.h5")
    snnx.data.shd(tmp_path, **PLAIN)
    assert still_open() == before
    kept = []  # an error that is kept keeps its frames
    for times, others in (
        ([[-1.0], [], [1.0]], {}),
        (TIMES, {"labels": [1]}),
        (TIMES, {"instead": {"spikes/times": None}}),
    ):
        write_spoken(path, times, [[1], [], [1]] if times is not TIMES else SPIKES, **others)
        with pytest.raises(DataError) as caught:
            snnx.data.shd(tmp_path, **PLAIN)
        kept.append(caught.value)
        assert still_open() == before


# Cameras


@pytest.mark.parametrize("name", ["nmnist", "ncaltech101"])
def test_a_file_that_ends_within_an_event(name, tmp_path):
    path = tmp_path / {"nmnist": "NMNIST/Train/3", "ncaltech101": "NCALTECH101/Caltech101/ant"}[name] / "a.bin"
    files.write_address_events(path, EVENTS)
    path.write_bytes(path.read_bytes()[:-2])
    message = rf"{name}: {re.escape(str(path))} has 13 bytes"
    refused(message, getattr(snnx.data, name), tmp_path, **QUIET)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([5, 0, 34, 2], r"event 3: y is 34"),
        ([5, 0, 33, 200], r"event 3: x is 200"),
    ],
)
def test_an_event_beside_the_sensor(event, message, tmp_path):
    path = write_digits(tmp_path, (EVENTS, [*EVENTS, event]))
    refused(rf"nmnist: {re.escape(str(path))}, {message}", snnx.data.nmnist, tmp_path, **QUIET)


def test_folders_of_another_name(tmp_path):
    files.write_address_events(tmp_path / "NMNIST/Train/10/a.bin", EVENTS)
    refused(r"nmnist: .*Train\b.*'10'", snnx.data.nmnist, tmp_path, **QUIET)
    files.write_matlab(tmp_path / "ASLDVS/letters A/a.mat", EVENTS)
    refused(r"asldvs: .*'A'", snnx.data.asldvs, tmp_path, **QUIET)
    files.write_aedat4(tmp_path / "CIFAR10DVS/plane/a.aedat4", [(0, EVENTS)])
    refused(r"cifar10dvs: .*'plane'", snnx.data.cifar10dvs, tmp_path, **QUIET)
    gestures = tmp_path / "DVSGesture/ibmGestureTrain"
    for name in ("userA_lab/1.npy", "user01_lab/11.npy", "user01_lab/wave.npy"):
        files.write_gesture(gestures / name, EVENTS)
        message = rf"dvs_gesture: .*{name}\b"
        refused(message, snnx.data.dvs_gesture, tmp_path, **QUIET)
        (gestures / name).unlink()


def save(path, array, **others):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, **others)


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((3, 5)), r"float64\[3, 5\]"),
        (np.zeros(4), r"float64\[4\]"),
        (np.zeros((2, 4), "S3"), r"\|S3\[2, 4\]"),
        (np.array([[1, 2, 0, 1.0], [128, 2, 0, 1]]), "event 1: x is 128.0"),
        (np.array([[1, 2, 2, 1.0]]), "event 0: polarity is 2.0"),
        (np.array([[1, 2.5, 1, 1.0]]), "event 0: y is 2.5"),
        (np.array([[1, np.nan, 1, 1.0]]), "event 0: y is nan"),
        (np.array([[1, 2, 1, np.nan]]), "event 0: time is nan"),
        (np.array([[1, 2, 1, -3]]), "event 0: time is -3000.0"),
        (np.array([[None] * 4]), ".npy"),
    ],
)
def test_an_array_of_another_kind(array, named, tmp_path):
    path = tmp_path / "DVSGesture/ibmGestureTrain/user01_lab/1.npy"
    save(path, array, allow_pickle=True)
    save(path.with_name("0.npy"), np.array([[1, 2, 1, 5.0]]))
    refused(rf"dvs_gesture: {re.escape(str(path))}\b.*{named}", snnx.data.dvs_gesture, tmp_path, **QUIET)


def test_a_damaged_array(tmp_path):
    path = tmp_path / "DVSGesture/ibmGestureTrain/user01_lab/1.npy"
    files.write_gesture(path, EVENTS)
    content = path.read_bytes()
    archive = io.BytesIO()
    np.savez(archive, content)
    for damaged in (b"", content[:5], content[:100], content[:-1], b"PK\3\4" + content, archive.getvalue()):
        path.write_bytes(damaged)
        refused(r"dvs_gesture: .*1.npy\b", snnx.data.dvs_gesture, tmp_path, **QUIET)


def test_matlab_files_of_another_kind(tmp_path):
    io_ = pytest.importorskip("scipy.io")
    path = tmp_path / "ASLDVS/b/b_0001.mat"
    files.write_matlab(path, EVENTS)
    content = path.read_bytes()
    for damaged in (b"", content[:60], content[: len(content) - 20]):
        path.write_bytes(damaged)
        refused(r"asldvs: .*b_0001.mat\b", snnx.data.asldvs, tmp_path, **QUIET)
    good = {"ts": [[1], [2]], "x": [[1], [2]], "y": [[1], [2]], "pol": [[1], [0]]}
    io_.savemat(path, {name: values for name, values in good.items() if name != "pol"})
    refused(r"asldvs: .*b_0001.mat\b.*'pol'", snnx.data.asldvs, tmp_path, **QUIET)
    io_.savemat(path, good | {"x": [[1]]})
    refused(r"b_0001.mat\b.*\[2, 2, 2, 1\]", snnx.data.asldvs, tmp_path, **QUIET)
    io_.savemat(path, good | {"y": [[1], [180]]})
    refused(r"b_0001.mat, event 1: y is -1.0", snnx.data.asldvs, tmp_path, **QUIET)
    io_.savemat(path, good | {"pol": [[1], [-1]]})
    refused(r"b_0001.mat, event 1: polarity is -1", snnx.data.asldvs, tmp_path, **QUIET)


def test_damaged_aedat4(tmp_path, capfd):
    pytest.importorskip("aedat")
    path = tmp_path / "CIFAR10DVS/cat/a.aedat4"
    files.write_aedat4(path, [(0, EVENTS)])
    content = path.read_bytes()
    assert len(snnx.data.cifar10dvs(tmp_path, **PLAIN)) == 1
    root = bytearray(content)
    root[18] = 255  # makes the decoder panic, which is no Exception
    for damaged in (b"", b"#!AER-DAT3.1\r\n" + content[14:], content[:-3], bytes(root)):
        path.write_bytes(damaged)
        refused(r"cifar10dvs: .*cat/a.aedat4\b", snnx.data.cifar10dvs, tmp_path, **PLAIN)
    files.write_aedat4(path, [], kinds=("TRIG",))
    refused(r"cifar10dvs: .*a.aedat4\b.*\bevents\b", snnx.data.cifar10dvs, tmp_path, **PLAIN)
    capfd.readouterr()  # the decoder prints its panic


def test_pictures_of_another_kind(tmp_path):
    def load():
        return snnx.data.smnist(tmp_path, **QUIET)

    images, labels = (tmp_path / f"smnist/train-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    files.write_pictures(tmp_path / "smnist", "train", np.zeros((2, 28, 28)), [1, 2])
    whole = images.read_bytes()
    for damaged in (
        b"",
        whole[:7],
        whole[:-1],
        whole + b"\0",
        b"\0\0\x08\x01" + whole[4:],
        b"\0\0\x0d\x03" + whole[4:],
    ):
        images.write_bytes(damaged)
        refused(rf"smnist: {re.escape(str(images))}\b", load)
    images.write_bytes(whole)
    labels.write_bytes(files.idx_bytes(np.zeros(3, np.uint8)))
    refused(r"\[2, 28, 28\], train-labels-idx1-ubyte 3", load)
    images.write_bytes(files.idx_bytes(np.zeros((3, 28, 27), np.uint8)))
    refused(r"\[3, 28, 27\]", load)
    labels.write_bytes(files.idx_bytes(np.array([1, 10], np.uint8)))
    images.write_bytes(whole)
    refused(r"smnist: .*\btargets\b", load, error=ValueError)


# Names and numbers


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("shd", {"split": "tran"}, ValueError),
        ("shd", {"split": "valid"}, ValueError),
        ("ssc", {"split": None}, ValueError),
        ("nmnist", {"split": "Test"}, ValueError),
        ("nmnist", {"layout": "count"}, ValueError),
        ("nmnist", {"layout": None}, ValueError),
        ("nmnist", {"cache": 1}, TypeError),
        ("nmnist", {"dt": 0}, ValueError),
        ("nmnist", {"dt": float("nan")}, ValueError),
        ("nmnist", {"num_steps": 0}, ValueError),
        ("nmnist", {"num_steps": 30.0}, TypeError),
        ("nmnist", {"size": (35, 34)}, ValueError),
        ("nmnist", {"size": (0, 34)}, ValueError),
        ("nmnist", {"size": (34, 34, 1)}, ValueError),
        ("nmnist", {"size": 17}, TypeError),
        ("nmnist", {"polarities": 3}, ValueError),
        ("nmnist", {"polarities": True}, TypeError),
        ("shd", {"channels": 701}, ValueError),
        ("shd", {"channels": 0}, ValueError),
        ("smnist", {"channels": 98}, ValueError),
        ("fsdd", {"split": "valid"}, ValueError),
        ("fsdd", {"code": snnx.audio.Cochlea}, TypeError),
    ],
)
def test_what_is_asked_for_is_checked(name, arguments, error, tmp_path):
    write_digits(tmp_path)
    settings = {"download": False, "progress": False} | arguments
    refused(rf"{name}: {next(iter(arguments))}\b", getattr(snnx.data, name), tmp_path, error=error, **settings)


@pytest.mark.parametrize("name", ["nmnist", "shd", "smnist", "fsdd", "from_audio"])
def test_an_option_that_does_not_exist_is_named_with_the_one_that_does(name, tmp_path):
    refused(rf"{name}: .*'binarise'.*'binarize'", getattr(snnx.data, name), tmp_path, error=TypeError, binarise=True)


def test_numbers_of_numpy_are_taken(tmp_path):
    write_digits(tmp_path)
    settings = {"num_steps": np.int64(3), "dt": np.float64(0.01), "size": np.array([17, 17]), "polarities": np.int8(1)}
    data = snnx.data.nmnist(tmp_path, cache=np.bool_(False), **settings, **QUIET)
    assert (data.num_steps, data.sample_shape, data.dt) == (3, (1, 17, 17), 0.01)


@pytest.mark.parametrize("root", [None, 3, ""])
def test_a_root_is_a_folder(root):
    refused(r"nmnist: root\b", snnx.data.nmnist, root, error=TypeError)


SETS = {
    "shd": ("SHD", "SHD/shd_train.h5"),
    "ssc": ("SSC", "SSC/ssc_train.h5"),
    "nmnist": ("NMNIST", "NMNIST/Train/<digit>/*.bin"),
    "ncaltech101": ("NCALTECH101", "NCALTECH101/Caltech101/<class>/*.bin"),
    "dvs_gesture": ("DVSGesture", "DVSGesture/ibmGestureTrain/user<number>_<lighting>/<class>.npy"),
    "asldvs": ("ASLDVS", "ASLDVS/<letter>/*.mat"),
    "cifar10dvs": ("CIFAR10DVS", "CIFAR10DVS/<class>/*.aedat4"),
    "smnist": ("SMNIST", "smnist/train-images-idx3-ubyte"),
}


@pytest.mark.parametrize("name", sorted(SETS))
def test_files_that_are_not_there(name, tmp_path, monkeypatch):
    theirs, place = SETS[name]
    load = getattr(snnx.data, name)
    missing = rf"{name}: there is no files? {re.escape(str(tmp_path / place))}"
    refused(rf"{missing}.*\bdownload=True\b", load, tmp_path, error=FileNotFoundError, download=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tonic", None)
        patch.setitem(sys.modules, "tonic.datasets", None)
        message = rf"{name}: .*'tonic'.*'snnx\[data\]'"
        refused(message, load, tmp_path, error=MissingExtraError)
    datasets = pytest.importorskip("tonic.datasets")

    def unreachable(**_):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(datasets, theirs, unreachable)
    message = rf"{missing}.*\bURLError: <urlopen error no route>"
    refused(message, load, tmp_path, error=FileNotFoundError)
    monkeypatch.setattr(datasets, theirs, lambda **_: None)
    refused(r"\btonic\b", load, tmp_path, error=FileNotFoundError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "package"), [("shd", "h5py"), ("cifar10dvs", "aedat")])
def test_readers_that_are_not_installed(name, package, tmp_path, monkeypatch):
    path = tmp_path / {"shd": "SHD/shd_train.h5", "cifar10dvs": "CIFAR10DVS/cat/a.aedat4"}[name]
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{name}: .*'{package}'.*'snnx\[data\]'"
    refused(message, getattr(snnx.data, name), tmp_path, error=MissingExtraError, **QUIET)


# What was kept


def kept(root):
    (path,) = root.rglob(".snnx/*")
    return path


def counts_of(root, **others):
    return np.asarray(snnx.data.nmnist(root, **({"layout": "counts"} | others), **QUIET).inputs.values)


def test_a_changed_byte_anywhere_is_seen_or_changes_nothing(tmp_path):
    write_digits(tmp_path)
    counts_of(tmp_path)
    path = kept(tmp_path)
    content = path.read_bytes()
    header, arrays = read_cached(path)
    rng = np.random.default_rng(0)
    seen = 0
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            other_header, others = read_cached(path)
        except Exception:
            seen += 1
            continue
        assert other_header == header
        assert list(others) == list(arrays)
        for name, values in arrays.items():
            assert others[name].dtype == values.dtype
            np.testing.assert_array_equal(others[name], values)
    assert seen > 0.7 * len(content)


def test_what_is_damaged_is_made_anew(tmp_path):
    many = [[20 * i, 0, i % 34, i // 100] for i in range(3000)]
    write_digits(tmp_path, (many, EVENTS[:1]))
    expected = counts_of(tmp_path)
    path = kept(tmp_path)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 4
    shorter = content.replace(b"(3001,)", b"(1001,)")  # an array that says it is a third of what it is
    assert shorter != content
    for damaged in (b"", content[:40], content[:-1], bytes(flipped), b"no archive", shorter):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=rf"{re.escape(str(path))}\b"):
            np.testing.assert_array_equal(counts_of(tmp_path), expected)
        assert kept(tmp_path).stat().st_size == len(content)
        np.testing.assert_array_equal(counts_of(tmp_path), expected)


def no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_written(file, **_):
    file.write(b"PK")
    no_room()


@pytest.mark.parametrize(("where", "what"), [("os.fsync", no_room), ("numpy.savez", half_written)])
def test_a_full_disk_costs_only_the_copy(where, what, tmp_path, monkeypatch):
    write_digits(tmp_path)
    expected = counts_of(tmp_path, cache=False)
    with monkeypatch.context() as patch:
        patch.setattr(where, what)
        with pytest.warns(UserWarning, match=r"\.npz\b.*\bNo space left on device\b.*\bcache=False\b"):
            np.testing.assert_array_equal(counts_of(tmp_path), expected)
    assert list(tmp_path.rglob(".snnx/*")) == list(tmp_path.rglob("*.part")) == []
    np.testing.assert_array_equal(counts_of(tmp_path), expected)
    assert kept(tmp_path).suffix == ".npz"


def test_a_folder_that_cannot_be_written_to_costs_only_the_copy(tmp_path, monkeypatch):
    last = write_digits(tmp_path)
    expected = counts_of(tmp_path, cache=False)
    real = os.mkdir

    def locked(path, *others, **more):
        if os.fspath(path).endswith(".snnx"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *others, **more)

    with monkeypatch.context() as patch:
        patch.setattr("os.mkdir", locked)
        with pytest.warns(UserWarning, match=r"\.npz\b.*\bPermission denied\b"):
            np.testing.assert_array_equal(counts_of(tmp_path), expected)
    (last.parents[1] / ".snnx").touch()  # a file in the folder's place
    with pytest.warns(UserWarning, match=r"\.npz\b"):
        np.testing.assert_array_equal(counts_of(tmp_path), expected)
