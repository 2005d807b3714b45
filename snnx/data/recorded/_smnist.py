"""Spiking sequential MNIST: grey values of one pixel after the other, as crossings of thresholds."""

import functools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated, Literal, Unpack

import numpy as np

from snnx._checks import checked
from snnx._errors import DataError
from snnx._typing import AboveZero, Count, Whole
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import Read
from snnx.data.recorded._files import Chosen, Options, Root, there_or_downloaded
from snnx.data.recorded._read import Place, Source, read

PIXELS = 784
PICTURES_PER_BATCH = 2048
FILES = {"train": "train-{}-ubyte", "test": "t10k-{}-ubyte"}


@checked
def smnist(
    root: Root,
    split: Literal["train", "test"] = "train",
    *,
    channels: Annotated[int, Whole(3)] = 99,
    duplicate: bool = True,
    dt: AboveZero = 0.001,
    num_steps: Count | None = None,
    **options: Unpack[Options],
) -> SpikeDataset:
    r"""Spiking sequential MNIST: pictures pixel by pixel, a spike wherever the grey value crosses a threshold.

    Of $n$ channels, $m = \lfloor n / 2 \rfloor$ have thresholds $\theta_k$ from 0 to 254: channel $n - k$ spikes where the
    value rises from below $\theta_k$ to it or above, channel $n - m - k$ where it falls below it; channel 0 where the value
    is 255. A pixel takes a millisecond; with `duplicate` it takes two, and its spikes come in both.

    **Arguments:**
    - `root`: the folder of data sets; the files are `root/smnist/train-images-idx3-ubyte`, `...-labels-idx1-ubyte`, and
        those of `t10k`.
    - `split`: `"train"` or `"test"`.
    - `channels`: an odd number of at least 3.
    - `dt`, `num_steps`, `options`: as for `shd`.

    **Raises:** as `shd`.

    Source: Bellec et al., NeurIPS 2018 (the coding of sequential MNIST); tonic's class of the same events.
    """
    chosen, root = Chosen(**options), Path(root)
    if channels % 2 == 0:
        raise ValueError(f"smnist: channels is {channels}, expected an odd number.")
    files = [root / "smnist" / FILES[split].format(kind) for kind in ("images-idx3", "labels-idx1")]
    what, train = f"files {files[0]} and {files[1].name}", split == "train"
    there_or_downloaded(
        "smnist", root, lambda: all(f.is_file() for f in files), what, chosen.download, "SMNIST", train=train
    )

    def source() -> Source:
        images, labels = _read_idx(files[0], 3), _read_idx(files[1], 1)
        if images.shape[1:] != (28, 28) or len(images) != len(labels):
            raise DataError(
                f"smnist: {files[0]} holds pictures {list(images.shape)}, {files[1].name} {len(labels)} labels."
            )

        def batches() -> Generator[tuple[int, Callable[[], Read]], None, None]:
            for first in range(0, len(images), PICTURES_PER_BATCH):
                few = images[first : first + PICTURES_PER_BATCH].reshape(-1, PIXELS)
                yield len(few), functools.partial(_crossings, few, channels, duplicate)

        count = -(-len(images) // PICTURES_PER_BATCH)
        return Source(
            batches(), count, lambda i: f"picture {i}", labels.astype(np.int64), tuple("0123456789"), scale=1e3
        )

    place = Place("smnist", split, root / "smnist", files)
    return read(
        place, source, (channels,), dt=dt, num_steps=num_steps, options=chosen, channels=channels, duplicate=duplicate
    )


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """An array of bytes in the IDX format: two zeros, the kind 8, the number of axes, their lengths, the bytes."""
    content = path.read_bytes()
    head = 4 + 4 * axes
    whole = len(content) >= head and content[:4] == bytes([0, 0, 8, axes])
    shape = np.frombuffer(content[4:head] if whole else b"", ">u4").astype(int)
    if not whole or len(content) != head + shape.prod():
        raise DataError(f"smnist: {path} is not a whole IDX file of bytes with {axes} axes.")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def _crossings(pictures: np.ndarray, channels: int, duplicate: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each picture how many spikes there are, and their milliseconds and channels."""
    half = channels // 2
    thresholds = np.linspace(0.0, 254.0, half).astype(np.uint8)
    above = pictures[:, :, None] >= thresholds
    spikes = np.zeros((*pictures.shape, channels), bool)
    rises, falls = ~above[:, :-1] & above[:, 1:], above[:, :-1] & ~above[:, 1:]
    # The lowest threshold, 0, is never crossed.
    spikes[:, :-1, channels - np.arange(1, half)] = rises[:, :, 1:]
    spikes[:, :-1, channels - half - np.arange(1, half)] = falls[:, :, 1:]
    spikes[:, :, 0] = pictures == 255
    picture, when, which = np.nonzero(spikes)
    if duplicate:
        picture, which = np.repeat(picture, 2), np.repeat(which, 2)
        when = np.repeat(2 * when, 2) + np.tile([0, 1], len(when))
        order = np.lexsort((which, when, picture))
        when, which = when[order], which[order]
    return np.bincount(picture, minlength=len(pictures)), when, which
