"""Encoders: against their definitions, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx._errors import DtypeError, ShapeError
from snnx.encoding import latency, rate


def test_latency_is_one_spike_at_the_time_that_the_value_says():
    # round((1 - x) * 4), halves to even: 1 -> 0, 0.9 -> 0.4 -> 0, 0.875 -> 0.5 -> 0, 0.625 -> 1.5 -> 2, 0.1 -> 3.6 -> 4.
    values = jnp.array([1.0, 0.9, 0.875, 0.75, 0.625, 0.5, 0.1, 0.0])
    times = [0, 0, 0, 1, 2, 2, 4, None]
    expected = np.zeros((5, 8))
    for channel, time in enumerate(times):
        if time is not None:
            expected[time, channel] = 1.0
    np.testing.assert_array_equal(latency(values, 5), expected)


@given(st.lists(st.floats(0, 1, width=32, allow_subnormal=False), min_size=6, max_size=6), st.sampled_from([1, 2, 7]))
def test_latency_fires_once_the_earlier_the_larger(values, steps):
    spikes = np.asarray(latency(jnp.asarray(values, jnp.float32), steps))
    assert spikes.shape == (steps, len(values))
    np.testing.assert_array_equal(spikes.sum(axis=0), [float(v > 0) for v in values])
    when = np.where(np.array(values) > 0, spikes.argmax(axis=0), steps)
    order = np.argsort(values)
    assert all(when[a] >= when[b] for a, b in zip(order[:-1], order[1:], strict=True))


def test_encoders_keep_shape_and_dtype():
    values = jnp.full((2, 3, 4), 0.5, jnp.bfloat16)
    for spikes in (latency(values, 6), rate(values, 6, key=jax.random.key(0))):
        assert (spikes.shape, spikes.dtype) == ((6, 2, 3, 4), jnp.bfloat16)
        assert set(np.unique(np.float32(spikes))) <= {0.0, 1.0}
    assert latency(jnp.float32(0.5), 3).shape == (3,)


def test_rates_are_the_values():
    values = jnp.array([0.0, 0.1, 0.5, 0.9, 1.0])
    steps = 20_000
    spikes = np.asarray(rate(values, steps, key=jax.random.key(1)))
    np.testing.assert_array_equal(spikes[:, [0, 4]].mean(axis=0), [0.0, 1.0])
    for channel, p in enumerate([0.1, 0.5, 0.9], start=1):
        assert abs(spikes[:, channel].mean() - p) < 5 * np.sqrt(p * (1 - p) / steps)
    # Independent from step to step and from channel to channel: no correlation beyond 5 standard errors.
    middle = spikes[:, 2] - 0.5
    assert abs(np.mean(middle[1:] * middle[:-1])) < 5 * 0.25 / np.sqrt(steps)
    assert abs(np.mean(middle * (spikes[:, 1] - 0.1))) < 5 * np.sqrt(0.25 * 0.09 / steps)


def test_rates_are_decided_by_the_key():
    values = jnp.full(50, 0.5)
    first, again, other = (rate(values, 4, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rates_work_under_vmap_as_one_by_one():
    keys = jax.random.split(jax.random.key(0), 3)
    values = jnp.linspace(0, 1, 12).reshape(3, 4)
    together = jax.vmap(lambda k, x: rate(x, 5, key=k))(keys, values)
    for index in range(3):
        np.testing.assert_array_equal(together[index], rate(values[index], 5, key=keys[index]))


@pytest.mark.parametrize("steps", [0, -3, True])
def test_encoders_need_steps(steps):
    with pytest.raises(ValueError, match=rf"latency: steps is {steps}, expected at least 1"):
        latency(jnp.ones(3), steps)
    with pytest.raises(ValueError, match=rf"rate: steps is {steps}, expected at least 1"):
        rate(jnp.ones(3), steps, key=jax.random.key(0))


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_encoders_refuse_values_outside(bad):
    values = jnp.array([0.5, bad])
    for name, call in (
        ("latency", lambda x: latency(x, 3)),
        ("rate", lambda x: rate(x, 3, key=jax.random.key(0))),
    ):
        for run in (call, jax.jit(call), jax.vmap(call)):
            with pytest.raises(
                RuntimeError, match=rf"{name}: values lie outside \[0, 1\]; scale or clip them yourself"
            ):
                jax.block_until_ready(run(values))


def test_encoders_refuse_other_arguments():
    with pytest.raises(DtypeError, match=r"latency: values is uint8\[3\], expected Float"):
        latency(jnp.ones(3, jnp.uint8), 4)
    with pytest.raises(DtypeError, match=r"rate: values is int32\[3\], expected Float"):
        rate(jnp.ones(3, jnp.int32), 4, key=jax.random.key(0))
    with pytest.raises((DtypeError, ShapeError), match=r"rate: key is uint32\[2\]"):
        rate(jnp.ones(3), 4, key=jnp.zeros(2, jnp.uint32))
    with pytest.raises(TypeError, match=r"latency: steps is float 2.5, expected int"):
        latency(jnp.ones(3), 2.5)
