import os
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key, PyTree

from snnx._errors import CheckpointError, ShapeError, describe
from snnx._readers import read_key
from snnx.cells import Keep
from snnx.data import SpikeDataset, fingerprint
from snnx.losses import AbstractLoss
from snnx.parameters import member, members
from snnx.parameters import trainable as trainable_by_default
from snnx.simulation import chunk_size
from snnx.train._callbacks import AbstractCallback, check_callbacks
from snnx.train._check import check_task
from snnx.train._checkpoint import check_resume, load_checkpoint, read_meta
from snnx.train._devices import AXIS, Devices, divided, mesh_of, spread
from snnx.train._ensemble_epochs import EnsembleEpochs
from snnx.train._ensemble_program import EnsemblePlan, Members, solver_of
from snnx.train._program import SOLVER, Fixed, Moving, Plan, Schedule
from snnx.train._programs import Compilation
from snnx.train._progress import Progress, duration
from snnx.train._state import EnsembleState, Totals, TrainState, alike, copied


class EnsembleResult(eqx.Module):
    """What `fit_ensemble` returns.

    - `models`: the stack, in inference mode; with validation each member as it was after its best epoch, else its last.
        `snnx.parameters.member(result.models, i)` is one of them.
    - `best`: the member with the lowest loss: of validation at its best epoch, else of the last epoch.
    - `history`: a dict per epoch: `loss`, `accuracy`, those of the validation, a list of `[members]` each.
    - `best_epoch`: of each member, from 1 on.
    - `failed`: of each member the step, over all epochs, that was not finite and from which on it stood still; -1 if none.
    - `state`: what a checkpoint holds; its arrays are stacked.
    - `compilation`, `seconds`, `settings`: as of `FitResult`.
    """

    models: PyTree
    best: int
    history: tuple[dict[str, Any], ...]
    best_epoch: tuple[int, ...]
    failed: tuple[int, ...]
    state: EnsembleState
    compilation: Compilation
    seconds: float
    settings: dict[str, Any]

    @property
    def compile_seconds(self) -> float:
        """What compiling alone took: 0 where the programs were found."""
        return self.compilation.compile

    def __repr__(self) -> str:
        """One line: what a notebook shows of it."""
        count, failed = len(self.failed), sum(step >= 0 for step in self.failed)
        gone = f", {failed} of them not finite" if failed else ""
        return f"EnsembleResult of {count} members{gone}, the best {self.best}; in {duration(self.seconds)}"

    __str__ = __repr__


def fit_ensemble(
    models: PyTree,
    data: SpikeDataset,
    *,
    loss: AbstractLoss,
    optimizer: "optax.GradientTransformation | Callable[[Any], optax.GradientTransformation] | Any",
    epochs: int,
    key: Key[Array, ""],
    sweep: PyTree = None,
    batch_size: int | None = None,
    validation: SpikeDataset | None = None,
    trainable: Callable[[PyTree], PyTree] = trainable_by_default,
    callbacks: Sequence[AbstractCallback] = (),
    chunk: int | None = None,
    keep: Keep | None = None,
    truncate: int | None = None,
    resume: "str | os.PathLike | EnsembleResult | None" = None,
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

    All members see the same batches, in the same order, so that they differ by what is meant to differ. A member whose
    loss or update is not finite stands still from that step on, and the others go on.

    **Arguments:** as for `fit`, and:
    - `models`: a stack, as `init_ensemble` makes it. What is to differ and not to be trained stands in a `Frozen`.
    - `optimizer`: one for all; or, with `sweep`, a function from an entry of it to an optimiser: `optax.adam`, or
        `lambda h: optax.adamw(h["rate"], weight_decay=h["decay"])`.
    - `sweep`: an array `[members, ...]`, or a PyTree of such.
    - `data`, `validation`: data sets; streams are not taken.
    - `resume`: the path of a checkpoint, or an `EnsembleResult`. Checkpoints are written between epochs.
    - `devices`: among which the members are divided, as many of them as divide their number.

    **Returns:** an `EnsembleResult`.

    **Raises:** as `fit`; `ShapeError` for models that are no stack, and a sweep of another length. A member that is not
    finite raises nothing: `result.failed` has it.
    """
    begin = time.perf_counter()
    read_key("fit_ensemble", "key", key)
    check_callbacks("fit_ensemble", callbacks)
    count = members(models)
    _check_sweep(sweep, optimizer, count)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"fit_ensemble: epochs is {epochs!r}, expected a whole number >= 1.")
    size = min(128, len(data) if isinstance(data, SpikeDataset) else 128) if batch_size is None else batch_size
    for name, given in (("fit_ensemble", data), ("fit_ensemble, validation", validation)):
        if given is not None:
            check_task(name, member(models, 0), given, loss, size)
    if size > len(data):
        raise ValueError(f"fit_ensemble: batch_size is {size}, but the data set has {len(data)} examples.")
    models = eqx.nn.inference_mode(models, value=False)
    params, rest, static = _partition(models, trainable)
    loss_arrays, loss_static = eqx.partition(loss, eqx.is_array)
    steps = -(-len(data) // size)
    settings = {
        "epochs": epochs,
        "members": count,
        "batch_size": size,
        "examples": len(data),
        "validation": 0 if validation is None else len(validation),
        "data": fingerprint(data),
        "loss": " ".join(repr(loss).split()),
        "truncate": truncate,
        "sweep": jax.tree.map(lambda x: np.asarray(x).tolist(), sweep),
    }
    mesh = _mesh(devices, count)
    schedule = Schedule(
        chunk_size(member(models, 0), data.num_steps, chunk, truncate, size, "fit_ensemble"), keep, truncate
    )
    one = Plan(static, loss_static, (), None, size, schedule, None, False)
    plan = EnsemblePlan(one, optimizer, sweep is not None, mesh)
    opt_state = eqx.filter_vmap(
        lambda params, entry: solver_of(optimizer, plan.swept, entry).init(params, key=jax.random.fold_in(key, SOLVER))
    )(params, sweep)
    fresh = _fresh(models, opt_state, key, count, validation)
    state, history = _resumed(resume, fresh, settings)
    params, rest, _ = _partition(state.train.model, trainable)
    run = EnsembleEpochs(
        plan,
        divided(mesh, copied(_moving(state, params, count))),
        divided(mesh, Members(rest, sweep)),
        spread(mesh, Fixed(None, loss_arrays, (), None, key)),
        data,
        validation,
        state,
        history,
        settings,
        callbacks,
    )
    run.tell("before")
    run.compile()
    with Progress(progress, epochs, steps, len(data) * count, run.epoch * steps) as bar:
        bar.compiled(run.compilation)
        run.run(bar)
    run.tell("after")
    final = run.snapshot()
    best_epoch, best = _best(history, count)
    return EnsembleResult(
        models=eqx.nn.inference_mode(final.train.model if final.train.best is None else final.train.best),
        best=best,
        history=tuple(history),
        best_epoch=best_epoch,
        failed=tuple(np.asarray(final.failed).tolist()),
        state=final,
        compilation=run.compilation,
        seconds=time.perf_counter() - begin,
        settings=settings,
    )


def _best(history: list[dict[str, Any]], count: int) -> tuple[tuple[int, ...], int]:
    """Each member's best epoch, and the best member."""
    if not history:
        return (0,) * count, 0
    if "validation_loss" not in history[-1]:
        last = np.asarray(history[-1]["loss"])
        return (len(history),) * count, int(np.argmin(np.where(np.isfinite(last), last, np.inf)))
    losses = np.asarray([record["validation_loss"] for record in history])
    losses = np.where(np.isfinite(losses), losses, np.inf)
    return tuple(history[-1]["best_epoch"]), int(np.argmin(losses.min(axis=0)))


def _partition(models: PyTree, trainable: Callable[[PyTree], PyTree]) -> tuple[PyTree, PyTree, PyTree]:
    params, fixed = eqx.partition(models, trainable(models))
    if not jax.tree.leaves(params):
        raise ValueError(
            "fit_ensemble: there is nothing to train; the models have no array of floats that `trainable` lets through."
        )
    return params, *eqx.partition(fixed, eqx.is_array)


def _fresh(models: PyTree, opt_state: PyTree, key: Array, count: int, validation: Any) -> EnsembleState:
    zero = jnp.zeros((), jnp.int32)
    best = None if validation is None else models
    train = TrainState(models, opt_state, key, zero, zero, Totals.zero(), best)
    return EnsembleState(train, jnp.full(count, -1, jnp.int32))


def _moving(state: EnsembleState, params: PyTree, count: int) -> Moving:
    zeros = jnp.zeros(count)
    position = jnp.zeros(count, jnp.int32)
    return Moving(params, state.train.opt_state, position, Totals(zeros, zeros, zeros), state.failed)


def _resumed(resume: Any, fresh: EnsembleState, settings: dict[str, Any]) -> tuple[EnsembleState, list[dict[str, Any]]]:
    """The state to start from, and the figures of the epochs behind it."""
    if resume is None:
        return fresh, []
    if isinstance(resume, EnsembleResult):
        meta = {"settings": resume.settings, "history": resume.history}
    else:
        check_resume("fit_ensemble", resume, "an EnsembleResult")
        meta = read_meta(resume)
    before = meta.get("settings", {})
    for name in ("members", "batch_size", "examples", "validation", "data", "loss", "truncate", "sweep"):
        if before.get(name) != settings[name]:
            raise CheckpointError(
                f"fit_ensemble: resume was made with {name}={before.get(name)}, but this call has {name}={settings[name]};"
                " pass the arguments of that run."
            )
    state = resume.state if isinstance(resume, EnsembleResult) else load_checkpoint(resume, fresh)
    if not alike(state, fresh):
        raise CheckpointError(
            "fit_ensemble: resume is the result of other models, optimizer or validation; pass the same."
        )
    if not jnp.array_equal(jax.random.key_data(state.train.key), jax.random.key_data(fresh.train.key)):
        raise CheckpointError("fit_ensemble: resume was made with another key; pass the key of that run.")
    return state, list(meta["history"])


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


def _mesh(devices: Devices | None, count: int) -> Mesh | None:
    """The devices in a row: as many as divide the number of members."""
    mesh = mesh_of("fit_ensemble", devices)
    if mesh is None:
        return None
    most = max(n for n in range(1, mesh.size + 1) if count % n == 0)
    return mesh if most == mesh.size else (Mesh(mesh.devices[:most], (AXIS,)) if most > 1 else None)
