"""Neurons that are not connected to each other: spikes against a search in NumPy, gradients against finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from event_cases import assert_autodiff_agrees, assert_close, compiled, differences, jit, neurons, numbers_of
from event_reference import spike_times

from snnx.event._dynamics import Dynamics, jumps_of
from snnx.event._layer import spikes_by_search
from snnx.event._layer_adjoint import spikes_by_eventprop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ranks_are_promoted")]  # nearly all of it is compiling

SIZE, CHANNELS, EVENTS, MOST, DURATION = 4, 3, 14, 10, 34.0
COEFFICIENTS = np.random.default_rng(3).normal(size=(MOST, SIZE))


# What is compiled apart: whether there is a synapse, the reset, the time of rest.
KINDS = {
    "pair": ("pair", "subtract", 0.0),
    "pair, set, rest": ("pair", "value", 1.3),
    "jump": ("jump", "subtract", 0.0),
    "jump, set, rest": ("jump", "value", 1.3),
}
BACKWARDS = ("pair", "jump")  # autodiff in this direction, of the others in the other one
CASES = [
    ("pair", {}),
    ("pair", dict(ratio=1.0)),
    ("pair", dict(ratio=2.0)),
    ("pair", dict(rest=1.15)),
    ("pair, set, rest", {}),
    ("pair, set, rest", dict(ratio=0.5)),
    ("pair, set, rest", dict(rest=1.15)),
    ("jump", {}),
    ("jump", dict(rest=1.15)),
    ("jump, set, rest", {}),
    ("jump, set, rest", dict(rest=1.15)),
]


def parameters(kind, ratio=None, rest=0.1, seed=1):
    """All that a gradient is taken for. The last event is behind the end."""
    rng, pair = np.random.default_rng(seed), KINDS[kind][0] == "pair"
    return neurons(rng, SIZE, ratio=ratio, rest=rest) | {
        "times": np.append(np.sort(rng.uniform(1, 32, EVENTS - 1)), DURATION + 1.0),
        "weights": rng.normal(0.8, 0.7, (CHANNELS, SIZE)) if pair else rng.normal(0.35, 0.35, (CHANNELS, SIZE)),
    }


def channels(seed=1):
    return np.random.default_rng(seed + 100).integers(0, CHANNELS, EVENTS)


def dynamics_in(p, kind):
    form, reset, refractory = KINDS[kind]
    return Dynamics(**numbers_of(p, form), reset=reset, refractory=refractory)


def spikes(p, indices, kind, mode, most=MOST):
    """With two entries behind the events that are none."""
    dynamics = dynamics_in(p, kind)
    times, indices = jnp.append(p["times"], jnp.full(2, jnp.inf)), jnp.append(indices, jnp.zeros(2, jnp.int32))
    if mode == "eventprop":
        return spikes_by_eventprop(dynamics, times, indices, p["weights"], DURATION, most)
    jumps = jumps_of(p["weights"], times, indices)
    ends = jnp.minimum(times, DURATION)
    return spikes_by_search(dynamics, ends, jumps, DURATION, most, differentiable=mode == "autodiff")


def loss(p, indices, mode, kind):
    """Of all times of spikes, each with its own weight; and the spikes."""
    found = spikes(p, indices, kind, mode)
    there = found.times < jnp.inf
    times = jnp.where(there, found.times, 0.0)
    return jnp.sum(jnp.where(there, jnp.sin(times / 7.0 + COEFFICIENTS) * COEFFICIENTS + 0.01 * times, 0.0)), found


@functools.cache
def programs(kind):
    def counts(found):
        return jnp.sum(found.times < jnp.inf, axis=0)

    return compiled(functools.partial(loss, kind=kind), counts, backwards=kind in BACKWARDS)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_every_parameter_has_its_gradient(kind, options, x64):
    p = jax.tree.map(jnp.asarray, parameters(kind, **options))
    indices = jnp.asarray(channels(), jnp.int32)
    by_adjoint, _, _, at_each = programs(kind)
    (value, found), exact = by_adjoint(p, indices)
    counts = np.isfinite(found.times).sum(0)
    assert counts.max() >= 2
    assert counts.max() < MOST
    assert not found.more
    assert_close(exact, differences(at_each, p, indices), 1e-6)
    for name in exact:
        if (KINDS[kind][0] == "pair" and (name != "after" or KINDS[kind][1] == "value")) or name == "times":
            assert np.any(np.abs(exact[name]) > 1e-6), name
    assert exact["times"][-1] == 0  # behind the end
    assert_autodiff_agrees(programs(kind), p, indices, 1e-9)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
@pytest.mark.parametrize("seed", [1, 3])
def test_spikes_are_those_of_a_search_in_numpy(kind, options, seed, x64):
    p = parameters(kind, **options, seed=seed)
    form, reset, refractory = KINDS[kind]
    which = channels(seed)
    numbers = numbers_of(p, form)
    arrivals = [(time, p["weights"][channel]) for time, channel in zip(p["times"], which, strict=True)]
    expected = spike_times(numbers, arrivals, DURATION, reset=reset, refractory=refractory)
    (_, found), _ = programs(kind)[0](jax.tree.map(jnp.asarray, p), jnp.asarray(which, jnp.int32))
    assert len(expected) >= 3
    for n in range(SIZE):
        times = np.asarray(found.times)[:, n]
        np.testing.assert_allclose(times[np.isfinite(times)], [t for t, m in expected if m == n], rtol=0, atol=1e-9)


def test_a_jump_that_lifts_a_membrane_fires_at_its_time(x64):
    """Such a spike moves with its event alone; and what is above the threshold stays in the membrane."""
    p = jax.tree.map(jnp.asarray, parameters("jump"))
    indices = jnp.asarray(channels(), jnp.int32)
    (_, found), exact = programs("jump")[0](p, indices)
    there = np.isfinite(found.times)
    assert np.isin(found.times[there], p["times"]).all()
    coefficients = COEFFICIENTS * np.cos(np.where(there, found.times, 0.0) / 7.0 + COEFFICIENTS) / 7.0 + 0.01
    for event, time in enumerate(np.asarray(p["times"])):
        np.testing.assert_allclose(exact["times"][event], coefficients[found.times == time].sum(), rtol=1e-12)
    np.testing.assert_allclose(exact["weights"], 0.0, atol=1e-12)


def test_events_of_the_same_time_add_up_before_a_neuron_fires(x64):
    """0.7 and 0.7 lift it over 1; 1.5 and -0.9 do not, in either order."""
    p = jax.tree.map(jnp.asarray, parameters("jump"))
    for name, number in dict(start_v=0.0, rest=0.0, threshold=1.0).items():
        p[name] = jnp.full(SIZE, number)
    times = jnp.asarray([5.0, 5.0])
    for pair, fires in [((0.7, 0.7), True), ((1.5, -0.9), False), ((-0.9, 1.5), False)]:
        jumps = jnp.broadcast_to(jnp.asarray(pair)[:, None], (2, SIZE))
        found = spikes_by_search(dynamics_in(p, "jump"), times, jumps, 20.0, 3, differentiable=False)
        np.testing.assert_array_equal(found.times[0], 5.0 if fires else np.inf)
        np.testing.assert_array_equal(found.times[1], np.inf)
        if fires:
            np.testing.assert_allclose(found.back[0], 0.4)


@pytest.mark.parametrize(
    ("kind", "mode"), [*((kind, "eventprop") for kind in KINDS), *((kind, "autodiff") for kind in BACKWARDS)]
)
def test_silent_neurons_have_zero_gradients(kind, mode, x64):
    p = jax.tree.map(jnp.asarray, parameters(kind))
    p["weights"] = -jnp.abs(p["weights"])
    p["start_v"], p["start_j"] = jnp.zeros(SIZE), -jnp.ones(SIZE)
    gradient = programs(kind)[0 if mode == "eventprop" else 1]
    (value, found), slopes = gradient(p, jnp.asarray(channels(), jnp.int32))
    assert value == 0
    assert not np.isfinite(found.times).any()
    assert not found.more
    for name, slope in slopes.items():
        np.testing.assert_array_equal(slope, 0.0, err_msg=name)


@pytest.mark.parametrize(("kind", "mode"), [("pair", ""), ("jump", ""), ("jump", "autodiff")])
def test_spikes_for_which_there_is_no_room_are_told(kind, mode, x64):
    p = jax.tree.map(jnp.asarray, parameters(kind))
    indices = jnp.asarray(channels(), jnp.int32)
    (_, all_of_them), _ = programs(kind)[0](p, indices)
    counts = np.isfinite(all_of_them.times).sum(0)
    assert not all_of_them.more
    for most in (counts.max() - 1, counts.max()):
        some = jit(lambda p, most=int(most): spikes(p, indices, kind, mode, most=most))(p)
        assert bool(some.more) == (most < counts.max())
        np.testing.assert_allclose(some.times, all_of_them.times[:most], rtol=1e-12)


@pytest.mark.parametrize("mode", ["eventprop", "autodiff"])
@pytest.mark.parametrize("kind", ["pair", "jump"])
def test_a_membrane_above_its_threshold_at_first_fires_at_zero(kind, mode, x64):
    """At 2.4 twice, if it loses the threshold: a spike that no parameter moves."""
    p = jax.tree.map(jnp.asarray, parameters(kind))
    p["start_v"], p["threshold"] = jnp.full(SIZE, 2.4), jnp.ones(SIZE)
    p["weights"], p["rest"], p["start_j"] = 0.0 * p["weights"], jnp.zeros(SIZE), jnp.zeros(SIZE)
    (_, found), slopes = programs(kind)[0 if mode == "eventprop" else 1](p, jnp.asarray(channels(), jnp.int32))
    np.testing.assert_array_equal(found.times[:2], 0.0)
    np.testing.assert_array_equal(found.times[2:], np.inf)
    for name, slope in slopes.items():
        np.testing.assert_array_equal(slope, 0.0, err_msg=name)


@pytest.mark.parametrize(("dtype", "mode"), [("float32", "eventprop"), ("float64", "autodiff")])
def test_spikes_that_only_just_happen_and_huge_weights_have_numbers_for_gradients(dtype, mode):
    """As near to the top as this precision tells, and weights from 10 to 1e17."""
    eps = float(np.finfo(dtype).eps)
    top = 0.25  # of the membrane of tau_mem = 2 tau_syn behind a weight of 1
    hairs = np.concatenate([np.arange(-20, 21) * eps, 10.0 ** np.arange(-6, 0)])
    weights = np.concatenate([np.ones(hairs.size), 10.0 ** np.arange(1, 21, 4)])
    thresholds = np.concatenate([top * (1 - hairs), np.ones(weights.size - hairs.size)])
    size = weights.size
    with jax.enable_x64(dtype == "float64"):
        fixed = dict(tau_mem=10.0, tau_syn=5.0, rest=0.0, resistance=1.0, start_v=0.0, start_j=0.0, after=0.0)
        numbers = {name: jnp.full(size, number, dtype) for name, number in fixed.items()}
        times, indices = jnp.asarray([1.0, jnp.inf], dtype), jnp.zeros(2, jnp.int32)

        def total(weights, thresholds, time):
            dynamics = Dynamics(**numbers, threshold=thresholds, reset="value", refractory=0.0)
            times_of = jnp.where(times < jnp.inf, time, jnp.inf)
            if mode == "eventprop":
                found = spikes_by_eventprop(dynamics, times_of, indices, weights[None], 30.0, 1)
            else:
                jumps = jumps_of(weights[None], times_of, indices)
                found = spikes_by_search(dynamics, jnp.minimum(times_of, 30.0), jumps, 30.0, 1, differentiable=True)
            return jnp.sum(jnp.where(found.times < jnp.inf, found.times, 0.0)), found.times[0]

        given = jnp.asarray(weights, dtype), jnp.asarray(thresholds, dtype), jnp.asarray(1.0, dtype)
        (_, found), slopes = jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))(*given)
    just = np.asarray(hairs > 8 * eps)
    assert np.isfinite(found[: hairs.size][just]).all()
    assert not np.isfinite(found[: hairs.size][hairs < -8 * eps]).any()
    assert all(np.isfinite(slope).all() for slope in slopes)
    fires = np.isfinite(found)
    assert np.all(np.asarray(slopes[0])[fires] <= 0)
    assert np.all(np.asarray(slopes[1])[fires] >= 0)
    assert np.all(np.asarray(slopes[0])[~fires] == 0)
    sure = np.arange(size) >= hairs.size - 4
    share = (thresholds / weights)[sure]
    expected = 1 - 10 * np.log((1 + np.sqrt(1 - 4 * share)) / 2)  # a quadratic in e^{-t / tau_mem}
    np.testing.assert_allclose(found[sure], expected, rtol=1e3 * eps)
