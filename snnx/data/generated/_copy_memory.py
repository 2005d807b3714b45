import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_spikes
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_whole, generator


@checked
def copy_memory(
    examples: int = 1000,
    *,
    delay: int = 100,
    length: int = 10,
    symbols: int = 8,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""The copying memory problem: repeat a sequence of symbols after a long delay.

    With $S$ symbols $a_0 \ldots a_{S-1}$, the blank $a_S$ and the delimiter $a_{S+1}$, $L$ random symbols $m_t$, and a
    delay of $T$ steps, input and target are, for $t = 0 \ldots T + 2L - 1$,

    $$ x_t = m_t\ (t < L), \quad a_{S+1}\ (t = L + T - 1), \quad a_S \text{ else}; \qquad
       y_t = m_{t - T - L}\ (t \ge T + L), \quad a_S \text{ else} $$

    Both are one-hot: a channel spikes when its symbol is shown; the targets, among which the delimiter never is, have
    `symbols + 1` outputs.

    **Arguments:**
    - `examples`: sequences.
    - `delay`: $T$, from the last symbol to the delimiter. `length`: $L$. `symbols`: $S$, at least 2.
    - `key`: decides the symbols; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` of spikes with `symbols + 2` channels and targets `[n, time, symbols + 1]` of floats, a
    value for every step, for `TraceMSE()`. To answer with the blank, then with 1/S for each symbol, is the best without a
    memory: a loss of $L (1 - 1/S) / ((T + 2L)(S + 1))$.

    **Raises:** `ValueError` for sizes below those.

    Source: Arjovsky, Shah & Bengio, Unitary Evolution Recurrent Neural Networks (2016), with $S = 8$, $L = 10$, after
    Hochreiter & Schmidhuber (1997). There the loss is the cross-entropy of every step, of which the answer without a
    memory has $L \log S / (T + 2L)$.
    """
    check_whole("copy_memory", 1, examples=examples, delay=delay, length=length)
    check_whole("copy_memory", 2, symbols=symbols)
    random = generator("copy_memory", key)
    pattern = random.integers(symbols, size=(examples, length))
    blank, delimiter = symbols, symbols + 1
    shown = np.full((examples, delay + 2 * length), blank)
    wanted = shown.copy()
    shown[:, :length] = pattern
    shown[:, length + delay - 1] = delimiter
    wanted[:, length + delay :] = pattern
    spikes = np.eye(symbols + 2, dtype=np.uint8)[shown]
    targets = np.eye(symbols + 1, dtype=np.float32)[wanted]
    return from_spikes(spikes, targets, sample_shape=(symbols + 2,))
