"""Solvers: each step against the same in NumPy, in double precision; every strategy of evosax finds a minimum."""

import functools
import re

import evosax.algorithms
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import TinyES, TinyGA, double, keys_of, noise, numpy_es, numpy_ga

import snnx
from snnx._errors import ShapeError
from snnx.solvers import Evolution, GradientDescent, Objective

KEY = jax.random.key(3)
FIRST = 2**32 - 1  # what is folded into the key for the state before the first generation
PARAMS = {"a": jnp.zeros((2, 2)), "b": jnp.zeros(3)}
WHERE = (np.array([[1.0, -0.5], [0.3, 2.0]]), np.array([0.1, -1.5, 0.7]))  # the minimum of `bowl`


def bowl(params, key):
    """Smallest, and zero, at `WHERE`."""
    leaves = zip(jax.tree.leaves(params), WHERE, strict=True)
    return sum(jnp.sum((x - jnp.asarray(at, x.dtype)) ** 2) for x, at in leaves)


def numpy_bowl(leaves, generation=0):
    return sum(((x - at) ** 2).sum() for x, at in zip(leaves, WHERE, strict=True))


def evolve(optimizer, objective=bowl, params=PARAMS, **settings):
    usual = {"optimizer": optimizer, "generations": 8, "key": KEY, "progress": False}
    return snnx.evolve(objective, params, **usual | settings)


# A step, against NumPy.


def test_evolution_of_a_mean_equals_numpy():
    strategy = TinyES(6, PARAMS)
    result = evolve(strategy)
    expected = numpy_es(strategy, numpy_bowl, PARAMS, 8, KEY)
    for got, value in zip(double(result.params), expected[-1]["after"], strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)
    costs = np.stack([generation["costs"] for generation in expected])
    np.testing.assert_allclose([record["std"] for record in result.history], costs.std(axis=1), rtol=1e-5)


def test_evolution_of_a_population_equals_numpy():
    strategy = TinyGA(6, PARAMS)
    solver = Evolution(strategy, spread=0.3)
    first = solver.init(PARAMS, key=jax.random.fold_in(KEY, FIRST)).strategy["population"]
    result = evolve(solver)
    expected = numpy_ga(strategy, numpy_bowl, first, 8, KEY)
    for got, value in zip(double(result.params), expected[-1], strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-5, atol=1e-6)
    # The value of a generation is that of the parameters at its beginning: at first of those given, then of the best.
    costs = [numpy_bowl(double(PARAMS)), *map(numpy_bowl, expected[:-1])]
    np.testing.assert_allclose([record["value"] for record in result.history], costs, rtol=1e-5)


def test_the_first_population_lies_around_the_parameters():
    params = {"a": jnp.full((30, 20), 2.0), "b": jnp.full(400, -1.0)}
    state = Evolution(TinyGA(50, params), spread=0.25).init(params, key=KEY)
    population = jax.tree.leaves(state.strategy["population"])
    for start, members in zip(jax.tree.leaves(params), population, strict=True):
        np.testing.assert_array_equal(members[0], start)
        beside = double(members)[0][1:] - double(start)[0][None]
        assert abs(beside.mean()) < 5 * 0.25 / np.sqrt(beside.size)
        assert abs(beside.std() - 0.25) < 5 * 0.25 / np.sqrt(2 * beside.size)
    assert abs(np.corrcoef(population[0][1:, 0, :].ravel(), population[1][1:, :20].ravel())[0, 1]) < 0.2


def test_settings_are_the_strategys_own():
    strategy = TinyES(6, PARAMS, std=0.5)
    asked = evolve(Evolution(strategy, {"std": 0.01}), generations=1).state.opt_state.strategy["asked"]
    expected = noise(strategy, keys_of(KEY, 0)[1])
    for got, value in zip(double(asked), double(expected), strict=True):
        np.testing.assert_allclose(got, 0.01 * value, rtol=1e-6)


def test_gradient_descent_is_what_its_formula_says():
    rate, start = 0.1, {"a": jnp.ones((2, 2)), "b": jnp.full(3, -2.0)}
    result = evolve(optax.sgd(rate), params=start, generations=9)
    for got, at, begin in zip(double(result.params), WHERE, double(start), strict=True):
        np.testing.assert_allclose(got, at + (1 - 2 * rate) ** 9 * (begin - at), rtol=1e-5)
    assert [(record["mean"], record["best"], record["std"], record["failed"]) for record in result.history] == [
        (record["value"], record["value"], 0.0, 0) for record in result.history
    ]


# What a strategy is told.

SIX = TinyES(6, jnp.zeros(1))


@functools.partial(jax.jit, static_argnums=1)
def step(values, strategy=SIX):
    """A step in which the candidates, and last the parameters themselves, have these values."""
    solver, params = Evolution(strategy), jnp.zeros(1)
    return solver.step(
        params, solver.init(params, key=KEY), Objective(None, lambda population: (values, population)), key=KEY
    )


not_finite = st.sampled_from([np.nan, np.inf, -np.inf])
moderate = st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | not_finite
# Those whose squares are floats.
squared = st.floats(-(2.0**50), 2.0**50, width=32).map(lambda x: x if abs(x) > 1e-15 else 0.0) | not_finite


@given(st.lists(moderate, min_size=6, max_size=6))
def test_what_is_not_finite_is_told_to_be_the_worst(values):
    values = np.array(values, np.float32)
    good = np.isfinite(values)
    assume(good.any())
    found = step(jnp.asarray([*values, 0.0]))
    told = np.asarray(found.state.strategy["values"], np.float64)
    np.testing.assert_array_equal(told[good], values[good])
    best, worst = float(values[good].min()), float(values[good].max())
    assert np.all(told[~good] > worst)
    # By the distance between the two, and a little where there is none.
    np.testing.assert_allclose(told[~good] - worst, worst - best, rtol=1e-3, atol=2e-3 * abs(worst) + 2e-6)
    assert bool(found.finite)


@given(st.lists(squared, min_size=6, max_size=6), squared)
def test_the_figures_are_those_of_the_finite_candidates(values, own):
    values, own = np.array(values, np.float32), np.float32(own)
    found = step(jnp.asarray([*values, own]))
    finite = values[np.isfinite(values)].astype(np.float64)
    of = found.candidates
    assert int(of.failed) == 6 - len(finite)
    np.testing.assert_array_equal(found.value, own)
    if len(finite):
        scale = np.abs(finite).max()
        np.testing.assert_allclose(of.mean, finite.mean(), rtol=1e-5, atol=1e-6 * scale)
        np.testing.assert_allclose(of.std, finite.std(), rtol=1e-4, atol=1e-6 * scale)
        assert float(of.best) == finite.min()
        index = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
        asked, everyone = found.state.strategy["asked"], found.aux
        np.testing.assert_array_equal(of.params, asked[index])
        np.testing.assert_array_equal(
            everyone, np.zeros(1)
        )  # the last of what came beside the values: of the parameters
    else:
        assert not bool(found.finite)
        assert np.isnan([of.mean, of.std, of.best]).all()


@pytest.mark.parametrize(
    ("value_and_grad", "finite"),
    [
        (lambda p: ((jnp.float32(1.0), None), jnp.array([2.0])), True),
        (lambda p: ((jnp.float32(jnp.nan), None), jnp.array([2.0])), False),
        (lambda p: ((jnp.float32(-jnp.inf), None), jnp.array([2.0])), False),
        (lambda p: ((jnp.float32(1.0), None), jnp.array([jnp.nan])), False),
    ],
    ids=["finite", "value is NaN", "value is infinite", "gradient is NaN"],
)
def test_a_gradient_step_says_whether_it_is_finite(value_and_grad, finite):
    solver, params = GradientDescent(optax.sgd(0.5)), jnp.array([3.0])
    found = solver.step(params, solver.init(params, key=KEY), Objective(value_and_grad, None), key=KEY)
    assert bool(found.finite) == finite
    assert int(found.candidates.failed) == int(not np.isfinite(float(found.value)))
    if finite:
        np.testing.assert_allclose(found.params, [2.0])


def test_candidates_are_of_the_dtype_of_the_parameters(ranks_are_promoted):
    """Whatever a strategy computes in: one of evosax draws float32 around parameters of half precision."""
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    seen = []

    def objective(params, key):
        seen.extend(leaf.dtype for leaf in jax.tree.leaves(params))
        return bowl(params, key).astype(jnp.float32)

    result = evolve(evosax.algorithms.SNES(population_size=16, solution=half), objective, half, generations=30)
    assert set(seen) == {jnp.dtype(jnp.bfloat16)}
    assert {leaf.dtype for leaf in jax.tree.leaves(result.params)} == {jnp.dtype(jnp.bfloat16)}
    assert numpy_bowl(double(result.params)) < 0.1 * numpy_bowl(double(PARAMS))


# Every strategy of evosax.

MANY_MEANS = ("SV_CMA_ES", "SV_Open_ES")
QUICK = ("DifferentialEvolution", "Open_ES", "SNES", "Sep_CMA_ES")
STEPS = {"std_schedule": optax.constant_schedule(0.1)}
UPHILL = {"optimizer": optax.adam(0.1)}
HOW = {  # what is passed besides, where what evosax has for itself is too slow or too wide for sixty generations
    "ARS": STEPS | UPHILL,
    "ASEBO": STEPS | UPHILL,
    "DiffusionEvolution": {"num_generations": 60},
    "ESMC": STEPS | UPHILL | {"population_size": 33},
    "GESMR_GA": {"population_size": 33, "num_groups": 4},
    "GuidedES": STEPS | UPHILL,
    "HillClimbing": STEPS,
    "LM_MA_ES": {"population_size": 8},  # of more than twice the parameters its own rates make NaN
    "NoiseReuseES": STEPS | UPHILL,
    "Open_ES": STEPS | UPHILL,
    "PGPE": UPHILL,
    "PersistentES": STEPS | UPHILL,
    "RandomSearch": {"sampling_fn": lambda key: 0.8 * jax.random.normal(key, (6,))},
    "SimpleGA": STEPS,
    "SimulatedAnnealing": STEPS,
    "iAMaLGaM_Full": STEPS,
    "iAMaLGaM_Univariate": STEPS,
}
LEFT = {"DiffusionEvolution": 0.6, "RandomSearch": 0.8}  # the share of the cost that may be left; else 0.1
TARGET = np.array([0.5, -1.0, 0.2, 1.5, -0.3, 0.8])


def sphere(params, key):
    return jnp.sum((params - jnp.asarray(TARGET, params.dtype)) ** 2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(evosax.algorithms.algorithms)
        if name not in MANY_MEANS
    ],
)
def test_a_strategy_of_evosax_finds_the_minimum_of_a_sphere(name, ranks_are_promoted):
    start = jnp.zeros(6)
    how = {"population_size": 32, "solution": start} | HOW.get(name, {})
    strategy = evosax.algorithms.algorithms[name](**how)
    result = evolve(strategy, sphere, start, generations=60)
    left = ((np.float64(result.params) - TARGET) ** 2).sum() / (TARGET**2).sum()
    assert left < LEFT.get(name, 0.1)
    assert not any(record["failed"] for record in result.history)
    np.testing.assert_allclose(result.history[0]["value"], (TARGET**2).sum(), rtol=1e-6)


@pytest.mark.parametrize("name", MANY_MEANS)
def test_a_strategy_of_several_means_is_refused(name):
    strategy = evosax.algorithms.algorithms[name](population_size=8, num_populations=2, solution=jnp.zeros(6))
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        evolve(strategy, sphere, jnp.zeros(6))


# What is refused.


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (TinyES, "TinyES"),
        (evosax.algorithms.SNES, "SNES"),
        (0.1, "0.1"),
        (optax.MultiSteps(optax.adam(0.1), 2), "gradient_transformation"),
        (Evolution, "Evolution"),
    ],
    ids=["class", "class of evosax", "number", "MultiSteps", "class of a solver"],
)
def test_what_is_no_solver_is_refused(wrong, hint):
    with pytest.raises(TypeError, match=rf"\boptimizer\b.*\b{hint}\b"):
        evolve(wrong)


def test_evolution_refuses_what_is_no_strategy():
    for wrong in (TinyES, optax.adam(0.1), None):
        with pytest.raises(TypeError, match=r"\bstrategy\b"):
            Evolution(wrong)


def test_settings_are_a_strategys_own():
    with pytest.raises(TypeError, match=r"\bsettings\b"):
        Evolution(TinyES(6, PARAMS), {"none": 1.0})


@pytest.mark.parametrize("spread", [0.0, -1.0, np.nan, np.inf, "wide"])
def test_a_spread_is_a_positive_number(spread):
    with pytest.raises((TypeError, ValueError), match=r"\bspread\b"):
        Evolution(TinyGA(6, PARAMS), spread=spread)


def test_gradient_descent_takes_an_optimiser_of_optax():
    with pytest.raises(TypeError, match=r"\boptimizer\b"):
        GradientDescent(optax.adam)


def test_a_strategy_of_another_structure_is_refused():
    with pytest.raises(ValueError, match=r"\bstrategy\b"):
        evolve(TinyES(6, {"a": jnp.zeros((2, 2))}))


@pytest.mark.parametrize("kind", [TinyES, TinyGA])
def test_a_strategy_of_another_shape_is_refused(kind):
    strategy = kind(6, {"a": jnp.zeros((4, 1)), "b": jnp.zeros(3)})
    with pytest.raises(ShapeError, match=r"\bstrategy\b.*\['a'\]"):
        evolve(strategy)


@pytest.mark.parametrize("leaf", [jnp.arange(3), jnp.tanh, 0.5], ids=["integers", "function", "number"])
@pytest.mark.parametrize("strategy", [TinyES(6, PARAMS), optax.sgd(0.1)], ids=["evolution", "gradient"])
def test_only_arrays_of_floats_are_moved(leaf, strategy):
    with pytest.raises(TypeError, match=r"\['b'\].*\bparams\b"):
        evolve(strategy, params={"a": jnp.zeros((2, 2)), "b": leaf})


def test_parameters_of_which_there_are_none_are_refused():
    with pytest.raises(ValueError, match=r"\bevolve\b"):
        evolve(TinyES(6, PARAMS), params={"a": None})


def test_a_strategy_needs_a_population_size():
    class Endless(TinyES):
        def __init__(self, solution):
            self.solution, self.std = solution, 0.5

    with pytest.raises(TypeError, match="population_size"):
        evolve(Endless(PARAMS))


def test_a_square_matrix_too_large_for_memory_is_refused_and_others_are_named():
    """The covariance of 20,000 parameters takes 1.6 GB, more than the GiB that is allowed without a word."""
    params = jnp.zeros(20_000)
    strategy = evosax.algorithms.CMA_ES(population_size=8, solution=params)
    with pytest.raises(MemoryError, match=r"\bparameters\b") as error:
        evolve(strategy, sphere_of_any_size, params)
    needed = int(re.search(r"takes ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    assert needed >= 20_000**2 * 4
    for name in ("Sep_CMA_ES", "SNES", "CR_FM_NES", "Open_ES", "PGPE"):
        assert name in str(error.value)
        assert name in evosax.algorithms.algorithms
    assert f"more than memory={2**30:,}" in str(error.value)


def sphere_of_any_size(params, key):
    return jnp.sum(params**2)


def test_memory_is_what_the_state_takes():
    """The state of `TinyES`: a mean, six candidates, six values, and a number."""
    needed = 4 * (7 + 6 * 7 + 6 + 1)
    strategy = TinyES(6, PARAMS)
    state = Evolution(strategy, memory=needed).init(PARAMS, key=KEY).strategy
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(state)) == needed
    with pytest.raises(MemoryError, match=rf"\b{needed}\b.*\bmemory={needed - 1}\b"):
        Evolution(strategy, memory=needed - 1).init(PARAMS, key=KEY)


def test_of_a_large_population_a_smaller_one_is_advised():
    strategy = TinyGA(64, PARAMS)
    with pytest.raises(MemoryError, match=r"\bsmaller population\b.*\bmemory\b"):
        Evolution(strategy, memory=100).init(PARAMS, key=KEY)
