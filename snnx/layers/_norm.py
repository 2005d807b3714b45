import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe
from snnx.parameters import Parameter, at_least_float32, check_positive, value


class ThresholdNorm(eqx.Module):
    r"""Normalises the input currents of a spiking layer to the scale of its threshold, within one time step.

    $$ y_c = \gamma_c\, \alpha\, \vartheta\, \frac{x_c - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_c, \qquad
       \mu = \text{mean}(x), \quad \sigma^2 = \text{var}(x) $$

    with mean and variance over all channels and places of this one step of this one example. It stands between a
    `Linear` or `Conv` layer and its neurons, whose inputs then have the standard deviation $\alpha\vartheta$:

    ```python
    snnx.Sequential([eqx.nn.Conv2d(2, 16, 3, key=key), snnx.layers.ThresholdNorm(16), snnx.LIF()])
    ```

    The scaling is that of threshold-dependent batch normalisation (tdBN), the statistics are those of layer
    normalisation. tdBN takes them per channel over batch, time and space, and keeps running averages for inference;
    that needs the whole batch and the future of each sequence. Here nothing is shared between steps or examples and
    nothing is kept: training and inference are the same, the result does not depend on batch size or on how time is
    cut, and a network can run step by step. The price: a step is scaled up however weak it is, also one in which no
    spike came in and only the bias of the layer before is left (`use_bias=False` there avoids that; a step of zeros
    stays at $\beta$), and a difference in mean or scale between channels is not taken away.

    **Arguments:**
    - `channels`: length of the first axis of one step.
    - `threshold`: $\vartheta$, that of the neurons that follow; a number is constant, an array learned.
    - `alpha`: $\alpha$; 1 in a plain stack. Where `n` branches add up before the neurons, $1/\sqrt n$ in each, so that
        their sum has the scale of one: $1/\sqrt 2$ before the sum of a residual block, and in its shortcut.
    - `eps`: $\epsilon$, added to the variance.

    The gain $\gamma$ (1 at first) and the bias $\beta$ (0 at first) are learned, `[channels]` each. As in tdBN the bias
    is not scaled by the threshold.

    **Returns** (`__call__`): the shape of `x`: `[channels]`, `[channels, height, width]`, or any `[channels, *space]`.

    **Raises:** `ValueError` for `channels` < 1 and for `threshold`, `alpha`, `eps` that are not positive;
    `ShapeError` for a step whose first axis is not `channels` long.

    Source: Zheng et al., Going deeper with directly-trained larger spiking neural networks (AAAI 2021), for the
    scaling; Ba et al., Layer normalization (2016), for the statistics.
    """

    gain: Float[Array, "channels"]
    bias: Float[Array, "channels"]
    channels: int = eqx.field(static=True)
    threshold: Parameter
    alpha: float = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, channels: int, threshold: Parameter = 1.0, alpha: float = 1.0, *, eps: float = 1e-5):
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ValueError(f"ThresholdNorm: channels is {channels!r}, expected a whole number >= 1.")
        for name, number in (("threshold", threshold), ("alpha", alpha), ("eps", eps)):
            check_positive("ThresholdNorm", name, number)
        self.channels = channels
        self.threshold = threshold
        self.alpha, self.eps = float(alpha), float(eps)
        self.gain = jnp.ones(channels)
        self.bias = jnp.zeros(channels)

    def __call__(self, x: Float[Array, "channels *space"]) -> Float[Array, "channels *space"]:
        if x.ndim == 0 or x.shape[0] != self.channels:
            raise ShapeError(
                f"ThresholdNorm: x is {describe(x)}, expected one step [{self.channels}] or [{self.channels}, height,"
                " width]: channels first, without batch axis."
            )
        wide = at_least_float32(x)
        centred = wide - jnp.mean(wide)
        normalised = centred * jax.lax.rsqrt(jnp.mean(centred**2) + self.eps)
        gain, bias = (p.reshape(-1, *(1,) * (x.ndim - 1)) for p in (self.gain, self.bias))
        return (gain * (self.alpha * value(self.threshold) * normalised) + bias).astype(x.dtype)
