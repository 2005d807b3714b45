"""Rasters as lists of events, and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnx._errors import DtypeError, ShapeError
from snnx.encoding import events_to_raster, raster_to_events

bits = hnp.arrays(np.bool_, (5, 2, 3))
counts = hnp.arrays(np.uint8, (5, 2, 3), elements=st.integers(0, 3))


def listed(raster):
    """The events in a plain loop."""
    flat = np.asarray(raster).reshape(len(raster), -1)
    found = [(t, c) for t in range(len(flat)) for c in range(flat.shape[1]) for _ in range(int(flat[t, c]))]
    return [t for t, _ in found], [c for _, c in found]


# Compiled once for many examples.
in_a_list_of = jax.jit(raster_to_events, static_argnums=1)
back_of = jax.jit(events_to_raster, static_argnums=(2, 3))


@given(st.one_of(bits, counts), st.sampled_from([np.uint8, np.int32, np.float32, "bfloat16"]))
def test_a_raster_comes_back_from_its_events(raster, dtype):
    array = jnp.asarray(raster).astype(dtype)
    steps, channels = listed(raster)
    for capacity in (None, 100):
        got_steps, got_channels = raster_to_events(array) if capacity is None else in_a_list_of(array, capacity)
        assert (got_steps.dtype, got_channels.dtype) == (jnp.int32, jnp.int32)
        n = len(steps)
        assert got_steps.shape == got_channels.shape == (n if capacity is None else capacity,)
        np.testing.assert_array_equal(got_steps[:n], steps)
        np.testing.assert_array_equal(got_channels[:n], channels)
        assert np.all(np.asarray(got_steps[n:]) == 5)
        assert np.all(np.asarray(got_channels[n:]) == 6)
    np.testing.assert_array_equal(back_of(got_steps, got_channels, 5, (2, 3)), raster)


def test_bools_and_arrays_of_numpy_are_rasters():
    raster = np.array([[True, False], [False, True]])
    for array in (raster, jnp.asarray(raster), raster.astype(np.int64), raster.astype(float)):
        for capacity in (None, 2):
            steps, channels = raster_to_events(array, capacity)
            assert (steps.tolist(), channels.tolist()) == ([0, 1], [0, 1])


def test_one_channel_without_an_axis():
    steps, channels = raster_to_events(jnp.array([0.0, 2.0, 1.0]))
    assert (steps.tolist(), channels.tolist()) == ([1, 1, 2], [0, 0, 0])
    np.testing.assert_array_equal(events_to_raster(steps, channels, 3, ()), [0, 2, 1])


def test_a_raster_of_silence_has_no_events():
    steps, channels = raster_to_events(jnp.zeros((4, 3)))
    assert steps.shape == channels.shape == (0,)
    np.testing.assert_array_equal(events_to_raster(steps, channels, 4, (3,)), np.zeros((4, 3)))
    assert raster_to_events(jnp.zeros((4, 3)), 2)[0].tolist() == [4, 4]


def test_compiled_and_under_vmap_as_one_by_one():
    batch = jnp.asarray(np.random.default_rng(0).poisson(0.4, (3, 6, 4)), jnp.float32)

    def there(raster):
        return raster_to_events(raster, 30)

    def back(steps, channels):
        return events_to_raster(steps, channels, 6, (4,))

    events = jax.jit(jax.vmap(there))(batch)
    for index, raster in enumerate(batch):
        for together, alone in zip(events, there(raster), strict=True):
            np.testing.assert_array_equal(together[index], alone)
    np.testing.assert_array_equal(jax.jit(jax.vmap(back))(*events), batch)


def test_order_does_not_matter_and_events_add_up():
    steps, channels = np.array([2, 0, 2, 3], np.uint16), np.array([1, 0, 1, 2], np.uint8)  # the last: none
    expected = np.zeros((3, 2))
    expected[2, 1], expected[0, 0] = 2, 1
    np.testing.assert_array_equal(events_to_raster(steps, channels, 3, (2,)), expected)


def test_short_integers_count_through_long_rasters():
    steps, channels = jnp.array([65535, 1], jnp.uint16), jnp.array([0, 0], jnp.uint16)
    raster = events_to_raster(steps, channels, 65537, (1,))
    assert np.flatnonzero(raster).tolist() == [1, 65535]


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.nan, np.inf])
def test_what_is_no_count_is_refused(bad):
    raster = jnp.array([[0.0, 1.0], [bad, 2.0]])
    with pytest.raises(ValueError, match=r"\braster\b"):
        raster_to_events(raster)
    for run in (lambda x: raster_to_events(x, 9), eqx.filter_jit(lambda x: raster_to_events(x, 9))):
        with pytest.raises(RuntimeError, match=r"\braster\b"):
            jax.block_until_ready(run(raster))


def test_more_events_than_the_capacity_are_refused():
    raster = jnp.array([[2, 0], [1, 0]])
    assert raster_to_events(raster, 3)[0].tolist() == [0, 0, 1]
    for run in (lambda x: raster_to_events(x, 2), eqx.filter_jit(lambda x: raster_to_events(x, 2))):
        with pytest.raises(RuntimeError, match=r"raster_to_events: .*\bcapacity, 2\b"):
            jax.block_until_ready(run(raster))
    with pytest.raises(RuntimeError, match=r"\bcapacity, 3\b"):  # whose sum is beyond int32
        jax.block_until_ready(raster_to_events(jnp.array([[1, 2**31 - 1]]), 3))


def test_events_outside_are_refused():
    inside = jnp.array([0, 1])
    for steps, channels in (([0, 4], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 6]), ([0, 1], [-1, 0]), ([0, 5], [0, 6])):
        for run in (events_to_raster, eqx.filter_jit(events_to_raster)):
            with pytest.raises(RuntimeError, match=r"events_to_raster: .*\b4 steps\b.*\(2, 3\)"):
                jax.block_until_ready(run(jnp.array(steps), jnp.array(channels), 4, (2, 3)))
    with pytest.raises(RuntimeError, match=r"events_to_raster: .*\bevent\b"):  # would be 1 in int32
        jax.block_until_ready(events_to_raster(np.array([0, 2**32 + 1]), np.array([0, 1]), 4, (2, 3)))
    assert events_to_raster(inside, inside, 4, (2, 3)).sum() == 2


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\braster\b"):
        raster_to_events(jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"\bcapacity\b"):
        raster_to_events(jnp.zeros((2, 3)), 0)
    for run in (jax.jit(raster_to_events), jax.vmap(raster_to_events)):
        with pytest.raises(ValueError, match=r"\bcapacity\b"):
            run(jnp.zeros((2, 3)))
    index = jnp.array([0])
    with pytest.raises(ValueError, match=r"\bnum_steps\b"):
        events_to_raster(index, index, 0, (3,))
    with pytest.raises(ValueError, match=r"\bshape\b"):
        events_to_raster(index, index, 2, (3, 0))
    with pytest.raises(TypeError, match=r"\bcapacity\b"):
        raster_to_events(jnp.zeros((2, 3)), 2.0)
    with pytest.raises(ShapeError, match=r"\bchannels\b"):
        events_to_raster(index, jnp.array([0, 1]), 2, (3,))
    with pytest.raises(DtypeError, match=r"\bsteps\b"):
        events_to_raster(jnp.array([0.0]), index, 2, (3,))
