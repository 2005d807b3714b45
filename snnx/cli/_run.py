"""The folder of a run."""

import dataclasses
import json
import pathlib
import time
from typing import Any

import equinox as eqx
import jax

import snnx
from snnx.cli._config import Config
from snnx.train import write_atomically

CONFIG, CHECKPOINT, METRICS, MODEL, TEST = "config.json", "checkpoint.npz", "metrics.jsonl", "model.npz", "test.json"


def new_folder(config: Config, wanted: str | None) -> pathlib.Path:
    """Make the folder of a new run and write its settings there.

    **Raises:** `ValueError` if there is a run in it already; `OSError` if it cannot be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(wanted or f"runs/{config.dataset}-{stamp}-seed{config.seed}")
    if (folder / CONFIG).exists():
        raise ValueError(
            f"there is a run in {folder} already; go on with it by --resume {folder}, or name another folder."
        )
    versions = {"snnx": snnx.__version__, "jax": jax.__version__, "equinox": eqx.__version__}
    write_json(folder / CONFIG, dataclasses.asdict(config) | {"versions": versions})
    return folder


def read_config(folder: "str | pathlib.Path") -> Config:
    """The settings of a run.

    **Raises:** `ValueError` if the folder holds no run, or one of another version.
    """
    path = pathlib.Path(folder) / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: there is no {CONFIG} in it. Start one with: snnx train digits")
    try:
        return Config.from_json(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
