"""What an input does to the membrane of a neuron: its kernel, from the neuron's own update."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from snnx.cells import Shape, cast, cell_dtype, replace
from snnx.neurons import AbstractNeuron, NoReset, Spiking
from snnx.surrogates import Boxcar

_FAR = 1e30  # a threshold that is never reached; finite, because 0 * inf is no number
_BLOCK = 128
_MOST_STEPS = 2**18
_FORGOTTEN = 1e-6


def kernel_sums(
    neuron: AbstractNeuron, shape: Shape
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    r"""What a unit input does to the membrane of a neuron that does not fire.

    The step is linearised at rest, the state before the first step; threshold and reset are taken away. With
    $\epsilon_k$ the membrane's response $k$ steps after the input (the step of the input itself being $k = 0$):

    **Returns:** $\sum_k \epsilon_k$, $\sum_k \epsilon_k^2$, and the membrane at rest, each `*shape`.
    **Raises:** `TypeError` for a neuron without a membrane `v`; `ValueError` if the response does not die out within
    `2**18` steps, or is no finite number.
    """
    name, dtype = type(neuron).__name__, jnp.promote_types(cell_dtype(neuron), jnp.float32)
    free = cast(neuron, dtype)
    if isinstance(free, Spiking):
        free = replace(free, threshold=_FAR, reset=NoReset(), surrogate=Boxcar())
    at_rest = free.init_state(shape)
    if not hasattr(at_rest, "v"):
        raise TypeError(f"fluctuation_driven: the state of {name} has no membrane v.")
    moving, others = eqx.partition(at_rest, eqx.is_inexact_array)
    silence, unit_input = jnp.zeros(shape, dtype), jnp.ones(shape, dtype)

    def step(x: Array, moving: PyTree) -> PyTree:
        _, new = free(x, eqx.combine(moving, others), key=jax.random.key(0))
        return eqx.filter(new, eqx.is_inexact_array)

    def respond(x: Array, deviation: PyTree) -> PyTree:
        return jax.jvp(step, (silence, moving), (x, deviation))[1]

    def add(carry: PyTree, _: None) -> tuple[PyTree, Array]:
        deviation, total, energy = carry
        response = deviation.v
        return (respond(silence, deviation), total + response, energy + response**2), jnp.abs(response)

    def advance(carry: PyTree) -> PyTree:
        sums, steps, peak, _ = carry
        sums, sizes = jax.lax.scan(add, sums, length=_BLOCK)
        latest = jnp.max(sizes, axis=0)
        return sums, steps + _BLOCK, jnp.maximum(peak, latest), latest

    def goes_on(carry: PyTree) -> Array:
        _, steps, peak, latest = carry
        return (steps < _MOST_STEPS) & jnp.any(latest > _FORGOTTEN * peak)

    first = respond(unit_input, jax.tree.map(jnp.zeros_like, moving))
    start = ((first, silence, silence), jnp.asarray(0), silence, silence)
    (_, total, energy), _, peak, latest = jax.lax.while_loop(goes_on, advance, advance(start))
    known = jnp.isfinite(total) & jnp.isfinite(energy) & (energy > 0.0) & (latest <= _FORGOTTEN * peak)
    total = refuse_if(
        ~known,
        f"fluctuation_driven: the membrane of {name} does not answer an input, or does not forget it within"
        f" {_MOST_STEPS} steps (an integrator without leak never does); take a neuron with a leak, or scaled_normal.",
        total,
    )
    return total, energy, at_rest.v


def refuse_if(bad: Array, message: str, x: Array) -> Array:
    """`x`, or an error if any is bad: at once, or, inside jit and vmap, when the program runs."""
    if isinstance(bad, Tracer):
        return eqx.error_if(x, bad, message)
    if bool(jnp.any(bad)):
        raise ValueError(message)
    return x
