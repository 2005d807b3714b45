"""Losses and scores of examples: of one batch, and of a whole data set by a compiled program."""

import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, PyTree

from snnx.cells import Keep, spiking_paths
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss
from snnx.metrics import confusion_matrix
from snnx.reductions import Mean
from snnx.simulation import chunk_size, simulate
from snnx.train._batches import with_room
from snnx.train._devices import divided, gathered, my_rows, on_every_device, over_members, spread
from snnx.train._programs import Compilation, Program
from snnx.train._progress import Progress
from snnx.train._results import Evaluation

BATCH_MULTIPLE = (
    8  # sets smaller than a batch are filled up to a multiple of this, so that similar sizes share a program
)
UPDATES = 20  # how often the progress of scoring a data set is shown


class Schedule(NamedTuple):
    """How `simulate` cuts time."""

    chunk: int | None
    keep: Keep | None
    truncate: int | None


def score_batch(
    model: PyTree,
    loss: AbstractLoss,
    batch: SpikeDataset,
    keys: Key[Array, "batch"],
    schedule: Schedule,
    rates_of: tuple[str, ...] = (),
    others: tuple[PyTree, Array] | None = None,
) -> tuple[Array, Array | None, dict[str, Array]]:
    """Loss, class scores and mean rates (at the paths asked for) of every example. The only vmap over examples.

    **Arguments:** `others`: targets that every example has besides its own, and the share of its own in the loss.
    """
    wanted = {path: r if isinstance(r, tuple) else (r,) for path, r in loss.taps(model).items()}
    record = {
        path: wanted.get(path, ()) + ((Mean(),) if path in rates_of else ())
        for path in dict.fromkeys((*wanted, *rates_of))
    }

    def one(example: SpikeDataset, key: Array, others: tuple[PyTree, Array] | None) -> tuple:
        reduced, _, seen = simulate(
            model,
            example.inputs,  # pyright: ignore[reportArgumentType]  # what a table gives is not a table
            key=key,
            mask=example.mask,
            readout=loss.readout,
            record=record,
            **schedule._asdict(),
        )
        asked = {
            path: seen[path][: len(given)] if isinstance(loss.taps(model)[path], tuple) else seen[path][0]
            for path, given in wanted.items()
        }
        rates = {path: jnp.mean(seen[path][-1]) for path in rates_of}
        value = loss(reduced, example.targets, record=asked)
        if others is not None:
            target, share = others
            value = share * value + (1.0 - share) * loss(reduced, target, record=asked)
        return value, loss.scores(reduced), rates

    return jax.vmap(one)(batch, keys, others)


class Scores(eqx.Module):
    """Per example: loss, the likeliest class, and the mean rate of every spiking part by its path; of a stack of models a
    row for each member, and no rates."""

    losses: Float[Array | np.ndarray, "*members n"]
    predictions: Int[Array | np.ndarray, "*members n"] | None
    rates: dict[str, Any]


class Scoring:
    """`evaluate` without its checks: for many models of one structure, by programs that are kept.

    **Arguments:** `members`: whether stacks of models are scored, whose members are divided among the devices; else each
    batch is.
    """

    def __init__(
        self,
        loss: AbstractLoss,
        batch_size: int,
        key: Key[Array, ""],
        chunk: int | None,
        mesh: Mesh | None,
        *,
        members: bool = False,
    ):
        self._loss, self._batch_size, self._key, self._chunk, self._mesh = loss, batch_size, key, chunk, mesh
        self._members, self._done = members, 0
        self._programs: dict[tuple[int, int], Program] = {}
        self._last: tuple[SpikeDataset, SpikeDataset] | None = None  # a data set, and itself with room

    def __call__(self, model: PyTree, data: SpikeDataset | AbstractStream, shown: bool = False) -> Evaluation:
        """How one model does."""
        start = time.perf_counter()
        targets, scores = self.scores(model, data, shown)
        predictions, classes, accuracy, confusion = scores.predictions, _classes(data), None, None
        if predictions is not None and classes is not None:
            accuracy = float(np.mean(predictions == targets))
            confusion = np.asarray(confusion_matrix(jnp.asarray(targets), jnp.asarray(predictions), classes))
        return Evaluation(
            loss=float(scores.losses.mean(dtype=np.float64)),
            accuracy=accuracy,
            examples=len(data),
            spike_rates={path: float(rate.mean(dtype=np.float64)) for path, rate in scores.rates.items()},
            predictions=None if predictions is None else np.asarray(predictions),
            confusion=confusion,
            losses=np.asarray(scores.losses),
            seconds=time.perf_counter() - start,
        )

    def scores(
        self, models: PyTree, data: SpikeDataset | AbstractStream, shown: bool = False
    ) -> tuple[np.ndarray, Scores]:
        """Targets and scores of every example, on the host; no predictions where there are no classes."""
        streamed = isinstance(data, AbstractStream)
        sizes = data.sizes(None) if streamed else [len(data)]
        batches = sum(-(-count // self._size(count)) for count in sizes)
        found, targets, self._done = [], [], 0
        with Progress(shown, batches, steps=1, examples=self._batch_size, unit="batch") as bar:
            for part in data.chunks(None, 0) if streamed else [data]:
                targets.append(np.asarray(part.targets))
                found.append(self._part(models, part, bar))
        if streamed:  # of which no chunk stays behind
            self._last = None
        scores = _joined(found)
        predictions = None if _classes(data) is None else scores.predictions
        return np.concatenate(targets), Scores(scores.losses, predictions, scores.rates)

    @property
    def compilation(self) -> Compilation:
        """What its programs have taken so far."""
        return sum((program.compilation for program in self._programs.values()), Compilation())

    def _size(self, count: int) -> int:
        return min(self._batch_size, -(-count // BATCH_MULTIPLE) * BATCH_MULTIPLE)

    def _part(self, models: PyTree, data: SpikeDataset, bar: Progress) -> Scores:
        """The scores of a data set: all batches at once, or some at a time, to show how far it is."""
        arrays, static = eqx.partition(eqx.nn.inference_mode(models), eqx.is_array)
        loss_arrays, loss = eqx.partition(self._loss, eqx.is_array)
        size = self._size(len(data))
        batches = -(-len(data) // size)
        at_once = -(-batches // UPDATES) if bar.shown else batches
        if (size, at_once) not in self._programs:
            self._programs[size, at_once] = self._program(static, loss, size, at_once)
        if self._last is None or self._last[0] is not data:
            self._last = (data, spread(self._mesh, with_room(data, size)))
        place = divided if self._members else spread
        given = (place(self._mesh, arrays), *spread(self._mesh, (loss_arrays, self._last[1], self._key)))
        found = []
        for first in range(0, batches, at_once):
            number = spread(self._mesh, jnp.asarray(first, jnp.int32))
            found.append(jax.tree.map(np.asarray, self._programs[size, at_once](*given, number)))
            self._done += min(at_once, batches - first)
            bar.update(self._done, 0, None)
        return jax.tree.map(lambda x: x[..., : len(data)], _joined(found))

    def _program(self, static: PyTree, loss: PyTree, size: int, batches: int) -> Program:
        """A scan over this many batches, from number `first` on; its last scores may be of padding.

        **Arguments:** `static`, `loss`: all of model and loss that is not an array.
        """
        mesh = None if self._members else self._mesh

        def run(arrays: PyTree, loss_arrays: PyTree, data: SpikeDataset, key: Array, first: Array) -> Scores:
            model, whole_loss = eqx.combine(arrays, static), eqx.combine(loss_arrays, loss)
            steps = chunk_size(model, data.num_steps, self._chunk, batch=size, where="evaluate")
            paths = () if self._members else spiking_paths(model)
            mine, _ = my_rows(mesh, size)

            def batch(number: Array, _: None) -> tuple[Array, Scores]:
                examples = data.take(jnp.minimum(number * size + mine, len(data) - 1))
                keys = jax.random.split(jax.random.fold_in(key, number), size)[mine]
                schedule = Schedule(steps, "all", None)
                losses, scores, rates = score_batch(model, whole_loss, examples, keys, schedule, paths)
                predictions = None if scores is None else jnp.argmax(scores, axis=-1)
                return number + 1, Scores(losses, predictions, rates)

            found = gathered(mesh, jax.lax.scan(batch, first, length=batches)[1], size)
            return jax.tree.map(lambda x: x.reshape(-1), found)

        if not self._members:
            return Program(on_every_device(mesh, run), mesh=mesh)
        stacked = (True, False, False, False, False)
        each = jax.vmap(run, in_axes=tuple(0 if yes else None for yes in stacked))
        return Program(over_members(self._mesh, each, stacked), mesh=self._mesh)


def _classes(data: SpikeDataset | AbstractStream) -> int | None:
    return (data.like if isinstance(data, AbstractStream) else data).num_classes


def _joined(parts: list[Scores]) -> Scores:
    return jax.tree.map(lambda *values: np.concatenate(values, axis=-1), *parts)
