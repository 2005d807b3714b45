"""The contract of input layouts, and the layouts that have an entry for every channel: Floats, Counts, Bits, Constant."""

import abc
import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt8

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._memory import to_device
from snnx._typing import Count, Dtype, HostArray, Whole, default


class StepShape(NamedTuple):
    """In `SampleShape`: the shape of one step, of at least one axis, none of them empty."""

    def read(self, where: str, name: str, value: Any) -> tuple[int, ...]:
        sizes = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(sizes, str) or not isinstance(sizes, Sequence):
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        shape = tuple(Whole().read(where, f"{name}[{i}]", size) for i, size in enumerate(sizes))
        if not shape or min(shape) < 1:
            raise ShapeError(f"{where}: {name} is {shape}, expected {self}, each axis at least 1.")
        return shape

    def __str__(self) -> str:
        return "the shape of one step, such as (700,)"


SampleShape: TypeAlias = Annotated[tuple[int, ...], StepShape()]


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


def _check_time_before_features(where: str, values: Array, sample_shape: tuple[int, ...]) -> None:
    rank = len(sample_shape)
    if values.ndim <= rank or tuple(values.shape[-rank:]) != sample_shape:
        raise ShapeError(
            f"{where}: values is {describe(values)}, but one step has shape {sample_shape}; expected"
            " [..., time, *sample_shape], time before the features."
        )


@checked
class Floats(AbstractInputs):
    """Currents as they are, `[time, *sample_shape]`, floats.

    **Raises:** `DtypeError` if `values` is not an array of floats; `ShapeError` if its last axes are not `sample_shape`.
    """

    values: Float[Array, "time *shape"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: Float[Array, "..."], sample_shape: SampleShape):
        _check_time_before_features("Floats", values, sample_shape)
        self.values, self.sample_shape = values, sample_shape

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.values.shape[-1 - len(self.sample_shape)]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Floats":
        return Floats(jax.lax.dynamic_slice_in_dim(self.values, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        return self.values if dtype is None else self.values.astype(dtype)


@checked
class Counts(AbstractInputs):
    """How many events fell into each step and channel: whole numbers from 0 to 255, a byte each.

    Larger counts go into `Floats`.

    **Arguments:**
    - `values`: `uint8[time, *sample_shape]`.
    - `sample_shape`: the shape of one step.

    **Raises:** `DtypeError`, `ShapeError` if `values` is of another kind.
    """

    values: UInt8[Array, "time *shape"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: UInt8[Array, "..."], sample_shape: SampleShape):
        _check_time_before_features("Counts", values, sample_shape)
        self.values, self.sample_shape = values, sample_shape

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.values.shape[-1 - len(self.sample_shape)]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Counts":
        return Counts(jax.lax.dynamic_slice_in_dim(self.values, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        return self.values.astype(jnp.zeros(()).dtype if dtype is None else dtype)


@checked
class Constant(AbstractInputs):
    """The same current at every step: an image shown for `num_steps` steps.

    **Arguments:**
    - `values`: `[*sample_shape]`, floats.
    - `num_steps`: for how many steps.
    - `sample_shape`: the shape of one step; by default that of `values`.

    **Raises:** `DtypeError` if `values` is not an array of floats; `ValueError` for less than one step; `ShapeError` if
    the last axes of `values` are not `sample_shape`.
    """

    values: Float[Array, "*shape"]
    num_steps: int = eqx.field(static=True)
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: Float[Array, "..."], num_steps: Count, sample_shape: SampleShape | None = None):
        self.values, self.num_steps = values, num_steps
        self.sample_shape = values.shape if sample_shape is None else sample_shape
        if not self.sample_shape or tuple(values.shape[-len(self.sample_shape) :]) != self.sample_shape:
            raise ShapeError(f"Constant: values is {describe(values)}, but one step has shape {self.sample_shape}.")

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Constant":
        return Constant(self.values, size, self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        values = self.values.astype(jnp.zeros(()).dtype if dtype is None else dtype)
        return jnp.broadcast_to(values[None], (self.num_steps, *self.sample_shape))


@checked
class Bits(AbstractInputs):
    """Binary spikes, eight channels to the byte: bit `c % 8` (little-endian) of byte `c // 8` is channel `c`.

    **Arguments:**
    - `packed`: `uint8[time, bytes]`, with `bytes = ceil(channels / 8)`; see `snnx.inputs.pack_bits`.
    - `sample_shape`: the shape of one step; `channels` is the product of its axes.

    **Raises:** `DtypeError`, `ShapeError` if `packed` is of another kind.
    """

    packed: UInt8[Array, "time bytes"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, packed: UInt8[Array, "*batch time bytes"], sample_shape: SampleShape):
        _check_bytes("Bits", packed, sample_shape)
        self.packed, self.sample_shape = packed, sample_shape

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.packed.shape[-2]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Bits":
        return Bits(jax.lax.dynamic_slice_in_dim(self.packed, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        # Unpacked step by step, so that under vmap time comes out as the leading axis, as the neurons' scan wants it.
        return jax.lax.map(lambda row: unpack_bits(row, self.sample_shape, dtype), self.packed)


def _check_bytes(where: str, packed: Array, sample_shape: tuple[int, ...]) -> None:
    width = -(-math.prod(sample_shape) // 8)
    if packed.shape[-1] != width:
        raise ShapeError(
            f"{where}: packed is {describe(packed)}, but {width} bytes hold one step of shape {sample_shape}; make it with"
            " snnx.inputs.pack_bits(spikes), which packs along the channels, not along time."
        )


@checked
def pack_bits(spikes: HostArray) -> UInt8[Array, "*leading bytes"]:
    """Binary values packed along their last axis, little-endian: eight channels to the byte, the last byte zero-filled.

    **Arguments:** `spikes`: `[..., channels]`, of any dtype, holding nothing but zeros and ones.
    **Raises:** `ValueError` if there is another value than 0 and 1: counts and currents are not bits.
    """
    return to_device(np.packbits(as_bools("pack_bits", spikes), axis=-1, bitorder="little"))


def as_bools(where: str, spikes: HostArray) -> np.ndarray:
    """Zeros and ones of any dtype as bools."""
    values = np.asarray(spikes)
    bits = values.astype(bool, copy=False)
    if values.dtype != bool and not np.array_equal(values, bits):
        raise ValueError(
            f"{where}: spikes holds values other than 0 and 1; binarise them yourself, e.g. (spikes > 0), if that is what"
            " you want, or keep them as counts or floats."
        )
    return bits


@checked
def unpack_bits(
    packed: UInt8[Array, "*leading bytes"], sample_shape: SampleShape, dtype: Dtype | None = None
) -> Float[Array, "..."]:
    """The inverse of `pack_bits`, as zeros and ones: `[..., *sample_shape]`.

    **Raises:** `DtypeError`, `ShapeError` if `packed` is not `uint8[..., ceil(channels / 8)]`.
    """
    _check_bytes("unpack_bits", packed, sample_shape)
    channels = math.prod(sample_shape)
    # Looked up rather than shifted: a training step of 700-128-128-20 from bits takes 1.1 to 1.3 of the time from floats so,
    # 1.2 to 1.5 with shifts (rounds side by side, 2 cores).
    every = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = jnp.asarray(every, jnp.zeros(()).dtype if dtype is None else dtype)
    bits = table.at[packed.astype(jnp.int32)].get(mode="promise_in_bounds")
    return bits.reshape(*packed.shape[:-1], -1)[..., :channels].reshape(*packed.shape[:-1], *sample_shape)
