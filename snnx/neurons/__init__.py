"""Neurons: the parameters are the differential equation's."""

from snnx.neurons._adlif import AdLIF as AdLIF
from snnx.neurons._adlif import AdLIFState as AdLIFState
from snnx.neurons._alif import ALIF as ALIF
from snnx.neurons._alif import ALIFState as ALIFState
from snnx.neurons._cuba import CubaLI as CubaLI
from snnx.neurons._cuba import CubaLIF as CubaLIF
from snnx.neurons._cuba import CubaLIFState as CubaLIFState
from snnx.neurons._cuba import CubaLIState as CubaLIState
from snnx.neurons._discretise import METHODS as METHODS
from snnx.neurons._discretise import Method as Method
from snnx.neurons._discretise import gain as gain
from snnx.neurons._discretise import relaxation as relaxation
from snnx.neurons._equation import Equation as Equation
from snnx.neurons._eventprop import EventProp as EventProp
from snnx.neurons._fire import Clock as Clock
from snnx.neurons._fire import Spiking as Spiking
from snnx.neurons._fire import fire as fire
from snnx.neurons._fire import init_clock as init_clock
from snnx.neurons._li import LI as LI
from snnx.neurons._li import Integrator as Integrator
from snnx.neurons._li import LIState as LIState
from snnx.neurons._lif import IF as IF
from snnx.neurons._lif import LIF as LIF
from snnx.neurons._lif import LIFState as LIFState
from snnx.neurons._neuron import AbstractNeuron as AbstractNeuron
from snnx.neurons._reset import AbstractReset as AbstractReset
from snnx.neurons._reset import NoReset as NoReset
from snnx.neurons._reset import SubtractReset as SubtractReset
from snnx.neurons._reset import ValueReset as ValueReset

__all__ = [
    "ALIF",
    "IF",
    "LI",
    "LIF",
    "AbstractNeuron",
    "AbstractReset",
    "AdLIF",
    "CubaLI",
    "CubaLIF",
    "Equation",
    "EventProp",
    "Integrator",
    "NoReset",
    "Spiking",
    "SubtractReset",
    "ValueReset",
    "fire",
    "init_clock",
]
