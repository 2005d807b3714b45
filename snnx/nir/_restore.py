"""An imported graph on its way out: what was not changed leaves as it came."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from snnx._errors import NIRError
from snnx.nir._constrain import stays_above
from snnx.nir._import_nodes import DT, RESET, noted_dt
from snnx.nir._origin import Origin
from snnx.nir._shapes import Shape, flattened_axes, margins, sizes, whole
from snnx.nir._tree import KINDS, Node, Tree
from snnx.nir._validate import TAUS


def restored(tree: Tree, origin: Origin, dt: float) -> Tree:
    """The graph with the fields, metadata and shapes that it came with, where the model still says the same.

    An array that is, bit for bit, what became of the file's is the file's; another has the file's dtype. Where the file
    notes a `dt` and the model now has another, that is noted.
    """
    found = _tree(tree, origin.tree, origin, "", dt)
    noted = noted_dt(found.metadata)
    if noted is not None and not math.isclose(noted, dt, rel_tol=1e-6):
        return dataclasses.replace(found, metadata={**found.metadata, DT: dt})
    return found


def _tree(new: Tree, old: Tree, origin: Origin, path: str, dt: float) -> Tree:
    order = [name for name in old.nodes if name in new.nodes]
    order += [name for name in new.nodes if name not in old.nodes]
    nodes: dict[str, Any] = {}
    for name in order:
        now, then, inner = new.nodes[name], old.nodes.get(name), f"{path}{name}"
        if isinstance(now, Tree):
            nodes[name] = _tree(now, then, origin, f"{inner}/", dt) if isinstance(then, Tree) else now
        else:
            nodes[name] = _node(now, then, origin, inner, dt) if isinstance(then, Node) else now
    edges = [edge for edge in old.edges if edge in set(new.edges)]
    edges += [edge for edge in new.edges if edge not in set(old.edges)]
    return Tree(nodes, tuple(edges), old.metadata)


def _node(new: Node, old: Node, origin: Origin, path: str, dt: float) -> Node:
    if new.kind != old.kind:
        return new
    kind, fields = KINDS[new.kind], dict(old.fields)
    for field in kind.arrays:
        if field in new.fields:
            kept = _array(new.array(field), old, field, origin.casts.get((path, field)), dt)
            if kept is not None:
                fields[field] = kept
    agree = _settings_agree(new, old)
    if not agree:
        fields |= {field: new.fields[field] for field in kind.settings if field in new.fields}
    metadata = {key: value for key, value in old.metadata.items() if key != RESET} | dict(new.metadata)
    if old.metadata.get(RESET) == "value" and RESET not in new.metadata:
        metadata[RESET] = "value"
    order = [key for key in old.metadata if key in metadata] + [key for key in metadata if key not in old.metadata]
    types = old.types if agree else None
    return dataclasses.replace(old, fields=fields, metadata={key: metadata[key] for key in order}, types=types)


_MISSING = {"v_reset": 0.0, "w_in": 1.0, "bias": 0.0}


def _array(new: np.ndarray, old: Node, field: str, cast: np.ndarray | None, dt: float) -> Any:
    """What goes into the file: its own array, the new one in its dtype, or None for a field that it does without."""
    if field not in old.fields:
        return None if (new == _MISSING[field]).all() else new
    given = old.fields[field]
    then = cast if cast is not None else old.array(field)
    then = (
        then.astype(new.dtype) if then.dtype == jnp.bfloat16 else then
    )  # as which it leaves: NumPy has no such floats
    if field == "delay":
        then = then.astype(np.float64)
    if field == "v_reset" and cast is None:  # a neuron that is reset by subtraction: its value is not the model's
        return given
    whole_ = np.broadcast_to(then, new.shape) if then.ndim == 0 else then
    if field == "v_threshold" and np.isinf(whole_).any():
        whole_ = np.where(np.isinf(whole_) & (new == np.finfo(new.dtype).max), new, whole_)
    if _same_bits(whole_, new) or any(_same_bits(kept, new) for kept in _constrained(field, whole_, dt)):
        return given
    if then.ndim == 0 and (new == new.flat[0]).all():  # one number for all, as it came
        new = new.flat[0].reshape(())
    dtype = np.asarray(given).dtype
    return np.asarray(new.astype(dtype) if dtype.kind == "f" else new)


def _constrained(field: str, array: np.ndarray, dt: float) -> Iterator[np.ndarray]:
    """What `constrain` makes of an array: the same but for rounding."""
    if field in (*TAUS, "r", "v_threshold") and ((array > 0) & np.isfinite(array)).all():
        for low in (dt, 0.0) if field in TAUS else (0.0,):
            yield np.asarray(stays_above(jnp.asarray(array), low).value())


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
    )


def _settings_agree(new: Node, old: Node) -> bool:
    """Whether the settings of a layer mean the same as those that it came with."""
    try:
        given = sizes("input_type", new.fields["input_type"]) if new.kind == "Flatten" else ()
        return _meaning(new, given) == _meaning(old, given)
    except NIRError:
        return False


def _meaning(node: Node, given: Shape) -> Any:
    fields = node.fields
    if node.kind in ("Conv1d", "Conv2d"):
        stride, dilation = (sizes(name, fields[name], node.kind) for name in ("stride", "dilation"))
        return stride, dilation, whole("groups", fields["groups"]), margins(node), node.array("weight").shape
    if node.kind in ("SumPool2d", "AvgPool2d"):
        return tuple(sizes(name, fields[name], node.kind) for name in KINDS[node.kind].settings)
    if node.kind == "Flatten":
        return flattened_axes(node, given)
    return None
