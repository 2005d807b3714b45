"""Write nir/<framework>.npz: files of other frameworks' own NIR exporters, and what their models put out.

    peers/bin/python make_nir_peers.py snntorch norse sinabs spikingjelly
    spyx/bin/python make_nir_peers.py spyx

Each model is built and run by the framework itself, in float32, step by step from its own initial state, on fixed random
spikes; then its own exporter makes the graph, and `nir.write` the file. An archive holds, for each model,

- `<model>.nir`: the bytes of the file (HDF5 is mostly padding: compressed here to a tenth);
- `<model>.x`, `<model>.y`: inputs and outputs, `[time, *shape]`, channels first; spikes, or real numbers of a readout;
- `versions`: the framework, nir, and what it runs on.

What cannot be exported or written is printed, with the error. Parameters are given per neuron: `nir.write` 1.0.8 fails for
most scalars. For the environments see README.md; that of Spyx is `pip install spyx==1.0.0 nir==1.0.8`.
"""

import argparse
import contextlib
import io
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import nir
import numpy as np

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent / "nir"
STEPS, WIDTH, PLANE = 40, 6, (2, 8, 8)


class Case(NamedTuple):
    """A model to be run and exported."""

    name: str
    model: Any
    x: np.ndarray


def spikes(*shape: int, rate: float = 0.4) -> np.ndarray:
    return (np.random.default_rng(7).random((STEPS, *shape)) < rate).astype(np.float32)


def weights(seed: int, *shape: int, gain: float = 1.0) -> np.ndarray:
    """Random weights, in steps of 1/16: sums of them are exact, so that thresholds are met exactly now and then."""
    drawn = np.random.default_rng(seed).normal(0.15, 0.5, shape)
    return (np.round(gain * drawn * 16) / 16).astype(np.float32)


# ------------------------------------------------------------------ the frameworks on PyTorch
def linear(seed: int, given: int, out: int, bias: bool = True, gain: float = 1.0) -> Any:
    import torch

    layer = torch.nn.Linear(given, out, bias=bias)
    layer.weight.data = torch.from_numpy(weights(seed, out, given, gain=gain))
    if bias:
        layer.bias.data = torch.from_numpy(weights(seed + 100, out, gain=gain / 4))
    return layer


def conv(seed: int, gain: float = 1.0) -> Any:
    import torch

    layer = torch.nn.Conv2d(PLANE[0], 3, 3)
    layer.weight.data = torch.from_numpy(weights(seed, *layer.weight.shape, gain=gain))
    layer.bias.data = torch.from_numpy(weights(seed + 100, 3, gain=gain / 4))
    return layer


def between(seed: int, low: float, high: float, *shape: int) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


def ones(*shape: int) -> Any:
    import torch

    return torch.ones(shape)


def snntorch() -> Iterator[tuple[Case, Callable]]:
    import snntorch as snn
    import torch

    def leaky(seed, *shape, kind=snn.Leaky, **more):
        threshold = more.pop("threshold", 1.0) * ones(*shape)
        return kind(beta=between(seed, 0.6, 0.95, *shape), threshold=threshold, init_hidden=True, **more)

    def stack(hidden, out, gain=2.0):
        return torch.nn.Sequential(linear(1, WIDTH, 8), hidden, linear(2, 8, 4, bias=False, gain=gain), out)

    for name, more in (
        ("leaky", {}),
        ("leaky_at_once_strong", {"reset_delay": False}),
        ("leaky_zero", {"reset_mechanism": "zero"}),
        ("leaky_none", {"reset_mechanism": "none"}),
    ):
        yield Case(name, stack(leaky(1, 8, **more), leaky(2, 4, **more)), spikes(WIDTH)), _snntorch_export
    weak = {"reset_delay": False, "threshold": 2.0}  # so that no membrane is above the threshold after its reset
    at_once = stack(leaky(1, 8, **weak), leaky(2, 4, **weak), gain=3.0)
    yield Case("leaky_at_once", at_once, spikes(WIDTH)), _snntorch_export

    def rleaky(**more):
        made = leaky(1, 8, kind=snn.RLeaky, linear_features=8, **more)
        made.recurrent = linear(5, 8, 8, gain=0.7)
        return made

    yield Case("rleaky", stack(rleaky(), leaky(2, 4)), spikes(WIDTH)), _snntorch_export
    yield Case("rleaky_zero", stack(rleaky(reset_mechanism="zero"), leaky(2, 4)), spikes(WIDTH)), _snntorch_export

    def synaptic(**more):
        return leaky(1, 8, kind=snn.Synaptic, alpha=between(3, 0.3, 0.7, 8), threshold=2.0, **more)

    yield Case("synaptic", stack(synaptic(), leaky(2, 4)), spikes(WIDTH)), _snntorch_export
    zero = synaptic(reset_mechanism="zero")
    yield Case("synaptic_zero", stack(zero, leaky(2, 4, reset_mechanism="zero")), spikes(WIDTH)), _snntorch_export
    rsynaptic = leaky(1, 8, kind=snn.RSynaptic, alpha=between(3, 0.3, 0.7, 8), threshold=2.0, linear_features=8)
    rsynaptic.recurrent = linear(5, 8, 8, gain=0.7)
    yield Case("rsynaptic", stack(rsynaptic, leaky(2, 4)), spikes(WIDTH)), _snntorch_export
    convolutional = torch.nn.Sequential(
        conv(3),
        leaky(1, 3, 6, 6),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        linear(4, 27, 4, gain=0.4),
        leaky(2, 4),
    )
    yield Case("conv", convolutional, spikes(*PLANE, rate=0.2)), _snntorch_export
    scalar = torch.nn.Sequential(linear(1, WIDTH, 8), snn.Leaky(beta=0.9, init_hidden=True))
    yield Case("leaky_scalar", scalar, spikes(WIDTH)), _snntorch_export


def _snntorch_export(case: Case) -> tuple[np.ndarray, Any]:
    import torch
    from snntorch.export_nir import export_to_nir

    ys = [case.model(torch.from_numpy(x)[None])[0].numpy() for x in case.x]
    return np.stack(ys), export_to_nir(case.model, torch.zeros(1, *case.x.shape[1:]), ignore_dims=[0])


def norse() -> Iterator[tuple[Case, Callable]]:
    import norse.torch as snn
    import torch

    def box(seed, width):
        return snn.LIFBoxCell(snn.LIFBoxParameters(between(seed, 80, 300, width), 0.1 * ones(width), ones(width)))

    def stack(hidden, out, gain=1.0):
        parts = linear(1, WIDTH, 8, gain=gain), hidden, linear(2, 8, 4, bias=False, gain=2 * gain), out
        return snn.SequentialState(*parts)

    yield Case("lif_box", stack(box(1, 8), box(2, 4), gain=6.0), spikes(WIDTH)), _norse_export
    lif = snn.LIFCell(
        snn.LIFParameters(between(3, 200, 500, 8), between(1, 80, 300, 8), 0.1 * ones(8), ones(8), torch.zeros(8))
    )
    readout = snn.LIBoxCell(snn.LIBoxParameters(between(2, 80, 300, 4), 0.1 * ones(4)))
    yield Case("lif_li", stack(lif, readout, gain=2.0), spikes(WIDTH)), _norse_export
    iaf = snn.IAFCell(snn.IAFParameters(v_th=ones(3, 6, 6), v_reset=torch.zeros(3, 6, 6)))
    yield Case("conv_iaf", snn.SequentialState(conv(3), iaf), spikes(*PLANE, rate=0.2)), _norse_export
    recurrent = snn.SequentialState(linear(1, WIDTH, 8), snn.LIFRecurrentCell(8, 8))
    yield Case("recurrent", recurrent, spikes(WIDTH)), _norse_export
    pooled = snn.SequentialState(conv(3), iaf, torch.nn.AvgPool2d(2), torch.nn.Flatten(0), linear(4, 27, 4))
    yield Case("pooled", pooled, spikes(*PLANE, rate=0.2)), _norse_export
    yield (
        Case("lif_box_scalar", snn.SequentialState(linear(1, WIDTH, 8), snn.LIFBoxCell()), spikes(WIDTH)),
        _norse_export,
    )


def _norse_export(case: Case) -> tuple[np.ndarray, Any]:
    import norse.torch as snn
    import torch

    batch = case.name == "recurrent"
    state, ys = None, []
    for x in case.x:
        y, state = case.model(torch.from_numpy(x)[None] if batch else torch.from_numpy(x), state)
        ys.append(y.numpy())
    return np.stack(ys), snn.to_nir(case.model, torch.zeros(case.x.shape[1:]))


def sinabs() -> Iterator[tuple[Case, Callable]]:
    import sinabs.activation as sa
    import sinabs.layers as sl
    import torch

    def lif(seed, width, **more):
        return sl.LIFSqueeze(tau_mem=between(seed, 2, 8, width), spike_threshold=ones(width), batch_size=1, **more)

    def stack(hidden, out, gain=1.0):
        return torch.nn.Sequential(
            linear(1, WIDTH, 8, gain=gain), hidden, linear(2, 8, 4, bias=False, gain=2 * gain), out
        )

    single = {"spike_fn": sa.SingleSpike}
    yield Case("lif", stack(lif(1, 8), lif(2, 4), gain=4.0), spikes(WIDTH)), _sinabs_export
    yield Case("lif_single", stack(lif(1, 8, **single), lif(2, 4, **single), gain=4.0), spikes(WIDTH)), _sinabs_export
    more = single | {"norm_input": False}
    yield Case("lif_sum", stack(lif(1, 8, **more), lif(2, 4, **more)), spikes(WIDTH)), _sinabs_export
    synapse = stack(lif(1, 8, tau_syn=between(3, 2, 4, 8), **single), lif(2, 4, **single), gain=2.0)
    yield Case("lif_synapse", synapse, spikes(WIDTH)), _sinabs_export
    leak = sl.ExpLeakSqueeze(tau_mem=between(2, 2, 8, 4), batch_size=1)
    yield Case("lif_leak", stack(lif(1, 8, **single), leak, gain=3.0), spikes(WIDTH)), _sinabs_export

    def iaf(*shape, **more):
        return sl.IAFSqueeze(spike_threshold=ones(*shape), batch_size=1, **more)

    for name, more in (
        ("conv_iaf", {}),
        ("conv_iaf_single", single),
        ("conv_iaf_clipped", single | {"min_v_mem": -0.25}),
    ):
        parts = (
            conv(3, gain=0.5),
            iaf(3, 6, 6, **more),
            sl.SumPool2d(2),
            torch.nn.Flatten(),
            linear(4, 27, 4, gain=0.3),
            iaf(4, **more),
        )
        yield Case(name, torch.nn.Sequential(*parts), spikes(*PLANE, rate=0.1)), _sinabs_export
    recurrent = sl.LIFRecurrent
    model = torch.nn.Sequential(
        linear(1, WIDTH, 8), recurrent(tau_mem=between(1, 2, 8, 8), rec_connect=linear(5, 8, 8))
    )
    yield Case("recurrent", model, spikes(WIDTH)), _sinabs_export


def _sinabs_export(case: Case) -> tuple[np.ndarray, Any]:
    import torch
    from sinabs.nir import to_nir

    x = torch.from_numpy(case.x)
    whole = x[None] if case.name == "recurrent" else x
    y = case.model(whole).detach().numpy()
    return y, to_nir(case.model, whole)


def spikingjelly() -> Iterator[tuple[Case, Callable]]:
    import torch
    from spikingjelly.activation_based import layer, neuron

    def stack(hidden, out, gain=1.0):
        return torch.nn.Sequential(
            linear(1, WIDTH, 8, gain=gain), hidden, linear(2, 8, 4, bias=False, gain=2 * gain), out
        )

    lifs = neuron.LIFNode(tau=4.0, v_reset=-0.25), neuron.LIFNode(tau=2.0, decay_input=False)
    yield Case("lif", stack(*lifs, gain=3.0), spikes(WIDTH)), _spikingjelly_export
    parametric = neuron.ParametricLIFNode(init_tau=4.0), neuron.CUBALIFNode()
    yield Case("plif_cuba", stack(*parametric, gain=3.0), spikes(WIDTH)), _spikingjelly_export
    parts = conv(3), neuron.IFNode(), layer.AvgPool2d(2), layer.Flatten(), linear(4, 27, 4, gain=0.5), neuron.IFNode()
    yield Case("conv_if", torch.nn.Sequential(*parts), spikes(*PLANE, rate=0.2)), _spikingjelly_export
    soft = torch.nn.Sequential(linear(1, WIDTH, 8), neuron.LIFNode(v_reset=None))
    yield Case("lif_soft", soft, spikes(WIDTH)), _spikingjelly_export
    recurrent = torch.nn.Sequential(
        linear(1, WIDTH, 8), layer.LinearRecurrentContainer(neuron.LIFNode(), in_features=8, out_features=8)
    )
    yield Case("recurrent", recurrent, spikes(WIDTH)), _spikingjelly_export


def _spikingjelly_export(case: Case) -> tuple[np.ndarray, Any]:
    import torch
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    ys = [case.model(torch.from_numpy(x)[None])[0].numpy() for x in case.x]
    functional.reset_net(case.model)
    return np.stack(ys), export_to_nir(case.model, torch.zeros(1, *case.x.shape[1:]))


# ------------------------------------------------------------------ Spyx, on Flax
def spyx() -> Iterator[tuple[Case, Callable]]:
    import jax.numpy as jnp
    import spyx.nn as sp
    from flax import nnx

    rngs = nnx.Rngs(0)

    def dense(seed, given, out, bias=True, gain=1.0):
        layer = nnx.Linear(given, out, use_bias=bias, rngs=rngs)
        layer.kernel[...] = jnp.asarray(weights(seed, out, given, gain=gain).T)
        if bias:
            layer.bias[...] = jnp.asarray(weights(seed + 100, out, gain=gain / 4))
        return layer

    def set_to(neuron, seed, *shape):
        for i, name in enumerate(("beta", "alpha")):
            if hasattr(neuron, name):
                low, high = (0.6, 0.95) if name == "beta" else (0.3, 0.7)
                drawn = np.random.default_rng(seed + i).uniform(low, high, shape)
                getattr(neuron, name)[...] = jnp.asarray(drawn.astype(np.float32))
        if hasattr(neuron, "recurrent_w"):
            neuron.recurrent_w[...] = jnp.asarray(weights(5, *shape, *shape, gain=0.7).T)
        return neuron

    def stack(kind, threshold=1.0):
        hidden = set_to(kind((8,), threshold=threshold, rngs=rngs), 1, 8)
        out = set_to(sp.LIF((4,), rngs=rngs), 2, 4)
        return sp.Sequential(dense(1, WIDTH, 8), hidden, dense(2, 8, 4, bias=False, gain=2.0), out)

    for name, kind, threshold in (
        ("lif", sp.LIF, 1.0),
        ("if", sp.IF, 1.0),
        ("cuba", sp.CuBaLIF, 2.0),
        ("psu", sp.PSU_LIF, 1.0),
        ("rlif", sp.RLIF, 1.0),
        ("rif", sp.RIF, 1.0),
        ("rcuba", sp.RCuBaLIF, 2.0),
    ):
        yield Case(name, stack(kind, threshold), spikes(WIDTH)), _spyx_export
    layer = nnx.Conv(2, 3, (3, 3), rngs=rngs)
    layer.kernel[...] = jnp.asarray(weights(3, 3, 2, 3, 3).transpose(2, 3, 1, 0))
    parts = layer, sp.IF((8, 8, 3)), sp.SumPool((2, 2), (2, 2), "VALID")
    end = sp.Flatten(), dense(4, 48, 4, gain=0.25), set_to(sp.LIF((4,), rngs=rngs), 2, 4)
    yield Case("conv", sp.Sequential(*parts, *end), spikes(*PLANE, rate=0.1)), _spyx_export
    readout = sp.Sequential(dense(1, WIDTH, 8), sp.LI((8,), rngs=rngs))
    yield Case("li", readout, spikes(WIDTH)), _spyx_export


def _spyx_export(case: Case) -> tuple[np.ndarray, Any]:
    import jax.numpy as jnp
    import spyx.nn as sp
    from spyx.nir import to_nir

    x = np.moveaxis(case.x, 1, -1) if case.x.ndim > 2 else case.x
    y, _ = sp.run(case.model, jnp.asarray(x)[:, None])
    y = np.asarray(y)[:, 0]
    shapes = {"input": np.array(case.x.shape[1:])}, {"output": np.array(y.shape[1:])}
    return y, to_nir(case.model, *shapes, dt=1e-3)


FRAMEWORKS = {f.__name__: f for f in (snntorch, norse, sinabs, spikingjelly, spyx)}


# ------------------------------------------------------------------ how well graphs come in
def graphs(dt: float) -> Iterator[tuple[str, dict, list, tuple[str, ...]]]:
    """Small valid graphs, and their nodes in the order of a step; what comes from a later node is that of the step before.

    Thresholds are never met exactly here: a third of a percent more than in `weights`.
    """

    def affine(seed, given=4, gain=5.0):
        return nir.Affine(uneven(seed, 4, given, gain=gain), uneven(seed + 100, 4, gain=gain / 4))

    def uneven(seed, *shape, gain=1.0):
        return weights(seed, *shape, gain=gain) * np.float32(1.0033)

    def lif(r=1.0, v_leak=0.0, v_reset=0.0):
        return nir.LIF(*(np.full(4, value) for value in (5 * dt, r, v_leak, 1.0, v_reset)))

    def chain(**nodes):
        names = tuple(nodes)
        return nodes, list(itertools.pairwise(names)), names

    def ends(width=(4,), out=(4,)):
        return nir.Input({"input": np.array(width)}), nir.Output({"output": np.array(out)})

    x, y = ends()
    yield "LIF, r = 1", *chain(input=x, affine=affine(0), lif=lif(), output=y)
    yield "LIF, r = tau/dt", *chain(input=x, affine=affine(0, gain=1.0), lif=lif(r=5.0), output=y)
    yield "LIF, v_leak, v_reset not 0", *chain(input=x, affine=affine(0), lif=lif(1.0, 0.25, -0.5), output=y)
    integrate = nir.IF(np.full(4, 1 / dt), np.full(4, 1.0), np.zeros(4))
    yield "IF, r = 1/dt", *chain(input=x, affine=affine(0, gain=1.0), fire=integrate, output=y)
    fours = [np.full(4, value) for value in (2 * dt, 5 * dt, 5.0, 0.0, 2.0, 0.0)]
    pair = nir.CubaLIF(*fours, np.full(4, 2.0))
    yield "CubaLIF", *chain(input=x, affine=affine(0, gain=1.0), lif=pair, output=y)
    wide, y = ends((6,))
    yield "Linear, 6 to 4", *chain(input=wide, linear=nir.Linear(uneven(0, 4, 6, gain=5.0)), lif=lif(), output=y)
    nodes, edges, names = chain(input=x, affine=affine(0), lif=lif(), output=y)
    nodes["back"] = affine(2)
    yield "recurrence", nodes, [*edges, ("lif", "back"), ("back", "lif")], ("input", "affine", "back", *names[2:])
    nodes, edges, names = chain(input=x, affine=affine(0), one=lif(), more=affine(3), two=lif(), output=y)
    yield "an edge past a layer", nodes, [*edges, ("one", "two")], names
    x, y = ends(PLANE, (4, 6, 6))
    grouped = nir.Conv2d(PLANE[1:], uneven(3, 4, 1, 3, 3), 1, 0, 1, 2, uneven(4, 4, gain=0.25))
    fire = nir.IF(*(np.full((4, 6, 6), value) for value in (1 / dt, 1.0, 0.0)))
    yield "Conv2d in two groups", *chain(input=x, conv=grouped, fire=fire, output=y)
    x, y = ends(PLANE, (4,))
    pool = nir.SumPool2d(*(np.array(pair) for pair in ((2, 2), (2, 2), (0, 0))))
    flat = nir.Flatten({"input": np.array([2, 4, 4])}, 0, -1)
    yield "SumPool2d, Flatten", *chain(input=x, pool=pool, flat=flat, affine=affine(1, 32, 0.5), lif=lif(), output=y)


def meant(nodes: dict, edges: list, names: tuple[str, ...], xs: np.ndarray, dt: float) -> np.ndarray:
    """What a graph puts out: forward Euler, in float64."""
    state, value, ys = {}, {}, []
    for x in xs.astype(np.float64):
        for name in names:
            node, given = nodes[name], sum(value.get(a, 0.0) for a, b in edges if b == name)
            value[name] = (
                x
                if name == "input"
                else given + 0.0
                if name == "output"
                else _step(node, given, state.setdefault(name, {}), dt)
            )
        ys.append(value["output"])
    return np.stack(ys)


def _step(node: Any, x: np.ndarray, state: dict, dt: float) -> np.ndarray:
    kind = type(node).__name__
    if kind in ("Linear", "Affine"):
        return node.weight @ (x + np.zeros(node.weight.shape[1])) + getattr(node, "bias", 0.0)
    if kind == "Conv2d":
        return _grouped(node, x)
    if kind == "SumPool2d":
        return x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2).sum((2, 4))
    if kind == "Flatten":
        return x.reshape(-1)
    v = state.get("v", getattr(node, "v_leak", 0.0))
    if kind == "CubaLIF":
        state["i"] = state.get("i", 0.0) + dt / node.tau_syn * (node.w_in * x - state.get("i", 0.0))
        x = state["i"]
    tau = getattr(node, "tau", getattr(node, "tau_mem", None))
    v = v + dt * node.r * x if tau is None else v + dt / tau * (node.v_leak - v + node.r * x)
    fired = v > node.v_threshold
    state["v"] = np.where(fired, node.v_reset, v)
    return fired.astype(np.float64)


def _grouped(node: Any, x: np.ndarray) -> np.ndarray:
    """Each half of the outputs sees one of the two channels."""
    out, _, high, wide = node.weight.shape
    places = np.lib.stride_tricks.sliding_window_view(x, (high, wide), (1, 2))
    return np.stack([(places[o * len(x) // out] * node.weight[o, 0]).sum((-2, -1)) + node.bias[o] for o in range(out)])


def _into_snntorch(graph: Any, xs: np.ndarray, dt: float) -> np.ndarray:
    from snntorch.import_nir import import_from_nir

    return _stepped(import_from_nir(graph), xs[:, None])[:, 0]


def _into_norse(graph: Any, xs: np.ndarray, dt: float) -> np.ndarray:
    import norse.torch as snn

    return _stepped(snn.from_nir(graph, dt=dt), xs)


def _into_sinabs(graph: Any, xs: np.ndarray, dt: float) -> np.ndarray:
    import torch
    from sinabs.nir import from_nir

    y = from_nir(graph, batch_size=1)(torch.from_numpy(xs))
    return (y[0] if isinstance(y, tuple) else y).numpy()


def _into_spikingjelly(graph: Any, xs: np.ndarray, dt: float) -> np.ndarray:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return _stepped(import_from_nir(graph, dt=dt), xs[:, None])[:, 0]


def _into_spyx(graph: Any, xs: np.ndarray, dt: float) -> np.ndarray:
    from spyx.nir import from_nir

    x = np.moveaxis(xs, 1, -1) if xs.ndim > 2 else xs
    _, y = from_nir(graph, x[:, None], dt=dt)
    y = np.asarray(y)[:, 0]
    return np.moveaxis(y, -1, 1) if y.ndim > 2 else y


def _stepped(model: Any, xs: np.ndarray) -> np.ndarray:
    import torch

    state, ys = None, []
    for x in xs:
        made = model(torch.from_numpy(x), state)
        y, state = made if isinstance(made, tuple) else (made, None)
        ys.append(y.detach().numpy())
    return np.stack(ys)


def imported(name: str) -> Iterator[str]:
    """What each of the graphs does after it has come in."""
    dt = 1.0 if name == "sinabs" else 1e-4  # snnTorch's is fixed, sinabs counts in steps
    into = {"snntorch": _into_snntorch, "norse": _into_norse, "sinabs": _into_sinabs}
    into |= {"spikingjelly": _into_spikingjelly, "spyx": _into_spyx}
    for title, nodes, edges, names in graphs(dt):
        xs = spikes(*next(iter(nodes["input"].output_type.values())))
        wanted = meant(nodes, edges, names, xs, dt)
        try:
            with contextlib.redirect_stdout(io.StringIO()), _no_gradients():
                ys = into[name](nir.NIRGraph(nodes, edges, type_check=False), xs, dt)
            found = f"{int((ys != wanted).sum())} differ" if ys.shape == wanted.shape else f"comes out as {ys.shape}"
        except Exception as error:
            found = f"refused: {type(error).__name__}: {' '.join(str(error).split())[:90]}"
        yield f"{name}, {title} ({wanted.size} outputs, {int(wanted.sum())} spikes): {found}"


# ------------------------------------------------------------------ writing
def file_of(graph: Any) -> tuple[bytes, str]:
    """What `nir.write` makes of a graph, and what it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nir"
        try:
            nir.write(path, graph)
            return path.read_bytes(), ""
        except Exception as error:
            graph.infer_types()
            nir.write(path, graph)
            return path.read_bytes(), f"  (only after graph.infer_types(); before: {type(error).__name__}: {error})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", nargs="+", choices=FRAMEWORKS)
    parser.add_argument(
        "--imports", action="store_true", help="print what comes of graphs that are imported; write nothing"
    )
    asked = parser.parse_args()
    for name in asked.framework:
        if asked.imports:
            print(*imported(name), sep="\n")
            continue
        arrays = {}
        for case, export in FRAMEWORKS[name]():
            try:
                with contextlib.redirect_stdout(io.StringIO()) as said, _no_gradients():
                    y, graph = export(case)
                    content, note = file_of(graph)
            except Exception as error:
                text = " ".join(str(error).split())
                print(f"{name} {case.name}: not exported: {type(error).__name__}: {text[:100]}")
                continue
            for line in {line for line in said.getvalue().splitlines() if "arning" in line.lower()}:
                note += f"  (said: {line.strip()})"
            whole = set(np.unique(y)) <= set(range(128)) and set(np.unique(case.x)) <= {0, 1}
            arrays |= {
                f"{case.name}.nir": np.frombuffer(content, np.uint8),
                f"{case.name}.x": case.x.astype(np.uint8),
                f"{case.name}.y": y.astype(np.uint8) if whole else y,
            }
            print(f"{name} {case.name}: {len(content)} bytes, mean output {y.mean():.3f}, most {y.max():g}{note}")
        packages = (name, "nir", *(("jax", "flax") if name == "spyx" else ("torch", "nirtorch")))
        HERE.mkdir(exist_ok=True)
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        np.savez_compressed(HERE / f"{name}.npz", versions=np.array(versions), **arrays)
        print(f"{name}: {versions}; {(HERE / f'{name}.npz').stat().st_size} bytes")


def _no_gradients() -> Any:
    try:
        import torch

        return torch.no_grad()
    except ImportError:
        return contextlib.nullcontext()


if __name__ == "__main__":
    main()
