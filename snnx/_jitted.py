"""The jit of the public solvers: it stands where the loop is, behind checks in Python.

Called bare, or under `jax.vmap` and `jax.grad` alone, a solver is a compiled program, kept for the next call. Within a
program that somebody else traces it is a part of that, traced whenever that is.
"""

import functools
import logging
import re
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import PyTree

from snnx._readers import as_jax_array

_SENTENCE = re.compile(r"_EquinoxRuntimeError: (.*?)(?:\n\n\n-|\Z)", re.DOTALL)
KEPT = 32  # programs that are kept, the last used: each Python number in a model makes another


def run_jitted(function: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """`function(*args)` in one compiled program.

    As with `jax.jit`, there is one program for each structure of the arguments, shape and dtype of their arrays, and value of
    everything else in them; functions are compared by identity. What a function reads from outside is read once.
    If something in the arguments cannot be hashed, the function runs without a compiled program.
    """
    if within_program() or jax.config.jax_check_tracer_leaks:  # pyright: ignore[reportAttributeAccessIssue]
        return function(*args)  # a cached program holds on to its arguments, which would be reported as a leak
    leaves, structure = jax.tree.flatten(args)
    arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
    kind = _Kind(function, structure, leaves, arrays)
    if not kind.hashable():
        return function(*args)
    results, rest = readable_errors(_program(kind), arrays)
    return eqx.combine(results, rest.value)


def within_program() -> bool:
    """Whether JAX is tracing a program just now, rather than running what it is told."""
    made = jax.lax.full((), 0)
    # Under vmap or grad alone this number is an ordinary array. Under shard_map without a jit it is a tracer of its own kind.
    return isinstance(made, Tracer) and "ShardMap" not in type(made).__name__


def as_jax(tree: PyTree) -> PyTree:
    """A PyTree with its NumPy arrays as JAX arrays, except those of which something would be lost."""
    return jax.tree.map(lambda leaf: as_jax_array(leaf) if isinstance(leaf, np.ndarray) else leaf, tree)


class _Kind:
    """What a program is compiled for."""

    def __init__(self, function: Callable[..., PyTree], structure: Any, leaves: list[Any], arrays: list[jax.Array]):
        self.function, self.structure = function, structure
        self.places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
        # A NumPy array is a constant, compared by its values. It is copied, because its owner may write to it later.
        others = [None if isinstance(leaf, jax.Array) else leaf for leaf in leaves]
        self.leaves = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in others]
        values = tuple(_contents(leaf) if isinstance(leaf, np.ndarray) else exactly(leaf) for leaf in others)
        kinds = tuple(map(jax.typeof, arrays))
        self._key = (function, tuple(nodes(structure)), values, tuple(self.places), kinds)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and self._key == other._key

    def hashable(self) -> bool:
        """Whether all of it can be compared."""
        try:
            hash(self)
        except TypeError:
            return False
        return True


def nodes(structure: Any) -> Iterator[Hashable]:
    """Every node of a PyTree's structure, and what is in it: JAX's own hash of a structure leaves static fields out."""
    found = structure.node_data()
    yield None if found is None else (found[0], exactly(found[1]), structure.num_nodes)
    for child in structure.children():
        yield from nodes(child)


def exactly(value: Any) -> Hashable:
    """A value beside its type: 1, 1.0 and True are equal, and so are 0.0 and -0.0; NaN is not equal to itself."""
    if isinstance(value, tuple | list):
        return type(value), tuple(map(exactly, value))
    return type(value), repr(value) if isinstance(value, float | complex | np.inexact) else value


def _contents(array: np.ndarray) -> Any:
    """The values of a NumPy array; one of objects has no hash, and stays as it is."""
    return array if array.dtype.hasobject else (array.dtype.str, array.shape, array.tobytes())


def identified(key: Any) -> Hashable:
    """A key in which values without a hash are compared by identity."""
    if isinstance(key, tuple):
        return tuple(map(identified, key))
    try:
        hash(key)
    except TypeError:
        return _Same(key)
    return key


class _Same:
    """Compares an object by identity, and keeps it alive so that its id is not reused."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


class _Rest(eqx.Module):
    """The part of a program's result that is not arrays."""

    value: PyTree = eqx.field(static=True)


@functools.lru_cache(maxsize=KEPT)
def _program(kind: _Kind) -> Callable[[list[jax.Array]], tuple[PyTree, _Rest]]:
    # Not eqx.filter_jit, which keeps every function that it was given for as long as the process lives.
    def run(arrays: list[jax.Array]) -> tuple[PyTree, _Rest]:
        leaves = list(kind.leaves)
        for place, array in zip(kind.places, arrays, strict=True):
            leaves[place] = array
        results, rest = eqx.partition(kind.function(*jax.tree.unflatten(kind.structure, leaves)), eqx.is_array)
        return results, _Rest(rest)

    run.__name__ = run.__qualname__ = kind.function.__name__.strip("_")
    return jax.jit(run)


class _Quiet:
    """Keeps JAX from logging callback errors while a solver runs: the solver raises them itself."""

    def __init__(self):
        self._lock, self._running = threading.Lock(), 0
        self._logger = logging.getLogger("jax._src.callback")

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            self._logger.addFilter(_is_no_failed_callback)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._logger.removeFilter(_is_no_failed_callback)


_quiet = _Quiet()


def _is_no_failed_callback(record: logging.LogRecord) -> bool:
    return record.getMessage() != "jax.pure_callback failed"


def readable_errors(run: Callable[..., Any], *args: Any) -> Any:
    """`run(*args)`; an error that `eqx.error_if` raises meanwhile has the sentence that was written for it, and no more."""
    try:
        with _quiet:
            return jax.block_until_ready(run(*args))
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        found = _SENTENCE.search(str(error))
        if found is None:
            raise
        raise eqx.EquinoxRuntimeError(found[1]) from None
