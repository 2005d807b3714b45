"""Warnings as lines for people."""

import contextlib
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """What is warned of inside goes to standard error: a line each, the same one once."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(note.message) for note in told if issubclass(note.category, UserWarning)):
        print(f"snnx: warning: {text}", file=sys.stderr)
