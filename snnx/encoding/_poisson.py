import jax
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx.encoding._check import at_least_single, check_count, check_positive, counts_as, not_negative


@checked
def poisson(
    rates: Float[Array, "*shape"], steps: int, *, dt: float, key: Key[Array, ""]
) -> Float[Array, "time *shape"]:
    r"""Poisson process: how many spikes fall into each step.

    $$ N_t \sim \text{Poisson}(r \, \Delta t) $$

    These are counts, as a step may hold several spikes. `jnp.minimum(counts, 1)` keeps whether there was any, which has
    probability $1 - e^{-r \Delta t}$. `rate(rates * dt, steps, key=key)` puts out at most one with probability
    $r \Delta t$; both approach the counts as $r \Delta t$ goes to 0.

    ```python
    poisson(jnp.array([20.0, 300.0]), 500, dt=1e-3, key=key).sum(axis=0)  # about [10., 150.]: Hz, for half a second
    ```

    **Arguments:**
    - `rates`: `[*shape]`, spikes per unit of `dt`, >= 0: in Hz where `dt` is in seconds.
    - `steps`: number of time steps.
    - `dt`: duration of a step.
    - `key`: decides the spikes; of JAX's default kind (threefry), the only one that `jax.random.poisson` takes.

    **Returns:** counts, `[steps, *shape]`, in the dtype of `rates`.

    **Raises:** `ValueError` for `steps < 1`, or `dt` not positive; an error at run time for rates that are negative or
    not finite, and for counts beyond the whole numbers of the dtype (256 in bfloat16, 2^24 in float32).

    Source: Gerstner & Kistler, Spiking Neuron Models (2002), ch. 5.
    """
    check_count("poisson", "steps", steps)
    check_positive("poisson", "dt", dt)
    wide = at_least_single(rates.dtype)
    expected = not_negative("poisson", "rates", rates).astype(wide) * dt
    counts = jax.random.poisson(key, expected[None], (steps, *rates.shape)).astype(wide)
    return counts_as("poisson", counts, rates.dtype)
