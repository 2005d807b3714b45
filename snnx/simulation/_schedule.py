"""How time is cut, and what is kept for the backward pass: the one place for the rules, with their measurements.

`benchmarks/simulate.py` on 2 CPU cores, one training step (benchmarks/README.md has the tables):

- 128-64-64-20, T=128, B=256: chunks of 8 to 32 steps take the same time within 15 %; 8 steps need 8 MB of temporaries,
  16 need 13, 32 need 23, the naive scan 34. Hence `NARROW_CHUNK`.
- One layer of 3072 x 3072, T=500, B=16: the weights do not fit into the cache, so that every chunk reads them anew;
  larger chunks read them less often. Hence `WIDE_CHUNK` above `WIDE_LAYER` weights.
- Convolutional, 34x34x2-C12-P2-C32-P2-10, T=64, B=8 (`python -m benchmarks`, W4): their columns are many times as large as
  their inputs, and have to stay in the cache. Chunks of 1, 2, 4, 8 steps take 150, 138, 156, 172 ms; with B=64 1484, 1416,
  1600, 1775 ms. Hence `CONVOLUTION_CHUNK`, on a CPU.
- Keeping the membranes saves the second computation of every product. With 128 inputs to a neuron that gains less than
  10 % of the time and takes three times the memory; with 256 to 3072 inputs it gains 20 to 30 %, and the whole still
  takes less memory than the naive scan, or (3072) a fifth more. Hence `KEEP_FAN_IN`.
- 700-128-128-20 from lists of active channels, T=128, B=256: keeping the membranes takes three times the memory (44
  against 15 MB) and gains nothing.
"""

import equinox as eqx
import jax
from jaxtyping import PyTree

from snnx.cells import AbstractCell, Keep, walk
from snnx.inputs import AbstractInputs

NARROW_CHUNK = 8
WIDE_CHUNK = 50
CONVOLUTION_CHUNK = 2
WIDE_LAYER = 1_000_000
KEEP_FAN_IN = 256


def default_chunk(cell: PyTree, steps: int) -> int:
    """The number of steps per chunk where none is given: 8; or 50 where a layer has a million weights or more; or 2 on a CPU
    where there is a convolution.

    At most `steps`. `simulate(..., chunk=...)` and `fit(..., chunk=...)` override it; results do not depend on it.
    """
    weights = _weights(cell)
    if jax.default_backend() == "cpu" and any(x.ndim > 2 for x in weights):
        return min(steps, CONVOLUTION_CHUNK)
    wide = max((x.size for x in weights), default=0) >= WIDE_LAYER
    return min(steps, WIDE_CHUNK if wide else NARROW_CHUNK)


def default_keep(cell: PyTree, inputs: object = None) -> Keep:
    """What the backward pass keeps where nothing is said: `"membranes"` where a neuron has 256 inputs or more through
    one layer of weights, else only the states at the `"borders"` of the chunks.

    A first layer that adds up lists of active channels does not count: that is computed again at little cost.
    `simulate(..., keep=...)` and `fit(..., keep=...)` override it; results do not depend on it.
    """
    weights = _weights(cell)
    if isinstance(inputs, AbstractInputs) and isinstance(cell, AbstractCell) and cell.takes(inputs):
        weights = weights[1:]
    fan_in = max((x.size // max(x.shape[0], 1) for x in weights), default=0)
    return "membranes" if fan_in >= KEEP_FAN_IN else "borders"


def _weights(cell: PyTree) -> list[jax.Array]:
    """The arrays of the layers that are no cells: a neuron's own may have axes enough, but nothing is summed over them."""
    layers = [part for _, part in walk(cell) if not isinstance(part, AbstractCell)]
    return [x for x in jax.tree.leaves(layers) if eqx.is_inexact_array(x) and x.ndim > 1]
