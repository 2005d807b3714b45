"""What encoders refuse among the values of an array, and the precision in which they compute."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe


def check_steps(where: str, name: str, train: Float[Array, "time *shape"]) -> int:
    """The number of steps, at least one."""
    if train.shape[0] < 1:
        raise ShapeError(f"{where}: {name} is {describe(train)}; expected at least one step.")
    return train.shape[0]


def at_least_single(dtype: DTypeLike) -> jnp.dtype:
    """The dtype in which steps and probabilities are computed: bfloat16 counts steps up to 256 only."""
    return jnp.promote_types(dtype, jnp.float32)


def in_unit_interval(where: str, name: str, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The values, refused at run time where one is outside [0, 1]."""
    wrong = ~((values >= 0) & (values <= 1))  # so that NaN is wrong too
    return eqx.error_if(values, wrong, f"{where}: {name} lie outside [0, 1]; scale or clip them yourself.")


def finite(where: str, name: str, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The values, refused at run time where one is NaN or infinite."""
    wrong = ~jnp.isfinite(values)
    return eqx.error_if(values, wrong, f"{where}: {name} holds NaN or infinity; find out where they come from.")


def not_negative(where: str, name: str, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The values, refused at run time where one is negative, NaN or infinite."""
    wrong = ~((values >= 0) & jnp.isfinite(values))
    return eqx.error_if(values, wrong, f"{where}: {name} holds numbers that are negative, NaN or infinite.")


def positive(where: str, name: str, values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The values, refused at run time where one is zero, negative, NaN or infinite."""
    wrong = ~((values > 0) & jnp.isfinite(values))
    return eqx.error_if(values, wrong, f"{where}: {name} holds numbers that are not positive and finite.")


def binary(where: str, spikes: Float[Array, "time *shape"]) -> Float[Array, "time *shape"]:
    """The spikes, refused at run time where there is another value than 0 and 1."""
    wrong = ~((spikes == 0) | (spikes == 1))
    return eqx.error_if(spikes, wrong, f"{where}: spikes holds values other than 0 and 1.")


def largest_count(dtype: DTypeLike) -> float:
    """The number up to which a dtype holds every whole number: 256 in bfloat16, 2^24 in float32."""
    return 2.0 ** (jnp.finfo(dtype).nmant + 1)


def counts_as(where: str, counts: Float[Array, "*shape"], dtype: DTypeLike) -> Float[Array, "*shape"]:
    """Counts in another dtype, refused at run time where one is beyond the whole numbers that it holds."""
    largest = largest_count(dtype)
    message = (
        f"{where}: a count is above {largest:.0f}, up to which {jnp.dtype(dtype).name} holds every whole number; take"
        " shorter steps, a higher threshold, or a wider dtype."
    )
    return eqx.error_if(counts, counts > largest, message).astype(dtype)
