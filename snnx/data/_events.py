"""Data sets from lists of events, held in memory."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from snnx._checks import checked
from snnx._errors import DataError, DtypeError, ShapeError, describe
from snnx._typing import AboveZero, Count, HostArray
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import data_set
from snnx.data._recordings import RECORDINGS_PER_BATCH, Read, Recordings
from snnx.inputs import Layout, SampleShape, lay_out


@checked
def from_events(
    times: Sequence[Any] | np.ndarray | Array,
    channels: Sequence[Any] | np.ndarray | Array,
    targets: HostArray,
    *,
    sample_shape: SampleShape,
    dt: AboveZero,
    num_steps: Count | None = None,
    layout: Layout = "auto",
    drop_late: bool = False,
    binarize: bool = False,
    sort: bool = False,
    classes: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    r"""A data set of recordings: lists of events, each with a time and a channel.

    $$ x_{t,c} = \#\{j : \lfloor \texttt{times}_j / \Delta t \rfloor = t, \texttt{channels}_j = c\} $$

    Nothing is left out unless you ask for it, and then a `DataLossWarning` says how much. A quotient that is a whole number
    but for the rounding of `times` (float64 or float32; float16 is taken as it stands) counts as that number.

    **Arguments:**
    - `times`: for each recording an array `[events]`, from 0 on, in the unit of `dt`. An empty one is a silent recording.
    - `channels`: for each recording whole numbers `[events]`, counting through the axes of `sample_shape`, the last
        fastest; or `[events, axes]`, a number for each axis.
    - `targets`: `int[n]` labels from 0, or floats `[n, ...]` for regression.
    - `sample_shape`: the shape of one step, such as `(700,)`, or `(2, 34, 34)`: polarity, height, width.
    - `dt`: time per step.
    - `num_steps`: steps of every example; by default as many as the last event of all needs.
    - `layout`: `"bits"`, `"lists"` (of active channels), `"counts"` (bytes), `"events"` (lists of events), `"floats"`; by
        default the one that loses nothing and trains fastest: lists for sparse vectors on a CPU, else bits; where events
        share a step and channel counts, or events where counts cannot hold them or take more than 8 times the memory.
    - `drop_late`: leave out what lies behind the last step.
    - `binarize`: events that share a step and channel become one.
    - `sort`: times may go back within a recording.
    - `classes`, `meta`: as for `from_spikes`.

    **Raises:** `snnx.DataError` naming recording and event, for times that are negative, not finite, or go back, for
    channels outside the sensor, for events behind the last step; `ValueError` for bits of events that share a bin.
    """
    if len(times) != len(channels):
        raise ShapeError(f"from_events: there are times of {len(times)} recordings, but channels of {len(channels)}.")
    recordings = Recordings(
        "from_events", sample_shape, dt=dt, num_steps=num_steps, drop_late=drop_late, sort=sort, tell=False
    )
    for first in range(0, len(times), RECORDINGS_PER_BATCH):
        few = range(first, min(first + RECORDINGS_PER_BATCH, len(times)))
        listed = [_flat_channels(i, np.asarray(times[i]), np.asarray(channels[i]), sample_shape) for i in few]
        for _, group in itertools.groupby(listed, lambda one: one[0].dtype):  # what rounding is depends on the dtype
            alike = list(group)
            recordings.add(len(alike), functools.partial(_joined, alike))
    inputs = lay_out("from_events", recordings.finish(), layout, binarize=binarize)
    return data_set("from_events", inputs, targets, classes, dt, meta)


def _joined(alike: list[tuple[np.ndarray, np.ndarray]]) -> Read:
    lengths = np.array([len(times) for times, _ in alike])
    return lengths, np.concatenate([times for times, _ in alike]), np.concatenate([flat for _, flat in alike])


def _flat_channels(
    i: int, times: np.ndarray, channels: np.ndarray, sample_shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Times and flat channels of one recording."""
    if times.dtype.kind not in "iuf":
        raise DtypeError(f"from_events: times[{i}] is {describe(times)}, expected numbers [events].")
    if times.ndim != 1:
        raise ShapeError(f"from_events: times[{i}] is {describe(times)}, expected [events].")
    if channels.size == 0 and times.size == 0:
        return times, np.zeros(0, np.int64)
    if channels.dtype.kind not in "iu":
        raise DtypeError(f"from_events: channels[{i}] is {describe(channels)}, expected whole numbers.")
    if channels.shape not in ((len(times),), (len(times), len(sample_shape))):
        raise ShapeError(
            f"from_events: channels[{i}] is {describe(channels)}, but times[{i}] is {describe(times)}; expected [events],"
            f" or [events, {len(sample_shape)}]: a number for each axis of {sample_shape}."
        )
    if channels.ndim == 1:
        return times, channels.astype(np.int64)
    outside = ((channels < 0) | (channels >= np.asarray(sample_shape))).any(axis=1)
    if outside.any():
        at = int(np.argmax(outside))
        raise DataError(
            f"from_events: recording {i}, event {at}: channel is {tuple(channels[at].tolist())}, outside {sample_shape}."
        )
    return times, np.asarray(np.ravel_multi_index(tuple(channels.T.astype(np.int64)), sample_shape))
