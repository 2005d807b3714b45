"""Compact layouts of input sequences."""

from snnx.inputs._active_channels import ActiveChannels as ActiveChannels
from snnx.inputs._active_channels import pack_active as pack_active
from snnx.inputs._inputs import AbstractInputs as AbstractInputs
from snnx.inputs._inputs import Bits as Bits
from snnx.inputs._inputs import Constant as Constant
from snnx.inputs._inputs import Dense as Dense
from snnx.inputs._inputs import pack_bits as pack_bits
from snnx.inputs._inputs import unpack_bits as unpack_bits
from snnx.inputs._layout import LAYOUTS as LAYOUTS
from snnx.inputs._layout import compact as compact

__all__ = ["AbstractInputs", "ActiveChannels", "Bits", "Constant", "Dense", "pack_active", "pack_bits", "unpack_bits"]
