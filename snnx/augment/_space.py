"""Images that move: mirrored, turned, shifted, their polarities exchanged. The same in all steps.

Rows and columns are the last two axes of a step.
"""

import math
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from snnx._checks import checked
from snnx._errors import ShapeError
from snnx._typing import Fraction, Natural, Real
from snnx.augment._augmentation import AbstractDrawn
from snnx.augment._channels import move_channels, shifted
from snnx.augment._layout import channels_of, check_image
from snnx.inputs import AbstractInputs

MEET = 4  # pixels at most end in one: their distances stay at least 1, and a pixel is a square of side 1


@checked
class Flip(AbstractDrawn):
    r"""With probability $p$ an image is mirrored, left to right.

    $$ x'_{t,\cdot,r,c} = x_{t,\cdot,r,W-1-c} \text{ with probability } p, \text{ else } x_{t,\cdot,r,c} $$

    Bits become counts; every other layout stays.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022).
    """

    p: Fraction = eqx.field(static=True, default=0.5)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.bernoulli(key, self.p)

    def _apply(self, inputs: AbstractInputs, flipped: Bool[Array, ""]) -> AbstractInputs:
        check_image("Flip", inputs)
        channels = jnp.arange(channels_of(inputs))
        width = inputs.sample_shape[-1]
        mirrored = channels + width - 1 - 2 * (channels % width)
        return move_channels(inputs, jnp.where(flipped, mirrored, channels))


@checked
class FlipPolarity(AbstractDrawn):
    r"""With probability $p$ the two polarities of an event camera change places.

    $$ x'_{t,q,r,c} = x_{t,1-q,r,c} \text{ with probability } p, \text{ else } x_{t,q,r,c} $$

    Bits become counts; every other layout stays.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ShapeError`, when called, if a step is not `(2, height, width)`.

    Source: common practice for event cameras.
    """

    p: Fraction = eqx.field(static=True, default=0.5)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Bool[Array, ""]:
        return jax.random.bernoulli(key, self.p)

    def _apply(self, inputs: AbstractInputs, flipped: Bool[Array, ""]) -> AbstractInputs:
        if len(inputs.sample_shape) != 3 or inputs.sample_shape[0] != 2:
            raise ShapeError(
                f"FlipPolarity: one step of inputs has shape {inputs.sample_shape}, expected (2, height, width): two"
                " polarities."
            )
        channels, count = jnp.arange(channels_of(inputs)), channels_of(inputs)
        return move_channels(inputs, jnp.where(flipped, (channels + count // 2) % count, channels))


@checked
class Translate(AbstractDrawn):
    r"""All events of an image move by the same random numbers of rows and columns; those that leave are gone.

    $$ x'_{t,\cdot,r,c} = x_{t,\cdot,r-d,c-e}, \quad d \sim U\{-\texttt{rows}, \dots, \texttt{rows}\}, \quad
    e \sim U\{-\texttt{columns}, \dots, \texttt{columns}\} $$

    with zeros outside. Bits become counts; every other layout stays.

    **Arguments:**
    - `rows`, `columns`: the largest shifts, in pixels.

    **Raises:** `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022),
    where an image is rolled. Here nothing comes in again at the other side.
    """

    rows: Natural = eqx.field(static=True)
    columns: Natural = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        row_key, column_key = jax.random.split(key)
        row = jax.random.randint(row_key, (), -self.rows, self.rows + 1)
        return row, jax.random.randint(column_key, (), -self.columns, self.columns + 1)

    def _apply(self, inputs: AbstractInputs, moves: tuple[Int[Array, ""], Int[Array, ""]]) -> AbstractInputs:
        check_image("Translate", inputs)
        return move_channels(inputs, shifted(inputs.sample_shape, jnp.arange(channels_of(inputs)), moves))


@checked
class Rotate(AbstractDrawn):
    r"""An image turns about its centre by a random angle; every event goes to the nearest pixel, or is gone.

    $$ r' = \text{round}(\bar r + (r - \bar r) \cos \phi - (c - \bar c) \sin \phi), \quad
    c' = \text{round}(\bar c + (r - \bar r) \sin \phi + (c - \bar c) \cos \phi), \quad
    \phi \sim U[-\texttt{degrees}, \texttt{degrees}] $$

    with $\bar r = (H - 1) / 2$, $\bar c = (W - 1) / 2$. Events that meet in a pixel are added up, and a pixel that none
    reaches is empty. Bits become counts, counts become floats; every other layout stays.

    **Arguments:**
    - `degrees`: the largest angle, from 0 to 180.

    **Raises:** `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022),
    where frames are interpolated.
    """

    degrees: Annotated[float, Real(0.0, 180.0)] = eqx.field(static=True)

    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Float[Array, ""]:
        """The angle, in radians."""
        most = math.radians(self.degrees)
        return jax.random.uniform(key, (), minval=-most, maxval=most)

    def _apply(self, inputs: AbstractInputs, angle: Float[Array, ""]) -> AbstractInputs:
        check_image("Rotate", inputs)
        height, width = inputs.sample_shape[-2:]
        count = channels_of(inputs)
        channels = jnp.arange(count)
        lead, row, column = channels // (height * width), channels // width % height, channels % width
        y, x = row - (height - 1) / 2, column - (width - 1) / 2
        row = jnp.round((height - 1) / 2 + y * jnp.cos(angle) - x * jnp.sin(angle)).astype(jnp.int32)
        column = jnp.round((width - 1) / 2 + y * jnp.sin(angle) + x * jnp.cos(angle)).astype(jnp.int32)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        target = jnp.where(inside, (lead * height + row) * width + column, count)
        return move_channels(inputs, target, MEET)
