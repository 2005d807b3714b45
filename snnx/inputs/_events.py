"""Lists of events: for data too fine for an array of all steps and channels."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt

from snnx._errors import DtypeError, ShapeError, describe
from snnx.inputs._inputs import AbstractInputs, check_sample_shape


class EventList(AbstractInputs):
    r"""The events of one example: in which step, in which channel; nothing is stored for where there is none.

    $$ x_{t,c} = \#\{j : \texttt{steps}_j = t, \texttt{channels}_j = c\} $$

    Lists are filled up behind their last event with steps of `num_steps`. A stretch of time picks its events out of the
    list, at most as many as `busiest` says.

    **Arguments:**
    - `steps`: `uint[events]`, ascending.
    - `channels`: `uint[events]`; channels count through the axes of `sample_shape`, the last fastest.
    - `sample_shape`: the shape of one step.
    - `num_steps`: how many steps there are.
    - `busiest`: entry `i` is the largest number of events within `2^i` consecutive steps, the last entry that of all.

    **Raises:** `DtypeError`, `ShapeError`, `ValueError` for what is not of this kind.
    """

    steps: UInt[Array, "events"]
    channels: UInt[Array, "events"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    busiest: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, steps: Array, channels: Array, sample_shape: tuple[int, ...], num_steps: int, busiest: tuple[int, ...]
    ):
        self.sample_shape = check_sample_shape("EventList", sample_shape)
        check_lists("EventList", steps, channels, num_steps, busiest)
        self.steps, self.channels, self.num_steps, self.busiest = steps, channels, num_steps, busiest

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "EventList":
        bound = min(self.busiest[min((size - 1).bit_length(), len(self.busiest) - 1)], self.steps.shape[0])
        first = jnp.searchsorted(self.steps, jnp.asarray(start, self.steps.dtype))
        at = first + jnp.arange(bound)
        steps = self.steps.at[at].get(mode="fill", fill_value=self.num_steps)
        steps = jnp.minimum(steps - jnp.asarray(start, steps.dtype), jnp.asarray(size, steps.dtype))  # behind: filling
        channels = self.channels.at[at].get(mode="fill", fill_value=0)
        return EventList(steps, channels, self.sample_shape, size, self.busiest)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        zeros = jnp.zeros(
            (self.num_steps, math.prod(self.sample_shape)), jnp.zeros(()).dtype if dtype is None else dtype
        )
        return zeros.at[self.steps, self.channels].add(1.0, mode="drop").reshape(self.num_steps, *self.sample_shape)


class EventTable(eqx.Module):
    """The events of many examples, one example after the other: what a data set holds of `EventList`.

    No example is filled up to the length of the longest; that happens to the few that `take` picks.

    **Fields:** `starts`: `int32[n + 1]`, where each example begins, and where the last ends; `steps`, `channels`:
    `uint[events]`; `capacity`: events of the longest example (of the table that this one is a part of); the others as in
    `EventList`.
    """

    starts: Int[Array, "examples_and_one"]
    steps: UInt[Array, "events"]
    channels: UInt[Array, "events"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    busiest: tuple[int, ...] = eqx.field(static=True)
    capacity: int = eqx.field(static=True)

    def __check_init__(self):
        check_lists("EventTable", self.steps, self.channels, self.num_steps, self.busiest)

    def __len__(self) -> int:
        return self.starts.shape[0] - 1

    def take(self, indices: Int[Array, "batch"]) -> EventList:
        """The events of the examples at these indices, each list filled up to the longest of all.

        An index out of range gives the example at the end.
        """
        which = jnp.arange(len(self)).at[indices].get(mode="clip")  # as the other layouts take what is out of range
        first = self.starts[which]
        place = jnp.arange(min(self.capacity, self.steps.shape[0]))[None]
        at = first[:, None] + place
        there = place < (self.starts[which + 1] - first)[:, None]
        steps = jnp.where(there, self.steps.at[at].get(mode="fill", fill_value=0), self.num_steps)
        channels = jnp.where(there, self.channels.at[at].get(mode="fill", fill_value=0), 0)
        return EventList(
            steps.astype(self.steps.dtype),
            channels.astype(self.channels.dtype),
            self.sample_shape,
            self.num_steps,
            self.busiest,
        )

    def subset(self, indices: np.ndarray, room: int | None = None) -> "EventTable":
        """The table of these examples alone; not within a program, for its size depends on them.

        **Arguments:** `room`: for how many events the table is to have room; by default for those that there are.
        """
        starts = np.asarray(self.starts)
        lengths = np.diff(starts)[indices]
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1]) + np.repeat(starts[indices] - (ends - lengths), lengths)
        more = 0 if room is None else room - len(at)
        return EventTable(
            jnp.asarray(np.concatenate([[0], ends]), self.starts.dtype),
            jnp.pad(self.steps[at], (0, more)),
            jnp.pad(self.channels[at], (0, more)),
            self.sample_shape,
            self.num_steps,
            self.busiest,
            self.capacity,
        )

    def filled(self, count: int) -> "EventTable":
        """The same table with silent examples behind, `count` in all."""
        starts = jnp.pad(self.starts, (0, count - len(self)), mode="edge")
        return EventTable(
            starts, self.steps, self.channels, self.sample_shape, self.num_steps, self.busiest, self.capacity
        )


def check_lists(where: str, steps: Array, channels: Array, num_steps: int, busiest: tuple[int, ...]) -> None:
    """Refuse what are no lists of events."""
    for name, values in (("steps", steps), ("channels", channels)):
        if not jnp.issubdtype(getattr(values, "dtype", np.dtype(object)), jnp.unsignedinteger):
            raise DtypeError(f"{where}: {name} is {describe(values)}, expected uint16 or uint32.")
    if steps.shape != channels.shape or steps.ndim < 1:
        raise ShapeError(
            f"{where}: steps is {describe(steps)}, but channels is {describe(channels)}; expected [events]."
        )
    if num_steps > jnp.iinfo(steps.dtype).max:
        raise ValueError(f"{where}: num_steps is {num_steps}, which {steps.dtype} cannot hold.")
    if not busiest or any(a > b for a, b in zip(busiest, busiest[1:], strict=False)):
        raise ValueError(f"{where}: busiest is {busiest}; expected ascending numbers, for 1, 2, 4, ... steps.")
