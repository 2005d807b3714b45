"""Floor 0: the shape vocabulary, and the type-checker of the public boundary.

The names of axes, used in every annotation and in every error message:

| name | axis |
|---|---|
| `time` | time steps |
| `batch` | examples |
| `in`, `out` | features that a layer takes, gives |
| `channels`, `height`, `width` | of a feature map, in this order |
| `classes` | classes of a classifier |
| `*shape` | any axes of one step of one example |
"""

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_args, no_type_check

from jaxtyping import AbstractArray, jaxtyped

from snnx._errors import DtypeError, ShapeError, describe

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@no_type_check  # so that the tests' checker gives it no context of its own for the names of axes
def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a hint says; an int is a float."""
    # Imported here: beartype is a third of what `import snnx` would cost.
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    return is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))


def _is_array_hint(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)


def _array_hints(hint: Any) -> list[Any]:
    """The jaxtyping annotations inside a hint such as `Float[Array, "time"] | None`."""
    return [hint] if _is_array_hint(hint) else [inner for arg in get_args(hint) for inner in _array_hints(arg)]


def _sentence(hint: Any) -> str:
    """`Float[Array, "time in"]` as `Float[time, in]`; other hints as they print."""
    if _is_array_hint(hint):
        return f"{hint.dtype.__name__}[{', '.join(hint.dim_str.split())}]"
    arrays = _array_hints(hint)
    if arrays:
        kinds = dict.fromkeys(_sentence(a) for a in arrays)
        return " or ".join([*kinds, *(["None"] if type(None) in get_args(hint) else [])])
    return getattr(hint, "__name__", str(hint))


def _error(where: str, name: str, value: Any, hint: Any, seen: dict[str, Any]) -> Exception:
    arrays = _array_hints(hint)
    came = f"{where}: {name} is {describe(value)}, expected {_sentence(hint)}"
    if not arrays or not hasattr(value, "dtype"):
        return TypeError(came + ".")
    if not any(isinstance(value, _any_shape(a)) for a in arrays):
        return DtypeError(f"{came}; cast it, e.g. {name}.astype(...), or pass the array that was meant.")
    others = ", ".join(f"{k} is {describe(v)}" for k, v in seen.items() if hasattr(v, "dtype"))
    return ShapeError(
        came
        + (f", where {others}" if others else "")
        + "; check the order of its axes (snnx functions take one example: jax.vmap adds a batch axis)."
    )


def _any_shape(hint: Any) -> Any:
    """The same dtypes with any shape."""
    return hint.dtype[hint.array_type, "..."]


def checked(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Check a public function's annotated arguments and result, at call time (under jit: at trace time only).

    Axis names are bound across the arguments of one call, left to right, so that the message names the first
    argument that disagrees. `SNNX_TYPECHECK=0` in the environment makes this the identity.

    **Raises:** `snnx.ShapeError`, `snnx.DtypeError`, or `TypeError` where no array was expected.
    """
    if os.environ.get("SNNX_TYPECHECK") == "0":
        return function
    signature = inspect.signature(function)
    hints = {
        name: hint
        for name, hint in inspect.get_annotations(function).items()
        if hint is not Any and not isinstance(hint, str)
    }
    where = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def wrapper(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            bound = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{where}: {error}; it takes {signature}.") from None
        with jaxtyped("context"):
            seen: dict[str, Any] = {}
            for name, value in bound.items():
                if name in hints and not _fits(value, hints[name]):
                    raise _error(where, name, value, hints[name], seen)
                seen[name] = value
            result = function(*args, **kwargs)
            if "return" in hints and not _fits(result, hints["return"]):
                raise _error(where, "the result", result, hints["return"], seen)
        return result

    return wrapper
