"""What every surrogate shares: a step forward, a derivative of one's own backward, wired once."""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key, Shaped

from snnx._errors import DtypeError, ShapeError, describe
from snnx._typing import default
from snnx.parameters import AbstractParameter, Parameter, value


class AbstractSurrogate(eqx.Module):
    r"""A spike function with a pseudo-derivative.

    $$ s = H(x), \qquad \frac{\partial s}{\partial x} := \text{derivative}(x), \qquad x = v - \vartheta $$

    $H$ is strict: a membrane exactly at its threshold does not fire. A surrogate of one's own is a subclass with a
    `derivative`; forward mode, reverse mode, `vmap` and `jit` then work.

    A parameter (`slope`, `width`, ...) that is a Python number is a constant; one that is an array, scalar or one value
    per neuron, is a leaf: it can be annealed (`eqx.tree_at`) and evolved. Its gradient through the spike is zero by
    definition, whatever the surrogate, so `fit` refuses to train one; `Frozen(array)` says that it is not meant to be.
    """

    needs_key: ClassVar[bool] = False

    @abc.abstractmethod
    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The pseudo-derivative at `x`, in the shape and dtype of `x`. Differentiable itself (second order)."""

    @default
    def fire(self, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*shape"]:
        """The forward pass: `x > 0`, in the dtype of `x`. Replaced where spikes are drawn rather than computed."""
        return (x > 0).astype(x.dtype)

    # `x` is typed `Shaped`, not `Float`: other dtypes are refused below, by a sentence that names the class.
    def __call__(self, x: Shaped[Array, "*shape"], *, key: Key[Array, ""] | None = None) -> Float[Array, "*shape"]:
        """Spikes of a membrane.

        **Arguments:**
        - `x`: membrane minus threshold, `*shape`, floats.
        - `key`: needed by surrogates with `needs_key`, ignored by the others.

        **Returns:** spikes in {0, 1}, `*shape`, in the dtype of `x`.

        **Raises:** `snnx.DtypeError` if `x` is not of a floating dtype; `ValueError` if a key is needed and missing;
        when differentiated, `snnx.ShapeError` or `snnx.DtypeError` if `derivative` does not keep shape and dtype.
        """
        name = type(self).__name__
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise DtypeError(
                f"{name}: x is {describe(x)}, but a surrogate takes floats (membrane minus threshold);"
                f" cast it, e.g. x.astype(jnp.float32)."
            )
        if self.needs_key and key is None:
            raise ValueError(
                f"{name}: its spikes are drawn at random, and no key came; call surrogate(x, key=jax.random.key(...)),"
                f" or give the key to the cell or to simulate(..., key=...), which hands it on."
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
    return spikes, check_derivative(surrogate, surrogate.derivative(x), x) * tangent


def check_derivative(surrogate: AbstractSurrogate, derivative: Array, x: Array) -> Array:
    """`derivative` itself, refused where broadcasting would hide that it is not of `x`'s shape and dtype."""
    name = type(surrogate).__name__
    if jnp.shape(derivative) != jnp.shape(x):
        raise ShapeError(
            f"{name}: the derivative is {describe(derivative)}, but x is {describe(x)}; return one value per element"
            f" of x, and give parameters as a number, a scalar array, or an array that broadcasts to x."
        )
    if jnp.result_type(derivative) != jnp.result_type(x):
        raise DtypeError(
            f"{name}: the derivative is {describe(derivative)}, but x is {describe(x)};"
            f" return it in the dtype of x, e.g. derivative.astype(x.dtype)."
        )
    return derivative


def parameter(given: ArrayLike | AbstractParameter) -> Parameter:
    """Converter of a surrogate's fields: a number becomes a float (a constant), an array a JAX array (a leaf)."""
    if isinstance(given, int | float | np.number):
        return float(given)
    return jnp.asarray(given) if isinstance(given, np.ndarray) else given  # pyright: ignore[reportReturnType]


def check_numbers(surrogate: AbstractSurrogate, *names: str, zero: bool = False) -> None:
    """Refuse fields that are neither arrays nor finite numbers > 0 (with `zero`: >= 0).

    Arrays are taken as they are: under `jit` their values are not known.
    """
    for name in names:
        given = getattr(surrogate, name)
        if isinstance(given, jax.Array | AbstractParameter):
            continue
        if not isinstance(given, float) or not math.isfinite(given) or given < 0 or (given == 0 and not zero):
            raise ValueError(
                f"{type(surrogate).__name__}: {name} is {describe(given)},"
                f" expected a finite number {'>=' if zero else '>'} 0, or a JAX array."
            )


def like(field: Parameter, x: Array) -> Array:
    """A field in the dtype of `x`, so that an array slope does not promote the derivative."""
    return jnp.asarray(value(field), jnp.result_type(x))
