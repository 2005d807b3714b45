"""Files of frameworks that mean something else than the format, rewritten into graphs that mean it in the format."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from snnx._errors import NIRError
from snnx.nir._node import VERSION, Edge, Node, Reset, Tree
from snnx.nir._validate import examined

SPIKING = ("IF", "LIF", "CubaLIF")
SNNTORCH_DT = 1e-4  # in its exporter and its importer


class Dialect(NamedTuple):
    """How a framework's files differ from the format.

    - `meaning`: the difference, in a sentence or two.
    - `reset`: what a spike does there, unless from_nir is told.
    - `rewritten`: from the file's graph, seconds per step, and the reset that from_nir is told, to the graph in the format.
    """

    meaning: str
    reset: Reset
    rewritten: Callable[[Tree, float, Reset | None], Tree]


def translated(tree: Tree, dialect: str | None, dt: float, reset: Reset | None) -> tuple[Tree, Reset | None]:
    """A graph in the format's meaning, and its reset.

    **Raises:** `NIRError` for nodes or edges that are not valid, and where the file and `dt` do not go together.
    """
    if dialect is None:
        return tree, reset
    if VERSION in tree.metadata:
        warnings.warn(
            f"from_nir: snnx wrote this file, which is in the format's own meaning, and is now read as one of {dialect}.",
            stacklevel=4,
        )
    # Fields and edges are relied on below. Shapes are checked afterwards: those in Rockpool's files have the batch's axis.
    examined(tree, with_shapes=False).accepted("from_nir")
    chosen = DIALECTS[dialect]
    return chosen.rewritten(tree, dt, reset), chosen.reset if reset is None else reset


# ------------------------------------------------------------------ what takes a node's place
class _Replacement(NamedTuple):
    """Nodes in the place of one: edges that led to it lead to `entry`, those from it come from `exit`.

    - `back`: where edges come from that are part of a cycle. Such a cycle lags by a step already, which may stand for the step
        that `exit` waits.
    """

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    entry: str
    exit: str
    back: str


def _one(name: str, node: Node) -> _Replacement:
    return _Replacement({name: node}, (), name, name, name)


def _replaced(tree: Tree, replacement: Callable[[str, Node], _Replacement]) -> Tree:
    """A graph with each of its nodes replaced, in nested graphs too."""
    new = {name: replacement(name, node) for name, node in tree.nodes.items() if isinstance(node, Node)}
    nodes: dict[str, Node | Tree] = {}
    for name, node in tree.nodes.items():
        several = {name: _replaced(node, replacement)} if isinstance(node, Tree) else new[name].nodes
        for own, made in several.items():
            if own in nodes or (own != name and own in tree.nodes):
                raise NIRError(
                    f"from_nir: the dialect adds a node called {own!r}, but there is one already; rename it."
                )
            nodes[own] = made
    edges = [edge for part in new.values() for edge in part.edges]
    for source, target in tree.edges:
        start, end = source, new[target].entry if target in new else target
        if source in new:
            cyclic = new[source].back != new[source].exit and source in _reached(tree, target)
            start = new[source].back if cyclic else new[source].exit
        edges.append((start, end))
    return dataclasses.replace(tree, nodes=nodes, edges=tuple(edges))


def _reached(tree: Tree, name: str) -> set[str]:
    """What a node leads to, itself included."""
    found, waiting = {name}, [name]
    while waiting:
        current = waiting.pop()
        ahead = {target for source, target in tree.edges if source == current} - found
        found |= ahead
        waiting.extend(ahead)
    return found


def _with(node: Node, **fields: Any) -> Node:
    return dataclasses.replace(node, fields={**node.fields, **fields})


def _double(node: Node, field: str) -> np.ndarray:
    return node.array(field).astype(np.float64)


# ------------------------------------------------------------------ what several frameworks do
def _fires_at(node: Node) -> Node:
    """Spikes where v >= threshold: in float32, where v is above the next number below the threshold."""
    if node.kind not in SPIKING:
        return node
    threshold = node.array("v_threshold").astype(np.float32)
    return _with(node, v_threshold=np.nextafter(threshold, np.float32(-np.inf)))


def _whole_input(node: Node, dt: float) -> Node:
    """All of the input is added in a step, to membranes and synapses: the gain dt/tau r is 1."""
    if node.kind in ("IF", "I"):
        return _with(node, r=np.ones_like(_double(node, "r")) / dt)
    if node.kind in ("LIF", "LI"):
        return _with(node, r=_double(node, "tau") / dt)
    if node.kind in ("CubaLIF", "CubaLI"):
        return _with(node, r=_double(node, "tau_mem") / dt, w_in=_double(node, "tau_syn") / dt)
    return node


def _late_reset(name: str, node: Node) -> _Replacement:
    """A threshold that is subtracted one step after the spike, when the membrane has leaked.

    Meant is v <- b v + g x - threshold s, with b = 1 - dt/tau, g = r dt/tau and s the spike of the step before. Subtracted at the
    spike itself, the threshold leaks, too: v <- b (v - threshold s) + g x. The difference, -(1 - b) threshold s, is the input
    x = -threshold/r s: a synapse of the neuron with itself, by an edge that lags.
    """
    if node.kind == "CubaLIF":
        whole = dict(node.fields)
        leak = np.zeros_like(_double(node, "tau_syn"))
        synapse = Node("LI", {"tau": whole.pop("tau_syn"), "r": whole.pop("w_in", leak + 1), "v_leak": leak})
        membrane = _late_reset(name, Node("LIF", {"tau": whole.pop("tau_mem"), **whole}, node.metadata))
        current = f"{name}_current"
        nodes, edges = {current: synapse} | membrane.nodes, ((current, name), *membrane.edges)
        return _Replacement(nodes, edges, current, name, name)
    if node.kind != "LIF":
        return _one(name, node)
    off = Node("Scale", {"scale": -_double(node, "v_threshold") / _double(node, "r")})
    return _Replacement(
        {name: node, f"{name}_reset": off}, ((name, f"{name}_reset"), (f"{name}_reset", name)), name, name, name
    )


def _late_spikes(part: _Replacement, dt: float) -> _Replacement:
    """Spikes leave one step after the membrane has crossed the threshold; on a way back to the neuron that is the cycle's lag."""
    node = part.nodes[part.exit]
    if node.kind not in SPIKING:
        return part
    late = f"{part.exit}_late"
    delay = Node("Delay", {"delay": np.full(node.array("v_threshold").shape, dt)})
    return part._replace(nodes=part.nodes | {late: delay}, edges=(*part.edges, (part.exit, late)), exit=late)


# ------------------------------------------------------------------ the frameworks
def _snntorch(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    if not math.isclose(dt, SNNTORCH_DT, rel_tol=1e-6):
        raise NIRError(
            f"from_nir: dt is {dt:g}, but snnTorch writes its files for steps of {SNNTORCH_DT:g} s, whatever a step means"
            f" there; take dt={SNNTORCH_DT:g}."
        )
    return tree if reset is not None else _replaced(tree, _late_reset)


def _norse(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    def replacement(name: str, node: Node) -> _Replacement:
        # Its exporter writes tau = dt / tau_inv, which is a time constant times dt.
        taus = {field: _double(node, field) / dt for field in ("tau", "tau_syn", "tau_mem") if field in node.fields}
        node = _with(node, **taus)
        if node.kind == "IF":
            node = _whole_input(node, dt)
        if node.kind == "CubaLIF":
            node = _with(node, w_in=node.array("tau_syn") / dt)
        return _one(name, node)

    return _replaced(tree, replacement)


def _sinabs(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    def replacement(name: str, node: Node) -> _Replacement:
        if node.kind in ("LIF", "LI"):  # a decay of exp(-1/tau), tau in steps, is Euler's 1 - dt/tau' with this tau'
            node = _with(node, tau=dt / -np.expm1(-1 / _double(node, "tau")))
        if node.kind in ("IF", "LI"):
            node = _whole_input(node, dt)
        return _one(name, _fires_at(node))

    return _replaced(tree, replacement)


def _spikingjelly(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    return _replaced(tree, lambda name, node: _one(name, _fires_at(node)))


def _rockpool(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    def euler(node: Node, field: str) -> tuple[np.ndarray, np.ndarray]:
        """The time constant whose Euler step decays as exp(-dt/tau), and that decay."""
        decay = np.exp(-dt / _double(node, field))
        return dt / (1 - decay), decay

    def replacement(name: str, node: Node) -> _Replacement:
        if node.kind in ("Input", "Output"):  # the file has the batch's axis, too; all of its layers have one axis
            return _one(name, _with(node, shape=np.ravel(node.fields["shape"])[-1:]))
        if node.kind not in ("LI", "LIF", "CubaLIF"):
            return _one(name, node)
        field = "tau_mem" if node.kind == "CubaLIF" else "tau"
        # Membranes are v <- decay v + i with the synapse's i <- decay (i + x); an LI has v <- decay (v + x).
        tau, decay = euler(node, field)
        written = _double(node, field) / dt * decay
        if not np.allclose(_double(node, "r"), written, rtol=1e-3):
            raise NIRError(
                f"from_nir: node {name!r} ({node.kind}): r is {_double(node, 'r').flat[0]:g}, but Rockpool writes tau/dt"
                f" exp(-dt/tau), which is {written.flat[0]:g} for dt={dt:g}; take the dt of the model that was written."
            )
        node = _with(node, **{field: tau}, r=tau / dt * (decay if node.kind == "LI" else 1))
        if node.kind == "CubaLIF":
            tau_syn, kept = euler(node, "tau_syn")
            node = _with(node, tau_syn=tau_syn, w_in=tau_syn / dt * kept)
        return _one(name, _fires_at(node))

    return _replaced(tree, replacement)


def _spyx(tree: Tree, dt: float, reset: Reset | None) -> Tree:
    def replacement(name: str, node: Node) -> _Replacement:
        node = _whole_input(node, dt)
        late = node.kind == "LIF" and reset is None
        return _late_spikes(_late_reset(name, node) if late else _one(name, node), dt)

    return _replaced(_channels_first(_straight_in(tree)), replacement)


def _straight_in(tree: Tree) -> Tree:
    """Spyx's recurrent layers take their input as it is; its files lead it through the recurrent weights."""
    nodes = {name: _straight_in(node) if isinstance(node, Tree) else node for name, node in tree.nodes.items()}

    def end(source: str, target: str) -> str:
        neuron = f"{target.removesuffix('.w_rec')}.lif"
        given = nodes[source]
        from_input = isinstance(given, Node) and given.kind == "Input"
        return neuron if from_input and target.endswith(".w_rec") and neuron in nodes else target

    edges = tuple((source, end(source, target)) for source, target in tree.edges)
    return dataclasses.replace(tree, nodes=nodes, edges=edges)


def _channels_first(tree: Tree) -> Tree:
    """Spyx flattens planes with channels last; its files have the weights behind as they are there."""
    nodes, flattened = dict(tree.nodes), list(_flattened(tree))
    shapes = examined(tree).accepted("from_nir").shapes if flattened else {}
    for name, target in flattened:
        (given, put_out), node = shapes[name], tree.nodes[target]
        if len(given) == 3 and len(put_out) == 1 and isinstance(node, Node):
            channels, height, width = given
            weight = node.array("weight").reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
            nodes[target] = _with(node, weight=weight.reshape(len(weight), -1))
    return dataclasses.replace(tree, nodes=nodes)


def _flattened(tree: Tree) -> Iterator[Edge]:
    """Edges from a `Flatten` to what has weights."""
    for source, target in tree.edges:
        kinds = [node.kind if isinstance(node, Node) else "" for node in (tree.nodes[source], tree.nodes[target])]
        if kinds[0] == "Flatten" and kinds[1] in ("Affine", "Linear"):
            yield source, target


DIALECTS: dict[str, Dialect] = {
    "norse": Dialect(
        "Time constants are written times dt, to_nir(dt=...), which has to be that of the model and of from_nir. An IAF adds all"
        " of its input, as does the synapse of a LIF. Spikes set v to v_reset, which is not written: 0 is its default.",
        "value",
        _norse,
    ),
    "rockpool": Dialect(
        "Decays are exp(-dt/tau), a membrane adds all of its input, a synapse its decayed input; a neuron fires at the threshold"
        " itself, which is subtracted.",
        "subtract",
        _rockpool,
    ),
    "sinabs": Dialect(
        "Time constants are in steps, and decays exp(-1/tau); LIF scales its input by 1 - exp(-1/tau) (norm_input=True, the"
        " default), IAF and ExpLeak add all of it; a neuron fires at the threshold itself, which is subtracted.",
        "subtract",
        _sinabs,
    ),
    "snntorch": Dialect(
        "A step is 1e-4 s. The threshold is subtracted one step after the spike (the default; the file does not say). With"
        " reset='value' as Leaky(reset_mechanism='zero'), with 'subtract' as reset_delay=False.",
        "subtract",
        _snntorch,
    ),
    "spikingjelly": Dialect("A neuron fires at the threshold itself, v >= v_threshold.", "value", _spikingjelly),
    "spyx": Dialect(
        "A neuron adds all of its input, whatever r says, and fires one step after it has crossed the threshold, which is then"
        " subtracted. Recurrent layers take their input as it is, and Flatten has channels last.",
        "subtract",
        _spyx,
    ),
}
