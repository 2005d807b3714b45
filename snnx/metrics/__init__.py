"""Metrics: pure functions of arrays with a batch axis, in which padded examples can weigh nothing."""

from snnx.metrics._classification import accuracy as accuracy
from snnx.metrics._classification import confusion_matrix as confusion_matrix
from snnx.metrics._classification import top_k as top_k
from snnx.metrics._spikes import interval_variation as interval_variation
from snnx.metrics._spikes import sparsity as sparsity
from snnx.metrics._spikes import spike_rate as spike_rate

__all__ = ["accuracy", "confusion_matrix", "interval_variation", "sparsity", "spike_rate", "top_k"]
