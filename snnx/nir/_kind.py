"""What a kind of node is: all that snnx knows of it, and the register of those that there are."""

import abc
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

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
    """A kind of node: its fields and their meaning. A new one is a class, and a line that registers an object of it.

    ```python
    class MaxPool2d(snnx.nir.Kind):
        name = "MaxPool2d"
        fields = dict.fromkeys(("kernel_size", "stride"), snnx.nir.Setting())
        stateful = False
        spikes = "handed on"
        axes = ("channels", "height", "width")

        def own_shape(self, node):
            return None

        def put_out(self, node, given):
            kernel, stride = self.meaning(node, given).values()
            return (given[0], *((n - k) // s + 1 for n, k, s in zip(given[1:], kernel, stride)))

        def meaning(self, node, given):
            return {name: node.sizes(name, 2) for name in self.settings}

        def build(self, node, importing):
            return eqx.nn.MaxPool2d(*self.meaning(node, importing.given).values())

    snnx.nir.register_kind(MaxPool2d())
    ```

    What becomes of the part on the way out is said with `register_export`, or by the part's own method `nir_node`.

    Every kind has these:
    - `name`: as files and objects have it.
    - `fields`: by name, `Numbers` or a `Setting`.
    - `stateful`: whether it remembers anything from step to step. It is built as a cell then, else as a plain callable.
    - `spikes`: whether it puts out spikes: `"always"`; `"handed on"`, if it gets them; `"never"`.
    - `axes`: names of the axes of one step that goes in, where it takes no other number of them.
    """

    name: str
    fields: Mapping[str, Field]
    stateful: bool
    spikes: Spikes
    axes: tuple[str, ...] | None = None

    @abc.abstractmethod
    def own_shape(self, node: Node) -> Shape | None:
        """The shape of what goes into a node at one step, if its own fields tell it."""

    @abc.abstractmethod
    def put_out(self, node: Node, given: Shape) -> Shape:
        """The shape of what comes out of a node that is given steps of the shape `given`.

        **Raises:** `NIRError` for shapes that it does not take.
        """

    @abc.abstractmethod
    def build(self, node: Node, importing: "Import") -> PyTree:
        """The part of a model that a node becomes: a cell, or a plain callable."""

    @default
    def meaning(self, node: Node, given: Shape) -> Mapping[str, Any]:
        """What each setting means, however it is written: a stride of 2 is one of `(2, 2)`.

        A kind with settings must have this. On the way out, a node whose settings mean what they did leaves with those that
        it came with, and else with new ones.
        """
        return {}

    @default
    def check(self, node: Node) -> None:
        """Refuse what is wrong with a node by itself; its fields are there, and hold numbers where these are expected.

        **Raises:** `NIRError`.
        """
        return None

    @default
    def check_memory(self, node: Node, given: Shape, dt: float) -> None:
        """Refuse what no memory holds, run in steps of `dt` seconds.

        **Raises:** `NIRError`.
        """
        return None

    @default
    def odd(self, node: Node, dt: float | None) -> Iterator[str]:
        """What is legal, but hardly meant; with `dt`, in steps of so many seconds."""
        return iter(())

    @default
    def from_object(self, thing: Any) -> Mapping[str, Any]:
        """The fields of an object of `nir`; those that are None are missing."""
        return {name: getattr(thing, name, None) for name in self.fields}

    @default
    def to_object(self, node: Node) -> Any:
        """The object of `nir`, by default of its class of this kind's name."""
        return self.made(**node.fields)

    @default
    def filled(self, node: Node, given: Shape | None) -> Mapping[str, Any]:
        """Fields that a node does without, but that other readers of files need; `given` is None if it is not known."""
        return {}

    def made(self, **fields: Any) -> Any:
        """The object of `nir` with exactly these attributes: its constructors turn numbers into pairs, and broadcast."""
        import nir

        kind = getattr(nir, self.name)
        parameters = inspect.signature(kind).parameters.values()
        needed = {p.name for p in parameters if p.default is p.empty and p.name in self.fields}
        found = kind(**dict.fromkeys(needed - set(fields)), **fields)
        for name, value in fields.items():
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
    """A kind that acts on each element alone: its arrays have the shape of one step, or none where one number is for all."""

    def own_shape(self, node: Node) -> Shape | None:
        return next((shape for shape in self._shapes(node).values() if shape), None)

    def put_out(self, node: Node, given: Shape) -> Shape:
        return given

    def check(self, node: Node) -> None:
        shapes = self._shapes(node)
        if len(set(shapes.values()) - {()}) > 1:
            given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise NIRError(f"its parameters have shapes {given}; expected one and the same")

    def _shapes(self, node: Node) -> dict[str, Shape]:
        return {name: node.array(name).shape for name in self.numbers if name in node.fields}


class Import(NamedTuple):
    """A node on its way in, for `Kind.build`.

    - `path`: its name, `sub/node` in a nested graph; `given`: the shape of one step of what goes into it.
    - `dt`, `method`, `reset`, `surrogate`, `dtype`: what no file says, as `from_nir` was given it.
    """

    path: str
    node: Node
    given: Shape
    dt: float
    method: Method
    reset: Reset | None
    surrogate: AbstractSurrogate
    dtype: DTypeLike
    casts: dict[str, np.ndarray]

    def leaf(self, name: str) -> Array:
        """A field of numbers as an array of the model.

        **Raises:** `NIRError` for a number that the dtype does not hold.
        """
        field = KINDS[self.node.kind].numbers[name]
        if name not in self.node.fields:
            return jnp.full(self.given, field.missing or 0.0, self.dtype)
        array = self.node.array(name)
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        lost = np.isinf(cast) & ~np.isinf(array.astype(np.float64))
        if lost.any():
            self._refuse(
                f"{name} is {array[lost].flat[0]:g}, too large for {np.dtype(self.dtype).name}; take dtype='float64' (and"
                " jax_enable_x64)"
            )
        if field.role == "time constant" and (cast < jnp.finfo(cast.dtype).tiny).any():
            self._refuse(f"{name} is {array.min():g}, too small for {np.dtype(self.dtype).name}; is it in seconds?")
        self.casts[name] = cast
        return jnp.asarray(cast)

    def leaves(self, *names: str) -> dict[str, Array]:
        """Several fields of numbers, by name."""
        return {name: self.leaf(name) for name in names}

    def constant(self, name: str) -> np.ndarray:
        """A field of numbers that no training moves, in double precision."""
        self.casts[name] = self.node.array(name).astype(np.float64)
        return self.casts[name]

    def common(self) -> dict[str, Any]:
        """`dt` and `dtype`, as every cell has them."""
        return {"dt": self.dt, "dtype": jnp.dtype(self.dtype)}

    def spiking(self) -> dict[str, Any]:
        """Threshold, reset and surrogate, out of `v_threshold`, `v_reset` and what `from_nir` was given."""
        reset, threshold = self._reset(), self.leaf("v_threshold")
        if isinstance(reset, SubtractReset):  # a threshold of infinity is never reached, but 0 times infinity is NaN
            threshold = jnp.minimum(threshold, jnp.finfo(threshold.dtype).max)
            self.casts["v_threshold"] = np.asarray(threshold)
        return {"threshold": threshold, "reset": reset, "surrogate": self.surrogate}

    def _reset(self) -> AbstractReset:
        found = self.node.metadata.get(RESET, "value") if self.reset is None else self.reset
        if found not in get_args(Reset):
            self._refuse(
                f"the reset that its metadata note is {found!r}; known are {', '.join(map(repr, get_args(Reset)))}."
                " from_nir(..., reset=...) decides"
            )
        return SubtractReset() if found == "subtract" else ValueReset(v_reset=self.leaf("v_reset"))

    def _refuse(self, why: str) -> None:
        raise NIRError(f"from_nir: node {self.path!r} ({self.node.kind}): {why}.")


def built(importing: Import) -> PyTree:
    """The part of a model that a node becomes.

    **Raises:** `NIRError` for a number that the dtype does not hold; `TypeError` where a kind contradicts itself.
    """
    kind = KINDS[importing.node.kind]
    meaning_of(importing.node, importing.given)  # so that a setting without a meaning is found before it is exported
    part = kind.build(importing.node, importing)
    made = f"from_nir: node {importing.path!r}: the kind {kind.name!r} builds a {type(part).__name__}"
    if isinstance(part, AbstractCell) != kind.stateful:
        raise TypeError(
            f"{made}, which {'has no state' if kind.stateful else 'is a cell'}, but has stateful={kind.stateful}: by that it is"
            " decided which edges of a cycle lag."
        )
    if not isinstance(kind, PerElement):
        expected = kind.put_out(importing.node, importing.given)
        found = put_out(part, jax.ShapeDtypeStruct(importing.given, importing.dtype)).shape
        if found != expected:
            raise TypeError(f"{made}, which puts out {found}, but its put_out says {expected}.")
    return part


def put_out(part: PyTree, x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what comes out of a part at one step."""
    if isinstance(part, AbstractCell):
        return jax.eval_shape(lambda x: part(x, part.init_state(x.shape), key=jax.random.key(0))[0], x)
    return jax.eval_shape(lambda x: apply_step(part, x, key=jax.random.key(0)), x)


def meaning_of(node: Node, given: Shape) -> Mapping[str, Any]:
    """What every setting of a node means.

    **Raises:** `NIRError` for settings that are not valid; `TypeError` for a kind that leaves one of its settings out.
    """
    kind = KINDS[node.kind]
    found = kind.meaning(node, given)
    forgotten = sorted(set(kind.settings) - set(found))
    if forgotten:
        raise TypeError(
            f"the kind {kind.name!r} gives its setting {forgotten[0]!r} no meaning: where it was changed, it would be exported"
            " as it was."
        )
    return found


# ------------------------------------------------------------------ the register
KINDS: dict[str, Kind] = {}


@checked
def register_kind(kind: Kind) -> None:
    """Have snnx read, check, build and write a kind of node that it does not know: see `Kind`.

    **Raises:** `TypeError` for a kind that lacks a part, or whose settings have no meaning; `ValueError` for one that is there
    already.
    """
    own = type(kind).__name__
    for part in ("name", "fields", "stateful", "spikes"):
        if not hasattr(kind, part):
            raise TypeError(f"register_kind: {own} lacks {part!r}, which every kind of node has; see snnx.nir.Kind.")
    for name, field in kind.fields.items():
        if not isinstance(field, Numbers | Setting):
            raise TypeError(
                f"register_kind: {own} has the field {name!r}, which is {describe(field)}; expected snnx.nir.Numbers() or"
                " snnx.nir.Setting()."
            )
    if kind.spikes not in get_args(Spikes):
        raise ValueError(f"register_kind: {own} has spikes={kind.spikes!r}; expected one of {get_args(Spikes)}.")
    if kind.settings and type(kind).meaning is Kind.meaning:
        raise TypeError(
            f"register_kind: {own} lacks 'meaning', which says what its settings mean ({', '.join(kind.settings)}): without it,"
            " one that was changed would be exported as it was."
        )
    if kind.name in KINDS:
        raise ValueError(f"register_kind: there is a kind {kind.name!r} already, {type(KINDS[kind.name]).__name__}.")
    KINDS[kind.name] = kind
