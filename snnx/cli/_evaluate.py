"""`snnx evaluate`: the scores of a model on its test split."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

import snnx
from snnx.cells import find
from snnx.cli._run_folder import finished
from snnx.train import Evaluation, evaluate


def main(args: argparse.Namespace, started: float) -> None:
    """Score the model of a finished run."""
    task, model = finished(pathlib.Path(args.run), args.root)
    scored = evaluate(model, task.test, loss=task.score)
    print_scores(model, as_json(scored))
    print("confusion (rows: true class, columns: predicted)")
    for line in _table(task.test.classes or (), np.asarray(scored.confusion)):
        print(line)


def as_json(scored: Evaluation) -> dict[str, Any]:
    """The scores as they stand in `test.json`."""
    return {
        "accuracy": scored.accuracy,
        "loss": scored.loss,
        "examples": scored.examples,
        "spike_rates": scored.spike_rates,
        "confusion": np.asarray(scored.confusion).tolist(),
    }


def print_scores(model: snnx.AbstractCell, scores: dict[str, Any]) -> None:
    """Accuracy and spike rates, for people."""
    right, accuracy = round(scores["accuracy"] * scores["examples"]), 100 * scores["accuracy"]
    print(f"test accuracy {accuracy:.2f} % ({right} of {scores['examples']}), loss {scores['loss']:#.4g}")
    for path, rate in scores["spike_rates"].items():
        print(f"spikes per neuron and step, {layer_of(model, path)}: {rate:.4f}")


def layer_of(model: snnx.AbstractCell, path: str) -> str:
    """A layer by its place and kind: `layer 1 (LIF)`."""
    return f"layer {path} ({type(find(model, path)).__name__})"


def _table(classes: Sequence[str], confusion: np.ndarray) -> list[str]:
    """A confusion matrix. Long class names stand only before their rows, with the numbers of their columns."""
    heads = list(classes) if max(map(len, classes), default=0) <= 4 else list(map(str, range(len(classes))))
    names = heads if heads == list(classes) else [f"{name} {head}" for name, head in zip(classes, heads, strict=True)]
    column, first = max(4, *(len(head) + 1 for head in heads)), max(4, *(len(name) + 1 for name in names))
    lines = [" " * first + "".join(head.rjust(column) for head in heads)]
    for name, row in zip(names, confusion, strict=True):
        lines.append(name.rjust(first) + "".join((str(n) if n else ".").rjust(column) for n in row))
    return lines
