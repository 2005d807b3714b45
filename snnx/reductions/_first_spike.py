import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from snnx.reductions._reduction import AbstractReduction, Mask, accumulator, masked


class FirstSpike(AbstractReduction):
    r"""The time of the first spike, in steps from 0; the number of steps $T$ where there is no spike.

    $$ t = \sum_{k=0}^{T-1} \prod_{j=0}^{k} (1 - s_j), \qquad s_j \in \{0, 1\} $$

    counts the steps that end without a spike so far. Masked steps do not count, neither in $t$ nor in $T$.

    The gradient is that of this polynomial, which is linear in each $s_j$ and so exact for flipping one of them:
    $\partial t / \partial s_j$ is the change of $t$ if step $j$ had a spike rather than none. With the first spike at
    $t$ and the second at $t'$ (or $T$), it is $-(t - j)$ before the first, $-(t' - t)$ at it, and 0 after it. It is
    never positive (more spike is never later), and a silent neuron gets $-(T - j)$ at every step: it can recover.

    Only for outputs that are zeros and ones.
    """

    def init(self, like: jax.ShapeDtypeStruct, steps: Int[Array, ""]) -> tuple[Array, Array]:
        time = accumulator(like)
        return jnp.ones_like(time), time

    def step(self, carry: tuple[Array, Array], xs: Array, times: Int[Array, "time"], mask: Mask) -> PyTree:
        silent, time = carry
        spikes = masked(xs, mask, 0.0).astype(time.dtype)
        silences = silent[None] * jnp.cumprod(1.0 - spikes, axis=0)
        return silences[-1], time + jnp.sum(masked(silences, mask, 0.0), axis=0)

    def finish(self, carry: tuple[Array, Array]) -> Array:
        return carry[1]
