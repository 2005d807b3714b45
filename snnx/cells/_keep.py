"""What the backward pass keeps of a chunk of time rather than computes again: the rules that `jax.checkpoint` is given."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, TypeAlias

import jax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array

# The argument `keep` of `simulate` and `fit`: the states at the borders of the chunks, the membranes besides, or all.
Keep: TypeAlias = Literal["borders", "membranes", "all"]

_NAME = "snnx.membranes"
_marks = ContextVar("marks", default=True)


def saveable(x: Array) -> Array:
    """`x` itself, marked as worth keeping: a membrane from which spikes follow, or what a product of weights gave.

    Of what is marked, the policy `save_saveables` keeps only what the gradient needs: with constant time constants the
    membranes alone, so that no product is computed twice.
    """
    return checkpoint_name(x, _NAME) if _marks.get() else x


@contextlib.contextmanager
def nothing_saveable() -> Iterator[None]:
    """Within, `saveable` does nothing: inside a kernel there is nothing to keep."""
    token = _marks.set(False)
    try:
        yield
    finally:
        _marks.reset(token)


save_saveables = jax.checkpoint_policies.save_only_these_names(_NAME)
