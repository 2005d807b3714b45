"""Every class of the registry against every property that its kind promises."""

import copy
import functools
import inspect
import io
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from registry import CELLS, KEY, LAYERS, LOSSES, REDUCTIONS, SURROGATES

import snnx
from snnx.cells import walk
from snnx.losses import AbstractLoss
from snnx.reductions import AbstractReduction

STEPS = 5
DTYPES = ("float32", "bfloat16", "float64")
every_cell = pytest.mark.parametrize("name", CELLS)


def make(name):
    factory, shape = CELLS[name]
    xs = jax.random.normal(KEY, (3, STEPS, *shape)) + 0.6  # three examples
    return factory(), xs


def step_by_step(cell, xs, live=None):
    """The meaning of time: the cell's own step at every live time step, one after the other; not compiled."""
    state, ys = cell.init_state(xs.shape[1:]), []
    for t, x in enumerate(xs):
        if live is None or live[t]:
            y, state = cell(x, state, key=KEY)
        else:
            y = jnp.zeros_like(ys[0])
        ys.append(y)
    return jnp.stack(ys), state


@functools.cache
def steps_of(name):
    """Outputs and final state of the three examples, step by step."""
    cell, xs = make(name)
    return [step_by_step(cell, x) for x in xs]


def assert_same(found, expected, **tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-5, "atol": 1e-6}))


def kinds(tree):
    return jax.tree.map(lambda x: (x.shape, jnp.dtype(x.dtype)), tree)


def public(module, base=eqx.Module):
    """The public classes of a room that can be built and called or run."""
    found = (getattr(module, name) for name in module.__all__)
    return {c for c in found if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)}


def built(factories):
    """The types of all parts of what the registry builds, resets and gradients included."""
    made = [factory() for factory in factories]
    parts = [part for m in made for _, part in walk(m)]
    chosen = {type(getattr(part, field)) for part in parts for field in ("reset", "gradient") if hasattr(part, field)}
    return {type(part) for part in parts} | chosen


def test_nothing_public_is_missing():
    factories = [factory for factory, _ in [*CELLS.values(), *LAYERS.values()]]
    found = built(factories)
    assert public(snnx.neurons) - {snnx.neurons.Equation} <= found  # a record, which is not run by itself
    assert {c for c in public(snnx.layers) if any("__call__" in vars(base) for base in c.__mro__)} <= found
    assert public(snnx.surrogates) <= {type(factory()) for factory in SURROGATES.values()}
    assert set(snnx.surrogates.__all__) - {"AbstractSurrogate"} == set(SURROGATES)
    assert public(snnx.losses, AbstractLoss) <= {type(factory()) for factory in LOSSES.values()}
    assert public(snnx.reductions, AbstractReduction) <= {type(factory()) for factory in REDUCTIONS.values()}


def test_a_name_begins_with_the_class_that_it_builds():
    for name, entry in (CELLS | LAYERS).items():
        assert type(entry[0]()).__name__ == name.split(",")[0]
    for name, factory in SURROGATES.items():
        assert type(factory()) is getattr(snnx.surrogates, name)


# Cells.


@every_cell
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_and_state_keep_dtype_shape_and_structure(name, dtype, x64):
    factory, shape = CELLS[name]
    cell = snnx.cast(factory(), dtype)
    before = cell.init_state(shape)
    xs = jax.ShapeDtypeStruct((STEPS, *shape), dtype)
    y, after = jax.eval_shape(lambda x, s: cell(x[0], s, key=KEY), xs, before)
    ys, end, tapped = jax.eval_shape(lambda x, s: cell.over_time(x, s, key=KEY, taps=("",)), xs, before)
    assert kinds(before) == kinds(after) == kinds(end)
    assert y.dtype == ys.dtype == dtype
    assert ys.shape == tapped[""].shape == (STEPS, *y.shape)
    assert {x.dtype for x in jax.tree.leaves(before) if jnp.issubdtype(x.dtype, jnp.floating)} <= {jnp.dtype(dtype)}


@every_cell
def test_half_precision_is_finite_and_close(name):
    factory, shape = CELLS[name]
    x = jnp.linspace(-1.0, 2.0, int(np.prod(shape))).reshape(shape)
    whole, half = factory(), snnx.cast(factory(), "bfloat16")
    y, _ = half(x.astype(jnp.bfloat16), half.init_state(shape), key=KEY)
    expected, _ = whole(x, whole.init_state(shape), key=KEY)
    if "Noise" in name or "random" in name:  # draws of another precision are other draws
        assert np.isfinite(np.asarray(y, np.float32)).all()
    else:
        np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.03, atol=0.03)


@every_cell
def test_a_compiled_batch_over_time_is_a_loop_of_steps(name):
    """jit == eager, vmap == loop, one step == stretch of time; and what a tap sees is what came out."""
    cell, xs = make(name)
    state = cell.init_state(xs.shape[2:])
    run = jax.jit(jax.vmap(lambda x: cell.over_time(x, state, key=KEY, taps=("",))))
    ys, end, tapped = run(xs)
    for i, expected in enumerate(steps_of(name)):
        assert_same((ys[i], jax.tree.map(lambda leaf, i=i: leaf[i], end)), expected)
    np.testing.assert_array_equal(tapped[""], ys)
    if cell.spikes:
        assert set(np.unique(ys)) == {0.0, 1.0}


@every_cell
def test_one_step_of_a_batch_is_a_loop(name):
    cell, xs = make(name)
    start = cell.init_state(xs.shape[2:])
    y, state = jax.vmap(lambda x: cell(x, start, key=KEY))(xs[:, 0])
    for i, x in enumerate(xs):
        assert_same((y[i], jax.tree.map(lambda leaf, i=i: leaf[i], state)), cell(x[0], start, key=KEY))


@every_cell
def test_masked_steps_do_not_happen_and_gradients_are_finite_and_there(name):
    cell, xs = make(name)
    xs, live = xs[0], np.array([True, True, False, True, False])
    arrays, rest = eqx.partition(cell, eqx.is_inexact_array)

    def loss(arrays, xs, mask):
        cell = eqx.combine(arrays, rest)
        ys, state, _ = cell.over_time(xs, cell.init_state(xs.shape[1:]), key=KEY, mask=mask)
        return jnp.sum(ys * jnp.arange(1.0, 1.0 + ys.size).reshape(ys.shape)), (ys, state)

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, (ys, state)), (by_array, by_input) = run(arrays, xs, live)
    assert_same((ys, state), step_by_step(cell, xs, live))
    np.testing.assert_array_equal(ys[~live], 0)
    np.testing.assert_array_equal(by_input[~live], 0)

    (_, (ys, state)), (by_array, by_input) = run(arrays, xs, np.ones(STEPS, bool))
    assert_same((ys, state), steps_of(name)[0])
    for gradient in [by_input, *jax.tree.leaves(by_array)]:
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0, "a parameter without any gradient"


@pytest.mark.parametrize("name", [*CELLS, *LAYERS, *SURROGATES])
def test_survives_pickle_copy_and_file(name):
    factory = SURROGATES[name] if name in SURROGATES else (CELLS | LAYERS)[name][0]
    module = factory()
    for again in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert eqx.tree_equal(again, module)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, module)
    file.seek(0)
    blank = jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, module)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, blank), module)


# Plain layers, surrogates, losses.


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_over_a_stretch_is_its_steps_with_a_finite_gradient(name):
    factory, shape = LAYERS[name]
    layer, model = factory(), snnx.Sequential([factory()])
    xs = jax.random.normal(KEY, (STEPS, *shape))
    state = model.init_state(shape)
    ys, _, _ = jax.jit(lambda x: model.over_time(x, state))(xs)
    np.testing.assert_allclose(ys, jnp.stack([layer(x) for x in xs]), rtol=1e-5, atol=1e-6)
    batch = jax.vmap(lambda x: model(x, state)[0])(xs)
    np.testing.assert_allclose(batch, ys, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(layer(x) ** 2))(xs[0])
    assert np.isfinite(gradient).all()
    assert gradient.any()
    for dtype in ("float32", "bfloat16"):
        half = snnx.cast(layer, dtype)
        assert jax.eval_shape(half, jax.ShapeDtypeStruct(shape, dtype)).dtype == dtype


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_works_in_a_neuron(name):
    cell = snnx.LIF(surrogate=SURROGATES[name]())
    start, x = cell.init_state((4,)), jnp.array([-1.0, 0.8, 1.1, 1.4])
    spikes, slope = jax.value_and_grad(lambda x: jnp.sum(cell(x, start, key=KEY)[0]))(x)
    assert 0 < spikes < 4
    expected = cell.surrogate.derivative(x - 1.0)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)
    assert np.isfinite(expected).all()
    assert expected.any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_can_be_pickled_and_copied(name):
    loss = LOSSES[name]()
    for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert eqx.tree_equal(again, loss)
