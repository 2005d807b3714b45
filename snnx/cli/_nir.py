"""`snnx nir`: what is in a file, running it, and whether two files mean the same."""

import argparse
import math
import pathlib
from collections.abc import Mapping

import numpy as np

import snnx
from snnx.cli._notes import told_once
from snnx.cli._parser import Parser
from snnx.cli._spikes import Given, read_inputs, run, write_arrays
from snnx.nir import GraphInfo


def nir(args: argparse.Namespace, started: float) -> int:
    """Do what was asked for; returns the exit status."""
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
    """Run a file on given inputs, and write what comes out."""
    summary = snnx.nir.info(args.file)
    dt = _dt(args, {args.file: summary})
    model = _model(args, args.file, dt)
    given = read_inputs(pathlib.Path(args.input), _input_shapes(summary))
    ran = run(model, given, args.record)
    both = [name for name in ran.outputs if name in ran.records]
    if both:
        raise ValueError(f"--record {both[0]} is called as an output of the graph is; leave it out.")
    arrays = {name: a if given.batched else a[0] for name, a in {**ran.outputs, **ran.records}.items()}
    write_arrays(pathlib.Path(args.out), arrays)
    print(_length(given, dt))
    width = max(map(len, ran.spikes), default=0)
    for path, counts in ran.spikes.items():
        share = counts.sum() / (counts.size * given.steps)
        print(f"  {path:{width}}  {int(counts.sum()):,} spikes, {share:.4f} per neuron and step")
    print(f"time: compile {ran.compiling:.1f} s, run {ran.running:.3g} s")
    print(f"wrote {args.out}: {', '.join(f'{name} {list(array.shape)}' for name, array in arrays.items())}")
    return 0


def _check(args: argparse.Namespace) -> int:
    """Run two files on the same inputs, and compare what comes out."""
    one, other = snnx.nir.info(args.first), snnx.nir.info(args.second)
    dt = _dt(args, {args.first: one, args.second: other})
    models = [_model(args, file, dt) for file in (args.first, args.second)]
    inputs, outputs = _paired("input", one.inputs, other.inputs), _paired("output", one.outputs, other.outputs)
    for a, b in (*inputs.items(), *outputs.items()):
        if one.nodes[a].input != other.nodes[b].input:
            raise ValueError(
                f"{a} of {args.first} and {b} of {args.second} differ in shape: {_text(one, a)}, {_text(other, b)}."
            )
    given = read_inputs(pathlib.Path(args.input), _input_shapes(one))
    renamed = Given({inputs[name]: array for name, array in given.arrays.items()}, given.batched)
    ran = run(models[0], given), run(models[1], renamed)
    print(_length(given, dt))
    equal = [_compared(name, ran[0].outputs[name], ran[1].outputs[outputs[name]]) for name in outputs]
    return 0 if all(equal) else 1


def _paired(what: str, ones: tuple[str, ...], others: tuple[str, ...]) -> dict[str, str]:
    """What is compared with what: those of one name, or the only ones."""
    if len(ones) == len(others) == 1:
        return {ones[0]: others[0]}
    if set(ones) != set(others):
        raise ValueError(f"the {what}s of the two are not called the same: {', '.join(ones)}, and {', '.join(others)}.")
    return {name: name for name in ones}


def _compared(name: str, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether what came out is equal, and say so."""
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


def _dt(args: argparse.Namespace, summaries: Mapping[str, GraphInfo]) -> float:
    """The seconds per step that were given, or that all files say."""
    if args.dt is not None:
        return args.dt
    said = [summary.dt for summary in summaries.values()]
    first = said[0]
    if first is not None and all(dt is not None and math.isclose(dt, first, rel_tol=1e-6) for dt in said):
        return first
    noted = ", ".join(f"{file} says {'nothing' if s.dt is None else f'{s.dt:g} s'}" for file, s in summaries.items())
    parser: Parser = args.parser
    parser.error(f"--dt is missing, the seconds per step: {noted}")


def _model(args: argparse.Namespace, file: str, dt: float) -> snnx.Graph:
    with told_once():
        return snnx.nir.from_nir(file, dt=dt, reset=args.reset, dialect=getattr(args, "dialect", None))


def _input_shapes(summary: GraphInfo) -> dict[str, tuple[int, ...]]:
    return {name: summary.nodes[name].input or () for name in summary.inputs}


def _text(summary: GraphInfo, name: str) -> str:
    return str(list(summary.nodes[name].input or ()))


def _length(given: Given, dt: float) -> str:
    examples = f"{given.examples} examples of " if given.batched else ""
    return f"{examples}{given.steps} steps of {dt:g} s ({given.steps * dt:g} s)"
