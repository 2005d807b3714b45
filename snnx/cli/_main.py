"""The command line: `snnx train`, `snnx evaluate`, `snnx export`, `snnx nir`, `snnx info`."""

import errno
import os
import sys
import time
from collections.abc import Sequence

import jax

from snnx._errors import CheckpointError, MissingExtraError, NonFiniteError
from snnx.cli._arguments import check_train, make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error in the work, 2 for a wrong call."""
    started = time.time()
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.error("name a command: train, evaluate, export, nir or info")
    if args.command == "train":
        check_train(args)
    if args.command == "nir" and args.action is None:
        args.parser.error("name what to do: info, run or check")
    from snnx.cli._cache import use_compilation_cache
    from snnx.cli._evaluate import evaluate_run
    from snnx.cli._export import export_run
    from snnx.cli._info import info
    from snnx.cli._nir import nir
    from snnx.cli._train import train

    use_compilation_cache()
    works = {"train": train, "evaluate": evaluate_run, "export": export_run, "nir": nir, "info": info}
    try:
        status = works[args.command](args, started)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough (`| head -1`): nobody is left to complain to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except OSError as error:
        # "[Errno 13] Permission denied: 'x'" is for programmers
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        text += "; the output cannot be written" if error.filename is None and error.errno == errno.ENOSPC else ""
        print(f"snnx: {text}", file=sys.stderr)
        return 1
    except (MemoryError, OverflowError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        smaller = "take smaller --hidden, --steps or --batch-size, and another --run"
        smaller = smaller if args.command == "train" else "take fewer examples or steps"
        print(f"snnx: this does not fit into the memory of the device; {smaller}", file=sys.stderr)
        return 1
    except (ValueError, CheckpointError, MissingExtraError, NonFiniteError) as error:
        print(f"snnx: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = f"; go on with: snnx train --resume {args.folder}" if hasattr(args, "folder") else ""
        print(f"\nsnnx: interrupted{again}", file=sys.stderr)
        return 130
    return status or 0
