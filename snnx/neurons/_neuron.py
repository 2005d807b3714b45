"""What all neurons share: coefficients that are computed once, steps, and a stretch of time."""

import abc
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
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
from snnx.neurons._equation import Equation
from snnx.neurons._over_time import scan_steps, takes_one_kernel
from snnx.parameters import AbstractParameter, Parameter, check_parameter_shape, value


class AbstractNeuron(AbstractCell):
    """A cell whose step is `coefficients` (once) and `step` (at every time step), element by element.

    To write a neuron with a threshold, take these methods and `init_state`, and `fire`, as `LIF` does; for anything else
    take `AbstractCell`. With `equation` it runs in `snnx.event.simulate`, too.
    """

    dt: eqx.AbstractVar[float]
    dtype: eqx.AbstractVar[DTypeLike | None]

    @abc.abstractmethod
    def coefficients(self) -> PyTree:
        """What the step needs and the parameters determine: decays, gains. Computed once for a stretch of time."""

    @abc.abstractmethod
    def step(self, x: Array, state: State, coefficients: PyTree, key: Key[Array, ""] | None) -> tuple[Array, State]:
        """One time step."""

    @default
    def parameters(self) -> dict[str, Parameter]:
        """The per-neuron parameters by name, as their shapes are checked against the input's.

        These are the fields that hold an array of floats or a wrapper, unless a neuron says otherwise.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {k: x for k, x in fields.items() if isinstance(x, AbstractParameter) or eqx.is_inexact_array(x)}

    @default
    def equation(self) -> "Equation | AbstractCell | None":
        """The neuron in continuous time, for `snnx.event.simulate`: an `Equation`, or, where there is no solution in closed
        form, an `ode.AbstractODENeuron` with the neuron's parameters. None: it runs on the clock alone.

        A subclass with another step inherits no equation.
        """
        return None

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
        if takes_one_kernel(self, state, mask, taps):
            from snnx.neurons._pallas import over_time_in_one_kernel

            ys, state = over_time_in_one_kernel(self, xs, state, coefficients)
            return ys, state, {"": ys} if taps else {}

        def step(state: State, inputs: PyTree) -> tuple[State, PyTree]:
            x, live = inputs
            y, new = self.step(x, state, coefficients, key)
            y, new = zero_where_masked(live, y), keep_where(live, new, state)
            seen = zero_where_masked(live, self.recorded(y, new, state, coefficients))
            return new, (y, read_taps(taps, seen, new))

        state, (ys, tapped) = scan_steps(step, state, (xs, mask))
        return ys, state, tapped

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
