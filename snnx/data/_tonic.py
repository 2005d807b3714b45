"""Data sets of tonic, with any of its transforms, read example by example."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from snnx._checks import checked
from snnx._errors import DataError, DataLossWarning, ShapeError, describe, unknown_name, warn_caller
from snnx._typing import AboveZero, Count
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import data_set, from_counts, from_currents
from snnx.data._recordings import Recordings, track
from snnx.inputs import Layout, SampleShape, lay_out

MICROSECONDS = 1e6  # in a second


@checked
def from_tonic(
    dataset: Any,
    *,
    dt: AboveZero,
    num_steps: Count | None = None,
    sample_shape: SampleShape | None = None,
    layout: Layout = "auto",
    drop_late: bool = False,
    binarize: bool = False,
    classes: Sequence[str] | None = None,
    meta: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> SpikeDataset:
    """Any data set of tonic with any of its transforms, read example by example.

    For the data sets that `snnx.data` has functions for, such as `snnx.data.shd`, those are faster. Every example is read
    once, and an empty one is silence. What a transform drops is not seen here: `ToFrame` begins at the first event, leaves
    out the last frame unless `include_incomplete=True`, and with `n_time_bins` drops events, up to all of them, where
    `Downsample(time_factor=...)` has made times coarse before. Times that do not count from 0 need `TimeAlignment`.

    **Arguments:**
    - `dataset`: gives `(events, target)` for each index. `events` is a structured array with `t` in microseconds, `x`, and
        `y`, `p` where there are such; or, after a transform such as tonic's `ToFrame`, an array `[time, *sample_shape]`.
    - `dt`: seconds per step; of frames, seconds per frame.
    - `num_steps`: steps of every example; by default as many as the longest needs. Frames are followed by silence.
    - `sample_shape`: the shape of one step; by default from `dataset.sensor_size`: (700, 1, 1) becomes `(700,)`, and
        (34, 34, 2) becomes `(2, 34, 34)`: polarity, height, width. To be given where a transform changes the size.
    - `layout`, `drop_late`, `binarize`, `meta`: as in `from_events`; of frames, whole numbers become `"counts"` and floats
        `"floats"`, and then what `SpikeDataset.as_layout` makes of them.
    - `classes`: names of the classes; by default those of the dataset where it lists them; targets that are texts are
        found among them, or sorted.

    **Raises:** `snnx.DataError` naming the example; errors as in `from_events`.
    """
    count = len(dataset)
    if count == 0:
        raise DataError("from_tonic: the data set has no example.")
    # Copies: some data sets fill one buffer again and again, and events are binned later, in another thread.
    read = ((np.array(values), np.array(target)) for values, target in (dataset[i] for i in range(count)))
    # Of events or of frames? An empty recording does not tell: tonic's Compose stops at it. (Each is read once only, for
    # transforms may be random.)
    first = []
    for values, target in read:
        first.append((values, target))
        if values.size or values.dtype.names is None:
            break
    examples = track(itertools.chain(first, read), "from_tonic: reading", count, progress)
    names = _names(dataset, classes)
    if first[-1][0].dtype.names is None:
        frames, targets = _frames(examples, num_steps, drop_late, dataset, sample_shape)
        labels, names = _labels(targets, names)
        floats = frames.dtype.kind == "f"
        make = from_currents if floats else from_counts
        data = make(frames, labels, sample_shape=frames.shape[2:], classes=names, dt=dt, meta=meta)
        return data if floats and layout == "auto" and not binarize else data.as_layout(layout, binarize=binarize)
    shape = _shape(dataset) if sample_shape is None else sample_shape
    recordings = Recordings(
        "from_tonic", shape, dt=dt, num_steps=num_steps, drop_late=drop_late, sort=True, name=lambda i: f"example {i}"
    )
    targets = []
    for i, (events, target) in enumerate(examples):
        one = (np.array([len(events)]), *_columns(i, events, shape))
        recordings.add(1, lambda one=one: one, scale=MICROSECONDS)
        targets.append(target)
    inputs = lay_out("from_tonic", recordings.finish(), layout, binarize=binarize)
    labels, names = _labels(targets, names)
    return data_set("from_tonic", inputs, labels, names, dt, meta)


def _shape(dataset: Any) -> tuple[int, ...]:
    """The shape of one step, from the size of the sensor: width, height, polarities."""
    size = getattr(dataset, "sensor_size", None)
    if not isinstance(size, tuple) or len(size) != 3:
        raise ValueError(
            f"from_tonic: sensor_size of the data set is {size!r}; say what shape a step has: sample_shape=(...)."
        )
    width, height, polarities = (int(n) for n in size)
    return (width,) if height == polarities == 1 else (polarities, height, width)


def _columns(i: int, events: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Times and flat channels of one example."""
    names = ("x",) if len(shape) == 1 else ("p", "y", "x")
    missing = [name for name in ("t", *names) if name not in (events.dtype.names or ())]
    if missing or len(shape) not in (1, 3):
        raise ShapeError(
            f"from_tonic: example {i} is {describe(events)}; expected events with fields t, {', '.join(names)}, for a step of"
            f" shape {shape}."
        )
    for name, size in zip(names, shape, strict=True):
        place = events[name]
        wrong = ~((place >= 0) & (place < size))
        if place.dtype.kind == "f":
            wrong |= place != np.floor(place)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(
                f"from_tonic: example {i}, event {at}: {name} is {place[at]}, expected a whole number from 0 to {size - 1}."
            )
    return events["t"], np.asarray(np.ravel_multi_index([events[name].astype(np.int64) for name in names], shape))


def _names(dataset: Any, classes: Sequence[str] | None) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None) if classes is None else classes
    return None if names is None else tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)


def _labels(targets: Sequence[Any], classes: tuple[str, ...] | None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Targets as numbers: texts by their place among the classes."""
    values = np.asarray(targets)
    if values.dtype.kind not in "US":
        return values, classes
    texts = values.astype(str).tolist()
    names = tuple(sorted(set(texts))) if classes is None else classes
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise ValueError(unknown_name("from_tonic", "class", unknown[0], names))
    return np.array([names.index(text) for text in texts]), names


def _frames(
    examples: Iterable[tuple[np.ndarray, np.ndarray]],
    num_steps: int | None,
    drop_late: bool,
    dataset: Any,
    sample_shape: tuple[int, ...] | None,
) -> tuple[np.ndarray, Sequence[np.ndarray]]:
    """Examples `[n, time, *sample_shape]`, silent where they are shorter than the longest; and their targets."""
    given, targets = zip(*examples, strict=True)
    loud = [values for values in given if values.dtype.names is None and values.any()]
    like = loud[0] if loud else next(values for values in given if values.dtype.names is None)
    if getattr(dataset, "sensor_size", None) and like.shape == _shape(dataset):
        raise ShapeError(
            f"from_tonic: an example is {describe(like)}, the size of the sensor: a picture without time. Expected [time,"
            " *sample_shape], as ToFrame gives it."
        )
    if sample_shape is not None and like.shape[1:] != sample_shape:
        raise ShapeError(f"from_tonic: an example is {describe(like)}, but sample_shape is {sample_shape}.")
    frames = []
    for i, values in enumerate(given):
        fits = values.dtype.names is None and values.ndim >= 2 and values.shape[1:] == like.shape[1:]
        if not fits and (len(values) if values.dtype.names else values.any() or values.ndim < 2):
            raise ShapeError(
                f"from_tonic: example {i} is {describe(values)}, another {describe(like)}; expected [time, *sample_shape] of"
                " one shape."
            )
        # An empty recording has no frames in tonic's Compose, and turned ones (width before height) in its ToFrame.
        frames.append(values if fits else like[:0])
    longest = max(len(values) for values in frames)
    steps = longest if num_steps is None else num_steps
    late = sum(max(0, len(values) - steps) for values in frames)
    if late and not drop_late:
        raise DataError(
            f"from_tonic: an example has {longest} frames, more than num_steps={steps}; take num_steps={longest} or None,"
            " or leave the late ones out with drop_late=True."
        )
    if late:
        warn_caller(
            f"from_tonic: {late} of {sum(map(len, frames))} frames lie behind the last of {steps} steps, and were left out, as"
            " drop_late=True asks.",
            DataLossWarning,
        )
    kind = np.result_type(*{values.dtype for values in loud or [like]})  # ToFrame gives empty recordings as floats
    together = np.zeros((len(frames), steps, *like.shape[1:]), kind)
    for row, values in zip(together, frames, strict=True):
        row[: len(values)] = values[:steps]
    return together, targets
