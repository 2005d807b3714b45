"""An artificial cochlea: membrane, hair cells, nerve fibres and bushy cells, one after the other."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int, Key

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._jitted import run_jitted
from snnx._typing import Count, Number


@checked
def cochlea(
    wave: Float[Array, "time"],
    *,
    sample_rate: Count,
    channels: Count = 700,
    full_scale: Number = 100.0,
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
    of the membrane, see `transfer`.
    """
    if sample_rate < LOWEST_SAMPLE_RATE:
        raise ValueError(
            f"cochlea: sample_rate is {sample_rate}, expected at least {LOWEST_SAMPLE_RATE} Hz: hair cells need short"
            f" steps. Use wave = resample(wave, {sample_rate}, 48000), then sample_rate=48000."
        )
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


# ------------------------------------------------------------------ the basilar membrane
# In centimetres, grams and seconds: an unrolled human cochlea, a box of water that the membrane divides in two.
_LENGTH = 3.5  # of the membrane
_HEIGHT = 0.1  # of either half
_DENSITY = 1.0
_MASS = 0.05  # of the membrane, per area
_STIFFNESS = 1e9  # at the base, per area
_STIFFNESS_DECAY = 3.0  # per centimetre
_DAMPING_RATIO = 0.08
_SECTIONS = 700  # at least, in which waves are followed
_DISPERSION = (2 / 3, 16 / 45, 0.1608465608, 0.0632098765, 0.0217540484, 0.0065407983)  # Hunt (1979)
PEAK_AT_1_KHZ = 3.0e-3  # of `transfer` at the best place of that frequency
_RINGING = 0.25  # seconds after which the slowest place has come to rest: its envelope is at 0.1 %


def _wave_number(
    position: Float[Array, ""], omega: Float[Array, "frequencies"]
) -> tuple[Complex[Array, "frequencies"], Complex[Array, "frequencies"]]:
    """g / omega with the sign of a wave that decays on its way to the apex, and (g / omega)^2, at one place."""
    stiffness = _STIFFNESS * jnp.exp(-_STIFFNESS_DECAY * position)
    damping = _DAMPING_RATIO * math.sqrt(_STIFFNESS * _MASS) * jnp.exp(-_STIFFNESS_DECAY / 2 * position)
    compliance = 2 * _DENSITY / (stiffness - _MASS * omega**2 + 1j * omega * damping)
    depth = _HEIGHT * compliance * omega**2
    series = 1 + depth * jnp.polyval(jnp.asarray(_DISPERSION[::-1], depth.dtype), depth)
    squared = (compliance * omega) ** 2 + compliance / (_HEIGHT * series)
    return -1j * jnp.sqrt(-squared), squared


def transfer(frequencies: Float[Array, "frequencies"], channels: int) -> Complex[Array, "channels frequencies"]:
    r"""Velocity of the membrane, at `channels` places from base to apex, per unit of sound pressure at the stapes.

    Two-dimensional waves of an ideal fluid on a membrane of stiffness $S$, damping $R$ and mass $m$:

    $$ K = \frac{2 \rho \omega^2}{S(x) + i \omega R(x) - \omega^2 m}, \quad S(x) = C_0 e^{-\alpha x}, \quad
       R(x) = \delta \sqrt{C_0 m}\, e^{-\alpha x / 2} $$
    $$ g^2 = K^2 + \frac{K / h}{1 + \sum_n d_n (K h)^n}, \quad p'' + g^2 p = 0, \quad p(0) = 1, \quad
       v = \frac{-i h}{\omega \rho}\, g^2 p $$

    $g$ is the wave number on a fluid of depth $h$: $g \tanh(g h) = K$, solved for $g$ by Hunt's series. $p$ is the
    pressure averaged over the depth, and $v$ follows from its flow. The line is cut into sections of constant $g$ (at
    least 700, an odd number per channel), each solved exactly, with no reflection at the apex: with
    $e_j = 1 - p_j / p_{j-1}$, from the apex,

    $$ s_j = 4 \sin^2(g_j \Delta x / 2), \quad e_j = \frac{e_{j+1} - s_j}{1 + e_{j+1} - s_j}. $$

    **Arguments:** `frequencies`: in Hz, 0 included; `channels`: number of places, each in the middle of its part.
    **Returns:** cm/s per dyn/cm² (for waves $e^{+i \omega t}$), `[channels, frequencies]`.

    Sources: de Boer, Auditory physics I, Physics Reports 62 (1980), 87-174 (the box); Shera, Tubis & Talmadge, JASA
    118 (2005), 287-313 (averaged pressure); Hunt, J. Waterway Port Div. 105 (1979), 457-459 (the series).
    """
    omega = 2 * math.pi * frequencies
    sections = 1 + 2 * (-(-max(_SECTIONS - channels, 0) // (2 * channels)))  # of a channel; odd: one is in its middle
    width = _LENGTH / (sections * channels)
    places = (jnp.arange(sections * channels, dtype=frequencies.dtype) + 0.5) * width

    def drop(e: Array, place: Array) -> tuple[Array, Array]:
        g = _wave_number(place, omega)[0] * omega
        change = e - 4 * jnp.sin(g * width / 2) ** 2
        e = change / (1 + change)
        return e, e

    def pass_on(p: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        place, e = at
        p = (1 - e) * p
        squared = _wave_number(place, omega)[1]
        return p, -1j * _HEIGHT / _DENSITY * omega * squared * p

    end = -jnp.expm1(-1j * width * omega * _wave_number(places[-1], omega)[0])
    _, drops = jax.lax.scan(drop, end, places, reverse=True)
    before = 1 / (1 - drops[0] / 2)  # half a section before the stapes, where the pressure is 1
    return jax.lax.scan(pass_on, before, (places, drops))[1][sections // 2 :: sections]


def velocity(wave: Float[Array, "time"], sample_rate: int, channels: int) -> Float[Array, "time channels"]:
    r"""The membrane's velocity: the wave's spectrum times `transfer`, back in time.

    The pressure at the stapes is $\sqrt{i f / 1000}$ times the wave's: 3 dB more per octave, and causal. This stands
    for outer and middle ear, and makes best places from 0.1 to 10 kHz equally sensitive, to within 4 dB.

    Zeros behind the wave keep the ringing of its end from its start. Spectra go back channel by channel, so that only
    one array of all channels and frequencies exists, the response.
    """
    blocks = -(-(wave.size + math.ceil(_RINGING * sample_rate)) // 4096)
    length = 4096 * blocks  # many small factors: a quick transform
    frequencies = jnp.fft.rfftfreq(length, 1 / sample_rate, dtype=wave.dtype)
    spectrum = jnp.sqrt(1j * frequencies / 1000) * jnp.fft.rfft(wave, length)
    response = transfer(frequencies, channels)
    return jax.lax.map(lambda row: jnp.fft.irfft(row * spectrum, length)[: wave.size], response).T


# ------------------------------------------------------------------ hair cells
# Meddis (1986): rates per second, amounts in units of a full free pool.
_A = 5.0
_B = 300.0
_RELEASE = 2000.0  # g
_REPLENISH = 5.05  # y
_LOSS = 2500.0  # l
_REUPTAKE = 6580.0  # r
_REPROCESS = 66.31  # x
_FULL = 1.0  # M
_FIRING = 50_000.0  # h
LOWEST_SAMPLE_RATE = 20_000  # where forward Euler is still accurate: (l + r) dt < 0.5


class HairCell(NamedTuple):
    """Transmitter in the free pool, in the cleft, and in reprocessing."""

    q: Float[Array, "*shape"]
    c: Float[Array, "*shape"]
    w: Float[Array, "*shape"]


def _permeability(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    open_part = jnp.maximum(x + _A, 0)
    return _RELEASE * open_part / (open_part + _B)


def hair_cell_at_rest(x: Float[Array, "*shape"]) -> HairCell:
    r"""The pools' equilibrium at a constant stimulus.

    $$ q = \frac{y M}{y + k l / (l + r)}, \quad c = \frac{k q}{l + r}, \quad w = \frac{r c}{x} $$
    """
    k = _permeability(x)
    q = _REPLENISH * _FULL / (_REPLENISH + k * _LOSS / (_LOSS + _REUPTAKE))
    c = k * q / (_LOSS + _REUPTAKE)
    return HairCell(q, c, _REUPTAKE * c / _REPROCESS)


def hair_cell(x: Float[Array, "*shape"], state: HairCell, dt: float) -> tuple[Float[Array, "*shape"], HairCell]:
    r"""One step of Meddis' hair cell: three pools of transmitter, by forward Euler.

    $$ k = g \frac{[x + A]_+}{[x + A]_+ + B}, \quad \dot q = y (M - q) + x_r w - k q, \quad
       \dot c = k q - (l + r) c, \quad \dot w = r c - x_r w $$

    **Arguments:** `x`: stimulus, in units whose RMS of 1 is 30 dB SPL; `state`: the pools; `dt`: in seconds.
    **Returns:** the rate $h c$ at which a fibre fires, per second, and the pools.

    Source: Meddis, Simulation of mechanical to neural transduction in the auditory receptor, JASA 79 (1986), 702-711.
    """
    q, c, w = state
    released = _permeability(x) * q
    q = q + dt * (_REPLENISH * (_FULL - q) + _REPROCESS * w - released)
    w = w + dt * (_REUPTAKE * c - _REPROCESS * w)
    c = c + dt * (released - (_LOSS + _REUPTAKE) * c)
    return _FIRING * c, HairCell(q, c, w)


# ------------------------------------------------------------------ nerve fibres
FIBRES = 40  # that end on one bushy cell


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


# ------------------------------------------------------------------ bushy cells
_TAU_SYN = 0.5e-3  # seconds
_TAU_MEM = 1e-3
_REFRACTORY = 1e-3
_THRESHOLD = 3.5  # in inputs


class BushyCell(NamedTuple):
    """Synaptic current, membrane potential, and the number of steps for which the cell stays silent."""

    i: Float[Array, "*shape"]
    v: Float[Array, "*shape"]
    wait: Int[Array, "*shape"]


def bushy_cell_at_rest(x: Float[Array, "*shape"]) -> BushyCell:
    """No current and no potential, in the shape of `x`."""
    return BushyCell(jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros(x.shape, jnp.int32))


def bushy_cell(
    x: Float[Array, "*shape"], state: BushyCell, sample_rate: int
) -> tuple[Bool[Array, "*shape"], BushyCell]:
    r"""One step of a leaky integrate-and-fire cell with an exponential synapse and a refractory time.

    $$ i_t = e^{-\Delta t / \tau_s} i_{t-1} + x_t, \quad v_t = v_{t-1} + (1 - e^{-\Delta t / \tau_m}) (i_t - v_{t-1}),
       \quad s_t = H(v_t - \vartheta) $$

    After a spike $v$ is held at 0 for the refractory time, rounded to steps.

    **Arguments:** `x`: number of inputs of this step; `state`; `sample_rate`: steps in a second.
    **Returns:** whether the cells fire, and the new state.
    """
    i = math.exp(-1 / (_TAU_SYN * sample_rate)) * state.i + x
    v = state.v - math.expm1(-1 / (_TAU_MEM * sample_rate)) * (i - state.v)
    v = jnp.where(state.wait > 0, 0, v)
    spikes = v > _THRESHOLD
    wait = jnp.where(spikes, round(_REFRACTORY * sample_rate), jnp.maximum(state.wait - 1, 0))
    return spikes, BushyCell(i, jnp.where(spikes, 0, v), wait)
