"""Weighted sums over time, and the weights that prefer what happens early."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from snnx._checks import checked
from snnx._typing import AboveZero, Number
from snnx.reductions._reduction import AbstractReduction, Mask, accumulator, along, masked


# A field with a converter is read by the annotation of the converter's argument.
def _as_array(
    weights: Float[Array, "time"] | Sequence[float] | Callable[[Array, Array], Array],
) -> Float[Array, "time"] | Callable[[Array, Array], Array]:
    return weights if callable(weights) or isinstance(weights, jax.Array) else jnp.asarray(weights, float)


@checked
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

    Where a sequence is longer than its weights, the result is NaN.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), for the weights.
    """

    weights: Float[Array, "time"] | Callable[[Array, Array], Array] = eqx.field(converter=_as_array)
    mean: bool = eqx.field(static=True, default=False, kw_only=True)

    @staticmethod
    @checked
    def exponential(scale: AboveZero = 1.0, *, mean: bool = False) -> "Weighted":
        r"""Weights that fall as $e^{-t/(\texttt{scale}\ T)}$."""
        return Weighted(_Exponential(scale), mean=mean)

    @staticmethod
    @checked
    def linear(*, mean: bool = False) -> "Weighted":
        """Weights that fall as $1 - t/T$."""
        return Weighted(_linear, mean=mean)

    @staticmethod
    @checked
    def sigmoid(centre: Number = 0.5, width: AboveZero = 0.2, *, mean: bool = False) -> "Weighted":
        r"""Weights that fall as $1 / (1 + e^{(t/T - \texttt{centre}) / \texttt{width}})$: 1/2 at the centre.

        **Arguments:** `centre`, `width`: fractions of $T$. The defaults are those of the authors' program.
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

    def __call__(self, t: Array, steps: Array) -> Array:
        return jnp.exp(-t / (self.scale * steps))


class _Sigmoid(eqx.Module):
    centre: float = eqx.field(static=True)
    width: float = eqx.field(static=True)

    def __call__(self, t: Array, steps: Array) -> Array:
        return jax.nn.sigmoid((self.centre - t / steps) / self.width)


def _linear(t: Array, steps: Array) -> Array:
    return 1.0 - t / steps
