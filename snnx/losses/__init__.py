"""Losses and regularisers: frozen modules that add up, each for one example."""

from snnx.losses._cross_entropy import CrossEntropy as CrossEntropy
from snnx.losses._cross_entropy import StepCrossEntropy as StepCrossEntropy
from snnx.losses._first_spike import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from snnx.losses._loss import AbstractLoss as AbstractLoss
from snnx.losses._loss import WeightedSum as WeightedSum
from snnx.losses._rates import AbstractRateRegulariser as AbstractRateRegulariser
from snnx.losses._rates import LowerRate as LowerRate
from snnx.losses._rates import PopulationRate as PopulationRate
from snnx.losses._rates import PopulationUpperRate as PopulationUpperRate
from snnx.losses._rates import RateL1 as RateL1
from snnx.losses._rates import RateL2 as RateL2
from snnx.losses._rates import UpperRate as UpperRate
from snnx.losses._regression import MSE as MSE
from snnx.losses._regression import TraceMSE as TraceMSE
from snnx.losses._spike_counts import CountMSE as CountMSE
from snnx.losses._spike_counts import RateMSE as RateMSE
from snnx.losses._van_rossum import VanRossum as VanRossum

__all__ = [
    "MSE",
    "AbstractLoss",
    "AbstractRateRegulariser",
    "CountMSE",
    "CrossEntropy",
    "FirstSpikeCrossEntropy",
    "LowerRate",
    "PopulationRate",
    "PopulationUpperRate",
    "RateL1",
    "RateL2",
    "RateMSE",
    "StepCrossEntropy",
    "TraceMSE",
    "UpperRate",
    "VanRossum",
    "WeightedSum",
]
