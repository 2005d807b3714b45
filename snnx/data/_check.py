"""What all that makes a data set checks: targets, masks, axes, who the examples are from."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from snnx._errors import DtypeError, ShapeError, describe


def labels_of(
    where: str, targets: "Array | np.ndarray | Sequence[int]", classes: Sequence[str] | None
) -> tuple[Array, tuple | None]:
    """Targets as an array, and the class names: labels are whole numbers of the classes, all others are regression."""
    values = np.asarray(targets)
    if classes is not None and len(set(map(str, classes))) < len(classes):
        raise ValueError(f"{where}: classes is {classes!r}, expected a list of names, each once.")
    if values.dtype == bool or not (
        np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)
    ):
        raise DtypeError(
            f"{where}: targets is {describe(values)}; expected whole numbers (labels) or floats (regression)."
        )
    if np.issubdtype(values.dtype, np.floating):
        if classes is not None:
            raise DtypeError(
                f"{where}: targets is {describe(values)}, but labels of classes are whole numbers; use .astype(int)."
            )
        numbers = finite_floats(where, "targets", values)
        if numbers.ndim == 1 and np.array_equal(numbers, np.round(numbers)):
            raise DtypeError(
                f"{where}: targets is {describe(values)} and holds whole numbers only. Labels of classes are integers,"
                " .astype(int); numbers to regress on have the shape of the output, targets[:, None] for a single one."
            )
        return jnp.asarray(numbers), None
    if values.ndim != 1:
        raise ShapeError(f"{where}: targets is {describe(values)}; expected one label an example, int[n].")
    count = (int(values.max()) + 1 if values.size else 0) if classes is None else len(classes)
    wrong = (values < 0) | (values >= count)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"{where}: the label at {at} is {values[at]}, but labels go from 0 to {count - 1}, the number of classes"
            " less one."
        )
    present = np.unique(values)
    if classes is None and len(present) != count:
        missing = int(np.argmax(present != np.arange(len(present))))
        raise ValueError(
            f"{where}: targets goes up to {count - 1}, but no example has label {missing}. Labels count from 0; if a class"
            " has no example here, name them all: classes=[...]."
        )
    names = tuple(str(i) for i in range(count)) if classes is None else tuple(str(c) for c in classes)
    return jnp.asarray(values, jnp.int32), names


def check_mask(where: str, mask: "Array | np.ndarray", n: int, steps: int) -> None:
    if mask.shape != (n, steps) or mask.dtype != bool:
        raise ShapeError(f"{where}: mask is {describe(mask)}, expected bool[{n}, {steps}]: examples, time.")


def mask_of(where: str, mask: "Array | np.ndarray | None", values: np.ndarray) -> Array | None:
    if mask is None:
        return None
    check_mask(where, mask, *values.shape[:2])
    empty = ~np.asarray(mask).any(axis=1)
    if empty.any():
        raise ValueError(f"{where}: mask leaves no step of example {int(np.argmax(empty))}; take the example out.")
    return jnp.asarray(mask)


def first_of(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def finite_floats(where: str, name: str, values: "Array | np.ndarray") -> np.ndarray:
    array = np.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise DtypeError(f"{where}: {name} is {describe(array)}, expected floats; use .astype(np.float32).")
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
            array = array.astype(jnp.zeros(()).dtype)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{where}: {name} holds values that are not finite, first at {first_of(~np.isfinite(array))}.")
    return array


def check_axes(where: str, name: str, values: np.ndarray, sample_shape: tuple[int, ...]) -> None:
    if values.ndim != 2 + len(sample_shape) or tuple(values.shape[2:]) != tuple(sample_shape):
        raise ShapeError(
            f"{where}: {name} is {describe(values)}, expected [n, time, *{tuple(sample_shape)}]: examples first, then"
            " time, then the features of one step."
        )
    if values.shape[0] == 0 or values.shape[1] == 0:
        raise ValueError(f"{where}: {name} is {describe(values)}: empty; expected at least one example and one step.")


def check_dt(where: str, dt: Any) -> float:
    """Refuse what is no positive number."""
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"{where}: dt must be a positive number, got {dt!r}.")
    return float(dt)


def meta_of(
    where: str, meta: "Mapping[str, Any] | None", count: int
) -> tuple[dict[str, Array], tuple[tuple[str, tuple[str, ...]], ...]]:
    """What is known of each example besides its target: whole numbers as they are, texts as numbers and their names."""
    numbers: dict[str, Array] = {}
    names: list[tuple[str, tuple[str, ...]]] = []
    for name, given in sorted((meta or {}).items()):
        values = np.asarray(given)
        if values.shape != (count,):
            raise ShapeError(
                f"{where}: meta[{name!r}] is {describe(values)}; expected one entry for each of {count} examples."
            )
        if values.dtype.kind in "US":
            texts, values = np.unique(values.astype(str), return_inverse=True)
            names.append((name, tuple(str(text) for text in texts)))
        elif not np.issubdtype(values.dtype, np.integer):
            raise DtypeError(f"{where}: meta[{name!r}] is {describe(values)}; expected whole numbers or texts.")
        wrong = (values < -(2**31)) | (values >= 2**31)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"{where}: meta[{name!r}] is {values[at]} at {at}, expected numbers of 32 bits; give longer ones as texts."
            )
        numbers[name] = jnp.asarray(values, jnp.int32)
    return numbers, tuple(names)
