"""What acts on numbers alone: `Scale`, `Threshold`, `Delay`; `Flatten`, which leaves them as they are; and no node at all."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from snnx._errors import NIRError
from snnx.cells import replace
from snnx.layers import Delay, Flatten, GaussianNoise, Identity, Scale, Sequential, Threshold, ThresholdNorm
from snnx.nir._export import Export, refuse_export, register_export
from snnx.nir._fields import MOST, Numbers, Setting, Shape
from snnx.nir._kind import Import, Kind, PerElement, register_kind
from snnx.nir._node import Node


class ScaleKind(PerElement):
    r"""$y = x \odot s$."""

    name, stateful, spikes = "Scale", False, "never"
    fields: ClassVar = {"scale": Numbers()}

    def build(self, node: Node, importing: Import) -> PyTree:
        return Scale(importing.leaf("scale"))


class ThresholdKind(PerElement):
    r"""$y = H(x - \vartheta)$."""

    name, stateful, spikes = "Threshold", False, "always"
    fields: ClassVar = {"threshold": Numbers("threshold")}

    def build(self, node: Node, importing: Import) -> PyTree:
        # Not made by its constructor, which refuses thresholds that are infinite.
        return replace(Threshold(), threshold=importing.leaf("threshold"), surrogate=importing.surrogate)


class DelayKind(PerElement):
    r"""$y_t = x_{t - d}$ with $d = \text{round}(\text{delay} / \Delta t)$."""

    name, stateful, spikes = "Delay", True, "handed on"
    fields: ClassVar = {"delay": Numbers("delay")}

    def build(self, node: Node, importing: Import) -> PyTree:
        return Delay(importing.constant("delay"), **importing.common())

    def check_memory(self, node: Node, given: Shape, dt: float) -> None:
        seconds, elements = float(node.array("delay").max(initial=0.0)), math.prod(given)
        if not seconds / dt * elements <= MOST:
            raise NIRError(
                f"delay is {seconds:g} s, {seconds / dt:g} steps of {dt:g} s, for each of which {elements:,} elements are"
                f" kept; the most is {MOST:,} numbers. Is it in seconds? Else take a larger dt, or a shorter delay"
            )

    def odd(self, node: Node, dt: float | None) -> Iterator[str]:
        if dt is None:
            return
        steps = node.array("delay").astype(np.float64) / dt
        off = np.abs(steps - np.rint(steps))
        if (off > 1e-3).any():
            at = int(np.argmax(off))
            yield (
                f"delay is {node.array('delay').flat[at]:g} s, {steps.flat[at]:g} steps of {dt:g} s, which is rounded to"
                f" {np.rint(steps.flat[at]):g}: off by {off.flat[at] * dt:g} s."
            )


class FlattenKind(Kind):
    """The axes from `start_dim` to `end_dim` as one; batch and time do not count."""

    name, stateful, spikes = "Flatten", False, "handed on"
    fields: ClassVar = dict.fromkeys(("input_type", "start_dim", "end_dim"), Setting(optional=True))

    def own_shape(self, node: Node) -> Shape | None:
        return node.sizes("input_type") if "input_type" in node.fields else None

    def put_out(self, node: Node, given: Shape) -> Shape:
        first, last = self._axes(node, given)
        return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])

    def meaning(self, node: Node, given: Shape) -> Mapping[str, Any]:
        first, last = self._axes(node, given)
        return {"input_type": given, "start_dim": first, "end_dim": last}

    def _axes(self, node: Node, given: Shape) -> tuple[int, int]:
        """The first and the last of the axes that become one."""
        start, end = node.whole("start_dim", missing=1), node.whole("end_dim", missing=-1)
        first, last = (axis + len(given) if axis < 0 else axis for axis in (start, end))
        if not 0 <= first <= last < len(given):
            raise NIRError(f"start_dim is {start} and end_dim {end}, but one step has shape {given}")
        return first, last

    def build(self, node: Node, importing: Import) -> PyTree:
        return Flatten(*self._axes(node, importing.given))

    def from_object(self, thing: Any) -> Mapping[str, Any]:
        fields = dict(super().from_object(thing))
        given = fields["input_type"]
        return fields | {"input_type": given.get("input") if isinstance(given, Mapping) else given}

    def to_object(self, node: Node) -> Any:
        return self.made(**{**node.fields, "input_type": {"input": node.fields.get("input_type")}})


@register_export(Scale)
def _export_scale(layer: Scale, export: Export) -> Node:
    return export.node("Scale", scale=export.each(layer.scale))


@register_export(Threshold)
def _export_threshold(layer: Threshold, export: Export) -> Node:
    export.check_surrogate()
    return export.node("Threshold", threshold=export.each(layer.threshold))


@register_export(Delay)
def _export_delay(delay: Delay, export: Export) -> Node:
    seconds = np.asarray(delay.delays, np.float64).reshape(delay.shape or ()) * export.seconds_per_unit()
    return export.node("Delay", delay=np.array(np.broadcast_to(seconds, export.given)))


@register_export(Flatten)
def _export_flatten(layer: Flatten, export: Export) -> Node:
    end = len(export.given) - 1 if layer.end is None else layer.end
    return export.node("Flatten", input_type=np.array(export.given), start_dim=layer.start, end_dim=end)


@register_export(eqx.nn.Identity)
def _nothing(layer: eqx.nn.Identity, export: Export) -> Identity:
    return Identity()


@register_export(eqx.nn.Dropout, GaussianNoise)
def _nothing_in_inference(layer: eqx.nn.Dropout | GaussianNoise, export: Export) -> Identity:
    size = layer.p if isinstance(layer, eqx.nn.Dropout) else layer.std
    if not (layer.inference or (isinstance(size, int | float) and size == 0)):
        export.refuse("it is random in training; eqx.nn.inference_mode(model) switches it off, and it is left out")
    return Identity()


@register_export(eqx.nn.Sequential)
def _export_sequential(layers: eqx.nn.Sequential, export: Export) -> PyTree:
    return Sequential(layers.layers) if layers.layers else Identity()


register_kind(ScaleKind())
register_kind(ThresholdKind())
register_kind(DelayKind())
register_kind(FlattenKind())
refuse_export(
    ThresholdNorm,
    eqx.nn.LayerNorm,
    eqx.nn.GroupNorm,
    eqx.nn.RMSNorm,
    eqx.nn.BatchNorm,
    why="NIR has no normalisation, and one that depends on the input cannot be folded into weights",
)
