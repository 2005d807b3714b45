"""Tasks of memory, published definitions: store and recall, delayed match, copying, adding, digits pixel by pixel."""

from collections.abc import Sequence
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Array, Bool, Key, UInt8

from snnx._checks import checked
from snnx._typing import AboveZero, Count, Natural, Whole
from snnx.data._dataset import SpikeDataset
from snnx.data._digits import digits
from snnx.data._makers import from_currents, from_spikes
from snnx.data.generated._patterns import generator, spike_probability

ZERO, ONE, STORE, RECALL = range(4)  # the populations of `store_recall`
FIRST_MARK_AMONG = 10  # steps, in `adding`


@checked
def store_recall(
    examples: Count = 256,
    *,
    symbols: Annotated[int, Whole(2)] = 12,
    symbol_steps: Count = 200,
    inputs: Annotated[int, Whole(4)] = 100,
    rate: AboveZero = 50.0,
    dt: AboveZero = 1e-3,
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

    **Raises:** `ValueError` for `rate * dt` above 1.

    Source: Bellec, Salaj, Subramoney, Legenstein & Maass, Long short-term memory and learning-to-learn in networks of
    spiking neurons (2018), with the numbers of the authors' public code. There a sequence may hold several pairs of
    commands, and errors count at the RECALLs only; here each sequence has one, at its end, so that one label says all.
    """
    chance = spike_probability("store_recall", "rate", rate, dt)
    random = generator(key)
    bits = random.integers(2, size=(examples, symbols - 1))
    store = random.integers(symbols - 1, size=examples)
    each = np.arange(examples)
    active = np.zeros((examples, symbols, 4), bool)
    active[:, :-1, ZERO] = bits == 0
    active[:, :-1, ONE] = bits == 1
    active[each, store, STORE] = True
    active[:, -1, RECALL] = True
    spikes = _population_spikes(random, active, [symbol_steps] * symbols, inputs, chance)
    return from_spikes(spikes, bits[each, store], sample_shape=(inputs,), classes=("0", "1"), dt=dt)


@checked
def delayed_match_to_sample(
    examples: Count = 256,
    *,
    cues: Annotated[int, Whole(2)] = 8,
    cue_steps: Count = 500,
    delay_steps: Natural = 1000,
    inputs: Count = 80,
    rate: AboveZero = 50.0,
    dt: AboveZero = 1e-3,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
    r"""Delayed match to sample: a cue, a silent delay, a second cue. Were both the same?

    $$ a \sim U\{0 \ldots C - 1\}, \quad m \sim B(1/2), \qquad
       b = a \text{ if } m = 1, \text{ else uniform among the others} $$

    The label is $m$. Each cue has a population of inputs, which fires at `rate` while the cue is shown, else never.

    **Arguments:**
    - `examples`: trials.
    - `cues`: $C$, at least 2.
    - `cue_steps`, `delay_steps`: time steps of each cue, and of the delay (which may be 0).
    - `inputs`: channels, at least `cues`, divided among the cues in their order.
    - `rate`: spikes per second of an active channel. `dt`: seconds per step.
    - `key`: decides everything; by default `jax.random.key(0)`.

    **Returns:** a `SpikeDataset` with classes `"non-match"` and `"match"`, for `CrossEntropy(Last())`: the answer is read
    at the end of the second cue.

    **Raises:** `ValueError` for `rate * dt` above 1.

    Source: Masse, Yang, Song, Wang & Freedman, Circuit mechanisms for the maintenance and manipulation of information in
    working memory (2019): eight cues, 500 ms each, 1000 ms of delay. There cues are directions of motion that tuned
    inputs share, after 500 ms of fixation; here populations are disjoint, and the trial starts with the cue.
    """
    if inputs < cues:
        raise ValueError(
            f"delayed_match_to_sample: inputs is {inputs} and cues {cues}; expected an input for each cue."
        )
    chance = spike_probability("delayed_match_to_sample", "rate", rate, dt)
    random = generator(key)
    first = random.integers(cues, size=examples)
    match = random.integers(2, size=examples)
    other = (first + random.integers(1, cues, size=examples)) % cues
    each = np.arange(examples)
    active = np.zeros((examples, 3, cues), bool)
    active[each, 0, first] = True
    active[each, 2, np.where(match == 1, first, other)] = True
    spikes = _population_spikes(random, active, [cue_steps, delay_steps, cue_steps], inputs, chance)
    return from_spikes(spikes, match, sample_shape=(inputs,), classes=("non-match", "match"), dt=dt)


def _population_spikes(
    random: np.random.Generator,
    active: Bool[np.ndarray, "n periods populations"],
    durations: Sequence[int],
    inputs: int,
    chance: float,
) -> UInt8[np.ndarray, "n time inputs"]:
    """Spikes of `inputs` neurons in populations of equal size (the first ones get what is over): an independent one at
    every step with probability `chance`, as long as a neuron's population is active. `durations`: steps of each period.
    """
    populations = active.shape[2]
    of_neuron = np.concatenate(
        [np.full(len(g), p) for p, g in enumerate(np.array_split(np.arange(inputs), populations))]
    )
    spikes = np.empty((len(active), sum(durations), inputs), np.uint8)
    for example, on in enumerate(active):
        spikes[example] = random.random(spikes.shape[1:]) < chance * np.repeat(on[:, of_neuron], durations, axis=0)
    return spikes


@checked
def copy_memory(
    examples: Count = 1000,
    *,
    delay: Count = 100,
    length: Count = 10,
    symbols: Annotated[int, Whole(2)] = 8,
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

    Source: Arjovsky, Shah & Bengio, Unitary Evolution Recurrent Neural Networks (2016), with $S = 8$, $L = 10$, after
    Hochreiter & Schmidhuber (1997). There the loss is the cross-entropy of every step, of which the answer without a
    memory has $L \log S / (T + 2L)$.
    """
    random = generator(key)
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


@checked
def adding(
    examples: Count = 1000,
    *,
    steps: Annotated[int, Whole(2 * FIRST_MARK_AMONG)] = 100,
    key: Key[Array, ""] | None = None,
) -> SpikeDataset:
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

    Source: Hochreiter & Schmidhuber, Long short-term memory (1997), experiment 4. The paper sets the value to 0 where the
    first of the two marks falls on the first step; here the second does the same.
    """
    random = generator(key)
    longest = steps + steps // 10
    lengths = random.integers(steps, longest + 1, size=examples)
    live = np.arange(longest) < lengths[:, None]
    first = random.integers(FIRST_MARK_AMONG, size=examples)
    second = random.integers(steps // 2 - 1, size=examples)
    second += second >= first  # the steps not yet marked
    each = np.arange(examples)
    values = random.uniform(-1.0, 1.0, (examples, longest)) * live
    marks = np.zeros_like(values)
    marks[each, first] = marks[each, second] = 1.0
    marks[:, 0] = marks[each, lengths - 1] = -1.0
    targets = 0.5 + (values * (marks == 1.0)).sum(axis=1, keepdims=True) / 4.0
    return from_currents(np.stack([values, marks], axis=2), targets, sample_shape=(2,), mask=live)


@checked
def sequential_digits(permuted: bool = False, *, key: Key[Array, ""] | None = None) -> SpikeDataset:
    """The digits of `snnx.data.digits` pixel by pixel: 64 steps of one channel, row by row, as currents in [0, 1].

    **Arguments:**
    - `permuted`: whether the pixels come in another order, one and the same for all digits.
    - `key`: decides that order; by default `jax.random.key(0)`. Without `permuted` nothing is random.

    **Returns:** a `SpikeDataset` of 1797 examples and 10 classes.

    **Raises:** `ValueError` for a key where nothing is permuted.

    Source: Le, Jaitly & Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear Units (2015), who read
    MNIST so, permuted and not; here it is the small digits that are shipped.
    """
    if key is not None and not permuted:
        raise ValueError("sequential_digits: key decides the order of permuted pixels; pass permuted=True or no key.")
    still = digits(steps=1)
    pixels = np.asarray(jax.vmap(lambda inputs: inputs.dense())(still.inputs))[:, 0, :]
    if permuted:
        pixels = pixels[:, generator(key).permutation(64)]
    return from_currents(pixels[:, :, None], np.asarray(still.targets), sample_shape=(1,), classes=still.classes)
