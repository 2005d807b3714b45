import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snnx._errors import ShapeError, describe
from snnx.control._environment import Environment

GRAVITY, MASS, LENGTH, DT, MOST_TORQUE, MOST_SPEED = 10.0, 1.0, 1.0, 0.05, 2.0, 8.0


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
        if action.shape != (1,):
            raise ShapeError(
                f"pendulum: takes actions [1], but the policy gives {describe(action)}; give its last layer 1 output."
            )
        angle, speed = state
        torque = MOST_TORQUE * jnp.tanh(action[0] / MOST_TORQUE)
        upright = (angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(upright**2 + 0.1 * speed**2 + 0.001 * torque**2)
        pull = 1.5 * GRAVITY / LENGTH * jnp.sin(angle) + 3.0 / (MASS * LENGTH**2) * torque
        speed = jnp.clip(speed + DT * pull, -MOST_SPEED, MOST_SPEED)
        state = jnp.stack([angle + DT * speed, speed])
        return see(state), state, reward, jnp.array(False)

    return Environment(reset, step)
