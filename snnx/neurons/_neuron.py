"""What all neurons share: parameters by shape and dtype, the spike, the reset, the refractory period."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Key, PyTree

from snnx._errors import ShapeError, describe
from snnx._readers import check_float
from snnx._typing import default
from snnx.cells import (
    AbstractCell,
    Shape,
    State,
    Taps,
    cell_dtype,
    keep_where,
    read_taps,
    zero_where_masked,
)
from snnx.neurons._discretise import METHODS, Method
from snnx.neurons._dynamics import fuses, scan_steps
from snnx.neurons._fire import Spiking
from snnx.neurons._reset import AbstractReset
from snnx.parameters import Parameter, check_number, check_parameter_shape, check_positive, value
from snnx.surrogates import AbstractSurrogate


class AbstractNeuron(AbstractCell):
    """A cell whose step is `coefficients` (once) and `step` (at every time step), element by element.

    To write a neuron with a threshold, take these methods and `init_state`, and `fire`, as `LIF` does; for anything else
    take `AbstractCell`.
    """

    dt: eqx.AbstractVar[float]
    dtype: eqx.AbstractVar[DTypeLike | None]

    @abc.abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """The per-neuron parameters by name, as their shapes are checked against the input's."""

    @abc.abstractmethod
    def coefficients(self) -> PyTree:
        """What the step needs and the parameters determine: decays, gains. Computed once for a stretch of time."""

    @abc.abstractmethod
    def step(self, x: Array, state: State, coefficients: PyTree, key: Key[Array, ""] | None) -> tuple[Array, State]:
        """One time step."""

    @default
    def recorded(self, y: Array, state: State, before: State, coefficients: PyTree) -> Array:
        """What is recorded of a step as the neuron's output; `before`, `state`: before and after it."""
        return y

    def __call__(self, x: Array, state: State, *, key: Key[Array, ""] | None = None) -> tuple[Array, State]:
        self._check_input(x, state)
        return self.step(x, state, self.coefficients(), key)

    def over_time(
        self,
        xs: Array,
        state: State,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Array, State, dict[str, Array]]:
        self._check_input(jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype), state)
        coefficients = self.coefficients()
        if fuses(state, mask, taps) and getattr(self, "gradient", None) is None:
            ys, state = self._in_one_kernel(xs, state, coefficients)
            return ys, state, {"": ys} if taps else {}

        def step(state: State, inputs: PyTree) -> tuple[State, PyTree]:
            x, live = inputs
            y, new = self.step(x, state, coefficients, key)
            y, new = zero_where_masked(live, y), keep_where(live, new, state)
            seen = zero_where_masked(live, self.recorded(y, new, state, coefficients))
            return new, (y, read_taps(taps, seen, new))

        state, (ys, tapped) = scan_steps(step, state, (xs, mask))
        return ys, state, tapped

    def _in_one_kernel(self, xs: Array, state: State, coefficients: PyTree) -> tuple[Array, State]:
        from snnx.neurons._dynamics_kernel import run_kernel

        params, static = eqx.partition((self, coefficients), eqx.is_inexact_array)

        def step(x: Array, state: State, params: PyTree) -> tuple[Array, State]:
            neuron, coefficients = eqx.combine(params, static)
            return neuron.step(x, state, coefficients, None)

        return run_kernel(step, xs, state, params)

    def read(self, parameter: "Parameter | Array") -> "float | Array":
        """A parameter or coefficient in the neuron's dtype: arrays cast, numbers as they are."""
        x = value(parameter)  # pyright: ignore[reportArgumentType]
        return x if isinstance(x, (int, float)) else x.astype(cell_dtype(self))

    def zeros(self, shape: Shape, fill: "Parameter" = 0.0) -> Array:
        """A state variable before the first step, after checking the parameters' shapes against `shape`."""
        for name, parameter in self.parameters().items():
            check_parameter_shape(type(self).__name__, name, parameter, shape)
        return jnp.broadcast_to(jnp.asarray(self.read(fill), cell_dtype(self)), shape)

    def _check_input(self, x: "Array | jax.ShapeDtypeStruct", state: State) -> None:
        name = type(self).__name__
        check_float(name, "x", x, state.v.dtype)  # pyright: ignore[reportArgumentType]
        if x.shape != state.v.shape:
            raise ShapeError(
                f"{name}: one step of x is {describe(x)}, but the state was made for {tuple(state.v.shape)}. A cell takes"
                " one example without batch axis (jax.vmap adds one); make the state with init_state(x.shape)."
            )


def check_common(neuron: AbstractNeuron) -> None:
    """Refuse a `dt` that is no positive number, an unknown `method`, and, of spiking neurons, parts of a wrong kind."""
    where = type(neuron).__name__
    if not (isinstance(neuron.dt, (int, float)) and math.isfinite(neuron.dt) and neuron.dt > 0):
        raise ValueError(f"{where}: dt must be a positive number, got {neuron.dt!r}.")
    if neuron.dtype is not None and not jnp.issubdtype(neuron.dtype, jnp.floating):
        raise ValueError(f"{where}: dtype is {neuron.dtype!r}, expected a float dtype such as jnp.bfloat16, or None.")
    method: Method = getattr(neuron, "method", "exponential")
    if method not in METHODS:
        raise ValueError(f"{where}: method must be one of {', '.join(map(repr, METHODS))}, got {method!r}.")
    if isinstance(neuron, Spiking):
        check_number(where, "threshold", neuron.threshold)
        if not isinstance(neuron.reset, AbstractReset):
            raise TypeError(f"{where}: reset is {neuron.reset!r}; expected an object such as snnx.SubtractReset().")
        if not isinstance(neuron.surrogate, AbstractSurrogate):
            raise TypeError(
                f"{where}: surrogate is {neuron.surrogate!r}; expected an object such as snnx.surrogates.ATan()."
            )
        if not isinstance(neuron.refractory, int) or isinstance(neuron.refractory, bool) or neuron.refractory < 0:
            raise ValueError(f"{where}: refractory must be a whole number of steps >= 0, got {neuron.refractory!r}.")


def check_numbers(neuron: AbstractNeuron, **parameters: Parameter | None) -> None:
    """Refuse parameters that are no finite numbers; None, where it is allowed, passes."""
    for name, parameter in parameters.items():
        if parameter is not None:
            check_number(type(neuron).__name__, name, parameter)


def check_euler(neuron: AbstractNeuron, **taus: Parameter) -> None:
    """Refuse time constants <= 0 and, for `method="euler"`, ones below `dt/2`, where the step overshoots without end."""
    where = type(neuron).__name__
    for name, tau in taus.items():
        check_positive(where, name, tau)
        if getattr(neuron, "method", None) == "euler":
            x = value(tau)
            if not isinstance(x, Tracer) and float(jnp.min(jnp.asarray(x))) <= neuron.dt / 2:
                raise ValueError(
                    f"{where}: {name} is {float(jnp.min(jnp.asarray(x))):g} and dt is {neuron.dt:g}: forward Euler is"
                    " unstable where tau <= dt/2; take method='exponential' or a smaller dt."
                )
