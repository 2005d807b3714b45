"""Containers and layers."""

from snnx.layers._branches import Add as Add
from snnx.layers._branches import Concat as Concat
from snnx.layers._branches import Parallel as Parallel
from snnx.layers._branches import Residual as Residual
from snnx.layers._container import AbstractContainer as AbstractContainer
from snnx.layers._flatten import Flatten as Flatten
from snnx.layers._fluctuation_driven import fluctuation_driven as fluctuation_driven
from snnx.layers._initialise import he as he
from snnx.layers._initialise import scaled_normal as scaled_normal
from snnx.layers._initialise import xavier as xavier
from snnx.layers._noise import GaussianNoise as GaussianNoise
from snnx.layers._noise import GaussianNoiseState as GaussianNoiseState
from snnx.layers._norm import ThresholdNorm as ThresholdNorm
from snnx.layers._pool import SumPool2d as SumPool2d
from snnx.layers._recurrent import Recurrent as Recurrent
from snnx.layers._recurrent import RecurrentState as RecurrentState
from snnx.layers._sequential import Sequential as Sequential
from snnx.layers._summary import Summary as Summary
from snnx.layers._summary import summary as summary

__all__ = [
    "AbstractContainer",
    "Add",
    "Concat",
    "Flatten",
    "GaussianNoise",
    "GaussianNoiseState",
    "Parallel",
    "Recurrent",
    "RecurrentState",
    "Residual",
    "Sequential",
    "SumPool2d",
    "Summary",
    "ThresholdNorm",
    "fluctuation_driven",
    "he",
    "scaled_normal",
    "summary",
    "xavier",
]
