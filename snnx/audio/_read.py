"""Recordings of sound from files, and at another sample rate."""

import math
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from snnx._checks import checked
from snnx._errors import DataError, DataLossWarning, ShapeError, describe, missing_extra, warn_caller
from snnx._memory import to_device
from snnx._typing import Count


def _wav(path: Path) -> tuple[np.ndarray, int]:
    from scipy.io import wavfile

    with path.open("rb") as file:
        _check_chunks(file, path.stat().st_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)  # of data that end too early, among others
        warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # a title, a cover
        sample_rate, samples = wavfile.read(path)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.int16) - 128).astype(np.int8)
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples, sample_rate


def _check_chunks(file: BinaryIO, size: int) -> None:
    """Refuse a wav file that ends before its samples do: scipy's reader takes what there is, without a word."""
    order = "big" if file.read(12)[:4] == b"RIFX" else "little"
    while len(head := file.read(8)) == 8:
        promised = int.from_bytes(head[4:], order)
        left = size - file.tell()
        if head[:4] == b"data":
            if left < promised < 2**32 - 1:  # the largest number stands for a size that is told elsewhere (RF64)
                raise ValueError(f"its samples take {promised} bytes, of which there are {left}")
            return
        file.seek(promised + promised % 2, os.SEEK_CUR)


def _flac(path: Path) -> tuple[np.ndarray, int]:
    try:
        import soundfile
    except ImportError as error:
        missing_extra("read, of a flac file,", "soundfile", "data", error)
    return soundfile.read(path, dtype="float64")


_READERS = {b"RIFF": _wav, b"RIFX": _wav, b"RF64": _wav, b"fLaC": _flac}


@checked
def read(path: str | os.PathLike, *, mono: bool = False) -> tuple[Float32[Array, "time"], int]:
    """A recording from a wav or flac file (needs `soundfile`, extra `data`), as numbers in [-1, 1].

    Whole numbers of b bits are divided by 2^(b-1). This is exact up to 24 bits, the precision of float32; what has
    more is rounded to it. Files of floats keep their scale.

    **Arguments:** `path`: of the file; its first bytes say the format, not its name. `mono`: take the mean of several
    channels, with a `DataLossWarning`.
    **Returns:** the wave, `float32[time]`, and its sample rate in Hz.
    **Raises:** `snnx.DataError` for a file that is empty, truncated, of another format, or holds no samples,
    several channels (without `mono`), or numbers that are not finite; `FileNotFoundError`; `MissingExtraError`.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(4)
    if start not in _READERS:
        came = f"starts with {start!r}" if start else "is empty"
        raise DataError(f"read: {path} {came}; expected a wav file (b'RIFF') or a flac file (b'fLaC').")
    try:
        samples, sample_rate = _READERS[start](path)
    except ImportError:
        raise
    except Exception as error:  # the two packages raise many kinds for damaged files
        raise DataError(
            f"read: {path} ({path.stat().st_size} bytes) is damaged, cut off, or of a rare kind ({error}); expected a"
            " whole wav file of PCM or float samples, or a flac file: copy or convert it again."
        ) from error
    if samples.ndim == 2 and samples.shape[1] > 1:
        channels = samples.shape[1]
        if not mono:
            raise DataError(
                f"read: {path} has {channels} channels, expected 1; mono=True takes their mean, or split the file."
            )
        mean = samples.mean(axis=1)
        lost = np.sqrt(np.mean((samples - mean[:, None]) ** 2)) if mean.size else 0.0
        warn_caller(
            f"read: {path}: the mean of its {channels} channels is taken; the RMS of what they differ by is {lost:.3g},"
            f" that of all samples {np.sqrt(np.mean(samples**2)) if mean.size else 0.0:.3g}.",
            DataLossWarning,
        )
        samples = mean
    samples = samples.reshape(-1)
    if samples.size == 0:
        raise DataError(f"read: {path} holds no samples, expected at least one.")
    with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
        wave = samples.astype(np.float32)
    if not np.isfinite(wave).all():
        at = int(np.argmin(np.isfinite(wave)))
        raise DataError(
            f"read: {path}: sample {at} of {wave.size} is {wave[at]}, expected finite numbers; the recording is damaged."
        )
    return to_device(wave), int(sample_rate)  # jnp.asarray compiles something for every length


@checked
def resample(
    wave: Float[Array, "time"] | Float[np.ndarray, "time"], sample_rate: Count, new_rate: Count
) -> Float[Array, "new_time"]:
    """The wave at another sample rate: up and down by whole numbers, with an antialiasing filter in between.

    `scipy.signal.resample_poly`, in double precision, by the smallest numbers: 48000 -> 16000 Hz is every third sample
    of the filtered wave. Runs on the host, so not under `jit` or `vmap`.

    **Arguments:** `wave`: `float[time]`; `sample_rate`, `new_rate`: in Hz.
    **Returns:** `ceil(time * new_rate / sample_rate)` samples, of the wave's dtype.
    **Raises:** `ShapeError` for an empty wave.
    """
    from scipy.signal import resample_poly

    if wave.size == 0:
        raise ShapeError(f"resample: wave is {describe(wave)}, expected at least one sample.")
    common = math.gcd(sample_rate, new_rate)
    samples = resample_poly(np.asarray(wave, np.float64), new_rate // common, sample_rate // common)
    return jnp.asarray(samples.astype(wave.dtype))
