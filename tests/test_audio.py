"""Recordings, resampling, mel bands, lists of spikes: against files written by others, analytic tones, plain loops."""

import struct
import sys
import wave as wave_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import wavfile

from snnx._errors import DataError, DataLossWarning, DtypeError, MissingExtraError, ShapeError
from snnx.audio import bin_spikes, events, log_mel, read, resample


def _write(path, data: bytes, width: int, channels: int = 1, rate: int = 8000):
    """A wav file by the standard library, which knows nothing of scipy's reader."""
    with wave_module.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


# read


@pytest.mark.parametrize(
    ("width", "numbers"),
    [
        (1, [0, 1, 127, 128, 255]),
        (2, [-32768, -1, 0, 1, 32767]),
        (3, [-(2**23), -1, 0, 1, 2**23 - 1]),
        (4, [-(2**31), -256, 0, 256, 2**30]),
    ],
)
def test_read_scales_whole_numbers_exactly(tmp_path, width, numbers):
    data = b"".join(n.to_bytes(width, "little", signed=width > 1) for n in numbers)
    samples, rate = read(_write(tmp_path / "a.wav", data, width, rate=44_100))
    centred = [n - 128 for n in numbers] if width == 1 else numbers
    assert (rate, samples.dtype) == (44_100, jnp.float32)
    np.testing.assert_array_equal(samples, [n / 2 ** (8 * width - 1) for n in centred])


@given(hnp.arrays(np.int16, st.integers(1, 50)))
def test_read_gives_back_what_was_written(tmp_path_factory, numbers):
    path = _write(tmp_path_factory.getbasetemp() / "round_trip.wav", numbers.astype("<i2").tobytes(), 2)
    samples, _ = read(path)
    np.testing.assert_array_equal(np.asarray(samples, np.float64) * 32768, numbers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_keeps_floats(tmp_path, dtype):
    wavfile.write(tmp_path / "a.wav", 16_000, np.array([0.25, -3.0, 0.1], dtype))
    samples, rate = read(str(tmp_path / "a.wav"))
    assert rate == 16_000
    np.testing.assert_array_equal(samples, np.float32([0.25, -3.0, 0.1]))


def test_read_passes_over_a_title(tmp_path):
    whole = _write(tmp_path / "a.wav", np.int16([1, 2, 3]).tobytes(), 2).read_bytes()
    titled = tmp_path / "b.wav"
    titled.write_bytes(whole[:4] + (len(whole) + 4).to_bytes(4, "little") + whole[8:] + b"ttle\x04\0\0\0abcd")
    np.testing.assert_array_equal(read(titled)[0], np.array([1, 2, 3]) / 32768)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_read_flac(tmp_path, subtype, bits):
    soundfile = pytest.importorskip("soundfile")
    numbers = np.array([-(2 ** (bits - 1)), -1, 0, 1, 2 ** (bits - 1) - 1])
    soundfile.write(tmp_path / "a.flac", (numbers << (32 - bits)).astype(np.int32), 22_050, subtype=subtype)
    samples, rate = read(tmp_path / "a.flac")
    assert (rate, samples.dtype) == (22_050, jnp.float32)
    np.testing.assert_array_equal(samples, numbers / 2 ** (bits - 1))


def test_read_refuses_a_truncated_flac(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    noise = np.random.default_rng(0).integers(-9999, 9999, 20_000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", noise, 8000)
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"a\.flac \(20000 bytes\)"):
        read(tmp_path / "a.flac")


def test_read_says_what_to_install_for_flac(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"'soundfile'.*snnx\[data\]"):
        read(tmp_path / "a.flac")


def test_read_takes_the_mean_only_when_asked(tmp_path):
    data = np.int16([[16384, 0], [0, 16384], [8192, 8192]]).tobytes()
    path = _write(tmp_path / "stereo.wav", data, 2, channels=2)
    with pytest.raises(DataError, match=r"stereo\.wav\b.*\b2 channels\b.*\bmono=True\b"):
        read(path)
    # Left and right are 1/4 from their mean in two of three steps: RMS sqrt(1/24); all: sqrt(5/48).
    with pytest.warns(DataLossWarning, match=r"\b2 channels\b.*\b0\.204\b.*\b0\.323\b"):
        samples, _ = read(path, mono=True)
    np.testing.assert_array_equal(samples, [0.25, 0.25, 0.25])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.wav is empty"),
        (b"hello, world", r"a\.wav starts with b'hell'"),
        (b"RIFF", r"a\.wav \(4 bytes\)"),
        (b"RIFF" + bytes(100), r"a\.wav \(104 bytes\)"),
    ],
)
def test_read_refuses_what_is_no_recording(tmp_path, data, message):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("kept", [30, 44, 45, 100, 643])
def test_read_refuses_a_truncated_wav(tmp_path, kept):
    path = _write(tmp_path / "a.wav", bytes(600), 2)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=rf"a\.wav \({kept} bytes\)"):
        read(path)


@pytest.mark.parametrize(("name", "order"), [(b"RIFF", "<"), (b"RIFX", ">")])
@pytest.mark.parametrize("promised", [600, 602])
def test_read_refuses_a_wav_that_promises_more_samples_than_it_has(tmp_path, name, order, promised):
    # Such as a recorder that was switched off leaves, or a copy that was cut at a whole sample.
    samples = np.arange(300).astype(f"{order}i2").tobytes()
    form = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    note = struct.pack(f"{order}4sI", b"note", 3) + b"abc\0"  # of an odd length, and filled up
    rest = b"WAVE" + form + note + struct.pack(f"{order}4sI", b"data", promised) + samples
    (tmp_path / "a.wav").write_bytes(name + struct.pack(f"{order}I", len(rest)) + rest)
    if promised == 600:
        np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], np.arange(300) / 2**15)
        return
    with pytest.raises(DataError, match=r"a\.wav\b.*\b602\b.*\b600\b"):
        read(tmp_path / "a.wav")


def test_read_refuses_what_holds_no_numbers(tmp_path):
    with pytest.raises(DataError, match=r"none\.wav\b"):
        read(_write(tmp_path / "none.wav", b"", 2))
    wavfile.write(tmp_path / "nan.wav", 8000, np.float32([0, 0.5, np.nan]))
    with pytest.raises(DataError, match=r"nan\.wav: sample 2 of 3 is nan"):
        read(tmp_path / "nan.wav")
    wavfile.write(tmp_path / "large.wav", 8000, np.float64([0, 1e300]))
    with pytest.raises(DataError, match=r"large\.wav: sample 1 of 2 is inf"):
        read(tmp_path / "large.wav")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.wav")


# resample


@pytest.mark.parametrize(("old", "new"), [(48_000, 16_000), (8000, 48_000), (44_100, 16_000), (16_000, 16_000)])
def test_resample_is_the_same_tone_at_other_times(old, new):
    tone = lambda rate: np.sin(2 * np.pi * 440 * np.arange(rate // 20) / rate)
    samples = np.asarray(resample(jnp.asarray(tone(old), jnp.float32), old, new))
    inner = slice(new // 100, -new // 100)  # away from the ends, where the filter reaches beyond
    assert samples.shape == (new // 20,)
    np.testing.assert_allclose(samples[inner], tone(new)[inner], atol=3e-3)


def test_resample_takes_out_what_would_fold_back():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(4800) / 48_000)  # would become 6 kHz
    assert np.abs(np.asarray(resample(tone.astype(np.float32), 48_000, 16_000))[100:-100]).max() < 2e-3


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9))
def test_resample_keeps_the_end(samples, old, new):
    assert resample(np.ones(samples, np.float32), old, new).shape == (-(-samples * new // old),)


def test_resample_keeps_dtype(x64):
    for dtype in (jnp.float32, jnp.float64):
        assert resample(jnp.ones(9, dtype), 2, 3).dtype == dtype


def test_resample_refuses_other_arguments():
    with pytest.raises(ValueError, match=r"\bnew_rate\b"):
        resample(jnp.ones(3), 8000, 0)
    with pytest.raises(ShapeError, match=r"\bwave\b"):
        resample(jnp.ones(0), 8000, 16_000)
    with pytest.raises(DtypeError, match=r"\bwave\b"):
        resample(jnp.ones(3, jnp.int16), 8000, 16_000)


# log_mel

SETTINGS = dict(sample_rate=8000, frame=100, hop=30, bands=6, low=100.0, high=3500.0)


def _log_mel(wave, sample_rate, frame, hop, bands, low, high, eps=1e-6):
    """In plain loops: the discrete Fourier transform by its sum, the triangles corner by corner."""
    to_mel, to_hertz = (lambda f: 2595 * np.log10(1 + f / 700)), (lambda m: 700 * (10 ** (m / 2595) - 1))
    corners = [to_hertz(to_mel(low) + (to_mel(high) - to_mel(low)) * i / (bands + 1)) for i in range(bands + 2)]
    rows, start = [], 0
    while not rows or start + frame - hop < len(wave):
        piece = np.zeros(frame)
        piece[: len(wave[start : start + frame])] = wave[start : start + frame]
        row = np.zeros(bands)
        for k in range(frame // 2 + 1):
            total = 0.0
            for n in range(frame):
                window = 0.5 - 0.5 * np.cos(2 * np.pi * n / frame)
                total += window * piece[n] * np.exp(-2j * np.pi * k * n / frame)
            f = k * sample_rate / frame
            for b in range(bands):
                left, peak, right = corners[b : b + 3]
                if left < f <= peak:
                    row[b] += abs(total) ** 2 * (f - left) / (peak - left)
                elif peak < f < right:
                    row[b] += abs(total) ** 2 * (right - f) / (right - peak)
        rows.append(np.log(row + eps))
        start += hop
    return np.array(rows)


@pytest.mark.parametrize("samples", [1, 99, 100, 101, 160, 170])
def test_log_mel_is_its_definition(samples, x64):
    wave = np.random.default_rng(samples).normal(size=samples)
    np.testing.assert_allclose(log_mel(jnp.asarray(wave), **SETTINGS), _log_mel(wave, **SETTINGS), atol=1e-9)


@pytest.mark.slow
def test_log_mel_agrees_with_librosa():
    librosa = pytest.importorskip("librosa")
    wave = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    ours = log_mel(jnp.asarray(wave), sample_rate=16_000, frame=400, hop=160, bands=40, low=20.0)
    padded = np.pad(wave, (0, 23 * 160 + 400 - 4000))
    theirs = librosa.feature.melspectrogram(
        y=padded, sr=16_000, n_fft=400, hop_length=160, n_mels=40, fmin=20.0, center=False, htk=True, norm=None
    )
    np.testing.assert_allclose(ours, np.log(theirs.T + 1e-6), atol=1e-4)


def test_log_mel_finds_the_band_of_a_tone():
    tone = jnp.sin(2 * jnp.pi * 1000 * jnp.arange(1600) / 16_000)
    bands = np.asarray(log_mel(tone, sample_rate=16_000, frame=400, hop=160))
    # 1000 Hz are 1000 mel, and 8000 Hz 2840: the middle of band b is at 2840 (b + 1) / 41.
    np.testing.assert_array_equal(bands[:-2].argmax(axis=1), round(1000 / 2840 * 41) - 1)


def test_log_mel_of_silence_is_the_logarithm_of_eps():
    silent = log_mel(jnp.zeros(500), **SETTINGS, eps=0.5)
    np.testing.assert_allclose(silent, np.full(silent.shape, np.log(0.5)), rtol=1e-6)


def test_log_mel_works_under_transforms():
    waves = jax.random.normal(jax.random.key(0), (3, 250))
    mel = lambda wave: log_mel(wave, **SETTINGS)
    together = jax.jit(jax.vmap(mel))(waves)
    for index in range(3):
        np.testing.assert_allclose(together[index], mel(waves[index]), atol=1e-4)
    assert np.isfinite(jax.grad(lambda wave: mel(wave).sum())(jnp.zeros(250))).all()


@pytest.mark.parametrize(
    "change",
    [
        dict(hop=101),
        dict(hop=0),
        dict(bands=0),
        dict(high=4001.0),
        dict(low=3500.0),
        dict(low=-1.0),
        dict(eps=0.0),
        dict(bands=60),  # one of them has no frequency
    ],
    ids=str,
)
def test_log_mel_refuses_settings(change):
    with pytest.raises(ValueError, match=rf"log_mel: .*\b{next(iter(change)).removesuffix('s')}s?\b"):
        log_mel(jnp.ones(500), **{**SETTINGS, **change})


def test_log_mel_refuses_other_waves():
    with pytest.raises(ShapeError, match=r"\bwave\b"):
        log_mel(jnp.ones(0), **SETTINGS)
    with pytest.raises(ShapeError, match=r"\bwave\b"):
        log_mel(jnp.ones((2, 500)), **SETTINGS)
    with pytest.raises(DtypeError, match=r"\bwave\b"):
        log_mel(jnp.ones(500, jnp.int16), **SETTINGS)


# bin_spikes and events

RASTERS = hnp.arrays(bool, st.sampled_from([(1, 1), (7, 3), (12, 2)]))  # few shapes: each is compiled


@given(RASTERS, st.sampled_from([1, 3, 5, 14]))
def test_bins_count_every_spike_once(spikes, size):
    expected = [spikes[start : start + size].sum(axis=0) for start in range(0, len(spikes), size)]
    counts = bin_spikes(jnp.asarray(spikes), size)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts, expected)


@given(RASTERS, st.sampled_from([1, 3, 48_000]))
def test_events_rebuild_the_raster(spikes, rate):
    times, channels = events(spikes, sample_rate=rate)
    again = np.zeros_like(spikes)
    again[np.round(times * rate).astype(int), channels] = True
    np.testing.assert_array_equal(again, spikes)
    assert len(times) == spikes.sum()
    assert (np.diff(times) >= 0).all()
    np.testing.assert_array_equal(events(jnp.asarray(spikes), sample_rate=rate)[0], times)


def test_bins_and_events_refuse_other_arguments():
    with pytest.raises(ValueError, match=r"\bsize\b"):
        bin_spikes(jnp.ones((3, 2), bool), 0)
    with pytest.raises(ValueError, match=r"\bsample_rate\b"):
        events(jnp.ones((3, 2), bool), sample_rate=0)
    with pytest.raises(DtypeError, match=r"\bspikes\b"):
        bin_spikes(jnp.ones((3, 2)), 2)
