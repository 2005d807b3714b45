"""Many models trained in one program are the models that each is trained to alone."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import assert_same_bits
from strategies import TinyES

import snnx
from snnx._errors import CheckpointError, ShapeError
from snnx.augment import DropEvents, MixUp
from snnx.data import from_spikes, stream

KEY = jax.random.key(5)
RATES = jnp.array([1e-3, 1e-2, 5e-2])
LOSS = snnx.CrossEntropy(snnx.Mean())


def make(key, threshold=None):
    k1, k2 = jax.random.split(key)
    neurons = snnx.LIF(tau=snnx.Positive(4.0), threshold=1.0 if threshold is None else snnx.Frozen(threshold))
    return snnx.Sequential([eqx.nn.Linear(5, 8, key=k1), neurons, eqx.nn.Linear(8, 3, key=k2), snnx.LI(tau=4.0)])


def data(seed=0, n=22):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    currents = rng.normal(size=(n, 6, 5)) + labels[:, None, None]
    return snnx.data.from_currents(currents.astype(np.float32), labels, sample_shape=(5,))


def models(count=3):
    return snnx.parameters.init_ensemble(make, jax.random.split(KEY, count), jnp.linspace(0.5, 1.5, count))


def fit_ensemble(stack=None, given=None, **changes):
    usual = {
        "loss": LOSS,
        "optimizer": optax.adam,
        "sweep": RATES,
        "epochs": 3,
        "batch_size": 8,
        "key": KEY,
        "progress": False,
    }
    stack, given = models() if stack is None else stack, data() if given is None else given
    return snnx.fit_ensemble(stack, given, **usual | changes)


def alone(member, **changes):
    given = {"loss": LOSS, "epochs": 3, "batch_size": 8, "key": KEY, "progress": False} | changes
    return snnx.fit(member, data(), **given)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.slow
def test_each_member_is_what_it_would_be_alone(validated):
    given = {"validation": data(1)} if validated else {}
    together = fit_ensemble(**given)
    for i, rate in enumerate(RATES.tolist()):
        check_against_fit(together, alone(snnx.parameters.member(models(), i), optimizer=optax.adam(rate), **given), i)
    losses = [record["validation_loss" if validated else "loss"] for record in together.history]
    if validated:
        assert together.best == np.argmin(np.min(losses, axis=0))
    else:
        assert together.best == np.argmin(losses[-1])


def test_what_is_frozen_differs_and_stays():
    result = fit_ensemble()
    thresholds = [snnx.value(snnx.parameters.member(result.models, i)[1].threshold) for i in range(3)]
    np.testing.assert_allclose(thresholds, [0.5, 1.0, 1.5])


@pytest.mark.slow
def test_one_optimizer_for_all_and_several_numbers_swept():
    same = fit_ensemble(optimizer=optax.adam(1e-2), sweep=None)
    swept = fit_ensemble(sweep=jnp.full(3, 1e-2))
    many = fit_ensemble(
        optimizer=lambda h: optax.adamw(h["rate"], weight_decay=h["decay"]),
        sweep={"rate": jnp.full(3, 1e-2), "decay": jnp.array([0.0, 0.0, 10.0])},
    )
    last = [np.asarray(result.history[-1]["loss"]) for result in (same, swept, many)]
    np.testing.assert_allclose(last[0], last[1], rtol=1e-5)
    np.testing.assert_allclose(last[2][:2], last[0][:2], rtol=1e-5)
    assert abs(last[2][2] - last[0][2]) > 1e-2


@pytest.mark.slow
def test_a_member_that_diverges_stands_still_and_the_others_go_on():
    stack = models()
    stack = eqx.tree_at(lambda m: m.layers[2].weight, stack, stack[2].weight.at[1].set(1e38))
    result = fit_ensemble(stack, optimizer=optax.sgd, sweep=jnp.full(3, 1e-2), epochs=2)
    assert result.failed[0] == result.failed[2] == -1
    assert 0 <= result.failed[1] < 6
    np.testing.assert_array_equal(result.models[2].weight[1], stack[2].weight[1])
    one = alone(snnx.parameters.member(stack, 0), optimizer=optax.sgd(1e-2), epochs=2)
    np.testing.assert_allclose(result.history[-1]["loss"][0], one.history[-1]["loss"], rtol=1e-4)
    assert "1 of them not finite" in str(result)


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path):
    path = tmp_path / "ensemble.npz"
    settings = {"validation": data(1)}
    fit_ensemble(epochs=2, callbacks=[snnx.Checkpoint(path), snnx.train.LogFile(tmp_path / "log.jsonl")], **settings)
    whole, resumed = fit_ensemble(epochs=4, **settings), fit_ensemble(epochs=4, resume=path, **settings)
    from_result = fit_ensemble(epochs=4, resume=fit_ensemble(epochs=2, **settings), **settings)
    for again in (resumed, from_result):
        for a, b in zip(*map(jax.tree.leaves, (again.models, whole.models)), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [r["loss"] for r in again.history] == [r["loss"] for r in whole.history]
        assert again.best_epoch == whole.best_epoch
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["loss"] for r in logged] == [r["loss"] for r in whole.history[:2]]


def test_a_second_call_compiles_nothing():
    fit_ensemble(epochs=1)
    with programs(0):
        fit_ensemble(models(), epochs=2)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: fit_ensemble(make(KEY)), ShapeError, "members"),
        (lambda: fit_ensemble(sweep=RATES[:2]), ShapeError, "sweep"),
        (lambda: fit_ensemble(sweep=[1, 2, 3]), ShapeError, "sweep"),
        (lambda: fit_ensemble(epochs=0), ValueError, "epochs"),
        (lambda: fit_ensemble(batch_size=100), ValueError, "batch_size"),
        (lambda: fit_ensemble(key=0), TypeError, "key"),
        (lambda: fit_ensemble(callbacks=[1]), TypeError, "callbacks"),
        (lambda: fit_ensemble(optimizer=3.0, sweep=None), TypeError, "optimizer"),
        (lambda: fit_ensemble(optimizer=optax.adam(0.1)), TypeError, "optimizer"),
        (lambda: fit_ensemble(optimizer=optax.adam, sweep=None), TypeError, "optimizer"),
        (lambda: fit_ensemble(loss=3), TypeError, "loss"),
        (lambda: fit_ensemble(augment=[1]), TypeError, "augment"),
        (lambda: fit_ensemble(trainable=lambda m: jax.tree.map(lambda _: False, m)), ValueError, "trainable"),
        (
            lambda: fit_ensemble(validation=dataclasses.replace(data(1), classes=tuple("abcd"))),
            ValueError,
            "validation",
        ),
        (lambda: fit_ensemble(resume=3), TypeError, "resume"),
        (lambda: fit_ensemble(resume=alone(make(KEY), optimizer=optax.adam(1e-2), epochs=1)), TypeError, "resume"),
    ],
)
def test_what_is_wrong_is_said(call, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        call()


@pytest.mark.slow
def test_it_stops_early_when_no_member_gets_better():
    settings = {"epochs": 30, "sweep": jnp.array([1e-5, 0.5, 1.0]), "validation": data(1)}
    result = fit_ensemble(callbacks=[snnx.EarlyStopping(2)], **settings)
    epochs = len(result.history)
    losses = np.asarray([record["validation_loss"] for record in result.history])
    best = losses.argmin(axis=0) + 1
    assert list(best) == list(result.best_epoch) == result.history[-1]["best_epoch"]
    assert epochs == 30 or epochs - best.max() == 2


def test_a_run_with_another_sweep_is_not_gone_on_with(tmp_path):
    path = tmp_path / "ensemble.npz"
    result = fit_ensemble(epochs=1, callbacks=[snnx.Checkpoint(path)])
    for resume in (path, result):
        for other, name in (
            ({"sweep": 2 * RATES}, "sweep"),
            ({"batch_size": 4}, "batch_size"),
            ({"augment": [DropEvents(0.1)]}, "augment"),
            ({"optimizer": optax.sgd}, "optimizer"),
            ({"key": jax.random.key(1)}, "key"),
        ):
            with programs(0), pytest.raises(CheckpointError, match=rf"\b{name}\b"):
                fit_ensemble(epochs=4, resume=resume, **other)


# What `fit` takes, an ensemble takes too


def check_against_fit(together, one, index=0):
    """A member's figures and parameters against those of a run of its own."""
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        if name in one.history[0]:
            found = [record[name][index] for record in together.history]
            np.testing.assert_allclose(found, [record[name] for record in one.history], rtol=2e-4, atol=1e-5)
    assert together.best_epoch[index] == one.best_epoch
    member = snnx.parameters.member(together.models, index)
    for a, b in zip(*map(jax.tree.leaves, (member, one.model)), strict=True):
        if eqx.is_array(a):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_an_ensemble_of_one_with_augmentation_is_fit_with_augmentation():
    stack, mixed = models(1), [DropEvents(0.3), MixUp(0.4)]
    rounded = from_spikes(np.asarray(data().inputs.values) > 0.5, np.asarray(data().targets), sample_shape=(5,))
    settings = {"loss": LOSS, "epochs": 2, "batch_size": 8, "key": KEY, "progress": False}
    together = snnx.fit_ensemble(stack, rounded, optimizer=optax.adam(1e-2), augment=mixed, **settings)
    member = snnx.parameters.member(stack, 0)
    check_against_fit(together, snnx.fit(member, rounded, optimizer=optax.adam(1e-2), augment=mixed, **settings))
    plain = snnx.fit_ensemble(stack, rounded, optimizer=optax.adam(1e-2), **settings)
    assert abs(plain.history[0]["loss"][0] - together.history[0]["loss"][0]) > 1e-3


@pytest.mark.slow
def test_each_member_is_what_it_would_be_alone_on_a_stream():
    settings = {"epochs": 2, "validation": stream(data(1), 9)}
    together = fit_ensemble(given=stream(data(), 10), **settings)
    member = snnx.parameters.member(models(), 1)
    given = {"loss": LOSS, "batch_size": 8, "key": KEY, "progress": False, "optimizer": optax.adam(float(RATES[1]))}
    check_against_fit(together, snnx.fit(member, stream(data(), 10), **given, **settings), 1)


def test_the_validation_of_a_stream_is_that_of_its_data_set():
    of_set, of_stream = (fit_ensemble(epochs=1, validation=given).history[0] for given in (data(1), stream(data(1), 9)))
    np.testing.assert_allclose(of_stream["validation_loss"], of_set["validation_loss"], rtol=1e-5)
    assert of_stream["validation_accuracy"] == of_set["validation_accuracy"]
    assert of_stream["loss"] == of_set["loss"]


class StopAt(snnx.train.AbstractCallback):
    """Raise at this place, as if the process had been killed."""

    def __init__(self, *place):
        self.place = place

    def after_segment(self, snapshot):
        if snapshot.state.place == self.place:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_that_is_killed_within_an_epoch_resumes_bit_for_bit(tmp_path, monkeypatch):
    """Of three members one has failed by then: it stands still, and is told of by the step that it failed at."""
    monkeypatch.setattr("snnx.train._run.SEGMENT_SECONDS", 0.0)  # every step is a segment
    path = tmp_path / "ensemble.npz"
    stack = models()
    stack = eqx.tree_at(lambda m: m.layers[2].weight, stack, stack[2].weight.at[1].set(1e38))
    settings = {"epochs": 3, "validation": data(1), "optimizer": optax.sgd}
    whole = fit_ensemble(stack, **settings)
    assert [step >= 0 for step in whole.failed] == [False, True, False]
    with pytest.raises(KeyboardInterrupt):
        fit_ensemble(stack, callbacks=[snnx.Checkpoint(path, every=0.0), StopAt(1, 2)], **settings)
    again = fit_ensemble(stack, resume=path, **settings)
    assert_same_bits(again.state, whole.state)
    assert_same_bits(again.models, whole.models)
    for a, b in zip(again.history, whole.history, strict=True):
        np.testing.assert_array_equal(a["loss"], b["loss"])
    assert (again.failed, again.best_epoch) == (whole.failed, whole.best_epoch)


def test_a_member_that_fails_later_is_told_of_by_its_step_over_all_epochs():
    """Of three steps an epoch: the optimiser of the second member fails at its fifth step."""

    def failing(at):
        sgd = optax.sgd(1e-2)

        def update(grads, state, params=None):
            inner, count = state
            updates, inner = sgd.update(grads, inner, params)
            return jax.tree.map(lambda u: jnp.where(count == at, jnp.nan, u), updates), (inner, count + 1)

        return optax.GradientTransformation(lambda params: (sgd.init(params), jnp.zeros((), jnp.int32)), update)

    result = fit_ensemble(optimizer=failing, sweep=jnp.array([-1, 4, -1]))
    assert result.failed == (-1, 4, -1)
    one = alone(snnx.parameters.member(models(), 1), optimizer=optax.sgd(1e-2), epochs=1)
    np.testing.assert_allclose(result.history[0]["loss"][1], one.history[0]["loss"], rtol=1e-4)


@pytest.mark.slow
def test_an_ensemble_learns_by_evolution():
    strategy = TinyES(8, snnx.partition(snnx.parameters.member(models(), 0))[0], std=0.2)
    result = fit_ensemble(models(2), optimizer=strategy, sweep=None, epochs=40, batch_size=22)
    first, last = (np.asarray(result.history[i]["loss"]) for i in (0, -1))
    assert (last < 0.9 * first).all()


def test_a_slope_is_not_trained_by_gradient():
    stack = models()
    slopes = snnx.surrogates.ATan(jnp.full(3, 2.0))
    stack = eqx.tree_at(lambda m: m.layers[1].surrogate, stack, slopes)
    with pytest.raises(ValueError, match=r"\.surrogate"):
        fit_ensemble(stack)
