"""`snnx nir`: what is in a file, running it, and whether two files mean the same."""

import argparse
import io
import math
import pathlib
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import snnx
from snnx._files import write_atomically
from snnx.cells import cell_dtype, spiking_paths
from snnx.cli._parser import Parser, warnings_as
from snnx.nir import GraphInfo

EXAMPLES_AT_ONCE = 64


def main(args: argparse.Namespace, started: float) -> int:
    """Do what was asked for; returns the exit code."""
    return {"info": _info, "run": _run, "check": _check}[args.action](args)


def _info(args: argparse.Namespace) -> int:
    """The table of a file, and what is wrong or odd with it."""
    summary = snnx.nir.info(args.file)
    print(summary)
    found = snnx.nir.validate(args.file, dt=summary.dt if args.dt is None else args.dt)
    for finding in found:
        print(finding)
    if args.picture is not None:
        picture = pathlib.Path(args.picture)
        picture.parent.mkdir(parents=True, exist_ok=True)
        snnx.plot.graph(summary).get_figure(root=True).savefig(picture, dpi=150)  # pyright: ignore[reportOptionalMemberAccess]
        print(f"wrote {picture}")
    return 1 if any(finding.level == "error" for finding in found) else 0


def _run(args: argparse.Namespace) -> int:
    """Run a file on given inputs, and write its outputs."""
    summary = snnx.nir.info(args.file)
    dt = _dt(args, {args.file: summary})
    model = _model(args, args.file, dt)
    given = _read_inputs(pathlib.Path(args.input), summary)
    result = _simulate(model, given, args.record)
    both = [name for name in result.outputs if name in result.records]
    if both:
        raise ValueError(f"--record {both[0]} has the name of an output of the graph; leave it out.")
    arrays = {name: a if given.batched else a[0] for name, a in {**result.outputs, **result.records}.items()}
    _write_arrays(pathlib.Path(args.out), arrays)
    print(_length(given, dt))
    width = max(map(len, result.spikes), default=0)
    for path, counts in result.spikes.items():
        share = counts.sum() / (counts.size * given.steps)
        print(f"  {path:{width}}  {int(counts.sum()):,} spikes, {share:.4f} per neuron and step")
    print(f"time: compile {result.compiling:.1f} s, run {result.running:.3g} s")
    print(f"wrote {args.out}: {_shapes(arrays)}")
    return 0


def _check(args: argparse.Namespace) -> int:
    """Run two files on the same inputs, and compare their outputs."""
    one, other = snnx.nir.info(args.first), snnx.nir.info(args.second)
    dt = _dt(args, {args.first: one, args.second: other})
    models = [_model(args, file, dt) for file in (args.first, args.second)]
    inputs, outputs = _paired("input", one.inputs, other.inputs), _paired("output", one.outputs, other.outputs)
    for a, b in (*inputs.items(), *outputs.items()):
        shapes = list(_shape(one, a)), list(_shape(other, b))
        if shapes[0] != shapes[1]:
            raise ValueError(f"{a} of {args.first} and {b} of {args.second} differ in shape: {shapes[0]}, {shapes[1]}.")
    given = _read_inputs(pathlib.Path(args.input), one)
    renamed = Inputs({inputs[name]: array for name, array in given.arrays.items()}, given.batched)
    results = _simulate(models[0], given), _simulate(models[1], renamed)
    print(_length(given, dt))
    equal = [_compared(name, results[0].outputs[name], results[1].outputs[outputs[name]]) for name in outputs]
    return 0 if all(equal) else 1


def _dt(args: argparse.Namespace, summaries: Mapping[str, GraphInfo]) -> float:
    """The seconds per step that were given, or that all files say."""
    if args.dt is not None:
        return args.dt
    first, *others = [summary.dt for summary in summaries.values()]
    if first is not None and all(dt is not None and math.isclose(dt, first, rel_tol=1e-6) for dt in others):
        return first
    noted = ", ".join(f"{file} says {'nothing' if s.dt is None else f'{s.dt:g} s'}" for file, s in summaries.items())
    parser: Parser = args.parser
    parser.error(f"--dt is missing, the seconds per step: {noted}")


def _model(args: argparse.Namespace, file: str, dt: float) -> snnx.Graph:
    with warnings_as("warning"):
        return snnx.nir.from_nir(file, dt=dt, reset=args.reset, dialect=getattr(args, "dialect", None))


def _shape(summary: GraphInfo, node: str) -> tuple[int, ...]:
    return summary.nodes[node].input or ()


def _paired(what: str, ones: tuple[str, ...], others: tuple[str, ...]) -> dict[str, str]:
    """What is compared with what: those of the same name, or the only ones."""
    if len(ones) == len(others) == 1:
        return {ones[0]: others[0]}
    if set(ones) != set(others):
        raise ValueError(f"the {what}s of the two differ in name: {', '.join(ones)}, and {', '.join(others)}.")
    return {name: name for name in ones}


def _compared(name: str, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two outputs are equal; prints it."""
    counts = f"{_amount(one)} and {_amount(other)}"
    differ = one != other
    if not differ.any():
        print(f"{name}: equal, {counts}")
        return True
    at = tuple(map(int, np.argwhere(differ)[0]))
    print(
        f"{name}: not equal, {counts}; {int(differ.sum()):,} of {one.size:,} values differ, by {np.abs(one - other).max():.3g}"
        f" at most; first in example {at[0]}, step {at[1]}, element {list(at[2:])}: {one[at]:.6g} and {other[at]:.6g}"
    )
    return False


def _amount(values: np.ndarray) -> str:
    """How many spikes there are, or, of other values, their sum."""
    if np.all((values == 0) | (values == 1)):
        return f"{int(values.sum()):,} spikes"
    return f"sum {values.sum(dtype=np.float64):.6g}"


class Inputs(NamedTuple):
    """Inputs: `[batch, time, *shape]` by name, and whether the file had a batch."""

    arrays: dict[str, np.ndarray]
    batched: bool

    @property
    def steps(self) -> int:
        return next(iter(self.arrays.values())).shape[1]


def _length(given: Inputs, dt: float) -> str:
    examples = f"{len(next(iter(given.arrays.values())))} examples of " if given.batched else ""
    return f"{examples}{given.steps} steps of {dt:g} s ({given.steps * dt:g} s)"


def _read_inputs(path: pathlib.Path, summary: GraphInfo) -> Inputs:
    """The inputs in a file: the array of the only input, or an array for each, by name.

    **Raises:** `ValueError` for a file or arrays that do not fit; `FileNotFoundError`.
    """
    arrays, shapes = _read_arrays(path), {name: _shape(summary, name) for name in summary.inputs}
    if len(shapes) == 1 and len(arrays) == 1:
        arrays = dict(zip(shapes, arrays.values(), strict=True))
    missing = [name for name in shapes if name not in arrays]
    if missing or len(arrays) > len(shapes):
        expected = ", ".join(shapes) if len(shapes) > 1 else "one array"
        raise ValueError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected {expected}.")
    extra = {name: arrays[name].ndim - len(shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        if extra[name] not in (1, 2) or arrays[name].shape[extra[name] :] != shape:
            text, came = ", ".join(map(str, shape)), list(arrays[name].shape)
            raise ValueError(f"{path}: {name} has shape {came}; expected [time, {text}] or [batch, time, {text}].")
    found = {name: arrays[name] if extra[name] == 2 else arrays[name][None] for name in shapes}
    if len(set(extra.values())) > 1 or len({array.shape[:2] for array in found.values()}) > 1:
        raise ValueError(f"{path}: the inputs differ in examples or steps: {_shapes(arrays)}.")
    if 0 in next(iter(found.values())).shape[:2]:
        raise ValueError(f"{path}: there is nothing to run: {_shapes(arrays)}.")
    return Inputs(found, 2 in extra.values())


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # no zip file, cut short, of objects
        raise ValueError(f"{path} is no .npz file of numbers; write one with np.savez(path, spikes=array).") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path}: {name} holds {array.dtype}; expected spikes or currents, real numbers.")
        with np.errstate(over="ignore"):
            if not np.isfinite(array.astype(np.float32)).all():
                raise ValueError(f"{path}: {name} holds numbers that are not finite, or too large.")
    return arrays


def _shapes(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())


class Result(NamedTuple):
    """Outputs and records by name, `[batch, time, *shape]`; counts of spikes by node, `[batch, *shape]`; seconds."""

    outputs: dict[str, np.ndarray]
    records: dict[str, np.ndarray]
    spikes: dict[str, np.ndarray]
    compiling: float
    running: float


def _simulate(model: snnx.Graph, given: Inputs, record: Sequence[str] = ()) -> Result:
    """Run a graph on every example."""
    spiking = spiking_paths(model)
    wanted: dict[str, Any] = {path: (snnx.Sum(),) for path in spiking}
    for path in dict.fromkeys(record):
        wanted[path] = (*wanted.get(path, ()), snnx.Stack())

    def one(xs: dict[str, Any]) -> Any:
        ys, _, seen = snnx.simulate(model, xs if len(xs) > 1 else next(iter(xs.values())), record=wanted)
        ys = ys if isinstance(ys, dict) else {model.outputs[0]: ys}
        return ys, {path: seen[path][-1] for path in record}, {path: seen[path][0] for path in spiking}

    xs = {name: array.astype(cell_dtype(model)) for name, array in given.arrays.items()}
    started = time.perf_counter()
    program = jax.jit(lambda xs: jax.lax.map(one, xs, batch_size=EXAMPLES_AT_ONCE)).lower(xs).compile()
    compiled = time.perf_counter()
    outputs, records, spikes = jax.tree.map(np.asarray, program(xs))
    return Result(outputs, records, spikes, compiled - started, time.perf_counter() - compiled)


def _write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an `.npz` file, whole or not at all. Arrays may have any name, `np.savez` refuses its own arguments' names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    write_atomically(path, content.getvalue())
