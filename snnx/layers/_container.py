"""Containers: their wiring is written once, and run at one step, over a stretch of time, or on shapes alone."""

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, UnknownNameError, describe, sentence
from snnx.cells import AbstractCell, Shape, Taps, cell_dtype, taps_of_child, with_prefix, zero_where_masked
from snnx.inputs import AbstractInputs
from snnx.layers._apply import apply_step, apply_stretch, shape_and_dtype

ArrayOrShape: TypeAlias = Any  # what flows through a wiring: arrays, or in `init_state` their shapes and dtypes alone
RunPart: TypeAlias = Callable[..., ArrayOrShape]  # `run(name, *xs)`: what the part of that name makes of `xs`


class AbstractContainer(AbstractCell):
    """Cells and plain callables wired together.

    The state is a dict from the name of a part to its state; parts without state are not in it. Part number `i` gets
    `jax.random.fold_in(key, i)`.
    """

    @abc.abstractmethod
    def wire(self, x: ArrayOrShape, run: RunPart) -> ArrayOrShape:
        """The wiring: `run(name, x)` sends a value through the part of that name."""

    @checked
    def init_state(self, shape: Shape) -> dict[str, PyTree]:
        parts, states = self.children(), {}

        def run(name: str, *xs: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            state, y = part_on_shapes(self, name, parts[name], *xs)
            states.update(state)
            return y

        self.wire(jax.ShapeDtypeStruct(shape, cell_dtype(self)), run)
        return states

    def __call__(
        self, x: Array, state: dict[str, PyTree], *, key: Key[Array, ""] | None = None
    ) -> tuple[Array, dict[str, PyTree]]:
        parts, keys, new = self.children(), part_keys(self, key), self._copy(state)

        def run(name: str, *xs: Array) -> Array:
            y, after, _ = part_at_a_step(self, name, parts[name], *xs, states=state, key=keys[name])
            new.update(after)
            return y

        return self.wire(x, run), new

    def over_time(
        self,
        xs: Array | AbstractInputs,
        state: dict[str, PyTree],
        *,
        key: Key[Array, ""] | None = None,
        mask: Bool[Array, "time"] | None = None,
        taps: Taps = (),
    ) -> tuple[Array, dict[str, PyTree], dict[str, Array]]:
        parts, keys, new = self.children(), part_keys(self, key), self._copy(state)
        tapped: dict[str, Array] = {}

        def run(name: str, *xs: ArrayOrShape) -> Array:
            asked = {"states": state, "key": keys[name], "mask": mask, "taps": taps_of_child(taps, name)}
            ys, after, seen = part_over_time(self, name, parts[name], *xs, **asked)
            new.update(after)
            tapped.update(seen)
            return ys

        ys = zero_masked_steps(mask, self.wire(xs, run))
        if "" in taps:
            tapped[""] = ys
        return ys, new, tapped

    def _copy(self, state: dict[str, PyTree]) -> dict[str, PyTree]:
        if not isinstance(state, dict):
            raise ValueError(
                f"{type(self).__name__}: state is {describe(state)}, expected a dict from part to state; make it with"
                " init_state(x.shape)"
            )
        return dict(state)


def check_parts(container: AbstractCell) -> None:
    """Refuse what cannot be a part of a container; called at construction."""
    seen: dict[int, str] = {}
    for name, part in container.children().items():
        check_part(type(container).__name__, name, part)
        twin = seen.setdefault(id(part), name)
        if twin != name and any(map(eqx.is_inexact_array, jax.tree.leaves(part))):
            raise ValueError(
                f"{type(container).__name__}: parts {twin} and {name} are one and the same {type(part).__name__}, but"
                " arrays that stand in two places of a model are trained as two; make two parts, or tie them with"
                " eqx.nn.Shared."
            )


def check_part(where: str, name: str, part: PyTree) -> None:
    """Refuse what cannot be a part of a container.

    The classes of Equinox named here are callable, and would fail obscurely much later; others need no mention.
    """
    if isinstance(part, eqx.nn.StatefulLayer) and part.is_stateful():
        raise TypeError(
            f"{where}: part {name} ({type(part).__name__}) keeps a hidden state (eqx.nn.State), which does not travel"
            " with a cell's state; use snnx.layers.ThresholdNorm, eqx.nn.LayerNorm or eqx.nn.GroupNorm."
        )
    if isinstance(part, (eqx.nn.GRUCell, eqx.nn.LSTMCell)):
        raise TypeError(
            f"{where}: part {name} ({type(part).__name__}) is a recurrent cell of Equinox, with another contract; wrap"
            " it in a snnx.AbstractCell with init_state and __call__(x, state)."
        )
    if isinstance(part, type):
        raise TypeError(f"{where}: part {name} is the class {part.__name__}; expected an object: {part.__name__}(...).")
    if not callable(part):
        raise TypeError(f"{where}: part {name} is {describe(part)}; expected a cell or a callable.")


# A part, which is a cell or a plain callable, on shapes alone, at one step, and over a stretch of time. Each of these gives
# what the part puts out and its state under its name, or an empty dict where it has none.


def part_on_shapes(
    container: AbstractCell, name: str, part: PyTree, *xs: jax.ShapeDtypeStruct
) -> tuple[dict[str, PyTree], jax.ShapeDtypeStruct]:
    """The state that it begins with, and the shape and dtype of one step of its output."""
    with naming(container, name, *xs):
        if not isinstance(part, AbstractCell):
            return {}, shape_and_dtype(jax.eval_shape(lambda *x: apply_step(part, *x, key=some_key()), *xs))
        state = part.init_state(xs[0].shape)
        y = jax.eval_shape(lambda x, s: part(x, s, key=some_key())[0], xs[0], state)
        return {name: state}, shape_and_dtype(y)


def part_at_a_step(
    container: AbstractCell,
    name: str,
    part: PyTree,
    *xs: Array,
    states: dict[str, PyTree],
    key: Key[Array, ""] | None,
    live: Bool[Array, ""] | None = None,
    taps: Taps = (),
) -> tuple[Array, dict[str, PyTree], dict[str, Array]]:
    """Its output, its state, and what taps within it see at a step that is `live` or masked."""
    with naming(container, name, *xs):
        if not isinstance(part, AbstractCell):
            y = apply_step(part, *xs, key=key)
            return y, {}, {name: zero_where_masked(live, y)} if taps else {}
        state = state_of(name, states)
        if not taps:
            y, state = part(xs[0], state, key=key)
            return y, {name: state}, {}
        # A stretch of length one, so that the taps reach any depth.
        mask = None if live is None else live[None]
        ys, state, traces = part.over_time(xs[0][None], state, key=key, mask=mask, taps=taps)
        return ys[0], {name: state}, with_prefix(name, {path: trace[0] for path, trace in traces.items()})


def part_over_time(
    container: AbstractCell,
    name: str,
    part: PyTree,
    *xs: ArrayOrShape,
    states: dict[str, PyTree],
    key: Key[Array, ""] | None,
    mask: Bool[Array, "time"] | None,
    taps: Taps,
) -> tuple[Array, dict[str, PyTree], dict[str, Array]]:
    """Its outputs, its state after them, and what taps within it see."""
    with naming(container, name, *map(one_step, xs)):
        if not isinstance(part, AbstractCell):
            ys = apply_stretch(part, *xs, key=key)
            return ys, {}, {name: zero_masked_steps(mask, ys)} if taps else {}
        ys, state, seen = part.over_time(xs[0], state_of(name, states), key=key, mask=mask, taps=taps)
        return ys, {name: state}, with_prefix(name, seen)


def zero_masked_steps(mask: Bool[Array, "time"] | None, ys: PyTree) -> PyTree:
    """A stretch of outputs with zeros at masked steps."""
    return ys if mask is None else jax.vmap(zero_where_masked)(mask, ys)


def part_keys(container: AbstractCell, key: Key[Array, ""] | None) -> dict[str, Key[Array, ""] | None]:
    """The key of every part."""
    return {n: None if key is None else jax.random.fold_in(key, i) for i, n in enumerate(container.children())}


def state_of(name: str, state: dict[str, PyTree]) -> PyTree:
    """The state of a part, out of its container's."""
    if name not in state:
        raise ValueError("finds no entry of its own in the state; make the state with init_state(x.shape)")
    return state[name]


@contextlib.contextmanager
def naming(container: AbstractCell, name: str, *xs: "Array | jax.ShapeDtypeStruct") -> Iterator[None]:
    """Errors from within have the part named, by its path from the outermost container, and what it was given."""
    try:
        yield
    except UnknownNameError:
        raise
    except _PartError as error:
        raise type(error).wrap(container, name, error) from error
    except (TypeError, ValueError, AssertionError) as error:  # some of Equinox's layers assert
        came = ", ".join(map(describe, xs))
        part = type(container.children()[name]).__name__
        kind = PartTypeError if isinstance(error, TypeError) else PartShapeError
        raise kind(type(container).__name__, name, part, came, sentence(error)) from error


class _PartError(Exception):
    """An error inside a container, which grows its path on the way out."""

    def __init__(self, container: str, path: str, part: str, came: str, reason: str):
        self.container, self.path, self.part, self.came, self.reason = container, path, part, came, reason
        super().__init__(f"{container}: layer {path} ({part}), given one step {came}: {reason}")

    def __reduce__(self) -> tuple:  # an exception that is pickled is made again from these
        return type(self), (self.container, self.path, self.part, self.came, self.reason)

    @classmethod
    def wrap(cls, container: AbstractCell, name: str, error: "_PartError") -> "_PartError":
        path = f"{name}.{error.path}"
        return cls(type(container).__name__, path, error.part, error.came, error.reason)


class PartShapeError(_PartError, ShapeError):
    """A part of a container does not accept what it is given; the message names the part by its path."""


class PartTypeError(_PartError, TypeError):
    """A part of a container got the wrong type or dtype; the message names the part by its path."""


def one_step(xs: ArrayOrShape) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one step of a stretch."""
    if isinstance(xs, AbstractInputs):
        return jax.eval_shape(lambda: xs.dense()[0])
    return jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype)


def some_key() -> Array:
    """A key for working out shapes, where no number is drawn."""
    return jax.random.key(0)
