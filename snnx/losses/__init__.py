"""Losses and regularisers: frozen modules that add up, each for one example; and plain functions of spike times."""

from snnx.losses._cross_entropy import AbstractClassLoss as AbstractClassLoss
from snnx.losses._cross_entropy import CrossEntropy as CrossEntropy
from snnx.losses._cross_entropy import StepCrossEntropy as StepCrossEntropy
from snnx.losses._loss import AbstractLoss as AbstractLoss
from snnx.losses._loss import WeightedSum as WeightedSum
from snnx.losses._rates import AbstractRateRegulariser as AbstractRateRegulariser
from snnx.losses._rates import LowerRate as LowerRate
from snnx.losses._rates import PopulationRate as PopulationRate
from snnx.losses._rates import PopulationUpperRate as PopulationUpperRate
from snnx.losses._rates import RateL1 as RateL1
from snnx.losses._rates import RateL2 as RateL2
from snnx.losses._rates import TargetRate as TargetRate
from snnx.losses._rates import UpperRate as UpperRate
from snnx.losses._rates import input_rate as input_rate
from snnx.losses._regression import MSE as MSE
from snnx.losses._regression import StepCount as StepCount
from snnx.losses._regression import TraceMSE as TraceMSE
from snnx.losses._regression import VanRossum as VanRossum
from snnx.losses._spike_counts import CountMSE as CountMSE
from snnx.losses._spike_counts import RateMSE as RateMSE
from snnx.losses._spike_times import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from snnx.losses._spike_times import FirstSpikeMSE as FirstSpikeMSE
from snnx.losses._spike_times import earliest_spike_penalty as earliest_spike_penalty
from snnx.losses._spike_times import first_spike_cross_entropy as first_spike_cross_entropy
from snnx.losses._spike_times import spike_time_mse as spike_time_mse
from snnx.losses._spike_times import target_times as target_times
from snnx.losses._wake_silent import WakeSilent as WakeSilent

__all__ = [
    "MSE",
    "AbstractClassLoss",
    "AbstractLoss",
    "AbstractRateRegulariser",
    "CountMSE",
    "CrossEntropy",
    "FirstSpikeCrossEntropy",
    "FirstSpikeMSE",
    "LowerRate",
    "PopulationRate",
    "PopulationUpperRate",
    "RateL1",
    "RateL2",
    "RateMSE",
    "StepCount",
    "StepCrossEntropy",
    "TargetRate",
    "TraceMSE",
    "UpperRate",
    "VanRossum",
    "WakeSilent",
    "WeightedSum",
    "earliest_spike_penalty",
    "first_spike_cross_entropy",
    "input_rate",
    "spike_time_mse",
    "target_times",
]
