import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._jitted import run_jitted
from snnx.audio._bushy_cell import BushyCell, bushy_cell, bushy_cell_at_rest
from snnx.audio._hair_cell import LOWEST_SAMPLE_RATE, HairCell, hair_cell, hair_cell_at_rest
from snnx.audio._membrane import PEAK_AT_1_KHZ, velocity

FIBRES = 40  # of the auditory nerve, that end on one bushy cell


def fibres_that_fire(probability: Float[Array, "channels"], key: Key[Array, ""]) -> Float[Array, "channels"]:
    """A binomial draw for `FIBRES` independent fibres: how many values of its distribution function a uniform number
    has reached."""
    u = jax.random.uniform(key, probability.shape, probability.dtype)
    odds = probability / (1 - probability)
    mass = below = (1 - probability) ** FIBRES
    count = jnp.zeros_like(u)
    for k in range(FIBRES):
        count = count + (u >= below)
        mass = mass * odds * ((FIBRES - k) / (k + 1))
        below = below + mass
    return count


@checked
def cochlea(
    wave: Float[Array, "time"],
    *,
    sample_rate: int,
    channels: int = 700,
    full_scale: float = 100.0,
    key: Key[Array, ""],
) -> Bool[Array, "time channels"]:
    r"""An artificial cochlea: the spikes of bushy cells along the basilar membrane, as in the Heidelberg data sets.

    1. Outer and middle ear: the pressure at the stapes is the wave, with 3 dB more per octave (0 dB at 1 kHz).
    2. Basilar membrane: travelling waves of a fluid in a box, solved per frequency; its velocity at `channels` places.
    3. Hair cells (Meddis, 1986): the velocity releases transmitter from three pools. The stimulus is scaled so that a
       tone of 1 kHz reaches, at its best place, the amplitude that Meddis gives for its level.
    4. Nerve: 40 fibres per place, that fire independently and have no refractory time: with probability
       $h\, c_t\, \Delta t$ at every step.
    5. A bushy cell per place adds them up: leaky integrate-and-fire, with an exponential synapse.

    A step is a sample. Channel 0 is at the base (22 kHz), the last one at the apex (118 Hz). Places above half the
    sample rate get no sound, and all channels have a few spontaneous spikes (0.2 to 0.3 a second).

    The stages, the 40 fibres and the 700 channels are Cramer's, but neither the equations' form nor the constants of
    that paper's appendix. Chosen here are the way the waves are solved, step 1, the damping, and the bushy cell's
    constants (0.5 ms synapse, 1 ms membrane, 1 ms refractory, threshold 3.5 inputs), so that a spoken digit gives some
    9,000 spikes. Expect rasters of the same kind as in the published data sets, not the same spikes.

    **Arguments:**
    - `wave`: `float[time]`, mono.
    - `sample_rate`: in Hz, at least 20,000; `resample` brings slower recordings there.
    - `channels`: places on the membrane, at equal distances.
    - `full_scale`: level of a wave of RMS 1, in dB SPL. Speech is recorded at an RMS of about 0.05, -26 dB.
    - `key`: decides when fibres fire.

    **Returns:** `bool[time, channels]`, one step per sample; `bin_spikes` and `events` make it smaller.
    **Raises:** `ValueError` for settings out of range, `ShapeError` for an empty wave, and an error at run time for a
    wave that is not finite.

    Of 0.8 s at 48 kHz, 700 channels, the result takes 27 MB; while it runs, 400 MB.

    Sources: Cramer, Stradmann, Schemmel & Zenke, IEEE TNNLS 33 (2022), 2744-2757; Meddis, JASA 79 (1986), 702-711;
    of the membrane, see `snnx/audio/_membrane.py`.
    """
    if sample_rate < LOWEST_SAMPLE_RATE:
        raise ValueError(
            f"cochlea: sample_rate is {sample_rate}, expected at least {LOWEST_SAMPLE_RATE} Hz: hair cells need short"
            f" steps. Use wave = resample(wave, {sample_rate}, 48000), then sample_rate=48000."
        )
    if channels < 1:
        raise ValueError(f"cochlea: channels is {channels}, expected at least 1.")
    if wave.size == 0:
        raise ShapeError(f"cochlea: wave is {describe(wave)}, expected at least one sample.")
    if wave.dtype.itemsize < 4:
        raise DtypeError(f"cochlea: wave is {describe(wave)}, expected float32 or float64; use .astype(jnp.float32).")
    wave = eqx.error_if(wave, ~jnp.isfinite(wave).all(), "cochlea: wave holds values that are not finite.")
    return run_jitted(_cochlea, wave, sample_rate, channels, full_scale, key)


def _cochlea(
    wave: Float[Array, "time"], sample_rate: int, channels: int, full_scale: float, key: Key[Array, ""]
) -> Bool[Array, "time channels"]:
    stimulus = 10 ** ((full_scale - 30) / 20) / PEAK_AT_1_KHZ * velocity(wave, sample_rate, channels)

    def step(state: tuple[HairCell, BushyCell], at: tuple[Array, Array]) -> tuple[tuple[HairCell, BushyCell], Array]:
        pools, cell = state
        x, time = at
        rate, pools = hair_cell(x, pools, 1 / sample_rate)
        fired = fibres_that_fire(rate / sample_rate, jax.random.fold_in(key, time))
        spikes, cell = bushy_cell(fired, cell, sample_rate)
        return (pools, cell), spikes

    silence = jnp.zeros(channels, wave.dtype)
    start = hair_cell_at_rest(silence), bushy_cell_at_rest(silence)
    return jax.lax.scan(step, start, (stimulus, jnp.arange(wave.size)))[1]
