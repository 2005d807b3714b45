"""The binary format of N-MNIST and N-Caltech101: five bytes an event."""

import os
import pathlib

import numpy as np

from snnx._errors import DataError
from snnx.data.recorded._camera import Recorded

EVENT = 5  # bytes: x, y, and one bit of polarity followed by 23 of the time in microseconds, the highest first
WRAP = 240  # in the place of y: no event, but the clock's turn
TURN = 2**13  # microseconds


def read_address_events(where: str, paths: list[pathlib.Path]) -> Recorded:
    """The events of some files, one file after the other.

    **Raises:** `DataError` for a file that ends within an event.
    """
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents, strict=True):
        if len(content) % EVENT:
            raise DataError(
                f"{where}: {os.fspath(path)} has {len(content)} bytes, which is no multiple of {EVENT}; it is truncated."
            )
    lengths = np.array([len(content) // EVENT for content in contents])
    raw = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, EVENT)
    x, y, high, middle, low = raw.T
    times = (high & 127).astype(np.int32) << 16 | middle.astype(np.int32) << 8 | low
    turn = y == WRAP
    if turn.any():
        turns = np.concatenate([[0], np.cumsum(turn)])
        ends = np.cumsum(lengths)
        before = np.repeat(turns[ends - lengths], lengths)  # of the files before: every clock starts anew
        times = times + TURN * (turns[1:] - before)
        lengths = lengths - (turns[ends] - turns[ends - lengths])
    there = ~turn
    return Recorded(lengths, times[there], high[there] >> 7, y[there], x[there])
