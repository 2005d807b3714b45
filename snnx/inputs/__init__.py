"""Compact layouts of input sequences."""

from snnx._memory import available_memory as available_memory
from snnx._memory import host_array as host_array
from snnx._memory import to_device as to_device
from snnx._text import amount as amount
from snnx.inputs._active_channels import ActiveChannels as ActiveChannels
from snnx.inputs._active_channels import pack_active as pack_active
from snnx.inputs._binned import Binned as Binned
from snnx.inputs._binned import binned as binned
from snnx.inputs._binned import key_dtype as key_dtype
from snnx.inputs._counts import Counts as Counts
from snnx.inputs._events import EventList as EventList
from snnx.inputs._events import EventTable as EventTable
from snnx.inputs._inputs import AbstractInputs as AbstractInputs
from snnx.inputs._inputs import Bits as Bits
from snnx.inputs._inputs import Constant as Constant
from snnx.inputs._inputs import Floats as Floats
from snnx.inputs._inputs import pack_bits as pack_bits
from snnx.inputs._inputs import unpack_bits as unpack_bits
from snnx.inputs._layout import LAYOUTS as LAYOUTS
from snnx.inputs._layout import SPIKE_LAYOUTS as SPIKE_LAYOUTS
from snnx.inputs._layout import compact as compact
from snnx.inputs._layout import lay_out as lay_out

__all__ = [
    "AbstractInputs",
    "ActiveChannels",
    "Bits",
    "Constant",
    "Counts",
    "EventList",
    "EventTable",
    "Floats",
    "pack_active",
    "pack_bits",
    "unpack_bits",
]
