"""Compact inputs: packing against NumPy's, stretches against slices, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx._errors import DtypeError, ShapeError
from snnx.inputs import Bits, Constant, Floats, pack_bits, unpack_bits

SHAPES = [(1,), (7,), (8,), (9,), (20,), (2, 3), (2, 3, 4), (1, 1, 17)]


def raster(shape, seed=0, rate=0.3):
    return np.random.default_rng(seed).random(shape) < rate


def bits_of(spikes, sample_shape):
    return Bits(pack_bits(spikes.reshape(len(spikes), -1)), sample_shape)


# Packing.


@given(st.integers(1, 70), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_packing_is_numpys_little_endian_packing(channels, rank, seed):
    spikes = raster((*(2, 3, 2)[:rank], channels), seed)
    packed = pack_bits(spikes)
    assert packed.dtype == jnp.uint8
    np.testing.assert_array_equal(packed, np.packbits(spikes, axis=-1, bitorder="little"))
    np.testing.assert_array_equal(
        np.unpackbits(np.asarray(packed), axis=-1, bitorder="little", count=channels), spikes.astype(np.uint8)
    )


def test_channel_c_is_bit_c_mod_8_of_byte_c_div_8():
    for channel in (0, 1, 7, 8, 11, 19):
        spikes = np.zeros(20)
        spikes[channel] = 1
        packed = np.asarray(pack_bits(spikes))
        assert packed[channel // 8] == 1 << (channel % 8)
        assert np.count_nonzero(packed) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_unpacking_is_the_inverse(shape):
    spikes = raster((4, *shape), seed=len(shape))
    packed = pack_bits(spikes.reshape(4, -1))
    back = unpack_bits(packed, shape)
    assert back.dtype == jnp.float32
    np.testing.assert_array_equal(back, spikes.astype(np.float32))
    np.testing.assert_array_equal(unpack_bits(packed[0], shape), spikes[0])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_bits_of_every_dtype_pack_alike(dtype):
    spikes = raster((3, 11))
    np.testing.assert_array_equal(pack_bits(spikes.astype(dtype)), pack_bits(spikes))
    np.testing.assert_array_equal(pack_bits(jnp.asarray(spikes)), pack_bits(spikes))


@pytest.mark.parametrize("bad", [np.array([0, 1, 2]), np.array([0.0, 0.5]), np.array([-1, 1]), np.array([np.nan, 1.0])])
def test_counts_and_currents_are_not_bits(bad):
    with pytest.raises(ValueError, match=r"\bspikes\b"):
        pack_bits(bad)


def test_unpacking_refuses_what_was_not_packed():
    with pytest.raises(DtypeError, match=r"\bpacked\b"):
        unpack_bits(jnp.zeros((3, 2), jnp.int32), (16,))
    with pytest.raises(ShapeError, match=r"\bpacked\b"):
        unpack_bits(jnp.zeros((3, 2), jnp.uint8), (17,))


# Bits.


@pytest.mark.parametrize("shape", SHAPES)
def test_bits_are_the_dense_spikes(shape):
    spikes = raster((5, *shape))
    bits = bits_of(spikes, shape)
    assert bits.num_steps == 5
    assert bits.sample_shape == shape
    np.testing.assert_array_equal(bits.dense(), spikes.astype(np.float32))
    half = bits.dense(jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half.astype(jnp.float32), spikes.astype(np.float32))


def test_bits_are_dense_in_double_precision_where_asked(x64):
    bits = bits_of(raster((5, 9)), (9,))
    assert bits.dense().dtype == jnp.float64
    assert bits.dense("float32").dtype == jnp.float32


def test_a_batch_of_bits_is_a_vmap_away():
    spikes = raster((6, 5, 2, 9))
    batch = Bits(pack_bits(spikes.reshape(6, 5, 18)), (2, 9))
    np.testing.assert_array_equal(jax.vmap(lambda b: b.dense())(batch), spikes.astype(np.float32))


@pytest.mark.parametrize(
    ("packed", "shape", "error", "named"),
    [
        (np.zeros((5, 2), np.int32), (16,), DtypeError, "packed"),
        (np.zeros((5, 2), bool), (16,), DtypeError, "packed"),
        ([[1, 2]], (16,), TypeError, "packed"),
        (np.zeros((5, 2), np.uint8), (17,), ShapeError, "packed"),
        (np.zeros((5, 2), np.uint8), (8,), ShapeError, "packed"),
        (np.zeros((2, 16), np.uint8), (16,), ShapeError, "packed"),  # packed along time
        (np.zeros(2, np.uint8), (16,), ShapeError, "packed"),
        (np.zeros((5, 2), np.uint8), (), ShapeError, "sample_shape"),
        (np.zeros((5, 2), np.uint8), (0, 4), ShapeError, "sample_shape"),
        (np.zeros((5, 2), np.uint8), 16, TypeError, "sample_shape"),
        (np.zeros((5, 2), np.uint8), (16.0,), TypeError, "sample_shape"),
    ],
)
def test_what_bits_refuse(packed, shape, error, named):
    with pytest.raises(error, match=rf"Bits: {named}\b"):
        Bits(packed, shape)


def test_arrays_and_shapes_of_numpy_are_taken():
    spikes = raster((5, 2, 9))
    for shape in ((np.int64(2), np.int32(9)), [2, 9], np.array([2, 9])):
        bits = Bits(np.asarray(pack_bits(spikes.reshape(5, -1).tolist())), shape)
        assert bits.sample_shape == (2, 9)
        assert isinstance(bits.packed, jax.Array)
        np.testing.assert_array_equal(bits.dense(), spikes)
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(">f4")
    np.testing.assert_array_equal(Floats(values, (3,)).dense(), values)
    np.testing.assert_array_equal(Constant(values[0], np.int64(2)).dense(), values[[0, 0]])


# Constant, Floats.


def test_a_constant_is_the_same_at_every_step():
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)
    shown = Constant(image, 4)
    assert (shown.num_steps, shown.sample_shape) == (4, (2, 3))
    np.testing.assert_array_equal(shown.dense(), np.stack([image] * 4))
    assert shown.dense("bfloat16").dtype == jnp.bfloat16


def test_what_a_constant_refuses():
    for bad in (0, -1, 2.0, True, "4"):
        with pytest.raises(ValueError if type(bad) is int else TypeError, match=r"Constant: num_steps\b"):
            Constant(jnp.ones(3), bad)
    with pytest.raises(DtypeError, match=r"Constant: values\b"):
        Constant(jnp.ones(3, jnp.uint8), 4)
    with pytest.raises(ShapeError, match=r"\bstep\b"):
        Constant(jnp.ones(1), 4, (4,))  # would spread over the width


def test_dense_inputs_are_themselves():
    values = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2, 3)), jnp.float32)
    dense = Floats(values, (2, 3))
    assert (dense.num_steps, dense.sample_shape) == (5, (2, 3))
    np.testing.assert_array_equal(dense.dense(), values)
    assert dense.dense("bfloat16").dtype == jnp.bfloat16
    with pytest.raises(ShapeError, match=r"\bstep\b"):
        Floats(values, (3, 2))
    with pytest.raises(ShapeError, match=r"Floats: values\b"):
        Floats(values[0], (2, 3))
    with pytest.raises(DtypeError, match=r"Floats: values\b"):
        Floats(jnp.zeros((5, 3), jnp.int32), (3,))


# Stretches.


@pytest.fixture(params=["Bits", "Constant", "Floats"])
def inputs(request):
    rng = np.random.default_rng(3)
    if request.param == "Bits":
        return bits_of(raster((9, 2, 5)), (2, 5))
    if request.param == "Constant":
        return Constant(jnp.asarray(rng.normal(size=(2, 5)), jnp.float32), 9)
    return Floats(jnp.asarray(rng.normal(size=(9, 2, 5)), jnp.float32), (2, 5))


def test_a_stretch_is_a_slice_of_time(inputs):
    whole = np.asarray(inputs.dense())
    cut = jax.jit(lambda start: inputs.stretch(start, 4).dense())  # a traced start
    for start in range(6):
        stretch = inputs.stretch(start, 4)
        assert type(stretch) is type(inputs)
        assert (stretch.num_steps, stretch.sample_shape) == (4, (2, 5))
        np.testing.assert_array_equal(stretch.dense(), whole[start : start + 4])
        np.testing.assert_array_equal(cut(start), whole[start : start + 4])


def test_inputs_cross_jit_and_tree_operations(inputs):
    leaves, tree = jax.tree.flatten(inputs)
    assert len(leaves) == 1
    back = jax.tree.unflatten(tree, leaves)
    assert back.sample_shape == (2, 5)
    np.testing.assert_array_equal(eqx.filter_jit(lambda i: i.dense())(inputs), inputs.dense())
