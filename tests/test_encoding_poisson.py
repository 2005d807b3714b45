"""Rates and Poisson counts: against their distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnx.encoding import poisson, rate


def test_small_probabilities_survive_small_dtypes():
    # Uniform numbers in bfloat16 are multiples of 1/128 or so: drawn there, 0.001 would fire 8 times too often.
    spikes = np.asarray(rate(jnp.full(2000, 0.001, jnp.bfloat16), 500, key=jax.random.key(3)), float)
    expected = float(jnp.bfloat16(0.001)) * spikes.size
    assert abs(spikes.sum() - expected) < 5 * np.sqrt(expected)


@pytest.mark.parametrize("expected", [0.05, 2.0, 40.0])  # below and above 10 JAX draws by different methods
def test_poisson_counts_follow_their_distribution(expected):
    stats = pytest.importorskip("scipy.stats")
    counts = np.asarray(poisson(jnp.full(100, 10 * expected), 400, dt=0.1, key=jax.random.key(2)))
    assert np.array_equal(counts, np.round(counts))
    n = counts.size
    assert abs(counts.mean() - expected) < 5 * np.sqrt(expected / n)
    support = np.arange(int(stats.poisson.isf(1e-3, expected)) + 1)
    probability = stats.poisson.pmf(support, expected)
    share = np.array([(counts == k).mean() for k in support])
    assert np.all(np.abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / n) + 1e-9)
    # Independent from step to step.
    centred = counts - expected
    assert abs(np.mean(centred[1:] * centred[:-1])) < 5 * expected / np.sqrt(n)


def test_at_most_one_spike_of_a_poisson_process_has_its_probability():
    counts = poisson(jnp.full(100, 0.7), 400, dt=1.0, key=jax.random.key(4))
    share, expected = np.minimum(np.asarray(counts), 1).mean(), 1 - np.exp(-0.7)
    assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / counts.size)


def test_poisson_of_nothing_is_silent_and_keys_decide():
    np.testing.assert_array_equal(poisson(jnp.zeros(4), 50, dt=1.0, key=jax.random.key(0)), np.zeros((50, 4)))
    first, again, other = (poisson(jnp.full(50, 2.0), 4, dt=1.0, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_counts_that_the_dtype_cannot_hold_are_refused():
    fits = poisson(jnp.full(3, 100.0, jnp.bfloat16), 4, dt=1.0, key=jax.random.key(0))
    assert np.all(np.float32(fits) < 256)
    for rates, largest in ((jnp.full(3, 1000.0, jnp.bfloat16), 256), (jnp.full(3, 1e9), 2**24)):
        with pytest.raises(RuntimeError, match=rf"poisson: .*\b{largest}\b.*\b{rates.dtype}\b"):
            jax.block_until_ready(poisson(rates, 4, dt=1.0, key=jax.random.key(0)))
