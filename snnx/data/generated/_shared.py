"""What generated tasks share: random numbers on the host, checks of sizes, spikes of populations.

Data are made by NumPy on the host, in float64: the same key gives the same task on every device, with x64 or without.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Bool, Key, UInt8

from snnx._readers import read_key


def generator(where: str, key: Key[Array, ""] | None) -> np.random.Generator:
    """NumPy's generator, seeded with the bits of a key; with `jax.random.key(0)` if there is none."""
    key = jax.random.key(0) if key is None else key
    read_key(where, "key", key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def check_whole(where: str, least: int, **sizes: int) -> None:
    """Refuse sizes that are no whole numbers from `least` on."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise ValueError(f"{where}: {name} is {size!r}, expected a whole number >= {least}.")


def check_positive(where: str, **values: float) -> None:
    """Refuse what is not a positive, finite number."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{where}: {name} is {value!r}, expected a positive number.")


def probability(where: str, name: str, rate: float, dt: float) -> float:
    """Of a spike in a step of `dt` seconds at `rate` Hz."""
    check_positive(where, **{name: rate, "dt": dt})
    if rate * dt > 1:
        raise ValueError(
            f"{where}: {name} is {rate!r} Hz and dt {dt!r} s: more than one spike a step; expected {name} * dt <= 1."
        )
    return rate * dt


def population_spikes(
    random: np.random.Generator,
    active: Bool[np.ndarray, "n periods populations"],
    durations: Sequence[int],
    inputs: int,
    chance: float,
) -> UInt8[np.ndarray, "n time inputs"]:
    """Spikes of `inputs` neurons in populations of equal size (the first ones get what is over): an independent one at
    every step with probability `chance`, as long as a neuron's population is active. `durations`: steps of each period.
    """
    populations = active.shape[2]
    of_neuron = np.concatenate(
        [np.full(len(g), p) for p, g in enumerate(np.array_split(np.arange(inputs), populations))]
    )
    spikes = np.empty((len(active), sum(durations), inputs), np.uint8)
    for example, on in enumerate(active):
        spikes[example] = random.random(spikes.shape[1:]) < chance * np.repeat(on[:, of_neuron], durations, axis=0)
    return spikes
