"""Files that are not there: tonic downloads and checks them."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

from snnx._errors import missing_extra


def there_or_downloaded(
    where: str, root: pathlib.Path, there: Callable[[], bool], what: str, download: bool, tonic_name: str, **asked: Any
) -> None:
    """Make sure that a data set's files are there.

    **Arguments:** `there`: whether they are; `what`: what should be where, for messages; `tonic_name`: the class of tonic
    that downloads them, with its arguments `asked`.
    **Raises:** `FileNotFoundError` if they are not there and not to be downloaded, or did not come.
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
