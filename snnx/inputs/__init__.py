"""Compact layouts of input sequences, made dense one stretch of time at a time."""

from snnx._text import amount as amount
from snnx.inputs._active_channels import ActiveChannels as ActiveChannels
from snnx.inputs._active_channels import pack_active as pack_active
from snnx.inputs._binned import Binned as Binned
from snnx.inputs._binned import binned as binned
from snnx.inputs._binned import key_dtype as key_dtype
from snnx.inputs._event_list import EventList as EventList
from snnx.inputs._event_list import EventTable as EventTable
from snnx.inputs._event_list import count_examples as count_examples
from snnx.inputs._inputs import AbstractInputs as AbstractInputs
from snnx.inputs._inputs import Bits as Bits
from snnx.inputs._inputs import Constant as Constant
from snnx.inputs._inputs import Counts as Counts
from snnx.inputs._inputs import Floats as Floats
from snnx.inputs._inputs import SampleShape as SampleShape
from snnx.inputs._inputs import pack_bits as pack_bits
from snnx.inputs._inputs import unpack_bits as unpack_bits
from snnx.inputs._layout import LAYOUTS as LAYOUTS
from snnx.inputs._layout import Layout as Layout
from snnx.inputs._layout import SpikeLayout as SpikeLayout
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
