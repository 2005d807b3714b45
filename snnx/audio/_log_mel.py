"""Mel bands: the logarithm of the power that most recognisers of speech hear."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import AboveZero, Count, NotNegative


def mel_filters(sample_rate: int, frame: int, bands: int, low: float, high: float) -> np.ndarray:
    """Triangles whose corners are equally far apart in mels, with peak 1: `[bands, frame // 2 + 1]`."""
    mels = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), bands + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    left, peak, right = (corners[i : i + bands, None] for i in range(3))
    frequencies = np.fft.rfftfreq(frame, 1 / sample_rate)[None]
    return np.maximum(np.minimum((frequencies - left) / (peak - left), (right - frequencies) / (right - peak)), 0)


@checked
def log_mel(
    wave: Float[Array, "time"],
    *,
    sample_rate: Count,
    frame: Count,
    hop: Count,
    bands: Count = 40,
    low: NotNegative = 0.0,
    high: AboveZero | None = None,
    eps: AboveZero = 1e-6,
) -> Float[Array, "frames bands"]:
    r"""Logarithm of the power in bands of equal width on the mel scale: what most recognisers of speech hear.

    $$ P_{tf} = \left| \sum_{n < N} w_n x_{t H + n} e^{-2 \pi i f n / N} \right|^2, \quad
       w_n = \tfrac12 - \tfrac12 \cos \frac{2 \pi n}{N}, \quad y_{tb} = \log\Big(\sum_f M_{bf} P_{tf} + \epsilon\Big) $$

    $M$ are triangles with peak 1, on HTK's scale: $2595 \log_{10}(1 + f / 700)$ (librosa's `htk=True, norm=None`).
    The first frame starts at the first sample. Behind the last sample come zeros, so that every sample is in a frame.

    **Arguments:**
    - `wave`: `float[time]`.
    - `sample_rate`: in Hz.
    - `frame`, `hop`: samples in a frame ($N$), and from one frame to the next ($H$, at most $N$).
        At 16 kHz, 400 and 160 are the usual 25 and 10 ms.
    - `bands`: number of bands, from `low` to `high` Hz (by default half the sample rate).
    - `eps`: added to the power, so that silence has a logarithm; 1e-6 is 60 dB below a power of 1.

    **Returns:** `[1 + ceil(max(time - frame, 0) / hop), bands]`.
    **Raises:** `ValueError` for settings that leave out samples or leave a band without a frequency; `ShapeError` for
    an empty wave.

    Source: Davis & Mermelstein, IEEE Trans. Acoustics, Speech, Signal Processing 28 (1980), 357-366.
    """
    nyquist = sample_rate / 2
    high = nyquist if high is None else high
    if wave.size == 0:
        raise ShapeError(f"log_mel: wave is {describe(wave)}, expected at least one sample.")
    if hop > frame:
        raise ValueError(
            f"log_mel: frame is {frame}, hop {hop}; expected hop <= frame: a longer one leaves out samples."
        )
    if not low < high <= nyquist:
        raise ValueError(
            f"log_mel: low is {low} Hz, high {high} Hz; expected 0 <= low < high <= {nyquist}, half the sample rate."
        )
    filters = mel_filters(sample_rate, frame, bands, low, high)
    if not filters.any(axis=1).all():
        raise ValueError(
            f"log_mel: no frequency of a frame of {frame} samples falls into band {int(np.argmin(filters.any(axis=1)))}"
            f" of {bands}; take fewer bands, or a longer frame (padded with zeros, if need be)."
        )
    frames = 1 + -(-max(wave.size - frame, 0) // hop)
    padded = jnp.pad(wave, (0, (frames - 1) * hop + frame - wave.size))
    cut = padded[hop * jnp.arange(frames)[:, None] + jnp.arange(frame)[None]]
    window = jnp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame), wave.dtype)
    power = jnp.abs(jnp.fft.rfft(window[None] * cut)) ** 2
    return jnp.log(power @ jnp.asarray(filters.T, wave.dtype) + eps)
