import time

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key, PyTree

from snnx._errors import check_key
from snnx._intern import Static
from snnx.data import SpikeDataset
from snnx.losses import AbstractLoss, CrossEntropy
from snnx.metrics import confusion_matrix
from snnx.reductions import Mean
from snnx.simulation import chunk_size
from snnx.train._check import check_task
from snnx.train._devices import Devices, mesh_of, spread
from snnx.train._program import Schedule, score_examples


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
    data: SpikeDataset,
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
    - `loss`: as in training; by default `CrossEntropy(Mean())`. Its readout also says which class is the likeliest.
    - `batch_size`: how many examples at once; the last batch is padded, and its padding not counted.
    - `key`: for models that are random in inference mode too (a `StochasticEscape`); by default `jax.random.key(0)`.
    - `chunk`: as in `simulate`.
    - `devices`: as in `fit`.

    **Raises:** `ShapeError` if the model does not fit the data; `ValueError` for labels outside its outputs.
    """
    loss = CrossEntropy(Mean()) if loss is None else loss
    key = jax.random.key(0) if key is None else key
    check_key("evaluate", key)
    check_task("evaluate", model, data, loss, batch_size)
    return score(model, data, loss, batch_size, key, chunk, mesh_of("evaluate", devices))


def score(
    model: PyTree,
    data: SpikeDataset,
    loss: AbstractLoss,
    batch_size: int,
    key: Key[Array, ""],
    chunk: int | None,
    mesh: Mesh | None,
) -> Evaluation:
    """`evaluate` without its checks, which cost more than scoring a small data set does."""
    start = time.perf_counter()
    arrays, static = eqx.partition(eqx.nn.inference_mode(model), eqx.is_array)
    loss_arrays, loss_static = eqx.partition(loss, eqx.is_array)
    size = min(batch_size, len(data))
    found = score_examples(
        Static(static),
        Static(loss_static),
        size,
        Schedule(chunk_size(model, data.num_steps, chunk, batch=size, where="evaluate"), "all", None),
        mesh,
        *spread(mesh, (arrays, loss_arrays, data, key)),
    )
    losses = np.asarray(found.losses)
    predictions = accuracy = confusion = None
    if found.predictions is not None and data.num_classes is not None:
        predictions = np.asarray(found.predictions)
        accuracy = float(np.mean(predictions == np.asarray(data.targets)))
        confusion = np.asarray(confusion_matrix(data.targets, found.predictions, data.num_classes))
    return Evaluation(
        loss=float(losses.mean(dtype=np.float64)),
        accuracy=accuracy,
        examples=len(data),
        spike_rates={path: float(np.asarray(rate).mean(dtype=np.float64)) for path, rate in found.rates.items()},
        predictions=predictions,
        confusion=confusion,
        losses=losses,
        seconds=time.perf_counter() - start,
    )
