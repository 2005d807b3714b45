"""How a neuron's element-wise arithmetic runs over a stretch of time: the one place where a device may get a way of its own.

- `"scan"`: a loop of steps. On a CPU nothing is faster (with 4 steps of the loop unrolled it takes 1.2 times as long, with
  16 1.6 times).
- `"unrolled"`: all steps of the stretch in a row, for a GPU to fuse into few kernels instead of launching some at each step.
- `"kernel"`: one kernel forward and one backward, by Pallas (`_dynamics_kernel.py`). Reverse mode only; where it does not
  apply (masks, taps of states, counters, random surrogates), the scan runs.

The environment variable `SNNX_DYNAMICS` chooses, before snnx is imported. The default is the scan everywhere: the other two
have been compared with it, values and gradients, but not yet been timed on a GPU. With JAX 0.12 the kernel is translated for
CUDA by Pallas's Triton backend, which is deprecated; its Mosaic one takes no `vmap` of a kernel.
"""

import os
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

KINDS = ("scan", "unrolled", "kernel")
KIND = os.environ.get("SNNX_DYNAMICS", "scan")
if KIND not in KINDS:
    raise ValueError(f"SNNX_DYNAMICS is {KIND!r}, expected one of {', '.join(KINDS)}.")


def scan_steps(step: Callable, state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan`, unrolled where that is chosen."""
    return jax.lax.scan(step, state, inputs, unroll=True if KIND == "unrolled" else 1)


def fuses(state: PyTree, mask: Array | None, taps: tuple[str, ...]) -> bool:
    """Whether the kernel is chosen, and can do what is asked. (Counters go with refractoriness and random surrogates.)"""
    counters = not all(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(state))
    return KIND == "kernel" and mask is None and set(taps) <= {""} and not counters
