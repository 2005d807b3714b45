"""How a sound becomes events in channels: the codes that `snnx.data.from_audio` takes, and spikes as counts and as lists."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Key

from snnx._checks import checked
from snnx._typing import AboveZero, Count, NotNegative, Number
from snnx.audio._cochlea import LOWEST_SAMPLE_RATE, cochlea
from snnx.audio._log_mel import log_mel
from snnx.encoding import send_on_delta


class AbstractAudioCode(eqx.Module):
    """From a wave to counts of events, step by step."""

    lowest_sample_rate: eqx.AbstractClassVar[int]

    @property
    @abc.abstractmethod
    def num_channels(self) -> int:
        """How many channels events are in."""

    @abc.abstractmethod
    def __call__(
        self, wave: Float[Array, "samples"], *, sample_rate: int, hop: int, key: Key[Array, ""] | None
    ) -> Float[Array, "time channels"]:
        """Counts in steps of `hop` samples."""

    @abc.abstractmethod
    def steps(self, samples: int, sample_rate: int, hop: int) -> int:
        """How many steps so many samples take."""


@checked
class MelDelta(AbstractAudioCode):
    r"""The logarithm of the power in mel bands, sent whenever it has changed by a threshold: ON and OFF events.

    `snnx.audio.log_mel`, then `snnx.encoding.send_on_delta`. Channels are the ON events of all bands, from low to high, then
    the OFF events: a `ChannelShift` would carry some of one into the other. What a recording starts with leaves no events,
    nor does a steady sound.

    - `bands`: of equal width on the mel scale, from `low` Hz to half the sample rate.
    - `threshold`: of the natural logarithm; 1.0 is 4.3 dB.
    - `frame`: seconds that each spectrum is over.
    - `floor`: power that is added, so that silence is quiet; 0.01 suits recordings of RMS 0.05.
    """

    bands: Count = 40
    threshold: AboveZero = 1.0
    frame: AboveZero = 0.032
    low: NotNegative = 100.0
    floor: AboveZero = 0.01

    lowest_sample_rate: ClassVar[int] = 1

    @property
    def num_channels(self) -> int:
        return 2 * self.bands

    def __call__(
        self, wave: Float[Array, "samples"], *, sample_rate: int, hop: int, key: Key[Array, ""] | None
    ) -> Float[Array, "time channels"]:
        power = log_mel(
            wave,
            sample_rate=sample_rate,
            frame=self._frame(sample_rate, hop),
            hop=hop,
            bands=self.bands,
            low=self.low,
            eps=self.floor,
        )
        events = send_on_delta(power, self.threshold)
        return events.reshape(len(events), self.num_channels)

    def steps(self, samples: int, sample_rate: int, hop: int) -> int:
        return 1 + -(-max(samples - self._frame(sample_rate, hop), 0) // hop)

    def _frame(self, sample_rate: int, hop: int) -> int:
        return max(round(self.frame * sample_rate), hop)


@checked
class Cochlea(AbstractAudioCode):
    """The artificial cochlea of `snnx.audio.cochlea`: spikes of bushy cells along the basilar membrane.

    - `channels`: places on it, channel 0 at the base (high frequencies).
    - `full_scale`: level of a wave of RMS 1, in dB SPL.
    """

    channels: Count = 700
    full_scale: Number = 100.0

    lowest_sample_rate: ClassVar[int] = LOWEST_SAMPLE_RATE

    @property
    def num_channels(self) -> int:
        return self.channels

    def __call__(
        self, wave: Float[Array, "samples"], *, sample_rate: int, hop: int, key: Key[Array, ""] | None
    ) -> Float[Array, "time channels"]:
        if key is None:
            raise ValueError("Cochlea: its fibres fire at random and need a key; pass key=jax.random.key(...).")
        spikes = cochlea(wave, sample_rate=sample_rate, channels=self.channels, full_scale=self.full_scale, key=key)
        return bin_spikes(spikes, hop).astype(jnp.float32)

    def steps(self, samples: int, sample_rate: int, hop: int) -> int:
        return -(-samples // hop)


@checked
def bin_spikes(spikes: Bool[Array, "time channels"], size: Count) -> Int32[Array, "bins channels"]:
    """Numbers of spikes in bins of `size` steps; none is lost. What `counts > 0` then merges is yours to decide.

    **Arguments:** `spikes`: `bool[time, channels]`; `size`: steps of a bin.
    **Returns:** `[ceil(time / size), channels]`; the last bin may cover fewer steps.
    """
    padded = jnp.pad(spikes, ((0, -spikes.shape[0] % size), (0, 0)))
    return padded.reshape(-1, size, spikes.shape[1]).sum(axis=1, dtype=jnp.int32)


@checked
def events(
    spikes: Bool[Array, "time channels"] | Bool[np.ndarray, "time channels"], *, sample_rate: Count
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes as a list of events, in the order of time. Runs on the host, so not under `jit` or `vmap`.

    **Arguments:** `spikes`: `bool[time, channels]`; `sample_rate`: steps in a second.
    **Returns:** times in seconds, `float64[events]` (a spike of step t is at `t / sample_rate`), and channels,
    `int64[events]`: what the Heidelberg data sets call times and units.
    """
    steps, channels = np.nonzero(np.asarray(spikes))
    return steps / sample_rate, channels
