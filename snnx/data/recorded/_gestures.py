"""Hands seen by an event camera: DVS-Gesture, ASL-DVS."""

from pathlib import Path
from typing import Literal, Unpack

import numpy as np

from snnx._checks import checked
from snnx._errors import DataError, describe
from snnx._typing import AboveZero, Count
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._camera import Polarities, Recorded, Size, camera, read_camera
from snnx.data.recorded._files import Chosen, Options, Root, files_of
from snnx.data.recorded._read import Place

GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
ASL_SENSOR = (180, 240)  # height, width


@checked
def dvs_gesture(
    root: Root,
    split: Literal["train", "test"] = "train",
    *,
    dt: AboveZero = 0.025,
    num_steps: Count | None = None,
    size: Size | None = None,
    polarities: Polarities = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """DVS-Gesture: 11 gestures of 29 people, seen by an event camera, cut into a recording for each gesture.

    Recordings take 1 to 18 s: `num_steps=60, drop_late=True` keeps the first 1.5 s. `meta` has `user` and `lighting`; the
    official test split is of other people than the training split.

    **Arguments:** as for `nmnist`; the files are `root/DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy`, where the
    number is the class, and `.../ibmGestureTest/...`; `size`: at most and by default (128, 128).
    **Returns:** a data set in the order of people, lighting and classes, on every file system.
    **Raises:** as `nmnist`.

    Source: Amir et al., CVPR 2017; times are in milliseconds in tonic's files.
    """
    chosen, root = Chosen(**options), Path(root)
    seen = camera("dvs_gesture", (128, 128), size, polarities)
    where = root / "DVSGesture" / f"ibmGesture{split.capitalize()}"
    pattern, called = "user*_*/*.npy", "user<number>_<lighting>/<class>.npy"
    train = split == "train"
    paths = files_of("dvs_gesture", where, pattern, called, root, chosen.download, "DVSGesture", train=train)
    users, lighting, labels, files = zip(*sorted((*_user_lighting_class(p), p) for p in paths), strict=True)
    place, names = Place("dvs_gesture", split, where.parent, list(files)), [GESTURES[label] for label in labels]
    meta = {"user": users, "lighting": lighting}
    return read_camera(
        place, _read_arrays, seen, names, GESTURES, dt=dt, num_steps=num_steps, options=chosen, meta=meta
    )


def _user_lighting_class(path: Path) -> tuple[int, str, int]:
    """User, lighting and class of `user01_fluorescent_led/3.npy`."""
    user, lighting = path.parent.name.removeprefix("user").split("_", 1)
    if not (user.isdecimal() and path.stem.isdecimal() and int(path.stem) < len(GESTURES)):
        raise DataError(f"dvs_gesture: {path} is not called as user<number>_<lighting>/<class from 0 to 10>.npy.")
    return int(user), lighting, int(path.stem)


def _read_arrays(paths: list[Path]) -> Recorded:
    """Files of rows of x, y, polarity and milliseconds."""
    rows = []
    for path in paths:
        try:
            with path.open("rb") as file:
                events = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # a damaged file makes the reader raise nearly anything
            raise DataError(f"dvs_gesture: {path} is not a whole .npy file ({error}).") from error
        if events.ndim != 2 or events.shape[1] != 4 or events.dtype.kind not in "iuf":
            raise DataError(
                f"dvs_gesture: {path} holds {describe(events)}, expected numbers [events, 4]: x, y, polarity, ms."
            )
        rows.append(events)
    x, y, polarity, milliseconds = np.concatenate(rows).T
    microseconds = milliseconds.astype(np.float64 if milliseconds.dtype.kind == "f" else np.int64) * 1000
    return Recorded(np.array([len(events) for events in rows]), microseconds, polarity, y, x)


@checked
def asldvs(
    root: Root,
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    size: Size | None = None,
    polarities: Polarities = 2,
    **options: Unpack[Options],
) -> SpikeDataset:
    """ASL-DVS: letters of the American sign language, seen by an event camera for about 0.1 s each.

    There is no official split: `data.split((0.8, 0.2), key=key)`. A letter of which there is no recording (as j, which
    takes a movement) stays among the class names.

    **Arguments:** as for `nmnist`; the files are `.mat`, in folders under `root/ASLDVS` that end in the letter; `size`: at
    most and by default (180, 240). **Returns:** a data set in the order of folders and file names. **Raises:** as `nmnist`.

    Source: Bi, Chadha, Abbas, Bourtsoulatze & Andreopoulos, ICCV 2019.
    """
    chosen, root = Chosen(**options), Path(root)
    seen = camera("asldvs", ASL_SENSOR, size, polarities)
    where = root / "ASLDVS"
    files = files_of("asldvs", where, "**/*.mat", "<letter>/*.mat", root, chosen.download, "ASLDVS")
    place, letters = Place("asldvs", "", where, files), [path.parent.name[-1] for path in files]
    return read_camera(place, _read_matlab, seen, letters, LETTERS, dt=dt, num_steps=num_steps, options=chosen)


def _read_matlab(paths: list[Path]) -> Recorded:
    """Files with `ts` in microseconds, `x`, `y` from the bottom, and `pol`."""
    import scipy.io

    found = []
    for path in paths:
        try:
            content = scipy.io.loadmat(path)
            columns = [np.asarray(content[name]).reshape(-1) for name in ("ts", "pol", "y", "x")]
        except Exception as error:  # a damaged file makes the reader raise nearly anything
            raise DataError(f"asldvs: {path} is not a whole file of ts, x, y and pol ({error!r}).") from error
        if len({len(column) for column in columns}) > 1:
            raise DataError(f"asldvs: {path} has ts, pol, y, x of lengths {[len(column) for column in columns]}.")
        found.append(columns)
    lengths = np.array([len(columns[0]) for columns in found])
    times, polarity, y, x = (np.concatenate([columns[i] for columns in found]) for i in range(4))
    return Recorded(lengths, times, polarity, ASL_SENSOR[0] - 1 - y.astype(np.float64), x)
