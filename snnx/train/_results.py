"""What the trainers return."""

import abc
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from snnx.train._programs import Compilation
from snnx.train._progress import duration, sentence
from snnx.train._states import EvolveState, TrainState


class AbstractResult(eqx.Module):
    """What the results of all trainers have."""

    state: eqx.AbstractVar[Any]
    history: eqx.AbstractVar[tuple[dict[str, Any], ...]]
    compilation: eqx.AbstractVar[Compilation]
    seconds: eqx.AbstractVar[float]
    settings: eqx.AbstractVar[dict[str, Any]]

    @property
    def compile_seconds(self) -> float:
        """What compiling alone took: 0 where the programs were found."""
        return self.compilation.compile

    @abc.abstractmethod
    def _in_words(self) -> str:
        """How it went, in a few words."""

    def __repr__(self) -> str:
        """One line: what a notebook shows of it."""
        return f"{type(self).__name__} of {self._in_words()}; in {duration(self.seconds)}"

    __str__ = __repr__


class FitResult(AbstractResult):
    """What `fit` returns.

    - `model`: in inference mode; with validation the model of the best epoch, else that of the last.
    - `state`: everything of the last step, and what a checkpoint holds; `fit(..., resume=result)` goes on from it.
    - `history`: a dict per epoch: loss, accuracy, those of the validation, samples per second, ...
    - `best_epoch`: whose model `model` is (from 1 on).
    - `compilation`: the seconds that tracing, lowering, looking up and compiling took.
    - `seconds`: what everything took.
    - `settings`: what a resumed run has to agree with.
    """

    model: PyTree
    state: TrainState
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    compilation: Compilation
    seconds: float
    settings: dict[str, Any]

    def _in_words(self) -> str:
        best = f", the best {self.best_epoch}" if self.history else ""
        return f"{len(self.history)} epochs{best}{_last(self.history)}"


class EnsembleResult(AbstractResult):
    """What `fit_ensemble` returns.

    - `models`: the stack, in inference mode; with validation each member as it was after its best epoch, else its last.
        `snnx.parameters.member(result.models, i)` is one of them.
    - `best`: the member with the lowest loss: of validation at its best epoch, else of the last epoch.
    - `history`: a dict per epoch: `loss`, `accuracy`, those of the validation, a list of `[members]` each.
    - `best_epoch`: of each member, from 1 on.
    - `failed`: of each member the step, over all epochs, that was not finite and from which on it stood still; -1 if none.
    - `state`, `compilation`, `seconds`, `settings`: as of `FitResult`; the arrays of the state are stacked.
    """

    models: PyTree
    best: int
    history: tuple[dict[str, Any], ...]
    best_epoch: tuple[int, ...]
    failed: tuple[int, ...]
    state: TrainState
    compilation: Compilation
    seconds: float
    settings: dict[str, Any]

    def _in_words(self) -> str:
        failed = sum(step >= 0 for step in self.failed)
        gone = f", {failed} of them not finite" if failed else ""
        return f"{len(self.failed)} members{gone}, the best {self.best}"


class EvolveResult(AbstractResult):
    """What `evolve` returns.

    - `params`: what was searched for, as the last generation left it: the mean of the strategy's distribution, or the best
        of its population (which a strategy may have exchanged for a worse one). It has not been evaluated yet, unless the
        target was reached: then it is what reached it.
    - `best`, `best_value`: the best candidate of all generations, and its value. Where the objective is random it may owe
        that to luck.
    - `history`: a dict per generation: `generation`, from 1 on; `value` of `params` at its beginning; `mean`, `std` and
        `best` over its candidates; how many `failed`; and what `figures` gave.
    - `outcome`: why it ended, in words.
    - `state`: everything of the last generation, and what a checkpoint holds; `evolve(..., resume=result)` goes on from it.
    - `compilation`, `seconds`, `settings`: as of `FitResult`.
    """

    params: PyTree
    best: PyTree
    best_value: float
    history: tuple[dict[str, Any], ...]
    outcome: str
    state: EvolveState
    compilation: Compilation
    seconds: float
    settings: dict[str, Any]

    def _in_words(self) -> str:
        return f"{len(self.history)} generations{_last(self.history)}; {self.outcome}"


class Evaluation(eqx.Module):
    """How a model does on a data set, every example scored once.

    **Fields:** `loss`: the mean; `accuracy`: share of right answers, None for regression; `examples`: their number;
    `spike_rates`: spikes per neuron and step, by the path of the part; `predictions`: `int[n]`; `confusion`:
    `int[classes, classes]`, rows are the true classes; `losses`: `float[n]`; `seconds`: how long it took.
    """

    loss: float
    accuracy: float | None
    examples: int
    spike_rates: dict[str, float]
    predictions: np.ndarray | None
    confusion: np.ndarray | None
    losses: np.ndarray
    seconds: float

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f"accuracy {100 * self.accuracy:.2f} %, "
        rates = ", ".join(f"{path or 'model'}: {rate:.3f}" for path, rate in self.spike_rates.items())
        spikes = f"; spikes per neuron and step: {rates}" if rates else ""
        return f"{accuracy}loss {self.loss:.4f} on {self.examples} examples{spikes}"


def _last(history: tuple[dict[str, Any], ...]) -> str:
    return f": {sentence(history[-1])}" if history else ""
