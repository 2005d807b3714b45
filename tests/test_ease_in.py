"""What training begins with: a learning rate that grows, and silent neurons whose weights are lifted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import snnx
from snnx._errors import ShapeError
from snnx.train import ease_in, wake_silent_weights


def test_the_rate_grows_by_a_factor_until_it_is_full():
    schedule = ease_in(0.02, start=0.1, growth=1.5)
    expected, rate = [], 0.02 * 0.1
    for _ in range(8):
        expected.append(rate)
        rate = min(rate * 1.5, 0.02)
    assert expected[-1] == 0.02 > expected[-3]
    np.testing.assert_allclose([schedule(k) for k in range(8)], expected, rtol=1e-5)


def test_the_defaults_are_full_after_142_steps_and_stay_so():
    schedule = jax.jit(ease_in(1.0))
    assert schedule(0) == pytest.approx(1e-3, rel=1e-5)
    assert schedule(141) < 1 == schedule(142) == schedule(10_000_000)


def test_an_optimizer_takes_steps_of_that_size():
    optimizer = optax.sgd(ease_in(1.0, start=0.25, growth=2.0))
    x, state = jnp.zeros(()), optimizer.init(jnp.zeros(()))
    for _ in range(4):
        updates, state = optimizer.update(jnp.ones(()), state)
        x = optax.apply_updates(x, updates)
    assert x == -(0.25 + 0.5 + 1 + 1)


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"rate": 0.0}, ValueError, "rate"),
        ({"rate": 1.0, "start": 0.0}, ValueError, "start"),
        ({"rate": 1.0, "start": 2.0}, ValueError, "start"),
        ({"rate": 1.0, "growth": 1.0}, ValueError, "growth"),
        ({"rate": lambda step: 1.0}, TypeError, "rate"),
    ],
)
def test_settings_out_of_range_are_refused(settings, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        ease_in(**settings)


def test_weights_of_silent_neurons_alone_are_lifted_and_they_fire():
    weights = jnp.array([[0.5, 0.1], [0.2, 0.1], [-0.1, 0.3]])
    lifted = wake_silent_weights(weights, np.array([3, 0, 0]), 0.25)
    np.testing.assert_allclose(lifted, [[0.5, 0.1], [0.45, 0.35], [0.15, 0.55]], rtol=1e-6)

    def counts(weights):
        return snnx.simulate(snnx.LIF(tau=5.0), jnp.ones((20, 2)) @ weights.T, readout=snnx.Sum())[0]

    for _ in range(4):
        weights = wake_silent_weights(weights, counts(weights), 0.05)
    assert (counts(weights) > 0).all()


def test_counts_and_amounts_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"\bcounts\b"):
        wake_silent_weights(jnp.ones((3, 2)), jnp.zeros(2, jnp.int32), 0.1)
    with pytest.raises(ValueError, match=r"\bamount\b"):
        wake_silent_weights(jnp.ones((3, 2)), jnp.zeros(3), float("nan"))
