"""What was read, kept beside the data: found again by what it was made from, whole or not at all.

The file is an uncompressed `.npz`: an entry `header` (JSON) and an entry for every array. Every entry has a checksum.
"""

import hashlib
import json
import pathlib
import warnings
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from snnx._files import write_atomically

VERSION = 4
FOLDER = ".snnx"
Stored: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]
"""What JSON can hold, and arrays."""


def cached(
    name: str,
    folder: pathlib.Path,
    sources: Iterable[pathlib.Path],
    settings: dict[str, Any],
    use: bool,
    make: Callable[[], Stored],
) -> Stored:
    """What `make` makes, or what it made before of the same files with the same settings.

    A file that is damaged is made anew, with a warning; so is said if there is no room for one.

    **Arguments:** `name`: of the file; `folder`: that of the data; `sources`: the files that it is made of, which are
    known again by name, size and time of change; `settings`: all else that it depends on; `use`: whether at all.
    """
    if not use:
        return make()
    path = folder / FOLDER / f"{name}-{_key(folder, sources, settings)}.npz"
    if path.exists():
        try:
            return _read(path)
        except Exception as error:  # a damaged file makes the readers raise nearly anything
            warnings.warn(f"{path} is damaged ({error!r}); it is made anew.", stacklevel=4)
    header, arrays = make()
    text = json.dumps({"given": header, "arrays": list(arrays)})
    entries = {"header": np.frombuffer(text.encode(), np.uint8)} | arrays
    try:
        write_atomically(path, lambda file: np.savez(file, **entries))  # pyright: ignore[reportArgumentType]
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror or error}): what was read is not kept, and will be read again the next"
            " time; cache=False does not try.",
            stacklevel=4,
        )
    return header, arrays


def _key(folder: pathlib.Path, sources: Iterable[pathlib.Path], settings: dict[str, Any]) -> str:
    """A text that is another for other files, other settings or another version of this format."""
    digest = hashlib.sha256(json.dumps([VERSION, settings], sort_keys=True, default=repr).encode())
    for path in sources:
        known = path.stat()
        digest.update(f"{path.relative_to(folder)} {known.st_size} {known.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _read(path: pathlib.Path) -> Stored:
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
