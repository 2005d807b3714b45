"""Spike functions: a step forward, a pseudo-derivative backward. docs/surrogates.md compares names and scalings."""

from snnx.surrogates._atan import Arctan as Arctan
from snnx.surrogates._atan import ATan as ATan
from snnx.surrogates._base import AbstractSurrogate as AbstractSurrogate
from snnx.surrogates._boxcar import Boxcar as Boxcar
from snnx.surrogates._custom import Custom as Custom
from snnx.surrogates._exponential import SlayerExponential as SlayerExponential
from snnx.surrogates._gaussian import Gaussian as Gaussian
from snnx.surrogates._gaussian import MultiGaussian as MultiGaussian
from snnx.surrogates._sigmoid import Sigmoid as Sigmoid
from snnx.surrogates._sigmoid import Tanh as Tanh
from snnx.surrogates._stochastic import StochasticEscape as StochasticEscape
from snnx.surrogates._straight_through import LeakyGradient as LeakyGradient
from snnx.surrogates._straight_through import StraightThrough as StraightThrough
from snnx.surrogates._superspike import FastSigmoid as FastSigmoid
from snnx.surrogates._superspike import SoftSign as SoftSign
from snnx.surrogates._superspike import SparseFastSigmoid as SparseFastSigmoid
from snnx.surrogates._superspike import SuperSpike as SuperSpike
from snnx.surrogates._triangular import PiecewiseQuadratic as PiecewiseQuadratic
from snnx.surrogates._triangular import Triangular as Triangular

__all__ = [
    "ATan",
    "AbstractSurrogate",
    "Arctan",
    "Boxcar",
    "Custom",
    "FastSigmoid",
    "Gaussian",
    "LeakyGradient",
    "MultiGaussian",
    "PiecewiseQuadratic",
    "Sigmoid",
    "SlayerExponential",
    "SoftSign",
    "SparseFastSigmoid",
    "StochasticEscape",
    "StraightThrough",
    "SuperSpike",
    "Tanh",
    "Triangular",
]
