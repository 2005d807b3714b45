import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx.parameters import Parameter, value

_STEEPEST = 32.0


def upstroke(v: Float[Array, "*shape"], v_t: Parameter, delta_t: Parameter) -> Float[Array, "*shape"]:
    r"""The sodium current of a spike, over the conductance of the leak, in the unit of $v$.

    $$ \Delta_T \exp\left(\min\left(\frac{v - V_T}{\Delta_T}, 32\right)\right) $$

    What the minimum changes lasts 1e-14 time constants. It keeps float32 from overflow, also in steps that are only tried.
    """
    return value(delta_t) * jnp.exp(jnp.minimum((v - value(v_t)) / value(delta_t), _STEEPEST))
