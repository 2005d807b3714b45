"""Neurons of one equation: `I`, `IF`, `LI`, `LIF`."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import PyTree

from snnx.cells import AbstractCell, replace
from snnx.neurons import ALIF, IF, LI, LIF, AdLIF, Integrator
from snnx.nir._export import Export, refuse_export, register_export
from snnx.nir._fields import Numbers, place
from snnx.nir._kind import Import, PerElement, register_kind
from snnx.nir._node import Node
from snnx.parameters import value

_FIELDS = dict.fromkeys(("tau", "tau_syn", "tau_mem"), Numbers("time constant")) | {
    "r": Numbers(),
    "v_leak": Numbers(),
    "v_threshold": Numbers("threshold"),
    "v_reset": Numbers(missing=0.0),
    "w_in": Numbers(missing=1.0),
}


class Neuron(PerElement):
    """A membrane; with a threshold it puts out spikes. The cell that it becomes has the same parameters, by the same names."""

    stateful = True

    def __init__(self, name: str, cell: type[AbstractCell], *fields: str):
        self.name, self.cell = name, cell
        self.fields = {field: _FIELDS[field] for field in fields}
        self.spikes = "always" if "v_threshold" in fields else "never"

    def build(self, node: Node, importing: Import) -> PyTree:
        found = importing.leaves(*(name for name in self.fields if name not in ("v_threshold", "v_reset")))
        found |= importing.spiking() if self.spikes == "always" else {}
        found |= {"method": importing.method} if any(name.startswith("tau") for name in self.fields) else {}
        # Not made by its constructor, which refuses time constants shorter than a step. A file may have those, with a warning.
        return replace(self.cell(), **found, **importing.common())

    def odd(self, node: Node, dt: float | None) -> Iterator[str]:
        if {"v_reset", "v_threshold"} <= set(node.fields):
            above = np.asarray(node.array("v_reset") > node.array("v_threshold"))
            if above.any():
                yield f"v_reset is above v_threshold at {place(above)}: once it has fired, it fires again and again."


def _rate(neuron: IF | Integrator, export: Export) -> np.ndarray:
    """The `r` of an integrator: what a second of input 1 adds."""
    unit = export.seconds_per_unit()
    if neuron.r is None:
        return export.each(1.0 / export.dt)
    return export.each(neuron.r) if unit == 1.0 else export.each(np.asarray(value(neuron.r), np.float64) / unit)


def _leaky(neuron: LI | LIF, export: Export) -> dict[str, np.ndarray]:
    tau, r = export.tau(neuron.tau), export.gain(neuron.r, neuron.tau)
    return {"tau": tau, "r": r, "v_leak": export.each(neuron.v_leak)}


@register_export(Integrator)
def _export_i(neuron: Integrator, export: Export) -> Node:
    return export.node("I", r=_rate(neuron, export))


@register_export(IF)
def _export_if(neuron: IF, export: Export) -> Node:
    return export.node("IF", r=_rate(neuron, export), **export.spiking())


@register_export(LI)
def _export_li(neuron: LI, export: Export) -> Node:
    return export.node("LI", **_leaky(neuron, export))


@register_export(LIF)
def _export_lif(neuron: LIF, export: Export) -> Node:
    return export.node("LIF", **_leaky(neuron, export), **export.spiking())


register_kind(Neuron("I", Integrator, "r"))
register_kind(Neuron("IF", IF, "r", "v_threshold", "v_reset"))
register_kind(Neuron("LI", LI, "tau", "r", "v_leak"))
register_kind(Neuron("LIF", LIF, "tau", "r", "v_leak", "v_threshold", "v_reset"))
refuse_export(ALIF, AdLIF, why="NIR has no adaptive neurons, only IF, LIF and CubaLIF")
