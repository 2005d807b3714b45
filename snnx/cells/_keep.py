"""What the backward pass keeps of a chunk of time rather than computes again."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, TypeAlias

import jax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array

Keep: TypeAlias = Literal["borders", "membranes", "all"]
KEEPS = ("borders", "membranes", "all")

_NAME = "snnx.membranes"
_marking = ContextVar("marking", default=True)


def mark_kept(x: Array) -> Array:
    """`x` itself, marked as worth keeping: a membrane from which spikes follow, or what a product of weights gave.

    Of what is marked, `keep_marked` keeps only what the gradient needs: with constant time constants the membranes
    alone, so that no product is computed twice.
    """
    return checkpoint_name(x, _NAME) if _marking.get() else x


@contextlib.contextmanager
def unmarked() -> Iterator[None]:
    """Within, `mark_kept` does nothing: inside a kernel there is nothing to keep."""
    token = _marking.set(False)
    try:
        yield
    finally:
        _marking.reset(token)


keep_marked = jax.checkpoint_policies.save_only_these_names(_NAME)
