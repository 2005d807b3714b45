"""What an imported graph was made from, kept beside it, so that what was not changed leaves as it came."""

import dataclasses
import hashlib
import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from snnx._errors import NIRError
from snnx.nir._fields import Shape
from snnx.nir._kind import KINDS, meaning_of
from snnx.nir._models import once_constrained
from snnx.nir._node import DT, RESET, Node, Tree
from snnx.nir._shapes import Shapes

_Item = TypeVar("_Item", bound=Hashable)


class Origin:
    """The records of a graph, and the arrays that became its leaves; compared by content.

    - `tree`: the graph as it was read; `shapes`: of one step at each of its nodes.
    - `casts`: by path of a node and name of a field, the file's array in the dtype of the leaf.
    """

    def __init__(self, tree: Tree, shapes: Shapes, casts: Mapping[tuple[str, str], np.ndarray]):
        self.tree, self.shapes, self.casts = tree, shapes, dict(casts)
        digest = hashlib.sha256()
        _add(digest, tree)
        _add(digest, {f"{path}\0{field}": cast for (path, field), cast in self.casts.items()})
        self._digest = digest.digest()

    def __hash__(self) -> int:
        return hash(self._digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self._digest == other._digest

    def __repr__(self) -> str:
        return f"Origin({self._digest.hex()[:8]})"


def _add(digest: Any, value: Any) -> None:
    """Everything that tells one value from another goes into the digest."""
    if isinstance(value, Tree):
        _add(digest, [value.nodes, value.edges, value.metadata])
    elif isinstance(value, Node):
        _add(digest, [value.kind, value.fields, value.metadata])
    elif isinstance(value, Mapping):
        digest.update(b"{%d" % len(value))
        for key, inner in value.items():
            _add(digest, str(key))
            _add(digest, inner)
    elif isinstance(value, list | tuple):
        digest.update(b"[%d" % len(value))
        for inner in value:
            _add(digest, inner)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
        _add(digest, [str(value.shape), value.ravel().tolist()])
    elif isinstance(value, np.ndarray | np.generic):
        digest.update(f"{type(value).__name__} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        text = f"{type(value).__name__} {value!r}".encode()
        digest.update(b"%d:" % len(text) + text)


# ------------------------------------------------------------------ on the way out
def restored(tree: Tree, shapes: Mapping[str, Shape], origin: Origin, dt: float) -> Tree:
    """A graph with the fields, metadata and shapes that it came with, where the model still says the same.

    An array that is, bit for bit, what became of the file's is the file's; another has the file's dtype. Where the file
    notes a `dt` and the model now has another, that is noted.

    **Arguments:** `shapes`: of what goes into each node of the model at one step.
    """
    found = _Restoring(origin, shapes, dt).tree(tree, origin.tree, "")
    if found.noted_dt is not None and not math.isclose(found.noted_dt, dt, rel_tol=1e-6):
        return dataclasses.replace(found, metadata={**found.metadata, DT: dt})
    return found


class _Restoring(NamedTuple):
    """What every node on its way out is compared with."""

    origin: Origin
    shapes: Mapping[str, Shape]
    dt: float

    def tree(self, new: Tree, old: Tree, path: str) -> Tree:
        nodes: dict[str, Any] = {}
        for name in _as_before(new.nodes, old.nodes):
            now, then = new.nodes[name], old.nodes.get(name)
            if isinstance(now, Tree) and isinstance(then, Tree):
                nodes[name] = self.tree(now, then, f"{path}{name}/")
            elif isinstance(now, Node) and isinstance(then, Node) and now.kind == then.kind:
                nodes[name] = self.node(now, then, path + name)
            else:
                nodes[name] = now
        return Tree(nodes, tuple(_as_before(new.edges, old.edges)), old.metadata)

    def node(self, new: Node, old: Node, path: str) -> Node:
        """A node that has the kind that it came with."""
        kind, given = KINDS[new.kind], self.shapes[path]
        settings = old if _still_means(old, new, given) else new
        fields: dict[str, Any] = {}
        for name in kind.fields:
            kept = self.numbers(new, old, name, path) if name in kind.numbers else settings.fields.get(name)
            if kept is not None:
                fields[name] = kept
        alike = all(np.shape(fields.get(name, 0)) == np.shape(old.fields.get(name, 0)) for name in kind.numbers)
        alike = alike and settings is old and given == self.origin.shapes[path][0]
        return Node(old.kind, fields, _metadata(new, old), old.types if alike else new.types)

    def numbers(self, new: Node, old: Node, name: str, path: str) -> Any:
        """A field as it leaves: the file's own array, the new one in its dtype, or None if it does without."""
        if name not in new.fields:
            return None
        array = new.array(name)
        if name not in old.fields:
            return None if (array == KINDS[new.kind].numbers[name].missing).all() else array
        given = old.fields[name]
        if name == "v_reset" and new.metadata.get(RESET) == "subtract":  # which the model does not have
            return given
        then = self.origin.casts.get((path, name), old.array(name))
        if then.dtype == jnp.bfloat16:  # which NumPy does not have: it leaves in the dtype of the export
            then = then.astype(array.dtype)
        each = np.broadcast_to(then, array.shape) if then.ndim == 0 else then
        if _same_bits(each, array) or any(_same_bits(a, array) for a in once_constrained(name, each, self.dt)):
            return given
        if then.ndim == 0 and (array == array.flat[0]).all():  # one number for all, as it came
            array = array.flat[0].reshape(())
        dtype = np.asarray(given).dtype
        return np.asarray(array.astype(dtype) if dtype.kind == "f" else array)


def _as_before(new: Iterable[_Item], old: Iterable[_Item]) -> list[_Item]:
    """What there is now, in the order in which it came; what is new comes last."""
    now, then = dict.fromkeys(new), dict.fromkeys(old)
    return [*(item for item in then if item in now), *(item for item in now if item not in then)]


def _still_means(old: Node, new: Node, given: Shape) -> bool:
    """Whether the settings that a node came with mean, beside its arrays of now, what those of the model mean.

    All of them or none: what one means may depend on the others, and on arrays, as "same" does on dilation and kernel.
    """
    kind = KINDS[new.kind]
    arrays = {name: array for name, array in new.fields.items() if name in kind.numbers}
    settings = {name: setting for name, setting in old.fields.items() if name in kind.settings}
    try:
        now, then = meaning_of(new, given), meaning_of(Node(new.kind, arrays | settings), given)
    except NIRError:
        return False
    return all(np.array_equal(now[name], then[name]) for name in kind.settings)


def _metadata(new: Node, old: Node) -> dict[str, Any]:
    """The metadata that a node came with, and how it is reset now."""
    found = {key: value for key, value in old.metadata.items() if key != RESET} | dict(new.metadata)
    if old.metadata.get(RESET) == "value" and RESET not in new.metadata:
        found[RESET] = "value"
    return {key: found[key] for key in _as_before(found, old.metadata)}


def _same_bits(a: Any, b: np.ndarray) -> bool:
    a = np.asarray(a)
    return (a.shape, a.dtype) == (b.shape, b.dtype) and a.tobytes() == b.tobytes()
