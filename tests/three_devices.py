"""Training and scoring on three devices; `test_devices.py` runs these where JAX has that many."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import programs

import snnx
from snnx.train import _programs

K = jax.random.split(jax.random.key(0), 6)
ONE, THREE = jax.devices()[:1], jax.devices()
N, TIME, CHANNELS = (
    22,
    10,
    9,
)  # 22 examples in batches of 8: neither number divides by three, and the last batch is short


def make_data(layout="bits", mask=False):
    spikes = np.asarray(jax.random.bernoulli(K[0], 0.3, (N, TIME, CHANNELS)))
    live = np.arange(TIME) < np.linspace(4, TIME, N).round()[:, None] if mask else None
    return snnx.data.from_spikes(spikes, np.arange(N) % 3, sample_shape=(CHANNELS,), layout=layout, mask=live)


def make_model(dropout=0.0):
    return snnx.Sequential(
        [
            eqx.nn.Linear(CHANNELS, 7, key=K[1]),
            snnx.LIF(tau=snnx.Positive(jnp.full(7, 5.0)), threshold=0.5),
            eqx.nn.Dropout(dropout),
            snnx.Recurrent(snnx.LIF(5.0, threshold=0.5), eqx.nn.Linear(7, 7, key=K[2])),
            eqx.nn.Linear(7, 3, key=K[3]),
            snnx.LI(5.0),
        ]
    )


def run(devices, data=None, model=None, **settings):
    data = make_data() if data is None else data
    given = {
        "loss": snnx.CrossEntropy(snnx.Mean()) + 0.1 * snnx.UpperRate(0.1),
        "optimizer": optax.adam(1e-2),
        "epochs": 3,
        "batch_size": 8,
        "key": K[4],
        "progress": False,
    }
    return snnx.fit(make_model() if model is None else model, data, devices=devices, **given | settings)


def arrays(result):
    leaves = jax.tree.leaves(eqx.filter((result.model, result.state), eqx.is_array))
    return [jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]


def assert_alike(ours, theirs):
    for a, b in zip(arrays(ours), arrays(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(ours.history, theirs.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["accuracy"] == pytest.approx(b["accuracy"])


def test_there_are_three():
    assert len(THREE) == 3
    assert snnx.use_cores(3) == 3
    with pytest.raises(RuntimeError, match=r"\buse_cores\b"):
        snnx.use_cores(2)


@pytest.mark.parametrize(("layout", "mask"), [("bits", False), ("lists", True)])
def test_three_devices_train_as_one_does(layout, mask):
    data = make_data(layout, mask)
    three = run(None, data, validation=data)
    assert_alike(three, run(ONE, data, validation=data))
    assert {len(x.devices()) for x in arrays(three)} == {1}


def test_what_is_random_is_drawn_alike():
    ours, theirs, other = (run(d, model=make_model(0.4), key=k) for d, k in ((THREE, K[4]), (ONE, K[4]), (ONE, K[5])))
    assert_alike(ours, theirs)
    assert abs(ours.history[0]["loss"] - other.history[0]["loss"]) > 1e-3


def test_two_of_three_devices():
    assert_alike(run(THREE[1:]), run(ONE))


def test_scores_are_those_of_one_device():
    data, model = make_data(), make_model()
    ours, theirs = (snnx.evaluate(model, data, batch_size=8, devices=d) for d in (None, ONE))
    np.testing.assert_array_equal(ours.predictions, theirs.predictions)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-5)
    assert ours.spike_rates == pytest.approx(theirs.spike_rates)
    assert ours.examples == N


def test_scores_with_progress_are_those_without():
    data, model = make_data(), make_model()
    quiet, shown = (snnx.evaluate(model, data, batch_size=4, progress=progress) for progress in (False, True))
    np.testing.assert_array_equal(quiet.losses, shown.losses)


def run_ensemble(devices, count, data=None, **settings):
    models = snnx.parameters.init_ensemble(
        lambda key, scale: eqx.tree_at(lambda m: m.layers[0].weight, make_model(), replace_fn=lambda w: scale * w),
        jax.random.split(K[5], count),
        jnp.linspace(0.5, 2.0, count),
    )
    given = {
        "loss": snnx.CrossEntropy(snnx.Mean()),
        "optimizer": optax.adam,
        "sweep": jnp.linspace(1e-3, 2e-2, count),
        "epochs": 2,
        "batch_size": 8,
        "key": K[4],
        "progress": False,
    }
    data = make_data() if data is None else data
    return snnx.fit_ensemble(models, data, devices=devices, **given | settings)


@pytest.mark.parametrize("count", [3, 4])  # of four members two devices have two each
def test_members_are_divided_among_devices(count, tmp_path):
    data, path = snnx.data.stream(make_data(), 12), tmp_path / "state"
    ours, theirs = (run_ensemble(d, count, data, validation=data) for d in (None, ONE))
    for a, b in zip(*(jax.tree.leaves(eqx.filter(r.models, eqx.is_array)) for r in (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(ours.history, theirs.history, strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5)
    assert {len(x.devices()) for x in jax.tree.leaves(eqx.filter(ours.models, eqx.is_array))} == {1}
    run_ensemble(None, count, data, validation=data, epochs=1, callbacks=[snnx.Checkpoint(path)])
    again = run_ensemble(None, count, data, validation=data, resume=path)
    for a, b in zip(*(jax.tree.leaves(eqx.filter(r.models, eqx.is_array)) for r in (ours, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_ensemble_is_compiled_once():
    _programs._compile.cache_clear()
    with programs(2):
        first = run_ensemble(None, 3, validation=make_data())
        run_ensemble(None, 3, validation=make_data(), epochs=3, resume=first)


def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path):
    path = tmp_path / "state"
    whole = run(THREE, validation=make_data())
    run(THREE, validation=make_data(), epochs=2, callbacks=[snnx.Checkpoint(path)])
    again = run(THREE, validation=make_data(), resume=path)
    assert all(map(jnp.array_equal, arrays(whole), arrays(again)))
    assert_alike(run(ONE, validation=make_data(), resume=path), whole)


def test_everything_is_compiled_once():
    data = make_data()
    _programs._compile.cache_clear()
    with programs(2):
        first = run(None, data, validation=data)
        run(None, data, validation=data)
        run(None, data, validation=data, epochs=4, resume=first)


def test_a_step_that_is_not_finite_is_found_on_whichever_device_it_is():
    model = eqx.tree_at(lambda m: m.layers[4].weight, make_model(), jnp.full((3, 7), 1e38))
    with pytest.raises(snnx.NonFiniteError, match=r"epoch 1, step 1"):
        run(None, model=model)


def test_devices_are_checked():
    with pytest.raises(TypeError, match=r"\bdevices\b"):
        run("cpu")
    with pytest.raises(ValueError, match=r"\bdevices\b"):
        run([THREE[0], THREE[0]])
    with pytest.raises(ValueError, match=r"\bdevices\b"):
        snnx.evaluate(make_model(), make_data(), devices=[])
