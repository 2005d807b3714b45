"""`snnx evaluate`."""

import argparse
import pathlib

import equinox as eqx
import numpy as np

from snnx._errors import CheckpointError
from snnx.cli._config import make_task
from snnx.cli._run import MODEL, read_config
from snnx.cli._train import as_json, print_scores
from snnx.data import fingerprint
from snnx.train import evaluate, load_checkpoint, read_meta


def evaluate_run(args: argparse.Namespace, started: float) -> None:
    """Score the model of a finished run on its test split."""
    folder = pathlib.Path(args.run)
    config = read_config(folder)
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
            f"{folder}: the test examples are not those that were kept from the training; config.json was changed since."
        )
    scored = evaluate(model, task.test)
    print_scores(model, as_json(scored))
    classes = task.test.classes or ()
    width = max(4, *(len(name) + 1 for name in classes))
    print("confusion (rows: true class, columns: predicted)")
    print(" " * width + "".join(name.rjust(width) for name in classes))
    for name, row in zip(classes, np.asarray(scored.confusion), strict=True):
        print(name.rjust(width) + "".join((str(n) if n else ".").rjust(width) for n in row))
