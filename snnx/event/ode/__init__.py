"""Neurons that are given by an equation, a threshold and a reset, for event-driven simulation (extra `ode`)."""

from snnx.event.ode._adex import AdEx as AdEx
from snnx.event.ode._adex import AdExState as AdExState
from snnx.event.ode._eif import EIF as EIF
from snnx.event.ode._izhikevich import Izhikevich as Izhikevich
from snnx.event.ode._izhikevich import IzhikevichState as IzhikevichState
from snnx.event.ode._neuron import AbstractODENeuron as AbstractODENeuron
from snnx.event.ode._neuron import MembraneState as MembraneState
from snnx.event.ode._neuron import Solver as Solver
from snnx.event.ode._qif import QIF as QIF

__all__ = [
    "EIF",
    "QIF",
    "AbstractODENeuron",
    "AdEx",
    "AdExState",
    "Izhikevich",
    "IzhikevichState",
    "MembraneState",
    "Solver",
]
