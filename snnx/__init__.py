"""snnx: spiking neural networks in JAX, as pure step functions with an explicit state.

The rooms of the house, from the ground up:

- `snnx.parameters`: constants, learned arrays, constraints.
- `snnx.surrogates`: spike functions and their pseudo derivatives.
- `snnx.reductions`: what becomes of a trace over time.
- `snnx.inputs`: compact layouts of input sequences.
- `snnx.cells`: the contract that neurons and containers keep.
- `snnx.neurons`, `snnx.layers`: the cells themselves.
- `snnx.simulation`: time.
- `snnx.data`, `snnx.encoding`, `snnx.audio`, `snnx.augment`: what goes in.
- `snnx.losses`, `snnx.metrics`: what is asked of what comes out.
- `snnx.nir`: graphs from and for other frameworks and hardware.
- `snnx.solvers`: by gradient or by evolution.
- `snnx.train`: training, evolution, evaluation, checkpoints.
- `snnx.control`: networks that act: environments, policies, rollouts.
- `snnx.plot`: pictures (extra `plot`; matplotlib is imported when one is drawn).
"""

from snnx import audio as audio
from snnx import augment as augment
from snnx import control as control
from snnx import data as data
from snnx import encoding as encoding
from snnx import event as event
from snnx import losses as losses
from snnx import metrics as metrics
from snnx import neurons as neurons
from snnx import nir as nir
from snnx import plot as plot
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
from snnx.cells import spiking_paths as spiking_paths
from snnx.cells import with_dt as with_dt
from snnx.control import Environment as Environment
from snnx.control import Policy as Policy
from snnx.control import Rollout as Rollout
from snnx.control import rollout as rollout
from snnx.data import SpikeDataset as SpikeDataset
from snnx.inputs import ActiveChannels as ActiveChannels
from snnx.inputs import Bits as Bits
from snnx.inputs import Constant as Constant
from snnx.inputs import Counts as Counts
from snnx.inputs import Dense as Dense
from snnx.inputs import Events as Events
from snnx.inputs import EventTable as EventTable
from snnx.inputs import pack_active as pack_active
from snnx.inputs import pack_bits as pack_bits
from snnx.inputs import unpack_bits as unpack_bits
from snnx.layers import Add as Add
from snnx.layers import Concat as Concat
from snnx.layers import Delay as Delay
from snnx.layers import Flatten as Flatten
from snnx.layers import GaussianNoise as GaussianNoise
from snnx.layers import Graph as Graph
from snnx.layers import Parallel as Parallel
from snnx.layers import Recurrent as Recurrent
from snnx.layers import Residual as Residual
from snnx.layers import Scale as Scale
from snnx.layers import Sequential as Sequential
from snnx.layers import SumPool2d as SumPool2d
from snnx.layers import Threshold as Threshold
from snnx.layers import ThresholdNorm as ThresholdNorm
from snnx.layers import fluctuation_driven as fluctuation_driven
from snnx.layers import he as he
from snnx.layers import summary as summary
from snnx.layers import with_gradient as with_gradient
from snnx.layers import xavier as xavier
from snnx.losses import MSE as MSE
from snnx.losses import CountMSE as CountMSE
from snnx.losses import CrossEntropy as CrossEntropy
from snnx.losses import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from snnx.losses import FirstSpikeMSE as FirstSpikeMSE
from snnx.losses import LowerRate as LowerRate
from snnx.losses import PopulationRate as PopulationRate
from snnx.losses import PopulationUpperRate as PopulationUpperRate
from snnx.losses import RateL1 as RateL1
from snnx.losses import RateL2 as RateL2
from snnx.losses import RateMSE as RateMSE
from snnx.losses import StepCrossEntropy as StepCrossEntropy
from snnx.losses import TargetRate as TargetRate
from snnx.losses import TraceMSE as TraceMSE
from snnx.losses import UpperRate as UpperRate
from snnx.losses import VanRossum as VanRossum
from snnx.losses import WakeSilent as WakeSilent
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
from snnx.parameters import flatten as flatten
from snnx.parameters import gamma as gamma
from snnx.parameters import init_ensemble as init_ensemble
from snnx.parameters import log_uniform as log_uniform
from snnx.parameters import member as member
from snnx.parameters import partition as partition
from snnx.parameters import trainable as trainable
from snnx.parameters import unflatten as unflatten
from snnx.parameters import value as value
from snnx.reductions import FirstSpike as FirstSpike
from snnx.reductions import Last as Last
from snnx.reductions import Max as Max
from snnx.reductions import Mean as Mean
from snnx.reductions import Stack as Stack
from snnx.reductions import Sum as Sum
from snnx.reductions import Weighted as Weighted
from snnx.simulation import default_chunk as default_chunk
from snnx.simulation import default_keep as default_keep
from snnx.simulation import simulate as simulate
from snnx.solvers import Evolution as Evolution
from snnx.surrogates import AbstractSurrogate as AbstractSurrogate
from snnx.surrogates import Arctan as Arctan
from snnx.surrogates import ATan as ATan
from snnx.surrogates import Boxcar as Boxcar
from snnx.surrogates import Custom as Custom
from snnx.surrogates import FastSigmoid as FastSigmoid
from snnx.surrogates import Gaussian as Gaussian
from snnx.surrogates import LeakyGradient as LeakyGradient
from snnx.surrogates import MultiGaussian as MultiGaussian
from snnx.surrogates import PiecewiseQuadratic as PiecewiseQuadratic
from snnx.surrogates import Sigmoid as Sigmoid
from snnx.surrogates import SlayerExponential as SlayerExponential
from snnx.surrogates import SoftSign as SoftSign
from snnx.surrogates import SparseFastSigmoid as SparseFastSigmoid
from snnx.surrogates import StochasticEscape as StochasticEscape
from snnx.surrogates import StraightThrough as StraightThrough
from snnx.surrogates import SuperSpike as SuperSpike
from snnx.surrogates import Tanh as Tanh
from snnx.surrogates import Triangular as Triangular
from snnx.train import Checkpoint as Checkpoint
from snnx.train import EarlyStopping as EarlyStopping
from snnx.train import EnsembleResult as EnsembleResult
from snnx.train import Evaluation as Evaluation
from snnx.train import EvolveResult as EvolveResult
from snnx.train import FitResult as FitResult
from snnx.train import LogFile as LogFile
from snnx.train import TensorBoard as TensorBoard
from snnx.train import TrainState as TrainState
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
    "ATan",
    "AbstractCell",
    "AbstractSurrogate",
    "ActiveChannels",
    "AdLIF",
    "Add",
    "Arctan",
    "Bits",
    "Bounded",
    "Boxcar",
    "Checkpoint",
    "CheckpointError",
    "Concat",
    "Constant",
    "CountMSE",
    "Counts",
    "CrossEntropy",
    "CubaLI",
    "CubaLIF",
    "Custom",
    "DataError",
    "DataLossWarning",
    "Delay",
    "Dense",
    "DtypeError",
    "EarlyStopping",
    "EnsembleResult",
    "Environment",
    "Evaluation",
    "EventProp",
    "EventTable",
    "Events",
    "Evolution",
    "EvolveResult",
    "FastSigmoid",
    "FirstSpike",
    "FirstSpikeCrossEntropy",
    "FirstSpikeMSE",
    "FitResult",
    "Flatten",
    "Frozen",
    "Gaussian",
    "GaussianNoise",
    "Graph",
    "Integrator",
    "Last",
    "LeakyGradient",
    "LogFile",
    "LowerRate",
    "Max",
    "Mean",
    "MissingExtraError",
    "MultiGaussian",
    "NIRError",
    "NoReset",
    "NonFiniteError",
    "Parallel",
    "PiecewiseQuadratic",
    "Policy",
    "PopulationRate",
    "PopulationUpperRate",
    "Positive",
    "RateL1",
    "RateL2",
    "RateMSE",
    "Recurrent",
    "Residual",
    "Rollout",
    "Scale",
    "Sequential",
    "ShapeError",
    "Sigmoid",
    "SlayerExponential",
    "SoftSign",
    "SparseFastSigmoid",
    "SpikeDataset",
    "Stack",
    "StepCrossEntropy",
    "StochasticEscape",
    "StraightThrough",
    "SubtractReset",
    "Sum",
    "SumPool2d",
    "SuperSpike",
    "Tanh",
    "TargetRate",
    "TensorBoard",
    "Threshold",
    "ThresholdNorm",
    "TraceMSE",
    "TrainState",
    "Triangular",
    "UpperRate",
    "ValueReset",
    "VanRossum",
    "WakeSilent",
    "Weighted",
    "__version__",
    "audio",
    "augment",
    "cast",
    "combine",
    "control",
    "data",
    "default_chunk",
    "default_keep",
    "encoding",
    "evaluate",
    "event",
    "evolve",
    "fit",
    "fit_ensemble",
    "flatten",
    "fluctuation_driven",
    "gamma",
    "he",
    "init_ensemble",
    "load_checkpoint",
    "log_uniform",
    "losses",
    "member",
    "metrics",
    "neurons",
    "nir",
    "pack_active",
    "pack_bits",
    "partition",
    "plot",
    "rollout",
    "save_checkpoint",
    "simulate",
    "solvers",
    "spiking_paths",
    "summary",
    "surrogates",
    "train",
    "trainable",
    "unflatten",
    "unpack_bits",
    "use_cores",
    "value",
    "with_dt",
    "with_gradient",
    "xavier",
]
