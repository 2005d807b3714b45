"""The exact gradient on the grid: against continuous time as the step shrinks, and against its equations step by step."""

import dataclasses
import itertools
import math
import operator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eventprop_reference import Layer, Network, Readout
from registry import LOSSES

import snnx
from snnx.losses import WeightedSum

STEPS_OF_TIME = (0.08, 0.064, 0.04, 0.032, 0.02, 0.016, 0.01)  # a factor of 8; inputs are on all of these grids
DURATION = 32.0
PLAIN = ("tau_mem", "tau_syn", "threshold", "r", "v_leak", "bias")  # parameters of every layer that fires


# A network of the reference on the grid. Time constants are given in steps, so that one program serves every step of time.


def arrays(net):
    """The parameters of a reference network by layer and name, as arrays."""
    fixed = {"reset", "refractory"}
    named = [{f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)} for layer in net.layers]
    return [{k: jnp.asarray(x) for k, x in layer.items() if k not in fixed and x is not None} for layer in named]


def linear(weights, bias=None):
    layer = eqx.nn.Linear(*weights.shape[::-1], use_bias=bias is not None, key=jax.random.key(0))
    layer = eqx.tree_at(lambda part: part.weight, layer, weights)
    return layer if bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.broadcast_to(bias, len(weights)))


def on_the_grid(net, params, dt, rest=0):
    """Layers as cells. A bias is a current per time, a jump is not: with `w_in` given, the cell takes $\\lambda_s$ of either."""
    parts = []
    for layer, p in zip(net.layers, params, strict=True):
        if "tau_syn" not in p:
            parts += [linear(p["weights"]), snnx.LI(p["tau_mem"] / dt, None, p["v_leak"])]
            continue
        per_jump = jnp.broadcast_to(-jnp.expm1(-dt / p["tau_syn"]), len(p["weights"]))[:, None]
        named = {"tau_mem": p["tau_mem"] / dt, "tau_syn": p["tau_syn"] / dt, "method": "exact"}
        named |= {name: p[name] for name in ("r", "w_in", "v_leak")}
        parts.append(linear(p["weights"] / per_jump, p["bias"]))
        if isinstance(layer, Readout):
            parts.append(snnx.CubaLI(**named))
            continue
        reset = {
            "subtract": snnx.SubtractReset(),
            "value": snnx.ValueReset(p["v_reset"]),
            "none": snnx.NoReset(),
        }[layer.reset]
        named |= {"threshold": p["threshold"], "reset": reset, "gradient": snnx.EventProp(), "refractory": rest}
        neuron = snnx.CubaLIF(**named)
        back = "feedback" in p
        parts.append(snnx.Recurrent(neuron, linear(p["feedback"] / per_jump)) if back else neuron)
    return snnx.Sequential(parts)


def raster(inputs, channels, dt, duration=DURATION):
    """Inputs on the grid of `dt`, padded to the longest of the grids, and which steps are none of the padding."""
    xs, mask = np.zeros((2, round(duration / min(STEPS_OF_TIME)), channels))
    for t, channel in inputs:
        xs[round(t / dt), channel] += 1
    mask[: round(duration / dt)] = 1
    return jnp.asarray(xs), jnp.asarray(mask[:, 0] > 0)


def spikes_in(run, net):
    return [run.counts(n, len(layer.weights)) for n, layer in enumerate(net.layers) if isinstance(layer, Layer)]


def assert_counts(counted, run, net):
    """No spike is lost or gained on the grid, and there are some."""
    for found, expected in zip(counted, spikes_in(run, net), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert expected.sum() >= 2


def distance(found, expected):
    return np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected)


def slope(errors, steps=STEPS_OF_TIME):
    """Of the logarithm of errors `[..., steps]`, in the mean over all else, over that of the step."""
    means = np.log(np.asarray(errors)).reshape(-1, len(steps)).mean(0)
    return np.polyfit(np.log(steps), means, 1)[0]


def draw(seed, channels=4, events=12):
    """A generator, and input events."""
    rng = np.random.default_rng(seed)
    times = rng.integers(1, 62, events) * 0.32
    return rng, list(zip(times.tolist(), (np.arange(events) % channels).tolist(), strict=True))


def each(rng, n):
    """Parameters that differ from neuron to neuron."""
    ranges = dict(tau_mem=(10, 20), tau_syn=(3, 7), threshold=(0.8, 1.2), r=(0.8, 1.2), w_in=(0.8, 1.2))
    ranges |= dict(v_leak=(-0.1, 0.1), bias=(-0.2, 0.4))
    return {name: rng.uniform(*limits, n) for name, limits in ranges.items()}


def two_layers_and_feedback(seed=13):
    rng, inputs = draw(seed)
    hidden = each(rng, 5) | dict(v_reset=rng.uniform(-0.2, 0.2, 5), reset="value")
    first = Layer(rng.normal(1.0, 0.8, (5, 4)), feedback=rng.normal(0, 0.5, (5, 5)), **hidden)
    second = Layer(rng.normal(1.1, 0.8, (4, 5)))
    last = Readout(rng.normal(0, 1, (3, 4)), **{k: x for k, x in each(rng, 3).items() if k != "threshold"})
    return Network([first, second, last]), inputs


def no_reset(seed=0):
    """Feedback pulls each neuron below its threshold at once, where without it would fire at every step."""
    rng = np.random.default_rng(seed)
    inputs = [(1.28, 0), (2.56, 1), (17.6, 0), (19.2, 1)]
    first = Layer(rng.uniform(5, 7, (3, 2)), 8.0, 3.0, rng.uniform(0.8, 1.2, 3), reset="none", feedback=-26 * np.eye(3))
    return Network([first, Readout(rng.normal(0, 1, (3, 3)))]), inputs


CASES = {
    "two layers and feedback": (two_layers_and_feedback, [(0, "feedback"), (0, "v_reset"), (2, "weights")]),
    "no reset": (no_reset, [(0, "feedback"), (1, "weights")]),
}


def errors_over_steps(net, inputs, parameters, gradient, expected, steps=STEPS_OF_TIME):
    """Of each parameter `[step]`; `gradient(params, dt, xs, mask)` also counts the spikes of every layer."""
    errors = {p: [] for p in parameters}
    run = net.run(inputs, DURATION)
    for dt in steps:
        found, counted = gradient(arrays(net), dt, *raster(inputs, net.layers[0].weights.shape[1], dt))
        assert_counts(counted, run, net)
        for n, name in parameters:
            errors[n, name].append(distance(found[n][name], expected[n, name]))
    return errors


def gradient_on_the_grid(net, loss, readout, rest=0):
    """Of `loss(outputs)`, and the counts, as a function of parameters, step of time, inputs and mask."""

    def run(params, dt, xs, mask):
        model = on_the_grid(net, params, dt, rest)
        record = dict.fromkeys(snnx.cells.spiking_paths(model), snnx.Sum())
        reduced, _, seen = snnx.simulate(model, xs, mask=mask, readout=readout, record=record, chunk=len(xs))
        return loss(reduced), list(seen.values())

    return jax.jit(jax.grad(run, has_aux=True))


OUTPUTS = np.random.default_rng(9).normal(size=3)
WEIGHTED = snnx.reductions.Weighted.exponential(mean=True)


def weighted(run):
    return run.weighted() @ OUTPUTS


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_gradient_converges_to_that_of_continuous_time(case, x64):
    make, own = CASES[case]
    net, inputs = make()
    layers = range(len(net.layers) - 1)
    parameters = [(n, name) for n in layers for name in ("weights", "w_in", *PLAIN)] + own
    expected = {p: net.gradient(weighted, p, inputs, DURATION) for p in parameters}
    gradient = gradient_on_the_grid(net, lambda ys: ys @ OUTPUTS, WEIGHTED)
    errors = errors_over_steps(net, inputs, parameters, gradient, expected)
    assert 0.8 < slope(list(errors.values())) < 1.25
    for at_each_step in errors.values():
        assert at_each_step[-1] < 0.02
        assert at_each_step[-1] < 0.4 * at_each_step[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "reset",
    [
        "subtract",
        "none",
    ],
)
def test_a_refractory_time_is_moved_with_the_spike(reset, x64):
    steps, rest = (0.08, 0.02, 0.01), 0.64
    rng, inputs = draw(4)
    if reset == "none":
        net, inputs = no_reset()
        net = Network([dataclasses.replace(net.layers[0], refractory=rest), net.layers[1]])
    else:
        hidden = Layer(rng.normal(1.0, 0.8, (5, 4)), refractory=rest, **each(rng, 5))
        net = Network([hidden, Readout(rng.normal(0, 1, (3, 5)), tau_syn=None)])
    parameters = [(0, name) for name in ("weights", *PLAIN)]
    expected = {p: net.gradient(weighted, p, inputs, DURATION) for p in parameters}
    errors = {p: [] for p in parameters}
    for dt in steps:  # a number of steps is a constant of the program: one program each
        gradient = gradient_on_the_grid(net, lambda ys: ys @ OUTPUTS, WEIGHTED, rest=round(rest / dt))
        for p, error in errors_over_steps(net, inputs, parameters, gradient, expected, (dt,)).items():
            errors[p] += error
    assert 0.7 < slope(list(errors.values()), steps) < 1.3
    assert max(error[-1] for error in errors.values()) < 0.02


def convolved(kernel, length):
    """The matrix of a one-dimensional convolution of one channel, written out: `[channels * positions, length]`."""
    channels, _, size = kernel.shape
    positions = length - size + 1
    weights = np.zeros((channels, positions, length))
    for c, at, k in itertools.product(range(channels), range(positions), range(size)):
        weights[c, at, at + k] = kernel[c, 0, k]
    return weights.reshape(-1, length)


@pytest.mark.slow
def test_the_kernel_of_a_convolution_gets_its_gradient(x64):
    length, size = 5, 2
    rng, inputs = draw(8, channels=length, events=15)
    kernel = rng.normal(1.2, 0.8, (2, 1, size))
    net = Network([Layer(convolved(kernel, length)), Readout(rng.normal(0, 1, (3, 8)))])
    by_weights = net.gradient(weighted, (0, "weights"), inputs, DURATION).reshape(2, 4, length)
    expected = np.zeros_like(kernel)
    for c, at, k in itertools.product(range(2), range(4), range(size)):
        expected[c, 0, k] += by_weights[c, at, at + k]

    @jax.jit
    @jax.grad
    def gradient(kernel, dt, xs, mask):
        conv = eqx.nn.Conv1d(1, 2, size, use_bias=False, key=jax.random.key(0))
        conv = eqx.tree_at(lambda part: part.weight, conv, kernel)
        neuron = snnx.CubaLIF(20.0 / dt, 5.0 / dt, r=1.0, method="exact", gradient=snnx.EventProp())
        out = linear(jnp.asarray(net.layers[1].weights))
        model = snnx.Sequential(
            [conv, neuron, snnx.Flatten(), out, snnx.CubaLI(20.0 / dt, 5.0 / dt, 1.0, method="exact")]
        )
        return snnx.simulate(model, xs[:, None], mask=mask, readout=WEIGHTED, chunk=len(xs))[0] @ OUTPUTS

    errors = [distance(gradient(kernel, dt, *raster(inputs, length, dt)), expected) for dt in STEPS_OF_TIME]
    assert 0.7 < slope(errors) < 1.3
    assert errors[-1] < 0.01


# Losses.


def log_softmax(v):
    return v - np.log(np.exp(v).sum(-1, keepdims=True))


def wanted_trace(t):
    return 0.3 * np.sin(t[..., None] / 5.0 + np.arange(3))


WANTED = np.array([0.2, -0.1, 0.4])
MEMBRANE_LOSSES = {  # the loss, its target, the same of a run in continuous time
    "mean": (snnx.CrossEntropy(snnx.Mean()), 1, lambda run: -log_softmax(run.mean())[1]),
    "maximum": (snnx.CrossEntropy(snnx.Max()), 1, lambda run: -log_softmax(run.maximum())[1]),
    "last": (snnx.CrossEntropy(snnx.Last()), 1, lambda run: -log_softmax(run.last())[1]),
    "weighted": (snnx.CrossEntropy(WEIGHTED), 1, lambda run: -log_softmax(run.weighted())[1]),
    "each step": (snnx.StepCrossEntropy(), 1, lambda run: -run.mean_of(lambda t, v: log_softmax(v))[1]),
    "values": (snnx.MSE(snnx.Mean()), WANTED, lambda run: np.mean((run.mean() - WANTED) ** 2)),
    "trace": (
        snnx.losses.TraceMSE(),
        wanted_trace,
        lambda run: run.mean_of(lambda t, v: (v - wanted_trace(t)) ** 2).mean(),
    ),
}
OF_EACH_STEP = ("maximum", "each step", "trace")


@pytest.mark.slow
@pytest.mark.parametrize("tau_syn", [5.0, None])
def test_every_loss_of_a_membrane_has_its_gradient(tau_syn, x64):
    """Of a `LI`, which a spike makes jump, only those that are linear in each step's membrane: others see the jump's height.

    No weight is negative in the readout: a maximum where the membrane turns *at* a spike moves with it.
    """
    rng, inputs = draw(11)
    net = Network([Layer(rng.normal(1.2, 0.8, (5, 4))), Readout(rng.uniform(0.1, 1, (3, 5)), tau_syn=tau_syn)])
    names = [name for name in MEMBRANE_LOSSES if tau_syn is not None or name not in OF_EACH_STEP]
    losses = [MEMBRANE_LOSSES[name][:2] for name in names]
    readouts = [loss.readout if isinstance(loss.readout, tuple) else (loss.readout,) for loss, _ in losses]

    @jax.jit
    @jax.grad
    def gradient(params, dt, xs, mask, targets, chosen):
        readout = tuple(r for own in readouts for r in own)
        ys = list(snnx.simulate(on_the_grid(net, params, dt), xs, mask=mask, readout=readout, chunk=len(xs))[0])
        values = []
        for (loss, _), target, readout in zip(losses, targets, readouts, strict=True):
            own, ys = ys[: len(readout)], ys[len(readout) :]
            values.append(loss(own[0] if len(own) == 1 else tuple(own), target, record={}))
        return jnp.stack(values) @ chosen

    def of_each(run):
        return np.array([MEMBRANE_LOSSES[name][2](run) for name in names])

    parameters = [(0, "weights"), (0, "threshold")]
    expected = {p: net.gradient(of_each, p, inputs, DURATION) for p in parameters}
    errors = np.zeros((len(parameters), len(losses), len(STEPS_OF_TIME)))
    for i, dt in enumerate(STEPS_OF_TIME):
        xs, mask = raster(inputs, 4, dt)
        ends = dt * (1 + np.arange(len(xs)))
        targets = [jnp.asarray(target(ends) if callable(target) else target) for _, target in losses]
        for j, chosen in enumerate(np.eye(len(losses))):
            found = gradient(arrays(net), dt, xs, mask, targets, chosen)
            errors[:, j, i] = [distance(found[n][name], expected[n, name][j]) for n, name in parameters]
    for j, name in enumerate(names):
        assert 0.7 < slope(errors[:, j]) < 1.3, name
        assert errors[:, j, -1].max() < 0.02, name


def van_rossum(run, target, tau):
    """The integral in closed form: every pair of spikes of a neuron, an actual one counting as 1, a wanted one as -1."""
    signed = [(t, n, 1) for t, layer, n in run.spikes if layer == 1] + [(t, n, -1) for t, n in target]
    pairs = itertools.product(signed, signed)
    return 0.5 * sum(a * b * math.exp(-abs(t - u) / tau) for (t, n, a), (u, m, b) in pairs if n == m)


@pytest.mark.slow
@pytest.mark.parametrize(
    "of",
    [
        "first spikes",
        pytest.param(
            "trains", marks=pytest.mark.xfail(reason="VanRossum has the spike itself pull at it", strict=True)
        ),
    ],
)
def test_every_loss_of_spike_times_has_its_gradient(of, x64):
    rng, inputs = draw(4)
    net = Network([Layer(rng.normal(1.2, 0.8, (4, 4))), Layer(rng.normal(1.2, 0.8, (3, 4)))])
    tau, wanted, target = 5.0, (8.0, 20.0), [(6.4, 0), (16.0, 1), (12.8, 2), (25.6, 2)]

    def expected(run):
        if of == "trains":
            return van_rossum(run, target, tau)
        first = run.first(1, 3)
        entropy = -log_softmax(-first / tau)[1] + 0.1 * np.expm1(first[1] / 10.0)
        return entropy + 0.01 * np.mean((first - np.where(np.arange(3) == 1, *wanted)) ** 2)

    def found(dt):
        if of == "trains":
            loss, aim = snnx.losses.VanRossum(tau / dt), raster(target, 3, dt)[0]
        else:
            entropy = snnx.FirstSpikeCrossEntropy(tau / dt, alpha=0.1, tau_early=10.0 / dt)
            loss, aim = entropy + 0.01 * dt**2 * snnx.losses.FirstSpikeMSE(*(w / dt for w in wanted)), 1
        gradient = gradient_on_the_grid(net, lambda reduced: loss(reduced, aim, record={}), loss.readout)
        found, counted = gradient(arrays(net), dt, *raster(inputs, 4, dt))
        assert_counts(counted, net.run(inputs, DURATION), net)
        return found

    parameters = [(0, "weights"), (1, "weights"), (1, "tau_mem"), (1, "threshold")]
    exact = {p: net.gradient(expected, p, inputs, DURATION) for p in parameters}
    coarse, fine = (
        [distance(gradients[n][name], exact[n, name]) for n, name in parameters]
        for gradients in (found(STEPS_OF_TIME[0]), found(STEPS_OF_TIME[-1]))
    )
    assert max(fine) < 0.005
    assert sum(fine) < 0.5 * sum(coarse)


def small_net(gradient=snnx.EventProp(), *, width=6, last=None, threshold=0.8, **options):
    """Linear, recurrent neurons, Linear, readout; in float32 unless a test has x64."""
    keys = jax.random.split(jax.random.key(3), 3)
    layers = [eqx.nn.Linear(4, width, key=keys[0]), eqx.nn.Linear(width, width, use_bias=False, key=keys[1])]
    out = eqx.nn.Linear(width, 3, use_bias=False, key=keys[2])
    neuron = snnx.CubaLIF(
        *(8.0, 4.0, threshold, 1.0, None, jnp.full(width, 0.1)), method="exact", gradient=gradient, **options
    )
    last = snnx.CubaLI(8.0, 4.0, 1.0, method="exact") if last is None else last
    net = snnx.Sequential([layers[0], snnx.Recurrent(neuron, layers[1]), out, last])
    return snnx.cast(eqx.tree_at(lambda m: m[0].weight, net, 4 * layers[0].weight), jnp.zeros(()).dtype)


def some_input(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((*shape, 4)) < 0.3, float)


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


WITHOUT_LABELS = ("MSE", "TraceMSE", "VanRossum", "WeightedSum")  # tested above; and the sum below
OF_SPIKES = ("FirstSpikeCrossEntropy", "FirstSpikeMSE", "CountMSE", "RateMSE")
READOUTS = [
    snnx.Sum(),
    snnx.Max(),
    snnx.Last(),
    snnx.reductions.Weighted.exponential(),
    snnx.reductions.Weighted.linear(),
    snnx.reductions.Weighted.sigmoid(),
]


@pytest.mark.slow
@pytest.mark.parametrize("fires", [False, True])
def test_every_loss_of_the_library_has_a_finite_gradient_that_is_not_zero(fires):
    """But for counts of the output, which no small change alters: theirs is zero."""
    losses = {
        name: make() for name, make in LOSSES.items() if name not in WITHOUT_LABELS and (name in OF_SPIKES) == fires
    }
    losses |= {} if fires else {repr(readout): snnx.CrossEntropy(readout) for readout in READOUTS}
    neuron = snnx.CubaLIF(8.0, 4.0, 0.3, 1.0, method="exact", gradient=snnx.EventProp())
    net = small_net(last=neuron if fires else None)
    net = eqx.tree_at(lambda m: m[2].weight, net, 2 * jnp.abs(net[2].weight))
    xs = 2 * some_input(40).at[25:].set(0.0)  # no spike at the end, which could only be moved out of the example

    @jax.jit
    @jax.value_and_grad
    def gradient(net, chosen):
        loss = WeightedSum(tuple(losses.values()), tuple(chosen))
        reduced, _, seen = snnx.simulate(net, xs, readout=loss.readout, record=loss.taps(net))
        return loss(reduced, 1, record=seen)

    for name, chosen in zip(losses, jnp.eye(len(losses)), strict=True):
        value, found = gradient(net, chosen)
        assert np.isfinite(value), name
        assert all(np.isfinite(x).all() for x in leaves(found)), name
        largest = np.abs(found[0].weight).max()
        assert largest < 1e-6 if name in ("CountMSE", "RateMSE") else largest > 1e-4, (name, largest)


# Step by step: the equations of `EventProp`'s docstring as a loop over units that carries tangents along.


def tangents(xs, d_xs, weights, d_weights, threshold, d_threshold, *, live, reset, refractory, d_v_reset=0.0):
    """Spikes, membranes, and the tangents of spikes, membranes and counted spikes, of the neuron in `one_neuron_net`."""
    lam_s, lam_m, r, v_leak = 1 - math.exp(-1 / 4), 1 - math.exp(-1 / 8), 1.0, 0.1
    g = r * 4 / (4 - 8) * (math.exp(-1 / 4) - math.exp(-1 / 8))
    width = len(weights)
    v, i, y, dv, di, dy, moved, last = np.full(width, v_leak), *np.zeros((7, width))
    rest = np.zeros(width, int)
    rows = []

    def drift(v, i):
        return lam_m * (v_leak - v) + g * (i - lam_s * i)

    for x, dx, happens in zip(xs, d_xs, live, strict=True):
        if not happens:
            rows.append((np.zeros(width), v, np.zeros(width), dv, np.zeros(width)))
            continue
        back, d_back = weights @ y, d_weights @ y + weights @ dy
        held = v.copy()
        i, di = i - lam_s * i + x + back, di - lam_s * di + dx + d_back
        v, dv_held, dv = v + lam_m * (v_leak - v) + g * i, dv, dv - lam_m * dv + g * di
        y, dy, d_count = np.zeros(width), moved.copy(), np.zeros(width)
        moved = np.zeros(width)
        for n in range(width):
            if rest[n]:
                v[n], dv[n] = held[n], dv_held[n] - (drift(held[n], i[n]) * last[n] if rest[n] == 1 else 0.0)
                rest[n] -= 1
            elif v[n] > threshold[n]:
                rise = dv[n] - d_threshold[n]
                crosses = held[n] <= threshold[n]
                delta = -rise / max(v[n] - held[n], 1e-3 * lam_m) if crosses else 0.0
                y[n], dy[n], moved[n], last[n], d_count[n] = 1.0, dy[n] - delta, delta, delta, 2.5 * rise
                rest[n] = refractory
                if reset != "none":
                    kept = 0.0 if crosses else rise
                    v[n], dv[n] = (v[n] - threshold[n], kept) if reset == "subtract" else (-0.2, d_v_reset)
                    dv[n] -= 0.0 if refractory else drift(v[n], i[n]) * delta
        rows.append((y, v.copy(), dy, dv.copy(), d_count))
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reset", "refractory"), [("subtract", 0), ("value", 0), ("none", 0), ("subtract", 3), ("value", 1)]
)
def test_forward_mode_follows_the_equations_step_by_step(reset, refractory, x64):
    """With feedback and masked steps; what is recorded has the gradient of counts, and what is passed on has its own."""
    rng = np.random.default_rng(5)
    width, steps = 4, 60
    xs, d_xs = rng.normal(0.4, 0.8, (2, steps, width)) - np.array([0.0, 0.4])[:, None, None]
    weights, d_weights = rng.normal(0, 0.3, (2, width, width))
    threshold, d_threshold = rng.uniform(0.6, 1.0, width), rng.normal(size=width)
    live = np.arange(steps) % 11 != 7

    def run(xs, weights, threshold, v_reset):
        resets = {"subtract": snnx.SubtractReset(), "value": snnx.ValueReset(v_reset), "none": snnx.NoReset()}
        neuron = snnx.CubaLIF(
            *(8.0, 4.0, threshold, 1.0, None, 0.1, resets[reset]),
            method="exact",
            refractory=refractory,
            gradient=snnx.EventProp(count=2.5),
        )
        net = snnx.Recurrent(neuron, linear(weights))
        record = ["neuron", "neuron.v"]
        ys, _, seen = snnx.simulate(net, xs, mask=jnp.asarray(live), record=record, chunk=8)
        return ys, seen["neuron.v"], seen["neuron"]

    primals, moving = (xs, weights, threshold, -0.2), (d_xs, d_weights, d_threshold, 0.7)
    (ys, vs, _), (d_ys, d_vs, d_counted) = jax.jvp(run, *([jnp.asarray(x) for x in xs] for xs in (primals, moving)))
    given = dict(live=live, reset=reset, refractory=refractory, d_v_reset=0.7)
    expected = tangents(xs, d_xs, weights, d_weights, threshold, d_threshold, **given)
    assert expected[0].sum() > 20
    for found, wanted in zip((ys, vs, d_ys, d_vs, d_counted), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("refractory", [0, 2])
@pytest.mark.parametrize("reset", [snnx.SubtractReset(), snnx.ValueReset(-0.1), snnx.NoReset()], ids=repr)
def test_the_forward_pass_is_that_of_the_surrogate_bit_for_bit(reset, refractory):
    """One operation after the other; compiled, XLA may join a product and a sum in one program and not in the other."""
    exact = small_net(reset=reset, refractory=refractory, width=16)
    surrogate = snnx.with_gradient(exact, None)
    xs, mask = some_input(30), jnp.arange(30) % 9 != 4
    states, count = [net.init_state((4,)) for net in (exact, surrogate)], 0
    for x in xs:
        (a, b), (found, expected) = zip(
            *[net(x, s) for net, s in zip((exact, surrogate), states, strict=True)], strict=True
        )
        states = [found, expected]
        np.testing.assert_array_equal(a, b)
        for name in ("v", "i", "clock.refractory"):
            one, other = (operator.attrgetter("neuron." + name)(state["1"]) for state in states)
            assert (one is None and other is None) or (np.asarray(one) == np.asarray(other)).all()
        count += states[1]["1"].y.sum()
    assert count > 20
    record = ["1", "1.neuron", "1.feedback"]
    run = jax.jit(lambda net: snnx.simulate(net, xs, mask=mask, record=record))
    (ys, _, seen), (expected, _, wanted) = run(exact), run(surrogate)
    np.testing.assert_allclose(ys, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(seen["1"], wanted["1"])
    np.testing.assert_array_equal(seen["1.neuron"], wanted["1.neuron"])


# The same gradient however it is computed.


def recurrent():
    return small_net(reset=snnx.ValueReset(jnp.array(-0.2)), refractory=1)[1]


def loss_of(cell, xs, mask=None, **options):
    """Something that depends on every spike and on the state at the end."""
    ys, state = snnx.simulate(cell, xs, mask=mask, **options)
    weights = jnp.asarray(np.random.default_rng(2).normal(size=ys.shape))
    return jnp.sum(weights * ys) + jnp.sum(jnp.sin(state.neuron.v)) + jnp.sum(jnp.cos(state.neuron.i))


def currents(*shape):
    return jnp.asarray(np.random.default_rng(3).normal(0.3, 0.9, (*shape, 6)))


def assert_same(found, expected, rtol=1e-9):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@pytest.mark.slow
def test_the_gradient_is_the_same_for_every_chunk_whatever_is_kept_and_batched_or_not(x64):
    cell, xs, mask = recurrent(), currents(2, 23), jnp.arange(23) < 20

    def gradient(**options):
        return jax.grad(lambda cell, xs: loss_of(cell, xs, mask, **options), argnums=(0, 1))

    expected = jax.jit(gradient(chunk=23))(cell, xs[0])
    assert np.abs(expected[0].feedback.weight).max() > 0.1
    assert_same(gradient(chunk=23)(cell, xs[0]), expected)  # not compiled as a whole
    for chunk, keep in ((5, "borders"), (7, "membranes")):
        assert_same(jax.jit(gradient(chunk=chunk, keep=keep))(cell, xs[0]), expected)
    together = jax.jit(jax.vmap(gradient(chunk=23), in_axes=(None, 0)))(cell, xs)
    for i, x in enumerate(xs):
        assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], together), jax.jit(gradient(chunk=23))(cell, x))


@pytest.mark.slow
def test_forward_mode_equals_reverse_mode(x64):
    cell, xs = recurrent(), currents(20)
    gradients = jax.jit(jax.grad(loss_of, argnums=(0, 1)))(cell, xs)
    keys = iter(jax.random.split(jax.random.key(5), 99))
    moving = jax.tree.map(lambda x: jax.random.normal(next(keys), jnp.shape(x)), (cell, xs))
    _, along = jax.jit(lambda *moving: jax.jvp(loss_of, (cell, xs), moving))(*moving)
    expected = sum(np.sum(a * b) for a, b in zip(leaves(gradients), leaves(moving), strict=True))
    np.testing.assert_allclose(along, expected, rtol=1e-9)


@pytest.mark.slow
def test_what_is_passed_on_does_not_change_where_rates_are_recorded(x64):
    net, xs = small_net(), some_input(20)

    def run(net, weight, count):
        net = snnx.with_gradient(net, snnx.EventProp(count=count))
        ys, _, seen = snnx.simulate(net, xs, record={"1.neuron": snnx.Sum()})
        return jnp.sum(ys[-5:] ** 2) + weight * jnp.sum(seen["1.neuron"] ** 2)

    gradient = jax.jit(jax.grad(run), static_argnums=2)
    alone, one, two = (gradient(net, *given) for given in ((0.0, 1.0), (1.0, 1.0), (1.0, 2.0)))
    assert_same(alone, gradient(net, 0.0, 2.0))
    once, twice = (jax.tree.map(jnp.subtract, each, alone) for each in (one, two))
    assert np.abs(once[0].weight).max() > 0.1
    assert_same(twice, jax.tree.map(lambda x: 2 * x, once))


# Extremes.


@pytest.mark.slow
@pytest.mark.parametrize("refractory", [0, 2])
def test_without_spikes_the_gradient_is_zero_before_them_and_there_behind_them(refractory):
    net, xs = small_net(threshold=100.0, refractory=refractory), some_input(20)
    record = {"1.neuron": snnx.Sum()}

    def run(net):
        ys, _, seen = snnx.simulate(net, xs, record=record)
        return jnp.sum(ys**2) + jnp.sum(ys) + jnp.sum((seen["1.neuron"] - 1) ** 2)

    found = jax.jit(jax.grad(run))(net)
    for layer in (found[0], found[1]):
        assert all((x == 0).all() for x in leaves(layer))
    assert all(np.isfinite(x).all() for x in leaves(found))


@pytest.mark.slow
def test_large_weights_give_finite_gradients():
    net, xs = small_net(refractory=1), some_input(20)

    @jax.jit
    @jax.value_and_grad
    def gradient(net, scale):
        net = eqx.tree_at(lambda m: m[0].weight, net, replace_fn=lambda w: scale * w)
        return jnp.mean(jax.nn.log_softmax(snnx.simulate(net, xs)[0])[:, 0])

    for scale in (1e3, 1e9, 1e15):
        value, found = gradient(net, scale)
        assert value < 0
        assert all(np.isfinite(x).all() for x in leaves(found))


@pytest.mark.slow
def test_a_spike_that_only_just_happens_has_a_gradient_as_large_as_the_smallest_slope_allows(x64):
    """Held where its input balances its leak, a membrane rises by less than any slope that counts."""
    lam_m = -math.expm1(-1 / 8)

    def spike(threshold, smallest):
        neuron = snnx.CubaLIF(8.0, 4.0, threshold, 1.0, 1.0, method="exact", gradient=snnx.EventProp(smallest=smallest))
        ys, _ = snnx.simulate(neuron, jnp.ones((300, 1)))
        first = jnp.argmax(jax.lax.stop_gradient(ys[:, 0]))
        return ys[first + 1, 0], first

    steady = snnx.CubaLI(8.0, 4.0, 1.0, 1.0, method="exact")
    vs = np.asarray(snnx.simulate(steady, jnp.ones((300, 1)))[0][:, 0])
    for smallest in (1e-3, 1e-8):
        gradient = jax.jit(jax.grad(lambda threshold, s=smallest: spike(threshold, s), has_aux=True))
        for at in (10, 60, 90, 200):
            threshold = jnp.asarray(0.5 * (vs[at] + vs[at - 1]))
            slope_there = max(vs[at] - vs[at - 1], smallest * lam_m)
            found, first = gradient(threshold)
            assert first == at
            np.testing.assert_allclose(found, 1 / slope_there, rtol=1e-6)  # + delta: a higher threshold, a later spike


# What is refused.


def exact(**options):
    return snnx.CubaLIF(**{"r": 1.0, "method": "exact", "gradient": snnx.EventProp()} | options)


def dense(fan_in=4, fan_out=4):
    return eqx.nn.Linear(fan_in, fan_out, key=jax.random.key(0))


def run(model, shape=(5, 4)):
    return snnx.simulate(model, jnp.zeros(shape))


def turned(model, gradient=snnx.EventProp()):
    return snnx.with_gradient(snnx.Sequential(model) if isinstance(model, list) else model, gradient)


PLAIN_NEURON = snnx.CubaLIF(r=1.0, method="exact")
REFUSED = {  # what is called, the error, and the part or argument that it names
    "another kind of gradient": (lambda: exact(gradient="exact"), TypeError, "gradient"),
    "exponential": (lambda: exact(method="exponential"), ValueError, "method='exponential'"),
    "euler": (lambda: exact(method="euler"), ValueError, "method='euler'"),
    "random spikes": (lambda: exact(surrogate=snnx.surrogates.StochasticEscape()), ValueError, "surrogate"),
    "count": (lambda: snnx.EventProp(count=-1.0), ValueError, "count"),
    "count that is none": (lambda: snnx.EventProp(count=True), TypeError, "count"),
    "smallest": (lambda: snnx.EventProp(smallest=0.0), ValueError, "smallest"),
    "smallest, infinite": (lambda: snnx.EventProp(smallest=math.inf), ValueError, "smallest"),
    "a state of the surrogate's": (lambda: exact()(jnp.ones(4), PLAIN_NEURON.init_state((4,))), ValueError, "state"),
    "a surrogate in the mix": (lambda: run(snnx.Sequential([exact(), dense(), snnx.LIF()])), ValueError, "part 2"),
    "a surrogate before": (lambda: run(snnx.Sequential([PLAIN_NEURON, dense(), exact()])), ValueError, "part 0"),
    "a surrogate inside": (
        lambda: run(snnx.Sequential([exact(), snnx.Recurrent(PLAIN_NEURON, dense())])),
        ValueError,
        "part 1.neuron",
    ),
    "maximum pooling": (
        lambda: run(snnx.Sequential([exact(), eqx.nn.MaxPool2d(2)]), (5, 1, 4, 4)),
        ValueError,
        "part 1 .*part 0",
    ),
    "a function": (lambda: run(snnx.Sequential([exact(), lambda x: x**2])), ValueError, "part 1"),
    "a function as feedback": (lambda: run(snnx.Recurrent(exact(), lambda y: y**2)), ValueError, "part feedback"),
    "with_gradient: no cell": (lambda: turned(dense()), TypeError, "model"),
    "with_gradient: no gradient": (lambda: turned([PLAIN_NEURON], "exact"), TypeError, "gradient"),
    "with_gradient: exponential": (lambda: turned([dense(), snnx.CubaLIF()]), ValueError, "part 1 .*method"),
    "with_gradient: another neuron": (lambda: turned([PLAIN_NEURON, dense(), snnx.LIF()]), ValueError, "part 2"),
    "with_gradient: only others": (lambda: turned([dense(), snnx.ALIF()]), ValueError, "part 1"),
    "with_gradient: nothing fires": (lambda: turned([dense(), snnx.LI()]), ValueError, "model"),
    "with_gradient: pooling": (lambda: turned([PLAIN_NEURON, eqx.nn.MaxPool1d(2)]), ValueError, "part 1"),
    "with_gradient: a function": (lambda: turned([PLAIN_NEURON, lambda x: x]), ValueError, "part 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_by_name(name):
    call, kind, named = REFUSED[name]
    with pytest.raises(kind, match=rf"\b{named}(\W|$)"):
        call()


def test_what_is_linear_is_served():
    linear_parts = [
        *(snnx.Flatten(), snnx.layers.Scale(jnp.full(16, 0.5)), snnx.Delay(1), eqx.nn.Sequential([dense(16, 4)])),
        *(eqx.nn.Dropout(0.5), snnx.CubaLI(r=1.0), jnp.tanh),  # behind a readout there are no spikes any more
    ]
    model = snnx.Sequential([exact(), eqx.nn.AvgPool2d(2, 2), snnx.layers.SumPool2d(1), *linear_parts])
    xs = jnp.full((5, 1, 8, 8), 3.0)
    assert snnx.simulate(model, xs, key=jax.random.key(0))[0].shape == (5, 4)
