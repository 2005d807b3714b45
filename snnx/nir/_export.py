"""How a part of a model becomes a node: by its own method `nir_node`, or by a function that is registered for its class."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from snnx._checks import checked
from snnx._errors import NIRError, describe
from snnx.cells import AbstractCell
from snnx.neurons import Method, SubtractReset, ValueReset
from snnx.nir._fields import Shape
from snnx.nir._kind import KINDS
from snnx.nir._node import RESET, Node
from snnx.parameters import Parameter, value

_Function = TypeVar("_Function", bound=Callable)


class Export(NamedTuple):
    """A part of a model on its way out: what `nir_node` gets, and what helps it to make a node.

    ```python
    class MyNeuron(snnx.neurons.AbstractNeuron):
        ...
        def nir_node(self, export):
            return snnx.LIF(tau=self.rise + self.fall, threshold=self.threshold, reset=self.reset, dt=self.dt)
    ```

    The method returns a `Node`, or another part, which is then drawn in its place: a neuron with other parameters, or a
    `Sequential` of several. A subclass inherits the method only with everything that it speaks of: where it replaces `step`,
    `__call__`, `coefficients` or another method, it has to say anew what it is.

    - `part`: the part itself; `path`: what it is called, as `record` has it.
    - `given`, `put_out`: the shapes of one step of what goes in and comes out.
    - `dt`: seconds per step; `dtype`: of the model's arrays, as NumPy has it.
    """

    part: Any
    path: str
    given: Shape
    put_out: Shape
    dt: float
    dtype: Any

    def refuse(self, why: str) -> NoReturn:
        """Say why NIR cannot express the part: `export.refuse("its threshold adapts")`."""
        raise NIRError(f"to_nir: part {self.path!r} ({type(self.part).__name__}): {why}.")

    def node(self, kind: str, **fields: Any) -> Node:
        """A node of this kind: `export.node("Scale", scale=export.each(self.scale))`."""
        return Node(kind, fields)

    def array(self, parameter: Any) -> np.ndarray:
        """A parameter as an array of the model's dtype."""
        numbers = parameter if isinstance(parameter, np.ndarray | np.generic) else value(parameter)
        return np.array(np.asarray(numbers).astype(self.dtype))

    def each(self, parameter: Any) -> np.ndarray:
        """A parameter with a number for each element of the input."""
        return np.array(np.broadcast_to(self.array(parameter), self.given))

    def seconds_per_unit(self) -> float:
        """Seconds per unit of the part's time constants: 1 if its `dt` is that of the export, `dt` if it counts in steps.

        **Raises:** `NIRError` for any other `dt`.
        """
        own = self._own("dt")
        if math.isclose(own, self.dt, rel_tol=1e-6):
            return 1.0
        if own == 1.0:
            return self.dt
        self.refuse(
            f"its dt is {own:g}, but to_nir was given dt={self.dt:g} seconds per step; snnx.with_dt(model, {self.dt:g})"
            " changes the model's"
        )

    def tau(self, tau: Parameter, method: Method | None = None) -> np.ndarray:
        """The time constant in seconds with which forward Euler, which is NIR's, has the part's decay.

        `method`: how the part discretises its equation; by default its own `method`.
        """
        unit = self.seconds_per_unit()
        if (method or self._own("method")) != "euler":
            return self.each(self.dt / self._share(tau, method))
        return self.each(tau) if unit == 1.0 else self.each(np.asarray(value(tau), np.float64) * unit)

    def gain(self, r: Parameter | None, tau: Parameter, method: Method | None = None) -> np.ndarray:
        """The resistance; for None the one with which a step's gain is 1. `method` as for `tau`."""
        return self.each(1.0 / self._share(tau, method) if r is None else r)

    def spiking(self) -> dict[str, np.ndarray]:
        """The fields `v_threshold` and `v_reset`, from the part's `threshold` and `reset`.

        **Raises:** `NIRError` for spikes that NIR does not have: random ones, and those without reset or with a refractory time.
        """
        self.check_surrogate()
        reset = self._own("reset")
        if getattr(self.part, "refractory", 0):
            self.refuse(f"refractory={self.part.refractory} steps, which NIR cannot say; train with refractory=0")
        if not isinstance(reset, ValueReset | SubtractReset):
            self.refuse(f"its reset is {type(reset).__name__}; NIR's neurons reset to a value when they fire")
        v_reset = reset.v_reset if isinstance(reset, ValueReset) else 0.0
        return {"v_threshold": self.each(self._own("threshold")), "v_reset": self.each(v_reset)}

    def check_surrogate(self) -> None:
        """Refuse spikes that are drawn at random."""
        surrogate = getattr(self.part, "surrogate", None)
        if getattr(surrogate, "needs_key", False):
            self.refuse(f"{type(surrogate).__name__} draws its spikes at random, which NIR cannot say")

    def _share(self, tau: Parameter, method: Method | None) -> np.ndarray:
        """The share of the way to rest that one step covers, in double precision."""
        steps = self._own("dt") / np.asarray(value(tau), np.float64)
        return np.asarray(steps if (method or self._own("method")) == "euler" else -np.expm1(-steps))

    def _own(self, name: str) -> Any:
        """An attribute of the part that a helper needs."""
        if not hasattr(self.part, name):
            self.refuse(f"it has no {name}, which its node depends on; return a snnx part in its place that has one")
        return getattr(self.part, name)


# ------------------------------------------------------------------ the register
EXPORTS: dict[type, Callable[[Any, Export], Any]] = {}
_REFUSED: dict[type, str] = {}


@checked
def register_export(*classes: type) -> Callable[[_Function], _Function]:
    """Say what becomes of parts of somebody else's class, as `nir_node` says it of one's own: see `Export`.

    ```python
    @snnx.nir.register_export(theirs.Neuron)
    def their_node(neuron, export):
        return snnx.LIF(tau=neuron.time_constant, threshold=neuron.threshold, dt=export.dt)
    ```

    It holds for these very classes, and for none that inherits from them.

    **Raises:** `ValueError` for a class that is registered already, or says it itself; `TypeError` for what is no class.
    """

    def register(function: _Function) -> _Function:
        for kind in classes:
            if kind in EXPORTS:
                raise ValueError(
                    f"register_export: {kind.__name__} is registered already, by {EXPORTS[kind].__name__}."
                )
            if "nir_node" in vars(kind):
                raise ValueError(f"register_export: {kind.__name__} has a method nir_node, which says it already.")
        EXPORTS.update(dict.fromkeys(classes, function))
        return function

    return register


def refuse_export(*classes: type, why: str) -> None:
    """Note why NIR cannot express parts of these classes, and those that inherit from them. They can still be registered."""
    _REFUSED.update(dict.fromkeys(classes, why))


def speaks_for_itself(part: PyTree) -> bool:
    """Whether a part is exported by what was said of its class, and not by what is in it."""
    return type(part) in EXPORTS or hasattr(type(part), "nir_node")


def exported(export: Export) -> "Node | PyTree":
    """A part as a node, or the part that is drawn in its place.

    **Raises:** `NIRError` for what NIR cannot say, naming the part and why; `TypeError` for what is no node of any kind.
    """
    part = export.part
    if type(part) in EXPORTS:
        found = EXPORTS[type(part)](part, export)
    elif hasattr(type(part), "nir_node"):
        _check_inherited(export)
        found = part.nir_node(export)
    else:
        export.refuse(_reason(part))
    if isinstance(found, Node):
        return _complete(found, export)
    if isinstance(found, type) or not (isinstance(found, AbstractCell) or callable(found)):
        raise TypeError(
            f"to_nir: part {export.path!r} ({type(part).__name__}) becomes {describe(found)}; expected a snnx.nir.Node, or"
            " another part in its place."
        )
    return found


_BEHAVIOUR = ("step", "__call__", "coefficients")


def _check_inherited(export: Export) -> None:
    """Refuse a `nir_node` that speaks of a class above, where a subclass does something else.

    It counts only from below: what `nir_node`'s own class inherits is part of what it speaks of.
    """
    kinds = type(export.part).__mro__
    place = next(i for i, kind in enumerate(kinds) if "nir_node" in vars(kind))
    owner = kinds[place]
    fields = (
        {field.name for field in dataclasses.fields(export.part)} if dataclasses.is_dataclass(export.part) else set()
    )
    for kind in kinds[:place]:
        for name, own in vars(kind).items():
            method = (callable(own) or hasattr(own, "__get__")) and not name.startswith("__") and name not in fields
            if name in _BEHAVIOUR or (method and hasattr(owner, name)):
                export.refuse(
                    f"it inherits nir_node from {owner.__name__}, but {name} is {kind.__name__}'s own, of which that says"
                    f" nothing; give {kind.__name__} a nir_node"
                )


def _complete(node: Node, export: Export) -> Node:
    """A node with arrays of NumPy, and a note of how its part is reset.

    **Raises:** `TypeError` for a kind that there is not, fields that it does not have, or lacks.
    """
    where = f"to_nir: part {export.path!r} ({type(export.part).__name__}) becomes a node"
    if node.kind not in KINDS:
        raise TypeError(
            f"{where} of kind {node.kind!r}; known are {', '.join(KINDS)}. snnx.nir.register_kind adds one."
        )
    kind = KINDS[node.kind]
    needed = {name for name, field in kind.fields.items() if not field.optional}
    for name in sorted(set(node.fields) - set(kind.fields)):
        raise TypeError(f"{where} with the field {name!r}, but a {node.kind} has {', '.join(kind.fields)}.")
    for name in sorted(needed - set(node.fields)):
        raise TypeError(f"{where} without the field {name!r}, which every {node.kind} has.")
    fields = {name: np.asarray(x) if name in kind.numbers else x for name, x in node.fields.items()}
    note = {}
    if "v_reset" in kind.fields and isinstance(getattr(export.part, "reset", None), SubtractReset):
        note = {RESET: "subtract"}
    return dataclasses.replace(node, fields=fields, metadata=note | dict(node.metadata))


def _reason(part: PyTree) -> str:
    """Why a part of which nothing was said cannot be exported."""
    name = type(part).__name__
    for kind in type(part).__mro__:
        if kind in _REFUSED:
            return _REFUSED[kind]
    known = ", ".join(sorted({kind.__name__ for kind in EXPORTS}))
    if not isinstance(part, eqx.Module) or isinstance(part, eqx.nn.Lambda):
        function = getattr(part, "__name__", None) or getattr(getattr(part, "fn", None), "__name__", name)
        return f"NIR has no functions such as {function}; what can be exported is {known} (snnx.Flatten for a ravel)"
    return (
        f"NIR has no node for it; what can be exported is {known}, containers of those, and classes with a method nir_node"
        " (snnx.nir.Export)"
    )
