"""Cross-entropy, and what all losses of class labels share."""

from collections.abc import Mapping
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, PyTree

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._typing import Fraction, default
from snnx.losses._loss import AbstractLoss
from snnx.reductions import AbstractReduction, FirstSpike, Mean

Label: TypeAlias = int | Integer[Array, ""]  # the class of one example


class AbstractClassLoss(AbstractLoss):
    """A loss of class labels. Its scores are the reduced outputs, and the targets of a data set must be integer labels.

    With a loss of your own of this kind, `fit` and `evaluate` report accuracies.
    """

    @default
    def scores(self, reduced: PyTree) -> Float[Array, "classes"] | None:
        return reduced

    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        _check_labels(type(self).__name__, targets, classes)


@checked
class CrossEntropy(AbstractClassLoss):
    r"""Softmax cross-entropy of the output reduced over time.

    $$ z = \text{readout}(y_1 \ldots y_T), \qquad p = \text{softmax}(z), \qquad
       L = -(1 - \epsilon) \log p_\text{label} - \frac{\epsilon}{C} \sum_{c=1}^{C} \log p_c $$

    **Arguments:**
    - `readout`: `Mean()`, `Sum()`, `Max()`, `Last()` or `Weighted`. With spikes as outputs, `Sum()` gives a count and
        `Mean()` a rate, which is at most 1: a softmax of rates is never sharp, a softmax of counts sharpens with $T$.
    - `label_smoothing`: $\epsilon$, from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are $z$. A label that is not a class gives NaN.

    **Raises:** `ValueError` for readouts that leave more than one value per class (`Stack`), or for which larger is not more
    likely (`FirstSpike`).

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), compare the readouts; label smoothing as in Szegedy et al., Rethinking the Inception architecture
    (2016).
    """

    readout: AbstractReduction = Mean()
    label_smoothing: Fraction = 0.0

    def __check_init__(self):
        if self.readout.stacks:
            raise ValueError(
                f"CrossEntropy: readout is {self.readout}, which keeps every step; take snnx.losses.StepCrossEntropy."
            )
        if isinstance(self.readout, FirstSpike):
            raise ValueError(
                "CrossEntropy: readout is FirstSpike(), for which later would be more likely; take"
                " snnx.losses.FirstSpikeCrossEntropy."
            )

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        logits = as_classes("CrossEntropy", reduced)
        return cross_entropy(jax.nn.log_softmax(logits), target, self.label_smoothing)


class MeanLogSoftmax(AbstractReduction):
    r"""The log-probabilities' mean over time, $\frac{1}{T} \sum_t \log \text{softmax}(x_t)$, of `[time, classes]`."""

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> PyTree:
        _check_classes("StepCrossEntropy", like)
        return Mean().init(like, steps)

    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: "Array | None") -> PyTree:
        total, _ = carry
        return Mean().step(carry, jax.nn.log_softmax(xs.astype(total.dtype)), times, mask)

    def finish(self, carry: PyTree) -> Array:
        return Mean().finish(carry)


@checked
class StepCrossEntropy(AbstractClassLoss):
    r"""Softmax cross-entropy at every time step, and its mean over time.

    $$ L = \frac{1}{T} \sum_{t=1}^{T} \text{CE}(y_t, \text{label})
         = \text{CE}\Big(\frac{1}{T} \sum_{t=1}^{T} \log \text{softmax}(y_t), \text{label}\Big) $$

    with the cross-entropy of `CrossEntropy`, which is linear in the log-probabilities: their mean over time is all that
    is needed, and no trace is stored. Masked steps do not count.

    **Arguments:** `label_smoothing`: from 0 to 1.

    **Shapes:** reduced `[classes]`, target an integer label. The scores are the mean log-probabilities.
    """

    label_smoothing: Fraction = 0.0
    readout: AbstractReduction = eqx.field(default=MeanLogSoftmax(), init=False)

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return cross_entropy(as_classes("StepCrossEntropy", reduced), target, self.label_smoothing)


# ------------------------------------------------------------------ class labels
def _check_labels(where: str, targets: np.ndarray | Array, classes: int | None) -> None:
    """Refuse a data set's targets unless they are integer labels `[n]` from 0 to `classes - 1`."""
    labels = np.asarray(targets)
    if not np.issubdtype(labels.dtype, np.integer):
        hint = (
            "pass labels.argmax(-1) if they are one-hot" if labels.ndim == 2 else "cast class numbers with .astype(int)"
        )
        raise DtypeError(
            f"{where}: targets are {describe(labels)}, expected integer class labels [n]; {hint}, or take"
            " snnx.losses.MSE for values that are not classes."
        )
    if labels.ndim != 1:
        raise ShapeError(f"{where}: targets are {describe(labels)}, expected [n]: one class label per example.")
    wrong = np.flatnonzero((labels < 0) | (labels >= (np.inf if classes is None else classes)))
    if wrong.size:
        known = "labels start at 0" if classes is None else f"the model has {classes} outputs: 0 to {classes - 1}"
        raise ValueError(f"{where}: targets[{wrong[0]}] is {labels[wrong[0]]}, but {known}.")


def as_classes(where: str, values: Array) -> Float[Array, "classes"]:
    """One float per class, in at least float32."""
    _check_classes(where, values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def _check_classes(where: str, values: "Array | jax.ShapeDtypeStruct") -> None:
    """Refuse reduced outputs, or outputs of one step, unless they are one float per class."""
    if not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating):
        raise DtypeError(f"{where}: the output is {describe(values)}, expected floats [classes].")
    if len(values.shape) != 1:
        raise ShapeError(
            f"{where}: the output is {describe(values)}, expected [classes]: one value per class and step. Flatten, pool"
            " or project with the last layer; jax.vmap adds the batch axis."
        )


def is_class(label: Label, classes: int) -> Array:
    """Which class is the label's, `bool[classes]`."""
    return jnp.arange(classes, dtype=jnp.int32) == jnp.asarray(label).astype(jnp.int32)


def cross_entropy(log_probabilities: Float[Array, "classes"], label: Label, label_smoothing: float) -> Float[Array, ""]:
    r"""$-(1 - \epsilon) \log p_y - \frac{\epsilon}{C} \sum_c \log p_c$; NaN for a label that is not a class."""
    own = is_class(label, log_probabilities.shape[0])
    at_label = jnp.sum(jnp.where(own, log_probabilities, 0.0))
    loss = -(1.0 - label_smoothing) * at_label
    if label_smoothing:
        loss -= label_smoothing * jnp.mean(log_probabilities)
    return jnp.where(jnp.any(own), loss, jnp.nan)
