"""Neurons: every one against plain loops in double precision, brute-force integration, finite differences, and hand."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_reference import SPIKING, pair_by_runge_kutta, run

import snnx
from snnx import neurons
from snnx.cells import replace, with_dt
from snnx.neurons import ALIF, IF, LI, LIF, AdLIF, Clock, CubaLI, CubaLIF, NoReset, SubtractReset, ValueReset
from snnx.parameters import Bounded, Frozen, Positive
from snnx.surrogates import ATan, Boxcar, StochasticEscape

STEPS, UNITS = 20, 6
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
METHODS = {"LI": 2, "LIF": 2, "ALIF": 2, "AdLIF": 2, "CubaLI": 3, "CubaLIF": 3}  # how many of the three below
OPTIONAL = {"CubaLI": ("r", "w_in"), "CubaLIF": ("r", "w_in")}  # parameters that may be None; of all others, r
RESETS = ("subtract", "value", "none")
NAMES = ("LI", "CubaLI", *SPIKING)


def draw(rng, name, *, dt=1.0, size=UNITS):
    """Random parameters of a neuron, `[units]` each, well within what is stable."""

    def between(low, high):
        return rng.uniform(low, high, size)

    taus = {"LI": ("tau",), "LIF": ("tau",), "ALIF": ("tau", "tau_a"), "AdLIF": ("tau", "tau_w"), "IF": ()}
    p = {tau: dt * between(2.0, 15.0) for tau in taus.get(name, ("tau_mem", "tau_syn"))}
    p["r"] = between(2.0, 5.0)
    if name != "IF":
        p["v_leak"] = between(-0.3, 0.3)
    if name in OPTIONAL:
        p["w_in"] = between(2.0, 4.0)
    if name in SPIKING:
        p["threshold"] = between(0.6, 1.2)
    if name == "ALIF":
        p["strength"] = between(0.05, 0.4)
    if name == "AdLIF":
        p |= {"a": between(-0.5, 1.5), "b": between(0.0, 2.0)}
    return p


def settings(rng, name, dt, shared):
    """Every method, with and without each parameter that may be None; one value a unit, or one value for all."""
    methods = ("exponential", "euler", "exact")[: METHODS.get(name, 1)]
    optional = OPTIONAL.get(name, ("r",))
    for method, given in itertools.product(methods, itertools.product((True, False), repeat=len(optional))):
        p = draw(rng, name, dt=dt)
        p = {k: float(v[0]) for k, v in p.items()} if shared else p
        p |= {k: None for k, wanted in zip(optional, given, strict=True) if not wanted}
        yield p if name == "IF" else p | {"method": method}


def make(name, p, *, dt=1.0, reset=None, refractory=0, stop_gradient=False, **more):
    """The package's neuron with the parameters of the reference; arrays become `[1, units]`."""
    arrays = {k: jnp.asarray(v)[None] if isinstance(v, np.ndarray) else v for k, v in p.items()}
    if reset is not None:
        v_reset = jnp.asarray(reset)[None] if isinstance(reset, np.ndarray) else reset
        objects = {"subtract": SubtractReset, "none": NoReset}
        arrays["reset"] = objects[reset]() if isinstance(reset, str) else ValueReset(v_reset)
        arrays["refractory"] = refractory
    return getattr(neurons, name)(**arrays, dt=dt, **more)


def drive(rng, shape=(STEPS, UNITS)):
    return rng.normal(0.35, 0.9, shape)


def state_before(cell, trace):
    """The state before each step as one state of shape `[time, units]`: the start, then what the reference left."""
    start = cell.init_state((STEPS, UNITS))

    def shift(name, first):
        return jnp.asarray(np.concatenate([np.asarray(first)[:1], trace[name][:-1]]), first.dtype)

    fields = {k: shift(k, getattr(start, k)) for k in vars(start) if k != "clock"}
    if getattr(cell, "refractory", 0):
        fields["clock"] = Clock(step=None, refractory=shift("refractory", start.clock.refractory))
    return replace(start, **fields)


def check_steps(name, rng, *, shared, reset=None, refractory=0, dt=1.0, **more):
    """Every step of many runs, each from the state that the reference has there."""
    fired = 0.0
    for p in settings(rng, name, dt, shared):
        xs = drive(rng)
        given = p | more
        if reset is not None:
            given |= {"reset": reset, "refractory": refractory}
        expected = run(name, xs, dt=dt, **given)
        cell = make(name, p, dt=dt, reset=reset, refractory=refractory, **more)
        y, new = cell(jnp.asarray(xs), state_before(cell, expected))
        assert expected["margin"] > 1e-9  # no tie that rounding could turn
        if name in SPIKING:
            np.testing.assert_array_equal(y, expected["y"])
            fired += expected["y"].mean()
        else:
            np.testing.assert_allclose(y, expected["y"], **CLOSE)
        for field in vars(new):
            if field == "clock":
                if refractory:
                    np.testing.assert_array_equal(new.clock.refractory, expected["refractory"])
            else:
                np.testing.assert_allclose(getattr(new, field), expected[field], **CLOSE, err_msg=f"{field} {given}")
    assert fired > 0.05 or name not in SPIKING


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["LI", "CubaLI"])
def test_integrators_follow_their_equations(name, seed, x64):
    check_steps(name, np.random.default_rng(seed), shared=seed == 1, dt=(1.0, 0.3, 1e-3)[seed])


@pytest.mark.parametrize("refractory", [0, 3])
@pytest.mark.parametrize("kind", RESETS)
@pytest.mark.parametrize("name", SPIKING)
def test_spiking_neurons_follow_their_equations(name, kind, refractory, x64):
    couplings = ({"coupling": "explicit"}, {"coupling": "symplectic"}) if name == "AdLIF" else ({},)
    for shared, coupling in itertools.product((False, True), couplings):
        rng = np.random.default_rng([shared, refractory, RESETS.index(kind), NAMES.index(name)])
        reset = (-0.15 if shared else rng.uniform(-0.4, 0.4, UNITS)) if kind == "value" else kind
        dt = 0.5 if shared else 1.0
        check_steps(name, rng, shared=shared, reset=reset, refractory=refractory, dt=dt, **coupling)


@pytest.mark.parametrize("refractory", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_whole_runs_follow_their_equations(name, refractory, x64):
    rng = np.random.default_rng(7 + refractory)
    p, xs = draw(rng, name), drive(rng, (60, UNITS))
    spiking = {"reset": 0.1 if refractory else "subtract", "refractory": refractory} if name in SPIKING else {}
    if refractory and not spiking:
        p["r"] = None
    method = {} if name == "IF" else {"method": "exact" if name in OPTIONAL else "exponential"}
    coupling = {"coupling": "symplectic" if refractory else "explicit"} if name == "AdLIF" else {}
    expected = run(name, xs, dt=1.0, **p, **spiking, **method, **coupling)
    learned = {k: None if v is None else jnp.asarray(v) for k, v in p.items()}
    cell = make(name, learned | method | coupling, **spiking)
    fields = tuple(k for k in vars(cell.init_state((UNITS,))) if k != "clock")
    ys, _, tapped = jax.jit(lambda c, x: c.over_time(x, c.init_state((UNITS,)), taps=fields))(cell, jnp.asarray(xs))
    np.testing.assert_allclose(ys, expected["y"], **CLOSE)
    for field in fields:
        np.testing.assert_allclose(tapped[field], expected[field], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_feature_maps_take_parameters_per_channel(name, x64):
    rng = np.random.default_rng(11)
    p, xs = draw(rng, name, size=2), drive(rng, (8, 2, 3, 4))
    spiking = {"reset": -0.1, "refractory": 2} if name in SPIKING else {}
    coupling = {"coupling": "explicit"} if name == "AdLIF" else {}
    method = {} if name == "IF" else {"method": "exponential"}
    each = {k: np.repeat(v, 12) for k, v in p.items()}  # 3 x 4 places a channel
    expected = run(name, xs.reshape(8, -1), dt=1.0, **each, **spiking, **coupling, **method)
    cell = make(name, {k: jnp.asarray(v.reshape(2, 1, 1)) for k, v in p.items()} | coupling, **spiking)
    state = cell.init_state((2, 3, 4))
    for t, x in enumerate(jnp.asarray(xs)):
        y, state = cell(x, state)
        np.testing.assert_allclose(y.reshape(-1), expected["y"][t], **CLOSE)
        np.testing.assert_allclose(state.v.reshape(-1), expected["v"][t], **CLOSE)


# The exact step.


@pytest.mark.parametrize("with_parameters", [True, False])
def test_the_exact_step_is_the_differential_equations_solution(with_parameters, x64):
    rng = np.random.default_rng(3)
    dt = 0.7
    tau_mem = np.array([5.0, 2.0, 4.0, 4.0, 4.0, 4.0, 0.9, 6.0])
    tau_syn = np.array([2.0, 5.0, 4.0, 4.0 + 1e-7, 4.0 - 1e-4, 4.003, 0.9, 0.5])
    xs = rng.normal(0.3, 1.0, (12, 8))
    p = {k: rng.uniform(0.5, 2.0, 8) if with_parameters else None for k in ("r", "w_in")}
    v_leak = rng.uniform(-0.3, 0.3, 8)
    i, v = pair_by_runge_kutta(xs, tau_mem=tau_mem, tau_syn=tau_syn, v_leak=v_leak, dt=dt, **p)
    given = p | {"tau_mem": tau_mem, "tau_syn": tau_syn, "v_leak": v_leak}
    given = {k: None if a is None else jnp.asarray(a) for k, a in given.items()}
    cell = CubaLI(**given, method="exact", dt=dt)
    ys, _, tapped = jax.jit(lambda x: cell.over_time(x, cell.init_state((8,)), taps=("i",)))(jnp.asarray(xs))
    np.testing.assert_allclose(tapped["i"], i, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(ys, v, rtol=1e-11, atol=1e-11)

    spiking = CubaLIF(**given, method="exact", dt=dt, threshold=1e9)
    state = spiking.init_state((8,))
    for x, expected in zip(jnp.asarray(xs[:3]), v, strict=False):
        _, state = spiking(x, state)
        np.testing.assert_allclose(state.v, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("with_r", [True, False])
def test_the_exact_steps_gradient_is_smooth_where_the_time_constants_meet(with_r, x64):
    def after_one_step(tau_mem, tau_syn):
        cell = CubaLI(tau_mem=tau_mem, tau_syn=tau_syn, r=1.3 if with_r else None, method="exact")
        return cell(jnp.ones(()), cell.init_state(()))[0]

    def textbook(tau_mem, tau_syn):  # in units where dt is 1; far enough from equality to have all its digits
        r = 1.3 if with_r else 1 / (1 - math.exp(-1 / tau_mem))
        return r * tau_syn / (tau_syn - tau_mem) * (math.exp(-1 / tau_syn) - math.exp(-1 / tau_mem))

    gradient = jax.jit(jax.grad(after_one_step, argnums=(0, 1)))
    for tau_mem, tau_syn in [(4.0, 4.0), (4.0, 4.0 + 1e-9), (4.0 - 1e-5, 4.0), (4.0, 4.01), (7.0, 3.0)]:
        h = 0.04  # eighth order: exact to 1e-10 although no point is near the singularity of the textbook's form
        weights = zip((1, 2, 3, 4), (4 / 5, -1 / 5, 4 / 105, -1 / 280), strict=True)
        by_mem = by_syn = 0.0
        for k, w in weights:
            by_mem += w / h * (textbook(tau_mem + k * h, tau_syn) - textbook(tau_mem - k * h, tau_syn))
            by_syn += w / h * (textbook(tau_mem, tau_syn + k * h) - textbook(tau_mem, tau_syn - k * h))
        found = gradient(jnp.asarray(tau_mem), jnp.asarray(tau_syn))
        np.testing.assert_allclose(found, (by_mem, by_syn), rtol=1e-8)


def test_the_exact_step_is_finite_at_every_time_constant():
    extreme = jnp.asarray([1e-9, 1e-2, 1.0, 1e9])
    tau_mem, tau_syn = (t.reshape(-1) for t in jnp.meshgrid(extreme, extreme))

    def total(taus):
        cell = CubaLI(tau_mem=taus[0], tau_syn=taus[1], r=1.0, method="exact")
        return jnp.sum(cell(jnp.ones(16), cell.init_state((16,)))[0])

    value, gradient = jax.jit(jax.value_and_grad(total))((tau_mem, tau_syn))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)


# Time steps.


@pytest.mark.parametrize("name", [n for n in NAMES if n != "IF"])
def test_time_constants_in_seconds_or_in_steps_are_the_same(name, x64):
    rng = np.random.default_rng(5)
    p, dt = draw(rng, name), 2e-3
    taus = [k for k in p if k.startswith("tau")]
    more = {"refractory": 2} if name in SPIKING else {}
    kinds = {k: Positive(jnp.asarray(v)) if k in taus else jnp.asarray(v) for k, v in p.items()}
    in_seconds = kinds | {k: Positive(dt * jnp.asarray(p[k])) for k in taus}
    cell = getattr(neurons, name)
    steps, seconds = cell(**kinds, **more), cell(**in_seconds, dt=dt, **more)
    moved = with_dt(cell(**in_seconds, **more), dt)
    xs = jnp.asarray(drive(rng, (5, UNITS)))
    states = [c.init_state((UNITS,)) for c in (steps, seconds, moved)]
    for x in xs:
        outputs, states = zip(*(c(x, s) for c, s in zip((steps, seconds, moved), states, strict=True)), strict=True)
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-9, atol=1e-9)
        for a, b in zip(jax.tree.leaves(states[0]), jax.tree.leaves(states[1]), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(outputs[2], outputs[1])


def test_an_integrator_without_leak_scales_its_resistance_by_the_time_step(x64):
    fine, coarse = IF(threshold=1e9, r=2.0, dt=0.25), IF(threshold=1e9, r=2.0, dt=1.0)
    assert fine(jnp.ones(()), fine.init_state(()))[1].v == 0.5
    assert coarse(jnp.ones(()), coarse.init_state(()))[1].v == 2.0


def test_another_time_step_is_checked_like_a_new_neuron():
    with pytest.raises(ValueError, match=r"\btau\b"):
        with_dt(LIF(tau=2.0, method="euler"), 5.0)
    with pytest.raises(ValueError, match=r"^AdLIF: a\b"):
        with_dt(snnx.Sequential([AdLIF(tau=20.0, tau_w=100.0, a=20.0)]), 50.0)


# Stability of the adaptive pair.


def step_matrix(lam, lam_w, a, coupling):
    """What one step without input does to (v, w), from the equations: the explicit w sees the old v."""
    v = np.array([1 - lam, -lam])
    w = np.array([0, 1 - lam_w]) + lam_w * a * (np.array([1, 0]) if coupling == "explicit" else v)
    return np.array([v, w])


@pytest.mark.parametrize("method", ["exponential", "euler"])
@pytest.mark.parametrize("coupling", ["explicit", "symplectic"])
def test_adlif_refuses_exactly_the_unstable(coupling, method):
    rng = np.random.default_rng(17)
    refused = 0
    for _ in range(150):
        tau, tau_w = np.exp(rng.uniform(np.log(0.6), np.log(30.0), 2))
        lam, lam_w = (1 / t if method == "euler" else 1 - math.exp(-1 / t) for t in (tau, tau_w))
        edge = 1 + 1e-6 * rng.choice([-1.0, 1.0])
        upper = (1 - (1 - lam) * (1 - lam_w)) if coupling == "explicit" else (2 - lam) * (2 - lam_w)
        a = rng.choice([rng.uniform(-2, 0.5), rng.uniform(-1, 3) * upper / (lam * lam_w), -edge])
        a = rng.choice([a, edge * upper / (lam * lam_w)])
        unstable = np.abs(np.linalg.eigvals(step_matrix(lam, lam_w, a, coupling))).max() >= 1
        refused += unstable
        if unstable:
            with pytest.raises(ValueError, match=r"^AdLIF: a\b"):
                AdLIF(tau=tau, tau_w=tau_w, a=a, coupling=coupling, method=method)
        else:
            AdLIF(tau=tau, tau_w=tau_w, a=a, coupling=coupling, method=method)
    assert 30 < refused < 120


def test_adlif_names_the_bound_and_the_way_out():
    with pytest.raises(ValueError, match=r"^AdLIF: a\b.* 120 .*\bsymplectic\b"):
        AdLIF(a=jnp.array([1.0, 200.0]))
    AdLIF(a=200.0, coupling="symplectic")
    with pytest.raises(ValueError, match=r"^AdLIF: a\b"):
        AdLIF(a=-1.5)


@pytest.mark.parametrize("coupling", ["explicit", "symplectic"])
def test_adlif_forgets_an_impulse_as_fast_as_its_matrix_says(coupling, x64):
    rng = np.random.default_rng(23)
    tau, tau_w = rng.uniform(2.0, 8.0, (2, 40))
    lam, lam_w = 1 - np.exp(-1 / tau), 1 - np.exp(-1 / tau_w)
    top = (1 - (1 - lam) * (1 - lam_w) if coupling == "explicit" else (2 - lam) * (2 - lam_w)) / (lam * lam_w)
    a = rng.uniform(-0.95, 0.95 * top)
    cell = AdLIF(*map(jnp.asarray, (tau, tau_w, a)), threshold=1e9, coupling=coupling)
    xs = jnp.zeros((600, 40)).at[0].set(1.0)
    *_, tapped = jax.jit(lambda x: cell.over_time(x, cell.init_state((40,)), taps=("v",)))(xs)
    for unit in range(40):
        matrix = step_matrix(lam[unit], lam_w[unit], a[unit], coupling)
        first = np.array([1.0, lam_w[unit] * a[unit] if coupling == "symplectic" else 0.0])
        state, expected = first, [1.0]
        for _ in range(599):
            state = matrix @ state
            expected.append(state[0])
        np.testing.assert_allclose(tapped["v"][:, unit], expected, rtol=1e-9, atol=1e-9)
        radius = np.abs(np.linalg.eigvals(matrix)).max()
        assert abs(tapped["v"][-1, unit]) < 2000 * radius**500
    assert np.abs(tapped["v"][-1]).max() < 0.1


# Gradients.


SMOOTH = {
    "LI": {"method": "euler"},
    "CubaLI": {"method": "exact"},
    "IF": {"reset": "subtract"},
    "LIF": {"reset": "subtract"},
    "LIF, set": {"reset": "value"},
    "CubaLIF": {"reset": "subtract", "method": "exact"},
    "CubaLIF, set": {"reset": "value", "method": "exponential"},
    "ALIF": {"reset": "subtract"},
    "AdLIF": {"reset": "subtract", "coupling": "explicit"},
    "AdLIF, set": {"reset": "value", "coupling": "symplectic"},
}


@pytest.mark.parametrize("case", list(SMOOTH))
def test_gradients_are_the_references_finite_differences_where_spikes_do_not_move(case, x64):
    """All parameters are learned and the spike function is flat where the membrane goes: what is left is smooth."""
    name, choices = case.split(",")[0], dict(SMOOTH[case])
    rng = np.random.default_rng(29)
    leaves = draw(rng, name, size=2) | {"xs": drive(rng, (14, 2))}
    taus = [k for k in leaves if k.startswith("tau")]
    leaves |= {k: 40 * np.arctanh(np.log(leaves[k]) / 40) for k in taus}  # the raw leaf of a Positive
    if name != "IF":
        low, high = -0.5, 0.5
        leaves["v_leak"] = np.log((leaves["v_leak"] - low) / (high - leaves["v_leak"]))  # ... and of a Bounded
    kind = choices.pop("reset", None)
    if kind == "value":
        leaves["v_reset"] = np.array([-0.2, 0.15])
    state = {"LI": "", "IF": "v", "LIF": "v", "ALIF": "va", "AdLIF": "vw", "CubaLI": "i", "CubaLIF": "vi"}[name]
    weights = rng.normal(size=(len(state) + 1, 14, 2))

    def reference(leaves):
        p = dict(leaves)
        xs, v_reset = p.pop("xs"), p.pop("v_reset", None)
        p |= {k: np.exp(40 * np.tanh(p[k] / 40)) for k in taus}
        if name != "IF":
            p["v_leak"] = low + (high - low) / (1 + np.exp(-p["v_leak"]))
            p.setdefault("method", "exponential")
        if kind is not None:
            p |= {"reset": kind if v_reset is None else v_reset, "refractory": 0}
        found = run(name, xs, dt=1.0, **(p | choices))
        assert found["margin"] > 2e-4
        return sum(np.sum(w * found[k]) for w, k in zip(weights, "y" + state, strict=True))

    def loss(leaves):
        p = dict(leaves)
        xs, v_reset = p.pop("xs"), p.pop("v_reset", None)
        p |= {k: replace(Positive(1.0), raw=p[k]) for k in taus}
        if name != "IF":
            p["v_leak"] = replace(Bounded(0.0, low, high), raw=p["v_leak"])
        if kind is not None:
            reset = SubtractReset() if v_reset is None else ValueReset(v_reset)
            p |= {"reset": reset, "surrogate": Boxcar(width=2e-4)}
        cell = getattr(neurons, name)(**p, **choices)
        ys, _, tapped = cell.over_time(xs, cell.init_state((2,)), taps=tuple(state))
        return sum(jnp.sum(w * trace) for w, trace in zip(weights, [ys, *(tapped[k] for k in state)], strict=True))

    arrays = {k: jnp.asarray(v) for k, v in leaves.items()}
    direction = {k: jnp.asarray(rng.normal(size=v.shape)) for k, v in leaves.items()}
    (value, slope), gradient = jax.jit(lambda a, d: (jax.jvp(loss, (a,), (d,)), jax.grad(loss)(a)))(arrays, direction)
    np.testing.assert_allclose(value, reference(leaves), rtol=1e-11)
    expected = {}
    for k, leaf in leaves.items():
        expected[k] = np.zeros_like(leaf)
        for index in np.ndindex(leaf.shape):
            h = np.zeros_like(leaf)
            h[index] = 1e-6
            expected[k][index] = (reference(leaves | {k: leaf + h}) - reference(leaves | {k: leaf - h})) / 2e-6
        np.testing.assert_allclose(gradient[k], expected[k], rtol=1e-6, atol=2e-8, err_msg=k)
        zero = (k == "strength") or (k == "threshold" and kind == "value")  # they only decide when a spike comes
        assert zero == (not np.any(gradient[k])), k
    np.testing.assert_allclose(slope, sum(np.sum(gradient[k] * direction[k]) for k in leaves), rtol=1e-11)


def pseudo_derivative(x):
    return 1 / (1 + (math.pi * x) ** 2)  # ATan(2.0), the default


@pytest.mark.parametrize("stopped", [False, True])
def test_the_reset_passes_or_stops_the_gradient(stopped, x64):
    """Two steps by hand: the first input fires, the second does not."""
    x1, x2, threshold, decay = 1.3, 0.1, 0.9, 0.75

    def after_two_steps(reset, xs):
        cell = LIF(tau=4.0, threshold=threshold, reset=reset, method="euler")
        spikes, state, _ = cell.over_time(xs, cell.init_state(()))
        return state.v, spikes[1]

    def by_input(reset):
        return jax.jacrev(lambda xs: jnp.stack(after_two_steps(reset, xs)))(jnp.array([x1, x2]))

    through1 = 0.0 if stopped else pseudo_derivative(x1 - threshold)

    v1 = x1 - threshold
    u2 = decay * v1 + x2
    slope = pseudo_derivative(u2 - threshold)
    kept1 = 1 - threshold * through1  # d v1 / d x1
    kept2 = 1 - threshold * (0.0 if stopped else slope)
    expected = [[kept2 * decay * kept1, kept2], [slope * decay * kept1, slope]]
    np.testing.assert_allclose(by_input(SubtractReset(stop_gradient=stopped)), expected, rtol=1e-12)

    v_reset = -0.25
    u2 = decay * v_reset + x2
    slope = pseudo_derivative(u2 - threshold)
    kept1 = (v_reset - x1) * through1
    kept2 = 1 + (v_reset - u2) * (0.0 if stopped else slope)
    expected = [[kept2 * decay * kept1, kept2], [slope * decay * kept1, slope]]
    np.testing.assert_allclose(by_input(ValueReset(v_reset, stop_gradient=stopped)), expected, rtol=1e-12)

    slope = pseudo_derivative(decay * x1 + x2 - threshold)
    np.testing.assert_allclose(by_input(NoReset()), [[decay, 1.0], [slope * decay, slope]], rtol=1e-12)


def test_the_threshold_learns_from_its_spikes_and_its_resets(x64):
    def total(threshold):
        cell = LIF(tau=4.0, threshold=threshold, method="euler")
        spikes, state, _ = cell.over_time(jnp.array([1.3]), cell.init_state(()))
        return jnp.stack([spikes[0], state.v])

    slope = pseudo_derivative(0.4)
    np.testing.assert_allclose(jax.jacfwd(total)(jnp.asarray(0.9)), [-slope, -1 + 0.9 * slope], rtol=1e-12)


# Refractoriness.


@pytest.mark.parametrize("refractory", [1, 3])
@pytest.mark.parametrize("name", SPIKING)
def test_a_refractory_neuron_is_silent_for_so_many_steps(name, refractory):
    cell = getattr(neurons, name)(refractory=refractory, reset=ValueReset(0.0))
    state = cell.init_state((2,))
    fired, membranes = [], []
    for _ in range(2 * refractory + 3):
        y, state = cell(jnp.array([9.0, 0.0]), state)
        fired.append(float(y[0]))
        membranes.append(float(state.v[0]))
        assert y[1] == 0
    period = [1.0] + [0.0] * refractory
    assert fired == (3 * period)[: len(fired)]
    assert membranes[: refractory + 1] == [0.0] * (refractory + 1)


def test_a_refractory_membrane_passes_no_gradient_and_its_synapse_goes_on():
    cell = CubaLIF(refractory=2, tau_syn=4.0)

    def run_for_four(xs):
        spikes, _, tapped = cell.over_time(xs, cell.init_state(()), taps=("v", "i"))
        return jnp.sum(tapped["v"][:3]), (spikes, tapped)

    gradient, (spikes, tapped) = jax.grad(run_for_four, has_aux=True)(jnp.array([3.0, 1.0, 1.0, 0.0]))
    np.testing.assert_array_equal(spikes, [1, 0, 0, 1])
    np.testing.assert_array_equal(tapped["v"][:3], [2.0, 2.0, 2.0])
    decay = math.exp(-1 / 4.0)
    np.testing.assert_allclose(tapped["i"][:3], [3, 3 * decay + 1, (3 * decay + 1) * decay + 1], rtol=1e-6)
    np.testing.assert_array_equal(gradient[1:], [0, 0, 0])


# Random spikes.


def test_escape_noise_is_the_same_for_every_chunk_and_fresh_at_every_step():
    cell = IF(threshold=-0.2, reset=NoReset(), surrogate=StochasticEscape(4.0))
    xs, key = jnp.zeros((6, 1000)), jax.random.key(3)
    whole, state = snnx.simulate(cell, xs, key=key, chunk=6)
    np.testing.assert_array_equal(snnx.simulate(cell, xs, key=key, chunk=4)[0], whole)
    assert state.clock.step == 6
    state = cell.init_state((1000,))
    for x, expected in zip(xs, whole, strict=True):
        y, state = cell(x, state, key=key)
        np.testing.assert_array_equal(y, expected)

    p = 1 / (1 + math.exp(-0.8))
    assert abs(float(whole.mean()) - p) < 4 * math.sqrt(p * (1 - p) / whole.size)
    repeats = float((whole[1:] == whole[:-1]).mean())
    assert abs(repeats - (p**2 + (1 - p) ** 2)) < 4 * math.sqrt(0.25 / whole[1:].size)
    other, _ = cell(xs[0], cell.init_state((1000,)), key=jax.random.key(4))
    assert (other != whole[0]).mean() > 0.3


def test_escape_noise_needs_a_key():
    cell = LIF(surrogate=StochasticEscape())
    with pytest.raises(ValueError, match=r"\bkey\b"):
        cell(jnp.zeros(2), cell.init_state((2,)))
    with pytest.raises(ValueError, match=r"\bkey\b"):
        snnx.simulate(cell, jnp.zeros((3, 2)))


# Errors.


TAUS = {
    "LI": ["tau"],
    "LIF": ["tau"],
    "CubaLI": ["tau_mem", "tau_syn"],
    "CubaLIF": ["tau_mem", "tau_syn"],
    "ALIF": ["tau", "tau_a"],
    "AdLIF": ["tau", "tau_w"],
}
NUMBERS = {
    "IF": ["r", "threshold"],
    "LI": ["r", "v_leak"],
    "LIF": ["r", "v_leak", "threshold"],
    "CubaLI": ["r", "w_in", "v_leak"],
    "CubaLIF": ["r", "w_in", "v_leak", "threshold"],
    "ALIF": ["r", "v_leak", "threshold", "strength"],
    "AdLIF": ["r", "v_leak", "threshold", "a", "b"],
}


@pytest.mark.parametrize("name", list(TAUS))
def test_time_constants_are_positive_numbers(name):
    make = getattr(neurons, name)
    for tau in TAUS[name]:
        for bad in (0.0, -2.0, jnp.array([3.0, -1.5]), Frozen(-1.0)):
            with pytest.raises(ValueError, match=rf"^{name}: {tau}\b"):
                make(**{tau: bad})
        with pytest.raises(ValueError, match=rf"^{name}: {tau}\b.* Euler"):
            make(**{tau: 0.5}, method="euler")
        make(**{tau: 0.5})
        make(**{tau: 0.51}, method="euler", **({"a": 0.0} if name == "AdLIF" else {}))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_finite_numbers_or_arrays_of_floats(name):
    make = getattr(neurons, name)
    for parameter in NUMBERS[name] + TAUS.get(name, []):
        for bad in (math.nan, jnp.array([1.0, jnp.inf]), Frozen(jnp.array(math.nan))):
            with pytest.raises(ValueError, match=rf"^{name}: {parameter}\b"):
                make(**{parameter: bad})
        for bad in ("20", True, jnp.arange(1, 3), np.ones(3)):
            with pytest.raises(TypeError, match=rf"^{name}: {parameter}\b"):
                make(**{parameter: bad})


def test_numbers_and_arrays_of_numpy_are_taken():
    cell = LIF(np.float64(20.0), np.full(3, 0.5, np.float32), refractory=np.int32(2), dt=np.float32(0.5))
    assert [type(x) for x in (cell.tau, cell.refractory, cell.dt)] == [float, int, float]
    assert isinstance(cell.threshold, jax.Array)


@pytest.mark.parametrize("name", NAMES)
def test_choices_are_checked(name):
    refused = [("dt", x, ValueError) for x in (0.0, -1.0, math.inf)]
    refused += [("dt", "1", TypeError), ("dtype", jnp.int32, ValueError), ("dtype", "floaty", TypeError)]
    if name != "IF":
        refused += [("method", "rk", ValueError)]
    if name in SPIKING:
        refused += [("reset", x, TypeError) for x in ("subtract", SubtractReset, None)]
        refused += [("surrogate", x, TypeError) for x in ("atan", ATan, jnp.tanh)]
        refused += [("refractory", -1, ValueError), ("refractory", 1.5, TypeError), ("refractory", True, TypeError)]
    for field, bad, error in refused:
        with pytest.raises(error, match=rf"^{name}: {field}\b"):
            getattr(neurons, name)(**{field: bad})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AdLIF(method="exact"), "method"),
        (lambda: AdLIF(coupling="both"), "coupling"),
        (lambda: ALIF(strength=-0.1), "strength"),
        (lambda: ValueReset(math.inf), "v_reset"),
        (lambda: CubaLIF(gradient=snnx.EventProp()), "method"),
        (lambda: CubaLIF(gradient=snnx.EventProp(), method="exact", surrogate=StochasticEscape()), "surrogate"),
        (lambda: snnx.EventProp(count=-1.0), "count"),
        (lambda: snnx.EventProp(smallest=0.0), "smallest"),
        (lambda: neurons.Equation(tau_mem=0.0), "tau_mem"),
        (lambda: neurons.Equation(20.0, tau_syn=-1.0), "tau_syn"),
    ],
)
def test_what_single_classes_refuse(make, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        make()


@pytest.mark.parametrize("shape", [(2,), (4, 1), (1, 3, 1)])
def test_parameters_that_do_not_fit_the_input_are_refused(shape):
    with pytest.raises(snnx.ShapeError, match=r"\btau\b"):
        LIF(tau=jnp.full(shape, 5.0)).init_state((3,))
    with pytest.raises(ValueError, match=r"\bv_reset\b"):
        LIF(reset=ValueReset(jnp.zeros(shape))).init_state((3,))
    with pytest.raises(ValueError, match=r"\bb\b"):
        AdLIF(b=jnp.zeros(shape)).init_state((3,))


def test_inputs_that_do_not_fit_are_refused():
    cell = LI()
    state = cell.init_state((3,))
    with pytest.raises(ValueError, match=r"\bx\b"):
        cell(jnp.zeros(4), state)
    with pytest.raises(ValueError, match=r"\bx\b"):
        cell(jnp.zeros((8, 3)), state)
    with pytest.raises(ValueError, match=r"\bx\b"):  # no broadcasting to the layer's width
        cell(jnp.zeros(1), state)
    with pytest.raises(TypeError, match=r"\bx\b"):
        cell(jnp.zeros(3, int), state)
    with pytest.raises(TypeError, match=r"\bx\b.*\bBits\b"):
        cell(jnp.zeros(3, jnp.uint8), state)
    with pytest.raises(TypeError, match=r"\bx\b"):
        cell(jnp.zeros(3, jnp.bfloat16), state)


def test_a_membrane_at_its_threshold_does_not_fire():
    cell = IF(threshold=1.0)
    spikes, _ = cell(jnp.array([1.0, 1.0 + 1e-6]), cell.init_state((2,)))
    np.testing.assert_array_equal(spikes, [0, 1])


def test_numbers_are_constants_and_arrays_are_learned():
    cell = LIF(tau=20.0, threshold=jnp.asarray(1.0), v_leak=Frozen(0.1), surrogate=ATan(jnp.asarray(2.0)))
    learned = jax.tree.leaves(eqx.filter(cell, snnx.parameters.trainable(cell)))
    assert [float(x) for x in learned] == [1.0, 2.0]
