"""Parameters: a Python number is a constant, an array is learned, a wrapper constrains or freezes."""

import abc
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


class AbstractParameter(eqx.Module):
    """A parameter that is read through `value()` rather than as it is stored."""

    @abc.abstractmethod
    def value(self) -> Float[Array, "..."]:
        """The number or array that the equations use."""


Parameter: TypeAlias = float | Float[Array, "..."] | AbstractParameter


def value(parameter: Parameter) -> "float | Float[Array, '...']":
    """What a parameter stands for in the equations: the number, the array, or the wrapper's `value()`.

    ```python
    snnx.value(20.0), snnx.value(jnp.full(3, 20.0)), snnx.value(snnx.Positive(20.0))
    ```
    """
    return parameter.value() if isinstance(parameter, AbstractParameter) else parameter


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Half-precision arrays as float32; others as they are. Decays are computed in this precision."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _is_frozen(node: PyTree) -> bool:
    return isinstance(node, Frozen)


class Frozen(AbstractParameter):
    """An array that no trainer moves: `trainable` leaves it out, and its gradient is zero.

    **Arguments:**
    - `array`: the fixed values, scalar or per neuron.

    **Raises:** `TypeError` if `array` is no array of floats.
    """

    array: Float[Array, "..."]

    def __init__(self, array: "float | Float[Array, '...']"):
        self.array = as_float_array("Frozen", "array", array)

    def value(self) -> Float[Array, "..."]:
        return jax.lax.stop_gradient(self.array)


def as_float_array(where: str, name: str, x: "float | Float[Array, '...']") -> Float[Array, "..."]:
    """`x` as an array of floats; a `TypeError` for anything else."""
    if isinstance(x, bool) or (not isinstance(x, (int, float)) and not hasattr(x, "dtype")):
        raise TypeError(f"{where}: {name} is {x!r}, expected a number or an array of floats.")
    array = jnp.asarray(x, dtype=float) if isinstance(x, (int, float)) else jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{where}: {name} is {array.dtype}{list(array.shape)}, expected floats; write e.g. 20.0 instead of 20."
        )
    return array


def trainable(model: PyTree) -> PyTree:
    """Which leaves a trainer may move: `True` at every array of floats that is not inside a `Frozen`.

    The default filter of `fit`; use it with `eqx.partition(model, snnx.trainable(model))`.

    **Returns:** a PyTree of bools of the structure of `model` (one bool stands for the whole of a `Frozen`).
    """
    return jax.tree.map(lambda node: not _is_frozen(node) and eqx.is_inexact_array(node), model, is_leaf=_is_frozen)
