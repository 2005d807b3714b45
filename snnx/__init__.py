"""snnx: spiking neural networks in JAX, as pure step functions with an explicit state."""

from snnx.cells import AbstractCell as AbstractCell
from snnx.cells import cast as cast
from snnx.inputs import Bits as Bits
from snnx.layers import Recurrent as Recurrent
from snnx.layers import Residual as Residual
from snnx.layers import Sequential as Sequential
from snnx.neurons import IF as IF
from snnx.neurons import LI as LI
from snnx.neurons import LIF as LIF
from snnx.parameters import Positive as Positive
from snnx.reductions import Mean as Mean
from snnx.reductions import Stack as Stack
from snnx.reductions import Sum as Sum
from snnx.simulation import default_chunk as default_chunk
from snnx.simulation import simulate as simulate
from snnx.surrogates import ATan as ATan
