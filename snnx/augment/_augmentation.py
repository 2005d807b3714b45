"""What every augmentation is, and the one that applies another only sometimes."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from snnx._checks import checked
from snnx._typing import Fraction
from snnx.augment._layout import channels_of, events_of, from_grid, grid, known_layout
from snnx.inputs import AbstractInputs, ActiveChannels, Bits, Counts, EventList, Floats


class AbstractAugmentation(eqx.Module):
    """A random change of one example's input, made anew each time that the example is seen in training.

    It runs inside the compiled training step. The result has the steps and the shape of a step that the input has; its
    layout may be another one, which follows from the input's layout alone.

    ```python
    class Louder(snnx.augment.AbstractAugmentation):  # one of your own
        most: float

        def __call__(self, inputs, *, key):
            gain = jax.random.uniform(key, minval=1.0, maxval=self.most)
            return snnx.inputs.Floats(gain * inputs.dense(), inputs.sample_shape)
    ```
    """

    @abc.abstractmethod
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        """The changed input. `key` decides everything that is drawn."""


class AbstractDrawn(AbstractAugmentation):
    """An augmentation in two parts: what is drawn, and what that does to the input. So tests can do without chance."""

    @abc.abstractmethod
    def _draw(self, inputs: AbstractInputs, key: Key[Array, ""]) -> Any:
        """The random numbers."""

    @abc.abstractmethod
    def _apply(self, inputs: AbstractInputs, drawn: Any) -> AbstractInputs:
        """The input, changed by these numbers."""

    @checked
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        return self._apply(inputs, self._draw(inputs, key))


class AbstractMixing(eqx.Module):
    """A random mixture of one example's input with a partner's, another example that the trainer draws.

    `same_class` says whether the partner has to be of the same class.
    """

    same_class: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def __call__(
        self, inputs: AbstractInputs, partner: AbstractInputs, *, key: Key[Array, ""]
    ) -> tuple[AbstractInputs, Float[Array, ""]]:
        """The mixture, and the share in [0, 1] of the example's own target in the loss; the rest is the partner's."""


@checked
class Sometimes(AbstractAugmentation):
    r"""With probability $p$ another augmentation is applied.

    $$ x' = a(x) \text{ with probability } p, \text{ else } x $$

    The result has the layout that the augmentation gives in either case. Both are computed: under `vmap` nothing is saved.

    **Arguments:**
    - `p`: the probability, from 0 to 1.
    - `augmentation`: what is applied.
    """

    p: Fraction = eqx.field(static=True)
    augmentation: AbstractAugmentation

    @checked
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        whether_key, own_key = jax.random.split(key)
        return self._apply(inputs, jax.random.bernoulli(whether_key, self.p), own_key)

    def _apply(self, inputs: AbstractInputs, applied: Bool[Array, ""], key: Key[Array, ""]) -> AbstractInputs:
        changed = self.augmentation(inputs, key=key)
        unchanged = _as_layout_of(changed, inputs)
        if isinstance(changed, EventList) and isinstance(unchanged, EventList):
            # Two bounds in one object: the larger holds for whichever is taken.
            busiest = tuple(map(max, changed.busiest, unchanged.busiest))
            changed, unchanged = (dataclasses.replace(x, busiest=busiest) for x in (changed, unchanged))
        return jax.tree.map(lambda a, b: jnp.where(applied, a, b), changed, unchanged)


def _as_layout_of(changed: AbstractInputs, inputs: AbstractInputs) -> AbstractInputs:
    """The inputs in the layout that an augmentation has made of them."""
    if type(changed) is type(inputs) and not isinstance(inputs, ActiveChannels):
        return inputs
    layout = known_layout(inputs)
    if isinstance(layout, ActiveChannels) and isinstance(changed, EventList):
        return events_of(layout)
    if isinstance(layout, ActiveChannels) and isinstance(changed, ActiveChannels):
        more = changed.channels.shape[1] - layout.channels.shape[1]
        lists = jnp.pad(layout.channels, ((0, 0), (0, more)), constant_values=channels_of(layout))
        return ActiveChannels(lists, layout.sample_shape)
    if isinstance(layout, Bits | Counts | Floats) and isinstance(changed, Counts | Floats):
        return from_grid(grid(layout).astype(changed.values.dtype), layout.sample_shape)
    if isinstance(changed, Floats):
        return Floats(layout.dense(changed.values.dtype), layout.sample_shape)
    raise TypeError(
        f"Sometimes: augmentation makes {type(changed).__name__} of {type(inputs).__name__}, and nothing else does: there is"
        " no such layout of the unchanged input. Let it keep the layout, or give floats."
    )
