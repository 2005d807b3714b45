"""A cell that feeds back on itself, and the rule by which its gradient is taken."""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError
from snnx.cells import (
    AbstractCell,
    Shape,
    State,
    Taps,
    cell_dtype,
    keep_where,
    taps_of_child,
    zero_where_masked,
)
from snnx.layers._apply import apply_step, apply_stretch, has_weights
from snnx.layers._container import check_part, naming, part_at_a_step, part_on_shapes, some_key, zero_masked_steps


class RecurrentState(eqx.Module):
    """The state of a `Recurrent`: its neuron's, and the output of the step before."""

    neuron: State
    y: Array


@checked
class Recurrent(AbstractCell):
    r"""A neuron (or any cell) that also gets its own output of the step before.

    $$ y_t = \text{neuron}(x_t + \text{feedback}(y_{t-1})), \qquad y_{-1} = 0 $$

    ```python
    snnx.Recurrent(snnx.LIF(), eqx.nn.Linear(128, 128, use_bias=False, key=key))
    ```

    **Arguments:**
    - `neuron`: any cell.
    - `feedback`: a plain callable from the neuron's output to the shape of its input. A bias in it acts from step 0.

    **Raises:** `ShapeError` where the feedback's output does not have the input's shape.
    """

    neuron: AbstractCell
    feedback: PyTree

    def __check_init__(self):
        if isinstance(self.feedback, AbstractCell):
            raise TypeError(
                f"Recurrent: feedback is the cell {type(self.feedback).__name__}; expected a plain callable such as"
                " eqx.nn.Linear. Put cells inside the neuron: Recurrent(Sequential([...]), feedback); with cells or delays on"
                " the way back, wire a snnx.Graph."
            )
        check_part("Recurrent", "feedback", self.feedback)

    def children(self) -> dict[str, PyTree]:
        return {"neuron": self.neuron, "feedback": self.feedback}

    @checked
    def init_state(self, shape: Shape) -> RecurrentState:
        x = jax.ShapeDtypeStruct(shape, cell_dtype(self))
        state, y = part_on_shapes(self, "neuron", self.neuron, x)
        back = jax.eval_shape(lambda y: self._feed_back(y, some_key()), y)
        if back.shape != x.shape:
            raise ShapeError(
                f"Recurrent: feedback ({type(self.feedback).__name__}) gives shape {tuple(back.shape)}, expected that of"
                f" the input, {tuple(x.shape)}."
            )
        return RecurrentState(state["neuron"], jnp.zeros(y.shape, y.dtype))

    def __call__(
        self, x: Array, state: RecurrentState, *, key: Key[Array, ""] | None = None
    ) -> tuple[Array, RecurrentState]:
        neuron_key, feedback_key = self._keys(key)
        back = self._feed_back(state.y, feedback_key)
        self._check_input(x, back)
        with naming(self, "neuron", x):
            y, neuron = self.neuron(x + back, state.neuron, key=neuron_key)
        return y, RecurrentState(neuron, y)

    def over_time(
        self,
        xs: Array,
        state: RecurrentState,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Array, RecurrentState, dict[str, Array]]:
        if not has_weights(self.feedback):
            return self._scan(xs, state, key, mask, taps)[0]
        # Weights on the way back get their gradient by a rule of its own, see `_over_time_jvp`.
        feedback, rest = eqx.partition(self, _in_feedback(self))

        def scan(feedback: PyTree, rest: PyTree, xs: Array, state: RecurrentState) -> PyTree:
            return eqx.combine(feedback, rest)._scan(xs, state, key, mask, taps)

        # Converted, as a function inside the neuron may close over arrays that are differentiated.
        converted = eqx.filter_closure_convert(scan, feedback, rest, xs, state)
        return _over_time(feedback, (converted, rest, xs, state), key=self._keys(key)[1], mask=mask, taps=taps)[0]

    def _scan(
        self, xs: Array, state: RecurrentState, key: Key[Array, ""] | None, mask: Bool[Array, "time"] | None, taps: Taps
    ) -> tuple[tuple[Array, RecurrentState, dict[str, Array]], Array]:
        """What `over_time` returns, and what was fed back at every step: `y` of the step before."""
        neuron_key, feedback_key = self._keys(key)
        wanted = taps_of_child(taps, "neuron")

        def step(state: RecurrentState, inputs: PyTree) -> tuple[RecurrentState, PyTree]:
            x, live = inputs
            back = self._feed_back(state.y, feedback_key)
            self._check_input(x, back)
            asked = {"states": {"neuron": state.neuron}, "key": neuron_key, "live": live, "taps": wanted}
            y, after, tapped = part_at_a_step(self, "neuron", self.neuron, x + back, **asked)
            new = keep_where(live, RecurrentState(after["neuron"], y), state)
            y, back = zero_where_masked(live, (y, back))
            tapped |= {"": y} if "" in taps else {}
            tapped |= {"feedback": back} if "feedback" in taps else {}
            return new, (y, tapped, state.y)

        state, (ys, tapped, fed_back) = jax.lax.scan(step, state, (xs, mask))
        return (ys, state, cast(dict[str, Array], tapped)), fed_back

    def _keys(self, key: Key[Array, ""] | None) -> "tuple[Array | None, Array | None]":
        return (None, None) if key is None else (jax.random.fold_in(key, 0), jax.random.fold_in(key, 1))

    def _feed_back(self, y: Array, key: Key[Array, ""] | None) -> Array:
        with naming(self, "feedback", y):
            return apply_step(self.feedback, y, key=key)

    def _check_input(self, x: Array, back: Array) -> None:
        if x.shape != back.shape:
            raise ShapeError(
                f"Recurrent: one step of x has shape {tuple(x.shape)}, but the feedback gives {tuple(back.shape)};"
                " a cell takes one example, without batch axis."
            )


def _in_feedback(recurrent: Recurrent) -> PyTree:
    """The arrays of floats of the feedback, as a filter."""
    nothing = jax.tree.map(lambda _: False, recurrent)
    return eqx.tree_at(lambda r: r.feedback, nothing, jax.tree.map(eqx.is_inexact_array, recurrent.feedback))


@eqx.filter_custom_jvp
def _over_time(feedback: PyTree, others: PyTree, *, key: PyTree, mask: PyTree, taps: Taps) -> PyTree:
    scan, recurrent, xs, state = others
    return scan(feedback, recurrent, xs, state)


@_over_time.def_jvp
def _over_time_jvp(primals: PyTree, tangents: PyTree, *, key: PyTree, mask: PyTree, taps: Taps) -> PyTree:
    r"""A change of the feedback's weights $W$ acts as one of the inputs does, at all steps at once.

    With $u_t = x_t + F(W, y_{t-1})$ and $(y_t, z_t) = N(u_t, z_{t-1})$ tangents (dotted) travel as

    $$ \dot u_t = \Big[\dot x_t + \frac{\partial F(W, y_{t-1})}{\partial W} \dot W\Big]
       + \frac{\partial F(W, y_{t-1})}{\partial y} \dot y_{t-1} $$

    In brackets is all that $\dot W$ does. Every $y_{t-1}$ is known once the cell has run, so that it is computed for the
    whole stretch, added to $\dot x$, and the rest is the tangent of the cell with its weights held. Transposed, the weights'
    gradient is one product, $\bar W = \sum_t \bar u_t y_{t-1}^T$, where JAX's own rule adds one at every step.
    """
    feedback, (scan, recurrent, xs, state) = primals
    d_feedback, (d_scan, d_recurrent, d_xs, d_state) = tangents
    varied, held = _split((scan, recurrent, state), (d_scan, d_recurrent, d_state))

    def with_weights_held(varied: PyTree, xs: Array) -> PyTree:
        scan, recurrent, state = eqx.combine(varied, held)
        return scan(feedback, recurrent, xs, state)

    # Linearised rather than a jvp: d_xs depends on what comes out, `out[1]`, which is y of the step before at every step.
    out, tangent = jax.linearize(with_weights_held, varied, xs)
    d_xs = jnp.zeros_like(xs) if d_xs is None else d_xs
    d_backs = None
    if jax.tree.leaves(d_feedback):
        by_weights, weights = _split(feedback, d_feedback)

        def feed_back(by_weights: PyTree) -> Array:
            return apply_stretch(eqx.combine(by_weights, weights, recurrent).feedback, out[1], key=key)

        _, d_backs = jax.jvp(feed_back, (by_weights,), (d_feedback,))
        d_xs = d_xs + d_backs
    d_out = tangent((d_scan, d_recurrent, d_state), d_xs)
    if d_backs is not None and "feedback" in taps:  # which sees F itself, and so the weights not only through x
        d_out[0][2]["feedback"] += zero_masked_steps(mask, d_backs)
    return out, jax.tree.map(lambda o, d: d if eqx.is_inexact_array(o) else None, out, d_out)


def _split(tree: PyTree, tangents: PyTree) -> tuple[PyTree, PyTree]:
    """The leaves that have a tangent, and the others."""
    return eqx.partition(tree, jax.tree.map(lambda d: d is not None, tangents, is_leaf=lambda d: d is None))
