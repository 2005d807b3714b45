import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_spikes
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_whole, generator, population_spikes, probability

ZERO, ONE, STORE, RECALL = range(4)


@checked
def store_recall(
    examples: int = 256,
    *,
    symbols: int = 12,
    symbol_steps: int = 200,
    inputs: int = 100,
    rate: float = 50.0,
    dt: float = 1e-3,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""Store and recall: keep the bit that is shown together with STORE, through other bits, until RECALL.

    Time is divided into `symbols` periods. In each but the last a random bit is shown; in one of them, drawn uniformly,
    STORE as well; in the last, RECALL alone. The label is the stored bit $b_s$,

    $$ b_p \sim B(1/2), \quad s \sim U\{0 \ldots P - 2\}, \qquad \text{active in period } p:\ b_p \text{ for } p < P - 1,
       \ \text{STORE at } p = s,\ \text{RECALL at } p = P - 1 $$

    Four populations of inputs stand for 0, 1, STORE and RECALL, and fire at `rate` while active, else never.

    **Arguments:**
    - `examples`: sequences.
    - `symbols`: $P$, periods, at least 2. The bit is kept for 1 to $P - 1$ of them.
    - `symbol_steps`: time steps of a period.
    - `inputs`: channels, at least 4, divided among the populations in that order.
    - `rate`: spikes per second of an active channel. `dt`: seconds per step.
    - `key`: decides everything; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` of two classes, for `CrossEntropy(Last())`: the answer is read while RECALL is on.

    **Raises:** `ValueError` for sizes below those, or `rate * dt` outside (0, 1].

    Source: Bellec, Salaj, Subramoney, Legenstein & Maass, Long short-term memory and learning-to-learn in networks of
    spiking neurons (2018), with the numbers of the authors' public code. There a sequence may hold several pairs of
    commands, and errors count at the RECALLs only; here each sequence has one, at its end, so that one label says all.
    """
    check_whole("store_recall", 1, examples=examples, symbol_steps=symbol_steps)
    check_whole("store_recall", 2, symbols=symbols)
    check_whole("store_recall", 4, inputs=inputs)
    chance = probability("store_recall", "rate", rate, dt)
    random = generator("store_recall", key)
    bits = random.integers(2, size=(examples, symbols - 1))
    store = random.integers(symbols - 1, size=examples)
    each = np.arange(examples)
    active = np.zeros((examples, symbols, 4), bool)
    active[:, :-1, ZERO] = bits == 0
    active[:, :-1, ONE] = bits == 1
    active[each, store, STORE] = True
    active[:, -1, RECALL] = True
    spikes = population_spikes(random, active, [symbol_steps] * symbols, inputs, chance)
    return from_spikes(spikes, bits[each, store], sample_shape=(inputs,), classes=("0", "1"), dt=dt)
