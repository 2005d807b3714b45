"""The second half of every spiking neuron's step: threshold, spike, reset, refractoriness."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx.cells import Shape, saveable
from snnx.neurons._reset import AbstractReset
from snnx.parameters import Parameter, check_parameter_shape
from snnx.surrogates import AbstractSurrogate


@runtime_checkable
class Spiking(Protocol):
    """A neuron with a threshold: what `fire` reads of it."""

    @property
    def threshold(self) -> Parameter:
        """Where it fires."""
        ...

    @property
    def reset(self) -> AbstractReset:
        """What a spike does to the membrane."""
        ...

    @property
    def surrogate(self) -> AbstractSurrogate:
        """The spike and its pseudo derivative."""
        ...

    @property
    def refractory(self) -> int:
        """Steps of silence after the step of a spike."""
        ...

    def read(self, parameter: "Parameter | Array") -> "float | Array":
        """A parameter in the neuron's dtype."""
        ...


class Moved(eqx.Module):
    """What the exact gradient carries from step to step: values of 0, with tangents that are not.

    `shift`: by how many steps the spike of the step before is moved; `last`: the same of the last spike, where there is a
    refractory time.
    """

    shift: Float[Array, "*shape"]
    last: Float[Array, "*shape"] | None


class Clock(eqx.Module):
    """What some neurons keep besides: steps taken (for fresh noise), steps of refractoriness left, spikes that are moved."""

    step: Int[Array, ""] | None
    refractory: Int[Array, "*shape"] | None
    moved: Moved | None = None


def init_clock(neuron: Spiking, shape: Shape, moved: Moved | None = None) -> Clock:
    """What is kept before the first step, only what the neuron needs, after checking the reset's shapes."""
    for name, parameter in neuron.reset.parameters().items():
        check_parameter_shape(f"{type(neuron).__name__}: {type(neuron.reset).__name__}", name, parameter, shape)
    return Clock(
        step=jnp.zeros((), jnp.int32) if neuron.surrogate.needs_key else None,
        refractory=jnp.zeros(shape, jnp.int32) if neuron.refractory else None,
        moved=moved,
    )


def fire(
    neuron: Spiking,
    v: Array,
    held: Array,
    clock: Clock,
    key: Key[Array, ""] | None,
    threshold: "float | Array | None" = None,
) -> tuple[Array, Array, Clock]:
    r"""Threshold, spike, reset, refractoriness.

    $$ s = H(v - \vartheta), \quad v \leftarrow \text{reset}(v, s, \vartheta) $$

    For `refractory` steps after the step of a spike the neuron is silent and its membrane stays at `held`, the value
    before the step.

    **Arguments:** `v`: the membrane after leak and input; `held`: before them; `threshold`: where it moves (the reset
    subtracts the neuron's own).
    **Returns:** spikes, the membrane after the reset, the counters.
    """
    own = neuron.read(neuron.threshold)
    resting = None if clock.refractory is None else clock.refractory > 0
    if resting is not None:
        v = jnp.where(resting, held, v)
    v = saveable(v)
    distance = v - (own if threshold is None else threshold)
    if clock.step is None:
        spikes = neuron.surrogate(distance)
    elif key is None:
        raise ValueError(
            f"{type(neuron).__name__}: its surrogate {type(neuron.surrogate).__name__} is random and needs a key; pass"
            " key=jax.random.key(...)."
        )
    else:
        spikes = neuron.surrogate(distance, key=jax.random.fold_in(key, clock.step))
    if resting is not None:
        spikes = jnp.where(resting, jnp.zeros_like(spikes), spikes)
    return spikes, neuron.reset(v, spikes, own), tick(neuron, clock, spikes)


def tick(neuron: Spiking, clock: Clock, spikes: Array, moved: Moved | None = None) -> Clock:
    """The clock after a step."""
    step, refractory = clock.step, clock.refractory
    if refractory is not None:
        refractory = jnp.where(spikes > 0, neuron.refractory, jnp.maximum(refractory - 1, 0))
    return Clock(None if step is None else step + 1, refractory, moved)
