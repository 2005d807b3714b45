"""Firing rates, in spikes per neuron and step: regularisers on those of layers, and weights that follow the input's own."""

import abc
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx._checks import checked
from snnx._typing import Count, Fraction, Whole
from snnx.cells import AbstractCell, find, spiking_paths
from snnx.losses._loss import AbstractLoss
from snnx.reductions import AbstractReduction, Mean

Power: TypeAlias = Annotated[int, Whole(1, 2)]


def as_paths(paths: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The paths of a regulariser's layers as a tuple; None stands for all parts that spike."""
    return paths if paths is None else (paths,) if isinstance(paths, str) else tuple(paths)


class AbstractRateRegulariser(AbstractLoss):
    r"""A penalty on the firing rates of layers, summed over layers: $L = \sum_l \text{penalty}(r_l)$.

    $r_l$, of the shape of one step of layer $l$, are its spikes per neuron and step, from 0 to 1: twice as many steps
    at the same rate give the same loss. Masked steps do not count. Target and outputs are ignored.

    `paths` are those of the layers (`"1"`, `"3.neuron"`); by default all parts of the model that spike.
    """

    paths: eqx.AbstractVar[tuple[str, ...] | None]

    @abc.abstractmethod
    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Of the rates of one layer's neurons."""

    def __call__(self, reduced: PyTree, target: Any, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        return added_up(type(self).__name__, [self.penalty(rates) for rates in record.values()])

    def taps(self, model: PyTree) -> dict[str, AbstractReduction]:
        """The mean over time of every layer's spikes.

        **Raises:** `ValueError` for a model without any part that spikes.
        """
        return {path: Mean() for path in parts_that_spike(type(self).__name__, model, self.paths)}


@checked
class UpperRate(AbstractRateRegulariser):
    r"""Penalises neurons that fire more than `limit`: $\frac{1}{M} \sum_{i=1}^{M} [r_i - \texttt{limit}]_+^p$.

    **Arguments:**
    - `limit`: spikes per neuron and step, from 0 to 1.
    - `power`: $p$, 1 or 2.
    - `paths`: of the layers; by default all parts that spike. The penalties of several layers are added up.
    """

    limit: Fraction
    power: Power = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jax.nn.relu(rates - self.limit) ** self.power)


@checked
class LowerRate(AbstractRateRegulariser):
    r"""Penalises neurons that fire less than `limit`: $\frac{1}{M} \sum_{i=1}^{M} [\texttt{limit} - r_i]_+^p$.

    Wakes silent neurons up, as far as their surrogates have a derivative below the threshold.

    **Arguments:** `limit`, `power`, `paths`, as for `UpperRate`.

    Source: Zenke & Vogels, The remarkable robustness of surrogate gradient learning (2021), there for counts.
    """

    limit: Fraction
    power: Power = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jax.nn.relu(self.limit - rates) ** self.power)


@checked
class RateL1(AbstractRateRegulariser):
    r"""Penalises spikes, each alike: $\frac{1}{M} \sum_{i=1}^{M} r_i$, the mean rate of a layer.

    **Arguments:** `paths`, as for `UpperRate`.
    """

    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(rates)


@checked
class RateL2(AbstractRateRegulariser):
    r"""Penalises neurons that fire much more than others: $\frac{1}{M} \sum_{i=1}^{M} r_i^2$.

    **Arguments:** `paths`, as for `UpperRate`.
    """

    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jnp.square(rates))


@checked
class TargetRate(AbstractRateRegulariser):
    r"""Draws the rate of each neuron to a target: $\frac{1}{M} \sum_{i=1}^{M} (r_i - \texttt{target})^2$.

    For a wanted number of spikes in an example of $T$ steps, the target is that number over $T$.

    **Arguments:** `target`: spikes per neuron and step, from 0 to 1. `paths`, as for `UpperRate`.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), there for counts.
    """

    target: Fraction
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jnp.square(rates - self.target))


@checked
class PopulationRate(AbstractRateRegulariser):
    r"""Draws the mean rate of each layer to a target: $(\bar r - \texttt{target})^2$.

    $\bar r = \frac{1}{M} \sum_i r_i$ is the mean over the layer, in each example. Single neurons may fire as they like.

    **Arguments:** `target`: spikes per neuron and step, from 0 to 1. `paths`, as for `UpperRate`.
    """

    target: Fraction
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.square(jnp.mean(rates) - self.target)


@checked
class PopulationUpperRate(AbstractRateRegulariser):
    r"""Penalises layers whose mean rate is above `limit`: $[\bar r - \texttt{limit}]_+^p$.

    **Arguments:** `limit`, `power`, `paths`, as for `UpperRate`.

    Source: Zenke & Vogels, The remarkable robustness of surrogate gradient learning (2021), there for counts.
    """

    limit: Fraction
    power: Power = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jax.nn.relu(jnp.mean(rates) - self.limit) ** self.power


def added_up(where: str, penalties: list[Float[Array, ""]]) -> Float[Array, ""]:
    """The penalties of all layers, of which there must be some."""
    if not penalties:
        raise ValueError(f"{where}: record is empty, expected what simulate(record=loss.taps(model)) gives.")
    return sum(penalties[1:], start=penalties[0])


def parts_that_spike(where: str, model: PyTree, paths: tuple[str, ...] | None) -> tuple[str, ...]:
    """The paths given, or those of all parts that spike, each of a part that puts out spikes.

    **Raises:** `ValueError` for another path, and for a model without any part that spikes.
    """
    paths = spiking_paths(model) if paths is None else paths
    if not paths:
        what = type(model).__name__ if isinstance(model, AbstractCell) else repr(model)
        raise ValueError(
            f"{where}: no part of the model ({what}) puts out spikes; name the parts whose outputs are meant, e.g."
            " paths=('1',), or leave the regulariser out."
        )
    for path in paths:
        part = find(model, path)
        if not isinstance(part, AbstractCell) or not (part.spikes or part.children()):
            raise ValueError(
                f"{where}: paths names part {path!r}, a {type(part).__name__}, which puts out no spikes; those that do:"
                f" {', '.join(map(repr, spiking_paths(model))) or 'none'}."
            )
    return paths


@checked
def input_rate(xs: Float[Array, "time *shape"], window: Count) -> Float[Array, "time"]:
    r"""Weights over time that follow the input's own rate: smoothed, and 1 in the mean.

    $$ n_t = \sum_i x_{t,i}, \qquad r_t = \frac{1}{\min(t + 1, W)} \sum_{k=\max(0,\, t-W+1)}^{t} n_k, \qquad
       w_t = r_t \Big/ \frac{1}{T} \sum_{k=0}^{T-1} r_k, \qquad t = 0 \ldots T-1 $$

    For `Weighted(weights)`, in a training loop of your own: outputs count most while much comes in. (A loss of `fit` cannot
    have these weights: it sees what parts of the model put out, and the input is not one of them.)

    ```python
    weights = snnx.losses.input_rate(xs, window=10)
    reduced, _ = snnx.simulate(model, xs, readout=snnx.reductions.Weighted(weights, mean=True))
    ```

    **Arguments:**
    - `xs`: `[time, *shape]`, spikes or counts of one example.
    - `window`: $W$, steps, >= 1. A membrane follows its input with a delay: about the time constant of the readout.

    **Returns:** `[time]`, in at least float32; ones for an input without any spike.

    **Raises:** at run time, for negative inputs.

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025); they smooth by a leaky integrator rather than by a moving mean.
    """
    xs = eqx.error_if(xs, jnp.any(xs < 0), "input_rate: xs holds values below 0; expected spikes or counts.")
    steps = xs.shape[0]
    counts = jnp.sum(xs.reshape(steps, -1), axis=1, dtype=jnp.promote_types(xs.dtype, jnp.float32))
    so_far = jnp.cumsum(counts)
    left_behind = jnp.concatenate([jnp.zeros(window, so_far.dtype), so_far])[:steps]
    rates = (so_far - left_behind) / jnp.minimum(jnp.arange(1, steps + 1), window).astype(so_far.dtype)
    mean = jnp.mean(rates)
    return jnp.where(mean > 0, rates / jnp.where(mean > 0, mean, 1.0), 1.0)
