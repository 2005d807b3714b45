"""Codes of change, ON and OFF: delta modulation, and send-on-delta with its inverse."""

from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._jitted import run_jitted
from snnx._typing import AboveZero
from snnx._varying import varying_like
from snnx.encoding._values import (
    at_least_single,
    check_steps,
    counts_as,
    finite,
    largest_count,
    not_negative,
    positive,
)

Threshold: TypeAlias = AboveZero | Float[Array, "*shape"] | Float[Array, ""]  # of each feature, or of all


@checked
def delta(signal: Float[Array, "time *shape"], threshold: Threshold) -> Float[Array, "time 2 *shape"]:
    r"""Delta modulation: an ON or an OFF spike where a sample differs from the one before by the threshold or more.

    $$ s^\text{on}_t = H(x_t - x_{t-1} - \vartheta), \quad s^\text{off}_t = H(x_{t-1} - x_t - \vartheta), \quad H(0) = 1 $$

    The first step is silent, as there is no sample before. One spike stands for every change from the threshold up, and
    slow drifts leave none, so that the signal cannot be had back; with `send_on_delta` it can.

    Several thresholds, each with channels of its own, are a `vmap`:

    ```python
    delta(jnp.array([1.0, 2.0, 0.0]), 1.0)  # [[0., 0.], [1., 0.], [0., 1.]]
    jax.vmap(delta, in_axes=(None, 0), out_axes=1)(signal, thresholds)  # [time, thresholds, 2, *shape]
    ```

    **Arguments:**
    - `signal`: `[time, *shape]`, any finite numbers.
    - `threshold`: > 0, in units of the signal: a number, or an array, scalar or `[*shape]`, one a feature.

    **Returns:** zeros and ones, `[time, 2, *shape]`, in the dtype of `signal`: ON at index 0, OFF at index 1.

    **Raises:** `ShapeError` for no step; `ValueError` for a threshold that is not positive; an error at run time for
    an array of such thresholds, and for a signal with NaN or infinity.

    Source: Eshraghian et al., Training Spiking Neural Networks Using Lessons From Deep Learning, Proceedings of the IEEE
    (2023), sec. III.
    """
    check_steps("delta", "signal", signal)
    wide = at_least_single(signal.dtype)
    samples = finite("delta", "signal", signal).astype(wide)
    threshold = _threshold("delta", threshold, wide)
    change = jnp.diff(samples, axis=0, prepend=samples[:1])
    level = jnp.broadcast_to(threshold, signal.shape[1:])[None]
    return jnp.stack([change >= level, -change >= level], axis=1).astype(signal.dtype)


@checked
def send_on_delta(signal: Float[Array, "time *shape"], threshold: Threshold) -> Float[Array, "time 2 *shape"]:
    r"""Send-on-delta: ON and OFF events whenever the signal is whole thresholds away from a reference, which follows.

    $$ m_t = \text{trunc}\left(\frac{x_t - r_{t-1}}{\vartheta}\right), \quad r_t = r_{t-1} + \vartheta m_t, \quad r_0 = x_0, \quad
    N^\text{on}_t = \max(m_t, 0), \quad N^\text{off}_t = \max(-m_t, 0) $$

    These are counts: a jump of three thresholds is three events in one step. The reference is the decoder's view of the
    signal, and never as much as a threshold away from it (up to rounding), however long the signal. It moves back only
    once the signal does so by a whole threshold, so that noise below the threshold leaves no events.

    Several thresholds, each with channels of its own, are a `vmap`, as for `delta`.

    ```python
    send_on_delta(jnp.array([0.0, 0.9, 2.5, 1.5]), 1.0)  # [[0., 0.], [0., 0.], [2., 0.], [0., 0.]]: ON 2, at 2.5
    ```

    **Arguments:**
    - `signal`: `[time, *shape]`, any finite numbers.
    - `threshold`: > 0, in units of the signal: a number, or an array, scalar or `[*shape]`, one a feature.

    **Returns:** counts, `[time, 2, *shape]`, in the dtype of `signal`: ON at index 0, OFF at index 1. The first step is 0.

    **Raises:** `ShapeError` for no step; `ValueError` for a threshold that is not positive; an error at run time for
    an array of such thresholds, for a signal with NaN or infinity, for one more thresholds away from its start than float32
    counts (2^24; in float64 2^53), and for counts beyond the whole numbers of the dtype (256 in bfloat16).

    Source: Miskowicz, Send-On-Delta Concept: An Event-Based Data Reporting Strategy, Sensors (2006).
    """
    check_steps("send_on_delta", "signal", signal)
    wide = at_least_single(signal.dtype)
    samples = finite("send_on_delta", "signal", signal).astype(wide)
    threshold = _threshold("send_on_delta", threshold, wide)
    moves, levels = run_jitted(_moves, samples, threshold)
    lost = ~(jnp.abs(levels) <= largest_count(wide))
    message = f"send_on_delta: the signal goes further, in thresholds, than {wide.name} counts; take a higher one."
    moves = eqx.error_if(moves, lost, message)
    events = jnp.stack([jnp.maximum(moves, 0), jnp.maximum(-moves, 0)], axis=1)
    return counts_as("send_on_delta", events, signal.dtype)


def _moves(samples: Float[Array, "time *shape"], threshold: Array) -> tuple[Array, Array]:
    """By how many thresholds the reference moves at each step, and how many it is then away from its start."""
    start = samples[0]

    # The level is a whole number, r = start + threshold level, so that rounding does not add up.
    def step(level: Array, sample: Array) -> tuple[Array, tuple[Array, Array]]:
        moved = jnp.trunc((sample - (start + threshold * level)) / threshold)
        return level + moved, (moved, level + moved)

    return jax.lax.scan(step, varying_like(jnp.zeros_like(start), samples, threshold), samples)[1]


@checked
def send_on_delta_inverse(
    events: Float[Array, "time 2 *shape"], threshold: Threshold, start: Float[Array, "*shape"]
) -> Float[Array, "time *shape"]:
    r"""The reference that the events of `send_on_delta` describe.

    $$ r_t = x_0 + \vartheta \sum_{s \le t} (N^\text{on}_s - N^\text{off}_s) $$

    The signal was less than a threshold away from it at every step: $|x_t - r_t| < \vartheta$, up to rounding.

    **Arguments:**
    - `events`: `[time, 2, *shape]`, counts, ON and OFF.
    - `threshold`: as for `send_on_delta`.
    - `start`: `[*shape]`, the first sample of the signal, $x_0$.

    **Returns:** `[time, *shape]`, in the dtype of `events`.

    **Raises:** `ShapeError` for no step; `ValueError` for a threshold that is not positive; an error at run time for
    an array of such thresholds, for counts that are negative or not finite, and for a start with NaN or infinity.
    """
    check_steps("send_on_delta_inverse", "events", events)
    wide = at_least_single(events.dtype)
    counts = not_negative("send_on_delta_inverse", "events", events).astype(wide)
    start = finite("send_on_delta_inverse", "start", start).astype(wide)
    threshold = _threshold("send_on_delta_inverse", threshold, wide)
    levels = jnp.cumsum(counts[:, 0] - counts[:, 1], axis=0)
    return (start[None] + jnp.broadcast_to(threshold, start.shape)[None] * levels).astype(events.dtype)


def _threshold(where: str, threshold: Threshold, dtype: DTypeLike) -> Float[Array, "*shape"]:
    """The threshold as an array of that dtype, refused at run time unless positive and finite."""
    return positive(where, "threshold", jnp.asarray(threshold, dtype))
