import os
from pathlib import Path
from typing import Unpack

import numpy as np

from snnx._errors import DataError, describe
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._camera import Recorded, camera, read_camera
from snnx.data.recorded._download import files_of
from snnx.data.recorded._options import Options, check_split, options_of, root_of
from snnx.data.recorded._read import Place

CLASSES = (
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


def dvs_gesture(
    root: "str | os.PathLike",
    split: str = "train",
    *,
    dt: float = 0.025,
    num_steps: int | None = None,
    size: tuple[int, int] | None = None,
    polarities: int = 2,
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
    check_split("dvs_gesture", split, ("train", "test"))
    chosen, folder = options_of("dvs_gesture", options), root_of("dvs_gesture", root)
    seen = camera("dvs_gesture", (128, 128), size, polarities)
    where = folder / "DVSGesture" / f"ibmGesture{split.capitalize()}"
    files = files_of(
        "dvs_gesture",
        where,
        "user*_*/*.npy",
        "user<number>_<lighting>/<class>.npy",
        folder,
        chosen.download,
        "DVSGesture",
        train=split == "train",
    )
    found = sorted((*_parts(path), path) for path in files)
    return read_camera(
        Place("dvs_gesture", split, where.parent, [path for *_, path in found]),
        _read_arrays,
        seen,
        np.array([label for _, _, label, _ in found]),
        CLASSES,
        dt=dt,
        num_steps=num_steps,
        options=chosen,
        meta={"user": [user for user, *_ in found], "lighting": [lighting for _, lighting, *_ in found]},
    )


def _parts(path: Path) -> tuple[int, str, int]:
    """User, lighting and class of `user01_fluorescent_led/3.npy`."""
    user, lighting = path.parent.name.removeprefix("user").split("_", 1)
    if not (user.isdecimal() and path.stem.isdecimal() and int(path.stem) < len(CLASSES)):
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
            raise DataError(f"dvs_gesture: {path} is no whole .npy file ({error}).") from error
        if events.ndim != 2 or events.shape[1] != 4 or events.dtype.kind not in "iuf":
            raise DataError(
                f"dvs_gesture: {path} holds {describe(events)}, expected numbers [events, 4]: x, y, polarity, ms."
            )
        rows.append(events)
    x, y, polarity, milliseconds = np.concatenate(rows).T
    microseconds = milliseconds.astype(np.float64 if milliseconds.dtype.kind == "f" else np.int64) * 1000
    return Recorded(np.array([len(events) for events in rows]), microseconds, polarity, y, x)
