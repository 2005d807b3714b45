"""What happens between epochs, and between the segments of a long one."""

import csv
import glob
import io
import json
import os
import pathlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snnx._checks import checked
from snnx._errors import MissingExtraError
from snnx._files import write_atomically
from snnx._typing import Count, NotNegative, default
from snnx.train._checkpoint import save_checkpoint
from snnx.train._states import EvolveState, TrainState


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees: the state, the figures of every finished epoch, and the settings of the call.

    In `evolve` the state is an `EvolveState`, the figures are of generations, and a callback's "epoch" is the generations of
    about two seconds. In `fit_ensemble` the arrays of the state are stacked, and figures are lists.
    """

    state: TrainState | EvolveState
    history: tuple[dict[str, Any], ...]
    settings: dict[str, Any]


class AbstractCallback:
    """Something to do between epochs: replace any of these methods, which do nothing."""

    @default
    def before(self, snapshot: Snapshot) -> None:
        """Before the first step, also of a resumed run."""

    @default
    def after_segment(self, snapshot: Snapshot) -> None:
        """Every two seconds or so within a long epoch."""

    @default
    def after_epoch(self, snapshot: Snapshot) -> None:
        """After every epoch."""

    @default
    def stop(self, snapshot: Snapshot) -> bool:
        """Whether to stop, asked after every epoch (and before the first of a resumed run)."""
        return False

    @default
    def after(self, snapshot: Snapshot) -> None:
        """Once training has ended: after all epochs, or because a callback stopped it."""


@checked
class Checkpoint(AbstractCallback):
    """Keep the whole training state in one file, so that a killed run resumes with `fit(..., resume=path)`.

    **Arguments:**
    - `path`: the file, e.g. `"run/checkpoint.npz"`; replaced atomically.
    - `every`: seconds between two writes at least; the state at the end is always written.
    - `meta`: what JSON can hold, kept in the file.
    """

    def __init__(self, path: str | os.PathLike, *, every: NotNegative = 10.0, meta: Mapping[str, Any] | None = None):
        self.path, self.every, self.meta = pathlib.Path(path), every, dict(meta or {})
        self._last, self._place = 0.0, (-1, -1)

    def before(self, snapshot: Snapshot) -> None:
        for part in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.part"):  # of a process that was killed
            part.unlink(missing_ok=True)
        self._write(snapshot)

    def after_segment(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._last >= self.every:
            self._write(snapshot)

    def after_epoch(self, snapshot: Snapshot) -> None:
        self.after_segment(snapshot)

    def after(self, snapshot: Snapshot) -> None:
        if self._place != snapshot.state.place:
            self._write(snapshot)

    def _write(self, snapshot: Snapshot) -> None:
        meta = {"history": list(snapshot.history), "settings": snapshot.settings, "config": self.meta}
        save_checkpoint(self.path, snapshot.state, meta)
        self._last, self._place = time.monotonic(), snapshot.state.place


@checked
class EarlyStopping(AbstractCallback):
    """Stop when the validation (of an ensemble that of any member) has not improved for `patience` epochs.

    Needs `fit(..., validation=...)`; the test data never decide. It reads the history alone, so a resumed run stops where
    an uninterrupted one would have.

    **Raises:** (`fit`) `ValueError` if there is no validation.
    """

    def __init__(self, patience: Count = 10):
        self.patience = patience

    def before(self, snapshot: Snapshot) -> None:
        if not snapshot.settings.get("validation"):
            raise ValueError(
                "EarlyStopping: there is nothing to watch; pass validation=... to fit (and evolve takes patience=...)."
            )

    def stop(self, snapshot: Snapshot) -> bool:
        if not snapshot.history:
            return False
        best = snapshot.history[-1]["best_epoch"]  # of an ensemble one for each member: the last to improve counts
        return len(snapshot.history) - (max(best) if isinstance(best, list) else best) >= self.patience


@checked
class LogFile(AbstractCallback):
    """The figures of every epoch in a file: JSON lines, or CSV if its name ends in `.csv`. Those of an ensemble are lists.

    Written anew from the history after each epoch, so that a resumed run leaves the file that an uninterrupted one would.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)

    def before(self, snapshot: Snapshot) -> None:
        # Of a resumed run what it has so far: it may have been killed between its checkpoint and this file. Of a new
        # one nothing yet, but what cannot be written fails before the training and not after its first epoch.
        self.after_epoch(snapshot)

    def after_epoch(self, snapshot: Snapshot) -> None:
        if not snapshot.history:
            content = ""
        elif self.path.suffix == ".csv":
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(snapshot.history[0]))
            writer.writeheader()
            writer.writerows(snapshot.history)
            content = text.getvalue()
        else:
            content = "".join(json.dumps(record) + "\n" for record in snapshot.history)
        write_atomically(self.path, content.encode())


@checked
class TensorBoard(AbstractCallback):
    """The figures of every epoch as TensorBoard scalars; needs the package `tensorboardX`.

    **Raises:** `MissingExtraError` if the package is not installed.
    """

    def __init__(self, folder: str | os.PathLike):
        try:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError(
                "snnx.train.TensorBoard needs the package 'tensorboardX', which is not installed; run: pip install tensorboardX"
            ) from error
        self._writer = SummaryWriter(str(folder))
        self._written = 0

    def before(self, snapshot: Snapshot) -> None:
        self._written = len(snapshot.history)

    def after_epoch(self, snapshot: Snapshot) -> None:
        for record in snapshot.history[self._written :]:
            (counter, number), *figures = record.items()  # the epoch or generation comes first
            for name, value in figures:
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(name, value, number)
        self._written = len(snapshot.history)
        self._writer.flush()
