"""Convolutions: `Conv1d` and `Conv2d`."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from snnx._errors import NIRError
from snnx.nir._export import Export, register_export
from snnx.nir._fields import Numbers, Setting, Shape, margins, places
from snnx.nir._kind import Import, Kind, register_kind
from snnx.nir._node import Node
from snnx.nir.kinds._linear import with_weights


class Convolution(Kind):
    """A convolution of feature maps, in groups of channels; weights are `(out, in / groups, *kernel)`, as in PyTorch."""

    fields: ClassVar = {
        "weight": Numbers(),
        "bias": Numbers(missing=0.0),
        "input_shape": Setting(optional=True),
    } | dict.fromkeys(("stride", "padding", "dilation", "groups"), Setting())
    stateful = False
    spikes = "never"

    def __init__(self, name: str, layer: type[eqx.nn.Conv], *space: str):
        self.name, self.layer, self.axes = name, layer, ("channels", *space)
        self.space = len(space)

    def own_shape(self, node: Node) -> Shape | None:
        return (_channels(node), *node.sizes("input_shape", self.space)) if "input_shape" in node.fields else None

    def put_out(self, node: Node, given: Shape) -> Shape:
        if given[0] != _channels(node):
            raise NIRError(f"it takes steps [{', '.join(self.axes or ())}] of {_channels(node)} channels, got {given}")
        means = self.meaning(node, given)
        window = [reach + 1 for reach in self._reach(node)]
        return (len(node.array("weight")), *places(given[1:], window, means["stride"], means["padding"]))

    def meaning(self, node: Node, given: Shape) -> Mapping[str, Any]:
        return {
            "input_shape": node.sizes("input_shape", self.space) if "input_shape" in node.fields else given[1:],
            "stride": node.sizes("stride", self.space),
            "padding": margins(node.fields["padding"], self._reach(node)),
            "dilation": node.sizes("dilation", self.space),
            "groups": node.whole("groups"),
        }

    def _reach(self, node: Node) -> list[int]:
        """How far a kernel reaches past its first place."""
        kernel, dilation = node.array("weight").shape[2:], node.sizes("dilation", self.space)
        return [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]

    def check(self, node: Node) -> None:
        weight, groups = node.array("weight"), node.whole("groups")
        if weight.ndim != self.space + 2 or 0 in weight.shape:
            kernel = ", ".join((self.axes or ())[1:])
            raise NIRError(f"weight has shape {weight.shape}; expected (out, in / groups, {kernel})")
        if groups < 1 or weight.shape[0] % groups:
            raise NIRError(f"groups is {groups}; expected a divisor of the {weight.shape[0]} channels of its output")
        if "bias" in node.fields and node.array("bias").shape != weight.shape[:1]:
            raise NIRError(f"bias has shape {node.array('bias').shape}; expected {weight.shape[:1]}")

    def build(self, node: Node, importing: Import) -> PyTree:
        weight, bias = importing.leaf("weight"), importing.leaf("bias") if "bias" in node.fields else None
        means = self.meaning(node, importing.given)
        blank = eqx.filter_eval_shape(
            self.layer,
            _channels(node),
            weight.shape[0],
            weight.shape[2:],
            means["stride"],
            tuple(means["padding"]),
            means["dilation"],
            means["groups"],
            use_bias=bias is not None,
            key=jax.random.key(0),
        )
        return with_weights(blank, weight, None if bias is None else bias.reshape(-1, *(1,) * self.space))

    def filled(self, node: Node, given: Shape | None) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        weight = node.array("weight") if "weight" in node.fields else np.zeros(())
        if "bias" not in node.fields and weight.ndim:
            found["bias"] = np.zeros(len(weight), weight.dtype)
        if "input_shape" not in node.fields and given is not None:
            found["input_shape"] = np.array(given[1] if self.space == 1 else given[1:])
        return found


def _channels(node: Node) -> int:
    return node.array("weight").shape[1] * node.whole("groups")


@register_export(eqx.nn.Conv1d, eqx.nn.Conv2d)
def _export(layer: eqx.nn.Conv, export: Export) -> Node:
    if layer.padding_mode != "ZEROS":
        export.refuse(f"padding_mode is {layer.padding_mode!r}; NIR pads with zeros")
    weight, space = export.array(layer.weight), layer.num_spatial_dims

    def numbers(given: Any) -> Any:  # nir's Conv1d has bare numbers
        return int(given[0]) if space == 1 else np.array(given)

    return export.node(
        f"Conv{space}d",
        input_shape=numbers(export.given[1:]),
        weight=weight,
        stride=numbers(layer.stride),
        padding=_padding(layer, export, numbers),
        dilation=numbers(layer.dilation),
        groups=int(layer.groups),
        bias=np.zeros(len(weight), weight.dtype) if layer.bias is None else export.array(layer.bias).reshape(-1),
    )


def _padding(layer: eqx.nn.Conv, export: Export, numbers: Callable[[Any], Any]) -> Any:
    """What both sides of each axis get, as NIR has it: numbers, or a word."""
    reach = [d * (k - 1) for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    padding = layer.padding
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return "valid"
        if any(s != 1 for s in layer.stride):
            export.refuse(
                f"padding={padding!r} with stride {layer.stride} pads as XLA has it; give the padding as numbers"
            )
        if padding.upper() == "SAME_LOWER" and any(r % 2 for r in reach):
            export.refuse("padding='SAME_LOWER' puts the odd row in front; NIR's 'same' has it behind")
        return "same"
    if all(low == high for low, high in padding):
        return numbers([low for low, _ in padding])
    if [tuple(pair) for pair in padding] == margins("same", reach):
        return "same"
    export.refuse(f"padding {padding} is not the same on both sides, which NIR cannot say")


register_kind(Convolution("Conv1d", eqx.nn.Conv1d, "length"))
register_kind(Convolution("Conv2d", eqx.nn.Conv2d, "height", "width"))
