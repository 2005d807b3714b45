"""Losses of spike times, continuous and on the grid, and weights that follow the input: against NumPy in float64."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx._errors import DtypeError, ShapeError
from snnx.cells import AbstractCell
from snnx.losses import (
    FirstSpikeCrossEntropy,
    FirstSpikeMSE,
    earliest_spike_penalty,
    first_spike_cross_entropy,
    input_rate,
    spike_time_mse,
    target_times,
)
from snnx.reductions import Weighted
from snnx.simulation import simulate

TAU, DURATION, ALPHA, TAU_EARLY = 0.5, 30.0, 0.02, 6.4
TIMES = np.array([3.2, 2.9, 4.1])


def entropy(times, label, tau=TAU, alpha=0.0, tau_early=math.nan):
    """The published formula, term by term."""
    total = sum(math.exp(-t / tau) for t in times)
    loss = -math.log(math.exp(-times[label] / tau) / total)
    return loss + alpha * (math.exp(times[label] / tau_early) - 1) if alpha else loss


def distance(times, label, correct, incorrect):
    return sum((t - (correct if c == label else incorrect)) ** 2 for c, t in enumerate(times)) / len(times)


def slope(reference, times):
    """Central differences."""
    result = np.zeros(len(times))
    for i in range(len(times)):
        step = 1e-6 * np.eye(len(times))[i]
        result[i] = (reference(times + step) - reference(times - step)) / 2e-6
    return result


def value_and_slope(loss, times):
    return jax.value_and_grad(loss)(jnp.asarray(times, jnp.zeros(()).dtype))


# --- continuous times


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("second", [{}, {"alpha": ALPHA, "tau_early": TAU_EARLY}])
def test_cross_entropy_and_its_gradient_are_those_of_the_published_formula(label, second):
    loss = functools.partial(first_spike_cross_entropy, label=label, tau=TAU, duration=DURATION, **second)
    value, gradient = value_and_slope(loss, TIMES)
    np.testing.assert_allclose(value, entropy(TIMES, label, **second), rtol=1e-12)
    np.testing.assert_allclose(gradient, slope(lambda t: entropy(t, label, **second), TIMES), rtol=1e-7, atol=1e-8)


@given(st.lists(st.floats(0, 20), min_size=3, max_size=3), st.sampled_from([0.0, 0.1]))
def test_an_earlier_label_and_later_others_lower_the_loss(times, alpha):
    loss = functools.partial(
        first_spike_cross_entropy, label=0, tau=5.0, duration=30.0, alpha=alpha, tau_early=10.0 if alpha else None
    )
    value, gradient = value_and_slope(loss, times)
    assert gradient[0] > 0
    assert (gradient[1:] < 0).all()
    sooner, later = np.array(times), np.array(times)
    sooner[0] -= 1.0
    later[1:] += 1.0
    assert loss(jnp.asarray(sooner, jnp.float32)) < value
    assert loss(jnp.asarray(later, jnp.float32)) < value


@pytest.mark.usefixtures("x64")
def test_the_second_term_draws_the_label_s_spike_alone_and_more_so_the_later_it_is():
    with_and_without = [
        jax.grad(lambda t, second=second: first_spike_cross_entropy(t, 1, tau=TAU, duration=DURATION, **second))(
            jnp.asarray(TIMES)
        )
        for second in ({"alpha": ALPHA, "tau_early": TAU_EARLY}, {})
    ]
    pull = with_and_without[0] - with_and_without[1]
    np.testing.assert_allclose(pull, [0, ALPHA / TAU_EARLY * math.exp(2.9 / TAU_EARLY), 0], rtol=1e-10, atol=1e-15)
    penalty = functools.partial(earliest_spike_penalty, alpha=ALPHA, tau_early=TAU_EARLY)
    assert penalty(jnp.asarray(0.0)) == 0
    np.testing.assert_allclose(penalty(jnp.asarray(1e-12)), ALPHA * 1e-12 / TAU_EARLY, rtol=1e-10)
    np.testing.assert_allclose(penalty(jnp.asarray(TAU_EARLY)), ALPHA * (math.e - 1), rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("silent", [[0], [1], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize("alpha", [0.0, ALPHA])
def test_a_silent_neuron_counts_as_firing_at_the_end_and_gets_no_gradient(silent, alpha):
    times, phantom = TIMES.copy(), TIMES.copy()
    times[silent], phantom[silent] = np.inf, 10.0
    loss = functools.partial(
        first_spike_cross_entropy, label=1, tau=TAU, duration=10.0, alpha=alpha, tau_early=TAU_EARLY
    )
    value, gradient = value_and_slope(loss, times)
    reference = functools.partial(entropy, label=1, alpha=alpha, tau_early=TAU_EARLY)
    expected = slope(reference, phantom)
    expected[silent] = 0
    np.testing.assert_allclose(value, reference(phantom), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(jax.jvp(loss, (jnp.asarray(times),), (jnp.ones(3),))[1], expected.sum(), atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_mean_squared_distance_of_times_and_its_gradient_are_those_of_the_formula():
    wanted = np.array([[1.0, 2.0], [5.0, 6.5]])
    times = np.array([[1.5, 0.0], [7.0, 6.5]])
    value, gradient = value_and_slope(
        lambda t: spike_time_mse(t, jnp.asarray(wanted), duration=DURATION, scale=2.0), times
    )
    np.testing.assert_allclose(value, (0.25**2 + 1 + 1 + 0) / 4, rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * (times - wanted) / 4 / 4, rtol=1e-12)


def test_silence_is_at_the_end_of_the_example_for_distances_too():
    loss = functools.partial(spike_time_mse, duration=10.0)
    wanted = jnp.float32([4.0, jnp.inf, jnp.inf, 4.0])
    value, gradient = value_and_slope(lambda t: loss(t, wanted), [jnp.inf, jnp.inf, 7.0, 7.0])
    assert value == (36 + 0 + 9 + 9) / 4
    np.testing.assert_allclose(gradient, [0, 0, -1.5, 1.5])


def test_wanted_times_are_early_for_the_label_and_late_for_the_others():
    np.testing.assert_array_equal(target_times(1, 3, correct=2.0, incorrect=9.0), [9, 2, 9])
    np.testing.assert_array_equal(target_times(jnp.asarray(0), 2, correct=2, incorrect=math.inf), [2, np.inf])
    assert jnp.isnan(target_times(3, 3, correct=2.0, incorrect=9.0)).all()
    labels = jnp.array([0, 2])
    each = jax.vmap(lambda label: target_times(label, 3, correct=0.0, incorrect=1.0))(labels)
    np.testing.assert_array_equal(each, 1 - np.eye(3)[[0, 2]])


def test_a_label_that_is_not_a_class_gives_nan():
    assert jnp.isnan(first_spike_cross_entropy(jnp.float32(TIMES), 3, tau=TAU, duration=DURATION))


def test_times_of_half_precision_give_a_float32_loss():
    half = jnp.asarray(TIMES, jnp.bfloat16)
    values = [
        (first_spike_cross_entropy(half, 1, tau=TAU, duration=DURATION), entropy(np.asarray(half, float), 1)),
        (spike_time_mse(half, 2 * half, duration=DURATION), np.mean(np.asarray(half, float) ** 2)),
    ]
    for value, expected in values:
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=1e-5)


# --- on the grid of time steps

STEPS = 8


class Echo(AbstractCell):
    """Puts out what it gets."""

    def init_state(self, shape):
        return jnp.zeros(())

    def __call__(self, x, state, *, key=None):
        return x, state


GRID = {
    "cross-entropy": (FirstSpikeCrossEntropy(2.0), functools.partial(entropy, label=1, tau=2.0)),
    "cross-entropy, early": (
        FirstSpikeCrossEntropy(2.0, alpha=0.1, tau_early=5.0),
        functools.partial(entropy, label=1, tau=2.0, alpha=0.1, tau_early=5.0),
    ),
    "distance": (FirstSpikeMSE(1, 6), functools.partial(distance, label=1, correct=1, incorrect=6)),
}
TRAINS = np.zeros((STEPS, 4))
TRAINS[[2, 4], 0] = 1
TRAINS[[3, 4, 7], 1] = 1
TRAINS[7, 2] = 1  # the fourth neuron is silent


@eqx.filter_jit
def on_grid(loss, xs, mask=None, chunk=None):
    reduced, _ = simulate(Echo(), xs, mask=mask, readout=loss.readout, chunk=chunk)
    return loss(reduced, jnp.asarray(1), record={})


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", GRID)
@pytest.mark.parametrize(("live", "first"), [(8, [2, 3, 7, 8]), (5, [2, 3, 5, 5]), (1, [1, 1, 1, 1])])
@pytest.mark.parametrize("chunk", [1, 3, STEPS])
def test_on_the_grid_the_loss_is_that_of_the_first_steps_and_its_slope_over_time_that_of_a_spike(
    name, live, first, chunk
):
    loss, reference = GRID[name]
    mask = np.arange(STEPS) < live
    padded = np.where(mask[:, None], TRAINS, np.nan)
    value, worth = jax.value_and_grad(lambda xs: on_grid(loss, xs, mask, chunk))(jnp.asarray(padded))
    by_time = slope(reference, np.array(first, float))
    np.testing.assert_allclose(value, reference(first), rtol=1e-12)
    steps = np.arange(STEPS)
    for i, at in enumerate(first):
        effects = np.where(steps < at, steps - at, np.where(steps == at, -1, 0)) * mask
        np.testing.assert_allclose(worth[:, i], effects * by_time[i], rtol=1e-6, atol=1e-8)
        if at < live:  # what a spike is worth one step later, less what it is worth where it is
            later = worth[at + 1, i] if at + 1 < STEPS else 0.0
            np.testing.assert_allclose(later - worth[at, i], by_time[i], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", GRID)
def test_on_the_grid_every_silent_neuron_gets_a_finite_gradient_of_the_right_sign(name):
    silent = jnp.zeros((STEPS, 3))
    value, gradient = jax.value_and_grad(lambda xs: on_grid(GRID[name][0], xs))(silent)
    assert value == pytest.approx(GRID[name][1]([STEPS] * 3), rel=1e-5)
    assert (gradient[:, 1] < 0).all()  # more spikes of the label, fewer of the others
    wanted_later = name != "distance"  # 8 is later than the 6 that is wanted
    assert ((gradient[:, [0, 2]] > 0) == wanted_later).all()


def test_continuous_times_on_the_grid_give_the_same_loss():
    expected = on_grid(FirstSpikeCrossEntropy(2.0, 0.1, 5.0), jnp.float32(TRAINS))
    times = jnp.float32([2, 3, 7, jnp.inf])
    found = first_spike_cross_entropy(times, 1, tau=2.0, duration=8.0, alpha=0.1, tau_early=5.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# --- weights that follow the input


def rate_by_steps(xs, window):
    counts = xs.reshape(len(xs), -1).sum(1)
    rates = [np.mean(counts[max(0, t - window + 1) : t + 1]) for t in range(len(xs))]
    return np.array(rates) / np.mean(rates)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("window", "shape"), [(1, (4,)), (3, ()), (3, (2, 3, 3)), (9, (4,)), (20, (4,))])
def test_the_input_s_rate_is_its_moving_mean_and_1_in_the_mean(window, shape):
    xs = np.random.default_rng(0).poisson(0.4, (9, *shape)).astype(float)
    weights = input_rate(jnp.asarray(xs), window)
    np.testing.assert_allclose(weights, rate_by_steps(xs, window), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(weights.mean(), 1.0, rtol=1e-12)


def test_without_any_input_all_steps_count_alike():
    np.testing.assert_array_equal(input_rate(jnp.zeros((5, 3)), 2), np.ones(5))


def test_a_membrane_is_weighted_by_the_input_s_rate_example_by_example():
    rng = np.random.default_rng(1)
    inputs, outputs = rng.integers(0, 2, (3, 6, 4)).astype(np.float32), rng.normal(size=(3, 6, 2)).astype(np.float32)

    @jax.vmap
    def run(xs, ys):
        return simulate(Echo(), ys, readout=Weighted(input_rate(xs, 2), mean=True), chunk=4)[0]

    expected = [(rate_by_steps(xs, 2)[:, None] * ys).mean(0) for xs, ys in zip(inputs, outputs, strict=True)]
    np.testing.assert_allclose(run(inputs, outputs), expected, rtol=1e-5)


# --- what is refused


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda t: first_spike_cross_entropy(t, 0, tau=0.0, duration=1.0), ValueError, "tau"),
        (lambda t: first_spike_cross_entropy(t, 0, tau=1.0, duration=math.inf), ValueError, "duration"),
        (lambda t: first_spike_cross_entropy(t, 0, tau=1.0, duration=1.0, alpha=0.1), ValueError, "tau_early"),
        (lambda t: first_spike_cross_entropy(t, 0.5, tau=1.0, duration=1.0), TypeError, "label"),
        (lambda t: first_spike_cross_entropy(t[None], 0, tau=1.0, duration=1.0), ShapeError, "times"),
        (lambda t: first_spike_cross_entropy(TIMES, 0, tau=1.0, duration=1.0), DtypeError, "times"),
        (lambda t: earliest_spike_penalty(t[0], alpha=-1.0, tau_early=1.0), ValueError, "alpha"),
        (lambda t: earliest_spike_penalty(t[0], alpha=1.0, tau_early=0.0), ValueError, "tau_early"),
        (lambda t: spike_time_mse(t, t[:2], duration=1.0), ShapeError, "targets"),
        (lambda t: spike_time_mse(t, t, duration=1.0, scale=0.0), ValueError, "scale"),
        (lambda t: target_times(0, 3, correct=4.0, incorrect=2.0), ValueError, "correct"),
        (lambda t: target_times(0, 0, correct=1.0, incorrect=2.0), ValueError, "classes"),
        (lambda t: target_times(0, 3, correct=1.0, incorrect=math.nan), ValueError, "incorrect"),
        (lambda t: input_rate(t, 0), ValueError, "window"),
        (lambda t: input_rate(t, 2.0), TypeError, "window"),
        (lambda t: input_rate(-t, 2), RuntimeError, "xs"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        call(jnp.float32(TIMES))


def test_numbers_and_arrays_of_numpy_are_taken():
    expected = first_spike_cross_entropy(jnp.float32(TIMES), 1, tau=0.5, duration=30.0)
    for label in (np.int64(1), np.array(1), np.uint8(1), jnp.asarray(1)):
        found = first_spike_cross_entropy(TIMES.astype(np.float32), label, tau=np.float32(0.5), duration=np.int64(30))
        assert found == expected
