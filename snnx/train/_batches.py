"""What training goes through: chunks of the data, one after the other on the device, and augmented batches of each."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key, PyTree

from snnx._errors import DataError
from snnx.augment import AbstractMixing
from snnx.data import AbstractStream, SpikeDataset, filled
from snnx.losses import AbstractLoss
from snnx.train._devices import spread

PADDED_BYTES = 2**26  # a data set up to this size is copied, so that folds of other sizes share a program
AUGMENTATION = (
    2**32 - 1
)  # tells the keys of augmentations from those of a model's layers, which are folded in by number


class Chunk(NamedTuple):
    """A part of an epoch's examples: its number, how many examples are real, and its first step and that behind its last."""

    data: SpikeDataset
    number: int
    examples: int
    first: int
    stop: int


def with_room(data: SpikeDataset, batch_size: int) -> SpikeDataset:
    """A data set with room for whole batches, if it is small: how many examples are real is then no part of its shape."""
    return filled(data, -(-len(data) // batch_size) * batch_size) if data.nbytes <= PADDED_BYTES else data


class Chunks:
    """The chunks of every epoch, as training goes through them.

    **Arguments:** `where`: whose errors these are.
    """

    def __init__(
        self,
        data: SpikeDataset | AbstractStream,
        batch_size: int,
        key: Key[Array, ""],
        mesh: Mesh | None,
        loss: AbstractLoss,
        where: str = "fit",
    ):
        self.streamed = isinstance(data, AbstractStream)
        self.examples = len(data)
        self._data = data if isinstance(data, AbstractStream) else spread(mesh, with_room(data, batch_size))
        self._size, self._key, self._mesh, self._loss, self._where = batch_size, key, mesh, loss, where
        self._kind: tuple | None = None
        self.steps = sum(-(-size // batch_size) for size in self._sizes(0))

    def of(self, epoch: int, position: int) -> Iterator[Chunk]:
        """The chunks of an epoch from the one on that holds step `position`; the next is loaded meanwhile."""
        if not isinstance(self._data, AbstractStream):
            yield Chunk(self._data, 0, self.examples, 0, self.steps)
            return
        sizes = self._sizes(epoch)
        ends = np.cumsum([-(-size // self._size) for size in sizes])
        first = min(int(np.searchsorted(ends, position, "right")), len(sizes) - 1)
        loaded = self._data.chunks(self._seed(epoch), first)
        most = max(sizes)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(next, loaded, None)
            for number in range(first, len(sizes)):
                data = ahead.result()
                if number + 1 < len(sizes):
                    ahead = pool.submit(next, loaded, None)
                start = int(ends[number - 1]) if number else 0
                full = spread(self._mesh, self._checked(data, number, sizes[number], most))
                yield Chunk(full, number, sizes[number], start, int(ends[number]))

    def _sizes(self, epoch: int) -> list[int]:
        if not isinstance(self._data, AbstractStream):
            return [self.examples]
        sizes = self._data.sizes(self._seed(epoch))
        if sum(sizes) != self.examples or not all(size > 0 for size in sizes):
            raise DataError(
                f"{self._where}: the stream has chunks of {sizes} examples, but {self.examples} in all; expected the same."
            )
        return sizes

    def _seed(self, epoch: int) -> int:
        """What decides the order of the chunks: another number in each epoch."""
        bits = jax.random.key_data(jax.random.fold_in(self._key, epoch))
        return int(np.asarray(bits).reshape(-1)[-1])

    def _checked(self, data: SpikeDataset | None, number: int, size: int, most: int) -> SpikeDataset:
        """A chunk with room for as many examples as the largest has; refused if the compiled program is not for it."""
        if data is None or len(data) != size:
            came = "is missing" if data is None else f"has {len(data)} examples"
            raise DataError(f"{self._where}: chunk {number} of the stream {came}, expected {size} examples.")
        self._loss.check_targets(np.asarray(data.targets), data.num_classes)
        full = filled(data, most)
        kind = (jax.tree.structure(full), [(x.shape, x.dtype) for x in jax.tree.leaves(full)])
        self._kind = self._kind or kind
        if kind != self._kind:
            raise DataError(
                f"{self._where}: chunk {number} of the stream has another layout, shape or class list than the first; give"
                " all the same layout: 'bits', 'counts' or 'floats' (lists and events are as long as the longest needs)."
            )
        return full


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
        keys = jax.vmap(lambda key: jax.random.fold_in(key, AUGMENTATION))(keys)
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
        """Another example, of the same class if the mixing wants that; an example alone in its class is its own partner."""
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
