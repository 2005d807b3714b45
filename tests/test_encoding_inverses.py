"""Codes of one spike, and phase: both directions, against float64 and exactly on their grids."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx.encoding import (
    latency,
    latency_inverse,
    log_latency,
    log_latency_inverse,
    phase,
    phase_inverse,
    time_to_first_spike,
    time_to_first_spike_inverse,
)

unit = st.lists(st.floats(0, 1, width=32, allow_subnormal=False), min_size=8, max_size=8)


def one_hot(times, steps):
    """A train for each time; None is silence."""
    spikes = np.zeros((steps, len(times)))
    for channel, time in enumerate(times):
        if time is not None:
            spikes[time, channel] = 1.0
    return spikes


@pytest.mark.parametrize("steps", [1, 2, 6, 1000])
def test_latency_is_exact_on_its_grid(steps):
    grid = np.arange(steps, dtype=np.float32) / np.float32(steps - 1) if steps > 1 else np.array([0, 1], np.float32)
    np.testing.assert_array_equal(latency_inverse(latency(jnp.asarray(grid), steps)), grid)


# Compiled once for many examples.
latency_there_and_back = jax.jit(lambda x, steps: latency_inverse(latency(x, steps)), static_argnums=1)
phase_of = jax.jit(lambda x, steps, bits: phase(x, steps, bits=bits), static_argnums=(1, 2))
phase_back = jax.jit(lambda spikes, bits: phase_inverse(spikes, bits=bits), static_argnums=1)


@given(unit, st.sampled_from([2, 7, 100]))
def test_latency_is_inverted_within_half_a_step(values, steps):
    again = np.asarray(latency_there_and_back(jnp.asarray(values, jnp.float32), steps), float)
    assert np.all(np.abs(again - values) <= 0.5 / (steps - 1) * (1 + 1e-5))


def test_log_latency_is_the_first_crossing_of_a_charging_integrator():
    # Against the integrator itself in steps of 1/1000, from v = 0: the times agree to that, before rounding.
    tau, threshold, steps = 8.0, 0.2, 30
    values = np.array([0.0, 0.1, 0.2, 0.201, 0.21, 0.25, 0.3, 0.5, 0.9, 2.0, 50.0])
    times = []
    for x in values:
        v, count = 0.0, 0
        while v < threshold and count < 1000 * steps:
            v += (x - v) * -np.expm1(-0.001 / tau)
            count += 1
        time = count / 1000
        assert x <= threshold or time >= steps or abs(time % 1 - 0.5) > 0.01, "choose a value that rounds clearly"
        times.append(round(time) if v >= threshold and round(time) < steps else None)
    assert times[:4] == [None] * 4  # below and at the threshold, and too late
    assert 0 in times
    expected = one_hot(times, steps)
    np.testing.assert_array_equal(
        log_latency(jnp.asarray(values, jnp.float32), steps, tau=tau, threshold=threshold), expected
    )


@pytest.mark.parametrize(("tau", "threshold"), [(20.0, 0.1), (5.0, 3.0)])
def test_log_latency_is_exact_on_its_grid(tau, threshold):
    steps = int(8 * tau)
    times = [*range(steps), None]
    spikes = jnp.asarray(one_hot(times, steps), jnp.float32)
    currents = np.asarray(log_latency_inverse(spikes, tau=tau, threshold=threshold))
    expected = [threshold / (1 - np.exp(-t / tau)) for t in range(1, steps)]
    np.testing.assert_allclose(currents, [np.inf, *expected, 0.0], rtol=1e-6)
    again = log_latency(jnp.asarray(currents[1:]), steps, tau=tau, threshold=threshold)
    np.testing.assert_array_equal(again, spikes[:, 1:])
    np.testing.assert_array_equal(log_latency_inverse(again, tau=tau, threshold=threshold), currents[1:])


@pytest.mark.slow
@given(st.lists(st.floats(0.21875, 100, width=32), min_size=8, max_size=8))
def test_log_latency_is_inverted_within_half_a_step(values):
    tau, threshold, steps = 6.0, 0.2, 40
    again = np.asarray(
        log_latency_inverse(
            log_latency(jnp.asarray(values, jnp.float32), steps, tau=tau, threshold=threshold),
            tau=tau,
            threshold=threshold,
        ),
        float,
    )
    assert np.all(again > threshold)
    time = -tau * np.log1p(-threshold / np.array(values))
    assert np.all(np.abs(-tau * np.log1p(-threshold / again) - time) <= 0.5 + 1e-4)


def test_time_to_first_spike_is_the_first_threshold_below_the_value():
    tau, steps = 3.0, 12
    values = np.array([1.0, 0.99, 0.72, 0.71, 0.5, 0.1, 0.03, 0.025, 1e-6, 0.0])
    times = []
    for x in values:
        reached = [t for t in range(steps) if x >= np.exp(-t / tau)]
        times.append(min(reached, default=None))
    assert times[0] == 0
    assert times[-3:] == [None] * 3  # exp(-11/3) is 0.0256
    expected = one_hot(times, steps)
    np.testing.assert_array_equal(time_to_first_spike(jnp.asarray(values, jnp.float32), steps, tau=tau), expected)


@pytest.mark.parametrize(("tau", "dtype"), [(0.5, "float32"), (7.0, "float32"), (1000.0, "bfloat16")])
def test_time_to_first_spike_is_exact_on_its_grid(tau, dtype):
    steps = 40
    thresholds = jnp.asarray(np.exp(-np.arange(steps) / tau), dtype)
    spikes = time_to_first_spike(thresholds, steps, tau=tau)
    np.testing.assert_array_equal(time_to_first_spike_inverse(spikes, tau=tau), thresholds)


@pytest.mark.slow
@given(unit)
def test_time_to_first_spike_is_inverted_within_its_ratio(values):
    tau, steps = 4.0, 30
    again = np.asarray(
        time_to_first_spike_inverse(time_to_first_spike(jnp.asarray(values, jnp.float32), steps, tau=tau), tau=tau),
        float,
    )
    values, last = np.array(values), np.exp(-(steps - 1) / tau)
    assert np.all(again[values < 0.999999 * last] == 0)
    fired = again > 0
    assert np.all(fired[values > 1.000001 * last])
    assert np.all(again[fired] <= values[fired])
    assert np.all(values[fired] < again[fired] * np.exp(1 / tau) * (1 + 1e-6))


def test_time_to_first_spike_of_zero_is_silent_where_the_threshold_underflows():
    assert np.asarray(time_to_first_spike(jnp.zeros(2), 300, tau=1.0)).sum() == 0


@given(unit, st.sampled_from([(1, 1), (3, 2), (8, 3), (24, 1)]))
def test_phase_is_the_value_rounded_down_to_its_digits(values, shape):
    bits, periods = shape
    values = np.minimum(values, 1 - 2.0**-24)
    spikes = phase_of(jnp.asarray(values, jnp.float32), bits * periods, bits)
    expected = np.zeros((bits * periods, len(values)))
    for channel, x in enumerate(values):
        number = int(np.floor(x * 2**bits))  # Python's whole numbers, shifted
        for t in range(bits * periods):
            expected[t, channel] = (number >> (bits - 1 - t % bits)) & 1
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_array_equal(phase_back(spikes, bits), np.floor(values * 2**bits) / 2**bits)


@pytest.mark.parametrize("periods", [1, 3, 49])
def test_phase_is_exact_for_multiples_of_its_last_digit(periods):
    values = np.arange(256, dtype=np.float32) / 256
    again = phase_inverse(phase(jnp.asarray(values), 8 * periods, bits=8), bits=8)
    np.testing.assert_array_equal(again, values)


def test_phase_inverse_averages_over_the_periods():
    spikes = jnp.array([1.0, 0.0, 0.0, 1.0])[:, None]  # 0.10 and 0.01 in binary: 0.5 and 0.25
    np.testing.assert_array_equal(phase_inverse(spikes, bits=2), [0.375])


def test_phase_takes_all_digits_of_a_double(x64):
    values = np.array([1 / 3, np.pi / 4, 1 - 2.0**-53, 2.0**-53])
    again = phase_inverse(phase(jnp.asarray(values), 53, bits=53), bits=53)
    np.testing.assert_array_equal(again, np.floor(values * 2.0**53) / 2.0**53)


INVERSES = [
    ("latency_inverse", latency_inverse),
    ("log_latency_inverse", lambda s: log_latency_inverse(s, tau=5.0, threshold=0.1)),
    ("time_to_first_spike_inverse", lambda s: time_to_first_spike_inverse(s, tau=5.0)),
    ("phase_inverse", lambda s: phase_inverse(s, bits=2)),
]


@pytest.mark.parametrize(("name", "inverse"), INVERSES, ids=[name for name, _ in INVERSES])
def test_inverses_refuse_what_is_no_such_train(name, inverse):
    good = jnp.asarray(one_hot([0, 3, None], 4), jnp.float32)
    for run in (inverse, eqx.filter_jit(inverse)):
        assert np.all(np.asarray(run(good))[1:] >= 0)
        for bad in (0.5, 2.0, -1.0, np.nan):
            with pytest.raises(RuntimeError, match=rf"{name}: spikes\b"):
                jax.block_until_ready(run(good.at[1, 1].set(bad)))
        if name != "phase_inverse":
            with pytest.raises(RuntimeError, match=rf"{name}: .*\btrain\b"):
                jax.block_until_ready(run(good.at[1, 1].set(1.0)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "inverse"), INVERSES, ids=[name for name, _ in INVERSES])
def test_inverses_work_under_vmap_and_keep_the_dtype(name, inverse):
    batch = jnp.stack([jnp.asarray(one_hot(t, 4), jnp.bfloat16) for t in ([1, 3, None], [2, None, 1])])
    one_by_one = np.stack([inverse(spikes) for spikes in batch])
    assert len(np.unique(one_by_one)) > 2
    together = jax.jit(jax.vmap(inverse))(batch)
    assert together.dtype == jnp.bfloat16
    np.testing.assert_array_equal(together, one_by_one)
