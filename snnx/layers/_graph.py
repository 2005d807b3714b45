"""A graph of cells and callables: run layer by layer where it can be, step by step where cycles tie nodes together."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe, unknown_name
from snnx.cells import AbstractCell, Shape, Taps, cell_dtype, keep_where
from snnx.inputs import AbstractInputs
from snnx.layers._apply import takes_as_it_is
from snnx.layers._container import (
    check_parts,
    part_at_a_step,
    part_keys,
    part_on_shapes,
    part_over_time,
    state_of,
    zero_masked_steps,
)
from snnx.layers._wiring import CycleError, Edge, Wiring, wiring

BEFORE = ""  # the entry of a graph's state for what its lagging edges carry
ByName: TypeAlias = dict[str, Any]


@checked
class Graph(AbstractCell):
    r"""Nodes and the edges between them: branches, skips, feedback, several inputs and outputs.

    $$ y_n(t) = \text{node}_n\Big(\sum_{m \to n} y_m(t) + \sum_{m \leadsto n} y_m(t - 1)\Big), \qquad y_m(-1) = 0 $$

    where $\leadsto$ are the edges that lag: none, unless there are cycles. These are found by a search from the inputs, depth
    first and in the order of names. Where an edge closes a cycle, the cycle is followed back from that edge's source to the
    nearest cell, and the cycle's edge that leaves the cell carries its value of the step before.

    ```python
    graph = snnx.Graph(
        {"in": eqx.nn.Linear(64, 128, key=k1), "hidden": snnx.LIF(), "back": eqx.nn.Linear(128, 128, key=k2)},
        edges=[("input", "in"), ("in", "hidden"), ("hidden", "back"), ("back", "hidden"), ("hidden", "output")],
    )
    ```

    **Arguments:**
    - `nodes`: cells and plain callables by name. A `/` in a name stands for nested graphs when it is exported:
        `"sub/input"` and `"sub/output"`, each an `eqx.nn.Identity()`, are where edges from and to outside have to lead. Where
        `record` finds that a path is both a node, `"a.v"`, and a field of another's state, it takes the node.
    - `edges`: pairs of names, the source first. What several edges bring to a node, or to an output, adds up.
    - `inputs`, `outputs`: names at which edges begin or end and that are not nodes; a single one may be given as a text. With
        one, `x`, its shape and `y` are bare; with more they are dicts by name.
    - `shapes`: the shape of one step of what goes into a node, where its edges do not tell: of nodes without any (which get
        zeros), and in cycles that nothing leads into.
    - `source`: anything hashable that travels with the graph; `snnx.nir` keeps there what it was made from.

    The state is a dict from the name of a cell to its state; what lagging edges carry is its entry `""`. Nodes that cycles
    tie to each other are stepped together; all others run layer by layer.

    **Raises:** `ValueError` for unknown names, an edge that is given twice, a cycle without a cell; `TypeError` for a node
    that is neither a cell nor callable; `ShapeError` at `init_state` where shapes do not fit, naming the node.
    """

    nodes: dict[str, PyTree]
    names: tuple[str, ...] = eqx.field(static=True)  # in the order given: a PyTree sorts the keys of a dict
    edges: tuple[Edge, ...] = eqx.field(static=True)
    inputs: tuple[str, ...] = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)
    shapes: tuple[tuple[str, Shape], ...] = eqx.field(static=True)
    source: Hashable = eqx.field(static=True)

    def __init__(
        self,
        nodes: Mapping[str, PyTree],
        edges: Iterable[Sequence[str]],
        *,
        inputs: str | Sequence[str] = "input",
        outputs: str | Sequence[str] = "output",
        shapes: Mapping[str, Shape] | None = None,
        source: Hashable = None,
    ):
        self.nodes, self.names = dict(nodes), tuple(nodes)
        self.edges = tuple(map(_edge, edges))
        self.inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        self.outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        self.shapes = tuple((shapes or {}).items())
        self.source = source

    def __check_init__(self):
        known = (*self.inputs, *self.names, *self.outputs)
        for argument, given in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not given:
                raise ValueError(f"Graph: {argument} is empty; expected at least one name.")
        for i, name in enumerate(known):
            if not name:
                raise ValueError("Graph: a name is empty.")
            if name in known[:i]:
                raise ValueError(f"Graph: the name {name!r} stands for two of its nodes, inputs and outputs.")
        seen: set[Edge] = set()
        for source, target in self.edges:
            if source not in (*self.inputs, *self.names):
                raise ValueError(unknown_name("Graph", "source of an edge", source, (*self.inputs, *self.names)))
            if target not in (*self.names, *self.outputs):
                raise ValueError(unknown_name("Graph", "target of an edge", target, (*self.names, *self.outputs)))
            if (source, target) in seen:
                raise ValueError(f"Graph: the edge from {source!r} to {target!r} is given twice.")
            seen.add((source, target))
        for name, _ in self.shapes:
            if name not in self.names:
                raise ValueError(unknown_name("Graph", "node in shapes", name, self.names))
        check_parts(self)
        try:
            sources = self.wiring().sources
        except CycleError as error:
            raise ValueError(f"Graph: {error}.") from error
        for name in self.outputs:
            if not sources[name]:
                raise ValueError(f"Graph: no edge leads to the output {name!r}.")

    def children(self) -> dict[str, PyTree]:
        return {name: self.nodes[name] for name in self.names}

    def wiring(self) -> Wiring:
        """What runs together and in which order, what feeds what, and which edges lag."""
        stateful = frozenset(name for name in self.names if isinstance(self.nodes[name], AbstractCell))
        return wiring(self.names, self.edges, self.inputs, self.outputs, stateful)

    def takes(self, xs: AbstractInputs) -> bool:
        wiring, (source, *more) = self.wiring(), self.inputs
        firsts = [target for s, target in self.edges if s == source]
        alone = {names[0] for names, cyclic in wiring.components if not cyclic}
        return not more and all(
            name in alone and wiring.sources[name] == (source,) and _takes(self.nodes[name], xs) for name in firsts
        )

    def init_state(self, shape: Any) -> ByName:
        """The state before the first step. `shape`: of one step of the input; of several inputs a dict by name."""
        states, _, outs = self._propagate(shape)
        carried = sorted({source for source, _ in self.wiring().lagging})
        before = {name: jnp.zeros(outs[name].shape, outs[name].dtype) for name in carried}
        return states | ({BEFORE: before} if before else {})

    def step_shapes(self, shape: Any) -> dict[str, tuple[Shape, Shape]]:
        """Of every node the shapes of what goes into it at one step, and of what comes out. `shape`: as in `init_state`."""
        _, given, outs = self._propagate(shape)
        return {name: (tuple(given[name].shape), tuple(outs[name].shape)) for name in self.names}

    def __call__(self, x: Any, state: ByName, *, key: Key[Array, ""] | None = None) -> tuple[Any, ByName]:
        names = [name for names, _ in self.wiring().components for name in names]
        values, new, _ = self._step(names, self._by_input("x", x), state, part_keys(self, key), {}, None)
        return self._outputs(values), new

    def over_time(
        self,
        xs: Any,
        state: ByName,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Any, ByName, dict[str, Array]]:
        values, new, tapped = self._by_input("xs", xs), dict(state), {}
        keys, wanted = part_keys(self, key), _taps_by_node(self.names, taps)
        sources = self.wiring().sources
        for names, cyclic in self.wiring().components:
            if cyclic:
                values |= self._loop(names, values, new, keys, mask, wanted, tapped)
                continue
            (name,) = names
            x = self._add_up(name, [values[source] for source in sources[name]], (_length(values),))
            asked = {"states": state, "key": keys[name], "mask": mask, "taps": wanted.get(name, ())}
            values[name], after, seen = part_over_time(self, name, self.nodes[name], x, **asked)
            new |= after
            tapped |= seen
        ys = zero_masked_steps(mask, self._outputs(values, (_length(values),)))
        return ys, new, tapped | ({"": ys} if "" in taps else {})

    def _loop(
        self,
        names: Sequence[str],
        values: ByName,
        new: ByName,
        keys: ByName,
        mask: Array | None,
        wanted: dict[str, Taps],
        tapped: dict[str, Array],
    ) -> ByName:
        """Nodes that cycles tie to each other, over a stretch of time. Writes their states into `new`.

        **Returns:** the outputs of those that others need.
        """
        # One scan, whose step runs the nodes in order. What comes from outside is known for the whole stretch already, as the
        # components before this one have run. Where an edge lags, its target reads the source's value of the step before,
        # which travels in the carry beside the states: entry BEFORE.
        inside, sources, lagging = set(names), self.wiring().sources, self.wiring().lagging
        outside = {s: values[s] for name in names for s in sources[name] if s not in inside}
        states = {name: new[name] for name in names if name in new}
        carried = {source for source, _ in lagging} & inside
        states[BEFORE] = {name: state_of(BEFORE, new)[name] for name in sorted(carried)}
        needed = sorted({source for source, target in self.edges if source in inside and target not in inside})

        def step(states: ByName, inputs: PyTree) -> tuple[ByName, PyTree]:
            from_outside, live = inputs
            found, after, seen = self._step(names, from_outside, states, keys, wanted, live)
            ys = {name: found[name] for name in needed}
            return keep_where(live, after, states), (ys, seen)

        states, (ys, seen) = jax.lax.scan(step, states, (outside, mask), length=_length(values))
        new |= states | {BEFORE: new[BEFORE] | states[BEFORE]}
        tapped |= seen
        return ys

    def _step(
        self, names: Sequence[str], values: ByName, states: ByName, keys: ByName, wanted: dict[str, Taps], live: Any
    ) -> tuple[ByName, ByName, dict[str, Array]]:
        """One step of some nodes, in order.

        **Arguments:** `values`: what comes from elsewhere; `states`: theirs, and what was before.
        **Returns:** all values, the new states, what the taps see.
        """
        values, new, seen = dict(values), dict(states), {}
        _, sources, lagging = self.wiring()
        for name in names:
            given = [states[BEFORE][s] if (s, name) in lagging else values[s] for s in sources[name]]
            x, asked = self._add_up(name, given), {"live": live, "taps": wanted.get(name, ())}
            values[name], after, found = part_at_a_step(
                self, name, self.nodes[name], x, states=states, key=keys[name], **asked
            )
            new |= after
            seen |= found
        if BEFORE in states:
            new[BEFORE] = {name: values[name] for name in states[BEFORE]}
        return values, new, seen

    def _add_up(self, name: str, given: Sequence[Any], leading: Shape = ()) -> Any:
        """What goes into a node or comes out of an output: the sum, or, where no edge leads to it, zeros."""
        if not given:
            return jnp.zeros((*leading, *dict(self.shapes)[name]), cell_dtype(self))
        if len(given) > 1 and len({tuple(x.shape) for x in given}) > 1:
            came = ", ".join(
                f"{tuple(x.shape[len(leading) :])} from {source!r}"
                for source, x in zip(self.wiring().sources[name], given, strict=True)
            )
            raise ShapeError(
                f"Graph: to {name!r} come steps of shapes {came}; expected one shape, as they are added up."
            )
        return sum(given[1:], start=given[0])

    def _outputs(self, values: ByName, leading: Shape = ()) -> Any:
        sources = self.wiring().sources
        ys = {name: self._add_up(name, [values[s] for s in sources[name]], leading) for name in self.outputs}
        return ys if len(ys) > 1 else ys[self.outputs[0]]

    def _by_input(self, what: str, given: Any) -> ByName:
        """What was given, as a dict by input."""
        if len(self.inputs) == 1 and not isinstance(given, Mapping):
            return {self.inputs[0]: given}
        if not isinstance(given, Mapping) or set(given) != set(self.inputs):
            came = f"a dict of {', '.join(map(repr, given))}" if isinstance(given, Mapping) else describe(given)
            raise ValueError(f"Graph: {what} is {came}, expected a dict by input: {', '.join(map(repr, self.inputs))}.")
        return dict(given)

    def _propagate(self, shape: Any) -> tuple[ByName, ByName, ByName]:
        """States; shape and dtype of what goes into every node, and of what comes out.

        In a cycle the shape of what comes back may not be known yet: one edge tells, the others are compared with it.
        """
        dtype, (_, sources, _) = cell_dtype(self), self.wiring()
        outs: ByName = {n: jax.ShapeDtypeStruct(tuple(s), dtype) for n, s in self._by_input("shape", shape).items()}
        given: ByName = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in self.shapes}
        states, waiting = {}, [name for names, _ in self.wiring().components for name in names]
        while waiting:
            later = []
            for name in waiting:
                known = (outs[source] for source in sources[name] if source in outs)
                x = given[name] if name in given else next(known, None)
                if x is None:
                    later.append(name)
                    continue
                given[name] = x
                state, outs[name] = part_on_shapes(self, name, self.nodes[name], x)
                states |= state
            if len(later) == len(waiting):
                raise ShapeError(
                    f"Graph: nothing tells the shape of what goes into {', '.join(map(repr, later))}; give it as"
                    f" shapes={{{later[0]!r}: ...}}."
                )
            waiting = later
        for name in (*self.names, *self.outputs):
            came = [outs[source] for source in sources[name]]
            expected = given[name] if name in given else came[0]
            for source, x in zip(sources[name], came, strict=True):
                if x.shape != expected.shape:
                    raise ShapeError(
                        f"Graph: into {name!r} go steps of shape {tuple(expected.shape)}, but from {source!r} come"
                        f" {tuple(x.shape)}; what several edges bring is added up."
                    )
        return states, given, outs


def _edge(edge: Sequence[str]) -> Edge:
    if len(edge) != 2:
        raise ValueError(f"Graph: edges holds {edge!r}; expected pairs of names: (source, target).")
    return (edge[0], edge[1])


def _takes(part: PyTree, xs: AbstractInputs) -> bool:
    return part.takes(xs) if isinstance(part, AbstractCell) else takes_as_it_is(part, xs)


def _length(values: ByName) -> int:
    """The number of steps of a stretch."""
    xs = next(iter(values.values()))
    return xs.num_steps if isinstance(xs, AbstractInputs) else len(xs)


def _taps_by_node(names: Sequence[str], taps: Taps) -> dict[str, Taps]:
    """The taps within each node that has any. Names may have dots: the longest that fits is meant."""
    wanted: dict[str, Taps] = {}
    for tap in filter(None, taps):
        fits = [name for name in names if tap == name or tap.startswith(f"{name}.")]
        name = max(fits, key=len)
        wanted[name] = (*wanted.get(name, ()), tap[len(name) + 1 :])
    return wanted
