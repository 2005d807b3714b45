"""The contract: a spiking network is a pure step function with an explicit state, whose parts are named by paths."""

import abc
import dataclasses
import inspect
from collections.abc import Iterator
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, UnknownNameError, describe, unknown_name
from snnx._typing import Shape, default
from snnx.inputs import AbstractInputs

State: TypeAlias = PyTree
Taps: TypeAlias = tuple[str, ...]


class AbstractCell(eqx.Module):
    """Anything with behaviour over time: neurons, recurrence, containers, and your own.

    A cell of one's own is one class: its fields, `init_state` and `__call__`. It then works in containers, training,
    recording and checkpoints without a line more.

    ```python
    class LeakState(eqx.Module):
        v: jax.Array

    class Leak(snnx.AbstractCell):
        rate: float = 0.9

        def init_state(self, shape):
            return LeakState(v=jnp.zeros(shape))

        def __call__(self, x, state, *, key=None):
            v = self.rate * state.v + x
            return v, LeakState(v)
    ```
    """

    spikes: ClassVar[bool] = False  # whether its outputs are spikes: zeros and ones

    kind_in_words: ClassVar[str] = "a cell, such as snnx.LIF() or snnx.Sequential([...]), which wraps callables"

    @abc.abstractmethod
    def init_state(self, shape: Shape) -> State:
        """The state before the first step. `shape` is that of ONE input step of one example: no batch, no time."""

    @abc.abstractmethod
    def __call__(self, x: Array, state: State, *, key: Key[Array, ""] | None = None) -> tuple[Array, State]:
        """One time step of one example: `(x, state) -> (y, state)`. `key` is the sequence's: the same at every step."""

    @default
    def over_time(
        self,
        xs: Array,
        state: State,
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Array, State, dict[str, Array]]:
        """A stretch of time, `xs: [time, *shape]`; a scan of `__call__` unless a cell knows better.

        **Arguments:**
        - `mask`: steps that are False leave the state as it is and put out zeros.
        - `taps`: paths of what to put out besides: `""` for the cell's own outputs, `"v"` for a field of its state,
            `"child"` and `"child.v"` for those of a child.

        **Returns:** `ys: [time, ...]`, the state after the last step, and a dict from each tap to its trace over time.
        """
        return scan_over_time(self, xs, state, key=key, mask=mask, taps=taps)

    @default
    def takes(self, xs: AbstractInputs) -> bool:
        """Whether `over_time` makes better use of this compact layout than of the dense array, which it else gets."""
        return False

    @default
    def children(self) -> dict[str, PyTree]:
        """The parts by name, in order: cells and plain callables. A neuron has none."""
        return {}


def keep_where(live: Bool[Array, ""] | None, new: PyTree, old: PyTree) -> PyTree:
    """The new state, or the old one at a masked step."""
    return new if live is None else jax.tree.map(lambda n, o: jnp.where(live, n, o), new, old)


def zero_where_masked(live: Bool[Array, ""] | None, y: PyTree) -> PyTree:
    """The output, or zeros at a masked step."""
    return y if live is None else jax.tree.map(lambda a: jnp.where(live, a, jnp.zeros_like(a)), y)


def read_taps(taps: Taps, y: Array, state: State) -> dict[str, Array]:
    """What the taps ask of a cell without children, after one step: its output (`""`), or a field of its state.

    **Raises:** `UnknownNameError` (a `ValueError`) for a field that the state does not have.
    """
    for tap in taps:
        if tap and not hasattr(state, tap):
            fields = [f.name for f in dataclasses.fields(state)] if dataclasses.is_dataclass(state) else []
            fields = [name for name in fields if eqx.is_array(getattr(state, name))]
            raise UnknownNameError(unknown_name(type(state).__name__, "field", tap, fields))
    return {tap: getattr(state, tap) if tap else y for tap in taps}


def scan_over_time(
    cell: AbstractCell,
    xs: PyTree,
    state: State,
    *,
    key: Key[Array, ""] | None = None,
    mask: Bool[Array, "time"] | None = None,
    taps: Taps = (),
) -> tuple[Array, State, dict[str, Array]]:
    """A stretch of time, step by step: the meaning of `over_time` for every cell without children."""

    _check_step(cell, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs), state, key)

    def step(state: State, inputs: PyTree) -> tuple[State, PyTree]:
        x, live = inputs
        y, new = cell(x, state, key=key)
        y, new = zero_where_masked(live, y), keep_where(live, new, state)
        return new, (y, read_taps(taps, y, new))

    state, (ys, tapped) = jax.lax.scan(step, state, (xs, mask))
    return ys, state, tapped


def _check_step(cell: AbstractCell, x: PyTree, state: State, key: Key[Array, ""] | None) -> None:
    """Hold a cell's `__call__` to the contract: it returns its output, and a state like the one that it was given."""
    name = type(cell).__name__
    given = inspect.signature(cell).parameters.values()
    if not any(p.name == "key" or p.kind is p.VAR_KEYWORD for p in given):
        raise TypeError(f"{name}: __call__ takes no key; expected __call__(self, x, state, *, key=None).")
    result = jax.eval_shape(lambda x, s, k: cell(x, s, key=k), x, state, key)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{name}: __call__ returns {_kind(result)}; expected a tuple of two: output, new state.")
    check_state(f"{name}: the state that __call__ returns", result[1], state)


def check_state(what: str, state: State, like: State) -> None:
    """Refuse a state of another structure, shape or dtype than `like`.

    **Raises:** `TypeError`, `ShapeError`; `what` is the beginning of the sentence.
    """
    if jax.tree.structure(state) != jax.tree.structure(like):
        raise TypeError(
            f"{what} is {_kind(state)}, expected {_kind(like)}, as init_state makes it: the same class, with the same"
            " fields filled."
        )
    for (path, new), old in zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(like), strict=True):
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            raise ShapeError(
                f"{what} has {jax.tree_util.keystr(path).strip('.')} {describe(new)}, but init_state made it"
                f" {describe(old)}."
            )


def _kind(state: State) -> str:
    arrays = jax.tree.map(lambda x: describe(x) if hasattr(x, "dtype") else x, state)
    return " ".join(str(arrays).replace("'", "").split())


def cell_dtype(cell: PyTree) -> jnp.dtype:
    """The dtype of a cell: the one that it was given, else that of its arrays of floats, else JAX's default float.

    Of a container: that of the first part that has one.
    """
    own = _own_dtype(cell)
    return jnp.zeros(()).dtype if own is None else own


def _own_dtype(part: PyTree) -> jnp.dtype | None:
    given = getattr(part, "dtype", None) if isinstance(part, AbstractCell) else None
    if given is not None:
        return jnp.dtype(given)
    if isinstance(part, AbstractCell) and part.children():
        return next((d for d in map(_own_dtype, part.children().values()) if d is not None), None)
    return next((x.dtype for x in jax.tree.leaves(part) if eqx.is_inexact_array(x)), None)


# Paths to the parts of a cell: `"3"`, `"3.neuron"`, and `"3.neuron.v"` for a field of a part's state.


def walk(cell: PyTree, path: str = "") -> Iterator[tuple[str, PyTree]]:
    """Every part of a cell with its path, outermost first; the cell itself comes as `""`."""
    yield path, cell
    if isinstance(cell, AbstractCell):
        for name, child in cell.children().items():
            yield from walk(child, f"{path}.{name}" if path else name)


@checked
def find(cell: PyTree, path: str) -> PyTree:
    """The part at a path.

    **Raises:** `ValueError` if there is none; the message lists the paths that there are.
    """
    parts = dict(walk(cell))
    if path not in parts:
        raise ValueError(unknown_name(type(cell).__name__, "part", path, [p for p in parts if p]))
    return parts[path]


def spiking_paths(cell: PyTree) -> tuple[str, ...]:
    """The paths of all parts whose outputs are spikes: `("1", "3.neuron")`; of a bare neuron, `("",)`."""
    return tuple(path for path, part in walk(cell) if isinstance(part, AbstractCell) and part.spikes)


def taps_of_child(taps: Taps, name: str) -> Taps:
    """The taps that concern a child, as paths within it."""
    return tuple(t[len(name) + 1 :] for t in taps if t == name or t.startswith(name + "."))


def with_prefix(name: str, tapped: dict) -> dict:
    """A child's traces under the names that its container uses."""
    return {f"{name}.{path}" if path else name: trace for path, trace in tapped.items()}
