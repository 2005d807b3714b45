"""The shape of one step at every node: worked out here, as what `nir` infers is wrong for some layers."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from snnx._errors import NIRError
from snnx.nir._flat import Flat
from snnx.nir._tree import KINDS, Node

Shape: TypeAlias = tuple[int, ...]
MOST = 2**28  # elements of one step: a gigabyte of floats


def shapes_of(graph: Flat) -> dict[str, tuple[Shape, Shape]]:
    """What goes into every node at one step, and what comes out.

    **Raises:** `NIRError` where shapes do not fit or nothing tells them; for steps that no memory holds.
    """
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    found: dict[str, tuple[Shape, Shape]] = {}
    waiting = list(graph.nodes)
    while waiting:
        later = []
        for name in waiting:
            came = next((found[source][1] for source in sources[name] if source in found), None)
            shapes = _of_node(name, graph.nodes[name], came)
            if shapes is None:
                later.append(name)
            else:
                found[name] = shapes
        if len(later) == len(waiting):
            raise NIRError(
                f"nothing tells the shape of what goes into {', '.join(map(repr, later))}: no edge from a node whose shape"
                " is known leads there, and its parameters do not say."
            )
        waiting = later
    for source, target in graph.edges:
        if found[source][1] != found[target][0]:
            raise NIRError(
                f"node {target!r} ({graph.nodes[target].kind}) takes steps of shape {found[target][0]}, but from {source!r}"
                f" ({graph.nodes[source].kind}) come {found[source][1]}."
            )
    return found


def _of_node(name: str, node: Node, came: Shape | None) -> tuple[Shape, Shape] | None:
    """What goes into a node and what comes out; None where neither its parameters nor what `came` tell."""
    try:
        own = own_shape(node)
        given = came if own is None else own
        if given is None:
            return None
        if _unfit(node, given):
            _refuse(node, given)
        put_out = _rules(node.kind)(node, given)
        for shape in (given, put_out):
            if math.prod(shape) > MOST:
                raise NIRError(f"a step has {math.prod(shape):,} elements, {list(shape)}; the most is {MOST:,}")
            if any(n < 1 for n in shape):
                raise NIRError(f"a step has shape {shape}; expected at least one element on each axis")
        return given, put_out
    except NIRError as error:
        raise NIRError(f"node {name!r} ({node.kind}): {error}".rstrip(".") + ".") from error


def own_shape(node: Node) -> Shape | None:
    """The shape of what goes into a node, as far as its own fields tell."""
    fields = node.fields
    if node.kind in ("Input", "Output"):
        return sizes("shape", fields["shape"])
    if node.kind in ("Affine", "Linear"):
        weight = node.array("weight")
        return (*weight.shape[:-2], weight.shape[-1])
    if node.kind == "Flatten" and "input_type" in fields:
        return sizes("input_type", fields["input_type"])
    if node.kind in ("Conv1d", "Conv2d") and "input_shape" in fields:
        return (_channels(node), *sizes("input_shape", fields["input_shape"], node.kind))
    if KINDS[node.kind].per_element:
        shapes = {node.array(field).shape for field in KINDS[node.kind].arrays if field in fields} - {()}
        if len(shapes) > 1:
            given = ", ".join(
                f"{field} {node.array(field).shape}" for field in KINDS[node.kind].arrays if field in fields
            )
            raise NIRError(f"its parameters have shapes {given}; expected one and the same")
        return next(iter(shapes), None)
    return None


def _unfit(node: Node, came: Shape) -> bool:
    axes = {"Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}.get(node.kind, len(came))
    return len(came) != axes or (node.kind in ("Conv1d", "Conv2d") and came[0] != _channels(node))


def _refuse(node: Node, came: Shape) -> NoReturn:
    expected = "[channels, length]" if node.kind == "Conv1d" else "[channels, height, width]"
    channels = f" of {_channels(node)} channels" if node.kind in ("Conv1d", "Conv2d") else ""
    raise NIRError(f"it takes steps {expected}{channels}, got {came}")


def _rules(kind: str) -> Callable[[Node, Shape], Shape]:
    """How a kind makes the shape of its output."""
    special = {"Affine": _linear, "Linear": _linear, "Flatten": _flatten, "Conv1d": _conv, "Conv2d": _conv}
    return special.get(kind, _pool if kind in ("SumPool2d", "AvgPool2d") else _same)


def _same(node: Node, given: Shape) -> Shape:
    return given


def _linear(node: Node, given: Shape) -> Shape:
    weight = node.array("weight")
    return (*weight.shape[:-2], weight.shape[-2])


def flattened_axes(node: Node, given: Shape) -> tuple[int, int]:
    """The first and the last of the axes that become one; batch and time do not count."""
    start, end = (whole(name, node.fields.get(name, usual)) for name, usual in (("start_dim", 1), ("end_dim", -1)))
    first, last = (axis + len(given) if axis < 0 else axis for axis in (start, end))
    if not 0 <= first <= last < len(given):
        raise NIRError(f"start_dim is {start} and end_dim {end}, but one step has shape {given}")
    return first, last


def _flatten(node: Node, given: Shape) -> Shape:
    first, last = flattened_axes(node, given)
    return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


def _channels(node: Node) -> int:
    return node.array("weight").shape[1] * whole("groups", node.fields["groups"])


def _conv(node: Node, given: Shape) -> Shape:
    kernel = node.array("weight").shape[2:]
    stride, dilation = (sizes(name, node.fields[name], node.kind) for name in ("stride", "dilation"))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    space = _places(given[1:], reach, stride, margins(node))
    return (node.array("weight").shape[0], *space)


def _pool(node: Node, given: Shape) -> Shape:
    kernel, stride, padding = (sizes(name, node.fields[name], node.kind) for name in KINDS[node.kind].settings)
    return (given[0], *_places(given[1:], kernel, stride, [(p, p) for p in padding]))


def _places(
    given: Sequence[int], reach: Sequence[int], stride: Sequence[int], margins: Sequence[tuple[int, int]]
) -> list[int]:
    padded = [n + low + high for n, (low, high) in zip(given, margins, strict=True)]
    if any(n < r for n, r in zip(padded, reach, strict=True)):
        raise NIRError(f"a step of {tuple(given)} places, {tuple(padded)} with its padding, is smaller than the kernel")
    return [(n - r) // s + 1 for n, r, s in zip(padded, reach, stride, strict=True)]


def margins(node: Node) -> list[tuple[int, int]]:
    """The padding of a convolution before and after each axis.

    `"same"` is what keeps the size at stride 1, the odd row or column behind, as in PyTorch; with a stride, of the places of
    that convolution every stride-th is taken.
    """
    kernel = node.array("weight").shape[2:]
    padding = node.fields["padding"]
    if isinstance(padding, (str, bytes)):
        text = padding.decode() if isinstance(padding, bytes) else padding
        if text == "valid":
            return [(0, 0)] * len(kernel)
        if text != "same":
            raise NIRError(f"padding is {text!r}; expected whole numbers, 'same' or 'valid'")
        reach = [
            d * (k - 1) for k, d in zip(kernel, sizes("dilation", node.fields["dilation"], node.kind), strict=True)
        ]
        return [(r // 2, r - r // 2) for r in reach]
    return [(p, p) for p in sizes("padding", padding, node.kind)]


def whole(name: str, value: Any) -> int:
    """A field that is one whole number."""
    array = _numbers(name, value)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise NIRError(f"{name} is {value!r}; expected a whole number")
    return int(array.reshape(()))


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:
        raise NIRError(f"{name} is {value!r}; expected whole numbers") from None


def sizes(name: str, value: Any, kind: str = "") -> Shape:
    """A field of whole numbers: a shape, or one number for each of the axes that a kind of node works on."""
    array = _numbers(name, value)
    axes = {"Conv1d": 1, "Conv2d": 2, "SumPool2d": 2, "AvgPool2d": 2}.get(kind)
    if array.dtype.kind not in "iu" and not (array.size == 0 and kind == ""):
        raise NIRError(f"{name} is {value!r}; expected whole numbers")
    if axes is None:
        numbers = tuple(int(n) for n in array.reshape(-1))
    elif array.size in (1, axes):
        numbers = tuple(int(n) for n in np.broadcast_to(array.reshape(-1), (axes,)))
    else:
        raise NIRError(f"{name} is {value!r}; expected a whole number, or {axes} of them")
    least = 0 if name == "padding" else 1
    if any(n < least for n in numbers):
        raise NIRError(f"{name} is {value!r}; expected whole numbers >= {least}")
    return numbers
