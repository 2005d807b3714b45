"""The contract of a surrogate: a step forward, a derivative of its own backward. `Custom` takes any function."""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._typing import default
from snnx.parameters import Parameter, value


class AbstractSurrogate(eqx.Module):
    r"""A spike function with a pseudo-derivative.

    $$ s = H(x), \qquad \frac{\partial s}{\partial x} := \text{derivative}(x), \qquad x = v - \vartheta $$

    $H$ is strict: a membrane exactly at its threshold does not fire. A surrogate of one's own is a subclass with a
    `derivative`; forward mode, reverse mode, `vmap` and `jit` then work.

    A parameter (`slope`, `width`, ...) that is a Python number is a constant; one that is an array, scalar or one value
    per neuron, is a leaf: it can be annealed (`eqx.tree_at`) and evolved. Its gradient through the spike is zero by
    definition, whatever the surrogate, so `fit` refuses to train one; `Frozen(array)` says that it is not meant to be.
    Slopes, widths and heights are positive; one that may be zero says so. Other values raise `ValueError`.
    """

    needs_key: ClassVar[bool] = False

    @abc.abstractmethod
    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The pseudo-derivative at `x`, in the shape and dtype of `x`. Differentiable itself (second order)."""

    @default
    def fire(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*shape"]:
        """The forward pass: `x > 0`, in the dtype of `x`. Replaced where spikes are drawn rather than computed."""
        return (x > 0).astype(x.dtype)

    @checked
    def __call__(self, x: Float[Array, "*shape"], *, key: Key[Array, ""] | None = None) -> Float[Array, "*shape"]:
        """Spikes of a membrane.

        **Arguments:**
        - `x`: membrane minus threshold.
        - `key`: needed by surrogates with `needs_key`, ignored by the others.

        **Returns:** spikes in {0, 1}, in the dtype of `x`.

        **Raises:** `ValueError` if a key is needed and missing; when differentiated, `snnx.ShapeError` or
        `snnx.DtypeError` if `derivative` does not keep shape and dtype.
        """
        if self.needs_key and key is None:
            raise ValueError(
                f"{type(self).__name__}: its spikes are drawn at random, and no key came; call surrogate(x,"
                " key=jax.random.key(...)), or give the key to the cell or to simulate(..., key=...), which hands it on."
            )
        return _spike(self, x, key)


@eqx.filter_custom_jvp
def _spike(surrogate: AbstractSurrogate, x: Array, key: Key[Array, ""] | None) -> Array:
    return surrogate.fire(x, key)


@_spike.def_jvp
def _spike_jvp(primals, tangents):
    # The tangent of the surrogate's own leaves is dropped: a slope does not move a Heaviside.
    surrogate, x, key = primals
    _, tangent, _ = tangents
    spikes = _spike(surrogate, x, key)
    if tangent is None:
        return spikes, None
    return spikes, _check_derivative(surrogate, surrogate.derivative(x), x) * tangent


def _check_derivative(surrogate: AbstractSurrogate, derivative: Array, x: Array) -> Array:
    """`derivative` itself, refused where broadcasting would hide that it is not of `x`'s shape and dtype."""
    came = f"{type(surrogate).__name__}: the derivative is {describe(derivative)}, but x is {describe(x)}"
    if jnp.shape(derivative) != jnp.shape(x):
        raise ShapeError(
            f"{came}; return one value per element of x, and give parameters as a number, a scalar array, or an array that"
            " broadcasts to x."
        )
    if jnp.result_type(derivative) != jnp.result_type(x):
        raise DtypeError(f"{came}; return it in the dtype of x, e.g. derivative.astype(x.dtype).")
    return derivative


def like(parameter: Parameter, x: Array) -> Array:
    """A parameter in the dtype of `x`, so that an array slope does not promote the derivative."""
    return jnp.asarray(value(parameter), jnp.result_type(x))


@checked
class Custom(AbstractSurrogate):
    r"""A surrogate from any function.

    $$ \frac{\partial s}{\partial x} := f(x) $$

    **Arguments:**
    - `derivative`: $f$, any callable from an array `*shape` to one of the same shape; its result is cast to the dtype
      of `x`. An `eqx.Module` keeps its arrays as leaves. A function of a module's top level can be pickled, a lambda
      cannot.

    **Raises:** `snnx.ShapeError`, when it is used, if the function's result is not of the shape of `x`.

    !!! example

        ```python
        dampened = Custom(lambda x: 0.3 * ATan(2.0).derivative(x))
        ```
    """

    function: Callable[[Array], Array]

    def __init__(self, derivative: Callable[[Array], Array]):
        self.function = derivative

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return _check_derivative(self, jnp.asarray(self.function(x), jnp.result_type(x)), x)
