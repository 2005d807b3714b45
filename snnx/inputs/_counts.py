import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt8

from snnx._errors import DtypeError, ShapeError, describe
from snnx.inputs._inputs import AbstractInputs, check_sample_shape


class Counts(AbstractInputs):
    """How many events fell into each step and channel: whole numbers from 0 to 255, a byte each.

    **Arguments:**
    - `values`: `uint8[time, *sample_shape]`.
    - `sample_shape`: the shape of one step.

    **Raises:** `DtypeError`, `ShapeError` if `values` is not of this kind.
    """

    values: UInt8[Array, "time *shape"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, values: Array, sample_shape: tuple[int, ...]):
        self.sample_shape = check_sample_shape("Counts", sample_shape)
        if getattr(values, "dtype", None) != jnp.uint8:
            raise DtypeError(
                f"Counts: values is {describe(values)}, expected uint8; counts above 255 go into snnx.inputs.Floats as floats."
            )
        rank = len(self.sample_shape)
        if values.ndim <= rank or tuple(values.shape[-rank:]) != self.sample_shape:
            raise ShapeError(
                f"Counts: values is {describe(values)}, but one step has shape {self.sample_shape}; expected"
                " [..., time, *sample_shape], time before the features."
            )
        self.values = values

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.values.shape[-1 - len(self.sample_shape)]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "Counts":
        return Counts(jax.lax.dynamic_slice_in_dim(self.values, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        return self.values.astype(jnp.zeros(()).dtype if dtype is None else dtype)
