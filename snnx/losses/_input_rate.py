import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked


@checked
def input_rate(xs: Float[Array, "time *shape"], window: int) -> Float[Array, "time"]:
    r"""Weights over time that follow the input's own rate: smoothed, and 1 in the mean.

    $$ n_t = \sum_i x_{t,i}, \qquad r_t = \frac{1}{\min(t + 1, W)} \sum_{k=\max(0,\, t-W+1)}^{t} n_k, \qquad
       w_t = r_t \Big/ \frac{1}{T} \sum_{k=0}^{T-1} r_k, \qquad t = 0 \ldots T-1 $$

    For `Weighted(weights)`, in a training loop of one's own: what an output says counts most while much comes in. (A
    loss of `fit` cannot have these weights: it sees what parts of the model put out, and none of them is the input.)

    ```python
    weights = snnx.losses.input_rate(xs, window=10)
    reduced, _ = snnx.simulate(model, xs, readout=snnx.reductions.Weighted(weights, mean=True))
    ```

    **Arguments:**
    - `xs`: `[time, *shape]`, spikes or counts of one example.
    - `window`: $W$, steps, >= 1. A membrane follows its input with a delay: about the time constant of the readout.

    **Returns:** `[time]`, in at least float32; ones for an input without any spike.

    **Raises:** `ValueError` unless `window >= 1`; at run time, for negative inputs.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025); they smooth by a leaky integrator rather than by a moving mean.
    """
    if window < 1:
        raise ValueError(f"input_rate: window is {window} steps, expected at least 1.")
    xs = eqx.error_if(xs, jnp.any(xs < 0), "input_rate: xs holds values below 0; expected spikes or counts.")
    steps = xs.shape[0]
    counts = jnp.sum(xs.reshape(steps, -1), axis=1, dtype=jnp.promote_types(xs.dtype, jnp.float32))
    so_far = jnp.cumsum(counts)
    left_behind = jnp.concatenate([jnp.zeros(window, so_far.dtype), so_far])[:steps]
    rates = (so_far - left_behind) / jnp.minimum(jnp.arange(1, steps + 1), window).astype(so_far.dtype)
    mean = jnp.mean(rates)
    return jnp.where(mean > 0, rates / jnp.where(mean > 0, mean, 1.0), 1.0)
