"""Reductions over time: small objects that see one stretch of a trace after the other."""

import abc
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from snnx._typing import default

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
