"""A data set like SHD, made offline from the Free Spoken Digit Dataset: its recordings through the artificial cochlea.

    python benchmarks/heidelberg_like.py --root data --out made
    snnx train shd --gradient eventprop --root made

`data/fsdd` is a clone of Jakobovski/free-spoken-digit-dataset. Written are `made/SHD/shd_train.h5` and `shd_test.h5`, in SHD's
format: 700 units, ten classes, the official split (recordings 0 to 4 of every speaker and digit are the test). It takes half an
hour on 2 cores, once. These are the equations of `snnx.audio.cochlea`, and telephone speech: the units that stand for more than
4 kHz, 0 to about 200, hardly fire, and no figure on this set is one on SHD.
"""

import argparse
import pathlib

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import snnx

SAMPLE_RATE, LEVEL = 20_000, 0.05  # in Hz; RMS that every recording is brought to
LENGTH = 4000  # waves are filled up to a multiple of so many samples, each a program of its own
TOGETHER = 240_000  # samples at once: 4 GB


@jax.jit
def spikes_of(waves, keys):
    return jax.vmap(lambda wave, key: snnx.audio.cochlea(wave, sample_rate=SAMPLE_RATE, key=key))(waves, keys)


def wave_of(path):
    wave, rate = snnx.audio.read(path)
    wave = np.asarray(snnx.audio.resample(wave, rate, SAMPLE_RATE))
    return wave * np.float32(LEVEL / np.sqrt(np.mean(wave**2)))


def write(path, recordings):
    """A file in SHD's format."""
    waves = [wave_of(recording) for recording in recordings]
    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(0), number))(jnp.arange(len(waves)))
    cores = NamedSharding(Mesh(jax.devices(), "core"), PartitionSpec("core"))
    times, units = np.empty(len(waves), object), np.empty(len(waves), object)
    by_length = {}
    for i, wave in enumerate(waves):
        by_length.setdefault(-(-len(wave) // LENGTH) * LENGTH, []).append(i)
    for length, found in sorted(by_length.items()):
        count = -(-TOGETHER // length // jax.device_count()) * jax.device_count()
        for first in range(0, len(found), count):
            few = found[first : first + count]
            full = np.zeros((count, length), np.float32)
            for row, i in zip(full, few, strict=False):
                row[: len(waves[i])] = waves[i]
            own = keys[np.resize(few, count)]
            spikes = np.asarray(spikes_of(*jax.device_put((full, own), cores)))
            for i, fired in zip(few, spikes, strict=False):
                when, which = np.nonzero(fired[: len(waves[i])])
                times[i], units[i] = (when / SAMPLE_RATE).astype(np.float16), which.astype(np.uint16)
        print(f"{path}: {len(found)} recordings of up to {length / SAMPLE_RATE:g} s", flush=True)
    digits, people, _ = zip(*(recording.stem.split("_") for recording in recordings), strict=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("spikes/times", data=times, dtype=h5py.vlen_dtype(np.float16))
        file.create_dataset("spikes/units", data=units, dtype=h5py.vlen_dtype(np.uint16))
        file["labels"] = np.array(digits, np.int64)
        file["extra/speaker"] = np.unique(people, return_inverse=True)[1]
        file["extra/keys"] = np.array([f"digit {i}" for i in range(10)], "S")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="the folder that has fsdd/recordings in it")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder to write SHD/shd_*.h5 into")
    parser.add_argument("--splits", nargs="+", default=["test", "train"], choices=["test", "train"])
    args = parser.parse_args()
    snnx.use_cores()
    recordings = sorted((args.root / "fsdd" / "recordings").glob("*.wav"))
    for split in args.splits:
        official = [path for path in recordings if (int(path.stem.split("_")[2]) < 5) == (split == "test")]
        write(args.out / "SHD" / f"shd_{split}.h5", official)


if __name__ == "__main__":
    main()
