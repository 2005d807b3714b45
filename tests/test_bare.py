"""Solvers that are called bare: compiled once, the same numbers as under every transformation, and bounded in what they keep."""

import gc
import types
import warnings
import weakref

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from jax.sharding import Mesh, PartitionSpec

import snnx
from snnx import _jitted
from snnx._errors import DtypeError, ShapeError, UnknownNameError

KEYS = jax.random.split(jax.random.key(0), 6)
XS = jax.random.uniform(KEYS[0], (4, 12, 5), minval=-0.5, maxval=1.5)
TIMES = jnp.sort(jax.random.uniform(KEYS[1], (4, 4), maxval=10.0))


def network():
    """Feedback, delays, a rest and several time constants."""
    return snnx.Sequential(
        [
            eqx.nn.Linear(5, 6, key=KEYS[2]),
            snnx.Recurrent(snnx.ALIF(), eqx.nn.Linear(6, 6, key=KEYS[3])),
            snnx.Delay(2),
            eqx.nn.Linear(6, 3, key=KEYS[4]),
            snnx.CubaLIF(refractory=2),
            snnx.LI(),
        ]
    )


def events_network():
    layers = [eqx.nn.Linear(5, 8, key=KEYS[2]), snnx.CubaLIF(method="exact"), eqx.nn.Linear(8, 3, key=KEYS[3])]
    return snnx.Sequential([*layers, snnx.LI()])


def loop_network():
    loop = snnx.Recurrent(snnx.CubaLIF(method="exact"), eqx.nn.Linear(8, 8, key=KEYS[4]))
    return snnx.Sequential([eqx.nn.Linear(5, 8, key=KEYS[2]), loop, eqx.nn.Linear(8, 3, key=KEYS[3]), snnx.LI()])


def equation_network():
    return snnx.Sequential([eqx.nn.Linear(5, 3, key=KEYS[2]), snnx.event.ode.QIF()])


ENVIRONMENT = snnx.control.Environment(
    lambda key: (jax.random.uniform(key)[None], jax.random.uniform(key)),
    lambda state, action, key: (
        (state + 0.1 * action[0])[None],
        state + 0.1 * action[0],
        -(state**2),
        jnp.abs(state) > 2.0,
    ),
)


def policy():
    return snnx.Sequential(
        [eqx.nn.Linear(1, 8, key=KEYS[2]), snnx.LIF(), eqx.nn.Linear(8, 1, key=KEYS[3]), snnx.LI(tau=3.0)]
    )


# One argument, an array, that a gradient can be taken by


def by_clock(model, xs):
    ys, _, seen = snnx.simulate(model, xs, readout=snnx.Mean(), record={"4.v": snnx.Stack()}, chunk=5, burn_in=2)
    return jnp.sum(ys**2) + jnp.sum(seen["4.v"] ** 2)


def by_events(model, times):
    indices = jnp.arange(times.size, dtype=jnp.int32)
    events = snnx.event.Events(times, indices, jnp.asarray(4, jnp.int32), jnp.asarray(False), 5)
    run = snnx.event.simulate(model, events, duration=30.0, overflow="report", gradient="autodiff")
    if hasattr(run.output, "mean"):
        return jnp.sum(run.output.mean() + run.output.maximum())
    first = run.output.first()
    return jnp.sum(jnp.where(jnp.isfinite(first), first, 0.0))


def by_control(model, scale):
    model = eqx.tree_at(lambda m: m.layers[0].weight, model, model.layers[0].weight * scale)
    return snnx.rollout(model, ENVIRONMENT, length=20, key=KEYS[5], truncate=7).returns


SOLVERS = {
    "simulate": (by_clock, network, XS),
    "event.simulate": (by_events, events_network, TIMES),
    "event.simulate with feedback": (by_events, loop_network, TIMES),
    "event.ode": (by_events, equation_network, TIMES),
    "rollout": (by_control, policy, jnp.array([0.5, 1.0, 2.0, 3.0])),
}


# Those in continuous time take minutes to compile in all these ways.
EVENTS_ARE_SLOW = [pytest.param(name, marks=pytest.mark.slow if name.startswith("event") else ()) for name in SOLVERS]


@pytest.fixture(params=EVENTS_ARE_SLOW)
def solver(request, ranks_are_promoted):
    function, make, batch = SOLVERS[request.param]
    model = make()
    return types.SimpleNamespace(
        name=request.param, run=lambda x: function(model, x), of=function, model=model, batch=batch
    )


@pytest.fixture(autouse=True)
def _nothing_is_kept():
    _jitted._program.cache_clear()


def test_called_bare_it_is_compiled_once(solver):
    first, second = solver.batch[:2]
    other = jax.tree.map(lambda x: x + 0 if eqx.is_array(x) else x, solver.model)
    solver.run(first)
    with compilations() as found:
        again = solver.run(first)
        solver.run(second)
        solver.of(other, first)
    assert found == []
    np.testing.assert_allclose(again, jax.jit(solver.run)(first), rtol=1e-5)


def test_the_numbers_are_those_of_every_transformation(solver):
    bare = np.array([solver.run(x) for x in solver.batch])
    one = solver.batch[0]
    close = dict(rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose([jax.jit(solver.run)(x) for x in solver.batch], bare, **close)
    np.testing.assert_allclose(jax.vmap(solver.run)(solver.batch), bare, **close)
    np.testing.assert_allclose(jax.jit(jax.vmap(solver.run))(solver.batch), bare, **close)
    np.testing.assert_allclose(jax.lax.map(solver.run, solver.batch), bare, **close)
    np.testing.assert_allclose(jax.lax.scan(lambda c, x: (c, solver.run(x)), 0, solver.batch)[1], bare, **close)
    if not solver.name.startswith("event"):  # their loops in Python take minutes
        with jax.disable_jit():
            np.testing.assert_allclose(solver.run(one), bare[0], **close)
    with jax.debug_nans(True):
        np.testing.assert_allclose(solver.run(one), bare[0], **close)
    if solver.name in ("simulate", "event.simulate", "rollout"):  # without their programs the others take long
        with jax.checking_leaks():
            np.testing.assert_allclose(solver.run(one), bare[0], **close)


def test_the_gradients_are_those_of_every_transformation(solver):
    one = solver.batch[0]
    gradient = jax.jit(jax.grad(solver.run))(one)
    close = dict(rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.grad(solver.run)(one), gradient, **close)
    with compilations() as found:
        jax.grad(solver.run)(one)
    assert found == []
    along = jnp.ones_like(one)
    np.testing.assert_allclose(jax.jvp(solver.run, (one,), (along,))[1], jnp.sum(gradient), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(jax.grad(solver.run))(solver.batch)[0], gradient, **close)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(solver.run))(one), gradient, **close)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "bare"])
def test_the_numbers_are_those_of_shard_map_with_its_defaults(solver, compiled):
    if solver.name == "event.ode":
        pytest.skip("diffrax has loops of its own, which shard_map refuses unless check_vma=False")
    mesh, part = Mesh(np.array(jax.devices()[:1]), ("b",)), PartitionSpec("b")
    for function in (solver.run, jax.grad(solver.run)):
        spread = jax.shard_map(jax.vmap(function), mesh=mesh, in_specs=part, out_specs=part)
        got = (jax.jit(spread) if compiled else spread)(solver.batch)
        np.testing.assert_allclose(got, jax.vmap(function)(solver.batch), rtol=1e-4, atol=1e-5)


def test_weights_that_are_the_same_on_all_devices_have_the_gradient_of_all():
    model, mesh = network(), Mesh(np.array(jax.devices()[:1]), ("b",))

    def loss(weight, xs):
        of = eqx.tree_at(lambda m: m.layers[0].weight, model, weight)
        return jnp.sum(jax.vmap(lambda x: by_clock(of, x))(xs))

    def everywhere(weight, xs):
        return jax.grad(lambda w: jax.lax.psum(loss(w, xs), "b"))(weight)

    specs = (PartitionSpec(), PartitionSpec("b"))
    spread = jax.jit(jax.shard_map(everywhere, mesh=mesh, in_specs=specs, out_specs=PartitionSpec()))
    weight = model.layers[0].weight
    np.testing.assert_allclose(spread(weight, XS), jax.grad(loss)(weight, XS), rtol=1e-4, atol=1e-6)


def test_double_precision_is_another_program(x64):
    model = snnx.cast(network(), "float64")
    xs = np.asarray(XS[0], np.float64)
    got = by_clock(model, jnp.asarray(xs))
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, jax.jit(lambda x: by_clock(model, x))(xs), rtol=1e-12)
    with jax.enable_x64(False):
        assert by_clock(network(), XS[0]).dtype == jnp.float32


# What it is compiled for


def test_arrays_are_arguments_and_numbers_are_not():
    def run(tau):
        return snnx.simulate(snnx.LIF(tau=tau), XS[0])[0]

    run(jnp.asarray(3.0))
    with compilations() as found:
        run(jnp.asarray(4.0))
    assert found == []
    assert not np.array_equal(run(3.0), run(30.0))
    np.testing.assert_array_equal(run(30.0), jax.jit(lambda: run(30.0))())


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1.0, True), (0.0, -0.0)])
def test_numbers_that_are_equal_and_not_the_same_are_told_apart(first, second):
    seen = []

    def own(number):
        def function(x, factor=number):
            seen.append(type(factor))
            return x

        return function

    kinds = [_jitted._Kind(own, jax.tree.structure(n), [n], []) for n in (first, second, first)]
    assert kinds[0] == kinds[2] != kinds[1]


def test_not_a_number_is_found_again():
    kinds = [_jitted._Kind(len, jax.tree.structure(n), [n], []) for n in (float("nan"), float("nan"))]
    assert kinds[0] == kinds[1]


def test_what_has_no_hash_runs_all_the_same():
    class Settings:
        __hash__ = None
        factor = 2.0

    class Layer(eqx.Module):
        settings: Settings

        def __call__(self, x, *, key=None):
            return self.settings.factor * x

    settings = Settings()
    model = snnx.Sequential([Layer(settings), snnx.LI(tau=3.0)])
    twice, _ = snnx.simulate(model, XS[0])
    np.testing.assert_allclose(twice, 2.0 * snnx.simulate(snnx.LI(tau=3.0), XS[0])[0], rtol=1e-6)
    settings.factor = 4.0
    np.testing.assert_allclose(snnx.simulate(model, XS[0])[0], 2.0 * twice, rtol=1e-6)


class StaticGain(eqx.Module):
    gain: object = eqx.field(static=True)

    def __call__(self, x, *, key=None):
        gain = self.gain["gain"] if isinstance(self.gain, dict) else self.gain
        return x + 100.0 if gain is True else x * gain


def with_static(gain):
    return float(snnx.simulate(snnx.Sequential([StaticGain(gain), snnx.LI(tau=3.0)]), jnp.ones((2, 3)))[0][0, 0])


def test_static_fields_without_a_hash_run_all_the_same():
    settings = {"gain": 2.0}
    first = with_static(settings)
    settings["gain"] = 4.0
    assert with_static(settings) == pytest.approx(2 * first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Equinox's, of arrays that are static
        table = [with_static(np.full(3, gain)) for gain in (2.0, 2.0, 4.0)]
    assert table == pytest.approx([first, first, 2 * first])


def test_static_fields_that_are_equal_and_not_the_same_are_told_apart():
    one = with_static(1)
    assert with_static(1.0) == one
    assert with_static(True) > 10 * one


def test_a_function_that_reads_something_is_read_once_as_under_jit_and_an_array_is_the_way_out():
    settings = types.SimpleNamespace(factor=1.0)
    model = snnx.Sequential([lambda x: settings.factor * x, snnx.LI(tau=3.0)])
    before, _ = snnx.simulate(model, XS[0])
    settings.factor = 2.0
    np.testing.assert_array_equal(snnx.simulate(model, XS[0])[0], before)
    again = snnx.Sequential([lambda x: settings.factor * x, snnx.LI(tau=3.0)])  # another function: read anew
    np.testing.assert_allclose(snnx.simulate(again, XS[0])[0], 2.0 * before, rtol=1e-6)

    class Scale(eqx.Module):
        factor: jax.Array

        def __call__(self, x, *, key=None):
            return self.factor * x

    for factor in (1.0, 2.0):
        model = snnx.Sequential([Scale(jnp.asarray(factor)), snnx.LI(tau=3.0)])
        np.testing.assert_allclose(snnx.simulate(model, XS[0])[0], factor * before, rtol=1e-6)


def test_within_a_program_of_somebody_elses_nothing_is_read_once():
    settings = types.SimpleNamespace(factor=1.0)
    model = snnx.Sequential([lambda x: settings.factor * x, snnx.LI(tau=3.0)])

    def run():
        return jax.jit(lambda x: snnx.simulate(model, x)[0])(XS[0])

    before = run()
    settings.factor = 2.0
    np.testing.assert_allclose(run(), 2.0 * before, rtol=1e-6)


def test_programs_are_let_go_when_others_come():
    held = []
    for number in range(2 * _jitted.KEPT):
        function = lambda x, number=number: float(number) * x
        held.append(weakref.ref(function))
        snnx.simulate(snnx.Sequential([function, snnx.LI()]), XS[0])
        del function
    gc.collect()
    assert _jitted._program.cache_info().currsize == _jitted.KEPT
    assert sum(ref() is not None for ref in held) <= _jitted.KEPT + 1


# What else it says


def test_what_is_recorded_comes_in_the_order_that_was_asked_for():
    _, _, seen = snnx.simulate(network(), XS[0], record=["4.v", "0", "4"])
    assert list(seen) == ["4.v", "0", "4"]
    found = snnx.rollout(policy(), ENVIRONMENT, length=3, key=KEYS[0], record=["3", "1"])
    assert list(found.record) == ["3", "1"]


def test_arrays_of_numpy_are_taken_as_they_are():
    xs = np.asarray(XS[0])
    np.testing.assert_array_equal(snnx.simulate(network(), xs)[0], snnx.simulate(network(), XS[0])[0])
    mask = np.arange(12) < 9
    masked, _ = snnx.simulate(network(), xs, mask=mask)
    np.testing.assert_array_equal(masked, snnx.simulate(network(), XS[0], mask=jnp.asarray(mask))[0])
    with compilations() as found:
        snnx.simulate(network(), xs)
    assert found == []


def test_a_state_of_numpy_in_double_precision_is_refused_rather_than_rounded():
    _, state = snnx.simulate(snnx.LI(tau=3.0), XS[0])
    single = jax.tree.map(np.asarray, state)
    assert np.array_equal(
        snnx.simulate(snnx.LI(tau=3.0), XS[0], single)[0], snnx.simulate(snnx.LI(tau=3.0), XS[0], state)[0]
    )
    with pytest.raises(ShapeError, match="float64"):
        snnx.simulate(snnx.LI(tau=3.0), XS[0], jax.tree.map(lambda x: np.asarray(x, np.float64), state))


def test_an_array_of_numpy_in_a_model_stays_one_and_is_read_when_it_comes():
    class Table(eqx.Module):
        table: np.ndarray

        def __call__(self, x, *, key=None):
            return x * float(np.sum(self.table))

    model = snnx.Sequential([Table(np.ones(3, np.float32)), snnx.LI(tau=3.0)])
    first, _ = snnx.simulate(model, XS[0])
    with compilations() as found:
        snnx.simulate(snnx.Sequential([Table(np.ones(3, np.float32)), snnx.LI(tau=3.0)]), XS[0])
    assert found == []
    model.layers[0].table[:] = 2.0
    np.testing.assert_allclose(snnx.simulate(model, XS[0])[0], 2.0 * first, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "named"),
    [
        ({"xs": np.zeros((3, 5))}, DtypeError, "float64"),
        ({"xs": jnp.zeros((3, 4))}, ShapeError, "layer 0"),
        ({"xs": jnp.zeros((3, 5)), "record": ["9"]}, UnknownNameError, "'9'"),
        ({"xs": jnp.zeros((3, 5)), "mask": jnp.ones(4, bool)}, ShapeError, "mask"),
        ({"xs": jnp.zeros((3, 5)), "state": "none"}, TypeError, "state"),
        ({"xs": jnp.zeros((3, 5)), "chunk": 0}, ValueError, "chunk"),
        ({"xs": jnp.zeros((3, 5)), "keep": "some"}, ValueError, "keep"),
        ({"xs": jnp.zeros((3, 5)), "truncate": 2, "chunk": 3}, ValueError, "truncate"),
    ],
)
def test_what_does_not_fit_is_refused_as_clearly_bare_as_within_a_program(settings, error, named):
    for _ in range(2):
        with pytest.raises(error, match=named):
            snnx.simulate(network(), **settings)
    with pytest.raises(error, match=named):
        jax.jit(lambda: snnx.simulate(network(), **settings))()


def test_randomness_without_a_key_is_refused():
    model = snnx.Sequential([eqx.nn.Linear(5, 3, key=KEYS[0]), eqx.nn.Dropout(0.5), snnx.LI()])
    with pytest.raises(Exception, match="key"):
        snnx.simulate(model, XS[0])


def test_an_error_while_it_runs_says_what_it_says(ranks_are_promoted):
    events = snnx.event.make_events([1.0, 2.0], [0, 1], size=5)
    model = eqx.tree_at(lambda m: m.layers[0].weight, events_network(), jnp.full((8, 5), 50.0))
    for _ in range(2):
        with pytest.raises(eqx.EquinoxRuntimeError, match=r"^event\.simulate: part 1\b.*\bevents\b"):
            jax.block_until_ready(snnx.event.simulate(model, events, duration=60.0, most=1).output.mean())
