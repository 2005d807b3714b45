"""The spiking Heidelberg data sets: spoken digits (SHD) and speech commands (SSC) as spikes of an artificial cochlea."""

import contextlib
import functools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Unpack

import numpy as np

from snnx._checks import checked
from snnx._errors import DataError, missing_extra
from snnx._typing import AboveZero, Count, Whole
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import RECORDINGS_PER_BATCH, Read
from snnx.data.recorded._files import Chosen, Options, Root, there_or_downloaded
from snnx.data.recorded._read import Place, Source, read

UNITS = 700
Channels: TypeAlias = Annotated[int, Whole(1, UNITS)]


@checked
def shd(
    root: Root,
    split: Literal["train", "test"] = "train",
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    channels: Channels = UNITS,
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
    place = _place("shd", Path(root), split, options, {"train": split == "train"})
    return _heidelberg(place, dt, num_steps, channels, options)


@checked
def ssc(
    root: Root,
    split: Literal["train", "valid", "test"] = "train",
    *,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    channels: Channels = UNITS,
    **options: Unpack[Options],
) -> SpikeDataset:
    """Spiking Speech Commands: Google's speech commands as spikes of an artificial cochlea, 35 classes.

    **Arguments:** as for `shd`; the file is `root/SSC/ssc_train.h5`; `split`: `"train"`, `"valid"` or `"test"`.
    **Raises:** as `shd`. Source: as `shd`, after Warden, arXiv:1804.03209.
    """
    place = _place("ssc", Path(root), split, options, {"split": split})
    return _heidelberg(place, dt, num_steps, channels, options)


def _place(name: str, root: Path, split: str, options: Options, asked: dict[str, Any]) -> Place:
    """Where the file of a split lies, which tonic is asked for if it is missing."""
    places = [root / name.upper() / f"{name}_{split}.h5", root / f"{name}_{split}.h5"]
    what = f"file {places[0]} or {places[1].name} in {root}"
    download = Chosen(**options).download
    there_or_downloaded(name, root, lambda: any(p.is_file() for p in places), what, download, name.upper(), **asked)
    path = next(p for p in places if p.is_file())
    return Place(name, split, path.parent, [path])


def _heidelberg(place: Place, dt: float, num_steps: int | None, channels: int, options: Options) -> SpikeDataset:
    table = (np.arange(UNITS) * channels // UNITS).astype(np.uint16)

    def source() -> Source:
        return _source(place.where, place.files[0], lambda units: units if channels == UNITS else table[units])

    return read(place, source, (channels,), dt=dt, num_steps=num_steps, options=Chosen(**options))


@contextlib.contextmanager
def _opened(where: str, path: Path) -> Generator[Any, None, None]:
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
            f"{where}: {path} is not a whole HDF5 file ({error}); remove it and its archive, to have it downloaded again."
        ) from error


def _source(where: str, path: Path, merge: Callable[[np.ndarray], np.ndarray]) -> Source:
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

    def batches() -> Generator[tuple[int, Callable[[], Read]], None, None]:
        with _opened(where, path) as file:
            for first in range(0, len(labels), RECORDINGS_PER_BATCH):
                few = slice(first, first + RECORDINGS_PER_BATCH)
                when, which = file["spikes/times"][few], file["spikes/units"][few]
                yield len(when), functools.partial(read_some, first, when, which)

    return Source(batches(), -(-len(labels) // RECORDINGS_PER_BATCH), name, labels, classes, meta={"speaker": speakers})
