"""The ways in which a neuron's arithmetic may run over time give what the scan gives: values, and gradients of everything."""

import os
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.neurons import _over_time

pytestmark = pytest.mark.slow  # nearly all of it is compiling

K = jax.random.split(jax.random.key(0), 8)
TIME = 13
MODERN = tuple(map(int, jax.__version__.split(".")[:2])) >= (0, 12)


def per_neuron(low, high, shape, key=K[0]):
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def neurons(shape):
    """One of each kind, some with a parameter per neuron, some with scalars that are learned, some with numbers."""
    return {
        "IF": snnx.IF(threshold=jnp.asarray(0.7)),
        "LI": snnx.LI(tau=snnx.Positive(per_neuron(2.0, 9.0, shape))),
        "LIF": snnx.LIF(tau=per_neuron(2.0, 9.0, shape), threshold=0.6, v_leak=jnp.asarray(0.1)),
        "LIF, to a value": snnx.LIF(
            5.0, threshold=per_neuron(0.4, 0.9, shape), reset=snnx.ValueReset(-0.2), r=jnp.asarray(4.0)
        ),
        "LIF, no gradient through the reset": snnx.LIF(
            5.0, threshold=0.6, reset=snnx.SubtractReset(stop_gradient=True)
        ),
        "CubaLI": snnx.CubaLI(tau_mem=per_neuron(4.0, 9.0, shape), tau_syn=jnp.asarray(3.0)),
        "CubaLIF": snnx.CubaLIF(tau_mem=6.0, tau_syn=per_neuron(2.0, 4.0, shape), threshold=0.8, method="exact"),
        "ALIF": snnx.ALIF(tau=per_neuron(3.0, 9.0, shape), threshold=0.5),
        "AdLIF": snnx.AdLIF(threshold=0.5),
    }


def loss_and_gradients(neuron, xs, state, **settings):
    """A loss that depends on every output and on the state at the end, of a batch, and its gradient by everything."""
    weights = jnp.cos(jnp.arange(xs[0].size, dtype=xs.dtype)).reshape(xs.shape[1:])

    def loss(inputs):
        neuron, xs, state = inputs

        def one(x, state):
            ys, end = snnx.simulate(neuron, x, state, **settings)
            return jnp.sum(weights * ys**2) + sum(jnp.sum(jnp.sin(e)) for e in jax.tree.leaves(end)), ys

        losses, ys = jax.vmap(one)(xs, state)
        return jnp.sum(losses), ys

    (_, ys), grads = eqx.filter_value_and_grad(loss, has_aux=True)((neuron, xs, state))
    return ys, grads


def inputs(neuron, shape, batch=3):
    xs = jax.random.normal(K[1], (batch, TIME, *shape))
    states = [neuron.init_state(shape)] * batch
    state = jax.tree.map(lambda *s: jnp.stack(s), *states)
    return xs, jax.tree.map(lambda s: s + 0.1 * jax.random.normal(K[2], s.shape), state)


@pytest.mark.parametrize(
    ("name", "shape"), [*((name, (131,)) for name in neurons((1,))), ("LIF", (5,)), ("LIF", (2, 3, 4))], ids=str
)
def test_the_kernel_is_the_scan(name, shape, monkeypatch):
    neuron = neurons(shape)[name]
    xs, state = inputs(neuron, shape)
    expected, gradients = loss_and_gradients(neuron, xs, state, chunk=4)
    monkeypatch.setattr(_over_time, "WAY", "pallas")
    for settings in ({"chunk": 4},) if name != "LIF" else ({"chunk": TIME}, {"chunk": 4, "keep": "membranes"}):
        ys, grads = loss_and_gradients(neuron, xs, state, **settings)
        np.testing.assert_allclose(ys, expected, atol=1e-5)
        assert jax.tree.structure(grads) == jax.tree.structure(gradients)
        for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    if name != "LI" and name != "CubaLI":
        assert 0.01 < float(expected.mean()) < 0.9


@pytest.mark.parametrize("name", neurons((1,)))
def test_the_unrolled_loop_is_the_scan(name, monkeypatch):
    neuron = neurons((5,))[name]
    xs, state = inputs(neuron, (5,))
    expected, gradients = loss_and_gradients(neuron, xs, state, chunk=4)
    monkeypatch.setattr(_over_time, "WAY", "unrolled")
    ys, grads = loss_and_gradients(neuron, xs, state, chunk=4)
    np.testing.assert_allclose(ys, expected, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), grads, gradients)


def test_what_is_chosen_is_what_runs(monkeypatch):
    neuron, xs = snnx.LIF(5.0), jnp.ones((TIME, 4))

    def traced(**settings):
        return str(jax.make_jaxpr(lambda xs: snnx.simulate(neuron, xs, chunk=TIME, **settings)[0])(xs))

    assert "scan" in traced()
    monkeypatch.setattr(_over_time, "WAY", "pallas")
    assert "pallas_call" in traced()
    assert "pallas_call" not in traced(mask=jnp.arange(TIME) < 9)
    assert "pallas_call" not in traced(record=["v"])
    monkeypatch.setattr(_over_time, "WAY", "unrolled")
    assert "unroll=13" in traced() or "unroll=True" in traced()


@pytest.mark.parametrize(
    "neuron",
    [snnx.LIF(5.0, refractory=2), snnx.LIF(5.0, surrogate=snnx.surrogates.StochasticEscape())],
    ids=["refractory", "random"],
)
def test_counters_and_randomness_are_left_to_the_scan(neuron, monkeypatch):
    xs, key = jax.random.normal(K[1], (TIME, 6)), jax.random.key(3)
    expected, _ = snnx.simulate(neuron, xs, key=key)
    monkeypatch.setattr(_over_time, "WAY", "pallas")
    np.testing.assert_array_equal(snnx.simulate(neuron, xs, key=key)[0], expected)


def test_a_whole_network_trains_alike(monkeypatch):
    model = snnx.Sequential(
        [
            eqx.nn.Linear(6, 5, key=K[3]),
            snnx.LIF(tau=snnx.Positive(jnp.full(5, 4.0)), threshold=0.4),
            eqx.nn.Linear(5, 3, key=K[4]),
            snnx.LI(5.0),
        ]
    )
    xs = jax.random.normal(K[5], (4, TIME, 6))

    @eqx.filter_value_and_grad
    def loss(model):
        means = jax.vmap(lambda x: snnx.simulate(model, x, readout=snnx.Mean(), record={"1": snnx.Mean()}, chunk=4))(xs)
        return jnp.sum(means[0] ** 2) + jnp.sum(means[2]["1"])

    value, gradients = loss(model)
    monkeypatch.setattr(_over_time, "WAY", "pallas")
    ours, grads = loss(model)
    assert ours == pytest.approx(float(value), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), grads, gradients)


@pytest.mark.filterwarnings("ignore:.*(Triton|Mosaic GPU).*:DeprecationWarning")
@pytest.mark.skipif(not MODERN, reason="JAX before 0.12 cannot translate a vmapped kernel without a GPU")
@pytest.mark.parametrize("kind", [snnx.LIF, snnx.CubaLIF, snnx.AdLIF])
def test_the_kernel_can_be_lowered_for_a_gpu(kind, monkeypatch):
    """What only runs there may at least be translated here."""
    monkeypatch.setattr(_over_time, "WAY", "pallas")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    card = jax.sharding.AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    xs = jax.ShapeDtypeStruct((3, 16, 130), jnp.float32)
    gradient = jax.grad(lambda xs: jnp.sum(jax.vmap(lambda x: snnx.simulate(kind(), x)[0])(xs) ** 2))
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("one",), abstract_device=card)):
        program = jax.jit(gradient).trace(xs).lower(lowering_platforms=("cuda",)).as_text()
    assert (
        len(re.findall(r"custom_call @__gpu\$xla.gpu.triton", program)) == 3
    )  # forward, forward again for the backward pass, backward


def test_the_environment_chooses():
    program = "import snnx.neurons._over_time as o; print(o.WAY)"

    def run(kind):
        return subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"SNNX_OVER_TIME": kind}, capture_output=True, text=True
        )

    assert run("pallas").stdout.strip() == "pallas"
    assert "SNNX_OVER_TIME is 'fast', expected one of scan, unrolled, pallas" in run("fast").stderr
