import os
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._jitted import as_jax
from snnx._typing import Count
from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.cells import Keep
from snnx.data import AbstractStream, SpikeDataset
from snnx.losses import AbstractLoss
from snnx.parameters import member, members
from snnx.parameters import trainable as trainable_by_default
from snnx.train._callbacks import AbstractCallback
from snnx.train._devices import Devices, mesh_of_members
from snnx.train._ensemble_program import Members, solver_of
from snnx.train._programs import Compilation
from snnx.train._results import EnsembleResult
from snnx.train._resume import resumed
from snnx.train._run import Run
from snnx.train._states import TrainState
from snnx.train._task import check_training, divide, schedule_of, settings_of
from snnx.train._training import EnsembleTraining, Start
from snnx.train._training_program import SOLVER, Spec


@checked
def fit_ensemble(
    models: PyTree,
    data: SpikeDataset | AbstractStream,
    *,
    loss: AbstractLoss,
    optimizer: Any,
    epochs: Count,
    key: Key[Array, ""],
    sweep: PyTree = None,
    batch_size: Count | None = None,
    validation: SpikeDataset | AbstractStream | None = None,
    augment: Sequence[AbstractAugmentation | AbstractMixing] = (),
    trainable: Callable[[PyTree], PyTree] = trainable_by_default,
    callbacks: Sequence[AbstractCallback] = (),
    chunk: Count | None = None,
    keep: Keep | None = None,
    truncate: Count | None = None,
    resume: str | os.PathLike | EnsembleResult | None = None,
    devices: Devices | None = None,
    progress: bool = True,
) -> EnsembleResult:
    """Train many models of one structure at once, in one program: seeds, learning rates, thresholds.

    ```python
    models = snnx.parameters.init_ensemble(make_model, jax.random.split(key, 32))
    rates = jnp.geomspace(1e-4, 1e-1, 32)
    result = snnx.fit_ensemble(models, train, loss=snnx.CrossEntropy(snnx.Mean()), optimizer=optax.adam, sweep=rates,
                               epochs=10, validation=valid, key=key)
    best = snnx.parameters.member(result.models, result.best)
    ```

    All members see the same batches, in the same order and augmented alike, so that they differ by what is meant to differ.
    A member whose loss or update is not finite stands still from that step on, and the others go on.

    **Arguments:** as for `fit`, and:
    - `models`: a stack, as `init_ensemble` makes it. What is to differ and not to be trained stands in a `Frozen`.
    - `optimizer`: one for all; or, with `sweep`, a function from an entry of it to an optimiser: `optax.adam`, or
        `lambda h: optax.adamw(h["rate"], weight_decay=h["decay"])`.
    - `sweep`: an array `[members, ...]`, or a PyTree of such.
    - `resume`: the path of a checkpoint, or an `EnsembleResult`.
    - `devices`: among which the members are divided, as many of them as divide their number.

    **Returns:** an `EnsembleResult`.

    **Raises:** as `fit`; `ShapeError` for models that are not a stack, and a sweep of another length. A member that is
    not finite does not raise: `result.failed` has it.
    """
    begin = time.perf_counter()
    count, sweep = members(models), as_jax(sweep)
    _check_sweep(sweep, optimizer, count)
    one = member(models, 0)
    size = check_training("fit_ensemble", one, data, loss, batch_size, validation, augment)
    schedule = schedule_of("fit_ensemble", one, data, size, chunk, keep, truncate)
    mesh = mesh_of_members("fit_ensemble", devices, count)
    solver = solver_of(optimizer, jax.tree.map(lambda x: x[0], sweep))
    settings = settings_of(
        data,
        loss,
        size,
        validation,
        augment,
        epochs=epochs,
        truncate=truncate,
        optimizer=solver.name,
        members=count,
        sweep=jax.tree.map(lambda x: np.asarray(x).tolist(), sweep),
    )
    models = eqx.nn.inference_mode(models, value=False)
    params, _ = divide("fit_ensemble", models, trainable, solver)
    opt_state = eqx.filter_vmap(
        lambda params, entry: solver_of(optimizer, entry).init(params, key=jax.random.fold_in(key, SOLVER))
    )(params, sweep)
    fresh = TrainState.fresh(models, opt_state, key, validation is not None, count)
    state, history = resumed("fit_ensemble", resume, fresh, settings, unit="epochs")
    params, rest = divide("fit_ensemble", state.model, trainable, solver)
    rest_arrays, static = eqx.partition(rest, eqx.is_array)
    spec = Spec(static, loss, tuple(augment), None, key, size, schedule, isinstance(data, AbstractStream), None)
    start = Start(state, params, history, data, validation, epochs, chunk)
    training = EnsembleTraining(spec, Members(rest_arrays, sweep), optimizer, mesh, start)
    return Run(training, settings, callbacks, shown=progress, begin=begin, starting=Compilation()).result()


def _check_sweep(sweep: PyTree, optimizer: Any, count: int) -> None:
    made = isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer)
    if sweep is not None and made:
        raise TypeError(
            f"fit_ensemble: optimizer is one for all ({type(optimizer).__name__}), but there is a sweep; pass a function from"
            " an entry of it to an optimiser, e.g. optimizer=optax.adam."
        )
    if sweep is None and isinstance(optimizer, types.FunctionType):
        raise TypeError(
            f"fit_ensemble: optimizer is a function; pass sweep=, of whose entries it makes one optimiser each, or make it"
            f" here: {optimizer.__name__}(...)."
        )
    for leaf in jax.tree.leaves(sweep):
        if not eqx.is_array(leaf) or leaf.shape[:1] != (count,):
            raise ShapeError(
                f"fit_ensemble: sweep has {describe(leaf)}, but there are {count} models; expected an array of one entry a"
                f" model, [{count}, ...]: jnp.array([...])."
            )
