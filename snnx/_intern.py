"""Static arguments of compiled programs, compared by what they do rather than by which object they are.

`optax.adam(1e-3)` makes new closures at every call, and a `lambda` in a model is a new function each time the model is
built. JAX compares functions by identity and would compile again. Two functions of the same code, the same closed-over
values, the same defaults and the same globals do the same thing, so here they are equal. Globals count by what they are
now: in a notebook everything is one, and a cell that is run again may have changed it.
"""

import functools
import types
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import jax

_Value = TypeVar("_Value")


class Static(Generic[_Value]):
    """A value that a compiled program depends on, hashable and comparable by structure."""

    def __init__(self, value: _Value):
        self.value = value
        self._key = structure(value)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._key == other._key


def structure(value: Any, seen: tuple[int, ...] = ()) -> Hashable:
    """A hashable description of a value: equal for two values that cannot be told apart by calling them.

    What it does not understand it compares by identity, which costs a compilation but never gives a wrong program.
    """
    if id(value) in seen:  # a function that closes over itself
        return ("itself", seen.index(id(value)))
    inner = (*seen, id(value))
    match value:
        case None | bool() | int() | str() | bytes():
            return (type(value), value)
        case float() | complex():
            return (type(value), repr(value))
        case types.FunctionType():
            cells = tuple(_cell(cell, inner) for cell in value.__closure__ or ())
            defaults = structure((value.__defaults__, value.__kwdefaults__), inner)
            extras = structure(vars(value), inner)
            names = tuple((name, _global(value, name, inner)) for name in sorted(_names(value.__code__)))
            return ("function", value.__code__, id(value.__globals__), cells, defaults, extras, names)
        case types.MethodType():
            return ("method", structure(value.__func__, inner), structure(value.__self__, inner))
        case functools.partial():
            return ("partial", structure((value.func, value.args, value.keywords), inner))
        case tuple() | list():
            return (type(value), tuple(structure(item, inner) for item in value))
        case dict():
            return (dict, tuple((structure(k, inner), structure(v, inner)) for k, v in value.items()))
    if isinstance(value, jax.Array):
        return _Identity(value)
    leaves, tree = jax.tree.flatten(value)
    if not (len(leaves) == 1 and leaves[0] is value):
        return ("tree", _hashable(tree), tuple(structure(leaf, inner) for leaf in leaves))
    return _hashable(value)


class _Identity:
    """Equal to itself alone; holds on to the object, so that its identity is not given to another."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _Identity(value)
    return value


def _names(code: types.CodeType) -> set[str]:
    """The names that a function, and those within it, look up outside of themselves (and those of attributes)."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _global(function: types.FunctionType, name: str, seen: tuple[int, ...]) -> Hashable:
    """What a function finds under a name; functions of other modules, classes and modules by identity."""
    if name not in function.__globals__:
        return "absent"
    value = function.__globals__[name]
    foreign = isinstance(value, types.FunctionType) and value.__globals__ is not function.__globals__
    if foreign or isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
        return _hashable(value)
    return structure(value, seen)


def _cell(cell: types.CellType, seen: tuple[int, ...]) -> Hashable:
    try:
        return structure(cell.cell_contents, seen)
    except ValueError:  # a cell that has not been filled
        return "empty"
