"""The parts that docs/extending.md defines do what the page says, with numbers from elsewhere."""

import dataclasses
import pathlib
import re
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import nir
import numpy as np
import optax
import pytest
from nir_graphs import new_class
from small import FEATURES, make_data

import snnx

PAGE = (pathlib.Path(__file__).parents[1] / "docs" / "extending.md").read_text()
PARTS = dict(re.findall(r"<!-- part: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
KEY = jax.random.key(0)


def defined(part: str) -> dict[str, Any]:
    """What the code of a section defines."""
    names = {"ClassVar": ClassVar, "eqx": eqx, "jax": jax, "jnp": jnp, "optax": optax, "snnx": snnx, "__name__": part}
    exec(compile(PARTS[part], f"extending.md, {part}", "exec"), names)
    return names


def small_model(*layers):
    return snnx.Sequential([eqx.nn.Linear(FEATURES, 16, key=KEY), *layers, eqx.nn.Linear(16, 3, key=KEY), snnx.LI()])


def test_a_test_belongs_to_every_part():
    tested = "neuron layer surrogate loss reduction metric callback augmentation data environment solver kind"
    assert set(PARTS) == set(tested.split())
    assert all(code.count("\n") <= 32 for code in PARTS.values())


@pytest.mark.usefixtures("ranks_are_promoted")
def test_a_neuron_is_trained_exported_and_event_driven():
    decay = defined("neuron")["Decay"](jnp.full(16, 0.9))
    xs = 0.4 * jax.random.uniform(KEY, (40, 16))
    ys, _ = snnx.simulate(decay, xs)
    v, spikes = np.zeros(16, np.float32), []
    for x in np.asarray(xs):
        v = np.float32(0.9) * v + x
        spikes.append(v > 1.0)
        v = v - spikes[-1]
    np.testing.assert_array_equal(ys, np.asarray(spikes, np.float32))
    assert 0.05 < float(ys.mean()) < 0.5

    model, data = small_model(decay), make_data(n=16)
    trained = snnx.fit(
        model, data, loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.sgd(0.1), epochs=1, key=KEY, progress=False
    )
    assert not np.array_equal(trained.model.layers[1].decay, decay.decay)

    with pytest.warns(UserWarning, match=r"\bsubtraction\b"):
        graph = snnx.nir.to_nir(snnx.Sequential([decay]), (16,), dt=1e-3)
    np.testing.assert_allclose(graph.nodes["0"].tau, 1e-3 / (1.0 - 0.9), rtol=1e-5)  # Euler's, of the same decay
    again, _ = snnx.simulate(snnx.nir.from_nir(graph, dt=1e-3), xs)
    np.testing.assert_allclose(np.mean(again), np.mean(ys), atol=0.01)  # the decay is rounded on its way

    events = snnx.event.make_events([1.0, 2.0, 2.5], [0, 0, 0], size=16)
    solution = snnx.event.simulate(snnx.Sequential([eqx.nn.Identity(), decay]), events, duration=5.0)
    twin = snnx.Sequential([eqx.nn.Identity(), snnx.LIF(tau=jnp.full(16, -1.0 / np.log(0.9)))])
    expected = snnx.event.simulate(twin, events, duration=5.0)
    for mine, theirs in zip(jax.tree.leaves(solution.spikes), jax.tree.leaves(expected.spikes), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


@pytest.mark.usefixtures("ranks_are_promoted")
def test_a_layer_is_exported_and_lets_events_pass():
    weight, mask = jax.random.normal(KEY, (4, 3)), snnx.Frozen(jnp.array([[1.0, 0.0, 1.0]] * 4))
    layer, dense = defined("layer")["Sparse"](weight, mask), np.asarray(weight * mask.array)
    assert snnx.layers.is_linear(layer)
    with pytest.warns(UserWarning, match=r"\bsubtraction\b"):
        graph = snnx.nir.to_nir(snnx.Sequential([layer, snnx.LIF()]), (3,), dt=1e-3)
    np.testing.assert_array_equal(graph.nodes["0"].weight, dense)
    events = snnx.event.make_events([1.0, 2.0], [0, 2], size=3)
    linear = eqx.nn.Linear(3, 4, use_bias=False, key=KEY)
    twin = eqx.tree_at(lambda part: part.weight, linear, jnp.asarray(dense))
    mine, theirs = (
        snnx.event.simulate(snnx.Sequential([part, snnx.LI()]), events, duration=5.0).output for part in (layer, twin)
    )
    np.testing.assert_allclose(mine.at(jnp.array([1.5, 4.0])), theirs.at(jnp.array([1.5, 4.0])), rtol=1e-6)


def test_a_surrogate_gives_its_derivative():
    tent = defined("surrogate")["Tent"]()
    x = jnp.array([-1.0, -0.25, 0.1, 0.6])
    np.testing.assert_array_equal(tent(x), [0.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(jax.vmap(jax.grad(tent))(x), [0.0, 0.5, 0.8, 0.0], rtol=1e-6)


def test_a_loss_leaves_masked_steps_out():
    margin = defined("loss")["Margin"]()
    model = small_model(snnx.LIF())
    arrays = make_data(n=4)
    short = jnp.arange(arrays.num_steps) < 4
    masked = dataclasses.replace(arrays, mask=jnp.broadcast_to(short, (4, arrays.num_steps)))
    for i in range(4):
        xs = masked.example(i).dense() if hasattr(masked.example(i), "dense") else masked.example(i)
        mean = np.asarray(snnx.simulate(model, xs[:4], readout=snnx.Mean())[0])
        label = int(masked.targets[i])
        expected = max(0.0, 1.0 - (mean[label] - np.delete(mean, label).max()))
        scored = snnx.evaluate(model, masked.subset([i]), loss=margin)
        np.testing.assert_allclose(scored.loss, expected, rtol=1e-5)


def test_a_reduction_is_that_of_the_whole_trace():
    power = defined("reduction")["Power"]()
    xs = jax.random.normal(KEY, (11, 3))
    mask = jnp.arange(11) % 3 != 1
    expected = np.mean(np.asarray(xs, np.float64)[np.asarray(mask)] ** 2, axis=0)
    for chunk in (1, 4, 11):
        found, _ = snnx.simulate(snnx.Sequential([eqx.nn.Identity()]), xs, readout=power, mask=mask, chunk=chunk)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_metric_reads_an_evaluation():
    scored = snnx.evaluate(small_model(snnx.LIF()), make_data(n=24), loss=snnx.CrossEntropy(snnx.Mean()))
    labels = np.asarray(make_data(n=24).targets)
    shares = [np.mean(scored.predictions[labels == label] == label) for label in np.unique(labels)]
    np.testing.assert_allclose(defined("metric")["balanced_accuracy"](scored), np.mean(shares), rtol=1e-6)


def test_a_callback_draws(tmp_path):
    plot = defined("callback")["LivePlot"](tmp_path / "losses.png")
    given = dict(loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam(1e-3), key=KEY, progress=False)
    snnx.fit(small_model(snnx.LIF()), make_data(n=16), epochs=2, callbacks=[plot], **given)
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_an_augmentation_is_drawn_for_each_example():
    loudness = defined("augmentation")["Loudness"]()
    inputs = snnx.inputs.Floats(jnp.ones((5, FEATURES)), (FEATURES,))
    factors = [float(loudness(inputs, key=key).dense()[0, 0]) for key in jax.random.split(KEY, 64)]
    assert 0.5 <= min(factors) < 0.7 < 1.5 < max(factors) <= 2.0
    given = dict(loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.sgd(0.1), key=KEY, progress=False, epochs=1)
    plain, loud = (
        snnx.fit(small_model(snnx.LIF()), make_data(n=16), augment=augment, **given) for augment in ([], [loudness])
    )
    assert plain.history[0]["loss"] != loud.history[0]["loss"]


def test_a_data_set_is_what_it_says():
    data = defined("data")["two_tones"](200, 50, key=KEY)
    spikes, labels = np.asarray(data.inputs.dense()), np.asarray(data.targets)
    counts = spikes.mean(axis=1)
    np.testing.assert_allclose(counts[np.arange(200), labels].mean(), 0.6, atol=0.02)
    np.testing.assert_allclose(counts[np.arange(200), 1 - labels].mean(), 0.2, atol=0.02)


def test_an_environment_moves():
    env = defined("environment")["env"]
    policy = snnx.Policy(
        snnx.Sequential([eqx.nn.Linear(1, 1, use_bias=False, key=KEY), snnx.layers.Scale(-1.0)]),
        encoder=None,
        decoder=None,
    )
    episode = snnx.rollout(policy, env, length=20, key=KEY, trajectory=True)
    weight = float(policy.network.layers[0].weight[0, 0])
    observations = np.asarray(episode.trajectory.observation).ravel()
    np.testing.assert_allclose(observations[1:], observations[:-1] * (1.0 - 0.1 * weight), rtol=1e-5)


def test_a_solver_descends_in_fit_and_in_evolve():
    solver = defined("solver")["SignDescent"](0.5)
    target = jnp.array([3.0, -2.0])
    found = snnx.evolve(
        lambda params, key: jnp.sum((params - target) ** 2),
        jnp.zeros(2),
        optimizer=solver,
        generations=4,
        key=KEY,
        progress=False,
    )
    np.testing.assert_allclose(found.state.params, [2.0, -2.0])
    model = small_model(snnx.LIF())
    result = snnx.fit(
        model,
        make_data(n=16),
        loss=snnx.CrossEntropy(snnx.Mean()),
        optimizer=defined("solver")["SignDescent"](0.01),
        epochs=1,
        batch_size=16,
        key=KEY,
        progress=False,
    )
    moved = np.abs(np.asarray(result.model.layers[0].weight - model.layers[0].weight))
    np.testing.assert_allclose(moved[moved > 0], 0.01, rtol=1e-3)


@pytest.mark.usefixtures("nir_registers")
def test_a_kind_of_node_goes_in_and_out_and_keeps_a_changed_stride(monkeypatch):
    monkeypatch.setattr(nir, "MaxPool2d", new_class("MaxPool2d", "kernel_size", "stride"), raising=False)
    names = defined("kind")
    snnx.nir.register_kind(names["MaxPool2d"]())
    snnx.nir.register_export(eqx.nn.MaxPool2d)(names["export_max"])
    with pytest.raises(ValueError, match=r"\bMaxPool2d\b"):
        snnx.nir.register_kind(names["MaxPool2d"]())
    model = snnx.Sequential([eqx.nn.MaxPool2d(2, 2)])
    model = snnx.nir.from_nir(snnx.nir.to_nir(model, (2, 4, 4), dt=1e-3), dt=1e-3)
    xs = jax.random.uniform(KEY, (3, 2, 4, 4))
    expected = np.asarray(xs).reshape(3, 2, 2, 2, 2, 2).max(axis=(3, 5))
    np.testing.assert_array_equal(snnx.simulate(model, xs)[0], expected)
    wide = eqx.tree_at(
        lambda graph: graph.nodes["0"],
        model,
        eqx.nn.MaxPool2d(2, 1),
        is_leaf=lambda node: isinstance(node, eqx.nn.MaxPool2d),
    )
    assert list(snnx.nir.to_nir(wide, (2, 4, 4), dt=1e-3).nodes["0"].stride) == [1, 1]
