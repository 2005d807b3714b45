"""Neurons that are connected to each other: spikes against a search in NumPy, gradients against finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from event_cases import assert_autodiff_agrees, assert_close, compiled, differences, jit, neurons, numbers_of
from event_reference import spike_times

from snnx.event._dynamics import Dynamics
from snnx.event._loop import Inputs, run
from snnx.event._loop_adjoint import run_by_eventprop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ranks_are_promoted")]  # nearly all of it is compiling

SIZE, CHANNELS, EVENTS, LOOPS, CAPACITY, DURATION = 4, 3, 10, 2, 24, 34.0
COEFFICIENTS = np.random.default_rng(3).normal(size=SIZE)


# What is compiled apart: whether there is a synapse, the reset, the time of rest. The first loop is without delay.
KINDS = {
    "pair": ("pair", "subtract", 0.0),
    "pair, set, rest": ("pair", "value", 2.3),
    "jump": ("jump", "subtract", 0.0),
    "jump, set, rest": ("jump", "value", 2.3),
}
BACKWARDS = ("pair, set, rest", "jump")  # autodiff in this direction, of the others in the other one
CASES = [(kind, {}) for kind in KINDS] + [
    ("pair", dict(ratio=1.0)),
    ("pair, set, rest", dict(rest=1.15)),
    ("jump, set, rest", dict(rest=1.15)),
]


def parameters(kind, ratio=None, rest=0.1, seed=4):
    """All that a gradient is taken for. The last event is behind the end."""
    rng, pair = np.random.default_rng(seed), KINDS[kind][0] == "pair"
    return neurons(rng, SIZE, ratio=ratio, rest=rest) | {
        "times": np.append(np.sort(rng.uniform(1, 30, EVENTS - 1)), DURATION + 1.0),
        "weights": rng.normal(1.3, 0.7, (CHANNELS, SIZE)) if pair else rng.normal(0.35, 0.35, (CHANNELS, SIZE)),
        "back": rng.normal(0, 0.4 if pair else 0.15, (LOOPS, SIZE, SIZE)),
        "delays": np.stack([np.zeros(SIZE), rng.uniform(1, 5, SIZE)]),
    }


def channels(seed=4):
    return np.random.default_rng(seed + 100).integers(0, CHANNELS, EVENTS)


def record(p, indices, kind, mode, capacity=CAPACITY):
    """With two entries behind the events that are none."""
    form, reset, refractory = KINDS[kind]
    dynamics = Dynamics(**numbers_of(p, form), reset=reset, refractory=refractory)
    times, indices = jnp.append(p["times"], jnp.full(2, jnp.inf)), jnp.append(indices, jnp.zeros(2, jnp.int32))
    inputs = Inputs(times, indices, p["weights"], p["back"], p["delays"])
    if mode == "eventprop":
        return run_by_eventprop(dynamics, inputs, DURATION, capacity)
    return run(dynamics, inputs, DURATION, capacity, differentiable=mode == "autodiff")


def loss(p, indices, mode, kind):
    """Of all times of spikes, with weights of the neurons; and what happened."""
    found = record(p, indices, kind, mode)
    there = found.times < jnp.inf
    times = jnp.where(there, found.times, 0.0)
    c = jnp.asarray(COEFFICIENTS)[found.neurons]
    return jnp.sum(jnp.where(there, jnp.sin(times / 7.0 + c) * c + 0.01 * times, 0.0)), found


@functools.cache
def programs(kind):
    def counts(found):
        there = (found.times < jnp.inf).astype(jnp.int32)
        return jnp.zeros(SIZE, jnp.int32).at[found.neurons].add(there)

    return compiled(functools.partial(loss, kind=kind), counts, backwards=kind in BACKWARDS)


def differences_with_delays(at_each, p, indices, instant=True):
    """Of the delays of zero there is one side alone, and none without `instant`."""

    def allowed(moved):
        later = jnp.maximum(moved["delays"][:, 0], 0.0) if instant else 0.0
        return moved | {"delays": moved["delays"].at[:, 0].set(later)}

    found = differences(at_each, p, indices, allowed=allowed)
    found["delays"] = found["delays"].at[0].multiply(2.0)
    return found


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
def test_every_parameter_has_its_gradient(kind, options, x64):
    """But for delays of zero of neurons without synapses: several jumps at once set off a spike, and only the last moves it."""
    p = jax.tree.map(jnp.asarray, parameters(kind, **options))
    indices = jnp.asarray(channels(), jnp.int32)
    by_adjoint, _, _, at_each = programs(kind)
    (value, found), exact = by_adjoint(p, indices)
    assert 6 <= found.count < CAPACITY
    assert len(set(np.asarray(found.neurons)[: int(found.count)])) >= 3
    assert not found.more
    instant = KINDS[kind][0] == "pair"
    expected = differences_with_delays(at_each, p, indices, instant=instant)
    assert_close({**exact, "delays": exact["delays"][1]}, {**expected, "delays": expected["delays"][1]}, 1e-6)
    if instant:
        size = np.abs(expected["delays"]).max() + 1e-4
        np.testing.assert_allclose(exact["delays"][0], expected["delays"][0], rtol=0, atol=1e-4 * size)
        assert all(np.any(np.abs(exact[name]) > 1e-6) for name in exact if name != "after")
    assert exact["times"][-1] == 0  # behind the end
    assert_autodiff_agrees(programs(kind), p, indices, 1e-8)


def by_search(p, indices, kind):
    form, reset, refractory = KINDS[kind]
    p = {name: np.asarray(x) for name, x in p.items()}
    numbers = numbers_of(p, form)
    arrivals = [(time, p["weights"][channel]) for time, channel in zip(p["times"], indices, strict=True)]
    rules = dict(reset=reset, refractory=refractory, back=p["back"], delays=p["delays"])
    return spike_times(numbers, arrivals, DURATION, **rules)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=str)
@pytest.mark.parametrize("seed", [3, 4])
def test_spikes_are_those_of_a_search_in_numpy(kind, options, seed, x64):
    p, indices = parameters(kind, **options, seed=seed), channels(seed)
    expected = by_search(p, indices, kind)
    (_, found), _ = programs(kind)[0](jax.tree.map(jnp.asarray, p), jnp.asarray(indices, jnp.int32))
    assert found.count == len(expected) >= 4
    assert not found.more
    pairs = zip(np.asarray(found.times), np.asarray(found.neurons), strict=True)
    found_spikes = sorted((round(float(t), 9), int(n)) for t, n in pairs if np.isfinite(t))
    expected = sorted((round(t, 9), n) for t, n in expected)
    assert [n for _, n in found_spikes] == [n for _, n in expected]
    np.testing.assert_allclose([t for t, _ in found_spikes], [t for t, _ in expected], rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["pair", "jump"])
def test_the_order_of_simultaneous_events_changes_nothing(kind, x64):
    """Three at a time, weights of both signs: spikes, and gradients of all but these times themselves."""
    p = jax.tree.map(jnp.asarray, parameters(kind))
    p["times"] = jnp.repeat(jnp.asarray([3.0, 11.0, 20.0, 27.0]), 3)[:EVENTS]
    indices = np.tile(np.arange(3), 4)[:EVENTS].astype(np.int32)
    shuffled = np.concatenate([np.random.default_rng(i).permutation(3) for i in (0, 1, 2)] + [[0]]).astype(np.int32)
    assert not np.array_equal(shuffled, indices)
    gradient = programs(kind)[0]
    (value, found), slopes = gradient(p, jnp.asarray(indices))
    (same, again), others = gradient(p, jnp.asarray(shuffled))
    assert found.count >= 5
    np.testing.assert_allclose(value, same, rtol=1e-12)
    np.testing.assert_allclose(found.times, again.times, rtol=1e-12)
    np.testing.assert_array_equal(found.neurons, again.neurons)
    for name in slopes:
        if name != "times":
            np.testing.assert_allclose(slopes[name], others[name], rtol=1e-9, atol=1e-12, err_msg=name)
    per_time = [np.add.reduceat(np.asarray(x["times"]), [0, 3, 6, 9]) for x in (slopes, others)]
    np.testing.assert_allclose(*per_time, rtol=1e-9, atol=1e-12)  # to move them together


def test_an_event_at_the_end_of_a_rest(x64):
    """Neurons without synapses do not feel what arrives during their rest, and feel what arrives behind it."""
    p = jax.tree.map(jnp.asarray, parameters("jump, set, rest"))
    for name, number in dict(start_v=0.0, rest=0.0, threshold=1.0, after=0.0, tau_mem=10.0).items():
        p[name] = jnp.full(SIZE, number)
    p["back"], p["weights"] = 0.0 * p["back"], jnp.full((CHANNELS, SIZE), 1.5)
    for later, spikes in [(2.2, 1), (2.4, 2)]:
        p["times"] = jnp.asarray([5.0, 5.0 + later] + [DURATION + 1.0] * (EVENTS - 2))
        (_, found), _ = programs("jump, set, rest")[0](p, jnp.zeros(EVENTS, jnp.int32))
        assert found.count == spikes * SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_silent_neurons_have_zero_gradients(kind, x64):
    p = jax.tree.map(jnp.asarray, parameters(kind))
    p["weights"] = -jnp.abs(p["weights"])
    p["start_v"], p["start_j"] = jnp.zeros(SIZE), -jnp.ones(SIZE)
    for gradient in programs(kind)[:2]:
        if gradient is None:
            continue
        (value, found), slopes = gradient(p, jnp.asarray(channels(), jnp.int32))
        assert value == 0
        assert found.count == 0
        for name, slope in slopes.items():
            np.testing.assert_array_equal(slope, 0.0, err_msg=name)


def test_spikes_for_which_there_is_no_room_are_told(x64):
    """A network cut off keeps the spikes that it has had, in their order."""
    p, indices = parameters("pair"), channels()
    expected = by_search(p, indices, "pair")
    p, indices = jax.tree.map(jnp.asarray, p), jnp.asarray(indices, jnp.int32)
    for capacity in (1, len(expected) - 1, len(expected)):
        found = jax.jit(lambda p, capacity=capacity: record(p, indices, "pair", "", capacity))(p)
        assert found.count == capacity
        assert bool(found.more) == (capacity < len(expected))
        np.testing.assert_allclose(found.times, [t for t, _ in expected[:capacity]], rtol=0, atol=1e-9)


def test_a_membrane_above_its_threshold_at_first_fires_at_zero(x64):
    """And what it sends arrives at once, or later; the spike is moved by no parameter, its arrivals are by the delays."""
    p = jax.tree.map(jnp.asarray, parameters("pair"))
    p["start_v"], p["start_j"], p["rest"] = jnp.asarray([1.5, 0.0, 0.0, 0.0]), jnp.zeros(SIZE), jnp.zeros(SIZE)
    p["threshold"], p["weights"] = jnp.ones(SIZE), 0.0 * p["weights"]
    p["back"] = jnp.zeros((LOOPS, SIZE, SIZE)).at[1, 0, 2].set(6.0)
    indices = jnp.asarray(channels(), jnp.int32)
    (_, found), slopes = programs("pair")[0](p, indices)
    first = found.neurons[: int(found.count)]
    assert first[0] == 0
    assert found.times[0] == 0
    assert np.all(first[1:] == 2)
    assert found.count > 1
    assert found.times[1] > p["delays"][1, 0]
    expected = differences_with_delays(programs("pair")[3], p, indices)
    np.testing.assert_allclose(slopes["delays"][1], expected["delays"][1], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(slopes["back"][1, 0], expected["back"][1, 0], rtol=1e-6, atol=1e-8)
    for name in ("start_v", "start_j", "rest"):
        assert slopes[name][0] == 0


@pytest.mark.parametrize("size_of_weights", [1e3, 1e10, 1e20])
def test_huge_weights_have_numbers_for_gradients(size_of_weights, x64):
    """With a rest, so that there are not more spikes than there is room for."""
    p = jax.tree.map(jnp.asarray, parameters("pair, set, rest"))
    p["weights"], p["back"] = size_of_weights * p["weights"], -size_of_weights * jnp.abs(p["back"])
    (_, found), slopes = programs("pair, set, rest")[0](p, jnp.asarray(channels(), jnp.int32))
    assert found.count >= 2
    assert all(np.isfinite(slope).all() for slope in slopes.values())


def test_in_a_batch_each_example_has_its_own_end(x64):
    """One without a spike, one with few, one with many: values and gradients are those of each alone."""
    kind = next(iter(KINDS))
    p, indices = jax.tree.map(jnp.asarray, parameters(kind)), channels()

    def of_weights(weights):
        value, found = loss(p | {"weights": weights}, indices, "eventprop", kind)
        return value, found.count

    gradient = jax.value_and_grad(of_weights, has_aux=True)
    each = [p["weights"] * scale for scale in (0.0, 0.5, 1.0)]
    together, one_by_one = jit(jax.vmap(gradient))(jnp.stack(each)), jit(gradient)
    counts = together[0][1]
    assert counts[0] == 0 < counts[1] < counts[2]
    for i, weights in enumerate(each):
        alone = one_by_one(weights)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-12, atol=1e-12), together, alone)
