"""The spiking Heidelberg data sets: cochlea recordings of spoken digits (SHD) and of speech commands (SSC)."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any, Unpack

import numpy as np

from snnx._errors import DataError, missing_extra
from snnx.data._dataset import SpikeDataset
from snnx.data.recorded._download import there_or_downloaded
from snnx.data.recorded._options import Options, check_split, options_of, root_of
from snnx.data.recorded._read import TOGETHER, Place, Source, read
from snnx.data.recorded._resolution import fewer_channels

UNITS = 700


def shd(
    root: "str | os.PathLike",
    split: str = "train",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    channels: int = UNITS,
    **options: Unpack[Options],
) -> SpikeDataset:
    r"""Spiking Heidelberg Digits: spoken digits from zero to nine in English and German, as spikes of an artificial cochlea.

    20 classes; `meta` has the speaker, of whom the test split has two that the training split has not. The official
    training split is the one to take a validation split from: `train.split((0.9, 0.1), key=key)`, or by speaker,
    `snnx.data.leave_out(train, "speaker", [4])`.

    **Arguments:**
    - `root`: the folder of data sets; the file is `root/SHD/shd_train.h5`, or `root/shd_train.h5`.
    - `split`: `"train"` or `"test"`.
    - `dt`: seconds per step.
    - `num_steps`: steps of every example; by default as many as the longest recording needs.
    - `channels`: at most 700; neighbours are brought together, unit $u$ becoming channel $\lfloor u \cdot
        \texttt{channels} / 700 \rfloor$.
    - `options`: `layout`, `drop_late`, `binarize`, `cache`, `download`, `progress`, as `snnx.data.Options` says.

    **Raises:** `snnx.DataError` for a file that is damaged or of another kind; `FileNotFoundError` if there is none.

    Source: Cramer, Stradmann, Schemmel & Zenke, IEEE TNNLS 33(7), 2022 (arXiv:1910.07407).
    """
    check_split("shd", split, ("train", "test"))
    return _heidelberg("shd", root, split, dt, num_steps, channels, options, {"train": split == "train"})


def ssc(
    root: "str | os.PathLike",
    split: str = "train",
    *,
    dt: float = 0.01,
    num_steps: int | None = None,
    channels: int = UNITS,
    **options: Unpack[Options],
) -> SpikeDataset:
    """Spiking Speech Commands: Google's speech commands as spikes of an artificial cochlea, 35 classes.

    **Arguments:** as for `shd`; the file is `root/SSC/ssc_train.h5`; `split`: `"train"`, `"valid"` or `"test"`.
    **Raises:** as `shd`. Source: as `shd`, after Warden, arXiv:1804.03209.
    """
    check_split("ssc", split, ("train", "valid", "test"))
    return _heidelberg("ssc", root, split, dt, num_steps, channels, options, {"split": split})


def _heidelberg(
    name: str,
    root: "str | os.PathLike",
    split: str,
    dt: float,
    num_steps: int | None,
    channels: int,
    given: Any,
    asked: dict[str, Any],
) -> SpikeDataset:
    options, folder = options_of(name, given), root_of(name, root)
    merge = fewer_channels(name, channels, UNITS)
    places = [folder / name.upper() / f"{name}_{split}.h5", folder / f"{name}_{split}.h5"]
    what = f"file {places[0]} or {places[1].name} in {folder}"
    there_or_downloaded(
        name, folder, lambda: any(p.is_file() for p in places), what, options.download, name.upper(), **asked
    )
    path = next(p for p in places if p.is_file())

    def source() -> Source:
        return _source(name, path, _opened(name, path), merge)

    place = Place(name, split, path.parent, [path])
    return read(place, source, (channels,), dt=dt, num_steps=num_steps, options=options)


def _opened(where: str, path: pathlib.Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        missing_extra(f"{where}: reading {path}", "h5py", "data", error)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{where}: {path} is no whole HDF5 file ({error}); remove it, to have it downloaded again."
        ) from error


def _source(where: str, path: pathlib.Path, file: Any, merge: Any) -> Source:
    """The recordings of a file of the Heidelberg format."""
    wanted = ("spikes/times", "spikes/units", "labels", "extra/keys", "extra/speaker")
    missing = [key for key in wanted if key not in file]
    if missing:
        raise DataError(
            f"{where}: {path} has no {', '.join(missing)}, but {', '.join(sorted(file))}; expected a file of the Heidelberg"
            f" data sets, with {', '.join(wanted)}."
        )
    times, units = file["spikes/times"], file["spikes/units"]
    labels, speakers = file["labels"][()].astype(np.int64), file["extra/speaker"][()].astype(np.int64)
    counts = {
        "spikes/times": len(times),
        "spikes/units": len(units),
        "labels": len(labels),
        "extra/speaker": len(speakers),
    }
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: {path} has entries of different lengths: {counts}.")
    classes = tuple(key.decode() if isinstance(key, bytes) else str(key) for key in file["extra/keys"][()])

    def name(recording: int) -> str:
        return f"recording {recording} of {path}"

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for first in range(0, len(times), TOGETHER):
            try:
                when, which = times[first : first + TOGETHER], units[first : first + TOGETHER]
            except OSError as error:
                raise DataError(f"{where}: {path} cannot be read from recording {first} on ({error}).") from error
            lengths = np.fromiter(map(len, when), np.int64, len(when))
            others = np.fromiter(map(len, which), np.int64, len(which))
            if (lengths != others).any():
                i = int(np.argmax(lengths != others))
                raise DataError(f"{where}: {name(first + i)} has {lengths[i]} times, but {others[i]} units.")
            flat = np.concatenate(which)
            if len(flat) and flat.max() >= UNITS:
                i = int(np.searchsorted(np.cumsum(lengths), np.argmax(flat >= UNITS), "right"))
                raise DataError(
                    f"{where}: {name(first + i)} has a spike of unit {flat.max()}, but units go from 0 to 699."
                )
            yield lengths, np.concatenate(when), merge(flat)

    return Source(pieces(), -(-len(times) // TOGETHER), name, labels, classes, meta={"speaker": speakers})
