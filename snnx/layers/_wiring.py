"""Which edges of a graph lag by a step, what is stepped together, and in which order: from names alone."""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

Edge: TypeAlias = tuple[str, str]
_Name = TypeVar("_Name", str, int)


class Component(NamedTuple):
    """Nodes that run together, in the order of a step: one, or all that cycles tie to each other (a strong component)."""

    names: tuple[str, ...]
    cyclic: bool


class Wiring(NamedTuple):
    """How a graph runs.

    - `components`: its nodes, in the order of a step.
    - `sources`: what adds up to the input of each node and to each output, in the order of the edges.
    - `lagging`: the edges that carry the value of the step before.
    """

    components: tuple[Component, ...]
    sources: Mapping[str, tuple[str, ...]]
    lagging: frozenset[Edge]


class CycleError(ValueError):
    """A cycle without state: the value of every node in it would depend on itself, within one step."""

    def __init__(self, cycle: tuple[str, ...]):
        self.cycle = cycle
        super().__init__(
            f"the cycle {' -> '.join((*cycle, cycle[0]))} has no node with a state, so that each value in it would depend on"
            " itself within one step; put a neuron or a Delay into it"
        )


@functools.lru_cache(maxsize=256)
def wiring(
    names: tuple[str, ...],
    edges: tuple[Edge, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    stateful: frozenset[str],
) -> Wiring:
    """How nodes run, given what feeds what, and which of them have a state.

    **Raises:** `CycleError`.
    """
    sources: dict[str, list[str]] = {name: [] for name in (*names, *outputs)}
    for source, target in edges:
        sources[target].append(source)
    every = (*inputs, *names, *outputs)
    lagging = lagging_edges(every, edges, inputs, stateful)
    number = _component_numbers(every, edges)
    inside: dict[int, list[str]] = {}
    for name in _in_order(every, [edge for edge in edges if edge not in lagging]):
        inside.setdefault(number[name], []).append(name)
    between = [(number[a], number[b]) for a, b in edges if number[a] != number[b]]
    together = [inside[n] for n in _in_order(inside, between)]
    return Wiring(
        tuple(
            Component(tuple(nodes), cyclic=len(nodes) > 1 or nodes[0] in sources[nodes[0]])
            for nodes in together
            if nodes[0] in names  # inputs and outputs are components of their own, which nobody runs
        ),
        {name: tuple(feeding) for name, feeding in sources.items()},
        lagging,
    )


def lagging_edges(
    names: Iterable[str], edges: Iterable[Edge], inputs: Iterable[str], stateful: frozenset[str]
) -> frozenset[Edge]:
    """The edges that carry the value of the step before, so that no value depends on itself within a step.

    A search goes depth-first from the inputs, then from the other nodes, always in the order of names. Where an edge closes
    a cycle, the cycle is followed back from that edge's source to the nearest node with a state: its edge along the cycle
    lags. Then the search starts anew without that edge, until there is no cycle.

    **Raises:** `CycleError` for a cycle without state.
    """
    roots = sorted(inputs, key=_parts) + sorted(set(names) - set(inputs), key=_parts)
    after: dict[str, list[str]] = {name: [] for name in roots}
    for source, target in sorted(edges, key=lambda edge: _parts(edge[1])):
        after[source].append(target)
    lagging: set[Edge] = set()
    while (cycle := _first_cycle(roots, after)) is not None:
        for i in reversed(range(len(cycle))):
            if cycle[i] in stateful:
                edge = (cycle[i], cycle[(i + 1) % len(cycle)])
                break
        else:
            raise CycleError(cycle)
        lagging.add(edge)
        after[edge[0]].remove(edge[1])
    return frozenset(lagging)


def _parts(name: str) -> list[str]:
    """Names are ordered part by part: those of a nested graph, `sub/node`, stand where `sub` does."""
    return name.split("/")


def _first_cycle(roots: Iterable[str], after: Mapping[str, list[str]]) -> tuple[str, ...] | None:
    """The nodes of the first cycle that a depth-first search closes, from the node that it comes back to."""
    done: set[str] = set()
    for root in roots:
        if root in done:
            continue
        path, on_path, ahead = [root], {root}, [iter(after[root])]
        while path:
            target = next(ahead[-1], None)
            if target is None:
                ahead.pop()
                left = path.pop()
                on_path.discard(left)
                done.add(left)
            elif target in on_path:
                return tuple(path[path.index(target) :])
            elif target not in done:
                path.append(target)
                on_path.add(target)
                ahead.append(iter(after[target]))
    return None


def _in_order(names: Iterable[_Name], edges: Iterable[tuple[_Name, _Name]]) -> list[_Name]:
    """Sources before targets. There is no cycle."""
    waiting_for = dict.fromkeys(names, 0)
    after: dict[_Name, list[_Name]] = {name: [] for name in waiting_for}
    for source, target in edges:
        waiting_for[target] += 1
        after[source].append(target)
    ready = [name for name, count in waiting_for.items() if not count]
    for name in ready:  # which grows
        for target in after[name]:
            waiting_for[target] -= 1
            if not waiting_for[target]:
                ready.append(target)
    return ready


def _component_numbers(names: tuple[str, ...], edges: Iterable[Edge]) -> dict[str, int]:
    """The number of the strongly connected component of each node."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = {name: i for i, name in enumerate(names)}
    rows, columns = [number[a] for a, _ in edges], [number[b] for _, b in edges]
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(names), len(names)))
    _, found = connected_components(links.tocsr(), connection="strong")
    return dict(zip(names, found.tolist(), strict=True))
