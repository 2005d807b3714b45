import equinox as eqx
import jax
from jaxtyping import Array, Int, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_whole, check_window
from snnx.augment._keep import keep_where
from snnx.augment._layout import unfolded
from snnx.inputs import AbstractInputs


class TimeCrop(AbstractAugmentation):
    r"""A random window of time stays where it is; before and behind it is silence.

    $$ x'_t = x_t \text{ for } s \le t < s + \texttt{steps}, \text{ else } 0, \quad s \sim U\{0, \dots, T - \texttt{steps}\} $$

    Every layout stays, but a constant becomes dense.

    **Arguments:**
    - `steps`: the length of the window.

    **Raises:** `ValueError` if `steps` is no whole number >= 1, and, when called, if the input has fewer steps.

    Source: common practice for sound and events; the complement of the time masks of Park et al., SpecAugment, Interspeech
    (2019).
    """

    steps: int = eqx.field(static=True)

    def __check_init__(self):
        check_whole("TimeCrop", "steps", self.steps, 1)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(inputs.num_steps, key))

    def _draw(self, steps: int, key: Key[Array, ""]) -> Int[Array, ""]:
        read_key("TimeCrop", "key", key)
        check_window("TimeCrop", "steps", self.steps, steps, "steps")
        return jax.random.randint(key, (), 0, steps - self.steps + 1)

    def _apply(self, inputs: AbstractInputs, start: Int[Array, ""]) -> AbstractInputs:
        def kept(steps: Array, _: Array) -> Array:
            return (steps >= start) & (steps < start + self.steps)

        return keep_where(unfolded("TimeCrop", inputs), kept)
