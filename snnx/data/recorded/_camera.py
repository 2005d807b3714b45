"""What the readers of event cameras share: files, one recording each, of polarities and pixels."""

import functools
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from snnx._errors import DataError
from snnx._typing import Count, Whole
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import RECORDINGS_PER_BATCH, Read
from snnx.data.recorded._files import Chosen
from snnx.data.recorded._read import Place, Source, read

Size: TypeAlias = tuple[Count, ...]  # height, width
Polarities: TypeAlias = Annotated[int, Whole(1, 2)]


class Recorded(NamedTuple):
    """The events of some recordings, one after the other.

    - `lengths`: how many each recording has; `times`: in microseconds.
    - `polarity` (0: OFF, 1: ON), `y` from the top, `x` from the left: whole numbers on the sensor.
    """

    lengths: np.ndarray
    times: np.ndarray
    polarity: np.ndarray
    y: np.ndarray
    x: np.ndarray


class Camera(NamedTuple):
    """A sensor, and what is to be made of its pixels."""

    sensor: tuple[int, int]  # height, width
    shape: tuple[int, int, int]  # of one step: polarities, height, width

    def channels(self, events: Recorded) -> np.ndarray:
        """Flat channels of events that are all on the sensor."""
        polarity, y, x = (a.astype(np.int32) for a in events[2:])
        row, column = y * self.shape[1] // self.sensor[0], x * self.shape[2] // self.sensor[1]
        flat = row * self.shape[2] + column
        return flat + polarity * (self.shape[1] * self.shape[2]) if self.shape[0] == 2 else flat

    def check(self, where: str, events: Recorded, files: list[Path]) -> None:
        """Refuse events that lie outside the sensor, or between pixels."""
        for name, values, size in zip(("polarity", "y", "x"), events[2:], (2, *self.sensor), strict=True):
            wrong = ~((values >= 0) & (values < size))
            if values.dtype.kind == "f":
                wrong |= values != np.floor(values)
            if wrong.any():
                at = int(np.argmax(wrong))
                ends = np.cumsum(events.lengths)
                file = int(np.searchsorted(ends, at, "right"))
                place = at - int(ends[file] - events.lengths[file])
                raise DataError(
                    f"{where}: {files[file]}, event {place}: {name} is {values[at]}, expected a whole number from 0 to"
                    f" {size - 1}."
                )


def camera(where: str, sensor: tuple[int, int], size: tuple[int, ...] | None, polarities: int) -> Camera:
    """A camera whose pixels are brought together to `size`, and its polarities to one where `polarities` is 1.

    **Raises:** `ValueError` for more pixels than the sensor has.
    """
    shape = sensor if size is None else size
    if len(shape) != 2 or shape[0] > sensor[0] or shape[1] > sensor[1]:
        raise ValueError(
            f"{where}: size is {size!r}, expected (height, width), at most {sensor}: neighbours are brought together."
        )
    return Camera(sensor, (polarities, *shape))


def read_camera(
    place: Place,
    read_files: Callable[[list[Path]], Recorded],
    camera: Camera,
    names: list[str],
    classes: tuple[str, ...],
    *,
    dt: float,
    num_steps: int | None,
    options: Chosen,
    meta: Mapping[str, Any] | None = None,
) -> SpikeDataset:
    """The recordings of an event camera, a file each.

    **Arguments:** `read_files`: the events of some files; `names`: the class of each file, among `classes`.
    **Raises:** `DataError` for a name that is not among the classes.
    """
    files = place.files
    others = sorted(set(names) - set(classes))
    if others:
        raise DataError(f"{place.where}: {place.folder} has files of {others[0]!r}; expected {', '.join(classes)}.")
    labels = np.array([classes.index(name) for name in names])

    def read_some(few: list[Path]) -> Read:
        events = read_files(few)
        camera.check(place.where, events, few)
        return events.lengths, events.times, camera.channels(events)

    def batches() -> Generator[tuple[int, Callable[[], Read]], None, None]:
        for first in range(0, len(files), RECORDINGS_PER_BATCH):
            few = files[first : first + RECORDINGS_PER_BATCH]
            yield len(few), functools.partial(read_some, few)

    def source() -> Source:
        count = -(-len(files) // RECORDINGS_PER_BATCH)
        return Source(batches(), count, lambda i: os.fspath(files[i]), labels, classes, scale=1e6, meta=meta or {})

    return read(place, source, camera.shape, dt=dt, num_steps=num_steps, options=options)
