"""Memory is asked for before it is used; what is made on the host for the device is not copied where they are one."""

import math
import pathlib
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Array

from snnx._text import amount

MEMINFO = pathlib.Path("/proc/meminfo")
ALIGNMENT = 64  # bytes, at which JAX takes an array of the host over as it is


def available_memory() -> int | None:
    """Bytes that the default device can still give, where that is known."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    if jax.default_backend() == "cpu" and MEMINFO.exists():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def check_memory(where: str, layout: str, sizes: Mapping[str, int]) -> None:
    """Refuse a layout for which there is no memory.

    **Arguments:** `sizes`: bytes of the whole data set in every layout that can hold it.
    **Raises:** `MemoryError` that says how large it is, what there is, and which layouts are smaller.
    """
    there = available_memory()
    if there is None or sizes[layout] <= there:
        return
    fitting = [f"layout={name!r} ({amount(size)})" for name, size in sizes.items() if size <= there]
    instead = f"take {' or '.join(fitting)}" if fitting else "no layout of it fits: take longer steps or fewer examples"
    raise MemoryError(
        f"{where}: the data set takes {amount(sizes[layout])} with layout={layout!r}, but {amount(there)} of memory are"
        f" free; {instead}, or stream it in parts."
    )


def host_array(shape: tuple[int, ...], dtype: "np.dtype | type") -> np.ndarray:
    """Zeros where JAX can take them over."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def to_device(array: np.ndarray) -> Array:
    """The array on the default device. Whoever made it must not change it afterwards: on a CPU it is the same memory."""
    return jax.device_put(array, may_alias=True)
