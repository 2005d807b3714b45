"""NIR graphs come back as they were: from import and export, and from files, down to the bits."""

import copy
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from nir_graphs import DT, GRAPHS, inputs_of, random_graphs
from nir_reference import simulate

import snnx

# What is odd in these graphs is tested with their meaning.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:from_nir")]


def differences(here: Any, there: Any, where: str = "graph") -> Iterator[str]:
    """Where two graphs, or parts of graphs, are not the same: of type, order, names, dtype, shape, bits."""
    if type(here) is not type(there):
        yield f"{where}: {type(here).__name__} {here!r} is not {type(there).__name__} {there!r}"
    elif isinstance(here, nir.NIRNode):
        yield from differences(vars(here), vars(there), where)
    elif isinstance(here, dict):
        if list(here) != list(there):
            yield f"{where}: names {list(here)} are not {list(there)}"
        for name in here.keys() & there.keys():
            yield from differences(here[name], there[name], f"{where}.{name}")
    elif isinstance(here, list | tuple):
        if len(here) != len(there):
            yield f"{where}: {here} is not {there}"
        elif here != there and where.endswith(".edges") and sorted(here) == sorted(there):
            yield f"{where}: the order of edges {here} is not {there}"
            return
        for i, (a, b) in enumerate(zip(here, there, strict=False)):
            yield from differences(a, b, f"{where}[{i}]")
    elif isinstance(here, np.ndarray | np.generic):
        if (here.dtype, here.shape) != (there.dtype, there.shape):
            yield f"{where}: {here.dtype} {here.shape} is not {there.dtype} {there.shape}"
        elif here.tobytes() != there.tobytes():
            yield f"{where}: {here} is not {there}"
    elif here != there:
        yield f"{where}: {here!r} is not {there!r}"


def values(thing: Any) -> Iterator[Any]:
    """Everything in a graph that is neither a node nor a collection."""
    inside = vars(thing) if isinstance(thing, nir.NIRNode) else thing
    if isinstance(inside, dict | list | tuple):
        for part in inside.values() if isinstance(inside, dict) else inside:
            yield from values(part)
    else:
        yield inside


def arrays(graph: nir.NIRGraph) -> list[np.ndarray]:
    return [value for value in values(graph) if isinstance(value, np.ndarray)]


def assert_same(here: Any, there: Any) -> None:
    found = list(differences(here, there))
    assert not found, "\n".join(found)


def assert_nothing_shared(here: Any, there: Any) -> None:
    assert not any(np.shares_memory(a, b) for a in arrays(here) for b in arrays(there))


def there_and_back(graph: nir.NIRGraph, dt: float = DT) -> nir.NIRGraph:
    return snnx.nir.to_nir(snnx.nir.from_nir(graph, dt=dt), dt=dt)


@pytest.mark.parametrize("name", GRAPHS)
def test_import_and_export(name):
    graph, before = GRAPHS[name], copy.deepcopy(GRAPHS[name])
    model = snnx.nir.from_nir(graph, dt=DT)
    back = snnx.nir.to_nir(model, dt=DT)
    assert_same(back, before)
    assert_same(graph, before)
    assert_nothing_shared(back, graph)
    again = snnx.nir.to_nir(model, dt=DT)
    assert_same(again, before)
    assert_nothing_shared(again, back)


def in_a_file(thing: Any) -> Any:
    """What a file can hold: numbers are NumPy's, no tuples, no shapes but those of ends and of what is flattened."""
    if isinstance(thing, nir.NIRNode):
        types = {nir.Input: ["input_type"], nir.Output: ["output_type"], nir.Flatten: ["input_type"]}.get(
            type(thing), []
        )
        fields = {k: v for k, v in vars(thing).items() if k not in ("input_type", "output_type") or k in types}
        return {"kind": type(thing).__name__} | {name: in_a_file(value) for name, value in fields.items()}
    if isinstance(thing, dict):
        return {name: in_a_file(value) for name, value in thing.items()}
    if thing is None or isinstance(thing, str | list):
        return thing
    return np.asarray(thing)


def with_names_sorted(thing: Any) -> Any:
    return {k: with_names_sorted(thing[k]) for k in sorted(thing)} if isinstance(thing, dict) else thing


@pytest.mark.parametrize("name", GRAPHS)
def test_file(name, tmp_path):
    graph, before = GRAPHS[name], copy.deepcopy(GRAPHS[name])
    snnx.nir.write(graph, tmp_path / "graph.nir")
    assert_same(graph, before)
    assert_same(in_a_file(snnx.nir.read(tmp_path / "graph.nir")), in_a_file(before))
    assert_same(in_a_file(there_and_back(tmp_path / "graph.nir")), in_a_file(before))


@pytest.mark.parametrize("name", GRAPHS)
def test_file_for_the_nir_package(name, tmp_path):
    """The package puts zeros where a bias is None, and what snnx notes besides is found in the metadata."""
    graph = GRAPHS[name]
    snnx.nir.write(graph, tmp_path / "graph.nir")
    theirs = nir.read(tmp_path / "graph.nir", type_check=False)
    inputs = inputs_of(graph, 3)
    assert theirs.edges == graph.edges
    assert set(theirs.nodes) == set(graph.nodes)
    here, there = simulate(theirs, inputs, DT), simulate(graph, inputs, DT)
    assert here.keys() == there.keys()
    for path, trace in here.items():
        np.testing.assert_allclose(trace, there[path], rtol=1e-12, atol=1e-12, err_msg=path)


@pytest.mark.parametrize("name", GRAPHS)
def test_file_of_the_nir_package(name, tmp_path):
    graph = GRAPHS[name]
    try:
        nir.write(tmp_path / "graph.nir", graph)
    except TypeError:  # it cannot write None, nor arrays without axes
        assert any(value is None or (isinstance(value, np.ndarray) and value.ndim == 0) for value in values(graph))
        return
    read = snnx.nir.read(tmp_path / "graph.nir")
    assert_same(with_names_sorted(in_a_file(read)), with_names_sorted(in_a_file(graph)))


@pytest.mark.parametrize("name", GRAPHS)
def test_parameters_changed_one_at_a_time(name):
    """Its array differs, by what was added, with the shape and the type of the file; every other is as it was."""
    model = snnx.nir.from_nir(GRAPHS[name], dt=DT)
    before = snnx.nir.to_nir(model, dt=DT)
    leaves = [i for i, leaf in enumerate(jax.tree.leaves(model)) if eqx.is_inexact_array(leaf)]
    for i in leaves[:: 1 + len(leaves) // 2]:
        changed = eqx.tree_at(lambda tree, i=i: jax.tree.leaves(tree)[i], model, replace_fn=lambda leaf: leaf + 1)
        after = snnx.nir.to_nir(changed, dt=DT)
        assert len(list(differences(after, before))) == 1
        pairs = zip(arrays(after), arrays(before), strict=True)
        ((new, old),) = [(a, b) for a, b in pairs if not np.array_equal(a, b)]
        assert new.shape == old.shape
        assert new.dtype == (
            old.dtype if old.dtype.kind == "f" else np.float32
        )  # integers cannot hold what was learned
        close = {"rtol": 1e-3, "atol": 1e-3} if new.dtype == np.float16 else {"rtol": 1e-6, "atol": 1e-6}
        np.testing.assert_allclose(new.astype(float), old.astype(float) + 1, **close)


@settings(max_examples=25)
@given(random_graphs())
def test_random_graphs(graph_and_dt):
    graph, dt = graph_and_dt
    assert_same(there_and_back(graph, dt), graph)
