"""Containers: against a network wired by hand, with taps, masks, keys, chunks, and messages that name the layer."""

import copy
import functools
import math
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx import layers
from snnx._errors import ShapeError
from snnx.cells import AbstractCell, walk
from snnx.layers import Add, Concat, Parallel, Recurrent, Residual, Sequential
from snnx.neurons import LI, LIF
from snnx.reductions import Mean, Sum
from snnx.simulation import simulate

STEPS = 9
CHUNKS = (1, 2, 4, STEPS)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def linear(n_in, n_out, key, gain=1.5, **options):
    """A layer with weights large enough for spikes."""
    layer = eqx.nn.Linear(n_in, n_out, key=key, **options)
    return eqx.tree_at(lambda part: part.weight, layer, gain * layer.weight)


def pulses(shape, seed=0, steps=STEPS):
    return jnp.asarray(np.random.default_rng(seed).normal(0.4, 1.2, (steps, *shape)), jnp.float32)


def close(got, expected, rtol=2e-5, atol=2e-6):
    got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=rtol, atol=atol)


# A network with every container, one inside the other, and the same network as a plain loop.


def make_network():
    k = keys(8, seed=8)
    return Sequential(
        [
            linear(5, 6, k[0], gain=2.5),
            Recurrent(LIF(tau=jnp.full(6, 4.0)), linear(6, 6, k[1])),
            Residual(Sequential([linear(6, 6, k[2], gain=4.0), LIF(tau=3.0)])),
            Parallel([Sequential([linear(6, 3, k[3]), LI(tau=5.0)]), eqx.nn.Lambda(jnp.tanh)], Concat()),
            Recurrent(Sequential([linear(9, 4, k[4]), LIF(tau=2.0)]), linear(4, 9, k[5], use_bias=False)),
            Residual(linear(4, 2, k[6]), shortcut=linear(4, 2, k[7], use_bias=False)),
            LI(tau=jnp.asarray(8.0)),
        ]
    )


class Dual:
    """A value in float64 and its derivative along every direction: `[*shape]` and `[directions, *shape]`."""

    def __init__(self, value, tangent):
        self.value, self.tangent = value, tangent

    def __add__(self, other):
        return Dual(self.value + other.value, self.tangent + other.tangent)

    def __mul__(self, other):
        return Dual(self.value * other.value, self.value * other.tangent + self.tangent * other.value)

    def apply(self, function, derivative):
        return Dual(function(self.value), derivative(self.value) * self.tangent)


def constant(value, directions):
    value = np.asarray(value, np.float64)
    return Dual(value, np.zeros((directions, *value.shape)))


def moved(network):
    """The network with a `Dual` for each array, each with a direction of its own: the sines of its values."""
    arrays, structure = jax.tree.flatten(eqx.filter(network, eqx.is_inexact_array))
    duals = [constant(array, len(arrays)) for array in arrays]
    for i, dual in enumerate(duals):
        dual.tangent[i] = np.sin(10.0 * dual.value)
    return jax.tree.unflatten(structure, duals), len(arrays)


def along_the_directions(gradient):
    """What the derivative along each of these directions is, by a gradient."""
    arrays = jax.tree.leaves(eqx.filter(NETWORK, eqx.is_inexact_array))
    pairs = zip(arrays, jax.tree.leaves(gradient), strict=True)
    return [np.vdot(np.sin(10.0 * np.asarray(x, np.float64)), g) for x, g in pairs]


def fire(v, x, decay):
    v = decay * v + x
    s = Dual(1.0 * (v.value > 1.0), v.tangent / (1.0 + (np.pi * (v.value - 1.0)) ** 2))  # an arc tangent of slope 2
    return s, Dual(v.value - s.value, v.tangent - s.tangent)


def by_hand(network, xs, live):
    """What is inside at each live step, by path; steps that are not live do not happen."""
    network, directions = moved(network)
    at, fixed = dict(walk(network)), functools.partial(constant, directions=directions)
    v1, v2, v3, v4, v6, y1, y4 = (fixed(np.zeros(n)) for n in (6, 6, 3, 4, 2, 6, 4))
    trace = []

    def weigh(path, x):
        layer = at[path]
        y = layer.weight.value @ x.value
        y = Dual(y, x.tangent @ layer.weight.value.T + layer.weight.tangent @ x.value)
        return y if layer.bias is None else y + layer.bias

    def decay(tau):
        tau = fixed(tau) if isinstance(tau, float) else tau
        tau = Dual(tau.value.reshape(-1), tau.tangent.reshape(directions, -1))
        return tau.apply(lambda t: np.exp(-1.0 / t), lambda t: np.exp(-1.0 / t) / t**2)

    for x in xs[[c == "1" for c in live]]:
        out = {}
        out["0"] = weigh("0", fixed(x))
        out["1.feedback"] = weigh("1.feedback", y1)
        y1, v1 = fire(v1, out["0"] + out["1.feedback"], decay(at["1.neuron"].tau))
        out["1"] = out["1.neuron"] = out["2.shortcut"] = y1
        out["2.body.0"] = weigh("2.body.0", y1)
        out["2.body.1"], v2 = fire(v2, out["2.body.0"], decay(3.0))
        out["2.body"] = out["2.body.1"]
        out["2"] = out["2.join"] = out["2.body"] + y1
        out["3.0.0"] = weigh("3.0.0", out["2"])
        out["3.0"] = out["3.0.1"] = v3 = decay(5.0) * v3 + out["3.0.0"]
        out["3.1"] = out["2"].apply(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2)
        both = [(v3.value, out["3.1"].value), (v3.tangent, out["3.1"].tangent)]
        out["3"] = out["3.join"] = Dual(*(np.concatenate(parts, axis=-1) for parts in both))
        out["4.feedback"] = weigh("4.feedback", y4)
        out["4.neuron.0"] = weigh("4.neuron.0", out["3"] + out["4.feedback"])
        y4, v4 = fire(v4, out["4.neuron.0"], decay(2.0))
        out["4"] = out["4.neuron"] = out["4.neuron.1"] = y4
        out["5.body"], out["5.shortcut"] = weigh("5.body", y4), weigh("5.shortcut", y4)
        out["5"] = out["5.join"] = out["5.body"] + out["5.shortcut"]
        out["6"] = v6 = decay(at["6"].tau) * v6 + out["5"]
        fields = {"1.neuron.v": v1, "2.body.1.v": v2, "3.0.1.v": v3, "4.neuron.1.v": v4, "6.v": v6}
        trace.append(out | fields)
    return {path: [out[path] for out in trace] for path in trace[0]}


NETWORK = make_network()
XS = pulses((5,))
PATHS = tuple(path for path, _ in walk(NETWORK) if path)
FIELDS = ("1.neuron.v", "2.body.1.v", "3.0.1.v", "4.neuron.1.v", "6.v")


def weighted(ys):
    """A number that depends on every step and every feature in its own way."""
    return jnp.sum(ys * weights(ys.shape))


def weights(shape):
    return np.sin(1.0 + np.arange(math.prod(shape), dtype=np.float32)).reshape(shape)


def score(ys, seen):
    return weighted(ys) + 0.1 * weighted(seen["1.neuron.v"]) + 0.1 * weighted(seen["4.neuron.1"])


@functools.cache
def reference(live="1" * STEPS):
    """Traces of the loop by hand, and the derivative of their score along each direction."""
    duals = by_hand(NETWORK, np.asarray(XS, np.float64), live)
    traces = {path: np.stack([dual.value for dual in trace]) for path, trace in duals.items()}

    def slope(path):
        tangents = np.stack([dual.tangent for dual in duals[path]], axis=1)
        return np.einsum("dti,ti->d", tangents, weights(traces[path].shape))

    return traces, slope("6") + 0.1 * slope("1.neuron.v") + 0.1 * slope("4.neuron.1")


def loss(network, xs, chunk, picked=slice(None), **options):
    ys, _, seen = simulate(network, xs, record=[*PATHS, *FIELDS], chunk=chunk, **options)
    return score(ys[picked], {path: trace[picked] for path, trace in seen.items()}), (ys, seen)


def same_traces(got, expected):
    assert set(got) == set(expected) == {*PATHS, *FIELDS}
    for path in expected:
        np.testing.assert_allclose(got[path], expected[path], rtol=2e-5, atol=2e-6, err_msg=path)


def test_the_network_is_worth_a_test():
    traces, slopes = reference()
    for path in ("1.neuron", "2.body.1", "4.neuron.1"):
        assert 0.1 < float(traces[path].mean()) < 0.9, f"{path} is silent, or fires all the time"
    assert np.abs(slopes).min() > 1e-3, "a parameter does not matter"


@pytest.mark.parametrize("chunk", [2, STEPS])
def test_a_network_is_the_hand_written_loop_in_outputs_taps_and_gradient(chunk):
    traces, slopes = reference()
    run = eqx.filter_jit(eqx.filter_grad(functools.partial(loss, chunk=chunk), has_aux=True))
    gradient, (ys, seen) = run(NETWORK, XS)
    close(ys, traces["6"])
    same_traces(seen, traces)
    np.testing.assert_allclose(along_the_directions(gradient), slopes, rtol=1e-4, atol=1e-5)


def test_stepping_through_is_the_hand_written_loop():
    traces, _ = reference()
    step, state, ys = eqx.filter_jit(NETWORK), NETWORK.init_state((5,)), []
    for x in XS:
        y, state = step(x, state)
        ys.append(y)
    close(jnp.stack(ys), traces["6"])
    close(state["4"].neuron["1"].v, traces["4.neuron.1.v"][-1])
    close(state["4"].y, traces["4"][-1])
    close(state["2"]["body"]["1"].v, traces["2.body.1.v"][-1])
    assert set(state) == {"1", "2", "3", "4", "5", "6"}  # what is no cell has no entry


def test_forward_mode_gives_the_same_derivative():
    direction = jax.tree.map(lambda x: jnp.sin(10.0 * x), eqx.filter(NETWORK, eqx.is_inexact_array))

    def along(network):
        return eqx.filter_jvp(lambda n: loss(n, XS, chunk=2)[0], (network,), (direction,))[1]

    np.testing.assert_allclose(eqx.filter_jit(along)(NETWORK), reference()[1].sum(), rtol=1e-4)


@pytest.mark.slow
def test_masked_steps_do_not_happen():
    live = "110100101"
    mask = np.array([c == "1" for c in live])
    garbage = jnp.where(mask[:, None], XS, 7.0)
    traces, slopes = reference(live)
    run = functools.partial(loss, chunk=2, picked=np.flatnonzero(mask), mask=jnp.asarray(mask))
    gradient, (ys, seen) = eqx.filter_jit(eqx.filter_grad(run, has_aux=True))(NETWORK, garbage)
    same_traces({path: trace[mask] for path, trace in seen.items()}, traces)
    np.testing.assert_allclose(along_the_directions(gradient), slopes, rtol=1e-4, atol=1e-5)
    assert not np.any(ys[~mask])
    assert all(not np.any(seen[path][~mask]) for path in PATHS)  # outputs; a state stands still
    np.testing.assert_array_equal(seen["4.neuron.1.v"][2], seen["4.neuron.1.v"][1])


def test_a_padded_sequence_is_the_sequence():
    padded, (traces, _) = jnp.concatenate([XS[:6], jnp.full((3, 5), 7.0)]), reference()
    run = eqx.filter_jit(lambda mask: simulate(NETWORK, padded, mask=mask, chunk=4, record={"1": Mean()}))
    ys, state, seen = run(jnp.arange(STEPS) < 6)
    close(ys[:6], traces["6"][:6])
    close(state["6"].v, traces["6"][5])
    close(state["4"].neuron["1"].v, traces["4.neuron.1.v"][5])
    close(state["4"].y, traces["4"][5])
    close(seen["1"], traces["1"][:6].mean(axis=0))


def test_recording_may_reduce_over_time():
    traces, _ = reference()
    record = {"1.neuron": Mean(), "4.neuron.1.v": Sum(), "2.body.1": Sum()}
    _, _, got = eqx.filter_jit(lambda: simulate(NETWORK, XS, record=record, chunk=4))()
    close(got["1.neuron"], np.mean(traces["1.neuron"], axis=0))
    close(got["4.neuron.1.v"], np.sum(traces["4.neuron.1.v"], axis=0))
    close(got["2.body.1"], np.sum(traces["2.body.1"], axis=0))


@pytest.mark.slow
def test_an_ensemble_of_models_and_a_batch_are_vmaps():
    def make(key):
        k1, k2, k3 = jax.random.split(key, 3)
        return Sequential([linear(5, 6, k1), Recurrent(LIF(), linear(6, 6, k2)), linear(6, 2, k3)])

    def run(model, xs):
        return simulate(model, xs, chunk=4)[0]

    seeds, batch = keys(3, seed=4), jnp.stack([XS, XS[::-1]])
    over_batch = eqx.filter_vmap(run, in_axes=(None, 0))
    got = eqx.filter_jit(eqx.filter_vmap(over_batch, in_axes=(eqx.if_array(0), None)))(
        eqx.filter_vmap(make)(seeds), batch
    )
    alone = eqx.filter_jit(run)
    for i, key in enumerate(seeds):
        for j, xs in enumerate(batch):
            close(got[i, j], alone(make(key), xs))


# Models nested at random.


def nested(rng, width, depth):
    """A random cell or callable that keeps the width."""
    kind = rng.choice(
        ["Linear", "LIF", "LI", "tanh", "Dropout", "Noise"]
        if depth == 0
        else ["Sequential", "Residual", "Add", "Concat", "Recurrent", "Around"]
    )
    key = jax.random.key(rng.integers(2**31))

    def again():
        return nested(rng, width, depth - 1)

    match kind:
        case "Linear":
            return linear(width, width, key)
        case "LIF":
            return LIF(tau=float(rng.uniform(2.0, 10.0)), refractory=int(rng.integers(2)))
        case "LI":
            return LI(tau=float(rng.uniform(2.0, 10.0)))
        case "tanh":
            return jnp.tanh
        case "Dropout":
            return eqx.nn.Dropout(0.4)
        case "Noise":
            return layers.GaussianNoise(0.3)
        case "Sequential":
            return Sequential([again() for _ in range(rng.integers(1, 4))])
        case "Residual":
            return Residual(again(), again() if rng.random() < 0.5 else None)
        case "Add":
            return Parallel([again(), again()])
        case "Concat":
            return Sequential([Parallel([again(), again()], Concat()), linear(2 * width, width, key)])
        case "Recurrent":
            return Recurrent(LIF(), linear(width, width, key))
        case "Around":
            return Recurrent(Sequential([again(), LIF()]), linear(width, width, key))
    raise AssertionError(kind)


@pytest.mark.parametrize("seed", range(5))
def test_a_stretch_of_time_is_the_step_over_and_over_in_random_models(seed):
    rng = np.random.default_rng(seed)
    model = Sequential([linear(3, 4, keys(1, seed)[0]), nested(rng, 4, 2)])
    xs, key, state = pulses((3,), seed, steps=7), jax.random.key(seed), model.init_state((3,))
    got, end = eqx.filter_jit(simulate)(model, xs, key=key, chunk=3)
    assert jax.tree.structure(end) == jax.tree.structure(state)
    step = eqx.filter_jit(model)
    for x, y in zip(xs, got, strict=True):
        expected, state = step(x, state, key=key)
        close(y, expected)
    close(end, state)


# Keys.


def test_part_number_i_gets_the_key_folded_with_i():
    seen = {}

    class Keyed(eqx.Module):
        name: str = eqx.field(static=True)

        def __call__(self, x, *, key):
            seen[self.name] = jax.random.key_data(key)
            return x

    model = Sequential(
        [
            Keyed("0"),
            Parallel([Keyed("1.0"), Sequential([Keyed("1.1.0")])]),
            Residual(Keyed("2.body"), Keyed("2.shortcut")),
            Recurrent(Sequential([Keyed("3.neuron.0"), LIF()]), Keyed("3.feedback")),
        ]
    )
    key, fold = jax.random.key(3), jax.random.fold_in
    model(jnp.zeros(4), model.init_state((4,)), key=key)
    expected = {
        "0": fold(key, 0),
        "1.0": fold(fold(key, 1), 0),
        "1.1.0": fold(fold(fold(key, 1), 1), 0),
        "2.body": fold(fold(key, 2), 0),
        "2.shortcut": fold(fold(key, 2), 1),
        "3.neuron.0": fold(fold(fold(key, 3), 0), 0),
        "3.feedback": fold(fold(key, 3), 1),
    }
    assert set(seen) == set(expected)
    for name, folded in expected.items():
        np.testing.assert_array_equal(seen[name], jax.random.key_data(folded), err_msg=name)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_dropout_draws_one_mask_for_the_sequence(chunk):
    model, key = Sequential([eqx.nn.Dropout(0.5), jnp.abs, eqx.nn.Dropout(0.5)]), jax.random.key(1)
    xs = jnp.ones((STEPS, 40))
    _, _, seen = simulate(model, xs, key=key, record=["0", "2"], chunk=chunk)
    first = 2.0 * jax.random.bernoulli(jax.random.fold_in(key, 0), 0.5, (40,))
    second = 2.0 * jax.random.bernoulli(jax.random.fold_in(key, 2), 0.5, (40,))
    np.testing.assert_array_equal(seen["0"], np.tile(first, (STEPS, 1)))
    np.testing.assert_array_equal(seen["2"], np.tile(first * second, (STEPS, 1)))
    assert not np.array_equal(first, second)


def test_a_dropout_is_silent_in_inference_mode_and_needs_no_key():
    model = eqx.nn.inference_mode(Sequential([eqx.nn.Dropout(0.5), Residual(eqx.nn.Dropout(0.3))]))
    xs = pulses((4,))
    np.testing.assert_array_equal(simulate(model, xs)[0], 2.0 * xs)


# What is plain, and stateless, goes in as it is.

K = keys(4, seed=9)
STATELESS = {
    "Linear": (eqx.nn.Linear(6, 4, key=K[0]), (6,)),
    "Linear without bias": (eqx.nn.Linear(6, 4, use_bias=False, key=K[0]), (6,)),
    "Linear to a scalar": (eqx.nn.Linear(6, "scalar", key=K[0]), (6,)),
    "Conv1d": (eqx.nn.Conv1d(2, 3, 3, key=K[0]), (2, 7)),
    "Conv2d": (eqx.nn.Conv2d(2, 3, 3, stride=2, padding=1, key=K[0]), (2, 7, 6)),
    "Conv3d": (eqx.nn.Conv3d(2, 3, 2, key=K[0]), (2, 4, 3, 3)),
    "ConvTranspose2d": (eqx.nn.ConvTranspose2d(2, 3, 3, stride=2, key=K[0]), (2, 4, 3)),
    "AvgPool2d": (eqx.nn.AvgPool2d(2, 2), (2, 6, 4)),
    "MaxPool2d": (eqx.nn.MaxPool2d(3, 1), (2, 6, 4)),
    "AdaptiveAvgPool2d": (eqx.nn.AdaptiveAvgPool2d((2, 3)), (2, 6, 7)),
    "LayerNorm": (eqx.nn.LayerNorm((6,)), (6,)),
    "LayerNorm of a map": (eqx.nn.LayerNorm((2, 4, 4)), (2, 4, 4)),
    "GroupNorm": (eqx.nn.GroupNorm(2, 4), (4, 3, 3)),
    "RMSNorm": (eqx.nn.RMSNorm((6,)), (6,)),
    "Dropout": (eqx.nn.Dropout(0.5), (6,)),
    "Lambda": (eqx.nn.Lambda(jax.nn.relu), (6,)),
    "Identity": (eqx.nn.Identity(), (6,)),
    "PReLU": (eqx.nn.PReLU(0.2), (6,)),
    "MLP": (eqx.nn.MLP(6, 3, 5, 1, key=K[0]), (6,)),
    "Sequential of Equinox": (eqx.nn.Sequential([eqx.nn.Linear(6, 4, key=K[0]), eqx.nn.Dropout(0.5)]), (6,)),
    "function": (jnp.sin, (6,)),
    "lambda": (lambda x: x[::-1] ** 2, (6,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATELESS)
def test_a_stateless_layer_is_applied_step_by_step(name):
    layer, shape = STATELESS[name]
    model, xs, key = Sequential([layer]), pulses(shape, steps=3), jax.random.key(2)
    if isinstance(layer, (eqx.nn.Dropout, eqx.nn.Sequential)):
        expected = jnp.stack([layer(x, key=jax.random.fold_in(key, 0)) for x in xs])
    else:
        expected = jnp.stack([layer(x) for x in xs])
    state = model.init_state(shape)
    assert state == {}
    close(jax.jit(lambda xs: model.over_time(xs, state, key=key)[0])(xs), expected, atol=1e-6)
    close(model(xs[0], state, key=key)[0], expected[0], atol=1e-6)


def test_add_and_concat_join_along_any_axis():
    xs = pulses((2, 3, 4))
    for axis in (0, 1, 2, -1):
        model = Parallel([jnp.sin, jnp.cos, jnp.tanh], Concat(axis))
        expected = np.concatenate([np.sin(xs), np.cos(xs), np.tanh(xs)], axis=axis + 1 if axis >= 0 else axis)
        close(simulate(model, xs)[0], expected)
    close(simulate(Parallel([jnp.sin, jnp.cos, jnp.tanh], Add()), xs)[0], np.sin(xs) + np.cos(xs) + np.tanh(xs))
    close(simulate(Parallel([jnp.sin, jnp.cos], jnp.maximum), xs)[0], np.maximum(np.sin(xs), np.cos(xs)))


def test_a_cell_can_join_no_branches_but_end_them():
    model = Sequential([Parallel([jnp.sin, jnp.cos]), LI(tau=4.0)])
    xs, v = pulses((3,)), np.zeros(3)
    for x, y in zip(xs, simulate(model, xs)[0], strict=True):
        v = np.exp(-0.25) * v + np.sin(x) + np.cos(x)
        close(y, v)


# Messages.


def deep(layer):
    return Sequential([jnp.abs, Residual(Sequential([jnp.sin, layer]), jnp.cos)])


def fails(error, pattern, call, *args, **kwargs):
    with pytest.raises(error, match=pattern) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("how", ["init_state", "step", "simulate"])
def test_a_wrong_width_names_the_layer_by_path_with_both_shapes(how):
    good, bad = deep(linear(4, 4, K[0])), deep(linear(5, 4, K[0]))
    pattern = r"\blayer 1\.body\.1\b.*\(5,\).*\(4,\)"
    xs = jnp.ones((STEPS, 4))
    calls = {
        "init_state": lambda: bad.init_state((4,)),
        "step": lambda: bad(xs[0], good.init_state((4,))),
        "simulate": lambda: simulate(bad, xs),
    }
    fails(ShapeError, pattern, calls[how])


def test_an_error_that_names_a_layer_survives_pickling():
    with pytest.raises(ShapeError) as caught:
        deep(linear(5, 4, K[0])).init_state((4,))
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)


def test_a_width_of_one_is_not_broadcast():
    model = Sequential([LIF(), linear(4, 2, K[0])])
    state = model.init_state((4,))
    fails(ValueError, r"\blayer 0\b.*\[1\].*\(4,\)", model, jnp.ones(1), state)
    lone = Sequential([LIF()])
    fails(ValueError, r"\bstate\b.*'0'.*\bv\b", simulate, lone, jnp.ones((3, 1)), lone.init_state((4,)))
    fails(ValueError, r"\blayer 1\b.*\(4,\).*\(1,\)", simulate, model, jnp.ones((3, 1)))


def test_a_batch_axis_where_none_belongs_is_named():
    model = Sequential([linear(4, 2, K[0]), LIF()])
    batch = jnp.ones((3, STEPS, 4))  # [batch, time, features] where [time, features] belongs
    fails(ValueError, r"\blayer 0\b.*\[9, 4\]", simulate, model, batch)
    state = model.init_state((4,))
    fails(ValueError, r"\blayer 0\b.*\[3, 4\]", model, jnp.ones((3, 4)), state)
    neuron = Sequential([LIF()])
    fails(ValueError, r"\blayer 0\b.*\bbatch\b", neuron, jnp.ones((3, 4)), neuron.init_state((4,)))
    maps = Sequential([eqx.nn.Conv2d(1, 2, 3, key=K[0])])
    fails(ValueError, r"\blayer 0\b.*\[3, 1, 8, 8\]", maps.init_state, (3, 1, 8, 8))


@pytest.mark.parametrize("random", [eqx.nn.Dropout(0.5), eqx.nn.Sequential([eqx.nn.Identity(), eqx.nn.Dropout(0.5)])])
def test_a_missing_key_is_named_with_what_to_do(random):
    model, xs = deep(random), jnp.ones((STEPS, 4))
    pattern = r"\blayer 1\.body\.1\b.*\bkey\b"
    fails(ValueError, pattern, simulate, model, xs)
    fails(ValueError, pattern, model, xs[0], model.init_state((4,)))


def test_an_error_inside_a_recurrent_has_the_whole_path():
    model = Sequential([jnp.abs, Recurrent(Sequential([jnp.sin, linear(5, 4, K[0]), LIF()]), linear(4, 4, K[1]))])
    fails(ShapeError, r"\blayer 1\.neuron\.1\b", model.init_state, (4,))
    random = Sequential([Recurrent(Sequential([eqx.nn.Dropout(0.5), LIF()]), eqx.nn.Dropout(0.5))])
    state = random.init_state((4,))
    for call in (lambda: random(jnp.ones(4), state), lambda: simulate(random, jnp.ones((3, 4)))):
        fails(ValueError, r"\blayer 0\.feedback\b.*\bkey\b", call)
    only_neuron = Sequential([Recurrent(Sequential([eqx.nn.Dropout(0.5), LIF()]), linear(4, 4, K[0]))])
    for call in (
        lambda: only_neuron(jnp.ones(4), state),
        lambda: simulate(only_neuron, jnp.ones((3, 4))),
        lambda: simulate(only_neuron, jnp.ones((3, 4)), record=["0.neuron.0"]),
    ):
        fails(ValueError, r"\blayer 0\.neuron\.0\b.*\bkey\b", call)


def test_a_feedback_that_does_not_fit_is_named():
    for feedback, pattern in (
        (linear(4, 3, K[0]), r"\bfeedback\b.*\(3,\).*\(4,\)"),
        (linear(3, 4, K[0]), r"\bfeedback\b.*\(3,\).*\(4,\)"),
    ):
        fails(ShapeError, pattern, Recurrent(LIF(), feedback).init_state, (4,))
        fails(ShapeError, r"layer 0", Sequential([Recurrent(LIF(), feedback)]).init_state, (4,))
    recurrent = Recurrent(LIF(), linear(4, 4, K[0]))
    state = recurrent.init_state((4,))
    for x in (jnp.ones((3, 4)), jnp.ones(1), jnp.ones(())):
        fails(ValueError, r"\(4,\)", recurrent, x, state)


def test_branches_that_do_not_add_up_are_named():
    branches = [linear(4, 3, K[0]), linear(4, 2, K[1])]
    fails(ShapeError, r"\blayer join\b.*\(3,\), \(2,\)", Parallel(branches).init_state, (4,))
    fails(ShapeError, r"\blayer 0\.join\b", Sequential([Residual(linear(4, 3, K[0]))]).init_state, (4,))
    fails(ValueError, r"\blayer join\b", Parallel([jnp.sum, jnp.sin], Concat()).init_state, (4,))


@pytest.mark.parametrize(
    "part",
    [
        lambda: eqx.nn.BatchNorm(4, "batch", mode="ema"),
        lambda: eqx.nn.Sequential([eqx.nn.BatchNorm(4, "batch", mode="ema")]),
        lambda: eqx.nn.GRUCell(4, 4, key=K[0]),
        lambda: eqx.nn.LSTMCell(4, 4, key=K[0]),
        lambda: LIF,
        lambda: eqx.nn.Linear,
        lambda: 3.0,
        lambda: None,
        lambda: jnp.ones(3),
    ],
)
def test_what_cannot_be_a_part_is_refused_at_once(part):
    for container in (Sequential, Parallel):
        fails(TypeError, r"\bpart 1\b", lambda container=container: container([jnp.sin, part()]))


def test_a_residual_and_a_recurrent_refuse_wrong_parts_too():
    fails(TypeError, r"\bbody\b", Residual, LIF)
    fails(TypeError, r"\bshortcut\b", Residual, LIF(), 1.0)
    fails(TypeError, r"\bfeedback\b", Recurrent, LIF(), eqx.nn.GRUCell(4, 4, key=K[0]))
    fails(TypeError, r"\bneuron\b", Recurrent, linear(4, 4, K[0]), linear(4, 4, K[0]))
    fails(TypeError, r"\bfeedback\b", Recurrent, LIF(), LI())
    fails(ValueError, r"\blayers\b", Sequential, [])
    fails(ValueError, r"\bbranches\b", Parallel, [])
    fails(TypeError, r"\bjoin\b", Parallel, [jnp.sin], "add")
    fails(TypeError, r"\baxis\b", Concat, 1.0)


@pytest.mark.parametrize(
    "cell", [Sequential([LIF()]), Recurrent(LIF(), linear(4, 4, K[0])), layers.Delay(1), layers.GaussianNoise(0.1)]
)
def test_the_shape_of_a_step_is_a_tuple_of_whole_numbers(cell):
    assert jax.tree.map(jnp.shape, cell.init_state([np.int64(4)])) == jax.tree.map(jnp.shape, cell.init_state((4,)))
    for shape in (4, (4.0,), "4", jnp.ones((4, 4))):
        fails(TypeError, r"\bshape\b", cell.init_state, shape)
    fails(ValueError, r"\bshape\b", cell.init_state, (-4,))


def test_a_state_that_is_not_the_models_is_named():
    model, other = Sequential([linear(4, 4, K[0]), LIF()]), Sequential([LIF()])
    fails(ValueError, r"\blayer 1\b.*\binit_state\b", model, jnp.ones(4), other.init_state((4,)))
    fails(ValueError, r"\bstate\b.*\binit_state\b", model, jnp.ones(4), LIF().init_state((4,)))
    fails(TypeError, r"\bstate\b.*\binit_state\b", simulate, model, jnp.ones((3, 4)), LIF().init_state((4,)))


def test_a_wrong_dtype_is_named():
    model = Sequential([linear(4, 4, K[0]), LIF()])
    fails(TypeError, r"\bxs\b", simulate, model, jnp.ones((STEPS, 4), jnp.int32))
    half = Sequential([linear(4, 4, K[0]), lambda x: x.astype(jnp.bfloat16), LIF(tau=jnp.full(4, 5.0))])
    fails(TypeError, r"\blayer 2\b.*\bfloat32\b", half.init_state, (4,))


def test_an_unknown_path_is_refused_with_the_nearest_that_there_is():
    fails(ValueError, r"'1.neurom'.*'1.neuron'", simulate, NETWORK, XS, record=["1.neurom"])


# Copies and files.


def picklable(seed):
    k = keys(4, seed)
    return Sequential(
        [
            eqx.nn.Conv2d(1, 2, 3, key=k[0]),
            LIF(tau=snnx.Positive(jnp.full((2, 1, 1), 4.0))),
            layers.SumPool2d(2),
            layers.Flatten(),
            jax.lax.tanh,  # jnp.tanh, under jit, is a function that Python cannot pickle
            layers.ThresholdNorm(8),
            Recurrent(LIF(), linear(8, 8, k[1])),
            Residual(Parallel([linear(8, 4, k[2]), linear(8, 4, k[3])], Concat())),
            eqx.nn.Dropout(0.2),
            layers.GaussianNoise(0.1),
            LI(),
        ]
    )


@pytest.mark.slow
def test_models_can_be_pickled_copied_and_stored(tmp_path):
    model, xs, key = picklable(0), pulses((1, 6, 6), steps=4), jax.random.key(5)
    run = eqx.filter_jit(lambda m: simulate(m, xs, key=key))
    ys, state = run(model)
    eqx.tree_serialise_leaves(tmp_path / "model.eqx", model)
    stored = eqx.tree_deserialise_leaves(tmp_path / "model.eqx", picklable(1))
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), stored):
        assert eqx.tree_equal(again, model)
        np.testing.assert_array_equal(run(again)[0], ys)
    assert not np.array_equal(run(picklable(1))[0], ys)
    close(pickle.loads(pickle.dumps(state)), state, rtol=0, atol=0)


def test_a_container_can_be_indexed_and_measured():
    assert len(NETWORK) == 7
    assert NETWORK[2] is NETWORK.layers[2]
    assert isinstance(NETWORK[-1], LI)
    assert isinstance(NETWORK, AbstractCell)


def test_an_array_stands_in_one_place():
    shared = linear(4, 4, K[0])
    for make in (
        lambda: Sequential([shared, LIF(), shared]),
        lambda: Parallel([shared, shared], Add()),
    ):
        with pytest.raises(ValueError, match=r"\bparts \w+ and \w+\b.*\beqx.nn.Shared\b"):
            make()
    neuron = LIF()  # holds constants only
    assert len(Sequential([shared, neuron, linear(4, 4, K[1]), neuron])) == 4
    # The way that the sentence names: one weight, used twice, learned once.
    twin = Sequential([shared, LIF(), linear(4, 4, K[1])])
    tied = eqx.nn.Shared(twin, lambda m: m.layers[2].weight, lambda m: m.layers[0].weight)
    xs = pulses((4,))
    grads = eqx.filter_grad(lambda t: simulate(t(), xs)[0].sum())(tied)
    first, second = (eqx.filter_grad(lambda m: simulate(m, xs)[0].sum())(tied()).layers[i].weight for i in (0, 2))
    close(grads.pytree.layers[0].weight, first + second)


def test_what_a_linear_layer_cannot_take_comes_with_a_hint():
    model = Sequential([linear(4, 2, K[0])])
    fails(ValueError, r"\blayer 0\b.*\(2, 4\).*\bjax.vmap\b", simulate, model, jnp.ones((STEPS, 2, 4)))
    fails(ValueError, r"\blayer 0\b.*\(1, 2, 2\).*\bFlatten\b", simulate, model, jnp.ones((STEPS, 1, 2, 2)))
    fails(ValueError, r"\blayer 0\b.*\(\).*\bmodel\(x, state\)", simulate, model, jnp.ones(4))
    stack = eqx.filter_vmap(lambda key: Sequential([linear(4, 2, key)]))(jax.random.split(K[0], 3))
    fails(ValueError, r"\blayer 0\b.*\[3, 2, 4\].*\bfilter_vmap\b", simulate, stack, jnp.ones((STEPS, 4)))


def test_a_sentence_in_pieces_is_put_together():
    model = Sequential([eqx.nn.Conv2d(1, 2, 3, key=K[0])])
    with pytest.raises(ValueError, match=r"\blayer 0\b") as caught:
        simulate(model, jnp.ones((STEPS, 8, 8)))
    assert "('" not in str(caught.value)
    assert "\n" not in str(caught.value).split("-----")[0].strip()


def test_a_sequential_takes_one_list_of_any_kind_and_numbers():
    layers = [linear(4, 2, K[0]), LIF()]
    for wrong in (lambda: Sequential(*layers), lambda: Sequential(layers[1])):
        with pytest.raises(TypeError, match=r"\blayers\b"):
            wrong()
    assert Sequential(iter(layers)).layers == Sequential(dict(enumerate(layers)).values()).layers == tuple(layers)
    assert Sequential(layers)[np.int64(1)] is layers[1]
    with pytest.raises(TypeError, match=r"\bindex\b"):
        Sequential(layers)["1"]


@pytest.mark.parametrize("recurrent", [False, True])
def test_weights_of_a_layer_may_be_frozen(recurrent):
    """A wrapper in a layer of Equinox's is read as it is in a neuron."""
    layer = linear(4, 4, K[0])
    frozen = eqx.tree_at(lambda a: a.weight, layer, snnx.Frozen(layer.weight))
    xs = jax.random.normal(K[1], (6, 4))

    def make(layer):
        return Recurrent(LIF(3.0), layer) if recurrent else Sequential([layer, LIF(3.0)])

    expected, _ = simulate(make(layer), xs)
    np.testing.assert_array_equal(simulate(make(frozen), xs)[0], expected)
    np.testing.assert_array_equal(make(frozen)(xs[0], make(frozen).init_state((4,)))[0], expected[0])
    arrays, rest = eqx.partition(make(frozen), eqx.is_inexact_array)
    gradient = jax.grad(lambda a: jnp.sum(simulate(eqx.combine(a, rest), xs)[0]))(arrays)
    held, moved = (gradient.feedback if recurrent else gradient.layers[0]), layer
    assert not held.weight.array.any()
    assert held.bias.any()
    assert moved.weight.any()
