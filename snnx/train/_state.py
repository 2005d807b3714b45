from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree


class Totals(eqx.Module):
    """Sums over the examples of an epoch so far: of their losses, of right answers, and their number; of an ensemble a row
    of each."""

    loss: Float[Array, "*members"]
    correct: Float[Array, "*members"]
    examples: Float[Array, "*members"]

    @staticmethod
    def zero() -> "Totals":
        """Nothing seen yet."""
        return Totals(*(jnp.zeros(()) for _ in range(3)))


class TrainState(eqx.Module):
    """All that training carries from step to step, and a checkpoint holds: saved and resumed bit for bit.

    - `model`: the model being trained, in training mode.
    - `opt_state`: the optimiser's state.
    - `key`: the key of the whole run; epochs, steps and examples fold their number into it.
    - `epoch`: epochs finished.
    - `position`: steps of the current epoch done.
    - `totals`: sums over the current epoch so far.
    - `best`: the model with the best validation so far (as it was after that epoch); None without validation.
    """

    model: PyTree
    opt_state: PyTree
    key: Key[Array, ""]
    epoch: Int[Array, ""]
    position: Int[Array, ""]
    totals: Totals
    best: PyTree = None

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps of the current one."""
        return int(self.epoch), int(self.position)


class EvolveState(eqx.Module):
    """All that `evolve` carries from generation to generation, and a checkpoint holds: resumed bit for bit.

    - `params`: what is evolved.
    - `solver`: the solver's state.
    - `key`: the key of the whole run; generations fold their number into it.
    - `generation`: generations finished.
    - `best`: the best candidate so far, and its fitness, which is that of one evaluation.
    - `highest`: the best fitness of `params` so far, and in which generation that was.
    """

    params: PyTree
    solver: PyTree
    key: Key[Array, ""]
    generation: Int[Array, ""]
    best: PyTree
    best_fitness: Float[Array, ""]
    highest: Float[Array, ""]
    highest_at: Int[Array, ""]

    @property
    def place(self) -> tuple[int, int]:
        """Generations done."""
        return int(self.generation), 0


class EnsembleState(eqx.Module):
    """A `TrainState` whose arrays are stacked, and the step from which on each member stood still, or -1."""

    train: TrainState
    failed: Array

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done."""
        return int(self.train.epoch), 0


def copied(tree: Any) -> Any:
    """Every array in a buffer of its own: what is donated to a program is lost to its owner, and two leaves of one
    buffer cannot be donated at all."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True) if eqx.is_array(x) else x, tree)


def alike(one: Any, other: Any) -> bool:
    """Whether two states are of the same run but for their numbers: one structure, arrays of the same shapes."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    shapes = [[leaf.shape for leaf in jax.tree.leaves(state) if eqx.is_array(leaf)] for state in (one, other)]
    return shapes[0] == shapes[1]
