"""Where a graph begins and ends: `Input` and `Output`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import PyTree

from snnx.layers import Identity
from snnx.nir._fields import Setting, Shape
from snnx.nir._kind import Import, Kind, register_kind
from snnx.nir._node import Node


class Border(Kind):
    """Hands on what it gets, and tells its shape."""

    fields: ClassVar = {"shape": Setting()}
    stateful = False
    spikes = "handed on"

    def __init__(self, name: str):
        self.name = name

    def own_shape(self, node: Node) -> Shape:
        return node.sizes("shape")

    def put_out(self, node: Node, given: Shape) -> Shape:
        return given

    def meaning(self, node: Node, given: Shape) -> Mapping[str, Any]:
        return {"shape": node.sizes("shape")}

    def check(self, node: Node) -> None:
        node.sizes("shape")

    def build(self, node: Node, importing: Import) -> PyTree:
        return Identity()

    def from_object(self, thing: Any) -> Mapping[str, Any]:
        for types, key in (("input_type", "input"), ("output_type", "output")):
            found = getattr(thing, types, None)
            if isinstance(found, Mapping) and found.get(key) is not None:
                return {"shape": found[key]}
        return {}

    def to_object(self, node: Node) -> Any:
        key = self.name.lower()
        return self.made(**{f"{key}_type": {key: node.fields["shape"]}})


register_kind(Border("Input"))
register_kind(Border("Output"))
