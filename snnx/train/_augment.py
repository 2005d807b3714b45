"""Augmentation within a training step: every example anew, and with a partner where one is called for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from snnx._errors import describe
from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.data import SpikeDataset

STREAM = 2**32 - 1  # tells the keys of augmentations from those of a model's layers, which are folded in by number


class Augment:
    """Batches of a data set, augmented.

    **Arguments:** `steps`: augmentations, one after the other, at most one of them a mixing: those before it change the
    partner too, by draws of its own; `examples`: how many of the data are real.
    """

    def __init__(self, steps: Sequence[Any], data: SpikeDataset, examples: Int[Array, ""]):
        self.steps, self.data, self.examples = tuple(steps), data, examples
        mixing = [step for step in self.steps if isinstance(step, AbstractMixing)]
        self.mixing = mixing[0] if mixing else None
        if self.mixing is not None and self.mixing.same_class:
            # Examples class by class; those that are not real behind all.
            real = jnp.arange(len(data)) < examples
            labels = jnp.where(real, data.targets, jnp.iinfo(jnp.int32).max)
            self._by_class = jnp.argsort(labels, stable=True)
            self._sorted = labels[self._by_class]
            self._rank = jnp.argsort(self._by_class)

    def batch(self, index: Int[Array, "batch"], keys: Array) -> tuple[SpikeDataset, tuple[PyTree, Array] | None]:
        """The examples at these indices; with a mixing, also their partners' targets, and the share of their own."""
        batch = self.data.take(index)
        if not self.steps:
            return batch, None
        keys = jax.vmap(lambda key: jax.random.fold_in(key, STREAM))(keys)
        partners = None if self.mixing is None else self.data.take(jax.vmap(self._partner)(index, keys))

        def one(inputs: PyTree, partner: PyTree, key: Array) -> tuple[PyTree, Array]:
            share, alone = jnp.ones(()), partner is None
            for number, step in enumerate(self.steps):
                own, others = jax.random.split(jax.random.fold_in(key, number + 1))
                if isinstance(step, AbstractMixing):
                    inputs, share = step(inputs, partner, key=own)
                    alone = True
                else:
                    inputs = step(inputs, key=own)
                    partner = partner if alone else step(partner, key=others)
            return inputs, share

        inputs, share = jax.vmap(one)(batch.inputs, None if partners is None else partners.inputs, keys)
        batch = dataclasses.replace(batch, inputs=inputs)
        if partners is None or self.mixing is None or self.mixing.same_class:
            return batch, None
        return batch, (partners.targets, share)

    def _partner(self, index: Int[Array, ""], key: Array) -> Int[Array, ""]:
        """Another example, of the same class if so asked; an example that is alone is its own partner."""
        draw = jax.random.uniform(jax.random.fold_in(key, 0))
        if self.mixing is None or not self.mixing.same_class:
            return (index + 1 + _below(draw, self.examples - 1)) % self.examples
        label = self.data.targets[index]
        first = jnp.searchsorted(self._sorted, label, side="left")
        count = jnp.searchsorted(self._sorted, label, side="right") - first
        place = (self._rank[index] - first + 1 + _below(draw, count - 1)) % count
        return self._by_class[first + place]


def _below(draw: Array, count: Array) -> Array:
    """A whole number from 0 to `count - 1`, from a number in [0, 1)."""
    return jnp.minimum((draw * count).astype(jnp.int32), jnp.maximum(count - 1, 0))


def check_augment(steps: Any, data: SpikeDataset) -> None:
    """Refuse what are no augmentations, or none of these data, before anything is compiled."""
    if not isinstance(steps, Sequence):
        raise TypeError(f"fit: augment is {describe(steps)}; expected a list, e.g. [snnx.augment.ChannelShift(20)].")
    for number, step in enumerate(steps):
        if not isinstance(step, AbstractAugmentation | AbstractMixing):
            raise TypeError(f"fit: augment[{number}] is {describe(step)}; expected an object of snnx.augment.")
    mixing = [step for step in steps if isinstance(step, AbstractMixing)]
    if len(mixing) > 1:
        raise ValueError(
            f"fit: augment has {len(mixing)} mixings; expected at most one, for an example has one partner."
        )
    if mixing and mixing[0].same_class and data.classes is None:
        raise ValueError(
            f"fit: {type(mixing[0]).__name__} needs partners of the same class, but the data have no classes."
        )
    if mixing and data.mask is not None:
        raise ValueError(
            f"fit: {type(mixing[0]).__name__} cannot mix examples of data with a mask; leave one of them out."
        )
