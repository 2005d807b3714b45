"""Spike functions: a step forward, a pseudo-derivative backward. docs/surrogates.md compares names and scalings.

- `_surrogate`: the contract, `AbstractSurrogate`; `Custom`, from any function.
- `_atan`: tails of $1/x^2$: `ATan` (the neurons' default), `Arctan`, `SuperSpike` (also named `FastSigmoid`), `SoftSign`,
  `SparseFastSigmoid`.
- `_sigmoid`: exponential tails: `Sigmoid`, `Tanh`, `SlayerExponential`, `StochasticEscape` (spikes drawn at random).
- `_gaussian`: `Gaussian`, `MultiGaussian`.
- `_piecewise`: `Boxcar`, `Triangular`, `PiecewiseQuadratic`, `StraightThrough`, `LeakyGradient`.
"""

from snnx.surrogates._atan import Arctan as Arctan
from snnx.surrogates._atan import ATan as ATan
from snnx.surrogates._atan import FastSigmoid as FastSigmoid
from snnx.surrogates._atan import SoftSign as SoftSign
from snnx.surrogates._atan import SparseFastSigmoid as SparseFastSigmoid
from snnx.surrogates._atan import SuperSpike as SuperSpike
from snnx.surrogates._gaussian import Gaussian as Gaussian
from snnx.surrogates._gaussian import MultiGaussian as MultiGaussian
from snnx.surrogates._piecewise import Boxcar as Boxcar
from snnx.surrogates._piecewise import LeakyGradient as LeakyGradient
from snnx.surrogates._piecewise import PiecewiseQuadratic as PiecewiseQuadratic
from snnx.surrogates._piecewise import StraightThrough as StraightThrough
from snnx.surrogates._piecewise import Triangular as Triangular
from snnx.surrogates._sigmoid import Sigmoid as Sigmoid
from snnx.surrogates._sigmoid import SlayerExponential as SlayerExponential
from snnx.surrogates._sigmoid import StochasticEscape as StochasticEscape
from snnx.surrogates._sigmoid import Tanh as Tanh
from snnx.surrogates._surrogate import AbstractSurrogate as AbstractSurrogate
from snnx.surrogates._surrogate import Custom as Custom

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
