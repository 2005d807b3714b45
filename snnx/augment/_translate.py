import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._channels import move_channels, shifted
from snnx.augment._check import check_image, check_whole
from snnx.augment._layout import channels_of
from snnx.inputs import AbstractInputs


class Translate(AbstractAugmentation):
    r"""All events of an image move by the same random numbers of rows and columns; those that leave are gone.

    $$ x'_{t,\cdot,r,c} = x_{t,\cdot,r-d,c-e}, \quad d \sim U\{-\texttt{rows}, \dots, \texttt{rows}\}, \quad
    e \sim U\{-\texttt{columns}, \dots, \texttt{columns}\} $$

    with zeros outside. Rows and columns are the last two axes of a step. Bits become counts; every other layout stays.

    **Arguments:**
    - `rows`, `columns`: the largest shifts, in pixels.

    **Raises:** `ValueError` if one is no whole number >= 0; `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022),
    where an image is rolled. Here nothing comes in again at the other side.
    """

    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)

    def __check_init__(self):
        check_whole("Translate", "rows", self.rows, 0)
        check_whole("Translate", "columns", self.columns, 0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(key))

    def _draw(self, key: Key[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        read_key("Translate", "key", key)
        row_key, column_key = jax.random.split(key)
        row = jax.random.randint(row_key, (), -self.rows, self.rows + 1)
        return row, jax.random.randint(column_key, (), -self.columns, self.columns + 1)

    def _apply(self, inputs: AbstractInputs, moves: tuple[Int[Array, ""], Int[Array, ""]]) -> AbstractInputs:
        check_image("Translate", inputs)
        target = shifted(inputs.sample_shape, jnp.arange(channels_of(inputs)), moves)
        return move_channels("Translate", inputs, target)
