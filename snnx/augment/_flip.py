import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._channels import move_channels
from snnx.augment._check import check_image, check_number
from snnx.augment._layout import channels_of
from snnx.inputs import AbstractInputs


class Flip(AbstractAugmentation):
    r"""With probability $p$ an image is mirrored, left to right, the same in all steps.

    $$ x'_{t,\cdot,r,c} = x_{t,\cdot,r,W-1-c} \text{ with probability } p, \text{ else } x_{t,\cdot,r,c} $$

    Columns are the last axis of a step. Bits become counts; every other layout stays.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ValueError` if `p` is no number in [0, 1]; `ShapeError`, when called, for a vector.

    Source: Li, Kim, Park, Geller & Panda, Neuromorphic Data Augmentation for Training Spiking Neural Networks, ECCV (2022).
    """

    p: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        check_number("Flip", "p", self.p, 0.0, 1.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(key))

    def _draw(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        read_key("Flip", "key", key)
        return jax.random.bernoulli(key, self.p)

    def _apply(self, inputs: AbstractInputs, flipped: Bool[Array, ""]) -> AbstractInputs:
        check_image("Flip", inputs)
        channels = jnp.arange(channels_of(inputs))
        width = inputs.sample_shape[-1]
        mirrored = channels + width - 1 - 2 * (channels % width)
        return move_channels("Flip", inputs, jnp.where(flipped, mirrored, channels))
