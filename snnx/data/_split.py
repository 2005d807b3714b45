"""Who trains and who is tested: by groups, and in folds. (`SpikeDataset.split` divides by fractions.)"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx._errors import unknown_name
from snnx._typing import Whole
from snnx.data._dataset import SpikeDataset


@checked
def leave_out(data: SpikeDataset, by: str, groups: Sequence[int | str]) -> tuple[SpikeDataset, SpikeDataset]:
    """The examples of all other groups, and those of these: speakers or users that a model has never met.

    ```python
    train, valid = snnx.data.leave_out(data, "speaker", ["lucas"])
    ```

    **Arguments:** `by`: a name in `data.meta`; `groups`: some of its numbers, or of the texts that they stand for.
    **Raises:** `ValueError` for a name or a group that does not exist, or if either part would be empty.
    """
    of_each, names = _groups("leave_out", data, by)
    out = np.zeros(len(data), bool)
    for group in groups:
        if group not in names:
            raise ValueError(unknown_name("leave_out", by, str(group), [str(name) for name in names]))
        out |= of_each == names.index(group)
    if out.all() or not out.any():
        raise ValueError(f"leave_out: groups is {list(groups)!r} of {names}, which leaves one part empty.")
    return data.subset(np.flatnonzero(~out)), data.subset(np.flatnonzero(out))


@checked
def leave_one_out(data: SpikeDataset, by: str) -> Iterator[tuple[int | str, SpikeDataset, SpikeDataset]]:
    """For each group its name, the examples of all others, and its own.

    ```python
    for speaker, train, test in snnx.data.leave_one_out(data, "speaker"):
        ...
    ```

    **Arguments:** `by`: a name in `data.meta`. **Raises:** as `leave_out`.
    """
    _, names = _groups("leave_one_out", data, by)
    if len(names) < 2:
        raise ValueError(f"leave_one_out: all examples are of {by} {names[0]!r}; expected two or more groups.")
    return ((name, *leave_out(data, by, [name])) for name in names)


@checked
def k_fold(
    data: SpikeDataset, folds: Annotated[int, Whole(2)], *, key: Key[Array, ""], by: str | None = None
) -> Iterator[tuple[SpikeDataset, SpikeDataset]]:
    """For each fold the examples of all others, and its own; every example is in one fold.

    Folds have as nearly as possible equally many examples of each class. With `by`, whole groups (speakers, users) are dealt
    out instead, the largest first, each to the fold that has the fewest examples.

    ```python
    for train, test in snnx.data.k_fold(data, 5, key=key):
        ...
    ```

    **Arguments:** `folds`: at least 2; `key`: decides which example goes where; `by`: a name in `data.meta`.
    **Raises:** `ValueError` for more folds than there are examples or groups.
    """
    of_each = _fold_of_examples(data, folds, key) if by is None else _fold_of_groups(data, folds, key, by)
    return (
        (data.subset(np.flatnonzero(of_each != fold)), data.subset(np.flatnonzero(of_each == fold)))
        for fold in range(folds)
    )


def _fold_of_examples(data: SpikeDataset, folds: int, key: Array) -> np.ndarray:
    if folds > len(data):
        raise ValueError(f"k_fold: folds is {folds}, but there are {len(data)} examples.")
    order = np.asarray(jax.random.permutation(key, len(data)))
    if data.classes is not None:  # class after class, in random order within each: dealt out one by one
        order = order[np.argsort(np.asarray(data.targets)[order], kind="stable")]
    fold = np.empty(len(data), int)
    fold[order] = np.arange(len(data)) % folds
    return fold


def _fold_of_groups(data: SpikeDataset, folds: int, key: Array, by: str) -> np.ndarray:
    of_each, names = _groups("k_fold", data, by)
    if folds > len(names):
        raise ValueError(f"k_fold: folds is {folds}, but there are {len(names)} groups of {by!r}.")
    sizes = np.bincount(of_each, minlength=len(names))
    shuffled = np.asarray(jax.random.permutation(key, len(names)))
    fold, load = np.empty(len(names), int), np.zeros(folds, int)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold[group] = np.argmin(load)
        load[fold[group]] += sizes[group]
    return fold[of_each]


def _groups(where: str, data: SpikeDataset, by: str) -> tuple[np.ndarray, list[int | str]]:
    """Of each example the place of its group among the groups that there are; and what these are called."""
    if by not in data.meta:
        raise ValueError(unknown_name(where, "entry of data.meta", by, data.meta))
    present, of_each = np.unique(np.asarray(data.meta[by]), return_inverse=True)
    texts = dict(data.meta_names).get(by)
    return of_each, [int(n) if texts is None else texts[int(n)] for n in present]
