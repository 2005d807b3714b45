"""The contract that every cell keeps."""

from snnx.cells._cell import AbstractCell as AbstractCell
from snnx.cells._cell import Shape as Shape
from snnx.cells._cell import State as State
from snnx.cells._cell import Taps as Taps
from snnx.cells._cell import cell_dtype as cell_dtype
from snnx.cells._cell import check_state as check_state
from snnx.cells._cell import find as find
from snnx.cells._cell import keep_where as keep_where
from snnx.cells._cell import read_taps as read_taps
from snnx.cells._cell import scan_over_time as scan_over_time
from snnx.cells._cell import spiking_paths as spiking_paths
from snnx.cells._cell import taps_of_child as taps_of_child
from snnx.cells._cell import walk as walk
from snnx.cells._cell import with_prefix as with_prefix
from snnx.cells._cell import zero_where_masked as zero_where_masked
from snnx.cells._keep import Keep as Keep
from snnx.cells._keep import nothing_saveable as nothing_saveable
from snnx.cells._keep import save_saveables as save_saveables
from snnx.cells._keep import saveable as saveable
from snnx.cells._transform import cast as cast
from snnx.cells._transform import exchange as exchange
from snnx.cells._transform import refused_parameters as refused_parameters
from snnx.cells._transform import replace as replace
from snnx.cells._transform import with_dt as with_dt

__all__ = ["AbstractCell", "Shape", "State", "cast", "find", "spiking_paths", "walk", "with_dt"]
