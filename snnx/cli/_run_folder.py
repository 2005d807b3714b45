"""The folder of a run: its files, its settings, and the model of a finished one."""

import dataclasses
import json
import pathlib
import time
from typing import Any

import equinox as eqx
import jax

import snnx
from snnx._errors import CheckpointError
from snnx._files import write_atomically
from snnx.cli._recipes import Task, make_task
from snnx.cli._settings import Config, absolute, from_json
from snnx.data import fingerprint
from snnx.train import load_checkpoint, read_meta

CONFIG, CHECKPOINT, METRICS, MODEL, TEST = "config.json", "checkpoint.npz", "metrics.jsonl", "model.npz", "test.json"
PICTURES = ("learning_curve.png", "confusion.png", "raster.png")


def new_folder(config: Config, wanted: str | None) -> pathlib.Path:
    """Make the folder of a new run and write its settings there.

    **Raises:** `ValueError` if there is a run in it already, or if it cannot be made or written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(wanted or f"runs/{config.dataset}-{stamp}-seed{config.seed}")
    if (folder / CONFIG).exists():
        raise ValueError(
            f"there is a run in {folder} already; go on with it by --resume {folder}, or name another folder."
        )
    others = [name for name in (CHECKPOINT, METRICS, MODEL, TEST, *PICTURES) if (folder / name).exists()]
    if others:
        raise ValueError(f"{folder} holds {', '.join(others)}, which the run would write over; name another folder.")
    versions = {"snnx": snnx.__version__, "jax": jax.__version__, "equinox": eqx.__version__}
    try:
        write_json(folder / CONFIG, config.taken() | {"versions": versions})
    except OSError as error:
        reason = "there is a file of that name" if folder.is_file() else error.strerror
        raise ValueError(
            f"the run folder {folder} cannot be made: {reason}; name another with --run FOLDER."
        ) from error
    return folder


def read_config(folder: pathlib.Path, root: str | None) -> Config:
    """The settings of a run. `root`: where its data are now; None: where they were.

    **Raises:** `ValueError` if the folder holds no run, or one of another version, or of data that are in no folder.
    """
    path = folder / CONFIG
    if not path.is_file():
        found = f"{folder} holds no run: there is no {CONFIG} in it" if folder.is_dir() else f"{folder} is a file"
        found = found if folder.exists() else f"there is no folder {folder}"
        raise ValueError(f"{found}; name the folder of a run, or start one with: snnx train digits")
    try:
        config = from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"run folder {folder}: {error}") from error
    if root is None:
        return config
    if config.root is None:
        raise ValueError(f"{folder} is a run of {config.dataset}, which come with snnx; leave out --root.")
    return dataclasses.replace(config, root=absolute(root))


def read_scores(folder: pathlib.Path) -> dict[str, Any] | None:
    """The stored test result of a run; None if there is none, or no complete one."""
    try:
        scores = json.loads((folder / TEST).read_text())
    except (FileNotFoundError, ValueError):
        return None
    wanted = {"accuracy", "loss", "examples", "spike_rates"}
    return scores if isinstance(scores, dict) and wanted <= scores.keys() else None


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def finished(folder: pathlib.Path, root: str | None) -> tuple[Task, snnx.Sequential]:
    """The parts of a finished run, and its model. `root`: where its data are now; None: where they were.

    **Raises:** `ValueError` for what is no finished run, or one of other test examples; `CheckpointError`.
    """
    config = read_config(folder, root)
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
    return task, model
