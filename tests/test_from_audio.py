"""From folders of sound to a data set: labels, steps, levels, and what is said of silence, rates and channels."""

import wave

import jax
import numpy as np
import pytest

import snnx
from snnx._errors import DataError
from snnx.data import from_audio, fsdd

RATE = 8000


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.atleast_2d(samples)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(samples), 2, rate, 0, "NONE", ""))
        file.writeframes((samples.T * 32767).astype("<i2").tobytes())


def burst(start, stop, seconds, frequency=1000.0, rate=RATE):
    """A tone from `start` to `stop` seconds."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * frequency * time) * ((time >= start) & (time < stop))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "sounds" / "high" / "a.wav", burst(0.1, 0.3, 0.6, 3000))
    write(tmp_path / "sounds" / "low" / "b.wav", burst(0.2, 0.3, 0.4, 400))
    return tmp_path / "sounds"


def quiet(folder, **settings):
    return from_audio(folder, progress=False, **({"cache": False} | settings))


def test_events_are_those_of_the_code_step_by_step(folder):
    data = quiet(folder, level=None)
    code = snnx.audio.MelDelta()
    assert (data.classes, np.asarray(data.targets).tolist(), data.dt) == (("high", "low"), [0, 1], 0.01)
    for i, name in enumerate(("high/a.wav", "low/b.wav")):
        samples, rate = snnx.audio.read(folder / name)
        alone = np.asarray(code(samples, sample_rate=rate, hop=80, key=None))
        assert len(alone) == code.steps(len(samples), rate, 80)
        found = np.asarray(data.example(i))
        np.testing.assert_array_equal(found[: len(alone)], alone)
        assert not found[len(alone) :].any()
        assert alone.any()


@pytest.mark.slow
def test_there_are_as_many_steps_as_the_longest_recording_lasts_not_its_last_event(folder):
    # 0.6 s at 8 kHz, frames of 256 samples, every 80: 1 + ceil((4800 - 256) / 80), with silence from 0.3 s on.
    data = quiet(folder)
    assert data.num_steps == 1 + -(-(4800 - 256) // 80)
    assert not np.asarray(data.example(0))[40:].any()
    assert quiet(folder, num_steps=80).num_steps == 80


def test_events_behind_the_window_are_refused_or_counted(folder):
    with pytest.raises(DataError, match=r"from_audio: .*\b12 steps\b.*\bnum_steps="):
        quiet(folder, num_steps=12)
    with pytest.warns(snnx.DataLossWarning, match=r"\b12 steps\b"):
        assert quiet(folder, num_steps=12, drop_late=True).num_steps == 12


@pytest.mark.slow
def test_recordings_are_brought_to_one_level(folder, tmp_path):
    write(tmp_path / "faint" / "high" / "a.wav", 0.02 * burst(0.1, 0.3, 0.6, 3000))
    write(tmp_path / "faint" / "low" / "b.wav", 0.02 * burst(0.2, 0.3, 0.4, 400))
    loud, faint = quiet(folder), quiet(tmp_path / "faint")
    # But for the rounding of 16 bits to 1/600 of a faint wave's amplitude.
    assert abs(float(loud.example(0).sum()) - float(faint.example(0).sum())) <= 0.1 * float(loud.example(0).sum())
    assert float(quiet(tmp_path / "faint", level=None).example(0).sum()) < 0.8 * float(faint.example(0).sum())


def test_labels_and_more_come_from_names(tmp_path):
    for name in ("7_anna_0", "3_ben_0", "7_ben_1"):
        write(tmp_path / f"{name}.wav", burst(0.1, 0.2, 0.3))
    write(tmp_path / "._7_anna_0.wav", burst(0.1, 0.2, 0.3))  # what some systems leave beside a file
    with pytest.raises(ValueError, match=r"\bclass\b"):
        quiet(tmp_path)
    speaker = {"speaker": lambda path: path.stem.split("_")[1]}
    data = quiet(tmp_path, label=lambda path: path.stem.split("_")[0], meta=speaker)
    assert (data.classes, np.asarray(data.targets).tolist()) == (("3", "7"), [0, 1, 1])
    assert dict(data.meta_names)["speaker"] == ("anna", "ben")
    assert np.asarray(data.meta["speaker"]).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"\blabel\b.*3_ben_0.wav"):
        quiet(tmp_path, label=lambda path: "")


def test_steady_sounds_have_no_events_and_that_is_said(tmp_path):
    for i, frequency in enumerate((300, 3000)):
        write(tmp_path / str(i) / "tone.wav", burst(0, 1, 0.5, frequency))
    with pytest.raises(DataError, match=r"from_audio: 2 of 2 recordings\b.*\bMelDelta\b"):
        quiet(tmp_path)
    write(tmp_path / "1" / "burst.wav", burst(0.1, 0.3, 0.5))
    with pytest.warns(UserWarning, match=r"\b2 of 3 recordings\b"):
        assert len(quiet(tmp_path)) == 3
    for _ in range(2):  # the second time from the cache, which says it too
        with pytest.warns(UserWarning, match=r"\b2 of 3 recordings\b"):
            from_audio(tmp_path, progress=False)


def test_other_rates_and_channels_are_refused_or_said(tmp_path):
    write(tmp_path / "a" / "0.wav", burst(0.1, 0.2, 0.3))
    write(tmp_path / "a" / "1.wav", burst(0.1, 0.2, 0.3, rate=16000), rate=16000)
    with pytest.warns(UserWarning, match=r"from_audio: 1 of 16000 Hz\b.*\b8000 Hz\b"):
        data = quiet(tmp_path)
    assert data.num_steps == 1 + -(-(2400 - 256) // 80)
    write(tmp_path / "a" / "1.wav", [burst(0.1, 0.2, 0.3), burst(0.1, 0.2, 0.3)])
    with pytest.raises(DataError, match=r"1.wav\b.*\b2 channels\b"):
        quiet(tmp_path)
    with pytest.warns(snnx.DataLossWarning, match=r"\b2 channels\b"):
        quiet(tmp_path, mono=True)


def test_a_step_is_a_whole_number_of_samples(folder):
    with pytest.raises(ValueError, match=r"\bdt\b"):
        quiet(folder, dt=0.0101)


def test_the_cache_has_what_was_coded_and_knows_the_code(folder, monkeypatch):
    first = quiet(folder, cache=True)
    monkeypatch.setattr("snnx.audio._codes.log_mel", lambda *a, **k: pytest.fail("coded again"))
    again = quiet(folder, cache=True)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(pytest.fail.Exception):
        quiet(folder, cache=True, code=snnx.audio.MelDelta(threshold=0.5))


@pytest.mark.slow
def test_the_cochlea_needs_a_key_and_hears_where_a_tone_is(tmp_path):
    write(tmp_path / "low" / "a.wav", burst(0.0, 0.05, 0.05, 500, rate=20000), rate=20000)
    write(tmp_path / "high" / "b.wav", burst(0.0, 0.05, 0.05, 4000, rate=20000), rate=20000)
    code = snnx.audio.Cochlea(channels=40)
    with pytest.raises(ValueError, match=r"Cochlea: .*\bkey\b"):
        quiet(tmp_path, code=code)
    data = quiet(tmp_path, code=code, key=jax.random.key(0))
    high, low = (np.asarray(data.example(i)).sum(axis=0) for i in (0, 1))
    assert (data.sample_shape, data.classes) == ((40,), ("high", "low"))
    assert high.sum() > 0
    assert low.sum() > 0
    place = np.arange(40)
    assert (high * place).sum() / high.sum() < (low * place).sum() / low.sum()  # channel 0 is at the base


def test_spoken_digits_have_official_splits_and_speakers(tmp_path):
    for name in ("0_anna_0", "0_anna_4", "0_anna_5", "1_ben_2", "1_ben_12", "1_ben_49"):
        write(tmp_path / "fsdd" / "recordings" / f"{name}.wav", burst(0.1, 0.2, 0.3))
    train, test, every = (fsdd(tmp_path, split, progress=False) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(every)) == (3, 3, 6)
    assert np.asarray(train.targets).tolist() == [0, 1, 1]
    assert dict(train.meta_names)["speaker"] == ("anna", "ben")
    with pytest.raises(FileNotFoundError, match="git clone"):
        fsdd(tmp_path / "elsewhere")
    write(tmp_path / "fsdd" / "recordings" / "nine.wav", burst(0.1, 0.2, 0.3))
    with pytest.raises(DataError, match=r"nine.wav\b.*<digit>_<speaker>_<number>.wav"):
        fsdd(tmp_path)
