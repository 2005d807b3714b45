"""What flows between the parts of a network: events, each with what it is worth there, and constant currents."""

import math
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError
from snnx.event._events import Events, delayed, ordered
from snnx.layers import apply_step, may_have_offset
from snnx.parameters import value


class PendingSpikes(eqx.Module):
    """The spikes of a population that are still to be found, later by `delay`: `[size]`, or None for no delay."""

    delay: Array | None
    name: str = eqx.field(static=True)
    size: int = eqx.field(static=True)


class Source(eqx.Module):
    """Events, and what each of their channels adds: `weights: [size, *shape]`, or None for itself."""

    events: Events | PendingSpikes
    weights: Array | None

    def matrix(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """The weights as `[size, elements]`."""
        return self.by_shape(shape, dtype).reshape(self.events.size, -1)

    def by_shape(self, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """The weights as `[size, *shape]`."""
        if self.weights is not None:
            return self.weights
        return jnp.eye(self.events.size, dtype=dtype).reshape(self.events.size, *shape)


class Signal(eqx.Module):
    """The sum of `sources`, and of a `constant` per step of the clock; both of one `shape`."""

    sources: tuple[Source, ...]
    constant: Array | None
    shape: tuple[int, ...] = eqx.field(static=True)

    def plus(self, other: "Signal") -> "Signal":
        """Both at once."""
        if self.shape != other.shape:
            raise ShapeError(f"event.simulate: shapes {self.shape} and {other.shape} meet; expected the same.")
        given = [c for c in (self.constant, other.constant) if c is not None]
        return Signal((*self.sources, *other.sources), sum(given[1:], given[0]) if given else None, self.shape)

    def through(self, layer: PyTree, dtype: jnp.dtype) -> "Signal":
        """Behind a linear layer: what a step without and with each channel's event differ by."""

        def apply(x: Array) -> Array:
            return apply_step(layer, x, key=None)

        zero = jnp.zeros(self.shape, dtype)
        base = apply(zero)
        plain = type(layer) is eqx.nn.Linear and layer.in_features != "scalar" and layer.out_features != "scalar"
        sources = []
        for source in self.sources:
            if plain and len(self.shape) == 1:
                into = jnp.asarray(value(layer.weight)).T
                weights = into if source.weights is None else source.weights @ into
            else:
                weights = jax.vmap(lambda w: apply(w) - base)(source.by_shape(self.shape, dtype))
            sources.append(Source(source.events, weights))
        constant = base if self.constant is None else apply(self.constant)
        kept = self.constant is not None or may_have_offset(layer)
        return Signal(tuple(sources), constant if kept else None, tuple(base.shape))

    def delayed(self, path: str, delay: Array) -> "Signal":
        """All events later: by one delay, or each channel by its own, where the events are still those of single channels."""
        if self.constant is not None:
            raise ValueError(
                f"event.simulate: part {path} delays a constant current (a bias before it), which has no events; put the delay"
                " before the layer with the bias, or take a layer without one."
            )
        sources = []
        for source in self.sources:
            if delay.ndim and source.weights is not None:
                raise ValueError(
                    f"event.simulate: part {path} delays each of {delay.shape} elements by its own time, but what it is given are"
                    " weighted sums of events; put it before the weights, or take one delay for all."
                )
            events, by = source.events, delay.reshape(-1) if delay.ndim else delay
            if isinstance(events, PendingSpikes):
                before = jnp.zeros(events.size, by.dtype) if events.delay is None else events.delay
                events = PendingSpikes(before + by, events.name, events.size)
            else:
                events = delayed(events, by)
            sources.append(Source(events, source.weights))
        return Signal(tuple(sources), self.constant, self.shape)

    def known(self, spikes: Mapping[str, Events]) -> "Signal":
        """With the spikes of populations that were still to be found."""
        sources = []
        for source in self.sources:
            events = source.events
            if isinstance(events, PendingSpikes):
                found = spikes[events.name]
                events = found if events.delay is None else delayed(found, events.delay)
            sources.append(Source(events, source.weights))
        return Signal(tuple(sources), self.constant, self.shape)

    def merged(self, dtype: jnp.dtype) -> tuple[Array, Array, Array]:
        """All events as one list: times, indices, and `[channels, elements]` weights."""
        rows = [source.matrix(self.shape, dtype) for source in self.sources]
        lists = [source.events for source in self.sources if isinstance(source.events, Events)]
        return *merged_lists(lists, dtype), jnp.concatenate(rows or [jnp.zeros((1, math.prod(self.shape)), dtype)])


def merged_lists(lists: Sequence[Events], dtype: jnp.dtype) -> tuple[Array, Array]:
    """Times and indices of several lists as one; each list's channels are counted on from those before it."""
    if len(lists) == 1:
        return lists[0].times, lists[0].indices
    first, times, indices = 0, [jnp.zeros(0, dtype)], [jnp.zeros(0, jnp.int32)]
    for events in lists:
        times.append(events.times)
        indices.append(events.indices + first)
        first += events.size
    joined = jnp.concatenate(times)
    found = ordered(joined, jnp.concatenate(indices), first, joined.shape[0])
    return found.times, found.indices
