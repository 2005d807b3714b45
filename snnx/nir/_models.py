"""Changes to models between import and export: constraints, a graph without its file, folded normalisation."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import NotNegative
from snnx.cells import AbstractCell, replace
from snnx.layers import Graph
from snnx.neurons import AbstractNeuron
from snnx.parameters import Positive, at_least_float32

_Model = TypeVar("_Model", bound=AbstractCell)
_TAUS = ("tau", "tau_syn", "tau_mem")
_OTHERS = {"r": "r", "threshold": "v_threshold"}  # by their names in NIR


@checked
def constrain(model: _Model) -> _Model:
    """A model whose time constants, resistances and thresholds stay valid, whatever an optimiser does.

    ```python
    model = snnx.nir.constrain(snnx.nir.from_nir("model.nir", dt=1e-3))
    ```

    In every neuron, arrays of numbers > 0 in `tau`, `tau_syn`, `tau_mem`, `r` and `threshold` become `Positive`; time
    constants of forward Euler that are longer than the step stay so. All else is left as it is. What is not trained is exported
    as it came, bit for bit.

    **Raises:** `TypeError` for anything but a cell.
    """

    def is_neuron(node: PyTree) -> bool:
        return isinstance(node, AbstractNeuron)

    return jax.tree.map(lambda node: _constrained(node) if is_neuron(node) else node, model, is_leaf=is_neuron)


def _constrained(neuron: AbstractNeuron) -> AbstractNeuron:
    euler, changes = getattr(neuron, "method", None) == "euler", {}
    for name in (*_TAUS, *_OTHERS):
        parameter: Any = getattr(neuron, name, None)
        if eqx.is_inexact_array(parameter) and _may_be_positive(parameter):
            changes[name] = _stays_above(parameter, neuron.dt if euler and name in _TAUS else 0.0)
    return replace(neuron, **changes)


def _may_be_positive(array: Any) -> bool:
    """Whether the numbers are such as `Positive` takes."""
    numbers = np.asarray(array, np.float64)
    return bool(((numbers > 1e-16) & (numbers < 1e16)).all())


def _stays_above(parameter: Any, low: float) -> Positive:
    """The parameter as one that stays above `low`, if it is, else above 0."""
    return Positive(parameter, above=low if bool(jnp.all(parameter > low * (1 + 1e-6))) else 0.0)


def once_constrained(field: str, array: Any, dt: float) -> list[Any]:
    """What `constrain` may have made of an array of a NIR field: the same numbers but for rounding."""
    if field not in (*_TAUS, *_OTHERS.values()) or array.dtype.kind != "f" or not _may_be_positive(array):
        return []
    lows = (dt, 0.0) if field in _TAUS else (0.0,)
    return [_stays_above(jnp.asarray(array), low).value() for low in lows]


@checked
def detach(model: Graph) -> Graph:
    """An imported graph without what it was read from.

    Graphs read from different files are of different structure, as each carries its file. Detached ones of one architecture
    can be averaged, stacked to an ensemble, or loaded from one another's checkpoints; they leave as new graphs, with the
    model's numbers in the model's dtype.

    **Raises:** `TypeError` for anything but a `Graph`.
    """
    return replace(model, source=None)


@checked
def fold_batch_norm(
    layer: eqx.nn.Linear | eqx.nn.Conv,
    *,
    mean: Float[Array, "channels"],
    variance: Float[Array, "channels"],
    scale: Float[Array, "channels"] | None = None,
    shift: Float[Array, "channels"] | None = None,
    eps: NotNegative = 1e-5,
) -> PyTree:
    r"""A layer and the batch normalisation behind it as one layer: exact in inference, where the statistics are constants.

    $$ \gamma \frac{(W x + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b', \qquad
       W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \quad
       b' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu) + \beta $$

    NIR has no normalisation: this is how a network that was trained with one is exported. (`ThresholdNorm`, `LayerNorm` and
    others that normalise by the input itself cannot be folded.)

    **Arguments:**
    - `layer`: an `eqx.nn.Linear` or a convolution, with or without bias.
    - `mean`, `variance`: $\mu$, $\sigma^2$, the running statistics; `scale`, `shift`: $\gamma$, $\beta$, by default 1 and 0;
        one number for each channel of the layer's output.
    - `eps`: $\epsilon$, as the normalisation had it.

    **Returns:** a layer of the same kind, with a bias.
    **Raises:** `TypeError` for other layers; `ShapeError` where numbers and channels do not fit; `ValueError` for negative
    variances.
    """
    channels, rest = layer.weight.shape[0], (1,) * (layer.weight.ndim - 1)
    dtype = layer.weight.dtype
    if mean.shape != (channels,):
        raise ShapeError(
            f"fold_batch_norm: mean is {describe(mean)}, expected [{channels}], one number for each channel."
        )
    if not isinstance(variance, Tracer) and not bool(jnp.all(variance + eps > 0)):
        raise ValueError(f"fold_batch_norm: variance holds {jnp.min(variance):g}; expected numbers >= 0.")
    mean, variance = at_least_float32(mean), at_least_float32(variance)
    factor = (1.0 if scale is None else at_least_float32(scale)) / jnp.sqrt(variance + eps)
    before = jnp.zeros(channels) if layer.bias is None else layer.bias.reshape(channels)
    bias = factor * (before - mean) + (0.0 if shift is None else at_least_float32(shift))
    weight = factor.reshape(-1, *rest) * layer.weight
    shape = (channels,) if isinstance(layer, eqx.nn.Linear) else (channels, *rest[1:])
    return replace(layer, weight=weight.astype(dtype), bias=bias.astype(dtype).reshape(shape), use_bias=True)
