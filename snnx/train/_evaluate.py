import time

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Key, PyTree

from snnx._errors import ShapeError, check_key
from snnx._intern import Static
from snnx.cells import AbstractCell, walk
from snnx.data import SpikeDataset
from snnx.losses import AbstractLoss, CrossEntropy
from snnx.metrics import confusion_matrix
from snnx.reductions import Mean
from snnx.simulation import simulate
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

    **Raises:** `ShapeError` if the model does not fit the data; `ValueError` for labels outside its outputs.
    """
    loss = CrossEntropy(Mean()) if loss is None else loss
    key = jax.random.key(0) if key is None else key
    check_key("evaluate", key)
    check_task("evaluate", model, data, loss, batch_size)
    return score(model, data, loss, batch_size, key, chunk)


def score(
    model: PyTree, data: SpikeDataset, loss: AbstractLoss, batch_size: int, key: Key[Array, ""], chunk: int | None
) -> Evaluation:
    """`evaluate` without its checks, which cost more than scoring a small data set does."""
    start = time.perf_counter()
    arrays, static = eqx.partition(eqx.nn.inference_mode(model), eqx.is_array)
    loss_arrays, loss_static = eqx.partition(loss, eqx.is_array)
    found = score_examples(
        Static(static),
        Static(loss_static),
        min(batch_size, len(data)),
        Schedule(chunk, "all", None),
        arrays,
        loss_arrays,
        data,
        key,
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


def check_task(where: str, model: PyTree, data: SpikeDataset, loss: AbstractLoss, batch_size: int) -> None:
    """Refuse what does not fit together, before anything is compiled: model and data, loss and targets."""
    if not isinstance(data, SpikeDataset):
        raise TypeError(
            f"{where}: data is {type(data).__name__}; expected a SpikeDataset, e.g. snnx.data.from_spikes(...)."
        )
    if not isinstance(loss, AbstractLoss):
        raise TypeError(f"{where}: loss is {loss!r}; expected an object such as snnx.CrossEntropy(snnx.Mean()).")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"{where}: batch_size is {batch_size!r}, expected a whole number >= 1.")
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((model, data))):
        raise TypeError(
            f"{where}: runs a compiled program of its own and cannot be transformed; loop over the models, or transform"
            " snnx.simulate."
        )
    for path, part in walk(model):
        dt = getattr(part, "dt", data.dt) if isinstance(part, AbstractCell) else data.dt
        if dt != data.dt:
            raise ValueError(
                f"{where}: data has dt={data.dt:g}, but part {path or 'model'} ({type(part).__name__}) has dt={dt:g};"
                f" give the neurons the time step of the data (snnx.with_dt(model, {data.dt:g}), their time constants"
                f" being in its unit), or the data that of the neurons (data.with_dt({dt:g}))."
            )
    outputs = _output_shape(model, data)
    if data.num_classes is not None and outputs != (data.num_classes,):
        raise ShapeError(
            f"{where}: one step of the model's output has shape {outputs}, but the data set has {data.num_classes}"
            " classes; expected one output a class."
        )
    loss.check_targets(np.asarray(data.targets), data.num_classes)


def _output_shape(model: PyTree, data: SpikeDataset) -> tuple[int, ...]:
    """The shape of one step of the model's output for one example of the data."""

    def one(inputs: PyTree, key: Array) -> Array:
        return simulate(eqx.nn.inference_mode(model), inputs, key=key)[0]

    example = jax.eval_shape(lambda d: jax.tree.map(lambda x: x[0], d), data)
    ys = jax.eval_shape(one, example.inputs, jax.eval_shape(lambda: jax.random.key(0)))
    return tuple(ys.shape[1:])
