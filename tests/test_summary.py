"""The summary of a model: paths, shapes, counts and state, for every kind of model, without computing anything."""

import dataclasses
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx._errors import ShapeError
from snnx.cells import AbstractCell, find, walk
from snnx.layers import (
    Concat,
    Flatten,
    GaussianNoise,
    Parallel,
    Recurrent,
    Residual,
    Sequential,
    Summary,
    SumPool2d,
    ThresholdNorm,
    summary,
)
from snnx.neurons import LI, LIF, CubaLIF
from snnx.parameters import Frozen, Positive

K = jax.random.split(jax.random.key(0), 6)


def conv_net():
    return Sequential(
        [
            eqx.nn.Conv2d(2, 4, 3, padding=1, key=K[0]),
            ThresholdNorm(4),
            LIF(tau=Positive(jnp.full((4, 1, 1), 10.0)), refractory=2),
            SumPool2d(2),
            Flatten(),
            eqx.nn.Linear(64, 20, key=K[1]),
            Recurrent(CubaLIF(tau_mem=Frozen(jnp.full(20, 10.0))), eqx.nn.Linear(20, 20, use_bias=False, key=K[2])),
            GaussianNoise(0.1),
            Residual(Sequential([eqx.nn.Linear(20, 20, key=K[3]), LIF(), eqx.nn.Dropout(0.2)])),
            jnp.tanh,
            Parallel([eqx.nn.Linear(20, 3, key=K[4]), eqx.nn.Linear(20, 2, key=K[5])], Concat()),
            LI(),
        ]
    )


TABLE = """
    path        part           output     parameters  trainable  state
    ------------------------------------------------------------------------------------------------------
                Sequential     [5]
    0           Conv2d         [4, 8, 8]          76         76
    1           ThresholdNorm  [4, 8, 8]           8          8
    2           LIF            [4, 8, 8]           4          4  v [4, 8, 8], clock {refractory [4, 8, 8]}
    3           SumPool2d      [4, 4, 4]
    4           Flatten        [64]
    5           Linear         [20]            1,300      1,300
    6           Recurrent      [20]                              y [20]
    6.neuron    CubaLIF        [20]               20          0  v [20], i [20]
    6.feedback  Linear         [20]              400        400
    7           GaussianNoise  [20]                              step []
    8           Residual       [20]
    8.body      Sequential     [20]
    8.body.0    Linear         [20]              420        420
    8.body.1    LIF            [20]                              v [20]
    8.body.2    Dropout        [20]
    8.shortcut  Identity       [20]
    8.join      Add            [20]
    9           tanh           [20]
    10          Parallel       [5]
    10.0        Linear         [3]                63         63
    10.1        Linear         [2]                42         42
    10.join     Concat         [5]
    11          LI             [5]                               v [5]
    2,333 parameters, 2,313 trainable, 9.33 kB; state of one example 2.39 kB
"""


def test_the_table_of_a_whole_network():
    made = summary(conv_net(), (2, 8, 8))
    expected = textwrap.dedent(TABLE).strip()
    assert str(made) == repr(made) == expected
    assert not any(line != line.rstrip() for line in str(made).splitlines())


def test_the_numbers_are_those_of_the_model():
    model = conv_net()
    made, state = summary(model, (2, 8, 8)), model.init_state((2, 8, 8))
    arrays = jax.tree.leaves(eqx.filter(model, eqx.is_array))
    assert made.parameters == sum(row.parameters for row in made.rows) == sum(x.size for x in arrays)
    assert made.trainable == sum(row.trainable for row in made.rows) == made.parameters - 20
    assert made.parameter_bytes == sum(x.nbytes for x in arrays)
    assert made.state_bytes == sum(x.nbytes for x in jax.tree.leaves(state))
    assert [row.path for row in made.rows] == [path for path, _ in walk(model)]
    shapes = [leaf for row in made.rows for leaf in jax.tree.leaves(row.state, is_leaf=lambda s: isinstance(s, tuple))]
    assert sorted(shapes) == sorted(x.shape for x in jax.tree.leaves(state))


def test_outputs_are_those_of_the_parts():
    model, made = conv_net(), summary(conv_net(), (2, 8, 8))
    paths = [row.path for row in made.rows if row.path]
    run = eqx.filter_jit(lambda m: snnx.simulate(m, jnp.ones((1, 2, 8, 8)), key=K[0], record=paths))
    ys, _, seen = run(model)
    for row in made.rows:
        assert row.output == (seen[row.path] if row.path else ys).shape[1:], row.path
        part = find(model, row.path)
        assert row.kind == (type(part).__name__ if isinstance(part, eqx.Module) else "tanh")


def test_a_bare_neuron_is_one_row():
    (row,) = summary(LIF(tau=jnp.full(3, 5.0), threshold=jnp.asarray(1.0)), (3,)).rows
    assert row == dataclasses.replace(
        row, path="", kind="LIF", output=(3,), parameters=4, trainable=4, state={"v": (3,)}
    )
    assert str(summary(LIF(), (5,))).splitlines()[-1] == (
        "0 parameters, 0 trainable, 0 bytes; state of one example 20 bytes"
    )


class Trace(eqx.Module):
    fast: jax.Array
    slow: dict
    plain: None = None


class TwoTraces(AbstractCell):
    """A cell of one's own, with a record in its state, an array of integers and a part that is no child."""

    inner: eqx.nn.Linear
    order: jax.Array

    def init_state(self, shape):
        return Trace(jnp.zeros(shape), {"a": jnp.zeros((2, *shape)), "b": jnp.zeros((), jnp.int32)})

    def __call__(self, x, state, *, key=None):
        return jnp.concatenate([self.inner(x), x[self.order]]), state


def test_a_cell_of_ones_own_is_a_row_with_all_that_it_holds():
    cell = TwoTraces(eqx.nn.Linear(3, 2, key=K[0]), jnp.asarray([2, 0, 1]))
    made = summary(Sequential([jnp.abs, cell]), (3,))
    row = made.rows[-1]
    assert (row.path, row.kind, row.output, row.parameters, row.trainable) == ("1", "TwoTraces", (5,), 8, 8)
    assert "fast [3], slow {a [2, 3], b []}" in str(made)
    assert made.parameter_bytes == 8 * 4 + 3 * 4  # the integers take room, but are no parameters
    assert made.state_bytes == (3 + 6 + 1) * 4


class Counter(AbstractCell):
    """A cell whose state is a bare array."""

    def init_state(self, shape):
        return jnp.zeros((), jnp.int32)

    def __call__(self, x, state, *, key=None):
        return x, state + 1


def test_a_state_without_fields_is_shown_too():
    made = summary(Sequential([Counter()]), (3,))
    assert made.rows[1].state == {"state": ()}
    assert summary(Counter(), (3,)).rows[0].state == {"state": ()}


def test_containers_in_a_recurrent_and_around_it():
    model = Recurrent(Sequential([eqx.nn.Linear(4, 3, key=K[0]), LIF()]), eqx.nn.Linear(3, 4, key=K[1]))
    rows = {
        row.path: row
        for row in summary(Parallel([model, Residual(LIF())], Concat()), (4,)).rows
        if "join" not in row.path
    }
    assert rows["0"].state == {"y": (3,)}
    assert rows["0.neuron.1"].state == {"v": (3,)}
    assert rows["0.neuron"].state == rows["0.neuron.0"].state == rows[""].state == {}
    assert rows["0.feedback"].output == (4,)
    assert rows["1.body"].state == {"v": (4,)}


def test_nothing_is_computed():
    seen = []

    def spy(x):
        seen.append(x)
        return x

    summary(Sequential([spy, eqx.nn.Linear(3, 3, key=K[0]), eqx.nn.Dropout(0.5), LIF()]), (3,))
    assert seen
    assert all(isinstance(x, jax.core.Tracer) for x in seen)
    # Larger than any memory: a summary still comes.
    big = summary(Sequential([LIF(), Flatten()]), (2**10, 2**10, 2**10, 2**10))
    assert big.state_bytes == 4 * 2**40
    assert str(big).endswith("state of one example 4.4 TB")


def test_dtypes_count_in_bytes():
    model = snnx.cast(Sequential([eqx.nn.Linear(10, 10, key=K[0]), LIF()]), "bfloat16")
    made = summary(model, (10,))
    assert (made.parameter_bytes, made.state_bytes) == (220, 20)
    with jax.enable_x64(True):
        assert summary(LIF(), (10,)).state_bytes == 80


@pytest.mark.parametrize(
    ("size", "text"), [(1, "4 bytes"), (249, "996 bytes"), (250, "1 kB"), (12_345, "49.4 kB"), (1_000_000, "4 MB")]
)
def test_sizes_are_written_with_three_digits(size, text):
    assert str(summary(LIF(), (size,))).endswith(f"state of one example {text}")


def test_a_summary_is_a_value():
    assert summary(LIF(), (3,)) == summary(LIF(), (3,)) != summary(LIF(), (4,))
    assert isinstance(summary(LIF(), (3,)), Summary)
    assert np.all([row.path == "" for row in summary(LIF(), (3,)).rows])


def test_what_does_not_fit_is_named():
    model = Sequential([eqx.nn.Linear(4, 3, key=K[0]), Residual(eqx.nn.Linear(4, 3, key=K[1]))])
    with pytest.raises(ShapeError, match=r"layer 1\.body\b"):
        summary(model, (4,))
    with pytest.raises(TypeError, match=r"\bmodel\b"):
        summary(eqx.nn.Linear(4, 3, key=K[0]), (4,))  # pyright: ignore[reportArgumentType]
    assert summary(LIF(), [np.int64(4)]) == summary(LIF(), (4,))  # pyright: ignore[reportArgumentType]
    for shape in (4, (4.0,), (-4,), "4", {"x": 4}):
        with pytest.raises((TypeError, ValueError), match=r"\binput_shape\b"):
            summary(LIF(), shape)  # pyright: ignore[reportArgumentType]
