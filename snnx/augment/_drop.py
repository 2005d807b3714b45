"""Some of the input is silenced: events, steps, channels, or a block of steps and channels. What stays is not scaled up."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from snnx._checks import checked
from snnx._typing import Count, Fraction
from snnx.augment._augmentation import AbstractAugmentation, AbstractDrawn
from snnx.augment._layout import (
    channels_of,
    check_image,
    check_vector,
    check_window,
    keep_each,
    keep_where,
    known_layout,
)
from snnx.inputs import AbstractInputs, Constant


@checked
class DropEvents(AbstractAugmentation):
    r"""Every event is dropped independently with probability $p$.

    $$ x'_{t,c} \sim \text{Binomial}(x_{t,c}, 1 - p); \qquad \text{of currents } x'_{t,c} = x_{t,c} m_{t,c}, \quad
    m_{t,c} \sim \text{Bernoulli}(1 - p) $$

    Bits become counts, a constant becomes dense; every other layout stays. Counts take as many rounds as the fullest bin has
    events; `data.as_layout("events")` costs what there are events.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    Source: Gu, Sng, Hu & Yu, EventDrop: Data Augmentation for Event-based Learning, IJCAI (2021), "random drop".
    """

    p: Fraction = eqx.field(static=True)

    @checked
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return keep_each(known_layout(inputs), 1.0 - self.p, key)


@checked
class DropSteps(AbstractDrawn):
    r"""Every step is silent, in all channels, independently with probability $p$.

    $$ x'_t = x_t m_t, \quad m_t \sim \text{Bernoulli}(1 - p) $$

    Every layout stays, bits packed, but a constant becomes dense.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    Source: Park et al., SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech (2019),
    for the silencing of steps (there in one block: `DropBlock`).
    """

    p: Fraction = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Bool[Array, "time"]:
        return jax.random.bernoulli(key, 1.0 - self.p, (inputs.num_steps,))

    def _apply(self, inputs: AbstractInputs, kept: Bool[Array, "time"]) -> AbstractInputs:
        def keeps(steps: Array, _: Array) -> Array:
            return kept.at[steps].get(mode="fill", fill_value=False)

        return keep_where(known_layout(inputs), keeps)


@checked
class DropChannels(AbstractDrawn):
    r"""Every channel is silent, in all steps, independently with probability $p$.

    $$ x'_{t,c} = x_{t,c} m_c, \quad m_c \sim \text{Bernoulli}(1 - p) $$

    Every layout stays, bits packed. A channel is one entry of a step: of an image, a pixel of one polarity.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    Source: Park et al., SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech (2019),
    for the silencing of channels (there in one block: `DropBlock`).
    """

    p: Fraction = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Bool[Array, "channels"]:
        return jax.random.bernoulli(key, 1.0 - self.p, (channels_of(inputs),))

    def _apply(self, inputs: AbstractInputs, kept: Bool[Array, "channels"]) -> AbstractInputs:
        if isinstance(inputs, Constant):
            values = jnp.where(kept.reshape(inputs.sample_shape), inputs.values, jnp.zeros_like(inputs.values))
            return Constant(values, inputs.num_steps)

        def keeps(_: Array, channels: Array) -> Array:
            return kept.at[channels].get(mode="fill", fill_value=False)

        return keep_where(known_layout(inputs), keeps)


@checked
class DropBlock(AbstractDrawn):
    r"""A random block of steps and neighbouring channels is silent.

    $$ x'_{t,c} = 0 \text{ for } s \le t < s + \texttt{steps} \text{ and } b \le c < b + \texttt{channels}, \text{ else }
    x_{t,c}, \quad s \sim U\{0, \dots, T - \texttt{steps}\}, \quad b \sim U\{0, \dots, C - \texttt{channels}\} $$

    Of an image the block is one of rows and columns, the last two axes, through all polarities. A block of all steps is a
    mask of channels, one of all channels a mask of time. Bits become counts, a constant becomes dense; every other layout
    stays.

    **Arguments:**
    - `steps`: the length of the block.
    - `channels`: its width, or `(rows, columns)` for images.

    **Raises:** when called, `ValueError` for a block larger than the input; `ShapeError` for a width on images, or rows and
    columns on vectors.

    Source: Gu, Sng, Hu & Yu, EventDrop: Data Augmentation for Event-based Learning, IJCAI (2021), "drop by area" and "drop by
    time"; Park et al., SpecAugment, Interspeech (2019).
    """

    steps: Count = eqx.field(static=True)
    channels: Count | tuple[Count, ...] = eqx.field(static=True)

    def __check_init__(self):
        if isinstance(self.channels, tuple) and len(self.channels) != 2:
            raise ValueError(f"DropBlock: channels is {self.channels}, expected a whole number or (rows, columns).")

    def _sizes(self) -> tuple[int, ...]:
        """Along the last one or two axes of a step."""
        return self.channels if isinstance(self.channels, tuple) else (self.channels,)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> tuple[Int[Array, ""], ...]:
        """Where the block begins: its step, and its channel or its row and column."""
        if isinstance(self.channels, tuple):
            check_image("DropBlock", inputs)
        else:
            check_vector("DropBlock", inputs, "DropBlock(steps, (rows, columns))")
        sizes = (self.steps, *self._sizes())
        rooms = (inputs.num_steps, *inputs.sample_shape[1 - len(sizes) :])
        names = ("steps", "rows", "columns") if isinstance(self.channels, tuple) else ("steps", "channels")
        for name, size, room in zip(names, sizes, rooms, strict=True):
            check_window("DropBlock", name, size, room, name)
        keys = jax.random.split(key, len(sizes))
        return tuple(
            jax.random.randint(k, (), 0, room - size + 1) for k, room, size in zip(keys, rooms, sizes, strict=True)
        )

    def _apply(self, inputs: AbstractInputs, starts: tuple[Int[Array, ""], ...]) -> AbstractInputs:
        def keeps(steps: Array, channels: Array) -> Bool[Array, "..."]:
            inside = (steps >= starts[0]) & (steps < starts[0] + self.steps)
            stride = 1
            edges = zip(inputs.sample_shape[::-1], starts[:0:-1], self._sizes()[::-1], strict=False)
            for room, start, size in edges:  # the last axis first
                place = channels // stride % room
                inside &= (place >= start) & (place < start + size)
                stride *= room
            return ~inside

        return keep_where(known_layout(inputs), keeps)
