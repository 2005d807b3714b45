"""Whole-model changes: another time step, another dtype."""

import dataclasses
import math
from typing import Any, TypeVar, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from snnx._readers import reader
from snnx.cells._cell import AbstractCell
from snnx.cells._paths import walk
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
    """What the checks at construction say of a module as it is now: of its parameters by annotation, then its own."""
    for field in dataclasses.fields(module):
        if _is_parameter(field.type) and (read := reader(field.type)) is not None:
            read(type(module).__name__, field.name, getattr(module, field.name))
    for kind in type(module).__mro__:
        if "__check_init__" in vars(kind):
            vars(kind)["__check_init__"](module)


def _is_parameter(hint: Any) -> bool:
    """Whether an annotation is that of a parameter, or of one that may be None."""
    parts = (hint, *get_args(hint))
    return any(isinstance(extra, ParameterIn) for part in parts for extra in getattr(part, "__metadata__", ()))


def refused_parameters(model: PyTree) -> str:
    """Where training has moved a parameter to a value that no cell could be made with: the sentences; else nothing."""
    found = []
    for path, part in walk(model):
        if isinstance(part, AbstractCell):
            try:
                _check(part)
            except ValueError as error:
                found.append(f"Part {path}: {error}" if path else str(error))
    return " ".join(found)


def with_dt(model: _Model, dt: float) -> _Model:
    """The same differential equations at another time step: every cell's `dt` becomes `dt`.

    Time constants keep their values, so `dt` must be in their unit. Outputs of a network trained at another step
    approach those of the original only as far as its inputs are rescaled by the user.

    **Raises:** `ValueError` if `dt` is not a positive number, or too large for a cell: Euler steps with
    `tau <= dt/2`, an `AdLIF` that becomes unstable.
    """
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise ValueError(f"with_dt: dt must be a positive number, got {dt!r}.")
    return exchange(model, "dt", float(dt), check=True)


def cast(model: _Model, dtype: "str | jnp.dtype | type") -> _Model:
    """A model in another float dtype: its arrays of floats, and the state and spikes of its cells.

    ```python
    half = snnx.cast(model, "bfloat16")
    ```

    **Raises:** `ValueError` if `dtype` is no float dtype, or is float64 while x64 is off.
    """
    try:
        dtype = jnp.dtype(dtype)
    except TypeError:
        raise ValueError(f"cast: dtype is {dtype!r}, expected a float dtype such as 'bfloat16' or 'float32'.") from None
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"cast: dtype is {dtype.name}, expected a float dtype such as 'bfloat16' or 'float32'.")
    if jnp.zeros((), jax.dtypes.canonicalize_dtype(dtype)).dtype != dtype:
        raise ValueError(f"cast: {dtype.name} needs jax.config.update('jax_enable_x64', True).")
    model = jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, model)
    return exchange(model, "dtype", dtype)
