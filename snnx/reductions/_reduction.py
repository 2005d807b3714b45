"""Reductions over time: small objects that see one stretch of a trace after the other."""

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from snnx._default import default
from snnx._errors import ShapeError, describe

Mask: TypeAlias = "Bool[Array, 'time'] | None"


class AbstractReduction(eqx.Module):
    """What becomes of a trace `[time, *shape]`: a `Sum`, a `Mean`, all of it (`Stack`), ...

    The trace comes in stretches, so that none but `Stack` ever stores it whole. Masked steps do not count.
    """

    stacks: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> PyTree:
        """The carry before the first step, for a trace whose steps look `like` this and of which `steps` count."""

    @abc.abstractmethod
    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        """The carry after one more stretch `xs: [time, *shape]`, taken at `times`."""

    @default
    def finish(self, carry: PyTree) -> Array:
        """The result."""
        return carry


def masked(xs: Array, mask: Mask, fill: float) -> Array:
    """The trace with `fill` at masked steps."""
    return xs if mask is None else jnp.where(along(mask, xs), xs, jnp.asarray(fill, xs.dtype))


def along(weights: Array, xs: Array) -> Array:
    """`[time]` shaped so that it multiplies `[time, *shape]`."""
    return weights.reshape(weights.shape + (1,) * (xs.ndim - 1))


def accumulator(like: jax.ShapeDtypeStruct) -> Array:
    return jnp.zeros(like.shape, jnp.promote_types(like.dtype, jnp.float32))


class Stack(AbstractReduction):
    """The whole trace, `[time, *shape]`; zeros (outputs) or the unchanged state at masked steps."""

    stacks: ClassVar[bool] = True

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> PyTree:
        return None

    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        return None


class Sum(AbstractReduction):
    r"""The sum over time, $\sum_t x_t$, accumulated in at least float32."""

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> Array:
        return accumulator(like)

    def step(self, carry: Array, xs: Array, times: Int[Array, "time"], mask: Mask) -> Array:
        return carry + jnp.sum(masked(xs, mask, 0.0), axis=0, dtype=carry.dtype)


class Mean(AbstractReduction):
    r"""The mean over time, $\frac{1}{T} \sum_t x_t$, where $T$ counts the steps that are not masked.

    Of a sequence whose steps are all masked the mean is zero.
    """

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array]:
        return accumulator(like), jnp.maximum(steps, 1)

    def step(self, carry: tuple[Array, Array], xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        total, steps = carry
        return total + jnp.sum(masked(xs, mask, 0.0), axis=0, dtype=total.dtype), steps

    def finish(self, carry: tuple[Array, Array]) -> Array:
        total, steps = carry
        return total / steps.astype(total.dtype)


class Max(AbstractReduction):
    r"""The maximum over time, $\max_t x_t$; the gradient goes to the first step that reaches it.

    NaN if there is one; zero for a sequence whose steps are all masked.
    """

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array]:
        return jnp.full(like.shape, -jnp.inf, like.dtype), steps

    def step(self, carry: tuple[Array, Array], xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        best, steps = carry
        xs = masked(xs, mask, -jnp.inf)
        first = jnp.argmax(jax.lax.stop_gradient(xs), axis=0, keepdims=True)
        highest = jnp.take_along_axis(xs, first, axis=0)[0]
        return jnp.where((highest > best) | jnp.isnan(highest), highest, best), steps

    def finish(self, carry: tuple[Array, Array]) -> Array:
        best, steps = carry
        return jnp.where(steps > 0, best, jnp.zeros_like(best))


class Last(AbstractReduction):
    """The value at the last step that is not masked; zeros if there is none."""

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> Array:
        return jnp.zeros(like.shape, like.dtype)

    def step(self, carry: Array, xs: Array, times: Int[Array, "time"], mask: Mask) -> Array:
        if mask is None:
            return xs[-1]
        index = xs.shape[0] - 1 - jnp.argmax(mask[::-1])
        return jnp.where(jnp.any(mask), xs[index], carry)


def _as_weights(weights: "ArrayLike | Sequence[float] | Callable") -> "Array | Callable":
    if callable(weights):
        return weights
    array = jnp.asarray(weights)
    if array.ndim != 1:
        raise ShapeError(f"Weighted: weights is {describe(array)}, expected [time]: one weight for each step.")
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.zeros(()).dtype)


class Weighted(AbstractReduction):
    r"""A weighted sum over time, $\sum_t w_t x_t$.

    $$ w_t = e^{-t/T}\ (\texttt{exponential}), \qquad w_t = 1 - t/T\ (\texttt{linear}), \qquad t = 0 \ldots T-1 $$

    Both prefer what happens early. They are made by `Weighted.exponential()` and `Weighted.linear()`;
    `Weighted(weights)` takes any weights. Both $t$ and $T$ count only the steps that are not masked.

    **Arguments:**
    - `weights`: `[time]`, or a function `(t, T) -> w_t`, of an array of steps `[time]` and the number of steps.

    **Raises:** `ShapeError` unless weights are one-dimensional. Where a sequence is longer than its weights, the result
    is NaN.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), for the exponential weight.
    """

    weights: Float[Array, "time"] | Callable[[Array, Array], Array] = eqx.field(converter=_as_weights)

    @staticmethod
    def exponential() -> "Weighted":
        """Weights that fall as $e^{-t/T}$."""
        return Weighted(_exponential)

    @staticmethod
    def linear() -> "Weighted":
        """Weights that fall as $1 - t/T$."""
        return Weighted(_linear)

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
        return carry[0]


def _exponential(t: Array, steps: Array) -> Array:
    return jnp.exp(-t / steps)


def _linear(t: Array, steps: Array) -> Array:
    return 1.0 - t / steps
