"""Simulation over time: equal to an explicit loop of steps, however time is cut, masked, truncated or recorded."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import snnx
from snnx._errors import DtypeError, ShapeError
from snnx.cells import cell_dtype
from snnx.inputs import Bits, Constant, Floats, pack_bits
from snnx.layers import Recurrent, Sequential
from snnx.neurons import ALIF, IF, LI, LIF, CubaLIF, ValueReset
from snnx.parameters import Positive
from snnx.reductions import Last, Max, Mean, Stack, Sum, Weighted
from snnx.simulation import default_chunk, default_keep, simulate

STEPS = 5


def make_net(*, recurrent=False):
    """Linear, LIF, Linear, LI: spikes, learned time constants, and a learned starting point."""
    keys = jax.random.split(jax.random.key(0), 3)
    lif = LIF(tau=Positive(3.0), v_leak=jnp.full(4, 0.1), reset=ValueReset(-0.1), refractory=1)
    net = Sequential(
        [
            eqx.nn.Linear(3, 4, dtype=jnp.float32, key=keys[0]),
            Recurrent(lif, eqx.nn.Linear(4, 4, dtype=jnp.float32, key=keys[1])) if recurrent else lif,
            eqx.nn.Linear(4, 2, use_bias=False, dtype=jnp.float32, key=keys[2]),
            LI(tau=jnp.asarray(5.0), v_leak=jnp.full(2, 0.2)),
        ]
    )
    net = eqx.tree_at(lambda m: m[0].weight, net, 3 * net[0].weight)
    return snnx.cast(net, jnp.zeros(()).dtype)  # the same weights in either precision


def make_cell():
    """A bare neuron with learned parameters, where a whole net would only take longer to compile."""
    return LIF(tau=Positive(3.0), threshold=jnp.full(3, 0.8), v_leak=jnp.full(3, 0.1), reset=ValueReset(-0.1))


def make_input(seed=14, steps=STEPS, features=3):
    return jnp.asarray(np.random.default_rng(seed).normal(0.5, 1.2, (steps, features)), float)


WEIGHTS = np.random.default_rng(2).normal(size=(20, 3))


def loss_of(ys, state):
    """Something that depends on every output and on the whole final state."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.sum(jnp.asarray(WEIGHTS[: len(ys), : ys.shape[1]], ys.dtype) * ys) + sum(
        jnp.sum(jnp.sin(x)) for x in floats
    )


def value_and_gradient(run, net, xs, *, jit=True):
    """Loss, outputs, final state of `run(net, xs)`, and the gradient by every array of the net and by the input."""
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)

    def loss(both):
        ys, state = run(eqx.combine(both[0], rest), both[1])
        return loss_of(ys, state), (ys, state)

    differentiated = jax.value_and_grad(loss, has_aux=True)
    return (jax.jit(differentiated) if jit else differentiated)((arrays, xs))


def by_steps(net, xs, cut=None):
    """The net's own `__call__` in a Python loop; every `cut` steps no gradient goes further back."""
    state, ys = net.init_state(xs.shape[1:]), []
    for t, x in enumerate(xs):
        if cut and t and t % cut == 0:
            state = jax.lax.stop_gradient(state)
        y, state = net(x, state)
        ys.append(y)
    return jnp.stack(ys), state


def loop(net, xs, cut=None):
    """Loss, outputs, state and gradients of that Python loop; not compiled, so that it is short."""
    return value_and_gradient(lambda n, x: by_steps(n, x, cut), net, xs, jit=False)


def assert_close(found, expected, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


# However time is cut.


@pytest.fixture(scope="module")
def by_loop():
    """Outputs, state and gradients of the explicit loop, in double precision."""
    with jax.enable_x64(True):
        return loop(make_net(), make_input())


def check_chunk(expected, tolerance, chunk, keep):
    found = value_and_gradient(lambda n, x: simulate(n, x, chunk=chunk, keep=keep), make_net(), make_input())
    assert_close(found, expected, tolerance)


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5])
def test_every_chunk_size_gives_the_loops_outputs_and_gradients(by_loop, chunk, x64):
    check_chunk(by_loop, 1e-12, chunk, "borders")


@pytest.mark.parametrize("keep", ["membranes", "all"])
def test_whatever_is_kept_it_is_the_same(by_loop, keep, x64):
    check_chunk(by_loop, 1e-12, 3, keep)


@pytest.mark.parametrize(("chunk", "keep"), [(1, "borders"), (2, "membranes"), (3, "all")])
def test_in_single_precision_it_is_the_same(by_loop, chunk, keep):
    check_chunk(by_loop, 1e-5, chunk, keep)


def test_the_net_of_these_tests_spikes(x64):
    parts = (make_net(), make_net(recurrent=True), make_cell())
    for net, path in zip(parts, ("1", "1", ""), strict=True):
        spikes = simulate(net, make_input(), record=[path])[2][path]
        assert 0.1 < spikes.mean() < 0.5, spikes
        assert (spikes.sum(0) > 0).sum() >= 2, spikes


def test_forward_mode_is_reverse_mode(by_loop, x64):
    net, xs = make_net(), make_input()
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    rng = np.random.default_rng(4)
    direction = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), (arrays, xs))

    def loss(both):
        return loss_of(*simulate(eqx.combine(both[0], rest), both[1], chunk=4))

    value, slope = jax.jit(lambda p, d: jax.jvp(loss, (p,), (d,)))((arrays, xs), direction)
    (expected, _), gradient = by_loop
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)
    np.testing.assert_allclose(slope, sum(jax.tree.leaves(products)), rtol=1e-11)


def test_a_state_carries_a_run_on(x64):
    net, xs = make_net(), make_input()
    run = jax.jit(lambda xs, state: simulate(net, xs, state))
    whole, end = simulate(net, xs[:4])
    first, state = run(xs[:2], net.init_state((3,)))
    second, state = run(xs[2:4], state)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, rtol=1e-12)
    assert_close(state, end, 1e-12)


@pytest.mark.parametrize(
    ("sizes", "steps", "batch", "chunk"),
    [
        ((), 1000, None, 8),
        ((), 5, None, 5),
        ((128, 64, 64, 20), 128, 256, 16),
        ((128, 64, 64, 20), 128, None, 8),
        ((128, 64, 64, 20), 100, 256, 20),  # 16 would leave a rest
        ((128, 64, 64, 20), 101, 256, 16),  # nothing nearby divides a prime number
        ((700, 128, 20), 100, 64, 25),  # 32
        ((256, 256, 20), 128, 256, 4),
        ((256, 256, 20), 128, 16, 64),
        ((8, 8), 50, 1, 50),
        ((1024, 1024), 500, 16, 25),  # 32
        ((1024, 1024), 128, 64, 8),
        ((4096, 4096), 128, None, 32),
        ((4096, 4096), 128, 10_000, 1),
    ],
)
def test_the_default_chunk_follows_the_sizes(sizes, steps, batch, chunk):
    layers = [eqx.nn.Linear(a, b, key=jax.random.key(0)) for a, b in zip(sizes, sizes[1:], strict=False)]
    assert default_chunk(Sequential([*layers, LIF()]), steps, batch) == chunk


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        (("x", 9, 8), TypeError, "cell"),
        ((LIF(), 0, 8), ValueError, "steps"),
        ((LIF(), 9.5), TypeError, "steps"),
        ((LIF(), 9, 0), ValueError, "batch"),
        ((LIF(), 9, True), TypeError, "batch"),
    ],
)
def test_the_default_chunk_refuses_what_is_no_size(arguments, error, name):
    with pytest.raises(error, match=rf"\b{name}\b"):
        default_chunk(*arguments)


def test_convolutions_have_short_chunks_on_a_cpu():
    convolution = eqx.nn.Conv2d(1, 2, 3, key=jax.random.key(0))
    assert default_chunk(Sequential([convolution, LIF()]), 1000) == 2
    assert default_chunk(Sequential([eqx.nn.Sequential([convolution]), LIF()]), 1, 8) == 1


def test_the_default_chunk_does_not_guess_widths_that_it_cannot_see(monkeypatch):
    # A whole sequence in one chunk would keep all of it for the backward pass.
    assert default_chunk(LIF(), 1000, 32) == 8
    assert default_chunk(Sequential([lambda x: 2.0 * x, LIF()]), 1000, 32) == 8
    convolution = eqx.nn.Conv2d(2, 12, 5, key=jax.random.key(0))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert default_chunk(Sequential([convolution, LIF()]), 1000, 8) == 8


def products(net, keep):
    """How many products the gradient of a net by its arrays takes, as traced: one chunk after the other, one program."""
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    xs = make_input(steps=4)

    def loss(arrays):
        return jnp.sum(simulate(eqx.combine(arrays, rest), xs, chunk=2, keep=keep)[0])

    return str(jax.make_jaxpr(jax.grad(loss))(arrays)).count("dot_general")


def test_with_kept_membranes_no_product_is_computed_twice():
    net = Sequential([eqx.nn.Linear(3, 4, key=jax.random.key(0)), LIF(), eqx.nn.Linear(4, 2, key=jax.random.key(1))])
    assert products(net, "all") == products(net, "membranes") == 5  # two forward, two by the weights, one by the spikes
    assert products(net, "borders") == 6
    learned = eqx.tree_at(lambda m: m.layers[1], net, LIF(tau=Positive(jnp.full(4, 5.0))))
    assert products(learned, "membranes") == 5


def test_membranes_are_kept_where_a_neuron_has_many_inputs():
    def make(fan_in):
        return Sequential([eqx.nn.Linear(fan_in, 2, key=jax.random.key(0)), LIF(tau=jnp.full((2,), 5.0))])

    assert default_keep(make(255)) == "borders"
    assert default_keep(make(256)) == "membranes"
    assert default_keep(eqx.nn.Conv2d(32, 2, 3, key=jax.random.key(0))) == "membranes"  # 288
    assert default_keep(LIF(tau=jnp.full((2, 30, 30), 5.0))) == "borders"  # a feature map sums over nothing


# Batches.


def test_a_batch_is_a_vmap_away_and_time_is_not_batch():
    cell = LI(tau=3.0)
    xs = jax.random.normal(jax.random.key(0), (STEPS, STEPS, 3))  # as many examples as steps
    run = jax.jit(lambda x: simulate(cell, x)[0])
    expected = np.stack([run(x) for x in xs])
    np.testing.assert_allclose(jax.vmap(run)(xs), expected, rtol=1e-5, atol=1e-6)
    time_major = jax.vmap(run, in_axes=1, out_axes=1)(xs.swapaxes(0, 1))
    np.testing.assert_allclose(time_major.swapaxes(0, 1), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(run(xs[:, 0]) - expected[0]).max() > 0.1  # the other axis is something else

    net = make_net()
    with pytest.raises(ShapeError, match=r"\blayer 0\b"):
        simulate(net, xs)  # a batch where one example is expected
    with pytest.raises(ShapeError, match=r"\blayer 0\b"):
        simulate(net, xs[0, 0])  # one step where a sequence is expected


@pytest.mark.slow
def test_the_gradient_of_a_batch_is_the_sum_over_its_examples(x64):
    cell = make_cell()
    batch = jnp.stack([make_input(seed) for seed in range(3)])
    arrays, rest = eqx.partition(cell, eqx.is_inexact_array)

    def loss(arrays, x):
        return loss_of(*simulate(eqx.combine(arrays, rest), x, chunk=3))

    together = jax.jit(jax.grad(lambda a: jnp.sum(jax.vmap(loss, in_axes=(None, 0))(a, batch))))(arrays)
    each = [loop(cell, x)[1][0] for x in batch]
    assert_close(together, jax.tree.map(lambda *g: sum(g), *each), 1e-12)


# Truncated backpropagation, burn-in.


@pytest.mark.parametrize(("truncate", "chunk"), [(2, None), (4, 2), (4, None)])
def test_a_truncated_gradient_is_that_of_the_loop_with_cuts(truncate, chunk, x64):
    cell, xs = make_cell(), make_input()
    found = value_and_gradient(lambda c, x: simulate(c, x, truncate=truncate, chunk=chunk), cell, xs)
    expected = loop(cell, xs, truncate)
    assert_close(found, expected, 1e-12)
    whole = loop(cell, xs)[1][1]
    assert np.abs(expected[1][1][0] - whole[0]).max() > 1e-3


def test_truncation_cuts_between_steps_and_not_before_the_first(x64):
    cell = LI(tau=2.0)

    def total(v, truncate):
        state = eqx.tree_at(lambda s: s.v, cell.init_state(()), v)
        return jnp.sum(simulate(cell, jnp.ones(6), state, truncate=truncate)[0])

    decay = np.exp(-0.5)
    for truncate in (4, 6, 50, None):
        reached = decay ** np.arange(1, min(truncate or 6, 6) + 1)
        np.testing.assert_allclose(jax.grad(total)(jnp.asarray(0.5), truncate), reached.sum(), rtol=1e-12)


def test_a_burn_in_warms_the_state_and_nothing_else(x64):
    cell, xs = make_cell(), make_input()

    def by_hand(cell, xs):
        _, state = by_steps(cell, xs[:3])
        state = jax.lax.stop_gradient(state)
        ys = []
        for x in xs[3:]:
            y, state = cell(x, state)
            ys.append(y)
        return jnp.stack(ys), state

    found = value_and_gradient(lambda c, x: simulate(c, x, burn_in=3), cell, xs)
    assert_close(found, value_and_gradient(by_hand, cell, xs, jit=False), 1e-12)
    np.testing.assert_array_equal(found[1][1][:3], 0)


def test_a_burn_in_counts_in_no_readout_record_or_mask(x64):
    cell, xs = LI(tau=3.0), make_input()
    mask = jnp.array([True, False, True, True, False])
    ys, state = simulate(cell, xs, mask=mask)
    (mean, stack), end, seen = simulate(cell, xs, burn_in=2, mask=mask, readout=(Mean(), Stack()), record={"v": Sum()})
    np.testing.assert_allclose(stack, ys[2:], rtol=1e-12)
    np.testing.assert_allclose(mean, (ys[2] + ys[3]) / 2, rtol=1e-12)
    np.testing.assert_allclose(seen["v"], ys[2] + ys[3], rtol=1e-12)
    assert_close(end, state, 1e-12)


# Masks.


@pytest.mark.slow
def test_masked_steps_have_not_happened(x64):
    """Holes and padding: outputs, state and gradient are those of the sequence without them."""
    net = Sequential([jnp.tanh, ALIF(tau=jnp.full(3, 3.0), threshold=0.4), CubaLIF(refractory=1)])
    xs = 2 * make_input(steps=8)
    live = np.array([True, False, True, True, False, True, True, False])

    def run(xs, mask=None):
        readout = (Stack(), Sum(), Mean(), Max(), Last(), Weighted.exponential())
        taps = {"1.v": Mean(), "1": Stack(), "2.i": Last()}
        ys, state, seen = simulate(net, xs, mask=mask, readout=readout, record=taps, chunk=3)
        total = sum(jnp.sum(jnp.cos(y)) for y in ys[1:]) + jnp.sum(seen["1.v"])
        return total, (ys, state, seen)

    gradient = jax.jit(jax.value_and_grad(run, has_aux=True))
    (_, (ys, state, seen)), by_input = gradient(xs, jnp.asarray(live))
    (_, (short, end, short_seen)), by_short = gradient(xs[live])

    np.testing.assert_array_equal(ys[0][~live], 0)
    np.testing.assert_allclose(ys[0][live], short[0], rtol=1e-12)
    assert_close(ys[1:], short[1:], 1e-12)
    assert_close(state, end, 1e-12)
    np.testing.assert_array_equal(seen["1"][~live], 0)
    np.testing.assert_allclose(seen["1"][live], short_seen["1"], rtol=1e-12)
    assert_close((seen["1.v"], seen["2.i"]), (short_seen["1.v"], short_seen["2.i"]), 1e-12)
    np.testing.assert_array_equal(by_input[~live], 0)
    np.testing.assert_allclose(by_input[live], by_short, rtol=1e-9, atol=1e-12)
    assert short[0].sum() > 0


def test_a_recorded_state_stands_still_at_masked_steps():
    cell = LI(tau=2.0)
    mask = jnp.array([True, True, False, False, True])
    ys, state, seen = simulate(cell, jnp.ones(5), mask=mask, record=["v"], chunk=2)
    v = seen["v"]
    np.testing.assert_array_equal(ys, jnp.where(mask, v, 0))
    assert v[1] == v[2] == v[3] < v[4] == state.v


def test_what_lies_under_the_mask_does_not_matter(x64):
    cell, xs = make_cell(), make_input()
    mask = jnp.arange(STEPS) < 3
    run = jax.jit(jax.value_and_grad(lambda x: loss_of(*simulate(cell, x, mask=mask, chunk=2))))
    assert_close(run(xs.at[3:].set(1e6)), run(xs), 1e-12)


def test_a_sequence_without_a_live_step_is_zeros():
    cell = LIF(v_leak=0.2)
    readouts = (Stack(), Sum(), Mean(), Last())
    ys, state = simulate(cell, make_input(), mask=jnp.zeros(STEPS, bool), readout=readouts)
    assert all(not y.any() for y in ys)
    assert_close(state, cell.init_state((3,)), 0)


# Readouts and records.


def test_readouts_are_numpys_reductions_of_the_outputs(x64):
    cell, xs = LI(tau=3.0), make_input()
    ys = np.asarray(simulate(cell, xs)[0])
    weights = np.linspace(1.0, -1.0, STEPS)
    readouts = {
        Sum(): ys.sum(0),
        Mean(): ys.mean(0),
        Max(): ys.max(0),
        Last(): ys[-1],
        Weighted.exponential(): np.exp(-np.arange(STEPS) / STEPS) @ ys,
        Weighted.linear(): (1 - np.arange(STEPS) / STEPS) @ ys,
        Stack(): ys,
    }
    reductions = (*readouts, Weighted(jnp.asarray(weights)))
    found, _ = jax.jit(lambda x: simulate(cell, x, readout=reductions, chunk=2))(xs)
    assert isinstance(found, tuple)
    for a, b in zip(found, (*readouts.values(), weights @ ys), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    bare, _ = simulate(cell, xs, readout=Mean())
    np.testing.assert_allclose(bare, ys.mean(0), rtol=1e-12)
    single, _ = simulate(cell, xs, readout=(Mean(),))
    assert isinstance(single, tuple)
    assert len(single) == 1


def by_hand(net, xs):
    """Every output and state of the net, from its parts' own steps."""
    state, rows = net.init_state(xs.shape[1:]), []
    for x in xs:
        current = net[0](x)
        back = net[1].feedback(state["1"].y)
        spikes, lif = net[1].neuron(current + back, state["1"].neuron)
        _, state = net(x, state)
        rows.append([current, spikes, spikes, back, lif.v, state["3"].v, state["3"].v, state["3"].v])
    names = ("0", "1", "1.neuron", "1.feedback", "1.neuron.v", "3", "3.v", "")
    return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize("chunk", [3, 5])
def test_parts_and_their_states_are_recorded_by_path(chunk, x64):
    net, xs = make_net(recurrent=True), make_input()
    expected = by_hand(net, xs)
    reduced = {"1": Mean(), "1.neuron.v": (Max(), Last()), "3.v": Sum(), "1.feedback": Stack()}
    runs = jax.jit(
        lambda x: (
            simulate(net, x, record=list(expected), chunk=chunk),
            simulate(net, x, record=reduced, chunk=chunk, readout=Mean())[2],
        )
    )
    (ys, _, seen), less = runs(xs)
    assert set(seen) == set(expected)
    for path in expected:
        np.testing.assert_allclose(seen[path], expected[path], rtol=1e-11, atol=1e-13, err_msg=path)
    np.testing.assert_array_equal(seen[""], ys)

    np.testing.assert_allclose(less["1"], expected["1"].mean(0), rtol=1e-12)
    np.testing.assert_allclose(less["1.neuron.v"][0], expected["1.neuron.v"].max(0), rtol=1e-11)
    np.testing.assert_allclose(less["1.neuron.v"][1], expected["1.neuron.v"][-1], rtol=1e-11)
    np.testing.assert_allclose(less["3.v"], expected["3.v"].sum(0), rtol=1e-11)
    np.testing.assert_allclose(less["1.feedback"], expected["1.feedback"], rtol=1e-11)


def test_a_record_changes_no_result_and_may_be_one_path():
    cell, xs = LIF(tau=3.0), make_input()
    ys, state = simulate(cell, xs)
    again, end, seen = simulate(cell, xs, record="v")
    np.testing.assert_array_equal(again, ys)
    assert_close(end, state, 1e-6)
    assert list(seen) == ["v"]
    assert simulate(cell, xs, record=[])[2] == {}


def test_a_gradient_flows_through_what_is_recorded(x64):
    net, xs = make_net(recurrent=True), make_input()

    def rate(x):
        return jnp.sum(simulate(net, x, record={"1": Mean()})[2]["1"])

    def rate_by_loop(x):
        state, total = net.init_state((3,)), 0.0
        for row in x:
            _, state = net(row, state)
            total = total + state["1"].y
        return jnp.sum(total) / STEPS

    np.testing.assert_allclose(jax.jit(jax.grad(rate))(xs), jax.grad(rate_by_loop)(xs), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("7", "'7'"),
        ("1.neurn", "'1.neurn'.*'1.neuron'"),
        ("1.neuron.vv", "'vv'.*'v'"),
        ("0.weight", "'0.weight'"),
        ("v", "'v'"),
        ("3.", "'3.'"),
    ],
)
def test_an_unknown_path_is_refused_with_the_nearest_that_there_is(path, named):
    with pytest.raises(ValueError, match=named):
        simulate(make_net(recurrent=True), make_input(), record=[path])


# Compact inputs.


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_bits_are_the_dense_input(chunk):
    spikes = np.random.default_rng(8).random((7, 11)) < 0.4
    cell = LIF(tau=3.0, threshold=0.8)
    expected, state = simulate(cell, jnp.asarray(spikes, float))
    assert 0.1 < expected.mean() < 0.9
    found, end = simulate(cell, Bits(pack_bits(spikes), (11,)), chunk=chunk)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert_close(end, state, 1e-6)


def test_constant_and_dense_inputs_are_what_they_stand_for():
    cell, current = LI(tau=3.0), jnp.array([0.5, -1.0, 2.0])
    expected, _ = simulate(cell, jnp.stack([current] * 5))
    np.testing.assert_allclose(simulate(cell, Constant(current, 5), chunk=2)[0], expected, rtol=1e-6)
    xs = make_input()
    np.testing.assert_allclose(simulate(cell, Floats(xs, (3,)), chunk=4)[0], simulate(cell, xs)[0], rtol=1e-6)


def test_compact_feature_maps_with_burn_in_and_mask():
    spikes = np.random.default_rng(9).random((6, 2, 3, 3)) < 0.5
    bits = Bits(pack_bits(spikes.reshape(6, 18)), (2, 3, 3))
    cell, mask = LIF(threshold=2.0, reset=ValueReset(0.0)), jnp.array([True, True, False, True, True, False])
    dense = jnp.asarray(spikes, float)
    found, expected = (simulate(cell, xs, mask=mask, burn_in=2, chunk=3)[0] for xs in (bits, dense))
    assert found.shape == (4, 2, 3, 3)
    np.testing.assert_array_equal(found, expected)
    assert expected.sum() > 0


def test_a_batch_of_compact_inputs_needs_a_vmap():
    spikes = np.random.default_rng(10).random((5, 5, 11)) < 0.4  # as many examples as steps
    batch = Bits(pack_bits(spikes), (11,))
    cell = LIF()
    found = jax.vmap(lambda b: simulate(cell, b)[0])(batch)
    np.testing.assert_array_equal(found, [simulate(cell, jnp.asarray(s, float))[0] for s in spikes])
    with pytest.raises(ShapeError, match=r"\bxs\b"):
        simulate(cell, batch)


def test_compact_inputs_become_the_cells_dtype(x64):
    spikes = np.random.default_rng(9).random((6, 4)) < 0.5
    bits = Bits(pack_bits(spikes), (4,))
    for dtype in ("float64", "float32", "bfloat16"):
        ys, state = simulate(snnx.cast(LI(), dtype), bits)
        assert ys.dtype == state.v.dtype == dtype


# Dtypes.


def test_half_precision_runs_in_half_precision():
    net, xs = make_net(), make_input()
    half = snnx.cast(net, "bfloat16")
    assert cell_dtype(half) == jnp.bfloat16
    run = eqx.filter_jit(lambda n, x: simulate(n, x, record=["1", "1.v"], chunk=2))
    ys, state, seen = run(half, xs.astype(jnp.bfloat16))
    floats = [x for x in jax.tree.leaves((ys, state, seen)) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {x.dtype for x in floats} == {jnp.dtype("bfloat16")}
    expected, _, single = run(net, xs)
    np.testing.assert_array_equal(seen["1"].astype(jnp.float32), single["1"])
    np.testing.assert_allclose(ys.astype(jnp.float32), expected, atol=0.05)


def test_sums_of_half_precision_are_taken_in_single_precision():
    cell = snnx.cast(IF(threshold=0.5, reset=ValueReset(0.0)), "bfloat16")
    total, _ = simulate(cell, jnp.ones(1000, jnp.bfloat16), readout=Sum())
    assert total.dtype == jnp.float32
    assert total == 1000  # in bfloat16 the sum would stop at 256


@pytest.mark.parametrize("dtype", [np.int32, bool, np.uint8, np.float16, np.float64])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(DtypeError, match=r"\bxs\b"):
        simulate(LIF(), np.zeros((4, 3), dtype))


def test_arrays_and_numbers_of_numpy_are_taken():
    """Of a dtype that JAX keeps, in every place, with the same result; no second program for a number of another kind."""
    net, xs = make_net(), np.asarray(make_input(), np.float32)
    state, mask = net.init_state((3,)), np.array([True, True, False, True, True])
    start = jax.tree.map(np.asarray, state)
    options = {"chunk": np.int64(2), "truncate": np.int32(4), "burn_in": np.uint8(1)}
    found = simulate(net, xs, start, mask=mask, **options)
    with compilations() as compiled:
        expected = simulate(net, jnp.asarray(xs), state, mask=jnp.asarray(mask), chunk=2, truncate=4, burn_in=1)
    assert not compiled
    assert_close(found, expected, 0)


def test_a_single_precision_model_refuses_double_precision_input():
    net = make_net()
    with jax.enable_x64(True):
        with pytest.raises(DtypeError, match=r"\bxs\b"):
            simulate(net, make_input())
        ys, _ = jax.eval_shape(lambda x: simulate(net, x), make_input().astype("float32"))
        assert ys.dtype == jnp.float32


# Errors.


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"chunk": 0}, ValueError),
        ({"chunk": -3}, ValueError),
        ({"chunk": 2.0}, TypeError),
        ({"chunk": True}, TypeError),
        ({"truncate": 0}, ValueError),
        ({"truncate": 4, "chunk": 3}, ValueError),
        ({"truncate": 2, "chunk": 4}, ValueError),
        ({"keep": "none"}, ValueError),
        ({"burn_in": STEPS}, ValueError),
        ({"burn_in": -1}, ValueError),
        ({"burn_in": 1.5}, TypeError),
        ({"mask": jnp.ones(6, bool)}, ShapeError),
        ({"mask": jnp.ones(5)}, DtypeError),
        ({"mask": [True] * 5}, TypeError),
        ({"readout": "mean"}, TypeError),
        ({"readout": Mean}, TypeError),
        ({"readout": (Mean(), 3)}, TypeError),
        ({"record": [1]}, TypeError),
        ({"record": {1: Mean()}}, TypeError),
        ({"record": {"1": "mean"}}, TypeError),
        ({"key": jax.random.PRNGKey(0)}, TypeError),
    ],
)
def test_settings_out_of_range_are_refused(settings, error):
    with pytest.raises(error, match=rf"\b{next(iter(settings))}\b"):
        simulate(make_net(), make_input(), **settings)


def test_what_is_no_cell_or_no_sequence_is_refused():
    for bad in (eqx.nn.Linear(3, 3, key=jax.random.key(0)), jnp.tanh, LIF):
        with pytest.raises(TypeError, match=r"\bcell\b"):
            simulate(bad, make_input())
    for xs in ([[1.0, 2.0]], object(), None):
        with pytest.raises(TypeError, match=r"\bxs\b"):
            simulate(LIF(), xs)
    with pytest.raises(ShapeError, match=r"\bxs\b"):
        simulate(LIF(), jnp.ones(()))
    with pytest.raises(ShapeError, match=r"\bxs\b"):
        simulate(LIF(), jnp.ones((0, 3)))
    with pytest.raises(ShapeError, match=r"\bstate\b"):
        simulate(LIF(), make_input(), LIF().init_state((4,)))
