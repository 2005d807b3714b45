"""Lists of active channels: the same numbers as the dense spikes, in values and gradients, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnx
from snnx._errors import DtypeError, ShapeError
from snnx.inputs import ActiveChannels, pack_active

STEPS, CHANNELS, HIDDEN = 11, 13, 6
K = jax.random.split(jax.random.key(0), 6)


def raster(shape, seed=0, rate=0.2):
    return np.random.default_rng(seed).random(shape) < rate


def linear(n_in, n_out, key, **options):
    layer = eqx.nn.Linear(n_in, n_out, key=key, **options)
    return eqx.tree_at(lambda part: part.weight, layer, 3.0 * layer.weight)


@given(st.integers(1, 40), st.integers(0, 3), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_list_names_the_channels_in_order_and_then_their_number(channels, rank, rate, seed):
    spikes = raster((*(2, 3, 2)[:rank], channels), seed, rate)
    lists = np.asarray(pack_active(spikes))
    assert lists.dtype == np.uint16
    for where in np.ndindex(spikes.shape[:-1]):
        (active,) = np.nonzero(spikes[where])
        np.testing.assert_array_equal(lists[where][: len(active)], active)
        assert (lists[where][len(active) :] == channels).all()
    assert lists.shape[-1] == max(1, spikes.sum(-1).max(initial=0))


def test_many_channels_need_wider_numbers():
    spikes = np.zeros((2, 70_000))
    spikes[1, 69_999] = 1
    lists = pack_active(spikes)
    assert lists.dtype == jnp.uint32
    np.testing.assert_array_equal(lists, [[70_000], [69_999]])
    np.testing.assert_array_equal(ActiveChannels(lists, (70_000,)).dense(), spikes)


@pytest.mark.parametrize("shape", [(1,), (17,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_dense_gives_the_spikes_back(shape, rate):
    spikes = raster((STEPS, *shape), rate=rate)
    inputs = ActiveChannels(pack_active(spikes.reshape(STEPS, -1)), shape)
    assert inputs.num_steps == STEPS
    dense = inputs.dense()
    assert dense.dtype == jnp.float32
    np.testing.assert_array_equal(dense, spikes)
    np.testing.assert_array_equal(inputs.stretch(3, 4).dense(), spikes[3:7])
    assert inputs.dense(jnp.bfloat16).dtype == jnp.bfloat16


def test_a_channel_that_stands_twice_counts_twice():
    inputs = ActiveChannels(jnp.array([[1, 1, 3], [3, 0, 2]], jnp.uint16), (3,))
    np.testing.assert_array_equal(inputs.dense(), [[0, 2, 0], [1, 0, 1]])
    weights = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(
        inputs.product(jnp.asarray(weights)), [2 * weights[1], weights[0] + weights[2]], rtol=1e-6
    )


def test_the_product_and_its_gradient_are_those_of_the_dense_matrix(x64):
    rng = np.random.default_rng(0)
    spikes, weights, pull = raster((STEPS, CHANNELS)), rng.normal(size=(CHANNELS, 4)), rng.normal(size=(STEPS, 4))
    inputs = ActiveChannels(pack_active(spikes, capacity=9), (CHANNELS,))
    product, pullback = jax.vjp(inputs.product, jnp.asarray(weights))
    np.testing.assert_allclose(product, spikes @ weights, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(pullback(jnp.asarray(pull))[0], spikes.T @ pull, rtol=1e-13, atol=1e-14)
    _, tangent = jax.jvp(inputs.product, (jnp.asarray(weights),), (jnp.asarray(2 * weights),))
    np.testing.assert_allclose(tangent, 2 * spikes @ weights, rtol=1e-13, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("batched", ["lists", "weights", "both"])
def test_a_batch_is_a_loop_in_every_derivative(batched, x64):
    rng = np.random.default_rng(0)
    lists = pack_active(raster((3, STEPS, CHANNELS)))
    weights, pull = jnp.asarray(rng.normal(size=(3, CHANNELS, 4))), jnp.asarray(rng.normal(size=(3, STEPS, 4)))
    axes = (None if batched == "weights" else 0, None if batched == "lists" else 0)

    def value(lists, weights, pull):
        product = ActiveChannels(lists, (CHANNELS,)).product(weights)
        return jnp.sum(jnp.tanh(product) * pull)

    given = (lists if axes[0] == 0 else lists[0], weights if axes[1] == 0 else weights[0], pull)
    for function in (value, jax.grad(value, argnums=1), jax.jacfwd(value, argnums=1), jax.hessian(value, argnums=1)):
        together = jax.jit(jax.vmap(function, (*axes, 0)))(*given)
        one_by_one = [
            function(*(x if axis is None else x[i] for x, axis in zip(given, (*axes, 0), strict=True)))
            for i in range(3)
        ]
        np.testing.assert_allclose(together, np.stack(one_by_one), rtol=1e-12, atol=1e-13)
    # The gradient of the sum over the batch adds up to that of the examples.
    total = jax.grad(lambda w: jax.vmap(value, (*axes, 0))(given[0], w, given[2]).sum())(given[1])
    parts = jax.vmap(jax.grad(value, argnums=1), (*axes, 0))(*given)
    np.testing.assert_allclose(total, parts.sum(0) if axes[1] is None else parts, rtol=1e-12, atol=1e-13)


def networks():
    head = [snnx.LIF(5.0), linear(HIDDEN, 3, K[1]), snnx.LI()]
    yield "linear", snnx.Sequential([linear(CHANNELS, HIDDEN, K[0]), *head]), True
    yield "no bias", snnx.Sequential([linear(CHANNELS, HIDDEN, K[0], use_bias=False), *head]), True
    yield "nested", snnx.Sequential([snnx.Sequential([linear(CHANNELS, HIDDEN, K[0])]), *head]), True
    recurrent = snnx.Recurrent(snnx.LIF(5.0), linear(HIDDEN, HIDDEN, K[2]))
    yield "recurrent", snnx.Sequential([linear(CHANNELS, HIDDEN, K[0]), recurrent, *head[1:]]), True
    yield "neuron", snnx.Sequential([snnx.LIF(5.0), linear(CHANNELS, 3, K[3])]), False
    yield "norm", snnx.Sequential([eqx.nn.LayerNorm(CHANNELS), linear(CHANNELS, HIDDEN, K[0]), *head]), False
    branches = snnx.Parallel([linear(CHANNELS, 3, K[4]), linear(CHANNELS, 3, K[5])])
    yield "branches", snnx.Sequential([branches, snnx.LIF(5.0)]), False


QUICK = {("linear", 4), ("branches", 4)}


@pytest.mark.parametrize(
    ("model", "taken", "chunk"),
    [
        pytest.param(m, t, chunk, id=f"{name}-{chunk}", marks=() if (name, chunk) in QUICK else pytest.mark.slow)
        for name, m, t in networks()
        for chunk in ((4, STEPS) if name in ("linear", "recurrent") else (4,))
    ],
)
def test_a_network_computes_the_same_from_lists(model, taken, chunk):
    spikes = raster((3, STEPS, CHANNELS))
    lists = ActiveChannels(pack_active(spikes), (CHANNELS,))
    mask = jnp.arange(STEPS) < 8
    assert model.takes(jax.tree.map(lambda x: x[0], lists)) is taken

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def loss(model, inputs):
        def one(xs):
            mean, state, seen = snnx.simulate(
                model, xs, mask=mask, readout=snnx.Mean(), record=["0", *snnx.cells.spiking_paths(model)], chunk=chunk
            )
            return mean, state, seen

        outputs = jax.vmap(one)(inputs)
        return (outputs[0] ** 2).sum(), outputs

    (value, outputs), gradient = loss(model, jnp.asarray(spikes, jnp.float32))
    (again, from_lists), from_lists_gradient = loss(model, lists)
    assert float(value) > 0.01
    np.testing.assert_allclose(again, value, rtol=1e-5)
    for got, expected in zip(jax.tree.leaves(from_lists), jax.tree.leaves(outputs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    for got, expected in zip(jax.tree.leaves(from_lists_gradient), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_convolution_gets_the_dense_frames():
    model = snnx.Sequential([eqx.nn.Conv2d(2, 3, 2, key=K[0]), snnx.LIF(3.0)])
    spikes = raster((STEPS, 2, 4, 5))
    lists = ActiveChannels(pack_active(spikes.reshape(STEPS, -1)), (2, 4, 5))
    assert not model.takes(lists)
    got, expected = (snnx.simulate(model, xs)[0] for xs in (lists, jnp.asarray(spikes, jnp.float32)))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_nothing_dense_is_made_of_the_lists():
    """The compiled program holds no array of the size of the dense input."""
    model = snnx.Sequential([linear(512, 4, K[0]), snnx.LIF(), linear(4, 2, K[1]), snnx.LI()])
    lists = ActiveChannels(jnp.zeros((8, 64, 3), jnp.uint16), (512,))
    bits = snnx.inputs.Bits(jnp.zeros((8, 64, 64), jnp.uint8), (512,))

    def loss(model, inputs):
        return jax.vmap(lambda xs: snnx.simulate(model, xs, readout=snnx.Mean(), chunk=8)[0])(inputs).sum()

    sizes = []
    for inputs in (lists, bits):
        params, static = eqx.partition(model, eqx.is_inexact_array)
        gradient = jax.grad(lambda p, xs, s=static: loss(eqx.combine(p, s), xs))
        sizes.append(jax.jit(gradient).lower(params, inputs).compile().memory_analysis().temp_size_in_bytes)
    assert sizes[0] < 8 * 8 * 512 * 4 / 2 < sizes[1]


def test_lists_of_another_kind_are_refused():
    lists = jnp.zeros((4, 3), jnp.uint16)
    with pytest.raises(DtypeError, match=r"\bchannels\b"):
        ActiveChannels(lists.astype(jnp.int32), (20,))
    with pytest.raises(DtypeError, match=r"\bchannels\b"):
        ActiveChannels(lists, (70_000,))
    with pytest.raises(ShapeError, match=r"\bchannels\b"):
        ActiveChannels(lists[:, 0], (20,))
    with pytest.raises(ShapeError, match="ActiveChannels: sample_shape"):
        ActiveChannels(lists, ())


def test_nothing_is_left_out_of_a_list():
    spikes = raster((5, 20), rate=0.5)
    longest = int(spikes.sum(-1).max())
    with pytest.raises(ValueError, match=rf"pack_active: capacity\b.*\b{longest}\b"):
        pack_active(spikes, capacity=longest - 1)
    with pytest.raises(ValueError, match=r"\bspikes\b"):
        pack_active(np.array([[0, 2]]))
    with pytest.raises(ValueError, match="model's first layer|sample_shape|layer 0"):
        snnx.simulate(snnx.Sequential([linear(CHANNELS, 3, K[0])]), ActiveChannels(pack_active(spikes), (20,)))


def sparse(n=4, channels=60, longest=5):
    """Spikes of which the fullest step has `longest`, and labels."""
    spikes = np.zeros((n, STEPS, channels), np.uint8)
    for i in range(n):
        spikes[i, i, : longest - i] = 1
    return spikes, np.arange(n) % 2


@pytest.mark.parametrize(
    ("channels", "longest", "shape", "kind"),
    [
        (60, 5, (60,), ActiveChannels),
        (59, 5, (59,), snnx.inputs.Bits),  # more than a twelfth
        (60, 5, (3, 20), snnx.inputs.Bits),  # frames go to a convolution
        (165 * 12, 164, (165 * 12,), ActiveChannels),
        (165 * 12, 165, (165 * 12,), snnx.inputs.Bits),
    ],
)
def test_a_data_set_of_sparse_spikes_is_kept_as_lists(channels, longest, shape, kind):
    spikes, labels = sparse(channels=channels, longest=longest)
    spikes = spikes.reshape(*spikes.shape[:2], *shape)
    data = snnx.data.from_spikes(spikes, labels, sample_shape=shape)
    assert type(data.inputs) is kind
    for layout, other in (("bits", snnx.inputs.Bits), ("lists", ActiveChannels)):
        told = snnx.data.from_spikes(spikes, labels, sample_shape=shape, layout=layout)
        assert type(told.inputs) is other
        for i in range(len(spikes)):
            np.testing.assert_array_equal(told.example(i), spikes[i])


def test_spikes_have_no_other_layouts():
    spikes, labels = sparse()
    for layout in ("list", "counts", None):
        with pytest.raises(ValueError, match=r"from_spikes: layout\b"):
            snnx.data.from_spikes(spikes, labels, sample_shape=(60,), layout=layout)


def test_a_gpu_gets_bits(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    spikes, labels = sparse()
    assert type(snnx.data.from_spikes(spikes, labels, sample_shape=(60,)).inputs) is snnx.inputs.Bits


@pytest.mark.slow
def test_training_from_lists_is_training_from_bits():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    spikes = rng.random((40, STEPS, 48)) < np.where(np.arange(48) % 3 == labels[:, None], 0.08, 0.02)[:, None]
    model = snnx.Sequential([linear(48, HIDDEN, K[0]), snnx.LIF(5.0), linear(HIDDEN, 3, K[1]), snnx.LI()])
    found = []
    for layout in ("bits", "lists"):
        data = snnx.data.from_spikes(spikes, labels, sample_shape=(48,), layout=layout)
        train, valid = data.split((0.8, 0.2), key=K[2])
        found.append(
            snnx.fit(
                model,
                train,
                loss=snnx.CrossEntropy(snnx.Mean()),
                optimizer=optax.adam(1e-2),
                epochs=3,
                batch_size=8,
                validation=valid,
                key=K[3],
                progress=False,
            )
        )
    for one, other in zip(found[0].history, found[1].history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-4)


@pytest.mark.slow
def test_what_is_kept_does_not_count_the_first_layer_of_lists():
    lists = ActiveChannels(jnp.zeros((STEPS, 3), jnp.uint16), (300,))
    thin = snnx.Sequential([linear(300, 4, K[0]), snnx.LIF(), linear(4, 2, K[1]), snnx.LI()])
    wide = snnx.Sequential([linear(300, 256, K[0]), snnx.LIF(), linear(256, 2, K[1]), snnx.LI()])
    assert [snnx.simulation.default_keep(m) for m in (thin, wide)] == ["membranes", "membranes"]
    assert [snnx.simulation.default_keep(m, lists) for m in (thin, wide)] == ["borders", "membranes"]
    assert (
        snnx.simulation.default_keep(thin, snnx.inputs.Bits(jnp.zeros((STEPS, 38), jnp.uint8), (300,))) == "membranes"
    )
