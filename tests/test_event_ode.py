"""Neurons given by an equation: spikes where SciPy's solver, closed forms and the event-driven CubaLIF have them."""

import functools
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from scipy.integrate import solve_ivp

import snnx
from snnx import MissingExtraError, Positive, ShapeError, event
from snnx.event import ode

DURATION, MOST = 100.0, 8
TIMES, INDICES = [2.0, 9.0, 9.0, 30.0, 55.0], [0, 1, 2, 0, 1]  # two of them at once
TIGHT = ode.Solver(tolerance=1e-9, max_steps=256)

jit = functools.partial(eqx.filter_jit, compiler_options={"xla_backend_optimization_level": 0})  # which takes less so


# The reference: NumPy and SciPy, double precision, one neuron, from event to event.


class Reference:
    """`field(y)` of `y = [v, ..., j]`, `reset(y)`. Above `high` it climbs: the membrane is the clock, up to `peak`."""

    def __init__(self, field, reset, start, high, peak):
        self.field, self.reset, self.start, self.high, self.peak = field, reset, np.array(start), high, peak

    def spikes(self, times, weights, duration=DURATION):
        def crossing(t, y):
            return y[0] - self.high

        crossing.terminal, crossing.direction = True, 1.0
        setting = dict(method="DOP853", rtol=1e-12, atol=1e-12)
        t, y, found = 0.0, self.start, []
        for until, weight in [*zip(times, weights, strict=True), (duration, 0.0)]:
            while t < until:
                path = solve_ivp(lambda _, y: self.field(y), (t, until), y, events=crossing, **setting)
                t, y = path.t[-1], path.y[:, -1]
                if path.status == 1:
                    if self.high < self.peak:
                        climb = solve_ivp(self._by_membrane, (self.high, self.peak), [t, *y[1:]], **setting)
                        t, y = climb.y[0, -1], np.array([self.peak, *climb.y[1:, -1]])
                    assert t < until, "an event during an upstroke: choose another time"
                    found.append(t)
                    y = self.reset(y)
            y = y + np.array([*np.zeros(len(y) - 1), weight])
        return found

    def _by_membrane(self, v, z):
        rates = self.field(np.array([v, *z[1:]]))
        return np.array([1.0, *rates[1:]]) / rates[0]


def qif(current, tau=10.0, v_rest=-1.0, v_crit=1.0, v_peak=100.0, v_reset=-100.0, tau_syn=5.0):
    def field(y):
        v, j = y
        return np.array([((v - v_rest) * (v - v_crit) + j + current) / tau, -j / tau_syn])

    return Reference(field, lambda y: np.array([v_reset, y[1]]), [v_rest, 0.0], 10.0, v_peak)


def eif(current, C=1.0, g=0.1, E=-65.0, v_t=-59.9, delta=3.48, v_peak=0.0, v_reset=-68.0, tau_syn=5.0):
    def field(y):
        v, j = y
        return np.array([(-g * (v - E) + g * delta * np.exp((v - v_t) / delta) + j + current) / C, -j / tau_syn])

    return Reference(field, lambda y: np.array([v_reset, y[1]]), [E, 0.0], -35.0, v_peak)


def adex(
    current, C=281.0, g=30.0, E=-70.6, v_t=-50.4, delta=2.0, tau_w=144.0, a=4.0, b=80.5, v_peak=20.0, v_reset=-70.6
):
    def field(y):
        v, w, j = y
        ionic = -g * (v - E) + g * delta * np.exp((v - v_t) / delta)
        return np.array([(ionic - w + j + current) / C, (a * (v - E) - w) / tau_w, -j / 5.0])

    return Reference(field, lambda y: np.array([v_reset, y[1] + b, y[2]]), [E, 0.0, 0.0], -35.0, v_peak)


def izhikevich(current, a=0.02, b=0.2, c=-65.0, d=8.0, v_peak=30.0, tau_syn=5.0):
    def field(y):
        v, u, j = y
        return np.array([0.04 * v * v + 5.0 * v + 140.0 - u + j + current, a * (b * v - u), -j / tau_syn])

    return Reference(field, lambda y: np.array([c, y[1] + d, y[2]]), [c, b * c, 0.0], 0.0, v_peak)


# The networks: three channels, two neurons.

WEIGHTS = np.array([[1.0, 1.5, 1.2], [1.8, -0.6, 3.0]])
BIAS = np.array([0.45, 0.8])


def linear(weights, bias=None):
    weights = jnp.asarray(weights, float)
    layer = eqx.nn.Linear(weights.shape[1], weights.shape[0], use_bias=bias is not None, key=jax.random.key(0))
    layer = eqx.tree_at(lambda part: part.weight, layer, weights)
    return layer if bias is None else eqx.tree_at(lambda part: part.bias, layer, jnp.asarray(bias, float))


def inputs():
    return event.make_events(np.array(TIMES), np.array(INDICES), size=3)


@jit
def run(model, events):
    return event.simulate(model, events, duration=DURATION, most=MOST, overflow="report")


def trains(spikes):
    """The times of each neuron's spikes."""
    times, indices = np.asarray(spikes.times), np.asarray(spikes.indices)
    return [times[(indices == n) & (times < np.inf)] for n in range(spikes.size)]


def expected(make, weights, bias, times=TIMES, **parameters):
    """The same of the reference, with parameters of one neuron each."""
    order, found = np.argsort(times, kind="stable"), []
    for n, (row, current) in enumerate(zip(weights, bias, strict=True)):
        own = {name: given[n] if np.ndim(given) else given for name, given in parameters.items()}
        found.append(np.array(make(current, **own).spikes(np.asarray(times)[order], row[INDICES][order])))
    return found


def quadratic(tau=(10.0, 8.0), solver=TIGHT):
    return ode.QIF(tau=Positive(jnp.array(tau)), v_reset=-90.0, solver=solver)


def of_quadratic(current, tau):
    return qif(current, tau=tau, v_reset=-90.0)


def exponential(delta, v_t):
    return ode.EIF(delta_t=Positive(delta), v_t=v_t, solver=TIGHT)


def recovering(a, d):
    return ode.Izhikevich(a=a, d=d, solver=TIGHT)


CASES = {
    "QIF": (8.0, 2.0, quadratic, of_quadratic, dict(tau=[10.0, 8.0])),
    "EIF": (2.5, 0.6, exponential, eif, dict(delta=[3.48, 2.0], v_t=[-59.9, -58.0])),
    "Izhikevich": (10.0, 5.0, recovering, izhikevich, dict(a=[0.02, 0.1], d=[8.0, 2.0])),
}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", list(CASES))
def test_spikes_are_where_another_solver_has_them(name):
    by_weight, by_bias, neuron, reference, parameters = CASES[name]
    weights, bias = by_weight * WEIGHTS, by_bias * BIAS
    part = neuron(**{key: jnp.array(given) for key, given in parameters.items()})
    found = run(snnx.Sequential([linear(weights, bias), part]), inputs())
    want = expected(reference, weights, bias, **parameters)
    assert min(map(len, want)) >= 2
    assert max(map(len, want)) <= MOST
    assert not found.overflow
    for times, others in zip(trains(found.output), want, strict=True):
        np.testing.assert_allclose(times, others, rtol=5e-8, atol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_quadratic_neuron_under_a_constant_current_follows_the_tangent():
    # tau dv/dt = v^2 + I, I = c - 1: v = sqrt(I) tan(sqrt(I) t / tau + const)
    bias, tau = np.array([2.5, 1.8]), np.array([10.0, 8.0])
    found = run(snnx.Sequential([linear(0.0 * WEIGHTS, bias), quadratic()]), inputs())
    root = np.sqrt(bias - 1.0)
    first = tau / root * (np.arctan(100.0 / root) - np.arctan(-1.0 / root))
    period = tau / root * (np.arctan(100.0 / root) - np.arctan(-90.0 / root))
    for n, times in enumerate(trains(found.output)):
        want = first[n] + period[n] * np.arange(10)
        np.testing.assert_allclose(times, want[want < DURATION], rtol=5e-8)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_silent_neurons_and_too_many_spikes():
    def found(bias):
        return run(snnx.Sequential([linear(0.0 * WEIGHTS, bias), quadratic()]), inputs())

    silent = found([0.9, -3.0])
    assert silent.output.count == 0
    assert not silent.overflow
    full = found([0.9, 10.0])  # a period of some 8 ms
    assert full.overflow
    assert [len(times) for times in trains(full.output)] == [0, MOST]


@pytest.mark.slow
def test_the_default_tolerance_in_single_precision():
    weights, bias = 8.0 * WEIGHTS, 2.0 * BIAS
    found = run(snnx.Sequential([linear(weights, bias), quadratic(solver=ode.Solver())]), inputs())
    assert found.output.times.dtype == jnp.float32
    for times, want in zip(trains(found.output), expected(of_quadratic, weights, bias, tau=[10.0, 8.0]), strict=True):
        np.testing.assert_allclose(times, want, rtol=0, atol=1e-3)


# Derivatives.

ADEX = dict(C=[281.0, 200.0], v_t=[-50.4, -48.0], delta=[2.0, 1.5], tau_w=[144.0, 60.0], a=[4.0, -2.0])
ADEX |= dict(b=[80.5, 40.0], v_reset=[-70.6, -58.0], v_peak=[20.0, 0.0], E=[-70.6, -68.0], g=[30.0, 20.0])
NAMES = dict(C="capacitance", delta="delta_t", E="e_leak", g="g_leak")


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_adex_spikes_and_their_derivatives_along_all_arguments():
    """Forwards, the first neuron at the source's defaults: up to 20 mV, where the slope is 3e14 mV/ms."""
    solver = ode.Solver(tolerance=1e-11)
    point = (
        np.array([[1000.0], [500.0]]) * WEIGHTS,
        np.array([1500.0, 500.0]) * BIAS,
        np.array(TIMES),
        {name: np.array(p) for name, p in ADEX.items()},
    )
    rng = np.random.default_rng(0)
    along = jax.tree.map(lambda x: 0.1 * np.abs(x) * rng.standard_normal(x.shape), point)

    def times(weights, bias, times, parameters):
        neuron = ode.AdEx(**{NAMES.get(name, name): p for name, p in parameters.items()}, solver=solver)
        events = eqx.tree_at(lambda e: e.times, inputs(), times)
        model = snnx.Sequential([linear(weights, bias), neuron])
        return event.simulate(model, events, duration=DURATION, most=MOST, overflow="report").output

    def reference(step):
        weights, bias, times, parameters = jax.tree.map(lambda x, d: x + step * d, point, along)
        return np.sort(np.concatenate(expected(adex, weights, bias, times, **parameters)))

    def forwards(point, along):
        found, slopes = jax.jvp(lambda p: times(*p).times, (point,), (along,))
        return found, slopes

    found, slopes = jit(forwards)(*jax.tree.map(jnp.asarray, (point, along)))
    count = int(np.sum(np.isfinite(found)))
    assert count >= 6
    np.testing.assert_allclose(found[:count], reference(0.0), rtol=5e-8)
    numeric = (reference(1e-5) - reference(-1e-5)) / 2e-5
    np.testing.assert_allclose(slopes[:count], numeric, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("x64", "ranks_are_promoted")
def test_gradients_of_a_graph_with_a_readout():
    """Backwards, from a readout in closed form behind learned delays; leaf by leaf against differences of the reference."""
    behind = dict(weights=linear([[0.5, -1.0], [2.0, 0.7]]), readout=snnx.CubaLI(tau_mem=12.0, tau_syn=4.0))
    names = ["input", "currents", "neuron", "delay", "weights", "readout", "output"]
    point = (8.0 * WEIGHTS, 2.0 * BIAS, np.array(TIMES), np.array([10.0, 8.0]), np.array([1.0, 3.0]))

    def value_of(model, events):
        output = event.simulate(model, events, duration=DURATION, most=MOST, overflow="report").output
        return jnp.sum(jnp.array([1.0, -2.0]) * output.mean()) + output.at(jnp.array([50.0]))[0, 1]

    def loss(point):
        weights, bias, times, tau, delay = point
        nodes = dict(
            currents=linear(weights, bias), neuron=ode.QIF(tau=tau, solver=TIGHT), delay=event.ContinuousDelay(delay)
        )
        model = snnx.Graph(nodes | behind, list(zip(names[:-1], names[1:], strict=True)))
        return value_of(model, eqx.tree_at(lambda e: e.times, inputs(), times))

    of_spikes = jit(lambda events: value_of(snnx.Sequential(list(behind.values())), events))

    def reference(point):
        weights, bias, times, tau, delay = point
        spikes = expected(qif, weights, bias, times, tau=tau)
        when, which = np.full(40, np.inf), np.zeros(40, int)
        count = sum(map(len, spikes))
        which[:count] = np.repeat([0, 1], [len(train) for train in spikes])
        when[:count] = np.concatenate(spikes) + delay[which[:count]]
        return float(of_spikes(event.make_events(when, which, size=2)))

    found, gradient = jit(jax.value_and_grad(loss))(jax.tree.map(jnp.asarray, point))
    np.testing.assert_allclose(found, reference(point), rtol=5e-8)
    rng = np.random.default_rng(1)
    for leaf in range(len(point)):
        along = [0.1 * rng.standard_normal(x.shape) if n == leaf else 0.0 * x for n, x in enumerate(point)]
        ends = [reference([x + step * d for x, d in zip(point, along, strict=True)]) for step in (1e-5, -1e-5)]
        numeric = (ends[0] - ends[1]) / 2e-5
        terms = np.asarray(gradient[leaf]) * along[leaf]
        np.testing.assert_allclose(np.sum(terms), numeric, rtol=0, atol=1e-5 * np.sum(np.abs(terms)))


# Equations of one's own.


class Leaky(ode.AbstractODENeuron):
    """A `CubaLIF` with a reset by subtraction."""

    tau: snnx.parameters.Parameter = 20.0
    solver: ode.Solver = ode.Solver(tolerance=1e-6, max_step=2.0)

    def init_state(self, shape):
        return ode.MembraneState(jnp.zeros(shape), jnp.zeros(shape))

    def vector_field(self, state, current):
        v = (-state.v + state.j + current) / snnx.value(self.tau)
        return ode.MembraneState(v, -state.j / 5.0)

    def threshold(self, state):
        return state.v - 1.0

    def reset(self, state):
        return ode.MembraneState(state.v - 1.0, state.j)

    def jump(self, state, weight):
        return ode.MembraneState(state.v, state.j + weight)


@pytest.mark.slow
@pytest.mark.usefixtures("x64", "ranks_are_promoted")
def test_an_equation_that_has_a_closed_form_gives_what_that_gives():
    rng = np.random.default_rng(0)
    layer = linear(rng.normal(1.2, 3.0, (60, 3)))
    found = run(snnx.Sequential([layer, Leaky()]), inputs())
    closed = run(snnx.Sequential([layer, snnx.CubaLIF(tau_mem=20.0, tau_syn=5.0, r=1.0)]), inputs())
    assert 30 <= int(closed.output.count)
    assert not closed.overflow
    assert not found.overflow
    np.testing.assert_array_equal(found.output.counts(), closed.output.counts())
    for times, others in zip(trains(found.output), trains(closed.output), strict=True):
        np.testing.assert_allclose(times, others, rtol=0, atol=1e-4)


class CounterState(eqx.Module):
    v: Array


class Curve(eqx.Module):
    """Something with arrays that are not those of single neurons."""

    slopes: Array

    def __call__(self, current):
        return self.slopes[0] + self.slopes[1] * current


class Counter(ode.AbstractODENeuron):
    """dv/dt = f(c), and an event adds to v: it may fire at an event, and several times at once."""

    curve: Curve
    solver: ode.Solver = ode.Solver()

    def init_state(self, shape):
        return CounterState(jnp.zeros(shape))

    def vector_field(self, state, current):
        return CounterState(self.curve(current) + 0.0 * state.v)

    def threshold(self, state):
        return state.v - 1.0

    def reset(self, state):
        return CounterState(state.v - 1.0)

    def jump(self, state, weight):
        return CounterState(state.v + weight)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_spikes_at_an_event_and_several_at_once():
    # v rises by c = 0.1; + 0.5 at t_0 = 2; 1 at t = 5; + 2.5 at t_1 = 6, which fires twice there; 1 again at t = 10.
    def times(arguments):
        when, weights, slopes = arguments
        events = eqx.tree_at(lambda e: e.times, event.make_events(np.array([2.0, 6.0]), np.array([0, 1]), size=2), when)
        model = snnx.Sequential([linear(weights[None], [1.0]), Counter(Curve(slopes))])
        return event.simulate(model, events, duration=15.0, most=5).output.times

    arguments = (jnp.array([2.0, 6.0]), jnp.array([0.5, 2.5]), jnp.array([0.04, 0.06]))
    along = (jnp.array([0.3, -0.7]), jnp.array([0.2, 0.5]), jnp.array([-0.1, 0.4]))
    found, moved = jit(lambda a, d: jax.jvp(times, (a,), (d,)))(arguments, along)
    np.testing.assert_allclose(found, [5.0, 6.0, 6.0, 10.0, np.inf], rtol=1e-9)
    by_when, by_weights = [[0, 0], [0, 1], [0, 1], [0, 0]], [[-10, 0], [0, 0], [0, 0], [-10, -10]]
    by_slopes = [[-50, -50], [0, 0], [0, 0], [-100, -100]]
    want = sum(np.array(slope) @ d for slope, d in zip((by_when, by_weights, by_slopes), along, strict=True))
    np.testing.assert_allclose(moved[:4], want, rtol=1e-7)


# Refusals.


@pytest.mark.slow
def test_an_equation_that_is_not_solved_is_an_error():
    few = ode.Solver(max_steps=3)
    with pytest.raises(Exception, match=r"\bpart 1\b.*\bmax_steps\b"):
        jax.block_until_ready(run(snnx.Sequential([linear(WEIGHTS), Leaky(solver=few)]), inputs()))


def graph(**nodes):
    edges = [("input", "first"), ("first", "second"), ("second", "first"), ("second", "output")]
    return snnx.Graph(nodes, edges)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: snnx.Recurrent(ode.QIF(), linear(np.eye(3))), "part 0.neuron .*ODE"),
        (lambda: graph(first=ode.QIF(), second=snnx.LIF()), "part 0.first .*ODE"),
        (lambda: graph(first=snnx.LIF(), second=ode.QIF()), "part 0.second .*ODE"),
        (lambda: snnx.Sequential([ode.AdEx(b=jnp.zeros(4))]), "part 0.0 .*AdEx.* b"),
    ],
)
def test_what_is_not_solved_is_refused(model, named):
    with pytest.raises(ValueError, match=rf"\b{named}\b"):
        event.simulate(snnx.Sequential([model()]), inputs(), duration=10.0)


@pytest.mark.slow
def test_phantoms_need_a_closed_form():
    with pytest.raises(ValueError, match=r"\bphantom\b.*\bpart 1\b"):
        event.simulate(snnx.Sequential([linear(WEIGHTS), ode.EIF()]), inputs(), duration=10.0, phantom=True)


def test_there_is_no_clock():
    with pytest.raises(TypeError, match=r"\bQIF\b"):
        snnx.simulate(snnx.Sequential([ode.QIF()]), jnp.zeros((5, 3)))


@pytest.mark.parametrize(
    ("make", "name", "error"),
    [
        (lambda: ode.QIF(tau=0.0), "tau", ValueError),
        (lambda: ode.EIF(delta_t=-1.0), "delta_t", ValueError),
        (lambda: ode.AdEx(tau_w=jnp.array([1.0, 0.0])), "tau_w", ValueError),
        (lambda: ode.Izhikevich(d=float("nan")), "d", ValueError),
        (lambda: ode.Solver(max_steps=8.5), "max_steps", TypeError),
        (lambda: ode.Solver(tolerance=0.0), "tolerance", ValueError),
    ],
)
def test_impossible_parameters_are_refused(make, name, error):
    with pytest.raises(error, match=rf"\b{name}\b"):
        make()


def test_parameters_have_the_shape_of_the_input():
    with pytest.raises(ShapeError, match=r"\bpart 1\b.*\bv_t\b"):
        run(snnx.Sequential([linear(WEIGHTS), ode.EIF(v_t=jnp.zeros(3))]), inputs())


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(MissingExtraError, match=r"\bdiffrax\b.*\bode\b"):
        event.simulate(snnx.Sequential([ode.QIF()]), inputs(), duration=10.0)


@pytest.mark.slow
def test_nothing_is_imported_before_it_is_needed():
    code = (
        "import sys, snnx.event.ode as o; o.AdEx(); print([n for n in ('diffrax', 'optimistix') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.strip() == "[]"
