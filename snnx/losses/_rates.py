"""Regularisers on firing rates, in spikes per neuron and step."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from snnx.losses._loss import AbstractLoss, check_number
from snnx.losses._spiking import as_paths, parts_that_spike
from snnx.reductions import AbstractReduction, Mean


class AbstractRateRegulariser(AbstractLoss):
    r"""A penalty on the firing rates of layers, summed over layers: $L = \sum_l \text{penalty}(r_l)$.

    $r_l$, of the shape of one step of layer $l$, are its spikes per neuron and step, from 0 to 1: twice as many steps
    at the same rate give the same loss. Masked steps do not count. The target and the outputs are not looked at.

    `paths` are those of the layers (`"1"`, `"3.neuron"`); by default all parts of the model that spike.
    """

    paths: eqx.AbstractVar[tuple[str, ...] | None]

    @abc.abstractmethod
    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Of the rates of one layer's neurons."""

    def __call__(self, reduced: PyTree, target: Any, *, record: Mapping[str, PyTree]) -> Float[Array, ""]:
        penalties = [self.penalty(rates) for rates in record.values()]
        if not penalties:
            raise ValueError(
                f"{type(self).__name__}: record is empty, expected what simulate(record=loss.taps(model)) gives."
            )
        return sum(penalties[1:], start=penalties[0])

    def taps(self, model: PyTree) -> dict[str, AbstractReduction]:
        """The mean over time of every layer's spikes.

        **Raises:** `ValueError` for a model without any part that spikes.
        """
        return {path: Mean() for path in parts_that_spike(type(self).__name__, model, self.paths)}


class UpperRate(AbstractRateRegulariser):
    r"""Penalises neurons that fire more than `limit`: $\frac{1}{M} \sum_{i=1}^{M} [r_i - \texttt{limit}]_+^p$.

    **Arguments:**
    - `limit`: spikes per neuron and step, from 0 to 1.
    - `power`: $p$, 1 or 2.
    - `paths`: of the layers; by default all parts that spike. The penalties of several layers are added up.

    **Raises:** `ValueError` for a limit outside [0, 1] or another power.
    """

    limit: float
    power: int = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __check_init__(self):
        check_number("UpperRate", "limit", self.limit, 0.0, 1.0)
        _check_power("UpperRate", self.power)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jax.nn.relu(rates - self.limit) ** self.power)


class LowerRate(AbstractRateRegulariser):
    r"""Penalises neurons that fire less than `limit`: $\frac{1}{M} \sum_{i=1}^{M} [\texttt{limit} - r_i]_+^p$.

    Wakes silent neurons up, as far as their surrogates have a derivative below the threshold.

    **Arguments:** `limit`, `power`, `paths`, as for `UpperRate`.
    **Raises:** `ValueError` for a limit outside [0, 1] or another power.

    Source: Zenke & Vogels, The remarkable robustness of surrogate gradient learning (2021), there for counts.
    """

    limit: float
    power: int = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __check_init__(self):
        check_number("LowerRate", "limit", self.limit, 0.0, 1.0)
        _check_power("LowerRate", self.power)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jax.nn.relu(self.limit - rates) ** self.power)


class RateL1(AbstractRateRegulariser):
    r"""Penalises spikes, each alike: $\frac{1}{M} \sum_{i=1}^{M} r_i$, the mean rate of a layer.

    **Arguments:** `paths`, as for `UpperRate`.
    """

    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(rates)


class RateL2(AbstractRateRegulariser):
    r"""Penalises neurons that fire much more than others: $\frac{1}{M} \sum_{i=1}^{M} r_i^2$.

    **Arguments:** `paths`, as for `UpperRate`.
    """

    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jnp.square(rates))


class TargetRate(AbstractRateRegulariser):
    r"""Draws the rate of each neuron to a target: $\frac{1}{M} \sum_{i=1}^{M} (r_i - \texttt{target})^2$.

    For a wanted number of spikes in an example of $T$ steps, the target is that number over $T$.

    **Arguments:** `target`: spikes per neuron and step, from 0 to 1. `paths`, as for `UpperRate`.
    **Raises:** `ValueError` for a target outside [0, 1].

    Source: Nowotny, Turner & Knight, Loss shaping enhances exact gradient learning with Eventprop in spiking neural
    networks (2025), there for counts.
    """

    target: float
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __check_init__(self):
        check_number("TargetRate", "target", self.target, 0.0, 1.0)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(jnp.square(rates - self.target))


class PopulationRate(AbstractRateRegulariser):
    r"""Draws the mean rate of each layer to a target: $(\bar r - \texttt{target})^2$.

    $\bar r = \frac{1}{M} \sum_i r_i$ is the mean over the layer, in each example. Single neurons may fire as they like.

    **Arguments:** `target`: spikes per neuron and step, from 0 to 1. `paths`, as for `UpperRate`.
    **Raises:** `ValueError` for a target outside [0, 1].
    """

    target: float
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __check_init__(self):
        check_number("PopulationRate", "target", self.target, 0.0, 1.0)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.square(jnp.mean(rates) - self.target)


class PopulationUpperRate(AbstractRateRegulariser):
    r"""Penalises layers whose mean rate is above `limit`: $[\bar r - \texttt{limit}]_+^p$.

    **Arguments:** `limit`, `power`, `paths`, as for `UpperRate`.
    **Raises:** `ValueError` for a limit outside [0, 1] or another power.

    Source: Zenke & Vogels, The remarkable robustness of surrogate gradient learning (2021), there for counts.
    """

    limit: float
    power: int = eqx.field(static=True, default=2)
    paths: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_paths, kw_only=True)
    readout: tuple[AbstractReduction, ...] = eqx.field(default=(), init=False)

    def __check_init__(self):
        check_number("PopulationUpperRate", "limit", self.limit, 0.0, 1.0)
        _check_power("PopulationUpperRate", self.power)

    def penalty(self, rates: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jax.nn.relu(jnp.mean(rates) - self.limit) ** self.power


def _check_power(where: str, power: int) -> None:
    if power not in (1, 2):
        raise ValueError(f"{where}: power is {power!r}, expected 1 or 2.")
