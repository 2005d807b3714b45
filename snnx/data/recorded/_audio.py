"""Recordings of sound in wav and flac files: any folder of them, and the Free Spoken Digit Dataset."""

import math
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx._errors import DataError
from snnx._typing import AboveZero, Count
from snnx.audio import AbstractAudioCode, MelDelta, resample
from snnx.audio import read as read_wave
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import Read
from snnx.data.recorded._files import Chosen, Options, Root
from snnx.data.recorded._read import Place, Source, read

RECORDINGS_PER_BATCH = 64  # a batch is a step of the progress bar
ENDINGS = (".wav", ".flac")
LENGTH_RATIO = 1.5  # waves are filled up with silence to one of a few lengths, each a program of its own
TEST_RECORDINGS = 5  # of every speaker and digit of the Free Spoken Digit Dataset, those with the lowest numbers


@checked
def from_audio(
    root: Root,
    *,
    label: Callable[[Path], str] | None = None,
    meta: Mapping[str, Callable[[Path], str]] | None = None,
    files: Sequence[str | os.PathLike] | None = None,
    code: AbstractAudioCode | None = None,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    sample_rate: Count | None = None,
    level: AboveZero | None = 0.05,
    mono: bool = False,
    key: Key[Array, ""] | None = None,
    **options: Unpack[Options],
) -> SpikeDataset:
    """Recordings of sound, a wav or flac file each, as counts of events.

    ```python
    data = snnx.data.from_audio("recordings", meta={"speaker": lambda path: path.stem.split("_")[1]})
    like_shd = snnx.data.from_audio("recordings", code=snnx.audio.Cochlea(), key=key)
    ```

    **Arguments:**
    - `root`: the folder, or one with a folder for each class.
    - `label`: from a file to the name of its class; by default the name of the folder that it is in.
    - `meta`: from a file to what else is known of it, by name: texts, such as a speaker's.
    - `files`: some of the files only; by default all that end in `.wav` or `.flac`, in the order of their names; not those
        whose names begin with a dot.
    - `code`: how sound becomes events; by default `snnx.audio.MelDelta()`: ON and OFF events of 40 mel bands.
    - `dt`: seconds per step; a whole number of samples.
    - `num_steps`: steps of every example; by default as many as the longest recording needs. Silence follows shorter ones.
    - `sample_rate`: in Hz, to which all are resampled; by default that of the first file, or the lowest that the code takes.
        A warning says how many were resampled.
    - `level`: the RMS that every recording is brought to; None leaves it as it is.
    - `mono`: take the mean of several channels, which are refused otherwise.
    - `key`: for a code that is random.
    - `options`: `layout`, `drop_late`, `binarize`, `cache`, `progress`, as `snnx.data.Options` says.

    **Raises:** `snnx.DataError` naming the file, for one that is damaged, is empty, holds NaN or several channels;
    `ValueError` for labels that are missing, or a `dt` that is not a whole number of samples.
    """
    folder = Path(root)
    code = MelDelta() if code is None else code
    paths = _files(folder, files)
    names = [_label(path, folder, label) for path in paths]
    classes, labels = np.unique(names, return_inverse=True)
    about = {name: [str(of(path)) for path in paths] for name, of in (meta or {}).items()}
    rate = max(read_wave(paths[0], mono=mono)[1] if sample_rate is None else sample_rate, code.lowest_sample_rate)
    hop = _hop(dt, rate)

    def source() -> Source:
        lasting, notes = [], []
        batches = _batches(code, paths, rate, hop, level, mono, key, lasting, notes)
        count = -(-len(paths) // RECORDINGS_PER_BATCH)
        known = tuple(classes.tolist())
        last, name = lambda: max(lasting), lambda i: os.fspath(paths[i])
        return Source(batches, count, name, labels, known, scale=1 / dt, steps=last, meta=about, notes=notes)

    bits = None if key is None else np.asarray(jax.random.key_data(key)).tolist()
    kept = {"code": repr(code), "sample_rate": rate, "level": level, "key": bits, "labels": names, "meta": about}
    place, chosen = Place("from_audio", "", folder, paths), Chosen(**options)
    return read(place, source, (code.num_channels,), dt=dt, num_steps=num_steps, options=chosen, **kept)


@checked
def fsdd(
    root: Root,
    split: Literal["train", "test", "all"] = "train",
    *,
    code: AbstractAudioCode | None = None,
    dt: AboveZero = 0.01,
    num_steps: Count | None = None,
    **options: Unpack[Options],
) -> SpikeDataset:
    """Free Spoken Digit Dataset: the digits zero to nine, spoken in English by a few people, at 8 kHz.

    The official test split are the recordings numbered 0 to 4 of every speaker and digit. `meta` has the speaker: how a
    network does on people whom it has never heard is what `snnx.data.leave_one_out(data, "speaker")` is for.

    **Arguments:**
    - `root`: the folder of data sets; the files are `root/fsdd/recordings/<digit>_<speaker>_<number>.wav`, as in a clone of
        Jakobovski/free-spoken-digit-dataset, or `root/recordings/...`.
    - `split`: `"train"`, `"test"` or `"all"`.
    - `code`, `dt`, `num_steps`, `options`: as for `from_audio`.

    **Raises:** `FileNotFoundError`; others as `from_audio`.
    """
    places = [Path(root) / "fsdd" / "recordings", Path(root) / "recordings"]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"fsdd: there is no folder {places[0]} or {places[1]}; get it with: git clone"
            f" https://github.com/Jakobovski/free-spoken-digit-dataset {places[0].parent}"
        )
    files = []
    for path in sorted(folder.glob("*.wav")):
        parts = path.stem.split("_")
        if len(parts) != 3 or not (parts[0].isdecimal() and parts[2].isdecimal()):
            raise DataError(f"fsdd: {path} is not called as <digit>_<speaker>_<number>.wav.")
        if split == "all" or (int(parts[2]) < TEST_RECORDINGS) == (split == "test"):
            files.append(path)
    digit, speaker = (lambda path: path.stem.split("_")[0]), (lambda path: path.stem.split("_")[1])
    meta = {"speaker": speaker}
    return from_audio(folder, files=files, label=digit, meta=meta, code=code, dt=dt, num_steps=num_steps, **options)


def _files(folder: Path, files: Sequence[str | os.PathLike] | None) -> list[Path]:
    if files is None:
        if not folder.is_dir():
            raise FileNotFoundError(f"from_audio: there is no folder {folder}.")
        found = folder.rglob("*")
        files = sorted(path for path in found if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    if not files:
        raise DataError(f"from_audio: there is no file in {folder} that ends in {' or '.join(ENDINGS)}.")
    paths = [Path(path) for path in files]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"from_audio: there is no file {path}.")
        if not path.is_relative_to(folder):
            raise ValueError(f"from_audio: {path} is not in the folder {folder}.")
    return paths


def _label(path: Path, folder: Path, label: Callable[[Path], str] | None) -> str:
    if label is None:
        if path.parent == folder:
            raise ValueError(
                f"from_audio: {path} is in no folder of a class; say what its class is, e.g."
                " label=lambda path: path.stem.split('_')[0]."
            )
        return path.parent.name
    name = label(path)
    if not isinstance(name, str) or not name:
        raise ValueError(f"from_audio: label gave {name!r} for {path}; expected the name of its class.")
    return name


def _hop(dt: float, sample_rate: int) -> int:
    hop = round(dt * sample_rate)
    if hop < 1 or not math.isclose(hop, dt * sample_rate, rel_tol=1e-6):
        raise ValueError(
            f"from_audio: dt is {dt:g} s, {dt * sample_rate:g} samples at {sample_rate} Hz, but steps are whole numbers of"
            f" samples; take dt={max(hop, 1) / sample_rate:.6g}, or another sample_rate."
        )
    return hop


def _batches(
    code: AbstractAudioCode,
    paths: list[Path],
    sample_rate: int,
    hop: int,
    level: float | None,
    mono: bool,
    key: Array | None,
    lasting: list[int],
    notes: list[str],
) -> Generator[tuple[int, Callable[[], Read]], None, None]:
    """The events of the recordings, some recordings at a time; times in steps.

    `lasting` gets the steps that each lasts, `notes` what to warn of once all are through.

    **Raises:** `DataError` if no recording has an event: there is nothing to tell them apart by.
    """
    run = jax.jit(lambda wave, key: code(wave, sample_rate=sample_rate, hop=hop, key=key))
    others: dict[int, int] = {}
    silent = 0
    for first in range(0, len(paths), RECORDINGS_PER_BATCH):
        found = []
        for number in range(first, min(first + RECORDINGS_PER_BATCH, len(paths))):
            wave, rate = read_wave(paths[number], mono=mono)
            if rate != sample_rate:
                others[rate] = others.get(rate, 0) + 1
                wave = resample(wave, rate, sample_rate)
            samples = np.asarray(wave)  # in NumPy, for JAX would compile every operation for every length
            loud = np.sqrt(np.mean(samples**2))
            if level is not None and loud > 0:
                samples = samples * np.float32(level / loud)
            full = np.pad(samples, (0, _length(len(samples)) - len(samples)))
            counts = run(jnp.asarray(full), None if key is None else jax.random.fold_in(key, number))
            lasting.append(code.steps(len(samples), sample_rate, hop))
            counts = np.asarray(counts)[: lasting[-1]].astype(np.int64)
            silent += not counts.any()
            steps, channels = np.nonzero(counts)
            times = counts[steps, channels]
            found.append((np.repeat(steps, times), np.repeat(channels, times)))
        lengths = np.array([len(steps) for steps, _ in found])
        coded = lengths, np.concatenate([s for s, _ in found]), np.concatenate([c for _, c in found])
        yield len(lengths), lambda coded=coded: coded
    if silent:
        said = (
            f"from_audio: {silent} of {len(paths)} recordings have no event. {type(code).__name__} tells changes; take a lower"
            " threshold, or another code"
        )
        if silent == len(paths):
            raise DataError(f"{said}.")
        notes.append(f"{said}. They are kept, as silence.")
    if others:
        said = ", ".join(f"{count} of {rate} Hz" for rate, count in sorted(others.items()))
        notes.append(f"from_audio: {said} among {len(paths)} recordings were resampled to {sample_rate} Hz.")


def _length(samples: int) -> int:
    """One of a few lengths, at most half as long again."""
    return math.ceil(1024 * LENGTH_RATIO ** math.ceil(math.log(max(samples, 1024) / 1024, LENGTH_RATIO)) - 1e-6)
