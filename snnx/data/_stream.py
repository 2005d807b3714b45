"""Data larger than the memory of the device: chunks that are there one after the other."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from snnx._checks import checked
from snnx._errors import DataError, describe, missing_extra
from snnx._memory import to_device
from snnx._typing import Count, Natural
from snnx.data._dataset import SpikeDataset
from snnx.inputs import EventTable


class AbstractStream(abc.ABC):
    """A data set in chunks, for `fit` and `evaluate`: the next is loaded while the present one is trained on.

    Your own says how many examples each chunk has, and gives the chunks of an epoch in an order that follows from a seed,
    from any chunk on, so that a stopped run continues where it was. All chunks have the same layout, and arrays of the same
    shape but for the number of examples.
    """

    @property
    @abc.abstractmethod
    def like(self) -> SpikeDataset:
        """A few examples: their shapes, classes and time step are those of all."""

    @abc.abstractmethod
    def sizes(self, seed: int | None) -> list[int]:
        """How many examples each chunk of an epoch has."""

    @abc.abstractmethod
    def chunks(self, seed: int | None, first: int) -> Iterator[SpikeDataset]:
        """The chunks of an epoch from number `first` on, shuffled by the seed; in order where it is None."""

    def __len__(self) -> int:
        return sum(self.sizes(None))


class SplitStream(AbstractStream):
    """A data set in the memory of the host, cut into chunks; each epoch other examples come together."""

    def __init__(self, data: SpikeDataset, chunk: int):
        self._data, self._chunk = data, chunk
        self._host = jax.tree.map(np.asarray, data)  # on a CPU the same memory
        self._most_events = 0
        if isinstance(data.inputs, EventTable):  # of any `chunk` examples
            self._most_events = int(np.sort(np.diff(np.asarray(data.inputs.starts)))[-chunk:].sum())

    @property
    def like(self) -> SpikeDataset:
        return self._data.subset([0])

    def sizes(self, seed: int | None) -> list[int]:
        count = len(self._data)
        return [min(self._chunk, count - first) for first in range(0, count, self._chunk)]

    def chunks(self, seed: int | None, first: int) -> Iterator[SpikeDataset]:
        count = len(self._data)
        order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
        for start in range(first * self._chunk, count, self._chunk):
            yield self._rows(order[start : start + self._chunk])

    def _rows(self, chosen: np.ndarray) -> SpikeDataset:
        host = self._host
        if not isinstance(host.inputs, EventTable):
            return jax.tree.map(lambda x: to_device(x[chosen]), host)
        others = (host.targets, host.mask, host.meta)
        targets, mask, meta = jax.tree.map(lambda x: to_device(x[chosen]), others)
        inputs = host.inputs.subset(chosen, padded_to=self._most_events)
        return dataclasses.replace(self._data, inputs=inputs, targets=targets, mask=mask, meta=meta)


class LoadedStream(AbstractStream):
    """Chunks that a function loads, in another order each epoch."""

    def __init__(self, load: Callable[[int], SpikeDataset], sizes: Sequence[int]):
        self._load, self._sizes = load, list(sizes)
        self._like = self._checked(0).subset([0])

    @property
    def like(self) -> SpikeDataset:
        return self._like

    def sizes(self, seed: int | None) -> list[int]:
        return [self._sizes[number] for number in self._order(seed)]

    def chunks(self, seed: int | None, first: int) -> Iterator[SpikeDataset]:
        return (self._checked(number) for number in self._order(seed)[first:])

    def _order(self, seed: int | None) -> list[int]:
        count = len(self._sizes)
        return list(range(count)) if seed is None else np.random.default_rng(seed).permutation(count).tolist()

    def _checked(self, number: int) -> SpikeDataset:
        data = self._load(number)
        if not isinstance(data, SpikeDataset):
            raise TypeError(f"stream_chunks: load({number}) returned {describe(data)}; expected a SpikeDataset.")
        if len(data) != self._sizes[number]:
            raise DataError(
                f"stream_chunks: load({number}) returned {len(data)} examples, but sizes[{number}] is"
                f" {self._sizes[number]}."
            )
        return data


class GrainStream(AbstractStream):
    """Examples of a `grain.MapDataset`, brought together to chunks, by several processes if need be."""

    def __init__(self, source: Any, collate: Callable[[list], SpikeDataset], chunk: int, workers: int):
        self._source, self._collate, self._chunk, self._workers = source, collate, chunk, workers
        self._like = collate([source[0]])

    @property
    def like(self) -> SpikeDataset:
        return self._like

    def sizes(self, seed: int | None) -> list[int]:
        count = len(self._source)
        return [min(self._chunk, count - first) for first in range(0, count, self._chunk)]

    def chunks(self, seed: int | None, first: int) -> Iterator[SpikeDataset]:
        import grain

        source = self._source if seed is None else self._source.shuffle(seed=seed)
        batches = source.batch(self._chunk, batch_fn=list).slice(slice(first, None)).to_iter_dataset()
        if self._workers:
            from absl import flags

            # grain's processes ask for flags, which nobody but an absl program has parsed.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers))
        return (self._collate(examples) for examples in batches)


@checked
def stream(data: SpikeDataset, chunk: Count) -> AbstractStream:
    """A data set that stays in the memory of the host, and is trained on chunk by chunk.

    Each epoch all examples are shuffled anew, over all chunks, and within each. Two chunks at a time are on the device. To
    read a data set into the host's memory where there is a GPU:

    ```python
    with jax.default_device(jax.devices("cpu")[0]):
        data = snnx.data.ssc("data")
    result = snnx.fit(model, snnx.data.stream(data, 8192), ...)
    ```

    **Arguments:** `chunk`: examples that are on the device together; a multiple of the batch size leaves no short batches
    but at the end.
    """
    return SplitStream(data, min(chunk, len(data)))


@checked
def stream_chunks(load: Callable[[int], SpikeDataset], sizes: Sequence[Count]) -> AbstractStream:
    """Chunks from wherever a function finds them: files, a database, a generator.

    Chunks come in another order each epoch, and examples in another order within each.

    ```python
    data = snnx.data.stream_chunks(lambda i: read(f"part-{i}.npz"), sizes=[4096, 4096, 1808])
    ```

    **Arguments:** `load`: gives chunk number `i`, always the same; it is called from another thread. `sizes`: how many
    examples each chunk has. **Raises:** `snnx.DataError` when a chunk has another number of examples.
    """
    if not sizes:
        raise ValueError("stream_chunks: sizes is empty; expected the number of examples of each chunk.")
    return LoadedStream(load, sizes)


@checked
def stream_grain(
    source: Any, collate: Callable[[list], SpikeDataset], *, chunk: Count, workers: Natural = 0
) -> AbstractStream:
    """Examples of a `grain.MapDataset`: for sources that need processes of their own to be read.

    ```python
    source = grain.MapDataset.source(recordings).map(decode)
    data = snnx.data.stream_grain(source, collate, chunk=4096, workers=4)
    ```

    **Arguments:** `collate`: from a list of the source's examples to a data set, always of the same layout; `chunk`:
    examples of a chunk; `workers`: processes that load, or 0 for none.
    **Raises:** `snnx.MissingExtraError` without grain.
    """
    try:
        import grain
    except ImportError as error:
        missing_extra("snnx.data.stream_grain", "grain", "stream", error)
    if not isinstance(source, grain.MapDataset):
        raise TypeError(f"stream_grain: source is {describe(source)}; expected a grain.MapDataset.")
    return GrainStream(source, collate, min(chunk, len(source)), workers)


def filled(data: SpikeDataset, count: int) -> SpikeDataset:
    """A chunk filled up to `count` examples: what is behind the last stands for none, and is never counted."""
    if len(data) == count:
        return data
    rows = np.minimum(np.arange(count), len(data) - 1)
    if not isinstance(data.inputs, EventTable):
        return data.take(jnp.asarray(rows))
    targets, mask, meta = jax.tree.map(lambda x: x[rows], (data.targets, data.mask, data.meta))
    return dataclasses.replace(data, inputs=data.inputs.filled(count), targets=targets, mask=mask, meta=meta)
