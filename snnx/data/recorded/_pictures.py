"""Pictures shown to an event camera: N-MNIST, N-Caltech101, CIFAR10-DVS."""

import functools
from pathlib import Path
from typing import Literal, Unpack

import numpy as np

from snnx._checks import checked
from snnx._errors import DataError, missing_extra
from snnx._typing import AboveZero, Count
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._camera import Polarities, Recorded, Size, camera, read_camera
from snnx.data.recorded._files import Chosen, Options, Root, files_of
from snnx.data.recorded._read import Place

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NO_EVENTS = np.zeros(0, np.uint8)
# The binary format of N-MNIST and N-Caltech101.
EVENT_BYTES = 5  # x, y, and one bit of polarity followed by 23 of the time in microseconds, the highest first
CLOCK_TURN = 240  # in the place of y: not an event, but the clock's turn
MICROSECONDS_PER_TURN = 2**13


@checked
def nmnist(
    root: Root,
    split: Literal["train", "test"] = "train",
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    size: Size | None = None,
    polarities: Polarities = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    r"""N-MNIST: the digits of MNIST, seen by an event camera that moves three times, for 0.3 s.

    **Arguments:**
    - `root`: the folder of data sets; the files are `root/NMNIST/Train/<digit>/*.bin` and `.../Test/...`.
    - `split`: `"train"` or `"test"`.
    - `dt`: seconds per step.
    - `num_steps`: steps of every example; by default as many as the longest recording needs.
    - `size`: height and width, at most and by default (34, 34); pixel $y$ becomes row
        $\lfloor y \cdot \text{height} / 34 \rfloor$.
    - `polarities`: 2, events of OFF and ON in channels of their own, in this order; or 1, all in one.
    - `options`: `layout`, `drop_late`, `binarize`, `cache`, `download`, `progress`, as `snnx.data.Options` says.

    **Returns:** a data set of `sample_shape` `(polarities, height, width)`, in the order of digits and file names.
    **Raises:** `snnx.DataError` naming the file, for one that is truncated, or an event outside the sensor;
    `FileNotFoundError`.

    Source: Orchard, Jayawant, Cohen & Thakor, Frontiers in Neuroscience 9:437, 2015.
    """
    chosen, root = Chosen(**options), Path(root)
    seen = camera("nmnist", (34, 34), size, polarities)
    where = root / "NMNIST" / split.capitalize()
    files = files_of(
        "nmnist", where, "*/*.bin", "<digit>/*.bin", root, chosen.download, "NMNIST", train=split == "train"
    )
    place, digits = Place("nmnist", split, where, files), [path.parent.name for path in files]
    read_files = functools.partial(_read_address_events, "nmnist")
    return read_camera(place, read_files, seen, digits, tuple("0123456789"), dt=dt, num_steps=num_steps, options=chosen)


@checked
def ncaltech101(
    root: Root,
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    size: Size | None = None,
    polarities: Polarities = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """N-Caltech101: the pictures of Caltech101, 101 classes, seen by an event camera that moves three times, for 0.3 s.

    Pictures are of different sizes: the first row and column that a recording has an event in become 0. There is no
    official split: `data.split((0.8, 0.2), key=key)`.

    **Arguments:** as for `nmnist`; the files are `root/NCALTECH101/Caltech101/<class>/*.bin`; `size`: at most and by
    default (180, 240). **Returns:** a data set in the order of classes and file names. **Raises:** as `nmnist`.

    Source: Orchard, Jayawant, Cohen & Thakor, Frontiers in Neuroscience 9:437, 2015.
    """
    chosen, root = Chosen(**options), Path(root)
    seen = camera("ncaltech101", (180, 240), size, polarities)
    where = root / "NCALTECH101" / "Caltech101"
    files = files_of("ncaltech101", where, "*/*.bin", "<class>/*.bin", root, chosen.download, "NCALTECH101")
    place, names = Place("ncaltech101", "", where, files), [path.parent.name for path in files]
    classes = tuple(sorted(set(names)))
    return read_camera(place, _from_the_corner, seen, names, classes, dt=dt, num_steps=num_steps, options=chosen)


def _from_the_corner(paths: list[Path]) -> Recorded:
    """The events of some files, those of each counted from its own first row and column."""
    events = _read_address_events("ncaltech101", paths)
    full = events.lengths > 0
    starts = (np.cumsum(events.lengths) - events.lengths)[full]
    y, x = (a.astype(np.int64) for a in (events.y, events.x))
    if len(starts):
        y, x = (a - np.repeat(np.minimum.reduceat(a, starts), events.lengths[full]) for a in (y, x))
    return events._replace(y=y, x=x)


def _read_address_events(where: str, paths: list[Path]) -> Recorded:
    """The events of some files, one file after the other.

    **Raises:** `DataError` for a file that ends within an event.
    """
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents, strict=True):
        if len(content) % EVENT_BYTES:
            raise DataError(
                f"{where}: {path} has {len(content)} bytes, which is not a multiple of {EVENT_BYTES}; it is truncated."
            )
    lengths = np.array([len(content) // EVENT_BYTES for content in contents])
    raw = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, EVENT_BYTES)
    x, y, high, middle, low = raw.T
    times = (high & 127).astype(np.int32) << 16 | middle.astype(np.int32) << 8 | low
    turn = y == CLOCK_TURN
    if turn.any():
        turns = np.concatenate([[0], np.cumsum(turn)])
        ends = np.cumsum(lengths)
        before = np.repeat(turns[ends - lengths], lengths)  # of the files before: every clock starts anew
        times = times + MICROSECONDS_PER_TURN * (turns[1:] - before)
        lengths = lengths - (turns[ends] - turns[ends - lengths])
    there = ~turn
    return Recorded(lengths, times[there], high[there] >> 7, y[there], x[there])


@checked
def cifar10dvs(
    root: Root,
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    size: Size | None = None,
    polarities: Polarities = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """CIFAR10-DVS: a thousand pictures of each class of CIFAR-10, moved before an event camera for 1.3 s.

    There is no official split: `data.split((0.9, 0.1), key=key)`. The clock of a recording starts at its first event.

    **Arguments:** as for `nmnist`; the files are `root/CIFAR10DVS/<class>/*.aedat4`; `size`: at most and by default
    (128, 128). **Returns:** a data set in the order of classes and file names. **Raises:** as `nmnist`;
    `snnx.MissingExtraError` without the package `aedat`, which reads the files.

    Source: Li, Liu, Ji, Li & Shi, Frontiers in Neuroscience 11:309, 2017.
    """
    chosen, root = Chosen(**options), Path(root)
    seen = camera("cifar10dvs", (128, 128), size, polarities)
    where = root / "CIFAR10DVS"
    files = files_of("cifar10dvs", where, "*/*.aedat4", "<class>/*.aedat4", root, chosen.download, "CIFAR10DVS")
    place, names = Place("cifar10dvs", "", where, files), [path.parent.name for path in files]
    return read_camera(place, _read_aedat4, seen, names, CIFAR10, dt=dt, num_steps=num_steps, options=chosen)


def _read_aedat4(paths: list[Path]) -> Recorded:
    try:
        import aedat
    except ImportError as error:
        missing_extra("cifar10dvs: reading .aedat4", "aedat", "data", error)
    found = []
    for path in paths:
        try:
            decoder = aedat.Decoder(path)
            streams = [number for number, stream in decoder.id_to_stream().items() if stream["type"] == "events"]
            packets = [packet["events"] for packet in decoder if packet["stream_id"] == min(streams, default=-1)]
        except BaseException as error:  # a damaged file makes the decoder raise anything: its panics are no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise DataError(f"cifar10dvs: {path} is not a whole .aedat4 file ({error}).") from error
        if not streams:
            raise DataError(f"cifar10dvs: {path} has no stream of events.")
        times, x, y, on = (np.concatenate([NO_EVENTS, *(p[name] for p in packets)]) for name in ("t", "x", "y", "on"))
        found.append((times - (times.min() if len(times) else 0), on, y, x))
    lengths = np.array([len(times) for times, *_ in found])
    times, on, y, x = (np.concatenate([columns[i] for columns in found]) for i in range(4))
    return Recorded(lengths, times, on, y, x)
