"""Whole-model changes: another time step, another dtype."""

import dataclasses
import inspect
from typing import Annotated, Any, TypeVar, get_args, get_origin

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from snnx._checks import checked
from snnx._readers import reader
from snnx._typing import AboveZero, Dtype
from snnx.cells._cell import AbstractCell, walk
from snnx.parameters import ParameterIn

_Model = TypeVar("_Model")


def replace(module: _Model, **changes: object) -> _Model:
    """A module with some fields exchanged, static ones too, its `__init__` not run again."""
    new = object.__new__(type(module))
    for field in dataclasses.fields(module):  # pyright: ignore[reportArgumentType]
        object.__setattr__(new, field.name, changes.get(field.name, getattr(module, field.name)))
    return new


def exchange(node: PyTree, field: str, value: object, *, check: bool = False) -> PyTree:
    """`value` for `field` in every cell that has one, cells within cells too; with `check`, as checked as a new one."""

    def is_inner(part: PyTree) -> bool:
        return part is not node and isinstance(part, AbstractCell)

    def change_inner(part: PyTree) -> PyTree:
        return exchange(part, field, value, check=check) if is_inner(part) else part

    node = jax.tree.map(change_inner, node, is_leaf=is_inner)
    if isinstance(node, AbstractCell) and any(f.name == field for f in dataclasses.fields(node)):
        node = replace(node, **{field: value})
        if check:
            _check(node)
    return node


def _check(module: PyTree) -> None:
    """Run the checks of construction on a module as it is now: its parameters are read again, then `__check_init__`."""
    name = type(module).__name__
    for argument, hint in inspect.get_annotations(type(module).__init__).items():
        if _is_parameter(hint) and hasattr(module, argument):
            reader(hint)(name, argument, getattr(module, argument))  # pyright: ignore[reportOptionalCall]
    for kind in type(module).__mro__:
        if "__check_init__" in vars(kind):
            vars(kind)["__check_init__"](module)


def _is_parameter(hint: Any) -> bool:
    """Whether an annotation is `Parameter`, or one of its kinds, or that or None."""
    if get_origin(hint) is Annotated:
        return any(isinstance(extra, ParameterIn) for extra in hint.__metadata__)
    return any(map(_is_parameter, get_args(hint)))


def refused_parameters(model: PyTree) -> str:
    """What construction would say of parameters that training has moved out of range, part by part; else an empty text."""
    found = []
    for path, part in walk(model):
        if isinstance(part, AbstractCell):
            try:
                _check(part)
            except ValueError as error:
                found.append(f"Part {path}: {error}" if path else str(error))
    return " ".join(found)


@checked
def with_dt(model: _Model, dt: AboveZero) -> _Model:
    """The same differential equations at another time step: every cell's `dt` becomes `dt`.

    Time constants keep their values, so `dt` must be in their unit. Outputs of a network trained at another step
    approach those of the original only as far as its inputs are rescaled by the user.

    **Raises:** `ValueError` if `dt` is too large for a cell: Euler steps with `tau <= dt/2`, an `AdLIF` that becomes
    unstable.
    """
    return exchange(model, "dt", float(dt), check=True)


@checked
def cast(model: _Model, dtype: Dtype) -> _Model:
    """A model in another float dtype: its arrays of floats, and the state and spikes of its cells.

    ```python
    half = snnx.cast(model, "bfloat16")
    ```

    **Raises:** `ValueError` for a dtype that is not of floats, and for float64 while x64 is off.
    """
    dtype = jnp.dtype(dtype)
    if jnp.zeros((), jax.dtypes.canonicalize_dtype(dtype)).dtype != dtype:
        raise ValueError(f"cast: dtype is {dtype.name}, which needs jax.config.update('jax_enable_x64', True).")
    model = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, model)
    return exchange(model, "dtype", dtype)
