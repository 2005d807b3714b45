from collections.abc import Mapping

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from snnx.losses._labels import as_classes, check_label, check_labels, cross_entropy
from snnx.losses._loss import AbstractLoss, Reductions, check_number
from snnx.losses._spiking import check_spiking
from snnx.reductions import AbstractReduction, FirstSpike


class FirstSpikeCrossEntropy(AbstractLoss):
    r"""Cross-entropy of the times of the first spikes: the earlier, the more likely.

    $$ L = -\log \frac{e^{-t_\text{label} / \tau}}{\sum_c e^{-t_c / \tau}} $$

    where $t_c$ is the step, from 0, of the first spike of output neuron $c$. A neuron that stays silent counts as
    firing at $T$, one step after the last.

    Its gradient is `FirstSpike`'s: a spike at step $j$ counts by how much it would change $t_c$, which is $-(T - j)$
    for a silent neuron. So the label's neuron is pulled to fire even where all are silent, as long as the surrogate
    has a derivative that far below the threshold (`ATan`, `SuperSpike`: everywhere; `Boxcar`, `Triangular`: within
    their width).

    **Arguments:** `tau`: in steps, > 0. Differences of first spikes well above it count as certain.

    **Shapes:** reduced `[classes]`, target an integer label; the model puts out spikes. The scores are $-t_c$. A label
    that is no class gives NaN.

    **Raises:** `ValueError` for a model that ends in no spikes, and unless `tau > 0`.

    Source: Goltz et al., Fast and energy-efficient neuromorphic deep learning with first-spike times (2021), and
    Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021),
    without their second term, which draws the label's spike to earlier times.
    """

    tau: float
    readout: AbstractReduction = eqx.field(default=FirstSpike(), init=False)

    def __check_init__(self):
        check_number("FirstSpikeCrossEntropy", "tau", self.tau, positive=True)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        times = as_classes("FirstSpikeCrossEntropy", reduced)
        label = check_label("FirstSpikeCrossEntropy", target)
        return cross_entropy(jax.nn.log_softmax(-times / self.tau), label, 0.0)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return -reduced

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("FirstSpikeCrossEntropy", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("FirstSpikeCrossEntropy", targets, classes)
