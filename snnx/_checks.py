"""Floor 0: the boundary. `@checked` reads each argument of a public function by its annotation before the function sees it.

An annotation can say a range (`_typing.py`); what no annotation says, such as how two arguments go together, is left to the
function. Under `jit` all of this happens while the function is traced, and costs nothing afterwards.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, get_args, overload

from jaxtyping import jaxtyped

from snnx._errors import ShapeError, describe
from snnx._readers import Reader, is_array_hint, reader

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Class = TypeVar("_Class", bound=type)


@overload
def checked(thing: _Class) -> _Class: ...


@overload
def checked(thing: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]: ...


def checked(thing: Any) -> Any:
    """Read the annotated arguments of a public function, or of a class's constructor, before it sees them.

    A result of arrays is checked, too.

    Axis names are bound across the arguments of one call, left to right, so that the message names the first argument
    that disagrees.

    **Raises:** `snnx.ShapeError`, `snnx.DtypeError`, `TypeError` where another kind was expected, `ValueError` out of range.
    """
    if isinstance(thing, type):
        thing.__init__ = _checked(thing.__init__, thing.__name__)
        return thing
    return _checked(thing, thing.__qualname__)


def readers(thing: Any) -> dict[str, "Reader | None"]:
    """How each argument of a checked function or class is read.

    **Raises:** `TypeError` for what is not `@checked`.
    """
    found = getattr(thing.__init__ if isinstance(thing, type) else thing, "__snnx_readers__", None)
    if found is None:
        raise TypeError(f"{getattr(thing, '__name__', thing)} is not @checked.")
    return found()


def _checked(function: Callable, known_as: str) -> Callable:
    signature = inspect.signature(function)
    hints = inspect.get_annotations(function)
    result = hints.get("return")

    @functools.cache
    def readers() -> dict[str, Reader | None]:
        return {name: reader(hints.get(name, Any)) for name in signature.parameters}

    @functools.cache
    def result_reader() -> Reader | None:
        return reader(result) if _has_arrays(result) else None

    is_method = next(iter(signature.parameters), "") == "self" and function.__name__ != "__init__"

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        where = _method(args[0], function) if is_method and args else known_as
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            known = [name for name in signature.parameters if name != "self"]
            raise TypeError(f"{where}: {error}; it takes {', '.join(known)}.") from None
        with jaxtyped("context"):
            given = bound.arguments
            for name, value in given.items():
                read = readers()[name]
                kind = signature.parameters[name].kind
                if read is None:
                    continue
                try:
                    if kind is inspect.Parameter.VAR_POSITIONAL:
                        given[name] = tuple(read(where, f"{name}[{i}]", v) for i, v in enumerate(value))
                    elif kind is inspect.Parameter.VAR_KEYWORD:
                        given[name] = {key: read(where, key, v) for key, v in value.items()}
                    else:
                        given[name] = read(where, name, value)
                except ShapeError as error:
                    raise _with_others(error, given, name) from None
            with jaxtyped("context"):  # one of its own: the names of axes here are none of the function's business
                found = function(*bound.args, **bound.kwargs)
            read_result = result_reader()
            if read_result is not None:
                read_result(where, "the result", found)
        return found

    wrapper.__snnx_readers__ = readers  # pyright: ignore[reportAttributeAccessIssue]
    return wrapper


def _method(owner: Any, function: Callable) -> str:
    """A method under the name of the class that it is called on, which may have inherited it: `ATan`, `ATan.fire`."""
    kind = type(owner).__name__
    return kind if function.__name__ == "__call__" else f"{kind}.{function.__name__}"


def _has_arrays(hint: Any) -> bool:
    return is_array_hint(hint) or any(map(_has_arrays, get_args(hint)))


def _with_others(error: ShapeError, given: Mapping[str, Any], name: str) -> ShapeError:
    """The error of an array of another shape beside the arrays that came before it, to which its axes are tied."""
    text = str(error)
    if text.endswith("."):
        return error
    before = [(key, value) for key, value in given.items() if hasattr(value, "dtype")]
    before = before[: [key for key, _ in before].index(name)] if name in dict(before) else before
    others = ", ".join(f"{key} is {describe(value)}" for key, value in before)
    return ShapeError(
        text
        + (f", where {others}" if others else "")
        + "; check the order of its axes (snnx functions take one example: jax.vmap adds a batch axis)."
    )
