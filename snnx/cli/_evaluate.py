"""`snnx evaluate`."""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from snnx.cli._finished import finished
from snnx.cli._train import as_json, print_scores
from snnx.train import evaluate


def evaluate_run(args: argparse.Namespace, started: float) -> None:
    """Score the model of a finished run on its test split."""
    task, model = finished(pathlib.Path(args.run), args.root)
    scored = evaluate(model, task.test, loss=task.score)
    print_scores(model, as_json(scored))
    print("confusion (rows: true class, columns: predicted)")
    for line in _table(task.test.classes or (), np.asarray(scored.confusion)):
        print(line)


def _table(classes: Sequence[str], confusion: np.ndarray) -> list[str]:
    """A confusion matrix. Names that are long stand before the rows only, with the numbers that the columns have."""
    heads = list(classes) if max(map(len, classes), default=0) <= 4 else list(map(str, range(len(classes))))
    names = heads if heads == list(classes) else [f"{name} {head}" for name, head in zip(classes, heads, strict=True)]
    column, first = max(4, *(len(head) + 1 for head in heads)), max(4, *(len(name) + 1 for name in names))
    lines = [" " * first + "".join(head.rjust(column) for head in heads)]
    for name, row in zip(names, confusion, strict=True):
        lines.append(name.rjust(first) + "".join((str(n) if n else ".").rjust(column) for n in row))
    return lines
