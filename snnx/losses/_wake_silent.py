from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from snnx._checks import checked
from snnx._typing import NotNegative
from snnx.cells import find
from snnx.losses._loss import AbstractLoss
from snnx.losses._rates import added_up, as_paths, parts_that_spike
from snnx.parameters import Parameter, value
from snnx.reductions import AbstractReduction, Max, Mean


@checked
class WakeSilent(AbstractLoss):
    r"""Draws the membranes of silent neurons to their threshold, so that they wake up; summed over layers.

    $$ L = \sum_l \frac{1}{M_l} \sum_{i\ \text{silent}} \Big[ \vartheta_i + \texttt{margin} - \max_t v_{i,t} \Big]_+ $$

    A neuron is silent in an example in which it has no spike at all; the mean is over all $M_l$ neurons of a layer.
    Masked steps do not count. The gradient flows through the recorded membrane, from the step at which it came nearest
    to the threshold, and to the threshold where that is learned. It needs neither a spike, as exact gradients do, nor a
    surrogate with a derivative that far below the threshold, as `LowerRate` does. Target and outputs are
    ignored.

    **Arguments:**
    - `margin`: how far above its threshold a silent neuron is drawn, in the unit of the membrane, >= 0.
    - `paths`: of the layers (`"1"`, `"3.neuron"`); by default all parts that spike. They are neurons with a membrane
        `v` in their state and a `threshold`.

    **Raises:** `ValueError` for a model without any part that spikes, and for parts that have no threshold or no membrane.

    Between the batches of a loop of your own, `snnx.train.wake_silent_weights` does the same to the weights.
    """

    margin: NotNegative
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __call__(self, reduced: PyTree, target: Any, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        layers = [path for path in record if _membrane(path) in record]
        return added_up("WakeSilent", [self._penalty(record[path], record[_membrane(path)]) for path in layers])

    def _penalty(self, rates: Float[Array, "*shape"], nearest: Float[Array, "*shape"]) -> Float[Array, ""]:
        below = jax.nn.relu(self.margin - nearest)
        return jnp.mean(jnp.where(rates == 0, below, 0.0), dtype=rates.dtype)

    def taps(self, model: PyTree) -> dict[str, AbstractReduction]:
        """The rate of every neuron, and how near its membrane came to its threshold."""
        taps: dict[str, AbstractReduction] = {}
        for path in parts_that_spike("WakeSilent", model, self.paths):
            part: Any = find(model, path)
            if not hasattr(part, "threshold"):
                inner = "".join(f" Its parts: {', '.join(part.children())}." if part.children() else "")
                raise ValueError(
                    f"WakeSilent: part {path!r}, a {type(part).__name__}, has no threshold; name the neurons that are"
                    f" meant, e.g. paths=('1', '3.neuron').{inner}"
                )
            taps |= {path: Mean(), _membrane(path): _Nearest(part.threshold)}
        return taps


def _membrane(path: str) -> str:
    """The path of the membrane of the neuron at a path."""
    return f"{path}.v" if path else "v"


class _Nearest(AbstractReduction):
    r"""How near a membrane came to its threshold, $\max_t v_t - \vartheta$."""

    threshold: Parameter

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> PyTree:
        return Max().init(like, steps)

    def step(self, carry: PyTree, xs: Array, times: Int[Array, "time"], mask: "Array | None") -> PyTree:
        return Max().step(carry, xs, times, mask)

    def finish(self, carry: PyTree) -> Array:
        return Max().finish(carry) - value(self.threshold)
