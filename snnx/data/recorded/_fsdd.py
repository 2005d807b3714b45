import os
from typing import Unpack

from snnx._errors import DataError
from snnx.audio import AbstractAudioCode
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._audio import from_audio
from snnx.data.recorded._options import Options, check_split, options_of, root_of

TEST = 5  # recordings of every speaker and digit, those with the lowest numbers


def fsdd(
    root: "str | os.PathLike",
    split: str = "train",
    *,
    code: AbstractAudioCode | None = None,
    dt: float = 0.01,
    num_steps: int | None = None,
    **options: Unpack[Options],
) -> SpikeDataset:
    """Free Spoken Digit Dataset: the digits zero to nine, spoken in English by a few people, at 8 kHz.

    The official test split are the recordings numbered 0 to 4 of every speaker and digit. `meta` has the speaker: how a
    network does on people whom it has never heard is what `snnx.data.leave_one_out(data, "speaker")` is for.

    **Arguments:**
    - `root`: the folder of data sets; the files are `root/fsdd/recordings/<digit>_<speaker>_<number>.wav`, as in a clone of
        Jakobovski/free-spoken-digit-dataset, or `root/recordings/...`.
    - `split`: `"train"`, `"test"` or `"all"`.
    - `code`, `dt`, `num_steps`, `options`: as for `from_audio`.

    **Raises:** `FileNotFoundError`; others as `from_audio`.
    """
    check_split("fsdd", split, ("train", "test", "all"))
    options_of("fsdd", options)
    places = [root_of("fsdd", root) / "fsdd" / "recordings", root_of("fsdd", root) / "recordings"]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"fsdd: there is no folder {places[0]} or {places[1]}; get it with: git clone"
            f" https://github.com/Jakobovski/free-spoken-digit-dataset {places[0].parent}"
        )
    files = []
    for path in sorted(folder.glob("*.wav")):
        parts = path.stem.split("_")
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[2].isdecimal()):
            raise DataError(f"fsdd: {path} is not called as <digit>_<speaker>_<number>.wav.")
        if split == "all" or (int(parts[2]) < TEST) == (split == "test"):
            files.append(path)
    return from_audio(
        folder,
        files=files,
        label=lambda path: path.stem.split("_")[0],
        meta={"speaker": lambda path: path.stem.split("_")[1]},
        code=code,
        dt=dt,
        num_steps=num_steps,
        **options,
    )
