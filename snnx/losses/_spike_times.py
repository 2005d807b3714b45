"""Losses of spike times, in any unit of time, continuous or counted in steps: plain functions of ONE example."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from snnx._checks import checked
from snnx._errors import describe
from snnx.losses._labels import as_classes, check_label, cross_entropy, is_class
from snnx.losses._loss import check_number


@checked
def first_spike_cross_entropy(
    times: Float[Array, "classes"],
    label: ArrayLike,
    *,
    tau: float,
    duration: float,
    alpha: float = 0.0,
    tau_early: float | None = None,
) -> Float[Array, ""]:
    r"""Cross-entropy of the times of the first spikes, the earlier being the more likely, and a pull to early spikes.

    $$ L = -\log \frac{e^{-t_\text{label} / \tau}}{\sum_c e^{-t_c / \tau}}
           + \alpha \left( e^{t_\text{label} / \tau_\text{early}} - 1 \right) $$

    A neuron that stays silent, with $t_c = \infty$, counts as if it fired when the example ends (the "phantom spike").
    No gradient flows to such a time: nothing moves a spike that is not there.

    **Arguments:**
    - `times`: `[classes]`, the first spike of each output neuron, `inf` where it stays silent.
    - `label`: an integer; one that is no class gives NaN.
    - `tau`: in the unit of `times`, > 0. Differences well above it count as certain.
    - `duration`: of the example, in the unit of `times`.
    - `alpha`: weight of the second term, `earliest_spike_penalty`, >= 0.
    - `tau_early`: in the unit of `times`, > 0; needed where `alpha` is not 0.

    **Returns:** the loss, in at least float32.

    **Raises:** `ValueError` for numbers out of range; `ShapeError`, `DtypeError` for times or a label of another kind.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks
    (2021). Here the second term adds to the loss, so that it draws the label's spike to earlier times.
    """
    check_cross_entropy("first_spike_cross_entropy", tau, alpha, tau_early)
    check_number("first_spike_cross_entropy", "duration", duration)
    times = with_phantoms(as_classes("first_spike_cross_entropy", times), duration)
    label = check_label("first_spike_cross_entropy", label)
    return cross_entropy_of_times(times, label, tau, alpha, tau_early)


@checked
def earliest_spike_penalty(time: Float[Array, ""], *, alpha: float, tau_early: float) -> Float[Array, ""]:
    r"""Draws a spike to earlier times: $\alpha\, (e^{t / \tau_\text{early}} - 1)$.

    **Arguments:**
    - `time`: of the first spike of the label's neuron; finite: that of a silent neuron counts as the end of the example.
    - `alpha`: weight, >= 0.
    - `tau_early`: in the unit of `time`, > 0. The pull grows by a factor of $e$ with each.

    **Raises:** `ValueError` for numbers out of range.

    Source: Wunderlich & Pehle, Event-based backpropagation can compute exact gradients for spiking neural networks
    (2021).
    """
    check_number("earliest_spike_penalty", "alpha", alpha)
    check_number("earliest_spike_penalty", "tau_early", tau_early, positive=True)
    return alpha * jnp.expm1(time / tau_early)


@checked
def spike_time_mse(
    times: Float[Array, "*shape"], targets: Float[Array, "*shape"], *, duration: float, scale: float = 1.0
) -> Float[Array, ""]:
    r"""Mean squared distance of spike times from wanted ones, $\frac{1}{N} \sum_{i=1}^{N} ((t_i - t^*_i) / \texttt{scale})^2$.

    A neuron that stays silent, with $t_i = \infty$, counts as if it fired when the example ends; so does one that is
    wanted silent, with $t^*_i = \infty$. No gradient flows to such a time.

    **Arguments:**
    - `times`, `targets`: `[*shape]`, in one unit, `inf` for silence. Of labels, `target_times` makes targets.
    - `duration`: of the example, in the unit of `times`.
    - `scale`: the unit in which distances are measured, > 0.

    **Returns:** the loss, in at least float32.

    **Raises:** `ValueError` for numbers out of range; `ShapeError`, `DtypeError` for arrays of another kind.
    """
    check_number("spike_time_mse", "duration", duration)
    check_number("spike_time_mse", "scale", scale, positive=True)
    wide = jnp.promote_types(times.dtype, jnp.float32)
    distance = with_phantoms(times.astype(wide), duration) - with_phantoms(targets.astype(wide), duration)
    return jnp.mean(jnp.square(distance / scale))


@checked
def target_times(label: ArrayLike, classes: int, *, correct: float, incorrect: float) -> Float[Array, "classes"]:
    """The wanted time of each output neuron's first spike: `correct` for the label's, `incorrect` for the others.

    **Arguments:**
    - `label`: an integer; one that is no class gives NaN.
    - `classes`: how many output neurons there are.
    - `correct`, `incorrect`: times in any unit, `correct < incorrect`; `incorrect=math.inf` wants silence.

    **Raises:** `ValueError` unless `correct < incorrect` and `classes >= 1`.
    """
    check_times("target_times", correct, incorrect)
    if classes < 1:
        raise ValueError(f"target_times: classes is {classes}, expected at least 1.")
    own = is_class(check_label("target_times", label), classes)
    # Python numbers, so that the times take the dtype of what they are compared with.
    return jnp.where(jnp.any(own), jnp.where(own, float(correct), float(incorrect)), math.nan)


def with_phantoms(times: Float[Array, "*shape"], duration: float) -> Float[Array, "*shape"]:
    """The times with `duration` for `inf`."""
    return jnp.where(jnp.isposinf(times), jnp.asarray(duration, times.dtype), times)


def cross_entropy_of_times(
    times: Float[Array, "classes"], label: Int[Array, ""], tau: float, alpha: float, tau_early: float | None
) -> Float[Array, ""]:
    """The formula of `first_spike_cross_entropy`, of finite times."""
    loss = cross_entropy(jax.nn.log_softmax(-times / tau), label, 0.0)
    if alpha and tau_early is not None:
        own = jnp.sum(jnp.where(is_class(label, times.shape[0]), times, 0.0))
        loss += earliest_spike_penalty(own, alpha=alpha, tau_early=tau_early)
    return loss


def check_cross_entropy(where: str, tau: float, alpha: float, tau_early: float | None) -> None:
    """Refuse numbers out of range, and a second term without its time constant."""
    check_number(where, "tau", tau, positive=True)
    check_number(where, "alpha", alpha)
    if tau_early is not None:
        check_number(where, "tau_early", tau_early, positive=True)
    elif alpha:
        raise ValueError(
            f"{where}: alpha is {alpha!r}, but tau_early is None; expected the time constant of the pull to early"
            " spikes, in the unit of tau."
        )


def check_times(where: str, correct: float, incorrect: float) -> None:
    """Refuse wanted times unless that of the label comes first."""
    check_number(where, "correct", correct, -math.inf)
    if not isinstance(incorrect, int | float) or not correct < incorrect:
        raise ValueError(
            f"{where}: correct is {correct!r} and incorrect is {describe(incorrect)}, expected correct < incorrect: the"
            " label's neuron fires first."
        )
