"""Augmentations of one example: each against its equation, event by event, in every layout."""

import math
from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snnx
from snnx import augment
from snnx._errors import ShapeError
from snnx.augment import (
    ChannelShift,
    DropBlock,
    DropChannels,
    DropEvents,
    DropSteps,
    Flip,
    FlipPolarity,
    Jitter,
    Rotate,
    Sometimes,
    TimeCrop,
    TimeShift,
    TimeStretch,
    Translate,
)
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, Constant, Counts, EventList, Floats, pack_bits

slow = pytest.mark.slow  # nearly all of it is compiling; the short part sees every augmentation once, on counts

KEY = jax.random.key(0)
VECTOR, IMAGE = (7, 7), (6, 2, 5, 4)  # time, then a step; as many steps as channels, so that a mix-up of axes shows
GRIDS = {"bits", "counts", "dense"}


def example(shape, most, seed=0):
    """Whole numbers from 0 to `most`, a third of the bins with any; currents, of either sign, for `most` None."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) if most is None else rng.integers(1, most + 1, shape)
    return values * (rng.random(shape) < 0.35)


def busiest_of(steps, num_steps):
    """The definition: the most events within any 1, 2, 4, ... steps, and those of all."""
    count = (num_steps - 1).bit_length() + 1
    return tuple(
        max(int(np.sum((steps >= t) & (steps < t + 2**i))) for t in range(1 - 2**i, num_steps)) for i in range(count)
    )


def events_of(counts, filling=3, step_dtype=np.uint16, channel_dtype=np.uint16):
    steps, shape = counts.shape[0], counts.shape[1:]
    flat = counts.reshape(steps, -1)
    where = [(t, c) for t in range(steps) for c in range(flat.shape[1]) for _ in range(int(flat[t, c]))]
    listed = np.array(where, int).reshape(-1, 2)
    at = np.concatenate([listed[:, 0], np.full(filling, steps)]).astype(step_dtype)
    channels = np.concatenate([listed[:, 1], np.zeros(filling)]).astype(channel_dtype)
    return EventList(jnp.asarray(at), jnp.asarray(channels), shape, steps, busiest_of(listed[:, 0], steps))


def lists_of(counts):
    steps, shape = counts.shape[0], counts.shape[1:]
    flat = counts.reshape(steps, -1).astype(int)
    lists = np.full((steps, max(1, flat.sum(axis=1).max())), flat.shape[1], np.uint16)
    for t in range(steps):
        active = np.repeat(np.arange(flat.shape[1]), flat[t])
        lists[t, : len(active)] = active
    return ActiveChannels(jnp.asarray(lists), shape)


def as_layout(name, values):
    """One example `[time, *shape]` in a layout."""
    shape = values.shape[1:]
    if name == "bits":
        return Bits(pack_bits(values.reshape(values.shape[0], -1)), shape)
    if name == "counts":
        return Counts(jnp.asarray(values, jnp.uint8), shape)
    if name == "dense":
        return Floats(jnp.asarray(values, jnp.float32), shape)
    return {"lists": lists_of, "events": events_of}[name](values)


def content(name, shape, seed=0):
    return example(shape, {"bits": 1, "dense": None}.get(name, 3), seed)


LAYOUTS = ("bits", "lists", "counts", "events", "dense")
EVERY_LAYOUT = [name if name == "counts" else pytest.param(name, marks=slow) for name in LAYOUTS]
NAMES = {
    Bits: "bits",
    ActiveChannels: "lists",
    Counts: "counts",
    EventList: "events",
    Floats: "dense",
    Constant: "constant",
}


def assert_sound(result: AbstractInputs):
    """What the layouts promise and no constructor looks at."""
    if not isinstance(result, EventList):
        return
    steps, channels = np.asarray(result.steps).astype(int), np.asarray(result.channels)
    assert np.all(np.diff(steps) >= 0)  # with the filling, of num_steps, at the end
    assert steps.max(initial=0) <= result.num_steps
    assert channels.max(initial=0) < math.prod(result.sample_shape)
    there = steps[steps < result.num_steps]
    true = busiest_of(there, result.num_steps)
    assert all(a <= b for a, b in zip(true, result.busiest, strict=True)), f"{result.busiest} bounds not {true}"


def moved(values, move):
    """What is in bin `(step, *place)` in bin `move(step, *place)`, or gone for None or outside: a plain loop, in float64."""
    result = np.zeros(values.shape)
    for place in np.ndindex(values.shape):
        target = move(*place)
        if target is not None and all(0 <= i < n for i, n in zip(target, values.shape, strict=True)):
            result[tuple(target)] += values[place]
    return result


def check(augmentation, name, values, draws, move, layout=None):
    """`augmentation._apply` for each of the drawn numbers against `moved`."""
    inputs = as_layout(name, values)
    apply = eqx.filter_jit(lambda drawn: augmentation._apply(inputs, drawn))
    for drawn in draws:
        result = apply(jax.tree.map(jnp.asarray, drawn))
        assert NAMES[type(result)] == (layout or name)
        assert (result.num_steps, result.sample_shape) == (values.shape[0], values.shape[1:])
        assert_sound(result)
        expected = moved(values, lambda *place, drawn=drawn: move(drawn, *place))
        np.testing.assert_allclose(result.dense(), expected, rtol=1e-6, atol=1e-6)


def counted(name):
    """The layout after single channels were touched."""
    return "counts" if name == "bits" else name


def summed(name):
    """The layout after bins were added up."""
    return {"bits": "counts", "counts": "dense"}.get(name, name)


# Moves along the channels


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_channel_shift(name):
    draws = [0, 1, -1, 3, -6, 7, -8]
    check(
        ChannelShift(8),
        name,
        content(name, VECTOR),
        draws,
        lambda d, t, c: (t, c + d),
        "counts" if name == "bits" else name,
    )


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_translate(name):
    draws = [(0, 0), (2, -1), (-4, 3), (5, 0), (0, -4)]
    move = lambda d, t, p, r, c: (t, p, r + d[0], c + d[1])
    check(Translate(5, 4), name, content(name, IMAGE), draws, move, counted(name))


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_flips(name):
    values = content(name, IMAGE)
    mirror = lambda f, t, p, r, c: (t, p, r, 3 - c if f else c)
    check(Flip(), name, values, [True, False], mirror, counted(name))
    swap = lambda f, t, p, r, c: (t, 1 - p if f else p, r, c)
    check(FlipPolarity(), name, values, [True, False], swap, counted(name))


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_rotate(name):
    shape = (3, 2, 6, 7)

    def turn(angle, t, p, r, c):
        y, x = r - 2.5, c - 3.0
        row = 2.5 + y * math.cos(angle) - x * math.sin(angle)
        column = 3.0 + y * math.sin(angle) + x * math.cos(angle)
        assert all(abs(v % 1 - 0.5) > 1e-4 for v in (row, column))  # no angle at which rounding decides
        return t, p, round(row), round(column)

    check(Rotate(90.0), name, content(name, shape), [0.0, 0.3, -0.8, 1.1, -1.5], turn, summed(name))


@slow
def test_at_most_four_pixels_meet():
    target = eqx.filter_jit(lambda angle: Rotate(180.0)._apply(Constant(jnp.ones((9, 8)), 1), angle).values)
    most = max(float(target(jnp.float32(angle)).max()) for angle in np.linspace(-np.pi, np.pi, 400))
    assert 2 <= most <= 4


# Moves in time


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_time_shift(name):
    draws = [0, 1, -1, 4, -6, 7, -9]
    check(TimeShift(9), name, content(name, VECTOR), draws, lambda d, t, c: (t + d, c))
    check(TimeShift(9), name, content(name, IMAGE), [2, -3], lambda d, t, p, r, c: (t + d, p, r, c))


@pytest.mark.parametrize("low", [1 / 3, 0.9, 1.0])
@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_time_stretch(name, low):
    stretch = TimeStretch(low, 2.0)
    smallest, largest, bits = stretch._range(13)
    draws = [smallest, smallest + 1, (smallest + largest) // 2, largest]
    move = lambda q, t, c: (math.floor(Fraction(q, 2**bits) * t), c)
    check(stretch, name, content(name, (13, 5)), draws, move, summed(name) if low < 1 else name)


@slow
@given(st.integers(1, 70_000), st.floats(0.01, 1.0), st.floats(1.0, 50.0), st.integers(0, 2**32 - 1))
def test_factors_are_exact_and_in_range(steps, low, high, seed):
    stretch = TimeStretch(low, high)
    smallest, largest, bits = stretch._range(steps)
    assert (steps - 1) * largest < 2**31
    assert abs(smallest / 2**bits - low) <= 0.5 / 2**bits
    assert abs(largest / 2**bits - high) <= 0.5 / 2**bits
    factor = int(stretch._draw(Constant(jnp.ones(1), steps), jax.random.key(seed)))
    assert smallest <= factor <= largest


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_time_crop(name):
    check(TimeCrop(3), name, content(name, VECTOR), [0, 2, 4], lambda s, t, c: (t, c) if s <= t < s + 3 else None)


# Drops


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_drop_steps_and_channels(name):
    values = content(name, VECTOR)
    masks = [np.array([bool(i >> j & 1) for j in range(7)]) for i in (0, 127, 0b1010010)]
    check(DropSteps(0.5), name, values, masks, lambda kept, t, c: (t, c) if kept[t] else None)
    check(DropChannels(0.5), name, values, masks, lambda kept, t, c: (t, c) if kept[c] else None)


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_drop_block(name):
    def vector(s, t, c):
        return None if s[0] <= t < s[0] + 2 and s[1] <= c < s[1] + 3 else (t, c)

    def image(s, t, p, r, c):
        inside = s[0] <= t < s[0] + 2 and s[1] <= r < s[1] + 4 and s[2] <= c < s[2] + 1
        return None if inside else (t, p, r, c)

    check(DropBlock(2, 3), name, content(name, VECTOR), [(0, 0), (5, 4), (1, 2)], vector, counted(name))
    check(DropBlock(2, (4, 1)), name, content(name, IMAGE), [(0, 0, 0), (4, 1, 3), (1, 0, 2)], image, counted(name))


def kept_events(name, values, p, key, inputs):
    """Which events stay, from the same uniform numbers, event by event."""
    steps, result = values.shape[0], np.zeros(values.shape)
    uniform = lambda key, shape: np.asarray(jax.random.uniform(key, shape, jnp.float32)) < np.float32(1 - p)
    if name == "events":
        for t, c, kept in zip(
            *jax.device_get((inputs.steps, inputs.channels)), uniform(key, inputs.steps.shape), strict=True
        ):
            if t < steps and kept:
                result[t, c] += 1
    elif name == "lists":
        lists = np.asarray(inputs.channels)
        for (t, j), kept in np.ndenumerate(uniform(key, lists.shape)):
            if lists[t, j] < values.shape[1] and kept:
                result[t, lists[t, j]] += 1
    elif name == "counts":
        for k in range(int(values.max())):
            for place, kept in np.ndenumerate(uniform(jax.random.fold_in(key, k), values.shape)):
                result[place] += values[place] > k and kept
    else:
        for place, kept in np.ndenumerate(uniform(key, values.shape)):
            result[place] = values[place] * kept
    return result


@pytest.mark.parametrize("name", EVERY_LAYOUT)
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_drop_events(name, p):
    values = content(name, VECTOR)
    inputs = as_layout(name, values)
    result = DropEvents(p)(inputs, key=KEY)
    assert NAMES[type(result)] == counted(name)
    assert_sound(result)
    np.testing.assert_allclose(result.dense(), kept_events(name, values, p, KEY, inputs), rtol=1e-6)


@slow
@pytest.mark.parametrize("name", ["lists", "counts", "events"])
def test_of_many_events_in_a_bin_a_binomial_number_stays(name):
    n, p, bins = 5, 0.3, (40, 50)
    left = np.asarray(DropEvents(p)(as_layout(name, np.full(bins, n)), key=KEY).dense())
    for k in range(n + 1):
        expected = math.comb(n, k) * (1 - p) ** k * p ** (n - k)
        assert abs(np.mean(left == k) - expected) < 5 * math.sqrt(expected * (1 - expected) / left.size)
    centred = left - n * (1 - p)  # neighbours are independent
    error = 5 * n * p * (1 - p) / math.sqrt(left.size)
    assert abs(np.mean(centred[1:] * centred[:-1])) < error
    assert abs(np.mean(centred[:, 1:] * centred[:, :-1])) < error


# Jitter


def jittered(name, inputs, values, jitter, key):
    """Each event where its own numbers take it, one at a time."""
    shape = values.shape[1:]

    def rounds():
        if isinstance(inputs, EventList):
            at = [
                (int(t), *np.unravel_index(int(c), shape)) for t, c in zip(inputs.steps, inputs.channels, strict=True)
            ]
            moves = jitter._draw(inputs.steps.shape, shape, key)
            yield at, np.asarray(inputs.steps) < inputs.num_steps, [np.asarray(m) for m in moves]
            return
        places = list(np.ndindex(values.shape))
        flat = (values.shape[0], math.prod(shape))
        for k in range(int(values.max()) if name == "counts" else 1):
            own = jax.random.fold_in(key, k) if name == "counts" else key
            sizes = [float(values[p] > k) if name == "counts" else values[p] for p in places]
            yield places, sizes, [np.asarray(m).reshape(-1) for m in jitter._draw(flat, shape, own)]

    result = np.zeros(values.shape)
    for places, sizes, moves in rounds():
        first = len(shape) - 1 if len(shape) > 1 else 1
        axes = [0, *range(first, len(shape) + 1)]
        for i, (place, size) in enumerate(zip(places, sizes, strict=True)):
            target = list(place)
            for axis, move in zip(axes, moves, strict=True):
                target[axis] += int(move[i])
            if size and all(0 <= x < n for x, n in zip(target, values.shape, strict=True)):
                result[tuple(target)] += size
    return result


@pytest.mark.parametrize("shape", [VECTOR, IMAGE])
@pytest.mark.parametrize("name", ["counts", *(pytest.param(name, marks=slow) for name in ("bits", "events", "dense"))])
def test_jitter(name, shape):
    values, jitter = content(name, shape), Jitter(0.8, 0.6)
    inputs = as_layout(name, values)
    result = jitter(inputs, key=KEY)
    # 7 steps and 5 channels, or 5 rows and 5 columns, may meet in a bin: 35 bits, or 175.
    assert NAMES[type(result)] == summed(name)
    assert_sound(result)
    np.testing.assert_allclose(result.dense(), jittered(name, inputs, values, jitter, KEY), rtol=1e-5, atol=1e-6)


@slow
def test_jitter_of_lists_is_that_of_their_events():
    values, jitter = content("lists", VECTOR), Jitter(1.0, 1.0)
    result = jitter(as_layout("lists", values), key=KEY)
    assert isinstance(result, EventList)
    assert_sound(result)
    # Many draws, on average where a normal takes them: the same as of the list of events, within 5 standard errors.
    keys = jax.random.split(KEY, 1500)
    means = [
        jax.jit(jax.vmap(lambda k, x=as_layout(name, values): jitter(x, key=k).dense()))(keys).mean(axis=0)
        for name in ("lists", "events")
    ]
    assert np.abs(means[0] - means[1]).max() < 5 * np.sqrt(2 * values.sum() / 49 / 1500)


def test_jitter_along_the_channels_leaves_lists_lists():
    values, jitter = content("lists", IMAGE), Jitter(0.0, 1.0)
    inputs = as_layout("lists", values)
    result = jitter(inputs, key=KEY)
    assert isinstance(result, ActiveChannels)
    _, down, right = (np.asarray(m) for m in jitter._draw(inputs.channels.shape, (2, 5, 4), KEY))
    expected = np.zeros(values.shape)
    for (t, j), channel in np.ndenumerate(np.asarray(inputs.channels)):
        if channel < 40:
            p, r, c = np.unravel_index(channel, (2, 5, 4))
            if 0 <= r + down[t, j] < 5 and 0 <= c + right[t, j] < 4:
                expected[t, p, r + down[t, j], c + right[t, j]] += 1
    np.testing.assert_array_equal(result.dense(), expected)


@slow
def test_events_from_both_ends_of_the_longest_ways_meet():
    counts = np.zeros((16, 2))
    counts[0, 0], counts[8, 0] = (
        3,
        3,
    )  # one step more apart than a window of 8, twice 4 = the longest way of Jitter(1.0)
    inputs = events_of(counts, filling=0)
    moves = jnp.asarray([4, 4, 4, -4, -4, -4])
    result = Jitter(1.0)._events(inputs, (moves, jnp.zeros_like(moves)))
    assert_sound(result)
    assert inputs.busiest[3] == 3
    np.testing.assert_array_equal(result.stretch(4, 1).dense(), [[6.0, 0.0]])


@slow
def test_jitter_is_a_rounded_normal():
    steps, channels = (np.asarray(m) for m in Jitter(1.5, 0.4)._draw((40_000,), (9,), KEY))
    cdf = lambda x, sigma: 0.5 * (1 + math.erf(x / sigma / math.sqrt(2)))
    for moves, sigma, longest in ((steps, 1.5, 6), (channels, 0.4, 2)):
        assert np.abs(moves).max() <= longest
        for move in range(-longest, longest + 1):
            expected = cdf(min(move + 0.5, 4 * sigma), sigma) - cdf(max(move - 0.5, -4 * sigma), sigma)
            spread = math.sqrt(expected * (1 - expected) / moves.size)
            assert abs(np.mean(moves == move) - expected) < 5 * spread + 1e-4
    assert abs(np.mean(steps * channels)) < 5 * 1.5 * 0.4 / math.sqrt(steps.size)


@slow
def test_what_could_overflow_a_byte_becomes_floats():
    full = np.full((5, 3), 255)
    result = TimeStretch(0.5, 0.5)(as_layout("counts", full), key=KEY)
    np.testing.assert_array_equal(result.dense(), [[510.0] * 3, [510.0] * 3, [255.0] * 3, [0.0] * 3, [0.0] * 3])
    assert isinstance(Jitter(5.0, 5.0)(as_layout("bits", np.ones((5, 3))), key=KEY), Floats)


# Constants


@slow
def test_a_constant_stays_one_unless_time_is_touched():
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    constant, steps = Constant(jnp.asarray(values), 5), np.broadcast_to(values, (5, 2, 3, 4))
    kept = jnp.arange(24) % 3 > 0

    @jax.jit
    def run(constant):
        return (
            Translate(1, 1)._apply(constant, (jnp.int32(1), jnp.int32(-1))),
            Flip()._apply(constant, jnp.asarray(True)),
            FlipPolarity()._apply(constant, jnp.asarray(True)),
            DropChannels(0.5)._apply(constant, kept),
            Rotate(180.0)._apply(constant, jnp.float32(np.pi)),
            TimeShift(2)._apply(constant, jnp.int32(2)),
        )

    *results, shifted = run(constant)
    expected = (
        np.pad(values, ((0, 0), (1, 0), (0, 1)))[:, :3, 1:],
        values[..., ::-1],
        values[::-1],
        values * np.asarray(kept).reshape(2, 3, 4),
        values[:, ::-1, ::-1],
    )
    for result, one in zip(results, expected, strict=True):
        assert isinstance(result, Constant)
        np.testing.assert_array_equal(result.dense(), np.broadcast_to(one, steps.shape))
    assert isinstance(shifted, Floats)
    np.testing.assert_array_equal(shifted.dense(), np.concatenate([np.zeros((2, 2, 3, 4)), steps[2:]]))


# Layouts and augmentations of a user's own


class Pairs(AbstractInputs):
    """A layout that the package does not know: step and channel of each event, as two arrays."""

    steps: jax.Array
    channels: jax.Array
    num_steps: int = eqx.field(static=True)
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def stretch(self, start, size):
        raise NotImplementedError

    def dense(self, dtype=None):
        zeros = jnp.zeros((self.num_steps, *self.sample_shape), dtype)
        return zeros.at[self.steps, self.channels].add(1)


def test_a_layout_of_ones_own_is_augmented_as_floats():
    values = content("counts", VECTOR)
    where = [place for place in np.ndindex(VECTOR) for _ in range(int(values[place]))]
    pairs = Pairs(*jnp.asarray(where).T, *(7, (7,)))
    plain = Floats(jnp.asarray(values, jnp.float32), (7,))
    many = [TimeShift(3), ChannelShift(2), DropEvents(0.3), Jitter(1.0, 1.0), Sometimes(0.5, TimeStretch(0.4, 0.5))]
    run = jax.jit(lambda key: [[a(x, key=key) for x in (pairs, plain)] for a in many])
    for found, expected in run(KEY):
        assert isinstance(found, Floats)
        np.testing.assert_array_equal(found.values, expected.values)
    mixed, _ = augment.CutMix()(pairs, pairs, key=KEY)
    np.testing.assert_array_equal(mixed.dense(), values)


class Louder(augment.AbstractAugmentation):
    most: float

    def __call__(self, inputs, *, key):
        gain = jax.random.uniform(key, minval=1.0, maxval=self.most)
        return Floats(gain * inputs.dense(), inputs.sample_shape)


@pytest.mark.parametrize("name", ["counts", "events"])
def test_an_augmentation_of_ones_own_goes_where_the_others_do(name):
    values = content(name, VECTOR)
    run = jax.jit(lambda key, x=as_layout(name, values): Sometimes(0.5, Louder(3.0))(x, key=key).dense())
    gains = [np.asarray(run(key))[values > 0] / values[values > 0] for key in jax.random.split(KEY, 20)]
    for gain in gains:
        np.testing.assert_allclose(gain, gain[0], rtol=1e-6)
        assert 1 <= gain[0] <= 3
    assert 4 < sum(gain[0] == 1 for gain in gains) < 16


# What holds for all

VECTORS = [
    ChannelShift(3),
    TimeShift(3),
    TimeStretch(0.6, 1.5),
    TimeCrop(4),
    DropEvents(0.3),
    DropSteps(0.3),
    DropChannels(0.3),
    DropBlock(3, 2),
    Jitter(1.0, 0.5),
    Sometimes(0.5, Jitter(1.0, 0.5)),
    Sometimes(0.5, TimeStretch(0.4, 0.5)),
]
IMAGES = [Translate(2, 1), Flip(), FlipPolarity(), Rotate(40.0), DropBlock(2, (2, 3)), Jitter(0.6, 0.6)]
ALL = [*((a, VECTOR) for a in VECTORS), *((a, IMAGE) for a in IMAGES)]


@slow
@pytest.mark.parametrize(
    ("augmentation", "shape", "name"),
    [(*case, LAYOUTS[i % 5]) for i, case in enumerate(ALL)],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_a_batch_is_augmented_example_by_example(augmentation, shape, name):
    examples = [content(name, shape, seed) for seed in range(4)]
    if name == "lists":  # all as long as the longest
        most = max(int(e.reshape(shape[0], -1).sum(axis=1).max()) for e in examples)
        pad = lambda x: jnp.pad(x, ((0, 0), (0, most - x.shape[1])), constant_values=math.prod(shape[1:]))
        inputs = [ActiveChannels(pad(as_layout(name, e).channels), shape[1:]) for e in examples]
    elif name == "events":
        most = max(int(e.sum()) for e in examples)
        inputs = [events_of(e, filling=most - int(e.sum())) for e in examples]
        bound = tuple(max(b) for b in zip(*(x.busiest for x in inputs), strict=True))
        inputs = [EventList(x.steps, x.channels, shape[1:], shape[0], bound) for x in inputs]
    else:
        inputs = [as_layout(name, e) for e in examples]
    keys = jax.random.split(KEY, 4)
    batch = jax.tree.map(lambda *xs: jnp.stack(xs), *inputs)
    results = jax.jit(jax.vmap(lambda x, k: augmentation(x, key=k)))(batch, keys)
    one = eqx.filter_jit(lambda x, k: augmentation(x, key=k))
    for i in range(4):
        result = jax.tree.map(lambda x, i=i: x[i], results)
        alone = one(inputs[i], keys[i])
        assert jax.tree.structure(result) == jax.tree.structure(alone)
        for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(a, b)
        assert_sound(result)


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_nothing_asked_for_changes_nothing(name):
    vector, image = content(name, VECTOR), content(name, IMAGE)
    nothing = [ChannelShift(0), TimeShift(0), TimeStretch(1.0, 1.0), TimeCrop(7), DropEvents(0.0), DropSteps(0.0)]
    nothing += [DropChannels(0.0), Jitter(0.0), Sometimes(0.0, TimeShift(3)), Sometimes(0.0, Jitter(1.0))]
    still = [Translate(0, 0), Flip(0.0), FlipPolarity(0.0), Rotate(0.0)]
    for augmentations, values in ((nothing, vector), (still, image)):
        inputs = as_layout(name, values)
        results = jax.jit(lambda k, x=inputs, many=augmentations: [a(x, key=k).dense() for a in many])(KEY)
        for result in results:
            np.testing.assert_allclose(result, values, rtol=1e-6)


@slow
def test_draws_are_uniform():
    keys = jax.random.split(KEY, 6000)
    drawn_by = lambda augmentation: jax.vmap(lambda k: augmentation._draw(Constant(jnp.ones(7), 7), k))(keys)
    draws = [
        (drawn_by(ChannelShift(2)), range(-2, 3)),
        (drawn_by(TimeShift(1)), range(-1, 2)),
        (drawn_by(Translate(1, 2))[0], range(-1, 2)),
        (drawn_by(Translate(1, 2))[1], range(-2, 3)),
        (drawn_by(TimeCrop(4)), range(4)),
        (drawn_by(DropBlock(6, 5))[0], range(2)),
        (drawn_by(DropBlock(6, 5))[1], range(3)),
    ]
    for drawn, values in draws:
        share = 1 / len(values)
        for value in values:
            assert abs(np.mean(np.asarray(drawn) == value) - share) < 5 * math.sqrt(share * (1 - share) / 6000)
        assert set(np.unique(drawn)) == set(values)
    angles = np.asarray(drawn_by(Rotate(60.0)))
    assert np.abs(angles).max() <= math.pi / 3
    np.testing.assert_allclose([angles.mean(), angles.std()], [0, math.pi / 3 / math.sqrt(3)], atol=0.05)
    for kept, p in ((DropSteps(0.2), 0.2), (DropChannels(0.7), 0.7)):
        mask = np.asarray(kept._draw(Constant(jnp.ones(6000), 6000), KEY))
        assert abs(mask.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / 6000)


@pytest.mark.parametrize("name", EVERY_LAYOUT)
def test_sometimes_is_one_or_the_other(name):
    values = content(name, VECTOR)
    inputs = as_layout(name, values)
    own = jax.random.split(KEY)[1]
    for inner in (ChannelShift(3), TimeStretch(0.4, 0.5), Jitter(1.0)):
        run = jax.jit(lambda on, a=inner: (Sometimes(0.5, a)._apply(inputs, on, own), a(inputs, key=own)))
        (changed, expected), (unchanged, _) = run(True), run(False)
        assert jax.tree.structure(changed) == jax.tree.structure(unchanged)
        assert_sound(changed)
        assert_sound(unchanged)
        np.testing.assert_array_equal(changed.dense(), expected.dense())
        np.testing.assert_allclose(unchanged.dense(), values, rtol=1e-6)


@slow
def test_sometimes_is_as_often_as_asked():
    inputs = as_layout("counts", content("counts", VECTOR))
    keys = jax.random.split(KEY, 3000)
    silent = jax.vmap(lambda k: Sometimes(0.3, DropSteps(1.0))(inputs, key=k).dense().any())(keys)
    assert abs(np.mean(~np.asarray(silent)) - 0.3) < 5 * math.sqrt(0.21 / 3000)


@slow
def test_double_precision_stays(x64):
    values = content("dense", VECTOR)
    plain = Floats(jnp.asarray(values), (7,))
    many = (TimeShift(3), ChannelShift(2), DropEvents(0.3), Jitter(1.0, 0.5))
    results = jax.jit(lambda key: [a(x, key=key).dense() for x in (plain, Constant(plain.values[0], 7)) for a in many])(
        KEY
    )
    assert {result.dtype for result in results} == {np.dtype("float64")}
    for name in ("counts", "events"):
        assert_sound(jax.jit(lambda k, x=as_layout(name, content(name, VECTOR)): Jitter(1.0, 0.5)(x, key=k))(KEY))
    result = TimeShift(3)._apply(plain, jnp.asarray(2))
    np.testing.assert_array_equal(result.dense(), np.concatenate([np.zeros((2, 7)), values[:5]]))


# EventList in networks: busiest is a bound that holds, whatever the chunk

EVENTFUL = [
    TimeShift(9),
    TimeStretch(0.2, 0.25),
    TimeStretch(0.5, 3.0),
    TimeStretch(0.34, 0.34),
    Jitter(2.0, 1.0),
    DropEvents(0.2),
    Sometimes(0.5, Jitter(1.0)),
    Sometimes(0.5, TimeStretch(0.2, 0.3)),
]


CROWDS = np.zeros((3, 16, 5))
CROWDS[0, ::4] = 2  # far apart, so that few are in a window, and brought together by what comes
CROWDS[1, 15] = 9  # all in one step, the last
CROWDS[2] = 1  # the same in all


@slow
@pytest.mark.parametrize("augmentation", EVENTFUL, ids=repr)
def test_no_window_has_more_events_than_busiest_says(augmentation):
    for counts in CROWDS:
        inputs = events_of(counts, filling=0)
        run = jax.jit(jax.vmap(lambda k, x=inputs: augmentation(x, key=k)))
        results = jax.device_get(run(jax.random.split(KEY, 20)))
        for i in range(20):
            assert_sound(jax.tree.map(lambda x, i=i: x[i], results))


@slow
@pytest.mark.parametrize("augmentation", [TimeStretch(0.2, 0.25), Jitter(2.0, 1.0)], ids=repr)
def test_a_network_sees_every_event_in_every_chunk(augmentation):
    model = snnx.Sequential([eqx.nn.Linear(5, 3, key=KEY), snnx.LI(4.0)])

    @jax.jit
    def run(key):
        result = augmentation(events_of(CROWDS[0], filling=0), key=key)
        chunks = [snnx.simulate(model, result, chunk=chunk)[0] for chunk in (1, 3, 16)]
        return chunks, snnx.simulate(model, Floats(result.dense(), (5,)), chunk=16)[0]

    for seed in range(10):
        chunks, expected = run(jax.random.key(seed))
        for got in chunks:
            np.testing.assert_allclose(got, expected, atol=1e-5)


@slow
@pytest.mark.parametrize(("step_dtype", "channel_dtype"), [(np.uint16, np.uint32), (np.uint32, np.uint16)])
def test_events_of_other_widths(step_dtype, channel_dtype):
    values = content("events", VECTOR)
    wide = events_of(values, 2, step_dtype, channel_dtype)
    for augmentation in (Jitter(1.0, 1.0), ChannelShift(2)):
        run = jax.jit(lambda k, a=augmentation: tuple(a(x, key=k) for x in (wide, events_of(values, 2))))
        result, usual = run(KEY)
        assert (result.steps.dtype, result.channels.dtype) == (step_dtype, channel_dtype)
        assert_sound(result)
        np.testing.assert_array_equal(result.dense(), usual.dense())


# Refusals


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ChannelShift(-1), "most"),
        (lambda: TimeShift(np.int64(-2)), "most"),
        (lambda: Translate(1, -2), "columns"),
        (lambda: TimeStretch(0.0, 1.0), "low"),
        (lambda: TimeStretch(1.2, 0.8), "high"),
        (lambda: TimeStretch(0.5, math.inf), "high"),
        (lambda: TimeCrop(0), "steps"),
        (lambda: DropEvents(1.5), "p"),
        (lambda: DropSteps(-0.1), "p"),
        (lambda: DropChannels(math.nan), "p"),
        (lambda: DropBlock(0, 1), "steps"),
        (lambda: DropBlock(1, (1, 2, 3)), "channels"),
        (lambda: DropBlock(1, (1, 0)), "channels"),
        (lambda: Jitter(-1.0), "steps"),
        (lambda: Jitter(1.0, math.inf), "channels"),
        (lambda: Flip(2.0), "p"),
        (lambda: FlipPolarity(2.0), "p"),
        (lambda: Rotate(np.float32(181.0)), "degrees"),
        (lambda: Sometimes(2.0, Flip()), "p"),
    ],
)
def test_numbers_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        make()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ChannelShift(1.5), "most"),
        (lambda: TimeShift(True), "most"),
        (lambda: DropBlock(1, "3"), "channels"),
        (lambda: Rotate("90"), "degrees"),
        (lambda: Sometimes(0.5, augment.Blend()), "augmentation"),
        (lambda: Sometimes(0.5, Flip), "augmentation"),
        (lambda: Flip(probability=0.5), "probability"),
        (lambda: TimeShift(1)(jnp.zeros((7, 7)), key=KEY), "inputs"),
    ],
)
def test_what_is_of_another_kind_is_refused(make, name):
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        make()


def test_numbers_of_numpy_are_numbers():
    assert TimeShift(np.int64(3)) == TimeShift(3)
    assert DropBlock(np.int32(2), [np.int64(3), 4]) == DropBlock(2, (3, 4))
    assert type(Jitter(np.float32(0.5)).steps) is float


def test_inputs_that_do_not_fit_are_refused():
    vector, image = as_layout("counts", content("counts", VECTOR)), as_layout("counts", content("counts", IMAGE))
    for augmentation in (Translate(1, 1), Flip(), Rotate(10.0), DropBlock(1, (1, 1))):
        with pytest.raises(ShapeError, match=r"\binputs\b"):
            augmentation(vector, key=KEY)
    for augmentation, instead in ((ChannelShift(1), "Translate"), (DropBlock(1, 1), "rows, columns")):
        with pytest.raises(ShapeError, match=rf"\binputs\b.*{instead}"):
            augmentation(image, key=KEY)
    with pytest.raises(ShapeError, match=r"\binputs\b"):
        FlipPolarity()(Constant(jnp.ones((3, 4, 5)), 2), key=KEY)
    with pytest.raises(ValueError, match=r"\bsteps\b"):
        TimeCrop(8)(vector, key=KEY)
    with pytest.raises(ValueError, match=r"\brows\b"):
        DropBlock(1, (6, 1))(image, key=KEY)
    with pytest.raises(ValueError, match=r"\blow\b"):
        TimeStretch(1e-9, 1.0)(vector, key=KEY)


def test_a_key_is_needed():
    inputs = {shape: as_layout("dense", content("dense", shape)) for shape in (VECTOR, IMAGE)}
    for augmentation, shape in ALL:
        with pytest.raises(TypeError, match=r"\bkey\b"):
            augmentation(inputs[shape], key=jnp.zeros(2, jnp.uint32))
