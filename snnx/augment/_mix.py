"""Mixtures of an example with a partner."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import AboveZero
from snnx.augment._augmentation import AbstractMixing
from snnx.augment._channels import move_channels, shifted
from snnx.augment._layout import (
    Layout,
    channels_of,
    from_rows,
    grid,
    keep_each,
    keep_where,
    known_layout,
    merged,
    places,
    rows,
    unmoved,
)
from snnx.augment._time import move_steps
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, Constant, EventList, Floats


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

    @checked
    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        _check_partner("Blend", inputs, partner)
        own_key, partner_key = jax.random.split(key)
        one, other = (known_layout(example) for example in (inputs, partner))
        half = _halfway(one, other)
        one = keep_each(_moved(one, half), 0.5, own_key)
        other = keep_each(_moved(other, tuple(-move for move in half)), 0.5, partner_key)
        return merged(one, other, binary=isinstance(inputs, Bits)), jnp.ones(())


@checked
class CutMix(AbstractMixing):
    r"""A random window of time is the partner's.

    $$ x'_t = y_t \text{ for } s \le t < s + n, \text{ else } x_t, \quad n = \text{round}((1 - \lambda) T), \quad
    \lambda \sim \text{Beta}(\alpha, \alpha), \quad s \sim U\{0, \dots, T - n\} $$

    The share of the example's target is that of its steps, $1 - n / T$, whether there are events in them or not. Every layout
    stays, bits packed, but a constant becomes dense; a list of events is twice as long.

    **Arguments:**
    - `alpha`: $\alpha$ > 0; at 1 every share is as likely.

    **Returns** (`__call__`): the mixture, and the share.

    **Raises:** `ShapeError`, when called, for a partner of another layout or shape.

    Source: Yun, Han, Oh, Chun, Choe & Yoo, CutMix: Regularization Strategy to Train Strong Classifiers With Localizable
    Features, ICCV (2019), for images; here the window is one of time.
    """

    alpha: AboveZero = eqx.field(static=True, default=1.0)
    same_class: bool = eqx.field(static=True, default=False, init=False)

    @checked
    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        _check_partner("CutMix", inputs, partner)
        return self._apply(inputs, partner, *self._draw(inputs.num_steps, key))

    def _draw(self, steps: int, key: Key[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Where the window starts, and how long it is."""
        share_key, start_key = jax.random.split(key)
        length = jnp.round((1 - jax.random.beta(share_key, self.alpha, self.alpha)) * steps).astype(jnp.int32)
        return jax.random.randint(start_key, (), 0, steps - length + 1), length

    def _apply(
        self, inputs: AbstractInputs, partner: AbstractInputs, start: Int[Array, ""], length: Int[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        one, other = (known_layout(example) for example in (inputs, partner))

        def inside(steps: Array) -> Array:
            return (steps >= start) & (steps < start + length)

        share = (inputs.num_steps - length) / inputs.num_steps  # in this order never below 0
        if isinstance(one, EventList) or isinstance(other, EventList):
            kept, cut = keep_where(one, lambda t, _: ~inside(t)), keep_where(other, lambda t, _: inside(t))
            return merged(kept, cut, binary=False), share
        (values, _), (others, _) = rows(one), rows(other)
        window = inside(jnp.arange(inputs.num_steps)).reshape(-1, *(1 for _ in values.shape[1:]))
        return from_rows(jnp.where(window, others, values), one), share


@checked
class MixUp(AbstractMixing):
    r"""Some of the events of the example, and some of the partner's.

    $$ x'_{t,c} = \text{Binomial}(x_{t,c}, \lambda) + \text{Binomial}(y_{t,c}, 1 - \lambda), \quad
    \lambda \sim \text{Beta}(\alpha, \alpha); \qquad \text{of currents } x' = \lambda x + (1 - \lambda) y $$

    Each event stays or goes by itself, which is right in the mean, and keeps events whole. The share of the example's target is
    $\lambda$. Events and lists of active channels stay what they are, twice as long, and events are sorted anew. Bits become
    counts, counts become floats; dense and constant stay.

    **Arguments:**
    - `alpha`: $\alpha$ > 0; the smaller, the nearer to one of both.

    **Returns** (`__call__`): the mixture, and the share.

    **Raises:** `ShapeError`, when called, for a partner of another layout or shape.

    Source: Zhang, Cisse, Dauphin & Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR (2018), for currents.
    """

    alpha: AboveZero = eqx.field(static=True)
    same_class: bool = eqx.field(static=True, default=False, init=False)

    @checked
    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        _check_partner("MixUp", inputs, partner)
        share_key, own_key, partner_key = jax.random.split(key, 3)
        share = jax.random.beta(share_key, self.alpha, self.alpha)
        return self._apply(inputs, partner, share, (own_key, partner_key)), share

    def _apply(
        self,
        inputs: AbstractInputs,
        partner: AbstractInputs,
        share: Float[Array, ""],
        keys: tuple[Key[Array, ""], Key[Array, ""]],
    ) -> AbstractInputs:
        if isinstance(inputs, Constant) and isinstance(partner, Constant):
            return Constant(_mean(inputs.values, partner.values, share), inputs.num_steps)
        if isinstance(inputs, Floats) and isinstance(partner, Floats):
            return Floats(_mean(inputs.values, partner.values, share), inputs.sample_shape)
        one, other = (known_layout(example) for example in (inputs, partner))
        kept, taken = keep_each(one, share, keys[0]), keep_each(other, 1 - share, keys[1])
        return merged(kept, taken, binary=isinstance(inputs, Bits))


def _mean(values: Float[Array, "*shape"], others: Float[Array, "*shape"], share: Float[Array, ""]) -> Array:
    return (share * values + (1 - share) * others).astype(values.dtype)


def _check_partner(where: str, inputs: AbstractInputs, partner: AbstractInputs) -> None:
    """Refuse a partner of another layout or shape."""
    same = jax.tree.structure(inputs) == jax.tree.structure(partner)
    arrays = [[(x.shape, x.dtype) for x in jax.tree.leaves(example)] for example in (inputs, partner) if same]
    if not same or arrays[0] != arrays[1]:
        raise ShapeError(
            f"{where}: partner is {_describe(partner)}, but inputs is {_describe(inputs)}; mix examples of one data set,"
            " changed by the same augmentations."
        )


def _describe(inputs: AbstractInputs) -> str:
    """Layout, steps, shape of a step, and arrays, in the words of an error message."""
    arrays = ", ".join(describe(x) for x in jax.tree.leaves(inputs))
    return f"{type(inputs).__name__} of {inputs.num_steps} steps of {tuple(inputs.sample_shape)}, {arrays}"


# ------------------------------------------------------------------ half the way from one example to the other
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
    if isinstance(inputs, ActiveChannels | EventList):
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
    return known_layout(move_channels(later, target))
