import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from snnx._errors import ShapeError
from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._channels import move_channels
from snnx.augment._check import check_number
from snnx.augment._layout import channels_of
from snnx.inputs import AbstractInputs


class FlipPolarity(AbstractAugmentation):
    r"""With probability $p$ the two polarities of an event camera change places, the same in all steps.

    $$ x'_{t,q,r,c} = x_{t,1-q,r,c} \text{ with probability } p, \text{ else } x_{t,q,r,c} $$

    Bits become counts; every other layout stays.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ValueError` if `p` is no number in [0, 1]; `ShapeError`, when called, if a step is not `(2, height, width)`.

    Source: common practice for event cameras.
    """

    p: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        check_number("FlipPolarity", "p", self.p, 0.0, 1.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(key))

    def _draw(self, key: Key[Array, ""]) -> Bool[Array, ""]:
        read_key("FlipPolarity", "key", key)
        return jax.random.bernoulli(key, self.p)

    def _apply(self, inputs: AbstractInputs, flipped: Bool[Array, ""]) -> AbstractInputs:
        if len(inputs.sample_shape) != 3 or inputs.sample_shape[0] != 2:
            raise ShapeError(
                f"FlipPolarity: one step has shape {inputs.sample_shape}, expected (2, height, width): two polarities."
            )
        channels, count = jnp.arange(channels_of(inputs)), channels_of(inputs)
        return move_channels("FlipPolarity", inputs, jnp.where(flipped, (channels + count // 2) % count, channels))
