import math
import zlib
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from snnx._errors import DtypeError, ShapeError, check_key, describe, unknown_name
from snnx._typing import checked
from snnx.inputs import LAYOUTS, AbstractInputs, Constant, Dense, compact


class SpikeDataset(eqx.Module):
    """Examples that stay in device memory, in a compact layout, with their targets.

    Made by `snnx.data.from_spikes`, `from_currents`, `from_constant`, or by a function for a data set such as
    `snnx.data.digits`. Inside a compiled loop `take` gathers a batch; the dense array of all examples never exists.

    **Fields:**
    - `inputs`: a layout (`Bits`, `Dense`, `Constant`) whose arrays have a leading axis over examples.
    - `targets`: `int[n]` labels, or floats `[n, ...]` for regression.
    - `mask`: `bool[n, time]`, False at padded steps of sequences of different lengths; or None.
    - `classes`: names of the classes, or None for regression.
    - `dt`: seconds (or whatever unit the time constants are in) per step.
    """

    inputs: AbstractInputs
    targets: Array
    mask: Bool[Array, "n time"] | None = None
    classes: tuple[str, ...] | None = eqx.field(static=True, default=None)
    dt: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not isinstance(self.inputs, AbstractInputs):
            raise TypeError(
                f"SpikeDataset: inputs is {describe(self.inputs)}; expected a layout such as snnx.Bits. From arrays:"
                " snnx.data.from_spikes(...), from_currents(...) or from_constant(...)."
            )
        if not (isinstance(self.dt, (int, float)) and math.isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"SpikeDataset: dt must be a positive number, got {self.dt!r}.")
        n = len(self)
        if n == 0:
            raise ValueError("SpikeDataset: there is no example in it; expected at least one.")
        if self.targets.ndim == 0 or self.targets.shape[0] != n:
            raise ShapeError(f"SpikeDataset: targets is {describe(self.targets)}, but there are {n} examples.")
        if self.mask is not None:
            _check_mask("SpikeDataset", self.mask, n, self.num_steps)

    def __len__(self) -> int:
        return jax.tree.leaves(self.inputs)[0].shape[0]

    @property
    def num_steps(self) -> int:
        """Time steps of every example (padded ones included)."""
        return self.inputs.num_steps

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one step of one example: what `cell.init_state` takes."""
        return self.inputs.sample_shape

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None for regression."""
        return None if self.classes is None else len(self.classes)

    @property
    def nbytes(self) -> int:
        """Bytes that the data set takes in device memory."""
        return sum(x.nbytes for x in jax.tree.leaves(self))

    def take(self, indices: Int[Array, "batch"]) -> "SpikeDataset":
        """The examples at these indices; works inside `jit`, where nothing can be checked.

        An index out of range gives the example at the end; `subset` refuses it.
        """
        indices = jnp.asarray(indices)
        return jax.tree.map(lambda x: x.at[indices].get(mode="clip"), self)

    def with_dt(self, dt: float) -> "SpikeDataset":
        """The same data with another number for the time of a step: another unit of time (nothing is resampled)."""
        return SpikeDataset(self.inputs, self.targets, self.mask, self.classes, dt)

    def subset(self, indices: "Sequence[int] | np.ndarray") -> "SpikeDataset":
        """The examples at these indices, checked: each between 0 and `len(self) - 1`.

        **Raises:** `IndexError` for an index out of range, `ValueError` for no index at all.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"subset: indices is {describe(chosen)}; expected a list of at least one whole number.")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise IndexError(f"subset: indices go from {chosen.min()} to {chosen.max()}, but there are {len(self)}.")
        return self.take(jnp.asarray(chosen))

    def split(self, fractions: Sequence[float], *, key: Key[Array, ""]) -> "tuple[SpikeDataset, ...]":
        """Disjoint parts, drawn at random; with classes, each class is divided in the same proportions (stratified).

        ```python
        train, valid, test = data.split((0.7, 0.1, 0.2), key=key)
        ```

        **Arguments:** `fractions`: positive, summing to 1. `key`: decides who goes where.
        **Raises:** `ValueError` if the fractions are wrong, or a part would be empty.
        """
        check_key("split", key)
        fractions = tuple(float(f) for f in fractions)
        if not all(f > 0 for f in fractions) or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
            raise ValueError(f"split: fractions is {fractions}; expected positive numbers that sum to 1.")
        order = np.asarray(jax.random.permutation(key, len(self)))
        groups = np.zeros(len(self), int) if self.classes is None else np.asarray(self.targets)[order]
        part = np.empty(len(self), int)
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            place = (np.arange(len(members)) + 0.5) / len(members)
            part[members] = np.searchsorted(np.cumsum(fractions)[:-1], place, side="right")
        chosen = [order[part == i] for i in range(len(fractions))]
        if any(len(c) == 0 for c in chosen):
            raise ValueError(f"split: {len(self)} examples cannot be split by {fractions}: a part is empty.")
        return tuple(self.subset(c) for c in chosen)

    def example(self, index: int) -> Float[Array, "time *shape"]:
        """The dense input of one example, `[time, *sample_shape]`; -1 is the last.

        **Raises:** `IndexError` for an index out of range.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"example: index is {index}, but there are {len(self)} examples.")
        one = self.subset([index % len(self)])
        return jax.tree.map(lambda x: x[0], one.inputs).dense()


def _labels(
    where: str, targets: "Array | np.ndarray | Sequence[int]", classes: Sequence[str] | None
) -> tuple[Array, tuple | None]:
    """Targets as an array, and the class names: labels are whole numbers of the classes, all others are regression."""
    values = np.asarray(targets)
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
        numbers = _finite_floats(where, "targets", values)
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


def _check_mask(where: str, mask: "Array | np.ndarray", n: int, steps: int) -> None:
    if mask.shape != (n, steps) or mask.dtype != bool:
        raise ShapeError(f"{where}: mask is {describe(mask)}, expected bool[{n}, {steps}]: examples, time.")


def _mask(where: str, mask: "Array | np.ndarray | None", values: np.ndarray) -> Array | None:
    if mask is None:
        return None
    _check_mask(where, mask, *values.shape[:2])
    empty = ~np.asarray(mask).any(axis=1)
    if empty.any():
        raise ValueError(f"{where}: mask leaves no step of example {int(np.argmax(empty))}; take the example out.")
    return jnp.asarray(mask)


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _finite_floats(where: str, name: str, values: "Array | np.ndarray") -> np.ndarray:
    array = np.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise DtypeError(f"{where}: {name} is {describe(array)}, expected floats; use .astype(np.float32).")
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
            array = array.astype(jnp.zeros(()).dtype)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{where}: {name} holds values that are not finite, first at {_first(~np.isfinite(array))}.")
    return array


def fingerprint(data: SpikeDataset) -> str:
    """A short text that tells data sets apart: a checksum of what they are, of all targets, and of 64 examples spread
    over the whole."""
    some = jax.device_get(data.take(jnp.linspace(0, len(data) - 1, 64).astype(jnp.int32)))
    what = [str(jax.tree.structure(data)), *(str((x.shape, x.dtype)) for x in jax.tree.leaves(data))]
    parts = [" ".join(what).encode(), np.asarray(data.targets), *jax.tree.leaves(some)]
    total = 0
    for part in parts:
        total = zlib.crc32(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes(), total)
    return f"{total:08x}"


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

    **Raises:** `ShapeError` if the axes are not examples, time, `*sample_shape`; `ValueError` for values other than 0
    and 1, for labels outside the classes, for an empty data set; `DtypeError` for float labels of classes.
    """
    values = np.asarray(spikes)
    _check_axes("from_spikes", "spikes", values, sample_shape)
    labels, names = _labels("from_spikes", targets, classes)
    if layout not in LAYOUTS:
        raise ValueError(unknown_name("from_spikes", "layout", layout, LAYOUTS))
    inputs = compact(values.reshape(*values.shape[:2], -1), tuple(sample_shape), layout)
    live = _mask("from_spikes", mask, values)
    return SpikeDataset(inputs, labels, live, names, dt)


@checked
def from_currents(
    values: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    sample_shape: tuple[int, ...],
    classes: Sequence[str] | None = None,
    mask: "Array | np.ndarray | None" = None,
    dt: float = 1.0,
) -> SpikeDataset:
    """A data set of currents, stored as floats `[n, time, *sample_shape]`. Arguments and errors as for `from_spikes`.

    float64 becomes JAX's default float; non-finite values are refused.
    """
    array = _finite_floats("from_currents", "values", values)
    _check_axes("from_currents", "values", array, sample_shape)
    labels, names = _labels("from_currents", targets, classes)
    live = _mask("from_currents", mask, array)
    return SpikeDataset(Dense(jnp.asarray(array), tuple(sample_shape)), labels, live, names, dt)


@checked
def from_constant(
    values: "Array | np.ndarray",
    targets: "Array | np.ndarray | Sequence[int]",
    *,
    steps: int,
    classes: Sequence[str] | None = None,
    dt: float = 1.0,
) -> SpikeDataset:
    """A data set of still examples `[n, *sample_shape]`, each shown as a constant current for `steps` steps.

    float64 becomes JAX's default float; non-finite values are refused. Other arguments and errors as for `from_spikes`.
    """
    array = _finite_floats("from_constant", "values", values)
    if array.ndim < 2:
        raise ShapeError(f"from_constant: values is {describe(array)}; expected [n, *sample_shape].")
    labels, names = _labels("from_constant", targets, classes)
    return SpikeDataset(Constant(jnp.asarray(array), steps, array.shape[1:]), labels, None, names, dt)


def _check_axes(where: str, name: str, values: np.ndarray, sample_shape: tuple[int, ...]) -> None:
    if values.ndim != 2 + len(sample_shape) or tuple(values.shape[2:]) != tuple(sample_shape):
        raise ShapeError(
            f"{where}: {name} is {describe(values)}, expected [n, time, *{tuple(sample_shape)}]: examples first, then"
            " time, then the features of one step."
        )
    if values.shape[0] == 0 or values.shape[1] == 0:
        raise ValueError(f"{where}: {name} is {describe(values)}: empty; expected at least one example and one step.")
