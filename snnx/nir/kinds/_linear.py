"""Linear maps: `Linear` and `Affine`."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx._errors import NIRError
from snnx.nir._export import Export, register_export
from snnx.nir._fields import Numbers, Shape
from snnx.nir._kind import Import, Kind, register_kind
from snnx.nir._node import Node


class Linear(Kind):
    r"""$y_{\ldots o} = \sum_i W_{\ldots oi}\, x_{\ldots i} + b_{\ldots o}$; with leading axes, a map for each of their places."""

    stateful = False
    spikes = "never"

    def __init__(self, name: str, fields: Mapping[str, Numbers]):
        self.name, self.fields = name, fields

    def own_shape(self, node: Node) -> Shape:
        *places, _, width = node.array("weight").shape
        return (*places, width)

    def put_out(self, node: Node, given: Shape) -> Shape:
        return node.array("weight").shape[:-1]

    def check(self, node: Node) -> None:
        weight = node.array("weight")
        if weight.ndim < 2:
            raise NIRError(f"weight has shape {weight.shape}; expected (out, in), with or without axes before")
        if "bias" in node.fields and node.array("bias").shape != weight.shape[:-1]:
            raise NIRError(
                f"bias has shape {node.array('bias').shape}; expected {weight.shape[:-1]}, for weight is {weight.shape}"
            )

    def build(self, node: Node, importing: Import) -> PyTree:
        weight = importing.leaf("weight")
        bias = importing.leaf("bias") if "bias" in self.fields else None
        if weight.ndim > 2:
            return StackedLinear(weight, bias)
        out, width = weight.shape
        blank = eqx.filter_eval_shape(eqx.nn.Linear, width, out, bias is not None, key=jax.random.key(0))
        return with_weights(blank, weight, bias)


class StackedLinear(eqx.Module):
    r"""Linear maps side by side, one for each place of the leading axes.

    $$ y_{\ldots o} = \sum_i W_{\ldots oi}\, x_{\ldots i} + b_{\ldots o} $$
    """

    weight: Float[Array, "*places out in"]
    bias: Float[Array, "*places out"] | None = None

    def __call__(self, x: Float[Array, "*places in"]) -> Float[Array, "*places out"]:
        y = jnp.einsum("...oi,...i->...o", self.weight, x)
        return y if self.bias is None else y + self.bias


def with_weights(blank: PyTree, weight: Array, bias: Array | None) -> PyTree:
    """A layer of shapes alone with its weights: so that none are drawn at random first."""
    layer = eqx.tree_at(lambda layer: layer.weight, blank, weight)
    return layer if bias is None else eqx.tree_at(lambda layer: layer.bias, layer, bias)


@register_export(eqx.nn.Linear, StackedLinear)
def _export(layer: eqx.nn.Linear | StackedLinear, export: Export) -> Node:
    if isinstance(layer, eqx.nn.Linear) and "scalar" in (layer.in_features, layer.out_features):
        export.refuse("'scalar' features, which NIR does not have; take 1")
    weight = export.array(layer.weight)
    if layer.bias is None:
        return export.node("Linear", weight=weight)
    return export.node("Affine", weight=weight, bias=export.array(layer.bias))


register_kind(Linear("Affine", {"weight": Numbers(), "bias": Numbers()}))
register_kind(Linear("Linear", {"weight": Numbers()}))
