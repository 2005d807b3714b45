"""Augmentation within `fit`: anew for every example and epoch, partners of the right class, targets in the right shares."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import CLASSES, FEATURES, STEPS, make_data, make_model, make_regression
from small import fit as small_fit

import snnx
from snnx.augment import AbstractAugmentation, AbstractMixing, Blend, ChannelShift, DropEvents, MixUp
from snnx.data import from_currents, from_spikes
from snnx.inputs import Floats
from snnx.train._batches import Augment

pytestmark = pytest.mark.slow  # nearly all of it is compiling

LOSS = snnx.CrossEntropy(snnx.Mean())


class Silence(AbstractAugmentation):
    def __call__(self, inputs, *, key):
        return Floats(jnp.zeros_like(inputs.dense()), inputs.sample_shape)


class Noise(AbstractAugmentation):
    def __call__(self, inputs, *, key):
        return Floats(inputs.dense() + jax.random.normal(key, inputs.dense().shape), inputs.sample_shape)


class Swap(AbstractMixing):
    """The partner in the example's place; a quarter of the target stays the example's."""

    same_class: bool = eqx.field(static=True, default=False)

    def __call__(self, inputs, partner, *, key):
        return partner, jnp.asarray(0.25)


def fit(data=None, augment=(), **more):
    return small_fit(data=data, augment=augment, **({"epochs": 2} | more))


def test_without_augmentation_nothing_changes_and_an_identity_changes_nothing_but_rounding():
    plain, same = fit(), fit(augment=[DropEvents(0.0), ChannelShift(0)])
    for one, other in zip(plain.history, same.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_what_is_trained_on_is_the_augmented_input():
    # With silence a network without a bias puts out nothing: the loss is that of a guess, and nothing can be learned.
    model = eqx.tree_at(
        lambda m: (m.layers[0].bias, m.layers[2].bias), make_model(), (jnp.zeros(7), jnp.zeros(CLASSES))
    )
    frozen = dict(optimizer=optax.sgd(0.0))
    assert fit(model=model, augment=[Silence()], **frozen).history[0]["loss"] == pytest.approx(
        np.log(CLASSES), rel=1e-5
    )
    assert fit(model=model, **frozen).history[0]["loss"] != pytest.approx(np.log(CLASSES), rel=1e-2)


def test_the_validation_is_not_augmented():
    valid = make_data(n=6, seed=3)
    result = fit(augment=[Silence()], validation=valid)
    scored = snnx.evaluate(result.model, valid)
    best = result.history[result.best_epoch - 1]
    assert best["validation_loss"] == pytest.approx(scored.loss, rel=1e-5)


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def test_every_example_is_changed_by_a_draw_of_its_own():
    data = from_currents(np.zeros((4, 3, 2), np.float32), np.arange(4) % 2, sample_shape=(2,))
    augment = Augment([Noise()], data, jnp.asarray(4))
    batch, others = augment.batch(jnp.array([0, 1, 2, 3]), keys(4))
    assert others is None
    drawn = np.asarray(batch.inputs.values)
    assert len(np.unique(drawn)) == drawn.size
    again, _ = augment.batch(jnp.array([0, 1, 2, 3]), keys(4))
    np.testing.assert_array_equal(drawn, again.inputs.values)
    np.testing.assert_array_equal(batch.targets, data.targets)


def numbered(labels):
    """Example i is the current i."""
    values = np.arange(len(labels), dtype=np.float32)[:, None, None] * np.ones((1, 2, 1), np.float32)
    return from_currents(values, np.asarray(labels), sample_shape=(1,))


@pytest.mark.parametrize("same_class", [False, True])
def test_partners_are_others_of_the_right_class_each_equally_often(same_class):
    labels = np.array([0, 2, 1, 2, 0, 2, 2, 1, 3])
    augment = Augment([Swap(same_class)], numbered(labels), jnp.asarray(len(labels)))
    draws = 2000
    for index in range(len(labels)):
        batch, others = jax.jit(augment.batch)(jnp.full(draws, index), keys(draws, index))
        partners = np.asarray(batch.inputs.values[:, 0, 0]).astype(int)
        allowed = np.flatnonzero((labels == labels[index]) if same_class else np.full(len(labels), True))
        allowed = allowed[allowed != index] if len(allowed) > 1 else allowed  # one that is alone is its own
        counts = np.bincount(partners, minlength=len(labels))
        assert set(np.flatnonzero(counts)) == set(allowed)
        p = 1 / len(allowed)
        assert (np.abs(counts[allowed] - draws * p) <= 5 * np.sqrt(draws * p * (1 - p)) + 1e-9).all()
        if same_class:
            assert others is None
        else:
            np.testing.assert_array_equal(others[0], labels[partners])
            np.testing.assert_allclose(others[1], 0.25)


def test_examples_that_only_fill_a_chunk_are_nobodys_partners():
    labels = np.array([0, 1, 0, 1, 1, 1])
    for same_class in (False, True):
        augment = Augment([Swap(same_class)], numbered(labels), jnp.asarray(4))
        for index in range(4):
            batch, _ = augment.batch(jnp.full(300, index), keys(300))
            assert np.asarray(batch.inputs.values).max() <= 3


def test_the_loss_of_a_mixture_is_that_of_both_targets_by_their_shares():
    spikes = (np.random.default_rng(0).uniform(size=(2, STEPS, FEATURES)) < 0.5).astype(int)
    data = from_spikes(spikes, [0, 1], sample_shape=(FEATURES,), classes=["a", "b", "c"])
    model = make_model()
    found = fit(data=data, model=model, augment=[Swap()], optimizer=optax.sgd(0.0), batch_size=2, epochs=1).history[0]
    expected = []
    for i in range(2):  # of two examples each is the other's partner
        scores = np.asarray(snnx.simulate(eqx.nn.inference_mode(model), data.example(1 - i))[0], np.float64).mean(
            axis=0
        )
        log = scores - np.log(np.exp(scores).sum())
        expected.append(-0.25 * log[i] - 0.75 * log[1 - i])
    assert found["loss"] == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["bits", "lists", "events"])
@pytest.mark.parametrize("steps", [[ChannelShift(1), Blend(), DropEvents(0.2)], [DropEvents(0.3), MixUp(0.4)]])
def test_chains_with_a_mixing_run_on_every_layout(layout, steps):
    result = fit(data=make_data().as_layout(layout), augment=steps)
    assert all(np.isfinite(record["loss"]) for record in result.history)


def test_a_resumed_run_draws_the_same(tmp_path):
    augment = [DropEvents(0.3), ChannelShift(1)]
    whole = fit(augment=augment, epochs=3)
    half = fit(augment=augment, epochs=1)
    again = fit(augment=augment, epochs=3, resume=half)
    assert [r["loss"] for r in again.history] == [r["loss"] for r in whole.history]
    with pytest.raises(snnx.CheckpointError, match=r"\bresume\b"):
        fit(augment=[DropEvents(0.4), ChannelShift(1)], epochs=3, resume=half)


def test_augmented_alike_is_compiled_for_once():
    fit(augment=[DropEvents(0.35)], epochs=1)
    with programs(0):
        fit(augment=[DropEvents(0.35)], epochs=1)
    with programs(1):
        fit(augment=[DropEvents(0.36)], epochs=1)


@pytest.mark.parametrize(
    ("augment", "error"),
    [
        (DropEvents(0.1), TypeError),
        ([DropEvents], TypeError),
        ([DropEvents(0.1), "x"], TypeError),
        ([Blend(), MixUp(0.2)], ValueError),
    ],
)
def test_what_is_no_augmentation_is_refused(augment, error):
    with pytest.raises(error, match=r"\baugment\b"):
        fit(augment=augment)


def test_mixtures_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"\bclasses\b"):
        fit(data=make_regression(), augment=[Blend()], loss=snnx.MSE(snnx.Mean()))
    with pytest.raises(ValueError, match=r"\bmask\b"):
        fit(data=make_data(masked=True), augment=[MixUp(0.2)])
