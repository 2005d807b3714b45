"""A program is found again where it is the same, and only there; what it closes over is handed to it."""

import gc
import weakref

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import compilations, programs
from jax.sharding import Mesh, PartitionSpec
from small import differs, make_data, make_model
from strategies import TinyES

import snnx
from snnx.train import _programs
from snnx.train._constants import lift_constants
from snnx.train._programs import KEPT, Program

X, Y = jnp.array([1.0, 2.0, 3.0]), jnp.array([-1.0, 0.5, 4.0])


@pytest.fixture(autouse=True)
def _none_before():
    _programs._compile.cache_clear()


def both_right(first, second, *args, want=(0, 0)):
    """Two programs, one after the other and then the first again: each gives its own numbers."""
    for program, expected in ((first, want[0]), (second, want[1]), (first, want[0])):
        np.testing.assert_array_equal(Program(program)(*args), expected)


# Things that are the same


def test_a_function_made_anew_is_found():
    def make(factor):
        return lambda x: jnp.sin(x) * factor

    with programs(1):
        first = Program(make(2.0))(X)
    with programs(0):
        np.testing.assert_array_equal(Program(make(2.0))(X), first)
    with programs(1):
        assert differs(Program(make(3.0))(X), first)


def test_within_a_run_it_is_traced_once_for_a_shape():
    traced = []

    def function(x):
        traced.append(x.shape)
        return x + 1

    program = Program(function)
    for x in (X, X, X[:2], X, X[:2]):
        np.testing.assert_array_equal(program(x), x + 1)
    assert traced == [(3,), (2,)]


def test_the_donated_argument_is_given_up_and_no_other():
    program = Program(lambda given, kept: given + kept, donated=True)
    given, kept = jnp.ones(3), jnp.ones(3)
    program(given, kept)
    assert given.is_deleted()
    assert not kept.is_deleted()


def test_whatever_structure_comes_out_is_this_functions_own():
    def make(name):
        return lambda x: {name: x, "n": {"same": 2 * x}}

    assert set(Program(make("a"))(X)) == {"a", "n"}
    with programs(0):
        found = Program(make("b"))(X)
    assert set(found) == {"b", "n"}
    np.testing.assert_array_equal(found["n"]["same"], 2 * X)


def test_without_jit_it_is_python():
    seen = []

    def function(x):
        seen.append(float(x[0]))
        return x + 1

    with jax.disable_jit():
        np.testing.assert_array_equal(Program(function)(X), X + 1)
    assert seen == [1.0]


def test_what_it_took_is_told_apart():
    def make():
        return Program(lambda x: jnp.sin(x) @ jnp.cos(x))

    first, second = make(), make()
    first(X)
    assert min(jax.tree.leaves(first.compilation)) > 0.0
    assert first.compilation.total == pytest.approx(sum(jax.tree.leaves(first.compilation)))
    assert "compiled in" in str(first.compilation)
    second(X)
    assert second.compilation.compile == 0.0
    assert second.compilation.trace > 0.0
    assert "found compiled" in str(second.compilation)


# Programs with one text that are not the same


def test_other_arguments_that_are_not_used():
    both_right(lambda a, b: a + 1, lambda a, b: b + 1, X, Y, want=(X + 1, Y + 1))


def test_results_that_are_arguments():
    both_right(lambda a, b: a, lambda a, b: b, X, Y, want=(X, Y))


def test_other_functions_of_python():
    def calling(function):
        like = jax.ShapeDtypeStruct(X.shape, X.dtype)
        return lambda x: jax.pure_callback(function, like, x)

    both_right(calling(lambda x: np.asarray(x) + 1), calling(lambda x: np.asarray(x) * 2), X, want=(X + 1, X * 2))


def test_other_functions_of_python_for_their_effect():
    seen = []

    def calling(name):
        def function(x):
            jax.debug.callback(lambda x: seen.append(name), x)
            return x

        return function

    for name in ("a", "b"):
        jax.block_until_ready(Program(calling(name))(X))
    jax.effects_barrier()
    assert seen == ["a", "b"]


def test_other_messages_of_an_error():
    def make(message):
        return lambda x: eqx.error_if(x, x[0] > 0, message)

    for message in ("the first", "the second"):
        with pytest.raises(eqx.EquinoxRuntimeError, match=rf"^{message}$"):
            Program(make(message))(X)


def test_weak_and_strong_types():
    weak, strong = jnp.asarray(2.0), jnp.asarray(2.0, jnp.float32)
    assert weak.weak_type
    assert not strong.weak_type
    half = jnp.ones(3, jnp.bfloat16)

    def run(x):
        return Program(lambda x: x * 1)(x)

    assert (run(weak) * half).dtype == jnp.bfloat16
    assert (run(strong) * half).dtype == jnp.float32
    assert (run(weak) * half).dtype == jnp.bfloat16


def test_results_of_weak_and_of_strong_types():
    half = jnp.ones(3, jnp.bfloat16)
    weak, strong = (lambda x: jax.lax.full_like(x, 2.0)), (lambda x: jnp.asarray(2.0, jnp.float32))
    like = jnp.asarray(1.0)
    dtypes = [(Program(f)(like) * half).dtype for f in (weak, strong, weak)]
    assert dtypes == [(jax.jit(f)(like).weak_type and jnp.bfloat16) or jnp.float32 for f in (weak, strong, weak)]


def test_keys_of_another_kind():
    def make():
        return Program(lambda key: jax.random.uniform(key))

    drawn = [make()(jax.random.key(0, impl=impl)) for impl in ("threefry2x32", "unsafe_rbg", "threefry2x32")]
    assert drawn[0] == drawn[2] != drawn[1]


def test_other_settings_of_jax():
    x = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)

    def run():
        return Program(lambda x: jnp.dot(x, x))(jnp.asarray(x))

    with programs(1):
        run()
    with jax.default_matmul_precision("highest"), programs(1):
        run()
    with jax.numpy_rank_promotion("warn"), programs(1):  # not in the text, nor harmful: another all the same
        run()
    with jax.enable_x64(True), programs(1):
        assert Program(lambda x: x * np.float64(1.0))(jnp.arange(3.0)).dtype == jnp.float64
    with programs(0):
        run()


def test_other_devices():
    # Named in a program, and not in its text.
    devices = jax.devices()

    def on(names):
        mesh = Mesh(np.array(devices[:1]), names)
        return jax.shard_map(lambda x: x + 1, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec())

    with programs(2):
        Program(on(("a",)))(X)
        Program(on(("b",)))(X)
    with programs(0):
        Program(on(("a",)))(X)


# Arrays that are closed over

TABLE = jnp.asarray(np.random.default_rng(0).normal(size=3), jnp.float32)


def below_jit(table):
    return jax.jit(lambda x: x * table)


def in_scan(table):
    inner = below_jit(table)
    return lambda x: jax.lax.scan(lambda c, _: (jnp.tanh(inner(c) + table), None), x, length=3)[0]


def in_while(table):
    inner = below_jit(table)
    more = lambda c: jnp.sum(jnp.abs(inner(c))) < 9.0
    return lambda x: jax.lax.while_loop(more, lambda c: 2.0 * c + jnp.abs(inner(c)), x)


def in_branch(table):
    inner = below_jit(table)
    return lambda x: jax.lax.cond(x[0] > 0, lambda x: inner(x) + 1.0, lambda x: -inner(x), x)


def in_gradient(table):
    inner = below_jit(table)

    def loss(x):
        body = jax.checkpoint(lambda c, _: (jnp.sin(inner(c)), None))
        return jnp.sum(jax.lax.scan(body, x, length=4)[0])

    return jax.grad(loss)


def in_own_derivative(table):
    inner = below_jit(table)

    @jax.custom_jvp
    def function(x):
        return inner(x)

    function.defjvp(lambda primals, tangents: (inner(primals[0]), tangents[0] * table))
    return lambda x: function(x) + jax.grad(lambda x: jnp.sum(function(x)))(x)


def over_devices(table):
    inner, mesh = below_jit(table), Mesh(np.array(jax.devices()[:1]), ("d",))
    return jax.shard_map(inner, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec())


def of_many(table):
    return lambda x: jax.vmap(in_scan(table))(jnp.stack([x, 2 * x])).sum(axis=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: lambda x: x * t,
        below_jit,
        in_scan,
        in_while,
        in_branch,
        in_gradient,
        in_own_derivative,
        over_devices,
        of_many,
    ],
    ids=["bare", "jit", "scan", "while", "branch", "gradient", "own derivative", "devices", "vmap"],
)
def test_an_array_that_is_closed_over_is_an_argument(make):
    other = TABLE + 0.25
    with programs(1):
        first = Program(make(TABLE))(X)
    with programs(0):
        second = Program(make(other))(X)
    np.testing.assert_allclose(first, jax.jit(lambda x: make(TABLE)(x))(X), rtol=1e-6)
    np.testing.assert_allclose(second, jax.jit(lambda x: make(other)(x))(X), rtol=1e-6)
    assert differs(first, second)


def test_what_nothing_is_closed_over_by_is_left_as_it_is():
    constants, _ = lift_constants(jax.make_jaxpr(lambda x: jnp.sin(x) * 2.0 + np.float32(3.0))(X))
    assert constants == []


def test_a_condition_of_many_keeps_its_array_and_gives_its_numbers():
    """JAX makes of a while loop under vmap one that cannot be written down again: right all the same."""

    def make(table):
        return lambda x: jax.vmap(in_while(table))(jnp.stack([x, 2 * x]))

    for table in (TABLE, TABLE + 0.25):
        np.testing.assert_allclose(Program(make(table))(X), jax.jit(make(table))(X), rtol=1e-6)


def test_an_array_of_numpy_is_read_when_it_is_traced():
    table = np.ones(3, np.float32)
    program = Program(lambda x: x * jnp.asarray(table))
    np.testing.assert_array_equal(program(X), X)
    table[:] = 5.0  # within a run nothing is read anew
    np.testing.assert_array_equal(program(X), X)
    with programs(0):
        np.testing.assert_array_equal(Program(lambda x: x * jnp.asarray(table))(X), 5 * X)


# The trainers


def make_everything(rate=1e-2):
    model = make_model(between=(lambda x: 1.0 * x,))
    loss = snnx.CrossEntropy(snnx.Mean()) + 0.1 * snnx.UpperRate(0.2)
    return model, dict(loss=loss, optimizer=optax.adam(rate), epochs=1, key=jax.random.key(0), progress=False)


def call_fit(**settings):
    model, usual = make_everything()
    return snnx.fit(model, make_data(), validation=make_data(12), **usual | settings)


def call_ensemble(**settings):
    _, usual = make_everything()
    models = snnx.parameters.init_ensemble(lambda key: make_everything()[0], jax.random.split(jax.random.key(0)))
    return snnx.fit_ensemble(models, make_data(), validation=make_data(12), **usual | settings)


def call_evaluate():
    model, usual = make_everything()
    return snnx.evaluate(model, make_data(), loss=usual["loss"])


def call_evolve(strategy=True):
    target = jnp.arange(3.0)
    solver = TinyES(6, jnp.zeros(3)) if strategy else optax.adam(1e-1)
    objective = lambda params, key: jnp.sum((params - target) ** 2)
    settings = dict(generations=3, key=jax.random.key(0), progress=False)
    return snnx.evolve(objective, jnp.zeros(3), optimizer=solver, **settings)


@pytest.mark.parametrize(
    "call", [call_fit, call_ensemble, call_evaluate, call_evolve, lambda: call_evolve(False)],
    ids=["fit", "fit_ensemble", "evaluate", "evolve", "evolve by gradient"],
)  # fmt: skip
def test_a_second_call_with_things_made_alike_compiles_nothing(call):
    call()
    with compilations() as found:
        call()
    assert found == []


@pytest.mark.parametrize("make", [optax.adam, optax.inject_hyperparams(optax.adam)], ids=["adam", "injected"])
def test_a_learning_rate_that_is_an_array_is_an_argument(make):
    call_fit(optimizer=make(jnp.asarray(1e-2)))
    with compilations() as found:
        other = call_fit(optimizer=make(jnp.asarray(3e-2)))
    assert found == []
    expected = call_fit(optimizer=optax.adam(3e-2))
    for got, want in zip(jax.tree.leaves(other.model), jax.tree.leaves(expected.model), strict=True):
        if eqx.is_array(got):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_an_optimiser_a_loss_and_an_objective_may_close_over_arrays_below_an_inner_jit():
    def with_array(x):
        inner = jax.jit(lambda g: jax.tree.map(lambda leaf: leaf * x, g))
        optimizer = optax.chain(optax.stateless(lambda updates, params: inner(updates)), optax.sgd(0.1))

        class Own(snnx.losses.AbstractLoss):
            readout: snnx.reductions.AbstractReduction = snnx.Mean()

            def __call__(self, reduced, target, *, record):
                return jax.jit(lambda r: jnp.sum(r**2) * x)(reduced)

        return dict(optimizer=optimizer, loss=Own())

    def search(x):
        objective = lambda params, key: jax.jit(lambda p: jnp.sum((p - x) ** 2))(params)
        settings = dict(generations=60, key=jax.random.key(0), progress=False)
        return float(snnx.evolve(objective, jnp.zeros(()), optimizer=optax.sgd(0.2), **settings).params)

    model = make_model()
    settings = dict(epochs=1, key=jax.random.key(0), progress=False)
    first = snnx.fit(model, make_data(), **with_array(jnp.asarray(0.5)), **settings)
    assert search(jnp.asarray(2.0)) == pytest.approx(2.0, rel=1e-5)
    with programs(0):
        second = snnx.fit(model, make_data(), **with_array(jnp.asarray(1.5)), **settings)
        assert search(jnp.asarray(3.0)) == pytest.approx(3.0, rel=1e-5)
    # Loss and gradient are scaled by the array, each: the step is x^2 times as long.
    for before, a, b in zip(*(jax.tree.leaves(m) for m in (model, first.model, second.model)), strict=True):
        if eqx.is_inexact_array(before) and len(make_data()) <= 128:
            np.testing.assert_allclose(b - before, 9 * (a - before), rtol=1e-3, atol=1e-5)


def test_folds_of_nearly_the_same_size_share_their_programs():
    model, usual = make_everything()
    data = make_data(30)

    def fold(count):
        train, rest = data.subset(range(count)), data.subset(range(count, 30))
        return snnx.fit(model, train, validation=rest, batch_size=5, **usual)

    fold(24)
    with programs(0):
        shorter = fold(23)
    assert shorter.history[0]["loss"] != fold(25).history[0]["loss"]
    snnx.evaluate(model, data.subset(range(15)), batch_size=5)
    with programs(0):
        snnx.evaluate(model, data.subset(range(12)), batch_size=5)


def test_examples_that_there_is_only_room_for_count_nowhere():
    """Of 7 examples in batches of 4 the eighth place is none: as if they were seen one batch at a time by hand."""
    model, usual = make_everything()
    data = make_data(7)
    result = snnx.fit(model, data, batch_size=4, **usual | {"optimizer": optax.sgd(0.0), "loss": snnx.CrossEntropy()})
    alone = [float(snnx.evaluate(model, data.subset([i])).loss) for i in range(7)]
    assert result.history[0]["loss"] == pytest.approx(np.mean(alone), rel=1e-5)


def test_programs_are_let_go_when_others_come():
    def sweep(count):
        for number in range(count):
            Program(lambda x, number=number: x * (number + 2.5))(X)

    sweep(2 * KEPT)
    info = _programs._compile.cache_info()
    assert info.currsize == KEPT
    assert info.misses == 2 * KEPT


def test_a_run_that_is_over_keeps_nothing_of_what_it_was_given():
    class Held:
        pass

    def run():
        held = Held()
        model, usual = make_everything()
        snnx.fit(make_model(between=(lambda x, held=held: x,)), make_data(), **usual)
        return weakref.ref(held)

    held = run()
    gc.collect()
    assert held() is None
