"""Class labels: the checks and the cross-entropy that all classifying losses share."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from snnx._errors import DtypeError, ShapeError, describe


def check_labels(where: str, targets: "np.ndarray | Array", classes: int | None) -> None:
    """Refuse a data set's targets that are no integer labels `[n]` from 0 to `classes - 1`."""
    labels = np.asarray(targets)
    if not np.issubdtype(labels.dtype, np.integer):
        hint = (
            "pass labels.argmax(-1) if they are one-hot" if labels.ndim == 2 else "cast class numbers with .astype(int)"
        )
        raise DtypeError(
            f"{where}: targets are {describe(labels)}, expected integer class labels [n]; {hint}, or take"
            " snnx.losses.MSE for values that are no classes."
        )
    if labels.ndim != 1:
        raise ShapeError(f"{where}: targets are {describe(labels)}, expected [n]: one class label per example.")
    wrong = np.flatnonzero((labels < 0) | (labels >= (np.inf if classes is None else classes)))
    if wrong.size:
        known = "labels start at 0" if classes is None else f"the model has {classes} outputs: 0 to {classes - 1}"
        raise ValueError(f"{where}: targets[{wrong[0]}] is {labels[wrong[0]]}, but {known}.")


def check_classes(where: str, values: "Array | jax.ShapeDtypeStruct") -> None:
    """Refuse reduced outputs, or outputs of one step, that are not one float per class."""
    if not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, jnp.floating):
        raise DtypeError(f"{where}: the output is {describe(values)}, expected floats [classes].")
    if len(values.shape) != 1:
        raise ShapeError(
            f"{where}: the output is {describe(values)}, expected [classes]: one value per class and step. Flatten, pool"
            " or project with the last layer; jax.vmap adds the batch axis."
        )


def as_classes(where: str, values: Array) -> Float[Array, "classes"]:
    """One float per class, in at least float32."""
    check_classes(where, values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def check_label(where: str, target: ArrayLike) -> Int[Array, ""]:
    """The class of one example."""
    label = jnp.asarray(target)
    if not jnp.issubdtype(label.dtype, jnp.integer):
        raise DtypeError(f"{where}: target is {describe(label)}, expected the integer label of one example.")
    if label.ndim:
        raise ShapeError(f"{where}: target is {describe(label)}, expected one label; jax.vmap adds the batch axis.")
    return label.astype(jnp.int32)


def is_class(label: Int[Array, ""], classes: int) -> Array:
    """Which class is the label's, `bool[classes]`."""
    return jnp.arange(classes, dtype=jnp.int32) == label


def cross_entropy(
    log_probabilities: Float[Array, "classes"], label: Int[Array, ""], label_smoothing: float
) -> Float[Array, ""]:
    r"""$-(1 - \epsilon) \log p_y - \frac{\epsilon}{C} \sum_c \log p_c$; NaN for a label that is no class."""
    own = is_class(label, log_probabilities.shape[0])
    at_label = jnp.sum(jnp.where(own, log_probabilities, 0.0))
    loss = -(1.0 - label_smoothing) * at_label
    if label_smoothing:
        loss -= label_smoothing * jnp.mean(log_probabilities)
    return jnp.where(jnp.any(own), loss, jnp.nan)
