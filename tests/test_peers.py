"""The same net, run by other libraries and frozen in references/peers.npz: equal spikes, membranes, loss, gradients.

Not expressed here: `snntorch_leaky_delay`, snnTorch's default `reset_delay=True`. It takes the threshold off one step
after the spike and after the leak, so that the reset is not leaked; in this package spike and reset happen in one step.

SpikingJelly and sinabs fire at v >= threshold, this package at v > threshold. In the frozen runs no membrane comes
closer to its threshold than `threshold_margin`, so that the two cannot be told apart.
"""

import json
import math
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.layers import Sequential
from snnx.neurons import IF, LIF, CubaLIF, NoReset, SubtractReset, ValueReset
from snnx.surrogates import ATan, SlayerExponential, SuperSpike

HERE = pathlib.Path(__file__).parent / "references"
PEERS = json.loads((HERE / "peers.json").read_text())
VARIANTS = {variant["name"]: variant for variant in PEERS["variants"]}
NOT_EXPRESSED = {"snntorch_leaky_delay"}


def neuron(name, p):
    """The neuron of a frozen variant, from the arguments that the peer's own neuron was given."""
    peer, _, kind = name.partition("_")
    if peer == "snntorch":  # decays per step, inputs added as they are
        reset = {"subtract": SubtractReset(), "zero": ValueReset(0.0), "none": NoReset()}[p["reset_mechanism"]]
        surrogate = {"fast_sigmoid": SuperSpike(25.0), "atan": ATan(2.0)}[p["spike_grad"]]
        tau = -1 / math.log(p["beta"])
        if kind == "synaptic":
            tau_syn = -1 / math.log(p["alpha"])
            return CubaLIF(tau, tau_syn, threshold=p["threshold"], reset=reset, surrogate=surrogate)
        return LIF(tau, threshold=p["threshold"], reset=reset, surrogate=surrogate)
    if peer == "norse":  # forward Euler in seconds; "super" is always of slope 1
        shared = {
            "threshold": p["v_th"],
            "r": 1.0,
            "v_leak": p["v_leak"],
            "reset": ValueReset(p["v_reset"]),
            "surrogate": SuperSpike(1.0),
            "method": "euler",
            "dt": p["dt"],
        }
        if kind == "lif":  # its current decays after it was used, which is: before the next input comes
            return CubaLIF(1 / p["tau_mem_inv"], 1 / p["tau_syn_inv"], **shared)
        return LIF(1 / p["tau_mem_inv"], **shared)
    if peer == "spikingjelly":  # forward Euler in steps, leaking to v_reset
        stop, v_reset = p["detach_reset"], p["v_reset"]
        reset = SubtractReset(stop_gradient=stop) if v_reset is None else ValueReset(v_reset, stop_gradient=stop)
        shared = {"threshold": p["v_threshold"], "reset": reset, "surrogate": ATan(p["surrogate_alpha"])}
        if p["cls"] == "IFNode":
            return IF(**shared)
        r = 1.0 if p["decay_input"] else None
        return LIF(p["tau"], r=r, v_leak=v_reset or 0.0, method="euler", **shared)
    slope = 1 / (p["grad_width"] * p["spike_threshold"])  # sinabs
    surrogate = SlayerExponential(slope, slope * p["grad_scale"])
    return LIF(p["tau_mem"], threshold=p["spike_threshold"], r=1.0, surrogate=surrogate)


@pytest.fixture(scope="module")
def frozen():
    with np.load(HERE / "peers.npz") as arrays:
        return dict(arrays)


def test_every_frozen_variant_is_compared_or_explained():
    assert len(VARIANTS) == 15
    assert {name for name in VARIANTS if name not in NOT_EXPRESSED} | NOT_EXPRESSED == set(VARIANTS)
    assert {v["peer"] for v in VARIANTS.values()} == {"snntorch", "norse", "spikingjelly", "sinabs"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in NOT_EXPRESSED])
def test_the_net_is_the_peers_net(name, frozen, x64):
    variant = VARIANTS[name]
    index, cell = variant["index"], neuron(name, variant["params"])
    w1, w2 = (jnp.asarray(frozen[w] * variant[g]) for w, g in (("w1", "gain1"), ("w2", "gain2")))
    xs = jnp.asarray(frozen["x"], jnp.float64).swapaxes(0, 1)  # [batch, time, channel]
    readout = jnp.asarray(frozen["readout"])
    blank = [eqx.nn.Linear(i, o, use_bias=False, key=jax.random.key(0)) for o, i in (w1.shape, w2.shape)]
    net = Sequential([blank[0], cell, blank[1], cell])

    def loss(weights, xs):
        model = eqx.tree_at(lambda m: (m[0].weight, m[2].weight), net, weights)
        spikes, _, seen = jax.vmap(lambda x: snnx.simulate(model, x, record=["1", "1.v", "3.v"], chunk=10))(xs)
        value = jnp.einsum("btk,k->", spikes, readout) + 0.1 * jnp.sum(seen["3.v"][:, -1] ** 2)
        return value, (spikes, seen)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (value, (spikes2, seen)), ((grad_w1, grad_w2), grad_x) = run((w1, w2), xs)

    spikes1, mem1, mem2 = seen["1"], seen["1.v"], seen["3.v"]
    assert variant["threshold_margin"] > 1e-4
    np.testing.assert_array_equal(spikes1.swapaxes(0, 1).astype(bool), frozen["spikes1"][index])
    np.testing.assert_array_equal(spikes2.swapaxes(0, 1).astype(bool), frozen["spikes2"][index])
    assert 0.05 < spikes1.mean() < 0.3  # neither silent nor always on

    single = {"rtol": 2e-7, "atol": 2e-7}  # kept as float32
    double = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(mem1[0], frozen["mem1_item0"][index], **single)
    np.testing.assert_allclose(mem1.sum(1), frozen["mem1_sum"][index], **double)
    np.testing.assert_allclose(mem2.swapaxes(0, 1), frozen["mem2"][index], **single)
    np.testing.assert_allclose(value, frozen["loss"][index], **double)
    np.testing.assert_allclose(grad_w1, frozen["grad_w1"][index], **double)
    np.testing.assert_allclose(grad_w2, frozen["grad_w2"][index], **double)
    np.testing.assert_allclose(grad_x[0], frozen["grad_x_item0"][index], rtol=2e-7, atol=1e-6)
    np.testing.assert_allclose(grad_x.sum(1), frozen["grad_x_sum"][index], **double)
    assert np.abs(grad_w1).max() > 0.1
