"""Generated tasks as a whole: the library's losses train on them, keys decide them, wrong sizes are refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import snnx
from snnx.data import generated as tasks

CLASSIFY, LAST, TRACE = snnx.CrossEntropy(snnx.Mean()), snnx.CrossEntropy(snnx.Last()), snnx.losses.TraceMSE()

# Small versions of all tasks: how they are made, with what key, and the loss that their docstrings name.
SMALL = {
    "yin_yang": (lambda key: tasks.yin_yang("test", steps=20, t_late=18.0, t_bias=9.0), CLASSIFY),
    "randman": (
        lambda key: tasks.randman(nb_classes=2, nb_units=10, nb_steps=12, dim_manifold=1, nb_samples=12, key=key),
        CLASSIFY,
    ),
    "random_patterns": (
        lambda key: tasks.random_patterns(nb_samples=16, nb_steps=20, nb_inputs=8, freq=100.0, key=key),
        CLASSIFY,
    ),
    "store_recall": (
        lambda key: tasks.store_recall(16, symbols=3, symbol_steps=5, inputs=8, rate=400.0, key=key),
        LAST,
    ),
    "delayed_match_to_sample": (
        lambda key: tasks.delayed_match_to_sample(
            16, cues=2, cue_steps=5, delay_steps=5, inputs=6, rate=400.0, key=key
        ),
        LAST,
    ),
    "mackey_glass": (lambda key: tasks.mackey_glass(8, steps=20), TRACE),
    "sequential_digits": (
        lambda key: tasks.sequential_digits(permuted=True, key=key).subset(np.arange(64)),
        LAST,
    ),
    "adding": (lambda key: tasks.adding(32, steps=20, key=key), snnx.MSE(snnx.Last())),
    "copy_memory": (lambda key: tasks.copy_memory(16, delay=4, length=2, symbols=2, key=key), TRACE),
}
RANDOM = [name for name in SMALL if name not in ("yin_yang", "mackey_glass")]


@pytest.mark.parametrize(
    "name",
    [name if name in ("adding", "random_patterns") else pytest.param(name, marks=pytest.mark.slow) for name in SMALL],
)
def test_a_task_can_be_trained(name):
    make, loss = SMALL[name]
    data = make(jax.random.key(1))
    (inputs,), dt = data.sample_shape, data.dt
    outputs = data.targets.shape[-1] if data.num_classes is None else data.num_classes
    key_in, key_out = jax.random.split(jax.random.key(0))
    model = snnx.Sequential(
        [
            eqx.nn.Linear(inputs, 12, key=key_in),
            snnx.LIF(tau=5.0 * dt, threshold=0.3, dt=dt),
            eqx.nn.Linear(12, outputs, key=key_out),
            snnx.LI(tau=5.0 * dt, dt=dt),
        ]
    )
    result = snnx.fit(
        model,
        data.subset(np.arange(min(len(data), 64))),
        loss=loss,
        optimizer=optax.adam(1e-2),
        epochs=3,
        batch_size=8,
        key=jax.random.key(2),
        progress=False,
    )
    losses = [epoch["loss"] for epoch in result.history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", RANDOM)
def test_a_key_decides_a_task(name):
    make, _ = SMALL[name]
    first, again, other, none = (make(key) for key in (*map(jax.random.key, (0, 0, 1)), None))
    assert eqx.tree_equal(first, again)
    assert eqx.tree_equal(first, none)  # by default jax.random.key(0)
    assert not eqx.tree_equal(first.inputs, other.inputs)


@pytest.mark.parametrize("name", ["randman", "adding"])
def test_a_task_is_the_same_in_double_precision(name, x64):
    make, _ = SMALL[name]
    double = make(jax.random.key(0))
    with jax.enable_x64(False):
        single = make(jax.random.key(0))
    assert double.example(0).dtype == jnp.float64 or name == "randman"
    np.testing.assert_array_equal(np.float32(double.example(3)), np.float32(single.example(3)))
    np.testing.assert_array_equal(np.float32(double.targets), single.targets)


WRONG = [
    (lambda: tasks.yin_yang("tset"), "yin_yang: split"),
    (lambda: tasks.yin_yang(encoding="rate"), "yin_yang: encoding"),
    (lambda: tasks.yin_yang(steps=0), "yin_yang: steps"),
    (lambda: tasks.yin_yang(dt=0.0), "yin_yang: dt"),
    (lambda: tasks.yin_yang(steps=40), "yin_yang: t_late"),
    (lambda: tasks.yin_yang(t_early=-1.0), "yin_yang: t_early"),
    (lambda: tasks.yin_yang(t_bias=80.0), "yin_yang: t_bias"),
    (lambda: tasks.yin_yang(t_early=5.0, t_late=5.0), "yin_yang: t_early"),
    (lambda: tasks.yin_yang(encoding="current", t_bias=1.0), "yin_yang: t_bias"),
    (lambda: tasks.yin_yang_points(0, 1), "yin_yang_points: size"),
    (lambda: tasks.yin_yang_points(5, -1), "yin_yang_points: seed"),
    (lambda: tasks.yin_yang_points(5, 1, 0.3), "yin_yang_points: r_small"),
    (lambda: tasks.randman(nb_units=0), "randman: nb_units"),
    (lambda: tasks.randman(nb_samples=1), "randman: nb_samples"),
    (lambda: tasks.randman(alpha=0.0), "randman: alpha"),
    (lambda: tasks.randman(step_frac=1.5), "randman: step_frac"),
    (lambda: tasks.random_patterns(freq=2000.0), "random_patterns: freq"),
    (lambda: tasks.store_recall(symbols=1), "store_recall: symbols"),
    (lambda: tasks.store_recall(inputs=3), "store_recall: inputs"),
    (lambda: tasks.store_recall(rate=-1.0), "store_recall: rate"),
    (lambda: tasks.delayed_match_to_sample(cues=1), "delayed_match_to_sample: cues"),
    (lambda: tasks.delayed_match_to_sample(inputs=7), "delayed_match_to_sample: inputs"),
    (lambda: tasks.mackey_glass(horizon=0), "mackey_glass: horizon"),
    (lambda: tasks.mackey_glass(tau=16.5), "mackey_glass_series: tau"),
    (lambda: tasks.mackey_glass_series(tau=31.0, interval=1.0), "mackey_glass_series: tau"),
    (lambda: tasks.mackey_glass_series(9, initial=-0.5), "mackey_glass_series: initial"),
    (lambda: tasks.mackey_glass_series(9, steps_per_delay=0), "mackey_glass_series: steps_per_delay"),
    (lambda: tasks.sequential_digits(key=jax.random.key(0)), "sequential_digits: key"),
    (lambda: tasks.adding(steps=19), "adding: steps"),
    (lambda: tasks.copy_memory(delay=0), "copy_memory: delay"),
    (lambda: tasks.copy_memory(symbols=1), "copy_memory: symbols"),
]
WRONG_KINDS = [
    (lambda: tasks.yin_yang(t_bias="9"), "yin_yang: t_bias"),
    (lambda: tasks.random_patterns(nb_samples=True), "random_patterns: nb_samples"),
    (lambda: tasks.copy_memory(10.0), "copy_memory: examples"),
    (lambda: tasks.sequential_digits("yes"), "sequential_digits: permuted"),
    (lambda: tasks.adding(key=3), "adding: key"),
    (lambda: tasks.adding(key=jax.random.split(jax.random.key(0))), "adding: key"),
    (lambda: tasks.randman(key=jax.random.PRNGKey(0)), "randman: key"),
]


@pytest.mark.parametrize(("call", "named"), WRONG, ids=[named for _, named in WRONG])
def test_wrong_numbers_are_refused(call, named):
    with pytest.raises(ValueError, match=rf"^{named}\b"):
        call()


@pytest.mark.parametrize(("call", "named"), WRONG_KINDS, ids=[named for _, named in WRONG_KINDS])
def test_wrong_kinds_are_refused(call, named):
    with pytest.raises(TypeError, match=rf"^{named}\b"):
        call()
