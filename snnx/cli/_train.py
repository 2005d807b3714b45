"""`snnx train`."""

import argparse
import importlib.util
import pathlib
import time

import numpy as np

import snnx
from snnx._errors import MissingExtraError
from snnx.cells import find, spiking_paths
from snnx.cli._config import Config, Task, make_task
from snnx.cli._run import CHECKPOINT, METRICS, MODEL, TEST, new_folder, read_config, write_json
from snnx.train import Checkpoint, Evaluation, FitResult, LogFile, duration, evaluate, fit, save_checkpoint


def train(args: argparse.Namespace, started: float) -> None:
    """Train, test, write everything into the run's folder, and say so."""
    if not args.no_pictures and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "the pictures need matplotlib; run: pip install 'snnx[plot]', or leave them out with --no-pictures"
        )
    config = read_config(args.resume) if args.resume else args.config
    task = make_task(config)
    folder = args.folder = pathlib.Path(args.resume) if args.resume else new_folder(config, args.run)
    checkpoint = folder / CHECKPOINT
    _say_hello(config, task, folder)
    result = fit(
        task.model,
        task.train,
        loss=task.loss,
        optimizer=task.optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        validation=task.valid,
        callbacks=[Checkpoint(checkpoint, every=2.0), LogFile(folder / METRICS)],
        resume=checkpoint if args.resume and checkpoint.exists() else None,
        key=task.key,
        progress=not args.quiet,
    )
    scored = evaluate(result.model, task.test)
    save_checkpoint(folder / MODEL, result.model, {"best_epoch": result.best_epoch})
    write_json(folder / TEST, _as_json(scored, result))
    if not args.no_pictures:
        draw(folder, task, result, scored)
    print_scores(result.model, scored)
    trained = sum(record["seconds"] for record in result.history)
    print(
        f"time: compile {result.compile_seconds:.1f} s, training {trained:.1f} s ({len(result.history)} epochs,"
        f" best {result.best_epoch}), from start to result {duration(time.time() - started)}"
    )
    print(f"wrote {folder}: {', '.join(sorted(p.name for p in folder.iterdir() if not p.name.startswith('.')))}")


def _say_hello(config: Config, task: Task, folder: pathlib.Path) -> None:
    parts = f"{len(task.train)} examples to train, {len(task.valid)} to validate, {len(task.test)} to test"
    print(f"snnx {snnx.__version__}, {config.dataset}: {parts}")
    print(f"{task.train.sample_shape[0]} channels x {config.steps} steps ({config.encoding}), seed {config.seed}")
    print(f"run folder {folder}\n")
    print(snnx.summary(task.model, task.train.sample_shape), end="\n\n", flush=True)


def print_scores(model: snnx.AbstractCell, scored: Evaluation) -> None:
    """Accuracy and spike rates, for people."""
    right = 0 if scored.accuracy is None else round(scored.accuracy * scored.examples)
    print(
        f"test accuracy {100 * (scored.accuracy or 0.0):.2f} % ({right} of {scored.examples}), loss {scored.loss:.4f}"
    )
    for path, rate in scored.spike_rates.items():
        name = type(find(model, path)).__name__
        print(f"spikes per neuron and step, layer {path} ({name}): {rate:.4f}")


def _as_json(scored: Evaluation, result: FitResult) -> dict:
    return {
        "accuracy": scored.accuracy,
        "loss": scored.loss,
        "examples": scored.examples,
        "spike_rates": scored.spike_rates,
        "confusion": np.asarray(scored.confusion).tolist(),
        "best_epoch": result.best_epoch,
    }


def draw(folder: pathlib.Path, task: Task, result: FitResult, scored: Evaluation) -> None:
    """The pictures of a run: learning curve, confusion matrix, and one test example on its way through the network."""
    from snnx import plot

    plot.learning_curve(result.history, best_epoch=result.best_epoch).savefig(folder / "learning_curve.png", dpi=120)
    classes = task.test.classes
    matrix = plot.confusion(scored.confusion, classes=classes).get_figure(root=True)
    matrix.savefig(folder / "confusion.png", dpi=120)  # pyright: ignore[reportOptionalMemberAccess]
    example = task.test.subset([0])
    inputs = task.test.example(0)
    outputs, _, spikes = snnx.simulate(result.model, inputs, record=list(spiking_paths(result.model)), key=task.key)
    figure = plot.sample(inputs, spikes, outputs, classes=classes, label=int(example.targets[0]))
    figure.savefig(folder / "raster.png", dpi=120)
