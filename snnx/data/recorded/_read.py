"""From recordings to a data set: what every reader ends with."""

import contextlib
import pathlib
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from snnx._errors import DataLossWarning
from snnx.data._check import check_dt, labels_of, meta_of
from snnx.data._dataset import SpikeDataset
from snnx.data._progress import track
from snnx.data._recordings import Read, Recordings
from snnx.data.recorded._cache import Stored, cached
from snnx.data.recorded._options import Chosen
from snnx.inputs import Binned, lay_out

TOGETHER = 256  # recordings that are worked on at once


class Source(NamedTuple):
    """Recordings to be read, piece by piece.

    - `pieces`: how many recordings each piece has, and what reads them, in another thread: it gives how many events each
        recording has, then times and channels of all of them.
    - `count`: how many pieces; `name`: what the i-th recording is called in messages; `scale`: times per second.
    - `steps`: once all are read, how many steps the longest lasts, where that is known.
    - `labels`, `classes`, `meta`: as for `from_events`.
    - `notes`: once all are read, what to warn of: sentences.
    """

    pieces: Generator[tuple[int, Callable[[], Read]], None, None]
    count: int
    name: Callable[[int], str]
    labels: np.ndarray
    classes: tuple[str, ...]
    scale: float = 1.0
    steps: Callable[[], int] = lambda: 1
    meta: Mapping[str, Any] = {}
    notes: Sequence[str] = ()


class Place(NamedTuple):
    """Where a data set lies, and what it is called there."""

    where: str  # the reader, for messages
    split: str
    folder: pathlib.Path
    files: list[pathlib.Path]


def read(
    place: Place,
    source: Callable[[], Source],
    sample_shape: tuple[int, ...],
    *,
    dt: float,
    num_steps: int | None,
    options: Chosen,
    **settings: Any,
) -> SpikeDataset:
    """All recordings, binned and laid out; binned only once where they may be kept.

    **Arguments:** `source`: opens the recordings; `settings`: all besides the files and the arguments here that the
    events depend on.
    """
    check_dt(place.where, dt)
    lasting = {"dt": dt, "num_steps": num_steps, "shape": sample_shape, "drop_late": options.drop_late, **settings}

    made = []

    def make() -> Stored:
        made.append(True)
        given = source()
        recordings = Recordings(
            place.where,
            sample_shape,
            dt=dt,
            num_steps=num_steps,
            drop_late=options.drop_late,
            sort=True,
            name=given.name,
        )
        with contextlib.closing(given.pieces):  # also where a piece is refused
            for piece in track(given.pieces, f"{place.where}: reading", given.count, options.progress):
                recordings.add(*piece, scale=given.scale)
        binned = recordings.finish(given.steps())
        for note in given.notes:
            recordings.say(note, stacklevel=6)
        header = {"examples": binned.examples, "num_steps": binned.num_steps, "classes": given.classes}
        header["said"] = [(sentence, kind is DataLossWarning) for sentence, kind in recordings.said]
        arrays = {f"block_{i}": block for i, block in enumerate(binned.blocks)}
        return header, arrays | {"labels": given.labels} | {f"meta_{k}": np.asarray(v) for k, v in given.meta.items()}

    name = "-".join(part for part in (place.where, place.split) if part)
    header, arrays = cached(name, place.folder, place.files, lasting, options.cache, make)
    if not made:  # what was said then holds for what is loaded now
        for sentence, loss in header["said"]:
            warnings.warn(sentence, DataLossWarning if loss else UserWarning, stacklevel=4)
    examples = tuple(header["examples"])
    blocks = tuple(arrays[f"block_{i}"] for i in range(len(examples)))
    binned = Binned(blocks, examples, header["num_steps"], sample_shape)
    inputs = lay_out(place.where, binned, options.layout, binarize=options.binarize)
    labels, classes = labels_of(place.where, arrays["labels"], tuple(header["classes"]))
    meta = {name.removeprefix("meta_"): values for name, values in arrays.items() if name.startswith("meta_")}
    return SpikeDataset(inputs, labels, None, classes, dt, *meta_of(place.where, meta, sum(examples)))
