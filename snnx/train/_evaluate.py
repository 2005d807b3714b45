import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key, PyTree

from snnx._errors import check_key
from snnx._intern import Static
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss, CrossEntropy
from snnx.metrics import confusion_matrix
from snnx.reductions import Mean
from snnx.simulation import chunk_size
from snnx.train._check import check_task
from snnx.train._devices import Devices, mesh_of, spread
from snnx.train._program import Schedule, Scores, score_examples


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
    check_key("evaluate", key)
    check_task("evaluate", model, data.like if isinstance(data, AbstractStream) else data, loss, batch_size)
    return score(model, data, loss, batch_size, key, chunk, mesh_of("evaluate", devices))


def score(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    loss: AbstractLoss,
    batch_size: int,
    key: Key[Array, ""],
    chunk: int | None,
    mesh: Mesh | None,
) -> Evaluation:
    """`evaluate` without its checks, which cost more than scoring a small data set does."""
    start = time.perf_counter()
    parts = data.chunks(None, 0) if isinstance(data, AbstractStream) else [data]
    found = [(np.asarray(part.targets), _scores(model, part, loss, batch_size, key, chunk, mesh)) for part in parts]
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


def _scores(
    model: PyTree,
    data: SpikeDataset,
    loss: AbstractLoss,
    batch_size: int,
    key: Key[Array, ""],
    chunk: int | None,
    mesh: Mesh | None,
) -> Scores:
    """The scores of every example, on the host."""
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
    return jax.tree.map(np.asarray, found)
