"""From a node's record to a part of a graph, kind by kind."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from snnx._errors import NIRError
from snnx.cells import AbstractCell, replace
from snnx.layers import Delay, Flatten, Identity, Scale, SumPool2d, Threshold
from snnx.neurons import IF, LI, LIF, AbstractReset, CubaLI, CubaLIF, Integrator, Method, SubtractReset, ValueReset
from snnx.nir._layers import StackedLinear
from snnx.nir._shapes import Shape, flattened_axes, margins, sizes, whole
from snnx.nir._tree import Node
from snnx.surrogates import AbstractSurrogate

DT = "snnx_dt"  # in a graph's metadata
VERSION = "snnx_version"
RESET = "snnx_reset"  # in a node's metadata
RESETS = ("value", "subtract")


def noted_dt(metadata: Mapping[str, Any]) -> float | None:
    """Seconds per step for which a file was written, where its metadata say so."""
    try:
        return float(metadata[DT])
    except (KeyError, TypeError, ValueError):
        return None


class Choices(NamedTuple):
    """What a file does not say."""

    dt: float
    method: Method
    reset: str | None  # None: as a node's metadata has it, else the format's
    surrogate: AbstractSurrogate
    dtype: DTypeLike


def build(path: str, node: Node, given: Shape, choices: Choices) -> tuple[PyTree, dict[str, np.ndarray]]:
    """A node as a part, and the arrays that became its leaves.

    **Raises:** `NIRError` for a number that the dtype cannot hold.
    """
    making = _Making(path, node, given, choices, {})
    return _BUILDERS[node.kind](making), making.casts


class _Making(NamedTuple):
    """A node under way."""

    path: str
    node: Node
    given: Shape
    choices: Choices
    casts: dict[str, np.ndarray]

    def leaf(self, field: str, missing: float | None = None) -> Array:
        """An array of the file as one of the model."""
        if field not in self.node.fields and missing is not None:
            return jnp.full(self.given, missing, self.choices.dtype)
        array = self.node.array(field)
        with np.errstate(over="ignore"):
            cast = array.astype(self.choices.dtype)
        lost = np.isinf(cast) & ~np.isinf(array.astype(np.float64))
        if lost.any():
            raise NIRError(
                f"from_nir: node {self.path!r} ({self.node.kind}): {field} is {array[lost].flat[0]:g}, too large for"
                f" {np.dtype(self.choices.dtype).name}; take dtype='float64' (and jax_enable_x64)."
            )
        if field.startswith("tau") and (cast < jnp.finfo(cast.dtype).tiny).any():
            raise NIRError(
                f"from_nir: node {self.path!r} ({self.node.kind}): {field} is {array.min():g}, too small for"
                f" {np.dtype(self.choices.dtype).name}; is it in seconds?"
            )
        self.casts[field] = cast
        return jnp.asarray(cast)

    def leaves(self, *fields: str, **renamed: str) -> dict[str, Array]:
        return {field: self.leaf(field) for field in fields} | {new: self.leaf(old) for new, old in renamed.items()}

    def common(self) -> dict[str, Any]:
        return {"dt": self.choices.dt, "dtype": jnp.dtype(self.choices.dtype)}

    def spiking(self) -> dict[str, Any]:
        """Threshold, reset and surrogate."""
        reset, threshold = self.reset(), self.leaf("v_threshold")
        if isinstance(reset, SubtractReset):  # infinity is never reached, but 0 times infinity would be no number
            threshold = jnp.minimum(threshold, jnp.finfo(threshold.dtype).max)
        return {"threshold": threshold, "reset": reset, "surrogate": self.choices.surrogate} | self.common()

    def reset(self) -> AbstractReset:
        said = self.node.metadata.get(RESET, "value") if self.choices.reset is None else self.choices.reset
        if said not in RESETS:
            raise NIRError(
                f"from_nir: node {self.path!r} ({self.node.kind}) says that its reset is {said!r}; known are"
                f" {', '.join(map(repr, RESETS))}. from_nir(..., reset=...) decides."
            )
        return SubtractReset() if said == "subtract" else ValueReset(v_reset=self.leaf("v_reset", missing=0.0))


def _unchecked(kind: type[AbstractCell], **fields: Any) -> AbstractCell:
    """A neuron with parameters that a file may have, but that a user is warned of: time constants shorter than a step."""
    return replace(kind(), **fields)


def _if(making: _Making) -> PyTree:
    return _unchecked(IF, **making.leaves("r"), **making.spiking())


def _lif(making: _Making) -> PyTree:
    leaves = making.leaves("tau", "r", "v_leak")
    return _unchecked(LIF, **leaves, **making.spiking(), method=making.choices.method)


def _li(making: _Making) -> PyTree:
    leaves = making.leaves("tau", "r", "v_leak")
    return _unchecked(LI, **leaves, **making.common(), method=making.choices.method)


def _integrator(making: _Making) -> PyTree:
    return _unchecked(Integrator, **making.leaves("r"), **making.common())


def _cuba_fields(making: _Making) -> dict[str, Any]:
    leaves = making.leaves("tau_syn", "tau_mem", "r", "v_leak")
    return leaves | {"w_in": making.leaf("w_in", missing=1.0), "method": making.choices.method}


def _cubali(making: _Making) -> PyTree:
    return _unchecked(CubaLI, **_cuba_fields(making), **making.common())


def _cubalif(making: _Making) -> PyTree:
    return _unchecked(CubaLIF, **_cuba_fields(making), **making.spiking())


def _linear(making: _Making) -> PyTree:
    weight = making.leaf("weight")
    bias = making.leaf("bias") if making.node.kind == "Affine" else None
    if weight.ndim > 2:
        return StackedLinear(weight, bias)
    out, width = weight.shape
    blank = eqx.filter_eval_shape(eqx.nn.Linear, width, out, bias is not None, key=jax.random.key(0))
    return _filled(blank, weight, bias)


def _conv(making: _Making) -> PyTree:
    node, kind = making.node, eqx.nn.Conv1d if making.node.kind == "Conv1d" else eqx.nn.Conv2d
    weight, bias = making.leaf("weight"), making.leaf("bias") if "bias" in node.fields else None
    groups = whole("groups", node.fields["groups"])
    blank = eqx.filter_eval_shape(
        kind,
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[2:],
        sizes("stride", node.fields["stride"], node.kind),
        tuple(margins(node)),
        sizes("dilation", node.fields["dilation"], node.kind),
        groups,
        use_bias=bias is not None,
        key=jax.random.key(0),
    )
    return _filled(blank, weight, None if bias is None else bias.reshape(-1, *(1,) * (weight.ndim - 2)))


def _filled(blank: PyTree, weight: Array, bias: Array | None) -> PyTree:
    """A layer of shapes with its weights."""
    layer = eqx.tree_at(lambda layer: layer.weight, blank, weight)
    return layer if bias is None else eqx.tree_at(lambda layer: layer.bias, layer, bias)


def _pool(making: _Making) -> PyTree:
    names = ("kernel_size", "stride", "padding")
    kernel, stride, padding = (sizes(name, making.node.fields[name], making.node.kind) for name in names)
    return (SumPool2d if making.node.kind == "SumPool2d" else eqx.nn.AvgPool2d)(kernel, stride, padding)


_BUILDERS: dict[str, Callable[[_Making], PyTree]] = {
    "Input": lambda making: Identity(),
    "Output": lambda making: Identity(),
    "Affine": _linear,
    "Linear": _linear,
    "Scale": lambda making: Scale(making.leaf("scale")),
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": lambda making: Flatten(*flattened_axes(making.node, making.given)),
    "Delay": lambda making: Delay(making.node.array("delay"), **making.common()),
    "Threshold": lambda making: replace(
        Threshold(), threshold=making.leaf("threshold"), surrogate=making.choices.surrogate
    ),
    "I": _integrator,
    "IF": _if,
    "LI": _li,
    "LIF": _lif,
    "CubaLI": _cubali,
    "CubaLIF": _cubalif,
}
