"""A kind of node, a neuron and a layer that snnx does not know go in and out as its own do; what they leave out is refused."""

import dataclasses
import warnings
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from nir_graphs import io, lif, new_class, one

import snnx
from snnx.cells import replace
from snnx.nir import (
    Kind,
    Node,
    Numbers,
    PerElement,
    Setting,
    _kind,
    from_nir,
    register_export,
    register_kind,
    to_nir,
)

DT = 1e-3
K = jax.random.split(jax.random.key(3), 6)
VALUE = snnx.ValueReset(0.05)


pytestmark = pytest.mark.usefixtures("nir_registers")


def same_spikes(model: snnx.AbstractCell, graph: nir.NIRGraph, shape: tuple[int, ...], scale: float = 2.0) -> None:
    xs = jax.random.uniform(K[0], (30, *shape)) * scale
    ys, zs = (snnx.simulate(m, xs)[0] for m in (model, from_nir(graph, dt=DT)))
    np.testing.assert_array_equal(ys, zs)
    assert 0.02 < float(ys.mean()) < 0.98


# ------------------------------------------------------------------ a kind of node
NirMaxPool2d = new_class("MaxPool2d", "kernel_size", "stride", "padding")


class MaxPool2d(Kind):
    name = "MaxPool2d"
    fields: ClassVar = dict.fromkeys(("kernel_size", "stride", "padding"), Setting())
    stateful = False
    spikes = "handed on"
    axes = ("channels", "height", "width")

    def own_shape(self, node):
        return None

    def put_out(self, node, given):
        kernel, stride, padding = self.meaning(node, given).values()
        sizes = zip(given[1:], kernel, stride, padding, strict=True)
        return (given[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in sizes))

    def meaning(self, node, given):
        return {name: node.sizes(name, 2, least=0 if name == "padding" else 1) for name in self.fields}

    def build(self, node, importing):
        return eqx.nn.MaxPool2d(*self.meaning(node, importing.given).values())


def pool_node(pool, export):
    padding = [low for low, _ in pool.padding]
    return export.node(
        "MaxPool2d", kernel_size=np.array(pool.kernel_size), stride=np.array(pool.stride), padding=np.array(padding)
    )


@pytest.fixture
def nir_has_it(monkeypatch):
    monkeypatch.setattr(nir, "MaxPool2d", NirMaxPool2d, raising=False)


@pytest.fixture
def max_pool(nir_registers, nir_has_it):
    register_kind(MaxPool2d())
    register_export(eqx.nn.MaxPool2d)(pool_node)


def pooled() -> nir.NIRGraph:
    return one(NirMaxPool2d(2, 2, (0, 0)), (2, 4, 6), (2, 2, 3))


@pytest.mark.usefixtures("max_pool")
def test_a_new_kind_comes_in_and_leaves_as_it_came(tmp_path):
    model = from_nir(pooled(), dt=DT)
    xs = jax.random.normal(K[1], (3, 2, 4, 6))
    expected = np.asarray(xs).reshape(3, 2, 2, 2, 3, 2).max((3, 5))
    np.testing.assert_array_equal(snnx.simulate(model, xs)[0], expected)
    back = to_nir(model, dt=DT).nodes["node"]
    assert type(back) is NirMaxPool2d
    assert (back.kernel_size, back.stride, back.padding) == (2, 2, (0, 0))
    assert back.input_type == {"input": None}

    snnx.nir.write(pooled(), tmp_path / "a.nir")
    assert snnx.nir.validate(tmp_path / "a.nir", dt=DT) == []
    assert snnx.nir.info(tmp_path / "a.nir").nodes["node"].output == (2, 2, 3)
    np.testing.assert_array_equal(snnx.simulate(from_nir(tmp_path / "a.nir", dt=DT), xs)[0], expected)
    data = snnx.nir.to_nir_data({"node": (expected > 1).astype(np.float32)}, model, dt=DT)
    assert {*data.nodes["node"].observables} == {"spikes"}


@pytest.mark.usefixtures("max_pool")
def test_a_model_with_a_new_kind_is_written_and_read(tmp_path):
    model = snnx.Sequential([eqx.nn.MaxPool2d(2, 1, padding=1), snnx.LIF(threshold=2.0, reset=VALUE)])
    graph = to_nir(model, (1, 3, 3), dt=DT)
    np.testing.assert_array_equal(graph.nodes["0"].stride, [1, 1])
    np.testing.assert_array_equal(graph.nodes["0"].output_type["output"], [1, 4, 4])
    snnx.nir.write(graph, tmp_path / "a.nir")
    same_spikes(model, tmp_path / "a.nir", (1, 3, 3))


@pytest.mark.usefixtures("max_pool")
@pytest.mark.parametrize("pool", [{"stride": 1}, {"stride": (2, 1)}, {"kernel_size": (1, 2)}, {"padding": 1}])
def test_a_changed_setting_of_a_new_kind_is_exported(pool):
    own = {"kernel_size": 2, "stride": 2, "padding": 0} | pool
    model = eqx.tree_at(
        lambda m: m.nodes["node"],
        from_nir(pooled(), dt=DT),
        eqx.nn.MaxPool2d(**own),
        is_leaf=lambda x: isinstance(x, eqx.nn.MaxPool2d),
    )
    graph = to_nir(model, dt=DT)
    for name, value in own.items():
        np.testing.assert_array_equal(np.broadcast_to(getattr(graph.nodes["node"], name), 2), np.broadcast_to(value, 2))
    xs = jax.random.normal(K[1], (3, 2, 4, 6))
    np.testing.assert_array_equal(snnx.simulate(from_nir(graph, dt=DT), xs)[0], snnx.simulate(model, xs)[0])


@dataclasses.dataclass(eq=False)
class NirFade(nir.NIRNode):
    """A trace that fades, v <- v + dt/tau_fade (gain x - v)."""

    tau_fade: np.ndarray
    gain: np.ndarray | None = None

    def __post_init__(self):
        self.input_type, self.output_type = {"input": self.tau_fade.shape}, {"output": self.tau_fade.shape}


NirFade.__name__ = "Fade"


class FadeState(eqx.Module):
    v: jax.Array


class Fade(snnx.AbstractCell):
    tau: jax.Array
    gain: jax.Array
    dt: float = eqx.field(static=True)

    def init_state(self, shape):
        return FadeState(jnp.zeros(shape))

    def __call__(self, x, state, *, key=None):
        v = state.v + self.dt / self.tau * (self.gain * x - state.v)
        return v, FadeState(v)

    def nir_node(self, export):
        gain = {} if (self.gain == 1).all() else {"gain": export.each(self.gain)}
        return Node("Fade", {"tau_fade": self.tau, **gain})


class FadeKind(PerElement):
    name = "Fade"
    fields: ClassVar = {"tau_fade": Numbers("time constant"), "gain": Numbers(missing=1.0)}
    stateful = True
    spikes = "never"

    def build(self, node, importing):
        return Fade(importing.leaf("tau_fade"), importing.leaf("gain"), importing.dt)


def fading(**fields: Any) -> nir.NIRGraph:
    given = {"tau_fade": np.array([5e-3, 2e-3, 7e-3])} | fields
    return io({"n": NirFade(**given)}, "input > n > n > output")


def test_a_new_kind_with_a_state_is_checked_built_and_trained(monkeypatch):
    monkeypatch.setattr(nir, "Fade", NirFade, raising=False)
    register_kind(FadeKind())
    model = from_nir(fading(gain=np.full(3, 0.5)), dt=DT)
    assert model.wiring().lagging == {("n", "n")}
    xs = np.ones((4, 3), np.float32)
    v = np.zeros(3)
    for x, y in zip(xs, snnx.simulate(model, jnp.asarray(xs))[0], strict=True):
        v = v + DT / fading().nodes["n"].tau_fade * (0.5 * (x + v) - v)
        np.testing.assert_allclose(y, v, rtol=1e-5)
    same = to_nir(model, dt=DT).nodes["n"]
    assert same.tau_fade.tobytes() == fading().nodes["n"].tau_fade.tobytes()
    trained = eqx.tree_at(
        lambda m: (m.nodes["n"].tau, m.nodes["n"].gain), model, (model.nodes["n"].tau * 2, jnp.ones(3))
    )
    node = to_nir(trained, dt=DT).nodes["n"]
    np.testing.assert_allclose(node.tau_fade, [1e-2, 4e-3, 14e-3], rtol=1e-6)
    assert node.tau_fade.dtype == np.float64
    assert node.gain is None  # it leaves a field out, so that the file's is not kept
    with pytest.raises(snnx.NIRError, match=r"'n': tau_fade"):
        from_nir(fading(tau_fade=np.array([1e-3, -1e-3, 1.0])), dt=DT)
    with pytest.warns(UserWarning, match=r"'n': tau_fade\b.*\bstep\b"):
        from_nir(fading(), dt=4e-3)


# ------------------------------------------------------------------ what a kind leaves out
def without(part: str) -> type[Kind]:
    members = {name: member for name, member in vars(MaxPool2d).items() if name != part and not name.startswith("_")}
    return type("Partial", (Kind,), members)


@pytest.mark.parametrize("part", ["name", "fields", "stateful", "spikes", "meaning", "own_shape", "put_out", "build"])
def test_a_kind_that_lacks_a_part_is_refused_by_its_name(part):
    with pytest.raises(TypeError, match=rf"\bPartial\b.*\b{part}\b"):
        register_kind(without(part)())
    assert "MaxPool2d" not in _kind.KINDS


def changed(**members: Any) -> Kind:
    return type("Changed", (MaxPool2d,), members)()


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ({"spikes": "sometimes"}, ValueError, "spikes"),
        ({"fields": {"kernel_size": Setting(), "stride": None}}, TypeError, "stride"),
        ({"fields": {"kernel_size": Setting}}, TypeError, "kernel_size"),
        ({"name": "LIF"}, ValueError, "LIF"),
    ],
)
def test_a_kind_of_something_else_is_refused(members, error, words):
    with pytest.raises(error, match=rf"\b{words}\b"):
        register_kind(changed(**members))


def test_a_kind_is_registered_once():
    register_kind(MaxPool2d())
    with pytest.raises(ValueError, match="MaxPool2d"):
        register_kind(MaxPool2d())
    with pytest.raises(TypeError, match=r"\bkind\b"):
        register_kind(MaxPool2d)


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        (
            {"meaning": lambda self, node, given: {"kernel_size": 2}, "put_out": lambda self, node, given: (2, 2, 3)},
            TypeError,
            "'stride'",
        ),
        ({"stateful": True}, TypeError, "stateful"),
        ({"build": lambda self, node, importing: eqx.nn.MaxPool2d(2, 1)}, TypeError, "put_out"),
        ({"fields": dict.fromkeys(("kernel_size", "padding"), Setting())}, snnx.NIRError, "'stride'"),
    ],
)
@pytest.mark.usefixtures("nir_has_it")
def test_a_kind_that_contradicts_itself_is_refused_on_the_way_in(members, error, words):
    register_kind(changed(**members))
    with pytest.raises(error, match=rf"\bMaxPool2d\b.*{words}"):
        from_nir(pooled(), dt=DT)


@pytest.mark.usefixtures("nir_has_it")
def test_a_kind_without_a_way_out_is_refused_on_the_way_out():
    register_kind(MaxPool2d())
    with pytest.raises(snnx.NIRError, match=r"'node' \(MaxPool2d\)"):
        to_nir(from_nir(pooled(), dt=DT), dt=DT)


@pytest.mark.usefixtures("max_pool")
@pytest.mark.parametrize(
    ("node", "words"),
    [
        (lambda export: export.node("MaxPool3d", stride=2), "MaxPool3d"),
        (lambda export: export.node("MaxPool2d", kernel_size=2, stride=2), "padding"),
        (lambda export: export.node("MaxPool2d", kernel_size=2, strides=2, padding=0), "strides"),
        (lambda export: None, "NoneType"),
        (lambda export: snnx.LIF, "LIF"),
    ],
)
def test_a_node_of_something_else_is_refused(node, words):
    class Pool(eqx.Module):
        def __call__(self, x):
            return eqx.nn.MaxPool2d(2, 2)(x)

        def nir_node(self, export):
            return node(export)

    with pytest.raises(TypeError, match=rf"'0' \(Pool\).*\b{words}\b"):
        to_nir(snnx.Sequential([Pool()]), (1, 4, 4), dt=DT)


def test_without_its_class_in_nir_a_kind_cannot_be_an_object():
    register_kind(MaxPool2d())
    register_export(eqx.nn.MaxPool2d)(pool_node)
    with pytest.raises(snnx.NIRError, match=r"\bMaxPool2d\b"):
        to_nir(snnx.Sequential([eqx.nn.MaxPool2d(2)]), (1, 4, 4), dt=DT)


# ------------------------------------------------------------------ settings of snnx's own kinds
def test_a_word_for_the_padding_is_kept_only_if_it_still_means_the_same():
    weight = np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    graph = one(nir.Conv2d((5, 5), weight, 1, "same", 1, 1, np.zeros(2)), (1, 5, 5), (2, 5, 5))
    model = from_nir(graph, dt=DT)
    assert to_nir(model, dt=DT).nodes["node"].padding == "same"

    def exported(*options: Any, size: int = 3) -> nir.Conv2d:
        conv = eqx.nn.Conv2d(1, 2, size, *options, key=K[0])
        other = eqx.tree_at(lambda m: m.nodes["node"], model, conv, is_leaf=lambda x: isinstance(x, eqx.nn.Conv2d))
        return to_nir(other, dt=DT).nodes["node"]

    assert exported(1, 1).padding == "same"
    np.testing.assert_array_equal(exported(1, 1, size=5).padding, [1, 1])
    np.testing.assert_array_equal(exported(1, 1, 2).padding, [1, 1])
    np.testing.assert_array_equal(exported(2, 1).stride, [2, 2])


def test_another_input_shape_is_exported():
    conv = nir.Conv1d(8, np.ones((2, 1, 3)), 1, 0, 1, 1, np.zeros(2))
    model = from_nir(one(conv, (1, 8), (2, 6)), dt=DT)
    graph = to_nir(replace(model, shapes=()), (1, 9), dt=DT)
    assert graph.nodes["node"].input_shape == 9
    np.testing.assert_array_equal(graph.nodes["output"].output_type["output"], [2, 7])


# ------------------------------------------------------------------ a neuron and a layer of one's own
class Rises(snnx.neurons.AbstractNeuron):
    """A LIF with another parameter: the share of the way to rest that one step covers."""

    spikes: ClassVar[bool] = True

    share: jax.Array
    threshold: float = 0.7
    reset: snnx.neurons.AbstractReset = VALUE
    dt: float = eqx.field(static=True, default=1.0)
    dtype: Any = eqx.field(static=True, default=None)

    def lif(self):
        tau = -1 / jnp.log1p(-self.share)
        return snnx.LIF(tau=tau, threshold=self.threshold, r=1.5, reset=self.reset, dt=self.dt)

    def parameters(self):
        return {"share": self.share}

    def init_state(self, shape):
        return self.lif().init_state(shape)

    def coefficients(self):
        return self.lif().coefficients()

    def step(self, x, state, coefficients, key):
        return self.lif().step(x, state, coefficients, key)

    def nir_node(self, export):
        return self.lif()


class Weighs(Rises):
    """The same with a weight for each input, which becomes a node of its own."""

    def nir_node(self, export):
        return snnx.Sequential([snnx.layers.Scale(jnp.full(export.given, 1.0)), self.lif()])


class ByFields(Rises):
    """The same as a node by hand, with the helpers of `Export`."""

    def nir_node(self, export):
        tau = self.lif().tau
        fields = {"tau": export.tau(tau, "exponential"), "r": export.gain(1.5, tau, "exponential")}
        return Node("LIF", {**fields, "v_leak": export.each(0.0), **export.spiking()})


SHARE = jnp.array([0.3, 0.15, 0.5])


@pytest.mark.parametrize(("kind", "nodes"), [(Rises, ["LIF"]), (Weighs, ["Scale", "LIF"]), (ByFields, ["LIF"])])
def test_a_neuron_of_ones_own_has_the_same_spikes_after_export(kind, nodes):
    graph = to_nir(snnx.Sequential([kind(SHARE)]), (3,), dt=DT)
    assert [type(node).__name__ for node in graph.nodes.values()] == ["Input", *nodes, "Output"]
    same_spikes(kind(SHARE), graph, (3,))
    same_spikes(kind(SHARE), to_nir(kind(SHARE), (3,), dt=DT), (3,))


@pytest.mark.parametrize("kind", [Rises, ByFields])
def test_its_reset_by_subtraction_is_noted(kind):
    model = kind(SHARE, reset=snnx.SubtractReset())
    with pytest.warns(UserWarning, match=r"\b3 neurons\b.*\bsubtraction\b"):
        graph = to_nir(model, (3,), dt=DT)
    same_spikes(model, graph, (3,))


class Mirrors(eqx.Module):
    """A layer that is two nodes: y = -(w x)."""

    linear: eqx.nn.Linear

    def __call__(self, x):
        return -self.linear(x)

    def nir_node(self, export):
        return snnx.Sequential([self.linear, snnx.layers.Scale(-1.0)])


class Halves(eqx.Module):
    """A layer that is one node."""

    def __call__(self, x):
        return x / 2

    def nir_node(self, export):
        return export.node("Scale", scale=export.each(0.5))


def mirror() -> Mirrors:
    """Mostly hands on what each input is."""
    weight = jnp.array([[-0.8, 0.1, 0.0], [0.2, -0.6, 0.1], [0.0, 0.1, -0.7]])
    blank = eqx.nn.Linear(3, 3, use_bias=False, key=K[1])
    return Mirrors(eqx.tree_at(lambda layer: layer.weight, blank, weight))


@pytest.mark.parametrize(
    "model",
    [
        snnx.Sequential([mirror(), Rises(SHARE, threshold=0.2), Halves()]),
        snnx.Recurrent(Rises(SHARE), mirror()),
        snnx.Recurrent(Weighs(SHARE), Halves()),
        snnx.Residual(Weighs(SHARE)),
        snnx.Graph(
            {"a": Weighs(SHARE), "m": mirror(), "b": Rises(SHARE, threshold=0.4), "h": Halves()},
            [("input", "a"), ("a", "b"), ("b", "m"), ("m", "a"), ("input", "h"), ("h", "b"), ("b", "output")],
        ),
    ],
    ids=["in a row", "feedback of two nodes", "a neuron of two nodes", "around it", "in a graph"],
)
def test_parts_of_ones_own_stand_wherever_others_do(model):
    graph, xs = to_nir(model, (3,), dt=DT), jax.random.uniform(K[0], (30, 3)) * 2
    ys, zs = (snnx.simulate(m, xs)[0] for m in (model, from_nir(graph, dt=DT)))
    np.testing.assert_allclose(ys, zs, rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(ys).sum()) > 1


def test_parts_of_ones_own_come_back_from_a_file_in_the_format(tmp_path):
    model = snnx.Sequential([mirror(), Rises(SHARE, threshold=0.2)])
    snnx.nir.write(to_nir(model, (3,), dt=DT), tmp_path / "a.nir")
    theirs = nir.read(tmp_path / "a.nir")  # the package's own reader knows all of its nodes
    assert {*theirs.nodes} == {"input", "0.0", "0.1", "1", "output"}
    same_spikes(model, tmp_path / "a.nir", (3,))


# ------------------------------------------------------------------ what a subclass inherits
class Slower(Rises):
    """Only its numbers are others."""

    threshold: float = 0.9


class Louder(Rises):
    def step(self, x, state, coefficients, key):
        return super().step(2 * x, state, coefficients, key)


class Leakier(Rises):
    def coefficients(self):
        lam, g = super().coefficients()
        return 2 * lam, g


class Started(Rises):
    def init_state(self, shape):
        state = super().init_state(shape)
        return eqx.tree_at(lambda s: s.v, state, state.v + 0.5)


class Renamed(Rises):
    def lif(self):
        return snnx.LIF(tau=3.0, reset=VALUE)


class Says:
    """Only the method, for whatever it is mixed into."""

    def nir_node(self, export):
        return snnx.LIF(tau=3.0)


class Mixed(Says, snnx.AbstractCell):
    def init_state(self, shape):
        return FadeState(jnp.zeros(shape))

    def __call__(self, x, state, *, key=None):
        return x, state


def test_a_subclass_with_other_numbers_inherits_its_node():
    same_spikes(Slower(SHARE), to_nir(Slower(SHARE), (3,), dt=DT), (3,))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Louder(SHARE), ("Rises", "Louder", "step")),
        (Leakier(SHARE), ("Rises", "Leakier", "coefficients")),
        (Started(SHARE), ("Rises", "Started", "init_state")),
        (Renamed(SHARE), ("Rises", "Renamed", "lif")),
        (Mixed(), ("Says", "Mixed", "__call__")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_subclass_that_does_something_else_does_not_inherit_its_node(model, names):
    with pytest.raises(snnx.NIRError) as caught:
        to_nir(model, (3,), dt=DT)
    assert all(name in str(caught.value) for name in names)


def test_a_subclass_of_a_class_of_snnx_is_not_exported_as_that():
    class MyLIF(snnx.LIF):
        def step(self, x, state, coefficients, key):
            return super().step(2 * x, state, coefficients, key)

    with pytest.raises(snnx.NIRError, match=r"\bMyLIF\b"):
        to_nir(MyLIF(tau=3.0), (3,), dt=DT)


# ------------------------------------------------------------------ classes of somebody else
class Theirs(eqx.Module):
    factor: float = 3.0

    def __call__(self, x):
        return self.factor * x


def test_a_class_of_somebody_else_is_registered():
    model = snnx.Sequential([Theirs(), snnx.LIF(tau=4.0, reset=VALUE)])
    with pytest.raises(snnx.NIRError, match=r"'0' \(Theirs\)"):
        to_nir(model, (3,), dt=DT)

    @register_export(Theirs)
    def their_node(part, export):
        assert (export.path, export.given, export.put_out, export.dt, export.dtype) == ("0", (3,), (3,), DT, np.float32)
        return snnx.layers.Scale(part.factor)

    same_spikes(model, to_nir(model, (3,), dt=DT), (3,), scale=0.4)
    with pytest.raises(ValueError, match=r"\bTheirs\b.*\btheir_node\b"):
        register_export(Theirs)(their_node)

    class Inherits(Theirs):
        pass

    with pytest.raises(snnx.NIRError, match=r"\bInherits\b"):
        to_nir(snnx.Sequential([Inherits()]), (3,), dt=DT)


def test_classes_of_snnx_and_equinox_are_registered_already():
    for kind in (snnx.LIF, eqx.nn.Linear):
        with pytest.raises(ValueError, match=rf"\b{kind.__name__}\b"):
            register_export(kind)(pool_node)
    with pytest.raises(ValueError, match=r"\bRises\b.*\bnir_node\b"):
        register_export(Rises)(pool_node)
    with pytest.raises(TypeError, match=r"\bclasses\b"):
        register_export("LIF")


def test_what_is_refused_with_a_reason_can_be_registered():
    with pytest.raises(snnx.NIRError, match="normalisation"):
        to_nir(snnx.Sequential([eqx.nn.LayerNorm(3)]), (3,), dt=DT)
    register_export(eqx.nn.LayerNorm)(lambda part, export: export.node("Scale", scale=export.each(1.0)))
    assert type(to_nir(snnx.Sequential([eqx.nn.LayerNorm(3)]), (3,), dt=DT).nodes["0"]) is nir.Scale


# ------------------------------------------------------------------ what is drawn in a part's place
class Stands(eqx.Module):
    """A layer in whose place anything is drawn."""

    other: Any = eqx.field(static=True)

    def __call__(self, x):
        return x

    def nir_node(self, export):
        return self.other(self, export)


@pytest.mark.parametrize(
    "other",
    [
        lambda part, export: part,
        lambda part, export: snnx.Sequential([snnx.layers.Scale(1.0), part]),
        lambda part, export: eqx.nn.Linear(3, 2, key=K[0]),
        lambda part, export: export.refuse("it is a riddle"),
        lambda part, export: export.tau(5.0),
    ],
    ids=["itself", "itself among others", "another shape", "nothing", "helpers without a dt"],
)
def test_what_cannot_be_drawn_in_its_place_is_refused_by_name(other):
    with pytest.raises(snnx.NIRError, match=r"'0(\.1)*' \(Stands\)"):
        to_nir(snnx.Sequential([Stands(other)]), (3,), dt=DT)


# ------------------------------------------------------------------ drawings
def test_a_value_that_arrives_twice_is_counted_twice():
    model = snnx.Graph(
        {"n": snnx.LI(tau=3.0), "r": snnx.Residual(snnx.layers.Scale(0.5)), "s": snnx.Residual(snnx.layers.Scale(2.0))},
        [("input", "n"), ("n", "r"), ("r", "s"), ("n", "s"), ("s", "output")],
    )
    xs = jax.random.uniform(K[0], (9, 3))
    ys, zs = (snnx.simulate(m, xs)[0] for m in (model, from_nir(to_nir(model, (3,), dt=DT), dt=DT)))
    np.testing.assert_allclose(ys, zs, rtol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "word"), [("a", "a/b", "'a'"), ("a//b", "c", "'a//b'"), ("a.again1", ".", r"'\.'")]
)
def test_names_that_a_file_cannot_hold_are_refused(first, second, word):
    model = snnx.Graph(
        {first: snnx.LI(tau=3.0), second: snnx.LI(tau=2.0)}, [("input", first), (first, second), (second, "output")]
    )
    with pytest.raises(snnx.NIRError, match=word):
        to_nir(model, (3,), dt=DT)


def test_the_other_step_of_a_file_is_found():
    graph = io({"n": lif(3)}, "input > n > output", metadata={"snnx_dt": 1e-4})
    (finding,) = snnx.nir.validate(graph, dt=DT)
    assert finding.level == "warning"
    assert "0.0001" in finding.text
    assert snnx.nir.validate(graph, dt=1e-4) == snnx.nir.validate(graph) == []


def test_random_layers_are_left_out_in_inference_wherever_they_stand():
    noisy = snnx.Sequential(
        [
            eqx.nn.Sequential([eqx.nn.Dropout(0.5), eqx.nn.Linear(3, 3, key=K[1])]),
            snnx.layers.GaussianNoise(0.2),
            snnx.LIF(tau=2.0, threshold=0.3, reset=VALUE),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = to_nir(eqx.nn.inference_mode(noisy), (3,), dt=DT)
    assert list(graph.nodes) == ["input", "0.1", "2", "output"]
    with pytest.raises(snnx.NIRError, match=r"'0\.0' \(Dropout\)"):
        to_nir(noisy, (3,), dt=DT)
