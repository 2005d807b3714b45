"""`snnx train`."""

import argparse
import dataclasses
import importlib.util
import pathlib
import shlex
import time

import snnx
from snnx._errors import MissingExtraError, NonFiniteError
from snnx.cells import spiking_paths
from snnx.cli._evaluate import as_json, layer_of, print_scores
from snnx.cli._export import check_export, export, wanted
from snnx.cli._recipes import Task, make_task
from snnx.cli._run_folder import (
    CHECKPOINT,
    METRICS,
    MODEL,
    PICTURES,
    TEST,
    finished,
    new_folder,
    read_config,
    read_scores,
    write_json,
)
from snnx.cli._settings import ALL, DATA_SETS, Config, as_command
from snnx.data import fingerprint
from snnx.train import (
    Checkpoint,
    Evaluation,
    FitResult,
    LogFile,
    TrainState,
    duration,
    evaluate,
    fit,
    read_meta,
    save_checkpoint,
)


def main(args: argparse.Namespace, started: float) -> None:
    """Train, test, write everything into the run's folder, and say so."""
    resumed = None if args.resume is None else pathlib.Path(args.resume)
    config = args.config if resumed is None else read_config(resumed, args.root)
    exported = wanted(args, config.dt)
    task = make_task(config, download=resumed is None, progress=not args.quiet)
    if exported is not None:
        check_export(task.model, task, exported[1])
    if resumed is not None and _is_finished(resumed, config, task, not args.no_pictures):
        if exported is not None:
            export(finished(resumed, args.root)[1], task, *exported)
        return
    if not args.no_pictures and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "the pictures need matplotlib; run: pip install 'snnx[plot]' (in a clone: pip install '.[plot]'), or leave"
            " them out with --no-pictures"
        )
    folder = args.folder = resumed or new_folder(config, args.run)
    resume = folder / CHECKPOINT if resumed is not None and (folder / CHECKPOINT).exists() else None
    _say_hello(config, task, folder, None if resumed is None else _place(resume, config))
    try:
        result = fit(
            task.model,
            task.train,
            loss=task.loss,
            optimizer=task.optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=task.valid,
            augment=task.augment,
            callbacks=[Checkpoint(folder / CHECKPOINT, every=2.0), LogFile(folder / METRICS)],
            resume=resume,
            key=task.key,
            progress=not args.quiet,
        )
    except NonFiniteError as error:
        raise _diverged(error, config, args.run) from error
    tested = evaluate(result.model, task.test, loss=task.score)
    scores = as_json(tested)
    save_checkpoint(folder / MODEL, result.model, {"best_epoch": result.best_epoch, "test": fingerprint(task.test)})
    if not args.no_pictures:
        _draw(folder, task, result, tested)
    write_json(folder / TEST, scores | {"best_epoch": result.best_epoch})  # the last file: with it the run is finished
    print_scores(result.model, scores)
    trained = sum(record["seconds"] for record in result.history)
    print(
        f"time: compile {result.compile_seconds:.1f} s, training {trained:.1f} s ({len(result.history)} epochs,"
        f" best {result.best_epoch}), from start to result {duration(time.time() - started)}"
    )
    print(f"wrote {folder}: {', '.join(sorted(p.name for p in folder.iterdir() if not p.name.startswith('.')))}")
    if exported is not None:
        export(result.model, task, *exported)


def _is_finished(folder: pathlib.Path, config: Config, task: Task, pictures: bool) -> bool:
    """Whether nothing of a run is left to do; if so, its result is printed again."""
    scores = read_scores(folder)
    files = [MODEL, CHECKPOINT, *(PICTURES if pictures else ())]
    if scores is None or not all((folder / name).is_file() for name in files):
        return False
    done = len(read_meta(folder / CHECKPOINT).get("history", ()))
    if done < config.epochs:
        return False
    print(f"{folder}: already finished: {done} of {config.epochs} epochs")
    print_scores(task.model, scores)
    return True


def _place(checkpoint: pathlib.Path | None, config: Config) -> str:
    """Where a run that is resumed goes on."""
    if checkpoint is None:
        return "starting anew, since there is no checkpoint yet,"
    done = len(read_meta(checkpoint).get("history", ()))
    if done >= config.epochs:
        return f"all of {config.epochs} epochs are trained; what comes after them is left to do"
    return f"going on at epoch {done + 1} of {config.epochs}"


def _diverged(error: NonFiniteError, config: Config, run: str | None) -> NonFiniteError:
    """The error of a run that cannot go on: the same step would fail again. It names a command that may do better."""
    state = error.state
    where = f"epoch {int(state.epoch) + 1}, step {int(state.position) + 1}" if isinstance(state, TrainState) else "?"
    lower = min(float(f"{config.learning_rate / 10:.3g}"), DATA_SETS[config.dataset].default.learning_rate)
    again = as_command(dataclasses.replace(config, learning_rate=lower))
    folder = "" if run is None else f" --run {shlex.quote(run + '-2')}"
    return NonFiniteError(
        f"training diverged in {where}: the loss or an update is not finite. Going on would end there again; start anew,"
        f" in another folder and with a lower --learning-rate than {config.learning_rate:g}: {again}{folder}"
    )


def _say_hello(config: Config, task: Task, folder: pathlib.Path, place: str | None) -> None:
    parts = f"{len(task.train)} examples to train, {len(task.valid)} to validate, {len(task.test)} to test"
    print(f"snnx {snnx.__version__}, {config.dataset}: {parts}")
    print(f"{_size(config, task)}, seed {config.seed}")
    print(f"run folder {folder}\n" if place is None else f"{place} in {folder}\n")
    print(snnx.summary(task.model, task.train.sample_shape), end="\n\n", flush=True)


def _size(config: Config, task: Task) -> str:
    """What an example is made of."""
    channels, steps = " x ".join(map(str, task.train.sample_shape)), task.train.num_steps
    if config.dt is None:
        return f"{channels} channels x {steps} steps ({config.encoding})"
    late = "" if config.steps == ALL else " (what comes later is left out)"
    shift = f", channels shifted by up to {config.channel_shift}" if config.channel_shift else ""
    blend = ", blended" if config.blend == "on" else ""
    return f"{channels} channels x {steps} steps of {config.dt:g} s{late}{shift}{blend}"


def _draw(folder: pathlib.Path, task: Task, result: FitResult, tested: Evaluation) -> None:
    """The pictures of a run: learning curve, confusion matrix, and one test example on its way through the network."""
    from snnx import plot

    curve, confusion, raster = (folder / name for name in PICTURES)
    plot.learning_curve(result).savefig(curve, dpi=120)
    classes = task.test.classes
    matrix = plot.confusion(tested, classes=classes).get_figure(root=True)
    matrix.savefig(confusion, dpi=120)  # pyright: ignore[reportOptionalMemberAccess]
    example = task.test.subset([0])
    inputs = task.test.example(0)
    outputs, _, spikes = snnx.simulate(result.model, inputs, record=list(spiking_paths(result.model)), key=task.key)
    named = {layer_of(result.model, path): trace for path, trace in spikes.items()}
    figure = plot.sample(inputs, named, outputs, classes=classes, label=int(example.targets[0]))
    figure.savefig(raster, dpi=120)
