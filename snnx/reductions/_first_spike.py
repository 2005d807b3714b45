import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from snnx.reductions._reduction import AbstractReduction, Mask, accumulator, masked


class FirstSpike(AbstractReduction):
    r"""The time of the first spike, in steps from 0; the number of steps $T$ where there is no spike.

    $$ t = \sum_{k=0}^{T-1} \prod_{j=0}^{k} (1 - s_j), \qquad s_j \in \{0, 1\} $$

    counts the steps that end without a spike so far. Masked steps do not count, neither in $t$ nor in $T$.

    The gradient is the effect of a spike on $t$:

    $$ \frac{\partial t}{\partial s_j} = -(t - j)\ \text{for}\ j < t, \qquad -1\ \text{for}\ j = t, \qquad
       0\ \text{for}\ j > t $$

    Before the first spike one more at step $j$ would be the first. At the first spike itself, $-1$ is the effect of
    having it there rather than one step later: what a small change of the weights does to a spike is to move it, not to
    delete it. (The polynomial's own derivative is there the distance to the second spike.) The gradient is never
    positive (more spike is never later), and a silent neuron gets $-(T - j)$ at every step: it can recover.

    From the first spike to the next step the gradient rises by 1, the derivative of $t$ with respect to the spike's
    time: exact gradients on the grid, which take the derivative with respect to a spike's time as such a difference,
    see nothing else.

    Only for outputs that are zeros and ones.
    """

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array, Array]:
        time = accumulator(like)
        return jnp.ones_like(time), jnp.zeros_like(time), time

    def step(self, carry: tuple[Array, Array, Array], xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        # Whether a neuron was silent before a step, and still is after it, are constants here: what has a derivative is
        # whether it fires at the step, and whether it fired at an earlier one (0 for as long as it is silent).
        was_silent, fired, time = carry
        spikes = masked(xs, mask, 0.0).astype(time.dtype)
        after = jax.lax.stop_gradient(was_silent[None] * jnp.cumprod(1.0 - spikes, axis=0))
        before = jnp.concatenate([was_silent[None], after[:-1]])
        first = before * spikes
        fired_before = fired[None] + jnp.cumsum(first, axis=0) - first
        silences = before - first - after * fired_before
        return after[-1], fired + jnp.sum(first, axis=0), time + jnp.sum(masked(silences, mask, 0.0), axis=0)

    def finish(self, carry: tuple[Array, Array, Array]) -> Array:
        return carry[2]
