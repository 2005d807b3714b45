"""Networks from spike to spike: every structure against NumPy, gradients against differences, refusals by name."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from event_reference import kernel, spike_times
from eventprop_reference import Layer, Network, Readout
from jax.flatten_util import ravel_pytree

import snnx
from snnx import event
from snnx._errors import DtypeError, ShapeError

pytestmark = pytest.mark.usefixtures("ranks_are_promoted")
QUICKLY = {"xla_backend_optimization_level": 0}
DURATION = 30.0


def simulate(model, events, **options):
    """Without the check for room, which is a call back to Python, and no such program is kept for the next time."""
    return event.simulate(model, events, duration=DURATION, overflow="report", **options)


def compiled(function):
    return jax.jit(function, compiler_options=QUICKLY)


def linear(weights, bias=None):
    weights = jnp.asarray(weights, float)
    layer = eqx.nn.Linear(*weights.shape[::-1], use_bias=bias is not None, key=jax.random.key(0))
    layer = eqx.tree_at(lambda part: part.weight, layer, weights)
    return layer if bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.asarray(bias, float))


def cuba(tau_mem=10.0, tau_syn=4.0, threshold=1.0, **options):
    return snnx.CubaLIF(tau_mem, tau_syn, threshold, 1.0, method="exact", **options)


def made(spikes, size, **options):
    times, indices = zip(*spikes, strict=True)
    return event.make_events(np.asarray(times), np.asarray(indices), size=size, **{"dtype": float, **options})


def pairs(events):
    count = int(events.count)
    return list(zip(np.asarray(events.times)[:count], np.asarray(events.indices)[:count], strict=True))


def assert_spikes(found, expected, tolerance=1e-8):
    """Of events, and of a list of `(time, neuron)`; sorted alike."""
    found = sorted((round(float(t), 7), int(n)) for t, n in pairs(found))
    expected = sorted((round(float(t), 7), int(n)) for t, n in expected)
    assert [n for _, n in found] == [n for _, n in expected]
    np.testing.assert_allclose([t for t, _ in found], [t for t, _ in expected], rtol=0, atol=2e-7)


def some_spikes(seed=0, channels=3, events=9, last=22.0):
    rng = np.random.default_rng(seed)
    return sorted(zip(rng.uniform(0.5, last, events).tolist(), rng.integers(0, channels, events).tolist(), strict=True))


# A whole network against the reference: spikes of all layers, membranes of the readout, gradients.


def reference_network(seed=2):
    rng = np.random.default_rng(seed)
    first = Layer(
        rng.normal(1.4, 0.8, (4, 3)),
        tau_mem=rng.uniform(8, 16, 4),
        tau_syn=rng.uniform(3, 6, 4),
        threshold=rng.uniform(0.8, 1.1, 4),
        r=rng.uniform(0.8, 1.2, 4),
        w_in=rng.uniform(0.8, 1.2, 4),
        v_leak=rng.uniform(-0.1, 0.1, 4),
        v_reset=rng.uniform(-0.2, 0.1, 4),
        bias=rng.uniform(-0.1, 0.5, 4),
        refractory=2.0,
        reset="value",
        feedback=rng.normal(0, 0.4, (4, 4)),
    )
    second = Layer(rng.normal(1.2, 0.7, (3, 4)), tau_mem=14.0, tau_syn=5.0)
    last = Readout(rng.normal(0, 1, (2, 3)), tau_mem=11.0, tau_syn=6.0, v_leak=0.1, bias=np.array([0.2, -0.3]))
    return Network([first, second, last])


def parameters_of(net):
    fixed = {"reset", "refractory"}
    named = [{f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)} for layer in net.layers]
    sizes = [len(layer.weights) for layer in net.layers]
    return [
        {
            k: jnp.asarray(x) if np.ndim(x) == 2 else jnp.full(n, x)
            for k, x in layer.items()
            if k not in fixed and x is not None
        }
        for layer, n in zip(named, sizes, strict=True)
    ]


def as_model(params):
    """With `w_in` a cell takes the share $\\lambda_s$ of an input at every step; it decays with $\\tau_s$ until the next."""
    per_jump = [-jnp.expm1(-1.0 / p["tau_syn"])[:, None] for p in params]
    first, second, last = params

    def into(p, share):
        return linear(p["weights"] / share, p["bias"] / (share[:, 0] * p["tau_syn"]))

    def neuron(p, cell, **options):
        named = {name: p[name] for name in ("tau_mem", "tau_syn", "r", "w_in", "v_leak")}
        return cell(**named, method="exact", **options)

    hidden = neuron(
        first, snnx.CubaLIF, threshold=first["threshold"], reset=snnx.ValueReset(first["v_reset"]), refractory=2
    )
    return snnx.Sequential(
        [
            into(first, per_jump[0]),
            snnx.Recurrent(hidden, linear(first["feedback"] / per_jump[0])),
            snnx.Sequential([into(second, per_jump[1]), neuron(second, snnx.CubaLIF, threshold=second["threshold"])]),
            into(last, per_jump[2]),
            neuron(last, snnx.CubaLI),
        ]
    )


@pytest.mark.slow
def test_a_network_does_what_the_reference_does(x64):
    """Recurrent with a rest and a bias; one in the other; a readout. All spikes, its membranes, gradients."""
    net, spikes = reference_network(), some_spikes(events=10)
    outputs = np.random.default_rng(9).normal(size=(4, 2))
    events = made(spikes, 3, capacity=12)

    def loss_of(last, mean, weighted, highest):
        return sum(c @ x for c, x in zip(outputs, (last, mean, weighted, highest), strict=True))

    @compiled
    def run(params):
        def loss(params):
            run = simulate(as_model(params), events, most=6, capacity={"1.neuron": 20, "2.1": 12})
            membrane = run.output
            last = membrane.at(jnp.asarray([DURATION]))[0]
            weighted = membrane.integral(1.0 / DURATION) / DURATION
            read = (last, membrane.mean(), weighted, membrane.maximum())
            return loss_of(*read), (run.spikes, read)

        return jax.grad(loss, has_aux=True)(params)

    gradient, (found, read) = run(parameters_of(net))
    expected = net.run(spikes, DURATION)
    counts = [sum(which == layer for _, which, _ in expected.spikes) for layer in (0, 1)]
    assert min(counts) >= 4
    assert set(found) == {"1.neuron", "2.1"}
    for layer, path in enumerate(["1.neuron", "2.1"]):
        assert_spikes(found[path], [(t, n) for t, which, n in expected.spikes if which == layer])
        np.testing.assert_array_equal(found[path].counts(), expected.counts(layer, len(net.layers[layer].weights)))
    wanted = (expected.last(), expected.mean(), expected.weighted(), expected.maximum())
    for a, b in zip(read, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)

    def by_reference(run):
        return loss_of(run.last(), run.mean(), run.weighted(), run.maximum())

    for layer, name in [
        *[(0, name) for name in ("weights", "feedback", "bias", "tau_syn", "w_in", "v_reset", "v_leak")],
        *[(1, name) for name in ("weights", "tau_mem", "r", "threshold")],
        *[(2, name) for name in ("weights", "bias", "tau_syn", "tau_mem", "v_leak")],
    ]:
        exact = net.gradient(by_reference, (layer, name), spikes, DURATION)
        found = np.asarray(gradient[layer][name])
        found = found.sum() if exact.ndim == 0 else found
        np.testing.assert_allclose(found, exact, rtol=0, atol=3e-5 * np.abs(exact).max(), err_msg=f"{layer} {name}")


# Linear layers and delays: what reaches a readout, event by event.


def conv_by_loops(weight, x):
    out, _, *size = weight.shape
    places = [n - k + 1 for n, k in zip(x.shape[1:], size, strict=True)]
    y = np.zeros((out, *places))
    for o, *at in itertools.product(range(out), *map(range, places)):
        window = x[(slice(None), *(slice(a, a + k) for a, k in zip(at, size, strict=True)))]
        y[(o, *at)] = np.sum(weight[o] * window)
    return y


W, V = np.random.default_rng(1).normal(size=(2, 3, 4))
KERNEL = np.random.default_rng(2).normal(size=(2, 1, 2, 2))
FACTORS = np.random.default_rng(3).normal(size=4)


def convolution():
    layer = eqx.nn.Conv2d(1, 2, 2, use_bias=True, key=jax.random.key(0))
    layer = eqx.tree_at(lambda part: part.weight, layer, jnp.asarray(KERNEL))
    return eqx.tree_at(lambda part: part.bias, layer, jnp.asarray([[[0.3]], [[-0.2]]]))


STRUCTURES = {
    "linear": (lambda: [linear(W)], None, lambda x: W @ x),
    "bias": (lambda: [linear(W, FACTORS[:3])], None, lambda x: W @ x + FACTORS[:3]),
    "two with biases": (
        lambda: [linear(W, FACTORS[:3]), linear(V.T, FACTORS)],
        None,
        lambda x: V.T @ (W @ x + FACTORS[:3]) + FACTORS,
    ),
    "scale": (lambda: [snnx.layers.Scale(jnp.asarray(FACTORS)), linear(W)], None, lambda x: W @ (FACTORS * x)),
    "nested": (
        lambda: [snnx.Sequential([snnx.Sequential([linear(W)]), snnx.layers.Scale(2.0)])],
        None,
        lambda x: 2 * W @ x,
    ),
    "dropout": (lambda: [eqx.nn.Dropout(0.5, inference=True), linear(W)], None, lambda x: W @ x),
    "parallel": (
        lambda: [snnx.Parallel([linear(W, FACTORS[:3]), linear(V)], snnx.layers.Add())],
        None,
        lambda x: (W + V) @ x + FACTORS[:3],
    ),
    "residual": (
        lambda: [snnx.Residual(snnx.Sequential([linear(W), linear(V.T)])), linear(W)],
        None,
        lambda x: W @ (x + V.T @ W @ x),
    ),
    "convolution": (
        lambda: [convolution(), snnx.Flatten()],
        (1, 2, 2),
        lambda x: (conv_by_loops(KERNEL, x) + np.reshape([0.3, -0.2], (2, 1, 1))).ravel(),
    ),
    "pools": (
        lambda: [eqx.nn.AvgPool2d(2, 1), snnx.Flatten()],
        (1, 2, 2),
        lambda x: x.mean((1, 2)),
    ),
    "sums": (lambda: [snnx.layers.SumPool2d(2), snnx.Flatten()], (1, 2, 2), lambda x: x.sum((1, 2))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_linear_layers_weigh_events_and_a_bias_is_a_constant_current(name, x64):
    """Behind a `LI`: an event makes its membrane jump, and the bias is its resting value as on the clock."""
    make, shape, expected = STRUCTURES[name]
    spikes = some_spikes(channels=4)
    model = snnx.Sequential([*make(), snnx.LI(10.0, v_leak=0.25)])
    membrane = event.simulate(model, made(spikes, 4), duration=DURATION, shape=shape).output
    times, zero = np.asarray(membrane.times), np.zeros(shape or (4,))
    np.testing.assert_array_equal(np.unique(times), [t for t, _ in spikes])
    for t, channel in spikes:
        jump = np.asarray(membrane.jumps)[times == t].sum(0)
        x = np.eye(4)[channel].reshape(zero.shape)
        np.testing.assert_allclose(jump, expected(x) - expected(zero), rtol=1e-12, atol=1e-14)
    rest = 0.25 + expected(zero) / -np.expm1(-1 / 10.0)
    np.testing.assert_allclose(membrane.dynamics.rest, rest, rtol=1e-12)
    clock, _ = snnx.simulate(model, jnp.zeros((300, *zero.shape)))
    np.testing.assert_allclose(clock[-1], rest, rtol=1e-10)
    np.testing.assert_allclose(membrane.at(jnp.asarray([0.0]))[0], 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["exponential", "exact", "euler"])
def test_a_bias_draws_a_membrane_to_where_long_steps_draw_it(method, x64):
    """Steps of half a synapse's time constant, by each method."""
    model = snnx.Sequential([linear([[0.0]], [0.3]), snnx.CubaLI(15.0, 2.0, r=1.0, method=method)])
    clock, _ = snnx.simulate(model, jnp.zeros((200, 1)))
    membrane = event.simulate(model, event.make_events([jnp.inf], [0], size=1, dtype=float), duration=200.0).output
    np.testing.assert_allclose(membrane.at(jnp.asarray([200.0])), clock[-1:], rtol=1e-2)


@pytest.mark.slow
def test_a_constant_current_is_that_of_the_clock(x64):
    """At steps of 0.02, of a `CubaLI` with and without `w_in` and `r`: the same membranes, at all times to the first order."""
    dt, steps = 0.02, 1000
    for options in (dict(), dict(r=2.0, w_in=0.7), dict(r=2.0), dict(w_in=0.7)):
        for cell in (snnx.CubaLI(9.0, 4.0, dt=dt, **options), snnx.LI(9.0, options.get("r"), dt=dt)):
            model = snnx.Sequential([linear([[0.0], [0.0]], [1e-3, -2e-3]), cell])
            clock, _ = snnx.simulate(model, jnp.zeros((steps, 1)))
            events = event.make_events([jnp.inf], [0], size=1, dtype=float)
            membrane = event.simulate(model, events, duration=dt * steps).output
            times = jnp.asarray(dt * np.arange(1, steps + 1))
            np.testing.assert_allclose(membrane.at(times), clock, rtol=0, atol=3e-3 * np.abs(clock).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delay", "by"),
    [
        (lambda: event.ContinuousDelay(2.5), [2.5] * 3),
        (lambda: event.ContinuousDelay(jnp.asarray([0.0, 1.25, 7.0])), [0.0, 1.25, 7.0]),
        (lambda: event.ContinuousDelay(snnx.Positive(jnp.asarray([0.5, 1.25, 7.0]))), [0.5, 1.25, 7.0]),
        (lambda: snnx.Delay([1.0, 0.0, 3.0], dt=0.5), [1.0, 0.0, 3.0]),
        (lambda: snnx.Delay(4.0), [4.0] * 3),
    ],
)
def test_delays_hand_events_on_later(delay, by, x64):
    spikes = some_spikes()
    model = snnx.Sequential([delay(), linear(V[:, :3]), snnx.LI(10.0)])
    membrane = event.simulate(model, made(spikes, 3), duration=60.0).output
    late = sorted((t + by[n], n) for t, n in spikes)
    np.testing.assert_allclose(membrane.times, [t for t, _ in late], rtol=1e-12)
    np.testing.assert_allclose(membrane.jumps, [V[:, n] for _, n in late], rtol=1e-12)


def numbers_of(size, tau_mem, tau_syn, threshold):
    zero = np.zeros(size)
    one = zero + 1.0
    named = dict(tau_mem=tau_mem * one, tau_syn=tau_syn * one, threshold=threshold * one, resistance=one)
    return named | dict(rest=zero, start_v=zero, start_j=zero, after=zero)


INTO, BETWEEN, BACK = (np.random.default_rng(n).normal(m, 0.8, (3, 3)) for n, m in ((4, 1.5), (5, 1.0), (6, -0.2)))


@pytest.mark.slow
def test_a_graph_that_feeds_forward_adds_what_its_edges_bring(x64):
    """A skip from the input around the first neurons; two outputs, of neurons and of a readout."""
    spikes = some_spikes(3)
    graph = snnx.Graph(
        {
            "in": linear(INTO),
            "first": cuba(),
            "on": linear(BETWEEN),
            "second": cuba(8.0, 5.0, 0.7),
            "read": snnx.LI(9.0),
        },
        [
            *[("input", "in"), ("in", "first"), ("first", "on"), ("on", "second"), ("in", "second")],
            *[("second", "output"), ("second", "read"), ("first", "read"), ("read", "membranes")],
        ],
        outputs=["output", "membranes"],
    )
    events = made(spikes, 3)
    run = compiled(lambda events: simulate(graph, events, most=20))(events)
    inputs = [(t, INTO[:, n]) for t, n in spikes]
    first = spike_times(numbers_of(3, 10.0, 4.0, 1.0), inputs, DURATION)
    inputs += [(t, BETWEEN[:, n]) for t, n in first]
    second = spike_times(numbers_of(3, 8.0, 5.0, 0.7), sorted(inputs, key=lambda row: row[0]), DURATION)
    assert min(len(first), len(second)) >= 3
    assert_spikes(run.spikes["first"], first)
    assert_spikes(run.spikes["second"], second)
    assert_spikes(run.output["output"], second)
    membrane = run.output["membranes"]
    expected = np.zeros(3)
    for t, n in first + second:
        expected[n] += np.exp(-(DURATION - t) / 9.0)
    np.testing.assert_allclose(membrane.at(jnp.asarray([DURATION]))[0], expected, rtol=1e-7)


def cycle(delay=None):
    """Neurons that feed themselves; through delays if there are any."""
    nodes = {"in": linear(INTO), "fire": cuba(), "back": linear(BACK)}
    edges = [("input", "in"), ("in", "fire"), ("back", "fire"), ("fire", "output")]
    if delay is None:
        return snnx.Graph(nodes, [*edges, ("fire", "back")])
    return snnx.Graph(nodes | {"late": delay}, [*edges, ("fire", "late"), ("late", "back")])


@pytest.mark.slow
@pytest.mark.parametrize("delays", [None, [0.5, 3.0, 1.0]])
def test_a_cycle_of_a_graph_feeds_back(delays, x64):
    """At once, where it is what `Recurrent` is, or later."""
    spikes = some_spikes(3)
    model = cycle(None if delays is None else event.ContinuousDelay(jnp.asarray(delays)))
    events = made(spikes, 3)
    run = compiled(lambda events: simulate(model, events, capacity=16))(events)
    later = np.zeros((1, 3)) if delays is None else np.asarray([delays])
    inputs = [(t, INTO[:, n]) for t, n in spikes]
    expected = spike_times(numbers_of(3, 10.0, 4.0, 1.0), inputs, DURATION, back=BACK.T[None], delays=later)
    assert len(expected) >= 4
    assert_spikes(run.output, expected)
    if delays is None:
        again = snnx.Sequential([linear(INTO), snnx.Recurrent(cuba(), linear(BACK))])
        found = compiled(lambda events: simulate(again, events, capacity=16))(events)
        np.testing.assert_array_equal(found.spikes["1.neuron"].times, run.spikes["fire"].times)


@pytest.mark.slow
def test_learned_delays_and_constrained_parameters_have_their_gradient(x64):
    """Of delays at the input and in a loop, per neuron; of time constants that are `Positive`, and of a `Scale`."""
    spikes = some_spikes(3)

    def model(p):
        fire = snnx.CubaLIF(snnx.Positive(p["tau_mem"]), p["tau_syn"], p["threshold"], 1.0, method="exact")
        graph = snnx.Graph(
            {
                "wait": event.ContinuousDelay(p["wait"]),
                "in": linear(INTO),
                "times": snnx.layers.Scale(p["scale"]),
                "fire": fire,
            }
            | {"late": event.ContinuousDelay(p["late"]), "back": linear(BACK)},
            [
                *[("input", "wait"), ("wait", "in"), ("in", "times"), ("times", "fire"), ("fire", "output")],
                *[("fire", "late"), ("late", "back"), ("back", "fire")],
            ],
        )
        return graph

    def loss(p):
        found = simulate(model(p), made(spikes, 3), capacity=16).output
        times = jnp.where(found.there, found.times, 0.0)
        return jnp.sum(times * jnp.asarray([1.0, -0.4, 0.7])[found.indices]), found.indices

    numbers = {"tau_mem": [9.0, 10.0, 12.0], "tau_syn": [4.0, 3.0, 5.0], "threshold": [1.0, 0.9, 1.1]}
    numbers |= {"wait": [0.3, 1.0, 0.6], "late": [0.5, 3.0, 1.0], "scale": 1.1}
    p = jax.tree.map(jnp.asarray, numbers, is_leaf=lambda x: isinstance(x, list))
    gradient, indices = compiled(jax.grad(loss, has_aux=True))(p)
    assert indices.shape == (16,)
    flat, unravel = ravel_pytree(p)
    moved = jax.vmap(unravel)(flat + 1e-6 * jnp.concatenate([jnp.eye(flat.size), -jnp.eye(flat.size)]))
    values, kinds = compiled(jax.vmap(loss))(moved)
    assert np.all(kinds == kinds[0])
    expected = unravel((values[: flat.size] - values[flat.size :]) / 2e-6)
    for name in p:
        assert np.abs(expected[name]).max() > 1e-3, name
        np.testing.assert_allclose(gradient[name], expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


# Readouts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pair", "jump"])
def test_membranes_in_closed_form_and_their_gradients(kind, x64):
    spikes = [*some_spikes(5), (DURATION + 2.0, 0)]
    weights = np.random.default_rng(7).normal(size=(2, 3))

    def read(p):
        cell = (
            snnx.CubaLI(p["tau"], 4.0, 1.3, v_leak=p["v_leak"])
            if kind == "pair"
            else snnx.LI(p["tau"], 1.3, p["v_leak"])
        )
        events = event.make_events(p["times"], np.asarray([n for _, n in spikes]), size=3)
        membrane = simulate(snnx.Sequential([linear(p["weights"]), cell]), events).output
        at = membrane.at(jnp.asarray([0.0, 3.3, 17.0, DURATION]))
        return {"at": at, "mean": membrane.mean(), "integral": membrane.integral(0.07), "maximum": membrane.maximum()}

    p = {"tau": jnp.asarray(9.0), "v_leak": jnp.asarray([0.1, -0.2]), "weights": jnp.asarray(weights)}
    p |= {"times": jnp.asarray([t for t, _ in spikes])}
    found = compiled(read)(p)
    lam = -np.expm1(-1 / 9.0)

    def membranes(t):
        """At times `[times]`."""
        total = np.broadcast_to(np.asarray(p["v_leak"]), (t.size, 2)).copy()
        for when, n in spikes:
            span = np.maximum(t - when, 0.0)
            rise = 1.3 * kernel(span, 9.0, 4.0) if kind == "pair" else 1.3 * lam * np.exp(-span / 9.0)
            total += (rise * (t >= when))[:, None] * weights[:, n]
        return total

    np.testing.assert_allclose(found["at"], membranes(np.asarray([0.0, 3.3, 17.0, DURATION])), rtol=1e-11)
    borders = np.unique([0.0, DURATION, *[t for t, _ in spikes[:-1]]])
    x, w = np.polynomial.legendre.leggauss(12)
    nodes = (borders[:-1, None] + np.diff(borders)[:, None] * (1 + x) / 2).ravel()
    values, parts = membranes(nodes), (np.diff(borders)[:, None] * w / 2).ravel()[:, None]
    np.testing.assert_allclose(found["mean"], (parts * values).sum(0) / DURATION, rtol=1e-10)
    np.testing.assert_allclose(found["integral"], (parts * np.exp(-0.07 * nodes)[:, None] * values).sum(0), rtol=1e-10)
    fine = membranes(np.concatenate([np.linspace(0, DURATION, 20001), borders]))
    np.testing.assert_allclose(found["maximum"], fine.max(0), rtol=1e-6)
    assert np.all(found["maximum"] >= fine.max(0) - 1e-12)
    slopes = compiled(jax.jacrev(read))(p)
    flat, unravel = ravel_pytree(p)
    moved = jax.vmap(unravel)(flat + 1e-6 * jnp.concatenate([jnp.eye(flat.size), -jnp.eye(flat.size)]))
    sides = compiled(jax.vmap(read))(moved)
    for name, slope in slopes.items():
        expected = (sides[name][: flat.size] - sides[name][flat.size :]) / 2e-6
        columns = [slope[leaf].reshape(*found[name].shape, -1) for leaf in sorted(p)]
        np.testing.assert_allclose(np.concatenate(columns, -1), np.moveaxis(expected, 0, -1), rtol=1e-5, atol=2e-8)


@pytest.mark.slow
def test_a_membrane_is_known_up_to_the_end_and_refuses_what_it_cannot(x64):
    model = snnx.Sequential([linear(V[:, :3]), snnx.LI(9.0)])
    membrane = event.simulate(model, made(some_spikes(), 3), duration=20.0).output
    outside = membrane.at(jnp.asarray([-0.1, 20.1, 20.0]))
    np.testing.assert_array_equal(np.isnan(outside).all(1), [True, True, False])
    with pytest.raises(ValueError, match=r"\btimes\b"):
        membrane.at(jnp.asarray(3.0))
    with pytest.raises(ValueError, match=r"\bdecay\b"):
        membrane.integral(-1.0)


# Running


def one_layer(weights=None, **options):
    return snnx.Sequential([linear(INTO if weights is None else weights), cuba(**options)])


@pytest.mark.slow
def test_many_examples_are_each_what_one_is():
    """vmap, a loop, a compiled program and none: the same, in single precision too."""
    model = snnx.Sequential([linear(0.4 * INTO), snnx.LIF(10.0)])
    batch = [some_spikes(seed) for seed in range(3)]
    stacked = [jnp.asarray([[s[k] for s in spikes] for spikes in batch]) for k in (0, 1)]

    def first(times, indices):
        events = event.make_events(times, indices, size=3)
        run = simulate(model, events, most=12)
        return run.output.first(), run.spikes["1"].counts()

    times, counts = jax.jit(jax.vmap(first))(*stacked)
    assert times.dtype == np.float32
    assert counts.sum() > 5
    for k in range(3):
        alone = jax.jit(first)(stacked[0][k], stacked[1][k])
        np.testing.assert_allclose(times[k], alone[0], rtol=1e-5)
        np.testing.assert_array_equal(counts[k], alone[1])
    eager = first(stacked[0][0], stacked[1][0])
    np.testing.assert_allclose(times[0], eager[0], rtol=1e-5)


@pytest.mark.slow
def test_a_silent_neuron_gets_a_phantom_that_wakes_it(x64):
    """$dt = -\\tau_m\\, dv(T) / \\vartheta$; and those that fire get none."""
    spikes = some_spikes(3)
    weak = np.vstack([0.2 * np.abs(INTO[0]), 0.1 * np.abs(INTO[1]), 2 * np.abs(INTO[2])])
    tau_mem, tau_syn, threshold = np.array([9.0, 10.0, 12.0]), 4.0, np.array([1.0, 1.2, 0.9])

    def loss(weights, coefficients):
        neuron = cuba(jnp.asarray(tau_mem), tau_syn, jnp.asarray(threshold))
        model = snnx.Sequential([linear(weights), neuron])
        run = simulate(model, made(spikes, 3), phantom=True, most=10)
        return jnp.sum(coefficients * run.output.first()), run.output

    (value, found), gradient = compiled(jax.value_and_grad(loss, has_aux=True))(
        jnp.asarray(weak), jnp.asarray([1.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(value, 2 * DURATION)
    np.testing.assert_array_equal(found.counts()[:2], 1)
    fired = spike_times(numbers_of(3, tau_mem, tau_syn, threshold), [(t, weak[:, n]) for t, n in spikes], DURATION)
    assert len(fired) >= 2
    assert {n for _, n in fired} == {2}
    assert_spikes(found, [*fired, (DURATION, 0), (DURATION, 1)])
    for neuron, channel in itertools.product(range(2), range(3)):
        rise = sum(kernel(DURATION - t, tau_mem[neuron], tau_syn) for t, n in spikes if n == channel)
        expected = -tau_mem[neuron] / threshold[neuron] * rise
        np.testing.assert_allclose(gradient[neuron, channel], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(gradient[2], 0.0)


TOO_MANY = r"\bpart {}\b.*\bcapacity="


@pytest.mark.slow
def test_spikes_for_which_there_is_no_room_are_an_error():
    """By default, wherever it is; reported if asked for. As many as there are fit."""
    model = snnx.Sequential([linear(0.5 * INTO), snnx.LIF(10.0), linear(BETWEEN), snnx.LIF(10.0)])
    events = made(some_spikes(3), 3, dtype=np.float32)
    whole = event.simulate(model, events, duration=DURATION, most=20)
    assert not whole.overflow
    most = {path: int(spikes.counts().max()) for path, spikes in whole.spikes.items()}
    room = {path: int(spikes.count) for path, spikes in whole.spikes.items()}
    assert min(most.values()) >= 2
    exact = event.simulate(model, events, duration=DURATION, most=most, capacity=room)
    for path, spikes in whole.spikes.items():
        assert exact.spikes[path].times.shape == (room[path],)
        np.testing.assert_array_equal(exact.spikes[path].times, spikes.times[: room[path]])
    for path, name, numbers in [("1", "most", most), ("3", "capacity", room)]:
        fewer = {"most": 20} | {name: numbers | {path: numbers[path] - 1}}
        with pytest.raises(RuntimeError, match=TOO_MANY.format(path)):
            event.simulate(model, events, duration=DURATION, **fewer)
        run = event.simulate(model, events, duration=DURATION, overflow="report", **fewer)
        assert run.overflow
        assert run.spikes[path].overflow
    lost = event.from_raster(np.ones((2, 3), np.float32), 1.0, capacity=2)
    with pytest.raises(RuntimeError, match=r"\bevents\b.*\bcapacity="):
        event.simulate(model, lost, duration=DURATION)


@pytest.mark.slow
def test_the_error_is_there_for_those_who_only_look_at_spikes():
    model, events = one_layer(), made(some_spikes(3), 3, dtype=np.float32)
    counts = eqx.filter_jit(
        lambda events: event.simulate(model, events, duration=DURATION, most=1).spikes["1"].counts()
    )
    with pytest.raises(RuntimeError, match=TOO_MANY.format(1)):
        counts(events)


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", [False, True])
def test_without_events_nothing_happens_and_gradients_are_zero(recurrent):
    neuron = cuba(jnp.asarray(10.0), jnp.asarray(4.0), jnp.asarray(1.0))
    model = snnx.Sequential([linear(INTO), snnx.Recurrent(neuron, linear(BACK)) if recurrent else neuron])
    events = event.make_events([np.inf], [0], size=3, capacity=1, dtype=np.float32)

    def loss(model):
        found = simulate(model, events).output
        return jnp.sum(jnp.where(found.there, found.times, 0.0)), found.count

    gradient, count = eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))(model)
    assert count == 0
    for leaf in jax.tree.leaves(eqx.filter(gradient, eqx.is_inexact_array)):
        np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.slow
def test_to_train_weights_that_move_no_spike_is_warned_of():
    model = snnx.Sequential([linear(0.3 * np.abs(INTO)), snnx.LIF(10.0)])
    events = made(some_spikes(3), 3, dtype=np.float32)

    def loss(model):
        return jnp.sum(event.simulate(model, events, duration=DURATION, most=9).output.times[:2])

    with pytest.warns(UserWarning, match=r"part 1\b.* CubaLIF"):
        gradient = eqx.filter_grad(loss)(model)
    np.testing.assert_allclose(gradient[0].weight, 0.0, atol=1e-6)


# Refusals


def refused(model, name, error=ValueError, events=None, **options):
    """`name`: what the message has to name, the part or the argument."""
    return pytest.param(model, {"events": events, **options}, error, rf"(^|\W){name}(\W|$)")


def loop(*neurons):
    """Two neurons that feed each other."""
    nodes = {"in": linear(INTO), "a": neurons[0], "b": neurons[1]}
    return snnx.Graph(nodes, [("input", "in"), ("in", "a"), ("a", "b"), ("b", "a"), ("b", "output")])


def branches(first, second, join):
    return snnx.Sequential([snnx.Parallel([linear(first), linear(second)], join), cuba()])


EVENTS = made(some_spikes(), 3, dtype=np.float32)
REFUSED = [
    refused(lambda: one_layer(reset=snnx.NoReset()), "part 1.* NoReset"),
    refused(lambda: snnx.Sequential([linear(INTO), snnx.ALIF()]), "part 1.* LIF"),
    refused(lambda: snnx.Sequential([linear(INTO), snnx.IF()]), "part 1.* LIF"),
    refused(lambda: snnx.Sequential([snnx.Sequential([jnp.tanh]), cuba()]), "part 0.0"),
    refused(lambda: snnx.Sequential([linear(INTO), snnx.LI(), linear(INTO), cuba()]), "part 2.* readout"),
    refused(lambda: snnx.Sequential([cuba(), linear(INTO)]), "model"),
    refused(lambda: snnx.Sequential([linear(INTO), eqx.nn.Dropout(0.5), cuba()]), "part 1.*Dropout"),
    refused(lambda: linear(INTO), "model", TypeError),
    refused(one_layer, "events", TypeError, events=jnp.ones(3)),
    refused(one_layer, "events", DtypeError, events=made(some_spikes(), 3, dtype=np.float16)),
    refused(one_layer, "vmap", ShapeError, events=jax.tree.map(lambda x: jnp.stack([x, x]), EVENTS)),
    refused(one_layer, r"part 0.*\(4,\).*\(3,\)", ShapeError, events=made([(1.0, 0)], 4, dtype=np.float32)),
    refused(
        lambda: snnx.Sequential([eqx.nn.Conv2d(1, 2, 3, key=jax.random.key(0)), cuba()]), "part 0.* shape", ShapeError
    ),
    refused(lambda: snnx.Recurrent(cuba(), linear(np.ones((3, 4)))), "part feedback", ShapeError),
    refused(lambda: snnx.Recurrent(cuba(), linear(np.ones((2, 3)))), "part feedback", ShapeError),
    refused(one_layer, "most.* '7'", most={"7": 3}),
    refused(one_layer, "capacity.* '0'", capacity={"0": 3}),
    refused(one_layer, "most", most=0),
    refused(one_layer, "capacity", TypeError, capacity={"1": 2.0}),
    refused(one_layer, "duration", duration=0),
    refused(one_layer, "duration", duration=float("inf")),
    refused(one_layer, "phantom", TypeError, phantom="yes"),
    refused(one_layer, "shape", TypeError, shape=3),
    refused(lambda: one_layer(reset=snnx.ValueReset(1.0)), "part 1.* v_reset"),
    refused(lambda: one_layer(threshold=0.0), "part 1.* threshold"),
    refused(one_layer, "gradient", gradient="adjoint"),
    refused(one_layer, "overflow", overflow="drop"),
    refused(lambda: branches(INTO, INTO, snnx.layers.Concat()), r"part 0.join.*\bAdd"),
    refused(lambda: branches(INTO, W.T, snnx.layers.Add()), r"\(3,\) and \(4,\) meet", ShapeError),
    refused(
        lambda: snnx.Sequential([linear(INTO), event.ContinuousDelay(jnp.ones(3)), cuba()]), "part 1 delays.* weights"
    ),
    refused(lambda: snnx.Sequential([event.ContinuousDelay(jnp.ones(2)), cuba()]), "part 0 has delays", ShapeError),
    refused(lambda: snnx.Recurrent(cuba(), jnp.tanh), "part feedback"),
    refused(lambda: loop(snnx.Delay(1.0), snnx.Delay(1.0)), "parts 'a', 'b'"),
    refused(lambda: loop(cuba(), cuba(refractory=2)), "refractory"),
    refused(lambda: loop(cuba(), cuba(reset=snnx.ValueReset(0.0))), "reset"),
    refused(lambda: loop(cuba(), snnx.LIF()), "parts a and b.* synapse"),
    refused(lambda: cycle(), "events has 'in'", events={"in": EVENTS}),
    refused(lambda: snnx.Sequential([linear(INTO, [1.0, 1.2, 1.4]), snnx.Delay(5.0), cuba()]), "part 1.* constant"),
    refused(lambda: snnx.Sequential([linear(INTO), snnx.LI(9.0)]), "phantom.* readout", phantom=True),
    refused(lambda: snnx.Sequential([linear(INTO), cuba(), event.ContinuousDelay(2.0)]), "phantom", phantom=True),
    refused(one_layer, r"part 0.* several", events={"input": EVENTS}),
]


@pytest.mark.parametrize(("model", "options", "error", "match"), REFUSED)
def test_what_cannot_be_solved_is_refused(model, options, error, match):
    given = {"events": EVENTS, "duration": DURATION} | {k: x for k, x in options.items() if x is not None}
    with pytest.raises(error, match=match):
        event.simulate(model(), given.pop("events"), **given)


def test_a_delay_in_continuous_time_is_refused_on_the_clock():
    with pytest.raises(TypeError, match=r"\bContinuousDelay\b"):
        snnx.simulate(snnx.Sequential([event.ContinuousDelay(1.0)]), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="delay"):
        event.ContinuousDelay(float("nan"))


@pytest.mark.slow
def test_frozen_weights_are_weights():
    frozen = eqx.tree_at(lambda part: part.weight, linear(INTO), replace_fn=snnx.Frozen)
    found, expected = (
        event.simulate(snnx.Sequential([layer, snnx.LI(9.0)]), EVENTS, duration=DURATION).output.jumps
        for layer in (frozen, linear(INTO))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_recurrent_neurons_have_phantoms():
    model = snnx.Sequential([linear(0.01 * INTO), snnx.Recurrent(cuba(), linear(BACK))])
    run = event.simulate(model, EVENTS, duration=DURATION, phantom=True, capacity=4)
    np.testing.assert_array_equal(run.output.first(), DURATION)
    assert run.spikes["1.neuron"].count == 0  # what really happened


@pytest.mark.parametrize("body", ["sequential", "recurrent"])
def test_neurons_inside_a_part_of_a_cycle_are_refused_by_name(body):
    inner = snnx.Sequential([linear(BETWEEN), cuba()]) if body == "sequential" else snnx.Recurrent(cuba(), linear(BACK))
    with pytest.raises(ValueError, match=r"\bpart b\b"):
        event.simulate(loop(cuba(), inner), EVENTS, duration=DURATION)


@pytest.mark.slow
def test_a_loop_may_run_by_its_bias_alone(x64):
    """A current that lasts: at each step it jumps by the bias, which `dt / tau_syn` of it would hold up."""
    bias, step = np.array([1.0, 1.2, 1.4]), 1e-6
    events = event.make_events(np.zeros(0), np.zeros(0, int), size=3)

    def of_bias(bias):
        model = snnx.Sequential([linear(INTO, bias), snnx.Recurrent(cuba(), linear(BACK))])
        times = simulate(model, events, capacity=80).output.times
        there = times < jnp.inf
        return jnp.sum(jnp.where(there, jnp.sin(jnp.where(there, times, 0.0)), 0.0)), times

    def reference(bias):
        fixed = dict(tau_mem=10.0, tau_syn=4.0, resistance=1.0, start_v=0.0, threshold=1.0, after=0.0)
        p = {name: np.full(3, number) for name, number in fixed.items()} | dict(rest=4.0 * bias, start_j=-4.0 * bias)
        return np.array([t for t, _ in spike_times(p, [], DURATION, back=BACK.T[None], delays=np.zeros((1, 3)))])

    (_, times), slope = compiled(jax.value_and_grad(of_bias, has_aux=True))(jnp.asarray(bias))
    expected = reference(bias)
    assert 20 < expected.size < 80
    np.testing.assert_allclose(times[: expected.size], expected, rtol=0, atol=1e-8)
    assert not np.isfinite(times[expected.size :]).any()
    moved = [np.sin(reference(bias + e)).sum() - np.sin(reference(bias - e)).sum() for e in step * np.eye(3)]
    np.testing.assert_allclose(slope, np.array(moved) / (2 * step), rtol=1e-4)


def test_a_graph_of_two_inputs_says_which_one_it_lacks():
    graph = snnx.Graph(
        {"in": linear(INTO), "fire": cuba()},
        [("a", "in"), ("b", "in"), ("in", "fire"), ("fire", "output")],
        inputs=["a", "b"],
    )
    with pytest.raises(ValueError, match=r"\bevents\b"):
        event.simulate(graph, {"a": EVENTS}, duration=DURATION)


def test_a_shape_of_another_size_is_refused():
    model = snnx.Sequential([snnx.Flatten(), linear(np.ones((3, 6))), cuba()])
    with pytest.raises(ShapeError, match=r"\bshape\b"):
        event.simulate(model, EVENTS, duration=DURATION, shape=(2, 3))


@pytest.mark.slow
def test_one_rule_for_what_arrives_at_the_end_of_a_rest():
    neuron = snnx.LIF(10.0, refractory=2)
    spikes = made([(1.0, 0), (3.0, 0)], 1, dtype=np.float32)
    alone = snnx.Sequential([linear([[1.5]]), neuron])
    looped = snnx.Sequential([linear([[1.5]]), snnx.Recurrent(neuron, linear([[0.0]]))])
    found = [event.simulate(model, spikes, duration=9.0).output.count for model in (alone, looped)]
    clock, _ = snnx.simulate(alone, event.to_raster(spikes, steps=9, dt=1.0))
    assert found == [clock.sum()] * 2


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("gradient", ["eventprop", "autodiff"])
def test_nothing_moves_a_spike_at_the_beginning(recurrent, gradient, x64):
    """A membrane that starts above its threshold fires at 0, also where an event comes then."""
    events = made([(0.0, 0), (5.0, 0)], 1)

    def first(threshold, v_leak):
        neuron = cuba(threshold=threshold, v_leak=v_leak, reset=snnx.ValueReset(0.0))
        last = snnx.Recurrent(neuron, linear([[0.5]])) if recurrent else neuron
        model = snnx.Sequential([linear([[2.0]]), last])
        return simulate(model, events, most=20, gradient=gradient).output.times[0]

    time, moved = compiled(jax.value_and_grad(first, (0, 1)))(jnp.asarray(1.3), jnp.asarray(1.5))
    assert time == 0.0
    np.testing.assert_array_equal(moved, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_weight_that_is_no_number_does_not_look_like_silence(wrong, readout):
    last = [linear(BETWEEN), snnx.CubaLI(9.0, 3.0)] if readout else []
    model = snnx.Sequential([linear(np.where(np.eye(3) > 0, wrong, INTO)), cuba(), *last])
    run = simulate(model, EVENTS)
    assert jnp.all(jnp.isnan(run.spikes["1"].times))
    assert jnp.all(jnp.isnan(run.output.maximum() if readout else run.output.times))


@pytest.mark.parametrize(
    ("times", "channels", "count", "match"),
    [
        ([5.0, 1.5], [0, 1], 2, "times"),
        ([-1.0, 1.5], [0, 1], 2, "times"),
        ([1.0, 1.5], [0, 1], 3, "count"),
        ([1.0, 1.5], [0, 3], 2, "channels"),
    ],
)
def test_lists_made_by_hand_are_looked_at(times, channels, count, match):
    numbers = jnp.asarray(times, jnp.float32), jnp.asarray(channels, jnp.int32), jnp.asarray(count, jnp.int32)
    with pytest.raises(ValueError, match=match):
        event.simulate(one_layer(), event.Events(*numbers, jnp.zeros((), bool), 3), duration=DURATION)


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", [False, True])
def test_second_derivatives_are_those_of_finite_differences_or_refused(recurrent, x64):
    events = made(some_spikes(3), 3)

    def loss(weights, gradient):
        neuron = cuba(refractory=1)
        model = snnx.Sequential([linear(weights), snnx.Recurrent(neuron, linear(BACK)) if recurrent else neuron])
        run = simulate(model, events, gradient=gradient, most=8, capacity=16)
        times = run.output.times[:4]
        return jnp.sum(jnp.sin(times / 3.0)) + jnp.where(jnp.all(times < jnp.inf), 0.0, jnp.nan)

    along = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3)))
    weights, step = jnp.asarray(INTO), 1e-5
    slope = compiled(jax.grad(lambda w: loss(w, "eventprop")))
    expected = (slope(weights + step * along) - slope(weights - step * along)) / (2 * step)
    found = compiled(lambda w: jax.jvp(jax.grad(lambda w: loss(w, "autodiff")), (w,), (along,))[1])(weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(TypeError, match=r"\bgradient="):
        jax.make_jaxpr(jax.grad(lambda w: jnp.sum(jax.grad(lambda w: loss(w, "eventprop"))(w) ** 2)))(weights)
