"""Neurons, readouts and layers of one's own run event-driven: against NumPy, and against built-in ones of the same equation."""

import types
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from event_reference import spike_times
from scipy.optimize import brentq

import snnx
from snnx import event, layers
from snnx.layers import _affine
from snnx.neurons import AbstractNeuron, Equation

pytestmark = pytest.mark.usefixtures("ranks_are_promoted")
DURATION = 20.0


# Parts of one's own.


class PairState(eqx.Module):
    membrane: jax.Array
    current: jax.Array

    @property
    def v(self):
        return self.membrane


class Firing(AbstractNeuron):
    """A current and a membrane, integrated over a step of 0.5 by other means than ours: halves of it, one after the other."""

    slow: snnx.parameters.Parameter
    fast: snnx.parameters.Parameter
    level: snnx.parameters.Parameter = 1.0
    dt: float = eqx.field(static=True, default=0.5)
    dtype: None = None

    def init_state(self, shape):
        return PairState(self.zeros(shape), self.zeros(shape))

    def coefficients(self):
        return jnp.exp(-self.dt / snnx.value(self.fast)), jnp.exp(-self.dt / snnx.value(self.slow))

    def step(self, x, state, coefficients, key):
        keep_fast, keep_slow = coefficients
        current = keep_fast * state.current + x
        v = keep_slow * state.membrane + (1 - keep_slow) * current
        spikes = snnx.surrogates.ATan()(v - self.level)
        return spikes, PairState(v - spikes * snnx.value(self.level), current)

    def equation(self):
        decay = 1 - jnp.exp(-self.dt / snnx.value(self.fast))
        return Equation(self.slow, self.fast, threshold=self.level, decay=decay)


class Reading(AbstractNeuron):
    """The membrane of a `Firing` that has no threshold."""

    slow: snnx.parameters.Parameter
    fast: snnx.parameters.Parameter
    dt: float = eqx.field(static=True, default=0.5)
    dtype: None = None
    init_state = Firing.init_state
    coefficients = Firing.coefficients

    def step(self, x, state, coefficients, key):
        keep_fast, keep_slow = coefficients
        current = keep_fast * state.current + x
        v = keep_slow * state.membrane + (1 - keep_slow) * current
        return v, PairState(v, current)

    def equation(self):
        return Equation(self.slow, self.fast, decay=1 - jnp.exp(-self.dt / snnx.value(self.fast)))


class Masked(eqx.Module):
    """$y = (M \\odot W) x + c$."""

    weights: jax.Array
    mask: jax.Array
    shift: jax.Array
    linear: ClassVar[bool] = True

    def __call__(self, x):
        return (self.weights * self.mask) @ x + self.shift


def some_numbers():
    rng = np.random.default_rng(3)
    first, second = rng.normal(1.5, 0.9, (4, 3)), rng.normal(0.5, 1.0, (2, 4))
    p = {
        "first": first,
        "second": second,
        "shift": np.array([0.1, 0.3, 0.2, 0.0]),
        "level": np.array([1.0, 0.8, 1.1, 0.9]),
    }
    return {name: jnp.asarray(x) for name, x in p.items()} | {"slow": jnp.asarray(9.0), "fast": jnp.asarray(4.0)}


MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
EVENTS = ([0.5, 2.0, 2.5, 4.0, 7.5, 8.0, 9.5, 12.0, 13.5], [0, 1, 2, 0, 1, 1, 2, 0, 2])


def own_model(p):
    first = Masked(p["first"], jnp.asarray(MASK), p["shift"])
    second = Masked(p["second"], jnp.ones(()), jnp.zeros(2))
    return snnx.Sequential([first, Firing(p["slow"], p["fast"], p["level"]), second, Reading(p["slow"], 3.0)])


def linear(weights, bias=None):
    layer = eqx.nn.Linear(*weights.shape[::-1], use_bias=bias is not None, key=jax.random.key(0))
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (weights, bias), is_leaf=lambda x: x is None)


def built_in_model(p):
    options = dict(r=1.0, dt=0.5)
    neuron = snnx.CubaLIF(p["slow"], p["fast"], p["level"], **options)
    first, second = linear(p["first"] * MASK, p["shift"]), linear(p["second"])
    return snnx.Sequential([first, neuron, second, snnx.CubaLI(p["slow"], 3.0, **options)])


@pytest.fixture(scope="module")
def both():
    """Of both models: the loss of membranes and spike times, what was found, and the gradient."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        p, found = some_numbers(), []
        events = event.make_events(*map(np.asarray, EVENTS), size=3, dtype=float)
        for make in (own_model, built_in_model):

            def loss(p, make=make):
                solution = event.simulate(make(p), events, duration=DURATION, most=12, overflow="report")
                times = solution.spikes["1"].times
                late = jnp.sum(jnp.where(times < jnp.inf, times, 0.0))
                return late + jnp.sum(solution.output.mean()) + jnp.sum(solution.output.maximum()), solution

            value, gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(p)
            found.append((*value, gradient))
        return p, found


def test_a_neuron_of_ones_own_fires_when_the_reference_does(both, x64):
    p, ((_, solution, _), _) = both
    weights = np.asarray(p["first"]) * MASK
    held = np.asarray(p["shift"]) / -np.expm1(-0.5 / 4.0)  # the current at which a step takes away what it adds
    fixed = dict(tau_mem=9.0, tau_syn=4.0, resistance=1.0, start_v=0.0, after=0.0)
    numbers = {name: np.full(4, x) for name, x in fixed.items()}
    numbers |= {"threshold": np.asarray(p["level"]), "rest": held, "start_j": -held}
    expected = sorted(spike_times(numbers, [(t, weights[:, n]) for t, n in zip(*EVENTS, strict=True)], DURATION))
    spikes = solution.spikes["1"]
    count = int(spikes.count)
    assert count == len(expected) >= 6
    np.testing.assert_allclose(spikes.times[:count], [t for t, _ in expected], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(spikes.indices[:count], [n for _, n in expected])


def test_parts_of_ones_own_do_what_the_built_in_ones_do(both, x64):
    """Spikes, membranes, and gradients of weights, offset, time constants and thresholds."""
    p, (own, built_in) = both
    np.testing.assert_allclose(own[0], built_in[0], rtol=1e-12)
    np.testing.assert_allclose(own[1].spikes["1"].times, built_in[1].spikes["1"].times, rtol=1e-12)
    at = jnp.linspace(0.0, DURATION, 9)
    np.testing.assert_allclose(own[1].output.at(at), built_in[1].output.at(at), rtol=1e-12)
    for name in p:
        assert np.abs(np.asarray(built_in[2][name])).max() > 1e-3, name
        expected = np.where(MASK, built_in[2][name], 0.0) if name == "first" else built_in[2][name]
        np.testing.assert_allclose(own[2][name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["recurrent", "cycle"])
def test_neurons_of_ones_own_feed_themselves(structure, x64):
    p, back = some_numbers(), jnp.asarray(np.random.default_rng(6).normal(-0.2, 0.8, (4, 4)))
    events, found = event.make_events(*map(np.asarray, EVENTS), size=3, dtype=float), []
    for make in (own_model, built_in_model):
        into, neuron, _, _ = make(p).layers
        if structure == "recurrent":
            model = snnx.Sequential([into, snnx.Recurrent(neuron, linear(back))])
        else:
            # The nodes stand in another order than the spikes take, and one of those within the cycle leads out of it.
            late = event.ContinuousDelay(jnp.asarray([0.5, 1.0, 2.0, 0.1]))
            nodes = {"late": late, "again": linear(back), "in": into, "neuron": neuron, "read": snnx.LI(5.0)}
            edges = [("input", "in"), ("in", "neuron"), ("neuron", "late"), ("late", "again"), ("again", "neuron")]
            model = snnx.Graph(nodes, [*edges, ("again", "read"), ("read", "output")])
        found.append(event.simulate(model, events, duration=DURATION, capacity=60))
    own, built_in = ([x for x in jax.tree.leaves(f) if eqx.is_array(x)] for f in found)
    (spikes,) = found[0].spikes.values()
    assert spikes.count > 6
    for ours, theirs in zip(own, built_in, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


# A neuron that is not solved in closed form hands on to the solver of ODEs.


class AdaptiveState(eqx.Module):
    v: jax.Array
    a: jax.Array


class AdaptiveODE(event.ode.AbstractODENeuron):
    """`tau dv/dt = c - v`, `tau_a da/dt = -a`; fires where `v` reaches `1 + a`, and then `a` grows by `strength`."""

    tau: snnx.parameters.Parameter
    tau_a: snnx.parameters.Parameter
    strength: snnx.parameters.Parameter
    solver: event.ode.Solver = event.ode.Solver(max_step=1.0, max_steps=128)

    def init_state(self, shape):
        return AdaptiveState(jnp.zeros(shape), jnp.zeros(shape))

    def vector_field(self, state, current):
        return AdaptiveState((current - state.v) / snnx.value(self.tau), -state.a / snnx.value(self.tau_a))

    def threshold(self, state):
        return state.v - 1.0 - state.a

    def reset(self, state):
        return AdaptiveState(jnp.zeros_like(state.v), state.a + snnx.value(self.strength))

    def jump(self, state, weight):
        return AdaptiveState(state.v + weight, state.a)


class Adaptive(AbstractNeuron):
    """The same on the clock, of which only the equation is looked at here."""

    tau: snnx.parameters.Parameter = 8.0
    tau_a: snnx.parameters.Parameter = 30.0
    strength: snnx.parameters.Parameter = 0.4
    dt: float = eqx.field(static=True, default=1.0)
    dtype: None = None

    def init_state(self, shape):
        return AdaptiveState(self.zeros(shape), self.zeros(shape))

    def coefficients(self):
        return None

    def step(self, x, state, coefficients, key):
        return x, state

    def equation(self):
        return AdaptiveODE(self.tau, self.tau_a, self.strength)


@pytest.mark.slow
def test_a_neuron_may_give_an_ode_for_its_equation(x64):
    tau, strength, current = np.array([8.0, 6.0]), 0.4, np.array([2.0, 1.5])
    model = snnx.Sequential([linear(jnp.zeros((2, 3)), jnp.asarray(current)), Adaptive(tau=jnp.asarray(tau))])
    events = event.make_events([np.inf], [0], size=3, dtype=float)
    spikes = event.simulate(model, events, duration=40.0, most=9).output
    for n in range(2):
        start, a, expected = 0.0, 0.0, []
        while True:  # between spikes both are exponentials

            def above(t, a=a, start=start, n=n):
                return current[n] * -np.expm1(-(t - start) / tau[n]) - 1.0 - a * np.exp(-(t - start) / 30.0)

            if above(40.0) < 0:
                break
            spike = brentq(above, start, 40.0, xtol=1e-13)
            a = a * np.exp(-(spike - start) / 30.0) + strength
            start = spike
            expected.append(spike)
        assert len(expected) >= 2
        np.testing.assert_allclose(
            spikes.times[: spikes.count][spikes.indices[: spikes.count] == n], expected, rtol=1e-6
        )


# What a part has to say of itself, and what happens where it does not.


class SameStep(snnx.LIF):
    """As its parent in all but its name."""


class OtherStep(snnx.LIF):
    """A step of its own, but the equation of its parent."""

    def step(self, x, state, coefficients, key):
        return super().step(2.0 * x, state, coefficients, key)


class OtherStepAndEquation(OtherStep):
    """Says what its step is worth."""

    def equation(self):
        return Equation(self.tau, threshold=self.threshold, jump=2.0)


class WithoutEquation(AbstractNeuron):
    """Has a clock and nothing else."""

    dt: float = eqx.field(static=True, default=1.0)
    dtype: None = None
    init_state, coefficients, step = Adaptive.init_state, Adaptive.coefficients, Adaptive.step


class WrongEquation(WithoutEquation):
    """Takes an equation for a text."""

    def equation(self):
        return "dv/dt = -v"


class OwnReset(snnx.neurons.AbstractReset):
    """Nothing that a closed form knows of."""

    stop_gradient: bool = False

    def __call__(self, v, spikes, threshold):
        return 0.5 * v


class Cell(snnx.AbstractCell):
    """A cell that says no more than its equation."""

    said: Equation

    def init_state(self, shape):
        return PairState(jnp.zeros(shape), jnp.zeros(shape))

    def __call__(self, x, state, *, key=None):
        return x, state

    def equation(self):
        return self.said


class Tanh(eqx.nn.Linear):
    """A subclass of a linear layer that is not linear."""

    def __call__(self, x, *, key=None):
        return jnp.tanh(super().__call__(x))


INTO = jnp.asarray([[1.5, 0.0, 0.0]])
SPIKES = event.make_events(np.asarray([1.0, 5.0, 9.0], np.float32), np.zeros(3, np.int32), size=3)


def simulate(*parts):
    return event.simulate(snnx.Sequential(parts), SPIKES, duration=12.0)


def cycle(part):
    nodes = {"in": linear(INTO), "a": snnx.CubaLIF(), "part": part}
    return snnx.Graph(nodes, [("input", "in"), ("in", "a"), ("a", "part"), ("part", "a"), ("a", "output")])


@pytest.mark.parametrize(
    ("parts", "error", "names"),
    [
        (lambda: [linear(INTO), WithoutEquation()], ValueError, ["part 1", "WithoutEquation", r"equation\(\)"]),
        (lambda: [linear(INTO), OtherStep()], ValueError, ["part 1", "OtherStep", "step", "LIF"]),
        (lambda: [linear(INTO), WrongEquation()], TypeError, ["part 1", "WrongEquation", "str"]),
        (lambda: [linear(INTO), snnx.LIF(reset=OwnReset())], ValueError, ["part 1", "OwnReset"]),
        (lambda: [linear(INTO), snnx.LIF(reset=snnx.NoReset())], ValueError, ["part 1", "NoReset"]),
        (lambda: [linear(INTO, jnp.ones(1)), OtherStepAndEquation()], ValueError, ["part 1", "bias", "decay"]),
        (lambda: [linear(INTO), Cell(Equation(jnp.ones(2)))], snnx.ShapeError, ["part 1", "tau_mem"]),
        (lambda: [lambda x: 2.0 * x, snnx.LIF()], ValueError, ["part 0", "linear = True", "register_linear"]),
        (lambda: [Tanh(3, 1, key=jax.random.key(0)), snnx.LIF()], ValueError, ["part 0", "Tanh"]),
        (lambda: [eqx.nn.Sequential([linear(INTO), eqx.nn.Lambda(jnp.tanh)]), snnx.LIF()], ValueError, ["part 0"]),
        (lambda: [eqx.nn.Sequential([linear(INTO), eqx.nn.Dropout()]), snnx.LIF()], ValueError, ["part 0", "Dropout"]),
        (lambda: [cycle(snnx.LI())], ValueError, ["part 0.part", "LI", "threshold"]),
        (lambda: [cycle(event.ode.QIF())], ValueError, ["part 0.part", "QIF", "ODE"]),
        (lambda: [cycle(snnx.ALIF())], ValueError, ["part 0.part", "ALIF", r"equation\(\)"]),
        (lambda: [linear(INTO), snnx.Recurrent(Adaptive(), linear(jnp.ones((1, 1))))], ValueError, ["1.neuron", "ODE"]),
    ],
)
def test_what_says_nothing_of_itself_is_refused_by_name(parts, error, names):
    with pytest.raises(error) as raised:
        simulate(*parts())
    for name in names:
        raised.match(name)


def test_an_inherited_equation_holds_for_an_inherited_step():
    parent, child = (simulate(linear(INTO), kind(9.0)).output for kind in (snnx.LIF, SameStep))
    np.testing.assert_array_equal(child.times, parent.times)
    twice = simulate(linear(INTO), OtherStepAndEquation(9.0, threshold=2.0)).output
    np.testing.assert_array_equal(twice.times, simulate(linear(2.0 * INTO), snnx.LIF(9.0, threshold=2.0)).output.times)
    assert min(parent.count, twice.count) >= 3


def test_any_cell_may_have_an_equation_and_its_spikes_be_limited_by_path():
    membrane = simulate(linear(INTO), Cell(Equation(6.0, rest=0.5, jump=2.0))).output
    np.testing.assert_allclose(membrane.at(jnp.asarray([3.0])), [[0.5 + 3.0 * np.exp(-2.0 / 6.0)]], rtol=1e-6)
    model = snnx.Sequential([linear(INTO), Cell(Equation(6.0, threshold=1.0))])
    solution = event.simulate(model, SPIKES, duration=12.0, most={"1": 2}, overflow="report")
    assert solution.spikes["1"].count == 2
    assert solution.overflow
    with pytest.raises(ValueError, match=r"\bmost\b.*'0'"):
        event.simulate(model, SPIKES, duration=12.0, most={"0": 2})


def test_spikes_that_coincide_with_events_are_warned_of_whoever_fires():
    def last(weights):
        return simulate(linear(weights), Cell(Equation(6.0, threshold=1.0))).output.times[0]

    with pytest.warns(UserWarning, match=r"part 1 \(Cell\)"):
        jax.grad(last)(INTO)


# Linear layers.


class Doubling(eqx.Module):
    """Twice the input; of the register."""

    def __call__(self, x):
        return 2.0 * x


class DoublingWithoutOffset(eqx.Module):
    """Twice the input; says that it is linear, and that there is no offset."""

    linear: ClassVar[bool] = True
    bias: ClassVar[None] = None

    def __call__(self, x):
        return 2.0 * x


@pytest.fixture
def register(monkeypatch):
    """Forgets what a test registers."""
    monkeypatch.setattr(_affine, "_KNOWN", list(_affine._KNOWN))


def test_somebody_elses_layer_is_registered_once(register):
    assert not layers.is_linear(Doubling())
    with pytest.raises(ValueError, match=r"\bDoubling\b"):
        simulate(Doubling(), linear(INTO), snnx.LI())
    layers.register_linear(Doubling)
    assert layers.is_linear(Doubling())
    found = simulate(Doubling(), linear(INTO), snnx.LI()).output.jumps
    np.testing.assert_array_equal(found, simulate(linear(2.0 * INTO), snnx.LI()).output.jumps)
    for known in (Doubling, eqx.nn.Linear):
        with pytest.raises(ValueError, match=rf"\b{known.__name__}\b.* registered"):
            layers.register_linear(known)
    for kind in (types.FunctionType, eqx.nn.Lambda):
        with pytest.raises(TypeError, match=r"\bkind\b"):
            layers.register_linear(kind)
    with pytest.raises(TypeError, match=r"\bkind\b"):
        layers.register_linear(Doubling())


def test_a_sequence_of_linear_layers_is_one():
    inner = eqx.nn.Sequential([linear(INTO, jnp.ones(1)), eqx.nn.Sequential([eqx.nn.Identity()])])
    found, expected = (simulate(part, snnx.LI()).output for part in (inner, linear(INTO, jnp.ones(1))))
    np.testing.assert_array_equal(found.jumps, expected.jumps)
    np.testing.assert_array_equal(found.dynamics.rest, expected.dynamics.rest)
    assert expected.dynamics.rest[0] != 0.0


def test_a_layer_without_offset_says_so_to_stand_before_a_delay():
    """Its offset would be a constant current, which has no events to delay."""
    found = simulate(linear(INTO), DoublingWithoutOffset(), snnx.Delay(2.0), snnx.LI()).output
    np.testing.assert_array_equal(found.times, [3.0, 7.0, 11.0])
    np.testing.assert_array_equal(found.jumps[:, 0], [3.0, 3.0, 3.0])
    shifted = Masked(jnp.ones((1, 1)), jnp.ones(()), jnp.zeros(1))
    with pytest.raises(ValueError, match=r"part 2\b.* constant"):
        simulate(linear(INTO), shifted, snnx.Delay(2.0), snnx.LI())


@pytest.mark.parametrize(
    "part",
    [
        *(eqx.nn.AvgPool2d(2), eqx.nn.AdaptiveAvgPool1d(2), eqx.nn.Identity(), eqx.nn.Dropout(0.5, inference=True)),
        *(snnx.Flatten(), layers.Scale(2.0), layers.SumPool2d(2), layers.Add(), layers.Concat()),
        eqx.nn.Conv2d(1, 2, 3, key=jax.random.key(0)),
        eqx.nn.ConvTranspose1d(1, 2, 3, key=jax.random.key(0)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_linear_layers_of_ours_and_of_equinox_are_known(part):
    assert layers.is_linear(part)
    assert _affine.may_have_offset(part) == hasattr(part, "bias")


@pytest.mark.parametrize(
    "part",
    [jnp.tanh, layers.Threshold(), layers.ThresholdNorm(3), eqx.nn.MaxPool2d(2)],
    ids=lambda part: type(part).__name__,
)
def test_others_are_not(part):
    assert not layers.is_linear(part)


def test_the_record_is_checked():
    for options, name in [(dict(tau_mem=-1.0), "tau_mem"), (dict(tau_mem=2.0, decay=0.0), "decay")]:
        with pytest.raises(ValueError, match=rf"^Equation: {name}\b"):
            Equation(**options)
    with pytest.raises(TypeError, match=r"^Equation: reset\b"):
        Equation(2.0, reset="subtract")
