"""Data sets from arrays; and what every data set needs, wherever it is from: labels, class names, what is known of examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._memory import host_array, to_device
from snnx._typing import AboveZero, Count, HostArray
from snnx.data._dataset import SpikeDataset
from snnx.inputs import (
    AbstractInputs,
    Constant,
    Counts,
    EventTable,
    Floats,
    SampleShape,
    SpikeLayout,
    compact,
    count_examples,
)


@checked
def from_spikes(
    spikes: HostArray,
    targets: HostArray,
    *,
    sample_shape: SampleShape,
    classes: Sequence[str] | None = None,
    mask: HostArray | None = None,
    dt: AboveZero = 1.0,
    layout: SpikeLayout = "auto",
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of binary spikes, stored as bits packed along the channels, or as lists of active channels.

    Arrays of NumPy are copied: who writes to them later does not change the data set.

    **Arguments:**
    - `spikes`: `[n, time, *sample_shape]`, zeros and ones of any dtype.
    - `targets`: `int[n]` labels from 0, or floats `[n, ...]` for regression.
    - `sample_shape`: the shape of one step, which keeps time and features from being mixed up (where they are equally
        long, nothing can tell).
    - `classes`: names of the classes; by default `"0"`, `"1"`, ... up to the largest label, each of which has to occur.
    - `mask`: `bool[n, time]`, False at padded steps.
    - `dt`: time per step.
    - `layout`: `"bits"`, `"lists"`, or `"auto"`: lists where they train faster. These are sparse spikes of a vector of
        channels on a CPU: no step with more than 164 spikes or a twelfth of the channels. Both hold every spike. Name
        it where a run is to be resumed on another kind of device.
    - `meta`: what else is known of each example, by name: whole numbers or texts `[n]`, e.g. `{"speaker": [...]}`.

    **Raises:** `ShapeError` if the axes are not examples, time, `*sample_shape`; `ValueError` for values other than 0
    and 1, for labels outside the classes, for an empty data set, for a mask that leaves out every spike; `DtypeError`
    for float labels of classes.
    """
    values = np.asarray(spikes)
    _check_axes("from_spikes", "spikes", values, sample_shape)
    live = _mask("from_spikes", mask, values)
    inputs = compact(values.reshape(*values.shape[:2], -1), sample_shape, layout)
    return data_set("from_spikes", inputs, targets, classes, dt, meta, live)


@checked
def from_currents(
    values: HostArray,
    targets: HostArray,
    *,
    sample_shape: SampleShape,
    classes: Sequence[str] | None = None,
    mask: HostArray | None = None,
    dt: AboveZero = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of currents, stored as floats `[n, time, *sample_shape]`. Arguments and errors as for `from_spikes`.

    float64 becomes JAX's default float; values that are not finite are refused.
    """
    array = _finite_floats("from_currents", "values", values)
    _check_axes("from_currents", "values", array, sample_shape)
    live = _mask("from_currents", mask, array)
    return data_set("from_currents", Floats(to_device(array), sample_shape), targets, classes, dt, meta, live)


@checked
def from_constant(
    values: HostArray,
    targets: HostArray,
    *,
    steps: Count,
    classes: Sequence[str] | None = None,
    dt: AboveZero = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of still examples `[n, *sample_shape]`, each shown as a constant current for `steps` steps.

    float64 becomes JAX's default float; values that are not finite are refused. Other arguments and errors as for
    `from_spikes`.
    """
    array = _finite_floats("from_constant", "values", values)
    if array.ndim < 2:
        raise ShapeError(f"from_constant: values is {describe(array)}; expected [n, *sample_shape].")
    inputs = Constant(to_device(array), steps, array.shape[1:])
    return data_set("from_constant", inputs, targets, classes, dt, meta)


@checked
def from_counts(
    counts: HostArray,
    targets: HostArray,
    *,
    sample_shape: SampleShape,
    classes: Sequence[str] | None = None,
    mask: HostArray | None = None,
    dt: AboveZero = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of event counts, stored as bytes `[n, time, *sample_shape]`. Arguments and errors as for `from_spikes`.

    **Raises:** `ValueError` for values other than whole numbers from 0 to 255; `from_currents` takes them.
    """
    values = np.asarray(counts)
    _check_axes("from_counts", "counts", values, sample_shape)
    if values.dtype.kind not in "biuf":
        raise DtypeError(f"from_counts: counts is {describe(values)}, expected whole numbers.")
    wrong = ~((values >= 0) & (values <= 255) & (values == np.floor(values)))
    if wrong.any():
        at = _first(wrong)
        raise ValueError(
            f"from_counts: counts holds {values[at]} at {at}, expected whole numbers from 0 to 255; others are for"
            " snnx.data.from_currents, as floats."
        )
    live = _mask("from_counts", mask, values)
    inputs = Counts(to_device(values.astype(np.uint8)), sample_shape)
    return data_set("from_counts", inputs, targets, classes, dt, meta, live)


# ------------------------------------------------------------------ what every data set needs
def data_set(
    where: str,
    inputs: AbstractInputs | EventTable,
    targets: HostArray,
    classes: Sequence[str] | None,
    dt: float,
    meta: Mapping[str, Any] | None,
    mask: Array | None = None,
) -> SpikeDataset:
    """Inputs with their targets and what else is known of them, checked in the name of the caller `where`."""
    labels, names = _labels(where, targets, classes)
    return SpikeDataset(inputs, labels, mask, names, dt, *_meta(where, meta, count_examples(inputs)))


def _labels(where: str, targets: HostArray, classes: Sequence[str] | None) -> tuple[Array, tuple[str, ...] | None]:
    """Targets as an array, and the class names: labels are whole numbers of the classes, all others are regression."""
    values = np.asarray(targets)
    if values.dtype.kind not in "iu" and not jnp.issubdtype(values.dtype, jnp.floating):
        raise DtypeError(
            f"{where}: targets is {describe(values)}; expected whole numbers (labels) or floats (regression)."
        )
    if values.dtype.kind not in "iu":
        if classes is not None:
            raise DtypeError(
                f"{where}: targets is {describe(values)}, but labels of classes are whole numbers; use .astype(int)."
            )
        numbers = _finite_floats(where, "targets", targets)
        if numbers.ndim == 1 and np.array_equal(numbers, np.round(numbers)):
            raise DtypeError(
                f"{where}: targets is {describe(values)} and holds whole numbers only. Labels of classes are integers,"
                " .astype(int); numbers to regress on have the shape of the output, targets[:, None] for a single one."
            )
        return to_device(numbers), None
    if values.ndim != 1:
        raise ShapeError(f"{where}: targets is {describe(values)}; expected one label an example, int[n].")
    if classes is not None and len(set(classes)) < len(classes):
        raise ValueError(f"{where}: classes is {classes!r}, expected a list of names, each once.")
    count = (int(values.max()) + 1 if values.size else 0) if classes is None else len(classes)
    wrong = (values < 0) | (values >= count)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"{where}: the label at {at} of targets is {values[at]}, but labels go from 0 to {count - 1}, the number of"
            " classes less one."
        )
    present = np.unique(values)
    if classes is None and len(present) != count:
        missing = int(np.argmax(present != np.arange(len(present))))
        raise ValueError(
            f"{where}: targets goes up to {count - 1}, but no example has label {missing}. Labels count from 0; if a class"
            " has no example here, name them all: classes=[...]."
        )
    names = tuple(map(str, range(count))) if classes is None else tuple(classes)
    return to_device(values.astype(np.int32)), names


def _meta(
    where: str, meta: Mapping[str, Any] | None, count: int
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
        elif values.dtype.kind not in "iu":
            raise DtypeError(f"{where}: meta[{name!r}] is {describe(values)}; expected whole numbers or texts.")
        wrong = (values < -(2**31)) | (values >= 2**31)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ValueError(
                f"{where}: meta[{name!r}] is {values[at]} at {at}, expected numbers of 32 bits; give longer ones as texts."
            )
        numbers[name] = to_device(values.astype(np.int32))
    return numbers, tuple(names)


def _finite_floats(where: str, name: str, values: HostArray) -> np.ndarray:
    """Floats in the dtype that JAX has for them, in memory that nobody else writes to."""
    array = np.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise DtypeError(f"{where}: {name} is {describe(array)}, expected floats; use .astype(np.float32).")
    dtype = jnp.zeros(()).dtype if array.dtype.itemsize >= 8 else array.dtype.newbyteorder("=")
    if isinstance(values, jax.Array) and array.dtype == dtype:
        own = array  # the buffer of a JAX array, which cannot be written to
    else:
        own = host_array(array.shape, dtype)
        with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
            own[...] = array
    if not np.all(np.isfinite(own)):
        raise ValueError(f"{where}: {name} holds values that are not finite, first at {_first(~np.isfinite(own))}.")
    return own


def _mask(where: str, mask: HostArray | None, values: np.ndarray) -> Array | None:
    if mask is None:
        return None
    live = np.array(mask)
    if live.shape != values.shape[:2] or live.dtype != bool:
        raise ShapeError(f"{where}: mask is {describe(live)}, expected bool{list(values.shape[:2])}: examples, time.")
    if not live.any(axis=1).all():
        at = int(np.argmin(live.any(axis=1)))
        raise ValueError(f"{where}: mask leaves no step of example {at}; take the example out.")
    busy = values.reshape(*live.shape, -1).any(axis=2)
    if busy.any() and not (busy & live).any():
        raise ValueError(
            f"{where}: mask is False at every step at which {where.removeprefix('from_')} come in; it is True where a step"
            " counts, and False where it is padding: pass ~mask."
        )
    return to_device(live)


def _check_axes(where: str, name: str, values: np.ndarray, sample_shape: tuple[int, ...]) -> None:
    if values.ndim != 2 + len(sample_shape) or tuple(values.shape[2:]) != sample_shape:
        raise ShapeError(
            f"{where}: {name} is {describe(values)}, expected [n, time, *{sample_shape}]: examples first, then time, then the"
            " features of one step."
        )
    if values.shape[0] == 0 or values.shape[1] == 0:
        raise ValueError(f"{where}: {name} is {describe(values)}: empty; expected at least one example and one step.")


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])
