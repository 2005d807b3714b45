"""What can be asked of the command line: commands, their options, and the checks of each."""

import argparse
import dataclasses
import math
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from snnx._version import __version__
from snnx.cli._config import ALL, GRADIENTS, NETWORKS, SWITCH, Config, absolute, flag, flags, named, settings_for
from snnx.cli._parser import Parser

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


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    if int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"expected a number that fits into memory, got {text!r}")
    return int(text)


def _steps(text: str) -> int | str:
    if text.isalpha() and text.lower() != ALL:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, or all, got {text!r}")
    return ALL if text.isalpha() else _positive_int(text)


def _shift(text: str) -> int:
    return 0 if text == "0" else _positive_int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {2**32 - 1}, got {text!r}")
    return int(text)


def _positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return number


def _folder(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected the name of a folder, got nothing")
    return text


def _file(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("expected the name of a file, got nothing")
    return text


def _one_of(what: str, known: Iterable[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            return named(what, text, known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def _defaults() -> str:
    """The data sets, each with its settings, as flags."""
    from snnx.cli._recipes import RECIPES

    lines = ["data sets, and what they are trained with unless said otherwise"]
    for name, recipe in RECIPES.items():
        lines.append(f"  {name}: {recipe.about}")
        lines += [f"    --root: {recipe.root}"] if recipe.root else []
        for choice in recipe.choices:
            lines += textwrap.wrap(
                " ".join(flags(dataclasses.replace(choice, root=None))),
                110,
                initial_indent="    ",
                subsequent_indent="      ",
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def make_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(
        prog="snnx",
        description="Spiking neural networks in JAX: train, evaluate, look.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"snnx {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    _add_train(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_nir(commands)
    commands.add_parser("info", help="versions, devices, extras")
    return parser


def _add_train(commands: Any) -> None:
    from snnx.cli._recipes import RECIPES

    train = commands.add_parser(
        "train",
        help="train a spiking classifier",
        description="Train a spiking classifier. Everything goes into a run folder: checkpoint.npz (all that is needed to"
        " go on), model.npz (the best epoch's model, by the validation split), metrics.jsonl (a line per epoch),"
        " config.json, test.json, learning_curve.png, confusion.png, raster.png.",
        epilog=f"{_defaults()}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "dataset", nargs="?", type=_one_of("data set", RECIPES), help=f"the data set: {', '.join(RECIPES)}; see below"
    )
    train.add_argument(
        "--root",
        type=_folder,
        metavar="FOLDER",
        help="the folder of the recordings; with --resume, where they are now (else they are where they were)",
    )
    train.add_argument(
        "--resume", type=_folder, metavar="RUN", help="go on with the run in this folder; takes all settings from it"
    )
    train.add_argument(
        "--run",
        type=_folder,
        metavar="FOLDER",
        help="the run folder; by default runs/<dataset>-<date>-<time>-seed<seed>",
    )
    _add_settings(train)
    train.set_defaults(parser=train)
    train.add_argument("--export", type=_file, metavar="FILE.nir", help="write the model as a NIR graph, too")
    train.add_argument(
        "--export-dt",
        type=_positive_float,
        metavar="S",
        help="its seconds per step; by default --dt, where there is one",
    )
    train.add_argument("--no-pictures", action="store_true", help="draw nothing; needs no matplotlib")
    train.add_argument("--quiet", action="store_true", help="show no progress")


def _add_settings(train: Parser) -> None:
    from snnx.cli._networks import NEURONS, SURROGATES
    from snnx.data import ENCODINGS

    settings = train.add_argument_group("settings", "Which of them a data set takes, and their defaults: see below.")
    settings.add_argument("--neuron", type=_one_of("neuron", NEURONS), help=", ".join(NEURONS))
    settings.add_argument(
        "--surrogate",
        type=_one_of("surrogate", SURROGATES),
        help="the pseudo derivative of the spike: ATan, SuperSpike, ...; see docs/surrogates.md",
    )
    settings.add_argument(
        "--gradient",
        type=_one_of("gradient", GRADIENTS),
        help="surrogate, or eventprop: the exact one, of spikes that are moved in time, for the recurrent network",
    )
    settings.add_argument(
        "--network",
        type=_one_of("network", NETWORKS),
        help="feedforward, or recurrent: hidden layers of CubaLIF neurons that get their own spikes, too",
    )
    settings.add_argument(
        "--hidden",
        type=_positive_int,
        nargs="+",
        metavar="N",
        help="sizes of the hidden layers; of event cameras, feature maps of the convolutions",
    )
    settings.add_argument(
        "--encoding",
        type=_one_of("encoding", ENCODINGS),
        help=f"how the digits' pixels become input: {', '.join(ENCODINGS)}",
    )
    settings.add_argument("--dt", type=_positive_float, metavar="S", help="seconds per step of recordings")
    settings.add_argument(
        "--steps",
        type=_steps,
        metavar="N",
        help="time steps; of recordings what lies behind them is left out, and 'all' is as many as the longest has",
    )
    settings.add_argument(
        "--channels", type=_positive_int, metavar="N", help="of the cochlea's 700; neighbours are brought together"
    )
    settings.add_argument(
        "--channel-shift",
        type=_shift,
        metavar="N",
        help="augmentation: in training, all channels are shifted together, at random, by up to N; 0: not",
    )
    settings.add_argument(
        "--blend",
        type=_one_of("answer", SWITCH),
        help="augmentation, on or off: in training, each example is blended with another one of its class",
    )
    settings.add_argument("--epochs", type=_positive_int, metavar="N", help="how often every example is seen")
    settings.add_argument("--batch-size", type=_positive_int, metavar="N", help="examples per step of training")
    settings.add_argument("--learning-rate", type=_positive_float, metavar="X", help="of AdamW, falling to 0")
    settings.add_argument("--seed", type=_seed, metavar="N", help="of split, initial weights and order")


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="score the model of a run on its test split")
    evaluate.add_argument("run", type=_folder, metavar="RUN", help="the run folder")
    _add_root(evaluate)


def _add_root(command: Parser) -> None:
    command.add_argument(
        "--root", type=_folder, metavar="FOLDER", help="where the recordings are now; else they are where they were"
    )


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write the model of a run as a NIR graph",
        description="Write the model of a finished run as a NIR graph, and run the file on some test examples: whether the"
        " spikes and outputs are those of the model is said.",
    )
    export.add_argument("run", type=_folder, metavar="RUN", help="the run folder")
    _add_root(export)
    export.add_argument(
        "--dt", type=_positive_float, metavar="S", help="seconds per step; by default the run's, where it has one"
    )
    export.add_argument("-o", "--out", type=_file, metavar="FILE.nir", required=True, help="the file to write")
    export.add_argument(
        "--strict", action="store_true", help="refuse what NIR itself cannot say: resets by subtraction"
    )
    export.set_defaults(parser=export)


def _add_nir(commands: Any) -> None:
    from snnx.nir._dialects import DIALECTS

    nir = commands.add_parser("nir", help="look at, run and compare NIR graphs")
    nir.set_defaults(parser=nir)
    actions = nir.add_subparsers(dest="action", metavar="action")
    said = "what is in a file, and what is wrong or odd with it; 1 if it cannot run"
    info = actions.add_parser("info", help=said, description=f"Tell {said}.")
    info.add_argument("file", type=_file, metavar="FILE", help="a NIR file")
    info.add_argument("--picture", type=_file, metavar="FILE.png", help="draw the graph")
    run = actions.add_parser("run", help="run a file on given inputs", description="Run a file on given inputs.")
    run.add_argument("file", type=_file, metavar="FILE", help="a NIR file")
    said = "whether two files put out the same; 0 if they do, else 1"
    check = actions.add_parser("check", help=said, description=f"Tell {said}.")
    check.add_argument("first", type=_file, metavar="A", help="a NIR file")
    check.add_argument("second", type=_file, metavar="B", help="another")
    for action in (run, check):
        action.add_argument(
            "--input",
            type=_file,
            metavar="FILE.npz",
            required=True,
            help="an array [time, *shape] or [batch, time, *shape]; of several inputs one each, by name",
        )
        action.add_argument(
            "--reset",
            type=_one_of("reset", ("value", "subtract")),
            help="what a spike does: value (the format's) or subtract; by default what the file says",
        )
    for action in (info, run, check):
        action.add_argument(
            "--dt",
            type=_positive_float,
            metavar="S",
            help="seconds per step; by default those that snnx noted in the file",
        )
        action.set_defaults(parser=action)
    run.add_argument("--out", type=_file, metavar="FILE.npz", required=True, help="outputs and records, by name")
    run.add_argument(
        "--dialect", type=_one_of("dialect", DIALECTS), help=f"the framework that wrote the file: {', '.join(DIALECTS)}"
    )
    run.add_argument(
        "--record", nargs="+", default=[], metavar="PATH", help="nodes (lif) and fields of their state (lif.v) to keep"
    )


def check_train(args: argparse.Namespace) -> None:
    """Turn the flags of `train` into a `Config`, or refuse their combination."""
    parser: Parser = args.parser
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.export is None and args.export_dt is not None:
        parser.error("--export-dt is of --export FILE.nir, which is missing")
    if args.resume is not None:
        others = sorted([*(given.keys() - {"root"})] + (["run"] if args.run is not None else []))
        if others:
            said = ", ".join(name if name == "dataset" else flag(name) for name in others)
            parser.error(f"--resume takes all settings from the run; leave out: {said}")
        return
    if args.dataset is None:
        parser.error("name a data set (snnx train digits), or a run to go on with (snnx train --resume RUN)")
    args.config = _config_of(parser, given)
    if args.export is not None and args.export_dt is None and args.config.dt is None:
        parser.error(f"--export-dt is missing: {args.config.dataset} has no seconds per step of its own")


def _config_of(parser: Parser, given: dict[str, Any]) -> Config:
    """The data set's settings, with those that were given in their place."""
    from snnx.cli._recipes import RECIPES

    recipe = RECIPES[given["dataset"]]
    name, chosen = recipe.default.dataset, settings_for(recipe.choices, given)
    if chosen is None:
        known = "; ".join(f"--network {c.network} --gradient {c.gradient}" for c in recipe.choices)
        parser.error(f"{name} has no {given['network']} network with --gradient {given['gradient']}; there are {known}")
    taken = chosen.taken()
    of = f" with --network {chosen.network} --gradient {chosen.gradient}" if chosen is not recipe.default else ""
    for setting in given:
        if setting not in taken:
            known = ", ".join(flag(other) for other in taken if other != "dataset")
            parser.error(f"{name}{of} does not take {flag(setting)}; it takes {known}")
    if "root" in taken:
        if "root" not in given:
            parser.error(f"{name} needs --root FOLDER: {recipe.root}")
        given["root"] = absolute(given["root"])
    elif given.get("steps") == ALL:
        parser.error(f"{name} has no length of its own: --steps takes a number")
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    return dataclasses.replace(chosen, **given)
