"""Every class of the registry against every property that its kind promises."""

import copy
import inspect
import io
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from registry import CELLS, KEY, LAYERS, LOSSES, REDUCTIONS

import snnx
from snnx.cells import AbstractCell
from snnx.losses import AbstractLoss
from snnx.reductions import AbstractReduction

STEPS = 9
cells = pytest.mark.parametrize("name", CELLS)


def make(name, dtype=jnp.float32):
    factory, shape = CELLS[name]
    cell = snnx.cast(factory(), dtype) if dtype != jnp.float32 else factory()
    xs = jax.random.normal(KEY, (STEPS, *shape)).astype(dtype) + jnp.asarray(0.5, dtype)
    return cell, xs


def step_by_step(cell, xs, key=KEY, mask=None):
    """The meaning of time: a Python loop over `__call__`."""
    state, ys = cell.init_state(xs.shape[1:]), []
    for t, x in enumerate(xs):
        y, new = cell(x, state, key=key)
        if mask is not None and not mask[t]:
            y, new = jnp.zeros_like(y), state
        state = new
        ys.append(y)
    return jnp.stack(ys), state


def assert_same(a, b, rtol=1e-5, atol=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(np.asarray(x, np.float64), np.asarray(y, np.float64), rtol=rtol, atol=atol)


def public(module, base):
    found = (getattr(module, name) for name in module.__all__)
    return {c.__name__ for c in found if inspect.isclass(c) and issubclass(c, base) and not inspect.isabstract(c)}


def test_nothing_public_is_missing():
    built = {type(factory()).__name__ for factory, _ in [*CELLS.values(), *LAYERS.values()]}
    layers = {
        c.__name__
        for c in (getattr(snnx.layers, n) for n in snnx.layers.__all__)
        if inspect.isclass(c) and issubclass(c, eqx.Module) and "__call__" in dir(c) and not inspect.isabstract(c)
    }
    assert public(snnx.neurons, AbstractCell) | layers <= built
    assert public(snnx.losses, AbstractLoss) <= {type(make()).__name__ for make in LOSSES.values()}
    assert public(snnx.reductions, AbstractReduction) <= set(REDUCTIONS)


@cells
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_outputs_and_state_keep_dtype_and_structure(name, dtype):
    cell, xs = make(name, dtype)
    before = cell.init_state(xs.shape[1:])
    ys, after, _ = jax.jit(lambda xs: cell.over_time(xs, before, key=KEY))(xs)
    assert ys.dtype == dtype
    assert ys.shape[0] == STEPS
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (before, after)]
    assert kinds[0] == kinds[1]
    assert bool(jnp.all(jnp.isfinite(ys)))


@cells
def test_double_precision(name, x64):
    factory, shape = CELLS[name]
    cell = snnx.cast(factory(), "float64")
    xs = jnp.ones((3, *shape))
    ys, _, _ = cell.over_time(xs, cell.init_state(shape), key=KEY)
    assert ys.dtype == jnp.float64


@cells
@pytest.mark.parametrize("masked", [False, True])
def test_a_stretch_is_its_steps(name, masked):
    cell, xs = make(name)
    mask = np.arange(STEPS) % 4 != 1 if masked else None
    ys, state, _ = jax.jit(lambda xs, m: cell.over_time(xs, cell.init_state(xs.shape[1:]), key=KEY, mask=m))(xs, mask)
    want_ys, want_state = step_by_step(cell, xs, mask=mask)
    assert_same(ys, want_ys)
    assert_same(state, want_state)


@cells
def test_jit_and_vmap_change_nothing(name):
    cell, xs = make(name)

    def run(xs):
        return snnx.simulate(cell, xs, key=KEY, chunk=4)

    batch = jnp.stack([xs, 0.5 * xs, xs[::-1]])
    together = jax.jit(jax.vmap(run))(batch)
    for i, one in enumerate(batch):
        assert_same(jax.tree.map(lambda leaf, i=i: leaf[i], together), run(one))


@cells
def test_gradient_is_finite_and_there(name):
    cell, xs = make(name)
    params, static = eqx.partition(cell, eqx.is_inexact_array)

    def loss(params, xs):
        ys, _ = snnx.simulate(eqx.combine(params, static), xs, key=KEY, chunk=4)
        return jnp.sum(ys * jnp.arange(1.0, 1.0 + ys[0].size).reshape(ys.shape[1:])[None])

    grads, grad_xs = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, xs)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in [grad_xs, *jax.tree.leaves(grads)])
    assert float(jnp.abs(grad_xs).max()) > 0
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads)), "a parameter without any gradient"


@cells
def test_forward_mode_agrees_with_reverse_mode(name):
    cell, xs = make(name)

    def total(xs):
        return jnp.sum(jnp.sin(snnx.simulate(cell, xs, key=KEY, chunk=4)[0]))

    direction = jax.random.normal(jax.random.fold_in(KEY, 1), xs.shape)
    _, forward = jax.jvp(total, (xs,), (direction,))
    np.testing.assert_allclose(forward, jnp.vdot(jax.grad(total)(xs), direction), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*CELLS, *LAYERS])
def test_survives_pickle_copy_and_file(name):
    factory, _ = (CELLS | LAYERS)[name]
    module = factory()
    for again in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert_same(eqx.filter(again, eqx.is_array), eqx.filter(module, eqx.is_array), rtol=0, atol=0)
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, module)
    file.seek(0)
    zeros = jax.tree.map(lambda x: jnp.zeros_like(x) if eqx.is_array(x) else x, module)
    again = eqx.tree_deserialise_leaves(file, zeros)
    assert_same(eqx.filter(again, eqx.is_array), eqx.filter(module, eqx.is_array), rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_a_stretch_are_their_steps(name):
    factory, shape = LAYERS[name]
    model = snnx.Sequential([factory()])
    xs = jax.random.normal(KEY, (STEPS, *shape))
    ys, _ = snnx.simulate(model, xs)
    np.testing.assert_allclose(ys, jnp.stack([factory()(x) for x in xs]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_does_not_depend_on_the_chunk_and_has_a_gradient(name):
    loss = LOSSES[name]()
    model = snnx.Sequential([eqx.nn.Linear(4, 3, key=KEY), snnx.LIF(5.0)])
    model = eqx.tree_at(lambda m: m[0].weight, model, 2.0 * model[0].weight)
    xs = jax.random.normal(KEY, (STEPS, 4)) + 0.5
    target = {"MSE": jnp.zeros(3), "TraceMSE": jnp.zeros((STEPS, 3)), "VanRossum": jnp.zeros((STEPS, 3))}.get(name, 1)

    def of(weight, chunk):
        changed = eqx.tree_at(lambda m: m[0].weight, model, weight)
        reduced, _, record = snnx.simulate(changed, xs, readout=loss.readout, record=loss.taps(changed), chunk=chunk)
        return loss(reduced, target, record=record)

    values = [jax.value_and_grad(of)(model[0].weight, chunk) for chunk in (1, 4, STEPS)]
    for other in values[1:]:
        assert_same(values[0], other)
    value, grad = values[0]
    assert value.shape == ()
    assert bool(jnp.isfinite(value))
    assert float(jnp.abs(grad).max()) > 0
    copy.deepcopy(loss), pickle.dumps(loss)


def test_spikes_are_zeros_and_ones():
    for name, (factory, _) in CELLS.items():
        cell, xs = make(name)
        if factory().spikes:
            ys, _ = snnx.simulate(cell, 3.0 * xs, key=KEY)
            assert set(np.unique(ys)) == {0.0, 1.0}, name
