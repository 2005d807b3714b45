"""Simulation over time."""

from snnx.simulation._schedule import chunk_size as chunk_size
from snnx.simulation._schedule import default_chunk as default_chunk
from snnx.simulation._schedule import default_keep as default_keep
from snnx.simulation._simulate import simulate as simulate

__all__ = ["default_chunk", "default_keep", "simulate"]
