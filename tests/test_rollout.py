"""Rollouts: equal to a plain loop over policy and environment, however they are vmapped, cut, recorded or differentiated."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.control import Environment, Policy, RateEncoder, pendulum, point_mass, rollout

KEY = jax.random.key(21)
LENGTH = 14


# An environment, a policy, and the loop.


def walk(*, drift=0.15, noise=0.3, wide=1.0, time=5, start=0.4):
    """A walker on a line who is pushed, and blown about: over beyond `wide`, or when `time` is up."""

    def see(state):
        return jnp.stack([state["place"], 0.2 * state["time"]])

    def reset(key):
        state = {"place": start * jax.random.uniform(key, minval=-1.0), "time": jnp.zeros((), jnp.int32)}
        return see(state), state

    def step(state, action, key):
        place = state["place"] + drift * action[0] + noise * jax.random.normal(key)
        new = {"place": place, "time": state["time"] + 1}
        return see(new), new, 1.0 - place**2, jnp.abs(place) > wide, new["time"] >= time

    return Environment(reset, step)


def make_policy(seed=0, *, inputs=2, outputs=1, ticks=3, encoder=True, dropout=(), scale=4.0):
    """A spiking policy; with `encoder` one that draws its spikes at random."""
    keys = jax.random.split(jax.random.key(seed), 2)
    first = eqx.nn.Linear(inputs, 6, key=keys[0])
    first = eqx.tree_at(lambda m: m.weight, first, scale * first.weight)
    last = eqx.nn.Linear(6, outputs, key=keys[1])
    network = snnx.Sequential([first, snnx.LIF(tau=4.0), *dropout, last, snnx.LI(tau=8.0)])
    return Policy(network, ticks=ticks, encoder=RateEncoder(-1.0, 1.0) if encoder else None, action=jnp.tanh)


def smooth_policy(inputs, outputs, seed=0):
    """One without spikes, whose gradient is that of the function that it is."""
    keys = jax.random.split(jax.random.key(seed), 2)
    return snnx.Sequential([eqx.nn.Linear(inputs, 3, key=keys[0]), jnp.tanh, eqx.nn.Linear(3, outputs, key=keys[1])])


def by_hand(policy, env, length, key, *, auto_reset=False):
    """The same in plain Python: one step after the other, an `if` where the episode ends."""
    act, step, reset = eqx.filter_jit(policy), jax.jit(env.step), jax.jit(env.reset)
    key_reset, key_env, key_policy = jax.random.split(key, 3)
    observation, state = reset(key_reset)
    neurons, episode = policy.init_state(observation.shape), 0
    steps, starts = [], [0]
    for t in range(length):
        before = observation, state, neurons
        action, neurons = act(observation, neurons, key=jax.random.fold_in(key_policy, episode))
        key_step, key_again = jax.random.split(jax.random.fold_in(key_env, t))
        observation, state, reward, *ends = step(state, action, key_step)
        steps.append((*before, action, float(reward), *map(bool, ends)))
        if any(ends):
            episode += 1
            if not auto_reset:
                break
            observation, state = reset(key_again)
            neurons = policy.init_state(observation.shape)
            starts.append(t + 1)
    return steps, (observation, state, neurons), starts


def same(found, expected, rtol=1e-5, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected)


def at(tree, *index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


PATHS = ["encoder", "network.1", "network.1.v"]


@functools.cache
def rolled(auto_reset):
    """Five episodes at once, and each of them by hand."""
    policy, env, keys = make_policy(), walk(), jax.random.split(KEY, 5)
    run = jax.jit(
        jax.vmap(
            lambda key: rollout(
                policy,
                env,
                length=LENGTH,
                key=key,
                auto_reset=auto_reset,
                trajectory=True,
                env_states=True,
                record={path: (snnx.Stack(), snnx.Mean(), snnx.Sum(), snnx.Last()) for path in PATHS},
            )
        )
    )
    return run(keys), [by_hand(policy, env, LENGTH, key, auto_reset=auto_reset) for key in keys]


@pytest.mark.parametrize("auto_reset", [False, True])
@pytest.mark.slow
def test_returns_lengths_and_episodes_are_those_of_a_plain_loop(auto_reset):
    out, loops = rolled(auto_reset)
    reasons = set()
    for i, (steps, _, _) in enumerate(loops):
        np.testing.assert_allclose(out.returns[i], sum(s[4] for s in steps), rtol=1e-5)
        assert out.lengths[i] == len(steps)
        assert out.episodes[i] == sum(s[5] or s[6] for s in steps)
        reasons |= {s[5:] for s in steps}
    assert {(True, False), (False, True), (False, False)} <= reasons, "some fall, some are out of time"
    if auto_reset:
        assert (out.lengths == LENGTH).all()
        assert out.episodes.max() >= 3
    else:
        assert (out.episodes == 1).all()
        assert len(set(out.lengths.tolist())) > 1


@pytest.mark.parametrize("auto_reset", [False, True])
def test_a_trajectory_holds_what_was_seen_before_each_action_and_what_came_of_it(auto_reset):
    out, loops = rolled(auto_reset)
    for i, (steps, _, _) in enumerate(loops):
        trajectory = at(out.trajectory, i)
        for t, (observation, state, _, action, reward, terminated, truncated) in enumerate(steps):
            one = at(trajectory, t)
            same(
                (one.observation, one.state, one.action, one.reward),
                (observation, state, action, jnp.asarray(reward)),
            )
            assert (one.terminated, one.truncated, one.alive) == (terminated, truncated, True)
        behind = at(trajectory, slice(len(steps), None))
        stopped = behind.state
        for leaf in jax.tree.leaves(eqx.tree_at(lambda b: b.state, behind, None)):
            np.testing.assert_array_equal(leaf, np.zeros_like(leaf))
        for t in range(LENGTH - len(steps)):
            same(at(stopped, t), loops[i][1][1])


@pytest.mark.parametrize("auto_reset", [False, True])
def test_it_stops_where_the_loop_does(auto_reset):
    """Behind its end an episode stands still; with resets the last one goes on."""
    out, loops = rolled(auto_reset)
    for i, (steps, (observation, state, neurons), _) in enumerate(loops):
        end = at(out.state, i)
        same((end.observation, end.environment, end.policy), (observation, state, neurons))
        assert end.ended == (not auto_reset)
        assert end.episode == sum(s[5] or s[6] for s in steps)


def test_at_a_reset_neurons_and_environment_are_fresh():
    out, loops = rolled(True)
    for i, (_, _, starts) in enumerate(loops):
        for t in starts[1:]:
            state = at(out.trajectory.state, i, t) if t < LENGTH else at(out.state.environment, i)
            assert state["time"] == 0
            assert abs(state["place"]) <= 0.4
        # The first membranes of an episode follow from its first spikes alone.
        spikes, v = (out.record[path][0][i] for path in ("encoder", "network.1.v"))
        linear = make_policy().network[0]
        for t in [start for start in starts if start < LENGTH]:
            drive = np.float64(linear.weight) @ np.float64(spikes[t, 0]) + np.float64(linear.bias)
            np.testing.assert_allclose(v[t, 0], np.where(drive > 1, drive - 1, drive), rtol=1e-4, atol=1e-5)


def test_the_noise_of_one_episode_is_not_that_of_the_next():
    """An environment that always begins in the same way, and a policy that draws 20 spikes a step."""
    env = Environment(lambda key: (jnp.zeros(20), jnp.zeros(())), lambda s, a, k: (jnp.zeros(20), s, 0.0, True))
    policy = Policy(snnx.Sequential([snnx.layers.Scale(1.0)]), encoder=RateEncoder(-1.0, 1.0))
    out = rollout(policy, env, length=6, key=KEY, auto_reset=True, record=["encoder"])
    assert out.episodes == 6
    drawn = np.asarray(out.record["encoder"][:, 0])
    assert len(np.unique(drawn, axis=0)) == 6


@pytest.mark.parametrize("auto_reset", [False, True])
def test_records_are_of_every_tick_and_reduced_over_the_steps_that_count(auto_reset):
    out, loops = rolled(auto_reset)
    policy = make_policy()
    seen = eqx.filter_jit(lambda x, state, key: policy.over_time(x[None], state, key=key, taps=tuple(PATHS))[2])
    for i, (steps, _, starts) in enumerate(loops):
        key_policy = jax.random.split(jax.random.split(KEY, 5)[i], 3)[2]
        n = len(steps)
        traces = []
        for t in range(n):
            episode = sum(t >= start for start in starts) - 1
            traces.append(seen(steps[t][0], steps[t][2], jax.random.fold_in(key_policy, episode)))
        for path in PATHS:
            expected = np.stack([np.float64(trace[path][0]) for trace in traces])
            assert expected.any()
            stacked, mean, total, last = at(out.record[path], i)
            np.testing.assert_allclose(stacked[:n], expected, rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(stacked[n:], 0)
            np.testing.assert_allclose(mean, expected.mean(axis=0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(total, expected.sum(axis=0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(last, expected[-1], rtol=1e-5, atol=1e-5)


def test_a_cell_that_is_not_a_policy_records_without_an_axis_of_ticks(x64):
    network = make_policy(inputs=2, outputs=1).network
    out = rollout(network, walk(noise=0.0, time=99, wide=99.0), length=5, key=KEY, trajectory=True, record=["1.v", "3"])
    v, u, w = np.zeros(6), np.zeros(1), network.layers
    for t, seen in enumerate(np.asarray(out.trajectory.observation)):
        v = math.exp(-1 / 4) * v + w[0].weight @ seen + w[0].bias
        spikes = v > 1
        v = v - spikes
        u = math.exp(-1 / 8) * u + w[2].weight @ spikes + w[2].bias
        np.testing.assert_allclose(out.record["1.v"][t], v, rtol=1e-10)
        np.testing.assert_allclose(out.trajectory.action[t], u, rtol=1e-10)
        np.testing.assert_allclose(out.record["3"][t], u, rtol=1e-10)


# Ends.


def counted(total, ends="terminated"):
    """A reward of 1 a step, and an end at step `total`."""

    def step(state, action, key):
        end = state + 1 >= total
        ends_of = {"done": (end,), "terminated": (end, False), "truncated": (False, end), "both": (end, end)}[ends]
        return jnp.ones(2), state + 1, 1.0, *ends_of

    return Environment(lambda key: (jnp.ones(2), jnp.zeros((), jnp.int32)), step)


@pytest.mark.parametrize("ends", ["done", "terminated", "truncated", "both"])
def test_the_reward_of_the_step_that_ends_it_counts_and_none_behind(ends):
    out = rollout(make_policy(encoder=False), counted(3, ends), length=7, key=KEY, trajectory=True)
    np.testing.assert_array_equal(out.trajectory.reward, [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(out.trajectory.terminated, [0, 0, ends != "truncated", 0, 0, 0, 0])
    np.testing.assert_array_equal(out.trajectory.truncated, [0, 0, ends in ("truncated", "both"), 0, 0, 0, 0])
    assert (out.returns, out.lengths, out.episodes, out.state.ended) == (3, 3, 1, True)
    assert out.record == {}
    assert out.trajectory.state is None


def test_without_an_end_all_steps_count():
    out = rollout(make_policy(encoder=False), counted(99), length=7, key=KEY)
    assert (out.returns, out.lengths, out.episodes, out.state.ended) == (7, 7, 0, False)
    assert out.trajectory is None


class Push(snnx.AbstractCell):
    """The observation times a number."""

    gain: jax.Array

    def init_state(self, shape):
        return None

    def __call__(self, x, state, *, key=None):
        return self.gain * x, None


def explodes(x, a, c):
    """Behind the end it squares itself to infinity, and then subtracts that from itself."""
    new = c * x**2 + a
    return new, x, new > 1.5


def undefined(x, a, c):
    """Behind its end, at `c`, the next state and its reward are roots of negative numbers."""
    root = jnp.sqrt(c - x)
    return x + a * root, root, x + a * root > c


@pytest.mark.parametrize("auto_reset", [False, True])
@pytest.mark.parametrize("rule", [explodes, undefined])
def test_what_an_environment_does_behind_its_end_spoils_nothing(rule, auto_reset, x64):
    """Neither returns nor their gradient by the policy and by a number of the environment, backwards and forwards, against
    finite differences of a loop that stops."""
    begin = 0.6

    def environment(c):
        def step(state, action, key):
            new, reward, done = rule(state, action[0], c)
            return new[None], new, reward, done

        return Environment(lambda key: (jnp.array([begin]), jnp.array(begin)), step)

    def loop(gain, c):
        x, total, ends = begin, 0.0, 0
        for _ in range(12):
            new, reward, done = (float(v) for v in rule(x, gain * x, c))
            total, x = total + reward, new
            if done:
                ends += 1
                if not auto_reset:
                    break
                x = begin
        assert ends
        return total

    def returns(gain, c):
        return rollout(Push(gain), environment(c), length=12, key=KEY, auto_reset=auto_reset).returns

    at, h = (jnp.array(0.9), jnp.array(1.0)), 1e-6
    found, slopes = jax.jit(jax.value_and_grad(returns, argnums=(0, 1)))(*at)
    np.testing.assert_allclose(found, loop(0.9, 1.0), rtol=1e-12)
    by_gain = (loop(0.9 + h, 1.0) - loop(0.9 - h, 1.0)) / (2 * h)
    by_number = (loop(0.9, 1.0 + h) - loop(0.9, 1.0 - h)) / (2 * h)
    assert by_gain != 0
    assert by_number != 0
    np.testing.assert_allclose(slopes, (by_gain, by_number), rtol=1e-6)
    _, forwards = jax.jit(lambda *at: jax.jvp(returns, at, (jnp.array(1.0), jnp.array(2.0))))(*at)
    np.testing.assert_allclose(forwards, by_gain + 2 * by_number, rtol=1e-6)


# Going on.


@pytest.mark.parametrize("auto_reset", [False, True])
def test_going_on_from_a_state_is_one_longer_rollout(auto_reset):
    """Of a policy and an environment in which nothing is random."""
    policy, env = make_policy(encoder=False), walk(noise=0.0, start=0.0, wide=99.0, time=4)
    roll = jax.jit(
        lambda key, state, length: rollout(
            policy, env, length=length, key=key, state=state, auto_reset=auto_reset, trajectory=True
        ),
        static_argnums=2,
    )
    whole = roll(KEY, None, 10)
    first = roll(KEY, None, 3)
    second = roll(jax.random.key(99), first.state, 7)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first.trajectory, second.trajectory)
    same(joined, whole.trajectory)
    same(second.state, whole.state)
    for name in ("returns", "lengths", "episodes"):
        np.testing.assert_allclose(getattr(first, name) + getattr(second, name), getattr(whole, name), rtol=1e-5)
    assert whole.episodes == (2 if auto_reset else 1)


def test_from_an_end_nothing_goes_on_but_a_new_episode_where_asked_for():
    policy, env = make_policy(encoder=False), walk(time=3)
    over = rollout(policy, env, length=5, key=KEY).state
    assert over.ended
    still = rollout(policy, env, length=4, key=KEY, state=over)
    assert (still.returns, still.lengths, still.episodes) == (0, 0, 0)
    same(still.state, over)
    again = rollout(policy, env, length=4, key=KEY, state=over, auto_reset=True, trajectory=True, env_states=True)
    assert again.trajectory.alive.all()
    np.testing.assert_array_equal(again.trajectory.state["time"], [0, 1, 2, 0])
    assert (again.lengths, again.episodes) == (4, 1)


# vmap.


def test_a_population_of_policies_is_each_of_them():
    env, keys = walk(), jax.random.split(KEY, 3)
    policies = eqx.filter_vmap(lambda seed: snnx.cast(make_policy(seed), "float32"))(jnp.arange(3))
    params, rest = snnx.partition(policies)
    run = jax.jit(
        jax.vmap(lambda p, key: rollout(snnx.combine(p, rest), env, length=8, key=key, auto_reset=True).returns)
    )
    found = run(params, keys)
    for i in range(3):
        steps, _, _ = by_hand(make_policy(i), env, 8, keys[i], auto_reset=True)
        np.testing.assert_allclose(found[i], sum(s[4] for s in steps), rtol=1e-5)
    assert len(set(found.tolist())) == 3


def test_environments_that_differ_in_a_number_are_vmapped():
    policy, drifts = make_policy(), jnp.array([0.05, 0.3, 1.0])
    run = jax.jit(jax.vmap(lambda drift: rollout(policy, walk(drift=drift), length=8, key=KEY)))
    found = run(drifts)
    for i, drift in enumerate(drifts):
        steps, _, _ = by_hand(policy, walk(drift=float(drift)), 8, KEY)
        np.testing.assert_allclose(found.returns[i], sum(s[4] for s in steps), rtol=1e-5)
        assert found.lengths[i] == len(steps)
    assert len(set(found.lengths.tolist())) > 1


# Mode, precision, trees.


def test_dropout_is_off():
    def returns(dropout, key):
        policy = make_policy(encoder=False, dropout=dropout)
        return rollout(policy, point_mass(1), length=6, key=key).returns

    expected = returns((), KEY)
    assert returns((eqx.nn.Dropout(0.5),), KEY) == expected
    assert expected != returns((), jax.random.key(1))  # which starts elsewhere


def test_a_policy_acts_in_its_own_precision_in_an_environment_of_another(x64):
    """An environment in double precision; a network in half: the observation is rounded, the rewards are not."""
    env = walk(drift=0.25, noise=0.0, wide=99.0, time=99)  # a quarter is exact in half precision
    half = snnx.cast(make_policy(encoder=False, scale=1.0), "bfloat16")
    out = rollout(half, env, length=6, key=KEY, trajectory=True, env_states=True)
    assert out.trajectory.observation.dtype == out.trajectory.action.dtype == jnp.bfloat16
    assert out.trajectory.state["place"].dtype == out.returns.dtype == jnp.float64
    place, total = float(out.trajectory.state["place"][0]), 0.0
    for action, seen in zip(out.trajectory.action, out.trajectory.observation, strict=True):
        assert seen[0] == jnp.asarray(place, jnp.bfloat16)
        place += 0.25 * float(action[0])
        total += 1 - place**2
    np.testing.assert_allclose(out.returns, total, rtol=1e-12)


def test_observations_and_actions_can_be_trees_and_states_hold_keys():
    """A key in the environment's state, from which its noise comes, passes resets, ends and cuts."""

    def reset(key):
        return {"here": jnp.zeros(2), "there": jnp.ones(2)}, (jnp.zeros(2), key)

    def step(state, action, key):
        kept, now = jax.random.split(state[1])
        place = state[0] + action["push"] + jax.random.uniform(now, (2,))
        return {"here": place, "there": -place}, (place, kept), jnp.sum(place), jnp.sum(place) > 5

    nodes, edges = {"sum": snnx.layers.Add()}, [("here", "sum"), ("there", "sum"), ("sum", "output")]
    policy = Policy(snnx.Graph(nodes, edges, inputs=("here", "there")), action=lambda y: {"push": y})
    settings = {"length": 6, "key": KEY, "trajectory": True, "env_states": True, "truncate": 2}
    out = rollout(policy, (reset, step), **settings)
    key, place, rewards = jax.random.split(KEY, 3)[0], np.zeros(2), []
    for t in range(6):
        push = 1.0 if t == 0 else 0.0  # here + there
        np.testing.assert_allclose(out.trajectory.action["push"][t], push * (out.trajectory.alive[t]), atol=1e-6)
        key, now = jax.random.split(key)
        place = place + push + np.float64(jax.random.uniform(now, (2,)))
        rewards.append(place.sum())
        if place.sum() > 5:
            break
    assert len(rewards) < 6
    np.testing.assert_allclose(out.trajectory.reward, rewards + [0] * (6 - len(rewards)), rtol=1e-5)
    again = rollout(policy, (reset, step), auto_reset=True, **settings)
    np.testing.assert_allclose(again.trajectory.reward[: len(rewards)], rewards, rtol=1e-5)
    assert again.lengths == 6
    np.testing.assert_array_equal(again.trajectory.state[0][len(rewards)], 0.0)


# Gradients.


@pytest.mark.parametrize(("env", "inputs", "outputs"), [(point_mass(2), 4, 2), (pendulum(), 3, 1)])
@pytest.mark.slow
def test_the_analytic_policy_gradient_is_that_of_finite_differences(env, inputs, outputs, x64):
    policy = smooth_policy(inputs, outputs)
    vector = snnx.parameters.flatten(policy)
    returns = lambda vector: rollout(snnx.parameters.unflatten(vector, policy), env, length=12, key=KEY).returns
    gradient = jax.jit(jax.grad(returns))(vector)
    steps = 1e-5 * jnp.eye(len(vector))
    high, low = jax.jit(jax.vmap(lambda step: (returns(vector + step), returns(vector - step))))(steps)
    scale = np.abs(gradient).max()
    assert scale > 1e-2
    np.testing.assert_allclose(gradient, (high - low) / 2e-5, rtol=1e-6, atol=1e-7 * scale)

    direction = jnp.asarray(np.random.default_rng(0).normal(size=len(vector)))
    value, slope = jax.jit(lambda v: jax.jvp(returns, (v,), (direction,)))(vector)
    np.testing.assert_allclose(slope, gradient @ direction, rtol=1e-9)
    np.testing.assert_allclose(value, jax.jit(returns)(vector), rtol=1e-12)


def gradient_by_hand(weight, place, length, cut, dt=0.1, drag=0.1):
    """Of the returns of `a = W (x, v)` on a point mass: forwards, then backwards through time, in NumPy. Where the carry is
    cut, what came before gets nothing."""
    size = len(place)
    x, v, seen = np.array(place), np.zeros(size), []
    for _ in range(length):
        o = np.concatenate([x, v])
        a = weight @ o
        v = v + dt * (a - drag * v)
        x = x + dt * v
        seen.append((o, a, x, v))
    by_weight, gx, gv = np.zeros_like(weight), np.zeros(size), np.zeros(size)
    for t in reversed(range(length)):
        o, a, x, v = seen[t]
        gx = gx - 2 * x
        gv = gv - 0.2 * v + dt * gx
        ga = dt * gv - 0.02 * a
        by_weight += np.outer(ga, o)
        go = weight.T @ ga
        gx, gv = gx + go[:size], (1 - dt * drag) * gv + go[size:]
        if cut and t % cut == 0:
            gx, gv = np.zeros(size), np.zeros(size)
    return by_weight


@pytest.mark.parametrize("truncate", [None, 1, 3, 99])
def test_truncated_nothing_flows_across_the_cuts(truncate, x64):
    weight = np.random.default_rng(4).normal(size=(2, 4))
    linear = eqx.nn.Linear(4, 2, use_bias=False, key=KEY)

    def returns(weight):
        policy = snnx.Sequential([eqx.tree_at(lambda m: m.weight, linear, weight)])
        out = rollout(policy, point_mass(2), length=8, key=KEY, truncate=truncate, trajectory=True)
        return out.returns, out.trajectory.observation[0]

    gradient, start = jax.jit(jax.grad(returns, has_aux=True))(jnp.asarray(weight))
    expected = gradient_by_hand(weight, np.asarray(start)[:2], 8, truncate)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)
    whole = gradient_by_hand(weight, np.asarray(start)[:2], 8, None)
    if truncate in (1, 3):
        assert np.abs(expected - whole).max() > 0.1 * np.abs(whole).max()


@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.slow
def test_a_spiking_policy_has_the_gradient_of_its_loop(truncate, x64):
    """Surrogates and all, through environment, membranes and resets; cut in environment and neurons alike."""
    policy, env, length = make_policy(inputs=3, ticks=2, encoder=False), pendulum(), 5
    params, rest = snnx.partition(policy)

    def returns(params):
        return rollout(snnx.combine(params, rest), env, length=length, key=KEY, truncate=truncate).returns

    def loop(params):
        policy = snnx.combine(params, rest)
        observation, state = env.reset(jax.random.split(KEY, 3)[0])
        neurons, total = policy.init_state((3,)), 0.0
        for t in range(length):
            if truncate and t and t % truncate == 0:
                observation, state, neurons = jax.lax.stop_gradient((observation, state, neurons))
            action, neurons = policy(observation, neurons)
            observation, state, reward, _ = env.step(state, action, KEY)
            total = total + reward
        return total

    value, gradient = jax.jit(jax.value_and_grad(returns))(params)
    expected_value, expected = jax.jit(jax.value_and_grad(loop))(params)
    np.testing.assert_allclose(value, expected_value, rtol=1e-10)
    same(gradient, expected, rtol=1e-9, atol=1e-12)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert leaf.any()


# What is refused.


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"policy": jnp.tanh}, TypeError, "policy"),
        ({"length": 0}, ValueError, "length"),
        ({"length": True}, TypeError, "length"),
        ({"length": 3.0}, TypeError, "length"),
        ({"length": None}, TypeError, "length"),
        ({"truncate": 0}, ValueError, "truncate"),
        ({"truncate": 1.5}, TypeError, "truncate"),
        ({"auto_reset": 1}, TypeError, "auto_reset"),
        ({"env_states": True}, ValueError, "env_states"),
        ({"env": 3}, TypeError, "env"),
        ({"key": 3}, TypeError, "key"),
        ({"key": jax.random.PRNGKey(0)}, TypeError, "key"),
        ({"key": jax.random.split(KEY, 2)}, TypeError, "key"),
        ({"record": ["network.9"]}, ValueError, "network.9"),
        ({"record": ["encoder"]}, ValueError, "encoder"),
        ({"record": {"network.1": jnp.mean}}, TypeError, "record"),
        ({"steps": 3}, TypeError, "steps"),
    ],
)
def test_what_a_rollout_refuses(settings, error, name):
    given = {"policy": make_policy(encoder=False), "env": walk(), "length": 3, "key": KEY} | settings
    with pytest.raises(error, match=rf"rollout: .*\b{name}\b"):
        rollout(given.pop("policy"), given.pop("env"), **given)


def test_a_state_of_another_rollout_is_refused():
    policy, env = make_policy(encoder=False), walk()
    state = rollout(policy, env, length=1, key=KEY).state
    for other, world in (
        (snnx.Sequential([jnp.tanh]), env),
        (Policy(snnx.Sequential([snnx.LIF(2.0), eqx.nn.Linear(2, 1, key=KEY)])), env),
        (policy, counted(3)),
    ):
        with pytest.raises(TypeError, match=r"\bstate\b"):
            rollout(other, world, length=2, key=KEY, state=state)
    wider = eqx.tree_at(lambda s: s.policy.network["1"].v, state, jnp.zeros(7))
    with pytest.raises(snnx.ShapeError, match=r"\bstate\b"):
        rollout(policy, env, length=2, key=KEY, state=wider)
    with pytest.raises(TypeError, match=r"\bstate\b"):
        rollout(policy, env, length=2, key=KEY, state=state.policy)
    with pytest.raises(TypeError, match=r"\bstate\b"):
        rollout(policy, env, length=2, key=KEY, state=rollout(policy, env, length=1, key=KEY))


def test_an_observation_of_another_size_is_refused_by_the_network():
    with pytest.raises(snnx.ShapeError, match=r"\bLinear\b"):
        rollout(make_policy(inputs=3, encoder=False), walk(), length=2, key=KEY)
