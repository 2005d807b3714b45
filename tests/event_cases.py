"""What the tests of both solvers in continuous time share: neurons, programs that are compiled once, comparisons."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

NUMBERS = ("tau_mem", "tau_syn", "rest", "resistance", "start_v", "start_j", "threshold", "after")
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # which compiles faster


def neurons(rng, size, *, ratio, rest):
    """The parameters of neurons, `ratio` being that of their time constants, where it is to be the same for all."""
    tau_mem = rng.uniform(8, 25, size)
    tau_syn = rng.uniform(3, 7, size) if ratio is None else tau_mem / ratio
    return {
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "rest": rest + 0.05 * rng.normal(size=size),
        "resistance": rng.uniform(0.8, 1.2, size),
        "start_v": np.full(size, 0.1) + 0.1 * rng.normal(size=size),
        "start_j": 0.1 * rng.normal(size=size),
        "threshold": rng.uniform(0.9, 1.1, size),
        "after": -0.1 + 0.05 * rng.normal(size=size),
    }


def numbers_of(p, form):
    """The neurons' among all parameters; of the form "jump" those of neurons without a synapse."""
    return {name: p[name] for name in NUMBERS} | ({"tau_syn": None} if form == "jump" else {})


def compiled(loss, counts, *, backwards):
    """Value and gradient by the adjoint, and by autodiff, backwards or forwards; and losses and counts at many parameters.

    **Arguments:** `loss`: from parameters, channels and the mode to a number and what was found; `counts`: of that.
    """

    def gradient(mode):
        return jit(jax.value_and_grad(lambda p, indices: loss(p, indices, mode), has_aux=True))

    def forwards(p, directions, indices):
        def along(direction):
            return jax.jvp(lambda p: loss(p, indices, "autodiff")[0], (p,), (direction,))[1]

        return jax.vmap(along)(directions)

    def at_each(p, indices):
        def one(p):
            value, found = loss(p, indices, "")
            return value, counts(found)

        return jax.vmap(one)(p)

    by_autodiff = (gradient("autodiff"), None) if backwards else (None, jit(forwards))
    return gradient("eventprop"), *by_autodiff, jit(at_each)


def differences(at_each, p, indices, step=4e-6, allowed=lambda moved: moved):
    """Central ones of a loss by every number, of two steps, extrapolated to none; no spike may appear or vanish.

    **Arguments:** `allowed`: what is made of parameters that may not be moved freely.
    """
    flat, unravel = ravel_pytree(p)
    moves = step * np.eye(flat.size)
    moved = flat + np.concatenate([moves, -moves, moves / 2, -moves / 2])
    values, counts = at_each(allowed(jax.vmap(unravel)(moved)), indices)
    assert np.all(counts == counts[0])
    up, down, half_up, half_down = np.split(np.asarray(values), 4)
    return unravel(jnp.asarray((4 * (half_up - half_down) / step - (up - down) / (2 * step)) / 3))


def assert_close(found, expected, tolerance):
    for name in expected:
        size = np.abs(np.asarray(expected[name])).max() + 1e-4
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=max(tolerance * size, 1e-8), err_msg=name)


def assert_autodiff_agrees(programs, p, indices, tolerance):
    """With the adjoint: in every number backwards, or forwards along some directions."""
    by_adjoint, by_autodiff, forwards, _ = programs
    (value, found), exact = by_adjoint(p, indices)
    if by_autodiff is not None:
        (same_value, same), autodiff = by_autodiff(p, indices)
        np.testing.assert_allclose(value, same_value, rtol=1e-12)
        np.testing.assert_allclose(found.times, same.times, rtol=1e-12)
        assert_close(autodiff, exact, tolerance)
    if forwards is not None:
        rng = np.random.default_rng(1)
        directions = {name: rng.normal(size=(6, *x.shape)) for name, x in p.items()}
        along = [sum(np.vdot(exact[name], directions[name][k]) for name in p) for k in range(6)]
        slopes = forwards(p, jax.tree.map(jnp.asarray, directions), indices)
        np.testing.assert_allclose(slopes, along, rtol=1e-8)
