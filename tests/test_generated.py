"""Generated tasks against their definitions: published checksums and rows, plain loops, another integrator."""

import hashlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx.data import generated as tasks
from snnx.data.generated._patterns import frequencies, manifold

KEY = jax.random.key(5)


def inputs_of(data):
    """The inputs of all examples, dense: `[n, time, channels]`."""
    return np.asarray(jax.vmap(lambda inputs: inputs.dense())(data.inputs))


def numbers_of(key):
    """The generator that a key stands for: NumPy's default one, seeded with the key's bits."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


# Yin-Yang. Checksums of the bytes of the published arrays (publication_data/*.npy): float64 samples, int64 labels.

PUBLISHED = {
    "train": (
        (5000, 42),
        "f5a4054d56f2a058f8250fba7ff9720458e1625db7af78a295e45701745b2228",
        "534d12acda4f9dbc7208a99d3646115a4aa7d74ca31d6d23f822079a568559b7",
    ),
    "validation": (
        (1000, 41),
        "5eac358bdf2122763dce3703a79f3005e56e46a4db25ec329a07333d0f7b8093",
        "5a4c2f605814a620f514c1091f10441ce562cd81e902ce701b3cf94ae7576f7d",
    ),
    "test": (
        (1000, 40),
        "7bab3ed668ed4992679cff6339fe21bfe7d0c921ddc6187eaa3bc6ef34b888d7",
        "daa0f8f4e3b37b1ddec2afee22f09afb768f0e575f3f568e7469f1ebc6af73c1",
    ),
}
# The first two published training samples, and the first five labels.
ROWS = [
    [0.6803075385877797, 0.450499251969543, 0.3196924614122203, 0.549500748030457],
    [0.09767211400638387, 0.6842330265121569, 0.9023278859936161, 0.3157669734878431],
]
LABELS = [2, 1, 2, 1, 1]


@pytest.mark.parametrize("split", PUBLISHED)
def test_yin_yang_is_the_published_one_bit_for_bit(split):
    arguments, samples, labels = PUBLISHED[split]
    values, classes = tasks.yin_yang_points(*arguments)
    assert hashlib.sha256(values.astype("<f8").tobytes()).hexdigest() == samples
    assert hashlib.sha256(classes.astype("<i8").tobytes()).hexdigest() == labels
    data = tasks.yin_yang(split, encoding="current", steps=2)
    np.testing.assert_array_equal(data.example(7), np.stack([values[7], values[7]]).astype(np.float32))
    np.testing.assert_array_equal(data.targets, classes)


def test_yin_yang_starts_with_the_published_rows():
    values, labels = tasks.yin_yang_points(5, 42)
    assert values[:2].tolist() == ROWS
    assert labels.tolist() == LABELS


def test_yin_yang_of_other_radii_stays_inside():
    values, labels = tasks.yin_yang_points(200, 3, r_small=0.4, r_big=1.0)
    left, right = (np.hypot(values[:, 0] - x, values[:, 1] - 1.0) for x in (0.5, 1.5))
    assert (np.hypot(values[:, 0] - 1.0, values[:, 1] - 1.0) <= 1.0).all()
    np.testing.assert_array_equal(labels == 2, (left < 0.4) | (right < 0.4))
    assert (labels[(right > 0.5) & (left > 0.5) & (values[:, 1] > 1.0)] == 1).all()
    assert (labels[(right > 0.5) & (left > 0.5) & (values[:, 1] < 1.0)] == 0).all()


@pytest.mark.parametrize(("t_bias", "dt"), [(None, 1.0), (18.0, 1.0), (0.009, 0.001)])
def test_yin_yang_latencies_are_linear_in_the_values(t_bias, dt):
    early, late = 3.0 * dt, 40.0 * dt
    data = tasks.yin_yang(t_early=early, t_late=late, t_bias=t_bias, dt=dt)
    assert (len(data), data.num_steps, data.dt) == (5000, 80, dt)
    assert data.classes == ("yin", "yang", "dot")
    for index, row in enumerate(ROWS):
        expected = np.zeros((80, 4 if t_bias is None else 5))
        for channel, x in enumerate(row):
            expected[round((early + x * (late - early)) / dt), channel] = 1
        if t_bias is not None:
            expected[round(t_bias / dt), 4] = 1
        np.testing.assert_array_equal(data.example(index), expected)


# Randman


def randman_value(point, theta, alpha):
    """One unit's function at one point, in plain Python."""
    product = 1.0
    for d, x in enumerate(point):
        total = 0.0
        for i in range(theta.shape[-1]):
            amplitude, stretch, phase = (float(p) for p in theta[d, :, i])
            total += amplitude * (1.0 / (i + 1) ** alpha) * math.sin(2 * math.pi * (i * x * stretch + phase))
        product *= total
    return product


@pytest.mark.parametrize("alpha", [0.7, 1.0, 2.0, 3.5])
def test_manifolds_are_products_of_sums_of_sines(alpha):
    random = np.random.default_rng(0)
    points, theta = random.random((3, 2)), random.random((4, 2, 3, 6))
    expected = [[randman_value(point, theta[unit], alpha) for unit in range(4)] for point in points]
    np.testing.assert_allclose(manifold(points, theta, alpha), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("alpha", "count"), [(2.0, 32), (1.0, 1000), (0.01, 1000), (4.0, 6), (10.0, 2)])
def test_manifolds_have_as_many_sines_as_published(alpha, count):
    assert frequencies(alpha) == count  # ceil(1000 ** (1 / alpha)), at most 1000


def test_randman_spikes_when_the_manifolds_say():
    classes, units, steps, dims, samples, alpha, fraction = 2, 5, 20, 3, 6, 2.0, 0.5
    data = tasks.randman(
        nb_classes=classes,
        nb_units=units,
        nb_steps=steps,
        dim_manifold=dims,
        nb_samples=samples,
        alpha=alpha,
        step_frac=fraction,
        key=KEY,
    )
    random, expected = numbers_of(KEY), np.zeros((classes * samples, steps, units))
    for label in range(classes):
        theta = random.random((units, dims, 3, 32))
        points = random.random((samples, dims))
        for unit in range(units):
            theta[unit, :, 0, 0] = 0.0
            values = [randman_value(point, theta[unit], alpha) for point in points]
            for sample, value in enumerate(values):
                relative = (value - min(values)) / (max(values) - min(values) + 1e-7)
                expected[label * samples + sample, int(relative * steps * fraction), unit] = 1
    order = random.permutation(classes * samples)
    np.testing.assert_array_equal(inputs_of(data), expected[order])
    np.testing.assert_array_equal(data.targets, order // samples)
    assert (inputs_of(data).sum(axis=1) == 1).all()


# Memory


def test_random_patterns_have_the_rate_and_nothing_to_learn_from():
    data = tasks.random_patterns(nb_samples=400, nb_steps=50, nb_inputs=20, freq=40.0, dt=2e-3, key=KEY)
    spikes, labels = inputs_of(data), np.asarray(data.targets)
    assert abs(spikes.mean() - 0.08) < 5 * math.sqrt(0.08 * 0.92 / spikes.size)
    assert abs(labels.mean() - 0.5) < 5 * 0.5 / math.sqrt(400)
    difference = spikes[labels == 1].mean(axis=(1, 2)).mean() - spikes[labels == 0].mean(axis=(1, 2)).mean()
    assert abs(difference) < 5 * math.sqrt(0.08 * 0.92 / 1000 * 4 / 400)
    assert data.dt == 2e-3


@pytest.mark.parametrize(("symbols", "inputs"), [(2, 4), (6, 9)])
def test_store_recall_asks_for_the_bit_under_store(symbols, inputs):
    # At one spike a step nothing is random about spikes: the populations' activity can be read off.
    data = tasks.store_recall(60, symbols=symbols, symbol_steps=3, inputs=inputs, rate=1000.0, dt=1e-3, key=KEY)
    groups = np.array_split(np.arange(inputs), 4)
    for spikes, label in zip(inputs_of(data), np.asarray(data.targets), strict=True):
        stored = []
        for period in range(symbols):
            during = spikes[3 * period : 3 * period + 3]
            zero, one, store, recall = (int(during[0, group[0]]) for group in groups)
            for group, on in zip(groups, (zero, one, store, recall), strict=True):
                assert (during[:, group] == on).all()
            last = period == symbols - 1
            assert (zero + one, recall) == ((0, 1) if last else (1, 0))
            assert not (last and store)
            stored += [one] * store
        assert stored == [label]
    assert 10 < np.asarray(data.targets).sum() < 50


def test_delayed_match_is_whether_both_cues_are_the_same():
    data = tasks.delayed_match_to_sample(
        300, cues=3, cue_steps=2, delay_steps=4, inputs=7, rate=1000.0, dt=1e-3, key=KEY
    )
    population = np.array([0, 0, 0, 1, 1, 2, 2])
    pairs = []
    for spikes, label in zip(inputs_of(data), np.asarray(data.targets), strict=True):
        assert spikes[2:6].sum() == 0
        first, second = (int(population[np.flatnonzero(spikes[t])[0]]) for t in (0, 6))
        for t, cue in ((0, first), (1, first), (6, second), (7, second)):
            np.testing.assert_array_equal(spikes[t], population == cue)
        assert label == (first == second)
        pairs.append((first, second))
    assert data.classes == ("non-match", "match")
    # Every pair occurs as often as it should: 1/6 for the three that match, 1/12 for the six others.
    for pair in [(a, b) for a in range(3) for b in range(3)]:
        chance = 1 / 6 if pair[0] == pair[1] else 1 / 12
        assert abs(pairs.count(pair) - 300 * chance) < 5 * math.sqrt(300 * chance * (1 - chance))


def test_active_populations_fire_at_their_rate():
    data = tasks.delayed_match_to_sample(20, cues=2, cue_steps=400, delay_steps=0, inputs=10, rate=50.0, key=KEY)
    count = inputs_of(data).sum()
    trials = 20 * 800 * 5
    assert abs(count - 0.05 * trials) < 5 * math.sqrt(trials * 0.05 * 0.95)


def test_adding_asks_for_the_sum_of_the_marked_values():
    steps = 41
    data = tasks.adding(3000, steps=steps, key=KEY)
    inputs, mask = inputs_of(data), np.asarray(data.mask)
    assert inputs.shape == (3000, 45, 2)
    lengths = mask.sum(axis=1)
    assert set(lengths) == {41, 42, 43, 44, 45}
    starts, firsts = 0, []
    for (values, marks), live, target in zip(inputs.transpose(0, 2, 1), mask, np.asarray(data.targets), strict=True):
        end = int(live.sum())
        assert live[:end].all()
        assert not values[end:].any()
        assert not marks[end:].any()
        assert np.abs(values).max() <= 1
        assert marks[0] == marks[end - 1] == -1
        assert set(marks[1 : end - 1]) <= {0, 1}
        marked = [int(t) for t in np.flatnonzero(marks == 1)]
        assert len(marked) in (1, 2)
        assert max(marked) <= 19  # of the first 41 // 2 - 1 that the first has left
        starts += len(marked) == 1
        firsts.append(marked[0])
        np.testing.assert_allclose(target, [0.5 + sum(float(values[t]) for t in marked) / 4], atol=1e-6)
    assert min(firsts) == 1
    # The first mark falls on step 0 with probability 1/10, the second, if that did not, with 1/19.
    chance = 0.1 + 0.9 / 19
    assert abs(starts - 3000 * chance) < 5 * math.sqrt(3000 * chance * (1 - chance))


@pytest.mark.slow
def test_adding_without_a_memory_costs_what_the_docstring_says():
    targets = np.asarray(tasks.adding(20_000, key=KEY).targets, np.float64)
    # Var(X) = 1/3 each, unless the mark falls on step 0: with probability 1/10, and 9/10 / 49.
    expected = (0.9 + 1 - 0.9 / 49) / 48
    assert abs(expected - 0.039) < 5e-4
    assert abs(np.mean((targets - 0.5) ** 2) - expected) < 0.0012


@pytest.mark.parametrize(("delay", "length", "symbols"), [(1, 1, 2), (1, 3, 4), (6, 4, 3)])
def test_copy_memory_repeats_its_symbols(delay, length, symbols):
    data = tasks.copy_memory(60, delay=delay, length=length, symbols=symbols, key=KEY)
    blank, delimiter = symbols, symbols + 1
    for spikes, target in zip(inputs_of(data), np.asarray(data.targets), strict=True):
        assert (spikes.sum(axis=1) == 1).all()
        assert (target.sum(axis=1) == 1).all()
        shown, wanted = spikes.argmax(axis=1).tolist(), target.argmax(axis=1).tolist()
        pattern = shown[:length]
        assert max(pattern) < symbols
        assert shown[length:] == [blank] * (delay - 1) + [delimiter] + [blank] * length
        assert wanted == [blank] * (delay + length) + pattern
    counts = np.bincount(inputs_of(data)[:, :length].argmax(axis=2).ravel(), minlength=symbols)
    chance = 1 / symbols
    assert np.abs(counts - 60 * length * chance).max() < 5 * np.sqrt(60 * length * chance * (1 - chance))


def test_copy_memory_without_a_memory_costs_what_the_docstring_says():
    data = tasks.copy_memory(50, delay=7, length=5, symbols=4, key=KEY)
    answer = np.zeros((17, 5), np.float32)
    answer[:12, 4], answer[12:, :4] = 1.0, 0.25
    loss = [
        snnx.losses.TraceMSE()((jnp.asarray(answer), jnp.asarray(17)), target, record={}) for target in data.targets
    ]
    np.testing.assert_allclose(loss, 5 * (1 - 1 / 4) / (17 * 5), rtol=1e-6)


# Mackey-Glass


def test_mackey_glass_is_what_another_integrator_says():
    integrate = pytest.importorskip("scipy.integrate").solve_ivp
    tau, start, delays = 17.0, 0.72066, 6

    def rate(past):
        return lambda t, x: 0.2 * past(t - tau) / (1 + past(t - tau) ** 10) - 0.1 * x

    # Delay by delay: on each, the past is a known smooth function.
    past, end, times, expected = lambda t: start, np.array([start]), [], []
    for k in range(delays):
        part = integrate(
            rate(past), (k * tau, (k + 1) * tau), end, "DOP853", dense_output=True, rtol=1e-12, max_step=0.5
        )
        at = [t for t in 2.5 * np.arange(100) if k * tau <= t < (k + 1) * tau]
        times += at
        expected += [part.sol(t)[0] for t in at]
        past, end = part.sol, part.y[:, -1]
    series = tasks.mackey_glass_series(len(times), tau=tau, interval=2.5, initial=start)
    np.testing.assert_allclose(series, expected, rtol=0, atol=1e-10)


def test_mackey_glass_converges_as_the_fourth_power():
    runs = [tasks.mackey_glass_series(60, tau=17, interval=1.7, steps_per_delay=m) for m in (20, 40, 80, 160)]
    differences = [np.abs(b - a).max() for a, b in zip(runs[:-1], runs[1:], strict=True)]
    for coarse, fine in zip(differences[:-1], differences[1:], strict=True):
        assert 12 < coarse / fine < 22


def test_mackey_glass_takes_the_numbers_of_neurobench():
    # tau, Lyapunov time, initial condition: three rows of the published table.
    for tau, lyapunov_time, initial in ((17, 197, 0.72066), (24, 97, 0.325966), (30, 139, 0.271364)):
        given = tasks.mackey_glass_series(40, tau=float(tau), interval=lyapunov_time / 75, initial=initial)
        np.testing.assert_array_equal(tasks.mackey_glass_series(40, tau=tau), given)
        assert given[0] == initial


def test_mackey_glass_windows_follow_each_other():
    data = tasks.mackey_glass(3, steps=4, horizon=2)
    series = tasks.mackey_glass_series(14).astype(np.float32)
    np.testing.assert_array_equal(inputs_of(data).ravel(), series[:12])
    np.testing.assert_array_equal(np.asarray(data.targets).ravel(), series[2:])
    assert data.targets.shape == (3, 4, 1)


# Digits, pixel by pixel


def test_digits_come_pixel_by_pixel_in_one_order():
    with np.load(Path(snnx.data.__file__).parent / "files" / "optdigits.npz", allow_pickle=False) as file:
        pixels, labels = file["images"].reshape(-1, 64) / 16, file["labels"]
    data = tasks.sequential_digits()
    assert (len(data), data.num_steps, data.sample_shape, data.num_classes) == (1797, 64, (1,), 10)
    np.testing.assert_array_equal(inputs_of(data)[:, :, 0], pixels)
    np.testing.assert_array_equal(data.targets, labels)
    order = numbers_of(KEY).permutation(64)
    permuted = tasks.sequential_digits(permuted=True, key=KEY)
    assert not np.array_equal(order, np.arange(64))
    np.testing.assert_array_equal(inputs_of(permuted)[:, :, 0], pixels[:, order])
    np.testing.assert_array_equal(permuted.targets, labels)
