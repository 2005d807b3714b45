"""EventProp beside a surrogate: `snnx train DATASET --network recurrent` with either gradient, on the same network and recipe.

    python benchmarks/speech.py --root data --dataset fsdd [--seeds 3] [--json results.json]
    python benchmarks/speech.py --root made --dataset shd --steps 140 --channel-shift 10 --blend off
    (`made` is from heidelberg_like.py; other options are handed on to `snnx train`)

Test accuracy on the official split, of the epoch that did best on the validation split; seconds per epoch, and the temporaries
of the compiled gradient of one batch on one device, by XLA's count. The epochs that are timed are apart from the runs, in one
process, the two gradients in turns: their ratio counts.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import equinox as eqx
import jax
import jax.numpy as jnp

import snnx
from snnx.cli._arguments import read_arguments
from snnx.cli._recipes import make_task
from snnx.simulation import chunk_size

GRADIENTS = ("surrogate", "eventprop")


def words_of(args, gradient, seed):
    """The call, as on the command line."""
    words = ["train", args.dataset, "--root", str(args.root), "--network", "recurrent", "--gradient", gradient]
    words += ["--seed", str(seed)]
    return [*words, *args.others]


def run(args, gradient, seed):
    """What one run of the command line scored."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "run"
        call = [sys.executable, "-m", "snnx", *words_of(args, gradient, seed), "--run", str(folder)]
        subprocess.run([*call, "--quiet", "--no-pictures"], check=True, stdout=subprocess.DEVNULL)
        test = json.loads((folder / "test.json").read_text())
        epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scored = {name: test[name] for name in ("accuracy", "best_epoch", "spike_rates")}
    best = epochs[test["best_epoch"] - 1]["validation_accuracy"]
    return {"gradient": gradient, "seed": seed, "validation": best, **scored}


def config_of(args, gradient):
    return read_arguments(words_of(args, gradient, 0)).config


def temporaries(task, size):
    """Megabytes that the compiled gradient of the loss of a batch needs besides its arguments and results."""
    params, others = eqx.partition(task.model, snnx.trainable(task.model))
    chunk = chunk_size(task.model, task.train.num_steps, None, None, size, "fit")

    def batch_loss(params, xs, labels):
        model = eqx.combine(params, others)

        def one(x, label):
            taps = task.loss.taps(model)
            reduced, _, record = snnx.simulate(model, x, readout=task.loss.readout, record=taps, chunk=chunk)
            return task.loss(reduced, label, record=record)

        return jax.vmap(one)(xs, labels).mean()

    xs = jax.ShapeDtypeStruct((size, task.train.num_steps, *task.train.sample_shape), jnp.float32)
    labels = jax.ShapeDtypeStruct((size,), jnp.int32)
    compiled = jax.jit(jax.value_and_grad(batch_loss)).lower(params, xs, labels).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 1e6  # pyright: ignore[reportOptionalMemberAccess]


def cost(args, rounds=3):
    """Of each gradient: temporaries of one batch, and seconds of an epoch, in turns."""
    configs = {gradient: config_of(args, gradient) for gradient in GRADIENTS}
    tasks = {gradient: make_task(config) for gradient, config in configs.items()}
    seconds = {gradient: [] for gradient in GRADIENTS}
    for _ in range(rounds):
        for gradient, task in tasks.items():
            result = snnx.fit(
                task.model,
                task.train,
                loss=task.loss,
                optimizer=task.optimizer,
                epochs=1,
                batch_size=configs[gradient].batch_size,
                augment=task.augment,
                key=task.key,
                progress=False,
            )
            seconds[gradient].append(result.history[0]["seconds"])
    memory = {gradient: temporaries(task, configs[gradient].batch_size) for gradient, task in tasks.items()}
    return {gradient: {"seconds": seconds[gradient], "temporaries_mb": memory[gradient]} for gradient in GRADIENTS}


def main():
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="as for `snnx train`")
    parser.add_argument("--dataset", choices=("shd", "fsdd"), default="shd")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", help="write the figures to this file")
    args, args.others = parser.parse_known_args()
    snnx.use_cores()
    runs = []
    for seed in range(args.seeds):
        for gradient in GRADIENTS:
            runs.append(run(args, gradient, seed))
            print(" ".join(f"{name} {value}" for name, value in runs[-1].items()), flush=True)
    costs = cost(args)
    for gradient in GRADIENTS:
        accuracy = statistics.mean(run["accuracy"] for run in runs if run["gradient"] == gradient)
        seconds, ratio = statistics.median(costs[gradient]["seconds"]), costs[gradient]["temporaries_mb"]
        print(
            f"{gradient}: mean accuracy {100 * accuracy:.2f} %, {seconds:.2f} s per epoch, {ratio:.1f} MB of temporaries"
        )
    pairs = zip(costs["eventprop"]["seconds"], costs["surrogate"]["seconds"], strict=True)
    print(f"an epoch of eventprop over one of surrogate: {statistics.median(e / s for e, s in pairs):.2f}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"runs": runs, "costs": costs}, indent=1))


if __name__ == "__main__":
    main()
