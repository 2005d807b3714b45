from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._errors import describe
from snnx.surrogates._base import AbstractSurrogate, check_derivative


class Custom(AbstractSurrogate):
    r"""A surrogate from any function.

    $$ \frac{\partial s}{\partial x} := f(x) $$

    **Arguments:**
    - `derivative`: $f$, any callable from an array `*shape` to one of the same shape; its result is cast to the dtype
      of `x`. An `eqx.Module` keeps its arrays as leaves. A function of a module's top level can be pickled, a lambda
      cannot.

    **Returns** (`derivative`): an array in the shape and dtype of `x`.

    **Raises:** `TypeError` if `derivative` is not callable; `snnx.ShapeError`, when it is used, if its result is not
    of the shape of `x`.

    !!! example

        ```python
        dampened = Custom(lambda x: 0.3 * ATan(2.0).derivative(x))
        ```
    """

    function: Callable[[Array], Array]

    def __init__(self, derivative: Callable[[Array], Array]):
        if not callable(derivative):
            raise TypeError(
                f"Custom: derivative is {describe(derivative)}, expected a function from an array to an array,"
                f" e.g. Custom(lambda x: jnp.exp(-jnp.abs(x)))."
            )
        self.function = derivative

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return check_derivative(self, jnp.asarray(self.function(x), jnp.result_type(x)), x)
