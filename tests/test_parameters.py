"""Parameters: constraints hold for every leaf, what is trained is what was meant, random values follow their law."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from snnx._readers import reader
from snnx.cells import replace
from snnx.layers import Sequential
from snnx.neurons import LI, LIF, ValueReset
from snnx.parameters import (
    Bounded,
    Frozen,
    Positive,
    PositiveParameter,
    check_parameter_shape,
    gamma,
    log_uniform,
    trainable,
    value,
)
from snnx.surrogates import ATan, StochasticEscape

LARGEST = float(np.finfo(np.float32).max)
raw_leaves = st.floats(width=32, allow_nan=False, allow_infinity=False)


@jax.jit
def positive_of(raw):
    return jax.value_and_grad(lambda r: replace(Positive(1.0), raw=r).value())(raw)


@jax.jit
def bounded_of(raw, low, high):
    def read(r):
        return replace(Bounded(0.5, 0.0, 1.0), raw=r, low=low, high=high).value()

    return jax.value_and_grad(read)(raw)


# Positive.


@given(raw_leaves)
@example(LARGEST)
@example(-LARGEST)
@example(400.0)
def test_a_positive_is_positive_for_every_leaf(raw):
    found, slope = positive_of(jnp.float32(raw))
    assert 4e-18 < found < 2.5e17
    assert np.isfinite(slope)
    assert slope >= 0


@given(st.floats(1e-4, 1e4), st.floats(1e-16, 1e16))
def test_a_positive_starts_where_it_was_told_to(moderate, extreme):
    np.testing.assert_allclose(Positive(moderate).value(), moderate, rtol=1e-5)
    np.testing.assert_allclose(Positive(extreme).value(), extreme, rtol=1e-4)  # tanh near its end costs a digit


def test_a_positive_is_the_formula_in_its_docstring(x64):
    raw = np.linspace(-60, 60, 25)
    found = replace(Positive(1.0), raw=jnp.asarray(raw)).value()
    np.testing.assert_allclose(found, np.exp(40 * np.tanh(raw / 40)), rtol=1e-13)
    start = np.array([1e-9, 0.02, 1.0, 20.0, 1e8])
    np.testing.assert_allclose(Positive(jnp.asarray(start)).value(), start, rtol=1e-13)


def test_a_step_on_a_positive_is_relative():
    """The same small step on the leaf changes 20 steps and 0.02 seconds by the same share."""
    steps, seconds = Positive(20.0), Positive(0.02)
    moved = [replace(p, raw=p.raw + 0.1).value() / p.value() for p in (steps, seconds)]
    np.testing.assert_allclose(moved, np.exp(0.1), rtol=0.01)


# Bounded.


@given(
    raw_leaves,
    st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)
@example(LARGEST, 0.0, 1.0)
@example(-LARGEST, 0.0, 1.0)
@example(-100.0, 0.1, 0.7)
@example(100.0, 0.1, 0.7)
def test_a_bounded_stays_between_its_bounds_for_every_leaf(raw, low, high):
    assume(low < high)
    found, slope = bounded_of(*(jnp.float32(x) for x in (raw, low, high)))
    assert np.float32(low) <= found <= np.float32(high)
    assert np.isfinite(slope)
    assert slope >= 0


@given(st.floats(0.001, 0.999), st.floats(-5.0, 5.0), st.floats(0.1, 50.0))
def test_a_bounded_starts_where_it_was_told_to(share, low, width):
    start = low + share * width
    found = Bounded(start, low, low + width).value()
    np.testing.assert_allclose(found, start, atol=1e-5 * max(1.0, abs(low), width))


def test_a_bounded_is_the_formula_in_its_docstring(x64):
    raw = np.linspace(-30, 30, 25)
    found = replace(Bounded(0.0, -2.0, 60.0), raw=jnp.asarray(raw)).value()
    np.testing.assert_allclose(found, -2.0 + 62.0 / (1 + np.exp(-raw)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(Bounded(jnp.asarray([1e-12, 30.0]), 0.0, 60.0).value(), [1e-12, 30.0], rtol=1e-12)


@pytest.mark.parametrize("low", [0.0, -3.0, 1e6])
def test_a_boundeds_gradient_is_that_of_its_formula(low):
    raw = np.array([-12.0, -1.0, -1e-3, 0.0, 1e-3, 2.0, 12.0])
    bounded = replace(Bounded(low + 0.5, low, low + 1.0), raw=jnp.asarray(raw, jnp.float32))
    slope = jax.grad(lambda p: jnp.sum(p.value()))(bounded).raw
    np.testing.assert_allclose(slope, 1 / (2 + np.exp(raw) + np.exp(-raw)), rtol=1e-5)


def test_half_precision_leaves_are_read_in_single_precision():
    for parameter in (Positive(jnp.full(2, 20.0, jnp.bfloat16)), Bounded(jnp.full(2, 0.5, jnp.bfloat16), 0.0, 1.0)):
        assert parameter.raw.dtype == jnp.bfloat16
        assert parameter.value().dtype == jnp.float32
    np.testing.assert_allclose(Positive(jnp.full(2, 20.0, jnp.bfloat16)).value(), 20.0, rtol=0.02)


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: Positive(0.0), ValueError, "value"),
        (lambda: Positive(jnp.array([1.0, -3.0])), ValueError, "value"),
        (lambda: Positive(1e20), ValueError, "value"),
        (lambda: Positive(1e-20), ValueError, "value"),
        (lambda: Positive(math.nan), ValueError, "value"),
        (lambda: Positive(math.inf), ValueError, "value"),
        (lambda: Positive(jnp.arange(1, 3)), TypeError, "value"),
        (lambda: Positive("20"), TypeError, "value"),
        (lambda: Positive(True), TypeError, "value"),
        (lambda: Positive(2.0, above=-1.0), ValueError, "above"),
        (lambda: Positive(2.0, above=3.0), ValueError, "value"),
        (lambda: Bounded(2.0, 0.0, 1.0), ValueError, "value"),
        (lambda: Bounded(0.0, 0.0, 1.0), ValueError, "value"),
        (lambda: Bounded(jnp.array([0.5, -1.0]), 0.0, 1.0), ValueError, "value"),
        (lambda: Bounded(math.nan, 0.0, 1.0), ValueError, "value"),
        (lambda: Bounded(0.5, 1.0, 0.0), ValueError, "low"),
        (lambda: Bounded(0.5, "0", 1.0), TypeError, "low"),
        (lambda: Bounded(0.5, 0.0, math.inf), ValueError, "high"),
        (lambda: Frozen("x"), TypeError, "array"),
        (lambda: Frozen(jnp.arange(3)), TypeError, "array"),
    ],
)
def test_what_wrappers_refuse(make, error, name):
    with pytest.raises(error, match=rf"\b{name} is\b"):
        make()


def test_a_value_under_a_transformation_is_taken_unseen():
    made = eqx.filter_vmap(lambda x: Positive(x))(jnp.array([2.0, 3.0]))
    np.testing.assert_allclose(made.value(), [2.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: Bounded(x, 0.0, 1.0).value())(0.25), 0.25, rtol=1e-6)


# Frozen, value, trainable.


def test_value_reads_every_kind_of_parameter():
    assert value(20.0) == 20.0
    assert isinstance(value(20.0), float)
    array = jnp.full(3, 20.0)
    assert value(array) is array
    np.testing.assert_allclose(value(Positive(20.0)), 20.0, rtol=1e-6)
    np.testing.assert_array_equal(value(Frozen(array)), array)


def test_no_gradient_reaches_a_frozen_array():
    gradient = jax.grad(lambda p: jnp.sum(3 * value(p)))
    np.testing.assert_array_equal(gradient(Frozen(jnp.ones(2))).array, [0, 0])
    np.testing.assert_array_equal(gradient(jnp.ones(2)), [3, 3])


def test_trainable_marks_arrays_of_floats_outside_of_frozen():
    model = {
        "array": jnp.ones(3),
        "positive": Positive(20.0),
        "bounded": Bounded(0.5, 0.0, 1.0),
        "frozen": Frozen(jnp.ones(3)),
        "number": 20.0,
        "whole": 3,
        "none": None,
        "ints": jnp.arange(3),
        "bools": jnp.ones(2, bool),
        "bytes": jnp.zeros(2, jnp.uint8),
        "key": jax.random.key(0),
        "half": jnp.ones(2, jnp.bfloat16),
        "surrogate": ATan(jnp.asarray(2.0)),
        "constant surrogate": ATan(2.0),
    }
    marks = trainable(model)
    assert {k for k, m in marks.items() if any(jax.tree.leaves(m))} == {
        "array",
        "positive",
        "bounded",
        "half",
        "surrogate",
    }
    assert marks["frozen"] is False
    learned, rest = eqx.partition(model, marks)
    assert len(jax.tree.leaves(learned)) == 5
    back = eqx.combine(learned, rest)
    np.testing.assert_array_equal(back["frozen"].array, jnp.ones(3))
    assert back["number"] == 20.0


def test_trainable_looks_into_models():
    model = Sequential(
        [
            eqx.nn.Linear(2, 3, key=jax.random.key(0)),
            LIF(tau=Positive(jnp.full(3, 9.0)), threshold=Frozen(1.0), reset=ValueReset(jnp.zeros(3))),
            LIF(surrogate=StochasticEscape(jnp.asarray(3.0))),
            LI(tau=5.0),
        ]
    )
    shapes = sorted(x.shape for x in jax.tree.leaves(eqx.filter(model, trainable(model))))
    assert shapes == [(), (3,), (3,), (3,), (3, 2)]  # the slope; tau, v_reset, bias; the weight


# Checks.


def test_a_parameters_shape_is_a_scalar_or_the_inputs_with_shared_axes():
    for shape in [(), (2, 3, 4), (2, 1, 1), (1, 1, 1), (1, 3, 4)]:
        check_parameter_shape("X", "p", jnp.ones(shape), (2, 3, 4))
    check_parameter_shape("X", "p", 3.0, (2, 3, 4))
    check_parameter_shape("X", "p", Positive(jnp.ones(())), ())
    for shape in [(4,), (1,), (2, 3), (3, 1, 1), (1, 2, 3, 4)]:
        with pytest.raises(ValueError, match=r"\bp\b"):
            check_parameter_shape("X", "p", Positive(jnp.ones(shape)), (2, 3, 4))


def test_what_stands_for_a_parameter_is_settled():
    read = reader(PositiveParameter)
    for same in (1, 1.5, jnp.ones(2), Positive(1.0), Frozen(1.0)):
        assert read("X", "p", same) is same
    assert type(read("X", "p", np.float64(2.0))) is float  # NumPy's numbers are constants, its arrays are learned
    assert isinstance(read("X", "p", np.ones(2, np.float32)), jax.Array)
    jax.jit(lambda x: read("X", "p", x))(-1.0)  # not known yet
    with pytest.raises(TypeError, match=r"\bp\b"):
        read("X", "p", np.ones(2))
    for bad in (0.0, jnp.zeros(2), Frozen(-1.0)):
        with pytest.raises(ValueError, match=r"\bp\b"):
            read("X", "p", bad)


# Random values.


def test_log_uniform_has_a_uniform_logarithm():
    low, high, n = 2.0, 50.0, 20_000
    drawn = np.asarray(log_uniform(jax.random.key(0), (n,), low, high))
    assert low <= drawn.min() < 1.01 * low
    assert 0.99 * high < drawn.max() <= high
    a, b = np.log(low), np.log(high)
    share = np.sort((np.log(drawn) - a) / (b - a))
    assert np.abs(share - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("concentration", [3.0, 1.5])
def test_gamma_has_the_moments_of_its_law(concentration):
    mean, n = 20.0, 20_000
    drawn = np.asarray(gamma(jax.random.key(1), (n,), mean, concentration), np.float64)
    assert drawn.min() > 0
    deviation = mean / np.sqrt(concentration)
    assert abs(drawn.mean() - mean) < 4 * deviation / np.sqrt(n)
    kurtosis = 3 + 6 / concentration
    assert abs(drawn.var() / deviation**2 - 1) < 4 * np.sqrt((kurtosis - 1) / n)
    skew = np.mean(((drawn - mean) / deviation) ** 3)
    assert abs(skew - 2 / np.sqrt(concentration)) < 0.25


def test_random_values_follow_their_key_and_shape():
    for draw in (lambda key: log_uniform(key, (2, 1, 3), 1.0, 9.0), lambda key: gamma(key, (2, 1, 3), 5.0)):
        a, b = draw(jax.random.key(0)), draw(jax.random.key(1))
        assert a.shape == (2, 1, 3)
        np.testing.assert_array_equal(a, draw(jax.random.key(0)))
        assert (a != b).all()


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda key: log_uniform(key, (3,), 5.0, 5.0), "low"),
        (lambda key: log_uniform(key, (3,), 0.0, 5.0), "low"),
        (lambda key: log_uniform(key, (3,), 1.0, math.inf), "high"),
        (lambda key: gamma(key, (3,), -1.0), "mean"),
        (lambda key: gamma(key, (3,), 1.0, 0.0), "concentration"),
        (lambda key: gamma(key, (-3,), 1.0), "shape"),
    ],
)
def test_what_random_values_refuse(draw, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        draw(jax.random.key(0))


def test_random_values_take_whole_numbers_as_bounds():
    key = jax.random.key(0)
    np.testing.assert_array_equal(log_uniform(key, (3,), 5, 50), log_uniform(key, (3,), 5.0, 50.0))
    np.testing.assert_array_equal(gamma(key, (3,), 20), gamma(key, (3,), 20.0))
