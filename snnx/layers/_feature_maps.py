"""Layers of feature maps `[channels, height, width]`, without state: sums over windows, axes made one, normalisation."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import AboveZero, Count, Natural
from snnx.parameters import PositiveParameter, at_least_float32, value


@checked
class Flatten(eqx.Module):
    """The axes of one time step from `start` to `end` as one: `[*kept, a, b, c]` becomes `[*kept, a * b * c]`.

    ```python
    snnx.Sequential([eqx.nn.Conv2d(2, 8, 3, key=k1), snnx.LIF(), snnx.Flatten(), eqx.nn.Linear(8 * 6 * 6, 10, key=k2)])
    ```

    One step of one example has neither a batch nor a time axis, so `start=0` flattens everything there is. (In
    PyTorch, where `nn.Flatten` keeps axis 0, the batch, this is `nn.Flatten(start_dim=1)`.)

    **Arguments:**
    - `start`, `end`: the first and the last of the axes that become one, by default all; the others are kept.

    **Returns** (`__call__`): `[*kept, features, *kept]`, in row-major order: channels outermost.

    **Raises:** `ValueError` if `end` is before `start`; `ShapeError` where a step has no such axis.
    """

    start: Natural = eqx.field(static=True, default=0)
    end: Natural | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.end is not None and self.end < self.start:
            raise ValueError(f"Flatten: end is {self.end}, which is before start, {self.start}.")

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        last = max(x.ndim - 1, 0)
        end = last if self.end is None else self.end
        if self.start > last or end > last:
            name, axis = ("start", self.start) if self.start > last else ("end", end)
            raise ShapeError(
                f"Flatten: x is {describe(x)}, which has no axis {axis} to {name} at; count the axes of one step,"
                " without batch and time."
            )
        features = math.prod(x.shape[self.start : end + 1])
        return x.reshape(*x.shape[: self.start], features, *x.shape[end + 1 :])


@checked
class SumPool2d(eqx.Module):
    r"""The sum over windows of a feature map.

    $$ y_{c,i,j} = \sum_{a=0}^{k_h - 1} \sum_{b=0}^{k_w - 1} x_{c,\; i s_h + a - p_h,\; j s_w + b - p_w} $$

    with zeros outside the map. A window of spikes becomes their count, which is what event-driven hardware delivers:
    each spike is sent on as it is. (`eqx.nn.AvgPool2d` divides by the area, `k_h k_w`.)

    **Arguments:** each a number, or a pair (height, width).
    - `kernel_size`: $k$, the size of the window.
    - `stride`: $s$, the step from window to window; by default `kernel_size`, so that windows do not overlap.
    - `padding`: $p$, rows and columns of zeros on either side.

    **Returns** (`__call__`): `[channels, height_out, width_out]` with
    `height_out = (height + 2 * padding - kernel_size) // stride + 1`, likewise the width.

    **Raises:** `ShapeError` for a step that is not `[channels, height, width]` or is smaller than the window.

    Source: NIR's `SumPool2d` (Pedersen et al., Nature Communications, 2024), whose fields these are.
    """

    kernel_size: tuple[int, int] = eqx.field(static=True)
    stride: tuple[int, int] = eqx.field(static=True)
    padding: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        kernel_size: Count | Sequence[Count],
        stride: Count | Sequence[Count] | None = None,
        padding: Natural | Sequence[Natural] = 0,
    ):
        self.kernel_size = _pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else _pair("stride", stride)
        self.padding = _pair("padding", padding)

    @checked
    def __call__(self, x: Float[Array, "channels height width"]) -> Float[Array, "channels height_out width_out"]:
        padded = [size + 2 * p for size, p in zip(x.shape[1:], self.padding, strict=True)]
        if any(size < k for size, k in zip(padded, self.kernel_size, strict=True)):
            raise ShapeError(
                f"SumPool2d: x is {describe(x)}, smaller (padding included) than the window {self.kernel_size}; take a"
                " smaller kernel_size, or padding."
            )
        return jax.lax.reduce_window(
            x,
            x.dtype.type(0),  # a known zero: only then is this the sum that JAX can differentiate in both modes
            jax.lax.add,
            window_dimensions=(1, *self.kernel_size),
            window_strides=(1, *self.stride),
            padding=((0, 0), *((p, p) for p in self.padding)),
        )


def _pair(name: str, given: "int | Sequence[int]") -> tuple[int, int]:
    """A number for both axes, or one for each."""
    if isinstance(given, int):
        return given, given
    if len(given) != 2:
        raise ValueError(f"SumPool2d: {name} is {given!r}, expected a number, or a pair (height, width).")
    return given[0], given[1]


@checked
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

    **Raises:** `ShapeError` for a step whose first axis is not `channels` long.

    Source: Zheng et al., Going deeper with directly-trained larger spiking neural networks (AAAI 2021), for the
    scaling; Ba et al., Layer normalization (2016), for the statistics.
    """

    gain: Float[Array, "channels"]
    bias: Float[Array, "channels"]
    channels: int = eqx.field(static=True)
    threshold: PositiveParameter
    alpha: float = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(
        self, channels: Count, threshold: PositiveParameter = 1.0, alpha: AboveZero = 1.0, *, eps: AboveZero = 1e-5
    ):
        self.channels = channels
        self.threshold = threshold
        self.alpha, self.eps = float(alpha), float(eps)
        self.gain = jnp.ones(channels)
        self.bias = jnp.zeros(channels)

    @checked
    def __call__(self, x: Float[Array, "channels *space"]) -> Float[Array, "channels *space"]:
        if x.shape[0] != self.channels:
            raise ShapeError(
                f"ThresholdNorm: x is {describe(x)}, expected one step [{self.channels}] or [{self.channels}, height,"
                " width]: channels first, without batch axis."
            )
        wide = at_least_float32(x)
        centred = wide - jnp.mean(wide)
        normalised = centred * jax.lax.rsqrt(jnp.mean(centred**2) + self.eps)
        gain, bias = (p.reshape(-1, *(1,) * (x.ndim - 1)) for p in (self.gain, self.bias))
        return (gain * (self.alpha * value(self.threshold) * normalised) + bias).astype(x.dtype)
