"""Floor 0: files that are there whole or not at all."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Callable
from typing import Any


def write_atomically(path: pathlib.Path, content: "bytes | Callable[[Any], object]") -> None:
    """Write a file beside its place, and move it there when it is whole and on the disk.

    A process killed at any moment leaves the old file or the new one; an error leaves the old one, and nothing else.

    **Arguments:** `content`: the bytes, or a function that writes them into the open binary file that it gets.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(
            error.errno, error.strerror, str(path)
        ) from error  # the file that is meant, not the one beside it
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
