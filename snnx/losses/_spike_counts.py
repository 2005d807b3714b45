"""Counts and rates of the output neurons' spikes against wanted ones."""

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._typing import Fraction, NotNegative
from snnx.losses._cross_entropy import AbstractClassLoss, Label, as_classes, is_class
from snnx.reductions import AbstractReduction, Mean, Sum


@checked
class CountMSE(AbstractClassLoss):
    r"""Mean squared distance of the output neurons' spike counts from wanted counts.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (n_c - n^*_c)^2, \qquad n_c = \sum_t s_{c,t}, \qquad
       n^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    The wanted counts depend on the number of steps; those of `RateMSE` do not.

    **Arguments:** `correct`, `incorrect`: spikes per example of the label's neuron and of the others, >= 0.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the counts. A label that is not a class
    gives NaN.

    **Raises:** `ValueError` for a model that does not end in spikes, and unless `correct > incorrect`.
    """

    of_spikes: ClassVar[bool] = True

    correct: NotNegative
    incorrect: NotNegative = 0.0
    readout: AbstractReduction = eqx.field(default=Sum(), init=False)

    def __check_init__(self):
        _check_wanted("CountMSE", self.correct, self.incorrect)

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return _distance("CountMSE", reduced, target, self.correct, self.incorrect)


@checked
class RateMSE(AbstractClassLoss):
    r"""Mean squared distance of the output neurons' firing rates from wanted rates.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (r_c - r^*_c)^2, \qquad r_c = \frac{1}{T} \sum_t s_{c,t}, \qquad
       r^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    Twice as many steps at the same rate give the same loss.

    **Arguments:** `correct`, `incorrect`: spikes per step of the label's neuron and of the others, from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the rates. A label that is not a class
    gives NaN.

    **Raises:** `ValueError` for a model that does not end in spikes, and unless `correct > incorrect`.
    """

    of_spikes: ClassVar[bool] = True

    correct: Fraction = 1.0
    incorrect: Fraction = 0.0
    readout: AbstractReduction = eqx.field(default=Mean(), init=False)

    def __check_init__(self):
        _check_wanted("RateMSE", self.correct, self.incorrect)

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return _distance("RateMSE", reduced, target, self.correct, self.incorrect)


def _check_wanted(where: str, correct: float, incorrect: float) -> None:
    if correct <= incorrect:
        raise ValueError(
            f"{where}: correct is {correct!r} and incorrect is {incorrect!r}, expected correct > incorrect."
        )


def _distance(where: str, reduced: Array, target: Label, correct: float, incorrect: float) -> Float[Array, ""]:
    values = as_classes(where, reduced)
    own = is_class(target, values.shape[0])
    loss = jnp.mean(jnp.square(values - jnp.where(own, correct, incorrect).astype(values.dtype)))
    return jnp.where(jnp.any(own), loss, jnp.nan)
