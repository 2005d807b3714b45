"""How a part of a model becomes a node: by its method `nir_node`, or by a function that is registered for its class."""

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
    """A part of a model on its way out, with what helps `nir_node` to make a node of it.

    ```python
    class MyNeuron(snnx.neurons.AbstractNeuron):
        ...

        def nir_node(self, export):
            return snnx.LIF(tau=self.rise + self.fall, threshold=self.threshold, reset=self.reset, dt=self.dt)
    ```

    `nir_node` returns a `Node`, or another part that is drawn in its place: a neuron of snnx with other parameters, or a
    `Sequential` of several parts. A subclass inherits it only together with the behaviour: one that overrides `step`, `__call__`,
    `coefficients` or any other method needs a `nir_node` of its own.

    - `part`: the part; `path`: its name, as `record` has it.
    - `given`, `put_out`: the shapes of one step of its input and output.
    - `dt`: seconds per step; `dtype`: of the model's arrays, one that NumPy has.
    """

    part: Any
    path: str
    given: Shape
    put_out: Shape
    dt: float
    dtype: Any

    def refuse(self, why: str) -> NoReturn:
        """Raise `NIRError`, which names the part: `export.refuse("its threshold adapts")`."""
        raise NIRError(f"to_nir: part {self.path!r} ({type(self.part).__name__}): {why}.")

    def node(self, kind: str, **fields: Any) -> Node:
        """A node of this kind: `export.node("Scale", scale=export.each(self.scale))`."""
        return Node(kind, fields)

    def array(self, parameter: Any) -> np.ndarray:
        """A parameter as an array of the model's dtype."""
        numbers = parameter if isinstance(parameter, np.ndarray | np.generic) else value(parameter)
        return np.array(np.asarray(numbers).astype(self.dtype))

    def each(self, parameter: Any) -> np.ndarray:
        """A parameter as an array with a number for each element of the input."""
        return np.array(np.broadcast_to(self.array(parameter), self.given))

    def seconds_per_unit(self) -> float:
        """Seconds per unit of the part's time constants: `dt` if they are in steps, 1 if they are in seconds.

        **Raises:** `NIRError` if the part's own `dt` is neither 1 nor the one of the export.
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
        """The time constant, in seconds, with which forward Euler (NIR's method) decays as the part does.

        `method`: how the part discretises its equation; by default the part's `method`.
        """
        unit = self.seconds_per_unit()
        if (method or self._own("method")) != "euler":
            return self.each(self.dt / self._share(tau, method))
        return self.each(tau) if unit == 1.0 else self.each(np.asarray(value(tau), np.float64) * unit)

    def gain(self, r: Parameter | None, tau: Parameter, method: Method | None = None) -> np.ndarray:
        """The resistance; for None, the one with which the gain of a step is 1."""
        return self.each(1.0 / self._share(tau, method) if r is None else r)

    def spiking(self) -> dict[str, np.ndarray]:
        """The fields `v_threshold` and `v_reset`, from the part's `threshold` and `reset`.

        **Raises:** `NIRError` for a part with a refractory period, without reset, or whose spikes are random.
        """
        self.check_surrogate()
        reset = self._own("reset")
        if getattr(self.part, "refractory", 0):
            self.refuse(f"refractory={self.part.refractory} steps, which NIR cannot express; train with refractory=0")
        if not isinstance(reset, ValueReset | SubtractReset):
            self.refuse(f"its reset is {type(reset).__name__}; NIR's neurons reset to a value when they fire")
        v_reset = reset.v_reset if isinstance(reset, ValueReset) else 0.0
        return {"v_threshold": self.each(self._own("threshold")), "v_reset": self.each(v_reset)}

    def check_surrogate(self) -> None:
        """Raise `NIRError` if the part draws its spikes at random."""
        surrogate = getattr(self.part, "surrogate", None)
        if getattr(surrogate, "needs_key", False):
            self.refuse(f"{type(surrogate).__name__} draws its spikes at random, which NIR cannot express")

    def _share(self, tau: Parameter, method: Method | None) -> np.ndarray:
        """The share of the way to rest that one step covers, in double precision."""
        steps = self._own("dt") / np.asarray(value(tau), np.float64)
        return np.asarray(steps if (method or self._own("method")) == "euler" else -np.expm1(-steps))

    def _own(self, name: str) -> Any:
        if not hasattr(self.part, name):
            self.refuse(f"it has no {name}, on which the node depends; return a part of snnx that has one in its place")
        return getattr(self.part, name)


# ------------------------------------------------------------------ the register
EXPORTS: dict[type, Callable[[Any, Export], Any]] = {}
_REFUSED: dict[type, str] = {}


@checked
def register_export(*classes: type) -> Callable[[_Function], _Function]:
    """Say what parts of these classes become: what `nir_node` is for a class of your own, for one that is not.

    ```python
    @snnx.nir.register_export(theirs.Neuron)
    def their_node(neuron, export):
        return snnx.LIF(tau=neuron.time_constant, threshold=neuron.threshold, dt=export.dt)
    ```

    The function returns what `nir_node` does: see `Export`. It holds for exactly these classes, not for their subclasses.

    **Raises:** `ValueError` for a class that is registered already or has a `nir_node`; `TypeError` for what is not a class.
    """

    def register(function: _Function) -> _Function:
        for kind in classes:
            if kind in EXPORTS:
                raise ValueError(f"register_export: {kind.__name__} is already registered: {EXPORTS[kind].__name__}.")
            if "nir_node" in vars(kind):
                raise ValueError(f"register_export: {kind.__name__} has a method nir_node, which decides already.")
        EXPORTS.update(dict.fromkeys(classes, function))
        return function

    return register


def refuse_export(*classes: type, why: str) -> None:
    """Note why NIR cannot express parts of these classes and their subclasses. They can still be registered."""
    _REFUSED.update(dict.fromkeys(classes, why))


def is_registered(part: PyTree) -> bool:
    """Whether it is the part's class that decides what becomes of it, and not what is in it."""
    return type(part) in EXPORTS or hasattr(type(part), "nir_node")


def exported(export: Export) -> "Node | PyTree":
    """A part as a node, or the part that is drawn in its place.

    **Raises:** `NIRError` for what NIR cannot express, naming the part and why; `TypeError` for what is not a valid node.
    """
    part = export.part
    if type(part) in EXPORTS:
        found = EXPORTS[type(part)](part, export)
    elif is_registered(part):
        _check_inherited(export)
        found = part.nir_node(export)
    else:
        export.refuse(_reason(part))
    if isinstance(found, Node):
        return _complete(found, export)
    if isinstance(found, type) or not (isinstance(found, AbstractCell) or callable(found)):
        raise TypeError(
            f"to_nir: part {export.path!r} ({type(part).__name__}) becomes {describe(found)}; expected a snnx.nir.Node, or"
            " another part to draw in its place."
        )
    return found


def _check_inherited(export: Export) -> None:
    """Refuse a `nir_node` that describes a superclass, where a subclass between the two overrides what it describes.

    What the class of `nir_node` itself inherits is described by it, and may stand further up.
    """
    classes = type(export.part).__mro__
    place = next(i for i, kind in enumerate(classes) if "nir_node" in vars(kind))
    owner = classes[place]
    fields = getattr(export.part, "__dataclass_fields__", {})
    for kind in classes[:place]:
        for name, own in vars(kind).items():
            method = (callable(own) or hasattr(own, "__get__")) and not name.startswith("__") and name not in fields
            if name in ("step", "__call__", "coefficients") or (method and hasattr(owner, name)):
                export.refuse(
                    f"it inherits nir_node from {owner.__name__}, but {kind.__name__} has its own {name}, of which that knows"
                    f" nothing; give {kind.__name__} its own nir_node"
                )


def _complete(node: Node, export: Export) -> Node:
    """A node with NumPy's arrays, and a note of how its part is reset.

    **Raises:** `TypeError` for an unknown kind, or fields that the kind does not have or lacks.
    """
    where = f"to_nir: part {export.path!r} ({type(export.part).__name__}) becomes a {node.kind!r}"
    if node.kind not in KINDS:
        raise TypeError(
            f"{where}, which is not a kind of node; known are {', '.join(KINDS)}. See snnx.nir.register_kind."
        )
    kind = KINDS[node.kind]
    needed = {name for name, field in kind.fields.items() if not field.optional}
    if wrong := sorted(set(node.fields) - set(kind.fields)):
        raise TypeError(f"{where} with the field {wrong[0]!r}; expected {', '.join(kind.fields)}.")
    if missing := sorted(needed - set(node.fields)):
        raise TypeError(f"{where} without the field {missing[0]!r}, which it needs.")
    fields = {name: np.asarray(x) if name in kind.numbers else x for name, x in node.fields.items()}
    subtracts = "v_reset" in kind.fields and isinstance(getattr(export.part, "reset", None), SubtractReset)
    metadata = ({RESET: "subtract"} if subtracts else {}) | dict(node.metadata)
    return dataclasses.replace(node, fields=fields, metadata=metadata)


def _reason(part: PyTree) -> str:
    """Why a part cannot be exported if its class is not registered."""
    for kind in type(part).__mro__:
        if kind in _REFUSED:
            return _REFUSED[kind]
    name, known = type(part).__name__, ", ".join(sorted({kind.__name__ for kind in EXPORTS}))
    if not isinstance(part, eqx.Module) or isinstance(part, eqx.nn.Lambda):
        function = getattr(part, "__name__", None) or getattr(getattr(part, "fn", None), "__name__", name)
        return f"NIR has no functions such as {function}; what can be exported is {known} (snnx.Flatten for a ravel)"
    return f"NIR has no node for it; what can be exported is {known}, containers of these, and classes with a nir_node"
