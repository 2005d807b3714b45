"""How time is cut, and what is kept for the backward pass: the one place for the rules, with their measurements.

2 CPU cores, training steps; times are medians over the naive scan's (`python -m benchmarks.sweeps` has more):

- What one layer puts out in a chunk, steps x examples x neurons floats, should fill a core's cache of 1 MB and no more.
  n-n-n-20 nets, T=128; in each row the best are alike, and on either side it gets worse:

  | n, B | 4 | 8 | 16 | 32 | 64 steps | rule |
  |---|---|---|---|---|---|---|
  | 64, 128 | | 1.05 | 0.97 | 0.87 | 0.85 | 32 |
  | 64, 256 | | 0.81 | 0.70 | 0.77 | | 16 |
  | 128, 32 | | 0.93 | 0.92 | 0.73 | 0.65 | 64 |
  | 128, 64 | | 1.06 | 0.88 | 0.78 | | 32 |
  | 128, 128 | | 0.73 | 0.65 | 0.63 | 0.82 | 16 |
  | 256, 16 | 0.70 | 0.62 | 0.44 | 0.39 | 0.39 | 64 |
  | 256, 64 | 0.76 | 0.60 | 0.60 | 0.78 | 0.81 | 16 |
  | 256, 256 | 0.90 | 0.95 | 1.03 | 1.18 | 1.33 | 4 |
  | 512, 64 | 0.74 | 0.73 | 0.72 | 0.79 | 0.84 | 8 |

  Hence `CACHED`. Where the number of examples is not known, 8 steps are taken. On JAX 0.12, whose naive scan is faster and
  whose chunks are a little slower, the same chunks are best: with the rule's 0.91 (64, 128), 0.90 (64, 256), 0.75 (128, 32),
  0.80 (128, 128), 0.45 (256, 16), 0.66 (256, 64), 0.95 (256, 256), 0.80 (512, 64), and
  none of the others in this table is better by more than 0.01.
- Weights that do not fit into the cache are read anew for every chunk, so that a chunk should have rows enough: with 1024
  or 2048 neurons and B=16 32 steps are best (0.39, 0.42; 8 steps 0.43, 0.48; 64 steps 0.43, 0.43), with 1024 and B=64
  8 steps (0.76; 32 steps 0.86). Hence `WIDE_ROWS` above `WIDE_LAYER` weights.
- Convolutional, 34x34x2-C12-P2-C32-P2-10, T=64, B=8 (`python -m benchmarks`, W4): their columns are many times as large as
  their inputs, and have to stay in the cache. Chunks of 1, 2, 4, 8 steps take 150, 138, 156, 172 ms; with B=64 1484, 1416,
  1600, 1775 ms. Hence `CONVOLUTION_CHUNK`, on a CPU.
- A chunk that does not divide the time leaves a rest, which is a second program to compile: a divisor is taken that is not
  further away than `NEARBY`.
- Keeping the membranes saves the second computation of every product. With 128 inputs to a neuron that gains less than
  10 % of the time and takes three times the memory; with 256 to 3072 inputs it gains 20 to 30 %, and the whole still
  takes less memory than the naive scan, or (3072) a fifth more. Hence `KEEP_FAN_IN`.
- 700-128-128-20 from lists of active channels, T=128, B=256: keeping the membranes takes three times the memory (44
  against 15 MB) and gains nothing.
"""

import equinox as eqx
import jax
from jaxtyping import PyTree

from snnx._checks import checked
from snnx._typing import Count
from snnx.cells import AbstractCell, Keep, walk
from snnx.inputs import AbstractInputs

CACHED = 2**18  # floats that a layer puts out in a chunk
UNKNOWN_CHUNK = 8
WIDE_LAYER = 1_000_000
WIDE_ROWS = 512  # examples x steps
CONVOLUTION_CHUNK = 2
NEARBY = 1.5
KEEP_FAN_IN = 256


@checked
def default_chunk(cell: AbstractCell, steps: Count, batch: Count | None = None) -> int:
    """The number of steps per chunk where none is given.

    As many as keep what the widest layer puts out in a chunk within 2^18 floats, if the number of examples that run side by
    side is known, as it is in `fit`; else 8. Also 8 where nothing tells how wide the layers are: none has weights, or one is
    a convolution. More where a layer has a million weights or more: 512 / batch, or 32. On a CPU 2 where there is a
    convolution. Then a number nearby that divides the time, if there is one.
    `simulate(..., chunk=...)` and `fit(..., chunk=...)` override it; results do not depend on it, but for rounding.
    """
    weights = _weights(cell)
    convolutional = any(x.ndim > 2 for x in weights)
    if convolutional and jax.default_backend() == "cpu":
        return min(steps, CONVOLUTION_CHUNK)
    size = UNKNOWN_CHUNK
    if batch is not None and weights and not convolutional:  # whose weights tell its channels, not its neurons
        size = CACHED // (batch * max(x.shape[0] for x in weights))
    if max((x.size for x in weights), default=0) >= WIDE_LAYER:
        size = max(size, WIDE_ROWS // (16 if batch is None else batch))
    return _divisor_nearby(min(max(size, 1), steps), steps)


def _divisor_nearby(size: int, steps: int) -> int:
    near = [n for n in range(1, steps + 1) if steps % n == 0 and size / NEARBY <= n <= size * NEARBY]
    return min(near, key=lambda n: max(n / size, size / n), default=size)


def chunk_size(
    cell: AbstractCell,
    steps: int,
    chunk: int | None = None,
    truncate: int | None = None,
    batch: int | None = None,
    where: str = "simulate",
) -> int:
    """The number of steps per chunk: the one that was given, or the default's; of a truncation it is a divisor.

    **Raises:** `ValueError` for numbers that do not go together.
    """
    size = min(default_chunk(cell, steps, batch) if chunk is None else chunk, steps)
    if truncate is None or truncate >= steps:
        return size
    if chunk is not None and truncate % size:
        raise ValueError(
            f"{where}: truncate={truncate} is not a multiple of chunk={chunk}; leave chunk out, or change it."
        )
    return max(n for n in range(1, min(size, truncate) + 1) if truncate % n == 0)


def default_keep(cell: PyTree, inputs: object = None) -> Keep:
    """What the backward pass keeps by default: `"membranes"` where a neuron has 256 inputs or more through
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
    """The weights of the layers that are not cells. A neuron's parameters may have as many axes, but no sum is taken."""
    layers = [part for _, part in walk(cell) if not isinstance(part, AbstractCell)]
    return [x for x in jax.tree.leaves(layers) if eqx.is_inexact_array(x) and x.ndim > 1]
