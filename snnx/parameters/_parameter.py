"""Parameters: a Python number is a constant, an array is learned, a wrapper constrains or freezes."""

import abc
import math
from typing import Annotated, Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._readers import as_jax_array
from snnx._typing import NotNegative, Number, real

_LIMIT = 40.0


class AbstractParameter(eqx.Module):
    """A parameter that is read through `value()` rather than as it is stored."""

    @abc.abstractmethod
    def value(self) -> Float[Array, "..."]:
        """The number or array that the equations use."""


class ParameterIn(NamedTuple):
    """In `Annotated[..., ParameterIn(0, above=True)]`: a parameter whose numbers are finite and within a bound.

    A number of NumPy becomes Python's, and is a constant; an array of NumPy becomes a JAX array of its own, and is learned.
    Arrays under a JAX transformation have no numbers yet, and pass.
    """

    low: float = -math.inf
    above: bool = False

    def read(self, where: str, name: str, value: Any) -> "float | Float[Array, '...'] | AbstractParameter":
        if not isinstance(value, AbstractParameter):
            number = None if isinstance(value, np.ndarray | jax.Array) else real(value)
            value = as_jax_array(value) if number is None else number
            if number is None and not hasattr(value, "dtype"):
                raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
            if hasattr(value, "dtype") and not (
                isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
            ):
                raise DtypeError(
                    f"{where}: {name} is {describe(value)}, expected {self}; write {name}.astype('float32')."
                )
        numbers = known(value)
        if numbers is not None and numbers.size:
            if not np.isfinite(numbers).all():
                raise ValueError(f"{where}: {name} holds values that are not finite: {describe(value)}.")
            least = numbers.min()
            if least < self.low or (self.above and least == self.low):
                raise ValueError(
                    f"{where}: {name} is {least:g}, expected a number {'>' if self.above else '>='} {self.low:g}."
                )
        return value

    def __str__(self) -> str:
        bound = "" if math.isinf(self.low) else f" {'>' if self.above else '>='} {self.low:g}"
        return f"a number{bound} (a constant), an array of floats (learned), or a wrapper such as snnx.Positive"


Parameter: TypeAlias = Annotated[float | Float[Array, "..."] | AbstractParameter, ParameterIn()]
PositiveParameter: TypeAlias = Annotated[float | Float[Array, "..."] | AbstractParameter, ParameterIn(0.0, above=True)]
NotNegativeParameter: TypeAlias = Annotated[float | Float[Array, "..."] | AbstractParameter, ParameterIn(0.0)]


def value(parameter: float | Float[Array, "..."] | AbstractParameter) -> "float | Float[Array, '...']":
    """What a parameter stands for in the equations: the number, the array, or the wrapper's `value()`.

    ```python
    snnx.value(20.0), snnx.value(jnp.full(3, 20.0)), snnx.value(snnx.Positive(20.0))
    ```
    """
    return parameter.value() if isinstance(parameter, AbstractParameter) else parameter


def known(parameter: Parameter) -> "np.ndarray | None":
    """The parameter's numbers, or None where they are not known yet (inside jit, vmap, grad)."""
    x = value(parameter)
    return None if isinstance(x, Tracer) else np.asarray(x, dtype=np.float64)


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Half-precision arrays as float32; others as they are. Decays are computed in this precision."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def check_parameter_shape(where: str, name: str, parameter: Parameter, shape: tuple[int, ...]) -> None:
    """Refuse a per-neuron parameter that does not fit `shape`: it is a scalar, or has as many axes as `shape`, each
    of the same length or (shared along that axis) of length 1."""
    got = jnp.shape(value(parameter))
    fits = got == () or (len(got) == len(shape) and all(g in (1, s) for g, s in zip(got, shape, strict=True)))
    if not fits:
        raise ShapeError(
            f"{where}: {name} has shape {got}, but one step of the input has shape {tuple(shape)}; expected a scalar,"
            f" {tuple(shape)}, or 1 on the axes along which it is shared."
        )


def _as_array(x: "float | Float[Array, '...']") -> Float[Array, "..."]:
    return x if isinstance(x, jax.Array) else jnp.asarray(x, dtype=float)


@checked
class Frozen(AbstractParameter):
    """An array that no trainer moves: `trainable` leaves it out, and its gradient is zero.

    **Arguments:**
    - `array`: the fixed values, scalar or per neuron.

    **Raises:** `TypeError` if `array` is no array of floats.
    """

    array: Float[Array, "..."]

    def __init__(self, array: float | Float[Array, "..."]):
        self.array = _as_array(array)

    def value(self) -> Float[Array, "..."]:
        return jax.lax.stop_gradient(self.array)


@checked
class Positive(AbstractParameter):
    r"""A learned parameter that is positive whatever an optimiser or an evolution strategy does to its leaf.

    $$ p = a + \exp\left(L \tanh(\rho / L)\right), \quad L = 40 $$

    The raw leaf $\rho$ is the logarithm of the value, bent so softly that nobody notices between 1e-4 and 1e4, and so
    that no real number over- or underflows: $p - a$ stays in $[e^{-40}, e^{40}]$. Steps of an optimiser are therefore
    relative: the same learning rate suits a time constant of 20 steps and one of 0.02 seconds.

    **Arguments:**
    - `value`: the initial value, a number or an array of any shape; more than `above` by 1e-17 to 1e17.
    - `above`: $a$, what it stays above, 0 by default; `dt` for a time constant of forward Euler.

    **Raises:** `ValueError` if a value is not in that range (arrays under `jit` cannot be looked at).
    """

    raw: Float[Array, "..."]
    above: float = eqx.field(static=True)

    def __init__(self, value: float | Float[Array, "..."], above: NotNegative = 0.0):
        array = _as_array(value)
        # Near the limits of p the leaf would be infinite.
        _check_between("Positive", array, above + 1e-17, above + 1e17)
        wide = at_least_float32(array)
        self.raw = (_LIMIT * jnp.arctanh(jnp.log(wide - above if above else wide) / _LIMIT)).astype(array.dtype)
        self.above = float(above)

    def value(self) -> Float[Array, "..."]:
        free = jnp.exp(_LIMIT * jnp.tanh(at_least_float32(self.raw) / _LIMIT))
        return self.above + free if self.above else free


@checked
class Bounded(AbstractParameter):
    r"""A learned parameter that stays between two bounds whatever happens to its leaf.

    $$ p = \text{low} + (\text{high} - \text{low})\, \sigma(\rho) $$

    **Arguments:**
    - `value`: the initial value, a number or an array of any shape, strictly between the bounds.
    - `low`, `high`: the bounds, finite numbers.

    **Raises:** `ValueError` if the bounds are out of order or not finite, or a value is not between them.
    """

    raw: Float[Array, "..."]
    low: float
    high: float

    def __init__(self, value: float | Float[Array, "..."], low: Number, high: Number):
        if not low < high:
            raise ValueError(f"Bounded: low is {low} and high is {high}; expected low < high.")
        array = _as_array(value)
        _check_between("Bounded", array, low, high)
        wide = at_least_float32(array)
        self.raw = (jnp.log(wide - low) - jnp.log(high - wide)).astype(array.dtype)
        self.low, self.high = float(low), float(high)

    def value(self) -> Float[Array, "..."]:
        # Measured from the nearer bound, so that rounding does not lead past the other.
        raw, width = at_least_float32(self.raw), self.high - self.low
        return jnp.where(raw < 0, self.low + width * jax.nn.sigmoid(raw), self.high - width * jax.nn.sigmoid(-raw))


def _check_between(where: str, array: Array, low: float, high: float) -> None:
    """Refuse values that are not strictly between `low` and `high`, as far as they are known."""
    numbers = known(array)
    if numbers is not None and not ((numbers > low) & (numbers < high)).all():
        worst = numbers[~((numbers > low) & (numbers < high))].flat[0]
        raise ValueError(f"{where}: value is {worst:g}, expected more than {low:g} and less than {high:g}.")


@checked
def trainable(model: PyTree) -> PyTree:
    """Which leaves a trainer may move: `True` at every array of floats that is not inside a `Frozen`.

    The default filter of `fit`; use it with `eqx.partition(model, snnx.trainable(model))`.

    **Returns:** a PyTree of bools of the structure of `model` (one bool stands for the whole of a `Frozen`).
    """

    def is_frozen(node: PyTree) -> bool:
        return isinstance(node, Frozen)

    return jax.tree.map(lambda node: not is_frozen(node) and eqx.is_inexact_array(node), model, is_leaf=is_frozen)
