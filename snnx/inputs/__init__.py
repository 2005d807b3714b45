"""Compact layouts of input sequences."""

from snnx.inputs._inputs import AbstractInputs as AbstractInputs
from snnx.inputs._inputs import Bits as Bits
from snnx.inputs._inputs import Constant as Constant
from snnx.inputs._inputs import Dense as Dense
from snnx.inputs._inputs import pack_bits as pack_bits
from snnx.inputs._inputs import unpack_bits as unpack_bits

__all__ = ["AbstractInputs", "Bits", "Constant", "Dense", "pack_bits", "unpack_bits"]
