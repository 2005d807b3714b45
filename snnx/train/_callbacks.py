"""What happens between epochs, and between the segments of a long one."""

import csv
import glob
import io
import json
import os
import pathlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnx._errors import MissingExtraError, describe
from snnx._files import write_atomically
from snnx._typing import default
from snnx.train._checkpoint import save_checkpoint
from snnx.train._state import EnsembleState, EvolveState, TrainState


@dataclass(frozen=True)
class Run:
    """What a callback sees: the state, the figures of every finished epoch, and the settings of `fit`.

    Of `evolve` the state is an `EvolveState`, and the figures are of generations; what is said of epochs here holds for
    the generations between two looks at the run. Of `fit_ensemble` it is an `EnsembleState`, and figures are lists.
    """

    state: TrainState | EvolveState | EnsembleState
    history: tuple[dict[str, Any], ...]
    settings: dict[str, Any]


class AbstractCallback:
    """Something to do between epochs: replace any of these methods, which do nothing."""

    @default
    def before(self, run: Run) -> None:
        """Before the first step, also of a resumed run."""

    @default
    def after_segment(self, run: Run) -> None:
        """Every ten seconds or so within a long epoch."""

    @default
    def after_epoch(self, run: Run) -> None:
        """After every epoch."""

    @default
    def stop(self, run: Run) -> bool:
        """Whether to stop, asked after every epoch (and before the first of a resumed run)."""
        return False

    @default
    def after(self, run: Run) -> None:
        """Once training has ended: after all epochs, or because a callback stopped it."""


def check_callbacks(where: str, callbacks: Any) -> None:
    """Refuse what is no list of callbacks."""
    if not isinstance(callbacks, Sequence):
        raise TypeError(
            f"{where}: callbacks is {describe(callbacks)}; expected a list, e.g. [snnx.train.LogFile(path)]."
        )
    for i, callback in enumerate(callbacks):
        if not isinstance(callback, AbstractCallback):
            hint = (
                f"an object: {callback.__name__}(...)" if isinstance(callback, type) else "an object with its methods"
            )
            raise TypeError(f"{where}: callbacks[{i}] is {describe(callback)}; expected {hint}.")


class Checkpoint(AbstractCallback):
    """Keep the whole training state in one file, so that a killed run resumes with `fit(..., resume=path)`.

    **Arguments:**
    - `path`: the file, e.g. `"run/checkpoint.npz"`; replaced atomically.
    - `every`: seconds between two writes at least; the state at the end is always written.
    - `meta`: what JSON can hold, kept in the file.
    """

    def __init__(self, path: "str | os.PathLike", *, every: float = 10.0, meta: dict[str, Any] | None = None):
        self.path, self.every, self.meta = pathlib.Path(path), every, meta or {}
        self._last, self._place = 0.0, (-1, -1)

    def before(self, run: Run) -> None:
        for part in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.part"):  # of a process that was killed
            part.unlink(missing_ok=True)
        self._write(run)

    def after_segment(self, run: Run) -> None:
        if time.monotonic() - self._last >= self.every:
            self._write(run)

    def after_epoch(self, run: Run) -> None:
        self.after_segment(run)

    def after(self, run: Run) -> None:
        if self._place != run.state.place:
            self._write(run)

    def _write(self, run: Run) -> None:
        meta = {"history": list(run.history), "settings": run.settings, "config": self.meta}
        save_checkpoint(self.path, run.state, meta)
        self._last, self._place = time.monotonic(), run.state.place


class EarlyStopping(AbstractCallback):
    """Stop when the validation (of an ensemble that of any member) has not improved for `patience` epochs.

    Needs `fit(..., validation=...)`; the test data never decide. It reads the history alone, so a resumed run stops where
    an uninterrupted one would have.

    **Raises:** `ValueError` for `patience < 1`, or if there is no validation.
    """

    def __init__(self, patience: int = 10):
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience is {patience}, expected at least 1 epoch.")
        self.patience = patience

    def before(self, run: Run) -> None:
        if not run.settings.get("validation"):
            raise ValueError(
                "EarlyStopping: there is nothing to watch; pass validation=... to fit (and evolve takes patience=...)."
            )

    def stop(self, run: Run) -> bool:
        if not run.history:
            return False
        best = run.history[-1]["best_epoch"]  # of an ensemble one for each member: the last to improve counts
        return len(run.history) - (max(best) if isinstance(best, list) else best) >= self.patience


class LogFile(AbstractCallback):
    """The figures of every epoch in a file: JSON lines, or CSV if its name ends in `.csv`. Those of an ensemble are lists.

    Written anew from the history after each epoch, so that a resumed run leaves the file that an uninterrupted one would.
    """

    def __init__(self, path: "str | os.PathLike"):
        self.path = pathlib.Path(path)

    def before(self, run: Run) -> None:
        # Of a resumed run what it has so far: it may have been killed between its checkpoint and this file. Of a new
        # one nothing yet, but what cannot be written fails before the training and not after its first epoch.
        self.after_epoch(run)

    def after_epoch(self, run: Run) -> None:
        if not run.history:
            content = ""
        elif self.path.suffix == ".csv":
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(run.history[0]))
            writer.writeheader()
            writer.writerows(run.history)
            content = text.getvalue()
        else:
            content = "".join(json.dumps(record) + "\n" for record in run.history)
        write_atomically(self.path, content.encode())


class TensorBoard(AbstractCallback):
    """The figures of every epoch as TensorBoard scalars; needs the package `tensorboardX`.

    **Raises:** `MissingExtraError` if the package is not installed.
    """

    def __init__(self, folder: "str | os.PathLike"):
        try:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError(
                "snnx.train.TensorBoard needs the package 'tensorboardX', which is not installed; run: pip install tensorboardX"
            ) from error
        self._writer = SummaryWriter(str(folder))
        self._written = 0

    def before(self, run: Run) -> None:
        self._written = len(run.history)

    def after_epoch(self, run: Run) -> None:
        for record in run.history[self._written :]:
            (counter, number), *figures = record.items()  # the epoch or generation comes first
            for name, value in figures:
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, number)
        self._written = len(run.history)
        self._writer.flush()
