"""Checks of parameters at construction. Arrays under a JAX transformation cannot be looked at and pass."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from snnx._errors import ShapeError
from snnx.parameters._parameter import AbstractParameter, Parameter, value


def _known(parameter: Parameter) -> "np.ndarray | None":
    """The parameter's numbers, or None where they are not known yet (inside jit, vmap, grad)."""
    x = value(parameter)
    return None if isinstance(x, Tracer) else np.asarray(x, dtype=np.float64)


def check_number(where: str, name: str, parameter: Parameter) -> None:
    """Refuse what is no finite number, no JAX array of floats and no parameter wrapper."""
    if not isinstance(parameter, AbstractParameter):
        _check_kind(where, name, parameter)
    known = _known(parameter)
    if known is not None and not np.all(np.isfinite(known)):
        raise ValueError(f"{where}: {name} holds values that are not finite: {parameter!r}.")


def _check_kind(where: str, name: str, parameter: Any) -> None:
    if isinstance(parameter, bool) or not (isinstance(parameter, (int, float)) or hasattr(parameter, "dtype")):
        raise TypeError(
            f"{where}: {name} is {parameter!r}, expected a number (constant), an array of floats (learned) or a"
            " wrapper such as snnx.Positive."
        )
    if isinstance(parameter, np.ndarray):  # JAX computes with it, but no trainer would take it for a parameter
        raise TypeError(f"{where}: {name} is a NumPy array; write jnp.asarray(...) to learn it, or snnx.Frozen(...).")
    dtype = getattr(parameter, "dtype", None)
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{where}: {name} has dtype {dtype}, expected floats; use .astype(float).")


def check_positive(where: str, name: str, parameter: Parameter) -> None:
    """Refuse a parameter that is no number, or has a value <= 0."""
    check_number(where, name, parameter)
    known = _known(parameter)
    if known is not None and known.size and known.min() <= 0:
        raise ValueError(f"{where}: {name} must be positive, got {known.min():g}.")


def check_not_negative(where: str, name: str, parameter: Parameter) -> None:
    """Refuse a parameter that is no number, or has a value < 0."""
    check_number(where, name, parameter)
    known = _known(parameter)
    if known is not None and known.size and known.min() < 0:
        raise ValueError(f"{where}: {name} must not be negative, got {known.min():g}.")


def check_range(where: str, name: str, parameter: Parameter, low: float, high: float) -> None:
    """Refuse a parameter with a value that is not strictly between `low` and `high`."""
    known = _known(parameter)
    if known is not None and known.size and not (known.min() > low and known.max() < high):
        worst = known.min() if known.min() <= low else known.max()
        raise ValueError(f"{where}: {name} must lie between {low:g} and {high:g} (exclusive), got {worst:g}.")


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
