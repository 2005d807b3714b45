import equinox as eqx
import jax
from jaxtyping import Array, Bool, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_number
from snnx.augment._keep import keep_where
from snnx.augment._layout import unfolded
from snnx.inputs import AbstractInputs


class DropSteps(AbstractAugmentation):
    r"""Every step is silent, in all channels, independently with probability $p$.

    $$ x'_t = x_t m_t, \quad m_t \sim \text{Bernoulli}(1 - p) $$

    What stays is not scaled up. Every layout stays, bits packed, but a constant becomes dense.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ValueError` if `p` is no number in [0, 1].

    Source: Park et al., SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech (2019),
    for the silencing of steps (there in one block: `DropBlock`).
    """

    p: float = eqx.field(static=True)

    def __check_init__(self):
        check_number("DropSteps", "p", self.p, 0.0, 1.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(inputs.num_steps, key))

    def _draw(self, steps: int, key: Key[Array, ""]) -> Bool[Array, "time"]:
        read_key("DropSteps", "key", key)
        return jax.random.bernoulli(key, 1.0 - self.p, (steps,))

    def _apply(self, inputs: AbstractInputs, kept: Bool[Array, "time"]) -> AbstractInputs:
        def keeps(steps: Array, _: Array) -> Array:
            return kept.at[steps].get(mode="fill", fill_value=False)

        return keep_where(unfolded("DropSteps", inputs), keeps)
