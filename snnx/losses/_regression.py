"""Outputs against wanted values: reduced over time, or whole traces step by step, of membranes or of spikes."""

import math
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, Real, Shaped

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._typing import AboveZero
from snnx.losses._loss import AbstractLoss
from snnx.reductions import AbstractReduction, Mean, Stack


@checked
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
        if self.readout.stacks:
            raise ValueError(f"MSE: readout is {self.readout}, which keeps every step; take snnx.losses.TraceMSE.")

    @checked
    def __call__(
        self, reduced: Float[Array, "*shape"], target: Real[Array, "*shape"], *, record: Mapping[str, PyTree]
    ) -> Float[Array, ""]:
        wide = jnp.promote_types(reduced.dtype, jnp.float32)
        return jnp.mean(jnp.square(reduced.astype(wide) - target.astype(wide)))

    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        _check_values("MSE", targets, classes, "[n, outputs]")


class StepCount(AbstractReduction):
    """How many steps count, those that are not masked. The masked ones must all come last, as padding does.

    Beside `Stack()` in the readout of a loss of your own, it tells where the trace ends; see `AbstractLoss`.
    """

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
            "StepCount: mask has a masked step before a step that counts; a loss of whole traces (TraceMSE, VanRossum)"
            " takes masked steps at the end only.",
        )


class TraceMSE(AbstractLoss):
    r"""Mean squared distance of the outputs from wanted values at every time step: regression of a trace.

    $$ L = \frac{1}{T N} \sum_{t=1}^{T} \sum_{i=1}^{N} (y_{t,i} - y^*_{t,i})^2 $$

    Masked steps count neither in the sum nor in $T$; whatever the target holds there does not matter. They come last.
    The trace is stored.

    **Shapes:** reduced `([time, *shape], T)`, target floats `[time, *shape]`, with $N$ elements per step.

    **Raises:** `ShapeError` where the shapes differ; at run time, for a mask whose masked steps are not the last.
    """

    readout: tuple[AbstractReduction, ...] = eqx.field(default=(Stack(), StepCount()), init=False)

    @checked
    def __call__(
        self, reduced: "tuple[Array, Array]", target: Shaped[Array, "time *shape"], *, record: Mapping[str, PyTree]
    ) -> Float[Array, ""]:
        difference, steps = _compared("TraceMSE", reduced, target)
        size = difference[0].size * jnp.maximum(steps, 1).astype(difference.dtype)
        return jnp.sum(jnp.square(difference)) / size

    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        _check_values("TraceMSE", targets, classes, "[n, time, outputs]")


@checked
class VanRossum(AbstractLoss):
    r"""Squared van Rossum distance of the output spike trains from wanted ones, summed over neurons.

    $$ D^2 = \frac{1}{\tau} \int_0^\infty (f - g)^2 dt, \qquad f(t) = \sum_{t_i \le t} e^{-(t - t_i)/\tau} $$

    and $g$ likewise for the target. One missing or additional spike gives 1/2; a spike moved by $\delta$ steps gives
    $1 - e^{-\delta/\tau}$. With spikes on the grid of time steps the integral is a sum, exactly:

    $$ e_k = \lambda e_{k-1} + s_k - s^*_k, \qquad \lambda = e^{-1/\tau}, \qquad
       D^2 = \frac{1 - \lambda^2}{2} \sum_{k=1}^{T} e_k^2 + \frac{\lambda^2}{2} e_T^2 $$

    The last term is the tail after the last step. Masked steps, which come last, do not count. The trace is stored.

    **Arguments:** `tau`: in steps, > 0. Large values compare spike counts, small ones the times of single spikes.

    **Shapes:** reduced `([time, *shape], T)`, target `[time, *shape]`, of any dtype; the model puts out spikes.

    **Raises:** `ValueError` for a model that does not end in spikes; `ShapeError` where the shapes differ; at run time, for a
    mask whose masked steps are not the last.

    Source: van Rossum, A novel spike distance (2001).
    """

    of_spikes: ClassVar[bool] = True

    tau: AboveZero
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(Stack(), StepCount()), init=False)

    @checked
    def __call__(
        self, reduced: "tuple[Array, Array]", target: Shaped[Array, "time *shape"], *, record: Mapping[str, PyTree]
    ) -> Float[Array, ""]:
        # The tail is exact, so that the zeros of masked steps add to the sum just what they take from the tail.
        difference, _ = _compared("VanRossum", reduced, target)
        lam = math.exp(-1.0 / self.tau)

        def filtered(e: Array, d: Array) -> tuple[Array, Array]:
            e = lam * e + d
            return e, jnp.square(e)

        last, squares = jax.lax.scan(filtered, jnp.zeros_like(difference[0]), difference)
        return jnp.sum(squares) * (1.0 - lam**2) / 2.0 + jnp.sum(jnp.square(last)) * lam**2 / 2.0

    def check_targets(self, targets: np.ndarray | Array, classes: int | None) -> None:
        _check_shape("VanRossum", np.asarray(targets), classes, "[n, time, outputs]")


def _compared(where: str, reduced: tuple[Array, Array], target: Array) -> tuple[Float[Array, "time *shape"], Array]:
    """Output minus target, zero at masked steps, in at least float32; and the number of steps that count."""
    if not isinstance(reduced, tuple) or len(reduced) != 2:
        raise TypeError(f"{where}: reduced is {describe(reduced)}, expected what simulate(readout=loss.readout) gives.")
    outputs, steps = reduced
    if target.shape != outputs.shape:
        raise ShapeError(
            f"{where}: target is {describe(target)}, but the outputs are {describe(outputs)}: [time, *features], one"
            " value for each."
        )
    live = (jnp.arange(outputs.shape[0]) < steps).reshape(-1, *(1 for _ in outputs.shape[1:]))
    wide = jnp.promote_types(outputs.dtype, jnp.float32)
    difference = outputs.astype(wide) - target.astype(wide)
    return jnp.where(live, difference, jnp.zeros_like(difference)), steps


def _check_values(where: str, targets: np.ndarray | Array, classes: int | None, axes: str) -> None:
    """Refuse a data set's targets unless they are finite floats whose last axis is that of the outputs."""
    values = np.asarray(targets)
    if not np.issubdtype(values.dtype, np.floating):
        raise DtypeError(
            f"{where}: targets are {describe(values)}, expected floats {axes}; take snnx.losses.CrossEntropy for class"
            " labels, or cast values with .astype('float32')."
        )
    _check_shape(where, values, classes, axes)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        index = tuple(int(i) for i in wrong[0])
        raise ValueError(f"{where}: targets[{', '.join(map(str, index))}] is {values[index]}, expected finite values.")


def _check_shape(where: str, targets: np.ndarray, classes: int | None, axes: str) -> None:
    """Refuse targets without the axes of the outputs."""
    if classes is not None and (targets.ndim != len(axes.split()) or targets.shape[-1] != classes):
        raise ShapeError(f"{where}: targets are {describe(targets)}, expected {axes} with {classes} outputs.")
