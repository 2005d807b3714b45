"""What editors and type checkers read; `__init__.py` loads the same names when they are used."""

from snnx import audio as audio
from snnx import augment as augment
from snnx import cells as cells
from snnx import control as control
from snnx import data as data
from snnx import encoding as encoding
from snnx import event as event
from snnx import inputs as inputs
from snnx import layers as layers
from snnx import losses as losses
from snnx import metrics as metrics
from snnx import neurons as neurons
from snnx import nir as nir
from snnx import parameters as parameters
from snnx import plot as plot
from snnx import reductions as reductions
from snnx import simulation as simulation
from snnx import solvers as solvers
from snnx import surrogates as surrogates
from snnx import train as train
from snnx._errors import CheckpointError as CheckpointError
from snnx._errors import DataError as DataError
from snnx._errors import DataLossWarning as DataLossWarning
from snnx._errors import DtypeError as DtypeError
from snnx._errors import MissingExtraError as MissingExtraError
from snnx._errors import NIRError as NIRError
from snnx._errors import NonFiniteError as NonFiniteError
from snnx._errors import ShapeError as ShapeError
from snnx._version import __version__ as __version__
from snnx.cells import AbstractCell as AbstractCell
from snnx.cells import cast as cast
from snnx.cells import with_dt as with_dt
from snnx.control import Environment as Environment
from snnx.control import Policy as Policy
from snnx.control import rollout as rollout
from snnx.data import SpikeDataset as SpikeDataset
from snnx.layers import Delay as Delay
from snnx.layers import Flatten as Flatten
from snnx.layers import Graph as Graph
from snnx.layers import Parallel as Parallel
from snnx.layers import Recurrent as Recurrent
from snnx.layers import Residual as Residual
from snnx.layers import Sequential as Sequential
from snnx.layers import fluctuation_driven as fluctuation_driven
from snnx.layers import summary as summary
from snnx.layers import with_gradient as with_gradient
from snnx.losses import MSE as MSE
from snnx.losses import CrossEntropy as CrossEntropy
from snnx.losses import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from snnx.losses import StepCrossEntropy as StepCrossEntropy
from snnx.losses import UpperRate as UpperRate
from snnx.neurons import ALIF as ALIF
from snnx.neurons import IF as IF
from snnx.neurons import LI as LI
from snnx.neurons import LIF as LIF
from snnx.neurons import AdLIF as AdLIF
from snnx.neurons import CubaLI as CubaLI
from snnx.neurons import CubaLIF as CubaLIF
from snnx.neurons import EventProp as EventProp
from snnx.neurons import Integrator as Integrator
from snnx.neurons import NoReset as NoReset
from snnx.neurons import SubtractReset as SubtractReset
from snnx.neurons import ValueReset as ValueReset
from snnx.parameters import Bounded as Bounded
from snnx.parameters import Frozen as Frozen
from snnx.parameters import Positive as Positive
from snnx.parameters import combine as combine
from snnx.parameters import partition as partition
from snnx.parameters import trainable as trainable
from snnx.parameters import value as value
from snnx.reductions import FirstSpike as FirstSpike
from snnx.reductions import Last as Last
from snnx.reductions import Max as Max
from snnx.reductions import Mean as Mean
from snnx.reductions import Stack as Stack
from snnx.reductions import Sum as Sum
from snnx.simulation import simulate as simulate
from snnx.train import Checkpoint as Checkpoint
from snnx.train import EarlyStopping as EarlyStopping
from snnx.train import evaluate as evaluate
from snnx.train import evolve as evolve
from snnx.train import fit as fit
from snnx.train import fit_ensemble as fit_ensemble
from snnx.train import load_checkpoint as load_checkpoint
from snnx.train import save_checkpoint as save_checkpoint
from snnx.train import use_cores as use_cores

__all__ = [
    "ALIF",
    "IF",
    "LI",
    "LIF",
    "MSE",
    "AbstractCell",
    "AdLIF",
    "Bounded",
    "Checkpoint",
    "CheckpointError",
    "CrossEntropy",
    "CubaLI",
    "CubaLIF",
    "DataError",
    "DataLossWarning",
    "Delay",
    "DtypeError",
    "EarlyStopping",
    "Environment",
    "EventProp",
    "FirstSpike",
    "FirstSpikeCrossEntropy",
    "Flatten",
    "Frozen",
    "Graph",
    "Integrator",
    "Last",
    "Max",
    "Mean",
    "MissingExtraError",
    "NIRError",
    "NoReset",
    "NonFiniteError",
    "Parallel",
    "Policy",
    "Positive",
    "Recurrent",
    "Residual",
    "Sequential",
    "ShapeError",
    "SpikeDataset",
    "Stack",
    "StepCrossEntropy",
    "SubtractReset",
    "Sum",
    "UpperRate",
    "ValueReset",
    "__version__",
    "audio",
    "augment",
    "cast",
    "cells",
    "combine",
    "control",
    "data",
    "encoding",
    "evaluate",
    "event",
    "evolve",
    "fit",
    "fit_ensemble",
    "fluctuation_driven",
    "inputs",
    "layers",
    "load_checkpoint",
    "losses",
    "metrics",
    "neurons",
    "nir",
    "parameters",
    "partition",
    "plot",
    "reductions",
    "rollout",
    "save_checkpoint",
    "simulate",
    "simulation",
    "solvers",
    "summary",
    "surrogates",
    "train",
    "trainable",
    "use_cores",
    "value",
    "with_dt",
    "with_gradient",
]
