"""Training: against a loop written by hand, and against what a training loop must never do."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import (
    CLASSES,
    EXAMPLES,
    FEATURES,
    HIDDEN,
    READOUT_TAU,
    STEPS,
    TAU,
    THRESHOLD,
    assert_same_bits,
    differs,
    fit,
    make_arrays,
    make_data,
    make_mask,
    make_model,
    make_regression,
    numpy_cross_entropy,
    scored,
)

import snnx
from snnx._errors import DtypeError, NonFiniteError, ShapeError
from snnx.train import AbstractCallback

BATCH = 8
BATCHES = 3  # of 23 examples: 8, 8 and 7


# A training loop by hand: batches one after the other in Python, a network in plain equations with a batch axis, its
# own spike with its own derivative, and short batches that are short.


@jax.custom_vjp
def spike(u):
    return jnp.where(u > 0, 1.0, 0.0).astype(u.dtype)


spike.defvjp(lambda u: (spike(u), u), lambda u, g: (g / (1 + (jnp.pi * u) ** 2),))


def forward(p, xs, mask, truncate=None):
    """Mean of the readout `[batch, classes]`, and rates of the hidden neurons `[batch, hidden]`."""
    batch = xs.shape[0]
    v, out = jnp.zeros((batch, HIDDEN), xs.dtype), jnp.zeros((batch, CLASSES), xs.dtype)
    total, rates = jnp.zeros_like(out), jnp.zeros_like(v)
    keep, keep_out = jnp.exp(-1 / p["tau"])[None], np.exp(-1 / READOUT_TAU)
    for t in range(xs.shape[1]):
        if truncate and t and t % truncate == 0:
            v, out = jax.lax.stop_gradient((v, out))
        live = mask[:, t, None]
        u = keep * v + xs[:, t] @ p["w1"].T + p["b1"][None]
        s = spike(u - THRESHOLD)
        v = jnp.where(live, u - s * THRESHOLD, v)
        out = jnp.where(live, keep_out * out + s @ p["w2"].T + p["b2"][None], out)
        total, rates = total + out * live, rates + s * live
    steps = mask.sum(axis=1, keepdims=True)
    return total / steps, rates / steps


def batch_loss(p, xs, mask, labels, limit, truncate):
    logits, rates = forward(p, xs, mask, truncate)
    normal = jnp.max(logits, axis=1, keepdims=True)
    log_sum = normal[:, 0] + jnp.log(jnp.sum(jnp.exp(logits - normal), axis=1))
    losses = log_sum - logits[jnp.arange(len(labels)), labels]
    if limit is not None:
        losses = losses + 0.5 * jnp.mean(jnp.maximum(rates - limit, 0.0) ** 2, axis=1)
    return losses.mean(), (losses.sum(), jnp.sum(logits.argmax(axis=1) == labels))


hand_gradient = jax.jit(jax.value_and_grad(batch_loss, has_aux=True), static_argnums=(4, 5))


def weights_of(model):
    first, lif, last, _ = model.layers
    return {"w1": first.weight, "b1": first.bias, "tau": lif.tau, "w2": last.weight, "b2": last.bias}


def train_by_hand(model, optimizer, epochs, key, *, mask=None, limit=None, truncate=None, dtype=np.float32):
    spikes, labels = make_arrays()
    mask = np.ones((EXAMPLES, STEPS), bool) if mask is None else mask
    p = weights_of(model)
    opt_state = optimizer.init(p)
    history = []
    for epoch in range(epochs):
        key_order, _ = jax.random.split(jax.random.fold_in(key, epoch))
        order = np.asarray(jax.random.permutation(key_order, EXAMPLES))
        loss = right = 0.0
        for start in range(0, EXAMPLES, BATCH):
            chosen = order[start : start + BATCH]
            (_, (total, correct)), grads = hand_gradient(
                p, spikes[chosen].astype(dtype), mask[chosen], labels[chosen], limit, truncate
            )
            updates, opt_state = optimizer.update(grads, opt_state, p)
            p = optax.apply_updates(p, updates)
            loss, right = loss + float(total), right + int(correct)
        history.append((loss / EXAMPLES, right / EXAMPLES))
    return p, history


def far(a, b):
    """The largest distance of two arrays."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def learnable_model():
    return make_model(tau=jnp.full(HIDDEN, TAU))


def check_against_hand(optimizer, epochs=1, masked=False, limit=None, truncate=None, rtol=1e-5, **settings):
    key = jax.random.key(11)
    model, data = learnable_model(), make_data(masked=masked)
    loss = snnx.CrossEntropy(snnx.Mean())
    if limit is not None:
        loss = loss + 0.5 * snnx.UpperRate(limit)
    result = fit(model, data, loss=loss, optimizer=optimizer, epochs=epochs, key=key, truncate=truncate, **settings)
    mask = make_mask() if masked else None
    dtype = np.asarray(weights_of(model)["w1"]).dtype
    expected, history = train_by_hand(
        model, optimizer, epochs, key, mask=mask, limit=limit, truncate=truncate, dtype=dtype
    )
    start, got = weights_of(model), weights_of(result.model)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=rtol, atol=rtol, err_msg=name)
        assert far(value, start[name]) > 10 * rtol, f"{name} has hardly moved"
    assert [record["epoch"] for record in result.history] == list(range(1, epochs + 1))
    for record, (mean_loss, accuracy) in zip(result.history, history, strict=True):
        np.testing.assert_allclose(record["loss"], mean_loss, rtol=1e-5)
        np.testing.assert_allclose(record["accuracy"], accuracy, rtol=1e-6)
    assert int(result.state.epoch) == epochs
    assert int(result.state.position) == 0
    return result


def test_two_epochs_equal_a_loop_by_hand():
    check_against_hand(optax.adam(1e-2), epochs=2)


@pytest.mark.slow
def test_padded_sequences_and_regularisers_equal_a_loop_by_hand():
    check_against_hand(optax.adam(1e-2), epochs=2, masked=True, limit=0.05)


@pytest.mark.slow
def test_truncated_backpropagation_equals_a_loop_by_hand():
    check_against_hand(optax.sgd(0.5), truncate=2)
    truncated, whole = (
        train_by_hand(learnable_model(), optax.sgd(0.5), 1, jax.random.key(11), truncate=n)[0] for n in (2, None)
    )
    assert all(far(truncated[name], whole[name]) > 1e-3 for name in ("w1", "w2"))


@pytest.mark.slow
def test_double_precision_equals_a_loop_by_hand(x64):
    result = check_against_hand(optax.adam(1e-2), epochs=2, rtol=1e-10)
    assert weights_of(result.model)["w1"].dtype == jnp.float64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make_optimizer", "epochs"),
    [
        (lambda: optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(5.0)), 1),
        (lambda: optax.adamw(optax.cosine_decay_schedule(3e-2, 5), weight_decay=0.1), 2),
        (lambda: optax.MultiSteps(optax.adam(3e-2), 2).gradient_transformation(), 2),
        (lambda: optax.inject_hyperparams(optax.adam)(learning_rate=1e-2, b1=0.8), 1),
    ],
    ids=["clipping", "schedule", "accumulation", "hyperparameters"],
)
def test_what_optax_offers_works_as_by_hand(make_optimizer, epochs):
    check_against_hand(make_optimizer(), epochs=epochs)


@pytest.mark.slow
def test_half_precision_trains():
    half, single = snnx.cast(learnable_model(), jnp.bfloat16), learnable_model()
    result, expected = (fit(model, epochs=3, optimizer=optax.adam(1e-2)) for model in (half, single))
    for name, value in weights_of(result.model).items():
        assert value.dtype == jnp.bfloat16, name
        assert differs(value, weights_of(half)[name])
    losses, expected_losses = ([record["loss"] for record in r.history] for r in (result, expected))
    np.testing.assert_allclose(losses, expected_losses, rtol=0.03)
    assert losses[2] < losses[0]


def test_training_learns():
    result = fit(epochs=60, optimizer=optax.adam(2e-2))
    assert result.history[0]["accuracy"] < 0.7
    assert result.history[-1]["accuracy"] >= 0.9
    assert snnx.evaluate(result.model, make_data()).accuracy >= 0.9


# Keys, order, keys of examples


class Visited(snnx.losses.AbstractLoss):
    """Its value is the example's target, whose number it thus tells; its gradient is that of the output's mean."""

    readout: snnx.reductions.AbstractReduction = snnx.Mean()

    def __call__(self, reduced, target, *, record):
        return target[0] + 0.0 * reduced.mean()


class Positions(AbstractCallback):
    """The sums so far, after every step."""

    def __init__(self):
        self.sums = []

    def after_segment(self, run):
        self.sums.append((int(run.state.epoch), int(run.state.position), float(run.state.totals.loss)))


def numbered_data():
    """Target i of example i is 2**i: a sum over a batch tells who was in it."""
    currents = np.ones((EXAMPLES, STEPS, FEATURES), np.float32)
    targets = np.repeat(2.0 ** np.arange(EXAMPLES)[:, None], CLASSES, axis=1)
    return snnx.data.from_currents(currents, targets, sample_shape=(FEATURES,))


def first_batches(key, epochs, monkeypatch):
    """Who is in the first batch of every epoch."""
    monkeypatch.setattr("snnx.train._epochs.SEGMENT_SECONDS", 1e-9)
    seen = Positions()
    result = fit(
        make_model(),
        numbered_data(),
        loss=Visited(),
        optimizer=optax.sgd(0.0),
        epochs=epochs,
        key=key,
        callbacks=[seen],
    )
    # Every epoch every example once: the sum of all powers of two, in floats that hold it exactly.
    assert [round(record["loss"] * EXAMPLES) for record in result.history] == [2**EXAMPLES - 1] * epochs
    assert [record["accuracy"] for record in result.history] == [None] * epochs
    sums = [int(total) for _, position, total in seen.sums if position == 1]
    return [frozenset(i for i in range(EXAMPLES) if total >> i & 1) for total in sums]


def test_every_epoch_has_another_order_which_follows_from_the_key(monkeypatch):
    first = first_batches(jax.random.key(1), 5, monkeypatch)
    again = first_batches(jax.random.key(1), 5, monkeypatch)
    other = first_batches(jax.random.key(2), 5, monkeypatch)
    assert all(len(batch) == BATCH for batch in first)
    assert len(set(first)) == 5
    assert first == again
    assert not set(first) & set(other)


def test_the_same_key_gives_the_same_parameters_and_another_key_others():
    first, again, other = (fit(epochs=2, key=jax.random.key(seed)) for seed in (1, 1, 2))
    assert_same_bits(first.model, again.model)
    assert_same_bits(first.state.opt_state, again.state.opt_state)
    assert differs(first.model, other.model)


def dropout_model():
    model = make_model()
    return snnx.Sequential([model[0], eqx.nn.Dropout(0.4), eqx.nn.Linear(HIDDEN, CLASSES, key=jax.random.key(5))])


def linear_by_hand(model, spikes, keep):
    """Mean output of `dropout_model`, with the factor that every hidden channel keeps."""
    first, _, last = model.layers
    w1, b1, w2, b2 = (np.float64(x) for x in (first.weight, first.bias, last.weight, last.bias))
    return ((spikes @ w1.T + b1) * keep @ w2.T + b2).mean(axis=0)


def test_dropout_draws_a_mask_an_example_and_step_in_training_and_none_afterwards():
    model, key = dropout_model(), jax.random.key(4)
    spikes, labels = make_arrays()
    result = fit(model, optimizer=optax.sgd(0.0), epochs=2, key=key)
    for epoch, record in enumerate(result.history):
        key_order, key_steps = jax.random.split(jax.random.fold_in(key, epoch))
        order = np.asarray(jax.random.permutation(key_order, EXAMPLES))
        losses = []
        for number, start in enumerate(range(0, EXAMPLES, BATCH)):
            keys = jax.random.split(jax.random.fold_in(key_steps, number), BATCH)
            for index, sample_key in zip(order[start : start + BATCH], keys, strict=False):
                kept = jax.random.bernoulli(jax.random.fold_in(sample_key, 1), 0.6, (HIDDEN,))
                logits = linear_by_hand(model, spikes[index], np.asarray(kept) / 0.6)
                losses.append(numpy_cross_entropy(logits, labels[index]))
        np.testing.assert_allclose(record["loss"], np.mean(losses), rtol=1e-5)
    assert result.model.layers[1].inference
    assert not result.state.model.layers[1].inference
    assert not model.layers[1].inference
    silent = [numpy_cross_entropy(linear_by_hand(model, x, 1.0), y) for x, y in zip(spikes, labels, strict=True)]
    for trained in (result.model, model):  # evaluate switches a model in training mode to inference
        np.testing.assert_allclose(snnx.evaluate(trained, make_data()).losses, silent, rtol=1e-5)


def test_a_model_in_inference_mode_is_trained_in_training_mode():
    model, settings = dropout_model(), {"optimizer": optax.sgd(0.1), "key": jax.random.key(4)}
    assert_same_bits(fit(eqx.nn.inference_mode(model), **settings).model, fit(model, **settings).model)


# Compiling


def test_training_compiles_once():
    def call(data, batch_size=BATCH, chunk=None, **settings):
        # Everything is made anew: model, optimiser with its closures, loss.
        model = make_model(between=(lambda x: jnp.tanh(3.0 * x),))
        loss = snnx.CrossEntropy(snnx.Mean()) + 0.1 * snnx.UpperRate(0.5)
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(1e-2, 0.0, 100)))
        return fit(model, data, loss=loss, optimizer=optimizer, batch_size=batch_size, chunk=chunk, **settings)

    with programs(1):
        first = call(make_data(29), epochs=4)
    with programs(0):
        call(make_data(29), epochs=2, key=jax.random.key(1))
        call(
            make_data(29), epochs=3, resume=call(make_data(29), epochs=2, key=jax.random.key(1)), key=jax.random.key(1)
        )
    with programs(0):  # data are arguments: others of the same shape need no compiling, and train another model
        other = call(make_data(29, seed=1), epochs=4)
        assert differs(first.model, other.model)
    with programs(1):
        call(make_data(29), batch_size=7)
    with programs(1):
        chunked = call(make_data(29), chunk=2, keep="all", epochs=4)
    whole, cut = (jax.tree.leaves(eqx.filter(r.model, eqx.is_array)) for r in (first, chunked))
    for got, expected in zip(cut, whole, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_validation_compiles_once():
    settings = {"validation": make_data(10, seed=3)}
    fit(epochs=1, **settings)
    with programs(0):
        fit(epochs=3, **settings)


@pytest.mark.slow
def test_the_learning_rate_is_no_part_of_what_is_the_same():
    slow, fast = fit(optimizer=optax.sgd(0.0)), fit(optimizer=optax.sgd(0.1))
    assert not differs(slow.model, make_model())
    assert differs(fast.model, slow.model)


# Buffers


def test_the_users_model_survives():
    model, key, data = make_model(), jax.random.key(7), make_data()
    before = jax.tree.map(np.asarray, eqx.filter(model, eqx.is_array))
    spikes = np.asarray(data.inputs.packed)
    result = fit(model, data, epochs=2, key=key, validation=data)
    again = fit(model, data, epochs=3, key=key, validation=data, resume=result)
    for tree in (model, data, key, result.model, result.state, again.model, again.state):
        for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)):
            assert not leaf.is_deleted()
    assert_same_bits(eqx.filter(model, eqx.is_array), before)
    np.testing.assert_array_equal(data.inputs.packed, spikes)
    assert differs(result.model, model)


@pytest.mark.slow
def test_two_leaves_of_one_buffer_are_two_parameters():
    shared = jnp.full(HIDDEN, TAU)
    twice = eqx.tree_at(lambda m: (m.layers[0].bias, m.layers[1].tau), make_model(tau=shared), (shared, shared))
    apart = eqx.tree_at(lambda m: m.layers[0].bias, make_model(tau=shared), shared + 0.0)
    optimizer = optax.sgd(0.5)
    trained = fit(twice, optimizer=optimizer)
    assert_same_bits(trained.model, fit(apart, optimizer=optimizer).model)
    assert differs(trained.model.layers[0].bias, trained.model.layers[1].tau)
    assert not shared.is_deleted()


def test_segments_leave_no_trace(monkeypatch):
    class Counted(AbstractCallback):
        segments = 0

        def after_segment(self, run):
            self.segments += 1

    whole, cut = Counted(), Counted()
    expected = fit(epochs=3, validation=make_data(10, seed=3), callbacks=[whole])
    monkeypatch.setattr("snnx.train._epochs.SEGMENT_SECONDS", 1e-9)
    with programs(0):
        got = fit(epochs=3, validation=make_data(10, seed=3), callbacks=[cut])
    assert cut.segments == 3 * (BATCHES - 1)
    assert whole.segments < cut.segments
    assert_same_bits(got.state, expected.state)
    assert_same_bits(got.model, expected.model)


# What is trained


@pytest.mark.slow
def test_only_what_is_trainable_moves():
    def all_but_the_first(model):
        return eqx.tree_at(lambda m: m.layers[0], snnx.trainable(model), replace=False)

    model = make_model(tau=snnx.Frozen(jnp.full(HIDDEN, TAU)), surrogate=snnx.surrogates.ATan(snnx.Frozen(2.0)))
    optimizer = optax.adamw(1e-2, weight_decay=10.0)
    trained = fit(model, optimizer=optimizer, epochs=2, trainable=all_but_the_first).model
    assert_same_bits(trained.layers[0], model.layers[0])
    assert_same_bits(trained.layers[1], model.layers[1])
    for name in ("weight", "bias"):
        assert differs(getattr(trained.layers[2], name), getattr(model.layers[2], name))
    # By default the first layer moves too, and what is frozen still does not.
    trained = fit(model, optimizer=optimizer, epochs=2).model
    assert differs(trained.layers[0], model.layers[0])
    assert_same_bits(trained.layers[1], model.layers[1])


@pytest.mark.parametrize("slope", [jnp.asarray(2.0), jnp.full(HIDDEN, 2.0), snnx.Positive(jnp.full(HIDDEN, 2.0))])
def test_a_slope_is_not_trained_by_gradient(slope):
    model = make_model(surrogate=snnx.surrogates.ATan(slope))
    with programs(0), pytest.raises(ValueError, match=r"fit: \.layers\[1\]\.surrogate \(ATan\) has an array parameter"):
        fit(model)


def test_there_must_be_something_to_train():
    with pytest.raises(ValueError, match=r"fit: there is nothing to train"):
        fit(trainable=lambda model: jax.tree.map(lambda _: False, model))
    constant = snnx.Sequential([eqx.nn.Lambda(lambda x: x[:CLASSES]), snnx.LI()])
    with pytest.raises(ValueError, match=r"fit: there is nothing to train"):
        fit(constant)
    counted = make_model(between=(Counter(jnp.zeros((), jnp.int32)),))
    with pytest.raises(TypeError, match=r"fit: trainable marks something that is no array of floats"):
        fit(counted, trainable=lambda model: jax.tree.map(eqx.is_array, model))


class Counter(eqx.Module):
    """A layer with an array that is no float."""

    count: jax.Array

    def __call__(self, x):
        return x + self.count


# What is not finite


class Explosion(AbstractCallback):
    """Stops a run as if someone had: before the step at `epoch`, `position` (from 0 on)."""

    def __init__(self, epoch, position):
        self.place, self.state = (epoch, position), None

    def before(self, run):
        self._look(run)

    def after_segment(self, run):
        self._look(run)

    def after_epoch(self, run):
        self._look(run)

    def _look(self, run):
        if (int(run.state.epoch), int(run.state.position)) == self.place:
            self.state = run.state
            raise KeyboardInterrupt


def exploding(bad, at):
    """Adam, whose update number `at` (from 0 on) is `bad` in one element."""
    adam = optax.adam(1e-2)

    def init(params):
        return adam.init(params), jnp.zeros((), jnp.int32)

    def update(grads, state, params=None):
        inner, count = state
        updates, inner = adam.update(grads, inner, params)
        leaves, tree = jax.tree.flatten(updates)
        leaves[-1] = leaves[-1].at[-1].set(jnp.where(count == at, bad, leaves[-1][-1]))
        return jax.tree.unflatten(tree, leaves), (inner, count + 1)

    return optax.GradientTransformation(init, update)


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "at"), [(jnp.nan, 4), (jnp.inf, 0)])
def test_an_update_that_is_not_finite_stops_the_run_before_it(bad, at, monkeypatch):
    epoch, position = divmod(at, BATCHES)
    optimizer = exploding(bad, at)
    with pytest.raises(NonFiniteError, match=rf"not finite in epoch {epoch + 1}, step {position + 1}\.") as caught:
        fit(optimizer=optimizer, epochs=4)
    monkeypatch.setattr("snnx.train._epochs.SEGMENT_SECONDS", 1e-9)
    stop = Explosion(epoch, position)
    with pytest.raises(KeyboardInterrupt):
        fit(optimizer=optimizer, epochs=4, callbacks=[stop])
    assert_same_bits(caught.value.state, stop.state)
    if at:
        assert differs(caught.value.state.model, make_model())
    for leaf in jax.tree.leaves(eqx.filter(caught.value.state, eqx.is_inexact_array)):
        assert np.all(np.isfinite(leaf))


class Fragile(snnx.losses.AbstractLoss):
    """Not finite for an example whose target is huge."""

    readout: snnx.reductions.AbstractReduction = snnx.Mean()

    def __call__(self, reduced, target, *, record):
        loss = jnp.mean((reduced - jnp.minimum(target, 1.0)) ** 2)
        return jnp.where(target[0] > 1e3, -jnp.inf, loss)


def test_a_loss_that_is_not_finite_stops_the_run_before_it(monkeypatch):
    currents = np.asarray(make_regression().inputs.values)
    targets = np.asarray(make_regression().targets).copy()
    targets[11] = 1e6
    data = snnx.data.from_currents(currents, targets, sample_shape=(FEATURES,))

    def place(seed):
        key_order, _ = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
        order = np.asarray(jax.random.permutation(key_order, EXAMPLES))
        return int(np.flatnonzero(order == 11)[0]) // BATCH

    seed = next(seed for seed in range(100) if place(seed) == 1)
    with pytest.raises(NonFiniteError, match=r"\bparameters\b") as caught:
        fit(data=data, loss=Fragile(), key=jax.random.key(seed))
    monkeypatch.setattr("snnx.train._epochs.SEGMENT_SECONDS", 1e-9)
    stop = Explosion(0, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(data=data, loss=Fragile(), key=jax.random.key(seed), callbacks=[stop])
    assert_same_bits(caught.value.state, stop.state)


# Validation


def scripted(scores):
    """`score`, with these (accuracy, loss) one after the other."""
    left = iter(scores)

    def score(*arguments):
        accuracy, loss = next(left)
        return scored(loss, accuracy)

    return score


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0.5, 1.0), (0.7, 0.9), (0.9, 0.95), (0.6, 0.5), (0.7, 0.5)], [1, 2, 2, 4, 4]),
        ([(None, np.nan), (None, np.nan), (None, 2.0), (None, np.nan), (None, 1.0)], [1, 2, 3, 3, 5]),
    ],
    ids=["finite", "not all finite"],
)
def test_the_best_epoch_has_the_lowest_validation_loss(scores, best, monkeypatch):
    alone = fit(epochs=best[-1])
    monkeypatch.setattr("snnx.train._evaluate.Scoring.__call__", scripted(scores))
    result = fit(epochs=len(scores), validation=make_data(10, seed=3))
    assert [record["best_epoch"] for record in result.history] == best
    assert result.best_epoch == best[-1]
    assert_same_bits(eqx.filter(result.model, eqx.is_array), eqx.filter(alone.model, eqx.is_array))
    assert_same_bits(eqx.filter(result.state.best, eqx.is_array), eqx.filter(alone.model, eqx.is_array))
    assert [record["validation_loss"] for record in result.history] == pytest.approx(
        [s[1] for s in scores], nan_ok=True
    )


def test_validation_scores_the_model_of_each_epoch_and_changes_nothing():
    valid = make_data(10, seed=3)
    result = fit(epochs=3, validation=valid)
    for epoch, record in enumerate(result.history, start=1):
        alone = fit(epochs=epoch)
        scored = snnx.evaluate(alone.model, valid)
        assert record["validation_loss"] == pytest.approx(scored.loss, rel=1e-6)
        assert record["validation_accuracy"] == scored.accuracy
        assert record["loss"] == alone.history[-1]["loss"]
    assert_same_bits(result.state.model, alone.state.model)


def test_without_validation_the_last_model_is_returned():
    result = fit(epochs=2)
    assert result.best_epoch == 2
    assert result.state.best is None
    assert_same_bits(eqx.filter(result.model, eqx.is_array), eqx.filter(result.state.model, eqx.is_array))
    assert set(result.history[0]) == {"epoch", "loss", "accuracy", "seconds", "samples_per_second", "best_epoch"}


def test_regression_has_no_accuracy():
    data = make_regression()
    result = fit(data=data, loss=snnx.MSE(snnx.Mean()), epochs=2, validation=make_regression(6, seed=1))
    assert [record["accuracy"] for record in result.history] == [None, None]
    assert [record["validation_accuracy"] for record in result.history] == [None, None]
    assert result.history[1]["loss"] < result.history[0]["loss"]


# Resuming in memory (from a file: test_checkpoint.py)


def test_a_result_goes_on_as_if_it_had_not_stopped():
    settings = {"validation": make_data(10, seed=3)}
    whole = fit(epochs=5, **settings)
    half = fit(epochs=2, **settings)
    resumed = fit(epochs=5, resume=half, **settings)
    assert_same_bits(resumed.state, whole.state)
    assert_same_bits(resumed.model, whole.model)
    for got, expected in zip(resumed.history, whole.history, strict=True):
        assert {k: got[k] for k in got if "second" not in k} == {k: expected[k] for k in got if "second" not in k}
    assert len(half.history) == 2
    done = fit(epochs=5, resume=whole, **settings)  # nothing is left to do
    assert_same_bits(done.model, whole.model)
    assert done.best_epoch == whole.best_epoch
    with pytest.raises(ValueError, match=r"\bepochs\b"):
        fit(epochs=2, resume=whole, **settings)


def test_a_result_of_another_run_is_refused():
    result = fit(epochs=1)
    with pytest.raises(ValueError, match=r"\bresume\b"):
        fit(epochs=2, resume=result, key=jax.random.key(8))
    for other in (
        {"validation": make_data(10, seed=3)},
        {"optimizer": optax.sgd(0.1)},
        {"model": make_model(between=(eqx.nn.Dropout(0.1),))},
    ):
        with (
            programs(0),
            pytest.raises(ValueError, match=r"\bresume\b"),
        ):
            fit(epochs=2, resume=result, **other)


def test_a_checkpoint_of_another_run_names_what_differs(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(epochs=1, callbacks=[snnx.Checkpoint(path)])
    other_order = make_data().subset(np.arange(len(make_data()))[::-1])
    for settings, name in (
        ({"data": make_data(seed=5)}, "data"),
        ({"data": other_order}, "data"),
        ({"loss": snnx.CrossEntropy(snnx.Sum())}, "loss"),
        ({"loss": snnx.CrossEntropy(snnx.Mean(), label_smoothing=0.1)}, "loss"),
        ({"batch_size": 4}, "batch_size"),
    ):
        with (
            programs(0),
            pytest.raises(snnx.CheckpointError, match=rf"fit: resume was made with {name}=.*, but this call"),
        ):
            fit(epochs=2, resume=path, **settings)
    with (
        programs(0),
        pytest.raises(snnx.CheckpointError, match=r"\bresume\b"),
    ):
        fit(epochs=2, resume=path, optimizer=optax.sgd(0.1, momentum=0.5))


def test_a_result_shows_as_one_line():
    result = fit(epochs=2, validation=make_data(10, seed=3))
    text = repr(result)
    assert text == str(result)
    assert re.fullmatch(
        rf"FitResult of 2 epochs, the best {result.best_epoch}: loss .* acc .* valid .*; in \d:\d\d", text
    )


def test_a_result_names_what_differs_too():
    result = fit(epochs=1)
    for settings, name in (
        ({"data": make_data(seed=5)}, "data"),
        ({"loss": snnx.CrossEntropy(snnx.Sum())}, "loss"),
        ({"batch_size": 4}, "batch_size"),
        ({"truncate": 2}, "truncate"),
    ):
        with (
            programs(0),
            pytest.raises(snnx.CheckpointError, match=rf"fit: resume was made with {name}=.*, but this call"),
        ):
            fit(epochs=2, resume=result, **settings)


# What is refused


def one_more_class():
    spikes, labels = make_arrays()
    return snnx.data.from_spikes(spikes, labels, sample_shape=(FEATURES,), classes=list("abcd"))


def another_shape():
    spikes, labels = make_arrays()
    return snnx.data.from_spikes(np.repeat(spikes, 2, axis=2), labels, sample_shape=(2 * FEATURES,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": eqx.nn.Linear(FEATURES, CLASSES, key=jax.random.key(0))}, TypeError, r"expected a cell"),
        (
            {"model": make_model(between=(lambda x: x[1:],))},
            ShapeError,
            r"layer 3 \(Linear\), given one step float32\[6\]",
        ),
        ({"data": make_arrays()[0]}, TypeError, r"fit: data is ndarray; expected a SpikeDataset"),
        ({"data": another_shape()}, ShapeError, r"layer 0 \(Linear\), given one step float32\[10\]"),
        ({"data": one_more_class()}, ShapeError, r"fit: .*shape \(3,\), but the data set has 4 classes"),
        ({"data": make_regression()}, DtypeError, r"CrossEntropy: targets are float32.*expected integer class labels"),
        ({"loss": snnx.MSE(snnx.Mean())}, DtypeError, r"MSE: targets are int32.*expected floats"),
        ({"loss": optax.softmax_cross_entropy}, TypeError, r"fit: loss is .*; expected an object such as"),
        ({"loss": snnx.CrossEntropy}, TypeError, r"fit: loss is .*; expected an object such as"),
        ({"optimizer": optax.adam}, TypeError, r"fit: optimizer is function .*optax.adam\(1e-3\)"),
        ({"optimizer": optax.MultiSteps(optax.adam(0.1), 2)}, TypeError, r"use .gradient_transformation\(\)"),
        ({"epochs": 0}, ValueError, r"fit: epochs is 0, expected a whole number >= 1"),
        ({"epochs": True}, ValueError, r"fit: epochs is True, expected a whole number >= 1"),
        ({"epochs": 1.5}, ValueError, r"fit: epochs is 1.5, expected a whole number >= 1"),
        ({"batch_size": 0}, ValueError, r"fit: batch_size is 0, expected a whole number >= 1"),
        ({"batch_size": True}, ValueError, r"fit: batch_size is True"),
        ({"batch_size": 8.0}, ValueError, r"fit: batch_size is 8.0"),
        ({"batch_size": 24}, ValueError, r"batch_size is 24, but the data set has 23 examples; take batch_size=23 or"),
        ({"key": 0}, TypeError, r"fit: key is int 0; expected one key: jax.random.key\(0\)"),
        ({"key": jax.random.PRNGKey(0)}, TypeError, r"fit: key is uint32\[2\]; expected one key"),
        ({"key": jax.random.split(jax.random.key(0))}, TypeError, r"fit: key is key<fry>\[2\]; expected one key"),
        ({"validation": make_arrays()[0]}, TypeError, r"fit: validation is uint8\[23, 6, 5\]; expected a SpikeDataset"),
        ({"validation": one_more_class()}, ValueError, r"fit: validation has classes \('a', 'b', 'c', 'd'\), but data"),
        ({"validation": make_regression()}, ValueError, r"fit: validation has classes None, but data has \('class 0'"),
        (
            {"validation": make_data(8).with_dt(0.5)},
            ValueError,
            r"validation has dt 0.5, but data has 1.0; they must be",
        ),
        (
            {"validation": snnx.data.from_spikes(*make_arrays(), sample_shape=(FEATURES,), classes=list("xyz"))},
            ValueError,
            r"fit: validation has classes \('x', 'y', 'z'\), but data has \('class 0', .*; they must be alike",
        ),
        ({"callbacks": AbstractCallback()}, TypeError, r"fit: callbacks is .*; expected a list"),
        ({"callbacks": [print]}, TypeError, r"fit: callbacks\[0\] is .*print.*; expected an object with its methods"),
        (
            {"callbacks": [AbstractCallback(), snnx.train.LogFile]},
            TypeError,
            r"fit: callbacks\[1\] is .*; expected an object: LogFile\(",
        ),
        ({"data": make_data().with_dt(1e-3)}, ValueError, r"fit: data has dt=0.001, but part 1 \(LIF\) has dt=1; give"),
        ({"chunk": 0}, ValueError, r"chunk is 0, expected a number of steps >= 1"),
        ({"truncate": 0}, ValueError, r"truncate is 0, expected a number of steps >= 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused_before_anything_is_compiled(settings, error, message):
    called = []

    class Started(AbstractCallback):
        def before(self, run):
            called.append(run)

    with pytest.raises(error, match=message):
        fit(**({"callbacks": [Started()]} | settings))
    if not {"chunk", "truncate"} & settings.keys():
        assert not called


def test_a_label_outside_the_classes_is_refused():
    data = eqx.tree_at(lambda d: d.targets, make_data(), make_data().targets.at[4].set(3))
    with pytest.raises(ValueError, match=r"\btargets\b"):
        fit(data=data)


def test_a_parameter_that_left_its_range_is_named():
    def below_zero(updates, params):
        return jax.tree.map(lambda u, p: 0.0 * u + (-p - 0.005 if p.ndim == 0 else 0.0), updates, params)

    with pytest.raises(NonFiniteError) as caught:
        fit(model=make_model(tau=jnp.asarray(5.0)), optimizer=optax.stateless(below_zero), epochs=1)
    assert float(caught.value.state.model.layers[1].tau) == pytest.approx(-0.005, rel=1e-4)
    assert re.search(
        r"epoch 1, step 2\. .* Part 1: LIF: tau .*-0.005.* Learn it as snnx.Positive\(...\)", str(caught.value)
    )


def test_a_compiled_training_cannot_be_transformed():
    with pytest.raises(
        TypeError, match=r"fit: runs a compiled program of its own and cannot be transformed; loop over"
    ):
        eqx.filter_vmap(lambda seed: fit(make_model(tau=seed)))(jnp.ones(2))
    with pytest.raises(TypeError, match=r"evaluate: runs a compiled program of its own"):
        eqx.filter_jit(lambda model: snnx.evaluate(model, make_data()))(make_model(tau=jnp.ones(())))


@pytest.mark.parametrize("key", [0, jax.random.PRNGKey(0), jax.random.split(jax.random.key(0))])
def test_what_is_no_key_is_refused(key):
    for call in (
        lambda: snnx.evaluate(make_model(), make_data(), key=key),
        lambda: snnx.simulate(make_model(), jnp.ones((STEPS, FEATURES)), key=key),
        lambda: make_data().split((0.5, 0.5), key=key),
    ):
        with pytest.raises(TypeError, match=r"\bkey\b"):
            call()


@pytest.mark.slow
def test_the_batch_is_128_or_all_there_is():
    data = make_data()
    given = dict(loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam(0.1), epochs=1, key=jax.random.key(0))
    small = snnx.fit(make_model(), data, progress=False, **given)
    whole = snnx.fit(make_model(), data, progress=False, batch_size=len(data), **given)
    assert_same_bits(small.model, whole.model)
    many = data.subset(np.arange(300) % len(data))
    assert_same_bits(
        snnx.fit(make_model(), many, progress=False, **given).model,
        snnx.fit(make_model(), many, progress=False, batch_size=128, **given).model,
    )


def test_what_is_trained_is_said_by_a_function():
    for wrong in (snnx.trainable(make_model()), True):
        with pytest.raises(TypeError, match=r"\btrainable\b"):
            fit(epochs=1, trainable=wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [snnx.losses.FirstSpikeCrossEntropy(2.0), snnx.losses.CountMSE(2.0), snnx.losses.RateMSE(0.5)],
)
def test_a_loss_of_spikes_needs_an_output_of_spikes(loss):
    with pytest.raises(ValueError, match=r"takes the spikes of the output, but the last cell of the model, 3 \(LI\)"):
        fit(loss=loss, epochs=1)
    spiking = snnx.Sequential([*make_model().layers[:-1], snnx.LIF(), eqx.nn.Identity()])
    assert np.isfinite(fit(model=spiking, loss=loss, epochs=1).history[0]["loss"])
