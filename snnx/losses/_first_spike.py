from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from snnx.losses._labels import as_classes, check_label, check_labels
from snnx.losses._loss import AbstractLoss, Reductions, check_number
from snnx.losses._spike_times import check_cross_entropy, check_times, cross_entropy_of_times, target_times
from snnx.losses._spiking import check_spiking
from snnx.reductions import AbstractReduction, FirstSpike


class FirstSpikeCrossEntropy(AbstractLoss):
    r"""Cross-entropy of the times of the first spikes: the earlier, the more likely.

    $$ L = -\log \frac{e^{-t_\text{label} / \tau}}{\sum_c e^{-t_c / \tau}}
           + \alpha \left( e^{t_\text{label} / \tau_\text{early}} - 1 \right) $$

    where $t_c$ is the step, from 0, of the first spike of output neuron $c$. A neuron that stays silent counts as
    firing at $T$, one step after the last (the "phantom spike"). The second term draws the label's spike to earlier
    times; by default there is none.

    Its gradient is `FirstSpike`'s: a spike at step $j$ counts by how much it would change $t_c$, which is $-(T - j)$
    for a silent neuron. So the label's neuron is pulled to fire even where all are silent, as long as the surrogate
    has a derivative that far below the threshold (`ATan`, `SuperSpike`: everywhere; `Boxcar`, `Triangular`: within
    their width). Exact gradients leave a silent neuron as it is: add `WakeSilent`.

    **Arguments:**
    - `tau`: in steps, > 0. Differences of first spikes well above it count as certain.
    - `alpha`: weight of the second term, >= 0.
    - `tau_early`: in steps, > 0; needed where `alpha` is not 0.

    **Shapes:** reduced `[classes]`, target an integer label; the model puts out spikes. The scores are $-t_c$. A label
    that is no class gives NaN.

    **Raises:** `ValueError` for a model that ends in no spikes, and for numbers out of range.

    Source: Goltz et al., Fast and energy-efficient neuromorphic deep learning with first-spike times (2021), and
    Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021).
    Of times that are no steps: `first_spike_cross_entropy`.
    """

    tau: float
    alpha: float = 0.0
    tau_early: float | None = None
    readout: AbstractReduction = eqx.field(default=FirstSpike(), init=False)

    def __check_init__(self):
        check_cross_entropy("FirstSpikeCrossEntropy", self.tau, self.alpha, self.tau_early)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        times = as_classes("FirstSpikeCrossEntropy", reduced)
        label = check_label("FirstSpikeCrossEntropy", target)
        return cross_entropy_of_times(times, label, self.tau, self.alpha, self.tau_early)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return -reduced

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("FirstSpikeCrossEntropy", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("FirstSpikeCrossEntropy", targets, classes)


class FirstSpikeMSE(AbstractLoss):
    r"""Mean squared distance of the output neurons' first spikes from wanted steps.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (t_c - t^*_c)^2, \qquad
       t^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    where $t_c$ is the step, from 0, of the first spike of output neuron $c$. A neuron that stays silent counts as
    firing at $T$, one step after the last: `incorrect=T` wants the others silent. The gradient is `FirstSpike`'s.

    **Arguments:** `correct`, `incorrect`: the steps at which the label's neuron and the others are to fire first, >= 0.

    **Shapes:** reduced `[classes]`, target an integer label; the model puts out spikes. The scores are $-t_c$. A label
    that is no class gives NaN.

    **Raises:** `ValueError` for a model that ends in no spikes, and unless `0 <= correct < incorrect`.

    Of times that are no steps: `spike_time_mse`; for a wanted step of each output of its own: `MSE(FirstSpike())`.
    """

    correct: float
    incorrect: float
    readout: AbstractReduction = eqx.field(default=FirstSpike(), init=False)

    def __check_init__(self):
        check_number("FirstSpikeMSE", "correct", self.correct)
        check_number("FirstSpikeMSE", "incorrect", self.incorrect)
        check_times("FirstSpikeMSE", self.correct, self.incorrect)

    def __call__(self, reduced: Array, target: ArrayLike, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        times = as_classes("FirstSpikeMSE", reduced)
        label = check_label("FirstSpikeMSE", target)
        wanted = target_times(label, times.shape[0], correct=self.correct, incorrect=self.incorrect)
        return jnp.mean(jnp.square(times - wanted))

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return -reduced

    def taps(self, model: PyTree) -> Mapping[str, Reductions]:
        check_spiking("FirstSpikeMSE", model)
        return {}

    def check_targets(self, targets: "np.ndarray | Array", classes: int | None) -> None:
        check_labels("FirstSpikeMSE", targets, classes)
