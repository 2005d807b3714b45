"""Static arguments: equal where two values cannot be told apart by calling them, else not."""

import functools
import gc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import make_model

import snnx
from snnx._intern import Static, structure


def equal(a, b):
    """Whether two values are the same static argument; equal ones have equal hashes."""
    first, second = Static(a), Static(b)
    assert (first == second) == (second == first)
    if first == second:
        assert hash(first) == hash(second)
        assert first in {second}
    return first == second


OPTIMIZERS = {
    "sgd": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": lambda rate: optax.adam(rate),
    "chain": lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-2)),
    "schedule": lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 100)),
    "joined": lambda rate: optax.sgd(optax.join_schedules([optax.constant_schedule(rate), lambda step: 0.1], [5])),
    "masked": lambda rate: optax.masked(optax.adam(rate), {"a": True, "b": False}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_made_alike_are_equal(name):
    make = OPTIMIZERS[name]
    assert make(1e-3).update != make(1e-3).update  # by identity, as JAX would compare them
    assert equal(make(1e-3).update, make(1e-3).update)
    assert not equal(make(1e-3).update, make(2e-3).update)


def test_different_optimisers_differ():
    updates = [Static(make(1e-3).update) for make in OPTIMIZERS.values()]
    assert len(set(updates)) == len(updates)


def scaled(factor):
    return lambda x: factor * x


def test_functions_are_compared_by_what_they_close_over():
    assert equal(scaled(2), scaled(2))
    assert not equal(scaled(2), scaled(3))
    assert not equal(scaled(2), scaled(2.0))
    assert not equal(scaled(1), scaled(True))
    assert not equal(scaled(0.0), scaled(-0.0))
    assert equal(scaled(float("nan")), scaled(float("nan")))
    assert equal(scaled("a"), scaled("a"))
    assert not equal(scaled("a"), scaled(b"a"))
    assert not equal(scaled((1, 2)), scaled([1, 2]))
    assert not equal(scaled((1, 2)), scaled((1, (2,))))
    assert equal(scaled({"a": [1, {"b": 2}]}), scaled({"a": [1, {"b": 2}]}))
    assert not equal(scaled({"a": [1, {"b": 2}]}), scaled({"a": [1, {"b": 3}]}))
    assert not equal(scaled({"a": 1, "b": 2}), scaled({"a": 2, "b": 1}))
    assert equal(scaled(scaled(2)), scaled(scaled(2)))
    assert not equal(scaled(scaled(2)), scaled(scaled(3)))
    assert equal(scaled(jnp.tanh), scaled(jnp.tanh))
    assert not equal(scaled(jnp.tanh), scaled(jnp.sinh))


def test_functions_are_compared_by_their_code():
    def make(which):
        return (lambda x: x + 1) if which else (lambda x: x + 2)

    assert equal(make(True), make(True))
    assert not equal(make(True), make(False))
    assert not equal(lambda x: x, 3)


def with_default(value):
    def function(x, factor=value):
        return factor * x

    return function


def with_keyword_default(value):
    def function(x, *, factor=value):
        return factor * x

    return function


def with_attribute(value):
    def function(x):
        return function.factor * x

    function.factor = value
    return function


@pytest.mark.parametrize("make", [with_default, with_keyword_default, with_attribute])
def test_functions_are_compared_by_defaults_and_attributes(make):
    assert equal(make(2), make(2))
    assert not equal(make(2), make(3))
    assert not equal(make(2), make(2.0))


def test_functions_are_compared_by_the_module_whose_names_they_see():
    def make(factor):
        names = {"factor": factor}
        exec(compile("def function(x):\n    return factor * x\n", "<made>", "exec"), names)
        return names["function"]

    one, other = make(2), make(3)
    assert one.__code__ == other.__code__
    assert not equal(one, other)
    assert equal(one, one)


def factorial(stop):
    def function(n):
        return 1 if n <= stop else n * function(n - 1)

    return function


def ping_pong(stop):
    def ping(n):
        return n if n < stop else pong(n - 1)

    def pong(n):
        return n if n < 0 else ping(n - 2)

    return ping


@pytest.mark.parametrize("make", [factorial, ping_pong])
def test_functions_that_close_over_themselves_are_compared_too(make):
    assert equal(make(1), make(1))
    assert not equal(make(1), make(2))


def test_a_cell_that_is_not_filled_yet():
    def make():
        found = []

        def function():
            return later

        found.append(Static(function))
        later = 1
        found.append(Static(function))
        return found

    (before, after), (before_again, _) = make(), make()
    assert before == before_again
    assert before != after


class Scale:
    """No PyTree, and no equality of its own."""

    def __init__(self, factor):
        self.factor = factor

    def apply(self, x):
        return self.factor * x


class Equal(Scale):
    def __eq__(self, other):
        return isinstance(other, Equal) and self.factor == other.factor

    def __hash__(self):
        return hash(self.factor)


def test_bound_methods_and_partials():
    scale = Scale(2)
    assert scale.apply is not scale.apply
    assert equal(scale.apply, scale.apply)
    assert not equal(scale.apply, Scale(2).apply)  # two objects that may change: by identity
    assert equal(Equal(2).apply, Equal(2).apply)
    assert not equal(Equal(2).apply, Equal(3).apply)
    assert equal(functools.partial(scaled, 2), functools.partial(scaled, 2))
    assert not equal(functools.partial(scaled, 2), functools.partial(scaled, 3))
    assert not equal(functools.partial(scaled, factor=2), functools.partial(scaled, 2))
    assert not equal(functools.partial(scaled, 2), functools.partial(with_default, 2))
    assert equal(functools.partial(functools.partial(scaled, 2)), functools.partial(scaled, 2))


def test_arrays_are_compared_by_identity():
    for array in (jnp.arange(3), np.arange(3)):
        same = array.copy()
        assert equal(scaled(array), scaled(array))
        assert not equal(scaled(array), scaled(same))


def test_identities_are_not_given_away():
    # A static argument holds on to what it compares by identity: else another array at the same address would be equal.
    first = Static(scaled(np.arange(3)))
    gc.collect()
    for _ in range(50):
        assert first != Static(scaled(np.arange(3)))


def test_modules_are_compared_by_class_static_fields_and_functions():
    def static(**settings):
        return eqx.partition(make_model(**settings), eqx.is_array)[1]

    assert equal(static(), static())
    assert equal(static(seed=0), static(seed=1))  # other arrays
    assert not equal(static(), static(tau=5.0))
    assert not equal(static(), static(surrogate=snnx.SuperSpike()))
    assert not equal(static(), static(surrogate=snnx.ATan(3.0)))
    assert equal(static(between=(scaled(2),)), static(between=(scaled(2),)))
    assert not equal(static(between=(scaled(2),)), static(between=(scaled(3),)))
    assert not equal(static(), eqx.nn.inference_mode(static(between=(eqx.nn.Dropout(0.1),))))
    assert equal(snnx.CrossEntropy(snnx.Mean()), snnx.CrossEntropy(snnx.Mean()))
    assert not equal(snnx.CrossEntropy(snnx.Mean()), snnx.CrossEntropy(snnx.Sum()))
    assert not equal(snnx.LIF(dt=1.0), snnx.LIF(dt=0.5))
    assert not equal(snnx.LIF(), snnx.IF())


def test_a_static_argument_is_no_other_thing():
    assert Static(1) != 1
    assert Static(1) != Static("1")
    assert {Static(None): "a"}[Static(None)] == "a"


def test_a_changed_list_is_another_argument():
    factors = [1, 2]
    before = Static(scaled(factors))
    assert before == Static(scaled(factors))
    factors.append(3)
    assert before != Static(scaled(factors))


def test_programs_are_shared_between_equal_arguments():
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(function, x):
        traces.append(None)
        return function.value(x)

    assert [float(run(Static(scaled(f)), 3.0)) for f in (2.0, 2.0, 5.0, 2.0)] == [6.0, 6.0, 15.0, 6.0]
    assert len(traces) == 2


def test_structures_are_hashable():
    for value in (None, {}, [], object(), print, jnp.arange(2), {"a": {1, 2}}, lambda: {"b": [scaled]}, scaled, Scale):
        hash(structure(value))
