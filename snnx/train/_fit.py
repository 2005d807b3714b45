import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from snnx._errors import CheckpointError, describe
from snnx._readers import read_key
from snnx.augment import AbstractAugmentation, AbstractMixing
from snnx.cells import AbstractCell, Keep
from snnx.data import AbstractStream, SpikeDataset, fingerprint
from snnx.losses import AbstractLoss
from snnx.parameters import trainable as trainable_by_default
from snnx.simulation import chunk_size
from snnx.solvers import AbstractSolver, Gradient, as_solver
from snnx.surrogates import AbstractSurrogate
from snnx.train._augment import check_augment
from snnx.train._callbacks import AbstractCallback, check_callbacks
from snnx.train._check import check_task
from snnx.train._checkpoint import load_checkpoint, read_meta
from snnx.train._chunks import Chunks
from snnx.train._devices import Devices, mesh_of, spread
from snnx.train._epochs import Epochs
from snnx.train._evaluate import Evaluation, Scoring
from snnx.train._program import SOLVER, Fixed, Moving, Plan, Schedule, first_state
from snnx.train._programs import Compilation
from snnx.train._progress import Progress, duration, sentence
from snnx.train._state import Totals, TrainState, alike, copied


class FitResult(eqx.Module):
    """What `fit` returns.

    - `model`: in inference mode; with validation the model of the best epoch, else that of the last.
    - `state`: everything of the last step, and what a checkpoint holds; `fit(..., resume=result)` goes on from it.
    - `history`: a dict per epoch: loss, accuracy, those of the validation, samples per second, ...
    - `best_epoch`: whose model `model` is (from 1 on).
    - `compilation`: the seconds that tracing, lowering, looking up and compiling took.
    - `seconds`: what everything took.
    - `settings`: what a resumed run has to agree with.
    """

    model: PyTree
    state: TrainState
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    compilation: Compilation
    seconds: float
    settings: dict[str, Any]

    @property
    def compile_seconds(self) -> float:
        """What compiling alone took: 0 where the programs were found."""
        return self.compilation.compile

    def __repr__(self) -> str:
        """One line: what a notebook shows of it."""
        last = f": {sentence(self.history[-1])}" if self.history else ""
        return f"FitResult of {len(self.history)} epochs, the best {self.best_epoch}{last}; in {duration(self.seconds)}"

    __str__ = __repr__


def fit(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    *,
    loss: AbstractLoss,
    optimizer: "optax.GradientTransformation | AbstractSolver | Any",
    epochs: int,
    key: Key[Array, ""],
    batch_size: int | None = None,
    validation: SpikeDataset | AbstractStream | None = None,
    augment: Sequence[AbstractAugmentation | AbstractMixing] = (),
    trainable: Callable[[PyTree], PyTree] = trainable_by_default,
    callbacks: Sequence[AbstractCallback] = (),
    chunk: int | None = None,
    keep: Keep | None = None,
    truncate: int | None = None,
    resume: "str | os.PathLike | FitResult | None" = None,
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
    _check_kinds(key, callbacks, trainable)
    solver = as_solver("fit", "optimizer", optimizer)
    known = isinstance(data, SpikeDataset | AbstractStream)
    size = min(128, len(data) if known else 128) if batch_size is None else batch_size
    like = data.like if isinstance(data, AbstractStream) else data
    _check(model, data, like, loss, epochs, size, validation)
    check_augment(augment, like)
    settings = {
        "epochs": epochs,
        "batch_size": size,
        "examples": len(data),
        "validation": 0 if validation is None else len(validation),
        "data": fingerprint(like),
        "augment": " ".join(repr(list(augment)).split()),
        "loss": " ".join(repr(loss).split()),
        "truncate": truncate,
        "solver": solver.name,
    }
    state, history, starting = _initial_state(model, solver, trainable, key, validation, resume, settings)
    params, rest, static = _partition(state.model, trainable, solver)
    loss_arrays, loss_static = eqx.partition(loss, eqx.is_array)
    augment_arrays, augment_static = eqx.partition(tuple(augment), eqx.is_array)
    solver_arrays, solver_static = eqx.partition(solver, eqx.is_array)
    schedule = Schedule(chunk_size(model, like.num_steps, chunk, truncate, size, "fit"), keep, truncate)
    mesh = mesh_of("fit", devices)
    if isinstance(validation, SpikeDataset):
        validation = spread(mesh, validation)

    scoring = Scoring(loss, size, jax.random.key(0), chunk, mesh)

    def validate(model: PyTree) -> Evaluation | None:
        return None if validation is None else scoring(model, validation)

    chunks = Chunks(data, size, state.key, mesh, loss)
    run = Epochs(
        Plan(static, loss_static, augment_static, solver_static, size, schedule, mesh, chunks.streamed),
        spread(mesh, Fixed(rest, loss_arrays, augment_arrays, solver_arrays, state.key)),
        spread(mesh, copied(Moving(params, state.opt_state, state.position, state.totals, jnp.asarray(-1, jnp.int32)))),
        state,
        chunks,
        history=history,
        settings=settings,
        callbacks=callbacks,
        validate=validate,
    )
    run.tell("before")
    run.compile()
    done = run.epoch * run.steps + int(state.position)
    with Progress(progress, epochs, run.steps, len(data), done) as bar:
        bar.compiled(starting + run.program.compilation)
        run.run(bar)
    run.tell("after")
    final = run.snapshot()
    return FitResult(
        model=eqx.nn.inference_mode(final.model if final.best is None else final.best),
        state=final,
        history=tuple(history),
        best_epoch=history[-1]["best_epoch"] if history else 0,
        compilation=starting + run.program.compilation + scoring.compilation,
        seconds=time.perf_counter() - begin,
        settings=settings,
    )


def _check(
    model: PyTree,
    data: SpikeDataset | AbstractStream,
    like: SpikeDataset,
    loss: AbstractLoss,
    epochs: int,
    batch_size: int,
    validation: SpikeDataset | AbstractStream | None,
) -> None:
    check_task("fit", model, like, loss, batch_size)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"fit: epochs is {epochs!r}, expected a whole number >= 1.")
    if batch_size > len(data):
        raise ValueError(
            f"fit: batch_size is {batch_size}, but the data set has {len(data)} examples; take batch_size={len(data)} or"
            " less."
        )
    if validation is not None:
        if not isinstance(validation, SpikeDataset | AbstractStream):
            raise TypeError(f"fit: validation is {describe(validation)}; expected a SpikeDataset or a stream.")
        shown = validation.like if isinstance(validation, AbstractStream) else validation
        for name in ("sample_shape", "classes", "dt"):
            ours, theirs = getattr(shown, name), getattr(like, name)
            if ours != theirs:
                raise ValueError(f"fit: validation has {name} {ours}, but data has {theirs}; they must be alike.")
        check_task("fit, validation", model, shown, loss, batch_size)


def _check_kinds(key: Any, callbacks: Any, trainable: Any) -> None:
    if isinstance(trainable, AbstractCell) or not callable(trainable):
        raise TypeError(
            f"fit: trainable is {type(trainable).__name__}; expected a function from a model to a PyTree of bools, such"
            " as snnx.trainable itself."
        )
    read_key("fit", "key", key)
    check_callbacks("fit", callbacks)


def _initial_state(
    model: PyTree,
    solver: AbstractSolver,
    trainable: Callable[[PyTree], PyTree],
    key: Key[Array, ""],
    validation: SpikeDataset | AbstractStream | None,
    resume: "str | os.PathLike | FitResult | None",
    settings: dict[str, Any],
) -> tuple[TrainState, list[dict[str, Any]], Compilation]:
    """The state to start from, the figures of the epochs that are behind it, and what compiling the state took."""
    model = eqx.nn.inference_mode(model, value=False)
    params, _, _ = _partition(model, trainable, solver)
    zero = jnp.zeros((), jnp.int32)
    best = None if validation is None else model
    opt_state, compilation = first_state(solver, params, jax.random.fold_in(key, SOLVER))
    fresh = TrainState(model, opt_state, key, zero, zero, Totals.zero(), best)
    if resume is None:
        return fresh, [], compilation
    if isinstance(resume, FitResult):
        state, history = resume.state, list(resume.history)
        if not alike(state, fresh):
            raise ValueError("fit: resume is the result of another model, optimizer or validation; pass the same.")
        _check_settings(resume.settings, settings)
    else:
        meta = read_meta(resume)
        _check_settings(meta.get("settings", {}), settings)
        state, history = _load(resume, fresh), list(meta["history"])
    if int(state.epoch) > settings["epochs"]:
        raise ValueError(
            f"fit: epochs is {settings['epochs']}, but resume has {int(state.epoch)} epochs behind it; epochs counts"
            " those too."
        )
    if not jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(key)):
        raise CheckpointError("fit: resume was made with another key; pass the key of that run, to go on as it would.")
    return state, history, compilation


def _check_settings(before: dict[str, Any], settings: dict[str, Any]) -> None:
    for name in ("batch_size", "examples", "validation", "data", "loss", "augment", "truncate", "solver"):
        if name in before and before[name] != settings[name]:
            raise CheckpointError(
                f"fit: resume was made with {name}={before[name]}, but this call has {name}={settings[name]}; pass the"
                " arguments of that run, or start anew from its model (in a file: snnx.load_checkpoint(path, model,"
                " part='.model'))."
            )


def _load(path: "str | os.PathLike", like: TrainState) -> TrainState:
    """A training state from its file, the argument named that makes another."""
    try:
        return load_checkpoint(path, like)
    except CheckpointError as error:
        if ".opt_state" in str(error):
            raise CheckpointError(f"fit: resume was made with another optimizer; pass that one. ({error})") from error
        raise


def _partition(
    model: PyTree, trainable: Callable[[PyTree], PyTree], solver: AbstractSolver
) -> tuple[PyTree, PyTree, PyTree]:
    """Arrays to train, other arrays, and all that is no array."""
    spec = trainable(model)
    params, fixed = eqx.partition(model, spec)
    rest, static = eqx.partition(fixed, eqx.is_array)
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(
            "fit: there is nothing to train; the model has no array of floats that `trainable` lets through."
        )
    if not all(eqx.is_inexact_array(leaf) for leaf in leaves):
        raise TypeError("fit: trainable marks something that is no array of floats; start from snnx.trainable(model).")
    if isinstance(solver, Gradient):
        _refuse_slopes(params)
    return params, rest, static


def _refuse_slopes(params: PyTree) -> None:
    """A slope's own gradient is zero by definition: refuse to train it rather than do nothing."""
    found = jax.tree_util.tree_leaves_with_path(params, is_leaf=lambda node: isinstance(node, AbstractSurrogate))
    for path, node in found:
        if isinstance(node, AbstractSurrogate) and jax.tree.leaves(node):
            raise ValueError(
                f"fit: {jax.tree_util.keystr(path)} ({type(node).__name__}) has an array parameter, which gradient descent"
                " cannot train: its gradient through the spike is zero by definition. Give a number, or"
                " snnx.Frozen(array) to anneal it by hand."
            )
