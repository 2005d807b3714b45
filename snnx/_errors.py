"""Floor 0: the errors that snnx raises, and the few sentences that they share. Imports no JAX: the command line answers first."""

import difflib
import sys
import warnings
from collections.abc import Iterable
from typing import Any, NoReturn


class ShapeError(ValueError):
    """An array has the wrong shape. The message names the argument, what came, what was expected, and what to do."""


class DtypeError(TypeError):
    """An array has the wrong dtype. The message names the argument, what came, what was expected, and what to do."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed. The message holds the `pip install` line to run."""


class CheckpointError(ValueError):
    """A checkpoint is damaged, of another version, or of another model. The message says which, and where."""


class NonFiniteError(FloatingPointError):
    """Training met a loss or an update that is not finite. The message names epoch and step.

    `state` is the training state before that step.
    """

    state: object = None


class DataError(ValueError):
    """A recording or a file of data is damaged, or not of the kind that was expected. The message says which, and where."""


class DataLossWarning(UserWarning):
    """Something was left out, as had been asked for. The message says how much."""


class NIRError(ValueError):
    """A graph or file is no valid NIR, or NIR cannot say what a model does. The message names the node, and what to do."""


class UnknownNameError(ValueError):
    """There is no part, field or setting of that name. The message lists those that there are."""


def unknown_name(where: str, what: str, name: str, known: Iterable[str], meant: Iterable[str] = ()) -> str:
    """The sentence for a name that does not exist, with the nearest one that does, or the one that was surely meant."""
    names = sorted(known)
    near = list(meant) or difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{where}: there is no {what} {name!r}.{hint} Known: {', '.join(names)}."


def missing_extra(what: str, package: str, extra: str, cause: ImportError) -> NoReturn:
    """Raise `MissingExtraError` for `what`, which needs `package` from the extra `extra`."""
    raise MissingExtraError(
        f"{what} needs the package {package!r}, which is not installed; run: pip install 'snnx[{extra}]'"
        f" (in a clone: pip install '.[{extra}]')"
    ) from cause


def describe(value: Any) -> str:
    """What came, in the words of an error message: dtype and shape of an array, else type and value."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def sentence(error: Exception) -> str:
    """What an error says; some libraries raise with a sentence in pieces."""
    pieces = error.args if all(isinstance(arg, str) for arg in error.args) else (str(error),)
    return " ".join(" ".join(pieces).split())


def warn_caller(message: str, kind: type[Warning] = UserWarning) -> None:
    """Warn at the line that called snnx: the first one outside of it, and of what wraps its functions."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, kind, stacklevel=level)


_NOT_THE_CALLER = {"snnx", "equinox", "jaxtyping", "jax"}
