"""Delays on the clock: what came in some steps ago."""

from collections.abc import Sequence
from typing import Annotated, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Key

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._readers import check_float
from snnx._typing import AboveZero, Dtype
from snnx.cells import AbstractCell, Shape, Taps, cell_dtype, read_taps, scan_over_time


class _DelaysReader:
    """Reads one delay, or an array or list of them, whose numbers have to be known."""

    def read(self, where: str, name: str, value: Any) -> np.ndarray:
        try:
            given = np.asarray(value)
        except (TypeError, ValueError):  # traced, or a list of no one shape
            given = np.asarray(None)
        if not any(jnp.issubdtype(given.dtype, kind) for kind in (jnp.floating, jnp.integer)):
            raise TypeError(f"{where}: {name} is {describe(value)}, expected {self}.")
        wrong = ~((given >= 0) & np.isfinite(given))
        if wrong.any():
            raise ValueError(f"{where}: {name} is {float(given[wrong][0]):g}, expected {self}.")
        return given.astype(np.float64)

    def __str__(self) -> str:
        return "a number >= 0, or an array of them"


class DelayState(eqx.Module):
    """The state of a `Delay`: the last inputs, oldest first."""

    before: Float[Array, "depth *shape"]


@checked
class Delay(AbstractCell):
    r"""Hands on what came in some time ago; zeros at first.

    $$ y_t = x_{t - d}, \qquad d = \text{round}(\text{delay} / \Delta t) $$

    **Arguments:**
    - `delay`: a number >= 0, or an array of the shape of one step with a delay for each element; in the unit of `dt`. It is
        a constant: how far back a program has to remember is part of the program. Halves are rounded to even.
    - `dt`: time step; 1 by default, so that delays are in steps.
    - `dtype`: of what is delayed; by default JAX's default float.

    The state has the last $\max d$ inputs.

    **Raises:** `ShapeError` for an input that does not have the shape of `delay`.
    """

    delays: tuple[float, ...] = eqx.field(static=True)
    shape: Shape | None = eqx.field(static=True)  # None: one delay for all
    dt: float = eqx.field(static=True, kw_only=True)
    dtype: Dtype | None = eqx.field(static=True, kw_only=True)

    def __init__(
        self,
        delay: Annotated[ArrayLike | Sequence[Any], _DelaysReader()],
        *,
        dt: AboveZero = 1.0,
        dtype: Dtype | None = None,
    ):
        given = np.asarray(delay)
        self.delays = tuple(given.ravel().tolist())
        self.shape = tuple(given.shape) if given.ndim else None
        self.dt, self.dtype = dt, dtype

    @property
    def steps(self) -> np.ndarray:
        """Delays in steps: a number, or one for each element."""
        steps = np.rint(np.asarray(self.delays) / self.dt).astype(np.int64)
        return steps.reshape(() if self.shape is None else self.shape)

    @checked
    def init_state(self, shape: Shape) -> DelayState:
        if self.shape is not None and shape != self.shape:
            raise ShapeError(f"Delay: one step has shape {shape}, but delay has {self.shape}.")
        return DelayState(jnp.zeros((int(self.steps.max(initial=0)), *shape), cell_dtype(self)))

    def __call__(self, x: Array, state: DelayState, *, key: Key[Array, ""] | None = None) -> tuple[Array, DelayState]:
        self._check(x, state)
        known = jnp.concatenate([state.before, x[None]])
        return self._read(known, 1)[0], DelayState(known[1:])

    def over_time(
        self,
        xs: Array,
        state: DelayState,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Array, DelayState, dict[str, Array]]:
        if mask is not None or set(taps) - {""}:
            return scan_over_time(self, xs, state, key=key, mask=mask, taps=taps)
        self._check(xs[0], state)
        known = jnp.concatenate([state.before, xs])
        ys = self._read(known, len(xs))
        return ys, DelayState(known[len(xs) :]), read_taps(taps, ys, state)

    def _read(self, known: Array, count: int) -> Array:
        """What comes out at the last `count` steps; `known` begins `max d` steps before them."""
        first = len(known) - count - self.steps
        if first.ndim == 0 or (first == first.flat[0]).all():
            start = int(first.flat[0])
            return known[start : start + count]
        places = jnp.asarray(first)[None] + jnp.arange(count).reshape(-1, *(1,) * first.ndim)
        return jnp.take_along_axis(known, places, axis=0)

    def _check(self, x: Array, state: DelayState) -> None:
        check_float("Delay", "x", x, state.before.dtype)
        if x.shape != state.before.shape[1:]:
            raise ShapeError(
                f"Delay: one step of x is {describe(x)}, but the state was made for {tuple(state.before.shape[1:])}; make it"
                " with init_state(x.shape). A cell takes one example without batch axis."
            )
