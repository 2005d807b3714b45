"""Encoders: from numbers to spikes."""

from snnx.encoding._encoding import latency as latency
from snnx.encoding._encoding import rate as rate

__all__ = ["latency", "rate"]
