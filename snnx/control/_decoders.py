"""Spikes as actions: cells whose output at each tick is what the ticks so far say, and that start anew with the next step."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._readers import check_float
from snnx._typing import Count
from snnx.cells import AbstractCell, Shape
from snnx.parameters import Parameter, value


class CountState(eqx.Module):
    """Spikes so far, and ticks."""

    count: Float[Array, "*shape"]
    tick: Int[Array, ""]


class RateDecoder(AbstractCell):
    r"""The mean over the ticks so far: of spikes their rate.

    $$ d_k = \frac{1}{k} \sum_{j=1}^{k} s_j $$

    **Returns** (`__call__`): `*shape`, and the new `CountState`.
    """

    def init_state(self, shape: Shape) -> CountState:
        return CountState(jnp.zeros(shape), jnp.zeros((), jnp.int32))

    def __call__(
        self, x: Float[Array, "*shape"], state: CountState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "*shape"], CountState]:
        check_float("RateDecoder", "x", x)
        new = CountState(state.count + x, state.tick + 1)
        return (new.count / new.tick).astype(x.dtype), new


@checked
class FirstSpikeDecoder(AbstractCell):
    r"""Who fires first: a score that is higher the earlier the first spike, and 0 as long as there is none.

    $$ d_k = 1 - \frac{t}{K}, \qquad t \in \{0, \ldots, K - 1\} \text{ the tick of the first spike} $$

    `jnp.argmax` of it is the neuron that fires first, and the first of those that fire together.

    **Arguments:** `ticks`: $K$, as in the `Policy`.

    **Returns** (`__call__`): `*shape`, in [0, 1], and the new `CountState`, whose `count` is the score.
    """

    ticks: Count = eqx.field(static=True)

    def init_state(self, shape: Shape) -> CountState:
        return CountState(jnp.zeros(shape), jnp.zeros((), jnp.int32))

    def __call__(
        self, x: Float[Array, "*shape"], state: CountState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "*shape"], CountState]:
        check_float("FirstSpikeDecoder", "x", x)
        score = (1.0 - state.tick.astype(state.count.dtype) / self.ticks) * x
        score = jnp.where(state.count > 0, state.count, score)
        return score.astype(x.dtype), CountState(score.astype(state.count.dtype), state.tick + 1)


@checked
class PopulationVectorDecoder(AbstractCell):
    r"""The population vector: the mean of what the neurons stand for, weighted by their spikes so far; 0 before the first.

    $$ d_k = \frac{\sum_i n_i\, p_i}{\sum_i n_i}, \qquad n_i = \sum_{j=1}^{k} s_{ij} $$

    **Arguments:** `preferred`: $p$, `[neurons]`, or `[neurons, dimensions]`: an array is learned, a `Frozen` one is not.

    **Returns** (`__call__`): `[1]`, or `[dimensions]`, and the new `CountState`.

    **Raises:** `ShapeError` for another number of neurons.

    Source: Georgopoulos, Schwartz & Kettner, Neuronal population coding of movement direction, Science (1986).
    """

    preferred: Parameter

    def __check_init__(self):
        if jnp.ndim(value(self.preferred)) not in (1, 2):
            raise ShapeError(
                f"PopulationVectorDecoder: preferred is {describe(value(self.preferred))}; expected [neurons], or [neurons,"
                " dimensions]."
            )

    def init_state(self, shape: Shape) -> CountState:
        expected = jnp.shape(value(self.preferred))[:1]
        if tuple(shape) != expected:
            raise ShapeError(
                f"PopulationVectorDecoder: the network gives {tuple(shape)}, but preferred is of {expected[0]} neurons; give"
                " its last layer as many."
            )
        return CountState(jnp.zeros(shape), jnp.zeros((), jnp.int32))

    def __call__(
        self, x: Float[Array, "neurons"], state: CountState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "dimensions"], CountState]:
        check_float("PopulationVectorDecoder", "x", x)
        new = CountState(state.count + x, state.tick + 1)
        preferred = jnp.asarray(value(self.preferred))
        by_neuron = preferred[:, None] if preferred.ndim == 1 else preferred
        total = jnp.sum(new.count)
        vector = (new.count @ by_neuron) / jnp.where(total > 0, total, 1.0)
        return vector.astype(x.dtype), new
