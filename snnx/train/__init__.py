"""Training and evaluation as compiled programs."""

from snnx.train._callbacks import AbstractCallback as AbstractCallback
from snnx.train._callbacks import Checkpoint as Checkpoint
from snnx.train._callbacks import EarlyStopping as EarlyStopping
from snnx.train._callbacks import LogFile as LogFile
from snnx.train._callbacks import Run as Run
from snnx.train._callbacks import TensorBoard as TensorBoard
from snnx.train._checkpoint import load_checkpoint as load_checkpoint
from snnx.train._checkpoint import read_meta as read_meta
from snnx.train._checkpoint import save_checkpoint as save_checkpoint
from snnx.train._devices import use_cores as use_cores
from snnx.train._ease_in import ease_in as ease_in
from snnx.train._evaluate import Evaluation as Evaluation
from snnx.train._evaluate import evaluate as evaluate
from snnx.train._evolve import EvolveResult as EvolveResult
from snnx.train._evolve import evolve as evolve
from snnx.train._fit import FitResult as FitResult
from snnx.train._fit import fit as fit
from snnx.train._fit_ensemble import EnsembleResult as EnsembleResult
from snnx.train._fit_ensemble import fit_ensemble as fit_ensemble
from snnx.train._programs import Compilation as Compilation
from snnx.train._progress import duration as duration
from snnx.train._state import EnsembleState as EnsembleState
from snnx.train._state import EvolveState as EvolveState
from snnx.train._state import TrainState as TrainState
from snnx.train._wake_silent import wake_silent_weights as wake_silent_weights

__all__ = [
    "AbstractCallback",
    "Checkpoint",
    "Compilation",
    "EarlyStopping",
    "EnsembleResult",
    "EnsembleState",
    "Evaluation",
    "EvolveResult",
    "EvolveState",
    "FitResult",
    "LogFile",
    "Run",
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
