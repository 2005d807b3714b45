"""Rasters as lists of events, and back."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Integer, Real

from snnx._checks import checked
from snnx._errors import describe
from snnx._typing import Count

Raster = Real[Array | np.ndarray, "time *shape"] | Bool[Array | np.ndarray, "time *shape"]
Events = tuple[Int[Array, "events"], Int[Array, "events"]]


@checked
def raster_to_events(raster: Raster, capacity: Count | None = None) -> Events:
    r"""The events of a raster: the step and the channel of every spike.

    $$ \{(t, c) : n_{t,c} > 0\}, \quad \text{each } n_{t,c} \text{ times} $$

    ```python
    raster_to_events(jnp.array([[0, 2], [1, 0]]))     # [0, 0, 1], [1, 1, 0]
    raster_to_events(jnp.array([[0, 2], [1, 0]]), 4)  # [0, 0, 1, 2], [1, 1, 0, 2]: the last entry stands for none
    ```

    **Arguments:**
    - `raster`: `[time, *shape]`, zeros and ones, or counts, of any dtype.
    - `capacity`: the length of the lists. Inside `jit` and `vmap` it has to be given, as shapes are fixed there. Without
        it the lists are as long as there are events.

    **Returns:** `steps` and `channels`, `int32[events]` both, ascending by step and then by channel. Channels count
    through the axes of one step, the last fastest. Lists are filled up with the number of steps and the number of
    channels, as `events_to_raster` takes them.

    **Raises:** `ValueError` for an empty raster, and inside `jit` or `vmap` without a capacity; an error (at run time, where
    there is a capacity) for values that are not counts, and for more events than the capacity.
    """
    if 0 in raster.shape:
        raise ValueError(f"raster_to_events: raster is {describe(raster)}: empty; expected a step and a channel.")
    num_steps, channels = raster.shape[0], math.prod(raster.shape[1:])
    if capacity is None:
        return _all_events(raster, channels)
    values = jnp.asarray(raster).ravel()
    counts = values.astype(jnp.int32)
    wrong = (counts < 0) | (counts.astype(values.dtype) != values)
    counts = eqx.error_if(counts, wrong, f"raster_to_events: {_NO_COUNTS}")
    ends = jnp.cumsum(counts)  # of each cell's events in the list
    message = f"raster_to_events: there are more events than the capacity, {capacity}; raise it."
    ends = eqx.error_if(ends, (ends > capacity) | (ends < 0), message)  # a sum beyond int32 is negative
    cell = jnp.searchsorted(ends, jnp.arange(capacity), side="right").astype(jnp.int32)
    step = cell // channels
    return step, jnp.where(step < num_steps, cell % channels, channels)


@checked
def events_to_raster(
    steps: Integer[Array | np.ndarray, "events"],
    channels: Integer[Array | np.ndarray, "events"],
    num_steps: Count,
    shape: tuple[Count, ...],
) -> Float[Array, "time *shape"]:
    r"""The raster of a list of events: how many there are of each step and channel.

    $$ n_{t,c} = \#\{j : \texttt{steps}_j = t, \; \texttt{channels}_j = c\} $$

    The inverse of `raster_to_events`, for every raster of zeros and ones or counts.

    **Arguments:**
    - `steps`, `channels`: `[events]`, in any order. A pair of `num_steps` and the number of channels stands for none.
    - `num_steps`: the length of the raster.
    - `shape`: the shape of one step; channels count through its axes, the last fastest.

    **Returns:** counts, `[num_steps, *shape]`, in JAX's default float.

    **Raises:** `ValueError` for `num_steps` or an axis below 1; an error at run time for an
    event outside the raster.
    """
    count = math.prod(shape)
    step, channel = _not_short(steps), _not_short(channels)
    none = (step == num_steps) & (channel == count)
    outside = (step < 0) | (step >= num_steps) | (channel < 0) | (channel >= count)
    message = f"events_to_raster: an event lies outside {num_steps} steps of shape {shape}."
    step = eqx.error_if(jnp.asarray(step), jnp.asarray(outside & ~none), message)
    raster = jnp.zeros((num_steps, count)).at[step, channel].add(1.0, mode="drop")  # drops what stands for none
    return raster.reshape(num_steps, *shape)


def _all_events(raster: "Array | np.ndarray", channels: int) -> Events:
    """In NumPy, where the number of events may depend on the values."""
    if isinstance(raster, Tracer):
        raise ValueError(
            "raster_to_events: capacity is None, but inside jit or vmap shapes are fixed; give the largest number of"
            " events as capacity."
        )
    values = np.asarray(raster).ravel()
    with np.errstate(invalid="ignore"):  # NaN is refused below
        counts = values.astype(np.int64)
    if np.any(counts < 0) or np.any(counts != values):
        raise ValueError(f"raster_to_events: {_NO_COUNTS}")
    step, channel = np.divmod(np.repeat(np.arange(values.size), counts), channels)
    return jnp.asarray(step, jnp.int32), jnp.asarray(channel, jnp.int32)


def _not_short(index: "Array | np.ndarray") -> "Array | np.ndarray":
    """An integer that can be compared with any length, such as 65536."""
    return index.astype(np.int32) if index.dtype.itemsize < 4 else index


_NO_COUNTS = "raster holds values other than 0, 1, 2, ...; round or binarise them yourself."
