import abc

import equinox as eqx
from jaxtyping import Array, Float, Key

from snnx.inputs import AbstractInputs


class AbstractAugmentation(eqx.Module):
    """A random change of one example's input, made anew each time that the example is seen in training.

    It runs inside the compiled training step. The result has the steps and the shape of a step that the input has; its
    layout may be another one, which follows from the input's layout alone.
    """

    @abc.abstractmethod
    def __call__(self, inputs: AbstractInputs, *, key: Key[Array, ""]) -> AbstractInputs:
        """The changed input. `key` decides everything that is drawn."""


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
