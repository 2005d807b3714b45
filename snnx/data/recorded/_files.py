"""The files of recorded data sets: the folder and options that every reader takes, tonic's download, and the cache.

What was read is kept beside the data, and found again by what it was made from, whole or not at all. The file is an
uncompressed `.npz`: an entry `header` (JSON) and an entry for every array, each with its checksum.
"""

import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple, TypeAlias, TypedDict

import numpy as np

from snnx._errors import describe, missing_extra, warn_caller
from snnx._files import write_atomically
from snnx.inputs import Layout

CACHE_VERSION = 4
CACHE_FOLDER = ".snnx"
Stored: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What JSON can hold, and arrays."""


class _Folder(NamedTuple):
    """In `Root`: the folder that holds data sets."""

    def read(self, where: str, name: str, value: Any) -> pathlib.Path:
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        return pathlib.Path(value).expanduser()

    def __str__(self) -> str:
        return "the folder of the data sets, such as 'data'"


Root: TypeAlias = Annotated[str | os.PathLike, _Folder()]


class Options(TypedDict, total=False):
    """Choices that every reader of a data set takes.

    - `layout`: as in `snnx.data.from_events`; by default the one that loses nothing and trains fastest.
    - `drop_late`: leave out what lies behind the last step, with a warning that says how much; else it is refused.
    - `binarize`: events that share a step and channel become one, with a warning that says how many.
    - `cache`: keep what was read, in a folder `.snnx` beside the files or the folders of the split, so that the next call
        only loads it; True by default. It is made anew when the files, the arguments or snnx's format change.
    - `download`: have tonic download and check missing files; True by default.
    - `progress`: show a progress bar; True by default.
    """

    layout: Layout
    drop_late: bool
    binarize: bool
    cache: bool
    download: bool
    progress: bool


class Chosen(NamedTuple):
    """`Options`, the defaults filled in."""

    layout: Layout = "auto"
    drop_late: bool = False
    binarize: bool = False
    cache: bool = True
    download: bool = True
    progress: bool = True


# ------------------------------------------------------------------ download
def there_or_downloaded(
    where: str, root: pathlib.Path, there: Callable[[], bool], what: str, download: bool, tonic_name: str, **asked: Any
) -> None:
    """Make sure that a data set's files are there.

    **Arguments:** `there`: whether they are; `what`: what should be where, for messages; `tonic_name`: the class of tonic
    that downloads them, with its arguments `asked`.
    **Raises:** `FileNotFoundError` if they are missing and not to be downloaded, or did not come.
    """
    if there():
        return
    if not download:
        raise FileNotFoundError(f"{where}: there is no {what}; download=True has tonic fetch it.")
    try:
        import tonic.datasets
    except ImportError as error:
        missing_extra(f"{where}: downloading", "tonic", "data", error)
    try:
        getattr(tonic.datasets, tonic_name)(save_to=os.fspath(root), **asked)
    except Exception as error:  # whatever a network, a server, a disk or an archive may do
        raise FileNotFoundError(
            f"{where}: there is no {what}, and tonic could not download it ({type(error).__name__}: {error})."
        ) from error
    if not there():
        raise FileNotFoundError(f"{where}: tonic ended without an error, but there is no {what}.")


def files_of(
    where: str,
    folder: pathlib.Path,
    pattern: str,
    called: str,
    root: pathlib.Path,
    download: bool,
    tonic_name: str,
    **asked: Any,
) -> list[pathlib.Path]:
    """The files of a data set that match a pattern below `folder`, in the order of their names.

    **Arguments:** `called`: what stands for the pattern in messages; the others, and **raises**, as `there_or_downloaded`.
    """

    def there() -> bool:
        return next(folder.glob(pattern), None) is not None

    there_or_downloaded(where, root, there, f"file {folder / called}", download, tonic_name, **asked)
    return sorted(folder.glob(pattern))


# ------------------------------------------------------------------ cache
def cached(
    name: str,
    folder: pathlib.Path,
    sources: Iterable[pathlib.Path],
    settings: dict[str, Any],
    use: bool,
    make: Callable[[], Stored],
) -> Stored:
    """What `make` makes, or what it made before of the same files with the same settings.

    A damaged file is made anew, with a warning; a file that cannot be written is warned of, too.

    **Arguments:** `name`: of the file; `folder`: that of the data; `sources`: the files that it is made of, which are
    known again by name, size and time of change; `settings`: all else that it depends on; `use`: whether at all.
    """
    if not use:
        return make()
    path = folder / CACHE_FOLDER / f"{name}-{_key(folder, sources, settings)}.npz"
    if path.exists():
        try:
            return read_cached(path)
        except Exception as error:  # a damaged file makes the readers raise nearly anything
            warn_caller(f"{path} is damaged ({error!r}); it is made anew.")
    header, arrays = make()
    text = json.dumps({"given": header, "arrays": list(arrays)})
    entries = {"header": np.frombuffer(text.encode(), np.uint8)} | arrays
    try:
        write_atomically(path, lambda file: np.savez(file, **entries))  # pyright: ignore[reportArgumentType]
    except OSError as error:
        warn_caller(
            f"{path} could not be written ({error.strerror or error}): what was read is not kept, and will be read again the"
            " next time; cache=False does not try."
        )
    return header, arrays


def _key(folder: pathlib.Path, sources: Iterable[pathlib.Path], settings: dict[str, Any]) -> str:
    """A text that differs for other files, other settings or another version of this format."""
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, settings], sort_keys=True, default=repr).encode())
    for path in sources:
        known = path.stat()
        digest.update(f"{path.relative_to(folder)} {known.st_size} {known.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def read_cached(path: pathlib.Path) -> Stored:
    """What a file of the cache holds. **Raises:** nearly anything for a damaged one."""
    arrays = {}
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            with file.open(name) as entry:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(entry, allow_pickle=False)
                if entry.read(1):  # up to its end, where its checksum is compared
                    raise ValueError(f"its entry {name} is longer than it says")
    header = json.loads(arrays.pop("header").tobytes())
    if header["arrays"] != list(arrays):  # a changed byte of the archive's list can hide some
        raise ValueError(f"it has {', '.join(arrays)}, expected {', '.join(header['arrays'])}")
    return header["given"], arrays
