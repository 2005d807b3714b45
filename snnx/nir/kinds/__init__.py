"""The kinds of nodes that NIR has, but for nested graphs: a file for each family, and a line for each file.

A file has a kind's fields, shapes, checks and what it is built as (`Kind`), and next to these how parts of models become nodes
of that kind (`register_export`).
"""

from snnx.nir.kinds import _border as _border
from snnx.nir.kinds import _convolution as _convolution
from snnx.nir.kinds import _elementwise as _elementwise
from snnx.nir.kinds import _linear as _linear
from snnx.nir.kinds import _neurons as _neurons
from snnx.nir.kinds import _pool as _pool
from snnx.nir.kinds import _synaptic as _synaptic

__all__ = []
