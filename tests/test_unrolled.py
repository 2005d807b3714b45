"""Convolutions and maxima written as products and comparisons: the numbers are those of the layers themselves."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.layers._apply import apply_step, unrolled, unrolls

KEY = jax.random.key(0)
CONVOLUTIONS = {
    "1d": (eqx.nn.Conv1d(3, 4, 5, key=KEY), (3, 11)),
    "2d": (eqx.nn.Conv2d(2, 3, 3, key=KEY), (2, 7, 6)),
    "2d without bias": (eqx.nn.Conv2d(2, 3, (2, 3), use_bias=False, key=KEY), (2, 7, 6)),
    "2d padded": (eqx.nn.Conv2d(2, 3, 3, padding=((1, 2), (0, 1)), key=KEY), (2, 5, 6)),
    "2d strided": (eqx.nn.Conv2d(2, 3, 3, stride=(2, 3), padding=1, key=KEY), (2, 8, 9)),
    "2d dilated": (eqx.nn.Conv2d(2, 3, 3, dilation=2, stride=2, key=KEY), (2, 9, 8)),
    "2d as large as its input": (eqx.nn.Conv2d(2, 3, 5, key=KEY), (2, 5, 5)),
    "3d": (eqx.nn.Conv3d(2, 3, 2, padding=1, key=KEY), (2, 3, 4, 5)),
}
POOLS = {
    "1d": (eqx.nn.MaxPool1d(3, 2), (3, 9)),
    "2d": (eqx.nn.MaxPool2d(2, 2), (2, 6, 7)),
    "2d overlapping": (eqx.nn.MaxPool2d(3, 1), (2, 6, 7)),
    "3d": (eqx.nn.MaxPool3d(2, (2, 1, 2)), (2, 4, 5, 4)),
}
LEFT_ALONE = {
    "groups": (eqx.nn.Conv2d(4, 4, 3, groups=2, key=KEY), (4, 6, 6)),
    "same": (eqx.nn.Conv2d(2, 3, 3, padding="SAME", key=KEY), (2, 6, 6)),
    "reflected": (eqx.nn.Conv2d(2, 3, 3, padding=1, padding_mode="REFLECT", key=KEY), (2, 6, 6)),
    "large": (eqx.nn.Conv2d(1, 1, 8, key=KEY), (1, 9, 9)),
    "of one place": (eqx.nn.Conv2d(2, 3, 1, key=KEY), (2, 6, 6)),
    "transposed": (eqx.nn.ConvTranspose2d(2, 3, 2, key=KEY), (2, 6, 6)),
    "padded pool": (eqx.nn.MaxPool2d(2, 2, padding=1), (2, 6, 6)),
    "pool with ceil": (eqx.nn.MaxPool2d(2, 2, use_ceil=True), (2, 5, 5)),
    "large pool": (eqx.nn.MaxPool2d(5, 5), (2, 10, 10)),
    "average": (eqx.nn.AvgPool2d(2, 2), (2, 6, 6)),
    "linear": (eqx.nn.Linear(4, 3, key=KEY), (4,)),
}


def spikes(shape, dtype=jnp.float64):
    return jnp.asarray(np.random.default_rng(0).random(shape) < 0.3, dtype)


def value_and_gradients(function, layer, x):
    params, rest = eqx.partition(layer, eqx.is_inexact_array)

    def value(params, x):
        ys = function(eqx.combine(params, rest), x)
        return jnp.sum(ys * jnp.cos(jnp.arange(ys.size)).reshape(ys.shape)), ys

    (_, ys), gradients = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(params, x)
    return jax.tree.leaves((ys, gradients))


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "2d" else pytest.mark.slow) for n in CONVOLUTIONS])
def test_a_convolution_is_equinoxs(name, x64):
    layer, shape = CONVOLUTIONS[name]
    layer, x = snnx.cast(layer, "float64"), spikes(shape) + 0.1
    assert unrolls(layer, x)
    got = value_and_gradients(unrolled, layer, x)
    for one, other in zip(got, value_and_gradients(lambda f, x: f(x), layer, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "2d" else pytest.mark.slow) for n in POOLS])
def test_a_maximum_is_equinoxs_and_the_first_of_equals_gets_the_gradient(name, x64):
    layer, shape = POOLS[name]
    rng = np.random.default_rng(1)
    for x in (spikes(shape), jnp.asarray(rng.normal(size=shape)), jnp.zeros(shape), -spikes(shape)):
        assert unrolls(layer, x)
        got = value_and_gradients(unrolled, layer, x)
        for one, other in zip(got, value_and_gradients(lambda f, x: f(x), layer, x), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_is_no_number_is_not_hidden_by_a_maximum():
    layer = eqx.nn.MaxPool2d(2, 2)
    for place in range(4):
        x = jnp.ones((1, 2, 2)).at[0, place // 2, place % 2].set(jnp.nan)
        assert np.isnan(unrolled(layer, x)).all()


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_layers_are_called_as_they_are(name):
    layer, shape = LEFT_ALONE[name]
    x = spikes(shape, jnp.float32)
    assert not unrolls(layer, x)
    np.testing.assert_allclose(apply_step(layer, x), layer(x), rtol=1e-5, atol=1e-6)


def test_on_other_devices_the_layer_is_called(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for layer, shape in (*CONVOLUTIONS.values(), *POOLS.values()):
        assert not unrolls(layer, spikes(shape, jnp.float32))


def test_a_wrong_input_is_refused_by_the_layer():
    conv, pool = eqx.nn.Conv2d(2, 3, 3, key=KEY), eqx.nn.MaxPool2d(2, 2)
    for layer, shape in ((conv, (6, 6)), (conv, (3, 6, 6)), (conv, (1, 2, 6, 6)), (pool, (6, 6))):
        with pytest.raises(ValueError, match=r"\blayer 0\b"):
            snnx.simulate(snnx.Sequential([layer]), jnp.ones((4, *shape)))
