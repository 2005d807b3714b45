import jax
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._typing import Count
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss, CrossEntropy
from snnx.reductions import Mean
from snnx.train._devices import Devices, mesh_of
from snnx.train._results import Evaluation
from snnx.train._scoring import Scoring
from snnx.train._task import check_task, like_of


@checked
def evaluate(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    *,
    loss: AbstractLoss | None = None,
    batch_size: Count = 256,
    key: Key[Array, ""] | None = None,
    chunk: Count | None = None,
    devices: Devices | None = None,
    progress: bool = False,
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
    - `progress`: whether to show how far it is.

    **Raises:** `ShapeError` if the model does not fit the data; `ValueError` for labels outside its outputs.
    """
    loss = CrossEntropy(Mean()) if loss is None else loss
    key = jax.random.key(0) if key is None else key
    check_task("evaluate", model, like_of(data), loss)
    return Scoring(loss, batch_size, key, chunk, mesh_of("evaluate", devices))(model, data, progress)
