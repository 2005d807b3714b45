"""The spiking Heidelberg data sets: cochlea recordings of spoken digits (SHD) and of speech commands (SSC)."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Callable, Generator
from typing import Any, Unpack

import numpy as np

from snnx._errors import DataError, missing_extra
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import Read
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

    place = Place(name, split, path.parent, [path])
    return read(place, lambda: _source(name, path, merge), (channels,), dt=dt, num_steps=num_steps, options=options)


@contextlib.contextmanager
def _opened(where: str, path: pathlib.Path) -> Generator[Any, None, None]:
    """The file, which is closed whatever happens."""
    try:
        import h5py
    except ImportError as error:
        missing_extra(f"{where}: reading {path}", "h5py", "data", error)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise DataError(
            f"{where}: {path} is no whole HDF5 file ({error}); remove it and its archive, to have it downloaded again."
        ) from error


def _source(where: str, path: pathlib.Path, merge: Callable[[np.ndarray], np.ndarray]) -> Source:
    """The recordings of a file of the Heidelberg format."""
    wanted = ("spikes/times", "spikes/units", "labels", "extra/keys", "extra/speaker")
    with _opened(where, path) as file:
        missing = [key for key in wanted if not hasattr(file.get(key), "dtype")]
        if missing:
            raise DataError(
                f"{where}: {path} has no {', '.join(missing)}, but {', '.join(sorted(file))}; expected a file of the"
                f" Heidelberg data sets, with {', '.join(wanted)}."
            )
        for key, kinds in (("spikes/times", "fiu"), ("spikes/units", "iu")):
            inner = (file[key].dtype.metadata or {}).get("vlen")
            if inner is None or np.dtype(inner).kind not in kinds:
                raise DataError(f"{where}: {path} has {key} of {inner or file[key].dtype}, expected lists of numbers.")
        counts = {key: len(file[key]) for key in wanted if key != "extra/keys"}
        if len(set(counts.values())) > 1:
            raise DataError(f"{where}: {path} has entries of different lengths: {counts}.")
        labels, speakers = (file[key][()].astype(np.int64) for key in ("labels", "extra/speaker"))
        classes = tuple(key.decode() if isinstance(key, bytes) else str(key) for key in file["extra/keys"][()])

    def name(recording: int) -> str:
        return f"recording {recording} of {path}"

    def read_some(first: int, when: np.ndarray, which: np.ndarray) -> Read:
        lengths, others = (np.fromiter(map(len, some), np.int64, len(some)) for some in (when, which))
        if (lengths != others).any():
            i = int(np.argmax(lengths != others))
            raise DataError(f"{where}: {name(first + i)} has {lengths[i]} times, but {others[i]} units.")
        units = np.concatenate(which)
        wrong = (units < 0) | (units >= UNITS)
        if wrong.any():
            at = int(np.argmax(wrong))
            i = int(np.searchsorted(np.cumsum(lengths), at, "right"))
            raise DataError(
                f"{where}: {name(first + i)} has a spike of unit {units[at]}, but units go from 0 to {UNITS - 1}."
            )
        return lengths, np.concatenate(when), merge(units)

    def pieces() -> Generator[tuple[int, Callable[[], Read]], None, None]:
        with _opened(where, path) as file:
            for first in range(0, len(labels), TOGETHER):
                few = slice(first, first + TOGETHER)
                when, which = file["spikes/times"][few], file["spikes/units"][few]
                yield len(when), functools.partial(read_some, first, when, which)

    return Source(pieces(), -(-len(labels) // TOGETHER), name, labels, classes, meta={"speaker": speakers})
