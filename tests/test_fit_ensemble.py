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

import snnx
from snnx._errors import CheckpointError, ShapeError

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


def fit_ensemble(stack=None, **changes):
    given = {
        "loss": LOSS,
        "optimizer": optax.adam,
        "sweep": RATES,
        "epochs": 3,
        "batch_size": 8,
        "key": KEY,
        "progress": False,
    } | changes
    return snnx.fit_ensemble(models() if stack is None else stack, data(), **given)


def alone(member, **changes):
    given = {"loss": LOSS, "epochs": 3, "batch_size": 8, "key": KEY, "progress": False} | changes
    return snnx.fit(member, data(), **given)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.slow
def test_each_member_is_what_it_would_be_alone(validated):
    given = {"validation": data(1)} if validated else {}
    together = fit_ensemble(**given)
    for i, rate in enumerate(RATES.tolist()):
        one = alone(snnx.parameters.member(models(), i), optimizer=optax.adam(rate), **given)
        for name in ("loss", "accuracy", *(("validation_loss", "validation_accuracy") if validated else ())):
            found = [record[name][i] for record in together.history]
            np.testing.assert_allclose(found, [record[name] for record in one.history], rtol=2e-4, atol=1e-5)
        assert together.best_epoch[i] == one.best_epoch
        for a, b in zip(*map(jax.tree.leaves, (snnx.parameters.member(together.models, i), one.model)), strict=True):
            if eqx.is_array(a):
                np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
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
    with pytest.raises(CheckpointError, match=r"\bcall\b"):
        fit_ensemble(batch_size=4, resume=path, **settings)
    with pytest.raises(CheckpointError, match="another key"):
        fit_ensemble(key=jax.random.key(1), resume=path, **settings)


def test_a_second_call_compiles_nothing():
    fit_ensemble(epochs=1)
    with programs(0):
        fit_ensemble(models(), epochs=2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fit_ensemble(make(KEY)), ShapeError, "expected a stack of models, of one length"),
        (lambda: fit_ensemble(sweep=RATES[:2]), ShapeError, r"sweep has float32\[2\], but there are 3 models"),
        (lambda: fit_ensemble(sweep=[1, 2, 3]), ShapeError, "sweep has int 1, but there are 3 models"),
        (lambda: fit_ensemble(epochs=0), ValueError, "epochs is 0, expected a whole number >= 1"),
        (lambda: fit_ensemble(batch_size=100), ValueError, "batch_size is 100, but the data set has 22 examples"),
        (lambda: fit_ensemble(key=0), TypeError, "fit_ensemble: key is int 0"),
        (lambda: fit_ensemble(callbacks=[1]), TypeError, r"fit_ensemble: callbacks\[0\] is int 1"),
        (lambda: fit_ensemble(optimizer=3.0, sweep=None), TypeError, "fit_ensemble: optimizer is float 3.0"),
        (lambda: fit_ensemble(optimizer=optax.adam(0.1)), TypeError, "optimizer is one for all"),
        (lambda: fit_ensemble(optimizer=optax.adam, sweep=None), TypeError, "is a function; pass sweep="),
        (lambda: fit_ensemble(loss=3), TypeError, "fit_ensemble: loss is 3"),
        (
            lambda: fit_ensemble(trainable=lambda m: jax.tree.map(lambda _: False, m)),
            ValueError,
            "there is nothing to train",
        ),
    ],
)
def test_what_is_wrong_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="fit_ensemble, validation"):
        fit_ensemble(validation=dataclasses.replace(data(1), classes=("a", "b", "c", "d")))


@pytest.mark.slow
def test_it_stops_early_when_no_member_gets_better():
    settings = {"epochs": 30, "sweep": jnp.array([1e-5, 0.5, 1.0]), "validation": data(1)}
    result = fit_ensemble(callbacks=[snnx.EarlyStopping(2)], **settings)
    epochs = len(result.history)
    losses = np.asarray([record["validation_loss"] for record in result.history])
    best = losses.argmin(axis=0) + 1
    assert list(best) == list(result.best_epoch) == result.history[-1]["best_epoch"]
    assert epochs == 30 or epochs - best.max() == 2


def test_a_run_with_another_sweep_is_not_gone_on_with():
    with pytest.raises(CheckpointError, match=r"\bresume\b"):
        fit_ensemble(sweep=2 * RATES, epochs=4, resume=fit_ensemble(epochs=1))
    with pytest.raises(TypeError, match=r"\bresume\b"):
        fit_ensemble(resume=3)
