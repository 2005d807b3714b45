"""Mixtures of an example with a partner: each against its equation, event by event, in every layout."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_augment import (
    EVERY_LAYOUT,
    IMAGE,
    KEY,
    NAMES,
    VECTOR,
    as_layout,
    assert_sound,
    content,
    events_of,
    kept_events,
    moved,
    summed,
)

import snnx
from snnx._errors import ShapeError
from snnx.augment import Blend, CutMix, MixUp
from snnx.augment._mix import _centre, _halfway
from snnx.inputs import ActiveChannels, Constant, EventList, Floats

slow = pytest.mark.slow  # nearly all of it is compiling; the short part sees every mixing once, on counts


def pair(name, shape, seeds=(1, 2)):
    """Two examples of one data set: their numbers, and their inputs with lists of one length and one bound."""
    values = [content(name, shape, seed) for seed in seeds]
    inputs = [as_layout(name, v) for v in values]
    if name == "lists":
        most = max(x.channels.shape[1] for x in inputs)
        lists = [
            jnp.pad(x.channels, ((0, 0), (0, most - x.channels.shape[1])), constant_values=math.prod(shape[1:]))
            for x in inputs
        ]
        inputs = [ActiveChannels(x, shape[1:]) for x in lists]
    if name == "events":
        most = max(int(v.sum()) for v in values)
        inputs = [events_of(v, filling=most - int(v.sum())) for v in values]
        bound = tuple(max(both) for both in zip(*(x.busiest for x in inputs), strict=True))
        inputs = [EventList(x.steps, x.channels, shape[1:], shape[0], bound) for x in inputs]
    return values, inputs


def mean_place(values):
    """Weighted by what is in the bins: the mean step, and the mean place along the last one or two axes."""
    total, sums = 0.0, np.zeros(values.ndim)
    for place in np.ndindex(values.shape):
        total += abs(values[place])
        sums += abs(values[place]) * np.array(place)
    means = sums / total
    return [means[0], *means[1:][-2:]]


# Blend


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_examples_meet_half_way(name, shape):
    values, inputs = pair(name, shape)
    here, there = (mean_place(v) for v in values)
    for example, means in zip(inputs, (here, there), strict=True):
        np.testing.assert_allclose(_centre(example)[1], means, rtol=1e-5)
    half = [math.trunc((b - a) / 2) for a, b in zip(here, there, strict=True)]
    assert [int(x) for x in _halfway(*inputs)] == half


def far_apart(name):
    """An example early and low, a partner late and high: 6 steps and 4 channels lie between their means."""
    values = [np.zeros((9, 9)) for _ in range(2)]
    for t, c, n in ((0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)):
        values[0][t, c] = values[1][t + 6, c + 4] = n if name == "bits" else 3 * n
    inputs = [as_layout(name, v) for v in values]
    return values, inputs


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_blend_takes_each_event_with_probability_one_half(name):
    values, inputs = far_apart(name)
    aligned = moved(values[0], lambda t, c: (t + 3, c + 2))  # the partner's come to lie on the same bins
    keys = jax.random.split(KEY, 1500)
    blend = lambda k: Blend()(*inputs, key=k)
    results, shares = jax.jit(jax.vmap(blend))(keys)
    assert NAMES[type(results)] == summed(name)
    np.testing.assert_array_equal(shares, np.ones(1500))
    dense = np.asarray(jax.vmap(lambda x: x.dense())(results))
    assert not dense[:, aligned == 0].any()
    events = 2 if name in ("bits", "dense") else 6  # that meet in a bin, each there or not
    size = 3.0 if name == "dense" else 1.0
    for k in range(events + 1):
        expected = math.comb(events, k) / 2**events
        found = np.mean(dense[:, aligned > 0] == k * size)
        assert abs(found - expected) < 5 * math.sqrt(expected * (1 - expected) / (1500 * 4))
    results = jax.device_get(results)
    for i in range(20):
        assert_sound(jax.tree.map(lambda x, i=i: x[i], results))


@slow
def test_what_a_blend_moves_outside_is_gone():
    low, high = np.zeros((8, 8)), np.zeros((8, 8))
    low[0, 0], low[0, 7], low[7, 7] = 60, 1, 1  # the two far ones leave
    high[7, 7] = 62
    half = tuple(int(x) for x in _halfway(as_layout("counts", low), as_layout("counts", high)))
    assert half == (3, 3)
    for name in ("counts", "events", "lists"):
        inputs = [as_layout(name, x) for x in (low, high)]
        if name == "lists":
            inputs = [
                ActiveChannels(jnp.pad(x.channels, ((0, 0), (0, 62 - x.channels.shape[1])), constant_values=64), (8,))
                for x in inputs
            ]
        if name == "events":
            inputs = [EventList(x.steps, x.channels, (8,), 8, (62, 62, 62, 62)) for x in inputs]
        result, _ = jax.jit(lambda k, x=inputs: Blend()(*x, key=k))(KEY)
        assert_sound(result)
        dense = np.asarray(result.dense())
        assert {tuple(int(i) for i in at) for at in np.argwhere(dense)} == {(3, 3), (4, 4)}


@pytest.mark.parametrize("name", ["lists", "counts", "events"])
def test_an_example_without_events_moves_nothing(name):
    values = [np.zeros((6, 5)), np.ones((6, 5))]
    inputs = [as_layout(name, v) for v in values]
    if name == "lists":
        inputs[0] = ActiveChannels(jnp.full((6, 5), 5, jnp.uint16), (5,))
    assert [int(x) for x in _halfway(*inputs)] == [0, 0]
    assert [int(x) for x in _halfway(inputs[0], inputs[0])] == [0, 0]


# CutMix


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_cut_mix_is_a_window_of_the_partner(name):
    values, inputs = pair(name, VECTOR)
    apply = eqx.filter_jit(lambda start, length: CutMix()._apply(*inputs, start, length))
    for start, length in ((0, 0), (0, 7), (2, 3), (6, 1), (7, 0)):
        result, share = apply(jnp.int32(start), jnp.int32(length))
        assert NAMES[type(result)] == name
        assert_sound(result)
        expected = np.array([values[start <= t < start + length][t] for t in range(7)])
        np.testing.assert_allclose(result.dense(), expected, rtol=1e-6)
        np.testing.assert_allclose(share, 1 - length / 7, rtol=1e-6)


@slow
def test_windows_are_anywhere_inside():
    start, length = (np.asarray(x) for x in jax.vmap(lambda k: CutMix(1.0)._draw(10, k))(jax.random.split(KEY, 8000)))
    assert start.min() == 0
    assert (start + length).max() == 10
    for n in range(11):  # uniform before rounding
        expected = 0.05 if n in (0, 10) else 0.1
        assert abs(np.mean(length == n) - expected) < 5 * math.sqrt(expected / 8000)
    for s in range(6):
        assert abs(np.mean(start[length == 5] == s) - 1 / 6) < 5 * math.sqrt(5 / 36 / np.sum(length == 5))


# MixUp


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_mix_up_keeps_each_event_with_the_share(name):
    values, inputs = pair(name, VECTOR)
    keys = jax.random.split(KEY)
    result = jax.jit(lambda *k: MixUp(0.4)._apply(*inputs, jnp.float32(0.75), k))(*keys)
    assert NAMES[type(result)] == summed(name)
    assert_sound(result)
    if name == "dense":
        expected = 0.75 * values[0] + 0.25 * values[1]
    else:
        kept = [
            kept_events(name, v, 1 - p, k, x) for v, p, k, x in zip(values, (0.75, 0.25), keys, inputs, strict=True)
        ]
        expected = kept[0] + kept[1]
    np.testing.assert_allclose(result.dense(), expected, rtol=1e-5, atol=1e-6)


@slow
def test_mix_up_draws_its_share_from_a_beta():
    stats = pytest.importorskip("scipy.stats")
    inputs = Constant(jnp.ones(2), 3), Constant(jnp.zeros(2), 3)
    results, shares = jax.vmap(lambda k: MixUp(0.4)(*inputs, key=k))(jax.random.split(KEY, 4000))
    assert isinstance(results, Constant)
    np.testing.assert_allclose(results.values, np.stack([shares, shares], axis=1), rtol=1e-6)
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4


# All


@slow
@pytest.mark.parametrize("mixing", [Blend(), CutMix(), MixUp(0.5)], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("name", ["bits", "events"])
def test_a_batch_is_mixed_example_by_example(mixing, name):
    _, inputs = pair(name, IMAGE)
    keys = jax.random.split(KEY, 5)
    results, shares = jax.jit(jax.vmap(lambda k: mixing(*inputs, key=k)))(keys)
    one = eqx.filter_jit(lambda k: mixing(*inputs, key=k))
    for i in range(5):
        alone, share = one(keys[i])
        for a, b in zip(jax.tree.leaves(results), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(a[i], b)
        np.testing.assert_allclose(shares[i], share, rtol=1e-6)
        assert 0 <= share <= 1
        assert (alone.num_steps, alone.sample_shape) == (6, (2, 5, 4))
        assert_sound(alone)
    assert len({np.asarray(x).tobytes() for x in jax.tree.leaves(results)[0]}) >= 3


def test_same_class():
    assert Blend().same_class
    assert not CutMix().same_class
    assert not MixUp(0.4).same_class


@slow
def test_a_network_sees_every_event_of_a_mixture():
    early, late = np.zeros((12, 4)), np.zeros((12, 4))
    early[1], late[9] = 5, 5  # the bound of one list is passed where both meet
    inputs = [events_of(x, filling=0) for x in (early, late)]
    model = snnx.Sequential([eqx.nn.Linear(4, 3, key=KEY), snnx.LI(4.0)])

    @jax.jit
    def run(key):
        result, _ = Blend()(*inputs, key=key)
        chunks = [snnx.simulate(model, result, chunk=chunk)[0] for chunk in (1, 5, 12)]
        return result, chunks, snnx.simulate(model, Floats(result.dense(), (4,)), chunk=12)[0]

    for seed in range(5):
        result, chunks, expected = run(jax.random.key(seed))
        assert (np.asarray(result.dense()).sum(axis=1) > 0).tolist() == [t == 5 for t in range(12)]
        for got in chunks:
            np.testing.assert_allclose(got, expected, atol=1e-5)


@slow
@pytest.mark.parametrize("mixing", [Blend(), CutMix()], ids=lambda m: type(m).__name__)
def test_constants_become_dense(mixing):
    values = np.random.default_rng(0).random((2, 3)).astype(np.float32)
    result, share = mixing(*(Constant(jnp.asarray(v), 4) for v in values), key=KEY)
    assert isinstance(result, Floats)
    assert 0 <= share <= 1


def test_what_does_not_fit_is_refused():
    _, (inputs, _) = pair("counts", VECTOR)
    for mixing in (Blend(), CutMix(), MixUp(0.5)):
        with pytest.raises(ShapeError, match=r"\binputs\b"):
            mixing(inputs, Floats(inputs.dense(), (7,)), key=KEY)
        with pytest.raises(ShapeError, match=r"\bpartner\b"):
            mixing(inputs, inputs.stretch(0, 6), key=KEY)
        with pytest.raises(TypeError, match=r"\bkey\b"):
            mixing(inputs, inputs, key=jax.random.split(KEY))
    for make in (lambda: CutMix(0.0), lambda: MixUp(-1.0), lambda: MixUp(math.nan)):
        with pytest.raises(ValueError, match=r"\balpha\b"):
            make()
