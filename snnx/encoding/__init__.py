"""Encoders: from numbers to spikes, and back where there is a way back."""

from snnx.encoding._delta import delta as delta
from snnx.encoding._delta import send_on_delta as send_on_delta
from snnx.encoding._delta import send_on_delta_inverse as send_on_delta_inverse
from snnx.encoding._latency import latency as latency
from snnx.encoding._latency import latency_inverse as latency_inverse
from snnx.encoding._latency import log_latency as log_latency
from snnx.encoding._latency import log_latency_inverse as log_latency_inverse
from snnx.encoding._latency import time_to_first_spike as time_to_first_spike
from snnx.encoding._latency import time_to_first_spike_inverse as time_to_first_spike_inverse
from snnx.encoding._phase import phase as phase
from snnx.encoding._phase import phase_inverse as phase_inverse
from snnx.encoding._population import population as population
from snnx.encoding._population import population_fields as population_fields
from snnx.encoding._population import population_inverse as population_inverse
from snnx.encoding._raster import events_to_raster as events_to_raster
from snnx.encoding._raster import raster_to_events as raster_to_events
from snnx.encoding._rate import direct as direct
from snnx.encoding._rate import poisson as poisson
from snnx.encoding._rate import rate as rate

__all__ = [
    "delta",
    "direct",
    "events_to_raster",
    "latency",
    "latency_inverse",
    "log_latency",
    "log_latency_inverse",
    "phase",
    "phase_inverse",
    "poisson",
    "population",
    "population_fields",
    "population_inverse",
    "raster_to_events",
    "rate",
    "send_on_delta",
    "send_on_delta_inverse",
    "time_to_first_spike",
    "time_to_first_spike_inverse",
]
