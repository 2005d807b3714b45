"""How a neuron's element-wise arithmetic runs over a stretch of time: the one place where a device may get a way of its own.

- `"scan"`: a loop of steps. On a CPU nothing is faster (with 4 steps of the loop unrolled it takes 1.2 times as long, with
  16 1.6 times).
- `"unrolled"`: all steps of the stretch in a row, for a GPU to fuse into few kernels instead of launching some at each step.
- `"pallas"`: one kernel forward and one backward (`_pallas.py`). Reverse mode only; where it does not apply (masks, taps of
  states, counters, random surrogates, the exact gradient), the scan runs.

The environment variable `SNNX_OVER_TIME` chooses, before snnx is imported. The default is the scan everywhere: the other two
have been compared with it, values and gradients, but not yet been timed on a GPU. With JAX 0.12 the kernel is translated for
CUDA by Pallas's Triton backend, which is deprecated; its Mosaic one takes no `vmap` of a kernel.
"""

import os
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

WAYS = ("scan", "unrolled", "pallas")
WAY = os.environ.get("SNNX_OVER_TIME", "scan")
if WAY not in WAYS:
    raise ValueError(f"SNNX_OVER_TIME is {WAY!r}, expected one of {', '.join(WAYS)}.")


def scan_steps(step: Callable, state: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan`, unrolled where that is chosen."""
    return jax.lax.scan(step, state, inputs, unroll=True if WAY == "unrolled" else 1)


def takes_one_kernel(neuron: PyTree, state: PyTree, mask: Array | None, taps: tuple[str, ...]) -> bool:
    """Whether a kernel is chosen, and can do what is asked. (Counters go with refractoriness and random surrogates.)"""
    if WAY != "pallas" or mask is not None or not set(taps) <= {""} or getattr(neuron, "gradient", None) is not None:
        return False
    return all(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(state))
