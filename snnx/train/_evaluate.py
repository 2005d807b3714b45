import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key, PyTree

from snnx._readers import read_key
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss, CrossEntropy
from snnx.metrics import confusion_matrix
from snnx.reductions import Mean
from snnx.train._check import check_task
from snnx.train._chunks import with_room
from snnx.train._devices import Devices, mesh_of, spread
from snnx.train._program import Scores, score_program
from snnx.train._programs import Compilation, Program

ROUNDED = 8  # sets smaller than a batch are filled up to a multiple of this, so that nearly equal ones share a program


class Evaluation(eqx.Module):
    """How a model does on a data set, every example scored once.

    **Fields:** `loss`: the mean; `accuracy`: share of right answers, None for regression; `examples`: their number;
    `spike_rates`: spikes per neuron and step, by the path of the part; `predictions`: `int[n]`; `confusion`:
    `int[classes, classes]`, rows are the true classes; `losses`: `float[n]`; `seconds`: how long it took.
    """

    loss: float
    accuracy: float | None
    examples: int
    spike_rates: dict[str, float]
    predictions: np.ndarray | None
    confusion: np.ndarray | None
    losses: np.ndarray
    seconds: float

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f"accuracy {100 * self.accuracy:.2f} %, "
        rates = ", ".join(f"{path or 'model'}: {rate:.3f}" for path, rate in self.spike_rates.items())
        spikes = f"; spikes per neuron and step: {rates}" if rates else ""
        return f"{accuracy}loss {self.loss:.4f} on {self.examples} examples{spikes}"


def evaluate(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    *,
    loss: AbstractLoss | None = None,
    batch_size: int = 256,
    key: Key[Array, ""] | None = None,
    chunk: int | None = None,
    devices: Devices | None = None,
) -> Evaluation:
    """Score a model on every example of a data set, each exactly once, in inference mode.

    ```python
    print(snnx.evaluate(result.model, test))
    ```

    **Arguments:**
    - `model`: any cell.
    - `data`: a `SpikeDataset`, or a stream (`snnx.data.stream`), which is gone through in order.
    - `loss`: as in training; by default `CrossEntropy(Mean())`. Its readout also says which class is the likeliest.
    - `batch_size`: how many examples at once; the last batch is padded, and its padding not counted.
    - `key`: for models that are random in inference mode too (a `StochasticEscape`); by default `jax.random.key(0)`.
    - `chunk`: as in `simulate`.
    - `devices`: as in `fit`.

    **Raises:** `ShapeError` if the model does not fit the data; `ValueError` for labels outside its outputs.
    """
    loss = CrossEntropy(Mean()) if loss is None else loss
    key = jax.random.key(0) if key is None else key
    read_key("evaluate", "key", key)
    check_task("evaluate", model, data.like if isinstance(data, AbstractStream) else data, loss, batch_size)
    return Scoring(loss, batch_size, key, chunk, mesh_of("evaluate", devices))(model, data)


class Scoring:
    """`evaluate` without its checks, for models of one structure: of several epochs, say, by one program."""

    def __init__(self, loss: AbstractLoss, batch_size: int, key: Key[Array, ""], chunk: int | None, mesh: Mesh | None):
        self._loss, self._batch_size, self._key, self._chunk, self._mesh = loss, batch_size, key, chunk, mesh
        self._programs: dict[int, Program] = {}
        self._last: tuple[SpikeDataset, SpikeDataset] | None = None  # a data set, and itself with room

    def __call__(self, model: PyTree, data: SpikeDataset | AbstractStream) -> Evaluation:
        """The scores of a model."""
        start = time.perf_counter()
        parts = data.chunks(None, 0) if isinstance(data, AbstractStream) else [data]
        found = [(np.asarray(part.targets), self._scores(model, part)) for part in parts]
        if isinstance(data, AbstractStream):  # of which no chunk stays behind
            self._last = None
        targets = np.concatenate([own for own, _ in found])
        scores = jax.tree.map(lambda *values: np.concatenate(values), *(own for _, own in found))
        classes = (data.like if isinstance(data, AbstractStream) else data).num_classes
        predictions = accuracy = confusion = None
        if scores.predictions is not None and classes is not None:
            predictions = scores.predictions
            accuracy = float(np.mean(predictions == targets))
            confusion = np.asarray(confusion_matrix(jnp.asarray(targets), jnp.asarray(predictions), classes))
        return Evaluation(
            loss=float(scores.losses.mean(dtype=np.float64)),
            accuracy=accuracy,
            examples=len(data),
            spike_rates={path: float(rate.mean(dtype=np.float64)) for path, rate in scores.rates.items()},
            predictions=predictions,
            confusion=confusion,
            losses=scores.losses,
            seconds=time.perf_counter() - start,
        )

    @property
    def compilation(self) -> Compilation:
        """What its programs have taken so far."""
        return sum((program.compilation for program in self._programs.values()), Compilation())

    def _scores(self, model: PyTree, data: SpikeDataset) -> Scores:
        """The scores of every example, on the host."""
        arrays, static = eqx.partition(eqx.nn.inference_mode(model), eqx.is_array)
        loss_arrays, loss_static = eqx.partition(self._loss, eqx.is_array)
        size = min(self._batch_size, -(-len(data) // ROUNDED) * ROUNDED)
        if size not in self._programs:
            self._programs[size] = score_program(static, loss_static, size, self._chunk, self._mesh)
        if self._last is None or self._last[0] is not data:
            self._last = (data, spread(self._mesh, with_room(data, size)))
        given = (*spread(self._mesh, (arrays, loss_arrays)), self._last[1], spread(self._mesh, self._key))
        return jax.tree.map(lambda x: np.asarray(x)[: len(data)], self._programs[size](*given))
