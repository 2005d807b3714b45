"""The model of a finished run, and the data that it was tested on."""

import pathlib

import equinox as eqx

import snnx
from snnx._errors import CheckpointError
from snnx.cli._run import MODEL, read_config
from snnx.cli._task import Task, make_task
from snnx.data import fingerprint
from snnx.train import load_checkpoint, read_meta


def finished(folder: pathlib.Path, root: str | None) -> tuple[Task, snnx.Sequential]:
    """The parts of a finished run, and its model. `root`: where its data are now, or None: where they were.

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
