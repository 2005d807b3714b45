from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from snnx.losses._labels import as_classes, check_label, check_labels, is_class
from snnx.losses._loss import AbstractLoss, Reductions, check_number
from snnx.losses._spiking import check_spiking
from snnx.reductions import AbstractReduction, Mean, Sum


class CountMSE(AbstractLoss):
    r"""Mean squared distance of the output neurons' spike counts from wanted counts.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (n_c - n^*_c)^2, \qquad n_c = \sum_t s_{c,t}, \qquad
       n^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    The wanted counts depend on the number of steps; those of `RateMSE` do not.

    **Arguments:** `correct`, `incorrect`: spikes per example of the label's neuron and of the others, >= 0.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the counts. A label that is no class gives
    NaN.

    **Raises:** `ValueError` for a model that ends in no spikes, and unless `correct > incorrect >= 0`.
    """

    correct: float
    incorrect: float = 0.0
    readout: AbstractReduction = eqx.field(default=Sum(), init=False)

    def __check_init__(self):
        _check_wanted("CountMSE", self.correct, self.incorrect, np.inf)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return _distance("CountMSE", reduced, target, self.correct, self.incorrect)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return reduced

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("CountMSE", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("CountMSE", targets, classes)


class RateMSE(AbstractLoss):
    r"""Mean squared distance of the output neurons' firing rates from wanted rates.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (r_c - r^*_c)^2, \qquad r_c = \frac{1}{T} \sum_t s_{c,t}, \qquad
       r^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    Twice as many steps at the same rate give the same loss.

    **Arguments:** `correct`, `incorrect`: spikes per step of the label's neuron and of the others, from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the rates. A label that is no class gives
    NaN.

    **Raises:** `ValueError` for a model that ends in no spikes, and unless `1 >= correct > incorrect >= 0`.
    """

    correct: float = 1.0
    incorrect: float = 0.0
    readout: AbstractReduction = eqx.field(default=Mean(), init=False)

    def __check_init__(self):
        _check_wanted("RateMSE", self.correct, self.incorrect, 1.0)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return _distance("RateMSE", reduced, target, self.correct, self.incorrect)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return reduced

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("RateMSE", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("RateMSE", targets, classes)


def _check_wanted(where: str, correct: float, incorrect: float, high: float) -> None:
    check_number(where, "correct", correct, 0.0, high)
    check_number(where, "incorrect", incorrect, 0.0, high)
    if correct <= incorrect:
        raise ValueError(
            f"{where}: correct is {correct!r} and incorrect is {incorrect!r}, expected correct > incorrect."
        )


def _distance(where: str, reduced: Array, target: ArrayLike, correct: float, incorrect: float) -> Float[Array, ""]:
    values = as_classes(where, reduced)
    own = is_class(check_label(where, target), values.shape[0])
    loss = jnp.mean(jnp.square(values - jnp.where(own, correct, incorrect).astype(values.dtype)))
    return jnp.where(jnp.any(own), loss, jnp.nan)
