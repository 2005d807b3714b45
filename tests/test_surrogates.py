"""Surrogates: each pseudo-derivative against a formula of its own in float64 NumPy, and against other libraries."""

import copy
import dataclasses
import json
import math
import pathlib
import pickle
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnx import surrogates
from snnx._errors import DtypeError, ShapeError

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent / "docs" / "surrogates.md"
FROZEN = json.loads((HERE / "references" / "surrogates_from_peers.json").read_text())
KEY = jax.random.key(0)

# Sixteenths are exact in every dtype, so that the edges of windows (|x| = 0.5, 1, ...) are met exactly.
GRID = np.concatenate([[-30.0, -8.0], np.arange(-40, 41) / 16, [8.0, 30.0]])
# Away from every kink and edge of the surrogates below: where a finite difference is a derivative.
SMOOTH = np.array([-1.61, -0.83, -0.37, -0.11, 0.07, 0.31, 0.91, 1.73])


def bump(x):
    return jnp.exp(-x * x)


# The formulas, with the defaults that the classes should have.


def arc_tangent(x, slope=2.0):
    return slope / 2 / (1 + (np.pi / 2 * slope * x) ** 2)


def arc_tangent_of_spyx(x, slope=2.0):
    return 1 / np.pi / (1 + (np.pi * slope * x) ** 2)


def fast_sigmoid(x, slope=25.0):
    return (1 + slope * np.abs(x)) ** -2.0


def soft_sign(x, slope=2.0):
    return 1 / (2 * slope * (1 / slope + np.abs(x)) ** 2)


def sparse(x, slope=25.0, width=1.0):
    return np.where(np.abs(x) <= width, fast_sigmoid(x, slope), 0)


def logistic(x, slope=4.0):
    return slope / 4 / np.cosh(slope * x / 2) ** 2


def hyperbolic(x, slope=1.0):
    return 1 / np.cosh(slope * x) ** 2


def triangle(x, slope=1.0, height=1.0):
    return np.clip(height - height * slope * np.abs(x), 0, None)


def window(x, width=1.0, height=1.0):
    return height * (np.abs(x) < width / 2)


def normal(x, sigma=0.5, mean=0.0):
    return np.exp(-((x - mean) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)


def three_normals(x, sigma=0.5, height=0.15, spread=6.0):
    sides = normal(x, spread * sigma, sigma) + normal(x, spread * sigma, -sigma)
    return (1 + height) * normal(x, sigma) - height * sides


def exponential(x, slope=1.0, height=1.0):
    return height * np.exp(-np.abs(slope * x))


def two_constants(x, below=0.1, above=1.0):
    return np.where(x > 0, above, below)


@dataclasses.dataclass
class Case:
    """A class's formula, arguments that are not its defaults, and the areas with the defaults and with those."""

    formula: Callable
    changed: dict
    areas: tuple[float, float] | None = None


CASES = {
    "ATan": Case(arc_tangent, {"slope": 5.0}, (1, 1)),
    "Arctan": Case(arc_tangent_of_spyx, {"slope": 0.7}, (1 / (2 * np.pi), 1 / (0.7 * np.pi))),
    "Boxcar": Case(window, {"width": 2.5, "height": 0.3}, (1, 0.75)),
    "Custom": Case(lambda x, derivative=bump: np.exp(-(x**2)), {"derivative": bump}, (math.nan, math.sqrt(math.pi))),
    "Gaussian": Case(normal, {"sigma": 0.8}, (1, 1)),
    "LeakyGradient": Case(two_constants, {"below": 0.0, "above": 0.7}),
    "MultiGaussian": Case(three_normals, {"sigma": 0.7, "height": 0.3, "spread": 4.0}, (0.85, 0.7)),
    "PiecewiseQuadratic": Case(lambda x, slope=1.0: triangle(x, slope, slope), {"slope": 2.0}, (1, 1)),
    "Sigmoid": Case(logistic, {"slope": 10.0}, (1, 1)),
    "SlayerExponential": Case(exponential, {"slope": 3.0, "height": 1.5}, (2, 1)),
    "SoftSign": Case(soft_sign, {"slope": 5.0}, (1, 1)),
    "SparseFastSigmoid": Case(sparse, {"slope": 4.0, "width": 0.5}, (2 / 26, 1 / 3)),
    "StochasticEscape": Case(logistic, {"slope": 2.0}, (1, 1)),
    "StraightThrough": Case(np.ones_like, {}),
    "SuperSpike": Case(fast_sigmoid, {"slope": 10.0}, (2 / 25, 2 / 10)),
    "Tanh": Case(hyperbolic, {"slope": 3.0}, (2, 2 / 3)),
    "Triangular": Case(triangle, {"slope": 2.0, "height": 0.3}, (1, 0.15)),
}

every = pytest.mark.parametrize("name", CASES)
every_numeric = pytest.mark.parametrize("name", [n for n in CASES if n not in ("Custom", "StraightThrough")])
every_twice = pytest.mark.parametrize(
    ("name", "arguments"),
    [(n, a) for n, case in CASES.items() for a in ([case.changed] if n == "Custom" else [{}, case.changed])],
    ids=lambda value: value if isinstance(value, str) else ",".join(value) or "default",
)


def make(name: str, arguments: dict | None = None) -> surrogates.AbstractSurrogate:
    return getattr(surrogates, name)(**(CASES[name].changed if arguments is None else arguments))


def with_arrays(name: str, dtype=jnp.float32) -> surrogates.AbstractSurrogate:
    return make(name, {field: jnp.asarray(value, dtype) for field, value in CASES[name].changed.items()})


def spikes(surrogate, x):
    return surrogate(x, key=KEY if surrogate.needs_key else None)


def test_the_registry_holds_every_public_class():
    public = {name for name in surrogates.__all__ if name not in ("AbstractSurrogate", "FastSigmoid")}
    assert set(CASES) == public
    assert surrogates.FastSigmoid is surrogates.SuperSpike
    for name in public:
        assert getattr(surrogates, name).__bases__ == (surrogates.AbstractSurrogate,)


@every_twice
def test_derivative_is_the_formula(name, arguments):
    expected = CASES[name].formula(GRID, **arguments)
    with jax.enable_x64(True):
        got = make(name, arguments).derivative(jnp.asarray(GRID))
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-300)
    got = make(name, arguments).derivative(jnp.asarray(GRID, jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=1e-30)


@pytest.mark.slow
@every
def test_forward_and_reverse_mode_give_the_derivative_times_the_tangent(name):
    expected = CASES[name].formula(GRID, **CASES[name].changed)
    tangent = np.random.default_rng(1).normal(size=GRID.shape)
    surrogate = make(name)

    @jax.jit
    def both(x, tangent):
        spike, forward = jax.jvp(lambda x: spikes(surrogate, x), (x,), (tangent,))
        return spike, forward, jax.vjp(lambda x: spikes(surrogate, x), x)[1](tangent)[0]

    with jax.enable_x64(True):
        spike, forward, reverse = both(jnp.asarray(GRID), jnp.asarray(tangent))
        np.testing.assert_allclose(forward, expected * tangent, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(reverse, expected * tangent, rtol=1e-12, atol=1e-300)
        np.testing.assert_array_equal(spike, spikes(surrogate, jnp.asarray(GRID)))


@pytest.mark.slow
@every
def test_jacobians_are_diagonal_and_second_order_is_the_derivatives_own_derivative(name):
    formula, arguments, step = CASES[name].formula, CASES[name].changed, 1e-6
    second = (formula(SMOOTH + step, **arguments) - formula(SMOOTH - step, **arguments)) / (2 * step)
    surrogate = make(name)

    @jax.jit
    def jacobians(x):
        def spike(x):
            return spikes(surrogate, x)

        return jax.jacfwd(spike)(x), jax.jacrev(spike)(x), jax.jacfwd(jax.grad(lambda x: jnp.sum(spike(x))))(x)

    with jax.enable_x64(True):
        forward, reverse, hessian = jacobians(jnp.asarray(SMOOTH))
    np.testing.assert_allclose(forward, np.diag(formula(SMOOTH, **arguments)), rtol=1e-12)
    np.testing.assert_allclose(reverse, forward, rtol=1e-12)
    np.testing.assert_allclose(hessian, np.diag(second), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@every
def test_vmap_is_a_loop_and_jit_is_eager(name):
    surrogate = make(name)
    xs = jnp.asarray(np.random.default_rng(2).normal(size=(3, GRID.size)), jnp.float32)
    keys = jax.random.split(KEY, 3)

    def value_and_slope(x, key):
        return jax.jvp(lambda x: surrogate(x, key=key), (x,), (jnp.ones_like(x),))

    compiled = jax.jit(jax.vmap(value_and_slope))(xs, keys)
    looped = zip(*[value_and_slope(x, key) for x, key in zip(xs, keys, strict=True)], strict=True)
    for batched, one_by_one in zip(compiled, looped, strict=True):
        np.testing.assert_allclose(batched, np.stack(one_by_one), rtol=1e-5, atol=1e-7)
    assert set(np.unique(compiled[0])) == {0.0, 1.0}


@pytest.mark.parametrize("name", [n for n in CASES if n != "StochasticEscape"])
def test_the_threshold_is_strict(name):
    tiny = float(jnp.finfo(jnp.float32).tiny)
    x = jnp.array([-jnp.inf, -1.0, -tiny, -0.0, 0.0, tiny, 1.0, jnp.inf, jnp.nan], jnp.float32)
    np.testing.assert_array_equal(make(name)(x), [0, 0, 0, 0, 0, 1, 1, 1, 0])


@pytest.mark.slow
@every
def test_the_dtype_of_x_is_kept_whatever_the_parameters_are(name):
    def slope(surrogate, x):
        return *jax.jvp(lambda x: spikes(surrogate, x), (x,), (jnp.ones_like(x),)), surrogate.derivative(x)

    with jax.enable_x64(True):
        kinds = [make(name)] + ([] if name == "Custom" else [with_arrays(name, d) for d in ("bfloat16", "float64")])
        for dtype in ("bfloat16", "float16", "float32", "float64"):
            for surrogate in kinds:
                results = eqx.filter_eval_shape(slope, surrogate, jax.ShapeDtypeStruct((3,), dtype))
                assert [result.dtype for result in results] == [dtype] * 3


@pytest.mark.slow
@every
def test_derivative_in_bfloat16_is_good_to_its_few_bits(name):
    x = jnp.asarray(GRID[np.abs(GRID) < 3], jnp.bfloat16)
    expected = CASES[name].formula(np.asarray(x, np.float64), **CASES[name].changed)
    got = np.asarray(jax.jit(make(name).derivative)(x), np.float64)
    np.testing.assert_allclose(got, expected, rtol=0.1, atol=0.02)


@pytest.mark.slow
@every_numeric
def test_an_array_parameter_has_zero_gradient_through_the_spike_and_can_be_replaced(name):
    case, x = CASES[name], jnp.asarray(GRID, jnp.float32)
    surrogate = with_arrays(name)
    gradient = eqx.filter_grad(lambda s: jnp.sum(spikes(s, x) * jnp.arange(x.size)))(surrogate)
    assert len(jax.tree.leaves(gradient)) == len(case.changed)
    assert all(float(leaf) == 0 for leaf in jax.tree.leaves(gradient))

    field = next(iter(case.changed))
    doubled = eqx.tree_at(lambda s: getattr(s, field), surrogate, replace_fn=lambda leaf: 2 * leaf)
    expected = case.formula(GRID, **{**case.changed, field: 2 * case.changed[field]})
    np.testing.assert_allclose(doubled.derivative(x), expected, rtol=2e-5, atol=1e-30)


@pytest.mark.slow
@every_numeric
def test_parameters_may_differ_per_neuron(name):
    case, points = CASES[name], GRID + 0.013
    factors = np.linspace(0.5, 2.0, points.size)
    values = {field: value * factors for field, value in case.changed.items()}
    surrogate = make(name, {field: jnp.asarray(value, jnp.float32) for field, value in values.items()})
    got = jax.grad(lambda x: jnp.sum(spikes(surrogate, x)))(jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(got, case.formula(points, **values), rtol=2e-4, atol=1e-6)


@pytest.mark.slow
@every
def test_a_surrogate_can_be_pickled_and_copied(name):
    x = jnp.asarray(GRID, jnp.float32)
    for surrogate in [make(name)] + ([] if name == "Custom" else [with_arrays(name)]):
        for copied in (pickle.loads(pickle.dumps(surrogate)), copy.deepcopy(surrogate)):
            assert eqx.tree_equal(copied, surrogate)
            np.testing.assert_array_equal(copied.derivative(x), surrogate.derivative(x))
            np.testing.assert_array_equal(spikes(copied, x), spikes(surrogate, x))


@pytest.mark.slow
@every_twice
def test_area_under_the_derivative(name, arguments):
    case = CASES[name]
    if case.areas is None:
        return
    # x = sinh(u) reaches far enough for tails of 1 / x**2, and stays fine around the threshold.
    u = np.linspace(-25, 25, 200_001)
    with jax.enable_x64(True):
        weighted = np.asarray(make(name, arguments).derivative(jnp.asarray(np.sinh(u)))) * np.cosh(u)
    assert np.trapezoid(weighted, u) == pytest.approx(case.areas[bool(arguments)], rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stochastic_escape_fires_at_the_rate_of_the_sigmoid(dtype):
    draws = 20_000
    surrogate = surrogates.StochasticEscape(slope=2.0)
    x = jnp.array([-4.0, -1.0, -0.25, 0.0, 0.5, 2.0], dtype)
    fired = surrogate(jnp.tile(x, (draws, 1)), key=jax.random.key(3))
    assert fired.dtype == x.dtype
    rate = np.asarray(fired, np.float64).mean(axis=0)
    expected = 1 / (1 + np.exp(-2.0 * np.asarray(x, np.float64)))
    standard_error = np.sqrt(expected * (1 - expected) / draws)
    assert np.all(np.abs(rate - expected) < 4 * standard_error), (rate, expected)


def test_stochastic_escape_repeats_itself_with_the_same_key_only():
    surrogate, x = surrogates.StochasticEscape(), jnp.zeros(64)
    first = surrogate(x, key=jax.random.key(1))
    np.testing.assert_array_equal(first, surrogate(x, key=jax.random.key(1)))
    assert not np.array_equal(first, surrogate(x, key=jax.random.key(2)))
    assert surrogates.StochasticEscape.needs_key
    assert [name for name in CASES if getattr(surrogates, name).needs_key] == ["StochasticEscape"]


def test_gradients_flow_through_a_rematerialised_scan():
    surrogate = surrogates.ATan(jnp.asarray(3.0))

    def final_membrane(drive):
        def step(v, _):
            v = 0.9 * v + drive
            return v - surrogate(v - 1.0), None

        return jax.lax.scan(jax.checkpoint(step), jnp.asarray(0.0), length=5)[0]

    v, slope = 0.0, 0.0
    for _ in range(5):
        v, slope = 0.9 * v + 0.4, 0.9 * slope + 1.0
        slope -= CASES["ATan"].formula(v - 1.0, slope=3.0) * slope
        v -= v > 1.0
    assert float(jax.grad(final_membrane)(0.4)) == pytest.approx(slope, rel=1e-5)
    assert float(jax.jvp(final_membrane, (0.4,), (1.0,))[1]) == pytest.approx(slope, rel=1e-5)


def test_custom_keeps_the_arrays_of_a_module():
    surrogate = surrogates.Custom(surrogates.Gaussian(jnp.asarray(0.5)).derivative)
    assert [leaf.shape for leaf in jax.tree.leaves(surrogate) if eqx.is_array(leaf)] == [()]
    x = jnp.asarray(SMOOTH, jnp.float32)
    np.testing.assert_allclose(surrogate.derivative(x), CASES["Gaussian"].formula(SMOOTH), rtol=1e-5)


def test_numbers_are_constants_and_numpy_arrays_are_leaves():
    assert jax.tree.leaves(eqx.filter(surrogates.SuperSpike(10), eqx.is_array)) == []
    assert surrogates.SuperSpike(10) == surrogates.SuperSpike(10.0) == surrogates.SuperSpike(np.float32(10))
    assert isinstance(surrogates.SuperSpike(np.full(3, 10.0, np.float32)).slope, jax.Array)


@every_numeric
def test_a_number_that_is_not_positive_is_refused(name):
    for field in CASES[name].changed:
        may_be_zero = (name, field) in {("LeakyGradient", "below"), ("MultiGaussian", "height")}
        for bad in [-1, math.nan, math.inf, jnp.asarray(-1.0)] + ([] if may_be_zero else [0]):
            with pytest.raises(ValueError, match=rf"{name}: {field}\b"):
                make(name, {field: bad})
        jax.eval_shape(lambda x, field=field: make(name, {field: x}).derivative(x), jnp.asarray(-1.0))  # not known yet


@every
def test_an_input_that_is_no_float_is_refused(name):
    for dtype in ("int32", "bool", "uint8", "complex64"):
        with pytest.raises(DtypeError, match=rf"{name}: x\b"):
            spikes(make(name), jnp.ones(3, dtype))


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match=r"StochasticEscape: .*\bkey\b"):
        surrogates.StochasticEscape()(jnp.zeros(3))


def test_custom_refuses_what_is_no_function_and_a_result_of_another_shape():
    with pytest.raises(TypeError, match=r"(?s)Custom.*derivative.*25\.0"):
        surrogates.Custom(25.0)  # pyright: ignore[reportArgumentType]
    scalar = surrogates.Custom(lambda x: jnp.asarray(1.0))
    for use in (scalar.derivative, jax.grad(lambda x: jnp.sum(scalar(x)))):
        with pytest.raises(ShapeError, match=r"\bderivative\b"):
            use(jnp.zeros(3))


def test_a_derivative_of_ones_own_must_keep_shape_and_dtype():
    class Wide(surrogates.AbstractSurrogate):
        def derivative(self, x):
            return jnp.ones((2, *x.shape), x.dtype)

    class Promoting(surrogates.AbstractSurrogate):
        def derivative(self, x):
            return x.astype(jnp.float32)

    with pytest.raises(ShapeError, match=r"\bx\b"):
        jax.grad(lambda x: jnp.sum(Wide()(x)))(jnp.zeros(3))
    with pytest.raises(DtypeError, match=r"\bderivative\b"):
        jax.grad(lambda x: jnp.sum(Promoting()(x)))(jnp.zeros(3, jnp.bfloat16))


@pytest.mark.parametrize(
    "row", [row for row in FROZEN["rows"] if row["snnx"]], ids=lambda row: f"{row['library']}-{row['call']}"
)
def test_derivative_equals_the_peers(row):
    with jax.enable_x64(True):
        surrogate = make(row["snnx"], row["arguments"])
        got = row["factor"] * surrogate.derivative(jnp.asarray(FROZEN["grid"]))
        np.testing.assert_allclose(got, row["derivative"], rtol=1e-7, atol=1e-14)


# What docs/surrogates.md says of the peers' functions that equal none of ours.
PEERS_ALONE = {
    "axn.custom()(x)": lambda x: x,
    "surrogate.SFS()(x)": lambda x: (x > 1) / (1 + 25 * np.abs(x)) ** 2,
    "surrogate.spike_rate_escape()(x)": lambda x: 25 * np.exp(-np.abs(x - 1)),
    "surrogate.triangular()(x)": lambda x: np.where(x < 0, 1, -1),
    "functional.threshold(x, 'circ', 1.0)": lambda x: (1 + x**2) ** -1.5,
    "activation.SingleSpike.apply(1.0 + x, 1.0, activation.Heaviside())": lambda x: x >= -1,
}


def test_what_the_docs_say_of_the_peers_is_so():
    grid, rows = np.array(FROZEN["grid"]), {row["call"]: row for row in FROZEN["rows"] if not row["snnx"]}
    for call, formula in PEERS_ALONE.items():
        np.testing.assert_allclose(rows.pop(call)["derivative"], formula(grid), rtol=1e-9)
    assert "missing 1 required" in rows.pop("surrogate.LSO()(x)")["error"]
    assert "number of gradients" in rows.pop("surrogate.LeakySpikeOperator.apply(x, 0.1)")["error"]
    assert rows.pop("surrogate.sigmoid()(2 * x.float())")["derivative"][0] is None  # not a number at x = -5
    assert not rows
    fires = {library for library, at_threshold in FROZEN["fires_at_threshold"].items() if at_threshold}
    assert fires == {"sinabs", "spikingjelly"}


def test_the_docs_name_the_versions_and_classes_that_were_compared():
    text = DOCS.read_text()
    for library, version in FROZEN["versions"].items():
        assert f"{library} {version}" in text.lower()
    for row in FROZEN["rows"]:
        assert row["snnx"] is None or f"`{row['snnx']}" in text


def test_the_examples_of_the_docs_run():
    blocks = DOCS.read_text().split("```python\n")[1:]
    names = {"__name__": "docs"}
    for block in blocks:
        exec(block.split("```")[0], names)
    assert len(blocks) >= 3
