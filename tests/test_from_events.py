"""Recordings as data sets: every event in its step and channel; what is wrong is refused by its name and place."""

import math
import warnings
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx._errors import DataError, DataLossWarning, DtypeError, ShapeError
from snnx.data import SpikeDataset, from_counts, from_events, from_spikes
from snnx.data._recordings import Recordings


def steps_of(times, dt, **settings):
    """The steps in which a single recording's events lie, all in channel 0."""
    times = np.asarray(times)
    data = from_events([times], [np.zeros(len(times), int)], [0], sample_shape=(1,), dt=dt, layout="events", **settings)
    return np.asarray(data.inputs.steps)


def counted(data):
    """Counts of a data set whose layout is a list of events, by a loop over them."""
    table, channels = data.inputs, math.prod(data.sample_shape)
    counts = np.zeros((len(data), data.num_steps, channels), int)
    starts, steps, where = (np.asarray(x).tolist() for x in (table.starts, table.steps, table.channels))
    for i in range(len(data)):
        for j in range(starts[i], starts[i + 1]):
            counts[i, steps[j], where[j]] += 1
    return counts.reshape(len(data), data.num_steps, *data.sample_shape)


def recordings(n, seed=0, longest=12, steps=9, channels=6):
    """Whole times below `steps` and channels, in the order of time; some recordings are empty."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest + 1, n)
    times = [np.sort(rng.integers(0, steps, size)) for size in lengths]
    return times, [rng.integers(0, channels, size) for size in lengths]


# Which step


def fractions():
    return st.builds(
        lambda digits, power: float(f"{digits}e{power}"), st.integers(1, 999), st.integers(-9, 3)
    ) | st.floats(1e-6, 1e3)


@given(fractions(), st.integers(1, 10_000), st.sampled_from(["product", "rounded", "quotient", "range"]))
def test_whole_multiples_of_dt_land_in_their_step(dt, last, made):
    k = np.unique(np.linspace(0, last, 2000).round().astype(int))
    for dtype in (np.float64, np.float32):
        times = {
            "product": k.astype(dtype) * dtype(dt),
            "rounded": (k * dt).astype(dtype),
            "quotient": k.astype(dtype) / dtype(1 / dt),
            "range": np.linspace(0.0, last * dt, last + 1).astype(dtype)[k],
        }[made]
        np.testing.assert_array_equal(steps_of(times, dt), k)


def test_all_the_multiples_of_a_hundredth():
    k = np.arange(10_001)
    assert (np.floor(k * 0.01 / 0.01) != k).any()  # what a plain quotient would have made of them
    np.testing.assert_array_equal(steps_of(k * 0.01, 0.01), k)
    np.testing.assert_array_equal(steps_of(np.float32(k) * np.float32(0.01), 0.01), k)


@given(fractions(), st.integers(1, 10_000), st.sampled_from([np.float64, np.float32]))
def test_what_is_less_than_a_multiple_stays_in_the_step_before(dt, k, dtype):
    short = 1e-9 if dtype is np.float64 else 3e-6
    times = np.array([k * dt * (1 - short), (k + 0.5) * dt, (k + 1 - 1e-2) * dt], dtype)
    np.testing.assert_array_equal(steps_of(times, dt), [k - 1, k, k])


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20), st.floats(1e-2, 1e3))
def test_other_times_are_rounded_down(times, dt):
    exact = [Fraction(t) / Fraction(dt) for t in sorted(times)]
    clear = [abs(q - round(q)) > 1e-12 * max(q, 1) for q in exact]
    steps = steps_of(np.array(sorted(times)), dt)
    for step, quotient, sure in zip(steps, exact, clear, strict=True):
        assert step == math.floor(quotient) or not sure


@given(
    st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]),
    st.sampled_from([1, 7, 100, 1000, 40_000, 10**6, 2.5, 0.1]),
    st.integers(0, 2**32 - 1),
)
def test_whole_times_are_divided_exactly(dtype, dt, seed):
    top = min(np.iinfo(dtype).max, int(10**5 * dt))
    times = np.sort(np.random.default_rng(seed).integers(0, top, 50, endpoint=True)).astype(dtype)
    expected = [math.floor(Fraction(int(t)) / Fraction(str(dt))) for t in times]
    np.testing.assert_array_equal(steps_of(times, dt), expected)


@pytest.mark.filterwarnings("ignore:from_events. the last event needs")
def test_whole_times_beyond_what_a_double_holds():
    times = np.array([2**62, 2**62 + 999, 2**62 + 1000], np.int64)
    np.testing.assert_array_equal(steps_of(times, 2**40), [2**22, 2**22, 2**22])
    times = np.array([2**53 - 1, 2**53 + 1], np.int64)
    np.testing.assert_array_equal(steps_of(times, 2**52 + 1), [1, 1])


@pytest.mark.parametrize("dt", [0.01, 0.001, 1 / 3, 1.0])
def test_halves_are_taken_as_they_stand(dt):
    rng = np.random.default_rng(0)
    times = np.sort(np.concatenate([rng.random(500), [0.0, 0.25, 0.5, 1.0]]).astype(np.float16))
    expected = [math.floor(Fraction(float(t)) / Fraction(dt) * (1 + Fraction(1, 2**50))) for t in times]
    np.testing.assert_array_equal(steps_of(times, dt), expected)
    np.testing.assert_array_equal(steps_of(times.astype(np.float64), dt), expected)
    many = np.float16([0.0, 1.0, 60_000.0])  # more steps than a table of 16 bits names
    np.testing.assert_array_equal(steps_of(many, 0.5), [0, 2, 120_000])


def test_zero_has_no_sign():
    for dtype in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(steps_of(np.array([0.0, -0.0, 1.0], dtype), 1), [0, 0, 1])


def test_what_rounding_is_depends_on_each_recordings_own_dtype():
    k = np.arange(1, 100)
    single = np.float32(k) * np.float32(0.01)
    assert (np.floor(single.astype(float) / 0.01 * (1 + 1e-15)) != k).any()
    others = [np.array([]), (k * 0.01), k.astype(np.float16), k, np.float32([])]
    times = [single, others[0], single, others[1], single, others[2], others[3], others[4], single]
    channels = [np.zeros(len(t), int) for t in times]
    data = from_events(times, channels, np.arange(9), sample_shape=(1,), dt=0.01, layout="events", num_steps=10_000)
    counts = counted(data)[:, :, 0]
    for i, recording in enumerate(times):
        expected = k if recording.dtype in (np.float32, np.float64) else 100 * k
        np.testing.assert_array_equal(np.flatnonzero(counts[i]), expected if len(recording) else [])


# Which channel, which example


@given(
    st.integers(1, 9),
    st.sampled_from([(6,), (2, 3), (1, 2, 3)]),
    st.booleans(),
    st.sampled_from(["bits", "lists", "counts", "events", "floats", "auto"]),
    st.integers(0, 2**32 - 1),
)
def test_every_event_is_in_its_bin(n, shape, per_axis, layout, seed):
    times, channels = recordings(n, seed)
    counts = np.zeros((n, 9, 6), int)
    for i in range(n):
        for t, c in zip(times[i], channels[i], strict=True):
            counts[i, t, c] += 1
    given_as = [np.stack(np.unravel_index(c, shape), axis=1) for c in channels] if per_axis else channels
    settings = {"sample_shape": shape, "dt": 1000, "num_steps": 9, "layout": layout}
    micro = [1000 * t + 10 * np.arange(len(t)) for t in times]
    twice = int(np.maximum(counts - 1, 0).sum())
    if layout == "bits" and twice:
        with pytest.raises(ValueError, match=rf"\b{twice} of {counts.sum()} events\b"):
            from_events(micro, given_as, np.arange(n), **settings)
        return
    data = from_events(micro, given_as, np.arange(n), **settings)
    assert (len(data), data.num_steps, data.sample_shape, data.dt) == (n, 9, shape, 1000)
    np.testing.assert_array_equal(data.targets, np.arange(n))
    np.testing.assert_array_equal(counted(data.as_layout("events")).reshape(n, 9, 6), counts)


def test_per_axis_a_frame_is_where_it_should_be():
    channels = [np.array([[1, 0, 2], [0, 3, 4], [1, 3, 4]], np.uint8)]
    data = from_events([np.array([0.0, 0.5, 2.0])], channels, [0], sample_shape=(2, 4, 5), dt=1)
    expected = np.zeros((3, 2, 4, 5))
    expected[0, 1, 0, 2] = expected[0, 0, 3, 4] = expected[2, 1, 3, 4] = 1
    np.testing.assert_array_equal(data.example(0), expected)


def test_more_recordings_than_are_worked_on_at_once():
    times, channels = recordings(600)
    data = from_events(times, channels, np.arange(600), sample_shape=(6,), dt=1, layout="events")
    counts = np.zeros((600, 9, 6), int)
    for i in range(600):
        for t, c in zip(times[i], channels[i], strict=True):
            counts[i, t, c] += 1
    np.testing.assert_array_equal(counted(data), counts)


def test_steps_are_as_many_as_the_last_event_needs():
    settings = {"sample_shape": (2,), "dt": 0.1, "layout": "events"}
    times, channels = (
        [np.array([0.05]), np.array([0.1, 0.75]), np.array([])],
        [np.zeros(size, int) for size in (1, 2, 0)],
    )
    assert from_events(times, channels, [0, 1, 2], **settings).num_steps == 8
    assert from_events(times, channels, [0, 1, 2], num_steps=8, **settings).num_steps == 8
    assert from_events(times, channels, [0, 1, 2], num_steps=20, **settings).num_steps == 20


def test_silence_is_kept():
    empty, none = np.array([]), np.zeros(0, int)
    times, channels = [empty, np.array([3]), empty], [none, np.array([1]), np.zeros((0, 1))]
    for layout in ("bits", "lists", "counts", "events", "floats", "auto"):
        data = from_events(times, channels, [0, 1, 1], sample_shape=(2,), dt=1, layout=layout)
        assert len(data) == 3
        assert [int(data.example(i).sum()) for i in range(3)] == [0, 1, 0]
        still = from_events([empty, empty], [none, none], [0, 1], sample_shape=(2,), dt=1, layout=layout)
        assert (len(still), still.num_steps) == (2, 1)
        assert not still.example(1).any()


def test_arrays_of_arrays():
    times = np.empty(2, object)
    times[:] = [np.array([0.0, 1.0]), np.array([2.0])]
    channels = np.empty(2, object)
    channels[:] = [np.array([0, 1]), np.array([1])]
    data = from_events(times, channels, [0, 1], sample_shape=(2,), dt=1)
    np.testing.assert_array_equal(data.example(0), [[1, 0], [0, 1], [0, 0]])
    data = from_events(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 1]]), [0, 1], sample_shape=(2,), dt=1)
    np.testing.assert_array_equal(data.example(1), [[0, 0], [1, 1]])


def test_events_are_the_spikes_that_they_were():
    spikes = np.random.default_rng(0).random((5, 7, 9)) < 0.2
    where = [np.nonzero(one) for one in spikes]
    ours = from_events([t for t, _ in where], [c for _, c in where], np.arange(5), sample_shape=(9,), dt=1, num_steps=7)
    theirs = from_spikes(spikes, np.arange(5), sample_shape=(9,), dt=1)
    assert type(ours.inputs) is type(theirs.inputs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


# What is left out


def late(**settings):
    times = [np.array([0.0, 0.5, 1.2]), np.array([0.0]), np.array([0.55, 0.95])]
    channels = [np.array([0, 1, 1]), np.array([1]), np.array([0, 1])]
    return from_events(times, channels, [0, 1, 2], sample_shape=(2,), dt=0.1, layout="events", num_steps=5, **settings)


def test_late_events_are_refused():
    with pytest.raises(DataError, match=r"\b4 of 6 events \(66\.67%\), of 2 of 3 recordings\b.*\bnum_steps=13\b"):
        late()


def test_late_events_are_left_out_where_that_is_asked_for():
    with pytest.warns(DataLossWarning) as caught:
        data = late(drop_late=True)
    (said,) = (str(warning.message) for warning in caught)
    assert said.startswith("from_events: 4 of 6 events (66.67%), of 2 of 3 recordings")
    assert caught[0].filename == __file__  # the line that called
    counts = np.zeros((3, 5, 2))
    counts[0, 0, 0] = counts[1, 0, 1] = 1
    np.testing.assert_array_equal(counted(data), counts)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_what_is_dropped_is_counted(n, num_steps, seed):
    times, channels = recordings(n, seed)
    settings = {"sample_shape": (6,), "dt": 1, "layout": "events", "num_steps": num_steps}
    lost = [int((t >= num_steps).sum()) for t in times]
    events, whose = sum(len(t) for t in times), sum(count > 0 for count in lost)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = from_events(times, channels, np.arange(n), drop_late=True, **settings)
    texts = [str(warning.message) for warning in caught]
    expected = (
        f"from_events: {sum(lost)} of {events} events ({100 * sum(lost) / max(events, 1):.2f}%), of {whose} of {n}"
    )
    assert [text[: len(expected)] for text in texts] == ([expected] if whose else [])
    counts = np.zeros((n, num_steps, 6), int)
    for i in range(n):
        for t, c in zip(times[i], channels[i], strict=True):
            if t < num_steps:
                counts[i, t, c] += 1
    np.testing.assert_array_equal(counted(data), counts)


def test_events_become_one_where_that_is_asked_for():
    times, channels = [np.array([0, 0, 1, 1, 1])], [np.array([0, 0, 0, 1, 1])]
    with pytest.warns(
        DataLossWarning,
        match=r"\b2 of 5 events \(40\.00%\)",
    ):
        data = from_events(times, channels, [0], sample_shape=(2,), dt=1, layout="bits", binarize=True)
    np.testing.assert_array_equal(data.example(0), [[1, 0], [1, 1]])


# Order


def test_unsorted_times_are_refused_or_sorted_without_a_word():
    times, channels = [np.array([1, 2]), np.array([0, 3, 1])], [np.array([0, 1]), np.array([0, 0, 1])]
    settings = {"sample_shape": (2,), "dt": 1, "layout": "events"}
    with pytest.raises(
        DataError,
        match=r"\btime\b",
    ):
        from_events(times, channels, [0, 1], **settings)
    data = from_events(times, channels, [0, 1], sort=True, **settings)  # a warning would be an error here
    expected = np.zeros((2, 4, 2))
    expected[0, 1, 0] = expected[0, 2, 1] = expected[1, 0, 0] = expected[1, 3, 0] = expected[1, 1, 1] = 1
    np.testing.assert_array_equal(counted(data), expected)
    for dtype in (np.float16, np.float32, np.uint8):
        other = from_events([t.astype(dtype) for t in times], channels, [0, 1], sort=True, **settings)
        np.testing.assert_array_equal(counted(other), expected)


def test_a_reader_that_sorts_by_itself_says_so():
    settings = {"dt": 1.0, "num_steps": None, "drop_late": False, "sort": True}
    read = Recordings("reader", (2,), name=lambda i: f"file {i}", **settings)
    for _ in range(2):
        read.add(4, lambda: (np.array([2, 0, 3, 2]), np.array([0, 1, 0, 3, 1, 5, 6]), np.zeros(7, int)))
    with pytest.warns(UserWarning, match=r"reader: .*\b2 of 8 recordings\b.*\bfile 2\b"):
        binned = read.finish()
    assert (binned.num_steps, binned.examples, binned.events) == (7, (4, 4), 14)
    read = Recordings("reader", (2,), **settings)
    read.add(
        3, lambda: (np.array([2, 0, 1]), np.array([5, 6, 0]), np.zeros(3, int))
    )  # the next begins earlier: nothing goes back
    assert read.finish().events == 3


def test_a_reader_says_of_what_unit_its_times_are():
    read = Recordings("reader", (1,), dt=0.001, num_steps=None, drop_late=False, sort=False)
    read.add(1, lambda: (np.array([4]), np.array([0, 999, 1000, 2_999_999]), np.zeros(4, int)), scale=1e6)
    assert read.finish().blocks[0].tolist() == [0, 0, 1, 2999]


# What is wrong with it

GOOD = (np.array([0.0, 1.0]), np.array([0, 1]))


def with_bad(times, channels, before=3, **settings):
    """Good recordings, and then this one."""
    all_times = [*([GOOD[0]] * before), np.array([]), np.asarray(times)]
    all_channels = [*([GOOD[1]] * before), np.zeros(0, int), np.asarray(channels)]
    labels = np.arange(before + 2) % 2
    return from_events(all_times, all_channels, labels, **{"sample_shape": (2, 3), "dt": 0.5} | settings)


@pytest.mark.parametrize("before", [0, 255, 300])
@pytest.mark.parametrize(
    ("times", "channels", "named"),
    [
        ([0.0, -0.1], [0, 1], r"event 1: time is -0\.1"),
        ([-5, 1], [0, 1], "event 0: time is -5"),
        ([0.0, np.nan], [0, 1], "event 1: time is nan"),
        ([np.inf, 2.0], [0, 1], "event 0: time is inf"),
        (np.float16([0, np.nan]), [0, 1], "event 1: time is nan"),
        (np.float16([0, -np.inf]), [0, 1], "event 1: time is -inf"),
        (np.float16([2, -1]), [0, 1], r"event 1: time is -1\.0"),
        ([0.0, 2.0, 1.5], [0, 1, 1], r"event 2: time is 1\.5"),
        (np.float16([2, 1]), [0, 1], r"event 1: time is 1\.0"),
        ([0.0, 1.0], [0, 6], "event 1: channel is 6"),
        ([0.0, 1.0], [-1, 0], "event 0: channel is -1"),
        ([0.0, 1.0], [[0, 0], [0, 3]], r"event 1: channel is \(0, 3\)"),
        ([0.0, 1.0], [[-1, 0], [0, 2]], r"event 0: channel is \(-1, 0\)"),
        ([0.0, 3e9, 9e9], [0, 0, 0], r"event 1: time is 3000000000.0\b.*\bdt\b"),
    ],
)
def test_what_is_wrong_is_named_by_recording_and_event(times, channels, named, before):
    with pytest.raises(DataError, match=rf"from_events: recording {before + 1}, {named}"):
        with_bad(times, channels, before)


@pytest.mark.parametrize(
    ("times", "channels", "error", "named"),
    [
        (["a"], [0], DtypeError, "times"),
        ([True], [0], DtypeError, "times"),
        ([[0.0]], [0], ShapeError, "times"),
        ([0.0], [0.5], DtypeError, "channels"),
        ([0.0], [0, 1], ShapeError, "channels"),
        ([0.0, 1.0], [[0, 1, 2]] * 2, ShapeError, "channels"),
        ([], [0], ShapeError, "channels"),
    ],
)
def test_arrays_of_another_kind_are_refused(times, channels, error, named):
    with pytest.raises(error, match=rf"from_events: {named}\[4\]"):
        with_bad(times, channels)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"dt": 0.0}, ValueError),
        ({"dt": float("nan")}, ValueError),
        ({"dt": "1"}, TypeError),
        ({"num_steps": 0}, ValueError),
        ({"num_steps": True}, TypeError),
        ({"layout": "event"}, ValueError),
        ({"sample_shape": 6}, TypeError),
        ({"sample_shape": (2, 0)}, ShapeError),
        ({"drop_late": 1}, TypeError),
        ({"binarize": "no"}, TypeError),
        ({"classes": "ab"}, TypeError),
        ({"classes": ["a", "a"]}, ValueError),
        ({"meta": ["who"]}, TypeError),
        ({"meta": {"who": [1]}}, ShapeError),
        ({"meta": {"who": [0.5] * 5}}, DtypeError),
        ({"meta": {"who": [1, 2, 3, 2**31, 5]}}, ValueError),
        ({"meta": {"who": [-(2**31) - 1] * 5}}, ValueError),
    ],
)
def test_other_arguments_are_checked(settings, error):
    with pytest.raises(error, match=rf"from_events: {next(iter(settings))}\b"):
        with_bad(*GOOD, **settings)


def test_labels_have_a_class():
    with pytest.raises(ValueError, match=r"from_events: .*\btargets\b"):
        with_bad(*GOOD, classes=["a"])


def test_there_are_as_many_of_each_as_of_the_others():
    times, channels = [GOOD[0]] * 3, [GOOD[1]] * 3
    settings = {"sample_shape": (2,), "dt": 1}
    with pytest.raises(ShapeError, match=r"\btimes\b.*\bchannels\b"):
        from_events(times, channels[:2], [0, 1, 1], **settings)
    for labels in ([0, 1], [0, 1, 1, 0]):
        with pytest.raises(ShapeError, match=r"\btargets\b"):
            from_events(times, channels, labels, **settings)
    with pytest.raises(DataError, match=r"from_events: .*\brecording\b"):
        from_events([], [], [], **settings)


# What else is known of the examples


def test_meta_are_numbers_or_texts():
    meta = {
        "speaker": np.array([4, -1, 2**31 - 1]),
        "room": ["hall", "attic", "hall"],
        "word": np.array([b"b", b"a", b"c"]),
    }
    data = with_bad(*GOOD, before=1, meta=meta)
    assert sorted(data.meta) == ["room", "speaker", "word"]
    np.testing.assert_array_equal(data.meta["speaker"], [4, -1, 2**31 - 1])
    names = dict(data.meta_names)
    assert sorted(names) == ["room", "word"]
    assert [names["room"][i] for i in data.meta["room"]] == ["hall", "attic", "hall"]
    assert [names["word"][i] for i in data.meta["word"]] == ["b", "a", "c"]
    assert all(values.dtype == jnp.int32 for values in data.meta.values())
    part = data.subset([2, 0])
    np.testing.assert_array_equal(part.meta["speaker"], [2**31 - 1, 4])
    assert part.meta_names == data.meta_names


def test_meta_have_an_entry_for_each_example():
    data = from_counts(np.ones((3, 2, 2)), [0, 1, 1], sample_shape=(2,))
    with pytest.raises(ShapeError, match=r"SpikeDataset: meta\['who'\]"):
        SpikeDataset(data.inputs, data.targets, meta={"who": jnp.zeros(2, jnp.int32)})


def test_regression():
    targets = np.array([[0.5, 1.0], [2.0, -1.0]])
    data = from_events([GOOD[0]] * 2, [GOOD[1]] * 2, targets, sample_shape=(2,), dt=1)
    assert data.classes is None
    np.testing.assert_array_equal(data.targets, targets)


def test_times_in_another_unit_than_dt_are_doubted():
    micro = [np.arange(0, 300_000, 1000)]
    channels = [np.zeros(300, int)]
    with pytest.warns(UserWarning, match=r"\b29900001 steps\b.*\bdt\b"):
        from_events(micro, channels, [0], sample_shape=(2,), dt=0.01, layout="events")
    assert from_events(micro, channels, [0], sample_shape=(2,), dt=10_000.0).num_steps == 30
    with pytest.warns(UserWarning, match=r"\bfirst step\b.*\bdt\b"):
        from_events([micro[0] * 1e-6], channels, [0], sample_shape=(2,), dt=1000.0)


def test_hardly_any_events_are_not_laid_out_step_by_step(monkeypatch):
    given = [np.array([0, 30_000])], [np.array([0, 699])], [0]
    settings = {"sample_shape": (700,), "dt": 1.0, "num_steps": 30_001}
    assert type(from_events(*given, **settings).inputs).__name__ == "ActiveChannels"  # 60 kB
    monkeypatch.setattr("snnx.inputs._layout.LARGE_LAYOUT", 50_000)
    data = from_events(*given, **settings)
    assert type(data.inputs).__name__ == "EventTable"
    assert data.nbytes < 100
