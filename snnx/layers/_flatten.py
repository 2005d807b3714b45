import math

import equinox as eqx
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe


class Flatten(eqx.Module):
    """The axes of one time step from `start` on as one: `[*kept, a, b, c]` becomes `[*kept, a * b * c]`.

    ```python
    snnx.Sequential([eqx.nn.Conv2d(2, 8, 3, key=k1), snnx.LIF(), snnx.Flatten(), eqx.nn.Linear(8 * 6 * 6, 10, key=k2)])
    ```

    One step of one example has neither a batch nor a time axis, so `start=0` flattens everything there is. (In
    PyTorch, where `nn.Flatten` keeps axis 0, the batch, this is `nn.Flatten(start_dim=1)`.)

    **Arguments:**
    - `start`: the first of the axes that become one; the axes before it are kept.

    **Returns** (`__call__`): `[*kept, features]`, in row-major order: channels outermost.

    **Raises:** `ValueError` if `start` is no whole number >= 0; `ShapeError` where a step has no axis `start`.
    """

    start: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if isinstance(self.start, bool) or not isinstance(self.start, int) or self.start < 0:
            raise ValueError(f"Flatten: start is {self.start!r}, expected the number of an axis of one step, >= 0.")

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        if self.start > max(x.ndim - 1, 0):
            raise ShapeError(
                f"Flatten: x is {describe(x)}, which has no axis {self.start} to start at; count the axes of one step,"
                " without batch and time."
            )
        return x.reshape(*x.shape[: self.start], math.prod(x.shape[self.start :]))
