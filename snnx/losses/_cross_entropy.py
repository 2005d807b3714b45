from collections.abc import Mapping

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from snnx.losses._labels import as_classes, check_classes, check_label, check_labels, cross_entropy
from snnx.losses._loss import AbstractLoss, check_number
from snnx.reductions import AbstractReduction, FirstSpike, Mean, Stack


class CrossEntropy(AbstractLoss):
    r"""Softmax cross-entropy of the output reduced over time.

    $$ z = \text{readout}(y_1 \ldots y_T), \qquad p = \text{softmax}(z), \qquad
       L = -(1 - \epsilon) \log p_\text{label} - \frac{\epsilon}{C} \sum_{c=1}^{C} \log p_c $$

    **Arguments:**
    - `readout`: `Mean()`, `Sum()`, `Max()`, `Last()` or `Weighted`. With spikes as outputs, `Sum()` gives a count and
        `Mean()` a rate, which is at most 1: a softmax of rates is never sharp, a softmax of counts sharpens with $T$.
    - `label_smoothing`: $\epsilon$, from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are $z$. A label that is no class gives NaN.

    **Raises:** `ValueError` for `label_smoothing` outside [0, 1], and for readouts that leave no one value per class
    (`Stack`) or for which larger is not more likely (`FirstSpike`).

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), compare the readouts; label smoothing as in Szegedy et al., Rethinking the Inception architecture
    (2016).
    """

    readout: AbstractReduction = Mean()
    label_smoothing: float = 0.0

    def __check_init__(self):
        check_number("CrossEntropy", "label_smoothing", self.label_smoothing, 0.0, 1.0)
        if not isinstance(self.readout, AbstractReduction):
            raise TypeError(f"CrossEntropy: readout is {self.readout!r}, expected a reduction such as snnx.Mean().")
        if isinstance(self.readout, Stack):
            raise ValueError(
                "CrossEntropy: readout is Stack(), which keeps every step; take snnx.losses.StepCrossEntropy."
            )
        if isinstance(self.readout, FirstSpike):
            raise ValueError(
                "CrossEntropy: readout is FirstSpike(), for which later would be more likely; take"
                " snnx.losses.FirstSpikeCrossEntropy."
            )

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        logits = as_classes("CrossEntropy", reduced)
        label = check_label("CrossEntropy", target)
        return cross_entropy(jax.nn.log_softmax(logits), label, self.label_smoothing)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return reduced

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("CrossEntropy", targets, classes)


class MeanLogSoftmax(AbstractReduction):
    r"""The log-probabilities' mean over time, $\frac{1}{T} \sum_t \log \text{softmax}(x_t)$, of `[time, classes]`."""

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> PyTree:
        check_classes("StepCrossEntropy", like)
        return Mean().init(like, steps)

    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: "Array | None") -> PyTree:
        total, _ = carry
        return Mean().step(carry, jax.nn.log_softmax(xs.astype(total.dtype)), times, mask)

    def finish(self, carry: PyTree) -> Array:
        return Mean().finish(carry)


class StepCrossEntropy(AbstractLoss):
    r"""Softmax cross-entropy at every time step, and its mean over time.

    $$ L = \frac{1}{T} \sum_{t=1}^{T} \text{CE}(y_t, \text{label})
         = \text{CE}\Big(\frac{1}{T} \sum_{t=1}^{T} \log \text{softmax}(y_t), \text{label}\Big) $$

    with the cross-entropy of `CrossEntropy`, which is linear in the log-probabilities: their mean over time is all that
    is needed, and no trace is stored. Masked steps do not count.

    **Arguments:** `label_smoothing`: from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the mean log-probabilities.

    **Raises:** `ValueError` for `label_smoothing` outside [0, 1].
    """

    label_smoothing: float = 0.0
    readout: AbstractReduction = eqx.field(default=MeanLogSoftmax(), init=False)

    def __check_init__(self):
        check_number("StepCrossEntropy", "label_smoothing", self.label_smoothing, 0.0, 1.0)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        log_probabilities = as_classes("StepCrossEntropy", reduced)
        return cross_entropy(log_probabilities, check_label("StepCrossEntropy", target), self.label_smoothing)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return reduced

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("StepCrossEntropy", targets, classes)
