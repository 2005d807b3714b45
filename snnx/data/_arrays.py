"""Data sets from arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe, unknown_name
from snnx.data._check import check_axes, finite_floats, first_of, labels_of, mask_of, meta_of
from snnx.data._dataset import SpikeDataset
from snnx.inputs import SPIKE_LAYOUTS, Constant, Counts, Floats, compact


@checked
def from_spikes(
    spikes: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    sample_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
    mask: "Array | np.ndarray | None" = None,
    dt: float = 1.0,
    layout: str = "auto",
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of binary spikes, stored as bits packed along the channels, or as lists of active channels.

    **Arguments:**
    - `spikes`: `[n, time, *sample_shape]`, zeros and ones of any dtype.
    - `targets`: `int[n]` labels from 0, or floats `[n, ...]` for regression.
    - `sample_shape`: the shape of one step, said so that time and features are not mixed up (where they are equally
        long, nothing can tell).
    - `classes`: names of the classes; by default `"0"`, `"1"`, ... up to the largest label, each of which has to occur.
    - `mask`: `bool[n, time]`, False at padded steps.
    - `dt`: time per step.
    - `layout`: `"bits"`, `"lists"`, or `"auto"`: lists where they train faster. These are sparse spikes of a vector of
        channels on a CPU: no step with more than 164 spikes or a twelfth of the channels. Both hold every spike. Name
        it where a run is to be resumed on another kind of device.
    - `meta`: what else is known of each example, by name: whole numbers or texts `[n]`, e.g. `{"speaker": [...]}`.

    **Raises:** `ShapeError` if the axes are not examples, time, `*sample_shape`; `ValueError` for values other than 0
    and 1, for labels outside the classes, for an empty data set; `DtypeError` for float labels of classes.
    """
    values = np.asarray(spikes)
    check_axes("from_spikes", "spikes", values, sample_shape)
    labels, names = labels_of("from_spikes", targets, classes)
    if layout not in SPIKE_LAYOUTS:
        raise ValueError(unknown_name("from_spikes", "layout", layout, SPIKE_LAYOUTS))
    inputs = compact(values.reshape(*values.shape[:2], -1), tuple(sample_shape), layout)
    live = mask_of("from_spikes", mask, values)
    return SpikeDataset(inputs, labels, live, names, dt, *meta_of("from_spikes", meta, len(values)))


@checked
def from_currents(
    values: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    sample_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
    mask: "Array | np.ndarray | None" = None,
    dt: float = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of currents, stored as floats `[n, time, *sample_shape]`. Arguments and errors as for `from_spikes`.

    float64 becomes JAX's default float; non-finite values are refused.
    """
    array = finite_floats("from_currents", "values", values)
    check_axes("from_currents", "values", array, sample_shape)
    labels, names = labels_of("from_currents", targets, classes)
    live = mask_of("from_currents", mask, array)
    inputs = Floats(jnp.asarray(array), tuple(sample_shape))
    return SpikeDataset(inputs, labels, live, names, dt, *meta_of("from_currents", meta, len(array)))


@checked
def from_constant(
    values: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    steps: int,
    classes: Sequence[str] | None = None,
    dt: float = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of still examples `[n, *sample_shape]`, each shown as a constant current for `steps` steps.

    float64 becomes JAX's default float; non-finite values are refused. Other arguments and errors as for `from_spikes`.
    """
    array = finite_floats("from_constant", "values", values)
    if array.ndim < 2:
        raise ShapeError(f"from_constant: values is {describe(array)}; expected [n, *sample_shape].")
    labels, names = labels_of("from_constant", targets, classes)
    inputs = Constant(jnp.asarray(array), steps, array.shape[1:])
    return SpikeDataset(inputs, labels, None, names, dt, *meta_of("from_constant", meta, len(array)))


@checked
def from_counts(
    counts: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    sample_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
    mask: "Array | np.ndarray | None" = None,
    dt: float = 1.0,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """A data set of event counts, stored as bytes `[n, time, *sample_shape]`. Arguments and errors as for `from_spikes`.

    **Raises:** `ValueError` for what is no whole number from 0 to 255, which `from_currents` takes.
    """
    values = np.asarray(counts)
    check_axes("from_counts", "counts", values, sample_shape)
    if values.dtype.kind not in "biuf":
        raise DtypeError(f"from_counts: counts is {describe(values)}, expected whole numbers.")
    wrong = ~((values >= 0) & (values <= 255) & (values == np.floor(values)))
    if wrong.any():
        at = first_of(wrong)
        raise ValueError(
            f"from_counts: counts holds {values[at]} at {at}, expected whole numbers from 0 to 255; others are for"
            " snnx.data.from_currents, as floats."
        )
    labels, names = labels_of("from_counts", targets, classes)
    live = mask_of("from_counts", mask, values)
    inputs = Counts(jnp.asarray(values.astype(np.uint8)), tuple(sample_shape))
    return SpikeDataset(inputs, labels, live, names, dt, *meta_of("from_counts", meta, len(values)))
