from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from snnx._errors import ShapeError, describe
from snnx.losses._loss import AbstractLoss
from snnx.losses._trace import StepCount, check_values, compared
from snnx.reductions import AbstractReduction, Mean, Stack


class MSE(AbstractLoss):
    r"""Mean squared distance of the output, reduced over time, from wanted values: regression.

    $$ z = \text{readout}(y_1 \ldots y_T), \qquad L = \frac{1}{N} \sum_{i=1}^{N} (z_i - z^*_i)^2 $$

    **Arguments:** `readout`: any reduction but `Stack`: `Last()` or `Mean()` of a leaky readout's membrane,
    `FirstSpike()` for wanted times of first spikes.

    **Shapes:** reduced `[*shape]`, target floats `[*shape]`, with $N$ elements.

    **Raises:** `ValueError` for `Stack`, for which there is `TraceMSE`; `ShapeError` where the shapes differ.
    """

    readout: AbstractReduction = Mean()

    def __check_init__(self):
        if not isinstance(self.readout, AbstractReduction):
            raise TypeError(f"MSE: readout is {self.readout!r}, expected a reduction such as snnx.Mean().")
        if isinstance(self.readout, Stack):
            raise ValueError("MSE: readout is Stack(), which keeps every step; take snnx.losses.TraceMSE.")

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        target = jnp.asarray(target)
        if target.shape != reduced.shape:
            raise ShapeError(
                f"MSE: target is {describe(target)}, but the reduced output is {describe(reduced)}; expected one target"
                " for each output."
            )
        wide = jnp.promote_types(reduced.dtype, jnp.float32)
        return jnp.mean(jnp.square(reduced.astype(wide) - target.astype(wide)))

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_values("MSE", targets, classes, "[n, outputs]")


class TraceMSE(AbstractLoss):
    r"""Mean squared distance of the outputs from wanted values at every time step: regression of a trace.

    $$ L = \frac{1}{T N} \sum_{t=1}^{T} \sum_{i=1}^{N} (y_{t,i} - y^*_{t,i})^2 $$

    Masked steps count neither in the sum nor in $T$; whatever the target holds there does not matter. They come last.
    The trace is stored.

    **Shapes:** reduced `([time, *shape], T)`, target floats `[time, *shape]`, with $N$ elements per step.

    **Raises:** `ShapeError` where the shapes differ; at run time, for a mask whose masked steps are not the last.
    """

    readout: tuple[AbstractReduction, ...] = eqx.field(default=(Stack(), StepCount()), init=False)

    def __call__(
        self, reduced: tuple[Array, Array], target: ArrayLike, *, record: Mapping[str, PyTree]
    ) -> Float[Array, ""]:
        difference, steps = compared("TraceMSE", reduced, target)
        size = difference[0].size * jnp.maximum(steps, 1).astype(difference.dtype)
        return jnp.sum(jnp.square(difference)) / size

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_values("TraceMSE", targets, classes, "[n, time, outputs]")
