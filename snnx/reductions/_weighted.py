"""Weighted sums over time, and the weights that prefer what happens early."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from snnx._errors import ShapeError, describe
from snnx.reductions._reduction import AbstractReduction, Mask, accumulator, along, masked


def _as_weights(weights: "ArrayLike | Sequence[float] | Callable") -> "Array | Callable":
    if callable(weights):
        return weights
    array = jnp.asarray(weights)
    if array.ndim != 1:
        raise ShapeError(f"Weighted: weights is {describe(array)}, expected [time]: one weight for each step.")
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.zeros(()).dtype)


class Weighted(AbstractReduction):
    r"""A weighted sum over time, $\sum_t w_t x_t$, or with `mean=True` $\frac{1}{T} \sum_t w_t x_t$.

    $$ w_t = e^{-t/(\texttt{scale}\ T)}\ (\texttt{exponential}), \qquad w_t = 1 - t/T\ (\texttt{linear}), \qquad
       w_t = \frac{1}{1 + e^{(t/T - \texttt{centre}) / \texttt{width}}}\ (\texttt{sigmoid}), \qquad t = 0 \ldots T-1 $$

    All three prefer what happens early. They are made by `Weighted.exponential()`, `Weighted.linear()` and
    `Weighted.sigmoid()`; `Weighted(weights)` takes any weights. Both $t$ and $T$ count only the steps that are not
    masked. The mean is the shaped integral $\frac{1}{T} \int w(t) v(t) dt$, of which a softmax is $T$ times less sharp
    than of the sum, and as sharp for any number of steps.

    **Arguments:**
    - `weights`: `[time]`, or a function `(t, T) -> w_t`, of an array of steps `[time]` and the number of steps.
    - `mean`: whether the sum is divided by $T$.

    **Raises:** `ShapeError` unless weights are one-dimensional. Where a sequence is longer than its weights, the result
    is NaN.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), for the weights.
    """

    weights: Float[Array, "time"] | Callable[[Array, Array], Array] = eqx.field(converter=_as_weights)
    mean: bool = eqx.field(static=True, default=False, kw_only=True)

    @staticmethod
    def exponential(scale: float = 1.0, *, mean: bool = False) -> "Weighted":
        r"""Weights that fall as $e^{-t/(\texttt{scale}\ T)}$.

        **Raises:** `ValueError` unless `scale > 0`.
        """
        return Weighted(_Exponential(scale), mean=mean)

    @staticmethod
    def linear(*, mean: bool = False) -> "Weighted":
        """Weights that fall as $1 - t/T$."""
        return Weighted(_linear, mean=mean)

    @staticmethod
    def sigmoid(centre: float = 0.5, width: float = 0.2, *, mean: bool = False) -> "Weighted":
        r"""Weights that fall as $1 / (1 + e^{(t/T - \texttt{centre}) / \texttt{width}})$: 1/2 at the centre.

        **Arguments:** `centre`, `width`: fractions of $T$. The defaults are those of the authors' program.
        **Raises:** `ValueError` unless `width > 0`.
        """
        return Weighted(_Sigmoid(centre, width), mean=mean)

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array, Array]:
        return accumulator(like), jnp.zeros_like(steps), jnp.maximum(steps, 1)

    def step(self, carry: tuple[Array, Array, Array], xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        total, done, steps = carry
        live = jnp.ones(times.shape, bool) if mask is None else mask
        clock = done + jnp.cumsum(live, dtype=done.dtype) - 1
        if callable(self.weights):
            weights = self.weights(clock.astype(total.dtype), steps.astype(total.dtype))
        else:
            weights = self.weights.astype(total.dtype).at[clock].get(mode="fill", fill_value=jnp.nan)
        weighted = masked(xs, mask, 0.0) * along(masked(weights, mask, 0.0), xs)
        return total + jnp.sum(weighted, axis=0, dtype=total.dtype), clock[-1] + 1, steps

    def finish(self, carry: tuple[Array, Array, Array]) -> Array:
        total, _, steps = carry
        return total / steps.astype(total.dtype) if self.mean else total


# Modules rather than closures, so that two that are made alike are equal, and can be pickled.


class _Exponential(eqx.Module):
    scale: float = eqx.field(static=True)

    def __check_init__(self):
        _check_number("exponential", "scale", self.scale, positive=True)

    def __call__(self, t: Array, steps: Array) -> Array:
        return jnp.exp(-t / (self.scale * steps))


class _Sigmoid(eqx.Module):
    centre: float = eqx.field(static=True)
    width: float = eqx.field(static=True)

    def __check_init__(self):
        _check_number("sigmoid", "centre", self.centre)
        _check_number("sigmoid", "width", self.width, positive=True)

    def __call__(self, t: Array, steps: Array) -> Array:
        return jax.nn.sigmoid((self.centre - t / steps) / self.width)


def _linear(t: Array, steps: Array) -> Array:
    return 1.0 - t / steps


def _check_number(maker: str, name: str, number: float, *, positive: bool = False) -> None:
    known = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    if not known or (positive and number <= 0):
        wanted = "a number > 0" if positive else "a finite number"
        raise ValueError(f"Weighted.{maker}: {name} is {describe(number)}, expected {wanted}, a fraction of the time.")
