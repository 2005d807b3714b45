"""Simulation over time."""

from snnx.simulation._record import Record as Record
from snnx.simulation._record import reductions_by_path as reductions_by_path
from snnx.simulation._schedule import chunk_size as chunk_size
from snnx.simulation._schedule import default_chunk as default_chunk
from snnx.simulation._schedule import default_keep as default_keep
from snnx.simulation._simulate import simulate as simulate

__all__ = ["default_chunk", "default_keep", "simulate"]
