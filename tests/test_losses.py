"""Losses and regularisers: against NumPy in float64, for every way to cut time, with and without padding."""

import copy
import functools
import math
import operator
import pickle
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from snnx import losses
from snnx._errors import DtypeError, ShapeError
from snnx.cells import AbstractCell
from snnx.layers import Recurrent, Sequential
from snnx.losses import (
    MSE,
    AbstractLoss,
    CountMSE,
    CrossEntropy,
    FirstSpikeCrossEntropy,
    FirstSpikeMSE,
    LowerRate,
    PopulationRate,
    PopulationUpperRate,
    RateL1,
    RateL2,
    RateMSE,
    StepCount,
    StepCrossEntropy,
    TargetRate,
    TraceMSE,
    UpperRate,
    VanRossum,
    WakeSilent,
)
from snnx.neurons import LI, LIF, NoReset
from snnx.reductions import AbstractReduction, FirstSpike, Last, Max, Mean, Stack, Sum, Weighted
from snnx.simulation import simulate
from snnx.surrogates import Boxcar

slow = pytest.mark.slow  # those that train, or compile large programs

STEPS, CLASSES, LABEL = 7, 3, 1
RNG = np.random.default_rng(5)
TRACE = RNG.normal(size=(STEPS, CLASSES))
WANTED = RNG.normal(size=(STEPS, CLASSES))
WANTED_SPIKES = (RNG.random((STEPS, CLASSES)) < 0.4).astype(float)
VALUES = RNG.normal(size=CLASSES)


class Echo(AbstractCell):
    """Puts out what it gets."""

    def init_state(self, shape):
        return jnp.zeros(())

    def __call__(self, x, state, *, key=None):
        return x, state


# The losses in NumPy, of the steps that count.


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def entropy(z, smoothing=0.0):
    wanted = (1 - smoothing) * np.eye(CLASSES)[LABEL] + smoothing / CLASSES
    return -(wanted * log_softmax(z)).sum(-1)


def wanted(correct, incorrect):
    return np.where(np.arange(CLASSES) == LABEL, correct, incorrect)


def pairwise_van_rossum(xs, ys, tau):
    """The distance of two trains of weighted spikes from all pairs of spike times, in closed form."""
    total = 0.0
    for one, other, sign in ((xs, xs, 0.5), (ys, ys, 0.5), (xs, ys, -1.0)):
        for i, a in enumerate(one):
            for j, b in enumerate(other):
                total += sign * np.sum(a * b) * np.exp(-abs(i - j) / tau)
    return total


REGISTRY = {
    "CrossEntropy": (CrossEntropy(), LABEL, lambda xs, z: entropy(xs.mean(0))),
    "CrossEntropy(Sum)": (CrossEntropy(Sum()), LABEL, lambda xs, z: entropy(xs.sum(0))),
    "CrossEntropy(Max)": (CrossEntropy(Max()), LABEL, lambda xs, z: entropy(xs.max(0))),
    "CrossEntropy(Last)": (CrossEntropy(Last()), LABEL, lambda xs, z: entropy(xs[-1])),
    "CrossEntropy(Weighted)": (
        CrossEntropy(Weighted.exponential()),
        LABEL,
        lambda xs, z: entropy((xs * np.exp(-np.arange(len(xs)) / len(xs))[:, None]).sum(0)),
    ),
    "CrossEntropy(smoothing)": (CrossEntropy(Mean(), 0.2), LABEL, lambda xs, z: entropy(xs.mean(0), 0.2)),
    "StepCrossEntropy": (StepCrossEntropy(), LABEL, lambda xs, z: entropy(xs).mean()),
    "StepCrossEntropy(smoothing)": (StepCrossEntropy(0.3), LABEL, lambda xs, z: entropy(xs, 0.3).mean()),
    "CountMSE": (CountMSE(5, 1), LABEL, lambda xs, z: np.mean((xs.sum(0) - wanted(5, 1)) ** 2)),
    "RateMSE": (RateMSE(0.8, 0.1), LABEL, lambda xs, z: np.mean((xs.mean(0) - wanted(0.8, 0.1)) ** 2)),
    "MSE": (MSE(), VALUES, lambda xs, z: np.mean((xs.mean(0) - z) ** 2)),
    "MSE(Last)": (MSE(Last()), VALUES, lambda xs, z: np.mean((xs[-1] - z) ** 2)),
    "TraceMSE": (TraceMSE(), WANTED, lambda xs, z: np.mean((xs - z[: len(xs)]) ** 2)),
    "VanRossum": (VanRossum(3.0), WANTED_SPIKES, lambda xs, z: pairwise_van_rossum(xs, z[: len(xs)], 3.0)),
}
READS_OUTPUTS = tuple(loss for loss, _, _ in REGISTRY.values())
TARGETS = tuple(target for _, target, _ in REGISTRY.values())
FIRST_SPIKES = (FirstSpikeCrossEntropy(2.0), FirstSpikeCrossEntropy(2.0, 0.1, 5.0), FirstSpikeMSE(1, 5))
REGULARISERS = (
    UpperRate(0.1),
    LowerRate(0.05),
    RateL1(),
    RateL2(),
    TargetRate(0.2),
    PopulationRate(0.2),
    PopulationUpperRate(0.3),
    WakeSilent(0.1),
)
EVERY_LOSS = READS_OUTPUTS + FIRST_SPIKES + REGULARISERS  # those of first spikes: test_losses_times.py


def all_losses(xs, mask, chunk):
    """Every loss of the registry, `[losses]`, from one simulation."""
    together = functools.reduce(operator.add, READS_OUTPUTS)
    reduced, _ = simulate(Echo(), xs, mask=mask, readout=together.readout, chunk=chunk)
    each = zip(READS_OUTPUTS, together._of_each(reduced), TARGETS, strict=True)
    return jnp.stack([loss(own, target, record={}) for loss, own, target in each])


@eqx.filter_jit
def apply_compiled(loss, xs, target, mask, chunk, cell):
    reduced, _ = simulate(cell, xs, mask=mask, readout=loss.readout, chunk=chunk)
    return loss(reduced, target, record={})


def apply(loss, xs, target, mask=None, chunk=None, cell=Echo()):
    """One loss of one trace, as a user would write it."""
    return apply_compiled(loss, jnp.asarray(xs, jnp.zeros(()).dtype), jnp.asarray(target), mask, chunk, cell)


def slope(reference, xs):
    """Central differences, for a gradient to about 1e-8."""
    result = np.zeros_like(xs)
    for index in np.ndindex(xs.shape):
        step = np.zeros_like(xs)
        step[index] = 1e-5
        result[index] = (reference(xs + step) - reference(xs - step)) / 2e-5
    return result


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk", [pytest.param(1, marks=slow), pytest.param(3, marks=slow), STEPS])
def test_value_and_gradient_are_those_of_the_formula_and_padding_does_not_count(chunk):
    lengths = (STEPS, 5, 1, 0)
    masks = np.stack([np.arange(STEPS) < live for live in lengths])
    padded = np.where(masks[..., None], TRACE, np.nan)

    def value_and_gradients(xs, mask):
        values, pull = jax.vjp(lambda xs: all_losses(xs, mask, chunk), xs)
        return values, jax.vmap(pull)(jnp.eye(len(values)))[0]

    values, slopes = jax.jit(jax.vmap(value_and_gradients))(padded, masks)
    assert np.isfinite(values).all()
    assert not slopes[-1].any()  # of no step at all
    for live, value, gradient in zip(lengths[:-1], values[:-1], slopes[:-1], strict=True):
        for i, (name, (_, target, reference)) in enumerate(REGISTRY.items()):
            at = f"{name}, {live} steps"
            expected = np.zeros_like(TRACE)
            expected[:live] = slope(lambda xs, z=target, of=reference: of(xs, z), TRACE[:live])
            np.testing.assert_allclose(value[i], reference(TRACE[:live], target), rtol=1e-12, err_msg=at)
            np.testing.assert_allclose(gradient[i], expected, rtol=1e-6, atol=1e-8, err_msg=at)


@pytest.mark.usefixtures("x64")
def test_no_mask_is_a_mask_of_all_steps():
    values = jax.jit(lambda xs: all_losses(xs, None, STEPS))(TRACE)
    for value, (name, (_, target, reference)) in zip(values, REGISTRY.items(), strict=True):
        np.testing.assert_allclose(value, reference(TRACE, target), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=lambda loss: type(loss).__name__)
def test_losses_can_be_pickled_and_copied(loss):
    for one in (loss, 0.5 * loss):
        for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert eqx.tree_equal(again, one)


def test_every_public_loss_is_in_a_registry():
    names = (getattr(losses, name) for name in losses.__all__)
    classes = {name for name in names if isinstance(name, type) and issubclass(name, AbstractLoss)}
    tested = {type(loss) for loss in EVERY_LOSS}
    abstract = {AbstractLoss, losses.AbstractClassLoss, losses.AbstractRateRegulariser}
    assert classes - tested == {*abstract, losses.WeightedSum}


@pytest.mark.parametrize("name", ["CrossEntropy(Last)", "CrossEntropy(Max)", "MSE(Last)", "TraceMSE"])
def test_a_half_precision_output_gives_a_float32_loss(name):
    loss, target, reference = REGISTRY[name]
    half = jnp.asarray(TRACE, jnp.bfloat16)
    reduced = {"Last": half[-1], "Max": half.max(0)}.get(name[-5:-1].strip("("), (half, jnp.asarray(STEPS)))
    value = loss(reduced, target if isinstance(target, int) else np.float32(target), record={})
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, reference(np.asarray(half, float), target), rtol=1e-5)


# --- cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_is_optax_s(smoothing):
    logits, labels = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32), jnp.array([0, 3, 1, 2, 2, 0], jnp.uint8)
    loss = CrossEntropy(label_smoothing=smoothing)
    ours = jax.vmap(lambda z, y: loss(z, y, record={}))(logits, labels)
    theirs = optax.softmax_cross_entropy(logits, optax.smooth_labels(jax.nn.one_hot(labels, 4), smoothing))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("label", [-1, CLASSES])
@pytest.mark.parametrize("loss", [CrossEntropy(), StepCrossEntropy(), CountMSE(3), RateMSE(), *FIRST_SPIKES])
def test_a_label_that_is_not_a_class_gives_nan(loss, label):
    assert jnp.isnan(loss(jnp.zeros(CLASSES), jnp.asarray(label), record={}))


def test_a_class_ruled_out_by_an_infinite_logit_leaves_the_loss_finite():
    value, gradient = jax.value_and_grad(lambda z: CrossEntropy()(z, jnp.asarray(0), record={}))(
        jnp.array([0.0, 0.0, -jnp.inf])
    )
    np.testing.assert_allclose(value, math.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [-0.5, 0.5, 0])


@pytest.mark.parametrize(
    ("loss", "reduced", "scores"),
    [
        (CrossEntropy(), [1.0, 3.0, 2.0], [1, 3, 2]),
        (StepCrossEntropy(), [-1.0, -3.0, -2.0], [-1, -3, -2]),
        (CountMSE(3), [4.0, 0.0, 1.0], [4, 0, 1]),
        (RateMSE(), [0.4, 0.0, 0.1], [0.4, 0, 0.1]),
        (FirstSpikeCrossEntropy(1.0), [4.0, 0.0, 1.0], [-4, 0, -1]),
        (FirstSpikeMSE(0, 4), [4.0, 0.0, 1.0], [-4, 0, -1]),
    ],
)
def test_scores_are_larger_for_what_is_more_likely(loss, reduced, scores):
    np.testing.assert_allclose(loss.scores(jnp.asarray(reduced)), scores)
    best = int(np.argmax(scores))
    values = [loss(jnp.asarray(reduced), jnp.asarray(label), record={}) for label in range(3)]
    assert int(np.argmin(values)) == best


@pytest.mark.parametrize("loss", [MSE(), TraceMSE(), VanRossum(1.0), UpperRate(0.1)])
def test_without_classes_there_are_no_scores(loss):
    assert loss.scores(None) is None


# --- rates and counts over twice the time

SPIKES = (RNG.random((STEPS, CLASSES)) < 0.5).astype(np.float32)


@pytest.mark.parametrize(
    ("loss", "target"),
    [(CrossEntropy(), LABEL), (StepCrossEntropy(), LABEL), (RateMSE(), LABEL), (TraceMSE(), WANTED), (MSE(), VALUES)],
)
def test_twice_the_time_at_the_same_rate_gives_the_same_loss(loss, target):
    longer = np.concatenate([target] * 2) if np.ndim(target) == 2 else target
    twice = apply(loss, np.concatenate([SPIKES, SPIKES]), longer)
    np.testing.assert_allclose(twice, apply(loss, SPIKES, target), rtol=1e-5)


def test_counts_grow_with_time():
    once = [3, 0, 1]
    train = np.zeros((4, 3), np.float32)
    for neuron, count in enumerate(once):
        train[:count, neuron] = 1
    assert apply(CountMSE(3, 0), train, 0) == pytest.approx((0 + 0 + 1) / 3)
    assert apply(CountMSE(3, 0), np.concatenate([train, train]), 0) == pytest.approx((9 + 0 + 4) / 3)


# --- van Rossum


def train(*times, steps=12):
    return np.isin(np.arange(steps), times).astype(np.float32)[:, None]


@pytest.mark.parametrize("tau", [0.5, 4.0, 100.0])
def test_van_rossum_of_a_missing_and_of_a_moved_spike(tau):
    loss = VanRossum(tau)
    assert apply(loss, train(3), train()) == pytest.approx(0.5, rel=1e-5)
    assert apply(loss, train(11), train()) == pytest.approx(0.5, rel=1e-5)
    assert apply(loss, train(2, 9), train(2, 9)) == 0
    assert apply(loss, train(2), train(5)) == pytest.approx(1 - math.exp(-3 / tau), rel=1e-4)


def test_van_rossum_adds_up_over_neurons_and_takes_any_dtype():
    outputs = np.concatenate([train(3), train(5), train()], axis=1).reshape(12, 3, 1)
    assert apply(VanRossum(4.0), outputs, np.zeros((12, 3, 1), np.uint8)) == pytest.approx(1.0, rel=1e-5)
    assert apply(VanRossum(4.0), outputs, outputs.astype(bool)) == 0


@pytest.mark.parametrize("loss", [TraceMSE(), VanRossum(2.0)])
def test_what_the_target_holds_at_padded_steps_does_not_matter(loss):
    mask = jnp.arange(12) < 8
    outputs, target = np.asarray(train(1, 6)), train(2, 5, 7)
    short = apply(loss, outputs[:8], target[:8])
    garbage = np.where(np.arange(12)[:, None] < 8, target, np.nan)
    np.testing.assert_allclose(apply(loss, outputs, garbage, mask), short, rtol=1e-6)


@slow
@pytest.mark.parametrize("loss", [TraceMSE(), VanRossum(2.0)])
@pytest.mark.parametrize("chunk", [1, 5, 12])
def test_traces_with_a_masked_step_in_between_are_refused(loss, chunk):
    mask = jnp.arange(12) != 6
    with pytest.raises(RuntimeError, match=r"\bmask\b"):
        apply(loss, train(1), train(2), mask, chunk)


# --- time to first spike


def test_earlier_is_more_likely():
    early, late = train(2), train(8)
    two = np.concatenate([early, late], axis=1)
    loss = FirstSpikeCrossEntropy(3.0)
    assert apply(loss, two, 0) < math.log(2) < apply(loss, two, 1)
    assert apply(loss, two, 0) == pytest.approx(math.log1p(math.exp(-6 / 3.0)), rel=1e-5)


def test_a_silent_neuron_counts_as_firing_one_step_after_the_last():
    two = np.concatenate([train(10), train()], axis=1)
    assert apply(FirstSpikeCrossEntropy(3.0), two, 0) == pytest.approx(math.log1p(math.exp(-2 / 3.0)), rel=1e-5)


@slow
def test_the_gradient_makes_the_label_s_neuron_fire_earlier_and_the_others_later():
    two = jnp.asarray(np.concatenate([train(5), train(6)], axis=1))
    gradient = jax.grad(lambda xs: apply(FirstSpikeCrossEntropy(3.0), xs, 0))(two)
    assert (gradient[:6, 0] < 0).all()
    assert (gradient[:7, 1] > 0).all()


@slow
def test_a_silent_network_learns_to_fire_for_its_label():
    model = Sequential([lambda x: x, LIF(tau=5.0)])
    loss = FirstSpikeCrossEntropy(3.0)

    @jax.jit
    @jax.value_and_grad
    def objective(weights):
        times, _ = simulate(model, jnp.broadcast_to(weights, (10, 3)), readout=loss.readout)
        return loss(times, jnp.asarray(LABEL), record={})

    weights = jnp.full(3, 0.1)  # the membrane settles at 0.55, the threshold is 1
    silent, gradient = objective(weights)
    assert silent == pytest.approx(math.log(3), rel=1e-5)
    assert gradient[LABEL] < 0
    for _ in range(30):
        weights = weights - 0.05 * jnp.sign(objective(weights)[1])
    assert objective(weights)[0] < 0.1


def test_times_of_first_spikes_can_be_regressed():
    two = np.concatenate([train(5), train(6)], axis=1)
    assert apply(MSE(FirstSpike()), two, np.float32([5, 8])) == 2.0


# --- regularisers

KEYS = jax.random.split(jax.random.key(0), 4)
MODEL = Sequential(
    [
        eqx.nn.Linear(4, 6, key=KEYS[0]),
        Recurrent(LIF(tau=5.0, threshold=0.4), eqx.nn.Linear(6, 6, key=KEYS[1])),
        eqx.nn.Linear(6, 5, key=KEYS[2]),
        LIF(tau=5.0, threshold=0.2),
        eqx.nn.Linear(5, 3, key=KEYS[3]),
        LI(),
    ]
)
XS = jnp.asarray(np.random.default_rng(2).normal(size=(STEPS, 4)) * 2, jnp.float32)


def penalty(loss, model=MODEL, xs=XS, mask=None, chunk=3):
    reduced, _, record = simulate(model, xs, mask=mask, readout=loss.readout, record=loss.taps(model), chunk=chunk)
    return loss(reduced, jnp.asarray(LABEL), record=record)


def hinge(x, power):
    return np.maximum(x, 0) ** power


PENALTIES = [
    (UpperRate(0.3), lambda r: hinge(r - 0.3, 2).mean()),
    (UpperRate(0.3, power=1), lambda r: hinge(r - 0.3, 1).mean()),
    (LowerRate(0.3), lambda r: hinge(0.3 - r, 2).mean()),
    (LowerRate(0.3, power=1), lambda r: hinge(0.3 - r, 1).mean()),
    (RateL1(), lambda r: r.mean()),
    (RateL2(), lambda r: (r**2).mean()),
    (TargetRate(0.5), lambda r: ((r - 0.5) ** 2).mean()),
    (PopulationRate(0.5), lambda r: (r.mean() - 0.5) ** 2),
    (PopulationUpperRate(0.1), lambda r: hinge(r.mean() - 0.1, 2)),
    (PopulationUpperRate(0.1, power=1), lambda r: hinge(r.mean() - 0.1, 1)),
]


@functools.cache
def traces():
    """The outputs, and the spikes of both spiking layers, `[time, *shape]`."""
    outputs, _, spikes = jax.jit(lambda xs: simulate(MODEL, xs, record=["1.neuron", "3"]))(XS)
    return outputs, spikes


def rates():
    return [np.asarray(spikes, float).mean(0) for spikes in traces()[1].values()]


@pytest.mark.parametrize(("loss", "reference"), PENALTIES)
def test_a_regulariser_s_penalties_are_those_of_the_formula_summed_over_layers(loss, reference):
    assert {0} < {float(rate) for layer in rates() for rate in layer}  # some are silent, some are not
    record = dict(zip(("1.neuron", "3"), map(jnp.float32, rates()), strict=True))
    expected = [reference(layer) for layer in rates()]
    assert loss(None, None, record=record) == pytest.approx(sum(expected), rel=1e-5)
    assert loss(None, None, record={"3": record["3"]}) == pytest.approx(expected[1], rel=1e-5)


@slow
@pytest.mark.parametrize("chunk", [1, STEPS])
def test_a_regulariser_reads_the_rates_of_all_spiking_parts(chunk):
    loss, reference = PENALTIES[0]
    masked = jnp.concatenate([XS, jnp.full_like(XS, 100.0)])
    live = jnp.arange(2 * STEPS) < STEPS
    run = jax.jit(lambda xs, mask: penalty(loss, xs=xs, mask=mask, chunk=chunk))
    assert run(masked, live) == pytest.approx(sum(map(reference, rates())), rel=1e-5)


def test_paths_name_the_layers_that_are_meant():
    assert set(UpperRate(0.1).taps(MODEL)) == {"1.neuron", "3"}
    assert set(UpperRate(0.1, paths="3").taps(MODEL)) == {"3"}
    assert UpperRate(0.1, paths=["3", "1"]).paths == ("3", "1")
    assert set(UpperRate(0.1).taps(LIF())) == {""}
    with pytest.raises(ValueError, match="'7'"):
        penalty(UpperRate(0.1, paths="7"))
    with pytest.raises(ValueError, match=r"\bpaths\b.*'0'"):
        penalty(UpperRate(0.1, paths="0"))


def test_a_bare_neuron_is_a_spiking_part():
    assert penalty(RateL1(), LIF(), jnp.full((4, 2), 5.0)) == 1.0


def test_a_model_that_does_not_spike_is_refused():
    with pytest.raises(ValueError, match=r"\bmodel\b.*\bpaths\b"):
        UpperRate(0.1).taps(LI())
    with pytest.raises(ValueError, match=r"\brecord\b"):
        RateL1()((), None, record={})


@pytest.mark.parametrize(
    ("loss", "rate", "gradient"),
    [
        (UpperRate(0.5), 0.7, 0.4),
        (UpperRate(0.5, power=1), 0.7, 1.0),
        (UpperRate(0.5), 0.3, 0.0),
        (UpperRate(0.5, power=1), 0.5, 0.0),
        (LowerRate(0.5), 0.3, -0.4),
        (LowerRate(0.5), 0.7, 0.0),
        (LowerRate(0.5), 0.0, -1.0),
        (RateL1(), 0.3, 1.0),
        (RateL1(), 0.0, 1.0),
        (RateL2(), 0.3, 0.6),
        (TargetRate(0.5), 0.7, 0.4),
        (TargetRate(0.5), 0.3, -0.4),
        (PopulationRate(0.5), 0.7, 0.4),
        (PopulationUpperRate(0.5, power=1), 0.7, 1.0),
    ],
)
def test_a_regulariser_pulls_the_right_way(loss, rate, gradient):
    found = jax.grad(lambda r: loss((), None, record={"1": r}))(jnp.float32([rate]))
    np.testing.assert_allclose(found, [gradient], rtol=1e-5, atol=1e-7)


@slow
def test_a_lower_rate_wakes_a_silent_layer_up():
    xs = jnp.ones((10, 2))

    @jax.jit
    @jax.value_and_grad
    def objective(weight):
        return penalty(LowerRate(0.2), LIF(tau=5.0), weight * xs)

    weight = jnp.asarray(0.1)
    assert objective(weight)[0] == pytest.approx(0.04, rel=1e-5)
    for _ in range(30):
        weight = weight - 0.02 * jnp.sign(objective(weight)[1])
    assert objective(weight)[0] < 0.02


# --- silent neurons


def membranes_below(spikes, v, threshold, margin):
    """The penalty of one layer, neuron by neuron."""
    total = 0.0
    for i in range(spikes.shape[1]):
        if not spikes[:, i].any():
            total += max(threshold + margin - max(v[:, i]), 0.0)
    return total / spikes.shape[1]


@slow
@pytest.mark.parametrize("chunk", [1, STEPS])
def test_silent_neurons_are_drawn_to_their_threshold_and_those_that_fire_are_not(chunk):
    seen = jax.jit(lambda xs: simulate(MODEL, xs, record=["1.neuron", "1.neuron.v", "3", "3.v"])[2])(XS)
    seen = {path: np.asarray(trace, float) for path, trace in seen.items()}
    fired = [seen[path].any(0) for path in ("1.neuron", "3")]
    assert all({True, False} == set(layer) for layer in fired)
    masked = jnp.concatenate([XS, jnp.full_like(XS, 100.0)])
    live = jnp.arange(2 * STEPS) < STEPS
    each = [
        membranes_below(seen["1.neuron"], seen["1.neuron.v"], 0.4, 0.1),
        membranes_below(seen["3"], seen["3.v"], 0.2, 0.1),
    ]
    run = jax.jit(lambda loss: penalty(loss, xs=masked, mask=live, chunk=chunk), static_argnums=0)
    assert run(WakeSilent(0.1)) == pytest.approx(sum(each), rel=1e-5)
    assert run(WakeSilent(0.1, paths="3")) == pytest.approx(each[1], rel=1e-5)
    together = run(0.5 * WakeSilent(0.1) + UpperRate(0.3) + 2 * WakeSilent(0.1, paths="3"))
    assert together == pytest.approx(0.5 * sum(each) + 2 * each[1] + float(run(UpperRate(0.3))), rel=1e-5)


@slow
@pytest.mark.usefixtures("x64")
def test_the_gradient_of_a_silent_neuron_is_that_of_its_membrane_and_its_threshold():
    xs = np.random.default_rng(1).normal(size=(6, 3)) * [0.2, 3.0, 0.1]

    def reference(weight, threshold):
        v, lam, highest, fired = np.zeros(3), 1 - np.exp(-1 / 5.0), np.full(3, -np.inf), np.zeros(3, bool)
        for x in xs:
            v = v + lam * (0.0 - v) + weight * x
            highest, fired = np.maximum(highest, v), fired | (v >= threshold)
        return np.where(fired, 0.0, np.maximum(threshold + 0.1 - highest, 0.0)).mean()

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradients(weight, threshold):
        model = LIF(tau=5.0, threshold=threshold, reset=NoReset())
        return penalty(WakeSilent(0.1), model, weight[None] * xs, chunk=2)

    at = np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.8])
    found = gradients(*map(jnp.asarray, at))
    for i in range(2):
        expected = np.zeros(3)
        for j in range(3):
            up, down = [a.copy() for a in at], [a.copy() for a in at]
            up[i][j] += 1e-6
            down[i][j] -= 1e-6
            expected[j] = (reference(*up) - reference(*down)) / 2e-6
        np.testing.assert_allclose(found[i], expected, rtol=1e-7, atol=1e-9)
    assert found[0][0] < 0 == found[0][1]


@slow
def test_a_neuron_out_of_its_surrogate_s_reach_wakes_up():
    xs = jnp.ones((10, 2))
    cell = LIF(tau=5.0, surrogate=Boxcar(0.2))

    def slope_of(loss):
        return jax.jit(jax.value_and_grad(lambda weight: penalty(loss, cell, weight * xs)))

    weight = jnp.asarray(0.02)
    assert slope_of(LowerRate(0.2))(weight)[1] == 0
    objective = slope_of(WakeSilent(0.1))
    for _ in range(100):
        weight = weight - 0.01 * objective(weight)[1]
    assert objective(weight)[0] == 0
    assert penalty(RateL1(), cell, weight * xs) > 0


def test_one_spike_is_enough_not_to_be_drawn():
    xs = jnp.zeros((6, 2)).at[2].set(jnp.array([1.2, 0.7]))  # the first fires, and is reset to 0.2
    assert penalty(WakeSilent(0.5), LIF(tau=5.0), xs) == pytest.approx((0 + (1 + 0.5 - 0.7)) / 2, rel=1e-5)


def test_parts_that_cannot_be_woken_are_refused_by_name():
    assert set(WakeSilent(0.1).taps(MODEL)) == {"1.neuron", "1.neuron.v", "3", "3.v"}
    assert set(WakeSilent(0.1).taps(LIF())) == {"", "v"}
    with pytest.raises(ValueError, match=r"'1'.*Its parts: neuron"):
        WakeSilent(0.1, paths="1").taps(MODEL)
    with pytest.raises(ValueError, match=r"\bpaths\b.*'0'"):
        WakeSilent(0.1, paths="0").taps(MODEL)
    with pytest.raises(ValueError, match=r"\bmodel\b.*\bpaths\b"):
        WakeSilent(0.1).taps(LI())
    with pytest.raises(ValueError, match=r"\brecord\b"):
        WakeSilent(0.1)((), None, record={})


# --- losses of a user's own, as the docstring of AbstractLoss has them


class AbsoluteError(AbstractLoss):
    readout: AbstractReduction = Mean()

    def __call__(self, reduced, target, *, record):
        return jnp.abs(reduced - target).mean()


class AbsoluteTraceError(AbstractLoss):
    readout: tuple = (Stack(), StepCount())

    def __call__(self, reduced, target, *, record):
        outputs, steps = reduced
        errors = jnp.abs(outputs - target).mean(axis=1)
        return jnp.sum(errors, where=jnp.arange(len(errors)) < steps) / jnp.maximum(steps, 1)


class Margin(losses.AbstractClassLoss):
    of_spikes: ClassVar[bool] = True

    readout: AbstractReduction = Last()

    def __call__(self, reduced, target, *, record):
        return jnp.max(reduced) - reduced[target]


def test_a_loss_of_labels_of_ones_own_has_scores_and_checks_its_targets():
    together = 0.1 * RateL1() + Margin()
    np.testing.assert_array_equal(together.scores((jnp.float32([1, 3]),)), [1, 3])
    with pytest.raises(ValueError, match=r"Margin: targets\[1\]"):
        together.check_targets(np.array([0, 2]), 2)
    assert set(together.taps(Sequential(MODEL.layers[:4]))) == {"1.neuron", "3"}
    with pytest.raises(ValueError, match=r"Margin: .*\boutput\b"):
        together.taps(MODEL)


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_loss_of_ones_own_takes_masks(chunk):
    """What stands in padding counts neither in the value nor in its gradient, alone or in a sum."""
    live, mask = 5, jnp.arange(STEPS) < 5
    xs = jnp.float32(np.where(mask[:, None], TRACE, 100.0))
    cases = [
        (AbsoluteError(), jnp.float32(VALUES), np.abs(TRACE[:live].mean(0) - VALUES).mean()),
        (AbsoluteTraceError(), jnp.float32(WANTED), np.abs(TRACE[:live] - WANTED[:live]).mean()),
    ]
    for loss, target, expected in cases:
        value, gradient = jax.value_and_grad(lambda xs, a=loss, z=target: apply(a, xs, z, mask, chunk))(xs)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert gradient[:live].all()
        assert not gradient[live:].any()
    both = 2.0 * AbsoluteTraceError() + 0.0 * CrossEntropy()
    reduced, _ = simulate(Echo(), xs, mask=mask, readout=both.readout, chunk=chunk)
    parts = dict(zip(both.terms, both._of_each(reduced), strict=True))
    np.testing.assert_allclose(
        both.terms[0](parts[both.terms[0]], jnp.float32(WANTED), record={}), cases[1][2], rtol=1e-5
    )


# --- sums


class Highest(AbstractLoss):
    """The highest membrane of a layer, and its whole trace: what it wants may be wanted by others, too."""

    readout: tuple = ()
    reduction: Max | Stack = Max()

    def __call__(self, reduced, target, *, record):
        (trace,) = record.values()
        return trace.max()

    def taps(self, model):
        return {"3": self.reduction}


@slow
@pytest.mark.parametrize("reduction", [Max(), Stack()])
def test_a_sum_is_the_sum_whatever_its_terms_record(reduction):
    terms = [CrossEntropy(Sum()), UpperRate(0.3), Highest(reduction=reduction), LowerRate(0.4, paths="3"), RateL1()]
    weights = [1.0, 0.5, 2.0, 3.0, 0.25]
    together = terms[0] + 0.5 * terms[1] + 2 * (terms[2] + terms[3] * 1.5) + terms[4] * np.float32(0.25)
    assert isinstance(together, losses.WeightedSum)
    assert len(together.terms) == 5

    outputs, spikes = traces()
    means = {path: trace.mean(0) for path, trace in spikes.items()}
    highest = spikes["3"] if isinstance(reduction, Stack) else spikes["3"].max(0)
    records = [{}, means, {"3": highest}, {"3": means["3"]}, means]
    parts = [term(outputs.sum(0), LABEL, record=record) for term, record in zip(terms, records, strict=True)]
    total = jax.jit(jax.vmap(lambda xs: penalty(together, xs=xs)))(jnp.stack([XS, 2 * XS]))
    assert total[0] == pytest.approx(sum(w * float(part) for w, part in zip(weights, parts, strict=True)), rel=1e-5)


def test_terms_that_want_the_same_reduction_of_the_same_part_share_it():
    taps = (UpperRate(0.3) + LowerRate(0.1) + Highest()).taps(MODEL)
    assert set(taps) == {"1.neuron", "3"}
    for reductions in taps.values():
        assert [type(r) for r in reductions].count(Mean) == 1


def test_the_scores_of_a_sum_are_those_of_its_first_term_that_has_some():
    loss = UpperRate(0.1) + TraceMSE() + CrossEntropy() + FirstSpikeCrossEntropy(1.0)
    assert [type(r) for r in loss.readout] == [Stack, type(TraceMSE().readout[1]), Mean, FirstSpike]
    reduced = (jnp.zeros((4, 2)), jnp.asarray(4), jnp.float32([1, 2]), jnp.float32([5, 6]))
    np.testing.assert_array_equal(loss.scores(reduced), [1, 2])
    assert (UpperRate(0.1) + RateL1()).scores(()) is None


def test_sums_of_python_and_numbers_of_numpy_and_jax_work():
    loss = sum([CrossEntropy(), RateMSE()])
    assert loss.weights == (1.0, 1.0)
    for weight in (np.float64(0.1), np.float32(0.1), jnp.asarray(0.1), 0.1):
        for product in (weight * loss, loss * weight):
            assert isinstance(product, losses.WeightedSum)
            np.testing.assert_allclose(product.weights, [0.1, 0.1], rtol=1e-6)


def test_an_array_as_weight_can_be_annealed_without_compiling_again():
    traces = []

    @eqx.filter_jit
    def run(loss, reduced):
        traces.append(1)
        return loss(reduced, jnp.asarray(0), record={})

    values = [run(jnp.asarray(w) * MSE(), (jnp.float32(3.0),)) for w in (1.0, 0.5)]
    assert values == [9.0, 4.5]
    assert len(traces) == 1


@pytest.mark.parametrize("other", ["0.1", None, True, jnp.ones(2), RateL1()])
def test_a_loss_is_multiplied_by_numbers_only(other):
    with pytest.raises(TypeError):
        CrossEntropy() * other


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused(weight):
    with pytest.raises(ValueError, match=r"\bweight\b"):
        weight * CrossEntropy()


def test_a_loss_and_a_number_do_not_add_up():
    with pytest.raises(TypeError):
        CrossEntropy() + 1
    with pytest.raises(TypeError):
        1 + CrossEntropy()


# --- what is refused


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CrossEntropy(Stack()), "readout"),
        (lambda: CrossEntropy(FirstSpike()), "readout"),
        (lambda: CrossEntropy(label_smoothing=1.5), "label_smoothing"),
        (lambda: StepCrossEntropy(-0.1), "label_smoothing"),
        (lambda: MSE(Stack()), "readout"),
        (lambda: CountMSE(-1), "correct"),
        (lambda: CountMSE(2, 3), "incorrect"),
        (lambda: RateMSE(20.0), "correct"),
        (lambda: RateMSE(0.1, 0.1), "incorrect"),
        (lambda: VanRossum(0.0), "tau"),
        (lambda: VanRossum(math.inf), "tau"),
        (lambda: FirstSpikeCrossEntropy(-1.0), "tau"),
        (lambda: FirstSpikeCrossEntropy(1.0, 0.1), "tau_early"),
        (lambda: FirstSpikeCrossEntropy(1.0, -0.1, 5.0), "alpha"),
        (lambda: FirstSpikeCrossEntropy(1.0, 0.1, 0.0), "tau_early"),
        (lambda: FirstSpikeMSE(5, 5), "incorrect"),
        (lambda: FirstSpikeMSE(-1, 5), "correct"),
        (lambda: FirstSpikeMSE(1, math.inf), "incorrect"),
        (lambda: UpperRate(20.0), "limit"),
        (lambda: UpperRate(0.1, power=3), "power"),
        (lambda: LowerRate(-0.1), "limit"),
        (lambda: TargetRate(-0.1), "target"),
        (lambda: PopulationRate(2.0), "target"),
        (lambda: PopulationUpperRate(0.1, power=0), "power"),
        (lambda: WakeSilent(-0.1), "margin"),
    ],
)
def test_settings_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        make()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CrossEntropy(Mean), "readout"),
        (lambda: CrossEntropy(label_smoothing="0.1"), "label_smoothing"),
        (lambda: MSE(jnp.mean), "readout"),
        (lambda: VanRossum(True), "tau"),
        (lambda: VanRossum(jnp.ones(3)), "tau"),
        (lambda: UpperRate(0.1, paths=3), "paths"),
        (lambda: UpperRate(0.1, power=1.5), "power"),
        (lambda: UpperRate(0.1, rate=0.1), "rate"),
        (lambda: losses.WeightedSum((MSE(), Mean()), (1.0, 1.0)), "terms"),
    ],
)
def test_settings_of_another_kind_are_refused(make, name):
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        make()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, jnp.float32])
def test_settings_can_be_numbers_of_numpy(kind):
    loss = 2 * UpperRate(kind(0.25), np.int64(1)) + WakeSilent(kind(0.5)) + VanRossum(np.int64(3))
    assert [type(n) for n in (loss.terms[0].limit, loss.terms[0].power, loss.terms[1].margin)] == [float, int, float]
    assert eqx.tree_equal(loss, 2 * UpperRate(0.25, 1) + WakeSilent(0.5) + VanRossum(3))


@pytest.mark.parametrize(("loss", "reduced"), [(MSE(), jnp.ones(3)), (TraceMSE(), (jnp.ones(3), jnp.asarray(3)))])
def test_targets_of_numpy_are_taken_but_rounded_by_nobody(loss, reduced):
    assert loss(reduced, np.full(3, 3, np.float32), record={}) == loss(reduced, np.full(3, 3), record={}) == 4.0
    with pytest.raises(DtypeError, match=r"\btarget\b.*float64"):
        loss(reduced, np.full(3, 3.0), record={})


@pytest.mark.parametrize(
    ("loss", "reduced", "target", "error", "name"),
    [
        (CrossEntropy(), jnp.ones((4, 3)), 1, ShapeError, "output"),
        (CrossEntropy(), jnp.ones(3), 1.0, TypeError, "target"),
        (CrossEntropy(), jnp.ones(3), np.ones(2, int), ShapeError, "target"),
        (RateMSE(), jnp.ones(3, int), 1, DtypeError, "output"),
        (MSE(), jnp.ones(3), np.ones((1, 3)), ShapeError, "target"),
        (MSE(), jnp.ones(3), np.ones(3, bool), DtypeError, "target"),
        (TraceMSE(), jnp.ones((4, 3)), np.ones((4, 3)), TypeError, "reduced"),
        (VanRossum(1.0), (jnp.ones((4, 3)), jnp.asarray(4)), np.ones((3, 4)), ShapeError, "target"),
    ],
)
def test_outputs_and_targets_that_do_not_fit_are_refused(loss, reduced, target, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        loss(reduced, jnp.asarray(target), record={})


def test_a_feature_map_has_no_cross_entropy_per_step():
    with pytest.raises(ShapeError, match=r"\boutput\b"):
        apply(StepCrossEntropy(), np.ones((4, 2, 3)), 0)


CLASSIFIERS = [
    CrossEntropy(),
    StepCrossEntropy(),
    CountMSE(3),
    RateMSE(),
    FirstSpikeCrossEntropy(1.0),
    FirstSpikeMSE(1, 5),
]


@pytest.mark.parametrize("loss", CLASSIFIERS, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize(
    ("targets", "error", "says"),
    [
        (np.array([0, 1, 2, 3]), ValueError, r"targets\[3\]"),
        (np.array([0, -1, 2, 3]), ValueError, r"targets\[1\]"),
        (np.array([0.0, 1.0]), DtypeError, r"\btargets\b"),
        (np.eye(3), DtypeError, r"\btargets\b.*argmax"),
        (np.array([[0], [1]]), ShapeError, r"\btargets\b"),
    ],
)
def test_labels_of_a_data_set_are_checked(loss, targets, error, says):
    for checked in (loss, 0.1 * RateL1() + loss):
        with pytest.raises(error, match=says) as info:
            checked.check_targets(targets, 3)
        assert str(info.value).startswith(type(loss).__name__)


@pytest.mark.parametrize("loss", CLASSIFIERS, ids=lambda loss: type(loss).__name__)
def test_sound_labels_pass(loss):
    loss.check_targets(np.array([0, 1, 2], np.uint8), 3)
    loss.check_targets(jnp.array([0, 1, 2]), 3)
    loss.check_targets(np.array([0, 10]), None)
    with pytest.raises(ValueError, match=r"targets\[1\]"):
        loss.check_targets(np.array([0, -1]), None)


@pytest.mark.parametrize(
    ("loss", "targets", "error", "says"),
    [
        (MSE(), np.array([0, 1]), DtypeError, r"\btargets\b"),
        (MSE(), np.ones((5, 2)), ShapeError, r"\btargets\b"),
        (MSE(), np.array([[0, 1, 2], [0, np.nan, 0]]), ValueError, r"targets\[1, 1\]"),
        (TraceMSE(), np.ones((5, 3)), ShapeError, r"\btargets\b"),
        (VanRossum(1.0), np.ones((5, 3)), ShapeError, r"\btargets\b"),
        (VanRossum(1.0), np.ones((5, 9, 2), bool), ShapeError, r"\btargets\b"),
    ],
)
def test_wanted_values_of_a_data_set_are_checked(loss, targets, error, says):
    with pytest.raises(error, match=says):
        loss.check_targets(targets, 3)


def test_sound_values_pass():
    MSE().check_targets(np.ones((5, 3)), 3)
    MSE().check_targets(np.ones((5, 3, 8, 8)), None)
    TraceMSE().check_targets(np.ones((5, 9, 3)), 3)
    VanRossum(1.0).check_targets(np.ones((5, 9, 3), np.uint8), 3)
    UpperRate(0.1).check_targets(np.array(["anything"]), 3)


def test_a_surrogate_without_reach_gives_a_silent_neuron_no_gradient():
    # What FirstSpikeCrossEntropy's docstring warns of.
    cell = LIF(tau=5.0, surrogate=Boxcar(0.2))
    gradient = jax.grad(lambda xs: apply(FirstSpikeCrossEntropy(1.0), xs, 0, cell=cell))(jnp.full((5, 2), 0.01))
    assert not gradient.any()
