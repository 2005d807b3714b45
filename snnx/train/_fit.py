import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._typing import Count
from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.cells import Keep
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss
from snnx.parameters import trainable as trainable_by_default
from snnx.solvers import as_solver
from snnx.train._callbacks import AbstractCallback
from snnx.train._devices import Devices, mesh_of
from snnx.train._results import FitResult
from snnx.train._resume import resumed
from snnx.train._run import Run
from snnx.train._states import TrainState
from snnx.train._task import check_training, divide, schedule_of, settings_of
from snnx.train._training import Start, Training
from snnx.train._training_program import Spec, first_state


@checked
def fit(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    *,
    loss: AbstractLoss,
    optimizer: Any,
    epochs: Count,
    key: Key[Array, ""],
    batch_size: Count | None = None,
    validation: SpikeDataset | AbstractStream | None = None,
    augment: Sequence[AbstractAugmentation | AbstractMixing] = (),
    trainable: Callable[[PyTree], PyTree] = trainable_by_default,
    callbacks: Sequence[AbstractCallback] = (),
    chunk: Count | None = None,
    keep: Keep | None = None,
    truncate: Count | None = None,
    resume: str | os.PathLike | FitResult | None = None,
    devices: Devices | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a model, by gradient descent or by evolution. An epoch is one compiled program over data in device memory.

    Every call traces the code of model, loss, optimiser and augmentations anew, so that whatever they read from outside is
    read as it is now; a second call with things that are made alike finds its program and compiles nothing
    (docs/compilation.md). Examples are shuffled on the device, anew each epoch; the last batch of an epoch may be
    short and then counts only its examples. Everything random follows from `key`.

    ```python
    result = snnx.fit(model, train, loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam(2e-3), epochs=30,
                      validation=valid, key=key)
    ```

    **Arguments:**
    - `model`: any cell. It is not changed.
    - `data`: a `SpikeDataset`; or a stream (`snnx.data.stream`), of which two chunks at a time are on the device.
    - `loss`: e.g. `CrossEntropy(Mean()) + 1e-3 * UpperRate(0.1)`.
    - `optimizer`: from optax; clipping, schedules and accumulation are optax's (`optax.chain`, `optax.MultiSteps`). Or a
        strategy of evosax (`Sep_CMA_ES(population_size=64, solution=snnx.partition(model)[0])`), or an `Evolution`: each
        step is then a generation on one batch, in which no gradient is taken; loss and accuracy are those of the model
        itself, which is evaluated along with the candidates.
    - `epochs`: how many in all, those of a resumed run included.
    - `batch_size`: examples per step, at most as many as there are; by default 128, or all where there are fewer.
    - `validation`: scored after every epoch; the model of the epoch with the lowest validation loss is returned.
    - `augment`: changes of the inputs, drawn anew for every example in every epoch within the compiled step, one after the
        other: `[snnx.augment.ChannelShift(20), snnx.augment.DropEvents(0.1)]`. The validation is not augmented.
    - `trainable`: from a model to a PyTree of bools: which arrays are moved; by default every array of floats that is
        not in a `Frozen`.
    - `callbacks`: `Checkpoint(path)`, `EarlyStopping(patience)`, `LogFile(path)`, ...
    - `chunk`, `keep`, `truncate`: as in `simulate`.
    - `resume`: the path of a checkpoint, or a `FitResult`: goes on where that left off, bit for bit, given the same
        key, data, loss, batch size, optimiser and number of devices (with another number but for rounding). Others are
        refused, but for what cannot be seen: numbers inside an optimiser such as its learning rate, and what a function
        of yours has closed over.
    - `devices`: among which each batch is divided, e.g. `jax.devices()`; each holds the data and the parameters whole. By
        default all that a CPU has (see `use_cores`), else the default device. They sum in another order than one alone
        does: results agree but for rounding.
    - `progress`: whether to show it.

    **Returns:** a `FitResult`.

    **Raises:** `NonFiniteError`, naming epoch and step, for a loss or update that is not finite: its `state` is the last
    good one; `ValueError`, `ShapeError`, `DtypeError` before anything is compiled for what does not fit together;
    `CheckpointError` for a checkpoint of another model or run.
    """
    begin = time.perf_counter()
    solver = as_solver("fit", "optimizer", optimizer)
    size = check_training("fit", model, data, loss, batch_size, validation, augment)
    schedule = schedule_of("fit", model, data, size, chunk, keep, truncate)
    mesh = mesh_of("fit", devices)
    settings = settings_of(
        data, loss, size, validation, augment, epochs=epochs, truncate=truncate, optimizer=solver.name
    )
    model = eqx.nn.inference_mode(model, value=False)
    params, _ = divide("fit", model, trainable, solver)
    opt_state, starting = first_state(solver, params, key)
    fresh = TrainState.fresh(model, opt_state, key, validation is not None)
    state, history = resumed("fit", resume, fresh, settings, unit="epochs")
    params, rest = divide("fit", state.model, trainable, solver)
    spec = Spec(rest, loss, tuple(augment), solver, key, size, schedule, isinstance(data, AbstractStream), mesh)
    training = Training(spec, Start(state, params, history, data, validation, epochs, chunk))
    return Run(training, settings, callbacks, shown=progress, begin=begin, starting=starting).result()
