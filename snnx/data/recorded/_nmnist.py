import os
from typing import Unpack

import numpy as np

from snnx._errors import DataError
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._address_events import read_address_events
from snnx.data.recorded._camera import camera, read_camera
from snnx.data.recorded._download import files_of
from snnx.data.recorded._options import Options, check_split, options_of, root_of
from snnx.data.recorded._read import Place


def nmnist(
    root: "str | os.PathLike",
    split: str = "train",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    size: tuple[int, int] | None = None,
    polarities: int = 2,
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
    check_split("nmnist", split, ("train", "test"))
    chosen, folder = options_of("nmnist", options), root_of("nmnist", root)
    seen = camera("nmnist", (34, 34), size, polarities)
    where = folder / "NMNIST" / split.capitalize()
    files = files_of(
        "nmnist", where, "*/*.bin", "<digit>/*.bin", folder, chosen.download, "NMNIST", train=split == "train"
    )
    digits = [path.parent.name for path in files]
    others = sorted(set(digits) - set("0123456789"))
    if others:
        raise DataError(f"nmnist: {where} has the folder {others[0]!r}; expected those of the digits 0 to 9 alone.")
    return read_camera(
        Place("nmnist", split, where, files),
        lambda few: read_address_events("nmnist", few),
        seen,
        np.array(digits, np.int64),
        tuple("0123456789"),
        dt=dt,
        num_steps=num_steps,
        options=chosen,
    )
