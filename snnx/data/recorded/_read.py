"""From recordings to a data set: what every reader ends with."""

import contextlib
import pathlib
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from snnx._errors import DataLossWarning, warn_caller
from snnx.data._dataset import SpikeDataset
from snnx.data._makers import data_set
from snnx.data._recordings import Read, Recordings, track
from snnx.data.recorded._files import Chosen, Stored, cached
from snnx.inputs import Binned, lay_out


class Source(NamedTuple):
    """Recordings to be read, batch by batch.

    - `batches`: how many recordings each batch has, and what reads them, in another thread: it gives how many events each
        recording has, then times and channels of all of them.
    - `count`: how many batches; `name`: what the i-th recording is called in messages; `scale`: times per second.
    - `steps`: once all are read, how many steps the longest lasts, where that is known.
    - `labels`, `classes`, `meta`: as for `from_events`.
    - `notes`: once all are read, what to warn of: sentences.
    """

    batches: Generator[tuple[int, Callable[[], Read]], None, None]
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
    settings |= {"dt": dt, "num_steps": num_steps, "shape": sample_shape, "drop_late": options.drop_late}
    made = []

    def make() -> Stored:
        made.append(True)
        given = source()
        late, name = options.drop_late, given.name
        recordings = Recordings(
            place.where, sample_shape, dt=dt, num_steps=num_steps, drop_late=late, sort=True, name=name
        )
        with contextlib.closing(given.batches):  # also where a batch is refused
            for batch in track(given.batches, f"{place.where}: reading", given.count, options.progress):
                recordings.add(*batch, scale=given.scale)
        binned = recordings.finish(given.steps())
        for note in given.notes:
            recordings.say(note)
        header = {"examples": binned.examples, "num_steps": binned.num_steps, "classes": given.classes}
        header["said"] = [(sentence, kind is DataLossWarning) for sentence, kind in recordings.said]
        arrays = {f"block_{i}": block for i, block in enumerate(binned.blocks)}
        return header, arrays | {"labels": given.labels} | {f"meta_{k}": np.asarray(v) for k, v in given.meta.items()}

    name = "-".join(part for part in (place.where, place.split) if part)
    header, arrays = cached(name, place.folder, place.files, settings, options.cache, make)
    if not made:  # the warnings from when it was read hold for what is loaded now
        for sentence, loss in header["said"]:
            warn_caller(sentence, DataLossWarning if loss else UserWarning)
    examples = tuple(header["examples"])
    blocks = tuple(arrays[f"block_{i}"] for i in range(len(examples)))
    binned = Binned(blocks, examples, header["num_steps"], sample_shape)
    inputs = lay_out(place.where, binned, options.layout, binarize=options.binarize)
    meta = {name.removeprefix("meta_"): values for name, values in arrays.items() if name.startswith("meta_")}
    return data_set(place.where, inputs, arrays["labels"], tuple(header["classes"]), dt, meta)
