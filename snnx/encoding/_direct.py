import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx.encoding._check import check_count, finite


@checked
def direct(values: Float[Array, "*shape"], steps: int) -> Float[Array, "time *shape"]:
    r"""Direct code: the value as a constant current, so that the first layer learns how to turn it into spikes.

    $$ x_t = x $$

    Every step is the value itself, which is the inverse. `snnx.inputs.Constant` is the same input stored once.

    ```python
    direct(jnp.array([0.2, -1.0]), 2)  # [[0.2, -1.], [0.2, -1.]]
    ```

    **Arguments:**
    - `values`: `[*shape]`, any finite numbers.
    - `steps`: number of time steps.

    **Returns:** `[steps, *shape]`, in the dtype of `values`.

    **Raises:** `ValueError` for `steps < 1`; an error at run time for NaN and infinity.

    Source: Rueckauer, Lungu, Hu, Pfeiffer & Liu, Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven
    Networks for Image Classification, Frontiers in Neuroscience (2017).
    """
    check_count("direct", "steps", steps)
    values = finite("direct", "values", values)
    return jnp.broadcast_to(values[None], (steps, *values.shape))
