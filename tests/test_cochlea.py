"""The artificial cochlea, stage by stage and as a whole, against solvers and loops in float64 NumPy and SciPy."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.linalg import solve_banded

from snnx._errors import DtypeError, ShapeError
from snnx.audio import Cochlea, cochlea, events
from snnx.audio import _cochlea as stages
from snnx.audio._cochlea import (
    HairCell,
    bushy_cell,
    bushy_cell_at_rest,
    fibres_that_fire,
    hair_cell,
    hair_cell_at_rest,
    transfer,
    velocity,
)

# The membrane's numbers, in centimetres, grams and seconds, once more.
LENGTH, HEIGHT, MASS, DAMPING = 3.5, 0.1, 0.05, 0.08 * np.sqrt(1e9 * 0.05)


def _stiffness(x):
    return 1e9 * np.exp(-3 * x)


def _places(channels):
    return (np.arange(channels) + 0.5) * LENGTH / channels


@functools.cache
def _solve_line(frequency, cells=7000):
    """Places, and velocity there: g tanh(g h) = K by Newton's method from the base on, then p'' + g^2 p = 0 by finite
    differences on a fine grid, a tridiagonal system."""
    omega, x = 2 * np.pi * frequency, np.linspace(0, LENGTH, cells + 1)
    resistance = _stiffness(x) + 1j * omega * DAMPING * np.exp(-1.5 * x) - MASS * omega**2
    k = 2 * omega**2 / resistance
    g = np.empty_like(k)
    u = np.conj(np.sqrt(np.conj(k[0] * HEIGHT)))
    for j in range(cells + 1):
        for _ in range(5):
            t = np.tanh(u)
            u = u - (u * t - k[j] * HEIGHT) / (t + u * (1 - t * t))
        g[j] = u / HEIGHT
    dx = LENGTH / cells
    bands, right = np.zeros((3, cells + 1), complex), np.zeros(cells + 1, complex)
    bands[0, 2:], bands[2, :-2] = 1, 1
    bands[1] = (g * dx) ** 2 - 2
    bands[1, 0], right[0] = 1, 1  # p = 1 at the stapes
    bands[2, -2], bands[1, -1] = 1, (g[-1] * dx) ** 2 / 2 - 1 - 1j * g[-1] * dx  # p' = -i g p at the apex
    p = solve_banded((1, 1), bands, right)
    return x, HEIGHT * g**2 * p / (1j * omega)


# The membrane


@pytest.mark.parametrize("channels", [700, 70])
def test_transfer_solves_the_line(channels):
    frequencies = [60.0, 150.0, 1000.0, 10_000.0]
    ours = np.asarray(transfer(jnp.float32([0.0, *frequencies]), channels))
    np.testing.assert_array_equal(ours[:, 0], 0)
    for index, frequency in enumerate(frequencies, start=1):
        x, expected = _solve_line(frequency)
        at = np.interp(_places(channels), x, expected.real) + 1j * np.interp(_places(channels), x, expected.imag)
        assert np.abs(ours[:, index] - at).max() < 0.03 * np.abs(expected).max()


@pytest.mark.slow
def test_transfer_converges_to_the_line(x64, monkeypatch):
    x, expected = _solve_line(1000.0)
    found = []
    for sections in (300, 900, 2700):  # three times as many each time; an odd number for each of 100 channels
        monkeypatch.setattr(stages, "_SECTIONS", sections)
        found.append(np.asarray(transfer(jnp.array([1000.0]), 100))[:, 0])
    change = [np.abs(b - a).max() / np.abs(expected).max() for a, b in zip(found[:-1], found[1:], strict=True)]
    assert change[0] > 7 * change[1]  # second order in the width of a section
    # What is left is the series for g, 1 % in phase, 0.2 % in size.
    at = np.interp(_places(100), x, expected.real) + 1j * np.interp(_places(100), x, expected.imag)
    assert np.abs(found[-1] - at).max() < 0.011 * np.abs(expected).max()
    assert np.abs(np.abs(found[-1]) - np.abs(at)).max() < 0.002 * np.abs(expected).max()


def test_the_best_place_moves_from_base_to_apex():
    frequencies = np.geomspace(150, 14_000, 30)
    response = np.abs(np.asarray(transfer(jnp.asarray(frequencies, jnp.float32), 700)))
    best = _places(700)[response.argmax(axis=0)]
    assert (np.diff(best) < 0).all()
    # Fluid adds to the mass: each tone peaks a little before the place where the membrane alone would resonate.
    resonance = -np.log(MASS * (2 * np.pi * frequencies) ** 2 / 1e9) / 3
    assert ((resonance - best > 0.1) & (resonance - best < 0.3)).all()
    # Greenwood's map of the human cochlea (1990), 165.4 (10^(2.1 (1 - x / L)) - 0.88) Hz, within 5 mm.
    greenwood = LENGTH * (1 - np.log10(frequencies / 165.4 + 0.88) / 2.1)
    assert np.abs(best - greenwood).max() < 0.5


def test_best_places_are_about_equally_sensitive():
    frequencies = np.geomspace(100, 10_000, 15)
    response = np.abs(np.asarray(transfer(jnp.asarray(frequencies, jnp.float32), 700))).max(axis=0)
    level = 20 * np.log10(np.sqrt(frequencies / 1000) * response / stages.PEAK_AT_1_KHZ)
    assert np.abs(level).max() < 4
    one_kilohertz = np.abs(np.asarray(transfer(jnp.float32([1000.0]), 700))).max()
    np.testing.assert_allclose(one_kilohertz, stages.PEAK_AT_1_KHZ, rtol=0.01)


@pytest.mark.slow
def test_velocity_of_a_tone_is_what_transfer_says(x64):
    rate, frequency = 20_000, 1000.0
    time = np.arange(4000) / rate
    tone = np.minimum(time / 0.05, 1) * np.cos(2 * np.pi * frequency * time)
    moving = np.asarray(velocity(jnp.asarray(tone), rate, 70))[2500:3500]
    gain = np.sqrt(1j * frequency / 1000) * np.asarray(transfer(jnp.array([frequency]), 70))[:, 0]
    expected = (gain[None] * np.exp(2j * np.pi * frequency * time[2500:3500, None])).real
    assert np.abs(moving - expected).max() < 2e-3 * np.abs(gain).max()


@pytest.mark.slow
def test_velocity_follows_its_cause_and_does_not_come_round():
    rate = 20_000
    time = np.arange(4000) / rate
    click = np.exp(-(((time - 0.1) / 2e-4) ** 2)).astype(np.float32)
    signed = np.asarray(velocity(jnp.asarray(click), rate, 70))
    moving = np.abs(signed)
    assert moving[:1900].max() < 1e-3 * moving.max()  # 5 ms before the click
    peaks = moving.argmax(axis=0)[10:]
    assert (np.diff(peaks[5::10]) > 0).all()  # later and later towards the apex
    at_the_end = np.asarray(velocity(jnp.asarray(click[:2010]), rate, 70))
    np.testing.assert_allclose(at_the_end, signed[:2010], atol=1e-3 * moving.max())


# Hair cells


def _meddis(stimulus, pools):
    """dq/dt, dc/dt, dw/dt with the constants of Meddis (1986)."""
    q, c, w = pools
    k = 2000 * (stimulus + 5) / (stimulus + 305) if stimulus > -5 else 0.0
    return 5.05 * (1 - q) + 66.31 * w - k * q, k * q - (2500 + 6580) * c, 6580 * c - 66.31 * w


@pytest.mark.parametrize("stimulus", [-10.0, 0.0, 20.0, 1e6])
def test_hair_cells_rest_where_nothing_changes(stimulus, x64):
    pools = hair_cell_at_rest(jnp.asarray(stimulus))
    np.testing.assert_allclose(_meddis(stimulus, pools), 0, atol=1e-10)
    rate, again = hair_cell(jnp.asarray(stimulus), pools, 5e-5)
    np.testing.assert_allclose(again, pools, rtol=1e-12)
    # What is lost from the cleft is replenished, l c = y (1 - q).
    np.testing.assert_allclose(rate, 50_000 * 5.05 * (1 - pools.q) / 2500, rtol=1e-12, atol=1e-9)


def test_hair_cells_have_the_published_rates(x64):
    assert float(50_000 * hair_cell_at_rest(jnp.asarray(0.0)).c) == pytest.approx(64.76, abs=0.01)
    # A tone of 1 kHz from silence on, at 20 to 90 dB: mean rates from 100 to 300 ms, and within the first 10 ms.
    onset, steady = [], []
    for decibels in (20, 50, 70, 90):
        tone = 10 ** ((decibels - 30) / 20) * np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(6000) / 20_000)
        rate = _over_time(tone)
        onset.append(rate[:200].mean())
        steady.append(rate[2000:].mean())
    assert steady[0] == pytest.approx(64.8, abs=0.5)  # below threshold
    assert (np.diff(steady) > 0).all()
    assert 95 < steady[-1] < 102  # h y / l = 101 a second, once the free pool is at rest
    assert (np.array(onset[2:]) > 2 * np.array(steady[2:])).all()  # adaptation


def _over_time(stimulus):
    step = lambda pools, x: hair_cell(x, pools, 1 / 20_000)[::-1]
    return np.asarray(jax.lax.scan(step, hair_cell_at_rest(jnp.zeros(())), jnp.asarray(stimulus))[1])


def test_hair_cells_follow_their_differential_equation(x64):
    tone = lambda t: 200 * np.sin(2 * np.pi * 200 * t)
    start = tuple(float(x) for x in hair_cell_at_rest(jnp.zeros(())))
    exact = solve_ivp(
        lambda t, y: _meddis(tone(t), y), (0, 0.02), start, "LSODA", rtol=1e-9, atol=1e-12, dense_output=True
    )
    errors = []
    for rate in (20_000, 80_000):
        times = np.arange(rate // 50) / rate
        step = lambda pools, x, rate=rate: hair_cell(x, pools, 1 / rate)[::-1]
        rates = jax.lax.scan(step, HairCell(*map(jnp.asarray, start)), jnp.asarray(tone(times)))[1]
        expected = 50_000 * exact.sol(times + 1 / rate)[1]
        errors.append(np.abs(rates - expected).max() / expected.max())
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3  # first order in the step


# Fibres and bushy cells


@pytest.mark.parametrize("probability", [0.0, 1e-4, 0.02, 0.2, 0.55])
def test_fibres_fire_as_the_binomial_distribution_says(probability, x64):
    key = jax.random.key(3)
    counts = fibres_that_fire(jnp.full(20_000, probability), key)
    # The quantile function at the same uniform numbers, and the moments, whatever the numbers.
    expected = stats.binom.ppf(np.asarray(jax.random.uniform(key, (20_000,))), 40, probability)
    np.testing.assert_array_equal(counts, np.maximum(expected, 0))
    spread = np.sqrt(40 * probability * (1 - probability))
    assert abs(float(counts.mean()) - 40 * probability) <= 5 * spread / np.sqrt(20_000)
    assert abs(float(counts.std()) - spread) <= 0.03 * spread


def _bushy(counts, rate):
    """One cell, step by step."""
    i, v, wait, spikes = 0.0, 0.0, 0, []
    for x in counts:
        i = np.exp(-1 / (0.5e-3 * rate)) * i + x
        v = v + (1 - np.exp(-1 / (1e-3 * rate))) * (i - v)
        if wait > 0:
            v, wait = 0.0, wait - 1
        fires = v > 3.5
        if fires:
            v, wait = 0.0, round(1e-3 * rate)
        spikes.append(fires)
    return np.array(spikes)


@pytest.mark.parametrize("rate", [20_000, 44_100, 48_000])
def test_bushy_cells_are_a_loop(rate, x64):
    counts = np.random.default_rng(rate).poisson(6000 / rate, (3000, 4)).astype(float)
    step = lambda state, x: bushy_cell(x, state, rate)[::-1]
    spikes = np.asarray(jax.lax.scan(step, bushy_cell_at_rest(jnp.zeros(4)), jnp.asarray(counts))[1])
    np.testing.assert_array_equal(spikes, np.stack([_bushy(c, rate) for c in counts.T], axis=1))
    gaps = np.diff(np.nonzero(spikes[:, 0])[0])
    assert len(gaps) > 5
    assert gaps.min() > round(1e-3 * rate)  # refractory


# The whole

RATE = 20_000
hear = eqx.filter_jit(cochlea)  # compiled once for many tests


def _tone(frequency, seconds=0.1, rms=0.05):
    time = np.arange(int(seconds * RATE)) / RATE
    return jnp.asarray(rms * np.sqrt(2) * np.sin(2 * np.pi * frequency * time), jnp.float32)


def test_the_cochlea_is_its_stages_one_after_the_other(x64):
    wave, key = _tone(700.0, 0.05).astype(jnp.float64), jax.random.key(5)
    spikes = np.asarray(cochlea(wave, sample_rate=RATE, channels=12, full_scale=110.0, key=key))
    stimulus = 10 ** (80 / 20) / 3.0e-3 * np.asarray(velocity(wave, RATE, 12))
    uniform = jax.vmap(lambda t: jax.random.uniform(jax.random.fold_in(key, t), (12,)))(jnp.arange(wave.size))
    q = 5.05 / (5.05 + 2000 * 5 / 305 * 2500 / 9080)
    c = 2000 * 5 / 305 * q / 9080
    by_hand = []
    for channel in range(12):
        pools, probability = np.array([q, c, 6580 / 66.31 * c]), []
        for x in stimulus[:, channel]:
            pools = pools + np.array(_meddis(x, pools)) / RATE
            probability.append(50_000 * pools[1] / RATE)
        by_hand.append(_bushy(stats.binom.ppf(np.asarray(uniform[:, channel]), 40, probability), RATE))
    assert spikes.sum() > 20
    np.testing.assert_array_equal(spikes, np.stack(by_hand, axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("frequency", [300.0, 1000.0, 4000.0])
def test_a_tone_is_heard_at_its_place(frequency):
    spikes = np.asarray(hear(_tone(frequency), sample_rate=RATE, channels=100, key=jax.random.key(0)))
    counts = spikes.sum(axis=0)
    best = np.abs(np.asarray(transfer(jnp.float32([frequency]), 100))).argmax()
    assert abs(np.average(np.arange(100), weights=counts) - best) < 8
    assert counts[best] >= 5
    assert counts[np.abs(np.arange(100) - best) > 50].sum() <= 0.02 * counts.sum()


@pytest.mark.slow
def test_spikes_lock_to_the_phase_of_low_tones():
    spikes = hear(_tone(300.0, rms=0.1), sample_rate=RATE, channels=100, key=jax.random.key(0))
    times, channels = events(spikes, sample_rate=RATE)
    driven = np.nonzero(np.asarray(spikes).sum(axis=0) >= 15)[0]
    # Vector strength: 1 if all spikes of a channel come at one phase, 0.25 for 15 spikes at random ones.
    locking = [abs(np.exp(2j * np.pi * 300 * times[channels == channel]).mean()) for channel in driven]
    assert len(driven) > 5
    assert np.median(locking) > 0.8


@pytest.mark.slow
def test_louder_is_more_spikes_and_silence_almost_none():
    sound = lambda rms: hear(_tone(1000.0, rms=rms), sample_rate=RATE, channels=100, key=jax.random.key(0))
    silence, quiet, normal, loud = (int(sound(rms).sum()) for rms in (0.0, 0.02, 0.05, 0.2))
    assert silence <= 10  # 0.3 a second, in 100 channels and 0.1 s: 3
    assert silence + 20 < quiet < normal < loud


@pytest.mark.slow
def test_the_cochlea_works_under_vmap_and_by_its_key():
    waves = jnp.stack([_tone(f, rms=0.2) for f in (500.0, 1500.0)])
    keys = jax.random.split(jax.random.key(0), 2)
    one = lambda wave, key: hear(wave, sample_rate=RATE, channels=100, key=key)
    together = np.asarray(jax.vmap(one)(waves, keys))
    one_by_one = np.stack([one(wave, key) for wave, key in zip(waves, keys, strict=True)])
    assert together.dtype == bool
    assert together.sum() > 200
    # Rounding may move a spike: nothing else.
    assert np.abs(together.sum(axis=1) - one_by_one.sum(axis=1)).sum() <= 0.005 * together.sum()
    np.testing.assert_array_equal(one_by_one[0], one(waves[0], keys[0]))
    assert not np.array_equal(one_by_one[0], one(waves[0], keys[1]))


def test_the_cochlea_refuses_other_arguments():
    key, wave = jax.random.key(0), jnp.ones(100)
    with pytest.raises(ValueError, match=r"\bsample_rate\b"):
        cochlea(wave, sample_rate=8000, key=key)
    with pytest.raises(ValueError, match=r"\bchannels\b"):
        cochlea(wave, sample_rate=RATE, channels=0, key=key)
    with pytest.raises(ShapeError, match=r"\bwave\b"):
        cochlea(jnp.ones(0), sample_rate=RATE, key=key)
    with pytest.raises(DtypeError, match=r"\bwave\b"):
        cochlea(wave.astype(jnp.bfloat16), sample_rate=RATE, key=key)
    with pytest.raises(TypeError, match=r"\bsample_rate\b"):
        cochlea(wave, sample_rate=20_000.0, key=key)
    for settings in (dict(channels=0), dict(full_scale=np.inf)):
        with pytest.raises(ValueError, match=rf"Cochlea: {next(iter(settings))}\b"):
            Cochlea(**settings)
    with pytest.raises(ShapeError, match=r"\bwave\b"):
        cochlea(jnp.ones((2, 100)), sample_rate=RATE, key=key)
    with pytest.raises(TypeError, match=r"key"):
        cochlea(wave, sample_rate=RATE)
    with pytest.raises(RuntimeError, match=r"\bwave\b"):
        jax.block_until_ready(hear(_tone(300.0).at[3].set(jnp.nan), sample_rate=RATE, channels=100, key=key))
