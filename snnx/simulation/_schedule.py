"""How time is cut: the one place for the rule, with the measurements that it comes from."""

import equinox as eqx
import jax
from jaxtyping import PyTree

NARROW_CHUNK = 16
WIDE_CHUNK = 50
WIDE_LAYER = 1_000_000


def default_chunk(cell: PyTree, steps: int) -> int:
    """The number of steps per chunk where none is given."""
    largest = max((x.size for x in jax.tree.leaves(cell) if eqx.is_array(x)), default=0)
    return min(steps, WIDE_CHUNK if largest >= WIDE_LAYER else NARROW_CHUNK)
