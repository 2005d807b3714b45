"""Training, evolution and evaluation as compiled programs.

- Doors: `_fit`, `_fit_ensemble`, `_evolve`, `_evaluate`; what they refuse: `_task`.
- The one run: `_run`; what it drives: `_training`, `_search`; what it starts from and gives: `_resume`, `_states`, `_results`.
- Programs: `_training_program`, `_ensemble_program`, `_generation_program`, `_scoring`; compiled or found: `_programs`,
  `_constants`; what they are given: `_batches`, `_devices`.
- Around it: `_callbacks`, `_checkpoint`, `_progress`, `_eventprop_recipes`.
"""

from snnx.train._callbacks import AbstractCallback as AbstractCallback
from snnx.train._callbacks import Checkpoint as Checkpoint
from snnx.train._callbacks import EarlyStopping as EarlyStopping
from snnx.train._callbacks import LogFile as LogFile
from snnx.train._callbacks import Snapshot as Snapshot
from snnx.train._callbacks import TensorBoard as TensorBoard
from snnx.train._checkpoint import load_checkpoint as load_checkpoint
from snnx.train._checkpoint import read_meta as read_meta
from snnx.train._checkpoint import save_checkpoint as save_checkpoint
from snnx.train._devices import use_cores as use_cores
from snnx.train._evaluate import evaluate as evaluate
from snnx.train._eventprop_recipes import ease_in as ease_in
from snnx.train._eventprop_recipes import wake_silent_weights as wake_silent_weights
from snnx.train._evolve import evolve as evolve
from snnx.train._fit import fit as fit
from snnx.train._fit_ensemble import fit_ensemble as fit_ensemble
from snnx.train._programs import Compilation as Compilation
from snnx.train._progress import duration as duration
from snnx.train._results import EnsembleResult as EnsembleResult
from snnx.train._results import Evaluation as Evaluation
from snnx.train._results import EvolveResult as EvolveResult
from snnx.train._results import FitResult as FitResult
from snnx.train._states import EvolveState as EvolveState
from snnx.train._states import TrainState as TrainState

__all__ = [
    "AbstractCallback",
    "Checkpoint",
    "Compilation",
    "EarlyStopping",
    "EnsembleResult",
    "Evaluation",
    "EvolveResult",
    "EvolveState",
    "FitResult",
    "LogFile",
    "Snapshot",
    "TensorBoard",
    "TrainState",
    "ease_in",
    "evaluate",
    "evolve",
    "fit",
    "fit_ensemble",
    "load_checkpoint",
    "read_meta",
    "save_checkpoint",
    "use_cores",
    "wake_silent_weights",
]
