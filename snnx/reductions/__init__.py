"""Reductions of a trace over time."""

from snnx.reductions._first_spike import FirstSpike as FirstSpike
from snnx.reductions._reduction import AbstractReduction as AbstractReduction
from snnx.reductions._reduction import Last as Last
from snnx.reductions._reduction import Max as Max
from snnx.reductions._reduction import Mean as Mean
from snnx.reductions._reduction import Stack as Stack
from snnx.reductions._reduction import Sum as Sum
from snnx.reductions._weighted import Weighted as Weighted

__all__ = ["AbstractReduction", "FirstSpike", "Last", "Max", "Mean", "Stack", "Sum", "Weighted"]
