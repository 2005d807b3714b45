"""Lists of spikes in continuous time: made, joined, put on a grid and taken from one. Nothing is lost without a word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx import event
from snnx._errors import DtypeError, ShapeError

LONG = 6  # of every list: one program serves all
SPIKES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.25, 7.0, float("inf")]), st.integers(0, 3)), max_size=LONG
)


def pairs(events):
    """The events as `(time, index)`, and a check of all that the list promises."""
    count, capacity = int(events.count), events.times.shape[0]
    times, indices = np.asarray(events.times), np.asarray(events.indices)
    assert indices.shape == (capacity,)
    assert indices.dtype == np.int32
    assert np.all(np.diff(times[:count]) >= 0)
    assert np.all(np.isinf(times[count:]))
    assert np.all(indices[count:] == 0)
    np.testing.assert_array_equal(events.there, np.arange(capacity) < count)
    return list(zip(times[:count].tolist(), indices[:count].tolist(), strict=True))


def in_order(spikes):
    """Sorted by time alone, so that spikes of one time keep their order."""
    return sorted((s for s in spikes if s[0] < np.inf), key=lambda s: s[0])


def made(spikes, **options):
    padded = [*spikes, *[(np.inf, 3)] * (LONG - len(spikes))]
    times, indices = ([s[k] for s in padded] for k in (0, 1))
    return event.make_events(np.asarray(times, np.float32), np.asarray(indices, np.int32), size=4, **options)


@given(SPIKES, st.sampled_from([None, LONG, LONG + 3]))
def test_events_are_sorted_by_time_and_padded(spikes, capacity):
    expected = in_order(spikes)
    events = made(spikes, capacity=capacity)
    assert events.times.shape == (capacity or LONG,)
    assert pairs(events) == expected
    assert not events.overflow
    np.testing.assert_array_equal(events.counts(), np.bincount([n for _, n in expected], minlength=4))
    firsts = [min([t for t, n in expected if n == channel], default=np.inf) for channel in range(4)]
    np.testing.assert_array_equal(events.first(), np.asarray(firsts))


@given(SPIKES, SPIKES, SPIKES)
def test_merged_lists_have_the_events_of_all(first, second, third):
    """Of one time, those of earlier lists first."""
    joined = jax.jit(event.merge)(made(first), made(second), made(third))
    assert pairs(joined) == in_order([*first, *second, *third])
    assert joined.times.shape == (3 * LONG,)
    assert not joined.overflow


def test_what_does_not_fit_into_a_merged_list_is_told():
    first, second = made([(1.0, 0), (5.0, 1)]), made([(2.0, 2), (float("inf"), 0)])
    small = event.merge(first, second, capacity=2)
    assert pairs(small) == [(1.0, 0), (2.0, 2)]
    assert small.overflow
    assert not event.merge(first, second, capacity=3).overflow
    assert event.merge(small, second).overflow  # once lost is lost


@given(SPIKES, st.lists(st.sampled_from([0.0, 0.25, 3.0, 10.0]), min_size=4, max_size=4))
def test_delayed_events_come_later_each_by_its_channel(spikes, delays):
    events = made(spikes)
    found = jax.jit(event.delayed)(events, jnp.asarray(delays))
    assert sorted(pairs(found)) == sorted((t + delays[n], n) for t, n in in_order(spikes))
    assert pairs(event.delayed(events, delays[0])) == [(t + delays[0], n) for t, n in in_order(spikes)]
    assert not found.overflow


def test_delays_have_gradients_even_where_they_change_the_order(x64):
    events = event.make_events([1.0, 2.0, 4.0], [0, 1, 0], size=2, capacity=5, dtype=jnp.float64)

    def late(delays, times):
        moved = event.delayed(event.make_events(times, [0, 1, 0], size=2, capacity=5), delays)
        weights = jnp.asarray([1.0, 10.0])[moved.indices] * jnp.where(moved.there, moved.times, 0.0) ** 2
        return jnp.sum(weights), pairs

    delays = jnp.asarray([2.5, 0.25])
    assert pairs(event.delayed(events, delays)) == [(2.25, 1), (3.5, 0), (6.5, 0)]
    by_delays, by_times = jax.grad(lambda *args: late(*args)[0], (0, 1))(delays, events.times[:3])
    np.testing.assert_allclose(by_delays, [2 * (3.5 + 6.5), 10 * 2 * 2.25], rtol=1e-12)
    np.testing.assert_allclose(by_times, [7.0, 45.0, 13.0], rtol=1e-12)
    one = jax.grad(lambda d: jnp.sum(event.delayed(events, d).times[:3]))(jnp.asarray(0.5))
    np.testing.assert_allclose(one, 3.0)


def test_first_has_the_gradient_of_the_spike_that_it_is():
    times = jnp.asarray([4.0, 2.0, 1.0, 2.5])

    def weighted(times):
        first = event.make_events(times, [0, 0, 2, 2], size=3).first()
        return jnp.sum(jnp.where(first < jnp.inf, first * jnp.asarray([10.0, 20.0, 30.0]), 0.0))

    np.testing.assert_allclose(jax.grad(weighted)(times), [0.0, 10.0, 30.0, 0.0])


COUNTS = st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=5, max_size=5)


@given(COUNTS, st.sampled_from([1.0, 0.1, 0.3, 1e-3, 7.0]))
def test_a_raster_comes_back(counts, dt):
    raster = np.asarray(counts, np.float32)
    events = event.from_raster(raster, dt, capacity=30)
    expected = [(k, c) for k, row in enumerate(counts) for c, n in enumerate(row) for _ in range(n)]
    found = pairs(events)
    assert [c for _, c in found] == [c for _, c in expected]
    np.testing.assert_allclose([t for t, _ in found], [np.float32(k) * np.float32(dt) for k, _ in expected], rtol=1e-7)
    assert not events.overflow
    np.testing.assert_array_equal(event.to_raster(events, steps=len(counts), dt=dt), raster)


def test_a_raster_counts_events_in_its_steps_and_refuses_later_ones():
    events = made([(0.0, 0), (0.99, 0), (1.0, 0), (1.5, 3), (1.5, 3)])
    raster = event.to_raster(events, steps=2, dt=1.0)
    np.testing.assert_array_equal(raster, [[2, 0, 0, 0], [1, 0, 0, 2]])
    assert np.isnan(event.to_raster(events, steps=1, dt=1.0)).all()
    assert not np.isnan(event.to_raster(made([(0.5, 1)], capacity=4), steps=1, dt=1.0)).any()


def test_a_raster_with_more_events_than_room_says_so():
    events = event.from_raster(np.ones((2, 3), np.float32), 1.0, capacity=4)
    assert events.overflow
    assert pairs(events) == [(0.0, 0), (0.0, 1), (0.0, 2), (1.0, 0)]


def test_inside_a_program_what_is_wrong_overflows():
    def overflow(times, indices, capacity):
        events = event.make_events(times, indices, size=3, capacity=capacity)
        return events.overflow, events.count

    compiled = jax.jit(overflow, static_argnums=2)
    for times, indices, capacity, expected in [
        ([1.0, 2.0], [0, 2], 2, (False, 2)),
        ([1.0, 2.0], [0, 2], 1, (True, 1)),
        ([1.0, 2.0], [0, 3], 2, (True, 1)),
        ([1.0, -2.0], [0, 1], 2, (True, 1)),
        ([1.0, float("nan")], [0, 1], 2, (True, 1)),
        ([1.0, float("inf")], [0, 5], 2, (False, 1)),
    ]:
        found = compiled(jnp.asarray(times), jnp.asarray(indices), capacity)
        assert tuple(x.item() for x in found) == expected, (times, indices)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: event.make_events([1.0], [0, 1], size=2), ShapeError, "times"),
        (lambda: event.make_events([[1.0]], [[0]], size=2), ShapeError, "times"),
        (lambda: event.make_events([1.0], [0.0], size=2), DtypeError, "indices"),
        (lambda: event.make_events([-1.0], [0], size=2), ValueError, r"times\[0\] is -1.0"),
        (lambda: event.make_events([1.0, np.nan], [0, 0], size=2), ValueError, r"times\[1\]"),
        (lambda: event.make_events([1.0, 2.0], [0, 2], size=2), ValueError, r"indices\[1\] is 2"),
        (lambda: event.make_events([1.0], [-1], size=2), ValueError, r"indices\[0\] is -1"),
        (lambda: event.make_events(["x"], [0], size=2), DtypeError, "times"),
        (lambda: event.make_events([1.0], [2**40], size=2), DtypeError, "indices"),
        (lambda: event.make_events([1.0], np.array([2**40]), size=2), ValueError, r"indices\[0\] is 1099511627776"),
        (lambda: event.make_events([1.0], [0], size=2, dtype=int), ValueError, "dtype"),
        (lambda: event.make_events([1.0], [0], size=2, capacity="3"), TypeError, "capacity"),
        (lambda: event.make_events([1.0, 2.0], [0, 0], size=2, capacity=1), ValueError, "capacity"),
        (lambda: event.make_events([1.0], [0], size=0), ValueError, "size"),
        (lambda: event.make_events([1.0], [0], size=1, capacity=0), ValueError, "capacity"),
        (lambda: event.from_raster(np.ones(3), 1.0, capacity=3), ShapeError, "raster"),
        (lambda: event.from_raster([[1.0]], 1.0, capacity=3), TypeError, "raster"),
        (lambda: event.from_raster(np.ones((3, 1)), 0.0, capacity=3), ValueError, "dt"),
        (lambda: event.from_raster(np.ones((3, 1)), 1.0, capacity=0), ValueError, "capacity"),
        (lambda: event.to_raster(made([(1.0, 0)]), steps=0, dt=1.0), ValueError, "steps"),
        (lambda: event.to_raster(jnp.ones(3), steps=3, dt=1.0), TypeError, "events"),
        (lambda: event.merge(made([(1.0, 0)]), event.make_events([1.0], [0], size=2)), ShapeError, "2 channels"),
        (lambda: event.delayed(made([(1.0, 0)]), jnp.ones(3)), ShapeError, "delays"),
        (lambda: event.delayed(made([(1.0, 0)]), -1.0), ValueError, "delays"),
        (lambda: event.ContinuousDelay(-1.0), ValueError, "delay"),
        (
            lambda: event.Events(jnp.ones(3), jnp.zeros(2, int), jnp.array(1), jnp.array(False), 2),
            ShapeError,
            "indices",
        ),
    ],
)
def test_what_is_wrong_is_refused(call, error, name):
    with pytest.raises(error, match=rf"\b{name}(\W|$)"):
        call()


@pytest.mark.parametrize("dt", [1e-3, 5e-3, 0.01, 0.1, 1.0])
def test_a_long_raster_comes_back_from_its_events(dt):
    raster = np.ones((1000, 1), np.float32)
    events = event.from_raster(raster, dt, capacity=1000)
    assert events.times.dtype == np.float32
    np.testing.assert_array_equal(event.to_raster(events, steps=1000, dt=dt), raster)


def test_whole_numbers_are_times():
    events = event.make_events([3, 1], [0, 1], size=2)
    assert events.times.dtype == jnp.zeros(()).dtype
    assert pairs(events) == [(1.0, 1), (3.0, 0)]
    assert event.make_events([3, 1], [0, 1], size=2, dtype=jnp.float32).times.dtype == np.float32


@pytest.mark.parametrize(
    "raster",
    [
        pytest.param(np.asarray([[0.5, 1.0]]), id="fraction"),
        pytest.param(np.asarray([[-1.0, 2.0]]), id="negative"),
        pytest.param(np.asarray([[np.nan, 2.0]]), id="nan"),
    ],
)
def test_a_raster_that_is_none_is_refused(raster):
    with pytest.raises(ValueError, match=r"\braster\b"):
        event.from_raster(raster, 1.0, capacity=3)


def test_a_raster_without_steps_has_no_events():
    assert pairs(event.from_raster(np.zeros((0, 2)), 1.0, capacity=2)) == []


def test_an_empty_list_has_no_first_event():
    np.testing.assert_array_equal(event.make_events([], [], size=3).first(), np.inf)
