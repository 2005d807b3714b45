"""What NIR has and no other room needs."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class StackedLinear(eqx.Module):
    r"""Linear maps side by side, one for each place of the leading axes.

    $$ y_{\ldots o} = \sum_i W_{\ldots oi}\, x_{\ldots i} + b_{\ldots o} $$
    """

    weight: Float[Array, "*places out in"]
    bias: Float[Array, "*places out"] | None = None

    def __call__(self, x: Float[Array, "*places in"]) -> Float[Array, "*places out"]:
        y = jnp.einsum("...oi,...i->...o", self.weight, x)
        return y if self.bias is None else y + self.bias
