"""Compact layouts of an input sequence, made dense one stretch of time at a time."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt8

from snnx._errors import DtypeError, ShapeError, describe
from snnx._readers import check_float
from snnx._typing import default


class AbstractInputs(eqx.Module):
    """One example's input in a compact layout: `num_steps` steps of shape `sample_shape`.

    In a data set the same object holds many examples, its arrays one axis longer.
    """

    num_steps: eqx.AbstractVar[int]
    sample_shape: eqx.AbstractVar[tuple[int, ...]]

    @abc.abstractmethod
    def stretch(self, start: "int | Int[Array, '']", size: int) -> "AbstractInputs":
        """`size` steps from `start` on, in the same layout. `start` may be traced."""

    @abc.abstractmethod
    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        """The plain array `[num_steps, *sample_shape]`, in floats."""

    @default
    def take(self, indices: Int[Array, "batch"]) -> "AbstractInputs":
        """Of many examples those at these indices; an index out of range gives the example at the end."""
        return jax.tree.map(lambda x: x.at[indices].get(mode="clip"), self)


def check_sample_shape(where: str, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(int(n) for n in sample_shape)
    if not shape or any(n < 1 for n in shape):
        raise ShapeError(f"{where}: sample_shape is {sample_shape!r}; expected the shape of one step, e.g. (700,).")
    return shape


class Floats(AbstractInputs):
    """Currents as they are, `[time, *sample_shape]`, floats.

    **Raises:** `DtypeError` if `values` is no array of floats; `ShapeError` if its last axes are not `sample_shape`.
    """

    values: Float[Array, "time *shape"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: Array, sample_shape: tuple[int, ...]):
        self.sample_shape = check_sample_shape("Floats", sample_shape)
        check_float("Floats", "values", values)
        rank = len(self.sample_shape)
        if values.ndim <= rank or tuple(values.shape[-rank:]) != self.sample_shape:
            raise ShapeError(
                f"Floats: values is {describe(values)}, but one step has shape {self.sample_shape}; expected"
                " [..., time, *sample_shape], time before the features."
            )
        self.values = values

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.values.shape[-1 - len(self.sample_shape)]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Floats":
        return Floats(jax.lax.dynamic_slice_in_dim(self.values, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        return self.values if dtype is None else self.values.astype(dtype)


class Bits(AbstractInputs):
    """Binary spikes, eight channels to the byte: bit `c % 8` (little-endian) of byte `c // 8` is channel `c`.

    **Arguments:**
    - `packed`: `uint8[time, bytes]`, with `bytes = ceil(channels / 8)`; see `snnx.inputs.pack_bits`.
    - `sample_shape`: the shape of one step; `channels` is the product of its axes.

    **Raises:** `DtypeError`, `ShapeError` if `packed` is not of this kind.
    """

    packed: UInt8[Array, "time bytes"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, packed: Array, sample_shape: tuple[int, ...]):
        self.sample_shape = check_sample_shape("Bits", sample_shape)
        _check_packed("Bits", packed, self.sample_shape)
        if packed.ndim < 2:
            raise ShapeError(f"Bits: packed is {describe(packed)}; expected [time, bytes], a row of bytes a step.")
        self.packed = packed

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.packed.shape[-2]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Bits":
        return Bits(jax.lax.dynamic_slice_in_dim(self.packed, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        # Unpacked step by step, so that under vmap time comes out as the leading axis, as the neurons' scan wants it.
        return jax.lax.map(lambda row: unpack_bits(row, self.sample_shape, dtype), self.packed)


class Constant(AbstractInputs):
    """The same current at every step: an image shown for `num_steps` steps.

    **Arguments:**
    - `values`: `[*sample_shape]`, floats.
    - `num_steps`: for how many steps.

    **Raises:** `DtypeError` if `values` is no array of floats; `ValueError` for less than one step; `ShapeError` if the
    last axes of `values` are not `sample_shape`.
    """

    values: Float[Array, "*shape"]
    num_steps: int = eqx.field(static=True)
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: Array, num_steps: int, sample_shape: tuple[int, ...] | None = None):
        check_float("Constant", "values", values)
        if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)) or num_steps < 1:
            raise ValueError(f"Constant: num_steps is {num_steps!r}, expected a whole number >= 1.")
        self.values = values
        self.num_steps = int(num_steps)
        self.sample_shape = check_sample_shape("Constant", values.shape if sample_shape is None else sample_shape)
        if tuple(values.shape[-len(self.sample_shape) :]) != self.sample_shape:
            raise ShapeError(f"Constant: values is {describe(values)}, but one step has shape {self.sample_shape}.")

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Constant":
        return Constant(self.values, size, self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        values = self.values.astype(jnp.zeros(()).dtype if dtype is None else dtype)
        return jnp.broadcast_to(values[None], (self.num_steps, *self.sample_shape))


def pack_bits(spikes: "Array | np.ndarray") -> UInt8[Array, "*leading bytes"]:
    """Binary values packed along their last axis, little-endian: eight channels to the byte, the last byte zero-filled.

    **Arguments:** `spikes`: `[..., channels]`, of any dtype, holding nothing but zeros and ones.
    **Raises:** `ValueError` if there is another value than 0 and 1: counts and currents are not bits.
    """
    values = np.asarray(spikes)
    bits = values.astype(bool)
    if values.dtype != bool and not np.array_equal(values, bits):
        raise ValueError(
            "pack_bits: spikes holds values other than 0 and 1; binarise them yourself, e.g. (spikes > 0), if that is"
            " what you want."
        )
    return jnp.asarray(np.packbits(bits, axis=-1, bitorder="little"))


def _check_packed(where: str, packed: Array, sample_shape: tuple[int, ...]) -> None:
    if getattr(packed, "dtype", None) != jnp.uint8:
        raise DtypeError(
            f"{where}: packed is {describe(packed)}, expected uint8; pack spikes with snnx.inputs.pack_bits(spikes)."
        )
    width = -(-math.prod(sample_shape) // 8)
    if packed.ndim == 0 or packed.shape[-1] != width:
        raise ShapeError(
            f"{where}: packed is {describe(packed)}, but {width} bytes hold one step of shape {tuple(sample_shape)};"
            " pack along the channels, not along time."
        )


def unpack_bits(
    packed: UInt8[Array, "*leading bytes"], sample_shape: tuple[int, ...], dtype: "DTypeLike | None" = None
) -> Float[Array, "..."]:
    """The inverse of `pack_bits`, as zeros and ones: `[..., *sample_shape]`.

    **Raises:** `DtypeError`, `ShapeError` if `packed` is not `uint8[..., ceil(channels / 8)]`.
    """
    _check_packed("unpack_bits", packed, sample_shape)
    channels = math.prod(sample_shape)
    # Looked up rather than shifted: a training step of 700-128-128-20 from bits takes 1.1 to 1.3 of the time from floats so,
    # 1.2 to 1.5 with shifts (rounds side by side, 2 cores).
    every = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = jnp.asarray(every, jnp.zeros(()).dtype if dtype is None else dtype)
    bits = table.at[packed.astype(jnp.int32)].get(mode="promise_in_bounds")
    return bits.reshape(*packed.shape[:-1], -1)[..., :channels].reshape(*packed.shape[:-1], *sample_shape)
