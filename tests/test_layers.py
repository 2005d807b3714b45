"""Flatten, SumPool2d, ThresholdNorm and GaussianNoise: against NumPy, in every mode, for every way to cut time."""

import copy
import math
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx._errors import DtypeError, ShapeError
from snnx.cells import cast
from snnx.layers import Flatten, GaussianNoise, Residual, Sequential, SumPool2d, ThresholdNorm
from snnx.neurons import LI, LIF
from snnx.simulation import simulate

KEY = jax.random.key(0)


def values(shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(0.3, 1.5, shape), dtype)


def both_modes(function, x, tangent):
    """The derivative along `tangent`, by forward and by reverse mode, weighted by cosines."""
    weights = jnp.cos(jnp.arange(jax.eval_shape(function, x).size)).reshape(jax.eval_shape(function, x).shape)

    def number(x):
        return jnp.sum(function(x) * weights)

    return jax.jvp(number, (x,), (tangent,))[1], jnp.vdot(jax.grad(number)(x), tangent)


# Flatten.


def test_flatten_is_numpys_reshape_in_row_major_order():
    x = values((2, 3, 4))
    for start, shape in ((0, (24,)), (1, (2, 12)), (2, (2, 3, 4))):
        np.testing.assert_array_equal(Flatten(start)(x), np.reshape(x, shape))
    np.testing.assert_array_equal(Flatten()(x)[:12], np.ravel(x[0]))  # channels outermost
    np.testing.assert_array_equal(Flatten()(jnp.asarray(2.0)), [2.0])
    assert Flatten()(jnp.zeros((3, 0))).shape == (0,)


def test_flatten_leaves_batch_and_time_alone():
    xs = values((5, 2, 3, 4))
    np.testing.assert_array_equal(simulate(Sequential([Flatten()]), xs)[0], np.reshape(xs, (5, 24)))
    batch = jnp.stack([xs, -xs])
    got = jax.vmap(lambda xs: simulate(Sequential([Flatten(1)]), xs)[0])(batch)
    np.testing.assert_array_equal(got, np.reshape(batch, (2, 5, 2, 12)))


def test_flatten_refuses_an_axis_that_is_not_there():
    with pytest.raises(ShapeError, match=r"\bx\b"):
        Flatten(2)(jnp.ones((2, 3)))
    for start in (-1, True, 1.0):
        with pytest.raises((ValueError, TypeError), match="start"):
            Flatten(start)  # pyright: ignore[reportArgumentType]


# SumPool2d.

POOLS = {
    "2": (SumPool2d(2), (2, 2), (2, 2), (0, 0)),
    "2x3": (SumPool2d((2, 3)), (2, 3), (2, 3), (0, 0)),
    "3, stride 1": (SumPool2d(3, 1), (3, 3), (1, 1), (0, 0)),
    "3, stride 2x1, padding 1": (SumPool2d(3, (2, 1), 1), (3, 3), (2, 1), (1, 1)),
    "2x4, padding 0x2": (SumPool2d([2, 4], padding=(0, 2)), (2, 4), (2, 4), (0, 2)),
    "2, stride 3": (SumPool2d(2, 3), (2, 2), (3, 3), (0, 0)),
}


def windows(x, kernel, stride, padding):
    """The sum over windows, one by one."""
    x = np.pad(np.asarray(x, np.float64), [(0, 0), *((p, p) for p in padding)])
    places = [range(0, n - k + 1, s) for n, k, s in zip(x.shape[1:], kernel, stride, strict=True)]
    rows = [[x[:, i : i + kernel[0], j : j + kernel[1]].sum(axis=(1, 2)) for j in places[1]] for i in places[0]]
    return np.moveaxis(np.array(rows), 2, 0)


@pytest.mark.parametrize("name", POOLS)
def test_sum_pool_is_the_sum_over_windows_and_so_is_its_derivative(name):
    pool, *sizes = POOLS[name]
    x, tangent = values((2, 7, 6)), values((2, 7, 6), seed=1)
    np.testing.assert_allclose(pool(x), windows(x, *sizes), rtol=1e-5, atol=1e-6)
    pooled = windows(tangent, *sizes)
    expected = np.sum(pooled * np.cos(np.arange(pooled.size)).reshape(pooled.shape))
    for mode in both_modes(pool, x, tangent):
        np.testing.assert_allclose(mode, expected, rtol=1e-4, atol=1e-5)


def test_sum_pool_is_the_average_times_the_area():
    x = values((3, 6, 6))
    np.testing.assert_allclose(SumPool2d(3)(x), 9.0 * eqx.nn.AvgPool2d(3, 3)(x), rtol=1e-5)


@pytest.mark.slow
def test_sum_pool_counts_spikes_in_every_dtype_and_under_vmap_and_jit():
    spikes = (values((4, 2, 6, 6)) > 0.5).astype(jnp.float32)
    expected = np.stack([windows(x, (2, 2), (2, 2), (0, 0)) for x in spikes])
    np.testing.assert_array_equal(jax.jit(jax.vmap(SumPool2d(2)))(spikes), expected)
    np.testing.assert_array_equal(simulate(Sequential([SumPool2d(2)]), spikes, chunk=3)[0], expected)
    for dtype in ("bfloat16", "float16"):
        got = SumPool2d(2)(spikes[0].astype(dtype))
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.asarray(got, np.float32), expected[0])


@pytest.mark.slow
def test_sum_pool_second_derivatives_are_zero_and_reverse_over_forward_works():
    x = values((1, 4, 4))
    hessian = jax.hessian(lambda x: jnp.sum(SumPool2d(2)(x) ** 2))(x).reshape(16, 16)
    same_window = np.kron(np.eye(2), np.kron(np.ones((2, 2)), np.kron(np.eye(2), np.ones((2, 2)))))
    np.testing.assert_allclose(hessian, 2 * same_window)


def test_sum_pool_refuses_other_ranks_small_maps_and_odd_sizes():
    for shape in ((6, 6), (3, 2, 6, 6), (6,)):
        with pytest.raises(ShapeError, match=r"\bx\b"):
            SumPool2d(2)(jnp.ones(shape))
    with pytest.raises(ShapeError, match=r"\bx\b"):
        SumPool2d(3)(jnp.ones((1, 4, 2)))
    for arguments, name in (
        ((0,), "kernel_size"),
        ((2, 0), "stride"),
        ((2, 2, -1), "padding"),
        (((2, 2, 2),), "kernel_size"),
    ):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            SumPool2d(*arguments)
    for odd in (2.0, "22", True, None):
        with pytest.raises((ValueError, TypeError), match="kernel_size"):
            SumPool2d(odd)  # pyright: ignore[reportArgumentType]


# ThresholdNorm.


def normalised(x, gain, bias, threshold=1.0, alpha=1.0, eps=1e-5):
    x = np.asarray(x, np.float64)
    by_channel = (-1,) + (1,) * (x.ndim - 1)
    y = alpha * threshold * (x - x.mean()) / np.sqrt(x.var() + eps)
    return np.reshape(gain, by_channel) * y + np.reshape(bias, by_channel)


@pytest.mark.parametrize("shape", [(5,), (5, 4, 3), (5, 6), (5, 2, 3, 2)])
def test_threshold_norm_is_its_formula_over_one_step(shape):
    gain, bias = np.linspace(0.5, 2.0, 5), np.linspace(-1.0, 1.0, 5)
    norm = ThresholdNorm(5, threshold=0.7, alpha=1 / math.sqrt(2), eps=1e-3)
    norm = eqx.tree_at(
        lambda n: (n.gain, n.bias), norm, (jnp.asarray(gain, jnp.float32), jnp.asarray(bias, jnp.float32))
    )
    x = values(shape)
    expected = normalised(x, gain, bias, 0.7, 1 / math.sqrt(2), 1e-3)
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5, atol=1e-6)


def test_threshold_norm_gives_the_standard_deviation_of_the_threshold():
    x = 100.0 + 30.0 * values((8, 6, 6))
    y = ThresholdNorm(8, threshold=0.5, alpha=0.8)(x)
    np.testing.assert_allclose(y.mean(), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(), 0.4, rtol=1e-5)
    layer_norm = eqx.nn.LayerNorm((8, 6, 6), use_weight=False, use_bias=False)
    np.testing.assert_allclose(y, 0.4 * layer_norm(x), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_gradient_of_threshold_norm_is_that_of_finite_differences(x64):
    norm = eqx.tree_at(
        lambda n: n.gain, ThresholdNorm(4, threshold=jnp.asarray(1.3)), jnp.asarray([1.0, 2.0, 0.5, -1.0])
    )
    x, tangent, weights = (np.random.default_rng(i).normal(size=(4, 3, 2)) for i in range(3))

    def number(x, gain, bias, threshold):
        return np.sum(weights * normalised(x, gain, bias, threshold))

    start, step = (x, np.asarray(norm.gain), np.zeros(4), 1.3), 1e-6
    got = jax.grad(lambda x: jnp.sum(weights * norm(x)))(jnp.asarray(x))
    moved = [number(x + sign * step * tangent, *start[1:]) for sign in (1, -1)]
    np.testing.assert_allclose(np.vdot(got, tangent), (moved[0] - moved[1]) / (2 * step), rtol=1e-6)
    got = jax.jvp(lambda x: jnp.sum(weights * norm(x)), (jnp.asarray(x),), (jnp.asarray(tangent),))[1]
    np.testing.assert_allclose(got, (moved[0] - moved[1]) / (2 * step), rtol=1e-6)
    gradient = eqx.filter_grad(lambda n: jnp.sum(weights * n(jnp.asarray(x))))(norm)
    for i, name in enumerate(("gain", "bias", "threshold"), start=1):
        values = np.asarray(start[i])
        for place in np.ndindex(values.shape):
            one = np.zeros_like(values)
            one[place] = step
            up, down = (number(*start[:i], values + sign * one, *start[i + 1 :]) for sign in (1, -1))
            np.testing.assert_allclose(getattr(gradient, name)[place], (up - down) / (2 * step), rtol=1e-6)


@pytest.mark.slow
def test_threshold_norm_keeps_nothing_between_steps_and_examples():
    norm, xs = ThresholdNorm(3), values((6, 3, 4, 4))
    alone = np.stack([norm(x) for x in xs])
    for chunk in (1, 4, 6):
        np.testing.assert_allclose(simulate(Sequential([norm]), xs, chunk=chunk)[0], alone, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(eqx.nn.inference_mode(norm))(xs[::-1]), alone[::-1], rtol=1e-5, atol=1e-6)
    assert Sequential([norm]).init_state((3, 4, 4)) == {}


def test_threshold_norm_of_silence_is_the_bias_with_a_finite_gradient():
    norm = eqx.tree_at(lambda n: n.bias, ThresholdNorm(3), jnp.asarray([1.0, -2.0, 0.5]))
    for x in (jnp.zeros((3, 2, 2)), jnp.full((3, 2, 2), 7.0)):
        np.testing.assert_allclose(norm(x), np.broadcast_to(np.reshape([1.0, -2.0, 0.5], (3, 1, 1)), (3, 2, 2)))
        assert np.all(np.isfinite(jax.grad(lambda x: jnp.sum(norm(x) ** 2))(x)))


def test_threshold_norm_wakes_up_the_neurons_behind_weak_weights():
    weak = eqx.nn.Linear(20, 16, use_bias=False, key=KEY)
    weak = eqx.tree_at(lambda layer: layer.weight, weak, 0.01 * weak.weight)
    xs = (values((10, 20)) > 1.0).astype(jnp.float32)
    assert float(simulate(Sequential([weak, LIF()]), xs)[0].mean()) == 0.0
    assert 0.05 < float(simulate(Sequential([weak, ThresholdNorm(16), LIF()]), xs)[0].mean()) < 0.6


def test_threshold_norm_in_half_precision_keeps_the_dtype_and_a_few_digits():
    norm, x = cast(ThresholdNorm(16), "bfloat16"), 300.0 + values((16, 8, 8))
    got = norm(x.astype(jnp.bfloat16))
    assert got.dtype == jnp.bfloat16
    expected = normalised(x.astype(jnp.bfloat16), np.ones(16), np.zeros(16))
    np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=0.02, atol=0.02)


def test_threshold_norm_refuses_what_does_not_fit():
    for shape in ((4,), (2, 3), (4, 3, 3), ()):
        with pytest.raises(ShapeError, match=r"\bx\b"):
            ThresholdNorm(3)(jnp.ones(shape))
    for options in ({"threshold": 0.0}, {"alpha": -1.0}, {"eps": 0.0}, {"threshold": jnp.asarray(-1.0)}):
        with pytest.raises(ValueError, match=rf"\b{next(iter(options))}\b"):
            ThresholdNorm(3, **options)
    with pytest.raises(ValueError, match=r"\bchannels\b"):
        ThresholdNorm(0)


# GaussianNoise.


def draws(key, steps, shape, std):
    """The noise that step `t` should get, in float64."""
    return std * np.stack([jax.random.normal(jax.random.fold_in(key, t), shape) for t in range(steps)])


@pytest.mark.parametrize("chunk", [1, 3, 7, 8])
def test_noise_is_fresh_at_every_step_and_the_same_for_every_chunk(chunk):
    model, xs = Sequential([jnp.abs, GaussianNoise(0.5)]), jnp.zeros((8, 3, 2))
    expected = draws(jax.random.fold_in(KEY, 1), 8, (3, 2), 0.5)
    ys, state = simulate(model, xs, key=KEY, chunk=chunk)
    np.testing.assert_allclose(ys, expected, rtol=1e-6)
    assert int(state["1"].step) == 8
    assert len(np.unique(np.round(ys, 7))) == ys.size


def test_noise_goes_on_where_a_sequence_is_continued():
    noise, xs = GaussianNoise(1.0), values((9, 4))
    whole, _ = simulate(noise, xs, key=KEY)
    first, state = simulate(noise, xs[:5], key=KEY)
    second, _ = simulate(noise, xs[5:], state, key=KEY)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    step, state = eqx.filter_jit(noise), noise.init_state((4,))
    for x, expected in zip(xs, whole, strict=True):
        y, state = step(x, state, key=KEY)
        np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("chunk", [2, 8])
def test_masked_steps_do_not_count(chunk):
    mask = np.array([True, False, True, True, False, False, True, False])
    xs = values((8, 3))
    ys, state = simulate(GaussianNoise(0.5), xs, key=KEY, mask=jnp.asarray(mask), chunk=chunk)
    expected = np.asarray(xs)[mask] + draws(KEY, int(mask.sum()), (3,), 0.5)
    np.testing.assert_allclose(ys[mask], expected, rtol=1e-5)
    assert not np.any(ys[~mask])
    assert int(state.step) == mask.sum()


@pytest.mark.slow
def test_noise_has_the_standard_deviation_and_no_correlation():
    ys = np.asarray(simulate(GaussianNoise(0.3), jnp.full((400, 50), 2.0), key=KEY)[0], np.float64) - 2.0
    error = 0.3 / math.sqrt(ys.size)
    assert abs(ys.mean()) < 4 * error
    assert abs(ys.std() - 0.3) < 4 * error / math.sqrt(2)
    assert abs(np.mean(ys[1:] * ys[:-1])) < 4 * 0.3 * error  # from step to step
    assert abs(np.mean(ys[:, 1:] * ys[:, :-1])) < 4 * 0.3 * error  # from channel to channel


@pytest.mark.slow
def test_layers_and_keys_have_noise_of_their_own():
    model = Sequential([GaussianNoise(1.0), Residual(GaussianNoise(1.0))])

    def run(key):
        _, _, seen = simulate(model, jnp.zeros((4, 5)), key=key, record=["0", "1.body"])
        return jnp.stack([seen["0"], seen["1.body"] - seen["0"]])

    noise = jax.vmap(run)(jax.random.split(KEY, 3))
    assert len(np.unique(np.round(noise, 5))) > 0.99 * noise.size


def test_inference_mode_switches_noise_off_and_back_on():
    model, xs = Sequential([GaussianNoise(1.0), LI()]), values((5, 4))
    silent = eqx.nn.inference_mode(model)
    expected = simulate(Sequential([LI()]), xs)[0]
    for key in (None, KEY):
        np.testing.assert_array_equal(simulate(silent, xs, key=key)[0], expected)
    np.testing.assert_array_equal(
        simulate(eqx.nn.inference_mode(silent, value=False), xs, key=KEY)[0], simulate(model, xs, key=KEY)[0]
    )
    assert jax.tree.structure(silent.init_state((4,))) == jax.tree.structure(model.init_state((4,)))
    np.testing.assert_array_equal(simulate(GaussianNoise(0.0), xs)[0], xs)


def test_a_missing_key_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"\bkey\b.*inference_mode"):
        simulate(GaussianNoise(0.1), jnp.zeros((3, 2)))
    nested = Sequential([jnp.abs, Residual(Sequential([GaussianNoise(0.1)]))])
    with pytest.raises(ValueError, match=r"layer 1\.body\.0\b.*\bkey\b"):
        simulate(nested, jnp.zeros((3, 2)))


@pytest.mark.slow
def test_a_learned_standard_deviation_has_the_noise_as_its_gradient():
    run = eqx.filter_grad(lambda n: jnp.sum(simulate(n, jnp.zeros((6, 3)), key=KEY, chunk=4)[0]))
    np.testing.assert_allclose(
        run(GaussianNoise(jnp.asarray([0.5, 1.0, 2.0]))).std, draws(KEY, 6, (3,), 1.0).sum(axis=0), rtol=1e-4
    )
    gradient = jax.grad(lambda xs: jnp.sum(simulate(GaussianNoise(0.5), xs, key=KEY)[0] ** 2))(jnp.ones((6, 3)))
    np.testing.assert_allclose(gradient, 2.0 * (1.0 + draws(KEY, 6, (3,), 0.5)), rtol=1e-5)


def test_noise_keeps_the_dtype_and_refuses_what_does_not_fit():
    for dtype in ("bfloat16", "float16"):
        noise = cast(GaussianNoise(jnp.asarray(0.5)), dtype)
        y, _ = noise(jnp.zeros(3, dtype), noise.init_state((3,)), key=KEY)
        assert y.dtype == dtype
    with pytest.raises(DtypeError, match=r"\bx\b"):
        GaussianNoise(0.5)(jnp.zeros(3, jnp.int32), GaussianNoise(0.5).init_state((3,)), key=KEY)
    with pytest.raises(ShapeError, match=r"\bstd\b"):
        GaussianNoise(jnp.ones(4)).init_state((3,))
    with pytest.raises(ValueError, match=r"\bstd\b"):
        GaussianNoise(-0.1)
    with pytest.raises(TypeError, match=r"\bstd\b"):
        GaussianNoise("loud")  # pyright: ignore[reportArgumentType]


# All of them.

LAYERS = {
    "Flatten": lambda: Flatten(1),
    "GaussianNoise": lambda: GaussianNoise(snnx.Positive(jnp.asarray(0.5))),
    "SumPool2d": lambda: SumPool2d(2, 1, padding=1),
    "ThresholdNorm": lambda: ThresholdNorm(3, threshold=jnp.asarray(0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_can_be_pickled_copied_stored_and_run_under_jit(name, tmp_path):
    model, xs = Sequential([LAYERS[name]()]), values((4, 3, 4, 4))
    run = eqx.filter_jit(lambda model: simulate(model, xs, key=KEY, chunk=2)[0])
    eqx.tree_serialise_leaves(tmp_path / "layer.eqx", model)
    stored = eqx.tree_deserialise_leaves(tmp_path / "layer.eqx", Sequential([LAYERS[name]()]))
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), stored):
        assert eqx.tree_equal(again, model)
        np.testing.assert_array_equal(run(again), run(model))
    ys, state = [], model.init_state(xs.shape[1:])
    for x in xs:
        y, state = model(x, state, key=KEY)
        ys.append(y)
    np.testing.assert_allclose(run(model), ys, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_keeps_the_dtype(name, x64):
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        model, xs = cast(Sequential([LAYERS[name]()]), dtype), jax.ShapeDtypeStruct((4, 3, 4, 4), dtype)
        state = model.init_state((3, 4, 4))
        assert eqx.filter_eval_shape(lambda m, xs, s: m.over_time(xs, s, key=KEY)[0], model, xs, state).dtype == dtype
