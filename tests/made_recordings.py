"""Recordings that a network can learn from, made up, in the very files that recorded data sets come as.

Every class has a pattern of its own, and every recording its own version of it: stretched, moved, with noise.
"""

import numpy as np
import recordings as files
from scipy.io import wavfile

CLASSES = 5


def write_shd(root, name="shd", splits=(("train", 40), ("test", 20))):
    """SHD (and SSC): 700 units over 0.8 s; a class is three ridges, each from one unit to another, as formants move."""
    for seed, (split, each) in enumerate(splits):
        rng = np.random.default_rng(100 + seed)
        labels = rng.permutation(np.repeat(np.arange(CLASSES), each))
        times, units = zip(*(_formants(rng, label) for label in labels), strict=True)
        speakers = rng.integers(0, 4, len(labels))
        keys = [f"word {label}" for label in range(CLASSES)]
        path = root / name.upper() / f"{name}_{split}.h5"
        files.write_heidelberg(path, times, units, labels, speakers, keys)


def write_ssc(root):
    write_shd(root, "ssc", (("train", 40), ("valid", 10), ("test", 20)))


def _formants(rng, label):
    """Seconds and units of a recording."""
    ends = np.random.default_rng(label).integers(60, 640, (3, 2))  # of the class: where its ridges begin and end
    when, which = [rng.uniform(0, 0.8, 150)], [rng.integers(0, 700, 150)]
    duration, shift = rng.uniform(0.6, 0.8), rng.normal(0, 8)
    for first, last in ends:
        share = rng.uniform(0, 1, 250)
        when.append(share * duration)
        which.append(first + (last - first) * share + shift + rng.normal(0, 8, len(share)))
    times, units = np.concatenate(when), np.concatenate(which)
    order = np.argsort(times)
    return times[order], np.clip(np.round(units[order]), 0, 699)


def write_nmnist(root, each=(("Train", 30), ("Test", 8))):
    """N-MNIST: 34 x 34 pixels over 0.3 s; a class is a bar of its own angle, which moves along a triangle."""
    for seed, (split, count) in enumerate(each):
        rng = np.random.default_rng(200 + seed)
        for label in range(CLASSES):
            for number in range(count):
                events = _bar(rng, np.pi * label / CLASSES, 34, 300_000, 2000, turns=1.0)
                files.write_address_events(root / f"NMNIST/{split}/{label}/{number:05d}.bin", events)


def _bar(rng, angle, side, microseconds, count, turns):
    """Rows of t, p, y, x: the edges of a bar, seen by a camera that moves in circles."""
    t = np.sort(rng.integers(0, microseconds, count))
    turn = 2 * np.pi * turns * t / microseconds
    middle = np.stack([np.sin(turn), np.cos(turn)], -1) * side / 12 + side / 2 + rng.normal(0, side / 34, 2)
    on = rng.integers(0, 2, count)
    angle = angle + rng.normal(0, 0.04)
    along, across = rng.uniform(-0.3, 0.3, count) * side, (on - 0.5) * side / 8 + rng.normal(0, side / 60, count)
    y = middle[:, 0] + along * np.sin(angle) + across * np.cos(angle)
    x = middle[:, 1] + along * np.cos(angle) - across * np.sin(angle)
    rows = np.stack([t, on, np.floor(y), np.floor(x)], -1)
    noise = rng.random(count) < 0.1
    rows[noise, 2:] = rng.integers(0, side, (noise.sum(), 2))
    return rows[((rows[:, 2:] >= 0) & (rows[:, 2:] < side)).all(axis=1)]


def write_gestures(root, users=(("Train", range(1, 8)), ("Test", range(8, 12)))):
    """DVS-Gesture: 128 x 128 pixels over 1.6 to 2.2 s; a class is a place and a direction in which a hand turns there."""
    rng = np.random.default_rng(300)
    for split, people in users:
        for user in people:
            for lighting in ("fluorescent", "lab"):
                for label in range(CLASSES + 1):
                    path = root / f"DVSGesture/ibmGesture{split}/user{user:02d}_{lighting}/{label}.npy"
                    files.write_gesture(path, _gesture(rng, label), np.int64)


def _gesture(rng, label):
    """Rows of t, p, y, x: a hand that turns at one of three places, forwards or backwards; before it, ON, behind it, OFF."""
    duration, count = int(rng.integers(1_600_000, 2_200_000)), 6000
    t = np.sort(rng.integers(0, duration, count)) // 1000 * 1000  # the files count milliseconds
    place, direction = label // 2, 1 - 2 * (label % 2)
    phase = rng.uniform(0, 2 * np.pi) + direction * 2 * np.pi * t / 1e6 * rng.uniform(0.9, 1.1)
    on = rng.integers(0, 2, count)
    phase = phase + direction * (on - 0.5) * 0.6
    middle = np.array([64, (28, 64, 100)[place]]) + rng.normal(0, 4, 2)
    spread = rng.normal(0, 2.5, (count, 2))
    y, x = middle[0] + 20 * np.sin(phase) + spread[:, 0], middle[1] + 20 * np.cos(phase) + spread[:, 1]
    rows = np.stack([t, on, np.floor(y), np.floor(x)], -1)
    noise = rng.random(count) < 0.05
    rows[noise, 2:] = rng.integers(0, 128, (noise.sum(), 2))
    return rows[((rows[:, 2:] >= 0) & (rows[:, 2:] < 128)).all(axis=1)]


def write_fsdd(root, speakers=("ada", "ben"), numbers=range(20)):
    """The Free Spoken Digit Dataset: 8 kHz; of every speaker and digit the recordings 0 to 4 are the test split."""
    folder = root / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(400)
    for index, speaker in enumerate(speakers):
        for digit in range(CLASSES):
            for number in numbers:
                wave = _chirp(rng, digit, 8000, pitch=1.0 + 0.1 * index)
                wavfile.write(folder / f"{digit}_{speaker}_{number}.wav", 8000, wave)


def write_sounds(root, each=40):
    """A folder for each class, of files of 16 kHz: flac in one of them, else wav."""
    import soundfile

    rng = np.random.default_rng(500)
    for label in range(CLASSES):
        folder = root / f"sound {label}"
        folder.mkdir(parents=True)
        for number in range(each):
            wave = _chirp(rng, label, 16000, pitch=rng.uniform(0.9, 1.1))
            if label == 0:
                soundfile.write(folder / f"{number}.flac", wave, 16000)
            else:
                wavfile.write(folder / f"{number}.wav", 16000, wave)


def _chirp(rng, label, sample_rate, pitch):
    """A tone with an overtone that goes from one pitch to another: up, down, high, low, or up and down; in noise."""
    first, middle, last = ((400, 800, 1600), (1600, 800, 400), (1500, 1500, 1500), (450, 450, 450), (500, 1500, 500))[
        label
    ]
    time = np.arange(0, rng.uniform(0.33, 0.47), 1 / sample_rate)
    share = time / time[-1]
    frequency = pitch * np.interp(share, (0, 0.5, 1), (first, middle, last)) * rng.uniform(0.95, 1.05)
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    loud = np.sin(np.pi * share) ** 0.5
    wave = loud * (np.sin(phase) + 0.5 * np.sin(2 * phase)) + 0.05 * rng.normal(size=len(time))
    return np.round(8000 * rng.uniform(0.3, 1.0) * wave).astype(np.int16)
