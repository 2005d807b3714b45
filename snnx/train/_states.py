"""The state of a run: all that is carried from step to step, and what a checkpoint holds."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree


class Totals(eqx.Module):
    """Sums over the examples of an epoch so far: their losses, the right answers, and how many they are; of an ensemble one
    of each for every member."""

    loss: Float[Array, "*members"]
    correct: Float[Array, "*members"]
    examples: Float[Array, "*members"]

    @staticmethod
    def zero(shape: tuple[int, ...] = ()) -> "Totals":
        """Nothing seen yet."""
        return Totals(*(jnp.zeros(shape) for _ in range(3)))


class TrainState(eqx.Module):
    """All that training carries from step to step; a checkpoint holds it, and a run resumes from it bit for bit.

    - `model`: the model being trained, in training mode; of an ensemble the stack of them.
    - `opt_state`: the optimiser's state.
    - `key`: the key of the whole run; epochs, steps and examples fold their number into it.
    - `epoch`: epochs finished.
    - `position`: steps of the current epoch done.
    - `totals`: sums over the current epoch so far.
    - `failed`: the step, counted from the start of the run, that was not finite, or -1; of each member of an ensemble.
    - `best`: the model with the best validation so far, as it was after that epoch; None without validation.
    """

    model: PyTree
    opt_state: PyTree
    key: Key[Array, ""]
    epoch: Int[Array, ""]
    position: Int[Array, ""]
    totals: Totals
    failed: Int[Array, "*members"]
    best: PyTree = None

    @staticmethod
    def fresh(model: PyTree, opt_state: PyTree, key: Key[Array, ""], validated: bool, *members: int) -> "TrainState":
        """The state before the first step."""
        zero, none_failed = jnp.zeros((), jnp.int32), jnp.full(members, -1, jnp.int32)
        return TrainState(
            model, opt_state, key, zero, zero, Totals.zero(members), none_failed, model if validated else None
        )

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps of the current one."""
        return int(self.epoch), int(self.position)


class EvolveState(eqx.Module):
    """All that `evolve` carries from generation to generation; a checkpoint holds it, and a run resumes from it bit for bit.

    - `params`: what is searched for.
    - `opt_state`: the state of the strategy, or of the optimiser.
    - `key`: the key of the whole run; generations fold their number into it.
    - `generation`: generations finished.
    - `best`, `best_value`: the best candidate so far, and its value, from one evaluation.
    - `lowest`, `lowest_at`: the lowest value of `params` so far, and the generation that had it.
    """

    params: PyTree
    opt_state: PyTree
    key: Key[Array, ""]
    generation: Int[Array, ""]
    best: PyTree
    best_value: Float[Array, ""]
    lowest: Float[Array, ""]
    lowest_at: Int[Array, ""]

    @property
    def place(self) -> tuple[int, int]:
        """Generations done."""
        return int(self.generation), 0


def copied(tree: Any) -> Any:
    """Every array in a buffer of its own. What is donated to a program is lost to its owner, and two leaves that share a
    buffer cannot both be donated."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True) if eqx.is_array(x) else x, tree)
