"""`snnx evaluate`."""

import argparse
import pathlib
from collections.abc import Sequence

import equinox as eqx
import numpy as np

from snnx._errors import CheckpointError
from snnx.cli._run import MODEL, read_config
from snnx.cli._task import make_task
from snnx.cli._train import as_json, print_scores
from snnx.data import fingerprint
from snnx.train import evaluate, load_checkpoint, read_meta


def evaluate_run(args: argparse.Namespace, started: float) -> None:
    """Score the model of a finished run on its test split."""
    folder = pathlib.Path(args.run)
    config = read_config(folder, args.root)
    if not (folder / MODEL).is_file():
        raise ValueError(f"{folder} holds no finished model; finish the run with: snnx train --resume {folder}")
    task = make_task(config)
    try:
        model, meta = load_checkpoint(folder / MODEL, eqx.nn.inference_mode(task.model)), read_meta(folder / MODEL)
    except CheckpointError as error:
        again = f"remove it and make it again with: snnx train --resume {folder}"
        raise CheckpointError(f"{error} If the settings are those of the run, {again}") from error
    if meta.get("test") != fingerprint(task.test):
        raise ValueError(
            f"{folder}: the test examples are not those that were kept from the training; config.json or the data were"
            " changed since."
        )
    scored = evaluate(model, task.test)
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
