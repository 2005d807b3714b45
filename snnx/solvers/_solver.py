"""The protocol: parameters beside a state, and a step that makes an objective smaller."""

import abc
import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from snnx._typing import default


class Objective(NamedTuple):
    """What a solver makes smaller, and the two ways to look at it.

    - `value_and_grad`: of one set of parameters the value, what else came of it, and the gradient:
        `((value, aux), grads)`.
    - `values`: of a population (parameters with a leading axis `[members]`) the value of each member and, stacked, what
        else came of it: `([members], aux)`.
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


class Step(eqx.Module):
    """What a solver's step gives.

    - `params`, `state`: after it.
    - `value`, `aux`: of the parameters before it.
    - `finite`: False if the step had no finite numbers to go by, or would have led to others; whoever called it keeps the
        old parameters and state.
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
        """What a checkpoint says of it."""
        return type(self).__name__

    @abc.abstractmethod
    def init(self, params: PyTree, *, key: Key[Array, ""]) -> PyTree:
        """The state before the first step.

        **Raises:** `ValueError`, `TypeError` for parameters that this solver was not made for.
        """

    @abc.abstractmethod
    def step(self, params: PyTree, state: PyTree, objective: Objective, *, key: Key[Array, ""]) -> Step:
        """One step, pure and traceable."""


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every number in a PyTree is finite."""
    return functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)), jnp.array(True))
