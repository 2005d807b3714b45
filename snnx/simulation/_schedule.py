"""How time is cut: the one place for the rule, with the measurements that it comes from.

`benchmarks/simulate.py` on 2 CPU cores, one training step (see benchmarks/README.md for the tables):

- 128-64-64-20, T=128, B=256: chunks from 8 to 32 steps take the same time within 5 %; 8 steps need 8 MB of
  temporaries, 16 need 13, 32 need 23, the naive scan 34. Hence `NARROW_CHUNK`.
- One layer of 3072 x 3072, T=500, B=16: the weights do not fit into the cache, so that every chunk reads them anew;
  larger chunks read them less often. Hence `WIDE_CHUNK` above `WIDE_LAYER` weights.
"""

import equinox as eqx
import jax
from jaxtyping import PyTree

NARROW_CHUNK = 8
WIDE_CHUNK = 50
WIDE_LAYER = 1_000_000


def default_chunk(cell: PyTree, steps: int) -> int:
    """The number of steps per chunk where none is given: 8, or 50 where a layer has a million weights or more.

    At most `steps`. `simulate(..., chunk=...)` and `fit(..., chunk=...)` override it; results do not depend on it.
    """
    largest = max((x.size for x in jax.tree.leaves(cell) if eqx.is_array(x)), default=0)
    return min(steps, WIDE_CHUNK if largest >= WIDE_LAYER else NARROW_CHUNK)
