"""Checkpoints: one file, no pickle, written atomically, refused where it does not fit.

The file is a NumPy `.npz`: an entry `header` (JSON: format version, versions of the libraries, a hash of the structure,
path, shape and dtype of every leaf, and whatever `meta` was given), and an entry of bytes per leaf. Every entry has a
checksum, so a truncated or damaged file is noticed.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from snnx._checks import checked
from snnx._errors import CheckpointError
from snnx._files import write_atomically

FORMAT = "snnx-checkpoint"
VERSION = 1

_Tree = TypeVar("_Tree")


def _is_key(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _describe(leaf: Any) -> dict[str, Any]:
    """What identifies a leaf: shape and dtype of an array, the implementation of a key, the text of anything else."""
    if _is_key(leaf):
        return {"key": str(jax.random.key_impl(leaf)), "shape": list(leaf.shape)}
    if eqx.is_array(leaf) or isinstance(leaf, np.ndarray):
        return {"dtype": leaf.dtype.name, "shape": list(leaf.shape)}
    if callable(leaf):
        return {"static": getattr(leaf, "__qualname__", type(leaf).__qualname__)}
    return {"static": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(leaf))}  # an address is another in every process


def described_leaves(tree: PyTree) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leaves by path; and what identifies the structure: of leaves, and of the modules that hold them."""
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    return leaves, _modules(tree, "") | {path: _describe(leaf) for path, leaf in leaves.items()}


def _modules(node: PyTree, path: str) -> dict[str, Any]:
    """Class and static fields (`dt`, `refractory`, ...) of every module within, by path."""
    if isinstance(node, eqx.Module):
        found: dict[str, Any] = {f"{path}:class": {"static": type(node).__qualname__}}
        for field in dataclasses.fields(node):
            value = getattr(node, field.name, None)
            where = f"{path}.{field.name}"
            if field.metadata.get("static", False):
                found[where] = _describe(value)
            else:
                found |= _modules(value, where)
        return found
    if isinstance(node, dict):
        items = [(f"{path}[{key!r}]", value) for key, value in node.items()]
    elif isinstance(node, (list, tuple)):
        items = [(f"{path}[{i}]", value) for i, value in enumerate(node)]
    else:
        return {}
    return {name: described for where, value in items for name, described in _modules(value, where).items()}


def _structure_hash(described: dict[str, Any] | None) -> str:
    """A hash of all that identifies a structure: everything but the values of its arrays."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@checked
def save_checkpoint(path: str | os.PathLike, tree: PyTree, meta: Mapping[str, Any] | None = None) -> None:
    """Write the arrays of a PyTree (a model, a `TrainState`) to one file.

    The file is written beside its place and moved there when it is whole, so that a process killed at any moment leaves
    the old file or the new one.

    **Arguments:** `path`: e.g. `"run/checkpoint.npz"`; `tree`: any PyTree; `meta`: what JSON can hold, kept with it.
    **Raises:** `OSError` if the file cannot be written; `TypeError` if `meta` is not JSON.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"save_checkpoint: {path} is a folder; name a file in it: {path / 'checkpoint.npz'}.")
    leaves, described = described_leaves(tree)
    arrays = {p: leaf for p, leaf in leaves.items() if "static" not in described[p]}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "jax": jax.__version__,
        "equinox": eqx.__version__,
        "structure": _structure_hash(described),
        "leaves": described,
        "order": list(arrays),
        "meta": dict(meta or {}),
    }
    entries = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for number, leaf in enumerate(arrays.values()):
        data = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        entries[f"leaf_{number}"] = np.frombuffer(data.tobytes(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **entries)  # pyright: ignore[reportArgumentType]
    write_atomically(path, buffer.getvalue())


@checked
def read_meta(path: str | os.PathLike) -> dict[str, Any]:
    """The `meta` of a checkpoint, without its arrays.

    **Raises:** `CheckpointError` if the file is not a whole checkpoint of this version; `FileNotFoundError`.
    """
    return read(pathlib.Path(path))[0]["meta"]


@checked
def load_checkpoint(path: str | os.PathLike, like: _Tree, *, part: str = "") -> _Tree:
    """Read a checkpoint into a PyTree of the same structure.

    **Arguments:** `path`: the file; `like`: a PyTree as it was saved, e.g. a freshly made model: its arrays are
    exchanged for those of the file. `part`: reads a part of what was saved; of the training state that
    `snnx.Checkpoint` keeps, `".model"` is the model as it was last, `".best"` the best by validation.

    **Raises:** `CheckpointError` if the file is truncated, damaged, of another version, or of another model: the message
    names the first leaf that differs, by its path; `FileNotFoundError` if it is not there.
    """
    path = pathlib.Path(path)
    header, entries = read(path)
    leaves, described = described_leaves(like)
    stored = {name[len(part) :]: leaf for name, leaf in header["leaves"].items() if name.startswith(part)}
    if not stored:
        raise CheckpointError(f"{path}: there is no part {part!r} in it.")
    if part == "" and _is_training_state(stored) and not _is_training_state(described):
        raise CheckpointError(
            f"{path}: it holds a training state, of which the model is a part; read it with part='.model' (as it was"
            " last) or part='.best' (the best by validation), or go on with snnx.fit(..., resume=path)."
        )
    found = difference(described, stored)
    if found is not None:
        name, here, there = found
        raise CheckpointError(
            f"{path}: it is of another model: {name} is {there} in the file, but {here} in the model given; make the"
            " model as it was made for training."
        )
    return rebuilt(like, read_leaves(header, entries, leaves, part))


def difference(described: dict[str, Any], stored: dict[str, Any]) -> tuple[str, str, str] | None:
    """The path of the first leaf in which two structures differ, and what it is in each; None if they are the same."""
    for name in [*described, *stored]:
        if described.get(name) != stored.get(name):
            return name, _say(described.get(name)), _say(stored.get(name))
    return None


def read_leaves(header: dict[str, Any], entries: dict[str, np.ndarray], like: dict[str, Any], part: str = "") -> dict:
    """The arrays of a file by their paths, each of the kind that `like` has there."""
    places = {name[len(part) :]: number for number, name in enumerate(header["order"]) if name.startswith(part)}
    return {name: _restore(entries[f"leaf_{number}"].tobytes(), like[name]) for name, number in places.items()}


def rebuilt(like: _Tree, arrays: Mapping[str, Any]) -> _Tree:
    """A PyTree with other arrays, given by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(like)
    new = [arrays.get(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    return jax.tree.unflatten(jax.tree.structure(like), new)


def _is_training_state(described: dict[str, Any]) -> bool:
    return described.get(":class") == {"static": "TrainState"}


def _restore(content: bytes, like: Any) -> Any:
    if _is_key(like):
        data = jax.random.key_data(like)
        values = np.frombuffer(content, data.dtype).reshape(data.shape)
        return jax.random.wrap_key_data(jnp.asarray(values), impl=jax.random.key_impl(like))
    values = np.frombuffer(content, like.dtype).reshape(like.shape)
    return values.copy() if isinstance(like, np.ndarray) else jnp.asarray(values)


def _say(described: dict[str, Any] | None) -> str:
    if described is None:
        return "absent"
    if "dtype" in described:
        return f"{described['dtype']}{described['shape']}"
    return f"a key ({described['key']})" if "key" in described else str(described["static"])


def read(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and entries of a whole checkpoint of this version."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the checkpoint in it, e.g. {path / 'checkpoint.npz'}.")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file.")
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
        header = json.loads(entries["header"].tobytes())
    except Exception as error:  # a damaged file makes the readers of zip, npy and JSON raise nearly anything
        raise CheckpointError(
            f"{path}: not a whole checkpoint; the file is truncated, damaged or something else."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not an snnx checkpoint.")
    if header.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: written in version {header.get('version')} of the format, but this snnx reads version {VERSION}."
        )
    if (
        header.get("structure") != _structure_hash(header.get("leaves"))
        or entries.keys() != {"header"} | {f"leaf_{number}" for number in range(len(header.get("order", ())))}
        or "meta" not in header
    ):
        raise CheckpointError(f"{path}: its header does not agree with itself; the file was changed.")
    return header, entries
