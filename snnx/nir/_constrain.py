from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from snnx._errors import describe
from snnx.cells import AbstractCell, replace
from snnx.neurons import AbstractNeuron
from snnx.nir._validate import TAUS
from snnx.parameters import Positive

_Model = TypeVar("_Model", bound=AbstractCell)


def constrain(model: _Model) -> _Model:
    """A model whose time constants, resistances and thresholds stay valid whatever an optimiser does.

    ```python
    model = snnx.nir.constrain(snnx.nir.from_nir("model.nir", dt=1e-3))
    ```

    Of every neuron, arrays of numbers > 0 in `tau`, `tau_syn`, `tau_mem`, `r` and `threshold` become `Positive`; time
    constants of forward Euler that are longer than the step stay so. All else is left as it is. What is not trained is exported
    as it came, bit for bit.

    **Raises:** `TypeError` for what is no cell.
    """
    if not isinstance(model, AbstractCell):
        raise TypeError(f"constrain: model is {describe(model)}; expected a cell, such as from_nir gives.")

    def is_neuron(node: PyTree) -> bool:
        return isinstance(node, AbstractNeuron)

    return jax.tree.map(lambda node: _constrained(node) if is_neuron(node) else node, model, is_leaf=is_neuron)


def _constrained(neuron: AbstractNeuron) -> AbstractNeuron:
    euler, changes = getattr(neuron, "method", None) == "euler", {}
    for name in (*TAUS, "r", "threshold"):
        parameter: Any = getattr(neuron, name, None)
        if eqx.is_inexact_array(parameter) and bool(jnp.all((parameter > 0) & jnp.isfinite(parameter))):
            changes[name] = stays_above(parameter, neuron.dt if euler and name in TAUS else 0.0)
    return replace(neuron, **changes)


def stays_above(parameter: Any, low: float) -> Positive:
    """The parameter as one that stays above `low`, if it is, else above 0."""
    return Positive(parameter, above=low if bool(jnp.all(parameter > low * (1 + 1e-6))) else 0.0)
