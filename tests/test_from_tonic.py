"""Data sets of tonic, with any of its transforms: every event that comes out of them, in its bin."""

import os

import numpy as np
import pytest
import recordings as files

import snnx
from snnx._errors import DataError, DataLossWarning, ShapeError
from snnx.data import from_tonic
from snnx.inputs import Bits, Counts, Floats

QUIET = {"progress": False}
ROWS = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


class Listed:
    """Examples as tonic's data sets give them, and how often each was asked for."""

    def __init__(self, examples, sensor_size=None, classes=None):
        self.examples, self.asked = examples, []
        if sensor_size is not None:
            self.sensor_size = sensor_size
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        self.asked.append(i)
        return self.examples[i]


def rows(*events, dtype=ROWS):
    """Events of x, y, t, p."""
    return np.array([tuple(event) for event in events], dtype)


def random_rows(seed, n, width=6, height=4, until=90_000):
    rng = np.random.default_rng(seed)
    columns = (
        rng.integers(0, width, n),
        rng.integers(0, height, n),
        np.sort(rng.integers(0, until, n)),
        rng.integers(0, 2, n),
    )
    return rows(*zip(*columns, strict=True))


def counted(recordings, microseconds, steps, shape):
    """Counts `[n, steps, *shape]` of structured events."""
    counts = np.zeros((len(recordings), steps, *shape), int)
    for i, events in enumerate(recordings):
        for event in events:
            place = (event["x"],) if len(shape) == 1 else (int(event["p"]), event["y"], event["x"])
            counts[(i, int(event["t"]) // microseconds, *place)] += 1
    return counts


def values(data):
    return np.asarray(data.as_layout("floats").inputs.values)


# Events


def test_structured_events():
    some = [random_rows(0, 40), rows(), random_rows(1, 5), random_rows(2, 60, until=50_000)]
    data = from_tonic(Listed(list(zip(some, [1, 0, 2, 1], strict=True)), (6, 4, 2)), dt=0.01, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values, counted(some, 10_000, 9, (2, 4, 6)))
    np.testing.assert_array_equal(data.targets, [1, 0, 2, 1])
    assert (data.classes, data.dt, data.sample_shape) == (("0", "1", "2"), 0.01, (2, 4, 6))


def test_a_row_of_channels():
    some = [rows((5, 0, 100, 1), (699, 0, 2100, 1)), rows((0, 0, 999, 1))]
    data = from_tonic(Listed([(one, 0) for one in some], (700, 1, 1)), dt=0.001, **QUIET)
    assert data.sample_shape == (700,)
    np.testing.assert_array_equal(values(data), counted(some, 1000, 3, (700,)))


@pytest.mark.parametrize("empty_first", [0, 1, 2])
def test_empty_recordings_are_silence(empty_first):
    some = [*[rows()] * empty_first, random_rows(0, 9), rows(), random_rows(1, 9)]
    listed = Listed([(one, 0) for one in some], (6, 4, 2))
    data = from_tonic(listed, dt=0.01, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values, counted(some, 10_000, data.num_steps, (2, 4, 6)))
    assert listed.asked == list(range(len(some)))  # each once
    frames = [(one if len(one) == 0 else counted([one], 10_000, 9, (2, 4, 6))[0], 0) for one in some]
    framed = from_tonic(
        Listed(frames), dt=0.01, layout="counts", **QUIET
    )  # tonic's Compose stops at an empty recording
    np.testing.assert_array_equal(framed.inputs.values, counted(some, 10_000, 9, (2, 4, 6)))
    silent = from_tonic(Listed([(rows(), 0)] * 2, (6, 4, 2)), dt=0.01, num_steps=3, **QUIET)
    np.testing.assert_array_equal(values(silent), np.zeros((2, 3, 2, 4, 6)))


def test_times_may_be_of_any_number():
    for kind in (np.int64, np.uint64, np.int32, np.float64, np.float32):
        one = np.array([(0, 0), (1, 9_999), (2, 10_000), (0, 30_000)], [("x", np.int16), ("t", kind)])
        data = from_tonic(Listed([(one, 0)], (3, 1, 1)), dt=0.01, **QUIET)
        np.testing.assert_array_equal(values(data)[0], [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]])


def test_targets_as_texts_are_found_among_the_classes():
    some = [(random_rows(i, 5), name) for i, name in enumerate(["dog", "ant", "dog"])]
    data = from_tonic(Listed(some, (6, 4, 2)), dt=0.01, **QUIET)
    assert data.classes == ("ant", "dog")
    np.testing.assert_array_equal(data.targets, [1, 0, 1])
    for classes in (["dog", "cat", "ant"], {"dog": 0, "cat": 1, "ant": 2}, [b"dog", b"cat", b"ant"]):
        data = from_tonic(Listed(some, (6, 4, 2), classes), dt=0.01, **QUIET)
        assert data.classes == ("dog", "cat", "ant")
        np.testing.assert_array_equal(data.targets, [0, 2, 0])
    with pytest.raises(ValueError, match=r"from_tonic: .*\bclass 'ant'.*\bdog, rat\b"):
        from_tonic(Listed(some, (6, 4, 2)), dt=0.01, classes=["dog", "rat"], **QUIET)


def test_meta_and_regression():
    some = [(random_rows(i, 5), np.array([0.5 + i, 1.0])) for i in range(2)]
    data = from_tonic(Listed(some, (6, 4, 2)), dt=0.01, meta={"who": ["b", "a"]}, **QUIET)
    np.testing.assert_array_equal(data.targets, [[0.5, 1.0], [1.5, 1.0]])
    assert data.classes is None
    np.testing.assert_array_equal(data.meta["who"], [1, 0])


def test_late_and_doubled_events_are_counted():
    one = rows((0, 0, 0, 0), (0, 0, 5, 0), (1, 1, 9_000, 1), (1, 1, 50_000, 1), (1, 1, 99_000, 1))
    listed = Listed([(one, 0), (one[:3], 0)], (6, 4, 2))
    with pytest.raises(
        DataError, match=r"from_tonic: 2 of 8 events \(25.00%\), of 1 of 2 recordings\b.*\bnum_steps=10\b"
    ):
        from_tonic(listed, dt=0.01, num_steps=5, **QUIET)
    with pytest.warns(DataLossWarning, match=r"from_tonic: 2 of 8 events"):
        data = from_tonic(listed, dt=0.01, num_steps=5, drop_late=True, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values, counted([one[:3], one[:3]], 10_000, 5, (2, 4, 6)))
    with pytest.warns(DataLossWarning, match=r"from_tonic: 2 of 8 events\b.*\bbinarize\b"):
        ones = from_tonic(listed, dt=0.01, binarize=True, layout="bits", **QUIET)
    assert isinstance(ones.inputs, Bits)
    np.testing.assert_array_equal(values(ones), np.minimum(counted([one, one[:3]], 10_000, 10, (2, 4, 6)), 1))


def test_times_that_go_back_are_told():
    one = rows((0, 0, 50, 0), (1, 0, 20, 0))
    with pytest.warns(UserWarning, match=r"from_tonic: .*\b1 of 2 recordings\b.*\bexample 1\b"):
        from_tonic(Listed([(one[:1], 0), (one, 0)], (6, 4, 2)), dt=0.01, **QUIET)


FLOATS = np.dtype([("x", float), ("y", float), ("t", float), ("p", int)])
GOOD = rows((0, 0, 0, 0))


@pytest.mark.parametrize(
    ("second", "error", "named"),
    [
        (rows((6, 0, 0, 0)), DataError, "event 0: x is 6"),
        (rows((0, 0, 0, 0), (0, 4, 0, 0)), DataError, "event 1: y is 4"),
        (rows((0, 0, 0, -1)), DataError, "event 0: p is -1"),
        (rows((0.5, 0, 0, 0), dtype=FLOATS), DataError, "event 0: x is 0.5"),
        (rows((0, np.nan, 0, 0), dtype=FLOATS), DataError, "event 0: y is nan"),
        (rows((0, 0, np.nan, 0), dtype=FLOATS), DataError, "event 0: time is nan"),
        (rows((0, 0, -1, 0)), DataError, "event 0: time is -1"),
        (rows((0, 0, 10**15, 0)), DataError, r"event 0: time is 1000000000000000\b.*\bdt\b"),
        (GOOD[["x", "t"]], ShapeError, "t, p, y, x"),
        (np.ones((3, 2, 4, 6)), ShapeError, "t, p, y, x"),
    ],
)
def test_events_that_cannot_be(second, error, named):
    with pytest.raises(error, match=rf"from_tonic: example 1\b.*{named}"):
        from_tonic(Listed([(GOOD, 0), (second, 0)], (6, 4, 2)), dt=0.01, **QUIET)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"sample_shape": 6}, TypeError),
        ({"layout": "bit"}, ValueError),
        ({"layout": None}, ValueError),
        ({"num_steps": 0}, ValueError),
        ({"num_steps": True}, TypeError),
        ({"dt": 0.0}, ValueError),
        ({"progress": 1}, TypeError),
        ({"meta": {"who": [1]}}, ShapeError),
    ],
)
@pytest.mark.parametrize("example", [GOOD, np.ones((3, 2, 4, 6), int)], ids=["events", "frames"])
def test_other_arguments_are_checked(settings, error, example):
    with pytest.raises(error, match=rf": {next(iter(settings))}\b"):
        from_tonic(Listed([(example, 0)] * 2, (6, 4, 2)), **({"dt": 0.01} | QUIET | settings))


def test_a_shape_has_an_axis_for_each_field():
    with pytest.raises(ShapeError, match=r"\bexample 0\b.*\(4, 6\)"):
        from_tonic(Listed([(GOOD, 0)], (6, 4, 2)), dt=0.01, sample_shape=(4, 6), **QUIET)


class Refilled:
    """A data set that fills one buffer again and again."""

    sensor_size = (8, 6, 2)

    def __init__(self, buffer, field=None):
        self.buffer, self.target = buffer, np.zeros(2)
        self.filled = buffer if field is None else buffer[field]

    def __len__(self):
        return 200

    def __getitem__(self, i):
        self.filled[:] = (i % 5) if self.filled is self.buffer else 1000 * i
        self.target[:] = i + 0.5
        return self.buffer, self.target


def test_a_buffer_that_is_filled_again_is_read_before_that():
    data = from_tonic(Refilled(np.zeros((3, 2, 6, 8), np.int16)), dt=0.01, layout="counts", **QUIET)
    np.testing.assert_array_equal(np.asarray(data.inputs.values).max(axis=(1, 2, 3, 4)), np.arange(200) % 5)
    np.testing.assert_array_equal(data.targets, np.stack([np.arange(200) + 0.5] * 2, axis=1))
    data = from_tonic(Refilled(np.zeros(50, ROWS), "t"), dt=0.001, layout="events", **QUIET)
    np.testing.assert_array_equal(data.inputs.steps, np.arange(200).repeat(50))


def test_no_examples_and_no_size():
    with pytest.raises(DataError, match=r"\bset\b"):
        from_tonic(Listed([]), dt=0.01, **QUIET)
    listed = Listed([(GOOD, 0)])
    with pytest.raises(ValueError, match=r"\bset\b"):
        from_tonic(listed, dt=0.01, **QUIET)
    assert from_tonic(listed, dt=0.01, sample_shape=(2, 5, 5), **QUIET).sample_shape == (2, 5, 5)


# Frames


def frames(seed, steps, kind=np.int16, most=3):
    return np.random.default_rng(seed).integers(0, most + 1, (steps, 2, 4, 6)).astype(kind)


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.int64, bool])
def test_frames_of_different_lengths_are_followed_by_silence(kind):
    some = [frames(i, steps, kind) for i, steps in enumerate((3, 5, 1))]
    some[1][2:] = 0
    data = from_tonic(Listed([(one, i) for i, one in enumerate(some)]), dt=0.02, layout="counts", **QUIET)
    expected = np.zeros((3, 5, 2, 4, 6), int)
    for i, one in enumerate(some):
        expected[i, : len(one)] = one
    np.testing.assert_array_equal(data.inputs.values, expected)
    assert data.dt == 0.02
    longer = from_tonic(Listed([(one, 0) for one in some]), dt=0.02, num_steps=8, **QUIET)
    np.testing.assert_array_equal(values(longer)[:, :5], expected)
    assert longer.num_steps == 8
    assert values(longer)[:, 5:].sum() == 0


def test_frames_of_floats_stay_floats():
    some = [frames(i, 3).astype(np.float32) / 4 for i in range(2)]
    data = from_tonic(Listed([(one, 0) for one in some]), dt=0.02, **QUIET)
    assert isinstance(data.inputs, Floats)
    np.testing.assert_array_equal(data.inputs.values, some)
    with pytest.raises(ValueError, match=r"\bholds 0.\d+\b"):
        from_tonic(Listed([(one, 0) for one in some]), dt=0.02, layout="counts", **QUIET)
    whole = from_tonic(Listed([(np.floor(one), 0) for one in some]), dt=0.02, layout="counts", **QUIET)
    np.testing.assert_array_equal(whole.inputs.values, np.floor(some))


def test_late_frames_are_refused_or_counted():
    listed = Listed([(frames(i, steps), 0) for i, steps in enumerate((3, 5, 4))])
    with pytest.raises(DataError, match=r"\bexample\b"):
        from_tonic(listed, dt=0.02, num_steps=3, **QUIET)
    with pytest.warns(DataLossWarning, match=r"from_tonic: 3 of 12 frames\b"):
        data = from_tonic(listed, dt=0.02, num_steps=3, drop_late=True, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values, [one[:3] for one, _ in listed.examples])


@pytest.mark.parametrize(
    ("second", "error", "named"),
    [
        (np.ones((3, 2, 4, 5)), ShapeError, "example 1"),
        (np.ones(3), ShapeError, "example 1"),
        (GOOD, ShapeError, "example 1"),
        (-frames(1, 3), ValueError, "counts"),
        (frames(1, 3) + 300, ValueError, "counts"),
    ],
)
def test_frames_that_cannot_be(second, error, named):
    with pytest.raises(error, match=rf"\b{named}\b"):
        from_tonic(Listed([(frames(0, 3), 0), (second, 0)]), dt=0.01, **QUIET)


# With tonic itself


@pytest.fixture
def tonic():
    return pytest.importorskip("tonic")


@pytest.fixture
def digits(tmp_path, monkeypatch, tonic):
    """From a transform to tonic's data set of four small recordings of N-MNIST, the last one empty."""
    rng = np.random.default_rng(0)
    for i in range(4):
        n = 80 if i < 3 else 0
        t = np.sort(rng.integers(0, 100_000 + 60_000 * i, n))
        events = np.stack([t, *(rng.integers(0, size, n) for size in (2, 34, 34))], axis=1)
        files.write_address_events(tmp_path / f"NMNIST/Train/{i}/a.bin", events)
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)
    return lambda transform=None: tonic.datasets.NMNIST(os.fspath(tmp_path), transform=transform)


def test_it_agrees_with_our_own_reader(digits, tmp_path):
    ours = snnx.data.nmnist(tmp_path, dt=0.003, layout="counts", download=False, cache=False, **QUIET)
    theirs = from_tonic(digits(), dt=0.003, layout="counts", **QUIET)
    np.testing.assert_array_equal(ours.inputs.values, theirs.inputs.values)
    np.testing.assert_array_equal(ours.targets, theirs.targets)
    assert theirs.classes[3] == "3 - three"
    assert theirs.inputs.values.sum() == 240


def test_it_agrees_with_our_reader_of_spoken_digits(tmp_path, monkeypatch, tonic):
    pytest.importorskip("h5py")
    times = [np.sort(np.random.default_rng(i).random(30 * i)).astype(np.float16) for i in range(3)]
    units = [np.random.default_rng(i).integers(0, 700, 30 * i) for i in range(3)]
    files.write_heidelberg(tmp_path / "SHD/shd_train.h5", times, units, [1, 0, 1], [3, 3, 5], ["zero", "one"])
    monkeypatch.setattr(tonic.datasets.SHD, "_check_exists", lambda self: True)
    theirs = from_tonic(tonic.datasets.SHD(os.fspath(tmp_path)), dt=0.004, layout="counts", **QUIET)
    ours = snnx.data.shd(tmp_path, dt=0.004, layout="counts", **QUIET)
    np.testing.assert_array_equal(ours.inputs.values, theirs.inputs.values)
    assert ours.classes == theirs.classes == ("zero", "one")
    np.testing.assert_array_equal(ours.targets, theirs.targets)


def test_tonics_frames(digits, tonic):
    """Frames of a window begin at the first event: tonic drops what comes after the last whole window."""
    transform = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), time_window=10_000, include_incomplete=True)
    data = from_tonic(digits(transform), dt=0.01, layout="counts", **QUIET)
    some = [events for events, _ in (digits()[i] for i in range(4))]
    for events in some[:3]:
        events["t"] -= events["t"][0]
    np.testing.assert_array_equal(data.inputs.values, counted(some, 10_000, data.num_steps, (2, 34, 34)))
    assert data.inputs.values.sum() == 240
    assert isinstance(data.inputs, Counts)  # though tonic gives the empty one as floats
    bins = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), n_event_bins=8)
    fixed = from_tonic(digits(bins), dt=0.01, **QUIET)
    assert fixed.num_steps == 8
    np.testing.assert_array_equal(values(fixed).sum(axis=(1, 2, 3, 4)), [80, 80, 80, 0])


def test_an_empty_recording_whose_frames_lie_on_their_side(tonic):
    """tonic's ToFrame gives an empty recording as frames of width by height."""
    transform = tonic.transforms.ToFrame(sensor_size=(6, 4, 2), time_window=10_000, include_incomplete=True)
    some = [transform(events) for events in (rows(), random_rows(0, 20), rows())]
    assert some[0].shape[1:] != some[1].shape[1:]
    data = from_tonic(Listed([(one, 0) for one in some]), dt=0.01, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values[1], some[1])
    assert data.inputs.values.sum() == 20
    composed = tonic.transforms.Compose([transform])
    some = [composed(events) for events in (rows(), random_rows(0, 20), rows())]
    data = from_tonic(Listed([(one, 0) for one in some]), dt=0.01, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values[1], some[1])
    assert data.inputs.values.sum() == 20


def test_fewer_pixels(digits, tonic):
    transform = tonic.transforms.Downsample(spatial_factor=0.5)
    data = from_tonic(digits(transform), dt=0.02, sample_shape=(2, 17, 17), layout="counts", **QUIET)
    some = [events for events, _ in (digits()[i] for i in range(4))]
    for events in some:
        events["x"] //= 2
        events["y"] //= 2
    np.testing.assert_array_equal(data.inputs.values, counted(some, 20_000, data.num_steps, (2, 17, 17)))


def test_random_transforms_are_drawn_once_an_example(digits, tonic):
    transform = tonic.transforms.Compose([tonic.transforms.DropEvent(p=0.3)])
    np.random.seed(3)  # noqa: NPY002 (tonic draws from NumPy's own)
    dropped = digits(transform)
    some = [dropped[i][0] for i in range(4)]
    np.random.seed(3)  # noqa: NPY002
    data = from_tonic(digits(transform), dt=0.02, layout="counts", **QUIET)
    np.testing.assert_array_equal(data.inputs.values, counted(some, 20_000, data.num_steps, (2, 34, 34)))
    assert 100 < data.inputs.values.sum() < 240


def test_flipped_polarities_and_bool_polarities(digits, tonic):
    def narrow(events):
        kinds = {"x": np.int16, "y": np.int16, "p": bool, "t": np.int64}
        found = np.empty(len(events), list(kinds.items()))
        for name in kinds:
            found[name] = events[name]
        return found

    transform = tonic.transforms.Compose([narrow, tonic.transforms.RandomFlipLR((34, 34, 2), p=1)])
    data = from_tonic(digits(transform), dt=0.02, layout="counts", **QUIET)
    some = [events for events, _ in (digits()[i] for i in range(4))]
    for events in some:
        events["x"] = 33 - events["x"]
    np.testing.assert_array_equal(data.inputs.values, counted(some, 20_000, data.num_steps, (2, 34, 34)))


def test_voxels_are_currents(digits, tonic):
    transform = tonic.transforms.ToVoxelGrid(sensor_size=(34, 34, 2), n_time_bins=5)
    nonempty = [(transform(digits()[i][0]), i) for i in range(3)]
    data = from_tonic(Listed(nonempty), dt=0.02, **QUIET)
    assert isinstance(data.inputs, Floats)
    np.testing.assert_array_equal(data.inputs.values, np.stack([one for one, _ in nonempty]).astype(np.float32))


def test_a_picture_without_time_is_refused():
    class Pictures:
        sensor_size = (5, 4, 2)

        def __len__(self):
            return 2

        def __getitem__(self, i):
            return np.ones((2, 4, 5), np.uint8), i

    with pytest.raises(ShapeError, match=r"\bsensor\b.*\btime\b"):
        from_tonic(Pictures(), dt=0.1, progress=False)
    Pictures.sensor_size = (9, 9, 2)  # then they are two frames
    assert from_tonic(Pictures(), dt=0.1, progress=False).sample_shape == (4, 5)
    with pytest.raises(ShapeError, match=r"\bsample_shape\b"):
        from_tonic(Pictures(), dt=0.1, sample_shape=(3, 3), progress=False)
