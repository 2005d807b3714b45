import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_currents
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_whole, generator

FIRST_AMONG = 10


@checked
def adding(examples: int = 1000, *, steps: int = 100, key: Key[Array, ""] | None = None) -> SpikeDataset:
    r"""The adding problem: the sum of the two values that are marked, at the end of a long sequence.

    A sequence has a length drawn uniformly from $T \ldots T + \lfloor T / 10 \rfloor$. Channel 0 holds values
    $x_t \sim U[-1, 1)$; channel 1 a mark: 1 at two steps, -1 at the first and at the last one, else 0. The first of the
    two is drawn from the first 10 steps, the second from the first $T/2 - 1$ of those not yet marked. The target is

    $$ y = \frac12 + \frac{X_1 + X_2}{4} $$

    of the marked values. Where the first step of all is drawn, its mark stays -1, and its value counts as 0.

    **Arguments:**
    - `examples`: sequences.
    - `steps`: $T$, the shortest length, at least 20. Shorter sequences are padded with zeros to the longest, and masked.
    - `key`: decides everything; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` of currents with 2 channels and targets `[n, 1]` in [0, 1], for `MSE(Last())`. Always to
    answer 1/2 gives a loss of 0.039 at $T$ = 100; the publication counts an error below 0.04, hence a loss below 0.0016,
    as correct.

    **Raises:** `ValueError` for `examples < 1` or `steps < 20`.

    Source: Hochreiter & Schmidhuber, Long short-term memory (1997), experiment 4. The paper sets the value to 0 where the
    first of the two marks falls on the first step; here the second does the same.
    """
    check_whole("adding", 1, examples=examples)
    check_whole("adding", 2 * FIRST_AMONG, steps=steps)
    random = generator("adding", key)
    longest = steps + steps // 10
    lengths = random.integers(steps, longest + 1, size=examples)
    live = np.arange(longest) < lengths[:, None]
    first = random.integers(FIRST_AMONG, size=examples)
    second = random.integers(steps // 2 - 1, size=examples)
    second += second >= first  # the steps not yet marked
    each = np.arange(examples)
    values = random.uniform(-1.0, 1.0, (examples, longest)) * live
    marks = np.zeros_like(values)
    marks[each, first] = marks[each, second] = 1.0
    marks[:, 0] = marks[each, lengths - 1] = -1.0
    targets = 0.5 + (values * (marks == 1.0)).sum(axis=1, keepdims=True) / 4.0
    return from_currents(np.stack([values, marks], axis=2), targets, sample_shape=(2,), mask=live)
