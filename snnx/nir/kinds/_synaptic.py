"""Neurons behind a synapse whose current decays: `CubaLI`, `CubaLIF`."""

import numpy as np

from snnx.neurons import CubaLI, CubaLIF
from snnx.nir._export import Export, register_export
from snnx.nir._kind import register_kind
from snnx.nir._node import Node
from snnx.nir.kinds._neurons import Neuron


def _pair(neuron: CubaLI | CubaLIF, export: Export) -> dict[str, np.ndarray]:
    if neuron.method == "exact":
        export.refuse(
            "method='exact' integrates synapse and membrane together, which Euler steps of the two cannot express; take"
            " method='exponential'"
        )
    return {
        "tau_syn": export.tau(neuron.tau_syn),
        "tau_mem": export.tau(neuron.tau_mem),
        "r": export.gain(neuron.r, neuron.tau_mem),
        "v_leak": export.each(neuron.v_leak),
        "w_in": export.gain(neuron.w_in, neuron.tau_syn),
    }


@register_export(CubaLI)
def _export_li(neuron: CubaLI, export: Export) -> Node:
    return export.node("CubaLI", **_pair(neuron, export))


@register_export(CubaLIF)
def _export_lif(neuron: CubaLIF, export: Export) -> Node:
    return export.node("CubaLIF", **_pair(neuron, export), **export.spiking())


register_kind(Neuron("CubaLI", CubaLI, "tau_syn", "tau_mem", "r", "v_leak", "w_in"))
register_kind(Neuron("CubaLIF", CubaLIF, "tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"))
