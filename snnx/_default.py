"""A mark for the few concrete methods of a base class that a subclass may replace."""

from collections.abc import Callable
from typing import TypeVar

_Method = TypeVar("_Method", bound=Callable)


def default(method: _Method) -> _Method:
    """Mark a concrete method as a default that subclasses may replace.

    Every other concrete method is final: a test holds the package to that.
    """
    method.__snnx_default__ = True  # pyright: ignore[reportFunctionMemberAccess]
    return method
