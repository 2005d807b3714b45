"""Data sets: what goes in comes out, in the right place; what does not fit is refused with a sentence that says why."""

import collections
import hashlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CLASSES, FEATURES, STEPS, make_arrays, make_data, make_mask

import snnx
from snnx._checks import readers
from snnx._errors import DtypeError, ShapeError
from snnx.data import digits, fingerprint, from_constant, from_counts, from_currents, from_spikes
from snnx.inputs import Bits, Constant, Floats

FILES = Path(snnx.data.__file__).parent / "files"
# How often each digit occurs, as scikit-learn's documentation of load_digits and UCI's description of the test set say.
DIGIT_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def stored_digits():
    with np.load(FILES / "optdigits.npz", allow_pickle=False) as file:
        return file["images"], file["labels"]


# Digits


def test_digits_are_those_whose_checksum_the_readme_names():
    digest = hashlib.sha256((FILES / "optdigits.npz").read_bytes()).hexdigest()
    named = re.search(r"`([0-9a-f]{64})`", (FILES / "README.md").read_text())
    assert named is not None
    assert digest == named[1]


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    images, labels = stored_digits()
    np.testing.assert_array_equal(images, theirs.images)
    np.testing.assert_array_equal(labels, theirs.target)


def test_digits_as_a_data_set():
    data = digits(steps=3)
    images, labels = stored_digits()
    assert (len(data), data.num_steps, data.sample_shape, data.num_classes) == (1797, 3, (64,), 10)
    assert data.classes == tuple("0123456789")
    assert data.mask is None
    np.testing.assert_array_equal(np.bincount(data.targets), DIGIT_COUNTS)
    np.testing.assert_array_equal(data.targets, labels)
    for index in (0, 700, 1796):
        pixels = images[index].reshape(64) / 16
        np.testing.assert_array_equal(data.example(index), np.stack([pixels] * 3))
    assert data.nbytes == 1797 * 64 * 4 + 1797 * 4  # one image each, not one per step


def test_digits_as_latencies_fire_once_and_bright_pixels_first():
    data, steps = digits(steps=5, encoding="latency"), 5
    images, _ = stored_digits()
    for index in (3, 1500):
        expected = np.zeros((steps, 64))
        for channel, ink in enumerate(images[index].reshape(64)):
            if ink > 0:
                # Halves are rounded to even, as Python and JAX do.
                expected[round((1 - ink / 16) * (steps - 1)), channel] = 1
        np.testing.assert_array_equal(data.example(index), expected)


def test_digits_as_rates_fire_as_often_as_pixels_are_bright():
    key = jax.random.key(3)
    data = digits(steps=10, encoding="rate", key=key)
    images, _ = stored_digits()
    spikes = np.unpackbits(np.asarray(data.inputs.packed), axis=-1, bitorder="little")[..., :64]
    for ink in range(17):
        # The mean of n draws of probability p is within 5 standard deviations of p.
        drawn = spikes.swapaxes(1, 2)[images.reshape(-1, 64) == ink]
        p, n = ink / 16, drawn.size
        assert abs(drawn.mean() - p) <= 5 * np.sqrt(p * (1 - p) / n), f"ink {ink}"
    # Fresh at every step and for every example, and decided by the key alone.
    half = spikes[images.reshape(-1, 64)[:, None, :].repeat(10, axis=1) == 8]
    assert 0.4 < half.mean() < 0.6
    assert all(not np.array_equal(spikes[:, 0], spikes[:, t]) for t in range(1, 10))
    again = digits(steps=10, encoding="rate", key=jax.random.key(3))
    other = digits(steps=10, encoding="rate", key=jax.random.key(4))
    np.testing.assert_array_equal(again.inputs.packed, data.inputs.packed)
    assert not np.array_equal(other.inputs.packed, data.inputs.packed)


def test_digits_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"\bencoding\b.*\blatency\b"):
        digits(encoding="latncy")
    with pytest.raises(ValueError, match=r"\bkey\b"):
        digits(encoding="rate")
    with pytest.raises(ValueError, match=r"\bsteps\b"):
        digits(steps=0)


# From arrays, and back


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(1,), (8,), (13,), (2, 3, 5)])
def test_spikes_come_back_as_they_were(shape, dtype):
    spikes = (np.random.default_rng(0).uniform(size=(4, STEPS, *shape)) < 0.4).astype(dtype)
    data = from_spikes(spikes, np.arange(4), sample_shape=shape)
    assert isinstance(data.inputs, Bits)
    assert (data.num_steps, data.sample_shape) == (STEPS, shape)
    for index in range(4):
        dense = data.example(index)
        assert dense.dtype == jnp.float32
        np.testing.assert_array_equal(dense, spikes[index].astype(np.float32))


def test_spikes_are_packed_along_the_channels():
    spikes, labels = make_arrays(n=9)
    data = from_spikes(spikes, labels, sample_shape=(FEATURES,))
    packed = np.asarray(data.inputs.packed)
    assert (packed.shape, packed.dtype) == ((9, STEPS, 1), np.uint8)
    by_hand = sum(spikes[..., channel].astype(int) << channel for channel in range(FEATURES))
    np.testing.assert_array_equal(packed[..., 0], by_hand)
    assert data.nbytes == 9 * STEPS + 9 * 4


@given(st.integers(1, 20), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_width_of_spikes_comes_back(width, steps, seed):
    spikes = np.random.default_rng(seed).integers(0, 2, (3, steps, width))
    data = from_spikes(spikes, np.zeros(3, int), sample_shape=(width,))
    unpacked = np.unpackbits(np.asarray(data.inputs.packed), axis=-1, bitorder="little")
    np.testing.assert_array_equal(unpacked[..., :width], spikes)
    assert not unpacked[..., width:].any()
    np.testing.assert_array_equal(data.take(jnp.array([2])).inputs.packed[0], data.inputs.packed[2])


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_currents_come_back_as_they_were(shape):
    values = np.random.default_rng(0).normal(size=(5, STEPS, *shape))
    data = from_currents(values, np.zeros(5, int), sample_shape=shape)
    assert isinstance(data.inputs, Floats)
    assert data.inputs.values.dtype == jnp.float32
    np.testing.assert_array_equal(data.example(3), values[3].astype(np.float32))


def test_half_precision_stays_half_and_x64_stays_double(x64):
    half = from_currents(np.ones((2, 3, 4), np.float16), np.zeros(2, int), sample_shape=(4,))
    assert half.inputs.values.dtype == jnp.float16
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    double = from_currents(values, values[:, 0, 0], sample_shape=(4,))
    assert (double.inputs.values.dtype, double.targets.dtype) == (jnp.float64, jnp.float64)
    np.testing.assert_array_equal(double.example(1), values[1])


def test_constants_are_shown_at_every_step():
    images = np.random.default_rng(0).normal(size=(5, 2, 3))
    data = from_constant(images, np.zeros(5, int), steps=4)
    assert isinstance(data.inputs, Constant)
    assert (data.num_steps, data.sample_shape, data.nbytes) == (4, (2, 3), 5 * 6 * 4 + 5 * 4)
    np.testing.assert_array_equal(data.example(2), np.repeat(images[2:3].astype(np.float32), 4, axis=0))


def test_targets_classes_mask_and_dt_travel_along():
    spikes, labels = make_arrays(n=6)
    mask = make_mask(n=6)
    data = from_spikes(spikes, labels, sample_shape=(FEATURES,), classes=["a", "b", "c"], mask=mask, dt=1e-3)
    assert (data.classes, data.num_classes, data.dt) == (("a", "b", "c"), 3, 1e-3)
    np.testing.assert_array_equal(data.mask, mask)
    part = data.subset([4, 1])
    assert (part.classes, part.dt, len(part)) == (data.classes, 1e-3, 2)
    np.testing.assert_array_equal(part.mask, mask[[4, 1]])
    np.testing.assert_array_equal(part.targets, labels[[4, 1]])
    np.testing.assert_array_equal(part.example(1), spikes[1])


def test_classes_default_to_the_numbers_up_to_the_largest_label():
    spikes, _ = make_arrays(n=3)
    data = from_spikes(spikes, np.array([0, 2, 1], np.uint8), sample_shape=(FEATURES,))
    assert data.classes == ("0", "1", "2")
    assert data.targets.dtype == jnp.int32


def test_a_class_without_an_example_has_to_be_named():
    spikes, _ = make_arrays(n=3)
    for labels, missing in ([1, 2, 3], 0), ([0, 4, 1], 2), ([0, 1, 2**40], 2):
        with pytest.raises(ValueError, match=rf"\btargets\b.*\b{missing}\b"):
            from_spikes(spikes, labels, sample_shape=(FEATURES,))
    assert from_spikes(spikes, [0, 4, 1], sample_shape=(FEATURES,), classes=list("abcde")).num_classes == 5


def test_floats_are_regression_targets():
    spikes, _ = make_arrays(n=3)
    wanted = np.random.default_rng(0).normal(size=(3, 2))
    data = from_spikes(spikes, wanted, sample_shape=(FEATURES,))
    assert (data.classes, data.num_classes) == (None, None)
    np.testing.assert_array_equal(data.targets, wanted.astype(np.float32))


def test_numbers_and_arrays_of_numpy_are_taken():
    spikes, labels = make_arrays(n=6)
    plain = from_spikes(spikes, labels.tolist(), sample_shape=(FEATURES,), dt=0.5)
    other = from_spikes(
        spikes.tolist(), labels.astype(np.int64), sample_shape=(np.int64(FEATURES),), dt=np.float32(0.5)
    )
    assert fingerprint(plain) == fingerprint(other) == fingerprint(plain.with_dt(np.float64(0.5)))
    shown = from_constant(CURRENTS[:, 0], LABELS, steps=np.int64(3))
    assert (shown.num_steps, type(shown.num_steps)) == (3, int)
    np.testing.assert_array_equal(shown.example(np.int64(2)), np.stack([CURRENTS[2, 0]] * 3))
    halves = plain.split(np.array([0.5, 0.5], np.float32), key=jax.random.key(0))
    assert [len(half) for half in halves] == [3, 3]
    made = snnx.SpikeDataset(plain.inputs, labels, classes=list(plain.classes), dt=0.5)  # labels of int64
    assert fingerprint(made) == fingerprint(plain)


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_may_be_in_another_order(order):
    values = np.arange(24).reshape(2, 3, 4)
    currents = from_currents(values.astype(f"{order}f4"), np.array([1, 0], f"{order}i4"), sample_shape=(4,))
    np.testing.assert_array_equal(currents.inputs.values, values)
    np.testing.assert_array_equal(currents.targets, [1, 0])
    counts = from_counts(values.astype(f"{order}u2"), np.array([[0.5], [1.0]], f"{order}f8"), sample_shape=(4,))
    np.testing.assert_array_equal(counts.inputs.values, values)
    np.testing.assert_array_equal(counts.targets, [[0.5], [1.0]])


@pytest.mark.parametrize("name", ["currents", "still", "layout", "spikes", "counts"])
def test_a_buffer_that_is_written_to_later_changes_nothing(name):
    # Large: JAX still reads some of it after it has returned.
    n = 20_000
    values, labels, wanted = np.ones((n, 8, 16), np.float32), np.zeros(n, np.int32), np.full((n, 2), 0.5, np.float32)
    mask, who = np.ones((n, 8), bool), np.full(n, 7, np.int32)
    data = {
        "currents": lambda: from_currents(values, wanted, sample_shape=(16,), mask=mask, meta={"who": who}),
        "still": lambda: from_constant(values, labels, steps=2),
        "layout": lambda: snnx.SpikeDataset(Floats(values, (16,)), labels, mask, meta={"who": who}),
        "spikes": lambda: from_spikes(values, wanted, sample_shape=(16,), mask=mask),
        "counts": lambda: from_counts(values, labels, sample_shape=(16,), mask=mask),
    }[name]()
    for array in (values, labels, wanted, who):
        array[:] = 3
    mask[:] = False
    assert (np.asarray(data.targets) == (0.5 if name in ("currents", "spikes") else 0)).all()
    assert all((np.asarray(array) == (255 if name == "spikes" else 1)).all() for array in jax.tree.leaves(data.inputs))
    assert data.mask is None or np.asarray(data.mask).all()
    assert all((np.asarray(numbers) == 7).all() for numbers in data.meta.values())


@pytest.mark.parametrize("room", [snnx.data, snnx.inputs, snnx.encoding, snnx.audio], ids=lambda room: room.__name__)
def test_every_door_reads_its_arguments(room):
    doors = {name: getattr(room, name) for name in room.__all__ if not name.startswith("Abstract")}
    doors.pop("Options", None)  # keywords of others
    methods = ("take", "subset", "split", "example", "as_layout", "with_dt")
    for name, door in doors.items() | {(name, getattr(snnx.SpikeDataset, name)) for name in methods}:
        assert any(readers(door).values()), f"{name} is not checked, or says nothing of its arguments"


def test_masked_and_traced_arrays_are_refused():
    hidden = np.ma.masked_less(CURRENTS, 0.5)
    with pytest.raises(TypeError, match=r"\bvalues\b"):
        from_currents(hidden, LABELS, sample_shape=(FEATURES,))
    with pytest.raises(TypeError, match=r"\bspikes\b.*\bfrom_spikes\b"):
        jax.jit(lambda x: from_spikes(x, LABELS, sample_shape=(FEATURES,)))(jnp.asarray(SPIKES))


# Parts


def test_take_gathers_inside_jit_and_repeats():
    data = make_data(masked=True)
    spikes, labels = make_arrays()
    taken = jax.jit(lambda d, i: d.take(i))(data, jnp.array([5, 5, 0]))
    assert len(taken) == 3
    np.testing.assert_array_equal(taken.targets, labels[[5, 5, 0]])
    np.testing.assert_array_equal(taken.mask, make_mask()[[5, 5, 0]])
    np.testing.assert_array_equal(taken.example(1), spikes[5])


def test_subset_takes_a_mask():
    data = make_data(n=6)
    chosen = data.subset(np.asarray(data.targets) == 1)
    assert np.asarray(chosen.targets).tolist() == [1, 1]
    np.testing.assert_array_equal(chosen.example(0), data.example(int(np.argmax(np.asarray(data.targets) == 1))))


def test_subset_refuses_indices_that_are_none():
    data = make_data(n=6)
    for indices in ([0, 6], [-1, 2]):
        with pytest.raises(IndexError, match=r"\bindices\b"):
            data.subset(indices)
    for indices in ([], [0.0, 1.0], np.ones(5, bool), np.zeros(6, bool), [[0, 1]], 3):
        with pytest.raises(ValueError, match=r"\bindices\b"):
            data.subset(indices)
    with pytest.raises(IndexError, match=r"\bindex\b"):
        data.example(6)
    with pytest.raises(IndexError, match=r"\bindex\b"):
        data.example(-7)
    np.testing.assert_array_equal(data.example(-1), data.example(5))


def rows(data):
    """Every example as bytes, with its target and mask."""
    return [
        np.asarray(data.inputs.packed[i]).tobytes() + bytes([int(data.targets[i])]) + np.asarray(data.mask[i]).tobytes()
        for i in range(len(data))
    ]


def numbered(n, classes=CLASSES):
    """A data set whose examples are all different: their number stands in the spikes."""
    spikes = np.array([[[i >> bit & 1 for bit in range(10)]] * 2 for i in range(n)])
    labels = np.random.default_rng(0).integers(0, classes, n)
    mask = np.stack([np.full(n, True), np.arange(n) % 2 == 0], axis=1)
    return from_spikes(spikes, labels, sample_shape=(10,), mask=mask), labels


def numbers_of(part):
    bits = np.unpackbits(np.asarray(part.inputs.packed), axis=-1, bitorder="little")[:, 0, :10]
    return bits @ (1 << np.arange(10))


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.2), (0.5, 0.5), (1.0,), [0.25, 0.25, 0.25, 0.25]])
def test_a_split_is_disjoint_complete_and_stratified(fractions):
    data, labels = numbered(101)
    parts = data.split(fractions, key=jax.random.key(1))
    found = [numbers_of(part) for part in parts]
    assert len(parts) == len(fractions)
    assert sorted(np.concatenate(found)) == list(range(101))
    for part, numbers, fraction in zip(parts, found, fractions, strict=True):
        # Every row kept its label and mask on the way.
        np.testing.assert_array_equal(part.targets, labels[numbers])
        np.testing.assert_array_equal(part.mask[:, 1], numbers % 2 == 0)
        assert part.classes == data.classes
        counts = collections.Counter(labels[numbers].tolist())
        for label in range(CLASSES):
            assert abs(counts[label] - fraction * np.sum(labels == label)) <= 1


def test_a_split_follows_from_the_key():
    data, _ = numbered(60)
    first, again, other = (data.split((0.5, 0.5), key=jax.random.key(seed)) for seed in (1, 1, 2))
    assert rows(first[0]) == rows(again[0])
    assert set(rows(first[0])) != set(rows(other[0]))
    # It is random indeed: not the first half, and no class' first half.
    assert sorted(numbers_of(first[0])) != list(range(30))


def test_regression_data_are_split_too():
    values = np.arange(40.0).reshape(40, 1) + 0.5
    data = from_constant(values, values[:, 0], steps=2)
    train, test = data.split((0.75, 0.25), key=jax.random.key(0))
    assert (len(train), len(test)) == (30, 10)
    assert sorted([*train.targets.tolist(), *test.targets.tolist()]) == values[:, 0].tolist()
    np.testing.assert_array_equal(train.inputs.values[:, 0], train.targets)


def test_a_split_refuses_fractions_that_are_none():
    data, _ = numbered(12)
    for fractions in [(0.5, 0.6), (0.5, 0.4), (1.2, -0.2), (1.0, 0.0), (), (float("nan"), 0.5), (0.5, float("inf"))]:
        with pytest.raises(ValueError, match=r"\bfractions\b"):
            data.split(fractions, key=jax.random.key(0))
    for fractions in (0.8, "0.8", ("0.8", "0.2"), None, {0.8, 0.2}):
        with pytest.raises(TypeError, match=r"\bfractions\b"):
            data.split(fractions, key=jax.random.key(0))
    for key in (0, None, jax.random.PRNGKey(0), jax.random.split(jax.random.key(0))):
        with pytest.raises(TypeError, match=r"\bkey\b"):
            data.split((0.5, 0.5), key=key)
    with pytest.raises(ValueError, match=r"\bpart\b"):
        data.split((0.99, 0.01), key=jax.random.key(0))


# What is refused


SPIKES, LABELS = make_arrays(n=4)
CLASS_NAMES = ["a", "b", "c"]
CURRENTS = SPIKES.astype(np.float32)


def spoilt(values, bad):
    out = np.array(values, np.float64)
    out[1, 2, 3] = bad
    return out


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        ([0, 1, 2, 3], ValueError),
        ([0, -1, 2, 1], ValueError),
        ([0.0, 1.0, 2.0, 1.0], DtypeError),
        ([True, False, True, True], DtypeError),
        (["a", "b", "c", "a"], DtypeError),
        ([0j, 1j, 2, 1], DtypeError),
        ([[0], [1], [2], [1]], ShapeError),
        ([0, 1, 2], ShapeError),
        (np.asarray(1), ShapeError),
        (np.ma.masked_less([0, 1, 2, 1], 1), TypeError),
        ([[0], [1, 2]], TypeError),
        ({0: 1}, TypeError),
    ],
)
def test_labels_that_are_none_are_refused(targets, error):
    for make in (
        lambda: from_spikes(SPIKES, targets, sample_shape=(FEATURES,), classes=CLASS_NAMES),
        lambda: from_currents(CURRENTS, targets, sample_shape=(FEATURES,), classes=CLASS_NAMES),
        lambda: from_constant(CURRENTS[:, 0], targets, steps=2, classes=CLASS_NAMES),
    ):
        with pytest.raises(error, match=r"\btargets\b"):
            make()


@pytest.mark.parametrize(
    ("targets", "error", "where"),
    [
        ([0.0, 1.0, 2.0, 1.0], DtypeError, "targets"),
        ([0.0, np.nan, 1.0, 2.0], ValueError, r"targets.*\(1,\)"),
        ([[0.0], [1.0], [np.inf], [2.0]], ValueError, r"targets.*\(2, 0\)"),
        ([0.0, 1e300, 0.0, 0.0], ValueError, r"targets.*\(1,\)"),
        ([0.0, 1.5], ShapeError, "targets"),
        (np.asarray(0.5), ShapeError, "targets"),
    ],
)
def test_regression_targets_that_are_none_are_refused(targets, error, where):
    with pytest.raises(error, match=where):
        from_spikes(SPIKES, targets, sample_shape=(FEATURES,))


@pytest.mark.parametrize(("make", "name"), [(from_spikes, "spikes"), (from_currents, "values")])
def test_axes_in_another_order_are_refused(make, name):
    values = SPIKES if make is from_spikes else CURRENTS
    for wrong in (np.swapaxes(values, 1, 2), values[0], values[..., None], values[:, 0]):
        with pytest.raises(ShapeError, match=rf"{make.__name__}: {name}\b"):
            make(wrong, LABELS, sample_shape=(FEATURES,))
    for error, shape in [(ShapeError, ()), (ShapeError, (0,)), (TypeError, FEATURES), (TypeError, (5.0,))]:
        with pytest.raises(error, match=r"\bsample_shape\b"):
            make(values, LABELS, sample_shape=shape)


def test_still_examples_have_a_shape():
    with pytest.raises(ShapeError, match=r"from_constant: values\b"):
        from_constant(CURRENTS[:, 0, 0], LABELS, steps=2)


def test_counts_are_no_spikes():
    for wrong in (2, -1, 0.5, np.nan):
        with pytest.raises(ValueError, match=r"\bspikes\b"):
            from_spikes(spoilt(SPIKES, wrong), LABELS, sample_shape=(FEATURES,))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])  # the last one is beyond float32
def test_currents_that_are_not_finite_are_refused(bad):
    values = spoilt(CURRENTS, bad)
    for make in (
        lambda: from_currents(values, LABELS, sample_shape=(FEATURES,)),
        lambda: from_constant(values, LABELS, steps=2),
    ):
        with pytest.raises(ValueError, match=r"\bvalues\b.*\(1, 2, 3\)"):
            make()


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_currents_are_floats(dtype):
    with pytest.raises(DtypeError, match=r"from_currents: values\b"):
        from_currents(SPIKES.astype(dtype), LABELS, sample_shape=(FEATURES,))
    with pytest.raises(DtypeError, match=r"from_constant: values\b"):
        from_constant(SPIKES[:, 0].astype(dtype), LABELS, steps=2)


def test_an_empty_data_set_is_refused():
    for make in (
        lambda: from_spikes(SPIKES[:0], LABELS[:0], sample_shape=(FEATURES,)),
        lambda: from_currents(CURRENTS[:, :0], LABELS, sample_shape=(FEATURES,)),
        lambda: from_constant(CURRENTS[:0, 0], LABELS[:0], steps=2),
    ):
        with pytest.raises(ValueError, match=r"\bexample\b"):
            make()


@pytest.mark.parametrize("steps", [0, -1, True, 2.0])
def test_constants_need_a_number_of_steps(steps):
    with pytest.raises((ValueError, TypeError), match=r"\bsteps\b"):
        from_constant(CURRENTS[:, 0], LABELS, steps=steps)


@pytest.mark.parametrize(
    "mask", [np.ones((STEPS, 4), bool), np.ones(4, bool), np.ones((4, STEPS)), np.ones((4, STEPS), int)]
)
def test_a_mask_is_one_bool_an_example_and_step(mask):
    for make, values in ((from_spikes, SPIKES), (from_currents, CURRENTS)):
        with pytest.raises(ShapeError, match=r"\bmask\b"):
            make(values, LABELS, sample_shape=(FEATURES,), mask=mask)


def test_a_data_set_is_made_of_a_layout_and_a_time_step():
    data = make_data()
    with pytest.raises(TypeError, match=r"\binputs\b"):
        snnx.SpikeDataset(jnp.ones((4, STEPS, FEATURES)), jnp.zeros(4, int))
    for dt in (0, -1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(TypeError if isinstance(dt, str | bool) else ValueError, match=r"\bdt\b"):
            data.with_dt(dt)
    fine = data.with_dt(1e-3)
    assert (fine.dt, fine.classes) == (1e-3, data.classes)
    np.testing.assert_array_equal(fine.inputs.packed, data.inputs.packed)


def test_a_mask_leaves_a_step_of_every_example():
    mask = make_mask(4)
    mask[2] = False
    for make, values in ((from_spikes, SPIKES), (from_currents, CURRENTS)):
        with pytest.raises(ValueError, match=r"\bmask\b.*\bexample 2\b"):
            make(values, LABELS, sample_shape=(FEATURES,), mask=mask)


def test_a_mask_that_is_upside_down_is_refused():
    values = np.array(CURRENTS)
    values[:, 4:] = 0.0
    live = np.arange(STEPS)[None].repeat(4, axis=0) < 4
    for make in (from_spikes, from_currents, from_counts):
        assert make(values, LABELS, sample_shape=(FEATURES,), mask=live).mask is not None
        with pytest.raises(ValueError, match=r"\bmask\b"):
            make(values, LABELS, sample_shape=(FEATURES,), mask=~live)
        silent = make(0.0 * values, LABELS, sample_shape=(FEATURES,), mask=~live)  # which nothing contradicts
        assert not silent.example(0).any()


def test_taking_is_compiled_and_stays_inside():
    data = make_data(n=6)
    np.testing.assert_array_equal(
        jax.jit(lambda i: data.take(i).targets)(jnp.array([5, 0, 9])), data.targets[jnp.array([5, 0, 5])]
    )


def test_data_sets_are_told_apart():
    data = make_data()
    assert fingerprint(data) == fingerprint(make_data())
    labels = data.targets.at[-1].set((data.targets[-1] + 1) % CLASSES)
    others = [
        make_data(seed=1),
        make_data(masked=True),
        data.subset(range(len(data) - 1)),
        data.subset(range(len(data) - 1, -1, -1)),
        data.with_dt(2.0),
        snnx.SpikeDataset(data.inputs, labels, data.mask, data.classes, data.dt),
        snnx.SpikeDataset(Bits(data.inputs.packed ^ 1, (FEATURES,)), data.targets, data.mask, data.classes, data.dt),
    ]
    assert len({fingerprint(other) for other in [data, *others]}) == len(others) + 1
