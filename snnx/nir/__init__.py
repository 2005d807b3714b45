"""NIR, the Neuromorphic Intermediate Representation: graphs in, models out.

A graph goes in file by file: `_file` (or `_tree`, from objects of the package `nir`) gives records (`_node`), `_dialects` may
rewrite them, `_flat` says what they mean, `_validate` what is wrong or odd with that, and `_kind` builds each node. The way out
is `_drawing`, where parts become nodes (`_export`), and `_origin`, which puts back what was not changed. All that is known of a
kind of node is in `kinds/`.
"""

from snnx.nir import kinds as kinds
from snnx.nir._data import from_nir_data as from_nir_data
from snnx.nir._data import to_nir_data as to_nir_data
from snnx.nir._export import Export as Export
from snnx.nir._export import register_export as register_export
from snnx.nir._fields import Numbers as Numbers
from snnx.nir._fields import Setting as Setting
from snnx.nir._file import read as read
from snnx.nir._file import write as write
from snnx.nir._from_nir import from_nir as from_nir
from snnx.nir._info import GraphInfo as GraphInfo
from snnx.nir._info import info as info
from snnx.nir._kind import Import as Import
from snnx.nir._kind import Kind as Kind
from snnx.nir._kind import PerElement as PerElement
from snnx.nir._kind import register_kind as register_kind
from snnx.nir._models import constrain as constrain
from snnx.nir._models import detach as detach
from snnx.nir._models import fold_batch_norm as fold_batch_norm
from snnx.nir._node import Node as Node
from snnx.nir._to_nir import to_nir as to_nir
from snnx.nir._validate import Finding as Finding
from snnx.nir._validate import validate as validate

__all__ = [
    "Export",
    "Finding",
    "GraphInfo",
    "Import",
    "Kind",
    "Node",
    "Numbers",
    "PerElement",
    "Setting",
    "constrain",
    "detach",
    "fold_batch_norm",
    "from_nir",
    "from_nir_data",
    "info",
    "read",
    "register_export",
    "register_kind",
    "to_nir",
    "to_nir_data",
    "validate",
    "write",
]
