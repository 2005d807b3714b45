"""Pools of feature maps: `SumPool2d` and `AvgPool2d`."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from snnx.layers import SumPool2d
from snnx.nir._export import Export, refuse_export, register_export
from snnx.nir._fields import Setting, Shape, places
from snnx.nir._kind import Import, Kind, register_kind
from snnx.nir._node import Node

_SIZES = ("kernel_size", "stride", "padding")


class Pool(Kind):
    """A sum or mean over windows; padding counts in means, as in PyTorch."""

    fields: ClassVar = dict.fromkeys(_SIZES, Setting())
    stateful = False
    spikes = "never"
    axes = ("channels", "height", "width")

    def __init__(self, name: str, layer: type):
        self.name, self.layer = name, layer

    def own_shape(self, node: Node) -> Shape | None:
        return None

    def put_out(self, node: Node, given: Shape) -> Shape:
        kernel, stride, padding = self.meaning(node, given).values()
        return (given[0], *places(given[1:], kernel, stride, [(p, p) for p in padding]))

    def meaning(self, node: Node, given: Shape) -> Mapping[str, Shape]:
        return {name: node.sizes(name, 2, least=0 if name == "padding" else 1) for name in _SIZES}

    def check(self, node: Node) -> None:
        self.meaning(node, ())

    def build(self, node: Node, importing: Import) -> PyTree:
        return self.layer(*self.meaning(node, importing.given).values())


@register_export(SumPool2d)
def _export_sum(pool: SumPool2d, export: Export) -> Node:
    return export.node("SumPool2d", **{name: np.array(getattr(pool, name)) for name in _SIZES})


@register_export(eqx.nn.AvgPool2d)
def _export_mean(pool: eqx.nn.AvgPool2d, export: Export) -> Node:
    if pool.use_ceil or any(low != high for low, high in pool.padding):
        export.refuse("use_ceil, or padding that is not the same on both sides, which NIR cannot say")
    sizes = (pool.kernel_size, pool.stride, [low for low, _ in pool.padding])
    return export.node("AvgPool2d", **dict(zip(_SIZES, map(np.array, sizes), strict=True)))


register_kind(Pool("SumPool2d", SumPool2d))
register_kind(Pool("AvgPool2d", eqx.nn.AvgPool2d))
refuse_export(
    eqx.nn.MaxPool1d,
    eqx.nn.MaxPool2d,
    eqx.nn.MaxPool3d,
    eqx.nn.AdaptiveMaxPool1d,
    eqx.nn.AdaptiveMaxPool2d,
    eqx.nn.AdaptiveMaxPool3d,
    why="NIR has no maximum, only SumPool2d and AvgPool2d",
)
