import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractMixing
from snnx.augment._channels import move_channels, shifted
from snnx.augment._check import check_partner
from snnx.augment._events import unmoved
from snnx.augment._keep import keep_each
from snnx.augment._layout import Layout, channels_of, grid, places, unfolded
from snnx.augment._merge import merged
from snnx.augment._steps import move_steps
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, EventList


class Blend(AbstractMixing):
    r"""Two examples of one class in one: moved onto each other, then half of the events of each.

    $$ x'_{t,c} = \text{Binomial}(x_{t-d,c-e}, \tfrac12) + \text{Binomial}(y_{t+d,c+e}, \tfrac12), \quad
    d = \text{trunc}\frac{\bar t_y - \bar t_x}{2}, \quad e = \text{trunc}\frac{\bar c_y - \bar c_x}{2} $$

    $\bar t$ and $\bar c$ are the mean step and channel of an example's events. Each moves half the way, and its events that
    leave are gone; an example without any events moves neither. Of an image rows and columns move, the last two axes. Of
    currents every bin stays or goes as a whole, and the means are weighted by their absolute values.

    Events and lists of active channels stay what they are, twice as long, and events are sorted anew. Bits become counts,
    counts become floats, and a constant becomes dense.

    **Returns** (`__call__`): the blend, and 1: the class is the same.

    **Raises:** `ShapeError` for a partner of another layout or shape.

    Source: Nowotny, Turner & Knight, Loss Shaping Enhances Exact Gradient Learning With Eventprop in Spiking Neural Networks,
    Neuromorphic Computing and Engineering (2025). There blends are added to the examples, as many as these, and made once.
    """

    same_class: bool = eqx.field(static=True, default=True, init=False)

    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        read_key("Blend", "key", key)
        check_partner("Blend", inputs, partner)
        own_key, partner_key = jax.random.split(key)
        one, other = (unfolded("Blend", example) for example in (inputs, partner))
        half = _halfway(one, other)
        one = keep_each(_moved(one, half), 0.5, own_key)
        other = keep_each(_moved(other, tuple(-move for move in half)), 0.5, partner_key)
        return merged(one, other, binary=isinstance(inputs, Bits)), jnp.ones(())


def _halfway(one: Layout, other: Layout) -> tuple[Int[Array, ""], ...]:
    """Half of what takes the mean of one to that of the other: in time, and along the last one or two axes."""
    (weight, means), (other_weight, other_means) = _centre(one), _centre(other)
    both = (weight > 0) & (other_weight > 0)
    ways = (jnp.trunc((there - here) / 2) for here, there in zip(means, other_means, strict=True))
    return tuple(jnp.where(both, way, 0.0).astype(jnp.int32) for way in ways)


def _centre(inputs: Layout) -> tuple[Float[Array, ""], tuple[Float[Array, ""], ...]]:
    """The number of events, and the means of their steps and of their places along the last one or two axes."""
    steps, channels = places(inputs)
    kind = jnp.zeros(()).dtype
    if isinstance(inputs, (ActiveChannels, EventList)):
        weights = ((steps < inputs.num_steps) & (channels < channels_of(inputs))).astype(kind)
    else:
        weights = jnp.abs(grid(inputs).astype(kind))
    total = weights.sum()
    where, stride = [], 1
    for size in inputs.sample_shape[:-3:-1]:
        where.append(channels // stride % size)
        stride *= size
    means = (jnp.sum(weights * place.astype(kind)) / jnp.maximum(total, 1.0) for place in (steps, *reversed(where)))
    return total, tuple(means)


def _moved(inputs: Layout, moves: tuple[Int[Array, ""], ...]) -> Layout:
    later = move_steps(inputs, jnp.arange(inputs.num_steps) + moves[0], 1, unmoved)
    target = shifted(inputs.sample_shape, jnp.arange(channels_of(inputs)), moves[1:])
    return unfolded("Blend", move_channels("Blend", later, target))
