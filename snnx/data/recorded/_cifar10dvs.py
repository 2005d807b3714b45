import os
from pathlib import Path
from typing import Unpack

import numpy as np

from snnx._errors import DataError, missing_extra
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._camera import Recorded, camera, read_camera
from snnx.data.recorded._download import files_of
from snnx.data.recorded._options import Options, options_of, root_of
from snnx.data.recorded._read import Place

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NOTHING = np.zeros(0, np.uint8)


def cifar10dvs(
    root: "str | os.PathLike",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    size: tuple[int, int] | None = None,
    polarities: int = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """CIFAR10-DVS: a thousand pictures of each class of CIFAR-10, moved before an event camera for 1.3 s.

    There is no official split: `data.split((0.9, 0.1), key=key)`. The clock of a recording starts at its first event.

    **Arguments:** as for `nmnist`; the files are `root/CIFAR10DVS/<class>/*.aedat4`; `size`: at most and by default
    (128, 128). **Returns:** a data set in the order of classes and file names. **Raises:** as `nmnist`;
    `snnx.MissingExtraError` without the package `aedat`, which reads the files.

    Source: Li, Liu, Ji, Li & Shi, Frontiers in Neuroscience 11:309, 2017.
    """
    chosen, folder = options_of("cifar10dvs", options), root_of("cifar10dvs", root)
    seen = camera("cifar10dvs", (128, 128), size, polarities)
    where = folder / "CIFAR10DVS"
    files = files_of("cifar10dvs", where, "*/*.aedat4", "<class>/*.aedat4", folder, chosen.download, "CIFAR10DVS")
    names = [path.parent.name for path in files]
    others = sorted(set(names) - set(CLASSES))
    if others:
        raise DataError(f"cifar10dvs: {where} has the folder {others[0]!r}; expected {', '.join(CLASSES)}.")
    return read_camera(
        Place("cifar10dvs", "", where, files),
        _read_aedat4,
        seen,
        np.array([CLASSES.index(name) for name in names]),
        CLASSES,
        dt=dt,
        num_steps=num_steps,
        options=chosen,
    )


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
            raise DataError(f"cifar10dvs: {path} is no whole .aedat4 file ({error}).") from error
        if not streams:
            raise DataError(f"cifar10dvs: {path} has no stream of events.")
        times, x, y, on = (np.concatenate([NOTHING, *(p[name] for p in packets)]) for name in ("t", "x", "y", "on"))
        found.append((times - (times.min() if len(times) else 0), on, y, x))
    lengths = np.array([len(times) for times, *_ in found])
    times, on, y, x = (np.concatenate([columns[i] for columns in found]) for i in range(4))
    return Recorded(lengths, times, on, y, x)
