"""A neuron over a stretch of time as one kernel forward and one backward, for any neuron whose step is element-wise.

A program has a block of neurons: it keeps their state in registers, reads their inputs step by step and writes their
outputs. For the backward pass the forward one also writes the state before every step; the backward one goes through time
in reverse, differentiates the neuron's own step there by JAX, and adds up the gradient of each neuron's parameters.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx.cells import nothing_saveable, saveable

BLOCK = 128  # neurons of a program

Step = Callable[[Array, list[Array], list[Array]], tuple[Array, list[Array]]]


def over_time_in_one_kernel(neuron: PyTree, xs: Array, state: PyTree, coefficients: PyTree) -> tuple[Array, PyTree]:
    """A neuron's outputs `[time, *shape]` and its state at the end; parameters have `shape`, or broadcast to it."""
    shape, (params, static) = xs.shape[1:], eqx.partition((neuron, coefficients), eqx.is_inexact_array)
    count = math.prod(shape)
    flat = [jnp.broadcast_to(p, shape).reshape(count) for p in jax.tree.leaves(params)]
    leaves, treedef = jax.tree.flatten(state)
    states: list[Array] = [s.reshape(count) for s in leaves]
    structure = jax.tree.structure(params)

    def step(x: Array, states: list[Array], params: list[Array]) -> tuple[Array, list[Array]]:
        neuron, coefficients = eqx.combine(jax.tree.unflatten(structure, params), static)
        y, new = neuron.step(x, jax.tree.unflatten(treedef, states), coefficients, None)
        return y, jax.tree.leaves(new)

    ys, ends = cast(tuple, _run(step, xs.reshape(len(xs), count), states, flat))
    return ys.reshape(xs.shape), jax.tree.unflatten(treedef, [e.reshape(shape) for e in ends])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(step: Step, xs: Array, states: list[Array], params: list[Array]) -> tuple[Array, list[Array]]:
    ys, ends, _ = _forward(step, xs, states, params, keep=False)
    return ys, ends


def _run_forward(step: Step, xs: Array, states: list[Array], params: list[Array]) -> tuple:
    ys, ends, before = _forward(step, xs, states, params, keep=True)
    return (ys, ends), (xs, [saveable(b) for b in before], params)


def _run_backward(step: Step, kept: tuple, cotangents: tuple) -> tuple:
    return _backward(step, *kept, *cotangents)


_run.defvjp(_run_forward, _run_backward)


def _forward(step: Step, xs: Array, states: list[Array], params: list[Array], keep: bool) -> tuple:
    """Outputs, states at the end, and with `keep` the state before every step."""
    n_states, n_params = len(states), len(params)

    def kernel(*refs: Any) -> None:
        sizes = 1, n_states, n_params, 1, n_states, n_states if keep else 0
        (x_ref,), state_refs, param_refs, (y_ref,), end_refs, before_refs = _groups(refs, sizes)
        parameters = [ref[...] for ref in param_refs]

        def at(t: Array, states: list[Array]) -> list[Array]:
            for ref, state in zip(before_refs, states, strict=False):
                ref[t, :] = state
            with nothing_saveable():
                y, states = step(x_ref[t, :], states, parameters)
            y_ref[t, :] = y
            return states

        states = jax.lax.fori_loop(0, len(xs), at, [ref[...] for ref in state_refs])
        for ref, state in zip(end_refs, states, strict=True):
            ref[...] = state

    over_time = [jax.ShapeDtypeStruct(xs.shape, s.dtype) for s in states] if keep else []
    ys, *rest = _call(kernel, [xs, *states, *params], [xs, *states, *over_time])
    return ys, rest[:n_states], rest[n_states:]


def _backward(
    step: Step, xs: Array, before: list[Array], params: list[Array], d_ys: Array, d_ends: list[Array]
) -> tuple[Array, list[Array], list[Array]]:
    """The gradient by inputs, by the states at the start, and by the parameters."""
    n_states, n_params = len(before), len(params)

    def kernel(*refs: Any) -> None:
        sizes = 1, 1, n_states, n_states, n_params, 1, n_states, n_params
        (x_ref,), (d_y_ref,), before_refs, d_end_refs, param_refs, (d_x_ref,), *d_refs = _groups(refs, sizes)
        parameters = [ref[...] for ref in param_refs]

        def at(i: Array, carry: tuple) -> tuple:
            d_states, d_params = carry
            t = len(xs) - 1 - i
            with nothing_saveable():
                _, back = jax.vjp(step, x_ref[t, :], [ref[t, :] for ref in before_refs], parameters)
                d_x, d_states, more = back((d_y_ref[t, :], d_states))
            d_x_ref[t, :] = d_x
            return d_states, [d + m for d, m in zip(d_params, more, strict=True)]

        zeros = [jnp.zeros_like(p) for p in parameters]
        found = jax.lax.fori_loop(0, len(xs), at, ([ref[...] for ref in d_end_refs], zeros))
        for group, values in zip(d_refs, found, strict=True):
            for ref, value in zip(group, values, strict=True):
                ref[...] = value

    d_xs, *rest = _call(kernel, [xs, d_ys, *before, *d_ends, *params], [xs, *d_ends, *params])
    return d_xs, rest[:n_states], rest[n_states:]


def _groups(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """One after the other, so many items each."""
    rest = iter(items)
    for size in sizes:
        yield list(itertools.islice(rest, size))


def _call(kernel: Callable, inputs: list[Array], like: list[Any]) -> list[Array]:
    """A kernel on arrays `[n]` and `[time, n]`, block by block of the last axis; n is filled up to whole blocks."""
    from jax.experimental import pallas as pl  # here: it takes a while to import

    count = inputs[0].shape[-1]
    blocks = -(-count // BLOCK)

    def filled(x: Array) -> Array:
        return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, blocks * BLOCK - count)], mode="edge")

    def spec(x: Any) -> Any:
        if len(x.shape) == 1:
            return pl.BlockSpec((BLOCK,), lambda i: (i,))
        return pl.BlockSpec((x.shape[0], BLOCK), lambda i: (0, i))

    outputs = pl.pallas_call(
        kernel,
        grid=(blocks,),
        in_specs=[spec(x) for x in inputs],
        out_specs=[spec(x) for x in like],
        out_shape=[jax.ShapeDtypeStruct((*x.shape[:-1], blocks * BLOCK), x.dtype) for x in like],
        interpret=jax.default_backend() == "cpu",
    )(*map(filled, inputs))
    return [x[..., :count] for x in outputs]
