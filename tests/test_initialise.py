"""Initial weights: the kernel of the membrane in closed form, and free membranes in NumPy with these weights."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import snnx
from snnx import surrogates
from snnx._errors import ShapeError
from snnx.layers import (
    Recurrent,
    Residual,
    Sequential,
    ThresholdNorm,
    fluctuation_driven,
    he,
    scaled_normal,
    xavier,
)
from snnx.layers._apply import _WITH_WEIGHTS
from snnx.layers._fluctuation_driven import kernel_sums
from snnx.neurons import ALIF, IF, LI, LIF, AdLIF, CubaLI, CubaLIF, NoReset, ValueReset

KEY, OTHER = jax.random.split(jax.random.key(0))


# The kernel, whose sum and energy have closed forms. A and B: what one step leaves of membrane and synapse.


def single(decay, gain=1.0):
    return gain / (1 - decay), gain**2 / (1 - decay**2)


def pair(mem, syn, gain=1.0):
    energy = (1 + mem * syn) / ((1 - mem**2) * (1 - syn**2) * (1 - mem * syn))
    return gain / ((1 - mem) * (1 - syn)), gain**2 * energy


A, B = math.exp(-1 / 20), math.exp(-1 / 5)
EXACT = 5 / (5 - 20) * (math.exp(-1 / 5) - math.exp(-1 / 20)) / (1 - A)  # r=None stands for 1 / (1 - A)

KERNELS = {
    "LIF": (LIF(20.0), single(A)),
    "LIF with r": (LIF(20.0, r=3.0), single(A, 3 * (1 - A))),
    "LIF, Euler": (LIF(20.0, method="euler"), single(0.95)),
    "LIF, other dt": (LIF(20e-3, dt=1e-3), single(A)),
    "LIF, far from zero": (LIF(20.0, threshold=-50.0, v_leak=-65.0, reset=ValueReset(-70.0)), single(A)),
    "LIF, slow": (LIF(5000.0, v_leak=-65.0, threshold=-50.0), single(math.exp(-1 / 5000))),
    "LIF that would fire": (LIF(20.0, threshold=0.01, refractory=3, surrogate=surrogates.StraightThrough()), single(A)),
    "LIF without reset": (LIF(20.0, threshold=0.01, reset=NoReset()), single(A)),
    "LIF that escapes": (LIF(20.0, surrogate=surrogates.StochasticEscape()), single(A)),
    "LIF, half precision": (LIF(jnp.asarray(20.0, jnp.bfloat16)), single(A)),
    "LI": (LI(20.0, r=0.5), single(A, 0.5 * (1 - A))),
    "CubaLIF": (CubaLIF(20.0, 5.0), pair(A, B)),
    "CubaLIF with r and w_in": (CubaLIF(20.0, 5.0, r=2.0, w_in=3.0), pair(A, B, 6 * (1 - A) * (1 - B))),
    "CubaLIF, equal": (CubaLIF(20.0, 20.0), pair(A, A)),
    "CubaLIF, Euler": (CubaLIF(20.0, 5.0, method="euler"), pair(0.95, 0.8)),
    "CubaLIF, exact": (CubaLIF(20.0, 5.0, method="exact"), pair(A, B, EXACT)),
    "ALIF": (ALIF(20.0, strength=1.0, threshold=0.01), single(A)),
    "CubaLI": (CubaLI(20.0, 5.0), pair(A, B)),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "LIF" else pytest.mark.slow) for n in KERNELS])
def test_the_kernel_of_the_membrane_has_its_closed_form(name):
    neuron, (total, energy) = KERNELS[name]
    got_total, got_energy, rest = kernel_sums(neuron, (1,))
    rounding = 5e-4 if name == "LIF, slow" else 2e-5  # tens of thousands of steps in float32
    np.testing.assert_allclose(got_total, total, rtol=rounding)
    np.testing.assert_allclose(got_energy, energy, rtol=rounding)
    np.testing.assert_array_equal(rest, getattr(neuron, "v_leak", 0.0))


@pytest.mark.slow
@pytest.mark.parametrize("coupling", ["explicit", "symplectic"])
def test_the_kernel_of_an_oscillating_pair_is_that_of_an_impulse(coupling):
    v, w, response = 1.0, 0.0, []
    lam, lam_w, a = 1 - A, 1 - math.exp(-1 / 60), 12.0
    w += lam_w * (a * v * (coupling == "symplectic") - w)
    for _ in range(5000):
        response.append(v)
        before, v = v, v - lam * (v + w)
        w += lam_w * (a * (v if coupling == "symplectic" else before) - w)
    assert min(response) < -0.05  # it oscillates
    everywhere = surrogates.StraightThrough()  # a pseudo-derivative that is 1 however far the threshold
    neuron = AdLIF(20.0, 60.0, a, v_leak=-70.0, threshold=-60.0, surrogate=everywhere, coupling=coupling)
    total, energy, _ = kernel_sums(neuron, (1,))
    np.testing.assert_allclose(total, np.sum(response), rtol=1e-4)
    np.testing.assert_allclose(energy, np.sum(np.square(response)), rtol=1e-4)


def test_every_neuron_has_a_kernel_of_its_own():
    taus = np.array([2.0, 20.0, 300.0])
    total, energy, _ = kernel_sums(LIF(snnx.Positive(jnp.asarray(taus, jnp.float32))), (3,))
    np.testing.assert_allclose(total, 1 / (1 - np.exp(-1 / taus)), rtol=1e-4)
    np.testing.assert_allclose(energy, 1 / (1 - np.exp(-2 / taus)), rtol=1e-4)


def test_a_membrane_that_does_not_forget_or_does_not_answer_is_refused():
    with pytest.raises(ValueError, match=r"\bIF\b"):
        kernel_sums(IF(), (1,))
    with pytest.raises(ValueError, match=r"\bLIF\b"):
        kernel_sums(LIF(r=0.0), (1,))


# Free membranes, in NumPy, with the weights that come out.


def free_membrane(neuron, drive):
    """The membrane of a LIF or CubaLIF that never fires, `[time, neurons]`, in float64; the start is left out."""
    v = np.full(drive.shape[1:], float(neuron.v_leak))
    i, out = np.zeros_like(v), []
    cuba = isinstance(neuron, CubaLIF)
    mem = np.exp(-neuron.dt / (neuron.tau_mem if cuba else neuron.tau))
    syn = np.exp(-neuron.dt / neuron.tau_syn) if cuba else 0.0
    for x in drive:
        i = syn * i + x
        v = v + (1 - mem) * (neuron.v_leak - v) + (1.0 if neuron.r is None else neuron.r * (1 - mem)) * i
        out.append(v)
    return np.array(out)[200:]


def spikes(p, steps, inputs, seed=0):
    return (np.random.default_rng(seed).random((steps, inputs)) < p).astype(np.float64)


def check_free_membrane(v, mean, sigma, weights, p, total):
    """Mean over time and neurons, and the variance over time, averaged over neurons; both within sampling error."""
    quenched = float(np.std(weights)) * p * total * math.sqrt(weights.shape[1] / weights.shape[0])
    assert abs(v.mean() - mean) < 4 * quenched + 0.02 * abs(sigma)
    np.testing.assert_allclose(np.sqrt(v.var(axis=0).mean()), sigma, rtol=0.04)


N_IN, N_OUT, STEPS = 200, 300, 3200
MEMBRANES = {
    "LIF": (LIF(10.0), 0.05, {}, (0.0, 1.0)),
    "LIF, xi": (LIF(10.0, threshold=2.0), 0.02, {"xi": 2.5}, (0.0, 0.8)),
    "LIF, mean": (LIF(10.0), 0.05, {"mean": 0.5, "sigma": 0.4}, (0.5, 0.4)),
    "LIF, mean and xi": (LIF(10.0), 0.1, {"mean": -0.5, "xi": 3.0}, (-0.5, 0.5)),
    "LIF, millivolts": (LIF(10e-3, -50.0, 5.0, -65.0, dt=1e-3), 40.0, {"mean": 5.0, "xi": 2.0}, (-60.0, 5.0)),
    "LIF, busy": (LIF(10.0), 0.6, {"sigma": 0.7}, (0.0, 0.7)),
    "CubaLIF": (CubaLIF(10.0, 5.0), 0.03, {"mean": 0.2, "xi": 2.0}, (0.2, 0.4)),
    "CubaLIF, r": (CubaLIF(10.0, 5.0, r=2.0), 0.03, {"sigma": 1.0}, (0.0, 1.0)),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "LIF" else pytest.mark.slow) for n in MEMBRANES])
def test_the_free_membrane_has_the_mean_and_the_fluctuations_asked_for(name):
    neuron, rate, options, (mean, sigma) = MEMBRANES[name]
    layer = fluctuation_driven(eqx.nn.Linear(N_IN, N_OUT, key=KEY), neuron, rate=rate, key=OTHER, **options)
    weights, p = np.asarray(layer.weight, np.float64), rate * neuron.dt
    assert not np.any(layer.bias)
    v = free_membrane(neuron, spikes(p, STEPS, N_IN) @ weights.T)
    check_free_membrane(v, mean, sigma, weights, p, float(kernel_sums(neuron, (1,))[0][0]))


@pytest.mark.slow
def test_neurons_with_time_constants_and_thresholds_of_their_own_get_weights_of_their_own():
    taus, thresholds = jnp.repeat(jnp.asarray([3.0, 10.0, 30.0]), 100), jnp.tile(jnp.asarray([0.5, 1.0, 2.0]), 100)
    layer = eqx.nn.Linear(N_IN, 300, use_bias=False, key=KEY)
    layer = fluctuation_driven(layer, LIF(taus, thresholds), rate=0.05, key=OTHER)
    drive = spikes(0.05, STEPS, N_IN) @ np.asarray(layer.weight, np.float64).T
    for tau in (3.0, 10.0, 30.0):
        for threshold in (0.5, 1.0, 2.0):
            group = np.asarray((taus == tau) & (thresholds == threshold))
            v = free_membrane(LIF(tau), drive[:, group])
            np.testing.assert_allclose(np.sqrt(v.var(axis=0).mean()), threshold, rtol=0.12)


@pytest.mark.slow
def test_a_convolution_counts_its_receptive_field():
    conv = eqx.nn.Conv2d(4, 32, 5, groups=2, key=KEY)
    layer = fluctuation_driven(conv, LIF(10.0), rate=0.05, key=OTHER, xi=2.0)
    maps = spikes(0.05, 1200, 4 * 36).reshape(-1, 2, 2, 6, 6)  # time, group, channel, height, width
    windows = np.lib.stride_tricks.sliding_window_view(maps, (5, 5), axis=(3, 4))
    weight = np.asarray(layer.weight, np.float64).reshape(2, 16, 2, 5, 5)
    drive = np.einsum("tgcijab,gocab->tgoij", windows, weight, optimize=True).reshape(1200, -1)
    np.testing.assert_allclose(np.sqrt(free_membrane(LIF(10.0), drive).var(axis=0).mean()), 0.5, rtol=0.05)
    expected = math.sqrt(0.25 / (2 * 25 * 0.05 * 0.95) * (1 - math.exp(-0.2)))
    np.testing.assert_allclose(np.std(layer.weight), expected, rtol=0.03)
    for neuron in (LIF(jnp.full((32, 1, 1), 10.0)), LIF(jnp.full((1, 2, 2), 10.0)), LIF(jnp.full((32, 2, 2), 10.0))):
        again = fluctuation_driven(conv, neuron, rate=0.05, key=OTHER, xi=2.0)
        np.testing.assert_allclose(again.weight, layer.weight, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "alpha"), [(0.0, 0.9), (0.3, 0.7), (0.0, 1.0)])
def test_a_recurrent_shares_the_variance_between_input_and_feedback(mean, alpha):
    neuron, p = LIF(10.0), 0.05
    model = Sequential([eqx.nn.Linear(N_IN, 100, key=KEY), Recurrent(neuron, eqx.nn.Linear(100, 100, key=OTHER))])
    model = fluctuation_driven(model, rate=p, key=KEY, mean=mean, sigma=0.5, alpha=alpha)
    forward, back = (np.asarray(w, np.float64) for w in (model[0].weight, model[1].feedback.weight))
    assert not np.any(model[0].bias)
    assert not np.any(model[1].feedback.bias)
    # Feedback as the theory has it: independent spikes of the same rate.
    from_input, from_feedback = spikes(p, STEPS, N_IN) @ forward.T, spikes(p, STEPS, 100, seed=1) @ back.T
    both = np.concatenate([forward, back], axis=1)
    v = free_membrane(neuron, from_input + from_feedback)
    check_free_membrane(v, mean, 0.5, both, p, 1 / (1 - math.exp(-0.1)))
    for drive, share in ((from_input, alpha), (from_feedback, 1 - alpha)):
        variance = free_membrane(neuron, drive).var(axis=0).mean()
        np.testing.assert_allclose(variance / 0.25, share, rtol=0.1, atol=1e-6)


# Whole models.


def make_model(key=KEY):
    k = jax.random.split(key, 7)
    return Sequential(
        [
            eqx.nn.Linear(60, 50, key=k[0]),
            LIF(10.0),
            Residual(Sequential([eqx.nn.Linear(50, 50, key=k[1]), CubaLIF(10.0, 4.0)])),
            eqx.nn.Linear(50, 50, key=k[2]),
            ThresholdNorm(50),
            LIF(10.0),
            eqx.nn.Linear(50, 40, key=k[3]),
            Recurrent(LIF(10.0), eqx.nn.Linear(40, 40, key=k[4])),
            eqx.nn.Linear(40, 10, key=k[5]),
            LI(10.0),
            eqx.nn.Linear(10, 3, key=k[6]),
        ]
    )


@pytest.mark.slow
def test_a_whole_model_is_set_pair_by_pair_and_the_rest_stays():
    before = make_model()
    after = fluctuation_driven(before, rate=0.05, key=OTHER, sigma=0.5)
    assert jax.tree.structure(after) == jax.tree.structure(before)
    for untouched in (3, 4, 5, 10):
        assert eqx.tree_equal(after[untouched], before[untouched])
    assert eqx.tree_equal(before, make_model())  # what came in stays as it was
    alone = {
        "0": (after[0], before[0], LIF(10.0)),
        "2": (after[2].body[0], before[2].body[0], CubaLIF(10.0, 4.0)),
        "8": (after[8], before[8], LI(10.0)),
    }
    for name, (layer, old, neuron) in alone.items():
        expected = fluctuation_driven(old, neuron, rate=0.05, key=OTHER, sigma=0.5)
        np.testing.assert_allclose(np.std(layer.weight), np.std(expected.weight), rtol=0.12, err_msg=name)
        assert not np.any(layer.bias)
    recurrent = Sequential([before[6], before[7]])
    expected = fluctuation_driven(recurrent, rate=0.05, key=KEY, sigma=0.5)
    np.testing.assert_allclose(np.std(after[6].weight), np.std(expected[0].weight), rtol=0.1)
    np.testing.assert_allclose(np.std(after[7].feedback.weight), np.std(expected[1].feedback.weight), rtol=0.1)


def test_networks_start_with_spikes_in_every_layer():
    k = jax.random.split(KEY, 4)
    layers = [part for i in range(4) for part in (eqx.nn.Linear(100, 100, key=k[i]), LIF(10.0))]
    model = fluctuation_driven(Sequential(layers), rate=0.05, key=OTHER)
    xs = jnp.asarray(spikes(0.05, 200, 100), jnp.float32)
    _, _, rates = eqx.filter_jit(snnx.simulate)(model, xs, record={str(i): snnx.Mean() for i in (1, 3, 5, 7)})
    for path, rate in rates.items():
        assert 0.01 < float(rate.mean()) < 0.2, path


@pytest.mark.slow
def test_an_ensemble_of_initialised_models_is_a_vmap_away():
    def make(key):
        k1, k2, k3 = jax.random.split(key, 3)
        neuron = LIF(snnx.Positive(snnx.parameters.log_uniform(k1, (6,), 5.0, 50.0)))
        return fluctuation_driven(eqx.nn.Linear(8, 6, key=k2), neuron, rate=0.05, key=k3)

    keys = jax.random.split(KEY, 2)
    together = eqx.filter_jit(eqx.filter_vmap(make))(keys)
    for i, key in enumerate(keys):
        np.testing.assert_allclose(together.weight[i], make(key).weight, rtol=1e-4)


# He, Glorot, LeCun.

RULES = {
    "scaled_normal": (scaled_normal, lambda n_in, n_out: 1 / n_in),
    "he": (he, lambda n_in, n_out: 2 / n_in),
    "xavier": (xavier, lambda n_in, n_out: 2 / (n_in + n_out)),
}
WEIGHTED = {
    "Linear": (lambda: eqx.nn.Linear(150, 100, key=KEY), 150, 100),
    "Conv1d": (lambda: eqx.nn.Conv1d(20, 60, 7, key=KEY), 140, 420),
    "Conv2d": (lambda: eqx.nn.Conv2d(20, 40, 3, use_bias=False, key=KEY), 180, 360),
    "Conv3d in groups": (lambda: eqx.nn.Conv3d(20, 80, 2, groups=4, key=KEY), 40, 160),
}


@pytest.mark.parametrize("layer", WEIGHTED)
def test_weights_are_normal_with_the_published_variance(layer):
    make, n_in, n_out = WEIGHTED[layer]
    before = make()
    for initialise, variance in RULES.values():
        after = initialise(before, key=OTHER, scale=1.5)
        w = np.asarray(after.weight, np.float64).ravel()
        sigma, error = 1.5 * math.sqrt(variance(n_in, n_out)), 1 / math.sqrt(w.size)
        assert abs(w.mean()) < 4 * sigma * error
        np.testing.assert_allclose(w.std(), sigma, rtol=4 * error / math.sqrt(2))
        np.testing.assert_allclose(np.mean(w**4) / sigma**4, 3.0, rtol=4 * math.sqrt(96) * error / 3)  # of a normal
        assert after.bias is None if before.bias is None else not np.any(after.bias)
        assert jax.tree.structure(after) == jax.tree.structure(before)
        np.testing.assert_array_equal(initialise(before, key=OTHER, scale=1.5).weight, after.weight)
        assert not np.any(initialise(before, key=KEY).weight == after.weight)
    assert eqx.tree_equal(before, make())  # what came in stays as it was


def test_a_whole_model_gets_new_weights_in_every_layer_and_nowhere_else():
    before = make_model()
    after = he(before, key=OTHER)
    old, new = (list(filter(_is_linear, jax.tree.leaves(m, is_leaf=_is_linear))) for m in (before, after))
    assert len(old) == len(new) == 7
    for was, becomes in zip(old, new, strict=True):
        assert not np.any(was.weight == becomes.weight)
        assert not np.any(becomes.bias)
    assert not np.any(after[2].body[0].weight == after[3].weight)  # a key for each
    assert eqx.tree_equal(after[4], before[4])
    assert eqx.tree_equal(after[1], before[1])


def _is_linear(part):
    return isinstance(part, eqx.nn.Linear)


def test_the_dtype_of_the_weights_is_kept():
    layer = snnx.cast(eqx.nn.Linear(100, 50, key=KEY), "bfloat16")
    for new in (he(layer, key=OTHER), fluctuation_driven(layer, LIF(10.0), rate=0.05, key=OTHER)):
        assert new.weight.dtype == new.bias.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(he(layer, key=OTHER).weight, np.float64).std(), math.sqrt(0.02), rtol=0.05)


# Messages.


def linear(n_out=4):
    return eqx.nn.Linear(5, n_out, key=KEY)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 60.0},
        {"rate": 0.0},
        {"xi": 1.0, "sigma": 1.0},
        {"xi": -1.0},
        {"sigma": math.inf},
        {"mean": math.nan},
        {"mean": 1.5},
        {"mean": 0.9, "sigma": 0.01},
        {"alpha": 0.0},
    ],
)
def test_targets_that_cannot_be_reached_are_refused(options):
    with pytest.raises(ValueError, match=rf"\b{next(iter(options))}\b"):
        fluctuation_driven(linear(), LIF(), **{"rate": 0.05, "key": KEY} | options)


def test_a_target_out_of_reach_is_refused_inside_jit_too():
    def make(tau):
        return fluctuation_driven(linear(), LIF(tau), rate=0.05, key=KEY, mean=0.9, sigma=0.01).weight

    with pytest.raises(Exception, match=r"\bmean\b"):
        jax.block_until_ready(jax.jit(make)(jnp.asarray(10.0)))


def test_parts_of_the_wrong_kind_are_refused():
    options = {"rate": 0.05, "key": KEY}
    cases = [
        ((linear(),), "model"),
        ((jnp.tanh, LIF()), "layer"),
        ((linear(), linear()), "neuron"),
        ((linear(), Recurrent(LIF(), linear())), "neuron"),
        ((Sequential([linear(), jnp.tanh]),), "model"),
        ((Sequential([linear(), Recurrent(LIF(), jnp.tanh)]),), "feedback"),
    ]
    for arguments, name in cases:
        with pytest.raises(TypeError, match=rf"\b{name}\b"):
            fluctuation_driven(*arguments, **options)
    with pytest.raises(ShapeError, match=r"\btau\b"):
        fluctuation_driven(linear(), LIF(jnp.ones(3)), **options)
    for rule in (he, xavier, scaled_normal):
        with pytest.raises(TypeError, match=r"\bmodel\b"):
            rule(LIF(), key=KEY)
        with pytest.raises(TypeError, match=r"\bkey\b"):
            rule(linear(), key=0)
        for scale in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match=r"\bscale\b"):
                rule(linear(), key=KEY, scale=scale)


# Layers of other classes.


class Own(eqx.Module):
    """A layer of one's own that says that it has weights, and one of somebody else's that cannot."""

    weight: jax.Array
    bias: jax.Array
    has_weights: ClassVar[bool] = True

    def __call__(self, x):
        return self.weight @ x + self.bias


class Theirs(eqx.Module):
    weight: jax.Array
    bias: None = None

    def __call__(self, x):
        return self.weight @ x


@pytest.fixture
def theirs_is_registered():
    assert snnx.layers.register_weights(Theirs) is Theirs
    yield
    _WITH_WEIGHTS.remove(Theirs)


@pytest.mark.usefixtures("theirs_is_registered")
@pytest.mark.parametrize("kind", [Own, Theirs])
def test_a_layer_of_another_class_goes_everywhere_that_a_linear_goes(kind):
    own, layer = kind(jnp.ones((6, 5)), jnp.ones(6) if kind is Own else None), eqx.nn.Linear(5, 6, key=KEY)
    for new, same in (
        (he(own, key=KEY), he(layer, key=KEY)),
        (fluctuation_driven(own, LIF(), rate=0.1, key=KEY), fluctuation_driven(layer, LIF(), rate=0.1, key=KEY)),
    ):
        np.testing.assert_array_equal(new.weight, same.weight)
    assert not np.any(he(own, key=KEY).bias if kind is Own else 0.0)

    # As feedback: the weights' gradient is one product, with the same numbers.
    square = kind(0.5 * jnp.eye(5), jnp.zeros(5) if kind is Own else None)
    same = eqx.tree_at(lambda layer: layer.weight, eqx.nn.Linear(5, 5, use_bias=False, key=KEY), 0.5 * jnp.eye(5))
    xs = jax.random.normal(OTHER, (7, 5)) + 0.5

    def slope(feedback):
        return jax.grad(lambda w: loss(eqx.tree_at(lambda layer: layer.weight, feedback, w)))(feedback.weight)

    def loss(feedback):
        return jnp.sum(snnx.simulate(Recurrent(LIF(4.0), feedback), xs)[0] ** 2)

    np.testing.assert_allclose(slope(square), slope(same), rtol=1e-5, atol=1e-6)
    assert np.abs(slope(same)).max() > 0.01

    # Before a neuron: what it gives is kept, and not computed again.
    def products(keep):
        weight = jnp.ones((6, 5))

        def total(weight):
            model = Sequential([eqx.tree_at(lambda layer: layer.weight, own, weight), LIF(tau=jnp.full(6, 5.0))])
            return jnp.sum(snnx.simulate(model, xs, chunk=4, keep=keep)[0])

        return str(jax.make_jaxpr(jax.grad(total))(weight)).count("dot_general")

    assert products("membranes") == products("all") < products("borders")


@pytest.mark.usefixtures("theirs_is_registered")
def test_a_class_is_registered_once():
    for kind in (Theirs, eqx.nn.Linear):
        with pytest.raises(ValueError, match=rf"\b{kind.__name__}\b"):
            snnx.layers.register_weights(kind)
    with pytest.raises(TypeError, match=r"\bkind\b"):
        snnx.layers.register_weights(Theirs(jnp.ones((2, 2))))
