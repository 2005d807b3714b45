"""Metrics: against NumPy and numbers by hand; padded examples and steps do not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnx import metrics
from snnx._errors import DtypeError, ShapeError

# Compiled: what fails at run time only, or differs from the plain call, would be seen here.
accuracy, sparsity, spike_rate = map(jax.jit, (metrics.accuracy, metrics.sparsity, metrics.spike_rate))
top_k, confusion_matrix = (jax.jit(f, static_argnums=2) for f in (metrics.top_k, metrics.confusion_matrix))
interval_variation = jax.jit(metrics.interval_variation)

RNG = np.random.default_rng(3)
SCORES = RNG.normal(size=(40, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 40)
WEIGHTS = RNG.random(40).astype(np.float32) * (RNG.random(40) < 0.7)
SPIKES = (RNG.random((4, 9, 2, 3)) < 0.4).astype(np.float32)


# --- accuracy and top-k


def ranked(k):
    """Whether the label is among the first k of the classes sorted by score, example by example."""
    return np.array(
        [label in sorted(range(5), key=lambda c: -row[c])[:k] for row, label in zip(SCORES, LABELS, strict=True)]
    )


@pytest.mark.parametrize("score", [accuracy, metrics.accuracy])
@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS > 0])
def test_accuracy_is_the_weighted_fraction_of_labels_with_the_highest_score(weights, score):
    right = (SCORES.argmax(1) == LABELS).astype(float)
    np.testing.assert_allclose(score(SCORES, LABELS, weights), np.average(right, weights=weights), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_top_k_sorts(k):
    np.testing.assert_allclose(top_k(SCORES, LABELS, k), ranked(k).mean(), rtol=1e-6)
    np.testing.assert_allclose(top_k(SCORES, LABELS, k, WEIGHTS), np.average(ranked(k), weights=WEIGHTS), rtol=1e-5)
    if k == 1:
        assert top_k(SCORES, LABELS, k) == accuracy(SCORES, LABELS)


def test_of_equal_scores_the_first_class_comes_first():
    scores = np.float32([[1, 1, 0], [0, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal([accuracy(scores, np.full(3, c)) for c in range(3)], np.float32([2, 1, 0]) / 3)
    assert accuracy(scores, scores.argmax(1)) == 1
    np.testing.assert_array_equal([top_k(scores, np.full(3, c), 2) for c in range(3)], np.float32([2, 3, 1]) / 3)


@pytest.mark.parametrize("row", [[np.nan, 0, 0], [0, np.nan, 0], [np.nan] * 3])
def test_a_row_with_a_nan_is_wrong(row):
    for label in range(3):
        assert accuracy(np.float32([row]), np.array([label])) == 0
        assert top_k(np.float32([row]), np.array([label]), 3) == 0


@pytest.mark.parametrize("label", [-1, 5, 200])
def test_a_label_that_is_not_a_class_is_wrong(label):
    assert accuracy(SCORES[:1], np.array([label])) == 0
    assert top_k(SCORES[:1], np.array([label]), 5) == 0


def test_scores_of_minus_infinity_are_sorted_too():
    scores = np.float32([[-np.inf, 0, -np.inf]])
    np.testing.assert_array_equal([top_k(scores, np.array([c]), 2) for c in range(3)], [1, 1, 0])


def test_padded_examples_do_not_count():
    padded = np.concatenate([SCORES, np.full((7, 5), np.nan, np.float32)])
    labels = np.concatenate([LABELS, np.full(7, -1)])
    weights = np.arange(47) < 40
    assert accuracy(padded, labels, weights) == accuracy(SCORES, LABELS)
    assert top_k(padded, labels, 3, weights) == top_k(SCORES, LABELS, 3)
    np.testing.assert_array_equal(
        confusion_matrix(labels, padded.argmax(1), 5, weights), confusion_matrix(LABELS, SCORES.argmax(1), 5)
    )


def test_of_no_example_there_is_no_accuracy():
    assert jnp.isnan(accuracy(SCORES, LABELS, np.zeros(40, np.float32)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_many_examples_are_counted_in_float32(dtype):
    scores = jnp.zeros((3000, 2), dtype)
    assert accuracy(scores, jnp.arange(3000) % 3, jnp.ones(3000, dtype)) == pytest.approx(1 / 3, rel=1e-6)


# --- confusion matrix


def test_rows_are_labels_and_columns_predictions():
    labels, predictions = np.array([0, 0, 0, 1, 2, 2], np.uint8), np.array([0, 1, 1, 1, 0, 2])
    expected = [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    matrix = confusion_matrix(labels, predictions, 3)
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == jnp.int32
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, predictions, np.int64(3)), expected)


def test_a_confusion_matrix_adds_up_weights():
    predictions = SCORES.argmax(1)
    expected = np.zeros((5, 5))
    for label, prediction, weight in zip(LABELS, predictions, WEIGHTS, strict=True):
        expected[label, prediction] += weight
    matrix = confusion_matrix(LABELS, predictions, 5, WEIGHTS)
    np.testing.assert_allclose(matrix, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(jnp.trace(matrix) / matrix.sum(), accuracy(SCORES, LABELS, WEIGHTS), rtol=1e-5)


def test_what_is_not_a_class_is_left_out():
    matrix = confusion_matrix(np.array([0, -1, 3, 1, 1]), np.array([0, 0, 0, 3, -1]), 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])


# --- spikes


def test_rates_are_per_neuron_and_step():
    rate = spike_rate(SPIKES)
    np.testing.assert_allclose(rate, SPIKES.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(spike_rate(np.concatenate([SPIKES, SPIKES], axis=1)), rate, rtol=1e-6)
    np.testing.assert_allclose(spike_rate(SPIKES.astype(np.uint8)), rate, rtol=1e-6)


def test_sparsity_is_the_fraction_of_zeros():
    np.testing.assert_allclose(sparsity(SPIKES), 1 - SPIKES.mean(), rtol=1e-6)
    np.testing.assert_allclose(sparsity(-7 * SPIKES), 1 - SPIKES.mean(), rtol=1e-6)
    assert sparsity(np.zeros((1, 4, 2))) == 1


def test_padded_examples_and_steps_do_not_count_in_rates():
    lengths, weights = np.array([9, 4, 7, 2]), np.array([True, True, False, True])
    mask = np.arange(9) < lengths[:, None]
    real = np.concatenate([SPIKES[i, : lengths[i]] for i in range(4) if weights[i]])
    garbage = np.where((mask & weights[:, None])[..., None, None], SPIKES, np.nan)
    np.testing.assert_allclose(spike_rate(garbage, weights, mask), real.mean(0), rtol=1e-6)
    np.testing.assert_allclose(metrics.spike_rate(garbage, weights, mask), real.mean(0), rtol=1e-6)
    np.testing.assert_allclose(sparsity(garbage, weights, mask), 1 - real.mean(), rtol=1e-6)
    np.testing.assert_allclose(spike_rate(SPIKES, None, mask), SPIKES[mask].mean(0), rtol=1e-6)
    np.testing.assert_allclose(spike_rate(SPIKES, weights), SPIKES[weights].mean((0, 1)), rtol=1e-6)


def variation(train):
    intervals = np.diff(np.flatnonzero(train))
    return intervals.std() / intervals.mean() if len(intervals) > 1 else np.nan


def test_the_variation_of_intervals_is_that_of_numpy():
    trains = (np.random.default_rng(0).random((3, 200, 4)) < [0.0, 0.01, 0.1, 0.5]).astype(np.float32)
    expected = [[variation(train) for train in example.T] for example in trains]
    np.testing.assert_allclose(interval_variation(trains), expected, rtol=1e-5)


def test_a_clock_does_not_vary_and_a_poisson_process_does():
    clock = np.tile([0, 0, 1], 30)
    poisson = np.random.default_rng(1).random(40_000) < 0.01
    assert interval_variation(clock[None]) == 0
    assert interval_variation(poisson[None]) == pytest.approx(1, abs=0.05)


def test_masked_steps_are_skipped_between_spikes():
    train = np.array([[1, 1, 0, 0, 1, 0, 1, 0, 1]])
    mask = np.array([[True, True, False, False, True, False, True, True, True]])
    assert interval_variation(train, mask) == pytest.approx(variation(train[mask]), rel=1e-6)
    assert jnp.isnan(interval_variation(train[:, :2]))


# --- what is refused


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: metrics.accuracy(SCORES, LABELS[:3]), ShapeError, "labels"),
        (lambda: metrics.accuracy(SCORES, LABELS * np.float32(1)), DtypeError, "labels"),
        (lambda: metrics.accuracy(LABELS, LABELS), DtypeError, "scores"),
        (lambda: metrics.accuracy(SCORES.astype(float), LABELS), DtypeError, "scores"),
        (lambda: metrics.accuracy(SCORES, LABELS, WEIGHTS[:3]), ShapeError, "weights"),
        (lambda: metrics.accuracy(SCORES[0], LABELS[:1]), ShapeError, "scores"),
        (lambda: metrics.top_k(SCORES, LABELS, 6), ValueError, "k"),
        (lambda: metrics.top_k(SCORES, LABELS, 0), ValueError, "k"),
        (lambda: metrics.top_k(SCORES, LABELS, 2.0), TypeError, "k"),
        (lambda: metrics.confusion_matrix(LABELS, LABELS, 0), ValueError, "classes"),
        (lambda: metrics.confusion_matrix(LABELS, LABELS[:3], 5), ShapeError, "predictions"),
        (lambda: metrics.confusion_matrix(SCORES, LABELS, 5), DtypeError, "labels"),
        (lambda: metrics.spike_rate(SPIKES[0, 0, 0]), ShapeError, "spikes"),
        (lambda: metrics.spike_rate(SPIKES, mask=np.ones((4, 8), bool)), ShapeError, "mask"),
        (lambda: metrics.sparsity(SPIKES, mask=np.ones((4, 9), np.float32)), DtypeError, "mask"),
        (lambda: metrics.sparsity(SPIKES.astype(float)), DtypeError, "activations"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        call()
