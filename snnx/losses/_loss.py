"""What every loss is: a readout, a number for one example, and what it wants recorded. Losses add up."""

import abc
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._typing import default
from snnx.cells import AbstractCell, walk
from snnx.reductions import AbstractReduction

Reductions: TypeAlias = AbstractReduction | tuple[AbstractReduction, ...]


class AbstractLoss(eqx.Module):
    """A loss or regulariser: a number for ONE example; the trainer adds the batch axis and takes the mean.

    Losses are added up and weighted with `+` and `*`: `CrossEntropy(Mean()) + 1e-3 * UpperRate(0.1)`. A loss of your own
    is one class with a `readout` and `__call__`:

    ```python
    class AbsoluteError(snnx.losses.AbstractLoss):
        readout: snnx.reductions.AbstractReduction = snnx.Mean()

        def __call__(self, reduced, target, *, record):
            return jnp.abs(reduced - target).mean()
    ```

    Masked steps (padding) count in no reduction, so that a loss of what a reduction gives never sees the mask. One of the
    whole trace asks for the number of steps that count, too: the steps behind them are padding, and hold zeros.

    ```python
    class AbsoluteTraceError(snnx.losses.AbstractLoss):
        readout: tuple = (snnx.Stack(), snnx.losses.StepCount())

        def __call__(self, reduced, target, *, record):
            outputs, steps = reduced
            errors = jnp.abs(outputs - target).mean(axis=1)  # [time]
            return jnp.sum(errors, where=jnp.arange(len(errors)) < steps) / jnp.maximum(steps, 1)
    ```

    `taps` asks for reductions of other parts, hidden layers or membranes, which come in as `record`; there padding does not
    count either. A loss that makes no sense but of spikes says `of_spikes = True`: models that end in something else are
    refused.
    """

    of_spikes: ClassVar[bool] = False

    kind_in_words: ClassVar[str] = "a loss, such as snnx.CrossEntropy()"

    readout: eqx.AbstractVar[Reductions]

    __array_ufunc__: ClassVar[None] = None  # so that numpy.float64(0.1) * loss is left to __rmul__

    @abc.abstractmethod
    def __call__(self, reduced: PyTree, target: Any, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        """The loss of one example.

        **Arguments:**
        - `reduced`: what `simulate(..., readout=self.readout)` gives: bare, or a tuple where `readout` is one.
        - `target`: the example's label, values or spike train; regularisers ignore it.
        - `record`: what `simulate(..., record=self.taps(model))` gives.
        """

    @default
    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        """What is to be recorded besides the outputs: a dict from path to reduction, as for `simulate(record=...)`."""
        if self.of_spikes:
            _check_spiking(type(self).__name__, model)
        return {}

    @default
    def scores(self, reduced: PyTree) -> Float[Array, "classes"] | None:
        """One number per class, larger being more likely; None where there are no classes."""
        return None

    @default
    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        """Refuse the targets `[n, ...]` of a whole data set; called once, before training, outside any program.

        **Arguments:** `classes`: the number of the model's outputs, or None where they have more axes than one.
        """
        return

    def __add__(self, other: object) -> "WeightedSum":
        if not isinstance(other, AbstractLoss):
            return NotImplemented
        return WeightedSum((*_terms(self), *_terms(other)), (*_weights(self), *_weights(other)))

    def __radd__(self, other: object) -> "AbstractLoss":
        # sum([...]) starts with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, weight: object) -> "WeightedSum":
        if not _is_scalar(weight):
            return NotImplemented
        if isinstance(weight, int | float | np.number) and not math.isfinite(weight):
            raise ValueError(f"{type(self).__name__}: the weight is {weight!r}, expected a finite number.")
        factor: Any = weight if isinstance(weight, jax.Array) else float(weight)  # pyright: ignore[reportArgumentType]
        return WeightedSum(_terms(self), tuple(factor * w for w in _weights(self)))

    def __rmul__(self, weight: object) -> "WeightedSum":
        return self.__mul__(weight)


@checked
class WeightedSum(AbstractLoss):
    r"""Losses added up: $L = \sum_i w_i L_i$. Made by `+` and `*`; sums of sums are flat.

    Scores are those of the first term that has some. Terms may record the same part with different reductions.
    """

    terms: tuple[AbstractLoss, ...]
    weights: tuple[float | Float[Array, ""], ...]
    readout: tuple[AbstractReduction, ...]

    def __init__(self, terms: tuple[AbstractLoss, ...], weights: tuple[float | Float[Array, ""], ...]):
        self.terms = terms
        self.weights = weights
        self.readout = tuple(r for term in terms for r in _as_tuple(term.readout))

    def __call__(self, reduced: tuple, target: Any, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        parts = zip(self.weights, self.terms, self._of_each(reduced), _records(record, len(self.terms)), strict=True)
        values = [w * term(own, target, record=seen) for w, term, own, seen in parts]
        return sum(values[1:], start=values[0])

    def taps(self, model: PyTree) -> dict[str, tuple[AbstractReduction, ...]]:
        wanted = [term.taps(model) for term in self.terms]
        paths = dict.fromkeys(path for taps in wanted for path in taps)
        return {path: _slots([taps.get(path) for taps in wanted]) for path in paths}

    def scores(self, reduced: tuple) -> Float[Array, "classes"] | None:
        found = (term.scores(own) for term, own in zip(self.terms, self._of_each(reduced), strict=True))
        return next((scores for scores in found if scores is not None), None)

    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        for term in self.terms:
            term.check_targets(targets, classes)

    def _of_each(self, reduced: tuple) -> list[PyTree]:
        """The part of `reduced` that each term asked for, in its own form."""
        left, own = list(reduced), []
        for term in self.terms:
            count = len(_as_tuple(term.readout))
            mine, left = tuple(left[:count]), left[count:]
            own.append(mine if isinstance(term.readout, tuple) else mine[0])
        return own


class _Elsewhere(AbstractReduction):
    """Keeps nothing of a trace, and is its own result: term `index` has what belongs here; with None nothing does."""

    index: int | None = eqx.field(static=True)

    def init(self, like: jax.ShapeDtypeStruct, steps: Array) -> None:
        return None

    def step(self, carry: None, xs: Array, times: Array, mask: Array | None) -> None:
        return None

    def finish(self, carry: None) -> "_Elsewhere":  # pyright: ignore[reportIncompatibleMethodOverride]
        return self


def _slots(wanted: Sequence[Any]) -> tuple[AbstractReduction, ...]:
    """One reduction per term, so that the place says whose it is; what an earlier term computes already is shared."""
    slots: list[AbstractReduction] = []
    for reduction in wanted:
        same = next((i for i, slot in enumerate(slots) if reduction is not None and _alike(slot, reduction)), None)
        slots.append(_Elsewhere(same) if same is not None or reduction is None else reduction)
    return tuple(slots)


def _alike(a: AbstractReduction, b: AbstractReduction) -> bool:
    (leaves, one), (others, other) = jax.tree.flatten(a), jax.tree.flatten(b)
    return one == other and all(x is y for x, y in zip(leaves, others, strict=True))


def _records(record: Mapping[str, PyTree], count: int) -> list[dict[str, PyTree]]:
    """What each term asked to be recorded: the inverse of `_slots`."""
    records: list[dict[str, PyTree]] = [{} for _ in range(count)]
    for path, slots in record.items():
        for own, slot in zip(records, slots, strict=True):
            if not isinstance(slot, _Elsewhere):
                own[path] = slot
            elif slot.index is not None:
                own[path] = slots[slot.index]
    return records


def _as_tuple(readout: Reductions) -> tuple[AbstractReduction, ...]:
    return readout if isinstance(readout, tuple) else (readout,)


def _terms(loss: AbstractLoss) -> tuple[AbstractLoss, ...]:
    return loss.terms if isinstance(loss, WeightedSum) else (loss,)


def _weights(loss: AbstractLoss) -> tuple[float | Array, ...]:
    return loss.weights if isinstance(loss, WeightedSum) else (1.0,)


def _is_scalar(weight: object) -> bool:
    if isinstance(weight, jax.Array):
        return weight.ndim == 0
    return isinstance(weight, int | float | np.number) and not isinstance(weight, bool)


def _check_spiking(where: str, model: PyTree) -> None:
    """Refuse a model whose last cell does not put out spikes."""
    cells = [(path, part) for path, part in walk(model) if isinstance(part, AbstractCell) and not part.children()]
    if cells and not cells[-1][1].spikes:
        path, last = cells[-1]
        raise ValueError(
            f"{where}: takes the spikes of the output, but the last cell of the model, {path or 'the model'}"
            f" ({type(last).__name__}), puts out none; end with a neuron that fires (one of your own says so by"
            " spikes = True), or take snnx.CrossEntropy or snnx.MSE."
        )
