"""Losses of spike times. Two are of first spikes on the grid of time steps.

The functions take times in any unit, continuous or counted in steps, of ONE example.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._typing import AboveZero, Count, NotNegative, Number
from snnx.losses._cross_entropy import AbstractClassLoss, Label, as_classes, cross_entropy, is_class
from snnx.reductions import AbstractReduction, FirstSpike


@checked
class FirstSpikeCrossEntropy(AbstractClassLoss):
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
    that is not a class gives NaN.

    **Raises:** `ValueError` for a model that does not end in spikes, and for `alpha` without `tau_early`.

    Source: Goltz et al., Fast and energy-efficient neuromorphic deep learning with first-spike times (2021), and
    Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks (2021).
    Of times that are not steps: `first_spike_cross_entropy`.
    """

    of_spikes: ClassVar[bool] = True

    tau: AboveZero
    alpha: NotNegative = 0.0
    tau_early: AboveZero | None = None
    readout: AbstractReduction = eqx.field(default=FirstSpike(), init=False)

    def __check_init__(self):
        _check_pull("FirstSpikeCrossEntropy", self.alpha, self.tau_early)

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        times = as_classes("FirstSpikeCrossEntropy", reduced)
        return _cross_entropy_of_times(times, target, self.tau, self.alpha, self.tau_early)

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return -reduced


@checked
class FirstSpikeMSE(AbstractClassLoss):
    r"""Mean squared distance of the output neurons' first spikes from wanted steps.

    $$ L = \frac{1}{C} \sum_{c=1}^{C} (t_c - t^*_c)^2, \qquad
       t^*_c = \texttt{correct}\ \text{if}\ c = \text{label, else}\ \texttt{incorrect} $$

    where $t_c$ is the step, from 0, of the first spike of output neuron $c$. A neuron that stays silent counts as
    firing at $T$, one step after the last: `incorrect=T` wants the others silent. The gradient is `FirstSpike`'s.

    **Arguments:** `correct`, `incorrect`: the steps at which the label's neuron and the others are to fire first, >= 0.

    **Shapes:** reduced `[classes]`, target an integer label; the model puts out spikes. The scores are $-t_c$. A label
    that is not a class gives NaN.

    **Raises:** `ValueError` for a model that does not end in spikes, and unless `correct < incorrect`.

    Of times that are not steps: `spike_time_mse`; for a wanted step of each output of its own: `MSE(FirstSpike())`.
    """

    of_spikes: ClassVar[bool] = True

    correct: NotNegative
    incorrect: NotNegative
    readout: AbstractReduction = eqx.field(default=FirstSpike(), init=False)

    def __check_init__(self):
        _check_times("FirstSpikeMSE", self.correct, self.incorrect)

    @checked
    def __call__(self, reduced: Array, target: Label, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        times = as_classes("FirstSpikeMSE", reduced)
        wanted = target_times(target, times.shape[0], correct=self.correct, incorrect=self.incorrect)
        return jnp.mean(jnp.square(times - wanted))

    def scores(self, reduced: Array) -> Float[Array, "classes"]:
        return -reduced


@checked
def first_spike_cross_entropy(
    times: Float[Array, "classes"],
    label: Label,
    *,
    tau: AboveZero,
    duration: NotNegative,
    alpha: NotNegative = 0.0,
    tau_early: AboveZero | None = None,
) -> Float[Array, ""]:
    r"""Cross-entropy of the times of the first spikes, the earlier being the more likely, and a pull to early spikes.

    $$ L = -\log \frac{e^{-t_\text{label} / \tau}}{\sum_c e^{-t_c / \tau}}
           + \alpha \left( e^{t_\text{label} / \tau_\text{early}} - 1 \right) $$

    A neuron that stays silent, with $t_c = \infty$, counts as if it fired when the example ends (the "phantom spike").
    No gradient flows to such a time: nothing moves a spike that is not there.

    **Arguments:**
    - `times`: `[classes]`, the first spike of each output neuron, `inf` where it stays silent.
    - `label`: an integer; one that is not a class gives NaN.
    - `tau`: in the unit of `times`, > 0. Differences well above it count as certain.
    - `duration`: of the example, in the unit of `times`.
    - `alpha`: weight of the second term, `earliest_spike_penalty`, >= 0.
    - `tau_early`: in the unit of `times`, > 0; needed where `alpha` is not 0.

    **Returns:** the loss, in at least float32.

    **Raises:** `ValueError` for `alpha` without `tau_early`.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks
    (2021). Here the second term adds to the loss, so that it draws the label's spike to earlier times.
    """
    _check_pull("first_spike_cross_entropy", alpha, tau_early)
    times = _with_phantoms(as_classes("first_spike_cross_entropy", times), duration)
    return _cross_entropy_of_times(times, label, tau, alpha, tau_early)


@checked
def earliest_spike_penalty(time: Float[Array, ""], *, alpha: NotNegative, tau_early: AboveZero) -> Float[Array, ""]:
    r"""Draws a spike to earlier times: $\alpha\, (e^{t / \tau_\text{early}} - 1)$.

    **Arguments:**
    - `time`: of the first spike of the label's neuron; finite: that of a silent neuron counts as the end of the example.
    - `alpha`: weight, >= 0.
    - `tau_early`: in the unit of `time`, > 0. The pull grows by a factor of $e$ with each.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks
    (2021).
    """
    return alpha * jnp.expm1(time / tau_early)


@checked
def spike_time_mse(
    times: Float[Array, "*shape"], targets: Float[Array, "*shape"], *, duration: NotNegative, scale: AboveZero = 1.0
) -> Float[Array, ""]:
    r"""Mean squared distance of spike times from wanted ones, $\frac{1}{N} \sum_{i=1}^{N} ((t_i - t^*_i) / \texttt{scale})^2$.

    A neuron that stays silent, with $t_i = \infty$, counts as if it fired when the example ends; so does one that is
    wanted silent, with $t^*_i = \infty$. No gradient flows to such a time.

    **Arguments:**
    - `times`, `targets`: `[*shape]`, in one unit, `inf` for silence. Of labels, `target_times` makes targets.
    - `duration`: of the example, in the unit of `times`.
    - `scale`: the unit in which distances are measured, > 0.

    **Returns:** the loss, in at least float32.
    """
    wide = jnp.promote_types(times.dtype, jnp.float32)
    distance = _with_phantoms(times.astype(wide), duration) - _with_phantoms(targets.astype(wide), duration)
    return jnp.mean(jnp.square(distance / scale))


@checked
def target_times(label: Label, classes: Count, *, correct: Number, incorrect: float) -> Float[Array, "classes"]:
    """The wanted time of each output neuron's first spike: `correct` for the label's, `incorrect` for the others.

    **Arguments:**
    - `label`: an integer; one that is not a class gives NaN.
    - `classes`: how many output neurons there are.
    - `correct`, `incorrect`: times in any unit, `correct < incorrect`; `incorrect=math.inf` wants silence.

    **Raises:** `ValueError` unless `correct < incorrect`.
    """
    _check_times("target_times", correct, incorrect)
    own = is_class(label, classes)
    # Python numbers, so that the times take the dtype of what they are compared with.
    return jnp.where(jnp.any(own), jnp.where(own, float(correct), float(incorrect)), math.nan)


def _with_phantoms(times: Float[Array, "*shape"], duration: float) -> Float[Array, "*shape"]:
    """The times with `duration` for `inf`."""
    return jnp.where(jnp.isposinf(times), jnp.asarray(duration, times.dtype), times)


def _cross_entropy_of_times(
    times: Float[Array, "classes"], label: Label, tau: float, alpha: float, tau_early: float | None
) -> Float[Array, ""]:
    """The formula of `first_spike_cross_entropy`, of finite times."""
    loss = cross_entropy(jax.nn.log_softmax(-times / tau), label, 0.0)
    if alpha and tau_early is not None:
        own = jnp.sum(jnp.where(is_class(label, times.shape[0]), times, 0.0))
        loss += earliest_spike_penalty(own, alpha=alpha, tau_early=tau_early)
    return loss


def _check_pull(where: str, alpha: float, tau_early: float | None) -> None:
    """Refuse a second term without its time constant."""
    if alpha and tau_early is None:
        raise ValueError(
            f"{where}: alpha is {alpha!r}, but tau_early is None; expected the time constant of the pull to early"
            " spikes, in the unit of tau."
        )


def _check_times(where: str, correct: float, incorrect: float) -> None:
    """Refuse wanted times unless that of the label comes first."""
    if not correct < incorrect:
        raise ValueError(
            f"{where}: correct is {correct!r} and incorrect is {incorrect!r}, expected correct < incorrect: the label's"
            " neuron fires first."
        )
