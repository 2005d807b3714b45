"""Models on their way out: the same spikes in the format's meaning, and a reason for what it cannot say."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest

import snnx
from snnx.nir import constrain, fold_batch_norm, from_nir, to_nir

pytestmark = pytest.mark.slow  # nearly all of it is compiling

K = jax.random.split(jax.random.key(5), 10)
DT = 1e-3
VALUE = snnx.ValueReset(0.05)


def linear(fan_in, fan_out, number, **options):
    return eqx.nn.Linear(fan_in, fan_out, key=K[number], **options)


def spikes(*shape, steps=30, density=0.4, scale=1.0):
    return scale * jax.random.bernoulli(K[9], density, (steps, *shape)).astype(float)


def quietly(model, shape, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="to_nir: .* are reset by subtraction")
        return to_nir(model, shape, dt=DT, **options)


# name -> (model, shape of one step): everything that NIR can say
MODELS = {
    "neurons in steps": (
        lambda: snnx.Sequential([linear(5, 8, 0), snnx.LIF(tau=7.0, reset=VALUE), linear(8, 3, 1), snnx.LI(tau=4.0)]),
        (5,),
    ),
    "neurons in seconds": (
        lambda: snnx.Sequential(
            [linear(5, 8, 0), snnx.LIF(tau=0.007, r=2.0, v_leak=0.1, dt=DT), linear(8, 3, 1), snnx.LI(tau=0.004, dt=DT)]
        ),
        (5,),
    ),
    "Euler": (
        lambda: snnx.Sequential([linear(5, 8, 0), snnx.LIF(tau=jnp.linspace(3.0, 9.0, 8), r=4.0, method="euler")]),
        (5,),
    ),
    "subtraction": (lambda: snnx.Sequential([linear(5, 8, 0), snnx.LIF(tau=snnx.Positive(jnp.full(8, 5.0)))]), (5,)),
    "integrate and fire": (
        lambda: snnx.Sequential([linear(5, 8, 0), snnx.IF(reset=VALUE), linear(8, 4, 1), snnx.IF(r=0.5)]),
        (5,),
    ),
    "pairs": (
        lambda: snnx.Sequential(
            [
                linear(5, 8, 0),
                snnx.CubaLIF(tau_mem=6.0, tau_syn=3.0),
                linear(8, 3, 1),
                snnx.CubaLI(tau_mem=9.0, tau_syn=4.0, r=2.0, w_in=3.0),
            ]
        ),
        (5,),
    ),
    "convolutions": (
        lambda: snnx.Sequential(
            [
                eqx.nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=((1, 1), (0, 0)), use_bias=False, key=K[0]),
                snnx.LIF(tau=jnp.linspace(3.0, 9.0, 4).reshape(4, 1, 1), reset=VALUE),
                eqx.nn.Conv2d(4, 4, 3, padding="SAME", dilation=2, groups=2, key=K[1]),
                snnx.layers.SumPool2d(2),
                snnx.IF(),
                eqx.nn.AvgPool2d(2, 1, padding=1),
                snnx.Flatten(),
                linear(4 * 4 * 3, 3, 2, use_bias=False),
                snnx.LI(),
            ]
        ),
        (2, 7, 8),
    ),
    "in one dimension": (
        lambda: snnx.Sequential(
            [eqx.nn.Conv1d(3, 4, 3, stride=2, padding=1, key=K[0]), snnx.LIF(tau=5.0), snnx.Flatten()]
        ),
        (3, 9),
    ),
    "a residual": (
        lambda: snnx.Sequential(
            [
                linear(5, 6, 0),
                snnx.Residual(snnx.Sequential([linear(6, 6, 1), snnx.LIF(tau=4.0)])),
                snnx.Residual(snnx.Residual(linear(6, 6, 2)), linear(6, 6, 3)),
                snnx.Parallel([snnx.LIF(tau=2.0), snnx.LIF(tau=9.0), eqx.nn.Identity(), eqx.nn.Identity()]),
            ]
        ),
        (5,),
    ),
    "recurrence": (
        lambda: snnx.Sequential(
            [
                linear(5, 6, 0),
                snnx.Recurrent(snnx.LIF(tau=4.0, threshold=0.3), linear(6, 6, 1)),
                snnx.Recurrent(snnx.Sequential([linear(6, 4, 2), snnx.LIF(tau=2.0, threshold=0.2)]), linear(4, 6, 3)),
                snnx.Recurrent(snnx.LI(tau=3.0), eqx.nn.Identity()),
            ]
        ),
        (5,),
    ),
    "a neuron alone": (lambda: snnx.LIF(tau=3.0), (5,)),
    "delays": (
        lambda: snnx.Sequential([snnx.Delay([0, 1, 2, 5, 3]), linear(5, 4, 0), snnx.LIF(), snnx.Delay(2)]),
        (5,),
    ),
    "layers without state": (
        lambda: snnx.Sequential(
            [
                snnx.layers.Scale(2.0),
                linear(5, 4, 0),
                snnx.layers.Threshold(jnp.linspace(-0.2, 0.3, 4)),
                snnx.Integrator(),
            ]
        ),
        (5,),
    ),
    "random only in training": (
        lambda: eqx.nn.inference_mode(
            snnx.Sequential([eqx.nn.Dropout(0.5), linear(5, 6, 0), snnx.layers.GaussianNoise(0.3), snnx.LIF(tau=2.0)])
        ),
        (5,),
    ),
    "a graph of containers": (
        lambda: snnx.Graph(
            {
                "body": snnx.Sequential([linear(5, 6, 0), snnx.LIF(tau=2.0)]),
                "back": linear(6, 6, 1),
                "more": snnx.Residual(snnx.LIF(tau=4.0)),
                "last": eqx.nn.Identity(),
            },
            [
                ("input", "body"),
                ("body", "more"),
                ("more", "back"),
                ("back", "more"),
                ("more", "last"),
                ("last", "output"),
            ],
        ),
        (5,),
    ),
    "a graph in a graph, and residuals": (
        lambda: snnx.Graph(
            {
                "inner": snnx.Graph(
                    {"w": linear(5, 6, 0), "n": snnx.LIF(tau=2.0, threshold=0.5), "r": snnx.Residual(linear(6, 6, 1))},
                    [("input", "w"), ("w", "n"), ("n", "r"), ("r", "output"), ("n", "output")],
                ),
                "more": snnx.Residual(snnx.LIF(tau=4.0)),
                "twice": snnx.Residual(snnx.Residual(linear(6, 6, 2))),
                "last": snnx.LIF(tau=3.0),
            },
            [
                ("input", "inner"),
                ("inner", "more"),
                ("more", "twice"),
                ("twice", "last"),
                ("more", "last"),
                ("last", "output"),
            ],
        ),
        (5,),
    ),
}
DRIVE = {"convolutions": 2.0, "recurrence": 5.0, "a neuron alone": 0.7}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "a graph of containers"])
def test_a_model_has_the_same_spikes_after_export(name):
    model, shape = MODELS[name][0](), MODELS[name][1]
    again = from_nir(quietly(model, shape), dt=DT)
    xs = spikes(*shape, scale=DRIVE.get(name, 1.5))
    ys, expected = (snnx.simulate(cell, xs)[0] for cell in (again, model))
    assert float(jnp.abs(expected).sum()) > 0
    np.testing.assert_allclose(ys, expected, rtol=2e-4, atol=2e-5)
    if set(np.unique(expected)) <= {0.0, 1.0}:
        np.testing.assert_array_equal(ys, expected)
        assert 0.01 < float(expected.mean()) < 0.99


@pytest.mark.parametrize("name", ["recurrence", "convolutions"])
def test_files_are_as_good_as_objects(name, tmp_path):
    model, shape = MODELS[name][0](), MODELS[name][1]
    graph = quietly(model, shape)
    snnx.nir.write(graph, tmp_path / "model.nir")
    xs = spikes(*shape, scale=1.5)
    found, expected = (snnx.simulate(from_nir(g, dt=DT), xs)[0] for g in (tmp_path / "model.nir", graph))
    np.testing.assert_array_equal(found, expected)
    assert set(nir.read(tmp_path / "model.nir", type_check=False).nodes) == set(graph.nodes)


def test_parts_keep_their_paths():
    graph = quietly(MODELS["recurrence"][0](), (5,))
    assert list(graph.nodes) == [
        "input", "0", "1.neuron", "1.feedback", "2.neuron.0", "2.neuron.1", "2.feedback", "3.neuron", "3.feedback", "output",
    ]  # fmt: skip
    assert ("1.neuron", "1.feedback") in graph.edges
    assert ("1.feedback", "1.neuron") in graph.edges


def test_time_constants_are_those_of_euler():
    graph = to_nir(
        snnx.Sequential([snnx.LIF(tau=10.0, reset=VALUE), snnx.LI(tau=10.0, method="euler", r=3.0)]), (2,), dt=DT
    )
    lam = 1 - np.exp(-0.1)
    np.testing.assert_allclose(graph.nodes["0"].tau, [DT / lam] * 2, rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["0"].r, [1 / lam] * 2, rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["0"].v_reset, [0.05] * 2, rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["1"].tau, [0.01] * 2, rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["1"].r, [3.0] * 2)
    assert float(graph.metadata["snnx_dt"]) == DT
    assert graph.metadata["snnx_version"] == snnx.__version__


def test_reset_by_subtraction_is_said_and_kept():
    model = snnx.Sequential([linear(5, 8, 0), snnx.LIF(tau=3.0)])
    with pytest.warns(UserWarning, match=r"^to_nir: 8 neurons\b.*\bsubtraction\b"):
        graph = to_nir(model, (5,), dt=DT)
    xs = spikes(5, scale=3.0)
    expected = snnx.simulate(model, xs)[0]
    np.testing.assert_array_equal(snnx.simulate(from_nir(graph, dt=DT), xs)[0], expected)
    by_value = snnx.simulate(from_nir(graph, dt=DT, reset="value"), xs)[0]
    assert (np.asarray(by_value) != np.asarray(expected)).any()
    with pytest.raises(snnx.NIRError, match=r"\bneurons\b"):
        to_nir(model, (5,), dt=DT, strict=True)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (lambda: snnx.Sequential([linear(4, 4, 0), snnx.ALIF()]), (4,), r"part '1' \(ALIF\)"),
        (lambda: snnx.AdLIF(), (4,), r"\bAdLIF\b"),
        (
            lambda: snnx.LIF(surrogate=snnx.surrogates.StochasticEscape()),
            (4,),
            r"\bStochasticEscape\b",
        ),
        (lambda: snnx.LIF(refractory=2), (4,), r"\brefractory\b"),
        (lambda: snnx.LIF(reset=snnx.NoReset()), (4,), r"\breset\b.*\bNoReset\b"),
        (lambda: snnx.CubaLIF(method="exact"), (4,), r"\bmethod\b"),
        (lambda: snnx.Sequential([eqx.nn.Dropout(0.5), snnx.LIF()]), (4,), r"'0' \(Dropout\).*inference_mode"),
        (
            lambda: snnx.Sequential([snnx.layers.GaussianNoise(0.1), snnx.LIF()]),
            (4,),
            r"'0' \(GaussianNoise\).*inference_mode",
        ),
        (
            lambda: snnx.Sequential([snnx.layers.ThresholdNorm(4), snnx.LIF()]),
            (4,),
            r"\bThresholdNorm\b",
        ),
        (lambda: snnx.Sequential([eqx.nn.MaxPool2d(2), snnx.LIF()]), (1, 4, 4), r"\bMaxPool2d\b"),
        (
            lambda: snnx.Parallel([snnx.LIF(), snnx.LIF()], join=snnx.layers.Concat()),
            (4,),
            r"\bConcat\b",
        ),
        (
            lambda: snnx.Sequential([jnp.tanh, snnx.LIF()]),
            (4,),
            r"\btanh\b",
        ),
        (lambda: snnx.Sequential([snnx.LIF(dt=0.01, tau=0.1)]), (4,), r"its dt is 0.01.*snnx.with_dt\(model, 0.001\)"),
        (
            lambda: snnx.Recurrent(snnx.Sequential([snnx.LIF(), linear(4, 4, 0)]), linear(4, 4, 1)),
            (4,),
            "the model's feedback lags at 'neuron.1' -> 'feedback'.*put that layer behind it",
        ),
        (
            lambda: eqx.tree_at(lambda m: m.tau, snnx.LIF(tau=jnp.full(4, 2.0)), jnp.array([2.0, -1.0, 2.0, 2.0])),
            (4,),
            r"tau is -0.0005\d* at \[1\]; a time constant is > 0",
        ),
        (lambda: eqx.nn.Conv2d(1, 1, 3, padding=((0, 1), (0, 1)), key=K[0]), (1, 5, 5), "not the same on both sides"),
        (lambda: eqx.nn.Conv2d(1, 1, 3, padding=1, padding_mode="REFLECT", key=K[0]), (1, 5, 5), "NIR pads with zeros"),
    ],
)
def test_what_nir_cannot_say_is_refused(model, shape, message):
    cell = model()
    cell = cell if isinstance(cell, snnx.AbstractCell) else snnx.Sequential([cell])
    with pytest.raises(snnx.NIRError, match=message):
        quietly(cell, shape)


def test_trained_out_of_range_is_refused_and_constrained_stays_in():
    first = nir.NIRGraph(
        {
            "input": nir.Input(np.array([2])),
            "lif": nir.LIF(tau=np.array([5e-3, 2e-3]), r=np.ones(2), v_leak=np.zeros(2), v_threshold=np.ones(2)),
            "output": nir.Output(np.array([2])),
        },
        [("input", "lif"), ("lif", "output")],
    )
    model = from_nir(first, dt=DT)
    down = lambda m, by: jax.tree.map(lambda x: x - by if eqx.is_inexact_array(x) else x, m)
    with pytest.raises(snnx.NIRError, match=r"\btau\b"):
        to_nir(down(model, 0.1), dt=DT)
    safe = constrain(model)
    assert isinstance(safe.nodes["lif"].tau, snnx.Positive)
    unchanged = to_nir(safe, dt=DT).nodes["lif"]
    np.testing.assert_array_equal(unchanged.tau, first.nodes["lif"].tau)
    assert unchanged.tau.dtype == np.float64
    changed = to_nir(down(safe, 3.0), dt=DT).nodes["lif"]
    assert (changed.tau > DT).all()
    assert (changed.tau < first.nodes["lif"].tau).all()
    assert (changed.v_threshold > 0).all()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("conv", [False, True])
def test_a_folded_batch_norm_is_the_two_layers(conv, bias):
    layer = eqx.nn.Conv2d(2, 4, 3, use_bias=bias, key=K[1]) if conv else linear(6, 4, 1, use_bias=bias)
    mean, variance, scale, shift = np.random.default_rng(0).uniform(0.5, 2.0, (4, 4))
    x = jax.random.normal(K[2], (2, 6, 6) if conv else (6,))
    y = np.asarray(layer(x), np.float64)
    rest = (-1, 1, 1) if conv else (-1,)
    expected = scale.reshape(rest) * (y - mean.reshape(rest)) / np.sqrt(variance + 1e-3).reshape(rest) + shift.reshape(
        rest
    )
    folded = fold_batch_norm(
        layer,
        mean=jnp.asarray(mean),
        variance=jnp.asarray(variance),
        scale=jnp.asarray(scale),
        shift=jnp.asarray(shift),
        eps=1e-3,
    )
    np.testing.assert_allclose(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert type(folded) is type(layer)
    assert folded.use_bias
    with pytest.raises(snnx.ShapeError, match=r"\bmean\b"):
        fold_batch_norm(layer, mean=jnp.zeros(3), variance=jnp.ones(4))


def test_a_trained_model_leaves_and_comes_back():
    import optax

    rng = np.random.default_rng(0)
    raster = rng.random((60, 12, 6)) < np.where(np.arange(60) % 2, 0.2, 0.6)[:, None, None]
    data, in_seconds = (snnx.data.from_spikes(raster, np.arange(60) % 2, sample_shape=(6,), dt=dt) for dt in (1.0, DT))
    model = snnx.Sequential(
        [
            linear(6, 12, 0),
            snnx.Recurrent(snnx.CubaLIF(tau_mem=jnp.full(12, 4.0)), linear(12, 12, 1)),
            linear(12, 2, 2),
            snnx.LI(),
        ]
    )
    settings = dict(
        loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam(1e-2), epochs=5, batch_size=20, progress=False
    )
    trained = snnx.fit(model, data, key=K[3], **settings).model
    again = from_nir(quietly(trained, (6,)), dt=DT)
    for example in raster[:4].astype(np.float32):
        ys, _, seen = snnx.simulate(trained, jnp.asarray(example), record=["1.neuron"])
        zs, _, found = snnx.simulate(again, jnp.asarray(example), record=["1.neuron"])
        np.testing.assert_array_equal(found["1.neuron"], seen["1.neuron"])
        np.testing.assert_allclose(zs, ys, rtol=1e-3, atol=1e-4)
    assert snnx.evaluate(again, in_seconds).accuracy == snnx.evaluate(trained, data).accuracy
    tuned = snnx.fit(
        constrain(again), in_seconds, key=K[4], **settings
    ).model  # an imported graph is trained as any other
    out = quietly(tuned, None)
    assert (out.nodes["0"].weight != quietly(trained, (6,)).nodes["0"].weight).any()


def test_what_comes_around_a_neuron_of_the_step_before_is_refused():
    model, shape = MODELS["a graph of containers"][0](), MODELS["a graph of containers"][1]
    with pytest.raises(snnx.NIRError, match="to_nir: .*(back|more)"):
        quietly(model, shape)
    half = nir.NIRGraph(
        {
            "input": nir.Input(np.array([2])),
            "lif": nir.LIF(
                tau=np.array([0.0101, 0.02], np.float32),
                r=np.ones(2, np.float32),
                v_leak=np.zeros(2, np.float32),
                v_threshold=np.ones(2, np.float32),
            ),
            "output": nir.Output(np.array([2])),
        },
        [("input", "lif"), ("lif", "output")],
    )
    for dtype in ("bfloat16", "float16"):
        again = to_nir(from_nir(half, dt=DT, dtype=dtype), dt=DT)
        np.testing.assert_array_equal(again.nodes["lif"].tau, half.nodes["lif"].tau)


def test_detached_graphs_of_two_files_can_be_averaged():
    first, second = (
        quietly(snnx.Sequential([linear(3, 2, number), snnx.LIF(tau=4.0, reset=VALUE)]), (3,)) for number in (1, 2)
    )
    models = [snnx.nir.detach(from_nir(graph, dt=DT)) for graph in (first, second)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *models)
    expected = (first.nodes["0"].weight + second.nodes["0"].weight) / 2
    np.testing.assert_allclose(quietly(mean, (3,)).nodes["0"].weight, expected, rtol=1e-6)
