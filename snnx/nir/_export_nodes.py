"""From a part of a model to a node's record, class by class."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from snnx._errors import NIRError
from snnx.cells import AbstractCell, cell_dtype
from snnx.layers import Delay, Flatten, GaussianNoise, Identity, Scale, SumPool2d, Threshold
from snnx.neurons import (
    IF,
    LI,
    LIF,
    CubaLI,
    CubaLIF,
    Integrator,
    SubtractReset,
    ValueReset,
)
from snnx.nir._import_nodes import RESET
from snnx.nir._layers import StackedLinear
from snnx.nir._shapes import Shape
from snnx.nir._tree import Node
from snnx.parameters import Parameter, value

NO_JOIN = "NIR adds up what several edges bring, and cannot put it side by side, or anything else"


class Exporting(NamedTuple):
    """A part on its way out.

    - `path`: what it is called; `given`, `put_out`: the shapes of one step.
    - `dt`: seconds per step; `dtype`: of the model.
    """

    path: str
    part: Any
    given: Shape
    put_out: Shape
    dt: float
    dtype: Any

    def refuse(self, why: str) -> NoReturn:
        raise NIRError(f"to_nir: part {self.path!r} ({type(self.part).__name__}): {why}.")

    def array(self, parameter: Any) -> np.ndarray:
        """A parameter as an array of the model's dtype."""
        known = parameter if isinstance(parameter, (np.ndarray, np.generic)) else value(parameter)
        return np.array(np.asarray(known).astype(self.dtype))

    def each(self, parameter: Any) -> np.ndarray:
        """A parameter with a number for each element."""
        return np.array(np.broadcast_to(self.array(parameter), self.given))

    def unit(self) -> float:
        """Seconds per unit of a cell's time.

        **Raises:** `NIRError` for a cell whose `dt` is neither 1, steps, nor the one that was asked for.
        """
        own = self.part.dt
        if math.isclose(own, self.dt, rel_tol=1e-6):
            return 1.0
        if own == 1.0:
            return self.dt
        self.refuse(
            f"its dt is {own:g}, but to_nir was given dt={self.dt:g} seconds per step; snnx.with_dt(model, {self.dt:g})"
            " changes the model's"
        )

    def share(self, tau: Parameter) -> np.ndarray:
        """The share of the way to rest that one step covers, in double precision."""
        steps = self.part.dt / np.asarray(value(tau), np.float64)
        return np.asarray(steps if self.part.method == "euler" else -np.expm1(-steps))

    def tau(self, tau: Parameter) -> np.ndarray:
        """The time constant with which forward Euler has the neuron's decay, in seconds."""
        unit = self.unit()
        if self.part.method == "euler":
            return self.each(tau) if unit == 1.0 else self.each(np.asarray(value(tau), np.float64) * unit)
        return self.each(self.dt / self.share(tau))

    def gain(self, r: Parameter | None, tau: Parameter) -> np.ndarray:
        """The resistance, or the one with which a step's gain is 1."""
        return self.each(1.0 / self.share(tau) if r is None else r)

    def spiking(self) -> dict[str, Any]:
        """Threshold and reset."""
        part = self.part
        self.check_surrogate()
        if part.refractory:
            self.refuse(f"refractory={part.refractory} steps, which NIR cannot say; train with refractory=0")
        if not isinstance(part.reset, (ValueReset, SubtractReset)):
            self.refuse(f"its reset is {type(part.reset).__name__}; NIR's neurons reset to a value when they fire")
        v_reset = part.reset.v_reset if isinstance(part.reset, ValueReset) else 0.0
        return {"v_threshold": self.each(part.threshold), "v_reset": self.each(v_reset)}

    def check_surrogate(self) -> None:
        if self.part.surrogate.needs_key:
            self.refuse(f"{type(self.part.surrogate).__name__} draws its spikes at random, which NIR cannot say")

    def metadata(self) -> dict[str, Any]:
        return {RESET: "subtract"} if isinstance(getattr(self.part, "reset", None), SubtractReset) else {}


def export(part: PyTree, path: str, given: Shape, put_out: Shape, dt: float, dtype: Any) -> Node:
    """A cell or a plain layer as a node.

    **Raises:** `NIRError` for what NIR cannot say, naming the part and why.
    """
    exporting = Exporting(path, part, given, put_out, dt, dtype)
    found = _EXPORTERS.get(type(part))
    if found is None:
        exporting.refuse(_reason(part))
    return found(exporting)


def _reason(part: PyTree) -> str:
    name = type(part).__name__
    if name in ("ALIF", "AdLIF"):
        return "an adaptive neuron, which NIR does not have; IF, LIF and CubaLIF it has"
    if isinstance(part, (eqx.nn.Dropout, GaussianNoise)):
        return "it is random in training; eqx.nn.inference_mode(model) switches it off, and it is left out"
    if "Norm" in name:
        return "its normalisation depends on the input, so that no weights say it; NIR has none"
    if "MaxPool" in name:
        return "NIR has no maximum; SumPool2d and AvgPool2d it has"
    known = ", ".join(sorted({kind.__name__ for kind in _EXPORTERS}))
    if not isinstance(part, eqx.Module) or name == "Lambda":
        function = getattr(part, "__name__", None) or getattr(getattr(part, "fn", None), "__name__", name)
        return f"NIR has no functions such as {function}; what can be exported is {known} (snnx.Flatten for a ravel)"
    return f"NIR has no node for it; what can be exported is {known}, and containers of those"


def _node(kind: str, exporting: Exporting, **fields: Any) -> Node:
    return Node(kind, fields, exporting.metadata())


def _lif(e: Exporting) -> Node:
    p = e.part
    leak = {"tau": e.tau(p.tau), "r": e.gain(p.r, p.tau), "v_leak": e.each(p.v_leak)}
    return _node("LIF", e, **leak, **e.spiking())


def _li(e: Exporting) -> Node:
    p = e.part
    return _node("LI", e, tau=e.tau(p.tau), r=e.gain(p.r, p.tau), v_leak=e.each(p.v_leak))


def _rate(e: Exporting) -> np.ndarray:
    """The `r` of an integrator: what a second of input 1 adds."""
    unit, r = e.unit(), e.part.r
    if r is None:
        return e.each(1.0 / e.dt)
    return e.each(r) if unit == 1.0 else e.each(np.asarray(value(r), np.float64) / unit)


def _cuba(e: Exporting) -> dict[str, Any]:
    p = e.part
    if p.method == "exact":
        e.refuse(
            "method='exact' integrates synapse and membrane together, which no two Euler steps do; NIR can say"
            " 'exponential'"
        )
    return {
        "tau_syn": e.tau(p.tau_syn),
        "tau_mem": e.tau(p.tau_mem),
        "r": e.gain(p.r, p.tau_mem),
        "v_leak": e.each(p.v_leak),
        "w_in": e.gain(p.w_in, p.tau_syn),
    }


def _threshold(e: Exporting) -> Node:
    e.check_surrogate()
    return _node("Threshold", e, threshold=e.each(e.part.threshold))


def _delay(e: Exporting) -> Node:
    p, unit = e.part, e.unit()
    delays = np.asarray(p.delays, np.float64) * unit
    shape = e.given if p.shape is None else p.shape
    return _node("Delay", e, delay=np.array(np.broadcast_to(delays.reshape(p.shape or ()), shape)))


def _linear(e: Exporting) -> Node:
    p = e.part
    if isinstance(p, eqx.nn.Linear) and "scalar" in (p.in_features, p.out_features):
        e.refuse("'scalar' features, which NIR does not have; take 1")
    weight = e.array(p.weight)
    return (
        _node("Linear", e, weight=weight) if p.bias is None else _node("Affine", e, weight=weight, bias=e.array(p.bias))
    )


def _conv(e: Exporting) -> Node:
    p = e.part
    if p.padding_mode != "ZEROS":
        e.refuse(f"padding_mode is {p.padding_mode!r}; NIR pads with zeros")
    weight, one = e.array(p.weight), type(p) is eqx.nn.Conv1d
    bias = np.zeros(p.out_channels, weight.dtype) if p.bias is None else e.array(p.bias).reshape(-1)

    def numbers(given: Any) -> Any:
        return int(given[0]) if one else np.array(given)

    return _node(
        "Conv1d" if one else "Conv2d",
        e,
        input_shape=e.given[1] if one else np.array(e.given[1:]),
        weight=weight,
        stride=numbers(p.stride),
        padding=_padding(e, numbers),
        dilation=numbers(p.dilation),
        groups=int(p.groups),
        bias=bias,
    )


def _padding(e: Exporting, numbers: Callable[[Any], Any]) -> Any:
    """What both sides of each axis get."""
    p = e.part
    reach = [d * (k - 1) for k, d in zip(p.kernel_size, p.dilation, strict=True)]
    if isinstance(p.padding, str):
        if p.padding.upper() == "VALID":
            return "valid"
        if any(s != 1 for s in p.stride):
            e.refuse(f"padding={p.padding!r} with stride {p.stride} pads as XLA has it; give the padding as numbers")
        if p.padding.upper() == "SAME_LOWER" and any(r % 2 for r in reach):
            e.refuse("padding='SAME_LOWER' puts the odd row in front; NIR's 'same' has it behind")
        return "same"
    if all(low == high for low, high in p.padding):
        return numbers([low for low, _ in p.padding])
    if [tuple(pair) for pair in p.padding] == [(r // 2, r - r // 2) for r in reach]:
        return "same"
    e.refuse(f"padding {p.padding} is not the same on both sides, which NIR cannot say")


def _pool(e: Exporting) -> Node:
    p = e.part
    if isinstance(p, SumPool2d):
        return _node("SumPool2d", e, **{n: np.array(getattr(p, n)) for n in ("kernel_size", "stride", "padding")})
    if p.use_ceil or any(low != high for low, high in p.padding):
        e.refuse("use_ceil, or padding that is not the same on both sides, which NIR cannot say")
    padding = np.array([low for low, _ in p.padding])
    return _node("AvgPool2d", e, kernel_size=np.array(p.kernel_size), stride=np.array(p.stride), padding=padding)


def _flatten(e: Exporting) -> Node:
    end = len(e.given) - 1 if e.part.end is None else e.part.end
    return _node("Flatten", e, input_type=np.array(e.given), start_dim=e.part.start, end_dim=end)


def ones(exporting: Exporting) -> Node:
    """A node that hands on what it gets."""
    return _node("Scale", exporting, scale=np.ones(exporting.given, exporting.dtype))


_EXPORTERS: dict[type, Callable[[Exporting], Node]] = {
    IF: lambda e: _node("IF", e, r=_rate(e), **e.spiking()),
    LI: _li,
    LIF: _lif,
    Integrator: lambda e: _node("I", e, r=_rate(e)),
    CubaLI: lambda e: _node("CubaLI", e, **_cuba(e)),
    CubaLIF: lambda e: _node("CubaLIF", e, **_cuba(e), **e.spiking()),
    Delay: _delay,
    Scale: lambda e: _node("Scale", e, scale=e.each(e.part.scale)),
    Threshold: _threshold,
    eqx.nn.Linear: _linear,
    StackedLinear: _linear,
    eqx.nn.Conv1d: _conv,
    eqx.nn.Conv2d: _conv,
    SumPool2d: _pool,
    eqx.nn.AvgPool2d: _pool,
    Flatten: _flatten,
    Identity: ones,
    eqx.nn.Identity: ones,
}


def is_identity(part: PyTree) -> bool:
    """Whether a part hands on what it gets; what is random in training does in inference."""
    if isinstance(part, eqx.nn.Dropout):
        return part.inference or (isinstance(part.p, (int, float)) and part.p == 0)
    if isinstance(part, GaussianNoise):
        return part.inference or (isinstance(part.std, (int, float)) and part.std == 0)
    return isinstance(part, (Identity, eqx.nn.Identity))


def dtype_of(model: AbstractCell) -> Any:
    """The dtype of a model's arrays, as NumPy has it."""
    found = jnp.dtype(cell_dtype(model))
    return np.dtype(np.float32) if found == jnp.bfloat16 else np.dtype(found)
