from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe, sentence
from snnx._typing import AboveZero, Count, Dtype
from snnx.parameters import NotNegativeParameter, value


@checked
class Events(eqx.Module):
    """Spikes in continuous time: a list of fixed capacity, sorted by time.

    **Fields:**
    - `times`: `[capacity]`, ascending; `inf` behind the last event. In the unit of the neurons' time constants.
    - `indices`: `int32[capacity]`, which channel or neuron; 0 behind the last event.
    - `count`: how many events there are.
    - `overflow`: whether there were more than the list, or whatever made it, has room for.
    - `size`: the number of channels or neurons.

    Made by `make_events` from lists, by `from_raster` from steps, and by `simulate`. One made by hand is checked outside of
    compiled programs alone.
    """

    times: Float[Array, "capacity"]
    indices: Int[Array, "capacity"]
    count: Int[Array, ""]
    overflow: Bool[Array, ""]
    size: int = eqx.field(static=True)

    @property
    def there(self) -> Bool[Array, "capacity"]:
        """Which entries of the lists are events."""
        return jnp.arange(self.times.shape[0], dtype=self.count.dtype) < self.count

    def first(self) -> Float[Array, "size"]:
        """The time of the first event of every channel; `inf` where there is none. Of one time, its gradient is kept."""
        if not self.times.shape[0]:
            return jnp.full(self.size, jnp.inf, self.times.dtype)
        own = self.indices[:, None] == jnp.arange(self.size, dtype=self.indices.dtype)[None]
        own = own & self.there[:, None]
        which = jnp.argmax(own, axis=0)
        return jnp.where(jnp.any(own, axis=0), self.times[which], jnp.inf)

    def counts(self) -> Int[Array, "size"]:
        """The number of events of every channel."""
        return jnp.zeros(self.size, jnp.int32).at[self.indices].add(self.there.astype(jnp.int32))


@checked
def make_events(
    times: "ArrayLike | Sequence[float]",  # read below: NumPy's float64 is rounded, long lists are read at once
    indices: "ArrayLike | Sequence[int]",
    *,
    size: Count,
    capacity: Count | None = None,
    dtype: Dtype | None = None,
) -> Events:
    """Events from lists in any order.

    ```python
    events = snnx.event.make_events([3.0, 1.5], [0, 2], size=4, capacity=8)
    ```

    **Arguments:**
    - `times`: `[events]`, >= 0; entries of `inf` are no events.
    - `indices`: `[events]`, from 0 to `size - 1`.
    - `size`: the number of channels.
    - `capacity`: the length of the list; by default that of `times`.

    Events of the same time keep their order. Inside a compiled program, where values are not known, a time < 0 or NaN and an
    index out of range make their event one that there is not, and say so by `overflow`, as do more events than there is room
    for.

    **Raises:** `ShapeError`, `DtypeError`, and `ValueError` for times < 0 or NaN, for indices out of range, and for more events
    than `capacity`.
    """
    when, which = _as_array("times", times, dtype), _as_array("indices", indices)
    if jnp.issubdtype(when.dtype, jnp.integer):
        when = when.astype(jnp.zeros(()).dtype)
    if when.ndim != 1 or when.shape != which.shape:
        raise ShapeError(
            f"make_events: times is {describe(when)}, indices {describe(which)}; expected two lists [events]."
        )
    if not jnp.issubdtype(when.dtype, jnp.floating) or (which.size and not jnp.issubdtype(which.dtype, jnp.integer)):
        raise DtypeError(
            f"make_events: times is {describe(when)}, indices {describe(which)}; expected floats and integers."
        )
    _check_values(when, indices if isinstance(indices, np.ndarray) else which, size, capacity)  # before 64 bits get 32
    which = which.astype(jnp.int32)
    known = (when >= 0) & (which >= 0) & (which < size)
    wrong = jnp.any(~known & (when != jnp.inf))
    found = ordered(jnp.where(known, when, jnp.inf), which, size, when.shape[0] if capacity is None else capacity)
    return eqx.tree_at(lambda e: e.overflow, found, found.overflow | wrong)


def ordered(times: Array, indices: Array, size: int, capacity: int) -> Events:
    """Sorted by time; entries of `inf` are no events."""
    order = jnp.argsort(times, stable=True)
    if capacity < times.shape[0]:
        order = order[:capacity]
    count = jnp.sum(times < jnp.inf, dtype=jnp.int32)
    times, indices = times[order], indices[order]
    fill = capacity - times.shape[0]
    if fill > 0:
        times = jnp.pad(times, (0, fill), constant_values=jnp.inf)
        indices = jnp.pad(indices, (0, fill))
    kept = jnp.minimum(count, capacity)
    indices = jnp.where(jnp.arange(capacity) < kept, indices, 0).astype(jnp.int32)
    return Events(times, indices, kept, count > capacity, size)


@checked
def from_raster(
    raster: Float[Array, "time size"] | Int[Array, "time size"] | np.ndarray, dt: AboveZero, *, capacity: Count
) -> Events:
    r"""The events of a raster: a spike of step $k$ at time $k \Delta t$, where the clock's neurons receive it.

    **Arguments:** `raster`: `[time, size]`, zeros and ones, or counts: as many events. `dt`: time per step. `capacity`: room
    for how many events; more of them set `overflow`, and so do, inside a compiled program, entries that are no counts.

    **Raises:** `ShapeError`; `ValueError` for entries that are no whole numbers >= 0, for `dt <= 0`.
    """
    counts = jnp.asarray(raster)
    if counts.ndim != 2:
        raise ShapeError(f"from_raster: raster is {describe(counts)}, expected [time, size].")
    size, values = counts.shape[1], counts.ravel()
    wrong = (values != jnp.floor(values)) | ~(values >= 0)
    if not isinstance(wrong, Tracer) and np.any(wrong):
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"from_raster: raster[{at // size}, {at % size}] is {values[at]}; expected how many spikes there are, a whole number"
            " >= 0."
        )
    flat = jnp.where(wrong, 0, values).astype(jnp.int32)
    ends = jnp.cumsum(flat)
    many = jnp.sum(flat)
    place = jnp.searchsorted(ends, jnp.arange(capacity, dtype=ends.dtype), side="right")
    there = jnp.arange(capacity) < many
    dtype = counts.dtype if jnp.issubdtype(counts.dtype, jnp.floating) else jnp.zeros(()).dtype
    times = jnp.where(there, (place // size) * jnp.asarray(dt, dtype), jnp.inf)
    indices = jnp.where(there, place % size, 0).astype(jnp.int32)
    return Events(times, indices, jnp.minimum(many, capacity), (many > capacity) | jnp.any(wrong), size)


@checked
def to_raster(events: Events, *, steps: Count, dt: AboveZero) -> Float[Array, "time size"]:
    r"""How many events there are in each step: $x_{k,c}$ counts those of channel $c$ with $k \Delta t \le t < (k+1) \Delta t$.

    A time that lies below a border by rounding alone (some units in the last place) counts as on it, so that `from_raster` is
    undone. Events behind the last step make the whole raster NaN rather than get lost. It has no gradient.

    **Raises:** `ValueError` for `dt <= 0` or `steps < 1`.
    """
    k = jnp.floor(events.times / dt * (1.0 + 4.0 * jnp.finfo(events.times.dtype).eps))
    late = jnp.any((k >= steps) & events.there)
    k = jnp.where(events.there, k, steps).astype(jnp.int32)
    raster = jnp.zeros((steps, events.size), events.times.dtype).at[k, events.indices].add(1.0, mode="drop")
    return jnp.where(late, jnp.nan, raster)


@checked
def merge(first: Events, *others: Events, capacity: Count | None = None) -> Events:
    """The events of several lists as one; of the same time, those of earlier lists first.

    **Arguments:** `capacity`: of the new list; by default the sum. **Raises:** `ShapeError` for lists of another `size`.
    """
    parts = (first, *others)
    for part in others:
        if part.size != first.size:
            raise ShapeError(f"merge: lists of {first.size} and {part.size} channels; expected as many in each.")
    times = jnp.concatenate([part.times for part in parts])
    indices = jnp.concatenate([part.indices for part in parts])
    found = ordered(times, indices, first.size, times.shape[0] if capacity is None else capacity)
    overflow = found.overflow
    for part in parts:
        overflow = overflow | part.overflow
    return eqx.tree_at(lambda e: e.overflow, found, overflow)


@checked
def delayed(events: Events, delays: NotNegativeParameter) -> Events:
    """All events later: by one delay, or by that of their channel, `[size]`. Differentiable in the delays.

    **Raises:** `ShapeError`; `ValueError` for delays < 0, where they are known.
    """
    by = jnp.asarray(value(delays), events.times.dtype)
    if by.shape not in ((), (events.size,)):
        raise ShapeError(f"delayed: delays is {describe(by)}, expected a number or [{events.size}].")
    if by.ndim == 0:
        return eqx.tree_at(lambda e: e.times, events, jnp.where(events.there, events.times + by, jnp.inf))
    times = jnp.where(events.there, events.times + by[events.indices], jnp.inf)
    found = ordered(times, events.indices, events.size, times.shape[0])
    return eqx.tree_at(lambda e: e.overflow, found, events.overflow)


def _as_array(name: str, given: Any, dtype: DTypeLike | None = None) -> Array:
    try:
        return jnp.asarray(given, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(
            f"make_events: {name} is {describe(given)}, expected a list of numbers. JAX says: {sentence(error)}"
        ) from error


def _check_values(times: Array, indices: Array | np.ndarray, size: int, capacity: int | None) -> None:
    """Refuse values where they are known: outside compiled programs."""
    if isinstance(times, Tracer) or isinstance(indices, Tracer):
        return
    when, which = np.asarray(times), np.asarray(indices)
    if when.size and not np.all(when >= 0):
        at = int(np.flatnonzero(~(when >= 0))[0])
        raise ValueError(f"make_events: times[{at}] is {when[at]}, expected times >= 0.")
    real = when < np.inf
    wrong = np.flatnonzero(real & ((which < 0) | (which >= size)))
    if wrong.size:
        raise ValueError(f"make_events: indices[{wrong[0]}] is {which[wrong[0]]}, but size is {size}: 0 to {size - 1}.")
    if capacity is not None and real.sum() > capacity:
        raise ValueError(f"make_events: there are {real.sum()} events, but capacity is {capacity}; raise it.")
