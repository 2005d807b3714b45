"""The command line: `snnx train`, `snnx evaluate`, `snnx export`, `snnx nir`, `snnx info`."""

import errno
import importlib
import os
import pathlib
import sys
import time
from collections.abc import Sequence

from snnx._errors import MissingExtraError, NonFiniteError
from snnx.cli._arguments import read_arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error in the work, 2 for a wrong call, 130 after Ctrl-C."""
    started = time.time()
    args = read_arguments(argv)
    try:
        use_compilation_cache()
        # Each command is `main` of the file of its name. It is imported here because it imports JAX, which takes a second.
        status = importlib.import_module(f"snnx.cli._{args.command}").main(args, started)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough (`| head -1`): nobody is left to complain to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except KeyboardInterrupt:
        again = f"; go on with: snnx train --resume {args.folder}" if hasattr(args, "folder") else ""
        print(f"\nsnnx: interrupted{again}", file=sys.stderr)
        return 130
    except Exception as error:
        sentence = _sentence(error, args.command)
        if sentence is None:
            raise
        print(f"snnx: {sentence}", file=sys.stderr)
        return 1
    return status or 0


def _sentence(error: Exception, command: str) -> str | None:
    """What the user is told of an error; None if it is a fault of snnx, which is shown with its traceback."""
    import jax

    out_of_memory = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    if out_of_memory or isinstance(error, MemoryError | OverflowError):
        smaller = "smaller --hidden, --steps or --batch-size, and another --run"
        smaller = smaller if command == "train" else "fewer examples or steps"
        return f"this does not fit into the memory of the device; take {smaller}"
    if isinstance(error, OSError):  # whose own text, "[Errno 13] Permission denied: 'x'", is for programmers
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        full = error.filename is None and error.errno == errno.ENOSPC
        return f"{text}; the output cannot be written" if full else text
    return str(error) if isinstance(error, ValueError | MissingExtraError | NonFiniteError) else None


def use_compilation_cache() -> pathlib.Path:
    """Keep compiled programs, in `JAX_COMPILATION_CACHE_DIR` or the user's cache folder, which is returned."""
    import jax

    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(folder) if folder else pathlib.Path(home) / "snnx" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(path))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return path
