"""Two small environments that are differentiable."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._checks import checked
from snnx._typing import AboveZero, Count, Number
from snnx.control._environment import Environment, check_action

GRAVITY, MASS, LENGTH, DT, MOST_TORQUE, MOST_SPEED = 10.0, 1.0, 1.0, 0.05, 2.0, 8.0


@checked
def point_mass(dimensions: Count = 2, *, dt: AboveZero = 0.1, drag: Number = 0.1) -> Environment:
    r"""A point that a force pushes to the origin: differentiable, without an end of its own.

    $$ \dot{v} \leftarrow a - \gamma v, \quad v \leftarrow v + \Delta t\, \dot{v}, \quad x \leftarrow x + \Delta t\, v, \qquad
       r = -\lVert x \rVert^2 - 0.1 \lVert v \rVert^2 - 0.01 \lVert a \rVert^2 $$

    in this order: $r$ is of the state after the step.

    It starts at rest, each coordinate of $x$ uniform in [-1, 1].

    **Arguments:** `dimensions`: 1 or more; `dt`: $\Delta t$, > 0; `drag`: $\gamma$.

    **Returns:** an `Environment`: observation `[2 * dimensions]`, $(x, v)$; action `[dimensions]`, any floats.
    """

    def reset(key: Array) -> tuple[Array, Array]:
        x = jax.random.uniform(key, (dimensions,), minval=-1.0, maxval=1.0)
        state = jnp.concatenate([x, jnp.zeros(dimensions)])
        return state, state

    def step(
        state: Float[Array, "state"], action: Float[Array, "dimensions"], key: Array
    ) -> tuple[Array, Array, Array, Array]:
        check_action("point_mass", action, dimensions)
        x, v = jnp.split(state, 2)
        v = v + dt * (action - drag * v)
        x = x + dt * v
        reward = -jnp.sum(x**2) - 0.1 * jnp.sum(v**2) - 0.01 * jnp.sum(action**2)
        state = jnp.concatenate([x, v])
        return state, state, reward, jnp.array(False)

    return Environment(reset, step)


def pendulum() -> Environment:
    r"""A pendulum to be swung up by a motor that is too weak to lift it at once: differentiable, without an end of its own.

    $$ \ddot{\theta} = \frac{3 g}{2 l} \sin\theta + \frac{3}{m l^2} u, \qquad
       r = -\left(\theta^2 + 0.1\, \dot{\theta}^2 + 0.001\, u^2\right), \qquad u = 2 \tanh(a / 2) $$

    with $\theta = 0$ upright and within $[-\pi, \pi)$, $g = 10$, $m = l = 1$, in steps of 0.05 s: the speed first, at most 8
    per second either way, then the angle with the new speed; $r$ is of the state before the step. It starts anywhere,
    $\theta$ uniform in $[-\pi, \pi)$ and $\dot{\theta}$ in [-1, 1].

    The task is Gymnasium's `Pendulum-v1`; the torque is bounded softly, so that an action beyond the bound has a gradient
    still.

    **Returns:** an `Environment`: observation `[3]`, $(\cos\theta, \sin\theta, \dot{\theta})$; action `[1]`, any float.
    """

    def see(state: Float[Array, "2"]) -> Float[Array, "3"]:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def reset(key: Array) -> tuple[Array, Array]:
        high = jnp.array([math.pi, 1.0])
        state = jax.random.uniform(key, (2,), minval=-high, maxval=high)
        return see(state), state

    def step(state: Float[Array, "2"], action: Float[Array, "1"], key: Array) -> tuple[Array, Array, Array, Array]:
        check_action("pendulum", action, 1)
        angle, speed = state
        torque = MOST_TORQUE * jnp.tanh(action[0] / MOST_TORQUE)
        upright = (angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(upright**2 + 0.1 * speed**2 + 0.001 * torque**2)
        pull = 1.5 * GRAVITY / LENGTH * jnp.sin(angle) + 3.0 / (MASS * LENGTH**2) * torque
        speed = jnp.clip(speed + DT * pull, -MOST_SPEED, MOST_SPEED)
        state = jnp.stack([angle + DT * speed, speed])
        return see(state), state, reward, jnp.array(False)

    return Environment(reset, step)
