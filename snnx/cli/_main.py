"""The command line: `snnx train`, `snnx evaluate`, `snnx info`."""

import argparse
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from snnx._errors import CheckpointError, MissingExtraError, NonFiniteError, unknown_name

EPILOG = """examples
  snnx train digits                                a spiking classifier of handwritten digits, in under a minute
  snnx train digits --neuron ALIF --hidden 128 128 --seed 3
  snnx train digits --encoding latency --surrogate SuperSpike --run runs/latency
  snnx train --resume runs/latency                 go on with a run that was stopped or killed
  snnx evaluate runs/latency                       score its model on the test split
  snnx info                                        versions, devices, extras
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors about unknown commands name the nearest one."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action, unknown_name("snnx", str(action.metavar or "value"), value, action.choices)
            )


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
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


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    from snnx.cli._config import DATASETS, NEURONS, Config
    from snnx.data import ENCODINGS

    default = Config()
    parser = _Parser(
        prog="snnx",
        description="Spiking neural networks in JAX: train, evaluate, look.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

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
    train.add_argument("--resume", metavar="RUN", help="go on with the run in this folder; takes all settings from it")
    train.add_argument(
        "--run", metavar="FOLDER", help="the run folder; by default runs/<dataset>-<date>-<time>-seed<seed>"
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
        help=f"the pseudo derivative of the spike: ATan, SuperSpike, ... see docs/surrogates.md (default {default.surrogate})",
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
    train.add_argument("--no-pictures", action="store_true", help="draw nothing; needs no matplotlib")
    train.add_argument("--quiet", action="store_true", help="show no progress")

    evaluate = commands.add_parser("evaluate", help="score the model of a run on its test split")
    evaluate.add_argument("run", metavar="RUN", help="the run folder")
    commands.add_parser("info", help="versions, devices, extras")
    return parser


def _check_train(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Turn the flags of `train` into a `Config`, or refuse their combination."""
    from snnx.cli._config import Config

    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.resume is not None:
        if given or args.run:
            flags = ", ".join(sorted([*given] + (["run"] if args.run else []))).replace("_", "-")
            parser.error(f"--resume takes all settings from the run; leave out: {flags}")
        return
    if args.dataset is None:
        parser.error("name a data set (snnx train digits), or a run to go on with (snnx train --resume RUN)")
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    args.config = Config(**given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error in the work, 2 for a wrong call."""
    started = time.time()
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command == "train":
        _check_train(parser, args)
    from snnx.cli._cache import use_compilation_cache
    from snnx.cli._evaluate import evaluate_run
    from snnx.cli._info import info
    from snnx.cli._train import train

    use_compilation_cache()
    work = {"train": train, "evaluate": evaluate_run, "info": info}[args.command]
    try:
        work(args, started)
    except (ValueError, CheckpointError, MissingExtraError, NonFiniteError, OSError) as error:
        print(f"snnx: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = f"; go on with: snnx train --resume {args.folder}" if hasattr(args, "folder") else ""
        print(f"\nsnnx: interrupted{again}", file=sys.stderr)
        return 130
    return 0
