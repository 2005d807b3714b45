"""Encoders: against their definitions, number by number."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnx import encoding
from snnx._errors import DtypeError
from snnx.encoding import direct, latency, phase, population_fields, rate

KEY = jax.random.key(0)


def test_latency_is_one_spike_at_the_time_that_the_value_argument():
    # round((1 - x) * 4), halves to even: 1 -> 0, 0.9 -> 0.4 -> 0, 0.875 -> 0.5 -> 0, 0.625 -> 1.5 -> 2, 0.1 -> 3.6 -> 4.
    values = jnp.array([1.0, 0.9, 0.875, 0.75, 0.625, 0.5, 0.1, 0.0])
    times = [0, 0, 0, 1, 2, 2, 4, None]
    expected = np.zeros((5, 8))
    for channel, time in enumerate(times):
        if time is not None:
            expected[time, channel] = 1.0
    np.testing.assert_array_equal(latency(values, 5), expected)


@given(st.lists(st.floats(0, 1, width=32, allow_subnormal=False), min_size=6, max_size=6), st.sampled_from([1, 2, 7]))
def test_latency_fires_once_the_earlier_the_larger(values, steps):
    spikes = np.asarray(latency(jnp.asarray(values, jnp.float32), steps))
    assert spikes.shape == (steps, len(values))
    np.testing.assert_array_equal(spikes.sum(axis=0), [float(v > 0) for v in values])
    when = np.where(np.array(values) > 0, spikes.argmax(axis=0), steps)
    order = np.argsort(values)
    assert all(when[a] >= when[b] for a, b in zip(order[:-1], order[1:], strict=True))


def test_encoders_keep_shape_and_dtype():
    values = jnp.full((2, 3, 4), 0.5, jnp.bfloat16)
    for spikes in (latency(values, 6), rate(values, 6, key=jax.random.key(0))):
        assert (spikes.shape, spikes.dtype) == ((6, 2, 3, 4), jnp.bfloat16)
        assert set(np.unique(np.float32(spikes))) <= {0.0, 1.0}
    assert latency(jnp.float32(0.5), 3).shape == (3,)


def test_rates_are_the_values():
    values = jnp.array([0.0, 0.1, 0.5, 0.9, 1.0])
    steps = 20_000
    spikes = np.asarray(rate(values, steps, key=jax.random.key(1)))
    np.testing.assert_array_equal(spikes[:, [0, 4]].mean(axis=0), [0.0, 1.0])
    for channel, p in enumerate([0.1, 0.5, 0.9], start=1):
        assert abs(spikes[:, channel].mean() - p) < 5 * np.sqrt(p * (1 - p) / steps)
    # Independent from step to step and from channel to channel: no correlation beyond 5 standard errors.
    middle = spikes[:, 2] - 0.5
    assert abs(np.mean(middle[1:] * middle[:-1])) < 5 * 0.25 / np.sqrt(steps)
    assert abs(np.mean(middle * (spikes[:, 1] - 0.1))) < 5 * np.sqrt(0.25 * 0.09 / steps)


def test_rates_are_decided_by_the_key():
    values = jnp.full(50, 0.5)
    first, again, other = (rate(values, 4, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rates_work_under_vmap_as_one_by_one():
    keys = jax.random.split(jax.random.key(0), 3)
    values = jnp.linspace(0, 1, 12).reshape(3, 4)
    together = jax.vmap(lambda k, x: rate(x, 5, key=k))(keys, values)
    for index in range(3):
        np.testing.assert_array_equal(together[index], rate(values[index], 5, key=keys[index]))


@pytest.mark.parametrize("steps", [0, -3, True])
def test_encoders_need_steps(steps):
    for name, call in (("latency", latency), ("rate", functools.partial(rate, key=KEY)), ("direct", direct)):
        with pytest.raises(TypeError if steps is True else ValueError, match=rf"{name}: steps\b"):
            call(jnp.ones(3), steps)


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_encoders_refuse_values_outside(bad):
    values = jnp.array([0.5, bad])
    for name, call in (
        ("latency", lambda x: latency(x, 3)),
        ("rate", lambda x: rate(x, 3, key=jax.random.key(0))),
    ):
        for run in (call, jax.jit(call), jax.vmap(call)):
            with pytest.raises(RuntimeError, match=rf"{name}: values\b"):
                jax.block_until_ready(run(values))


def test_encoders_refuse_other_arguments():
    for key in (jnp.zeros(2, jnp.uint32), jax.random.split(KEY), 0):
        with pytest.raises(TypeError, match=r"rate: key\b"):
            rate(jnp.ones(3), 4, key=key)
    with pytest.raises(TypeError, match=r"\bsteps\b"):
        latency(jnp.ones(3), 2.5)


# Every encoder as a function of (values, key): name, call, example, a value that it refuses, and what it calls that.
UNIT = jnp.array([[0.0, 0.3, 1.0], [0.9, 0.5, 0.04]])
SIGNAL = jnp.array([[0.0, 0.3], [1.0, -2.5], [0.4, -2.6]])
FIELDS = population_fields(0.0, 1.0, 5)
ENCODERS = [
    ("rate", lambda x, key: encoding.rate(x, 5, key=key), UNIT, -0.1, "values"),
    ("poisson", lambda x, key: encoding.poisson(x, 5, dt=0.5, key=key), 9 * UNIT, -0.1, "rates"),
    ("latency", lambda x, key: encoding.latency(x, 5), UNIT, 1.1, "values"),
    (
        "log_latency",
        lambda x, key: encoding.log_latency(x, 9, tau=5.0, threshold=0.1),
        UNIT,
        -0.1,
        "values",
    ),
    (
        "time_to_first_spike",
        lambda x, key: encoding.time_to_first_spike(x, 5, tau=2.0),
        UNIT,
        1.1,
        "values",
    ),
    ("phase", lambda x, key: encoding.phase(x, 8, bits=4), UNIT * 15 / 16, 1.0, "values"),
    ("direct", lambda x, key: encoding.direct(x, 5), 2 * UNIT - 1, np.inf, "values"),
    ("delta", lambda x, key: encoding.delta(x, 0.5), SIGNAL, np.inf, "signal"),
    ("send_on_delta", lambda x, key: encoding.send_on_delta(x, 0.5), SIGNAL, np.inf, "signal"),
    ("population", lambda x, key: encoding.population(x, *FIELDS), UNIT, np.inf, "values"),
]
each_encoder = pytest.mark.parametrize(
    ("name", "call", "example", "bad", "argument"), ENCODERS, ids=[name for name, *_ in ENCODERS]
)


def test_every_encoder_is_registered():
    helpers = {"population_fields", "raster_to_events", "events_to_raster"}
    names = {name for name in encoding.__all__ if not name.endswith("_inverse")} - helpers
    assert names == {name for name, *_ in ENCODERS}


@pytest.mark.slow
@each_encoder
def test_compiled_and_under_vmap_as_one_by_one(name, call, example, bad, argument):
    keys = jax.random.split(jax.random.key(0), 3)
    batch = jnp.stack([example, example[::-1], example[:, ::-1]])
    one_by_one = np.stack([call(x, key) for x, key in zip(batch, keys, strict=True)])
    assert 0 < np.count_nonzero(one_by_one) < one_by_one.size or name in ("direct", "population")
    for run in (jax.vmap(call), jax.jit(jax.vmap(call))):
        if name == "population":  # exp, fused otherwise
            np.testing.assert_allclose(run(batch, keys), one_by_one, rtol=1e-6)
        else:
            np.testing.assert_array_equal(run(batch, keys), one_by_one)


@pytest.mark.slow
@each_encoder
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_the_dtype_is_that_of_the_input(name, call, example, bad, argument, dtype, x64):
    spikes = jax.jit(call)(example.astype(dtype), jax.random.key(0))
    assert spikes.dtype == dtype
    assert np.all(np.isfinite(np.asarray(spikes, float)))


@each_encoder
def test_values_outside_are_refused(name, call, example, bad, argument):
    key = jax.random.key(0)
    with pytest.raises(RuntimeError, match=rf"{name}: {argument}\b"):
        jax.block_until_ready(call(example.at[1, 1].set(bad), key))
    batch = jnp.stack([example, example.at[1, 1].set(np.nan)])
    with pytest.raises(RuntimeError, match=rf"{name}: {argument}\b"):
        jax.block_until_ready(eqx.filter_jit(jax.vmap(call, in_axes=(0, None)))(batch, key))


@each_encoder
def test_integers_are_refused(name, call, example, bad, argument):
    with pytest.raises(DtypeError, match=rf"{name}: {argument}\b"):
        call(jnp.ones((2, 3), jnp.int32), jax.random.key(0))


@each_encoder
def test_arrays_of_numpy_are_taken(name, call, example, bad, argument):
    np.testing.assert_array_equal(call(np.asarray(example), KEY), call(example, KEY))
    np.testing.assert_array_equal(call(np.asarray(example).astype(">f4"), KEY), call(example, KEY))
    with pytest.raises(DtypeError, match=rf"{name}: {argument}\b"):  # JAX would round them
        call(np.asarray(example, np.float64), KEY)


def test_numbers_of_numpy_are_taken():
    train = latency(UNIT, 5)
    np.testing.assert_array_equal(latency(UNIT, np.int64(5)), train)
    np.testing.assert_array_equal(encoding.delta(SIGNAL, np.float32(0.5)), encoding.delta(SIGNAL, 0.5))
    np.testing.assert_array_equal(encoding.delta(SIGNAL, np.float64(0.5)), encoding.delta(SIGNAL, jnp.float32(0.5)))
    inverse = encoding.time_to_first_spike_inverse
    np.testing.assert_array_equal(inverse(train, tau=np.float64(2.0)), inverse(train, tau=2))
    np.testing.assert_array_equal(population_fields(np.int64(0), np.float32(1), np.int8(5))[0], FIELDS[0])


WRONG = [
    (lambda: encoding.poisson(jnp.ones(2), 0, dt=1.0, key=KEY), "poisson: steps"),
    (lambda: encoding.poisson(jnp.ones(2), 3, dt=0.0, key=KEY), "poisson: dt"),
    (lambda: encoding.phase(jnp.zeros(2), -8, bits=8), "phase: steps"),
    (lambda: encoding.phase(jnp.zeros(2), 8, bits=0), "phase: bits"),
    (lambda: encoding.phase(jnp.zeros(2), 25, bits=25), "phase: bits"),
    (lambda: encoding.phase(jnp.zeros(2), 12, bits=8), r"phase: .*\bbits"),
    (lambda: encoding.phase_inverse(jnp.zeros((12, 2)), bits=8), r"phase_inverse: .*\bbits"),
    (lambda: encoding.phase_inverse(jnp.zeros((0, 2)), bits=8), "phase_inverse: spikes"),
    (lambda: encoding.log_latency(jnp.ones(2), 0, tau=1.0, threshold=1.0), "log_latency: steps"),
    (lambda: encoding.log_latency(jnp.ones(2), 3, tau=np.nan, threshold=1.0), "log_latency: tau"),
    (lambda: encoding.log_latency(jnp.ones(2), 3, tau=1.0, threshold=-1.0), "log_latency: threshold"),
    (lambda: encoding.log_latency_inverse(jnp.ones((1, 2)), tau=0.0, threshold=1.0), "log_latency_inverse: tau"),
    (lambda: encoding.latency_inverse(jnp.ones((0, 2))), "latency_inverse: spikes"),
    (lambda: encoding.time_to_first_spike(jnp.ones(2), 0, tau=1.0), "time_to_first_spike: steps"),
    (lambda: encoding.time_to_first_spike(jnp.ones(2), 3, tau=-1.0), "time_to_first_spike: tau"),
    (
        lambda: encoding.time_to_first_spike_inverse(jnp.ones((1, 2)), tau=np.inf),
        "time_to_first_spike_inverse: tau",
    ),
    (lambda: encoding.delta(jnp.ones((3, 2)), 0.0), "delta: threshold"),
    (lambda: encoding.delta(jnp.ones((0, 2)), 1.0), "delta: signal"),
    (lambda: encoding.send_on_delta(jnp.ones((0, 2)), 1.0), "send_on_delta: signal"),
    (
        lambda: encoding.send_on_delta_inverse(jnp.ones((3, 2, 4)), -1.0, jnp.ones(4)),
        "send_on_delta_inverse: threshold",
    ),
    (lambda: encoding.population(jnp.ones(2), jnp.ones(3), 0.0), "population: widths"),
    (lambda: encoding.population_inverse(jnp.ones((2, 1)), jnp.ones(1), 1.0), r"population_inverse: .*\bfields"),
    (lambda: encoding.population_fields(0.0, 1.0, 2), "population_fields: fields"),
    (lambda: encoding.population_fields(1.0, 1.0, 5), "population_fields: low"),
    (lambda: encoding.population_fields(0.0, np.inf, 5), "population_fields: high"),
    (lambda: encoding.population_fields(0.0, 1.0, 5, beta=0.0), "population_fields: beta"),
]


@pytest.mark.parametrize(("call", "named"), WRONG, ids=[named for _, named in WRONG])
def test_wrong_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=rf"{named}\b"):
        call()


@pytest.mark.parametrize("wrong", [True, "1", None])
def test_what_is_not_a_number_is_refused(wrong):
    for call, name in (
        (lambda: encoding.log_latency_inverse(jnp.ones((1, 2)), tau=1.0, threshold=wrong), "threshold"),
        (lambda: encoding.send_on_delta(jnp.ones((3, 2)), wrong), "threshold"),
        (lambda: encoding.population(jnp.ones(2), jnp.ones(3), wrong), "widths"),
    ):
        with pytest.raises(TypeError, match=rf"\b{name}\b"):
            call()


def test_late_spikes_survive_small_dtypes():
    # 999 is 1000 in bfloat16: computed there, the spikes of small values would come after the last step.
    spikes = np.asarray(latency(jnp.array([0.001, 0.25, 1.0], jnp.bfloat16), 1000), float)
    assert spikes.sum(axis=0).tolist() == [1, 1, 1]
    assert spikes.argmax(axis=0).tolist() == [998, 749, 0]


def test_direct_is_the_value_at_every_step():
    values = np.array([[0.25, -3.0]], np.float32)
    np.testing.assert_array_equal(direct(jnp.asarray(values), 3), np.stack([values] * 3))


def test_phase_is_the_published_table():
    # Kim et al. (2018), table 1: eight phases, weights 2^-1 to 2^-8.
    values = jnp.array([192, 1, 128, 255]) / 256
    table = ["11000000", "00000001", "10000000", "11111111"]
    expected = np.array([[float(bit) for bit in bits] for bits in table]).T
    np.testing.assert_array_equal(phase(values, 16, bits=8), np.concatenate([expected, expected]))
