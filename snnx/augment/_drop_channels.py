import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_number
from snnx.augment._keep import keep_where
from snnx.augment._layout import channels_of, unfolded
from snnx.inputs import AbstractInputs, Constant


class DropChannels(AbstractAugmentation):
    r"""Every channel is silent, in all steps, independently with probability $p$.

    $$ x'_{t,c} = x_{t,c} m_c, \quad m_c \sim \text{Bernoulli}(1 - p) $$

    What stays is not scaled up. Every layout stays, bits packed. A channel is one entry of a step: of an image, a pixel of
    one polarity.

    **Arguments:**
    - `p`: the probability, from 0 to 1.

    **Raises:** `ValueError` if `p` is no number in [0, 1].

    Source: Park et al., SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition, Interspeech (2019),
    for the silencing of channels (there in one block: `DropBlock`).
    """

    p: float = eqx.field(static=True)

    def __check_init__(self):
        check_number("DropChannels", "p", self.p, 0.0, 1.0)

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(channels_of(inputs), key))

    def _draw(self, channels: int, key: Key[Array, ""]) -> Bool[Array, "channels"]:
        read_key("DropChannels", "key", key)
        return jax.random.bernoulli(key, 1.0 - self.p, (channels,))

    def _apply(self, inputs: AbstractInputs, kept: Bool[Array, "channels"]) -> AbstractInputs:
        if isinstance(inputs, Constant):
            values = jnp.where(kept.reshape(inputs.sample_shape), inputs.values, jnp.zeros_like(inputs.values))
            return Constant(values, inputs.num_steps)

        def keeps(_: Array, channels: Array) -> Array:
            return kept.at[channels].get(mode="fill", fill_value=False)

        return keep_where(unfolded("DropChannels", inputs), keeps)
