"""Tiny data sets and models, shared by the tests of data, training, checkpoints, pictures and the command line.

With them a forward pass in plain NumPy loops, in double precision, that knows nothing of cells, chunks or schedules.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import snnx
from snnx.data import SpikeDataset

EXAMPLES, STEPS, FEATURES, HIDDEN, CLASSES = 23, 6, 5, 7, 3
TAU, THRESHOLD, READOUT_TAU = 4.0, 1.0, 8.0


def make_arrays(n: int = EXAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spikes `uint8[n, STEPS, FEATURES]`, whose rate per channel depends on the class, and labels `int[n]`."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % CLASSES)
    rates = np.random.default_rng(99).uniform(0.1, 0.9, (CLASSES, FEATURES))
    return (rng.uniform(size=(n, STEPS, FEATURES)) < rates[labels][:, None]).astype(np.uint8), labels


def make_mask(n: int = EXAMPLES, seed: int = 0) -> np.ndarray:
    """Sequences of 2 to `STEPS` steps: `bool[n, STEPS]`, False at the padding behind them."""
    lengths = np.random.default_rng(seed + 1).integers(2, STEPS + 1, n)
    return np.arange(STEPS) < lengths[:, None]


def make_data(n: int = EXAMPLES, seed: int = 0, *, masked: bool = False) -> SpikeDataset:
    """A classification task, as packed bits."""
    spikes, labels = make_arrays(n, seed)
    mask = make_mask(n, seed) if masked else None
    classes = [f"class {i}" for i in range(CLASSES)]
    return snnx.data.from_spikes(spikes, labels, sample_shape=(FEATURES,), classes=classes, mask=mask)


def make_regression(n: int = EXAMPLES, seed: int = 0) -> SpikeDataset:
    """A regression task with `CLASSES` outputs, on currents."""
    rng = np.random.default_rng(seed)
    currents = rng.normal(0.3, 1.0, (n, STEPS, FEATURES)).astype(np.float32)
    targets = np.stack([currents[:, :, i].mean(axis=1) for i in range(CLASSES)], axis=1)
    return snnx.data.from_currents(currents, targets, sample_shape=(FEATURES,))


def make_model(seed: int = 0, *, tau: object = TAU, surrogate: object = None, between: tuple = ()) -> snnx.Sequential:
    """Linear, LIF, (what is put between,) Linear, LI: with weights large enough for spikes."""
    key_in, key_out = jax.random.split(jax.random.key(seed))
    first = eqx.nn.Linear(FEATURES, HIDDEN, key=key_in)
    first = eqx.tree_at(lambda layer: layer.weight, first, 2.0 * first.weight)
    lif = snnx.LIF(tau=tau, threshold=THRESHOLD, surrogate=surrogate or snnx.surrogates.ATan())
    return snnx.Sequential(
        [first, lif, *between, eqx.nn.Linear(HIDDEN, CLASSES, key=key_out), snnx.LI(tau=READOUT_TAU)]
    )


def fit(model: object = None, data: SpikeDataset | None = None, **settings: object) -> snnx.train.FitResult:
    """`snnx.fit` with settings for tests, each of which may be given otherwise."""
    usual = {
        "loss": snnx.CrossEntropy(snnx.Mean()),
        "optimizer": optax.adam(1e-2),
        "epochs": 1,
        "batch_size": 8,
        "key": jax.random.key(7),
        "progress": False,
    }
    return snnx.fit(make_model() if model is None else model, make_data() if data is None else data, **usual | settings)


def numpy_forward(model: snnx.Sequential, spikes: np.ndarray, steps: int = STEPS) -> tuple[np.ndarray, float]:
    """The readout's mean over the first `steps` of one example, and the hidden spikes per neuron and step, in float64.

    `model` is one of `make_model`'s; weights and tau are read from it, the equations are written out here.
    """
    first, lif, *_, last, _ = model.layers
    w_in, b_in, w_out, b_out = (np.float64(x) for x in (first.weight, first.bias, last.weight, last.bias))
    keep, keep_out = np.exp(-1.0 / np.float64(lif.tau)), np.exp(-1.0 / READOUT_TAU)
    v, out = np.zeros(HIDDEN), np.zeros(CLASSES)
    total, fired = np.zeros(CLASSES), 0.0
    for x in np.float64(spikes[:steps]):
        v = keep * v + w_in @ x + b_in
        s = (v > THRESHOLD).astype(float)
        v = v - s * THRESHOLD
        out = keep_out * out + w_out @ s + b_out
        total, fired = total + out, fired + s.mean()
    return total / steps, fired / steps


def numpy_cross_entropy(logits: np.ndarray, label: int) -> float:
    """Of one example."""
    shifted = logits - logits.max()
    return float(np.log(np.exp(shifted).sum()) - shifted[label])


def assert_same_bits(got: object, expected: object) -> None:
    """Two PyTrees of equal structure whose arrays are equal bit for bit (NaN included); keys by their data."""
    got_leaves, expected_leaves = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got_leaves) == len(expected_leaves)
    for g, e in zip(got_leaves, expected_leaves, strict=True):
        if eqx.is_array(g) and jnp.issubdtype(g.dtype, jax.dtypes.prng_key):
            assert str(jax.random.key_impl(g)) == str(jax.random.key_impl(e))
            g, e = jax.random.key_data(g), jax.random.key_data(e)
        if hasattr(g, "dtype"):
            g, e = np.asarray(g), np.asarray(e)
            assert (g.dtype, g.shape) == (e.dtype, e.shape)
            assert g.tobytes() == e.tobytes()
        else:
            assert g == e


def differs(a: object, b: object) -> bool:
    """Whether any array of two PyTrees differs."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(not np.array_equal(x, y) for x, y in pairs if eqx.is_inexact_array(x))


def scored(loss, accuracy=None):
    """An `Evaluation` with this loss and accuracy, of no examples."""
    return snnx.train.Evaluation(
        loss=loss,
        accuracy=accuracy,
        examples=0,
        spike_rates={},
        predictions=None,
        confusion=None,
        losses=np.zeros(0),
        seconds=0.0,
    )
