"""Containers and layers."""

from snnx.layers._branches import Add as Add
from snnx.layers._branches import Concat as Concat
from snnx.layers._branches import Parallel as Parallel
from snnx.layers._branches import Residual as Residual
from snnx.layers._container import AbstractContainer as AbstractContainer
from snnx.layers._recurrent import Recurrent as Recurrent
from snnx.layers._recurrent import RecurrentState as RecurrentState
from snnx.layers._sequential import Sequential as Sequential
