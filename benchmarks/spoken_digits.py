"""Spoken digits, as a user trains on them: `snnx train fsdd` on the official split, and on speakers never heard.

    python benchmarks/spoken_digits.py --root data [--seeds 3] [--json results.json]

`data/fsdd` is a clone of Jakobovski/free-spoken-digit-dataset. The official test split has recordings 0 to 4 of every
speaker and digit. For the other figure each speaker in turn is left out of the training and is the test: the same network
and settings, the validation split being a tenth of the other speakers' recordings. Nothing is chosen by a test split.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import jax

import snnx
from snnx.cli._recipes import task_of
from snnx.cli._settings import DATA_SETS


def official(root, seed, folder):
    """Accuracy and seconds per epoch of one run of the command line."""
    call = [sys.executable, "-m", "snnx", "train", "fsdd", "--root", str(root), "--seed", str(seed)]
    subprocess.run([*call, "--run", str(folder), "--quiet", "--no-pictures"], check=True, capture_output=True)
    test = json.loads((folder / "test.json").read_text())
    epochs = [json.loads(line)["seconds"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {"seed": seed, "accuracy": test["accuracy"], "seconds": statistics.median(epochs)}


def unheard(root):
    """The same of every speaker, of whom the network has heard nothing."""
    config = dataclasses.replace(DATA_SETS["fsdd"].default, root=str(root))
    reading: dict[str, Any] = {"dt": config.dt, "num_steps": config.steps, "drop_late": True}
    data = snnx.data.fsdd(root, "all", **reading, progress=False)
    key_split, key_model, key_fit = jax.random.split(jax.random.key(config.seed), 3)
    for speaker, others, test in snnx.data.leave_one_out(data, "speaker"):
        train, valid = others.split((0.9, 0.1), key=key_split)
        task = task_of(config, (train, valid, test), key_model, key_fit)
        result = snnx.fit(
            task.model,
            task.train,
            loss=task.loss,
            optimizer=task.optimizer,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation=task.valid,
            augment=task.augment,
            key=task.key,
            progress=False,
        )
        accuracy = snnx.evaluate(result.model, task.test).accuracy
        seconds = statistics.median(record["seconds"] for record in result.history)
        yield {"speaker": speaker, "accuracy": accuracy, "seconds": seconds}


def report(name, runs, of):
    """One line for the mean, one for each run."""
    accuracy, seconds = (statistics.mean(run[what] for run in runs) for what in ("accuracy", "seconds"))
    print(f"{name}: mean accuracy {100 * accuracy:.2f} %, {seconds:.2f} s per epoch")
    print("  " + ", ".join(f"{of} {run[of]}: {100 * run['accuracy']:.2f} %" for run in runs), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="the folder that has fsdd/recordings in it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        runs = [official(args.root, seed, pathlib.Path(scratch) / str(seed)) for seed in range(args.seeds)]
    report("official split", runs, "seed")
    speakers = list(unheard(args.root))
    report("one speaker left out", speakers, "speaker")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"official": runs, "unheard": speakers}, indent=1))


if __name__ == "__main__":
    main()
