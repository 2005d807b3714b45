import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

# In centimetres, grams and seconds: an unrolled human cochlea, a box of water that the membrane divides in two.
_LENGTH = 3.5  # of the membrane
_HEIGHT = 0.1  # of either half
_DENSITY = 1.0
_MASS = 0.05  # of the membrane, per area
_STIFFNESS = 1e9  # at the base, per area
_STIFFNESS_DECAY = 3.0  # per centimetre
_DAMPING_RATIO = 0.08
_PIECES = 700  # at least, in which waves are followed
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
    pressure averaged over the depth, and $v$ follows from its flow. The line is cut into pieces of constant $g$ (at
    least 700, an odd number per channel), each solved exactly, with no reflection at the apex: with
    $e_j = 1 - p_j / p_{j-1}$, from the apex,

    $$ s_j = 4 \sin^2(g_j \Delta x / 2), \quad e_j = \frac{e_{j+1} - s_j}{1 + e_{j+1} - s_j}. $$

    **Arguments:** `frequencies`: in Hz, 0 included; `channels`: number of places, each in the middle of its part.
    **Returns:** cm/s per dyn/cm² (for waves $e^{+i \omega t}$), `[channels, frequencies]`.

    Sources: de Boer, Auditory physics I, Physics Reports 62 (1980), 87-174 (the box); Shera, Tubis & Talmadge, JASA
    118 (2005), 287-313 (averaged pressure); Hunt, J. Waterway Port Div. 105 (1979), 457-459 (the series).
    """
    omega = 2 * math.pi * frequencies
    pieces = 1 + 2 * (-(-max(_PIECES - channels, 0) // (2 * channels)))  # of a channel; odd: one is in its middle
    width = _LENGTH / (pieces * channels)
    places = (jnp.arange(pieces * channels, dtype=frequencies.dtype) + 0.5) * width

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
    before = 1 / (1 - drops[0] / 2)  # half a piece before the stapes, where the pressure is 1
    return jax.lax.scan(pass_on, before, (places, drops))[1][pieces // 2 :: pieces]


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
