"""Lists of events, of one example or of many: for data too fine for an array of all steps and channels."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt

from snnx._checks import checked
from snnx._typing import Count, Natural
from snnx.inputs._inputs import AbstractInputs, SampleShape


@checked
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

    **Raises:** `DtypeError`, `ShapeError`, `ValueError` for what is of another kind.
    """

    steps: UInt[Array, "events"]
    channels: UInt[Array, "events"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    busiest: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        steps: UInt[Array, "*batch events"],
        channels: UInt[Array, "*batch events"],
        sample_shape: SampleShape,
        num_steps: Count,
        busiest: tuple[Natural, ...],
    ):
        _check_numbers("EventList", steps, num_steps, busiest)
        self.steps, self.channels, self.sample_shape = steps, channels, sample_shape
        self.num_steps, self.busiest = num_steps, busiest

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


@checked
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
    sample_shape: SampleShape = eqx.field(static=True)
    num_steps: Count = eqx.field(static=True)
    busiest: tuple[Natural, ...] = eqx.field(static=True)
    capacity: Natural = eqx.field(static=True)

    def __check_init__(self):
        _check_numbers("EventTable", self.steps, self.num_steps, self.busiest)

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

    def subset(self, indices: np.ndarray, padded_to: int | None = None) -> "EventTable":
        """The table of these examples alone; not within a program, for its size depends on them.

        **Arguments:** `padded_to`: the length of `steps` and `channels`; by default as many as there are events.
        """
        starts = np.asarray(self.starts)
        lengths = np.diff(starts)[indices]
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1]) + np.repeat(starts[indices] - (ends - lengths), lengths)
        padding = 0 if padded_to is None else padded_to - len(at)
        return EventTable(
            jnp.asarray(np.concatenate([[0], ends]), self.starts.dtype),
            jnp.pad(self.steps[at], (0, padding)),
            jnp.pad(self.channels[at], (0, padding)),
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


def _check_numbers(where: str, steps: Array, num_steps: int, busiest: tuple[int, ...]) -> None:
    if num_steps > jnp.iinfo(steps.dtype).max:
        raise ValueError(f"{where}: num_steps is {num_steps}, which {steps.dtype} cannot hold.")
    if not busiest or any(a > b for a, b in zip(busiest, busiest[1:], strict=False)):
        raise ValueError(f"{where}: busiest is {busiest}; expected ascending numbers, for 1, 2, 4, ... steps.")


def count_examples(inputs: AbstractInputs | EventTable) -> int:
    """How many examples a data set's inputs hold."""
    return len(inputs) if isinstance(inputs, EventTable) else jax.tree.leaves(inputs)[0].shape[0]
