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

VERSION = 1
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
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(f"{path} is damaged ({error}); it is made anew.", stacklevel=4)
    header, arrays = make()
    entries = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)} | arrays
    try:
        write_atomically(path, lambda file: np.savez(file, **entries))  # pyright: ignore[reportArgumentType]
    except OSError as error:
        warnings.warn(
            f"{path} could not be written ({error.strerror}): what was read is not kept, and will be read again the next"
            " time; cache=False does not try.",
            stacklevel=4,
        )
    return header, arrays


def _key(folder: pathlib.Path, sources: Iterable[pathlib.Path], settings: dict[str, Any]) -> str:
    """A text that is another for other files, other settings or another version of this format."""
    digest = hashlib.sha256(json.dumps([VERSION, settings], sort_keys=True).encode())
    for path in sources:
        known = path.stat()
        digest.update(f"{path.relative_to(folder)} {known.st_size} {known.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _read(path: pathlib.Path) -> Stored:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("header").tobytes()), arrays
