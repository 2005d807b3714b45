"""NIR, the Neuromorphic Intermediate Representation: graphs in, models out."""

from snnx.nir._constrain import constrain as constrain
from snnx.nir._data import from_nir_data as from_nir_data
from snnx.nir._data import to_nir_data as to_nir_data
from snnx.nir._detach import detach as detach
from snnx.nir._file import read as read
from snnx.nir._file import write as write
from snnx.nir._fold import fold_batch_norm as fold_batch_norm
from snnx.nir._from_nir import from_nir as from_nir
from snnx.nir._summary import Summary as Summary
from snnx.nir._summary import summary as summary
from snnx.nir._to_nir import to_nir as to_nir
from snnx.nir._validate import Finding as Finding
from snnx.nir._validate import validate as validate

__all__ = [
    "Finding",
    "Summary",
    "constrain",
    "detach",
    "fold_batch_norm",
    "from_nir",
    "from_nir_data",
    "read",
    "summary",
    "to_nir",
    "to_nir_data",
    "validate",
    "write",
]
