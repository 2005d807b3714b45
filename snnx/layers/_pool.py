from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe


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

    **Raises:** `ValueError` for sizes that are no whole numbers, `kernel_size` or `stride` < 1, `padding` < 0;
    `ShapeError` for a step that is not `[channels, height, width]` or is smaller than the window.

    Source: NIR's `SumPool2d` (Pedersen et al., Nature Communications, 2024), whose fields these are.
    """

    kernel_size: tuple[int, int] = eqx.field(static=True)
    stride: tuple[int, int] = eqx.field(static=True)
    padding: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ):
        self.kernel_size = _pair("kernel_size", kernel_size, at_least=1)
        self.stride = self.kernel_size if stride is None else _pair("stride", stride, at_least=1)
        self.padding = _pair("padding", padding, at_least=0)

    def __call__(self, x: Float[Array, "channels height width"]) -> Float[Array, "channels height_out width_out"]:
        if x.ndim != 3:
            raise ShapeError(
                f"SumPool2d: x is {describe(x)}, expected one step [channels, height, width], without batch axis."
            )
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


def _pair(name: str, given: "int | Sequence[int]", *, at_least: int) -> tuple[int, int]:
    """A number for both axes, or one for each."""
    numbers = (given, given) if isinstance(given, int) else tuple(given) if isinstance(given, Sequence) else ()
    if len(numbers) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < at_least for n in numbers):
        raise ValueError(f"SumPool2d: {name} is {given!r}, expected a whole number >= {at_least}, or a pair of them.")
    return numbers
