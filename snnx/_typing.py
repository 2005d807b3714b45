"""Floor 0: the vocabulary of annotations: axes, and numbers by their range.

The names of axes, used in every annotation and in every error message:

| name | axis |
|---|---|
| `time` | time steps |
| `batch` | examples |
| `in`, `out` | features that a layer takes, gives |
| `channels`, `height`, `width` | of a feature map, in this order |
| `classes` | classes of a classifier |
| `*shape` | any axes of one step of one example |

The kinds of numbers, which `@checked` reads (`_readers.py`); one with other bounds is written where it is needed:
`Annotated[float, Real(0, 180)]`.
"""

import math
import operator
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike

from snnx._errors import describe

_Method = TypeVar("_Method", bound=Callable)


class Whole(NamedTuple):
    """In `Annotated[int, Whole(1)]`: a whole number, NumPy's too, within bounds that are included."""

    least: int | None = None
    most: int | None = None

    def read(self, where: str, name: str, value: Any) -> int:
        try:
            number = None if isinstance(value, bool | np.bool_) else operator.index(value)
        except jax.errors.JAXTypeError:
            raise _is_traced(where, name) from None
        except TypeError:
            number = None
        if number is None:
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        if (self.least is not None and number < self.least) or (self.most is not None and number > self.most):
            raise ValueError(f"{where}: {name} is {number}, expected {self}.")
        return number

    def __str__(self) -> str:
        if self.most is not None:
            return f"a whole number from {self.least or 0} to {self.most}"
        return "a whole number" if self.least is None else f"a whole number >= {self.least}"


class Real(NamedTuple):
    """In `Annotated[float, Real(0, 1)]`: a number, NumPy's too, within bounds.

    - `low`, `high`: bounds; infinite ones are never reached: numbers are finite, unless `infinite` is set.
    - `above`, `below`: whether the bound itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    infinite: bool = False

    def read(self, where: str, name: str, value: Any) -> float:
        if isinstance(value, Tracer):
            raise _is_traced(where, name)
        number = real(value)
        if number is None:
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        inside = not math.isnan(number) and (self.infinite or math.isfinite(number))
        inside &= (number > self.low if self.above else number >= self.low) or self.low == number == -math.inf
        inside &= (number < self.high if self.below else number <= self.high) or self.high == number == math.inf
        if not inside:
            raise ValueError(f"{where}: {name} is {number!r}, expected {self}.")
        return number

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "a number" if self.infinite else "a finite number"
        if math.isinf(self.high):
            return f"a number {'>' if self.above else '>='} {self.low:g}"
        if math.isinf(self.low):
            return f"a number {'<' if self.below else '<='} {self.high:g}"
        return f"a number in {'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"


class FloatDtype(NamedTuple):
    """In `Annotated[DTypeLike, FloatDtype()]`: a dtype of floats."""

    def read(self, where: str, name: str, value: Any) -> Any:
        try:
            found = jnp.dtype(value)
        except TypeError:
            raise TypeError(f"{where}: {name} is {describe(value)}, expected a dtype of floats: 'float32'.") from None
        if not jnp.issubdtype(found, jnp.floating):
            raise ValueError(f"{where}: {name} is {found.name}, expected a dtype of floats: 'float32'.")
        return value


def real(value: Any) -> "int | float | None":
    """A Python number as it is, and a number of NumPy or a JAX scalar as Python has it; None for what is no real number."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | float) and not isinstance(value, np.generic):  # np.float64 is a float, too
        return value
    if isinstance(value, np.number | np.ndarray | jax.Array) and np.ndim(value) == 0:
        if jnp.issubdtype(value.dtype, jnp.integer):
            return int(value)
        if jnp.issubdtype(value.dtype, jnp.floating):
            return float(value)
    return None


def _is_traced(where: str, name: str) -> TypeError:
    return TypeError(
        f"{where}: {name} is traced by JAX (jit, vmap or grad), expected a number that is known: make it a static argument."
    )


Natural: TypeAlias = Annotated[int, Whole(0)]  # a whole number >= 0
Count: TypeAlias = Annotated[int, Whole(1)]  # a whole number >= 1
Shape: TypeAlias = tuple[Annotated[int, Whole(0)], ...]  # of one step of one example

Number: TypeAlias = Annotated[float, Real()]  # any finite number
AboveZero: TypeAlias = Annotated[float, Real(0.0, above=True)]
NotNegative: TypeAlias = Annotated[float, Real(0.0)]
Fraction: TypeAlias = Annotated[float, Real(0.0, 1.0)]  # a share or a probability; 0 and 1 are included

Dtype: TypeAlias = Annotated[DTypeLike, FloatDtype()]  # a dtype of floats


def default(method: _Method) -> _Method:
    """Mark a concrete method of an abstract class as a default that subclasses may replace.

    Every other concrete method is final: a test holds the package to that.
    """
    method.__snnx_default__ = True  # pyright: ignore[reportFunctionMemberAccess]
    return method
