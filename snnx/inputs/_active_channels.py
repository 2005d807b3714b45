"""Sparse spikes as lists of the channels that are active in each step: the layout, and how to make it."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt

from snnx._checks import checked
from snnx._errors import DtypeError, describe
from snnx._memory import to_device
from snnx._typing import Count, HostArray
from snnx.inputs._inputs import AbstractInputs, SampleShape, as_bools
from snnx.inputs._rows import sum_rows


@checked
class ActiveChannels(AbstractInputs):
    r"""Sparse spikes as lists: which channels are active in each step.

    $$ x_{t,c} = \#\{j : \texttt{channels}_{t,j} = c\}, \qquad (x\,W)_t = \sum_j W_{\texttt{channels}_{t,j}} $$

    A list is filled up with the number of channels, which stands for none. A channel that stands twice counts twice. A
    first layer that is an `eqx.nn.Linear` adds up rows of its weights, one for each entry, in place of a product with
    zeros; every other layer gets the dense array.

    **Arguments:**
    - `channels`: `uint16[time, capacity]` (or `uint32`), entries from 0 to `prod(sample_shape)`; see
        `snnx.inputs.pack_active`.
    - `sample_shape`: the shape of one step; channels count through its axes, the last fastest.

    **Raises:** `DtypeError`, `ShapeError` if `channels` is of another kind.
    """

    channels: UInt[Array, "time capacity"]
    sample_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, channels: UInt[Array, "*batch time capacity"], sample_shape: SampleShape):
        kinds = _dtypes(math.prod(sample_shape))
        if channels.dtype not in kinds:
            raise DtypeError(
                f"ActiveChannels: channels is {describe(channels)}, expected {' or '.join(k.__name__ for k in kinds)}"
                f" for {math.prod(sample_shape)} channels; make the lists with snnx.inputs.pack_active(spikes)."
            )
        self.channels, self.sample_shape = channels, sample_shape

    @property
    def num_steps(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.channels.shape[-2]

    def stretch(self, start: "int | Int[Array, '']", size: int) -> "ActiveChannels":
        return ActiveChannels(jax.lax.dynamic_slice_in_dim(self.channels, start, size), self.sample_shape)

    def dense(self, dtype: "DTypeLike | None" = None) -> Float[Array, "time *shape"]:
        count = math.prod(self.sample_shape)
        zeros = jnp.zeros(count + 1, jnp.zeros(()).dtype if dtype is None else dtype)

        def step(active: Array) -> Array:
            return zeros.at[active].add(1.0)[:count].reshape(self.sample_shape)

        return jax.lax.map(step, self.channels)  # step by step, so that under vmap time comes out as the leading axis

    def product(self, weights: Float[Array, "channels out"]) -> Float[Array, "time out"]:
        """The dense array times `weights`: for each step the sum of the rows of its active channels."""
        return sum_rows(weights, self.channels)


@checked
def pack_active(spikes: HostArray, *, capacity: Count | None = None) -> UInt[Array, "*leading capacity"]:
    """The active channels of every step, as `ActiveChannels` holds them.

    **Arguments:**
    - `spikes`: `[..., channels]`, zeros and ones of any dtype.
    - `capacity`: the length of the lists; by default that of the longest, so that nothing is left out.

    **Returns:** `uint16[..., capacity]`, or `uint32` from 65536 channels on: the channels in ascending order, then, as
    filling, their number.

    **Raises:** `ValueError` if there is another value than 0 and 1, or a step has more spikes than the capacity.
    """
    bits = as_bools("pack_active", spikes)
    counts = bits.sum(axis=-1)
    longest = int(counts.max(initial=0))
    size = max(longest, 1) if capacity is None else capacity
    if longest > size:
        raise ValueError(f"pack_active: capacity is {capacity}, but a step has {longest} active channels.")
    count = bits.shape[-1]
    step, channel = np.divmod(np.flatnonzero(bits), count)
    before = np.cumsum(counts) - counts.ravel()  # active channels in all the steps before
    lists = np.full((counts.size, size), count, list_dtype(count))
    lists[step, np.arange(step.size) - before[step]] = channel
    return to_device(lists.reshape(*bits.shape[:-1], size))


def list_dtype(channels: int) -> type:
    """The smallest integer that can name every channel, and none."""
    return _dtypes(channels)[0]


def _dtypes(channels: int) -> tuple[type, ...]:
    """The integers that can count the channels, the smallest first."""
    return (np.uint16, np.uint32) if channels < 2**16 else (np.uint32,)
