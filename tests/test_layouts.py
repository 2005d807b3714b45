"""Layouts: every event stays in its step and channel, whichever layout it goes to; what cannot is refused."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnx
from snnx import _memory as memory_module
from snnx._errors import DataLossWarning, DtypeError, ShapeError
from snnx._text import amount
from snnx.data import SpikeDataset, from_counts, from_currents
from snnx.inputs import ActiveChannels, Bits, Constant, Counts, EventTable, Floats
from snnx.inputs import _binned as binned_module

LAYOUTS = ("bits", "lists", "counts", "events", "floats")
KINDS = {"bits": Bits, "lists": ActiveChannels, "counts": Counts, "events": EventTable, "floats": Floats}


def make_counts(n, steps, shape, most=3, seed=0, rate=0.3):
    """Counts `[n, steps, *shape]` from 0 to `most`: the first example empty, the last channel of the last step full."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, (n, steps, *shape)) * (rng.random((n, steps, *shape)) < rate)
    counts[0] = 0
    counts[(n - 1, steps - 1, *(size - 1 for size in shape))] = most
    return counts


def as_data(counts, **others):
    """Counts as a data set of floats."""
    shape = counts.shape[2:]
    return SpikeDataset(Floats(jnp.asarray(counts, jnp.float32), shape), jnp.arange(len(counts)), **others)


def decoded(data):
    """What a data set's arrays say, event by event: counts `[n, time, *sample_shape]`."""
    inputs, steps, shape = data.inputs, data.num_steps, data.sample_shape
    n, channels = len(data), int(np.prod(shape))
    counts = np.zeros((n, steps, channels), int)
    match inputs:
        case Bits():
            for i, t, byte in np.ndindex(inputs.packed.shape):
                for bit in range(8):
                    if np.asarray(inputs.packed)[i, t, byte] >> bit & 1:
                        counts[i, t, 8 * byte + bit] += 1
        case ActiveChannels():
            for (i, t, _), channel in np.ndenumerate(np.asarray(inputs.channels)):
                if channel < channels:
                    counts[i, t, channel] += 1
        case EventTable():
            starts, when, where = (np.asarray(x).tolist() for x in (inputs.starts, inputs.steps, inputs.channels))
            for i in range(n):
                for j in range(starts[i], starts[i + 1]):
                    counts[i, when[j], where[j]] += 1
        case _:
            values = np.asarray(inputs.values)
            assert values.dtype == (np.uint8 if isinstance(inputs, Counts) else np.float32)
            return values.astype(int)
    return counts.reshape(n, steps, *shape)


# From each to each


@pytest.mark.slow
@given(
    st.permutations(LAYOUTS),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([(1,), (8,), (9,), (2, 3), (2, 3, 4)]),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 20, 150, 2**25]),
    st.sampled_from([np.uint32, np.uint64]),
)
def test_events_come_through_any_row_of_layouts(order, n, steps, shape, most, seed, cells, kind):
    counts = make_counts(n, steps, shape, most, seed)
    data = as_data(counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binned_module, "BINS_AT_ONCE", cells)  # parts of few examples, and many blocks
        patch.setattr(binned_module, "key_dtype", lambda bins: kind)
        for layout in order:
            if most > 1 and layout == "bits":
                continue
            data = data.as_layout(layout)
            assert type(data.inputs) is KINDS[layout]
            np.testing.assert_array_equal(decoded(data), counts)
            assert (data.num_steps, data.sample_shape, len(data)) == (steps, shape, n)


@pytest.mark.parametrize(
    ("most", "first", "second"),
    [(1, *pair) for pair in itertools.product(LAYOUTS, LAYOUTS)]
    + [(3, *pair) for pair in itertools.product(LAYOUTS[1:], LAYOUTS[1:])],
)
def test_each_layout_to_each(most, first, second):
    counts = make_counts(3, 5, (2, 9), most)
    data = as_data(counts, dt=0.5).as_layout(first)
    other = data.as_layout(second)
    assert type(other.inputs) is KINDS[second]
    assert other.dt == 0.5
    np.testing.assert_array_equal(other.targets, [0, 1, 2])
    for i in range(-3, 3):
        example = other.example(i)
        assert example.dtype == jnp.float32
        np.testing.assert_array_equal(example, counts[i])


def test_blocks_of_recordings_and_parts_of_them_need_not_agree(monkeypatch):
    rng = np.random.default_rng(0)
    counts = make_counts(600, 3, (4,))
    order = [[np.repeat(axis, counts[i][np.nonzero(counts[i])]) for axis in np.nonzero(counts[i])] for i in range(600)]
    for steps, channels in order:
        shuffled = rng.permutation(len(steps))
        steps[:], channels[:] = steps[shuffled], channels[shuffled]
    monkeypatch.setattr(binned_module, "BINS_AT_ONCE", 100 * 12)  # 256 recordings a block, 100 examples a part
    for layout in ("lists", "counts", "events", "floats"):
        data = snnx.data.from_events(
            [steps for steps, _ in order],
            [channels for _, channels in order],
            np.arange(600),
            sample_shape=(4,),
            dt=1,
            layout=layout,
            sort=True,
        )
        np.testing.assert_array_equal(decoded(data), counts)
        np.testing.assert_array_equal(decoded(data.as_layout("floats")), counts)


@pytest.mark.parametrize("channels", [2**16 - 1, 2**16, 2**16 + 1])
def test_many_channels(channels):
    counts = np.zeros((2, 2, channels), np.uint8)
    counts[1, 1, -1], counts[1, 0, 2**16 - 2], counts[0, 1, 0] = 1, 1, 1
    data = from_counts(counts, [0, 1], sample_shape=(channels,))
    for layout in LAYOUTS:
        other = data.as_layout(layout)
        for i in range(2):
            np.testing.assert_array_equal(other.example(i), counts[i])
        np.testing.assert_array_equal(other.as_layout("counts").inputs.values, counts)
    table, lists = (data.as_layout(layout).inputs.channels.dtype for layout in ("events", "lists"))
    assert table == (np.uint16 if channels <= 2**16 else np.uint32)
    assert lists == (np.uint16 if channels < 2**16 else np.uint32)  # which also name none


@pytest.mark.slow
def test_more_bins_than_32_bits_can_name():
    steps, channels = 70_000, 65_000
    times = [np.array([0, 69_999, 69_999]), np.array([], int), np.array([5, 40_000])]
    where = [np.array([64_999, 0, 64_999]), np.array([], int), np.array([7, 64_999])]
    settings = {"sample_shape": (channels,), "dt": 1, "num_steps": steps}
    data = snnx.data.from_events(times, where, [0, 1, 2], layout="events", **settings)
    for table in (data.inputs, data.as_layout("lists").as_layout("events").inputs):
        np.testing.assert_array_equal(table.starts, [0, 3, 3, 5])
        np.testing.assert_array_equal(table.steps, np.concatenate(times))
        np.testing.assert_array_equal(table.channels, np.concatenate(where))
    lists = data.as_layout("lists").inputs
    assert lists.channels.shape == (3, steps, 2)
    np.testing.assert_array_equal(lists.channels[0, -1], [0, 64_999])
    one = data.take(jnp.array([2])).inputs
    last = jax.tree.map(lambda x: x[0], one).stretch(39_999, 2).dense()
    np.testing.assert_array_equal(np.argwhere(last), [[1, 64_999]])


@pytest.mark.parametrize(("bins", "kind"), [(2**32 - 1, np.uint32), (2**32, np.uint64)])
def test_bins_are_named_by_the_smaller_integer_that_can(bins, kind):
    assert binned_module.key_dtype(bins) is kind
    assert kind(bins) == bins


def test_a_mask_and_meta_stay():
    counts = make_counts(3, 4, (5,))
    mask = np.arange(4) < np.array([[4], [2], [3]])
    data = from_counts(counts, [0, 1, 1], sample_shape=(5,), mask=mask, meta={"who": ["b", "a", "b"]})
    for layout in ("lists", "events", "floats"):
        other = data.as_layout(layout)
        np.testing.assert_array_equal(other.mask, mask)
        np.testing.assert_array_equal(other.meta["who"], [1, 0, 1])
        assert other.meta_names == (("who", ("a", "b")),)
        assert other.classes == ("0", "1")


def test_a_batch_of_events_and_still_images_have_events_too():
    counts = make_counts(4, 5, (3,))
    batch = as_data(counts).as_layout("events").take(jnp.array([3, 0, 3]))
    assert isinstance(batch.inputs, snnx.inputs.EventList)
    for layout in ("lists", "counts", "events", "floats"):
        np.testing.assert_array_equal(decoded(batch.as_layout(layout)), counts[[3, 0, 3]])
    still = SpikeDataset(Constant(jnp.array([[0.0, 2.0], [1.0, 0.0]]), 3, (2,)), jnp.arange(2))
    shown = np.array([[[0, 2]] * 3, [[1, 0]] * 3])
    for layout in ("lists", "counts", "events", "floats"):
        np.testing.assert_array_equal(decoded(still.as_layout(layout)), shown)


def test_double_precision(x64):
    counts = make_counts(3, 4, (5,))
    data = from_counts(counts, [0, 1, 2], sample_shape=(5,))
    for layout in ("lists", "events", "floats"):
        other = data.as_layout(layout)
        assert other.example(2).dtype == jnp.float64
        np.testing.assert_array_equal(other.example(2), counts[2])
        np.testing.assert_array_equal(decoded(other.as_layout("counts")), counts)


# By itself


@pytest.mark.parametrize(
    ("steps", "shape", "events", "kind"),
    [
        (4, (24,), [(0, 0), (0, 1)], ActiveChannels),  # at most a twelfth
        (4, (24,), [(0, 0), (0, 0)], ActiveChannels),  # ... be it one channel twice
        (4, (23,), [(0, 0), (0, 1)], Bits),
        (4, (2, 12), [(0, 0), (0, 1)], Bits),
        (4, (23,), [(0, 0), (0, 0)], EventTable),  # 92 bytes as counts, more than 8 times the 16 of the list
        (4, (4,), [(0, 0), (0, 0)], Counts),
        (4, (4,), [(0, 0)] * 255, Counts),
        (4, (4,), [(0, 0)] * 256, EventTable),
    ],
)
def test_auto_loses_nothing(steps, shape, events, kind):
    if kind is EventTable and len(events) == 2:
        steps = 40
    times, channels = np.array(events).T
    data = snnx.data.from_events([times], [channels], [0], sample_shape=shape, dt=1, num_steps=steps)
    assert type(data.inputs) is kind
    counts = np.zeros((1, steps, int(np.prod(shape))), int)
    for t, c in events:
        counts[0, t, c] += 1
    np.testing.assert_array_equal(data.example(0).reshape(steps, -1), counts[0])
    assert type(data.as_layout("auto").inputs) is kind


# What is refused, and what is lost


@pytest.mark.slow
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(LAYOUTS))
def test_what_binarize_leaves_out_is_counted(n, steps, channels, seed, layout):
    counts = make_counts(n, steps, (channels,), seed=seed)  # the last count is 3
    events, twice = int(counts.sum()), int(np.maximum(counts - 1, 0).sum())
    for given_as in ("floats", "events"):
        data = as_data(counts).as_layout(given_as)
        if layout == "bits":
            with pytest.raises(ValueError, match=rf"^as_layout: {twice} of {events} events\b"):
                data.as_layout("bits")
        with pytest.warns(DataLossWarning) as caught:
            ones = data.as_layout(layout, binarize=True)
        assert [str(warning.message) for warning in caught] == [
            f"as_layout: {twice} of {events} events ({100 * twice / events:.2f}%) share their step and channel with an"
            " earlier one and were left out, as binarize=True asks."
        ]
        np.testing.assert_array_equal(decoded(ones), np.minimum(counts, 1))
        again = ones.as_layout(layout, binarize=True)  # nothing is lost now, and no warning
        np.testing.assert_array_equal(decoded(again), np.minimum(counts, 1))


def test_counts_are_bytes():
    counts = np.zeros((2, 3, 4), np.float32)
    counts[1, 2, 3] = 255
    data = as_data(counts)
    np.testing.assert_array_equal(data.as_layout("counts").inputs.values, counts)
    counts[1, 2, 3] = 256
    for layout in ("floats", "events", "lists"):
        data = as_data(counts).as_layout(layout)
        with pytest.raises(
            ValueError,
            match=r"\bchannel\b",
        ):
            data.as_layout("counts")
        np.testing.assert_array_equal(data.as_layout("events").example(1), counts[1])


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_currents_stay_floats(value, dtype):
    values = jnp.ones((2, 3, 4), dtype).at[1, 2, 3].set(value)
    for inputs in (Floats(values, (4,)), Constant(values[:, 0].at[1, 3].set(value), 3, (4,))):
        data = SpikeDataset(inputs, jnp.arange(2))
        name = type(inputs).__name__
        assert data.as_layout("auto") is data
        for layout in ("bits", "lists", "counts", "events"):
            with pytest.raises(ValueError, match=f"as_layout: {name} holds {value:g}\\b"):
                data.as_layout(layout)
        np.testing.assert_array_equal(np.float32(data.as_layout("floats").example(1)[2, 3]), np.float32(value))


def test_there_are_no_other_layouts():
    for layout in ("bit", None, 3):
        with pytest.raises(ValueError, match=r"\blayout\b"):
            as_data(make_counts(2, 3, (4,))).as_layout(layout)


# Counts


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool])
def test_counts_as_a_data_set(dtype):
    counts = make_counts(4, 5, (2, 3), most=1 if dtype is bool else 255)
    data = from_counts(counts.astype(dtype), [0, 1, 1, 0], sample_shape=(2, 3), meta={"age": [9, -1, 2, 3]})
    np.testing.assert_array_equal(data.inputs.values, counts)
    assert data.nbytes == 4 * 5 * 6 + 4 * 4 + 4 * 4
    example = data.example(3)
    assert example.dtype == jnp.float32
    np.testing.assert_array_equal(example, counts[3])
    one = jax.tree.map(lambda x: x[3], data.inputs)
    assert one.num_steps == 5
    np.testing.assert_array_equal(one.stretch(1, 3).dense(jnp.bfloat16).astype(float), counts[3, 1:4])
    np.testing.assert_array_equal(jax.jit(lambda t: one.stretch(t, 2).dense())(3), counts[3, 3:])


@pytest.mark.parametrize("value", [-1.0, 256.0, 0.5, np.nan, np.inf])
def test_what_is_no_count_is_refused(value):
    counts = np.zeros((2, 3, 4))
    counts[1, 0, 2] = value
    with pytest.raises(ValueError, match=r"\bcounts\b.*\(1, 0, 2\)"):
        from_counts(counts, [0, 1], sample_shape=(4,))


def test_counts_of_another_kind_are_refused():
    with pytest.raises(DtypeError, match=r"Counts: values\b"):
        Counts(jnp.zeros((3, 4)), (4,))
    with pytest.raises(ShapeError, match=r"\bstep\b"):
        Counts(jnp.zeros((3, 4), jnp.uint8), (3,))
    with pytest.raises(DtypeError, match=r"\bcounts\b"):
        from_counts(np.zeros((2, 3, 4), complex), [0, 1], sample_shape=(4,))
    with pytest.raises(ShapeError, match=r"\bcounts\b"):
        from_counts(np.zeros((2, 3, 4)), [0, 1], sample_shape=(3,))


# Memory

UNITS = {"bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def said(amount):
    number, unit = amount.split()
    return float(number) * UNITS[unit]


def nbytes(data):
    return sum(x.nbytes for x in jax.tree.leaves(data.inputs))


@pytest.mark.parametrize(
    ("most", "layout"),
    [(1, layout) for layout in LAYOUTS]
    + [(3, layout) for layout in LAYOUTS[1:]]
    + [(300, layout) for layout in ("lists", "events", "floats")],
)
def test_what_does_not_fit_is_refused_and_what_fits_is_named(most, layout, monkeypatch):
    counts = make_counts(6, 20, (40,), most, rate=0.03)
    data = as_data(counts).as_layout("lists")
    can = [x for x in LAYOUTS if not (x == "bits" and most > 1) and not (x == "counts" and most > 255)]
    sizes = {x: nbytes(data.as_layout(x)) for x in can}
    refused = 0
    for free in sorted({0, *sizes.values(), *(size - 1 for size in sizes.values())}):
        monkeypatch.setattr(memory_module, "available_memory", lambda free=free: free)
        if sizes[layout] <= free:
            assert nbytes(data.as_layout(layout)) == sizes[layout]
            continue
        refused += 1
        with pytest.raises(MemoryError) as caught:
            data.as_layout(layout)
        found = re.fullmatch(
            rf"as_layout: the data set takes (.*) with layout='{layout}', but (.*) of memory are free; (.*)\.",
            str(caught.value),
        )
        assert found is not None
        assert said(found[1]) == pytest.approx(sizes[layout], rel=0.005)
        assert said(found[2]) == pytest.approx(free, rel=0.005)
        named = dict(re.findall(r"layout='(\w+)' \(([^)]*)\)", found[3]))
        # How long lists would be is not known where they were not asked for.
        assert set(named) == {x for x in can if sizes[x] <= free and x != "lists"}
        assert all(said(amount) == pytest.approx(sizes[x], rel=0.005) for x, amount in named.items())
        for x in named:
            assert nbytes(data.as_layout(x)) == sizes[x]
        assert ("no layout of it fits" in found[3]) is (not named)
    assert refused > 0


def test_memory_is_what_the_system_says(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:  999 kB\nMemAvailable:     1234 kB\nBuffers: 5 kB\n")
    monkeypatch.setattr(memory_module, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(jax, "devices", lambda: [type("Device", (), {"memory_stats": lambda self: None})()])
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert memory_module.available_memory() == 1234 * 1024
    monkeypatch.setattr(memory_module, "MEMINFO", tmp_path / "none")
    assert memory_module.available_memory() is None
    stats = {"bytes_limit": 1000, "bytes_in_use": 300}
    monkeypatch.setattr(jax, "devices", lambda: [type("Device", (), {"memory_stats": lambda self: stats})()])
    assert memory_module.available_memory() == 700


@given(st.integers(0, 10**15))
def test_amounts_have_three_digits(count):
    text = amount(count)
    assert re.fullmatch(r"\d{1,3}(\.\d{1,2})? (bytes|kB|MB|GB|TB)|1e\+03 TB", text)
    assert said(text) == pytest.approx(count, rel=0.005)


def test_arrays_for_the_device_are_zero_and_where_it_can_take_them():
    for shape, dtype in (((3, 5), np.uint16), ((0, 4), np.float32), ((7,), bool)):
        array = memory_module.host_array(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.ctypes.data % memory_module.ALIGNMENT == 0 or array.size == 0
        assert not array.any()
        array[:] = 1
        np.testing.assert_array_equal(memory_module.to_device(array), np.ones(shape, dtype))


@pytest.mark.slow
def test_currents_and_counts_are_the_same_data():
    counts = make_counts(3, 4, (5,), most=2)
    floats = from_currents(counts.astype(np.float32), [0, 1, 2], sample_shape=(5,))
    for i in range(3):
        np.testing.assert_array_equal(floats.example(i), from_counts(counts, [0, 1, 2], sample_shape=(5,)).example(i))
