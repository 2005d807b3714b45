"""The contract: a neuron of one's own works everywhere; paths name the parts; whole models change dtype and time step."""

import inspect
import pickle
import re
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_reference import run

import snnx
from snnx.cells import AbstractCell, cast, cell_dtype, find, refused_parameters, replace, spiking_paths, walk, with_dt
from snnx.layers import Flatten, GaussianNoise, Parallel, Recurrent, Residual, Sequential
from snnx.neurons import IF, LI, LIF, AdLIF, CubaLIF, ValueReset
from snnx.parameters import Frozen, Positive
from snnx.reductions import Mean, Stack
from snnx.surrogates import ATan


class QuadraticState(eqx.Module):
    v: jax.Array
    spikes: jax.Array


class Quadratic(AbstractCell):
    """A quadratic integrate-and-fire neuron: what somebody might write who knows nothing but the contract."""

    spikes: ClassVar[bool] = True
    curvature: float | jax.Array = 0.3
    dt: float = 1.0

    def init_state(self, shape):
        return QuadraticState(v=jnp.zeros(shape), spikes=jnp.zeros(shape))

    def __call__(self, x, state, *, key=None):
        v = state.v + self.dt * self.curvature * state.v * (state.v - 1.0) + x
        s = ATan(2.0)(v - 2.0)
        return s, QuadraticState(v=(1 - s) * v, spikes=state.spikes + s)


def quadratic(xs, curvature=0.3):
    """The same in NumPy."""
    v, rows = np.zeros(xs.shape[1]), []
    for x in xs:
        v = v + curvature * v * (v - 1.0) + x
        s = (v > 2.0).astype(float)
        v = (1 - s) * v
        rows.append((s, v))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def drive(steps=9, width=5, seed=0):
    return np.random.default_rng(seed).normal(0.5, 1.0, (steps, width))


def linear(fan_in, fan_out, seed=0):
    return eqx.nn.Linear(fan_in, fan_out, key=jax.random.key(seed))


# A cell of one's own.


def test_the_example_of_the_docstring_runs():
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(AbstractCell), re.S)
    names = {"snnx": snnx, "eqx": eqx, "jax": jax, "jnp": jnp}
    exec(code, names)
    xs = drive()
    ys, state, seen = snnx.simulate(Sequential([names["Leak"]()]), jnp.asarray(xs, float), record=["0.v"], chunk=4)
    v, expected = np.zeros(5), []
    for x in xs:
        v = 0.9 * v + x
        expected.append(v)
    np.testing.assert_allclose(ys, expected, rtol=1e-5)
    np.testing.assert_array_equal(seen["0.v"], ys)
    np.testing.assert_array_equal(state["0"].v, ys[-1])


def test_a_cell_of_ones_own_runs_over_time(x64):
    xs = drive()
    s, v = quadratic(xs)
    assert 0.1 < s.mean() < 0.7
    ys, state, seen = snnx.simulate(Quadratic(), jnp.asarray(xs), record=["", "v"], chunk=4)
    np.testing.assert_array_equal(ys, s)
    np.testing.assert_array_equal(seen[""], s)
    np.testing.assert_allclose(seen["v"], v, rtol=1e-12)
    np.testing.assert_array_equal(state.spikes, s.sum(0))


@pytest.mark.slow
def test_it_works_in_containers_with_taps_and_masks(x64):
    xs = drive(steps=8)
    live = np.array([True, True, False, True, True, True, False, True])
    first, second = linear(5, 4), linear(4, 3, seed=1)
    model = Sequential([first, Quadratic(), second, Recurrent(Quadratic(0.1), linear(3, 3, seed=2))])
    paths = {"1": Stack(), "1.v": Stack(), "3.neuron.v": Mean(), "3": Stack()}
    _, state, seen = snnx.simulate(model, jnp.asarray(xs), mask=jnp.asarray(live), record=paths, chunk=3)

    currents = xs[live] @ np.asarray(first.weight).T + np.asarray(first.bias)
    s, v = quadratic(currents)
    np.testing.assert_array_equal(seen["1"][live], s)
    np.testing.assert_array_equal(seen["1"][~live], 0)
    np.testing.assert_allclose(seen["1.v"][live], v, rtol=1e-11)
    np.testing.assert_allclose(state["1"].v, v[-1], rtol=1e-11)

    back, weight = model[3].feedback, {"s": np.zeros(3), "v": np.zeros(3)}
    potentials = []
    for row in s @ np.asarray(second.weight).T + np.asarray(second.bias):
        u = weight["v"] + 0.1 * weight["v"] * (weight["v"] - 1) + row
        u = u + np.asarray(back.weight) @ weight["s"] + np.asarray(back.bias)
        weight["s"] = (u > 2.0).astype(float)
        weight["v"] = (1 - weight["s"]) * u
        potentials.append(weight["v"])
    np.testing.assert_allclose(seen["3.neuron.v"], np.mean(potentials, 0), rtol=1e-11)


def test_it_learns_by_vmap_jit_and_grad(x64):
    xs = jnp.asarray(np.stack([drive(seed=i) for i in range(3)]))

    def total(curvature):
        spikes = jax.vmap(lambda x: snnx.simulate(Quadratic(curvature), x, chunk=4)[0])(xs)
        return jnp.sum(spikes)

    value, slope = jax.jit(jax.value_and_grad(total))(0.3)
    assert value == sum(quadratic(np.asarray(x))[0].sum() for x in xs)
    assert np.isfinite(slope)
    assert slope != 0


def test_a_field_that_the_state_does_not_have_is_named():
    with pytest.raises(ValueError, match=r"'w'.*\bspikes, v\b"):
        snnx.simulate(Quadratic(), jnp.ones((3, 2)), record=["w"])


# Paths.


def make_model():
    return Sequential(
        [
            linear(4, 3),
            LIF(),
            Parallel([linear(3, 3), Residual(Sequential([linear(3, 3), IF()]))]),
            Recurrent(CubaLIF(), linear(3, 3)),
            GaussianNoise(0.1),
            LI(),
        ]
    )


PATHS = {
    "": "Sequential",
    "0": "Linear",
    "1": "LIF",
    "2": "Parallel",
    "2.0": "Linear",
    "2.1": "Residual",
    "2.1.body": "Sequential",
    "2.1.body.0": "Linear",
    "2.1.body.1": "IF",
    "2.1.shortcut": "Identity",
    "2.1.join": "Add",
    "2.join": "Add",
    "3": "Recurrent",
    "3.neuron": "CubaLIF",
    "3.feedback": "Linear",
    "4": "GaussianNoise",
    "5": "LI",
}


def test_walk_names_every_part_outermost_first():
    assert [(path, type(part).__name__) for path, part in walk(make_model())] == list(PATHS.items())
    bare = LIF()
    assert list(walk(bare)) == [("", bare)]
    assert [path for path, _ in walk(make_model()[3], "x")] == ["x", "x.neuron", "x.feedback"]


def test_find_gives_the_part_at_a_path():
    model = make_model()
    for path, name in PATHS.items():
        assert type(find(model, path)).__name__ == name
    assert find(model, "3.neuron") is model[3].neuron
    assert find(model, "") is model
    with pytest.raises(ValueError, match=r"'3.neurons'.*'3.neuron'"):
        find(model, "3.neurons")
    with pytest.raises(ValueError, match="'0'"):
        find(LIF(), "0")
    with pytest.raises(TypeError, match=r"\bpath\b"):
        find(LIF(), 0)  # pyright: ignore[reportArgumentType]


def test_spiking_paths_are_those_of_neurons_that_fire():
    assert spiking_paths(make_model()) == ("1", "2.1.body.1", "3.neuron")
    assert spiking_paths(LIF()) == ("",)
    assert spiking_paths(LI()) == ()
    assert spiking_paths(Sequential([Quadratic()])) == ("0",)
    assert spiking_paths(linear(2, 2)) == ()


# Another time step.


def test_with_dt_reaches_every_cell_and_nothing_else():
    model = Sequential(
        [linear(3, 3), LIF(tau=Positive(0.02)), Recurrent(CubaLIF(0.02, 0.01), linear(3, 3)), Quadratic()]
    )
    moved = with_dt(model, 1e-3)
    assert [part.dt for _, part in walk(moved) if hasattr(part, "dt")] == [1e-3] * 3
    assert [part.dt for _, part in walk(model) if hasattr(part, "dt")] == [1.0] * 3
    arrays = [jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in (moved, model)]
    assert all(a is b for a, b in zip(*arrays, strict=True))
    for bad in (0.0, -1.0, float("nan"), "1ms"):
        with pytest.raises(TypeError if isinstance(bad, str) else ValueError, match=r"\bdt\b"):
            with_dt(model, bad)


class Wrapper(AbstractCell):
    """A cell with a `dt` of its own around a cell with one."""

    inner: AbstractCell
    dt: float = eqx.field(static=True, default=1.0)

    def init_state(self, shape):
        return self.inner.init_state(shape)

    def __call__(self, x, state, *, key=None):
        return self.inner(self.dt * x, state, key=key)


def test_with_dt_reaches_cells_within_cells_of_ones_own():
    moved = with_dt(Sequential([Wrapper(Wrapper(LIF()))]), 0.5)[0]
    assert (moved.dt, moved.inner.dt, moved.inner.inner.dt) == (0.5, 0.5, 0.5)


def test_finer_steps_approach_the_differential_equation(x64):
    """Half the step, half the error: a constant current charges the membrane as the closed form says."""
    errors = []
    for steps in (50, 100, 200):
        cell = with_dt(LI(tau=0.02, r=2.0, method="euler", dt=1e-3), 0.05 / steps)
        v, _ = snnx.simulate(cell, jnp.ones(steps), readout=snnx.Last())
        errors.append(abs(float(v) - 2.0 * (1 - np.exp(-0.05 / 0.02))))
        exact, _ = snnx.simulate(replace(cell, method="exponential"), jnp.ones(steps), readout=snnx.Last())
        np.testing.assert_allclose(exact, 2.0 * (1 - np.exp(-0.05 / 0.02)), rtol=1e-12)
    assert 1.9 < errors[0] / errors[1] < 2.1
    assert 1.9 < errors[1] / errors[2] < 2.1


# Another dtype.


@pytest.mark.parametrize("dtype", ["bfloat16", jnp.float16, np.dtype("float32")])
def test_cast_moves_arrays_state_and_spikes(dtype):
    model = Sequential([linear(3, 3), LIF(tau=Positive(9.0), v_leak=Frozen(0.1), reset=ValueReset(jnp.zeros(3))), LI()])
    moved, dtype = cast(model, dtype), jnp.dtype(dtype)
    assert {x.dtype for x in jax.tree.leaves(eqx.filter(moved, eqx.is_array))} == {dtype}
    assert cell_dtype(moved) == cell_dtype(moved[1]) == cell_dtype(moved[2]) == dtype
    state = moved.init_state((3,))
    assert state["1"].v.dtype == state["2"].v.dtype == dtype
    y, _ = moved(jnp.ones(3, dtype), state)
    assert y.dtype == dtype
    assert eqx.tree_equal(cast(cast(model, "float32"), "float32"), cast(model, "float32"))


def test_cast_leaves_whole_numbers_keys_and_bits_alone():
    tree = {"ints": jnp.arange(3), "key": jax.random.key(0), "bits": jnp.zeros(2, jnp.uint8), "float": jnp.ones(2)}
    moved = cast(tree, "bfloat16")
    assert moved["float"].dtype == jnp.bfloat16
    for name in ("ints", "key", "bits"):
        assert moved[name] is tree[name]


@pytest.mark.slow
def test_cast_to_double_precision_and_back(x64):
    single = cast(make_model(), "float32")
    double = cast(single, "float64")
    assert cell_dtype(double) == jnp.float64
    xs = jnp.asarray(drive(width=4))
    ys, _ = snnx.simulate(double, xs, key=jax.random.key(0))
    assert ys.dtype == jnp.float64
    ys, _ = snnx.simulate(cast(double, "float32"), xs.astype("float32"), key=jax.random.key(0))
    assert ys.dtype == jnp.float32


def test_what_cast_refuses():
    for bad in (int, "int8", jnp.uint8, bool, "complex64", "float31", "half a float"):
        with pytest.raises((ValueError, TypeError), match=r"\bdtype\b"):
            cast(LIF(), bad)
    with pytest.raises(ValueError, match=r"\bdtype\b"):
        cast(LIF(), "float64")


def test_decays_are_computed_in_single_precision_at_least():
    """In bfloat16, 1 - exp(-1/1000) computed directly would be 0; here it is right to bfloat16's own precision."""
    cell = cast(LIF(tau=jnp.asarray(1000.0), r=1000.0), "bfloat16")
    _, state = cell(jnp.ones((), jnp.bfloat16), cell.init_state(()))
    np.testing.assert_allclose(float(state.v), 1000 * (1 - np.exp(-1e-3)), rtol=0.01)


def test_the_dtype_of_a_cell_is_given_or_that_of_its_arrays_or_the_default():
    assert cell_dtype(LIF()) == jnp.float32
    assert cell_dtype(LIF(dtype="float16")) == jnp.float16
    assert cell_dtype(LIF(tau=jnp.ones(3, jnp.bfloat16))) == jnp.bfloat16
    assert cell_dtype(LIF(dtype=jnp.float16)) == jnp.float16
    assert cell_dtype(Sequential([jnp.tanh, cast(linear(2, 2), "bfloat16"), LIF()])) == jnp.bfloat16
    assert cell_dtype(Sequential([Flatten(), LI(dtype="float16")])) == jnp.float16
    with jax.enable_x64(True):
        assert cell_dtype(LIF()) == jnp.float64
        assert cell_dtype(LIF(tau=jnp.ones(3, jnp.float32))) == jnp.float32


# Models as data.


def test_a_model_is_a_tree_that_maps_pickles_and_stacks(x64):
    cell = AdLIF(tau=Positive(jnp.full(5, 4.0)), a=jnp.asarray(1.0), refractory=2)
    assert eqx.tree_equal(pickle.loads(pickle.dumps(cell)), cell)
    doubled = jax.tree.map(lambda x: 2 * x if eqx.is_array(x) else x, cell)
    assert float(doubled.a) == 2.0
    assert (doubled.refractory, doubled.dt, doubled.tau_w) == (2, 1.0, 100.0)

    taus = jnp.array([3.0, 8.0])
    xs = drive()
    ensemble = eqx.filter_vmap(lambda tau: LIF(tau=tau))(taus)
    found = eqx.filter_vmap(lambda c, x: snnx.simulate(c, x)[0], in_axes=(eqx.if_array(0), None))(
        ensemble, jnp.asarray(xs)
    )
    same = {"threshold": 1.0, "r": None, "v_leak": 0.0, "reset": "subtract", "refractory": 0, "method": "exponential"}
    for one, tau in zip(found, (3.0, 8.0), strict=True):
        np.testing.assert_array_equal(one, run("LIF", xs, tau=tau, dt=1.0, **same)["y"])


class Own(AbstractCell):
    """A cell that breaks the contract in the way that it is told to."""

    step: object = eqx.field(static=True)

    def init_state(self, shape):
        return QuadraticState(v=jnp.zeros(shape), spikes=jnp.zeros(shape))

    def __call__(self, x, state, *, key=None):
        return self.step(x, state)


class Keyless(AbstractCell):
    def init_state(self, shape):
        return None

    def __call__(self, x, state):
        return x, state


@pytest.mark.parametrize(
    ("step", "error", "named"),
    [
        (lambda x, s: x, TypeError, "__call__"),
        (lambda x, s: (x, s, x), TypeError, "__call__"),
        (lambda x, s: (x, s.v), TypeError, "__call__"),
        (lambda x, s: (x, QuadraticState(v=s.v[:1], spikes=s.spikes)), ValueError, "v"),
        (lambda x, s: (x, QuadraticState(v=s.v, spikes=s.spikes.astype(int))), ValueError, "spikes"),
    ],
)
def test_a_cell_of_ones_own_is_held_to_the_contract(step, error, named):
    with pytest.raises(error, match=rf"\bOwn\b.*\b{named}\b"):
        snnx.simulate(Own(step), jnp.ones((4, 3)))
    with pytest.raises(error, match=rf"\blayer 1\b.*\b{named}\b"):
        snnx.simulate(Sequential([LIF(), Own(step)]), jnp.ones((4, 3)))


def test_a_cell_takes_a_key():
    with pytest.raises(TypeError, match=r"\b__call__\b"):
        snnx.simulate(Keyless(), jnp.ones((4, 3)))


def test_what_training_moved_out_of_range_is_found():
    feedback = Recurrent(LIF(tau=jnp.full(4, 3.0)), linear(4, 4))
    model = Sequential([linear(3, 4), LIF(tau=jnp.asarray(2.0)), feedback, GaussianNoise(jnp.asarray(0.5))])
    assert refused_parameters(model) == ""

    def changed(model):
        return model.layers[1].tau, model.layers[2].neuron.tau, model.layers[3].std

    said = refused_parameters(eqx.tree_at(changed, model, (jnp.asarray(-1.0), jnp.zeros(4), jnp.asarray(-0.1))))
    assert re.search(r"Part 1: .*\btau\b.*-1.* Part 2.neuron: .*\btau\b.* Part 3: .*\bstd\b.*-0.1", said)
