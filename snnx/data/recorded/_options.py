"""What all readers of recordings let their caller choose."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from snnx._errors import describe, unknown_name
from snnx.inputs import LAYOUTS


class Options(TypedDict, total=False):
    """Choices that every reader of a data set takes.

    - `layout`: as in `snnx.data.from_events`; by default the one that loses nothing and trains fastest.
    - `drop_late`: leave out what lies behind the last step (else that is refused), and say how much.
    - `binarize`: events that share a step and channel become one; it is said how many.
    - `cache`: keep what was read, in a folder `.snnx` beside the files or the folders of the split, so that the next call
        only loads it; True unless said otherwise. It is made anew when the files, the arguments or snnx's format change.
    - `download`: have tonic download and check the files that are not there; True unless said otherwise.
    - `progress`: show it; True unless said otherwise.
    """

    layout: str
    drop_late: bool
    binarize: bool
    cache: bool
    download: bool
    progress: bool


class Chosen(NamedTuple):
    """`Options`, all of them."""

    layout: str = "auto"
    drop_late: bool = False
    binarize: bool = False
    cache: bool = True
    download: bool = True
    progress: bool = True


def options_of(where: str, given: Mapping[str, Any]) -> Chosen:
    """The choices, the defaults filled in.

    **Raises:** `TypeError` for an option that there is not, or that is no bool; `ValueError` for an unknown layout.
    """
    for name, value in given.items():
        if name not in Chosen._fields:
            raise TypeError(unknown_name(where, "option", name, Chosen._fields))
        if name != "layout" and not isinstance(value, bool):
            raise TypeError(f"{where}: {name} is {describe(value)}, expected True or False.")
    chosen = Chosen(**given)
    if chosen.layout not in LAYOUTS:
        raise ValueError(unknown_name(where, "layout", str(chosen.layout), LAYOUTS))
    return chosen


def check_split(where: str, split: str, known: tuple[str, ...]) -> None:
    """Refuse a split that the data set does not have."""
    if split not in known:
        raise ValueError(unknown_name(where, "split", str(split), known))


def root_of(where: str, root: "str | os.PathLike") -> pathlib.Path:
    """The folder that holds data sets."""
    if not isinstance(root, (str, os.PathLike)) or not str(root):
        raise TypeError(f"{where}: root is {describe(root)}; expected the folder of the data sets, such as 'data'.")
    return pathlib.Path(root).expanduser()
