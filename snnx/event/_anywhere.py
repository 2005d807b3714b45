import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool


@custom_vmap
def anywhere(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether it is so for any example of a batch: under `jax.vmap` one answer for all.

    A `while_loop` with this as its condition runs until the last example is done. With a condition for each, JAX would
    choose between the old and the new of the whole state, of each example, at every step.
    """
    return flag


@anywhere.def_vmap
def _of_batch(axis_size: int, in_batched: list[bool], flags: Bool[Array, "batch"]) -> tuple[Array, bool]:
    return (anywhere(jnp.any(flags)) if in_batched[0] else anywhere(flags)), False
