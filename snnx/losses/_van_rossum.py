import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from snnx.losses._loss import AbstractLoss, Reductions, check_number
from snnx.losses._spiking import check_spiking
from snnx.losses._trace import StepCount, check_shape, compared
from snnx.reductions import AbstractReduction, Stack


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

    **Raises:** `ValueError` for a model that ends in no spikes, and unless `tau > 0`; `ShapeError` where the shapes
    differ; at run time, for a mask whose
    masked steps are not the last.

    Source: van Rossum, A novel spike distance (2001).
    """

    tau: float
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(Stack(), StepCount()), init=False)

    def __check_init__(self):
        check_number("VanRossum", "tau", self.tau, positive=True)

    def __call__(
        self, reduced: tuple[Array, Array], target: ArrayLike, *, record: Mapping[str, PyTree]
    ) -> Float[Array, ""]:
        # The tail is exact, so that the zeros of masked steps add to the sum just what they take from the tail.
        difference, _ = compared("VanRossum", reduced, target)
        lam = math.exp(-1.0 / self.tau)

        def filtered(e: Array, d: Array) -> tuple[Array, Array]:
            e = lam * e + d
            return e, jnp.square(e)

        last, squares = jax.lax.scan(filtered, jnp.zeros_like(difference[0]), difference)
        return jnp.sum(squares) * (1.0 - lam**2) / 2.0 + jnp.sum(jnp.square(last)) * lam**2 / 2.0

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("VanRossum", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_shape("VanRossum", np.asarray(targets), classes, "[n, time, outputs]")
