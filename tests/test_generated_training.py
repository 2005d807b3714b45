"""Generated tasks as a whole: the library's losses train on them, keys decide them, wrong sizes are refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import snnx
from snnx.data import generated as tasks

pytestmark = pytest.mark.slow  # nearly all of it is compiling

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


@pytest.mark.parametrize("name", SMALL)
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
    (lambda: tasks.yin_yang("tset"), r"yin_yang: there is no split 'tset'. Did you mean 'test'\?"),
    (lambda: tasks.yin_yang(encoding="rate"), r"yin_yang: there is no encoding 'rate'"),
    (lambda: tasks.yin_yang(steps=0), r"yin_yang: steps is 0, expected a whole number >= 1"),
    (lambda: tasks.yin_yang(dt=0.0), r"yin_yang: dt is 0.0, expected a positive number"),
    (lambda: tasks.yin_yang(steps=40), r"yin_yang: t_late is 40.0, but 40 steps of 1.0 hold spikes at 0 to 39.0"),
    (lambda: tasks.yin_yang(t_early=-1.0), r"yin_yang: t_early is -1.0, but 80 steps"),
    (lambda: tasks.yin_yang(t_bias=80.0), r"yin_yang: t_bias is 80.0, but 80 steps"),
    (lambda: tasks.yin_yang(t_early=5.0, t_late=5.0), r"t_early is 5.0 and t_late 5.0; expected t_early < t_late"),
    (lambda: tasks.yin_yang(encoding="current", t_bias=1.0), r"t_bias is the time of a spike"),
    (lambda: tasks.yin_yang_points(0, 1), r"yin_yang_points: size is 0"),
    (lambda: tasks.yin_yang_points(5, -1), r"yin_yang_points: seed is -1, expected a whole number >= 0"),
    (lambda: tasks.yin_yang_points(5, 1, 0.3), r"r_small is 0.3 and r_big 0.5; expected r_small < r_big / 2"),
    (lambda: tasks.randman(nb_units=0), r"randman: nb_units is 0"),
    (lambda: tasks.randman(nb_samples=1), r"randman: nb_samples is 1, expected a whole number >= 2"),
    (lambda: tasks.randman(alpha=0.0), r"randman: alpha is 0.0, expected a positive number"),
    (lambda: tasks.randman(step_frac=1.5), r"randman: step_frac is 1.5, expected at most 1"),
    (lambda: tasks.random_patterns(freq=2000.0), r"random_patterns: freq is 2000.0 Hz and dt 0.001 s: more than one"),
    (lambda: tasks.random_patterns(nb_samples=True), r"random_patterns: nb_samples is True"),
    (lambda: tasks.store_recall(symbols=1), r"store_recall: symbols is 1, expected a whole number >= 2"),
    (lambda: tasks.store_recall(inputs=3), r"store_recall: inputs is 3, expected a whole number >= 4"),
    (lambda: tasks.store_recall(rate=-1.0), r"store_recall: rate is -1.0, expected a positive number"),
    (lambda: tasks.delayed_match_to_sample(cues=1), r"delayed_match_to_sample: cues is 1"),
    (lambda: tasks.delayed_match_to_sample(inputs=7), r"inputs is 7 and cues 8; expected an input for each cue"),
    (lambda: tasks.mackey_glass(horizon=0), r"mackey_glass: horizon is 0"),
    (lambda: tasks.mackey_glass(tau=16.5), r"mackey_glass_series: tau is 16.5, for which there are no defaults"),
    (lambda: tasks.mackey_glass_series(tau=31.0, interval=1.0), r"tau is 31.0, for which there are no defaults"),
    (lambda: tasks.mackey_glass_series(9, initial=-0.5), r"mackey_glass_series: initial is -0.5"),
    (lambda: tasks.mackey_glass_series(9, steps_per_delay=0), r"mackey_glass_series: steps_per_delay is 0"),
    (lambda: tasks.sequential_digits(key=jax.random.key(0)), r"sequential_digits: key decides the order of permuted"),
    (lambda: tasks.adding(steps=19), r"adding: steps is 19, expected a whole number >= 20"),
    (lambda: tasks.copy_memory(delay=0), r"copy_memory: delay is 0"),
    (lambda: tasks.copy_memory(symbols=1), r"copy_memory: symbols is 1, expected a whole number >= 2"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("key", "came"), [(3, "int 3"), (jax.random.split(jax.random.key(0)), r"key<fry>\[2\]")])
def test_what_is_no_key_is_refused(key, came):
    with pytest.raises((TypeError, ValueError), match=rf"adding: key is {came}, expected Key"):
        tasks.adding(key=key)
