"""Examples with their targets in device memory: the one class that every function of `snnx.data` gives."""

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Key, Shaped

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import AboveZero, HostArray, Real
from snnx.inputs import AbstractInputs, Constant, EventTable, Floats, Layout, binned, count_examples, lay_out


class Shares(NamedTuple):
    """In `Annotated[Sequence[float], Shares()]`: the share of each part of a whole."""

    def read(self, where: str, name: str, value: Any) -> tuple[float, ...]:
        shares = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(shares, str) or not isinstance(shares, Sequence):
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        each = Real(0.0, 1.0, above=True)
        parts = tuple(float(each.read(where, f"{name}[{i}]", share)) for i, share in enumerate(shares))
        if not math.isclose(sum(parts), 1.0, abs_tol=1e-6):
            raise ValueError(f"{where}: {name} is {parts}, which sums to {sum(parts):g}, expected {self}.")
        return parts

    def __str__(self) -> str:
        return "the share of each part, which sum to 1, such as (0.8, 0.2)"


@checked
class SpikeDataset(eqx.Module):
    """Examples that stay in device memory, in a compact layout, with their targets.

    Made by `snnx.data.from_spikes`, `from_events`, `from_currents` and others, or by a function for a data set such as
    `snnx.data.shd`. Inside a compiled loop `take` gathers a batch; the dense array of all examples never exists.

    **Fields:**
    - `inputs`: a layout (`Bits`, `ActiveChannels`, `Counts`, `Floats`, `Constant`) whose arrays have a leading axis over
        examples, or an `EventTable`.
    - `targets`: `int[n]` labels, or floats `[n, ...]` for regression.
    - `mask`: `bool[n, time]`, False at padded steps of sequences of different lengths; or None.
    - `classes`: names of the classes, or None for regression.
    - `dt`: seconds (or whatever unit the time constants are in) per step.
    - `meta`: what else is known of each example, by name, as whole numbers `int[n]`: `{"speaker": ...}`; it is what
        `snnx.data.leave_out` divides by.
    - `meta_names`: the texts that those numbers stand for, where they stand for texts.
    """

    inputs: AbstractInputs | EventTable
    targets: Shaped[Array, "n *target"]
    mask: Bool[Array, "n time"] | None = None
    classes: tuple[str, ...] | None = eqx.field(static=True, default=None)
    dt: AboveZero = eqx.field(static=True, default=1.0)
    meta: Mapping[str, Integer[Array, "n"]] = eqx.field(default_factory=dict)
    meta_names: tuple[tuple[str, tuple[str, ...]], ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        n = len(self)
        if n == 0:
            raise ValueError("SpikeDataset: there is no example in it; expected at least one.")
        if self.targets.shape[0] != n:
            raise ShapeError(f"SpikeDataset: targets is {describe(self.targets)}, but there are {n} examples.")
        if self.mask is not None and self.mask.shape[1] != self.num_steps:
            raise ShapeError(f"SpikeDataset: mask is {describe(self.mask)}, but there are {self.num_steps} steps.")

    def __len__(self) -> int:
        return count_examples(self.inputs)

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

    @checked
    def take(self, indices: Integer[Array, "batch"] | Sequence[int]) -> "SpikeDataset":
        """The examples at these indices; works inside `jit`, where nothing can be checked.

        An index out of range gives the example at the end; `subset` refuses it.
        """
        indices = jnp.asarray(indices)
        others = (self.targets, self.mask, self.meta)
        targets, mask, meta = jax.tree.map(lambda x: x.at[indices].get(mode="clip"), others)
        return dataclasses.replace(self, inputs=self.inputs.take(indices), targets=targets, mask=mask, meta=meta)

    @checked
    def with_dt(self, dt: AboveZero) -> "SpikeDataset":
        """The same data with another number for the time of a step: another unit of time (nothing is resampled)."""
        return dataclasses.replace(self, dt=dt)

    @checked
    def as_layout(self, layout: Layout, *, binarize: bool = False) -> "SpikeDataset":
        """The same data in another layout: every event stays in its step and channel, or the conversion is refused.

        **Arguments:** `layout`: `"bits"`, `"lists"` (of active channels; several events of one are several entries),
        `"counts"` (bytes), `"events"` (lists of events), `"floats"`, or `"auto"` (of currents: as they are). `binarize`:
        events of one step and channel become one, with a `DataLossWarning` that says how many were left out.

        **Raises:** `ValueError` for currents that are not whole numbers, in any layout but `"floats"`; for bits of events
        that share a bin; for counts above 255.
        """
        if layout == "auto" and not binarize and isinstance(self.inputs, (Floats, Constant)):
            values = self.inputs.values
            if not jnp.all((values >= 0) & (values == jnp.floor(values)) & jnp.isfinite(values)):
                return self  # currents: nothing is more compact
        if layout == "floats" and not binarize and isinstance(self.inputs, (Floats, Constant)):
            values = jax.vmap(lambda inputs: inputs.dense())(self.inputs)
            return dataclasses.replace(self, inputs=Floats(values, self.sample_shape))
        events = binned("as_layout", self.inputs)
        return dataclasses.replace(self, inputs=lay_out("as_layout", events, layout, binarize=binarize))

    @checked
    def subset(self, indices: HostArray) -> "SpikeDataset":
        """The examples at these indices, checked: each between 0 and `len(self) - 1`; or those where `bool[n]` is true.

        **Raises:** `IndexError` for an index out of range, `ValueError` for no index at all.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == bool and chosen.shape == (len(self),):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"subset: indices is {describe(chosen)}; expected a list of at least one whole number.")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise IndexError(f"subset: indices go from {chosen.min()} to {chosen.max()}, but there are {len(self)}.")
        if not isinstance(self.inputs, EventTable):
            return self.take(jnp.asarray(chosen))
        # Taken events are filled up to the longest example; those of a data set are not.
        targets, mask, meta = jax.tree.map(lambda x: x[chosen], (self.targets, self.mask, self.meta))
        inputs = self.inputs.subset(chosen)
        return dataclasses.replace(self, inputs=inputs, targets=targets, mask=mask, meta=meta)

    @checked
    def split(
        self, fractions: Annotated[Sequence[float], Shares()], *, key: Key[Array, ""]
    ) -> "tuple[SpikeDataset, ...]":
        """Disjoint parts, drawn at random; with classes, each class is divided in the same proportions (stratified).

        ```python
        train, valid, test = data.split((0.7, 0.1, 0.2), key=key)
        ```

        **Arguments:** `fractions`: positive, summing to 1. `key`: decides which example goes where.
        **Raises:** `ValueError` if the fractions are wrong, or a part would be empty.
        """
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

    @checked
    def example(self, index: int) -> Float[Array, "time *shape"]:
        """The dense input of one example, `[time, *sample_shape]`; -1 is the last.

        **Raises:** `IndexError` for an index out of range.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"example: index is {index}, but there are {len(self)} examples.")
        one = self.take(jnp.asarray([index % len(self)]))
        return jax.tree.map(lambda x: x[0], one.inputs).dense()


def fingerprint(data: SpikeDataset) -> str:
    """A short text that differs between data sets: a checksum of structure, shapes, all targets, and 64 examples spread
    over the whole."""
    some = jax.device_get(data.take(jnp.linspace(0, len(data) - 1, 64).astype(jnp.int32)))
    what = [str(jax.tree.structure(data)), *(str((x.shape, x.dtype)) for x in jax.tree.leaves(data))]
    parts = [" ".join(what).encode(), np.asarray(data.targets), *jax.tree.leaves(some)]
    total = 0
    for part in parts:
        total = zlib.crc32(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes(), total)
    return f"{total:08x}"
