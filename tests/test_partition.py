"""Parameters apart from the rest, as one vector, and of many models at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small import FEATURES, HIDDEN, assert_same_bits, make_model

import snnx
from snnx._errors import ShapeError
from snnx.parameters import members


class Everything(eqx.Module):
    """One leaf of every kind."""

    weight: jax.Array
    frozen: snnx.Frozen
    scalar: jax.Array
    count: jax.Array
    mask: jax.Array
    key: jax.Array
    tau: snnx.Positive
    share: snnx.Bounded
    number: float
    whole: int
    function: object
    nothing: None
    inner: dict

    def __init__(self):
        self.weight = jnp.arange(6.0).reshape(2, 3)
        self.frozen = snnx.Frozen(jnp.full(4, 7.0))
        self.scalar = jnp.array(-1.5)
        self.count, self.mask = jnp.arange(3), jnp.array([True, False])
        self.key = jax.random.key(0)
        self.tau = snnx.Positive(jnp.array([5.0, 20.0]))
        self.share = snnx.Bounded(0.3, -1.0, 2.0)
        self.number, self.whole, self.function, self.nothing = 0.5, 3, jnp.tanh, None
        self.inner = {"b": [jnp.ones(2)], "a": (jnp.zeros((1, 2)), 2.5)}


def expected_leaves(model):
    """What should be moved, in the order of the tree, in NumPy: fields as they are declared, dicts by their keys."""
    leaves = [model.weight, model.scalar, model.tau.raw, model.share.raw, model.inner["a"][0], model.inner["b"][0]]
    return [np.asarray(leaf) for leaf in leaves]


# In two parts.


def test_arrays_of_floats_that_are_not_frozen_are_what_is_moved():
    model = Everything()
    params, rest = snnx.partition(model)
    assert_same_bits(jax.tree.leaves(params), [jnp.asarray(leaf) for leaf in expected_leaves(model)])
    for name in ("frozen", "count", "mask", "key", "number", "whole", "function", "nothing"):
        assert not jax.tree.leaves(getattr(params, name)), name
    assert (rest.number, rest.whole, rest.function, rest.inner["a"][1]) == (0.5, 3, jnp.tanh, 2.5)
    assert (rest.share.low, rest.share.high, rest.tau.above) == (-1.0, 2.0, 0.0)
    assert_same_bits((rest.count, rest.mask, rest.key, rest.frozen), (model.count, model.mask, model.key, model.frozen))
    assert rest.weight is None


def test_the_two_parts_make_the_model_again():
    model = Everything()
    again = snnx.combine(*snnx.partition(model))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    assert_same_bits(again, model)


def test_the_parts_of_a_network_run_as_it_does():
    model = make_model(tau=snnx.Positive(jnp.full(HIDDEN, 4.0)))
    params, rest = snnx.partition(model)
    xs = jax.random.bernoulli(jax.random.key(1), 0.5, (6, FEATURES)).astype(float)
    run = eqx.filter_jit(lambda model: snnx.simulate(model, xs)[0])
    expected = run(model)
    np.testing.assert_array_equal(run(snnx.combine(params, rest)), expected)
    assert np.abs(expected).max() > 0.1
    three = jax.tree.map(lambda leaf: jnp.stack([leaf, 0 * leaf, leaf]), params)
    found = jax.jit(jax.vmap(lambda params: snnx.simulate(snnx.combine(params, rest), xs)[0]))(three)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], np.zeros_like(expected))  # without weights there is silence


def test_what_is_moved_may_be_chosen():
    model = Everything()
    nothing = jax.tree.map(lambda _: False, model)
    params, rest = snnx.partition(model, lambda m: eqx.tree_at(lambda t: t.weight, nothing, replace=True))
    assert_same_bits(jax.tree.leaves(params), [model.weight])
    assert_same_bits(snnx.combine(params, rest), model)
    frozen, _ = snnx.partition(model, lambda m: eqx.tree_at(lambda t: t.frozen.array, nothing, replace=True))
    assert_same_bits(jax.tree.leaves(frozen), [model.frozen.array])


@pytest.mark.parametrize(
    "nothing",
    [{"a": 1.0, "b": jnp.arange(3), "c": jnp.tanh}, snnx.LIF(), snnx.Frozen(jnp.ones(3)), []],
    ids=["numbers", "neuron", "frozen", "empty"],
)
@pytest.mark.parametrize("do", [snnx.partition, snnx.parameters.flatten])
def test_where_there_is_nothing_to_move_a_sentence_says_so(do, nothing):
    with pytest.raises(ValueError, match=r"\bmodel\b"):
        do(nothing)


@pytest.mark.parametrize("name", ["count", "number", "function", "mask"])
def test_what_cannot_be_moved_must_not_be_chosen(name):
    def trainable(model):
        return eqx.tree_at(lambda t: getattr(t, name), snnx.trainable(model), replace=True)

    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        snnx.partition(Everything(), trainable)


def test_parts_of_different_models_are_not_put_together():
    params, rest = snnx.partition(Everything())
    other, other_rest = snnx.partition(make_model())
    for pair in ((params, other_rest), (other, rest), (params, {"weight": None}), (params, None)):
        with pytest.raises(ValueError, match=r"\brest\b"):
            snnx.combine(*pair)


# As one vector.


def test_a_vector_is_every_leaf_one_after_the_other():
    model = Everything()
    expected = np.concatenate([leaf.ravel() for leaf in expected_leaves(model)])
    found = snnx.parameters.flatten(model)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(snnx.parameters.flatten(snnx.partition(model)[0]), expected)


def test_a_vector_makes_a_model_again():
    model = Everything()
    vector = jnp.arange(14.0)
    moved = snnx.parameters.unflatten(vector, model)
    np.testing.assert_array_equal(moved.weight, [[0, 1, 2], [3, 4, 5]])
    assert float(moved.scalar) == 6.0
    np.testing.assert_array_equal(moved.tau.raw, [7, 8])
    assert float(moved.share.raw) == 9.0
    np.testing.assert_array_equal(moved.inner["a"][0], [[10, 11]])
    np.testing.assert_array_equal(moved.inner["b"][0], [12, 13])
    np.testing.assert_array_equal(snnx.parameters.flatten(moved), vector)
    assert_same_bits(snnx.partition(moved)[1], snnx.partition(model)[1])
    assert_same_bits(snnx.parameters.unflatten(snnx.parameters.flatten(model), model), model)
    params, _ = snnx.partition(model)
    assert_same_bits(snnx.parameters.unflatten(vector, params), snnx.partition(moved)[0])


def test_a_population_of_vectors_is_a_vmap_away():
    model = Everything()
    population = np.random.default_rng(0).normal(size=(5, 14)).astype(np.float32)
    models = jax.vmap(lambda vector: snnx.parameters.unflatten(vector, snnx.partition(model)[0]))(
        jnp.asarray(population)
    )
    np.testing.assert_array_equal(models.weight, population[:, :6].reshape(5, 2, 3))
    np.testing.assert_array_equal(models.inner["b"][0], population[:, 12:])
    again = jax.vmap(snnx.parameters.flatten)(models)
    np.testing.assert_array_equal(again, population)


def test_a_gradient_goes_through_the_vector():
    """Of half the sum of squares it is the vector itself."""
    model = {"a": jnp.array([[1.0, -2.0]]), "b": jnp.array(3.0), "c": snnx.Frozen(jnp.array(9.0))}

    @jax.jit
    def half_square(vector):
        moved = snnx.parameters.unflatten(vector, model)
        return 0.5 * (jnp.sum(moved["a"] ** 2) + moved["b"] ** 2) + moved["c"].value()

    vector = snnx.parameters.flatten(model)
    np.testing.assert_allclose(jax.grad(half_square)(vector), [1.0, -2.0, 3.0])


def test_several_dtypes_make_a_vector_of_the_widest():
    model = {"half": jnp.array([1.5, -2.0], jnp.float16), "single": jnp.array([1 / 3], jnp.float32)}
    vector = snnx.parameters.flatten(model)
    assert vector.dtype == jnp.float32
    np.testing.assert_array_equal(vector, np.float32([1.5, -2.0, 1 / 3]))
    assert_same_bits(snnx.parameters.unflatten(vector, model), model)
    moved = snnx.parameters.unflatten(vector + np.float32(1e-4), model)
    assert (moved["half"].dtype, moved["single"].dtype) == (jnp.float16, jnp.float32)
    np.testing.assert_array_equal(moved["half"], np.float16(np.float32([1.5001, -1.9999])))
    both = {"brain": jnp.ones(1, jnp.bfloat16), "half": jnp.ones(1, jnp.float16)}
    assert snnx.parameters.flatten(both).dtype == jnp.float32


def test_double_precision_stays(x64):
    model = {"a": jnp.array([np.pi]), "b": jnp.array([1 / 3], jnp.float32)}
    vector = snnx.parameters.flatten(model)
    assert vector.dtype == jnp.float64
    np.testing.assert_array_equal(vector, [np.pi, np.float32(1 / 3)])
    assert_same_bits(snnx.parameters.unflatten(vector, model), model)


@pytest.mark.parametrize("shape", [(13,), (14, 1), (3, 14), ()])
def test_a_vector_of_another_length_is_refused(shape):
    with pytest.raises(ShapeError, match=r"\bvector\b"):
        snnx.parameters.unflatten(jnp.zeros(shape), Everything())


@pytest.mark.parametrize("vector", [jnp.arange(14), [0.0] * 14])
def test_a_vector_is_of_floats(vector):
    with pytest.raises(TypeError, match=r"\bvector\b"):
        snnx.parameters.unflatten(vector, Everything())


# Constraints.

CONSTRAINED = {
    "positive": snnx.Positive(jnp.array([0.02, 20.0])),
    "above": snnx.Positive(jnp.array([3.0, 50.0]), above=1.0),
    "bounded": snnx.Bounded(jnp.array([0.1, 0.9]), 0.0, 1.0),
    "shifted": snnx.Bounded(jnp.array([-3.5, -3.1]), -4.0, -3.0),
}


@jax.jit
def constrained(noise):
    """The parameters once noise has been added to the vector, and what the vector became."""
    moved = snnx.parameters.flatten(CONSTRAINED) + noise
    model = snnx.parameters.unflatten(moved, CONSTRAINED)
    return {name: parameter.value() for name, parameter in model.items()}, moved


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=8))
@example([float(np.finfo(np.float32).max)] * 8)
@example([float(np.finfo(np.float32).min)] * 8)
@example([100.0, -100.0] * 4)
def test_constraints_hold_whatever_is_added_to_the_vector(noise):
    values, moved = constrained(jnp.asarray(noise, jnp.float32))
    assert np.isfinite(moved).all()
    assert (np.asarray(values["positive"]) > 0).all()
    assert np.isfinite(values["positive"]).all()
    assert (np.asarray(values["above"]) >= 1).all()
    assert np.isfinite(values["above"]).all()
    for name, low, high in (("bounded", 0.0, 1.0), ("shifted", -4.0, -3.0)):
        assert (np.asarray(values[name]) >= low).all()
        assert (np.asarray(values[name]) <= high).all()


# Many models.


def make(key, threshold=1.0, tau=4.0):
    first, second = jax.random.split(key)
    neurons = snnx.LIF(tau=snnx.Positive(tau), threshold=snnx.Frozen(threshold))
    return snnx.Sequential([eqx.nn.Linear(4, 3, key=first), neurons, eqx.nn.Linear(3, 2, key=second), snnx.LI()])


def test_an_ensemble_is_the_models_that_a_loop_makes():
    keys, thresholds = jax.random.split(jax.random.key(3), 4), jnp.linspace(0.5, 2.0, 4)
    models = snnx.parameters.init_ensemble(make, keys, thresholds)
    assert members(models) == 4
    for i in range(4):
        one, alone = snnx.parameters.member(models, i), eqx.filter_jit(make)(keys[i], thresholds[i])
        assert jax.tree.structure(one) == jax.tree.structure(alone)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(alone), strict=True):
            if eqx.is_array(a):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                np.testing.assert_allclose(a, b, rtol=1e-6)
            else:
                assert a == b
    assert float(snnx.parameters.member(models, -1).layers[1].threshold.value()) == 2.0


def test_an_ensemble_runs_as_its_members_do():
    models = snnx.parameters.init_ensemble(make, jax.random.split(jax.random.key(3), 3), jnp.array([0.1, 0.5, 5.0]))
    xs = jax.random.bernoulli(jax.random.key(1), 0.5, (6, 4)).astype(float)
    run = eqx.filter_jit(lambda model: snnx.simulate(model, xs)[0])
    together = eqx.filter_jit(eqx.filter_vmap(run))(models)
    for i in range(3):
        alone = run(snnx.parameters.member(models, i))
        np.testing.assert_allclose(together[i], alone, rtol=1e-5, atol=1e-6)
    assert np.abs(together[0] - together[2]).max() > 1e-3


def test_members_may_differ_in_several_things():
    keys = jax.random.split(jax.random.key(3), 2)
    more = {"threshold": jnp.array([0.5, 1.5]), "tau": jnp.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])}
    models = snnx.parameters.init_ensemble(lambda key, how: make(key, **how), keys, more)
    np.testing.assert_allclose(models.layers[1].tau.value(), more["tau"], rtol=1e-6)
    np.testing.assert_allclose(snnx.parameters.member(models, 1).layers[1].tau.value(), [5.0, 6.0, 7.0], rtol=1e-6)
    assert snnx.parameters.flatten(snnx.parameters.member(models, 0)).shape == (4 * 3 + 3 + 3 + 3 * 2 + 2,)


def test_what_is_no_array_is_the_same_for_all():
    models = snnx.parameters.init_ensemble(make, jax.random.split(jax.random.key(3), 2))
    assert models.layers[3].tau == make(jax.random.key(0)).layers[3].tau
    assert isinstance(models.layers[3].tau, float)


@pytest.mark.parametrize(
    "keys",
    [jax.random.key(0), jax.random.split(jax.random.key(0), (2, 2)), jnp.arange(3), 3, jax.random.PRNGKey(0)],
    ids=["one key", "a table", "integers", "number", "raw key"],
)
def test_keys_are_a_row_of_keys(keys):
    with pytest.raises(TypeError, match=r"\bkeys\b"):
        snnx.parameters.init_ensemble(make, keys)


@pytest.mark.parametrize("more", [jnp.ones(3), {"a": jnp.ones(2), "b": [jnp.ones((3, 2))]}, jnp.ones(())])
def test_arrays_have_one_entry_a_key(more):
    with pytest.raises(ShapeError, match=r"\bmore\b"):
        snnx.parameters.init_ensemble(lambda key, more: make(key), jax.random.split(jax.random.key(0), 2), more)


def test_what_is_no_ensemble_has_no_members():
    models = snnx.parameters.init_ensemble(make, jax.random.split(jax.random.key(0), 2))
    one = make(jax.random.key(0))
    for wrong in (
        one,
        snnx.parameters.member(models, 0),
        {"a": jnp.ones((2, 3)), "b": jnp.ones((3, 3))},
        {"a": 1.0},
        jnp.ones(()),
    ):
        with pytest.raises(ShapeError, match=r"\bmodels\b"):
            members(wrong)
        with pytest.raises(ShapeError, match=r"\bmodels\b"):
            snnx.parameters.member(wrong, 0)
    for index in (2, -3):
        with pytest.raises(IndexError, match=rf"\bindex is {index}\b"):
            snnx.parameters.member(models, index)


def test_two_parts_with_the_same_leaf_are_no_parts_of_one_model():
    params, rest = snnx.partition(snnx.LIF(tau=jnp.array(3.0)))
    for wrong in ((params, params), (params, snnx.combine(params, rest))):
        with pytest.raises(ValueError, match=r"\brest\b"):
            snnx.combine(*wrong)
    with pytest.raises(TypeError, match=r"\btrainable\b"):
        snnx.partition(params, True)


def test_what_differs_between_members_comes_as_arrays():
    keys = jax.random.split(jax.random.key(0), 4)
    for wrong in ([0.5, 1.0, 1.5, 2.0], 1.0):
        with pytest.raises(snnx.ShapeError, match=r"\bmore\b"):
            snnx.parameters.init_ensemble(lambda key, x: snnx.LIF(threshold=snnx.Frozen(x)), keys, wrong)
    models = snnx.parameters.init_ensemble(
        lambda key, x: snnx.LIF(threshold=snnx.Frozen(x)), keys, np.arange(1.0, 5.0, dtype="f4")
    )
    assert snnx.value(snnx.parameters.member(models, 2).threshold) == 3.0
    with pytest.raises(TypeError, match=r"\bindex\b"):
        snnx.parameters.member(models, 1.0)
