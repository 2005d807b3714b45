"""What an imported graph was made from, kept beside it, so that what was not changed leaves as it came."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from snnx.nir._tree import Node, Tree


class Origin:
    """The records of a graph, and the arrays that became its leaves; compared by content.

    - `tree`: the graph as it was read.
    - `casts`: by path of a node and name of a field, the file's array in the dtype of the leaf.
    """

    def __init__(self, tree: Tree, casts: Mapping[tuple[str, str], np.ndarray]):
        self.tree, self.casts = tree, dict(casts)
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
    elif isinstance(value, (list, tuple)):
        digest.update(b"[%d" % len(value))
        for inner in value:
            _add(digest, inner)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
        _add(digest, [str(value.shape), value.ravel().tolist()])
    elif isinstance(value, (np.ndarray, np.generic)):
        digest.update(f"{type(value).__name__} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        text = f"{type(value).__name__} {value!r}".encode()
        digest.update(b"%d:" % len(text) + text)
