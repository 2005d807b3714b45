"""Recorded data sets: the events of the files, as tonic reads them, each in its bin; kept beside the data."""

import math
import os
import re
import threading
from fractions import Fraction

import numpy as np
import pytest
import recordings as files

import snnx
from snnx._errors import DataLossWarning
from snnx.data.recorded import _camera, _read
from snnx.inputs import Bits, Counts, EventTable, Floats

QUIET = {"progress": False, "download": False}


def random_events(seed, n, shape, until=300_000):
    """Rows of t (us), p, y, x in the order of time."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, size, n) for size in (2, *shape)]
    return np.stack([np.sort(rng.integers(0, until, n)), *columns], axis=1)


def table(data):
    """Of each example its events, as sorted pairs of step and flat channel."""
    assert isinstance(data.inputs, EventTable)
    starts, steps, channels = (
        np.asarray(x).tolist() for x in (data.inputs.starts, data.inputs.steps, data.inputs.channels)
    )
    found = [list(zip(steps[a:b], channels[a:b], strict=True)) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    assert all(one == sorted(one) for one in found)
    return found


def pairs(events, microseconds, size, sensor, polarities=2):
    """The same of rows of t, p, y, x, event by event."""
    found = []
    for t, p, y, x in np.asarray(events).tolist():
        row, column = y * size[0] // sensor[0], x * size[1] // sensor[1]
        found.append((t // microseconds, ((p if polarities == 2 else 0) * size[0] + row) * size[1] + column))
    return sorted(found)


# Each set: small files of it.


def write_nmnist(root):
    for number, digit in enumerate((0, 0, 3, 9)):
        events = random_events(number, 60, (34, 34)) if number != 1 else []
        files.write_address_events(root / f"NMNIST/Train/{digit}/{number:05d}.bin", events)
        files.write_address_events(root / f"NMNIST/Test/{digit}/{number:05d}.bin", events[:10])


def write_ncaltech101(root):
    for number, name in enumerate(("airplanes", "BACKGROUND_Google", "BACKGROUND_Google", "yin_yang")):
        events = random_events(number, 50, (100 + number, 140)) + np.array([0, 0, 7, 9])
        files.write_address_events(root / f"NCALTECH101/Caltech101/{name}/image_{9 - number:04d}.bin", events)


def write_dvs_gesture(root):
    for number, name in enumerate(
        ("user02_lab/10", "user02_lab/9", "user01_led/0", "user10_led/2", "user02_fluorescent_led/1")
    ):
        events = random_events(number, 50 * (number != 3), (128, 128)) // [1000, 1, 1, 1] * [1000, 1, 1, 1]
        files.write_gesture(root / f"DVSGesture/ibmGestureTrain/{name}.npy", events)
        files.write_gesture(root / f"DVSGesture/ibmGestureTest/{name}.npy", events[-7:], np.int16)


def write_asldvs(root):
    for number, letter in enumerate("ccaz"):
        events = random_events(number, 50 * (number != 2), (180, 240))
        files.write_matlab(root / f"ASLDVS/{letter}/{letter}_{number:04d}.mat", events)


def write_cifar10dvs(root):
    for number, name in enumerate(("truck", "bird", "bird", "airplane")):
        events = random_events(number, 40, (128, 128)) + np.array([10**15, 0, 0, 0])
        others = random_events(number, 5, (128, 128))
        files.write_aedat4(
            root / f"CIFAR10DVS/{name}/{9 - number}.aedat4",
            [(2, others), (1, events[:15]), (2, others), (1, events[15:]), (1, [])],
            kinds=("TRIG", "EVTS", "EVTS"),
        )


def write_smnist(root):
    rng = np.random.default_rng(0)
    pictures = rng.choice([0, 1, 5, 100, 127, 128, 200, 254, 255], (5, 28, 28))
    pictures[1] = 0
    files.write_pictures(root / "smnist", "train", pictures, [5, 0, 9, 1, 1])
    files.write_pictures(root / "smnist", "t10k", pictures[:2], [3, 4])


SPOKEN = {"labels": [1, 0, 2, 1, 2], "speakers": [4, 0, 4, 11, 4], "keys": ["null", "eins", "zwölf".encode()]}


def spoken(seed=0, count=5):
    """Times as halves, and units; the second recording is silent."""
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.random(80 * (i != 1)) * 1.3).astype(np.float16) for i in range(count)]
    units = [rng.integers(0, 700, len(one)).astype(np.uint16) for one in times]
    units[0][:2] = [0, 699]
    return times, units


def write_shd(root, name="shd", splits=("train", "test")):
    for seed, split in enumerate(splits):
        files.write_heidelberg(root / f"{name.upper()}/{name}_{split}.h5", *spoken(seed), **SPOKEN)


def write_ssc(root):
    write_shd(root, "ssc", ("train", "valid", "test"))


WRITERS = {
    name: globals()[f"write_{name}"]
    for name in ("shd", "ssc", "nmnist", "ncaltech101", "dvs_gesture", "asldvs", "cifar10dvs", "smnist")
}
NEEDS = {"shd": "h5py", "ssc": "h5py", "asldvs": "scipy", "cifar10dvs": "aedat"}


def written(name, root):
    pytest.importorskip(NEEDS.get(name, "numpy"))
    WRITERS[name](root)
    return getattr(snnx.data, name)


# As tonic reads them


@pytest.fixture
def tonic_sets(monkeypatch):
    """tonic's classes, who want the whole download in place: they are told that it is."""
    datasets = pytest.importorskip("tonic").datasets
    for name in ("SHD", "SSC", "NMNIST", "NCALTECH101", "DVSGesture", "ASLDVS", "CIFAR10DVS", "SMNIST"):
        monkeypatch.setattr(getattr(datasets, name), "_check_exists", lambda self: True)
    return datasets


def gesture_order(path):
    user, lighting = os.path.basename(os.path.dirname(path)).split("_", 1)
    return int(user[4:]), lighting, int(os.path.basename(path)[:-4])


CAMERAS = [  # set, split, class of tonic and its arguments, sensor, order of the files
    ("nmnist", "train", "NMNIST", {"train": True}, (34, 34), None),
    ("nmnist", "test", "NMNIST", {"train": False}, (34, 34), None),
    ("ncaltech101", None, "NCALTECH101", {}, (180, 240), str),
    ("dvs_gesture", "train", "DVSGesture", {"train": True}, (128, 128), gesture_order),
    ("asldvs", None, "ASLDVS", {}, (180, 240), None),
    ("cifar10dvs", None, "CIFAR10DVS", {}, (128, 128), str),
]


@pytest.mark.parametrize(("name", "split", "theirs", "asked", "sensor", "order"), CAMERAS)
def test_a_camera_gives_the_events_that_tonic_reads(name, split, theirs, asked, sensor, order, tmp_path, tonic_sets):
    load = written(name, tmp_path)
    data = load(tmp_path, *([split] if split else []), dt=1e-6, layout="events", **QUIET)
    reference = getattr(tonic_sets, theirs)(save_to=os.fspath(tmp_path), **asked)  # whom our cache does not disturb
    assert data.sample_shape == (2, *sensor)
    count = len(reference)
    assert len(data) == count >= 4
    # tonic takes the files of N-Caltech101, DVS-Gesture and CIFAR10-DVS in the order that the file system has them in.
    rows = range(count) if order is None else sorted(range(count), key=lambda i: order(reference.data[i]))
    for ours, i in zip(table(data), rows, strict=True):
        events, _ = reference[i]
        columns = [events[field].astype(np.int64).reshape(-1) for field in ("t", "p", "y", "x")]
        if name == "cifar10dvs":  # whose times are of the day
            assert columns[0].min() >= 10**15
            columns[0] -= columns[0].min()
        assert ours == pairs(np.stack(columns, axis=1), 1, sensor, sensor)
    labels = [data.classes.index(reference.targets[i]) if name == "ncaltech101" else reference.targets[i] for i in rows]
    np.testing.assert_array_equal(data.targets, labels)
    if name == "dvs_gesture":
        np.testing.assert_array_equal(data.meta["user"], [reference.users[i] for i in rows])
        lighting = dict(data.meta_names)["lighting"]
        assert [lighting[i] for i in np.asarray(data.meta["lighting"])] == [reference.lighting[i] for i in rows]
    if name == "cifar10dvs":
        assert data.classes == tuple(reference.classes)


@pytest.mark.parametrize(("name", "split"), [("shd", "train"), ("shd", "test"), ("ssc", "valid")])
def test_a_cochlea_gives_the_spikes_that_tonic_reads(name, split, tmp_path, tonic_sets):
    load = written(name, tmp_path)
    asked = {"train": split == "train"} if name == "shd" else {"split": split}
    reference = getattr(tonic_sets, name.upper())(save_to=os.fspath(tmp_path), **asked)
    assert len(reference) == 5
    for microseconds in (1000, 37):  # tonic cuts times to whole microseconds, which no bin of whole ones shows
        data = load(tmp_path, split, dt=microseconds * 1e-6, layout="events", **QUIET)
        for i, ours in enumerate(table(data)):
            events, label = reference[i]
            assert ours == sorted(zip((events["t"] // microseconds).tolist(), events["x"].tolist(), strict=True))
            assert label == data.targets[i]
    np.testing.assert_array_equal(data.meta["speaker"], reference._speaker)
    assert data.classes == tuple(key.decode() for key in reference.classes)
    assert data.sample_shape == (700,)


@pytest.mark.parametrize(
    ("channels", "duplicate", "split"), [(99, True, "train"), (99, False, "test"), (3, True, "train")]
)
def test_pictures_give_the_spikes_that_tonic_makes(channels, duplicate, split, tmp_path, tonic_sets):
    write_smnist(tmp_path)
    reference = tonic_sets.SMNIST(tmp_path, train=split == "train", num_neurons=channels, duplicate=duplicate)
    data = snnx.data.smnist(tmp_path, split, channels=channels, duplicate=duplicate, layout="events", **QUIET)
    assert len(data) == len(reference)
    for i, ours in enumerate(table(data)):
        events, label = reference[i]
        assert ours == sorted(zip((events["t"] // 1000).tolist(), events["x"].tolist(), strict=True))
        assert label == data.targets[i]
    assert sum(map(len, table(data))) > 300
    other = snnx.data.smnist(tmp_path, split, channels=channels, duplicate=not duplicate, layout="events", **QUIET)
    assert other.inputs.steps.size == data.inputs.steps.size * (0.5 if duplicate else 2)


# As they were written


def test_times_of_16_bits_are_binned_as_what_they_are(tmp_path):
    load = written("shd", tmp_path)
    times, units = spoken()
    for dt in ("0.01", "0.004", "0.0005", "0.00001"):  # the last: more steps than a table of all halves names
        data = load(tmp_path, dt=float(dt), layout="events", **QUIET)
        for when, which, ours in zip(times, units, table(data), strict=True):
            steps = [math.floor(Fraction(float(t)) / Fraction(dt)) for t in when]
            assert ours == sorted(zip(steps, which.tolist(), strict=True))


@pytest.mark.parametrize("channels", [70, 1, 699])
def test_channels_are_brought_together(channels, tmp_path):
    load = written("shd", tmp_path)
    times, units = spoken()
    data = load(tmp_path, channels=channels, layout="floats", **QUIET)
    counts = np.zeros((5, data.num_steps, channels))
    for i in range(5):
        for t, unit in zip(times[i].tolist(), units[i].tolist(), strict=True):
            counts[i, math.floor(Fraction(t) * 100), unit * channels // 700] += 1
    np.testing.assert_array_equal(data.inputs.values, counts)
    assert data.sample_shape == (channels,)


@pytest.mark.parametrize(("size", "polarities"), [((17, 10), 2), ((34, 34), 1), (None, 1), ((1, 3), 1)])
def test_pixels_and_polarities_are_brought_together(size, polarities, tmp_path):
    write_nmnist(tmp_path)
    data = snnx.data.nmnist(tmp_path, size=size, polarities=polarities, layout="events", **QUIET)
    expected = [random_events(i, 60, (34, 34)) if i != 1 else [] for i in range(4)]
    assert table(data) == [pairs(events, 10_000, size or (34, 34), (34, 34), polarities) for events in expected]
    assert data.sample_shape == (polarities, *(size or (34, 34)))


def test_clocks_turn_in_some_files_and_start_anew_in_each(tmp_path):
    late = [
        [5, 1, 3, 4],
        [2**23 - 1, 0, 33, 33],
        [2**23, 1, 0, 0],
        [8_420_000, 1, 1, 2],
        [8_460_000, 0, 1, 2],
    ]
    some = [late, late[:1], [], late[2:], late[:2], late[4:]]
    for i, events in enumerate(some):
        files.write_address_events(tmp_path / f"NMNIST/Train/{i}/a.bin", events)
    assert (tmp_path / "NMNIST/Train/0/a.bin").stat().st_size == 5 * (5 + 9)
    data = snnx.data.nmnist(tmp_path, dt=0.001, layout="events", **QUIET)
    assert table(data) == [pairs(events, 1000, (34, 34), (34, 34)) for events in some]


def test_whole_milliseconds_may_be_small_integers(tmp_path):
    write_dvs_gesture(tmp_path)  # tonic's product with 1000 would go round
    data = snnx.data.dvs_gesture(tmp_path, "test", dt=0.001, layout="events", **QUIET)
    expected = []
    for number in (2, 4, 1, 0, 3):  # in the order of users, lighting and classes, 9 before 10
        events = random_events(number, 50 * (number != 3), (128, 128))[-7:]
        expected.append(pairs(events, 1000, (128, 128), (128, 128)))
    assert table(data) == expected
    assert data.num_steps > 32
    np.testing.assert_array_equal(data.targets, [0, 1, 9, 10, 2])
    np.testing.assert_array_equal(data.meta["user"], [1, 2, 2, 2, 10])
    assert data.meta_names == (("lighting", ("fluorescent_led", "lab", "led")),)


def test_an_empty_recording_of_varying_size_is_silence(tmp_path):
    write_ncaltech101(tmp_path)
    files.write_address_events(tmp_path / "NCALTECH101/Caltech101/airplanes/a.bin", [])
    data = snnx.data.ncaltech101(tmp_path, layout="events", **QUIET)
    assert [len(one) for one in table(data)] == [50, 50, 0, 50, 50]  # capitals come before a
    assert data.classes == ("BACKGROUND_Google", "airplanes", "yin_yang")
    np.testing.assert_array_equal(data.targets, [0, 0, 1, 1, 2])


def test_a_file_at_the_top_is_found_and_so_is_one_that_comes(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    times, units = spoken()
    files.write_heidelberg(tmp_path / "shd_test.h5", times, units, **SPOKEN)
    assert len(snnx.data.shd(tmp_path, "test", **QUIET)) == 5
    tonic = pytest.importorskip("tonic.datasets")
    came = []

    def download(save_to, **asked):
        came.append((save_to, asked))
        write_shd(tmp_path)

    monkeypatch.setattr(tonic, "SHD", download)
    assert len(snnx.data.shd(tmp_path, progress=False)) == 5
    assert came == [(os.fspath(tmp_path), {"train": True})]


# What may be left out


def test_late_events_are_refused_or_counted(tmp_path):
    write_nmnist(tmp_path)
    rows = [random_events(i, 60, (34, 34)) if i != 1 else np.zeros((0, 4), int) for i in range(4)]
    late = [int((events[:, 0] >= 200_000).sum()) for events in rows]
    whose = sum(n > 0 for n in late)
    said = re.escape(f"nmnist: {sum(late)} of 180 events ({sum(late) / 180:.2%}), of {whose} of 4 recordings")
    assert sum(late) > 30
    with pytest.raises(snnx.DataError, match=rf"{said}.*\bnum_steps=30\b.*\bdrop_late=True"):
        snnx.data.nmnist(tmp_path, num_steps=20, **QUIET)
    for _ in range(2):
        with pytest.warns(DataLossWarning, match=said):
            data = snnx.data.nmnist(tmp_path, num_steps=20, drop_late=True, layout="events", **QUIET)
        assert table(data) == [pairs(e[e[:, 0] < 200_000], 10_000, (34, 34), (34, 34)) for e in rows]
        assert data.num_steps == 20
    assert snnx.data.nmnist(tmp_path, num_steps=45, drop_late=True, **QUIET).num_steps == 45


def test_events_of_one_bin_are_kept_or_counted(tmp_path):
    events = [[0, 1, 2, 3]] * 4 + [[0, 1, 2, 4], [10_000, 1, 2, 3]]
    files.write_address_events(tmp_path / "NMNIST/Train/7/a.bin", events)
    files.write_address_events(tmp_path / "NMNIST/Train/8/a.bin", events[4:])
    kept = snnx.data.nmnist(tmp_path, layout="counts", **QUIET)
    assert kept.inputs.values[0, 0, 1, 2, 3] == 4
    assert int(kept.inputs.values.sum()) == 8
    with pytest.warns(DataLossWarning, match=r"nmnist: 3 of 8 events \(37.50%\)"):
        ones = snnx.data.nmnist(tmp_path, layout="bits", binarize=True, **QUIET)
    np.testing.assert_array_equal(ones.as_layout("counts").inputs.values, np.minimum(kept.inputs.values, 1))
    with pytest.raises(ValueError, match=r"nmnist: 3 of 8 events .*binarize=True"):
        snnx.data.nmnist(tmp_path, layout="bits", **QUIET)


# Kept beside the data


def kept_in(folder):
    return sorted(folder.rglob(".snnx/*"))


def arrays_of(data):
    return [np.asarray(x) for x in (data.inputs.starts, data.inputs.steps, data.inputs.channels, data.targets)]


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_second_call_reads_no_source_file(name, tmp_path, monkeypatch):
    load = written(name, tmp_path)
    first = load(tmp_path, dt=0.004, layout="events", **QUIET)
    (path,) = kept_in(tmp_path)

    def refuse(*_, **__):
        raise AssertionError("a source file is read")

    monkeypatch.setattr(_read, "Recordings", refuse)
    second = load(tmp_path, dt=0.004, layout="events", **QUIET)
    for a, b in zip(arrays_of(first), arrays_of(second), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert (first.classes, first.dt, first.meta_names) == (second.classes, second.dt, second.meta_names)
    assert list(first.meta) == list(second.meta)
    for field in first.meta:
        np.testing.assert_array_equal(first.meta[field], second.meta[field])
    for kind, layout in ((Counts, "counts"), (Floats, "floats")):
        assert isinstance(load(tmp_path, dt=0.004, layout=layout, **QUIET).inputs, kind)
    with pytest.warns(DataLossWarning) if name == "smnist" else contextless():
        assert isinstance(load(tmp_path, dt=0.004, layout="bits", binarize=True, **QUIET).inputs, Bits)
    assert kept_in(tmp_path) == [path]
    with pytest.raises(AssertionError, match=r"\bfile\b"):
        load(tmp_path, dt=0.004, cache=False, **QUIET)


class contextless:
    def __enter__(self): ...

    def __exit__(self, *_): ...


def test_it_is_made_anew_for_other_files_arguments_and_versions(tmp_path, monkeypatch):
    write_nmnist(tmp_path)
    made = []
    real = _camera.read
    monkeypatch.setattr(_read, "track", lambda items, *_: made.append(1) or items)
    assert real is _read.read

    def load(**arguments):
        before = len(made)
        data = snnx.data.nmnist(tmp_path, **({"layout": "events"} | arguments), **QUIET)
        return data, len(made) - before

    assert load()[1] == 1
    assert load()[1] == 0
    for arguments in (
        {"dt": 0.02},
        {"num_steps": 50},
        {"size": (17, 17)},
        {"size": (17, 34)},
        {"polarities": 1},
        {"drop_late": True},
        {"split": "test"},
    ):
        assert load(**arguments)[1] == 1, arguments
        assert load(**arguments)[1] == 0, arguments
    path = tmp_path / "NMNIST/Train/3/00002.bin"
    before = path.stat()
    path.write_bytes(files.address_bytes([[1, 0, 0, 0]] * 60))  # as many bytes as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    changed, read = load()
    assert read == 1
    assert table(changed)[2] == [(0, 0)] * 60
    path.rename(path.with_name("00002x.bin"))
    assert load()[1] == 1
    (tmp_path / "NMNIST/Train/9/00003.bin").unlink()
    assert len(load()[0]) == 3
    monkeypatch.setattr("snnx.data.recorded._files.CACHE_VERSION", "another")
    assert load()[1] == 1
    assert load()[1] == 0


def test_pictures_are_kept_for_each_coding(tmp_path):
    write_smnist(tmp_path)
    settings = [(99, True), (99, False), (51, True)]
    spikes = [
        snnx.data.smnist(tmp_path, channels=n, duplicate=d, dt=0.001, num_steps=1600, layout="events", **QUIET)
        for _ in range(2)
        for n, d in settings
    ]
    assert len(kept_in(tmp_path)) == 3
    assert [table(a) == table(b) for a, b in zip(spikes[:3], spikes[3:], strict=True)] == [True] * 3
    assert table(spikes[0]) != table(spikes[1])


def test_several_at_once_leave_one_whole_file(tmp_path):
    write_nmnist(tmp_path)
    found, start = [None] * 6, threading.Barrier(6)

    def load(i):
        start.wait()
        found[i] = snnx.data.nmnist(tmp_path, layout="events", **QUIET)

    threads = [threading.Thread(target=load, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept_in(tmp_path)) == 1
    again = snnx.data.nmnist(tmp_path, layout="events", **QUIET)  # which would warn of a damaged one
    for data in found:
        assert table(data) == table(again)
