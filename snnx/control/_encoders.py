"""Observations as spikes: cells that see the same observation at every tick, and start anew with the next."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._checks import checked
from snnx._errors import ShapeError
from snnx._readers import check_float
from snnx._typing import AboveZero, Count, Number, Whole
from snnx.cells import AbstractCell, Shape
from snnx.encoding import population, population_fields
from snnx.parameters import Parameter, check_parameter_shape, known, value

Side: TypeAlias = Number | Sequence[Number]  # an end of a range: of all values, or of each


class TickState(eqx.Module):
    """How many ticks have passed."""

    tick: Int[Array, ""]


def _start() -> TickState:
    return TickState(jnp.zeros((), jnp.int32))


@checked
class RateEncoder(AbstractCell):
    r"""Rate code: at every tick a spike with a probability that grows with the value.

    $$ P(s_k = 1) = \frac{x - l}{h - l}, \quad \text{0 below } l \text{, 1 above } h $$

    **Arguments:** `low`, `high`: $l$ and $h$, the range that is told apart, numbers or arrays that fit the observation;
    arrays are evolved (not trained by gradient: a draw has none).

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `TickState`.

    **Raises:** `ValueError` without a key.
    """

    spikes: ClassVar[bool] = True

    low: Parameter
    high: Parameter

    def __check_init__(self):
        _check_range("RateEncoder", self.low, self.high)

    def init_state(self, shape: Shape) -> TickState:
        _check_fit("RateEncoder", self.low, self.high, shape)
        return _start()

    def __call__(
        self, x: Float[Array, "*shape"], state: TickState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "*shape"], TickState]:
        check_float("RateEncoder", "x", x)
        if key is None:
            raise ValueError("RateEncoder: is random and needs a key: pass key=jax.random.key(...).")
        draw = jax.random.uniform(jax.random.fold_in(key, state.tick), x.shape, jnp.promote_types(x.dtype, jnp.float32))
        return (draw < _share(x, self.low, self.high)).astype(x.dtype), TickState(state.tick + 1)


@checked
class LatencyEncoder(AbstractCell):
    r"""Latency code: one spike, the earlier the larger the value; none at the lower end of the range and below.

    $$ s_k = [k = \text{round}((1 - p)(K - 1))], \quad k = 0, \ldots, K - 1, \qquad
       p = \frac{x - l}{h - l} \text{ within } [0, 1] $$

    **Arguments:** `low`, `high`: as for `RateEncoder`; `ticks`: $K$, as in the `Policy`.

    **Returns** (`__call__`): spikes in {0, 1}, `*shape`, and the new `TickState`.

    Source: as `snnx.encoding.latency`, whose spikes these are.
    """

    spikes: ClassVar[bool] = True

    low: Parameter
    high: Parameter
    ticks: Count = eqx.field(static=True)

    def __check_init__(self):
        _check_range("LatencyEncoder", self.low, self.high)

    def init_state(self, shape: Shape) -> TickState:
        _check_fit("LatencyEncoder", self.low, self.high, shape)
        return _start()

    def __call__(
        self, x: Float[Array, "*shape"], state: TickState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "*shape"], TickState]:
        check_float("LatencyEncoder", "x", x)
        share = _share(x, self.low, self.high)
        wide = share.astype(jnp.promote_types(share.dtype, jnp.float32))
        at = jnp.round((1.0 - wide) * (self.ticks - 1)).astype(jnp.int32)
        return ((at == state.tick) & (share > 0)).astype(x.dtype), TickState(state.tick + 1)


@checked
class PopulationEncoder(AbstractCell):
    r"""Population code: how strongly each of several Gaussian receptive fields answers to each value, as a current.

    $$ y_{ij} = \exp\left(-\frac{(x_i - \mu_{ij})^2}{2 \sigma_i^2}\right), \qquad j = 1, \ldots, m $$

    The fields of a value overlap evenly over its range (`snnx.encoding.population_fields`); far outside it all are silent.

    **Arguments:** `low`, `high`: the range of each value, numbers or sequences of `[values]`; `fields`: $m$, at least 3;
    `beta`: as in `population_fields`.

    **Returns** (`__call__`): from `[values]` to `[values * fields]`, the fields of one value beside each other; no state.

    **Raises:** `ValueError` for an empty range; `ShapeError` for another number of values.
    """

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    fields: int = eqx.field(static=True)
    beta: float = eqx.field(static=True)

    def __init__(self, low: Side, high: Side, fields: Annotated[int, Whole(3)], *, beta: AboveZero = 1.5):
        lows, highs = (tuple(side) if isinstance(side, Sequence) else (side,) for side in (low, high))
        size = max(len(lows), len(highs))
        self.low, self.high = (side * size if len(side) == 1 else side for side in (lows, highs))
        self.fields, self.beta = fields, beta
        if len(self.low) != len(self.high):
            raise ValueError(f"PopulationEncoder: low has {len(lows)} values and high {len(highs)}; expected as many.")
        for one, other in zip(self.low, self.high, strict=True):
            population_fields(one, other, fields, beta=beta)  # which refuses what is wrong

    def init_state(self, shape: Shape) -> None:
        self._check(shape)
        return None

    def __call__(
        self, x: Float[Array, "values"], state: None, *, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "active"], None]:
        check_float("PopulationEncoder", "x", x)
        self._check(x.shape)
        low, high = (jnp.broadcast_to(jnp.asarray(side, x.dtype), x.shape) for side in (self.low, self.high))
        centers, width = population_fields(0.0, 1.0, self.fields, beta=self.beta)
        share = (x - low) / (high - low)
        return population(share, centers, width).ravel(), None

    def _check(self, shape: Shape) -> None:
        size = len(self.low)
        if len(shape) != 1 or size not in (1, shape[0]):
            raise ShapeError(
                f"PopulationEncoder: the observation has shape {tuple(shape)}, but the range is of"
                f" {size} value{'s' if size > 1 else ''}; expected ({size if size > 1 else 'values'},)."
            )


def _share(x: Array, low: Parameter, high: Parameter) -> Array:
    """Where in the range a value lies, as a number from 0 to 1."""
    low, high = value(low), value(high)
    return jnp.clip((x - low) / (high - low), 0.0, 1.0)


def _check_range(where: str, low: Parameter, high: Parameter) -> None:
    lows, highs = known(low), known(high)
    if lows is not None and highs is not None and not (lows < highs).all():
        raise ValueError(f"{where}: the range goes from {low} to {high}; expected low < high.")


def _check_fit(where: str, low: Parameter, high: Parameter, shape: Shape) -> None:
    check_parameter_shape(where, "low", low, shape)
    check_parameter_shape(where, "high", high, shape)
