import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._channels import move_channels
from snnx.augment._check import check_image, check_number
from snnx.augment._layout import channels_of
from snnx.inputs import AbstractInputs

MEET = 4  # pixels at most end in one: their distances stay at least 1, and a pixel is a square of side 1


class Rotate(AbstractAugmentation):
    r"""An image turns about its centre by a random angle; every event goes to the nearest pixel, or is gone.

    $$ r' = \text{round}(\bar r + (r - \bar r) \cos \phi - (c - \bar c) \sin \phi), \quad
    c' = \text{round}(\bar c + (r - \bar r) \sin \phi + (c - \bar c) \cos \phi), \quad
    \phi \sim U[-\texttt{degrees}, \texttt{degrees}] $$

    with $\bar r = (H - 1) / 2$, $\bar c = (W - 1) / 2$. Rows and columns are the last two axes of a step. Events that meet in
    a pixel are added up, and a pixel that none reaches is empty. Bits become counts, counts become floats; every other layout
    stays.

    **Arguments:**
    - `degrees`: the largest angle, from 0 to 180.

    **Raises:** `ValueError` if `degrees` is no number in [0, 180]; `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022),
    where frames are interpolated.
    """

    degrees: float = eqx.field(static=True)

    def __check_init__(self):
        check_number("Rotate", "degrees", self.degrees, 0.0, 180.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(key))

    def _draw(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """The angle, in radians."""
        read_key("Rotate", "key", key)
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
        return move_channels("Rotate", inputs, target, MEET)
