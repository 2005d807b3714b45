import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe
from snnx.control._environment import Environment


def point_mass(dimensions: int = 2, *, dt: float = 0.1, drag: float = 0.1) -> Environment:
    r"""A point that a force pushes to the origin: differentiable, without an end of its own.

    $$ \dot{v} \leftarrow a - \gamma v, \quad v \leftarrow v + \Delta t\, \dot{v}, \quad x \leftarrow x + \Delta t\, v, \qquad
       r = -\lVert x \rVert^2 - 0.1 \lVert v \rVert^2 - 0.01 \lVert a \rVert^2 $$

    in this order: $r$ is of the state after the step.

    It starts at rest, each coordinate of $x$ uniform in [-1, 1].

    **Arguments:** `dimensions`; `dt`: $\Delta t$; `drag`: $\gamma$.

    **Returns:** an `Environment`: observation `[2 * dimensions]`, $(x, v)$; action `[dimensions]`, any floats.

    **Raises:** `ValueError` for no dimension, a `dt` that is not positive, or numbers that are not finite.
    """
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
        raise ValueError(f"point_mass: dimensions is {dimensions!r}, expected a whole number >= 1.")
    for name, number, low in (("dt", dt, 0.0), ("drag", drag, -math.inf)):
        if isinstance(number, bool) or not (isinstance(number, (int, float)) and low < number < math.inf):
            expected = "a finite number > 0" if name == "dt" else "a finite number"
            raise ValueError(f"point_mass: {name} is {describe(number)}, expected {expected}.")

    def reset(key: Array) -> tuple[Array, Array]:
        x = jax.random.uniform(key, (dimensions,), minval=-1.0, maxval=1.0)
        state = jnp.concatenate([x, jnp.zeros(dimensions)])
        return state, state

    def step(
        state: Float[Array, "state"], action: Float[Array, "dimensions"], key: Array
    ) -> tuple[Array, Array, Array, Array]:
        if action.shape != (dimensions,):
            raise ShapeError(
                f"point_mass: takes actions [{dimensions}], but the policy gives {describe(action)}; give its last layer as many"
                " outputs."
            )
        x, v = jnp.split(state, 2)
        v = v + dt * (action - drag * v)
        x = x + dt * v
        reward = -jnp.sum(x**2) - 0.1 * jnp.sum(v**2) - 0.01 * jnp.sum(action**2)
        state = jnp.concatenate([x, v])
        return state, state, reward, jnp.array(False)

    return Environment(reset, step)
