import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from snnx.solvers._solver import AbstractSolver, Candidates, Objective, Step, all_finite


class Gradient(AbstractSolver):
    r"""Gradient descent with an optimiser of optax.

    $$ \theta \leftarrow \theta + u(\nabla f(\theta)) $$

    `fit(optimizer=optax.adam(1e-3))` and `evolve(optax.adam(1e-3), ...)` make one of these by themselves.

    **Arguments:** `optimizer`: $u$.
    """

    optimizer: optax.GradientTransformation

    def init(self, params: PyTree, *, key: Key[Array, ""]) -> PyTree:
        return self.optimizer.init(params)

    def step(self, params: PyTree, state: PyTree, objective: Objective, *, key: Key[Array, ""]) -> Step:
        (value, aux), grads = objective.value_and_grad(params)
        updates, state = self.optimizer.update(grads, state, params)
        good = jnp.isfinite(value)
        failed = (~good).astype(jnp.int32)
        candidates = Candidates(value, jnp.zeros_like(value), value, failed, params, all_finite(params))
        return Step(optax.apply_updates(params, updates), state, value, aux, good & all_finite(updates), candidates)
