import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.data._arrays import from_spikes
from snnx.data._dataset import SpikeDataset
from snnx.data.generated._shared import check_whole, generator, population_spikes, probability


@checked
def delayed_match_to_sample(
    examples: int = 256,
    *,
    cues: int = 8,
    cue_steps: int = 500,
    delay_steps: int = 1000,
    inputs: int = 80,
    rate: float = 50.0,
    dt: float = 1e-3,
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

    **Raises:** `ValueError` for sizes below those, or `rate * dt` outside (0, 1].

    Source: Masse, Yang, Song, Wang & Freedman, Circuit mechanisms for the maintenance and manipulation of information in
    working memory (2019): eight cues, 500 ms each, 1000 ms of delay. There cues are directions of motion that tuned
    inputs share, after 500 ms of fixation; here populations are disjoint, and the trial starts with the cue.
    """
    check_whole("delayed_match_to_sample", 1, examples=examples, cue_steps=cue_steps)
    check_whole("delayed_match_to_sample", 0, delay_steps=delay_steps)
    check_whole("delayed_match_to_sample", 2, cues=cues)
    if inputs < cues:
        raise ValueError(
            f"delayed_match_to_sample: inputs is {inputs} and cues {cues}; expected an input for each cue."
        )
    chance = probability("delayed_match_to_sample", "rate", rate, dt)
    random = generator("delayed_match_to_sample", key)
    first = random.integers(cues, size=examples)
    match = random.integers(2, size=examples)
    other = (first + random.integers(1, cues, size=examples)) % cues
    each = np.arange(examples)
    active = np.zeros((examples, 3, cues), bool)
    active[each, 0, first] = True
    active[each, 2, np.where(match == 1, first, other)] = True
    spikes = population_spikes(random, active, [cue_steps, delay_steps, cue_steps], inputs, chance)
    return from_spikes(spikes, match, sample_shape=(inputs,), classes=("non-match", "match"), dt=dt)
