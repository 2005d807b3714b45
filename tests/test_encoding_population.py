"""Population code: the published lay-out, the Gaussian in float64, and the value back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx._errors import ShapeError
from snnx.encoding import latency, population, population_fields, population_inverse


def test_the_fields_are_laid_out_as_published():
    # Bohte et al. (2002): centre i, from 1, at low + (2i - 3)/2 * (high - low)/(m - 2), width 1/beta of the spacing.
    centers, width = population_fields(-1.0, 3.0, 6, beta=2.0)
    np.testing.assert_allclose(centers, [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5], rtol=1e-6)
    assert width == pytest.approx(0.5)
    assert population_fields(0.0, 1.0, 4)[1] == pytest.approx(1 / 3)


def test_activations_are_gaussians():
    values = np.array([[0.0, 0.2, 1.0], [0.5, -4.0, 0.9]])
    centers, widths = np.array([0.0, 0.5, 0.8, 1.2]), np.array([0.1, 0.3, 0.2, 2.0])
    expected = np.zeros((2, 3, 4))
    for index in np.ndindex(2, 3):
        for field in range(4):
            expected[(*index, field)] = np.exp(-(((values[index] - centers[field]) / widths[field]) ** 2) / 2)
    got = population(*(jnp.asarray(x, jnp.float32) for x in (values, centers, widths)))
    np.testing.assert_allclose(got, expected, rtol=3e-5, atol=1e-30)
    same = population(jnp.asarray(values, jnp.float32), jnp.asarray(centers, jnp.float32), 0.3)
    np.testing.assert_allclose(same[..., 1], expected[..., 1], rtol=3e-5, atol=1e-30)


@pytest.mark.slow
@given(st.lists(st.floats(-0.5, 1.5, width=32), min_size=6, max_size=6), st.sampled_from([3, 5, 20]))
def test_values_come_back_inside_the_range_and_beside_it(values, fields):
    layout = population_fields(0.0, 1.0, fields)
    again = population_inverse(population(jnp.asarray(values, jnp.float32), *layout), *layout)
    # Rounding of an activation, at worst where the field is two widths away: log a is good to some 1e-6.
    np.testing.assert_allclose(again, values, atol=5e-6)


@pytest.mark.slow
def test_fields_of_different_widths_give_the_value_back(x64):
    values = np.linspace(-1.0, 2.0, 41)
    centers, widths = jnp.array([0.0, 0.35, 0.8, 1.2]), jnp.array([0.9, 0.6, 0.7, 1.1])
    again = population_inverse(population(jnp.asarray(values), centers, widths), centers, widths)
    np.testing.assert_allclose(again, values, atol=1e-12)


@pytest.mark.slow
def test_a_relative_error_moves_the_value_as_documented(x64):
    centers, width = population_fields(0.0, 1.0, 6)
    activations = np.array(population(jnp.array(0.4), centers, width))
    second = np.argsort(activations)[-2]
    activations[second] *= 1 + 1e-4
    moved = float(population_inverse(jnp.asarray(activations), centers, width)) - 0.4
    assert abs(moved) == pytest.approx(width**2 * 1e-4 / 0.25, rel=1e-3)


def test_the_nearest_field_fires_first():
    centers, width = population_fields(0.0, 1.0, 7)
    values = jnp.array([0.05, 0.42, 0.9])
    spikes = np.asarray(latency(population(values, centers, width), 50))
    when = np.where(spikes.sum(axis=0) > 0, spikes.argmax(axis=0), 50)
    nearest = np.abs(np.asarray(values)[:, None] - np.asarray(centers)).argmin(axis=1)
    np.testing.assert_array_equal(when.argmin(axis=1), nearest)


def test_activations_are_differentiable():
    centers, width = population_fields(0.0, 1.0, 5)
    slope = jax.jacobian(lambda x: population(x, centers, width))(jnp.float32(0.3))
    away = 0.3 - np.asarray(centers, float)
    np.testing.assert_allclose(slope, -away / width**2 * np.exp(-((away / width) ** 2) / 2), rtol=1e-4)


@pytest.mark.parametrize("run", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_what_has_no_value_is_refused(run):
    centers = jnp.array([0.0, 1.0, 2.0])

    def inverse(activations, centers, widths):
        return population_inverse(activations, centers, widths)

    for activations, where, widths, named in (
        ([0.0, 0.0, 0.0], centers, [1.0, 1.0, 1.0], "fields"),
        ([0.0, 0.3, 0.0], centers, [1.0, 1.0, 1.0], "fields"),
        ([0.5, 0.5, 0.1], jnp.array([1.0, 1.0, 2.0]), [1.0, 1.0, 1.0], "fields"),
        ([0.5, 1.1, 0.1], centers, [1.0, 1.0, 1.0], "activations"),
        ([0.5, np.nan, 0.1], centers, [1.0, 1.0, 1.0], "activations"),
        ([0.5, 1.0, 0.1], jnp.array([0.0, np.nan, 2.0]), [1.0, 1.0, 1.0], "centers"),
        ([0.5, 1.0, 0.1], centers, [1.0, 0.0, 1.0], "widths"),
    ):
        with pytest.raises(RuntimeError, match=rf"population_inverse: .*\b{named}\b"):
            jax.block_until_ready(run(inverse)(jnp.array(activations), where, jnp.array(widths)))


def test_lengths_have_to_agree():
    with pytest.raises(ShapeError, match=r"\bwidths\b"):
        population(jnp.ones(4), jnp.ones(3), jnp.ones(2))
    with pytest.raises(ShapeError, match=r"\bcenters\b"):
        population_inverse(jnp.ones((4, 3)), jnp.ones(2), 1.0)
