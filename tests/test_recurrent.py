"""`Recurrent` over a stretch of time has a derivative rule of its own: it is held to that of its steps, one by one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import snnx
from snnx.cells import keep_where, zero_where_masked

K = jax.random.split(jax.random.key(0), 8)
TIME, WIDTH = 7, 5

FEEDBACKS = {
    "linear": lambda: eqx.nn.Linear(WIDTH, WIDTH, use_bias=False, key=K[0]),
    "with a bias": lambda: eqx.nn.Linear(WIDTH, WIDTH, key=K[0]),
    "not linear": lambda: eqx.nn.MLP(WIDTH, WIDTH, 4, 1, key=K[0]),
    "without weights": lambda: lambda y: 0.3 * y[::-1],
}


def make(feedback):
    return snnx.Recurrent(
        snnx.ALIF(tau=snnx.Positive(jnp.linspace(3.0, 6.0, WIDTH)), threshold=0.4), FEEDBACKS[feedback]()
    )


def by_steps(cell, xs, state, mask):
    """Outputs, what was fed back, and the state at the end, by a loop in Python over `__call__`."""
    ys, backs = [], []
    for t, x in enumerate(xs):
        live = None if mask is None else mask[t]
        back = zero_where_masked(live, cell.feedback(state.y))
        y, new = cell(x, state)
        state = keep_where(live, new, state)
        ys.append(zero_where_masked(live, y))
        backs.append(back)
    return jnp.stack(ys), jnp.stack(backs), state


def over_time(cell, xs, state, mask):
    ys, state, seen = cell.over_time(xs, state, mask=mask, taps=("", "feedback", "neuron.v"))
    return ys, seen["feedback"], state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("feedback", "masked"), [("linear", False), ("with a bias", True), ("not linear", True), ("without weights", False)]
)
def test_the_derivatives_are_those_of_the_steps(feedback, masked, x64):
    cell = make(feedback)
    xs = jax.random.normal(K[1], (3, TIME, WIDTH))
    state = cell.init_state((WIDTH,))
    mask = jnp.arange(TIME) % 4 != 2 if masked else None
    weights = [jax.random.normal(k, (TIME, WIDTH)) for k in K[2:4]]

    def loss(run):
        def one(cell, x, state):
            ys, backs, end = run(cell, x, state, mask)
            return sum(jnp.sum(w * a) for w, a in zip(weights, (ys, backs), strict=True)) + sum(
                jnp.sum(jnp.sin(e)) for e in jax.tree.leaves(end)
            )

        return lambda inputs: jnp.sum(jax.vmap(lambda x: one(inputs[0], x, inputs[2]))(inputs[1]))

    given = (cell, xs, state)
    varied, fixed = eqx.partition(given, eqx.is_inexact_array)
    ours, theirs = (lambda v, run=run: loss(run)(eqx.combine(v, fixed)) for run in (over_time, by_steps))
    assert ours(varied) == pytest.approx(float(theirs(varied)), rel=1e-12)
    for a, b in zip(*(jax.tree.leaves(jax.grad(f)(varied)) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    keys = iter(jax.random.split(K[5], 50))
    direction = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape), varied)
    forward = [jax.jvp(f, (varied,), (direction,))[1] for f in (ours, theirs)]
    assert forward[0] == pytest.approx(float(forward[1]), rel=1e-9)


def test_the_weights_gradient_is_one_product():
    """Of a reverse scan's body, no product has the shape of the weights."""
    cell, xs = make("linear"), jnp.ones((4, TIME, WIDTH))

    def loss(weight):
        model = eqx.tree_at(lambda c: c.feedback.weight, cell, weight)
        return jnp.sum(jax.vmap(lambda x: model.over_time(x, cell.init_state((WIDTH,)))[0])(xs))

    def products(jaxpr, inside):
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dot_general":
                yield inside, tuple(eqn.outvars[0].aval.shape)
            for inner in jaxprs_in_params(eqn.params):
                yield from products(inner, inside or eqn.primitive.name == "scan")

    found = list(products(jax.make_jaxpr(jax.grad(loss))(cell.feedback.weight).jaxpr, False))
    assert (True, (4, WIDTH)) in found  # the spikes through the weights, at every step
    assert found.count((False, (WIDTH, WIDTH))) == 1
    assert (True, (WIDTH, WIDTH)) not in found


@pytest.mark.slow
@pytest.mark.parametrize("place", ["neuron", "feedback"])
def test_functions_may_close_over_what_is_differentiated(place, x64):
    xs, half = jax.random.normal(K[1], (TIME, WIDTH)), 0.5 * jnp.eye(WIDTH)
    halves = eqx.tree_at(lambda layer: layer.weight, eqx.nn.Linear(WIDTH, WIDTH, use_bias=False, key=K[0]), half)

    def loss(weight, run):
        neuron = snnx.LIF(4.0, threshold=0.4)
        if place == "neuron":
            cell = snnx.Recurrent(snnx.Sequential([lambda x: weight @ x, neuron]), halves)
        else:
            cell = snnx.Recurrent(neuron, lambda y: weight @ y)
        ys = run(cell, xs, cell.init_state((WIDTH,)))
        return jnp.sum(jnp.cos(jnp.arange(ys.size)).reshape(ys.shape) * ys)

    weight = jax.random.normal(K[2], (WIDTH, WIDTH))
    for derivative in (jax.grad, jax.jacfwd):
        ours = derivative(loss)(weight, lambda cell, xs, state: cell.over_time(xs, state)[0])
        theirs = derivative(loss)(weight, lambda cell, xs, state: by_steps(cell, xs, state, None)[0])
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
        assert float(jnp.abs(theirs).sum()) > 0.01
