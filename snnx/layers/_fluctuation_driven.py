"""Weights by the neurons that they drive, so that fluctuations carry the membrane to the threshold."""

import itertools
from collections.abc import Callable
from typing import Annotated, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError
from snnx._typing import AboveZero, Number, Real
from snnx.cells import AbstractCell, Shape, cast, cell_dtype, replace
from snnx.layers._apply import has_weights
from snnx.layers._initialise import draw, fans, with_weights
from snnx.layers._recurrent import Recurrent
from snnx.layers._sequential import Sequential
from snnx.neurons import AbstractNeuron, NoReset, Spiking
from snnx.parameters import value
from snnx.surrogates import Boxcar

_Model = TypeVar("_Model")

_FAR = 1e30  # a threshold that is never reached; finite, because 0 * inf is NaN
_BLOCK = 128
_MOST_STEPS = 2**18
_FORGOTTEN = 1e-6


@checked
def fluctuation_driven(
    model: _Model,
    neuron: AbstractCell | None = None,
    *,
    rate: AboveZero,
    key: Key[Array, ""],
    mean: Number = 0.0,
    xi: AboveZero | None = None,
    sigma: AboveZero | None = None,
    alpha: Annotated[float, Real(0.0, 1.0, above=True)] = 0.9,
) -> _Model:
    r"""Weights with which the inputs' fluctuations, not their mean, carry the membrane to the threshold.

    ```python
    linear = snnx.fluctuation_driven(eqx.nn.Linear(700, 128, key=k1), lif, rate=0.02, key=k2)   # a layer and its neuron
    model = snnx.fluctuation_driven(model, rate=0.02, key=key)                                  # a whole model
    ```

    Let $n$ inputs fire independently in a share $p = \text{rate} \cdot \Delta t$ of the steps, and let $\epsilon_k$ be
    the membrane's response, $k$ steps later, to a unit input. With $W \sim N(\mu_W, \sigma_W^2)$ the free membrane, one
    that never fires, has over time

    $$ \mu_U = n\, p\, \mu_W \sum_k \epsilon_k, \qquad
       \sigma_U^2 = n\, p (1 - p) (\sigma_W^2 + \mu_W^2) \sum_k \epsilon_k^2 $$

    which is solved for $\mu_W$ and $\sigma_W$, given $\mu_U$ = `mean` above rest, and $\sigma_U$ = `sigma` or, the
    threshold $\vartheta$ lying `xi` standard deviations above the mean, $\sigma_U = (\vartheta - \mu_U) / \xi$. In a
    `Recurrent` both kinds of inputs share $\mu_W$, with $n = n_x + n_y$; the layer before contributes the share
    $\alpha$ of $\sigma_U^2$, the feedback the rest: $\sigma_W^2 + \mu_W^2$ is $\alpha / n_x$ for the one and
    $(1 - \alpha) / n_y$ for the other, times $\sigma_U^2 / (p (1 - p) \sum_k \epsilon_k^2)$.

    The kernel $\epsilon$ comes from the neuron's own update: its step is linearised at rest, without threshold and
    reset, and run until the response is forgotten, so that `method`, `dt`, `r` and synapse are all accounted for.
    Per-neuron parameters give every neuron weights of its own scale.

    **Arguments:**
    - `model`: a layer with weights (see `register_weights`), with its `neuron`; or, without, a model: every such layer of a
        `Sequential`, also of a nested one, that stands right before a neuron, or before a `Recurrent` of one, gets new
        weights, and so does the feedback. All other parts stay as they are.
    - `rate`: mean rate of an input, in spikes per unit of `dt`: per step where `dt` is 1, in Hz where it is in seconds.
    - `mean`: the target $\mu_U$, measured from rest.
    - `xi`, `sigma`: one of the two; by default `xi=1`; the source recommends 1 to 3. A neuron without threshold (`LI`)
        counts as one whose threshold is 1 above rest.
    - `alpha`: see above.

    Biases become zero, as they would shift the mean. At the border of a padded convolution, where some inputs are
    missing, the fluctuations are smaller.

    **Returns:** a model of the same structure.
    **Raises:** `TypeError` for parts of the wrong kind; `ValueError` for a `rate * dt` outside (0, 1), a target that no
    weights reach (mean above the threshold, or too large beside `sigma`), and a membrane that never forgets (`IF`).

    Source: Rossbroich, Gygax & Zenke, Fluctuation-driven initialization for spiking neural network training
    (Neuromorphic Computing and Engineering, 2022). There inputs are Poisson, time is continuous: the limit of small
    $p$. Kernels are taken from the update, as the source's own code (stork) does by default.
    """
    if xi is not None and sigma is not None:
        raise ValueError(
            f"fluctuation_driven: xi is {xi!r} and sigma is {sigma!r}; one follows from the other: give one."
        )
    target = _Target(rate, mean, xi, sigma, alpha)
    if neuron is None and has_weights(model):
        raise TypeError(
            f"fluctuation_driven: model is the layer {type(model).__name__}, and its weights depend on the neuron after"
            " it: fluctuation_driven(layer, neuron, ...)."
        )
    if neuron is None:
        count = itertools.count()

        def change(layer: PyTree, after: PyTree) -> tuple[PyTree, PyTree]:
            return _set_pair(layer, after, target, jax.random.fold_in(key, next(count)))

        new = _in_sequentials(model, change)
        if next(count) == 0:
            raise TypeError(
                f"fluctuation_driven: model is {type(model).__name__}, which holds no layer with weights right before a"
                " neuron in a Sequential; set layers one by one: fluctuation_driven(layer, neuron, ...)."
            )
        return new
    if isinstance(neuron, Recurrent):
        raise TypeError(
            "fluctuation_driven: neuron is a Recurrent, whose feedback changes with the layer before it; give both as"
            " one model: fluctuation_driven(Sequential([layer, recurrent]), ...)."
        )
    return _set_pair(model, neuron, target, key)[0]


class _Target(eqx.Module):
    """What the free membrane should do."""

    rate: float
    mean: float
    xi: float | None
    sigma: float | None
    alpha: float

    def probability(self, dt: float) -> float:
        p = self.rate * dt
        if p >= 1.0:
            raise ValueError(
                f"fluctuation_driven: rate is {self.rate:g} and dt is {dt:g}, so an input would fire {p:g} times a"
                " step; expected less than 1. Give the rate in spikes per unit of dt."
            )
        return p

    def spread(self, above_rest: Array) -> "float | Array":
        """The standard deviation, for a threshold that lies so far above rest."""
        if self.sigma is not None:
            return self.sigma
        above_rest = refuse_if(
            above_rest <= self.mean,
            f"fluctuation_driven: mean is {self.mean:g} above rest, and a threshold is not above that; give a smaller"
            " mean, or sigma.",
            above_rest,
        )
        return (above_rest - self.mean) / (1.0 if self.xi is None else self.xi)


def _set_pair(layer: PyTree, after: PyTree, target: _Target, key: Array) -> tuple[PyTree, PyTree]:
    """The layer, and the neuron or `Recurrent` after it, with new weights."""
    neuron = after.neuron if isinstance(after, Recurrent) else after
    layers = [layer, after.feedback] if isinstance(after, Recurrent) else [layer]
    shares = [target.alpha, 1.0 - target.alpha] if isinstance(after, Recurrent) else [1.0]
    for name, part in zip(("layer", "feedback"), layers, strict=False):
        if not has_weights(part):
            raise TypeError(
                f"fluctuation_driven: the {name} before the neuron is {_kind(part)}; expected eqx.nn.Linear, eqx.nn.Conv, or"
                " a layer with weights of another class (see snnx.layers.register_weights)."
            )
    if not isinstance(neuron, AbstractNeuron):
        raise TypeError(f"fluctuation_driven: neuron is {_kind(neuron)}; expected a neuron such as snnx.LIF().")
    p = target.probability(neuron.dt)
    total, energy, above_rest = _free_membrane(neuron, layer)
    inputs = [fans(part)[0] for part in layers]
    mu = target.mean / (sum(inputs) * p * total)
    power = target.spread(above_rest) ** 2 / (p * (1.0 - p) * energy)
    keys = jax.random.split(key, len(layers))
    new = [
        _normal_weights(part, k, mu, share * power / n - mu**2)
        for part, k, n, share in zip(layers, keys, inputs, shares, strict=True)
    ]
    if isinstance(after, Recurrent):
        after = eqx.tree_at(lambda recurrent: recurrent.feedback, after, new[1])
    return new[0], after


def _normal_weights(layer: PyTree, key: Array, mu: Array, variance: Array) -> PyTree:
    variance = refuse_if(
        variance < 0.0,
        f"fluctuation_driven: mean is too large: no weights of {type(layer).__name__} give the membrane that mean and such a"
        " small standard deviation; give a smaller mean, a larger sigma (a smaller xi), or another alpha.",
        variance,
    )
    mu, deviation = (x.reshape(-1, *(1,) * (layer.weight.ndim - 1)) for x in (mu, jnp.sqrt(variance)))
    return with_weights(layer, mu + deviation * draw(layer, key))


def _free_membrane(neuron: AbstractNeuron, layer: PyTree) -> tuple[Array, Array, Array]:
    """Sum and energy of the membrane's kernel, and how far the threshold lies above rest: by channel, or for all."""
    channels, axes = layer.weight.shape[0], layer.weight.ndim - 1
    own = {name: jnp.shape(value(parameter)) for name, parameter in neuron.parameters().items()}
    for name, shape in own.items():
        if shape != () and (len(shape) != axes or shape[0] not in (1, channels)):
            raise ShapeError(
                f"fluctuation_driven: {name} of {type(neuron).__name__} has shape {shape}, which does not fit the"
                f" {channels} outputs of {type(layer).__name__}."
            )
    shape = np.broadcast_shapes((1,) * axes, *own.values())
    total, energy, rest = kernel_sums(neuron, shape)
    threshold = value(neuron.threshold) if isinstance(neuron, Spiking) else rest + 1.0
    # A convolution has the same weights at every place: where parameters differ by place, their mean counts.
    total, energy, above_rest = (
        x.reshape(shape[0], -1).mean(axis=1) for x in (total, energy, jnp.broadcast_to(threshold - rest, shape))
    )
    return total, energy, above_rest


def _is_pair(layer: PyTree, after: PyTree) -> bool:
    neuron = after.neuron if isinstance(after, Recurrent) else after
    return has_weights(layer) and isinstance(neuron, AbstractNeuron)


def _is_sequential(part: PyTree) -> bool:
    return isinstance(part, Sequential)


def _in_sequentials(model: _Model, change: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]) -> _Model:
    """A model in which every pair of layer and neuron has been changed, in all its `Sequential`s."""

    def visit(part: PyTree) -> PyTree:
        if not _is_sequential(part):
            return part
        layers = list(part.layers)
        for i in range(len(layers)):
            if i + 1 < len(layers) and _is_pair(layers[i], layers[i + 1]):
                layers[i], layers[i + 1] = change(layers[i], layers[i + 1])
            else:
                layers[i] = _in_sequentials(layers[i], change)
        return eqx.tree_at(lambda sequential: sequential.layers, part, tuple(layers))

    return jax.tree.map(visit, model, is_leaf=_is_sequential)


def _kind(part: PyTree) -> str:
    return getattr(part, "__name__", type(part).__name__)


# The membrane's response to one input: its kernel, from the neuron's own update.


def kernel_sums(
    neuron: AbstractNeuron, shape: Shape
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    r"""What a unit input does to the membrane of a neuron that does not fire.

    The step is linearised at rest, the state before the first step; threshold and reset are taken away. With
    $\epsilon_k$ the membrane's response $k$ steps after the input (the step of the input itself being $k = 0$):

    **Returns:** $\sum_k \epsilon_k$, $\sum_k \epsilon_k^2$, and the membrane at rest, each `*shape`.
    **Raises:** `TypeError` for a neuron without a membrane `v`; `ValueError` if the response does not die out within
    `2**18` steps, or is not finite.
    """
    name, dtype = type(neuron).__name__, jnp.promote_types(cell_dtype(neuron), jnp.float32)
    free = cast(neuron, dtype)
    if isinstance(free, Spiking):
        free = replace(free, threshold=_FAR, reset=NoReset(), surrogate=Boxcar())
    at_rest = free.init_state(shape)
    if not hasattr(at_rest, "v"):
        raise TypeError(f"fluctuation_driven: the state of {name} has no membrane v.")
    floats, others = eqx.partition(at_rest, eqx.is_inexact_array)
    silence, unit_input = jnp.zeros(shape, dtype), jnp.ones(shape, dtype)

    def step(x: Array, floats: PyTree) -> PyTree:
        _, new = free(x, eqx.combine(floats, others), key=jax.random.key(0))
        return eqx.filter(new, eqx.is_inexact_array)

    def respond(x: Array, deviation: PyTree) -> PyTree:
        return jax.jvp(step, (silence, floats), (x, deviation))[1]

    def add(carry: PyTree, _: None) -> tuple[PyTree, Array]:
        deviation, total, energy = carry
        response = deviation.v
        return (respond(silence, deviation), total + response, energy + response**2), jnp.abs(response)

    def advance(carry: PyTree) -> PyTree:
        sums, steps, peak, _ = carry
        sums, sizes = jax.lax.scan(add, sums, length=_BLOCK)
        latest = jnp.max(sizes, axis=0)
        return sums, steps + _BLOCK, jnp.maximum(peak, latest), latest

    def goes_on(carry: PyTree) -> Array:
        _, steps, peak, latest = carry
        return (steps < _MOST_STEPS) & jnp.any(latest > _FORGOTTEN * peak)

    first = respond(unit_input, jax.tree.map(jnp.zeros_like, floats))
    start = ((first, silence, silence), jnp.asarray(0), silence, silence)
    (_, total, energy), _, peak, latest = jax.lax.while_loop(goes_on, advance, advance(start))
    known = jnp.isfinite(total) & jnp.isfinite(energy) & (energy > 0.0) & (latest <= _FORGOTTEN * peak)
    total = refuse_if(
        ~known,
        f"fluctuation_driven: the membrane of {name} does not answer an input, or does not forget it within"
        f" {_MOST_STEPS} steps (an integrator without leak never does); take a neuron with a leak, or scaled_normal.",
        total,
    )
    return total, energy, at_rest.v


def refuse_if(bad: Array, message: str, x: Array) -> Array:
    """`x`, or an error if any is bad: at once, or, inside jit and vmap, when the program runs."""
    if isinstance(bad, Tracer):
        return eqx.error_if(x, bad, message)
    if bool(jnp.any(bad)):
        raise ValueError(message)
    return x
