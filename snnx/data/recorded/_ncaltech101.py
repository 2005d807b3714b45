import os
from pathlib import Path
from typing import Unpack

import numpy as np

from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._address_events import read_address_events
from snnx.data.recorded._camera import Recorded, camera, read_camera
from snnx.data.recorded._download import files_of
from snnx.data.recorded._options import Options, options_of, root_of
from snnx.data.recorded._read import Place


def ncaltech101(
    root: "str | os.PathLike",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    size: tuple[int, int] | None = None,
    polarities: int = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """N-Caltech101: the pictures of Caltech101, 101 classes, seen by an event camera that moves three times, for 0.3 s.

    Pictures are of different sizes: the first row and column that a recording has an event in become 0. There is no
    official split: `data.split((0.8, 0.2), key=key)`.

    **Arguments:** as for `nmnist`; the files are `root/NCALTECH101/Caltech101/<class>/*.bin`; `size`: at most and by
    default (180, 240). **Returns:** a data set in the order of classes and file names. **Raises:** as `nmnist`.

    Source: Orchard, Jayawant, Cohen & Thakor, Frontiers in Neuroscience 9:437, 2015.
    """
    chosen, folder = options_of("ncaltech101", options), root_of("ncaltech101", root)
    seen = camera("ncaltech101", (180, 240), size, polarities)
    where = folder / "NCALTECH101" / "Caltech101"
    files = files_of("ncaltech101", where, "*/*.bin", "<class>/*.bin", folder, chosen.download, "NCALTECH101")
    classes, labels = np.unique([path.parent.name for path in files], return_inverse=True)
    return read_camera(
        Place("ncaltech101", "", where, files),
        _from_the_corner,
        seen,
        labels,
        tuple(str(name) for name in classes),
        dt=dt,
        num_steps=num_steps,
        options=chosen,
    )


def _from_the_corner(paths: list[Path]) -> Recorded:
    """The events of some files, those of each counted from its own first row and column."""
    events = read_address_events("ncaltech101", paths)
    full = events.lengths > 0
    starts = (np.cumsum(events.lengths) - events.lengths)[full]
    y, x = (a.astype(np.int64) for a in (events.y, events.x))
    if len(starts):
        y, x = (a - np.repeat(np.minimum.reduceat(a, starts), events.lengths[full]) for a in (y, x))
    return events._replace(y=y, x=x)
