"""`snnx export`: the model of a run as a NIR graph, and whether the file has its spikes."""

import argparse
import pathlib
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import snnx
from snnx._errors import NIRError
from snnx.cells import spiking_paths
from snnx.cli._parser import warnings_as
from snnx.cli._recipes import Task
from snnx.cli._run_folder import finished, read_config

EXAMPLES = 8  # of the test split, that the file is run on
CLOSE = 1e-4  # of the largest output: what rounding may change


def main(args: argparse.Namespace, started: float) -> None:
    """Write the model of a finished run to a file, and compare the two."""
    folder = pathlib.Path(args.run)
    dt = _dt(args.parser, "--dt", args.dt, read_config(folder, args.root).dt)
    task, model = finished(folder, args.root)
    export(model, task, pathlib.Path(args.out), dt, strict=args.strict)


def wanted(args: argparse.Namespace, own: float | None) -> tuple[pathlib.Path, float] | None:
    """The file that `snnx train` writes the model to, and seconds per step, by default the run's `own`; None: no file."""
    if args.export is None:
        return None
    return pathlib.Path(args.export), _dt(args.parser, "--export-dt", args.export_dt, own)


def _dt(parser: argparse.ArgumentParser, flag: str, given: float | None, own: float | None) -> float:
    """The seconds per step of an export: those that were given, or the run's own."""
    if given is None and own is None:
        parser.error(f"{flag} is missing, the seconds per step: the run has none of its own")
    return own if given is None else given  # pyright: ignore[reportReturnType]


def check_export(model: snnx.AbstractCell, task: Task, dt: float) -> None:
    """Refuse, before it is trained, a model that NIR cannot say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        snnx.nir.to_nir(eqx.nn.inference_mode(model), task.test.sample_shape, dt=dt)


def export(model: snnx.AbstractCell, task: Task, path: pathlib.Path, dt: float, *, strict: bool = False) -> None:
    """Write a model to a file, read it again, and say whether the two have the same spikes and outputs.

    **Raises:** `NIRError` for what NIR cannot say, or a file with other spikes.
    """
    with warnings_as("warning"):
        snnx.nir.write(snnx.nir.to_nir(model, task.test.sample_shape, dt=dt, strict=strict), path)
        again = snnx.nir.from_nir(path, dt=dt)
    print(f"wrote {path}: {len(again.names)} nodes, steps of {dt:g} s")
    count = min(EXAMPLES, len(task.test))
    xs = jnp.stack([task.test.example(i) for i in range(count)])
    spiking = list(spiking_paths(model))

    @eqx.filter_jit
    def run(model: snnx.AbstractCell, xs: Any) -> Any:
        return jax.vmap(lambda x: snnx.simulate(model, x, record=spiking)[::2])(xs)

    (ys, spikes), (ys_again, spikes_again) = (jax.tree.map(np.asarray, run(m, xs)) for m in (model, again))
    other = {path: int((spikes[path] != spikes_again[path]).sum()) for path in spiking}
    total, most = sum(map(np.size, spikes.values())), float(np.abs(ys - ys_again).max())
    fired = sum(int(trace.sum()) for trace in spikes.values())
    if any(other.values()) or most > CLOSE * float(np.abs(ys).max()):
        raise NIRError(
            f"{path}, run on {count} test examples, is not the model: {sum(other.values()):,} of {total:,} spikes and silences"
            f" differ, outputs by {most:.3g} at most."
        )
    said = "the outputs are equal" if most == 0 else f"the outputs differ by {most:.2g} at most, by rounding"
    print(f"checked on {count} test examples: the file's {fired:,} spikes are those of the model, {said}")
