"""What a kind of node is, and the register of all kinds."""

import abc
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from snnx._checks import checked
from snnx._errors import NIRError, describe
from snnx._typing import default
from snnx.cells import AbstractCell
from snnx.layers import apply_step
from snnx.neurons import AbstractReset, Method, SubtractReset, ValueReset
from snnx.nir._fields import Field, Numbers, Setting, Shape
from snnx.nir._node import RESET, Node, Reset
from snnx.surrogates import AbstractSurrogate

Spikes: TypeAlias = Literal["always", "handed on", "never"]


class Kind(abc.ABC):
    """A kind of node: its fields, and what they mean. A new kind is one class, and one line that registers it.

    ```python
    class MaxPool2d(snnx.nir.Kind):
        name = "MaxPool2d"
        fields = {"kernel_size": snnx.nir.Setting(), "stride": snnx.nir.Setting()}
        stateful = False
        spikes = "handed on"
        axes = ("channels", "height", "width")

        def own_shape(self, node):
            return None

        def put_out(self, node, given):
            kernel, stride = node.sizes("kernel_size", 2), node.sizes("stride", 2)
            return (given[0], *((n - k) // s + 1 for n, k, s in zip(given[1:], kernel, stride)))

        def meaning(self, node, given):
            return {name: node.sizes(name, 2) for name in self.fields}

        def build(self, node, importing):
            return eqx.nn.MaxPool2d(node.sizes("kernel_size", 2), node.sizes("stride", 2))

    snnx.nir.register_kind(MaxPool2d())
    ```

    This is the way in. The way out is a method `nir_node` of the part that `build` makes, or `register_export`.

    - `name`: what files and the package `nir` call it.
    - `fields`: by name, `Numbers` or a `Setting`.
    - `stateful`: whether it remembers anything from step to step, and so is built as a cell rather than a plain callable.
    - `spikes`: whether its outputs are spikes: `"always"`, `"never"`, or `"handed on"`, if its inputs are.
    - `axes`: the names of the axes of one step, if it only takes steps with these.
    """

    name: str
    fields: Mapping[str, Field]
    stateful: bool
    spikes: Spikes
    axes: tuple[str, ...] | None = None

    @abc.abstractmethod
    def own_shape(self, node: Node) -> Shape | None:
        """The shape of one step of the input, if the node's fields determine it."""

    @abc.abstractmethod
    def put_out(self, node: Node, given: Shape) -> Shape:
        """The shape of one step of the output, for inputs of the shape `given`.

        **Raises:** `NIRError` for a shape that the node does not take.
        """

    @abc.abstractmethod
    def build(self, node: Node, importing: "Import") -> PyTree:
        """The part of a model that the node becomes: a cell or a plain callable."""

    @default
    def meaning(self, node: Node, given: Shape) -> Mapping[str, Any]:
        """What each setting means, however it is written: strides 2 and `(2, 2)` are the same. Needed if there are settings.

        `to_nir` compares meanings: the settings of an imported node stay as they were written unless they mean something else.
        """
        return {}

    @default
    def check(self, node: Node) -> None:
        """Raise `NIRError` for a node that is wrong by itself. That its fields are there, and valid numbers, is known."""
        return None

    @default
    def check_memory(self, node: Node, given: Shape, dt: float) -> None:
        """Raise `NIRError` for a node that needs too much memory when it runs in steps of `dt` seconds."""
        return None

    @default
    def odd(self, node: Node, dt: float | None) -> Iterator[str]:
        """Warnings about a node that is legal, but hardly intended; `dt` is given if it is known."""
        return iter(())

    @default
    def from_object(self, thing: Any) -> Mapping[str, Any]:
        """The fields of an object of `nir`; None stands for a missing one."""
        return {name: getattr(thing, name, None) for name in self.fields}

    @default
    def to_object(self, node: Node) -> Any:
        """The object of `nir`: by default of its class of the kind's name."""
        return self.made(**node.fields)

    @default
    def filled(self, node: Node, given: Shape | None) -> Mapping[str, Any]:
        """Values for missing fields that other readers of files need; `given` is None if it is not known."""
        return {}

    def made(self, **attributes: Any) -> Any:
        """An object of `nir` with exactly these attributes, which its constructor may have broadcast or turned into pairs."""
        import nir

        kind = getattr(nir, self.name)
        parameters = inspect.signature(kind).parameters.values()
        needed = {p.name for p in parameters if p.default is p.empty and p.name in self.fields}
        found = kind(**dict.fromkeys(needed - set(attributes)), **attributes)
        for name, value in attributes.items():
            setattr(found, name, value)
        return found

    @property
    def numbers(self) -> dict[str, Numbers]:
        """The fields that are arrays of numbers."""
        return {name: field for name, field in self.fields.items() if isinstance(field, Numbers)}

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the other fields."""
        return tuple(name for name, field in self.fields.items() if isinstance(field, Setting))


class PerElement(Kind):
    """A kind that treats every element alone. Its arrays have the shape of one step, or no axes: one number for all elements."""

    def own_shape(self, node: Node) -> Shape | None:
        return next((shape for shape in self._shapes(node).values() if shape), None)

    def put_out(self, node: Node, given: Shape) -> Shape:
        return given

    def check(self, node: Node) -> None:
        shapes = self._shapes(node)
        if len(set(shapes.values()) - {()}) > 1:
            given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise NIRError(f"its parameters have shapes {given}; expected the same for all")

    def _shapes(self, node: Node) -> dict[str, Shape]:
        return {name: node.array(name).shape for name in self.numbers if name in node.fields}


class Import(NamedTuple):
    """A node on its way in, with what helps `Kind.build` to make a part of it.

    - `path`: its name, `sub/node` in a nested graph; `given`: the shape of one step of its input.
    - `dt`, `method`, `reset`, `surrogate`, `dtype`: what `from_nir` was told, and no file says.
    """

    path: str
    node: Node
    given: Shape
    dt: float
    method: Method
    reset: Reset | None
    surrogate: AbstractSurrogate
    dtype: DTypeLike
    casts: dict[str, np.ndarray]  # what became of the file's arrays, by field, for the way back

    def leaf(self, name: str) -> Array:
        """A field of numbers as an array of the model.

        **Raises:** `NIRError` for a number that the dtype cannot hold.
        """
        field = KINDS[self.node.kind].numbers[name]
        if name not in self.node.fields:
            return jnp.full(self.given, field.missing or 0.0, self.dtype)
        array, dtype = self.node.array(name), np.dtype(self.dtype).name
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        lost = np.isinf(cast) & ~np.isinf(array.astype(np.float64))
        if lost.any():
            self._refuse(
                f"{name} is {array[lost].flat[0]:g}, too large for {dtype}; take dtype='float64' (and jax_enable_x64)"
            )
        if field.role == "time constant" and (cast < jnp.finfo(cast.dtype).tiny).any():
            self._refuse(f"{name} is {array.min():g}, too small for {dtype}; is it in seconds?")
        self.casts[name] = cast
        return jnp.asarray(cast)

    def leaves(self, *names: str) -> dict[str, Array]:
        """Several fields of numbers, by name."""
        return {name: self.leaf(name) for name in names}

    def constant(self, name: str) -> np.ndarray:
        """A field of numbers that is not trained, in double precision."""
        self.casts[name] = self.node.array(name).astype(np.float64)
        return self.casts[name]

    def common(self) -> dict[str, Any]:
        """`dt` and `dtype`, which every neuron takes."""
        return {"dt": self.dt, "dtype": jnp.dtype(self.dtype)}

    def spiking(self) -> dict[str, Any]:
        """`threshold`, `reset` and `surrogate` of a neuron, from the fields `v_threshold` and `v_reset`."""
        reset, threshold = self._reset(), self.leaf("v_threshold")
        if isinstance(reset, SubtractReset):  # an infinite threshold is never reached, but 0 times infinity is NaN
            threshold = jnp.minimum(threshold, jnp.finfo(threshold.dtype).max)
            self.casts["v_threshold"] = np.asarray(threshold)
        return {"threshold": threshold, "reset": reset, "surrogate": self.surrogate}

    def _reset(self) -> AbstractReset:
        found = self.node.metadata.get(RESET, "value") if self.reset is None else self.reset
        if found not in get_args(Reset):
            known = ", ".join(map(repr, get_args(Reset)))
            self._refuse(f"the reset in its metadata is {found!r}, expected {known}; from_nir(..., reset=...) decides")
        return SubtractReset() if found == "subtract" else ValueReset(v_reset=self.leaf("v_reset"))

    def _refuse(self, why: str) -> NoReturn:
        raise NIRError(f"from_nir: node {self.path!r} ({self.node.kind}): {why}.")


def built(importing: Import) -> PyTree:
    """The part of a model that a node becomes.

    **Raises:** `NIRError` for a number that the dtype cannot hold; `TypeError` for a kind that contradicts itself.
    """
    node, kind = importing.node, KINDS[importing.node.kind]
    meaning_of(node, importing.given)  # so that a setting without a meaning is found before the way out
    part = kind.build(node, importing)
    made = f"from_nir: node {importing.path!r}: the kind {kind.name!r} builds a {type(part).__name__}"
    if isinstance(part, AbstractCell) != kind.stateful:  # which edges of a cycle lag depends on this
        expected = "a cell, as it is stateful" if kind.stateful else "a plain callable, as it is not stateful"
        raise TypeError(f"{made}; expected {expected}.")
    if not isinstance(kind, PerElement):
        expected = kind.put_out(node, importing.given)
        shape = put_out(part, jax.ShapeDtypeStruct(importing.given, importing.dtype)).shape
        if shape != expected:
            raise TypeError(f"{made}, whose output has shape {shape}, but the kind's put_out gives {expected}.")
    return part


def put_out(part: PyTree, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one step of a part's output."""
    if isinstance(part, AbstractCell):
        return jax.eval_shape(lambda x: part(x, part.init_state(x.shape), key=jax.random.key(0))[0], x)
    return jax.eval_shape(lambda x: apply_step(part, x, key=jax.random.key(0)), x)


def meaning_of(node: Node, given: Shape) -> Mapping[str, Any]:
    """What every setting of a node means.

    **Raises:** `NIRError` for invalid settings; `TypeError` for a kind that leaves a setting out.
    """
    kind = KINDS[node.kind]
    found = kind.meaning(node, given)
    for name in kind.settings:
        if name not in found:
            raise TypeError(
                f"the meaning of the kind {kind.name!r} leaves out its setting {name!r}, so that to_nir could not tell whether it"
                " has changed."
            )
    return found


# ------------------------------------------------------------------ the register
KINDS: dict[str, Kind] = {}


@checked
def register_kind(kind: Kind) -> None:
    """Make snnx read, check, build and write a kind of node that it does not know: see `Kind`.

    **Raises:** `TypeError` for a kind that lacks a part, or has settings without a meaning; `ValueError` if there is a kind of
    this name already.
    """
    own = type(kind).__name__
    for part in ("name", "fields", "stateful", "spikes"):
        if not hasattr(kind, part):
            raise TypeError(f"register_kind: {own} lacks {part!r}, which every kind needs; see snnx.nir.Kind.")
    for name, field in kind.fields.items():
        if not isinstance(field, Numbers | Setting):
            raise TypeError(
                f"register_kind: {own} has the field {name!r} as {describe(field)}; expected snnx.nir.Numbers() or"
                " snnx.nir.Setting()."
            )
    if kind.spikes not in get_args(Spikes):
        raise ValueError(f"register_kind: {own} has spikes={kind.spikes!r}; expected one of {get_args(Spikes)}.")
    if kind.settings and type(kind).meaning is Kind.meaning:
        raise TypeError(
            f"register_kind: {own} lacks 'meaning', which says what its settings mean ({', '.join(kind.settings)}): without it,"
            " to_nir could not tell whether they have changed."
        )
    if kind.name in KINDS:
        raise ValueError(f"register_kind: there is already a kind {kind.name!r}, {type(KINDS[kind.name]).__name__}.")
    KINDS[kind.name] = kind
