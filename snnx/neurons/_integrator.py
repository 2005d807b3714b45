import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Key

from snnx.cells import Shape
from snnx.neurons._discretise import gain
from snnx.neurons._li import LIState
from snnx.neurons._neuron import AbstractNeuron, check_common, check_numbers
from snnx.parameters import Parameter


class Integrator(AbstractNeuron):
    r"""Integrator: a membrane without leak that never fires.

    $$ \frac{dv}{dt} = r x; \qquad v \leftarrow v + g x $$

    with $g = 1$ when `r` is None, else $\Delta t\, r$. The membrane starts at 0.

    **Arguments:** `r`, `dt`, `dtype`, as for `IF`.
    **Returns** (`__call__`): the membrane, `*shape`, and the new `LIState`.
    **Raises:** `ValueError` for `dt <= 0`.

    Source: NIR's `I` (Pedersen et al., Nature Communications, 2024).
    """

    r: Parameter | None = None
    dt: float = eqx.field(static=True, default=1.0, kw_only=True)
    dtype: DTypeLike | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self):
        check_common(self)
        check_numbers(self, r=self.r)

    def parameters(self) -> dict[str, Parameter]:
        return {} if self.r is None else {"r": self.r}

    def init_state(self, shape: Shape) -> LIState:
        return LIState(v=self.zeros(shape))

    def coefficients(self) -> "float | Array":
        return self.read(gain(self.r, self.dt))

    def step(
        self, x: Array, state: LIState, coefficients: "float | Array", key: Key[Array, ""] | None
    ) -> tuple[Array, LIState]:
        v = state.v + coefficients * x
        return v, LIState(v)
