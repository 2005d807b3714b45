"""Fewer channels, fewer pixels: neighbours brought together."""

from collections.abc import Callable

import numpy as np


def fewer_channels(where: str, channels: int, units: int) -> Callable[[np.ndarray], np.ndarray]:
    """From units to channels: floor(unit * channels / units).

    **Raises:** `ValueError` for more channels than units.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= units:
        raise ValueError(f"{where}: channels is {channels!r}, expected a whole number from 1 to {units}.")
    table = (np.arange(units) * channels // units).astype(np.uint16)
    return lambda which: which if channels == units else table[which]
