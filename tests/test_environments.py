"""Environments: the two of ours against their equations, what the others' adapters make of them, and what is refused."""

import importlib
import math
import sys
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.control import Environment, Policy, as_brax_policy, from_brax, from_gymnax, pendulum, point_mass, rollout

KEY = jax.random.key(11)


class Script(snnx.AbstractCell):
    """Takes the actions of a list, one after the other, whatever it sees."""

    actions: Any

    def init_state(self, shape):
        return jnp.zeros((), jnp.int32)

    def __call__(self, x, state, *, key=None):
        return jax.tree.map(lambda a: a[state], self.actions), state + 1


def script(actions, dtype=float):
    return Script(jnp.asarray(actions, dtype))


def roll(policy, env, length, **settings):
    """A rollout with its trajectory, in one program."""
    return jax.jit(lambda: rollout(policy, env, length=length, key=KEY, trajectory=True, **settings))()


def reset_key(key=KEY):
    """The key with which a rollout resets."""
    return jax.random.split(key, 3)[0]


# Ours.


@pytest.mark.parametrize(("dimensions", "settings"), [(1, {}), (2, {"dt": 0.2, "drag": 0.7})])
def test_a_point_mass_moves_by_its_equations(dimensions, settings, x64):
    forces = np.random.default_rng(0).normal(size=(7, dimensions))
    out = roll(script(forces), point_mass(dimensions, **settings), 7, env_states=True)
    dt, drag = settings.get("dt", 0.1), settings.get("drag", 0.1)
    start = np.asarray(out.trajectory.observation[0])
    assert (np.abs(start[:dimensions]) <= 1).all()
    assert start[:dimensions].any()
    x, v = start[:dimensions], np.zeros(dimensions)
    for t, a in enumerate(forces):
        np.testing.assert_allclose(out.trajectory.observation[t], [*x, *v], rtol=1e-12)
        np.testing.assert_allclose(out.trajectory.state[t], [*x, *v], rtol=1e-12)
        v = v + dt * (a - drag * v)
        x = x + dt * v
        reward = -sum(x**2) - 0.1 * sum(v**2) - 0.01 * sum(a**2)
        np.testing.assert_allclose(out.trajectory.reward[t], reward, rtol=1e-12)
    np.testing.assert_allclose(out.state.environment, [*x, *v], rtol=1e-12)
    assert not out.state.ended


def test_a_pendulum_swings_by_its_equations(x64):
    """Pushed the way that it goes, on both sides of the soft bound, until it goes round at its highest speed."""
    policy = snnx.Sequential([lambda seen: 3.0 * jnp.sign(seen[2:]) + 2.0 * seen[:1]])
    out = roll(policy, pendulum(), 80, env_states=True)
    angle, speed = np.asarray(out.trajectory.state[0])
    seen = []
    for t, (a,) in enumerate(np.asarray(out.trajectory.action)):
        np.testing.assert_allclose(out.trajectory.observation[t], [math.cos(angle), math.sin(angle), speed], atol=1e-9)
        torque = 2 * math.tanh(a / 2)
        upright = math.atan2(math.sin(angle), math.cos(angle))
        reward = -(upright**2 + 0.1 * speed**2 + 0.001 * torque**2)
        np.testing.assert_allclose(out.trajectory.reward[t], reward, rtol=1e-9)
        speed = speed + 0.05 * (15 * math.sin(angle) + 3 * torque)
        speed = min(max(speed, -8.0), 8.0)
        angle = angle + 0.05 * speed
        seen.append((angle, speed))
    np.testing.assert_allclose(out.state.environment, [angle, speed], rtol=1e-9)
    angles, speeds = np.transpose(seen)
    assert np.abs(angles).max() > math.pi
    assert np.abs(speeds).max() == 8.0


def test_they_start_all_over_their_range():
    states = jax.jit(jax.vmap(lambda key: (point_mass(1).start(key)[1], pendulum().start(key)[1])))(
        jax.random.split(KEY, 400)
    )
    (x, v), (angle, speed) = (np.asarray(s).T for s in states)
    for values, high in (
        (x, 1.0),
        (angle, math.pi),
        (speed, 1.0),
    ):  # uniform: quarters of the range within 5 deviations
        counts = np.histogram(values, bins=4, range=(-high, high))[0]
        assert counts.sum() == 400
        assert (np.abs(counts - 100) < 5 * math.sqrt(400 * 0.25 * 0.75)).all()
    assert not v.any()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"dimensions": 0}, ValueError),
        ({"dimensions": True}, TypeError),
        ({"dimensions": 1.5}, TypeError),
        ({"dt": 0.0}, ValueError),
        ({"drag": math.inf}, ValueError),
    ],
)
def test_a_point_mass_has_dimensions_and_a_step(settings, error):
    with pytest.raises(error, match=rf"\b{next(iter(settings))}\b"):
        point_mass(**settings)


@pytest.mark.parametrize(("make", "size"), [(lambda: point_mass(2), 2), (pendulum, 1)])
def test_an_action_of_another_size_is_refused(make, size):
    for other in (1, 2, 3):
        if other != size:
            with pytest.raises(snnx.ShapeError, match=rf"\bactions\b.*float32\[{other}\]"):
                rollout(script(np.ones((3, other))), make(), length=3, key=KEY)


# Environments of one's own.


def reset(key):
    return jnp.zeros(2), {"x": jnp.zeros(()), "n": jnp.zeros((), jnp.int32)}


def step(state, action, key):
    new = {"x": state["x"] + action[0], "n": state["n"] + 1}
    return jnp.stack([new["x"], 1.0]), new, new["x"], new["n"] >= 3


def changed(change):
    """`step` with something else about its result."""

    def other(state, action, key):
        return change(*step(state, action, key))

    return other


def test_an_environment_is_two_functions():
    by_pair = roll(script([[1.0], [2.0], [3.0], [4.0]]), (reset, step), 4)
    by_name = roll(script([[1.0], [2.0], [3.0], [4.0]]), Environment(reset, step), 4)
    for out in (by_pair, by_name):
        np.testing.assert_array_equal(out.trajectory.reward, [1.0, 3.0, 6.0, 0.0])
        np.testing.assert_array_equal(out.trajectory.terminated, [False, False, True, False])
        assert not out.trajectory.truncated.any()


def test_numbers_of_python_and_weak_types_are_taken():
    """`done` as a float, a reward as a Python number, states that start as Python numbers."""
    env = Environment(lambda key: (jnp.zeros(1), (0, 0.0)), lambda s, a, k: (a, (s[0] + 1, s[1] + a[0]), 1, 0.0))
    out = roll(script([[1.0], [2.0]]), env, 2)
    assert out.returns == 2.0
    assert [float(x) for x in out.state.environment] == [2.0, 3.0]
    assert not out.state.ended


def test_the_policy_sees_the_part_that_observe_says():
    def reset_by_name(key):
        return {"count": jnp.zeros((), jnp.int32), "place": jnp.ones(1)}, jnp.zeros(())

    def step_by_name(state, action, key):
        return {"count": jnp.array(1), "place": 2 * action}, state, action[0], False

    env = Environment(reset_by_name, step_by_name, observe=lambda seen: seen["place"])
    out = roll(snnx.Sequential([snnx.layers.Scale(1.0)]), env, 4)
    np.testing.assert_array_equal(out.trajectory.observation[:, 0], [1.0, 2.0, 4.0, 8.0])
    np.testing.assert_array_equal(out.trajectory.reward, [1.0, 2.0, 4.0, 8.0])
    with pytest.raises(snnx.DtypeError, match=r"\bobservation\b"):
        rollout(script([[1.0]]), Environment(reset_by_name, step_by_name), length=1, key=KEY)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ((3, step), "reset"),
        ((reset, None), "step"),
        ((lambda: 0, step), "reset"),
        ((reset, lambda state, action: 0), "step"),
        ((reset, lambda key, state, action, params: 0), "step"),
        ((reset, step, "state"), "observe"),
    ],
)
def test_functions_of_other_arguments_are_refused(given, name):
    with pytest.raises(TypeError, match=rf"Environment: {name}\b"):
        Environment(*given)


BAD = {
    "one thing at reset": (lambda key: jnp.zeros(2), step, TypeError, "reset"),
    "three at reset": (lambda key: (*reset(key), {}), step, TypeError, "reset"),
    "three": (reset, changed(lambda o, s, r, d: (o, s, r)), TypeError, "step"),
    "six": (reset, changed(lambda o, s, r, d: (o, s, r, d, d, {})), TypeError, "step"),
    "no tuple": (reset, changed(lambda o, s, r, d: s), TypeError, "step"),
    "a smaller state": (reset, changed(lambda o, s, r, d: (o, {"x": s["x"]}, r, d)), TypeError, "state"),
    "a state of another kind": (reset, changed(lambda o, s, r, d: (o, tuple(s.values()), r, d)), TypeError, "state"),
    "a wider state": (
        reset,
        changed(lambda o, s, r, d: (o, s | {"x": jnp.zeros(3)}, r, d)),
        snnx.ShapeError,
        r"state\['x'\]",
    ),
    "a state of another dtype": (
        reset,
        changed(lambda o, s, r, d: (o, s | {"n": jnp.float32(s["n"])}, r, d)),
        snnx.ShapeError,
        r"state\['n'\]",
    ),
    "a reward by axis": (reset, changed(lambda o, s, r, d: (o, s, jnp.ones(3), d)), snnx.ShapeError, "reward"),
    "many ends": (reset, changed(lambda o, s, r, d: (o, s, r, jnp.zeros(2, bool))), snnx.ShapeError, "done"),
    "many truncations": (
        reset,
        changed(lambda o, s, r, d: (o, s, r, d, jnp.zeros(2, bool))),
        snnx.ShapeError,
        "truncated",
    ),
    "whole numbers at reset": (
        lambda key: (jnp.zeros(2, int), reset(key)[1]),
        step,
        snnx.DtypeError,
        "observation",
    ),
    "whole numbers": (
        reset,
        changed(lambda o, s, r, d: (o.astype(int), s, r, d)),
        snnx.DtypeError,
        "observation",
    ),
    "a wider observation": (
        reset,
        changed(lambda o, s, r, d: (jnp.zeros(3), s, r, d)),
        snnx.ShapeError,
        "observation",
    ),
    "an observation of parts": (
        reset,
        changed(lambda o, s, r, d: ({"a": o}, s, r, d)),
        (snnx.ShapeError, TypeError),
        "observation",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_an_environment_gives_is_checked(name):
    start, go, error, says = BAD[name]
    with pytest.raises(error, match=says):
        rollout(script([[1.0]]), Environment(start, go), length=2, key=KEY)


def test_what_is_not_an_environment_is_refused():
    for given in (3, "CartPole-v1", (reset,), (reset, 3), object(), None):
        with pytest.raises(TypeError, match=r"\benv\b"):
            rollout(script([[1.0]]), given, length=2, key=KEY)
    with pytest.raises(TypeError, match=r"\benv\b"):
        from_gymnax(Environment(reset, step))
    with pytest.raises(TypeError, match=r"\benv\b"):
        from_brax((reset, step))


# Gymnax.


@pytest.fixture(scope="module")
def gymnax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others say while they are imported
        return pytest.importorskip("gymnax")


def balance(y):
    """Pushes where the pole leans and falls to: which keeps it up for long."""
    return (y[2] + 0.5 * y[3] > 0).astype(jnp.int32)


def spiking(seed=0, **settings):
    """A small policy whose membranes choose one of two actions."""
    keys = jax.random.split(jax.random.key(seed), 2)
    layers = [eqx.nn.Linear(4, 8, key=keys[0]), snnx.LIF(tau=4.0), eqx.nn.Linear(8, 2, key=keys[1]), snnx.LI(tau=4.0)]
    layers[0] = eqx.tree_at(lambda m: m.weight, layers[0], 5 * layers[0].weight)
    return Policy(snnx.Sequential(layers), ticks=3, action=jnp.argmax, **settings)


def step_through(env, params, actions):
    """Gymnax's own steps with these actions: observations, rewards, ends until the first end. It resets by itself."""
    observation, state = env.reset(reset_key(), params)
    seen, rewards, ends = [observation], [], []
    for action in actions:
        _, state, reward, terminated, truncated, info = env.step(KEY, state, action, params)
        seen.append(info["final_observation"])
        rewards.append(float(reward))
        ends.append((bool(terminated), bool(truncated)))
        if any(ends[-1]):
            break
    return np.array(seen), np.array(rewards), np.array(ends)


def assert_same_episode(out, env, params):
    """A rollout against Gymnax's own steps; its length."""
    seen, rewards, ends = step_through(env, params, out.trajectory.action)
    n = len(rewards)
    assert out.lengths == n
    np.testing.assert_allclose(out.returns, rewards.sum(), rtol=1e-6)
    np.testing.assert_allclose(out.trajectory.observation[:n], seen[:-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.trajectory.reward[:n], rewards, rtol=1e-6)
    np.testing.assert_array_equal(out.trajectory.terminated[:n], ends[:, 0])
    np.testing.assert_array_equal(out.trajectory.truncated[:n], ends[:, 1])
    assert out.state.ended == ends[-1].any()
    if n < len(out.trajectory.reward):
        np.testing.assert_allclose(out.state.observation, seen[-1], rtol=1e-5, atol=1e-6)
        assert not out.trajectory.alive[n:].any()
    return n


@pytest.mark.slow
def test_a_rollout_in_gymnax_is_a_loop_over_its_own_steps(gymnax):
    env, params = gymnax.make("CartPole-v1")
    for policy in (spiking(), script([1] * 60, int)):
        out = roll(policy, (env, params), 60)
        assert 5 < assert_same_episode(out, env, params) < 60
        assert out.returns == out.lengths
        assert out.episodes == 1
    assert out.trajectory.terminated.any()


@pytest.mark.slow
def test_an_environment_of_gymnax_goes_in_by_itself_by_name_or_with_its_parameters(gymnax):
    env, params = gymnax.make("CartPole-v1")
    policy = Policy(snnx.Sequential([snnx.layers.Scale(1.0)]), action=balance)
    bare = roll(policy, env, 12)
    assert_same_episode(bare, env, params)
    heavy = params.replace(gravity=40.0, max_steps_in_episode=9)
    for given in (from_gymnax(env, heavy), from_gymnax("CartPole-v1", heavy)):
        out = roll(policy, given, 12)
        assert assert_same_episode(out, env, heavy) == 9
    assert np.abs(out.trajectory.observation[8] - bare.trajectory.observation[8]).max() > 0.01


@pytest.mark.slow
def test_time_that_is_up_truncates(gymnax):
    env, params = gymnax.make("CartPole-v1")
    params = params.replace(max_steps_in_episode=6)
    policy = Policy(snnx.Sequential([snnx.layers.Scale(1.0)]), action=balance)
    out = roll(policy, (env, params), 15)
    assert_same_episode(out, env, params)
    np.testing.assert_array_equal(np.flatnonzero(out.trajectory.truncated), [5])
    assert not out.trajectory.terminated.any()
    again = roll(policy, (env, params), 15, auto_reset=True)
    np.testing.assert_array_equal(np.flatnonzero(again.trajectory.truncated), [5, 11])
    assert (again.returns, again.lengths, again.episodes) == (15, 15, 2)
    starts = np.asarray(again.trajectory.observation)[[0, 6, 12]]
    assert (np.abs(starts) <= 0.05).all(), "where CartPole starts"
    assert len(np.unique(starts[:, 0])) == 3


@pytest.mark.slow
def test_parameters_can_be_vmapped(gymnax):
    env, params = gymnax.make("CartPole-v1")
    gravity = jnp.array([5.0, 9.8, 60.0])

    def returns(gravity):
        world = from_gymnax(env, params.replace(gravity=gravity))
        return rollout(script([1, 0] * 30, int), world, length=60, key=KEY).returns

    found = jax.jit(jax.vmap(returns))(gravity)
    expected = [step_through(env, params.replace(gravity=float(g)), [1, 0] * 30)[1].sum() for g in gravity]
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected)) == 3


@pytest.mark.slow
def test_a_wrapper_of_gymnax_is_stepped_by_its_own_step(gymnax):
    from gymnax.wrappers.purerl import FlattenObservationWrapper

    env, params = gymnax.make("CartPole-v1")
    params = params.replace(max_steps_in_episode=12)
    actions = [1, 0] * 4 + [1] * 12
    plain = roll(script(actions, int), (env, params), 20)
    out = roll(script(actions, int), (FlattenObservationWrapper(env), params), 20)
    for name in ("reward", "terminated", "truncated", "alive", "observation"):
        np.testing.assert_allclose(getattr(out.trajectory, name), getattr(plain.trajectory, name), atol=1e-6)
    assert (out.returns, out.lengths, out.episodes) == (plain.returns, plain.lengths, plain.episodes)
    assert plain.lengths < 20


@pytest.mark.slow
def test_gymnaxs_pendulum_takes_its_action_in_any_shape_of_one(gymnax):
    env, params = gymnax.make("Pendulum-v1")
    torques = np.random.default_rng(2).uniform(-3.0, 3.0, 9)
    plain = roll(script(torques[:, None]), (env, params), 9)
    assert_same_episode(plain, env, params)
    flat = roll(script(torques), (env, params), 9)
    np.testing.assert_allclose(flat.trajectory.reward, plain.trajectory.reward, rtol=1e-6)
    half = roll(script(np.round(torques, 1)[:, None], jnp.bfloat16), (env, params), 9)
    assert half.trajectory.observation.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.trajectory.reward, plain.trajectory.reward, rtol=0.1, atol=0.1)


@pytest.mark.slow
def test_our_pendulum_is_gymnaxs_where_the_torque_is_within_its_bound(gymnax):
    """Ours bounds the action a by 2 tanh(a / 2), which near 0 is a itself, and everywhere a torque within the bound."""
    env, params = gymnax.make("Pendulum-v1")
    rng = np.random.default_rng(3)
    small, within = rng.uniform(-0.02, 0.02, (25, 1)), rng.uniform(-1.95, 1.95, (25, 1))
    for actions, torques, tolerance in ((small, small, 2e-5), (2 * np.arctanh(within / 2), within, 2e-4)):
        ours, theirs = roll(script(actions), pendulum(), 25), roll(script(torques), (env, params), 25)
        np.testing.assert_allclose(ours.trajectory.observation[0], theirs.trajectory.observation[0], rtol=1e-6)
        np.testing.assert_allclose(ours.trajectory.observation, theirs.trajectory.observation, atol=tolerance)
        np.testing.assert_allclose(ours.trajectory.reward, theirs.trajectory.reward, atol=10 * tolerance)


@pytest.mark.slow
def test_actions_that_do_not_fit_are_refused(gymnax):
    cart = gymnax.make("CartPole-v1")
    for actions in ([0.5] * 3, [[1, 0]] * 3):
        with pytest.raises(snnx.ShapeError, match=r"\bactions\b.*argmax"):
            rollout(Script(jnp.asarray(actions)), cart, length=3, key=KEY)
    with pytest.raises(snnx.ShapeError, match=r"\bactions\b.*float32\[2\]"):
        rollout(script(np.ones((3, 2))), gymnax.make("Pendulum-v1"), length=3, key=KEY)


class Counting:
    """An environment as Gymnax's, without a space: its step gives as many values as it is told."""

    default_params = 3.0  # the reward of a step

    def __init__(self, values):
        self.values = values

    def reset(self, key, params):
        return jnp.zeros(1), jnp.zeros((), jnp.int32)

    def step(self, key, state, action, params):
        state = state + 1
        up = state == 2
        found = state.astype(float)[None], state, params * action[0]
        return {4: (*found, up), 5: (*found, up, {}), 6: (*found, False, up, {})}[self.values]


@pytest.mark.parametrize(("values", "params", "reward"), [(5, None, 3.0), (6, None, 3.0), (6, 7.0, 7.0)])
def test_steps_of_five_and_of_six_values_are_taken(values, params, reward):
    env = Counting(values)
    out = roll(script([[1.0], [2.0], [4.0]]), env if params is None else from_gymnax(env, params), 3)
    np.testing.assert_allclose(out.trajectory.reward, [reward, 2 * reward, 0.0])
    np.testing.assert_array_equal(out.trajectory.truncated, [False, values == 6, False])
    np.testing.assert_array_equal(out.trajectory.terminated, [False, values == 5, False])


def test_steps_of_other_values_are_refused():
    with pytest.raises(TypeError, match=r"Counting\.step\b"):
        rollout(script([[1.0]]), Counting(4), length=1, key=KEY)


# Brax.


@pytest.fixture(scope="module")
def brax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others say while they are imported
        brax = pytest.importorskip("brax")
        for part in ("envs", "training.distribution", "training.networks"):
            importlib.import_module(f"brax.{part}")
    return brax


PUSHES = np.array([1.0, -1.0, 0.5, 0.0, 2.0, 1.0, -2.0])


def go_fast(pushes):
    """Brax's `fast`: the speed grows by 0.02 where the action is positive. Observations before, rewards after each step."""
    place, speed, seen, rewards = 0.0, 0.0, [], []
    for push in pushes:
        seen.append([place, speed])
        speed = speed + 0.02 * (push > 0)
        place = place + 0.02 * speed
        rewards.append(place)
    return np.array(seen), np.array(rewards)


@pytest.mark.slow
def test_a_rollout_in_brax_goes_as_the_closed_form(brax):
    env = brax.envs.get_environment("fast", backend="spring")
    seen, rewards = go_fast(PUSHES)
    for given in (env, from_brax(env), from_brax("fast", backend="spring")):
        out = roll(script(PUSHES[:, None]), given, 7)
        np.testing.assert_allclose(out.trajectory.observation, seen, rtol=1e-5)
        np.testing.assert_allclose(out.trajectory.reward, rewards, rtol=1e-5)
        np.testing.assert_allclose(out.returns, rewards.sum(), rtol=1e-5)
        assert (out.lengths, out.episodes) == (7, 0)
        np.testing.assert_allclose(out.state.environment.pipeline_state.xd.vel, 0.08, rtol=1e-5)


@pytest.mark.slow
def test_nothing_is_run_before_the_rollout(brax):
    """Brax finds out the size of its observations by a reset, which takes seconds in a larger environment."""
    env = brax.envs.get_environment("fast", backend="spring")
    from_brax(env)
    assert env.reset_count == 0
    jax.eval_shape(lambda: rollout(script(PUSHES[:, None]), env, length=3, key=KEY))
    assert env.reset_count <= 2


@pytest.mark.slow
def test_what_braxs_wrapper_cuts_off_is_truncated(brax):
    env = brax.envs.training.EpisodeWrapper(brax.envs.get_environment("fast", backend="spring"), 4, 1)
    out = roll(script(PUSHES[:, None]), env, 7)
    np.testing.assert_array_equal(out.trajectory.truncated, [0, 0, 0, 1, 0, 0, 0])
    assert not out.trajectory.terminated.any()
    np.testing.assert_allclose(out.trajectory.reward, [*go_fast(PUSHES[:4])[1], 0, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(out.trajectory.alive, [1, 1, 1, 1, 0, 0, 0])


@pytest.mark.slow
def test_an_environment_of_brax_that_resets_by_itself_is_ended_by_the_rollout(brax):
    env = brax.envs.create("fast", episode_length=4, backend="spring")
    out = roll(script(PUSHES[:, None]), env, 7, env_states=True)
    np.testing.assert_allclose(out.trajectory.reward, [*go_fast(PUSHES[:4])[1], 0, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(out.trajectory.truncated, [0, 0, 0, 1, 0, 0, 0])
    assert (out.lengths, out.episodes) == (4, 1)
    # What is over stands still, also what the wrapper notes in the state that it is given.
    np.testing.assert_array_equal(out.trajectory.state.info["steps"], [0, 1, 2, 3, 4, 4, 4])
    assert out.state.environment.info["steps"] == 4

    again = roll(script(PUSHES[:, None]), env, 7, auto_reset=True)
    seen, rewards = go_fast(PUSHES[:4])
    expected = [*rewards, *go_fast(PUSHES[:3])[1]]  # the policy starts anew too
    np.testing.assert_allclose(again.trajectory.reward, expected, rtol=1e-5)
    assert (again.lengths, again.episodes) == (7, 1)


class PlaygroundState(NamedTuple):
    """The fields of MuJoCo Playground's."""

    data: jax.Array
    obs: dict
    reward: jax.Array
    done: jax.Array
    metrics: dict
    info: dict


class Playground:
    """An environment as Playground's: observations by name, a random number kept in `info`."""

    action_size = 2
    observation_size = {"state": 1, "privileged_state": 2}  # noqa: RUF012

    def _state(self, data, info):
        obs = {"state": data[:1], "privileged_state": data}
        return PlaygroundState(data, obs, -(data[0] ** 2), (data[0] > 1.0).astype(float), {"height": data[1]}, info)

    def reset(self, key):
        return self._state(jnp.array([0.5, 0.0]), {"rng": key})

    def step(self, state, action):
        key, now = jax.random.split(state.info["rng"])
        noise = jax.random.uniform(now, maxval=0.1)
        return self._state(state.data + jnp.stack([action[0] + noise, action[1]]), {"rng": key})


def test_an_environment_alike_with_observations_by_name():
    out = roll(script([[0.2, 1.0]] * 5), from_brax(Playground(), observe=lambda obs: obs["state"]), 5)
    key, place, seen, rewards = reset_key(), 0.5, [], []
    for _ in range(5):
        seen.append(place)
        key, now = jax.random.split(key)
        place += 0.2 + float(jax.random.uniform(now, maxval=0.1))
        rewards.append(-(place**2))
        if place > 1:
            break
    n = len(rewards)
    assert n < 5
    np.testing.assert_allclose(out.trajectory.observation[:n, 0], seen, rtol=1e-5)
    np.testing.assert_allclose(out.trajectory.reward[:n], rewards, rtol=1e-5)
    assert (out.lengths, out.episodes) == (n, 1)
    assert out.trajectory.terminated[n - 1]


class BareState(NamedTuple):
    """As little as an environment of this kind can give."""

    obs: jax.Array
    reward: jax.Array
    done: jax.Array


class Bare:
    action_size, observation_size = 1, 1

    def __init__(self, state=BareState):
        self.state = state

    def reset(self, key):
        return self.state(jnp.zeros(1), jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        return BareState(state.obs + action, action[0], jnp.zeros(()))


def test_a_state_needs_observation_reward_and_end_alone():
    out = roll(script([[1.0], [2.0], [3.0]]), Bare(), 3)
    np.testing.assert_array_equal(out.trajectory.observation[:, 0], [0.0, 1.0, 3.0])
    assert out.returns == 6.0
    with pytest.raises(TypeError, match=r"Bare\.reset\b.*obs, reward, done"):
        rollout(script([[1.0]]), Bare(lambda *parts: parts), length=1, key=KEY)


def test_an_action_of_another_size_than_braxs_is_refused():
    for actions, came in (([[1.0, 2.0]], r"float32\[2\]"), ([1.0], r"float32\[\]")):
        with pytest.raises(snnx.ShapeError, match=rf"\bactions\b.*{came}"):
            rollout(script(actions), Bare(), length=1, key=KEY)
    with pytest.raises(snnx.ShapeError, match=r"\bactions\b"):
        rollout(script([[1.0]]), from_brax(Playground(), observe=lambda obs: obs["state"]), length=1, key=KEY)


def test_a_name_needs_its_package_and_options_need_a_name(monkeypatch):
    with pytest.raises(TypeError, match=r"\benvironment\b"):
        from_brax(Bare(), backend="spring")
    monkeypatch.setitem(sys.modules, "brax.envs", None)
    with pytest.raises(snnx.MissingExtraError, match=r"from_brax\b.*snnx\[brax\]"):
        from_brax("fast")
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(snnx.MissingExtraError, match=r"from_gymnax\b.*snnx\[evo\]"):
        from_gymnax("CartPole-v1")


# A network as one of Brax's.


def make_model(inputs=3, outputs=4):
    keys = jax.random.split(jax.random.key(5), 2)
    first = eqx.nn.Linear(inputs, 8, key=keys[0])
    first = eqx.tree_at(lambda m: m.weight, first, 5 * first.weight)
    return snnx.Sequential([first, snnx.LIF(tau=4.0), eqx.nn.Linear(8, outputs, key=keys[1]), snnx.LI(tau=4.0)])


def ticked(model, x, ticks):
    """The network's last output from rest, in NumPy."""
    (w, b), (w2, b2) = ((np.float64(m.weight), np.float64(m.bias)) for m in model.layers[::2])
    v, u, lam = 0.0, 0.0, 1 - math.exp(-1 / 4)
    for _ in range(ticks):
        v = v - lam * v + w @ x + b
        spikes = v > 1
        v = v - spikes
        u = u - lam * u + w2 @ spikes + b2
    return u


@pytest.mark.slow
def test_a_network_of_brax_starts_anew_at_every_observation(brax):
    model = make_model()
    with pytest.warns(UserWarning, match="as_brax_policy"):
        network = as_brax_policy(model, 5)
    params = network.init(KEY)
    obs = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 3)), float)
    expected = np.array([[ticked(model, x, 5) for x in row] for row in obs])
    assert len(np.unique(expected[..., 0].round(3))) > 3
    apply = jax.jit(network.apply)
    np.testing.assert_allclose(apply(None, params, obs), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(apply(None, params, obs[0]), expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(apply(None, params, obs[0, 0]), expected[0, 0], rtol=1e-4, atol=1e-5)

    doubled = jax.tree.map(lambda x: 2 * x, params)  # what Brax's optimiser moves is what acts
    other = eqx.combine(jax.tree.map(lambda x: 2 * x, eqx.filter(model, eqx.is_inexact_array)), model)
    np.testing.assert_allclose(apply(None, doubled, obs[0, 0]), ticked(other, obs[0, 0], 5), rtol=1e-4, atol=1e-5)

    distribution = brax.training.distribution.NormalTanhDistribution(event_size=2)
    logits = apply(None, params, obs)
    assert logits.shape == (2, 3, distribution.param_size)
    np.testing.assert_allclose(distribution.mode(logits), np.tanh(expected[..., :2]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:as_brax_policy")
def test_braxs_normaliser_comes_before_the_network(brax):
    model = eqx.nn.inference_mode(make_model(), False)
    network = as_brax_policy(model, 3, preprocess=lambda obs, by: (obs - by["mean"]) / by["scale"])
    obs, by = jnp.array([[1.0, 2.0, 4.0]]), {"mean": jnp.array([[0.5, 0.5, 0.5]]), "scale": jnp.array(2.0)}
    found = network.apply(by, network.init(KEY), obs)
    np.testing.assert_allclose(found[0], ticked(model, (obs[0] - 0.5) / 2, 3), rtol=1e-4, atol=1e-5)
    with pytest.raises(snnx.ShapeError, match=r"\bobs\b"):
        network.apply(by, network.init(KEY), {"state": obs})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:as_brax_policy")
def test_a_network_of_brax_is_in_inference_mode(brax):
    model = snnx.Sequential([eqx.nn.Dropout(0.9), eqx.nn.Linear(3, 2, key=KEY), snnx.LI(tau=4.0)])
    network = as_brax_policy(model, 1)
    x = jnp.ones(3)
    expected = np.float64(model[1].weight) @ x + np.float64(model[1].bias)
    np.testing.assert_allclose(network.apply(None, network.init(KEY), x), expected, rtol=1e-5)


@pytest.mark.slow
def test_what_a_network_of_brax_refuses(brax, monkeypatch):
    with pytest.raises(ValueError, match=r"\bticks\b"):
        as_brax_policy(make_model(), 0)
    with pytest.raises(TypeError, match=r"\bmodel\b"):
        as_brax_policy(jnp.tanh, 2)
    monkeypatch.setitem(sys.modules, "brax.training.networks", None)
    with pytest.raises(snnx.MissingExtraError, match=r"as_brax_policy\b.*snnx\[brax\]"):
        as_brax_policy(make_model(), 2)


@pytest.mark.parametrize("zero", [0, jnp.zeros((), int)])
def test_a_state_of_whole_numbers_does_not_become_one_of_floats(zero):
    env = Environment(lambda key: (jnp.zeros(1), zero), lambda s, a, key: (jnp.zeros(1), s + 0.5, 1.0, False))
    with pytest.raises(snnx.ShapeError, match=r"\bstate\b.*0\.0"):
        env.advance(env.start(jax.random.key(0))[1], jnp.zeros(1), jax.random.key(1))
    none = Environment(lambda key: (jnp.zeros(1), 0.0), lambda s, a, key: (jnp.zeros(1), s, 1.0, None))
    with pytest.raises(TypeError, match=r"\bdone\b"):
        none.advance(none.start(jax.random.key(0))[1], jnp.zeros(1), jax.random.key(1))


@pytest.mark.slow
def test_names_that_do_not_exist_are_said_with_the_nearest():
    with pytest.raises(ValueError, match="'fasst'.*'fast'"):
        snnx.control.from_brax("fasst")
    gymnax = pytest.importorskip("gymnax")
    with pytest.raises(ValueError, match="'Cartpole-v1'.*'CartPole-v1'"):
        snnx.control.from_gymnax("Cartpole-v1")
    with pytest.raises(TypeError, match=r"\benv\b"):
        snnx.control.from_gymnax(gymnax.environments.CartPole)


def test_several_observations_by_name_need_a_choice():
    env = Environment(
        lambda key: ({"state": jnp.zeros(1), "camera": jnp.zeros(3)}, 0.0),
        lambda s, a, key: ({"state": jnp.zeros(1), "camera": jnp.zeros(3)}, s, 1.0, False),
    )
    policy = snnx.Policy(snnx.Sequential([jnp.negative]))
    with pytest.raises(snnx.ShapeError, match=r"\bpolicy\b"):
        snnx.rollout(policy, env, length=2, key=jax.random.key(0))
