"""Policies, encoders of observations and decoders of actions, against plain loops over steps and ticks in double precision."""

import copy
import io
import math
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.cells import find, walk
from snnx.control import (
    FirstSpikeDecoder,
    LatencyEncoder,
    Policy,
    PopulationEncoder,
    PopulationVectorDecoder,
    RateDecoder,
    RateEncoder,
)

KEY = jax.random.key(3)
STEPS, TICKS, VALUES, HIDDEN, ACTIONS = 5, 3, 3, 6, 2
TAU, READOUT_TAU = 4.0, 6.0
OBSERVATIONS = np.random.default_rng(0).normal(0.6, 1.0, (STEPS, VALUES))


def make_network(inputs=VALUES, *, readout=True, seed=0):
    """Linear, LIF, and a leaky readout, in JAX's default float: with weights large enough for spikes."""
    rng = np.random.default_rng(seed)

    def linear(fan_in, fan_out, scale):
        layer = eqx.nn.Linear(fan_in, fan_out, key=KEY)
        weight, bias = rng.normal(0.1, scale, (fan_out, fan_in)), rng.normal(0.2, 0.1, fan_out)
        return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (jnp.asarray(weight, float), jnp.asarray(bias, float)))

    layers = [linear(inputs, HIDDEN, 0.6), snnx.LIF(tau=TAU)]
    return snnx.Sequential(layers + [linear(HIDDEN, ACTIONS, 0.7), snnx.LI(tau=READOUT_TAU)] * readout)


class Reference:
    """That network in NumPy, in double precision. Its membranes go on from one call to the next."""

    def __init__(self, network):
        self.layers = [(np.float64(m.weight), np.float64(m.bias)) for m in network.layers[::2]]
        self.v, self.u = np.zeros(HIDDEN), np.zeros(ACTIONS)

    def tick(self, x):
        (weight, bias), *readout = self.layers
        self.v = self.v + (1 - math.exp(-1 / TAU)) * (0 - self.v) + (weight @ x + bias)
        self.spikes = (self.v > 1.0).astype(float)
        self.v = self.v - self.spikes
        for weight, bias in readout:
            self.u = self.u + (1 - math.exp(-1 / READOUT_TAU)) * (0 - self.u) + (weight @ self.spikes + bias)
        return self.u.copy() if readout else self.spikes


def latency_spikes(x, low, high, ticks):
    """One spike of each value, the earlier the larger; `[ticks, values]`."""
    spikes = np.zeros((ticks, len(x)))
    for i, one in enumerate(x):
        share = min(max((one - low) / (high - low), 0.0), 1.0)
        if share > 0:
            spikes[round((1 - share) * (ticks - 1)), i] = 1.0
    return spikes


def act(policy, observations, key=None):
    """Step by step: the actions, and the state after the last."""
    step = eqx.filter_jit(policy)
    state, actions = policy.init_state(observations.shape[1:]), []
    for x in jnp.asarray(observations, float):
        action, state = step(x, state, key=key)
        actions.append(action)
    return jnp.stack(actions), state


# A step of the environment is several ticks of the network.


@pytest.mark.parametrize("ticks", [1, TICKS])
def test_the_network_goes_on_from_step_to_step_for_so_many_ticks(ticks, x64):
    network = make_network()
    actions, state = act(Policy(network, ticks=ticks), OBSERVATIONS)
    reference, expected, fired = Reference(network), [], 0
    for x in OBSERVATIONS:
        for _ in range(ticks):
            y = reference.tick(x)
            fired += reference.spikes.sum()
        expected.append(y)
    assert fired > 5
    np.testing.assert_allclose(actions, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.network["1"].v, reference.v, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.network["3"].v, reference.u, rtol=1e-12, atol=1e-12)
    assert state.step == STEPS


def test_single_and_half_precision_follow_as_far_as_they_can():
    network = make_network()
    reference = Reference(network)
    expected = [[reference.tick(x) for _ in range(2)][-1] for x in OBSERVATIONS]
    actions, _ = act(Policy(network, ticks=2), OBSERVATIONS)
    assert actions.dtype == jnp.float32
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)

    half = snnx.cast(Policy(make_network(), ticks=2, action=jnp.tanh), "bfloat16")
    x = jnp.asarray(OBSERVATIONS[0], jnp.bfloat16)
    action, state = eqx.filter_jit(half)(x, half.init_state((VALUES,)))
    assert action.dtype == state.network["1"].v.dtype == jnp.bfloat16
    np.testing.assert_allclose(action.astype(jnp.float32), np.tanh(expected[0]), atol=0.05)


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [(jnp.argmax, np.argmax), (jnp.tanh, np.tanh), (lambda y: {"push": 2 * y[0]}, lambda y: {"push": 2 * y[0]})],
)
def test_the_action_is_a_function_of_the_last_output(function, by_hand):
    network = make_network()
    policy, reference = Policy(network, ticks=TICKS, action=function), Reference(network)
    action, _ = policy(jnp.asarray(OBSERVATIONS[0], float), policy.init_state((VALUES,)))
    expected = by_hand([reference.tick(OBSERVATIONS[0]) for _ in range(TICKS)][-1])
    assert jax.tree.structure(action) == jax.tree.structure(expected)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5), action, expected)


def coded_policy(ticks=5, **settings):
    """Spike times in, the network's spikes, their rate out."""
    encoder = LatencyEncoder(-1.0, 1.5, ticks)
    return Policy(make_network(readout=False, seed=1), ticks=ticks, encoder=encoder, decoder=RateDecoder(), **settings)


def coded_reference(policy, observations):
    """What every part of it puts out, `[steps, ticks, ...]` by path."""
    reference = Reference(policy.network)
    traces = {path: [] for path in ("encoder", "network", "network.1", "network.1.v", "decoder")}
    for x in observations:
        spikes = latency_spikes(x, -1.0, 1.5, policy.ticks)
        ys, vs = zip(*[(reference.tick(s), reference.v) for s in spikes], strict=True)
        rates = np.cumsum(ys, axis=0) / np.arange(1, policy.ticks + 1)[:, None]
        for path, trace in zip(traces, (spikes, ys, ys, vs, rates), strict=True):
            traces[path].append(trace)
    return {path: np.array(trace) for path, trace in traces.items()}


def test_encoder_and_decoder_start_anew_at_every_step_while_the_network_goes_on(x64):
    policy = coded_policy()
    expected = coded_reference(policy, OBSERVATIONS)
    assert 0.1 < expected["network"].mean() < 0.9
    actions, state = act(policy, OBSERVATIONS)
    np.testing.assert_allclose(actions, expected["decoder"][:, -1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(state.network["1"].v, expected["network.1.v"][-1, -1], rtol=1e-12, atol=1e-12)


def test_a_membrane_can_be_the_decoder(x64):
    network = make_network(readout=False)
    actions, _ = act(Policy(network, ticks=TICKS, decoder=snnx.LI(tau=READOUT_TAU)), OBSERVATIONS)
    reference, expected = Reference(network), []
    for x in OBSERVATIONS:
        u = 0.0  # starts anew
        for _ in range(TICKS):
            u = u - (1 - math.exp(-1 / READOUT_TAU)) * u + reference.tick(x)
        expected.append(u)
    assert np.any(expected)
    np.testing.assert_allclose(actions, expected, rtol=1e-12, atol=1e-12)


# Policies are cells: stretches of time, records, masks.


def test_simulate_records_every_part_with_an_axis_of_ticks(x64):
    policy = coded_policy(action=jnp.argmax)
    paths = ["encoder", "network", "network.1", "network.1.v", "decoder", ""]
    batch = np.stack([OBSERVATIONS, OBSERVATIONS[::-1]])
    run = jax.jit(jax.vmap(lambda xs: snnx.simulate(policy, xs, record=paths, chunk=3)))
    actions, _, records = run(jnp.asarray(batch))
    for i, observations in enumerate(batch):
        expected = coded_reference(policy, observations)
        for path, trace in expected.items():
            assert records[path][i].shape == (STEPS, policy.ticks, trace.shape[-1])
            np.testing.assert_allclose(records[path][i], trace, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(actions[i], expected["decoder"][:, -1].argmax(axis=1))
    np.testing.assert_array_equal(records[""], actions)


def test_a_record_of_a_single_tick_has_the_axis_too(x64):
    policy = Policy(make_network())
    _, _, records = snnx.simulate(policy, jnp.asarray(OBSERVATIONS), record={"network.1": snnx.Sum()})
    reference = Reference(policy.network)
    fired = sum(reference.tick(x) is not None and reference.spikes for x in OBSERVATIONS)
    np.testing.assert_array_equal(records["network.1"], fired[None])


def test_over_time_is_its_steps_and_masked_steps_do_not_happen(x64):
    """With a random encoder: a masked step uses up no noise either."""
    encoder = RateEncoder(-1.0, 1.5)
    policy = Policy(make_network(), ticks=TICKS, encoder=encoder)
    xs, mask = jnp.asarray(OBSERVATIONS), np.array([True, False, False, True, True])
    run = jax.jit(
        lambda mask: policy.over_time(xs, policy.init_state((VALUES,)), key=KEY, mask=mask, taps=("encoder",))
    )
    for live in (np.ones(STEPS, bool), mask):
        ys, state, tapped = run(live)
        expected, end = act(policy, OBSERVATIONS[live], KEY)
        np.testing.assert_allclose(ys[live], expected, rtol=1e-12, atol=1e-12)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), state, end)
        assert state.step == live.sum()
        np.testing.assert_array_equal(ys[~live], 0)
        np.testing.assert_array_equal(tapped["encoder"][~live], 0)
        assert tapped["encoder"][live].any(axis=(1, 2)).all()


class Noise(snnx.AbstractCell):
    """Puts out what its key draws."""

    def init_state(self, shape):
        return None

    def __call__(self, x, state, *, key=None):
        return jax.random.uniform(key, x.shape), None


def test_the_noise_of_one_part_is_not_that_of_another():
    policy = Policy(snnx.Sequential([Noise(), Noise(), Noise()]), encoder=Noise(), decoder=Noise())
    paths = ["encoder", "network.0", "network.1", "network.2", "decoder"]
    _, _, records = snnx.simulate(policy, jnp.zeros((4, 1)), record=paths, key=KEY)
    for path in ("encoder", "decoder"):
        assert len(np.unique(records[path])) == 4, "every step of the environment has noise of its own"
    drawn = [set(np.ravel(records[path]).tolist()) for path in paths]
    assert len(set.union(*drawn)) == sum(map(len, drawn)), "two parts drew the same numbers"


def test_every_tick_and_every_step_has_fresh_noise_that_follows_from_the_key():
    policy = Policy(snnx.Sequential([snnx.layers.Scale(1.0)]), ticks=TICKS, encoder=RateEncoder(0.0, 1.0))
    xs = jnp.full((STEPS, 64), 0.5)
    spikes = jax.jit(lambda key: snnx.simulate(policy, xs, record=["encoder"], key=key)[2]["encoder"])
    first = np.asarray(spikes(KEY))
    drawn = first.reshape(STEPS * TICKS, 64)
    for i in range(STEPS * TICKS):
        for j in range(i):
            differ = np.mean(drawn[i] != drawn[j])
            assert 0.2 < differ < 0.8, f"draws {i} and {j} are not independent: {differ} of them differ"
    np.testing.assert_array_equal(first, spikes(KEY))
    assert 0.3 < np.mean(first != spikes(jax.random.key(4))) < 0.7


def test_the_parts_have_paths():
    policy = coded_policy()
    assert [path for path, _ in walk(policy)] == ["", "encoder", "network", "network.0", "network.1", "decoder"]
    assert find(policy, "network.1") is policy.network[1]
    assert list(Policy(make_network()).children()) == ["network"]


ENCODERS = {
    "none": (lambda: None, (VALUES,)),
    "RateEncoder": (lambda: RateEncoder(jnp.zeros(VALUES), 1.0), (VALUES,)),
    "LatencyEncoder": (lambda: LatencyEncoder(0.0, 1.0, TICKS), (VALUES,)),
    "PopulationEncoder": (lambda: PopulationEncoder(0.0, jnp.array([1.0, 2.0, 3.0]), 5), (VALUES * 5,)),
    "a network": (lambda: snnx.Sequential([eqx.nn.Linear(VALUES, 7, key=KEY), snnx.LIF(4.0)]), (7,)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_networks_state_has_the_shape_of_what_the_encoder_gives(name, dtype):
    factory, shape = ENCODERS[name]
    policy = snnx.cast(Policy(snnx.LIF(tau=jnp.array(4.0)), encoder=factory(), ticks=TICKS), dtype)
    before = policy.init_state((VALUES,))
    np.testing.assert_array_equal(before.network.v, np.zeros(shape))
    x = jax.ShapeDtypeStruct((VALUES,), dtype)
    y, after = jax.eval_shape(lambda x, state: policy(x, state, key=KEY), x, before)
    assert (y.shape, y.dtype) == (shape, dtype)
    assert jax.tree.map(lambda s: (s.shape, s.dtype), after) == jax.tree.map(lambda s: (s.shape, s.dtype), before)


def test_a_network_of_several_inputs_sees_an_observation_of_several_parts():
    nodes = {"sum": snnx.layers.Add(), "lif": snnx.LIF(TAU)}
    edges = [("here", "sum"), ("there", "sum"), ("sum", "lif"), ("lif", "output")]
    policy = Policy(snnx.Graph(nodes, edges, inputs=("here", "there")), ticks=TICKS)
    seen = {"here": jnp.array([0.4, 0.1]), "there": jnp.array([0.3, 0.2])}
    _, state = policy(seen, policy.init_state({"here": (2,), "there": (2,)}))
    v, lam = np.zeros(2), 1 - math.exp(-1 / TAU)
    for _ in range(TICKS):
        v = v - lam * v + np.array([0.7, 0.3])
        v = np.where(v > 1, v - 1, v)
    np.testing.assert_allclose(state.network["lif"].v, v, rtol=1e-5)


def test_survives_pickle_copy_and_file():
    policy = Policy(
        make_network(VALUES * 4),
        ticks=TICKS,
        encoder=PopulationEncoder(-1.0, jnp.array([1.0, 2.0, 3.0]), 4),
        decoder=PopulationVectorDecoder(jnp.array([-1.0, 1.0])),
        action=jnp.argmax,
    )
    for again in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy)):
        assert eqx.tree_equal(again, policy)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, policy)
    file.seek(0)
    blank = jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, policy)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, blank), policy)


@pytest.mark.parametrize(
    ("ticks", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)]
)
def test_ticks_are_a_whole_number(ticks, error):
    for make in (
        lambda: Policy(make_network(), ticks=ticks),
        lambda: LatencyEncoder(0.0, 1.0, ticks),
        lambda: FirstSpikeDecoder(ticks),
    ):
        with pytest.raises(error, match=r"\bticks\b"):
            make()


@pytest.mark.parametrize(
    "settings",
    [{"network": jnp.tanh}, {"network": None}, {"encoder": jnp.tanh}, {"decoder": RateDecoder}, {"action": 3}],
    ids=lambda settings: next(iter(settings)),
)
def test_what_is_not_a_part_is_refused(settings):
    (name,) = settings
    with pytest.raises(TypeError, match=rf"Policy: {name}\b"):
        Policy(**({"network": make_network()} | settings))


def test_numbers_and_arrays_of_numpy_are_taken():
    low, high = LOW.astype(np.float32), HIGH.astype(np.float32)
    x = jnp.array([0.1, 0.2, 3.0])
    for kind in (RateEncoder, lambda low, high: LatencyEncoder(low, high, np.int64(9))):
        found, expected = (
            over_ticks(kind(*ends), x, 9) for ends in ((low, high), (jnp.asarray(low), jnp.asarray(high)))
        )
        np.testing.assert_array_equal(found, expected)
    assert PopulationEncoder(LOW, HIGH, np.int64(4), beta=np.float32(1.5)) == PopulationEncoder(
        LOW.tolist(), tuple(HIGH.tolist()), 4
    )
    assert Policy(make_network(), ticks=np.int64(3)).ticks == 3
    decoder = PopulationVectorDecoder(np.linspace(-1, 1, 5, dtype=np.float32))
    assert isinstance(decoder.preferred, jax.Array)
    for wrong in (lambda: RateEncoder(LOW, HIGH), lambda: PopulationVectorDecoder(LOW)):
        with pytest.raises(snnx.DtypeError, match=r"\b(low|preferred)\b.*float64"):
            wrong()


# Encoders and decoders, each at all ticks against NumPy.


def over_ticks(cell, x, ticks, key=KEY, *, batch=False):
    """What a cell that sees one `x` again and again puts out; with `batch`, of each row of `x`."""

    def run(x):
        xs = jnp.broadcast_to(x, (ticks, *x.shape))
        return cell.over_time(xs, cell.init_state(x.shape), key=key)[0]

    return jax.jit(jax.vmap(run) if batch else run)(x)


def first_spikes(spikes, ticks):
    """Scores at every tick, by a loop over neurons."""
    scores = np.zeros_like(spikes)
    for i in range(spikes.shape[1]):
        at = [k for k in range(len(spikes)) if spikes[k, i]]
        for k in range(len(spikes)):
            scores[k, i] = 1 - at[0] / ticks if at and k >= at[0] else 0.0
    return scores


def population_vectors(spikes, preferred):
    vectors = []
    for k in range(1, len(spikes) + 1):
        counts = spikes[:k].sum(axis=0)
        weighted = sum(n * np.atleast_1d(p) for n, p in zip(counts, preferred, strict=True))
        vectors.append(weighted / counts.sum() if counts.sum() else 0 * weighted)
    return np.array(vectors)


LINE, CIRCLE = np.linspace(-1.0, 1.0, 5), np.random.default_rng(5).normal(size=(5, 2))
LOW, HIGH = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 8.0])
SPIKES = (np.random.default_rng(6).uniform(size=(2, 6, 5)) < 0.3).astype(float)
SPIKES[:, :2] = 0.0  # silence at first
SPIKES[0, :, 0] = 0.0  # and one neuron that never fires
SPIKES[0, 3, 1:3] = 1.0  # and two that fire together

DECODERS = {
    "RateDecoder": (RateDecoder, lambda s: np.cumsum(s, axis=0) / np.arange(1, len(s) + 1)[:, None]),
    "FirstSpikeDecoder": (lambda: FirstSpikeDecoder(6), lambda s: first_spikes(s, 6)),
    "PopulationVectorDecoder": (
        lambda: PopulationVectorDecoder(jnp.asarray(LINE, float)),
        lambda s: population_vectors(s, LINE),
    ),
    "PopulationVectorDecoder, plane": (
        lambda: PopulationVectorDecoder(snnx.Frozen(jnp.asarray(CIRCLE, float))),
        lambda s: population_vectors(s, CIRCLE),
    ),
}
PRECISION = {"float32": 1e-6, "bfloat16": 0.02, "float64": 1e-14}


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_says_at_every_tick_what_the_spikes_so_far_stand_for(name, dtype, x64):
    factory, by_hand = DECODERS[name]
    decoder = snnx.cast(factory(), dtype)

    def run(spikes):
        return decoder.over_time(spikes, decoder.init_state(spikes.shape[1:]))[0]

    found = jax.jit(jax.vmap(run))(jnp.asarray(SPIKES, dtype))
    expected = np.stack([by_hand(spikes) for spikes in SPIKES])
    assert found.dtype == dtype
    np.testing.assert_allclose(np.float64(found), expected, atol=PRECISION[dtype])
    np.testing.assert_array_equal(found[:, :2], 0.0)
    assert np.any(expected)


def test_counts_stay_exact_in_half_precision():
    """bfloat16 holds whole numbers up to 256 only."""
    decoder = RateDecoder()
    xs = jnp.ones((400, 1), jnp.bfloat16)
    rates, _, _ = decoder.over_time(xs, decoder.init_state((1,)))
    np.testing.assert_array_equal(rates.astype(jnp.float32), 1.0)


def test_the_first_spike_chooses_the_earliest_neuron_and_the_first_of_several():
    policy = Policy(snnx.LIF(tau=1e9), ticks=4, decoder=FirstSpikeDecoder(4), action=jnp.argmax)
    for currents, chosen in (
        ([0.3, 0.6, 0.4], 1),  # crosses 1 at ticks 3, 1 and 2
        ([0.1, 0.4, 0.4], 1),  # both at tick 2
        ([0.1, 0.1, 0.6], 2),
        ([0.1, 0.1, 0.1], 0),  # silence
    ):
        action, _ = policy(jnp.array(currents), policy.init_state((3,)))
        assert action == chosen


def test_preferred_values_are_learned_unless_frozen():
    spikes = jnp.asarray(SPIKES[0], float)
    counts = SPIKES[0].sum(axis=0)

    def vector(decoder, spikes):
        return jnp.sum(decoder.over_time(spikes, decoder.init_state((5,)))[0][-1])

    gradient = eqx.filter_grad(vector)(PopulationVectorDecoder(jnp.asarray(LINE, float)), spikes)
    np.testing.assert_allclose(gradient.preferred, counts / counts.sum(), rtol=1e-6)
    frozen = PopulationVectorDecoder(snnx.Frozen(jnp.asarray(LINE, float)))
    assert not eqx.filter_grad(vector)(frozen, spikes).preferred.array.any()
    with pytest.raises(ValueError, match="nothing to train"):
        snnx.partition(frozen)

    by_spikes = jax.grad(lambda s: vector(frozen, s))(spikes)  # (p_i - d) / sum of n, the same at every tick
    expected = (LINE - counts @ LINE / counts.sum()) / counts.sum()
    np.testing.assert_allclose(by_spikes, np.broadcast_to(expected, (6, 5)), rtol=1e-5, atol=1e-6)
    assert np.isfinite(jax.grad(lambda s: vector(frozen, s))(jnp.zeros((6, 5)))).all(), "silence has a gradient too"


def test_a_rate_is_the_share_of_the_range():
    """Over 4000 ticks, each within five standard deviations; beyond the range always and never."""
    encoder = RateEncoder(jnp.asarray([-1.0, 0.0, 2.0, 0.0, 0.0], float), jnp.asarray([1.0, 0.5, 8.0, 1.0, 1.0], float))
    x, p = jnp.array([0.0, 0.4, 2.6, -0.5, 1.5]), np.array([0.5, 0.8, 0.1, 0.0, 1.0])
    spikes = np.asarray(over_ticks(encoder, x, 4000))
    assert set(np.unique(spikes)) == {0.0, 1.0}
    assert (np.abs(spikes.mean(axis=0) - p) <= 5 * np.sqrt(p * (1 - p) / 4000)).all()
    left, right = spikes[:-1, 1] - 0.8, spikes[1:, 1] - 0.8
    assert abs(np.mean(left * right)) < 5 * 0.16 / np.sqrt(4000), "one tick does not follow from the one before"


def test_the_ends_of_a_range_can_be_evolved():
    lows = jnp.array([0.0, 0.9])
    rates = jax.jit(
        jax.vmap(lambda low: jnp.mean(over_ticks(RateEncoder(low, 1.0), jnp.full(500, 0.8), 1), dtype=jnp.float32))
    )(lows)
    assert 0.7 < rates[0] < 0.9
    assert rates[1] == 0.0
    params, _ = snnx.partition(RateEncoder(jnp.asarray(0.0), 1.0))
    assert [float(leaf) for leaf in jax.tree.leaves(params)] == [0.0]


@pytest.mark.parametrize("dtype", PRECISION)
def test_a_rate_in_every_precision(dtype, x64):
    spikes = over_ticks(RateEncoder(0.0, 2.0), jnp.full(2000, 0.5, dtype), 1)[0]
    assert spikes.dtype == dtype
    assert abs(np.float64(spikes).mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 2000)


@pytest.mark.parametrize("ticks", [1, 16, 300])
@pytest.mark.parametrize("dtype", PRECISION)
def test_spike_times_are_those_of_the_latency_code(ticks, dtype, x64):
    """On every value of a fine grid, the ends and values beyond them."""
    grid = jnp.linspace(0.0, 1.0, 257).astype(dtype)  # exact in every dtype but bfloat16, which rounds it
    spikes = over_ticks(LatencyEncoder(0.0, 1.0, ticks), grid, ticks)
    assert spikes.dtype == dtype
    expected = latency_spikes(np.float64(grid), 0.0, 1.0, ticks)
    np.testing.assert_array_equal(np.float64(spikes), expected)
    np.testing.assert_array_equal(spikes, snnx.encoding.latency(grid, ticks))


def test_spike_times_depend_on_the_range():
    encoder = LatencyEncoder(jnp.asarray(LOW, float), jnp.asarray(HIGH, float), 9)
    xs = np.array([[-1.0, 0.25, 9.0], [0.1, 0.6, 1.0], [0.9, 0.01, 5.2]])
    spikes = np.asarray(over_ticks(encoder, jnp.asarray(xs, float), 9, batch=True))
    for x, train in zip(xs, spikes, strict=True):
        columns = [latency_spikes([x[i]], LOW[i], HIGH[i], 9)[:, 0] for i in range(3)]
        np.testing.assert_array_equal(train, np.stack(columns, axis=1))


@pytest.mark.parametrize("dtype", PRECISION)
def test_receptive_fields_are_gaussians_that_overlap_evenly(dtype, x64):
    fields, beta = 6, 1.2
    encoder = PopulationEncoder(tuple(LOW), jnp.asarray(HIGH), fields, beta=beta)
    xs = np.array([[0.0, 0.25, 5.0], [-1.5, 0.5, 2.0], [1e3, 0.1, 7.9]])
    found = over_ticks(encoder, jnp.asarray(xs, dtype), 1, batch=True)[:, 0]
    assert found.dtype == dtype
    expected = np.zeros((3, 3, fields))
    for e, x in enumerate(np.float64(jnp.asarray(xs, dtype))):
        for i in range(3):
            spacing = (HIGH[i] - LOW[i]) / (fields - 2)
            for j in range(fields):
                center = LOW[i] + (2 * (j + 1) - 3) / 2 * spacing
                expected[e, i, j] = math.exp(-((x[i] - center) ** 2) / (2 * (spacing / beta) ** 2))
    tolerance = {"float32": 1e-5, "bfloat16": 0.03, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(np.float64(found), expected.reshape(3, -1), atol=tolerance)
    if dtype == "float64":  # the package's own code, value by value
        for i in range(3):
            centers, width = snnx.encoding.population_fields(LOW[i], HIGH[i], fields, beta=beta)
            own = snnx.encoding.population(jnp.asarray(xs[:, i]), centers, width)
            np.testing.assert_allclose(found[:, i * fields : (i + 1) * fields], own, atol=1e-12)
    one = PopulationEncoder(LOW[0], HIGH[0], fields, beta=beta)  # one range for all values
    both, _ = one(jnp.asarray([0.0, 0.0]), None)
    np.testing.assert_allclose(both, np.tile(expected[0, 0], 2), atol=1e-5)


def test_receptive_fields_pass_the_gradient():
    encoder = PopulationEncoder(0.0, 1.0, 5)
    x, h = jnp.array([0.3]), 1e-3
    value = jax.jit(lambda x: jnp.sum(encoder(x, None)[0] * jnp.arange(5.0)))
    slope = jax.jit(jax.grad(value))(x)[0]
    np.testing.assert_allclose(slope, (value(x + h) - value(x - h)) / (2 * h), rtol=1e-3)


@pytest.mark.parametrize("kind", [RateEncoder, lambda low, high: LatencyEncoder(low, high, 3)])
def test_a_range_goes_up_and_fits_the_observation(kind):
    for low, high in ((1.0, 1.0), (2.0, 1.0), (jnp.zeros(2), jnp.array([1.0, 0.0]))):
        with pytest.raises(ValueError, match=r"\brange\b"):
            kind(low, high)
    with pytest.raises(ValueError, match=r"\bhigh\b"):
        kind(0.0, float("inf"))
    with pytest.raises(TypeError, match=r"\blow\b"):
        kind("a", 1.0)
    for shape in ((2,), (1,)):  # nor is a single value spread over three ranges
        with pytest.raises(snnx.ShapeError, match=r"\blow\b"):
            Policy(make_network(), ticks=3, encoder=kind(jnp.zeros(3), 1.0)).init_state(shape)


def test_codes_are_made_for_the_ticks_of_the_policy():
    for part in ({"encoder": LatencyEncoder(0.0, 1.0, 4)}, {"decoder": FirstSpikeDecoder(4)}):
        with pytest.raises(ValueError, match=rf"\bticks\b.*{next(iter(part))}"):
            Policy(make_network(), ticks=8, **part)


def test_what_encoders_and_decoders_refuse():
    policy = Policy(make_network(), encoder=RateEncoder(0.0, 1.0))
    with pytest.raises(ValueError, match=r"RateEncoder.*\bkey\b"):
        policy(jnp.zeros(VALUES), policy.init_state((VALUES,)))
    for make, error, name in (
        (lambda: PopulationEncoder(0.0, 1.0, 2), ValueError, "fields"),
        (lambda: PopulationEncoder(0.0, 1.0, True), TypeError, "fields"),
        (lambda: PopulationEncoder((0.0, 1.0), 1.0, 4), ValueError, "low < high"),
        (lambda: PopulationEncoder((0.0, 0.0, 0.0), (1.0, 1.0), 4), ValueError, "low"),
        (lambda: PopulationEncoder(0.0, jnp.inf, 4), ValueError, "high"),
        (lambda: PopulationEncoder(0.0, 1.0, 4, beta=0.0), ValueError, "beta"),
    ):
        with pytest.raises(error, match=rf"\b{name}\b"):
            make()
    encoder = PopulationEncoder((0.0, 0.0, 0.0), 1.0, 4)
    for shape in ((4,), (1,), (3, 1)):
        with pytest.raises(snnx.ShapeError, match=r"\bobservation\b.*3"):
            encoder(jnp.zeros(shape), encoder.init_state(shape))
    with pytest.raises(snnx.ShapeError, match=r"\bpreferred\b"):
        PopulationVectorDecoder(jnp.zeros(3)).init_state((2,))
    with pytest.raises(snnx.ShapeError, match=r"\bpreferred\b"):
        PopulationVectorDecoder(jnp.array(1.0))
    with pytest.raises(TypeError, match=r"\bpreferred\b"):
        PopulationVectorDecoder(np.zeros(3))
    for cell in (RateDecoder(), FirstSpikeDecoder(2), PopulationVectorDecoder(jnp.zeros(3)), RateEncoder(0.0, 1.0)):
        with pytest.raises(snnx.DtypeError, match=r"\bx\b"):
            cell(jnp.zeros(3, int), cell.init_state((3,)), key=KEY)
