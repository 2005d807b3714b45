"""Whole traces against whole traces: what the losses that compare step by step share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from snnx._errors import DtypeError, ShapeError, describe
from snnx.reductions import AbstractReduction


class StepCount(AbstractReduction):
    """The number of steps that are not masked; the masked ones must all come last, as padding does."""

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array]:
        return jnp.asarray(steps), jnp.zeros((), jnp.int32)

    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: "Array | None") -> PyTree:
        steps, length = carry
        return steps, length if mask is None else jnp.maximum(length, jnp.max(jnp.where(mask, times + 1, 0)))

    def finish(self, carry: tuple[Array, Array]) -> Array:
        steps, length = carry
        return eqx.error_if(
            steps,
            length > steps,
            "A loss that compares whole traces (TraceMSE, VanRossum) got a mask with a masked step before a step that"
            " counts; expected masked steps at the end only.",
        )


def compared(where: str, reduced: tuple[Array, Array], target: ArrayLike) -> tuple[Float[Array, "time *shape"], Array]:
    """Output minus target, zero at masked steps, in at least float32; and the number of steps that count."""
    if not isinstance(reduced, tuple) or len(reduced) != 2:
        raise TypeError(f"{where}: reduced is {describe(reduced)}, expected what simulate(readout=loss.readout) gives.")
    outputs, steps = reduced
    target = jnp.asarray(target)
    if target.shape != outputs.shape:
        raise ShapeError(
            f"{where}: target is {describe(target)}, but the outputs are {describe(outputs)}: [time, *features], one"
            " value for each."
        )
    live = jnp.arange(outputs.shape[0]) < steps
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    difference = outputs.astype(wide) - target.astype(wide)
    return jnp.where(_along(live, outputs), difference, jnp.zeros_like(difference)), steps


def _along(live: Bool[Array, "time"], xs: Array) -> Array:
    return live.reshape(live.shape + (1,) * (xs.ndim - 1))


def check_values(where: str, targets: "np.ndarray | Array", classes: int | None, axes: str) -> None:
    """Refuse a data set's targets that are no finite floats, or whose last axis is not that of the outputs."""
    values = np.asarray(targets)
    if not np.issubdtype(values.dtype, np.floating):
        raise DtypeError(
            f"{where}: targets are {describe(values)}, expected floats {axes}; take snnx.losses.CrossEntropy for class"
            " labels, or cast values with .astype('float32')."
        )
    check_shape(where, values, classes, axes)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        raise ValueError(f"{where}: targets[{', '.join(map(str, index))}] is {values[index]}, expected finite values.")


def check_shape(where: str, targets: np.ndarray, classes: int | None, axes: str) -> None:
    """Refuse targets without the axes of the outputs."""
    if classes is not None and (targets.ndim != len(axes.split()) or targets.shape[-1] != classes):
        raise ShapeError(f"{where}: targets are {describe(targets)}, expected {axes} with {classes} outputs.")
