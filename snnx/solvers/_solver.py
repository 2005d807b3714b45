"""The protocol: parameters beside a state, and a step that makes an objective smaller; the simplest: gradient descent."""

import abc
import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from snnx._checks import checked
from snnx._typing import default


class Objective(NamedTuple):
    """What a solver makes smaller, and the two ways to look at it.

    - `value_and_grad`: of one set of parameters the value, what else it gives, and the gradient: `((value, aux), grads)`.
    - `values`: of a population (parameters with a leading axis `[members]`) the value of each member and, stacked, what
        else it gives: `([members], aux)`.
    """

    value_and_grad: Callable[[PyTree], tuple[tuple[Array, PyTree], PyTree]]
    values: Callable[[PyTree], tuple[Array, PyTree]]


class Candidates(eqx.Module):
    """What a step looked at: of a gradient step the parameters alone.

    Means and extremes are over the values that are finite; `failed` counts the others. `params` are those of `best`.
    `sound`: whether all the candidates themselves are finite numbers.
    """

    mean: Float[Array, ""]
    std: Float[Array, ""]
    best: Float[Array, ""]
    failed: Int[Array, ""]
    params: PyTree
    sound: Bool[Array, ""]

    @staticmethod
    def alone(value: Float[Array, ""], params: PyTree) -> "Candidates":
        """What a step looks at that tries nothing but the parameters themselves, whose value this is."""
        failed = (~jnp.isfinite(value)).astype(jnp.int32)
        return Candidates(value, jnp.zeros_like(value), value, failed, params, all_finite(params))


class Step(eqx.Module):
    """What a solver's step gives.

    - `params`, `state`: after it.
    - `value`, `aux`: of the parameters before it.
    - `finite`: False if the step had no finite numbers to go by, or would have led to numbers that are not finite; the
        caller then keeps the old parameters and state.
    """

    params: PyTree
    state: PyTree
    value: Float[Array, ""]
    aux: PyTree
    finite: Bool[Array, ""]
    candidates: Candidates


class AbstractSolver(eqx.Module):
    """A way to make an objective smaller: `init` once, then `step` after `step`.

    The parameters that are searched for stand beside the solver's own state rather than inside it, so that a checkpoint
    holds them once and anything else can look at them.
    """

    @property
    @default
    def name(self) -> str:
        """How settings and error messages name it."""
        return type(self).__name__

    @abc.abstractmethod
    def init(self, params: PyTree, *, key: Key[Array, ""]) -> PyTree:
        """The state before the first step.

        **Raises:** `ValueError`, `TypeError` for parameters that this solver was not made for.
        """

    @abc.abstractmethod
    def step(self, params: PyTree, state: PyTree, objective: Objective, *, key: Key[Array, ""]) -> Step:
        """One step, pure and traceable."""


@checked
class GradientDescent(AbstractSolver):
    r"""Gradient descent with an optimiser of optax.

    $$ \theta \leftarrow \theta + u(\nabla f(\theta)) $$

    `fit(optimizer=optax.adam(1e-3))` and `evolve(..., optimizer=optax.adam(1e-3))` make one of these by themselves.

    **Arguments:** `optimizer`: $u$.
    """

    optimizer: optax.GradientTransformation

    def init(self, params: PyTree, *, key: Key[Array, ""]) -> PyTree:
        return self.optimizer.init(params)

    def step(self, params: PyTree, state: PyTree, objective: Objective, *, key: Key[Array, ""]) -> Step:
        (value, aux), grads = objective.value_and_grad(params)
        updates, state = self.optimizer.update(grads, state, params)
        finite = jnp.isfinite(value) & all_finite(updates)
        return Step(optax.apply_updates(params, updates), state, value, aux, finite, Candidates.alone(value, params))


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every number in a PyTree is finite."""
    return functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)), jnp.array(True))
