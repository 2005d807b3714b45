"""The commands and their options. Those of `snnx train` follow from the fields of `Config`. Imports no JAX."""

import argparse
import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from snnx._version import __version__
from snnx.cli._parser import Parser, above_zero, name_of, one_of
from snnx.cli._settings import ALL, DATA_SETS, DIALECTS, FIELDS, Config, absolute, flag, flags

EPILOG = """examples
  snnx train digits                                a spiking classifier of handwritten digits, in under a minute
  snnx train digits --neuron ALIF --hidden 128 128 --seed 3
  snnx train digits --encoding latency --surrogate SuperSpike --run runs/latency
  snnx train shd --root data                       spoken digits of SHD, in data/SHD; downloaded there if they are missing
  snnx train shd --root data --gradient eventprop  the same, a recurrent network with exact gradients
  snnx train audio --root recordings               your own sounds: recordings/<class>/*.wav
  snnx train --resume runs/latency                 go on with a run that was stopped or killed
  snnx evaluate runs/latency                       score its model on the test split
  snnx export runs/latency --dt 1e-3 -o model.nir  its model as a NIR graph, for other frameworks and hardware
  snnx nir info model.nir --picture model.png      what is in a NIR graph, and what is wrong with it
  snnx info                                        versions, devices, extras
"""
TRAIN = """Train a spiking classifier. Everything goes into a run folder: checkpoint.npz (all that is needed to go on),
model.npz (the best epoch's model, by the validation split), metrics.jsonl (a line per epoch), config.json, test.json,
learning_curve.png, confusion.png, raster.png."""
EXPORT = """Write the model of a finished run as a NIR graph, run the file on some test examples, and tell whether its
spikes and outputs are those of the model."""
file, folder = name_of("file"), name_of("folder")


def read_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What a call asks for; `config` has the settings of a new run. A wrong call is answered, and exits with code 2."""
    parser = _make_parser()
    args = parser.parse_args(words)
    if args.command is None:
        parser.error("name a command: train, evaluate, export, nir or info")
    if args.command == "nir" and args.action is None:
        args.parser.error("name what to do: info, run or check")
    if args.command == "train":
        args.config = _config_of(args, args.parser)
    return args


def _make_parser() -> Parser:
    parser = Parser(prog="snnx", description="Spiking neural networks in JAX: train, evaluate, look.", **_with(EPILOG))
    parser.add_argument("--version", action="version", version=f"snnx {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_train(_command(commands, "train", "train a spiking classifier", TRAIN, **_with(f"{_defaults()}\n\n{EPILOG}")))
    evaluate = _command(commands, "evaluate", "score the model of a run on its test split")
    export = _command(commands, "export", "write the model of a run as a NIR graph", EXPORT)
    for command in (evaluate, export):
        command.add_argument("run", type=folder, metavar="RUN", help="the run folder")
        command.add_argument("--root", **FIELDS["root"].metadata)
    _add_dt(export, "by default the run's, where it has one")
    export.add_argument("-o", "--out", type=file, metavar="FILE.nir", required=True, help="the file to write")
    export.add_argument("--strict", action="store_true", help="refuse what only snnx reads: resets by subtraction")
    _add_nir(_command(commands, "nir", "look at, run and compare NIR graphs"))
    _command(commands, "info", "versions, devices, extras")
    return parser


def _command(commands: Any, name: str, help: str, description: str | None = None, **more: Any) -> Parser:
    """A command; `parser` in its namespace is the one that knows its options, for later errors."""
    command = commands.add_parser(name, help=help, description=description, **more)
    command.set_defaults(parser=command)
    return command


def _with(epilog: str) -> dict[str, Any]:
    return {"epilog": epilog, "formatter_class": argparse.RawDescriptionHelpFormatter}


def _defaults() -> str:
    """The data sets, each with its settings, as flags."""
    lines = ["data sets, and what they are trained with unless said otherwise"]
    for name, data_set in DATA_SETS.items():
        lines.append(f"  {name}: {data_set.about}")
        lines += [f"    --root: {data_set.root}"] if data_set.root else []
        for choice in data_set.choices:
            text = " ".join(flags(dataclasses.replace(choice, root=None)))
            lines += textwrap.wrap(text, 110, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join(lines)


def _add_train(train: Parser) -> None:
    known = ", ".join(DATA_SETS)
    train.add_argument("dataset", nargs="?", type=one_of("data set", DATA_SETS), help=f"{known}; see below")
    train.add_argument("--root", **FIELDS["root"].metadata)
    train.add_argument("--resume", type=folder, metavar="RUN", help="go on with this run; takes all settings from it")
    by_default = "runs/<dataset>-<date>-<time>-seed<seed>"
    train.add_argument("--run", type=folder, metavar="FOLDER", help=f"the run folder; by default {by_default}")
    settings = train.add_argument_group("settings", "Which of them a data set takes, and their defaults: see below.")
    for name, field in FIELDS.items():
        if name not in ("dataset", "root"):
            settings.add_argument(flag(name), **field.metadata)
    train.add_argument("--export", type=file, metavar="FILE.nir", help="write the model as a NIR graph, too")
    _add_dt(train, "by default --dt, where there is one", "--export-dt")
    train.add_argument("--no-pictures", action="store_true", help="draw nothing; needs no matplotlib")
    train.add_argument("--quiet", action="store_true", help="show no progress")


def _add_dt(command: Parser, where: str, name: str = "--dt") -> None:
    command.add_argument(name, type=above_zero, metavar="S", help=f"seconds per step; {where}")


def _add_nir(nir: Parser) -> None:
    actions = nir.add_subparsers(dest="action", metavar="action")
    told = "what is in a file, and what is wrong or odd with it; exit code 1 if it cannot run"
    info = _command(actions, "info", told, f"Tell {told}.")
    info.add_argument("file", type=file, metavar="FILE", help="a NIR file")
    info.add_argument("--picture", type=file, metavar="FILE.png", help="draw the graph")
    run = _command(actions, "run", "run a file on given inputs", "Run a file on given inputs.")
    run.add_argument("file", type=file, metavar="FILE", help="a NIR file")
    told = "whether two files have the same outputs; exit code 0 if they do, else 1"
    check = _command(actions, "check", told, f"Tell {told}.")
    check.add_argument("first", type=file, metavar="A", help="a NIR file")
    check.add_argument("second", type=file, metavar="B", help="another")
    array = "an array [time, *shape] or [batch, time, *shape]; for several inputs one each, by name"
    reset = "what a spike does: value (the format's) or subtract; by default what the file says"
    for action in (run, check):
        action.add_argument("--input", type=file, metavar="FILE.npz", required=True, help=array)
        action.add_argument("--reset", type=one_of("reset", ("value", "subtract")), help=reset)
    for action in (info, run, check):
        _add_dt(action, "by default those that snnx noted in the file")
    run.add_argument("--out", type=file, metavar="FILE.npz", required=True, help="outputs and records, by name")
    wrote = f"the framework that wrote the file: {', '.join(DIALECTS)}"
    run.add_argument("--dialect", type=one_of("dialect", DIALECTS), help=wrote)
    kept = "nodes (lif) and fields of their state (lif.v) to keep"
    run.add_argument("--record", nargs="+", default=[], metavar="PATH", help=kept)


def _config_of(args: argparse.Namespace, parser: Parser) -> Config | None:
    """The settings of a new run; None for one that goes on. Refuses options that do not go together."""
    given = {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}
    if args.export is None and args.export_dt is not None:
        parser.error("--export-dt is of --export FILE.nir, which is missing")
    if args.resume is not None:
        others = sorted([*(given.keys() - {"root"})] + (["run"] if args.run is not None else []))
        if others:
            listed = ", ".join(name if name == "dataset" else flag(name) for name in others)
            parser.error(f"--resume takes all settings from the run; leave out: {listed}")
        return None
    if args.dataset is None:
        parser.error("name a data set (snnx train digits), or a run to go on with (snnx train --resume RUN)")
    return _chosen(given, parser)


def _chosen(given: dict[str, Any], parser: Parser) -> Config:
    """The data set's settings, with those that were given in their place."""
    name, data_set = given["dataset"], DATA_SETS[given["dataset"]]
    chosen = data_set.settings_for(given)
    if chosen is None:
        known = "; ".join(f"--network {c.network} --gradient {c.gradient}" for c in data_set.choices)
        parser.error(f"{name} has no {given['network']} network with --gradient {given['gradient']}; there are {known}")
    taken = chosen.taken()
    of = f" with --network {chosen.network} --gradient {chosen.gradient}" if chosen is not data_set.default else ""
    for setting in given:
        if setting not in taken:
            known = ", ".join(flag(other) for other in taken if other != "dataset")
            parser.error(f"{name}{of} does not take {flag(setting)}; it takes {known}")
    if "root" in taken:
        if "root" not in given:
            parser.error(f"{name} needs --root FOLDER: {data_set.root}")
        given["root"] = absolute(given["root"])
    elif given.get("steps") == ALL:
        parser.error(f"{name} has no length of its own: --steps takes a number")
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    return dataclasses.replace(chosen, **given)
