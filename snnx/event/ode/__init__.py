"""Neurons that are given by an equation, a threshold and a reset, for event-driven simulation (extra `ode`)."""

from snnx.event.ode._models import EIF as EIF
from snnx.event.ode._models import QIF as QIF
from snnx.event.ode._models import AdEx as AdEx
from snnx.event.ode._models import AdExState as AdExState
from snnx.event.ode._models import Izhikevich as Izhikevich
from snnx.event.ode._models import IzhikevichState as IzhikevichState
from snnx.event.ode._neuron import AbstractODENeuron as AbstractODENeuron
from snnx.event.ode._neuron import MembraneState as MembraneState
from snnx.event.ode._neuron import Solver as Solver

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
