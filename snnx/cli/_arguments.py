"""What can be asked of the command line: commands, their options, and the checks of each."""

import argparse
import dataclasses
import math
from collections.abc import Callable
from typing import Any

from snnx._version import __version__
from snnx.cli._parser import Parser

EPILOG = """examples
  snnx train digits                                a spiking classifier of handwritten digits, in under a minute
  snnx train digits --neuron ALIF --hidden 128 128 --seed 3
  snnx train digits --encoding latency --surrogate SuperSpike --run runs/latency
  snnx train --resume runs/latency                 go on with a run that was stopped or killed
  snnx evaluate runs/latency                       score its model on the test split
  snnx info                                        versions, devices, extras
"""


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    if int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"expected a number that fits into memory, got {text!r}")
    return int(text)


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


def _one_of(what: str, known: Callable[[], dict[str, Any]]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        from snnx.cli._config import named

        try:
            return named(what, text, known())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def _names(which: str) -> Callable[[], dict[str, Any]]:
    def load() -> dict[str, Any]:
        from snnx.cli import _config
        from snnx.data import ENCODINGS

        return dict.fromkeys(ENCODINGS) if which == "ENCODINGS" else getattr(_config, which)

    return load


def make_parser() -> Parser:
    """The parser of the command line."""
    from snnx.cli._config import DATASETS, NEURONS, Config
    from snnx.data import ENCODINGS

    default = Config()
    parser = Parser(
        prog="snnx",
        description="Spiking neural networks in JAX: train, evaluate, look.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"snnx {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    train = commands.add_parser(
        "train",
        help="train a spiking classifier",
        description="Train a spiking classifier. Everything goes into a run folder: checkpoint.npz (all that is needed to"
        " go on), model.npz (the best epoch's model, by the validation split), metrics.jsonl (a line per epoch),"
        " config.json, test.json, learning_curve.png, confusion.png, raster.png.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "dataset",
        nargs="?",
        type=_one_of("data set", _names("DATASETS")),
        help=f"the data set: {', '.join(DATASETS)} (1797 real handwritten digits, shipped with snnx)",
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
    settings = train.add_argument_group("settings")
    settings.add_argument(
        "--neuron",
        type=_one_of("neuron", _names("NEURONS")),
        help=f"{', '.join(NEURONS)} (default {default.neuron})",
    )
    settings.add_argument(
        "--surrogate",
        type=_one_of("surrogate", _names("SURROGATES")),
        help=f"the pseudo derivative of the spike: ATan, SuperSpike, ...; see docs/surrogates.md"
        f" (default {default.surrogate})",
    )
    settings.add_argument(
        "--hidden", type=_positive_int, nargs="+", metavar="N", help="sizes of the hidden layers (default 256)"
    )
    settings.add_argument(
        "--encoding",
        type=_one_of("encoding", _names("ENCODINGS")),
        help=f"how pixels become input: {', '.join(ENCODINGS)} (default {default.encoding})",
    )
    settings.add_argument("--steps", type=_positive_int, metavar="N", help=f"time steps (default {default.steps})")
    settings.add_argument("--epochs", type=_positive_int, metavar="N", help=f"(default {default.epochs})")
    settings.add_argument("--batch-size", type=_positive_int, metavar="N", help=f"(default {default.batch_size})")
    settings.add_argument(
        "--learning-rate",
        type=_positive_float,
        metavar="X",
        help=f"of AdamW, falling to 0 (default {default.learning_rate})",
    )
    settings.add_argument(
        "--seed", type=_seed, metavar="N", help=f"of split, initial weights and order (default {default.seed})"
    )
    train.set_defaults(parser=train)
    train.add_argument("--no-pictures", action="store_true", help="draw nothing; needs no matplotlib")
    train.add_argument("--quiet", action="store_true", help="show no progress")

    evaluate = commands.add_parser("evaluate", help="score the model of a run on its test split")
    evaluate.add_argument("run", type=_folder, metavar="RUN", help="the run folder")
    commands.add_parser("info", help="versions, devices, extras")
    return parser


def check_train(args: argparse.Namespace) -> None:
    """Turn the flags of `train` into a `Config`, or refuse their combination."""
    from snnx.cli._config import Config

    parser: Parser = args.parser
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.resume is not None:
        if given or args.run is not None:
            names = sorted([*given] + (["run"] if args.run is not None else []))
            flags = ", ".join(n if n == "dataset" else f"--{n.replace('_', '-')}" for n in names)
            parser.error(f"--resume takes all settings from the run; leave out: {flags}")
        return
    if args.dataset is None:
        parser.error("name a data set (snnx train digits), or a run to go on with (snnx train --resume RUN)")
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    args.config = Config(**given)
