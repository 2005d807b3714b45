"""What a model consists of, as a table."""

import dataclasses
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from snnx._checks import checked
from snnx._text import amount, table
from snnx._typing import Shape
from snnx.cells import AbstractCell, cell_dtype, walk
from snnx.parameters import trainable

_HEAD = ("path", "part", "output", "parameters", "trainable", "state")
_ALIGN = "<<<>><"


@dataclasses.dataclass(frozen=True)
class Row:
    """One part of a model. Counts are the part's own, without those of its children, so that columns add up.

    - `path`: as in `simulate(..., record=[path])`; of the model itself `""`.
    - `kind`: the class, or the name of a function.
    - `output`: the shape of one step of its output.
    - `parameters`: how many floats it holds in arrays; `trainable`: how many of them `snnx.trainable` lets move.
    - `state`: the shapes of the fields of its state.
    """

    path: str
    kind: str
    output: PyTree
    parameters: int
    trainable: int
    state: dict[str, PyTree]


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """A model's parts, one `Row` each, outermost first, and what they come to; its `str` is a table.

    - `parameters`, `trainable`: floats in arrays, and how many of them a trainer moves.
    - `parameter_bytes`, `state_bytes`: memory of all arrays of the model, and of the state of one example.
    """

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    state_bytes: int

    def __str__(self) -> str:
        return "\n".join([*table([_HEAD, *map(_cells, self.rows)], _ALIGN), self._totals()])

    def _totals(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.trainable:,} trainable, {amount(self.parameter_bytes)};"
            f" state of one example {amount(self.state_bytes)}"
        )

    __repr__ = __str__


@checked
def summary(model: AbstractCell, input_shape: Shape | Mapping[str, Shape]) -> Summary:
    """The parts of a model: their paths, output shapes, parameters and state. Nothing is computed but shapes.

    ```python
    print(snnx.summary(model, (64,)))
    ```

    **Arguments:**
    - `model`: a neuron, a container, or a cell of your own.
    - `input_shape`: of one step of one example, without batch and time; by input, `{"image": (2, 34, 34), ...}`, for a
        graph with several.

    **Returns:** a `Summary`, which prints as a table; a part is listed under the path that `record` and `find` take.

    **Raises:** what `init_state` raises where widths do not fit.
    """
    shapes = dict(input_shape) if isinstance(input_shape, Mapping) else {"": input_shape}
    parts = dict(walk(model))
    paths = tuple(path for path in parts if path)

    def one_step(model: AbstractCell) -> tuple[PyTree, PyTree]:
        xs = {name: jnp.zeros((1, *shape), cell_dtype(model)) for name, shape in shapes.items()}
        state = model.init_state(input_shape)  # pyright: ignore[reportArgumentType]
        xs = xs if isinstance(input_shape, Mapping) else xs[""]
        ys, state, tapped = model.over_time(xs, state, key=jax.random.key(0), taps=paths)  # pyright: ignore[reportArgumentType]
        return state, jax.tree.map(lambda trace: trace[0], {"": ys} | tapped)

    state, outputs = eqx.filter_eval_shape(one_step, model)
    states = {"": state}
    for path in paths:
        states[path] = _state_of(states, path)
    rows = tuple(_row(path, part, outputs.get(path), states[path]) for path, part in parts.items())
    return Summary(rows, *_floats(model), _size(model), _size(state))


def _row(path: str, part: PyTree, output: PyTree, state: PyTree) -> Row:
    children = part.children() if isinstance(part, AbstractCell) else {}
    inside = [_floats(child) for child in children.values()]
    count, free = (whole - sum(child[i] for child in inside) for i, whole in enumerate(_floats(part)))
    own = {name: field for name, field in _fields(state).items() if name not in children and jax.tree.leaves(field)}
    return Row(path, _kind(part), _shapes(output), count, free, {name: _shapes(field) for name, field in own.items()})


def _kind(part: PyTree) -> str:
    """The class, or the name of a function."""
    return type(part).__name__ if isinstance(part, eqx.Module) else getattr(part, "__name__", type(part).__name__)


def _floats(part: PyTree) -> tuple[int, int]:
    """How many floats a part holds in arrays, and how many of them may be trained."""
    count = sum(x.size for x in jax.tree.leaves(eqx.filter(part, eqx.is_inexact_array)))
    free = sum(x.size for x in jax.tree.leaves(eqx.filter(part, trainable(part))))
    return count, free


def _state_of(states: dict[str, PyTree], path: str) -> PyTree:
    """A part's state within that of the part around it; None if it has none. Names in a graph may have dots."""
    around = [parent for parent in states if parent == "" or path.startswith(f"{parent}.")]
    parent = max(around, key=len)
    return _fields(states[parent]).get(path[len(parent) + 1 :] if parent else path)


def _fields(state: PyTree) -> dict[str, PyTree]:
    """The fields of a state by name."""
    if isinstance(state, dict):
        return state
    if dataclasses.is_dataclass(state):
        return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {} if state is None else {"state": state}


def _shapes(tree: PyTree) -> PyTree:
    """The shapes in place of arrays."""
    return jax.tree.map(lambda x: tuple(x.shape), tree)


def _size(tree: PyTree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "dtype"))


def _text(shapes: PyTree) -> str:
    """`[2, 34, 34]`, `[]` of a scalar, and named ones of a record."""
    if shapes is None:
        return ""
    if isinstance(shapes, tuple) and all(isinstance(n, int) for n in shapes):
        return f"[{', '.join(map(str, shapes))}]"
    parts = _fields(shapes) if not isinstance(shapes, (tuple, list)) else dict(enumerate(shapes))
    return "{" + ", ".join(f"{name} {_text(shape)}" for name, shape in parts.items() if shape is not None) + "}"


def _cells(row: Row) -> tuple[str, ...]:
    """A row as text, a cell a column."""
    numbers = (f"{row.parameters:,}", f"{row.trainable:,}") if row.parameters else ("", "")
    state = ", ".join(f"{name} {_text(shape)}" for name, shape in row.state.items())
    return (row.path, row.kind, _text(row.output), *numbers, state)
