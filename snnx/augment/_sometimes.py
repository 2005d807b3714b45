import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from snnx._errors import describe
from snnx._readers import read_key
from snnx.augment._augmentation import AbstractAugmentation
from snnx.augment._check import check_number
from snnx.augment._events import events_of
from snnx.augment._layout import channels_of, from_grid, grid, unfolded
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, Counts, EventList, Floats


class Sometimes(AbstractAugmentation):
    r"""With probability $p$ another augmentation is applied.

    $$ x' = a(x) \text{ with probability } p, \text{ else } x $$

    The result has the layout that the augmentation gives in either case. Both are computed: under `vmap` nothing is saved.

    **Arguments:**
    - `p`: the probability, from 0 to 1.
    - `augmentation`: what is applied.

    **Raises:** `ValueError` if `p` is no number in [0, 1]; `TypeError` if `augmentation` is no augmentation of one example.
    """

    p: float = eqx.field(static=True)
    augmentation: AbstractAugmentation

    def __check_init__(self):
        check_number("Sometimes", "p", self.p, 0.0, 1.0)
        if not isinstance(self.augmentation, AbstractAugmentation):
            raise TypeError(
                f"Sometimes: augmentation is {describe(self.augmentation)}; expected an augmentation of one example, such as"
                " snnx.augment.TimeShift(5)."
            )

    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        read_key("Sometimes", "key", key)
        whether_key, own_key = jax.random.split(key)
        return self._apply(inputs, jax.random.bernoulli(whether_key, self.p), own_key)

    def _apply(self, inputs: AbstractInputs, applied: Bool[Array, ""], key: Key[Array, ""]) -> AbstractInputs:
        changed = self.augmentation(inputs, key=key)
        unchanged = _as_layout_of(changed, inputs)
        if isinstance(changed, EventList) and isinstance(unchanged, EventList):
            pairs = zip(changed.busiest, unchanged.busiest, strict=True)
            busiest = tuple(max(pair) for pair in pairs)
            changed, unchanged = (dataclasses.replace(x, busiest=busiest) for x in (changed, unchanged))
        return jax.tree.map(lambda a, b: jnp.where(applied, a, b), changed, unchanged)


def _as_layout_of(changed: AbstractInputs, inputs: AbstractInputs) -> AbstractInputs:
    """The inputs in the layout that an augmentation has made of them."""
    if type(changed) is type(inputs) and not isinstance(inputs, ActiveChannels):
        return inputs
    layout = unfolded("Sometimes", inputs)
    if isinstance(layout, ActiveChannels) and isinstance(changed, EventList):
        return events_of(layout)
    if isinstance(layout, ActiveChannels) and isinstance(changed, ActiveChannels):
        more = changed.channels.shape[1] - layout.channels.shape[1]
        lists = jnp.pad(layout.channels, ((0, 0), (0, more)), constant_values=channels_of(layout))
        return ActiveChannels(lists, layout.sample_shape)
    if isinstance(layout, (Bits, Counts, Floats)) and isinstance(changed, (Counts, Floats)):
        return from_grid(grid(layout).astype(changed.values.dtype), layout.sample_shape)
    raise TypeError(
        f"Sometimes: the augmentation makes {type(changed).__name__} of {type(inputs).__name__}, which there is no other way"
        " to; give it a layout that stays."
    )
