"""What an epoch trains on: a data set that is on the device whole, or a stream of chunks, each there in its turn."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from snnx._errors import DataError
from snnx.data import AbstractStream, SpikeDataset, filled
from snnx.losses import AbstractLoss
from snnx.train._devices import spread


class Chunk(NamedTuple):
    """A part of an epoch's examples: its number, how many examples are real, and its first step and that behind its last."""

    data: SpikeDataset
    number: int
    examples: int
    first: int
    stop: int


ROOM_BYTES = 2**26  # of a data set up to this size a copy is made, so that folds of other sizes share a program


def with_room(data: SpikeDataset, batch_size: int) -> SpikeDataset:
    """A data set with room for whole batches, if it is small: how many examples are real is then no part of its shape."""
    return filled(data, -(-len(data) // batch_size) * batch_size) if data.nbytes <= ROOM_BYTES else data


class Chunks:
    """The chunks of every epoch, as `fit` goes through them."""

    def __init__(
        self, data: "SpikeDataset | AbstractStream", batch_size: int, key: Array, mesh: Mesh | None, loss: AbstractLoss
    ):
        self.streamed = isinstance(data, AbstractStream)
        self.examples = len(data)
        self._data = data if isinstance(data, AbstractStream) else spread(mesh, with_room(data, batch_size))
        self._size, self._key, self._mesh, self._loss = batch_size, key, mesh, loss
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
                f"fit: the stream has chunks of {sizes} examples, but {self.examples} in all; expected the same."
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
            raise DataError(f"fit: chunk {number} of the stream {came}, but was said to have {size} examples.")
        self._loss.check_targets(np.asarray(data.targets), data.num_classes)
        full = filled(data, most)
        kind = (jax.tree.structure(full), [(x.shape, x.dtype) for x in jax.tree.leaves(full)])
        self._kind = self._kind or kind
        if kind != self._kind:
            raise DataError(
                f"fit: chunk {number} of the stream has another layout, shape or class list than the first; give all the same"
                " layout: 'bits', 'counts' or 'floats' (lists and events are as long as the longest needs)."
            )
        return full
