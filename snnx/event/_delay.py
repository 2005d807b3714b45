import jax.numpy as jnp
from jaxtyping import Array, Key

from snnx._checks import checked
from snnx.cells import AbstractCell, Shape, State
from snnx.parameters import NotNegativeParameter, value


@checked
class ContinuousDelay(AbstractCell):
    r"""Hands spikes on later: a delay that is learned, in continuous time.

    $$ t \leftarrow t + d $$

    For event-driven simulation alone. On the clock a delay is a number of steps: `snnx.Delay`, which is taken here too, as a
    constant.

    **Arguments:** `delay`: >= 0, one for all or one for each element; in the unit of the neurons' time constants. An array is
    learned, `Positive(...)` within its bounds.

    **Raises:** `ValueError` for delays < 0; while training, from within the compiled program.
    """

    delay: NotNegativeParameter

    def times(self) -> Array:
        """The delays."""
        return jnp.asarray(value(self.delay))

    def init_state(self, shape: Shape) -> State:
        raise TypeError(
            "ContinuousDelay runs in snnx.event.simulate alone; on the clock take snnx.Delay, whose delays are whole steps."
        )

    def __call__(self, x: Array, state: State, *, key: Key[Array, ""] | None = None) -> tuple[Array, State]:
        return self.init_state(x.shape)
