import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from snnx._errors import ShapeError, describe
from snnx.cells import replace
from snnx.parameters import at_least_float32


def fold_batch_norm(
    layer: PyTree,
    *,
    mean: Float[Array, "channels"],
    variance: Float[Array, "channels"],
    scale: Float[Array, "channels"] | None = None,
    shift: Float[Array, "channels"] | None = None,
    eps: float = 1e-5,
) -> PyTree:
    r"""A layer and the batch normalisation behind it as one layer: exact in inference, where the statistics are constants.

    $$ \gamma \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b', \qquad
       W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \quad
       b' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu) + \beta $$

    NIR has no normalisation, and a network that was trained with one is exported so. (Norms of snnx and Equinox that look at
    the input itself, `ThresholdNorm` and `LayerNorm`, are no constants, and cannot be folded.)

    **Arguments:**
    - `layer`: an `eqx.nn.Linear` or a convolution, with or without bias.
    - `mean`, `variance`: $\mu$, $\sigma^2$, the running statistics; `scale`, `shift`: $\gamma$, $\beta$, by default 1 and 0;
        one number for each channel of the layer's output.
    - `eps`: $\epsilon$, as the normalisation had it.

    **Returns:** a layer of the same kind, with a bias.
    **Raises:** `TypeError` for other layers; `ShapeError` where numbers and channels do not fit.
    """
    if not isinstance(layer, (eqx.nn.Linear, eqx.nn.Conv)):
        raise TypeError(f"fold_batch_norm: layer is {describe(layer)}; expected an eqx.nn.Linear or a convolution.")
    channels, rest = layer.weight.shape[0], (1,) * (layer.weight.ndim - 1)
    dtype = layer.weight.dtype
    given = {"mean": mean, "variance": variance, "scale": scale, "shift": shift}
    for name, numbers in given.items():
        if numbers is not None and not hasattr(numbers, "dtype"):
            raise TypeError(f"fold_batch_norm: {name} is {describe(numbers)}; expected an array.")
        if numbers is not None and jnp.shape(numbers) != (channels,):
            raise ShapeError(f"fold_batch_norm: {name} is {describe(numbers)}, expected [{channels}], one a channel.")
    if not isinstance(variance, Tracer) and not bool(jnp.all(variance + eps > 0)):
        raise ValueError(f"fold_batch_norm: variance holds {jnp.min(variance):g}; expected numbers >= 0.")
    mean, variance = at_least_float32(mean), at_least_float32(variance)
    factor = (1.0 if scale is None else at_least_float32(scale)) / jnp.sqrt(variance + eps)
    before = jnp.zeros(channels) if layer.bias is None else layer.bias.reshape(channels)
    bias = factor * (before - mean) + (0.0 if shift is None else at_least_float32(shift))
    weight = factor.reshape(-1, *rest) * layer.weight
    shape = (channels,) if isinstance(layer, eqx.nn.Linear) else (channels, *rest[1:])
    return replace(layer, weight=weight.astype(dtype), bias=bias.astype(dtype).reshape(shape), use_bias=True)
