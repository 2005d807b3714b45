"""Streams: every example of every chunk once an epoch, the same numbers after a stop, and refusals of what does not fit."""

import itertools
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import CLASSES, FEATURES, STEPS, make_arrays, make_data, make_model

import snnx
from snnx._errors import DataError
from snnx.data import AbstractStream, SpikeDataset, from_spikes, stream, stream_chunks, stream_grain
from snnx.train._batches import Chunks

LOSS = snnx.CrossEntropy(snnx.Mean())


def numbered(n=11):
    """Example i has the number i in binary as its spikes in every step, so that it is known again."""
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    spikes = np.repeat(bits[:, None], 3, axis=1)
    return from_spikes(spikes, np.arange(n) % 2, sample_shape=(8,), layout="bits", meta={"number": np.arange(n)})


def numbers_of(chunk: SpikeDataset) -> list[int]:
    dense = np.stack([chunk.example(i)[0] for i in range(len(chunk))])
    found = (dense @ 2 ** np.arange(8)).astype(int).tolist()
    assert found == np.asarray(chunk.meta["number"]).tolist()
    assert (np.asarray(found) % 2 == np.asarray(chunk.targets)).all()
    return found


@pytest.mark.parametrize("layout", ["bits", "lists", "counts", "events", "floats"])
def test_a_data_set_is_cut_into_chunks_that_hold_every_example_once(layout):
    chunks = stream(numbered().as_layout(layout), 4)
    assert (len(chunks), chunks.sizes(3)) == (11, [4, 4, 3])
    in_order = [numbers_of(chunk) for chunk in chunks.chunks(None, 0)]
    assert in_order == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    one, other = ([numbers_of(chunk) for chunk in chunks.chunks(seed, 0)] for seed in (1, 2))
    assert sorted(itertools.chain(*one)) == sorted(itertools.chain(*other)) == list(range(11))
    assert one != other
    assert {frozenset(c) for c in one} != {frozenset(c) for c in other}  # across chunks too
    assert [numbers_of(chunk) for chunk in chunks.chunks(1, 1)] == one[1:]


def test_loaded_chunks_come_in_another_order_each_epoch():
    data = numbered(12)
    parts = [data.subset(range(5)), data.subset(range(5, 7)), data.subset(range(7, 12))]
    chunks = stream_chunks(lambda i: parts[i], [5, 2, 5])
    orders = {tuple(chunk.meta["number"][0].item() for chunk in chunks.chunks(seed, 0)) for seed in range(20)}
    assert len(orders) == 6
    for seed in range(5):
        assert chunks.sizes(seed) == [len(chunk) for chunk in chunks.chunks(seed, 0)]


def collated(numbers):
    return numbered().subset([int(number) for number in numbers])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_examples_of_grain_come_with_and_without_processes(workers):
    grain = pytest.importorskip("grain")
    chunks = stream_grain(grain.MapDataset.source(np.arange(10)), collated, chunk=4, workers=workers)
    assert [numbers_of(chunk) for chunk in chunks.chunks(None, 0)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    shuffled = [numbers_of(chunk) for chunk in chunks.chunks(5, 0)]
    assert sorted(itertools.chain(*shuffled)) == list(range(10))
    assert shuffled != [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [numbers_of(chunk) for chunk in chunks.chunks(5, 2)] == shuffled[2:]


def fit(data, epochs=3, **more):
    settings = dict(loss=LOSS, optimizer=optax.adam(1e-2), epochs=epochs, batch_size=4, key=jax.random.key(1))
    return snnx.fit(make_model(), data, **(settings | {"progress": False} | more))


@pytest.mark.slow
def test_every_example_counts_once_an_epoch_whatever_the_chunks():
    # Weights that do not move: the mean loss of an epoch is that of the data set, in any order and any chunks.
    data = make_data(n=11)
    frozen = optax.sgd(0.0)
    whole = fit(data, optimizer=frozen).history
    for chunk in (3, 8, 100):
        for record in fit(stream(data, chunk), optimizer=frozen).history:
            assert record["loss"] == pytest.approx(whole[0]["loss"], rel=1e-5)
            assert record["accuracy"] == pytest.approx(whole[0]["accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["bits", "events"])
def test_a_stream_learns_as_the_data_set_does(layout):
    data = make_data(n=30)
    result = fit(stream(data.as_layout(layout), 12), epochs=30)
    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]
    scored, whole = snnx.evaluate(result.model, stream(data, 7)), snnx.evaluate(result.model, data)
    np.testing.assert_allclose(scored.losses, whole.losses, rtol=1e-5)
    np.testing.assert_array_equal(scored.predictions, whole.predictions)
    np.testing.assert_array_equal(scored.confusion, whole.confusion)
    assert scored.accuracy == whole.accuracy
    assert scored.spike_rates == pytest.approx(whole.spike_rates)


@pytest.mark.slow
def test_a_stream_is_compiled_for_once_and_its_short_chunk_too():
    data = make_data(n=11)
    with programs(1):
        fit(stream(data, 4), epochs=2, batch_size=3)
    with programs(0):
        fit(stream(data, 4), epochs=2, batch_size=3)


def leaves(result):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(result.state.model, eqx.is_array))]


class StopAt(snnx.train.AbstractCallback):
    """Raise after so many segments: as a run that is killed."""

    def __init__(self, segments):
        self.left = segments

    def after_segment(self, snapshot):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def undisturbed():
    return fit(stream(make_data(n=22), 8), validation=make_data(n=6))


@pytest.mark.slow
@pytest.mark.parametrize("segments", [1, 4, 6, 9])
def test_a_stopped_stream_goes_on_bit_for_bit(tmp_path, monkeypatch, segments, undisturbed):
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 0.0)  # every step is a segment
    data = stream(make_data(n=22), 8)
    path = tmp_path / "state.npz"
    keep = snnx.Checkpoint(path, every=0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(data, validation=make_data(n=6), callbacks=[keep, StopAt(segments)])
    again = fit(data, validation=make_data(n=6), resume=path)
    for one, other in zip(leaves(undisturbed), leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [record["loss"] for record in undisturbed.history] == [record["loss"] for record in again.history]


def test_the_next_chunk_is_loaded_while_the_present_one_is_trained_on():
    data, loaded = make_data(n=12), []
    parts = [data.subset(range(i, i + 4)) for i in (0, 4, 8)]

    def load(number):
        loaded.append(number)
        return parts[number]

    given = Chunks(stream_chunks(load, [4, 4, 4]), 2, jax.random.key(0), None, LOSS)
    loaded.clear()
    chunks = given.of(0, 0)
    first = next(chunks)
    for _ in range(200):  # another thread
        if len(loaded) == 2:
            break
        time.sleep(0.01)
    assert len(loaded) == 2
    assert (first.number, first.first, first.stop) == (0, 0, 2)
    rest = list(chunks)
    assert [(c.number, c.first, c.stop) for c in rest] == [(1, 2, 4), (2, 4, 6)]
    assert sorted(loaded) == [0, 1, 2]
    assert [c.number for c in given.of(0, 3)] == [1, 2]  # from the chunk on that holds step 3


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda data: stream("x", 4), TypeError, "stream: data"),
        (lambda data: stream(data, 0), ValueError, "stream: chunk"),
        (lambda data: stream(data, True), TypeError, "stream: chunk"),
        (lambda data: stream(data, 4.0), TypeError, "stream: chunk"),
        (lambda data: stream_chunks(3, [1]), TypeError, "stream_chunks: load"),
        (lambda data: stream_chunks(lambda i: data, []), ValueError, "stream_chunks: sizes"),
        (lambda data: stream_chunks(lambda i: data, 6), TypeError, "stream_chunks: sizes"),
        (lambda data: stream_chunks(lambda i: data, [0]), ValueError, "stream_chunks: sizes"),
        (lambda data: stream_chunks(lambda i: data, [7]), DataError, r"load\(0\).*6.*sizes\[0\].*7"),
        (lambda data: stream_chunks(lambda i: 3, [7]), TypeError, r"load\(0\).*int 3"),
    ],
)
def test_what_cannot_be_streamed_is_refused(call, error, named):
    with pytest.raises(error, match=named):
        call(make_data(n=6))


def test_numbers_of_numpy_are_taken():
    data = make_data(n=6)
    assert stream(data, np.int64(4)).sizes(None) == [4, 2]
    assert stream_chunks(lambda i: data, np.array([6, 6])).sizes(None) == [6, 6]


def test_chunks_of_another_layout_are_refused_rather_than_compiled_for():
    data = make_data(n=8)
    parts = [data.subset(range(4)), data.subset(range(4, 8)).as_layout("counts")]
    with pytest.raises(DataError, match=r"\bstream\b"):
        fit(stream_chunks(lambda i: parts[i], [4, 4]), epochs=1)


def test_labels_of_every_chunk_are_checked():
    spikes, labels = make_arrays(n=8)
    good = from_spikes(spikes, labels, sample_shape=(FEATURES,), classes=[str(i) for i in range(CLASSES)])
    bad = eqx.tree_at(lambda d: d.targets, good, jnp.full(8, CLASSES))
    with pytest.raises(ValueError, match=rf"\b{CLASSES}\b"):
        fit(stream_chunks(lambda i: [good, bad][i], [8, 8]), epochs=1)


def test_a_stream_that_does_not_keep_its_word_is_refused():
    data = make_data(n=8)

    class Short(AbstractStream):
        like = data.subset([0])

        def sizes(self, seed):
            return [4, 4]

        def chunks(self, seed, first):
            yield data.subset(range(4))

    with pytest.raises(DataError, match=r"\bstream\b"):
        fit(Short(), epochs=1)


def test_what_a_loader_raises_is_raised_by_fit():
    data = make_data(n=8)

    def load(number):
        if number == 1:
            raise OSError("the disk is gone")
        return data

    with pytest.raises(OSError, match=r"\bdisk\b"):
        fit(stream_chunks(load, [8, 8]), epochs=1)


def test_steps_of_a_stream_are_shown_whole():
    assert Chunks(stream(make_data(n=22), 8), 4, jax.random.key(0), None, LOSS).steps == 2 + 2 + 2
    assert make_data(n=22).num_steps == STEPS


@pytest.mark.slow
def test_chunks_of_other_lengths_are_scored_as_they_are():
    """As many arrays of the same shapes, and yet other steps: of constant currents these are no part of any shape."""
    values, labels = np.random.default_rng(0).uniform(0.5, 2.0, (4, 5)).astype(np.float32), np.arange(4) % 3
    parts = [snnx.data.from_constant(values, labels, steps=steps, classes=("a", "b", "c")) for steps in (16, 2)]
    chunks = snnx.data.stream_chunks(lambda number: parts[number], [4, 4])
    alone = [snnx.evaluate(make_model(), part).losses for part in parts]
    np.testing.assert_allclose(snnx.evaluate(make_model(), chunks).losses, np.concatenate(alone), rtol=1e-5)
