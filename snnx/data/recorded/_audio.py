import math
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from snnx._errors import DataError, describe
from snnx._readers import read_key
from snnx.audio import AbstractAudioCode, MelDelta, resample
from snnx.audio import read as read_wave
from snnx.data._dataset import SpikeDataset
from snnx.data._recordings import Read
from snnx.data.recorded._options import Options, options_of, root_of
from snnx.data.recorded._read import Place, Source, read

TOGETHER = 64  # recordings between two steps of the progress bar
ENDINGS = (".wav", ".flac")
GROWTH = 1.5  # waves are filled up with silence to one of a few lengths, each a program of its own


def from_audio(
    root: "str | os.PathLike",
    *,
    label: Callable[[Path], str] | None = None,
    meta: Mapping[str, Callable[[Path], str]] | None = None,
    files: Sequence[Path] | None = None,
    code: AbstractAudioCode | None = None,
    dt: float = 0.01,
    num_steps: int | None = None,
    sample_rate: int | None = None,
    level: float | None = 0.05,
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
        It is said how many were resampled.
    - `level`: the RMS that every recording is brought to; None leaves it as it is.
    - `mono`: take the mean of several channels, which else are refused.
    - `key`: for a code that is random.
    - `options`: `layout`, `drop_late`, `binarize`, `cache`, `progress`, as `snnx.data.Options` says.

    **Raises:** `snnx.DataError` naming the file, for one that is damaged, is empty, holds NaN or several channels;
    `ValueError` for labels that are missing, or a `dt` that is no whole number of samples.
    """
    chosen, folder = options_of("from_audio", options), root_of("from_audio", root)
    code = MelDelta() if code is None else code
    if not isinstance(code, AbstractAudioCode):
        raise TypeError(f"from_audio: code is {describe(code)}; expected an object such as snnx.audio.MelDelta().")
    if key is not None:
        read_key("from_audio", "key", key)
    paths = _files(folder, files)
    names = [_label(path, folder, label) for path in paths]
    classes, labels = np.unique(names, return_inverse=True)
    about = {name: [str(of(path)) for path in paths] for name, of in (meta or {}).items()}
    rate = max(read_wave(paths[0], mono=mono)[1] if sample_rate is None else sample_rate, code.lowest_sample_rate)
    hop = _hop(dt, rate)

    def source() -> Source:
        lasting: list[int] = []
        notes: list[str] = []
        pieces = _pieces(code, paths, rate, hop, level, mono, key, lasting, notes)
        count = -(-len(paths) // TOGETHER)
        return Source(
            pieces,
            count,
            lambda i: os.fspath(paths[i]),
            labels,
            tuple(classes.tolist()),
            scale=1 / dt,
            steps=lambda: max(lasting),
            meta=about,
            notes=notes,
        )

    bits = None if key is None else np.asarray(jax.random.key_data(key)).tolist()
    return read(
        Place("from_audio", "", folder, paths),
        source,
        (code.num_channels,),
        dt=dt,
        num_steps=num_steps,
        options=chosen,
        code=repr(code),
        sample_rate=rate,
        level=level,
        key=bits,
        labels=names,
        meta=about,
    )


def _files(folder: Path, files: Sequence[Path] | None) -> list[Path]:
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


def _pieces(
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
    for first in range(0, len(paths), TOGETHER):
        found = []
        for number in range(first, min(first + TOGETHER, len(paths))):
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
    return math.ceil(1024 * GROWTH ** math.ceil(math.log(max(samples, 1024) / 1024, GROWTH)) - 1e-6)
