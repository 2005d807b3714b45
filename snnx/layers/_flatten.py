import math

import equinox as eqx
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe


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

    **Raises:** `ValueError` if `start` or `end` is no whole number >= 0, or `end` is before `start`; `ShapeError` where a step
    has no such axis.
    """

    start: int = eqx.field(static=True, default=0)
    end: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        for name, axis in (("start", self.start), ("end", self.end)):
            if (axis is None and name == "end") or (type(axis) is int and axis >= 0):
                continue
            raise ValueError(f"Flatten: {name} is {axis!r}, expected the number of an axis of one step, >= 0.")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"Flatten: end is {self.end}, before start, {self.start}.")

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
