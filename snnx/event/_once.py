from typing import TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

Tree = TypeVar("Tree", bound=PyTree)


@jax.custom_jvp
def _once(x: Array) -> Array:
    return x


@_once.defjvp
def _twice(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    raise TypeError(
        "event.simulate: gradient='eventprop' has first derivatives only, and was differentiated twice; take"
        " gradient='autodiff'."
    )


def once(gradient: Tree) -> Tree:
    """A gradient that is not differentiated again: who tries is told so. The adjoint takes what it knows of a spike as given."""
    return jax.tree.map(lambda x: _once(x) if eqx.is_inexact_array(x) else x, gradient)
