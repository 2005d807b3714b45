"""Spiking in continuous time: networks solved from spike to spike, and exact gradients of the times of spikes."""

from snnx.event._delay import ContinuousDelay as ContinuousDelay
from snnx.event._events import Events as Events
from snnx.event._events import delayed as delayed
from snnx.event._events import from_raster as from_raster
from snnx.event._events import make_events as make_events
from snnx.event._events import merge as merge
from snnx.event._events import to_raster as to_raster
from snnx.event._membrane import Membrane as Membrane
from snnx.event._simulate import Solution as Solution
from snnx.event._simulate import simulate as simulate

__all__ = [
    "ContinuousDelay",
    "Events",
    "Membrane",
    "Solution",
    "delayed",
    "from_raster",
    "make_events",
    "merge",
    "simulate",
    "to_raster",
]
