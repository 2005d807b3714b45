"""Lists of events: networks compute from them what they compute from the dense array, and train alike."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CLASSES, FEATURES, assert_same_bits, fit, make_model

import snnx
from snnx._errors import DtypeError, ShapeError
from snnx.data import SpikeDataset, fingerprint, from_counts
from snnx.inputs import EventList, EventTable, Floats
from snnx.inputs import _binned as binned_module

pytestmark = pytest.mark.slow  # nearly all of it is compiling

K = jax.random.split(jax.random.key(0), 4)
STEPS, CHANNELS = 11, 6


def make_counts(n=4, steps=STEPS, channels=CHANNELS, seed=0, rate=0.3):
    """Counts from 0 to 3: one example empty, one with all its events in one step, one full in its last step."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, (n, steps, channels)) * (rng.random((n, steps, channels)) < rate)
    counts[0] = 0
    if n > 1:
        counts[1] = 0
        counts[1, steps // 2] = rng.integers(1, 4, channels)
    counts[-1, -1, -1] = 2
    return counts


def as_events(counts):
    n, _, *shape = counts.shape
    return from_counts(counts, np.arange(n), sample_shape=tuple(shape)).as_layout("events")


def one(counts):
    """The events of a single example `[time, channels]`, its list in full."""
    return jax.tree.map(lambda x: x[0], as_events(counts[None]).take(jnp.array([0])).inputs)


def linear(n_in, n_out, key):
    layer = eqx.nn.Linear(n_in, n_out, key=key)
    return eqx.tree_at(lambda part: part.weight, layer, 3.0 * layer.weight)


# Stretches of time

cut = jax.jit(EventList.stretch, static_argnums=2)


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_busiest_is_the_most_within_any_window(n, steps, channels, seed, rate):
    counts = make_counts(n, steps, channels, seed, rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binned_module, "BINS_AT_ONCE", 40)
        table = as_events(counts).inputs
    sizes = [1]
    while sizes[-1] < steps:
        sizes.append(2 * sizes[-1])
    expected = []
    for size in sizes:
        windows = [counts[i, t : t + size].sum() for i in range(n) for t in range(max(1, steps - size + 1))]
        expected.append(max(windows))
    assert table.busiest == tuple(expected)
    assert table.capacity == max(counts[i].sum() for i in range(n))


@pytest.mark.parametrize("steps", [1, 9])
def test_stretches_are_slices(steps):
    counts = make_counts(3, steps, 4)
    for i in range(3):
        events = as_events(counts).take(jnp.array([i])).inputs
        events = jax.tree.map(lambda x: x[0], events)
        for size in {1, min(3, steps), steps}:
            assert events.stretch(0, size).num_steps == size
            traced = jax.jit(jax.vmap(lambda start, e=events, s=size: e.stretch(start, s).dense()))
            starts = jnp.arange(steps - size + 1)
            expected = [counts[i, t : t + size] for t in range(steps - size + 1)]
            np.testing.assert_array_equal(traced(starts), expected)


@given(st.data())
def test_a_stretch_of_a_stretch_is_a_slice_of_a_slice(data):
    counts = make_counts(2, 16, 3)[-1]
    events, expected = one(counts), counts
    for size in data.draw(st.sampled_from([(9, 9, 4), (9, 4, 1), (13, 5, 3)])):
        start = data.draw(st.integers(0, len(expected) - size))
        events, expected = cut(events, start, size), expected[start : start + size]
    dense = np.zeros((len(expected), 3))  # read here, so that nothing is compiled for each size
    for t, c in zip(np.asarray(events.steps), np.asarray(events.channels), strict=True):
        if t < events.num_steps:
            dense[t, c] += 1
    np.testing.assert_array_equal(dense, expected)


def test_a_stretch_looks_at_no_more_events_than_it_may_have():
    counts = np.zeros((64, 3), int)
    counts[::2, 1] = 1
    counts[5] = 4
    events = one(counts)
    sizes = [events.stretch(0, size).steps.shape[0] for size in (1, 2, 3, 4, 8, 64)]
    assert sizes == [12, 13, 14, 14, 16, 44]


@pytest.mark.parametrize("steps", [2**16 - 1, 2**16])
def test_the_last_of_many_steps(steps):
    counts = np.zeros((2, steps, 2), np.uint8)
    counts[1, -1, 1], counts[1, 0, 0], counts[0, -2, 0] = 3, 1, 1
    data = as_events(counts)
    assert data.inputs.steps.dtype == (np.uint16 if steps < 2**16 else np.uint32)
    for i in range(2):
        np.testing.assert_array_equal(data.example(i), counts[i])
    last = jax.tree.map(lambda x: x[0], data.take(jnp.array([1])).inputs).stretch(steps - 3, 3)
    np.testing.assert_array_equal(last.dense(), counts[1, -3:])


def test_the_dtype_is_the_one_asked_for(x64):
    counts = make_counts()[-1]
    assert one(counts).dense().dtype == jnp.float64
    assert one(counts).dense(jnp.bfloat16).dtype == jnp.bfloat16
    np.testing.assert_array_equal(one(counts).dense(jnp.float32), counts)


# Networks


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_computes_the_same_from_events(masked, x64):
    recurrent = snnx.Recurrent(snnx.CubaLIF(tau_mem=5.0, tau_syn=2.0), linear(5, 5, K[2]))
    layers = [linear(CHANNELS, 5, K[0]), snnx.LIF(4.0), linear(5, 5, K[3]), recurrent, linear(5, 3, K[1]), snnx.LI()]
    model, counts = snnx.cast(snnx.Sequential(layers), "float64"), make_counts()
    mask = jnp.arange(STEPS) < 9 if masked else None

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def both(model, inputs, chunk):
        outputs = jax.vmap(lambda xs: snnx.simulate(model, xs, mask=mask, record=["1", "3"], chunk=chunk))(inputs)
        return (outputs[0] ** 2).sum(), outputs

    expected = both(model, jnp.asarray(counts, float), STEPS)
    assert all(0.02 < spikes.mean() < 0.9 for spikes in expected[0][1][2].values())
    events = as_events(counts).take(jnp.arange(4)).inputs
    for chunk in (1, 3, 7, STEPS):
        got = both(model, events, chunk)
        for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


# The table


def test_take_is_that_of_the_other_layouts():
    counts = make_counts(5)
    events, floats = as_events(counts), as_events(counts).as_layout("floats")
    indices = [0, 4, 2, 2, 3, 5, 77, -1, -2, -5, -6]
    expected = floats.take(jnp.array(indices)).inputs.values
    for take in (SpikeDataset.take, jax.jit(SpikeDataset.take)):
        taken = take(events, jnp.array(indices))
        assert (len(taken), taken.num_steps, taken.sample_shape) == (len(indices), STEPS, (CHANNELS,))
        np.testing.assert_array_equal(jax.vmap(lambda xs: xs.dense())(taken.inputs), expected)
        np.testing.assert_array_equal(taken.targets, floats.take(jnp.array(indices)).targets)
    np.testing.assert_array_equal(expected[:7], counts[[0, 4, 2, 2, 3, 4, 4]])


def test_subset_and_split_keep_each_example_whole():
    counts = make_counts(12)
    data = from_counts(counts, np.arange(12) % 3, sample_shape=(CHANNELS,), meta={"number": np.arange(12)})
    data = data.as_layout("events")
    for indices in ([3], [0], [0, 0], [11, 1, 0, 5, 5], range(12)):
        part = data.subset(list(indices))
        assert isinstance(part.inputs, EventTable)
        assert len(part) == len(indices)
        assert part.inputs.steps.shape[0] == sum(counts[i].sum() for i in indices)
        np.testing.assert_array_equal(part.example(len(part) - 1), counts[indices[-1]])
        np.testing.assert_array_equal(part.meta["number"], list(indices))
        floats = np.asarray(part.as_layout("floats").inputs.values)
        np.testing.assert_array_equal(floats, counts[list(indices)])
    parts = data.split((0.5, 0.5), key=K[0])
    assert [len(part) for part in parts] == [6, 6]
    numbers = []
    for part in parts:
        numbers += np.asarray(part.meta["number"]).tolist()
        np.testing.assert_array_equal(part.as_layout("floats").inputs.values, counts[numbers[-6:]])
        np.testing.assert_array_equal(part.targets, np.array(numbers[-6:]) % 3)
    assert sorted(numbers) == list(range(12))
    with pytest.raises(IndexError, match="subset: indices go from 0 to 12, but there are 12"):
        data.subset([0, 12])


def test_a_table_takes_a_few_bytes_for_an_event():
    counts = make_counts(5)
    data = as_events(counts)
    events = int(counts.sum())
    assert data.inputs.steps.shape == (events,)
    assert data.nbytes == 2 * 2 * events + 4 * 6 + 4 * 5
    assert len(data) == len(data.inputs) == 5


def test_no_event_at_all():
    data = as_events(np.zeros((3, 4, 2), int))
    assert (data.inputs.capacity, data.inputs.busiest) == (0, (0, 0, 0))
    taken = jax.jit(SpikeDataset.take)(data, jnp.array([2, 0]))
    np.testing.assert_array_equal(jax.vmap(lambda xs: xs.stretch(1, 2).dense())(taken.inputs), np.zeros((2, 2, 2)))
    for layout in ("bits", "lists", "counts", "events", "floats", "auto"):
        assert not data.subset([1, 2]).as_layout(layout).as_layout("floats").inputs.values.any()
    model = snnx.Sequential([linear(2, 3, K[0]), snnx.LI()])
    dense = snnx.simulate(model, jnp.zeros((4, 2)), chunk=3)[0]
    np.testing.assert_array_equal(snnx.simulate(model, one(np.zeros((4, 2), int)), chunk=3)[0], dense)


def test_fingerprints_tell_tables_apart():
    counts = make_counts(5)
    texts = {fingerprint(as_events(counts))}
    assert fingerprint(as_events(counts.copy())) in texts
    for where in ((0, 0, 0), (3, 2, 1), (4, -1, -1)):
        other = counts.copy()
        other[where] += 1
        texts.add(fingerprint(as_events(other)))
    moved = counts.copy()
    moved[2], moved[3] = counts[3], counts[2]
    texts |= {fingerprint(as_events(moved)), fingerprint(as_events(counts).as_layout("counts"))}
    assert len(texts) == 6


@pytest.mark.parametrize("again", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_copies_are_the_same(again):
    counts = make_counts(3)
    meta = {"who": ["b", "a", "b"], "age": [3, 1, 2]}
    data = from_counts(counts, [0, 1, 0], sample_shape=(CHANNELS,), meta=meta, dt=0.5).as_layout("events")
    copied = again(data)
    assert jax.tree.structure(copied) == jax.tree.structure(data)
    assert_same_bits(copied, data)
    assert fingerprint(copied) == fingerprint(data)
    assert copied.meta_names == (("who", ("a", "b")),)
    np.testing.assert_array_equal(copied.example(2), counts[2])
    np.testing.assert_array_equal(copied.meta["who"], [1, 0, 1])


def test_lists_of_another_kind_are_refused():
    steps, channels = jnp.zeros(3, jnp.uint16), jnp.zeros(3, jnp.uint16)
    with pytest.raises(DtypeError, match=r"\bsteps\b"):
        EventList(steps.astype(jnp.int32), channels, (4,), 5, (1,))
    with pytest.raises(DtypeError, match=r"\bchannels\b"):
        EventList(steps, channels.astype(float), (4,), 5, (1,))
    with pytest.raises(ShapeError, match=r"\bsteps\b"):
        EventList(steps, channels[:2], (4,), 5, (1,))
    with pytest.raises(ShapeError, match=r"\bsample_shape\b"):
        EventList(steps, channels, (), 5, (1,))
    with pytest.raises(ValueError, match=r"\bnum_steps\b"):
        EventList(steps, channels, (4,), 2**16, (1,))
    for busiest in ((), (2, 1)):
        with pytest.raises(ValueError, match=r"\bbusiest\b"):
            EventList(steps, channels, (4,), 5, busiest)
    with pytest.raises(DtypeError, match=r"\bsteps\b"):
        EventTable(jnp.array([0, 3]), steps.astype(jnp.int32), channels, (4,), 5, (1,), 3)


# Training


def make_task(n=23, steps=6, most=4):
    counts = make_counts(n, steps, FEATURES, rate=0.4)
    counts[np.arange(n), :, np.arange(n) % CLASSES] += 1  # something to learn
    return from_counts(np.minimum(counts, most), np.arange(n) % CLASSES, sample_shape=(FEATURES,))


def trained(data):
    """Losses of two epochs, and then of every example."""
    result = fit(data=data, epochs=2)
    score = snnx.evaluate(result.model, data, batch_size=4)
    losses = [entry["loss"] for entry in result.history]
    assert losses[1] < losses[0]
    return np.concatenate([losses, score.losses])


@pytest.mark.slow
def test_training_from_events_is_training_from_floats():
    data = make_task()
    np.testing.assert_allclose(
        trained(data.as_layout("events")), trained(data.as_layout("floats")), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["bits", "counts", "lists", "auto"])
def test_training_from_any_layout_is_training_from_events(layout):
    data = make_task(most=1 if layout == "bits" else 4).as_layout("events")
    np.testing.assert_allclose(trained(data.as_layout(layout)), trained(data), rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    data, path = make_task().as_layout("events"), tmp_path / "state"
    whole = fit(data=data, epochs=2)
    fit(data=data, epochs=1, callbacks=[snnx.Checkpoint(path)])
    again = fit(data=pickle.loads(pickle.dumps(data)), epochs=2, resume=path)
    assert_same_bits(eqx.filter(again.model, eqx.is_array), eqx.filter(whole.model, eqx.is_array))
    with pytest.raises(ValueError, match="data"):
        fit(data=data.subset([*range(1, 23), 0]), epochs=3, resume=path)


def test_currents_and_events_are_told_apart_by_their_layout():
    data = make_task(4)
    assert isinstance(data.as_layout("floats").inputs, Floats)
    assert isinstance(data.as_layout("events").inputs, EventTable)
    assert snnx.evaluate(make_model(), data.as_layout("events")).examples == 4


@pytest.mark.slow
def test_two_devices_train_as_one_does():
    program = """
        import jax, numpy as np, optax, snnx, test_event_lists as here
        data = here.make_task().as_layout("events")
        found = []
        for devices in (None, jax.devices()[:1]):
            result = here.fit(data=data, validation=data, devices=devices, epochs=2)
            score = snnx.evaluate(result.model, data, batch_size=8, devices=devices)
            found.append([*(x["loss"] for x in result.history), *score.losses])
        np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
        print(jax.device_count(), len(found[0]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=os.path.dirname(__file__),
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["2", "25"]
