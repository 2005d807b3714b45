import os
from pathlib import Path
from typing import Unpack

import numpy as np

from snnx._errors import DataError
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._camera import Recorded, camera, read_camera
from snnx.data.recorded._download import files_of
from snnx.data.recorded._options import Options, options_of, root_of
from snnx.data.recorded._read import Place

SENSOR = (180, 240)
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")


def asldvs(
    root: "str | os.PathLike",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    size: tuple[int, int] | None = None,
    polarities: int = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """ASL-DVS: letters of the American sign language, seen by an event camera for about 0.1 s each.

    There is no official split: `data.split((0.8, 0.2), key=key)`. A letter of which there is no recording (as j, which
    takes a movement) stays among the class names.

    **Arguments:** as for `nmnist`; the files are `.mat`, in folders under `root/ASLDVS` that end in the letter; `size`: at
    most and by default (180, 240). **Returns:** a data set in the order of folders and file names. **Raises:** as `nmnist`.

    Source: Bi, Chadha, Abbas, Bourtsoulatze & Andreopoulos, ICCV 2019.
    """
    chosen, folder = options_of("asldvs", options), root_of("asldvs", root)
    seen = camera("asldvs", SENSOR, size, polarities)
    where = folder / "ASLDVS"
    files = files_of("asldvs", where, "**/*.mat", "<letter>/*.mat", folder, chosen.download, "ASLDVS")
    letters = [path.parent.name[-1] for path in files]
    others = sorted(set(letters) - set(LETTERS))
    if others:
        raise DataError(f"asldvs: {where} has a folder that ends in {others[0]!r}; expected a letter from a to z.")
    return read_camera(
        Place("asldvs", "", where, files),
        _read_matlab,
        seen,
        np.array([LETTERS.index(letter) for letter in letters]),
        LETTERS,
        dt=dt,
        num_steps=num_steps,
        options=chosen,
    )


def _read_matlab(paths: list[Path]) -> Recorded:
    """Files with `ts` in microseconds, `x`, `y` from the bottom, and `pol`."""
    import scipy.io

    found = []
    for path in paths:
        try:
            content = scipy.io.loadmat(path)
            columns = [np.asarray(content[name]).reshape(-1) for name in ("ts", "pol", "y", "x")]
        except Exception as error:  # a damaged file makes the reader raise nearly anything
            raise DataError(f"asldvs: {path} is no whole file of ts, x, y and pol ({error!r}).") from error
        if len({len(column) for column in columns}) > 1:
            raise DataError(f"asldvs: {path} has ts, pol, y, x of lengths {[len(column) for column in columns]}.")
        found.append(columns)
    lengths = np.array([len(columns[0]) for columns in found])
    times, polarity, y, x = (np.concatenate([columns[i] for columns in found]) for i in range(4))
    return Recorded(lengths, times, polarity, SENSOR[0] - 1 - y.astype(np.float64), x)
