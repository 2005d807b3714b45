"""Encoders of change: against a loop in float64, and within a threshold of the signal."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnx._errors import ShapeError
from snnx.encoding import delta, send_on_delta, send_on_delta_inverse


def reference(signal, threshold):
    """Send-on-delta, one feature after the other, event by event."""
    counts = np.zeros((len(signal), 2, signal.shape[1]))
    for channel in range(signal.shape[1]):
        level = signal[0, channel]
        for t, x in enumerate(signal[:, channel]):
            while x - level >= threshold[channel]:
                level += threshold[channel]
                counts[t, 0, channel] += 1
            while level - x >= threshold[channel]:
                level -= threshold[channel]
                counts[t, 1, channel] += 1
    return counts


def test_delta_is_the_published_example():
    # The examples on snnTorch's page of spikegen.delta (padding=True), which has ON and OFF as +1 and -1.
    np.testing.assert_array_equal(delta(jnp.array([1.0, 2.0, 2.9, 3.0, 3.9]), 1.0)[:, 0], [0, 1, 0, 0, 0])
    both = np.asarray(delta(jnp.array([1.0, 2.0, 0.0, 2.0, 2.9]), 1.0))
    np.testing.assert_array_equal(both[:, 0] - both[:, 1], [0, 1, -1, 1, 0])
    assert both.max() == 1


def test_delta_compares_each_sample_with_the_one_before():
    signal = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    threshold = np.array([[0.5, 1.0], [0.1, 2.0], [0.7, 0.3]], np.float32)
    expected = np.zeros((20, 2, 3, 2))
    for t in range(1, 20):
        for index in np.ndindex(3, 2):
            change = float(signal[t][index]) - float(signal[t - 1][index])
            expected[(t, 0, *index)] = change >= threshold[index]
            expected[(t, 1, *index)] = -change >= threshold[index]
    assert 0 < expected.mean() < 0.5
    np.testing.assert_array_equal(delta(jnp.asarray(signal), jnp.asarray(threshold)), expected)


def test_several_thresholds_are_a_vmap():
    signal = jnp.array([[0.0, 0.0], [0.6, -3.0], [0.5, 1.0]])
    thresholds = jnp.array([0.5, 2.0, 3.5])
    together = jax.vmap(delta, in_axes=(None, 0), out_axes=1)(signal, thresholds)
    assert together.shape == (3, 3, 2, 2)
    #                        threshold 0.5            2                        3.5
    np.testing.assert_array_equal(together[1], [[[1, 0], [0, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    np.testing.assert_array_equal(together[2], [[[0, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 1], [0, 0]]])
    counts = jax.vmap(send_on_delta, in_axes=(None, 0), out_axes=1)(signal, thresholds)
    np.testing.assert_array_equal(counts[:, 1], reference(np.asarray(signal, float), [2.0, 2.0]))


# Multiples of 1/64 and thresholds that are powers of two: all arithmetic is exact, and so is every claim.
dyadic = hnp.arrays(np.int64, (12, 3), elements=st.integers(-1000, 1000)).map(lambda x: x / 64)


encode, decode = eqx.filter_jit(send_on_delta), eqx.filter_jit(send_on_delta_inverse)  # compiled once for many examples


@given(dyadic, st.sampled_from([0.125, 0.5, 2.0]))
def test_send_on_delta_is_the_reference_and_stays_within_a_threshold(signal, threshold):
    events = encode(jnp.asarray(signal, jnp.float32), threshold)
    np.testing.assert_array_equal(events, reference(signal, [threshold] * 3))
    again = decode(events, threshold, jnp.asarray(signal[0], jnp.float32))
    assert np.all(np.abs(np.asarray(again) - signal) < threshold)


@pytest.mark.slow
@given(
    hnp.arrays(np.float32, (30, 2), elements=st.floats(-1000, 1000, width=32)),
    hnp.arrays(np.float32, 2, elements=st.floats(np.float32(0.01), 10, width=32)),
)
def test_any_signal_comes_back_within_a_threshold(signal, threshold):
    events = encode(jnp.asarray(signal), jnp.asarray(threshold))
    again = decode(events, jnp.asarray(threshold), jnp.asarray(signal[0]))
    rounding = 4 * np.spacing(np.abs(signal).max() + threshold)
    assert np.all(np.abs(np.asarray(again, float) - signal) < threshold + rounding)
    assert np.asarray(events).min() >= 0
    assert not np.any(np.asarray(events[:, 0] * events[:, 1]))  # ON or OFF, never both


def test_errors_do_not_add_up_over_a_long_signal():
    signal = np.cumsum(np.full((20_000, 1), 0.1, np.float32), axis=0, dtype=np.float32)
    events = send_on_delta(jnp.asarray(signal), 0.3)
    again = np.asarray(send_on_delta_inverse(events, 0.3, jnp.asarray(signal[0])), float)
    assert np.asarray(events).sum() > 6000
    assert np.abs(again - signal).max() < 0.3 + 0.001  # the signal is up to 2000, a spacing of 0.0001


def test_noise_below_the_threshold_leaves_no_events():
    signal = jnp.array([0.0, 1.5, 0.6, 1.4, 0.1, 0.0])  # one up; down only once the reference, 1, is left by 1
    np.testing.assert_array_equal(send_on_delta(signal, 1.0), [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0], [0, 1]])


@pytest.mark.slow
def test_double_precision_is_used_where_it_comes(x64):
    signal = np.random.default_rng(1).normal(size=(50, 2)).cumsum(axis=0)
    events = send_on_delta(jnp.asarray(signal), 1e-7)
    again = send_on_delta_inverse(events, 1e-7, jnp.asarray(signal[0]))
    assert events.dtype == jnp.float64
    assert np.all(np.abs(np.asarray(again) - signal) < 1.0001e-7)


@pytest.mark.slow
@pytest.mark.parametrize("run", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_what_cannot_be_counted_is_refused(run):
    far = jnp.array([0.0, 1e6, 0.0])
    for threshold in (1e-3, 1e-30, 1e-44):
        with pytest.raises(RuntimeError, match=r"send_on_delta: .*\bthresholds?\b"):
            jax.block_until_ready(run(lambda x, threshold=threshold: send_on_delta(x, threshold))(far))
    with pytest.raises(RuntimeError, match=r"\bbfloat16\b"):
        jax.block_until_ready(run(lambda x: send_on_delta(x, 1.0))(jnp.array([0.0, 300.0], jnp.bfloat16)))
    slowly = jnp.arange(0.0, 1000.0, 100.0, jnp.bfloat16)  # 900 thresholds away in the end, 104 at most at once
    events = run(lambda x: send_on_delta(x, 1.0))(slowly)
    assert float(events.astype(jnp.float32).sum()) == float(slowly[-1])


@pytest.mark.parametrize("encode", [delta, send_on_delta])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_thresholds_in_arrays_are_checked(encode, bad):
    threshold = jnp.array([1.0, bad])
    for run in (encode, eqx.filter_jit(encode)):
        with pytest.raises(RuntimeError, match=rf"{encode.__name__}: threshold\b"):
            jax.block_until_ready(run(jnp.ones((3, 2)), threshold))
    with pytest.raises(ShapeError, match=rf"{encode.__name__}: threshold\b"):
        encode(jnp.ones((3, 2)), jnp.ones(3))


def test_the_inverse_refuses_other_arguments():
    start = jnp.zeros(3)
    with pytest.raises(ShapeError, match=r"\bevents\b"):
        send_on_delta_inverse(jnp.zeros((4, 3)), 1.0, start)
    with pytest.raises(ShapeError, match=r"\bstart\b"):
        send_on_delta_inverse(jnp.zeros((4, 2, 3)), 1.0, jnp.zeros(2))
    for events, begin, named in (
        (jnp.full((4, 2, 3), -1.0), start, "events"),
        (jnp.full((4, 2, 3), np.nan), start, "events"),
        (jnp.zeros((4, 2, 3)), jnp.full(3, np.inf), "start"),
    ):
        with pytest.raises(RuntimeError, match=rf"send_on_delta_inverse: {named}\b"):
            jax.block_until_ready(send_on_delta_inverse(events, 1.0, begin))
