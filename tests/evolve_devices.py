"""Evolution on two devices; `test_evolve.py` runs these where JAX has that many."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs
from small import assert_same_bits, make_data, make_model
from strategies import TinyES, double, numpy_es

import snnx
from snnx.train import _programs

KEY = jax.random.key(5)
START = jnp.zeros(3)
AIM = np.array([1.0, -2.0, 3.0])
ONE, TWO = jax.devices()[:1], jax.devices()
SIX, FIVE = TinyES(6, START), TinyES(5, START)  # with the parameters themselves seven, which two do not divide, and six


def bowl(params, key):
    return jnp.sum((params - jnp.asarray(AIM, params.dtype)) ** 2)


def run(devices, optimizer=SIX, **settings):
    usual = {"generations": 8, "key": KEY, "progress": False}
    return snnx.evolve(bowl, START, optimizer=optimizer, devices=devices, **usual | settings)


def assert_alike(ours, theirs):
    for a, b in zip(double((ours.params, ours.best)), double((theirs.params, theirs.best)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(ours.history, theirs.history, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_there_are_two():
    assert len(TWO) == 2


@pytest.mark.parametrize("strategy", [SIX, FIVE])
@pytest.mark.parametrize("at_once", [None, 2])
def test_two_devices_find_what_one_does(strategy, at_once):
    two = run(None, strategy, at_once=at_once)
    assert_alike(two, run(ONE, strategy))
    expected = numpy_es(strategy, lambda p, _: ((p[0] - AIM) ** 2).sum(), START, 8, KEY)[-1]["after"][0]
    np.testing.assert_allclose(two.params, expected, rtol=1e-5, atol=1e-6)
    leaves = [x for x in jax.tree.leaves((two.params, two.best, two.state)) if isinstance(x, jax.Array)]
    assert {len(x.devices()) for x in leaves} == {1}


def test_a_gradient_is_the_same():
    assert_alike(run(None, optax.adam(0.1)), run(ONE, optax.adam(0.1)))


def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path):
    path = tmp_path / "run.npz"
    whole = run(TWO)
    short = run(TWO, generations=3, callbacks=[snnx.Checkpoint(path)])
    for resume in (path, short):
        again = run(TWO, resume=resume)
        assert_same_bits(again.state, whole.state)
        assert again.history == whole.history
    assert_alike(run(ONE, resume=path), whole)


def test_a_run_is_compiled_once():
    _programs._compile.cache_clear()
    with programs(2):  # the strategy's first state, and the generations
        first = run(None)
        run(None, generations=20)
        run(None, generations=20, resume=first)


def test_training_by_evolution_divides_each_batch():
    data, model = make_data(), make_model()
    strategy = TinyES(6, snnx.partition(model)[0], std=0.1)

    def fit(devices):
        return snnx.fit(
            model,
            data,
            loss=snnx.CrossEntropy(snnx.Mean()),
            optimizer=strategy,
            epochs=3,
            batch_size=8,
            key=KEY,
            devices=devices,
            progress=False,
        )

    two, one = fit(TWO), fit(ONE)
    for a, b in zip(two.history, one.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["accuracy"] == pytest.approx(b["accuracy"])
    for a, b in zip(double(snnx.partition(two.model)[0]), double(snnx.partition(one.model)[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_comes_back_is_bound_to_no_device():
    program = jax.jit(lambda params: params + 1)
    program(START)
    program(run(TWO).params)
    assert program._cache_size() == 1  # a program made for the parameters is one for the result
