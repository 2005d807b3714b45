"""What a spike does to the membrane, in the step in which it happens."""

import abc

import equinox as eqx
import jax
from jaxtyping import Array

from snnx._checks import checked
from snnx._typing import default
from snnx.parameters import Parameter, value


class AbstractReset(eqx.Module):
    """What a spike does to the membrane."""

    stop_gradient: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def __call__(self, v: Array, spikes: Array, threshold: "float | Array") -> Array:
        """The membrane after the reset."""

    @default
    def parameters(self) -> dict[str, Parameter]:
        """The per-neuron parameters by name, as their shapes are checked against the input's."""
        return {}


def _seen(reset: AbstractReset, spikes: Array) -> Array:
    return jax.lax.stop_gradient(spikes) if reset.stop_gradient else spikes


@checked
class SubtractReset(AbstractReset):
    r"""Subtract the threshold: $v \leftarrow v - s\,\vartheta$. What exceeds the threshold is kept.

    **Arguments:**
    - `stop_gradient`: whether the surrogate gradient stops at the spike that resets ("detached reset").
    """

    stop_gradient: bool = eqx.field(static=True, default=False)

    def __call__(self, v: Array, spikes: Array, threshold: "float | Array") -> Array:
        return v - _seen(self, spikes) * threshold


@checked
class ValueReset(AbstractReset):
    r"""Set to a value: $v \leftarrow (1 - s)\, v + s\, v_\text{reset}$.

    **Arguments:**
    - `v_reset`: the value; a number, or an array (learned), scalar or per neuron.
    - `stop_gradient`: whether the surrogate gradient stops at the spike that resets ("detached reset").
    """

    v_reset: Parameter = 0.0
    stop_gradient: bool = eqx.field(static=True, default=False)

    def parameters(self) -> dict[str, Parameter]:
        return {"v_reset": self.v_reset}

    def __call__(self, v: Array, spikes: Array, threshold: "float | Array") -> Array:
        v_reset = value(self.v_reset)
        v_reset = v_reset if isinstance(v_reset, (int, float)) else v_reset.astype(v.dtype)
        spikes = _seen(self, spikes)
        return (1.0 - spikes) * v + spikes * v_reset


@checked
class NoReset(AbstractReset):
    r"""Leave the membrane alone: $v \leftarrow v$."""

    stop_gradient: bool = eqx.field(static=True, default=False)

    def __call__(self, v: Array, spikes: Array, threshold: "float | Array") -> Array:
        return v
