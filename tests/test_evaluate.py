"""Scoring a data set: against a loop over single examples in NumPy, whatever the batch size."""

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
    STEPS,
    TAU,
    differs,
    fit,
    make_arrays,
    make_data,
    make_mask,
    make_model,
    make_regression,
    numpy_cross_entropy,
    numpy_forward,
)

import snnx
from snnx._errors import DtypeError, ShapeError

pytestmark = pytest.mark.slow  # left to the older Python, that the newer one's tests stay short

# A batch size that does not divide, one that does, one larger than the data set, and single examples.
SIZES = (5, 23, 256, 1)


def by_hand(model, masked=False):
    """Losses, predictions and mean rate, example by example."""
    spikes, labels = make_arrays()
    lengths = make_mask().sum(axis=1) if masked else [STEPS] * EXAMPLES
    logits, rates = zip(*(numpy_forward(model, x, n) for x, n in zip(spikes, lengths, strict=True)), strict=True)
    losses = [numpy_cross_entropy(z, y) for z, y in zip(logits, labels, strict=True)]
    return np.array(losses), np.argmax(logits, axis=1), float(np.mean(rates))


@pytest.mark.parametrize("masked", [False, True])
def test_scores_are_those_of_a_loop_over_examples(masked):
    model = make_model()
    _, labels = make_arrays()
    losses, predictions, rate = by_hand(model, masked)
    confusion = np.zeros((CLASSES, CLASSES), int)
    for label, prediction in zip(labels, predictions, strict=True):
        confusion[label, prediction] += 1
    assert 0 < rate < 1
    assert len(set(predictions.tolist())) > 1
    for size in SIZES[:2] if masked else SIZES:
        scored = snnx.evaluate(model, make_data(masked=masked), batch_size=size)
        assert scored.examples == EXAMPLES
        np.testing.assert_allclose(scored.losses, losses, rtol=1e-5)
        assert scored.loss == pytest.approx(losses.mean(), rel=1e-5)
        np.testing.assert_array_equal(scored.predictions, predictions)
        assert scored.accuracy == np.mean(predictions == labels)
        np.testing.assert_array_equal(scored.confusion, confusion)
        assert scored.spike_rates == {"1": pytest.approx(rate, rel=1e-5)}


class Target(snnx.losses.AbstractLoss):
    """Its value is the example's target."""

    readout: snnx.reductions.AbstractReduction = snnx.Mean()

    def __call__(self, reduced, target, *, record):
        return target[0]


@pytest.mark.parametrize("size", SIZES)
def test_every_example_is_scored_once_in_its_place(size):
    targets = np.random.default_rng(0).permutation(EXAMPLES).astype(np.float32)
    data = eqx.tree_at(
        lambda d: d.targets, make_regression(), jnp.repeat(jnp.asarray(targets)[:, None], CLASSES, axis=1)
    )
    scored = snnx.evaluate(make_model(), data, loss=Target(), batch_size=size)
    np.testing.assert_array_equal(scored.losses, targets)
    assert scored.loss == (EXAMPLES - 1) / 2
    assert scored.examples == EXAMPLES


def test_regression_has_a_loss_and_no_classes():
    data, model = make_regression(), make_model()
    scored = snnx.evaluate(model, data, loss=snnx.MSE(snnx.Mean()), batch_size=5)
    values, targets = np.asarray(data.inputs.values), np.asarray(data.targets)
    losses = [np.mean((numpy_forward(model, x)[0] - y) ** 2) for x, y in zip(values, targets, strict=True)]
    np.testing.assert_allclose(scored.losses, losses, rtol=1e-4)
    assert (scored.accuracy, scored.predictions, scored.confusion) == (None, None, None)
    assert str(scored).startswith(f"loss {scored.loss:.4f} on 23 examples; spikes per neuron and step: 1: 0.")


def test_a_sentence_for_people():
    scored = snnx.evaluate(make_model(), make_data())
    assert str(scored) == (
        f"accuracy {100 * scored.accuracy:.2f} %, loss {scored.loss:.4f} on 23 examples;"
        f" spikes per neuron and step: 1: {scored.spike_rates['1']:.3f}"
    )


def test_a_bare_neuron_has_a_rate_too():
    spikes, labels = make_arrays()
    data = snnx.data.from_spikes(spikes[:, :, :CLASSES], labels, sample_shape=(CLASSES,))
    # With no leak, a threshold below 1 and a reset to 0, a neuron repeats its input.
    copying = snnx.LIF(tau=1e6, threshold=0.5, reset=snnx.ValueReset(0.0))
    scored = snnx.evaluate(copying, data)
    rates = spikes[:, :, :CLASSES].mean(axis=1)
    np.testing.assert_array_equal(scored.predictions, rates.argmax(axis=1))
    assert scored.spike_rates == {"": pytest.approx(rates.mean(), rel=1e-6)}
    assert "model: " in str(scored)


def test_random_models_are_decided_by_the_key():
    model = make_model(surrogate=snnx.surrogates.StochasticEscape())
    first, again, other = (
        snnx.evaluate(model, make_data(), key=key) for key in (None, jax.random.key(0), jax.random.key(1))
    )
    np.testing.assert_array_equal(first.losses, again.losses)
    assert not np.array_equal(first.losses, other.losses)
    # Each example has a key of its own: equal examples are scored differently.
    equal = make_data().take(jnp.zeros(6, jnp.int32))
    assert len(set(snnx.evaluate(model, equal, batch_size=3).losses.tolist())) > 3


def test_scoring_leaves_the_model_alone_and_is_compiled_once():
    make = lambda: make_model(seed=2, tau=jnp.full(HIDDEN, TAU), between=(eqx.nn.Dropout(0.5),))
    model, data = make(), make_data(19)
    with programs(1):
        first = snnx.evaluate(model, data, batch_size=4)
    assert not differs(model, make())
    assert not model.layers[2].inference
    with programs(0):
        np.testing.assert_array_equal(snnx.evaluate(make(), make_data(19), batch_size=4).losses, first.losses)
        other = snnx.evaluate(make(), make_data(19, seed=1), batch_size=4)
    assert not np.array_equal(other.losses, first.losses)
    with programs(1):
        chunked = snnx.evaluate(model, data, batch_size=4, chunk=4)
    np.testing.assert_allclose(chunked.losses, first.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": jnp.tanh}, TypeError, r"expected a cell"),
        ({"data": make_arrays()[0]}, TypeError, r"evaluate: data is ndarray; expected a SpikeDataset"),
        ({"data": make_regression()}, DtypeError, r"CrossEntropy: targets are float32.*expected integer class labels"),
        ({"loss": optax.softmax_cross_entropy}, TypeError, r"evaluate: loss is .*; expected an object such as"),
        ({"loss": snnx.MSE(snnx.Mean())}, DtypeError, r"MSE: targets are int32.*expected floats"),
        ({"batch_size": 0}, ValueError, r"evaluate: batch_size is 0, expected a whole number >= 1"),
        ({"batch_size": 2.0}, ValueError, r"evaluate: batch_size is 2.0"),
        (
            {"data": snnx.data.from_spikes(*make_arrays(), sample_shape=(FEATURES,), classes=list("abcd"))},
            ShapeError,
            r"evaluate: one step of the model's output has shape \(3,\), but the data set has 4 classes",
        ),
    ],
)
def test_what_does_not_fit_is_refused(settings, error, message):
    usual = {"model": make_model(), "data": make_data()} | settings
    with pytest.raises(error, match=message):
        snnx.evaluate(usual.pop("model"), usual.pop("data"), **usual)


class Own(snnx.losses.AbstractLoss):
    """A loss that gives what it is told to."""

    give: object = eqx.field(static=True)
    readout: snnx.reductions.AbstractReduction = snnx.Mean()

    def __call__(self, reduced, target, *, record):
        return self.give(reduced, target)


@pytest.mark.parametrize(
    ("give", "came"),
    [
        (lambda y, t: (y - t) ** 2, r"float32\[3\]"),
        (lambda y, t: (y - t)[:1], r"float32\[1\]"),
        (lambda y, t: t, r"int32\[\]"),
        (lambda y, t: y.argmax() != t, r"bool\[\]"),
        (lambda y, t: None, "NoneType"),
        (lambda y, t: (y.sum(), t), "tuple"),
    ],
)
@pytest.mark.parametrize("call", ["fit", "evaluate"])
def test_a_loss_is_one_float_for_one_example(give, came, call):
    calls = {
        "fit": lambda loss: fit(loss=loss, epochs=1),
        "evaluate": lambda loss: snnx.evaluate(make_model(), make_data(), loss=loss),
    }
    with pytest.raises(ShapeError, match=rf"{call}: loss \(Own\) gives {came} for one example; expected one float"):
        calls[call](Own(give))


def test_a_model_that_is_broken_is_named():
    model = make_model()
    broken = eqx.tree_at(lambda m: m.layers[0].weight, model, model.layers[0].weight.at[1, 2].set(np.nan))
    with pytest.raises(ValueError, match=r"evaluate: model.layers\[0\].weight holds values that are not finite"):
        snnx.evaluate(broken, make_data())
    with pytest.raises(ValueError, match=r"fit: model.layers\[0\].weight holds values that are not finite"):
        fit(broken, epochs=1)
    moved = eqx.tree_at(lambda m: m.layers[1].tau, model, -2.0)
    with pytest.raises(ValueError, match=r"parameters that no cell could be made with. Part 1: LIF: tau"):
        snnx.evaluate(moved, make_data())


def test_a_result_is_not_its_model():
    result = fit(epochs=1)
    with pytest.raises(TypeError, match=r"\bmodel\b"):
        snnx.evaluate(result, make_data())
    with pytest.raises(TypeError, match=r"\bmodel\b"):
        fit([jnp.tanh], epochs=1)
