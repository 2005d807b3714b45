"""Reductions over time: against NumPy in float64, for every way to cut time, with and without masked steps."""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnx._errors import ShapeError
from snnx.cells import AbstractCell
from snnx.reductions import FirstSpike, Last, Max, Mean, Stack, Sum, Weighted
from snnx.simulation import simulate

STEPS, SIZE = 7, 4
WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25, 0.0, 3.0, 1.5])


class Echo(AbstractCell):
    """Puts out what it gets."""

    dtype: jnp.dtype | None = eqx.field(static=True, default=None)

    def init_state(self, shape):
        return jnp.zeros((), jnp.int32)

    def __call__(self, x, state, *, key=None):
        return x, state + 1


# What each reduction is, of the steps that count, in NumPy.


def weighted(xs, weights):
    return (xs * weights[: len(xs), None]).sum(0)


def falling(xs, scale=1.0):
    steps = np.arange(len(xs))
    return weighted(xs, np.exp(-steps / (scale * len(xs))))


def rising(xs):
    return weighted(xs, 1.0 + np.arange(len(xs)) ** 2 / max(len(xs), 1))


def sigmoid(xs, centre, width):
    steps = np.arange(len(xs)) / len(xs)
    return weighted(xs, 1 / (1 + np.exp((steps - centre) / width)))


REGISTRY = {
    "Sum": (Sum(), lambda xs: xs.sum(0)),
    "Mean": (Mean(), lambda xs: xs.mean(0)),
    "Max": (Max(), lambda xs: xs.max(0)),
    "Last": (Last(), lambda xs: xs[-1]),
    "Weighted.exponential": (Weighted.exponential(), falling),
    "Weighted.exponential(scale)": (Weighted.exponential(0.3), lambda xs: falling(xs, 0.3)),
    "Weighted.exponential(mean)": (Weighted.exponential(mean=True), lambda xs: falling(xs) / len(xs)),
    "Weighted.linear": (Weighted.linear(), lambda xs: weighted(xs, 1 - np.arange(len(xs)) / len(xs))),
    "Weighted.sigmoid": (Weighted.sigmoid(), lambda xs: sigmoid(xs, 0.5, 0.2)),
    "Weighted.sigmoid(centre, width)": (
        Weighted.sigmoid(0.3, 0.05, mean=True),
        lambda xs: sigmoid(xs, 0.3, 0.05) / len(xs),
    ),
    "Weighted(array)": (Weighted(WEIGHTS), lambda xs: weighted(xs, WEIGHTS)),
    "Weighted(array, mean)": (Weighted(WEIGHTS, mean=True), lambda xs: weighted(xs, WEIGHTS) / len(xs)),
    "Weighted(function)": (Weighted(lambda t, steps: 1.0 + t**2 / steps), rising),
}
REDUCTIONS = tuple(reduction for reduction, _ in REGISTRY.values())
MASKS = {
    "every step": np.ones(STEPS, bool),
    "padding": np.arange(STEPS) < 5,
    "holes": np.array([False, True, True, False, True, False, True]),
    "one step": np.arange(STEPS) == 3,
    "no step": np.zeros(STEPS, bool),
}


def reduce_all(xs, mask, chunk):
    """All reductions at once, `[reductions, size]`."""
    return jnp.stack(simulate(Echo(), xs, mask=mask, readout=REDUCTIONS, chunk=chunk)[0])


def trace(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, SIZE))


def expected(reference, xs, live):
    """The reference of the steps that count, and its finite differences `[size, time, size]`.

    These are exact enough, as the references are linear in each element. Of no step at all everything is zero.
    """
    jacobian = np.zeros((SIZE, *xs.shape))
    if not live.any():
        return np.zeros(SIZE), jacobian
    for index in np.ndindex(xs.shape):
        step = np.zeros_like(xs)
        step[index] = 1e-6
        jacobian[(slice(None), *index)] = (reference((xs + step)[live]) - reference((xs - step)[live])) / 2e-6
    return reference(xs[live]), jacobian


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk", [1, 3, STEPS])
def test_value_and_gradient_are_those_of_the_formula_whatever_stands_at_masked_steps(chunk):
    xs, masks = trace(), np.stack(list(MASKS.values()))
    padded = np.where(masks[..., None], xs, np.nan)

    def value_and_jacobian(xs, mask):
        values, pull = jax.vjp(lambda xs: reduce_all(xs, mask, chunk), xs)
        ones = jnp.eye(values.size).reshape(*values.shape, *values.shape)
        return values, jax.vmap(jax.vmap(pull))(ones)[0]

    values, slopes = jax.jit(jax.vmap(value_and_jacobian))(padded, masks)
    for (mask, live), value, slope in zip(MASKS.items(), values, slopes, strict=True):
        for i, (name, (_, reference)) in enumerate(REGISTRY.items()):
            at = f"{name}, {mask}"
            right, right_slope = expected(reference, xs, live)
            np.testing.assert_allclose(value[i], right, rtol=1e-12, atol=1e-12, err_msg=at)
            np.testing.assert_allclose(slope[i], right_slope, rtol=1e-7, atol=1e-8, err_msg=at)


@pytest.mark.usefixtures("x64")
def test_no_mask_is_a_mask_of_all_steps():
    plain = jax.jit(lambda xs: reduce_all(xs, None, 3))(trace())
    for i, (name, (_, reference)) in enumerate(REGISTRY.items()):
        np.testing.assert_allclose(plain[i], reference(trace()), rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("chunk", [1, 3, STEPS])
def test_stack_keeps_every_step_and_zeros_at_masked_ones(chunk):
    xs, mask = trace().astype(np.float32), MASKS["holes"]
    run = jax.jit(lambda xs, mask: simulate(Echo(), xs, mask=mask, readout=(Stack(), Last()), chunk=chunk)[0])
    ys, last = run(xs, mask)
    np.testing.assert_array_equal(ys, np.where(mask[:, None], xs, 0))
    np.testing.assert_array_equal(last, xs[6])


# --- where values are equal, or no numbers


@eqx.filter_jit
def reduce_jitted(reduction, xs, chunk, mask):
    return simulate(Echo(), xs, readout=reduction, chunk=chunk, mask=mask)[0]


def reduce(reduction, xs, chunk, mask=None):
    return reduce_jitted(reduction, jnp.asarray(xs), chunk, None if mask is None else jnp.asarray(mask))


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_of_equal_maxima_the_first_gets_the_gradient(chunk):
    xs = jnp.array([[0.0, 2.0], [1.0, 0.0], [1.0, 2.0], [0.5, 2.0], [1.0, 2.0], [-1.0, 0.0]])
    slope = jax.grad(lambda xs: reduce(Max(), xs, chunk).sum())(xs)
    np.testing.assert_array_equal(slope, [[0, 1], [1, 0], [0, 0], [0, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_nan_is_not_lost_in_a_maximum(at):
    xs = np.zeros((5, 1), np.float32)
    xs[at] = np.nan
    assert jnp.isnan(reduce(Max(), xs, 2)).all()


def test_of_a_trace_below_zero_the_maximum_is_below_zero():
    mask = np.array([True, True, False])
    np.testing.assert_array_equal(reduce(Max(), np.float32([[-3], [-2], [-1]]), 2, mask), [-2])


# --- the time of the first spike, counted by hand

TRAINS = np.array(
    # time runs to the right
    [
        [0, 0, 1, 0, 1, 0],  # first at 2, second at 4
        [0, 0, 0, 0, 0, 0],  # silent
        [1, 1, 1, 1, 1, 1],  # always
        [0, 0, 0, 0, 0, 1],  # at the last step
    ],
    np.float32,
).T
FIRST = [2, 6, 0, 5]
SLOPES = np.array([[-2, -1, -1, 0, 0, 0], [-6, -5, -4, -3, -2, -1], [-1, 0, 0, 0, 0, 0], [-5, -4, -3, -2, -1, -1]]).T


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_first_spike_and_its_gradient_by_hand(chunk):
    value, pull = jax.vjp(lambda xs: reduce(FirstSpike(), xs, chunk), TRAINS)
    np.testing.assert_array_equal(value, FIRST)
    np.testing.assert_array_equal(pull(jnp.ones(4))[0], SLOPES)


@pytest.mark.parametrize("neuron", range(4))
def test_the_gradient_of_the_first_spike_is_the_effect_of_one_more_spike_or_of_moving_the_first(neuron):
    def first(train):
        return np.argmax(train) if train.any() else len(train)

    effects = []
    for step in range(6):
        train = TRAINS[:, neuron].copy()
        with_one, later = train.copy(), train.copy()
        with_one[step] = 1
        if step == first(train):  # here rather than one step later
            later[step] = 0
            later[step + 1 :][:1] = 1
        effects.append(first(with_one) - first(later))
    np.testing.assert_array_equal(SLOPES[:, neuron], effects)


def first_spike_by_steps(train, live):
    """The first spike of one neuron, and its gradient, step by step; masked steps are not there."""
    kept = np.flatnonzero(live)
    fired = [i for i, step in enumerate(kept) if train[step]]
    time, slopes = (fired or [len(kept)])[0], np.zeros(len(train))
    for i, step in enumerate(kept):
        slopes[step] = i - time if i < time else -1 if i == time else 0
    return time, slopes


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk", [1, 3, STEPS])
@pytest.mark.parametrize("mask", MASKS)
def test_first_spike_and_its_gradient_do_not_depend_on_chunks_nor_on_masked_steps(mask, chunk):
    rng = np.random.default_rng(3)
    live = MASKS[mask]
    trains = (rng.random((STEPS, 40)) < rng.uniform(0, 0.6, 40)).astype(float)
    times, slopes = zip(*(first_spike_by_steps(train, live) for train in trains.T), strict=True)
    padded = jnp.asarray(np.where(live[:, None], trains, np.nan))

    def run(xs):
        return reduce(FirstSpike(), xs, chunk, live)

    value, pull = jax.vjp(run, padded)
    np.testing.assert_array_equal(value, times)
    np.testing.assert_array_equal(pull(jnp.ones(40))[0], np.transpose(slopes))
    direction = rng.normal(size=trains.shape)
    forward = jax.jvp(run, (padded,), (jnp.asarray(direction),))[1]
    np.testing.assert_allclose(forward, np.sum(np.transpose(slopes) * direction, axis=0), rtol=1e-12, atol=1e-12)


def test_masked_steps_do_not_pass_before_the_first_spike():
    mask = np.array([False, True, True, True, False, True])
    np.testing.assert_array_equal(reduce(FirstSpike(), TRAINS, 4, mask), [1, 4, 0, 3])


# --- weights


def test_weights_may_be_a_list_of_integers():
    assert reduce(Weighted([1, 10, 100]), np.float32([1, 2, 3]), 2) == 321


def test_a_sequence_longer_than_its_weights_gives_nan_unless_the_rest_is_masked():
    weights = Weighted(np.float32([1, 10]))
    xs = np.float32([1, 2, 3])
    assert jnp.isnan(reduce(weights, xs, 2))
    masked = np.array([True, True, False])
    assert reduce(weights, xs, 2, masked) == 21
    slope = jax.grad(lambda xs: reduce(weights, xs, 2, masked))(jnp.asarray(xs))
    np.testing.assert_array_equal(slope, [1, 10, 0])


def test_a_weighted_mean_of_ones_is_the_mean_and_a_narrow_sigmoid_cuts_the_trace_off():
    xs = np.float32(trace())
    np.testing.assert_allclose(reduce(Weighted(np.ones(STEPS), mean=True), xs, 3), xs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(reduce(Weighted.sigmoid(0.5, 1e-3), xs, 3), xs[:4].sum(0), rtol=1e-5)


def test_weights_made_alike_are_equal():
    assert Weighted.exponential(0.5) == Weighted.exponential(0.5) != Weighted.exponential(0.6)
    assert Weighted.sigmoid(mean=True) == Weighted.sigmoid(0.5, 0.2, mean=True) != Weighted.sigmoid()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Weighted.exponential(0.0), "scale"),
        (lambda: Weighted.sigmoid(0.5, -1), "width"),
        (lambda: Weighted.sigmoid(np.inf), "centre"),
    ],
)
def test_shapes_of_weights_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        make()


def test_weights_that_are_no_vector_are_refused():
    with pytest.raises(ShapeError, match=r"\bweights\b"):
        Weighted(jnp.ones((2, 2)))
    with pytest.raises(TypeError, match=r"\bweights\b"):
        Weighted(["early", "late"])  # pyright: ignore[reportArgumentType]


# --- precision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("chunk", [1, 64])
def test_half_precision_is_summed_up_in_float32(dtype, chunk):
    # 1 + 300 has no bfloat16 of its own; a sum in bfloat16 stops at 256, one of tenths in float16 long before 30.
    steps = 300
    cell = Echo(jnp.dtype(dtype))
    ones, silence = jnp.ones((steps, 1), dtype), jnp.zeros((steps, 1), dtype)
    readout = (Sum(), Mean(), Weighted(np.full(steps, 0.1)), Max(), Last(), FirstSpike())
    run = jax.jit(lambda xs: simulate(cell, xs, chunk=chunk, readout=readout)[0])
    total, mean, tilted, highest, last, _ = run(ones)
    first = run(silence)[-1]
    assert (total, mean, first) == (steps, 1, steps)
    np.testing.assert_allclose(tilted, 0.1 * steps, rtol=1e-5)
    assert {x.dtype for x in (total, mean, tilted, first)} == {jnp.dtype("float32")}
    assert highest.dtype == last.dtype == dtype


PICKLED = [reduction for name, (reduction, _) in REGISTRY.items() if name != "Weighted(function)"]


@pytest.mark.parametrize("reduction", [*PICKLED, FirstSpike(), Stack()], ids=lambda r: type(r).__name__)
def test_reductions_can_be_pickled_and_copied(reduction):
    for again in (pickle.loads(pickle.dumps(reduction)), copy.deepcopy(reduction)):
        assert eqx.tree_equal(again, reduction)


def test_every_public_reduction_is_in_the_registry():
    import snnx.reductions

    classes = {getattr(snnx.reductions, name) for name in snnx.reductions.__all__}
    tested = {type(reduction) for reduction in REDUCTIONS} | {FirstSpike, Stack, snnx.reductions.AbstractReduction}
    assert classes == tested
