import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_whole
from snnx.augment._events import unmoved
from snnx.augment._layout import unfolded
from snnx.augment._steps import move_steps
from snnx.inputs import AbstractInputs


class TimeShift(AbstractAugmentation):
    r"""All events move by the same random number of steps; those that leave are gone.

    $$ x'_t = x_{t-d}, \quad x_t = 0 \text{ for } t \notin [0, T), \quad d \sim U\{-\texttt{most}, \dots, \texttt{most}\} $$

    Every layout stays, but a constant becomes dense.

    **Arguments:**
    - `most`: the largest shift, in steps.

    **Raises:** `ValueError` if `most` is no whole number >= 0.

    Source: common practice for sound and events.
    """

    most: int = eqx.field(static=True)

    def __check_init__(self):
        check_whole("TimeShift", "most", self.most, 0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(key))

    def _draw(self, key: Key[Array, ""]) -> Int[Array, ""]:
        read_key("TimeShift", "key", key)
        return jax.random.randint(key, (), -self.most, self.most + 1)

    def _apply(self, inputs: AbstractInputs, move: Int[Array, ""]) -> AbstractInputs:
        return move_steps(unfolded("TimeShift", inputs), jnp.arange(inputs.num_steps) + move, 1, unmoved)
