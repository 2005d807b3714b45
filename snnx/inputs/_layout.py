"""Which compact layout suits binary spikes: the rule, with its measurement.

`benchmarks/first_layer.py` on 2 CPU cores, a training step of channels-128-20 from lists over one from bits, by the ratio of
channels to the longest list:

| channels | 100 | 50 | 25 | 12.5 | 6.2 | 3.1 |
|---|---|---|---|---|---|---|
| 128 | 0.44 | 0.45 | 0.52 | 0.59 | 0.73 | 1.07 |
| 700 | 0.25 | 0.32 | 0.41 | 0.61 | 0.93 | 1.77 |
| 2048 | 0.16 | 0.23 | 0.38 | 0.68 | 4.9 | 14 |

Hence lists from a ratio of `SPARSE` on, up to the longest list that was measured on the winning side.
"""

import jax
import numpy as np
from jaxtyping import Array

from snnx.inputs._active_channels import ActiveChannels, pack_active
from snnx.inputs._inputs import Bits, pack_bits

LAYOUTS = ("auto", "bits", "lists")
SPARSE = 12
LONGEST_LIST = 164


def compact(spikes: "np.ndarray | Array", sample_shape: tuple[int, ...], layout: str) -> Bits | ActiveChannels:
    """Binary spikes `[..., time, channels]` in a compact layout: with `"auto"`, the one that trains faster.

    Lists of active channels on a CPU, where a step is a vector, no step has more than 164 spikes, and there are at least 12
    times as many channels; else bits. (On a GPU a dense product may win: no lists there unless they are asked for.)
    """
    if layout == "auto":
        longest = int(np.asarray(spikes).astype(bool).sum(axis=-1).max(initial=0))
        sparse = longest <= LONGEST_LIST and SPARSE * longest <= spikes.shape[-1]
        layout = "lists" if sparse and len(sample_shape) == 1 and jax.default_backend() == "cpu" else "bits"
    if layout == "lists":
        return ActiveChannels(pack_active(spikes), sample_shape)
    return Bits(pack_bits(spikes), sample_shape)
