import inspect
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from snnx._checks import checked
from snnx._errors import DtypeError, ShapeError, describe
from snnx._typing import Count
from snnx.parameters import check_params
from snnx.solvers import Evolution, as_solver
from snnx.train._callbacks import AbstractCallback
from snnx.train._devices import Devices, mesh_of
from snnx.train._generation_program import FIGURES, SearchSpec
from snnx.train._results import EvolveResult
from snnx.train._resume import resumed
from snnx.train._run import Run
from snnx.train._search import Search
from snnx.train._states import EvolveState
from snnx.train._training_program import first_state


@checked
def evolve(
    objective: Callable[[PyTree, Key[Array, ""]], Array],
    params: PyTree,
    *,
    optimizer: Any,
    generations: Count,
    key: Key[Array, ""],
    target: float | None = None,
    patience: Count | None = None,
    figures: Callable[[Any], dict[str, Array]] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
    resume: str | os.PathLike | EvolveResult | None = None,
    at_once: Count | None = None,
    devices: Devices | None = None,
    progress: bool = True,
) -> EvolveResult:
    r"""Search for the parameters of the lowest value of an objective, many generations as one compiled program.

    $$ \min_\theta f(\theta) $$

    ```python
    params, rest = snnx.partition(policy)

    def objective(params, key):  # less is better: the returns are negated
        keys = jax.random.split(key, 4)
        run = lambda key: snnx.rollout(snnx.combine(params, rest), env, length=500, key=key)
        return -jax.vmap(run)(keys).returns.mean()

    strategy = SNES(population_size=64, solution=params)             # from evosax.algorithms import SNES
    result = snnx.evolve(objective, params, optimizer=strategy, generations=25, target=-500.0, key=key)
    policy = snnx.combine(result.params, rest)
    ```

    Every call traces `objective` anew, so that whatever it reads from outside is read as it is now; a second call with things
    that are made alike finds its program and compiles nothing (docs/compilation.md).

    Every candidate of a generation is evaluated with the same key, and so are the parameters themselves, along with
    them: in generation `g` (from 1 on) with `jax.random.split(jax.random.fold_in(key, g - 1))[0]`.

    Where the objective can be differentiated (`rollout` through a differentiable environment), an optimiser of optax
    descends its gradient instead: an analytic policy gradient, each step of it a generation.

    **Arguments:**
    - `objective`: $f$, from parameters and a key to one float. It is vmapped over the candidates. Arrays that it closes over
        become arguments of the program.
    - `params`: $\theta$, where to start: arrays of floats, the first part of `partition(model)`.
    - `optimizer`: a strategy of evosax, made with `solution=params`; an `Evolution`, for its settings; or an optimiser of
        optax.
    - `generations`: how many at most, those of a resumed run included.
    - `target`: ends the run as soon as the value of `params` is this or less.
    - `patience`: ends it when the value of `params` has not improved for so many generations.
    - `figures`: from the strategy's state to a dict of further numbers for the history, e.g.
        `lambda state: {"step": state.std.mean()}`.
    - `callbacks`: `Checkpoint(path)`, `LogFile(path)`, ...: they are told every two seconds or so.
    - `resume`: the path of a checkpoint, or an `EvolveResult`: goes on where that left off, bit for bit, given the same
        key, strategy and number of devices. Whether the objective, the strategy's settings and the numbers inside an
        optimiser are the same cannot be seen; `params` are those of the run.
    - `at_once`: how many candidates are evaluated beside each other (on each device), where all of them need too much
        memory; by default all.
    - `devices`: among which the candidates are divided; by default all that a CPU has (see `use_cores`), else one.
    - `progress`: whether to show it.

    **Returns:** an `EvolveResult`.

    **Raises:** `TypeError`, `ValueError`, `ShapeError` before anything is compiled for parameters that cannot be evolved,
    a strategy of another structure, an objective that is not a single float; `MemoryError` for a strategy whose state is too
    large; `NonFiniteError` if no candidate of the first generation has a finite value, if a step leads to parameters
    that are not finite, or if a gradient is not; `CheckpointError` for a checkpoint of another run.
    """
    begin = time.perf_counter()
    solver = as_solver("evolve", "optimizer", optimizer)
    _check_params(params)
    _check_objective(objective, params, key)
    settings = {"generations": generations, "optimizer": solver.name, "target": target, "patience": patience}
    start, starting = first_state(solver, params, key)
    zero, none = jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf)
    fresh = EvolveState(params, start, key, zero, params, none, none, zero)
    state, history = resumed("evolve", resume, fresh, settings, unit="generations", free=("target", "patience"))
    names = _figure_names(figures, state.opt_state)
    population, mesh = solver.population_size if isinstance(solver, Evolution) else 0, mesh_of("evolve", devices)
    spec = SearchSpec(objective, solver, key, figures, target, patience, population, at_once, mesh)
    search = Search(spec, state, history, generations, names)
    return Run(search, settings, callbacks, shown=progress, begin=begin, starting=starting).result()


def _check_params(params: PyTree) -> None:
    check_params("evolve", params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not bool(jnp.isfinite(leaf).all()):
            raise ValueError(f"evolve: params{jax.tree_util.keystr(path)} holds values that are not finite.")


def _check_objective(objective: Callable, params: PyTree, key: Array) -> None:
    try:
        inspect.signature(objective).bind(params, key)
    except TypeError:
        raise TypeError(
            f"evolve: objective takes {inspect.signature(objective)}; expected two arguments: objective(params, key)."
        ) from None
    except ValueError:  # some callables have no signature
        pass
    found = jax.eval_shape(lambda *given: objective(*given), params, key)  # a function of our own, that no cache knows
    came = f"evolve: objective gives {describe(found)}; expected one float"
    if not hasattr(found, "shape"):
        raise TypeError(f"{came}.")
    if found.shape != ():
        raise ShapeError(f"{came}: of several episodes take the .mean().")
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise DtypeError(f"{came}: jnp.asarray(value, float).")


def _figure_names(figures: Callable[[Any], dict[str, Array]] | None, state: PyTree) -> tuple[str, ...]:
    """The names of the user's own figures."""
    if figures is None:
        return ()
    found = jax.eval_shape(lambda state: figures(getattr(state, "strategy", state)), state)
    if not isinstance(found, dict):
        raise TypeError(f"evolve: figures gives {describe(found)}; expected a dict of numbers.")
    for name, value in found.items():
        if name in (*FIGURES, "generation"):
            raise ValueError(f"evolve: figures gives {name!r}, which the history has already; take another name.")
        if getattr(value, "shape", None) != ():
            raise ShapeError(
                f"evolve: figures gives {name!r} as {describe(value)}; expected one number, e.g. its mean."
            )
    return tuple(found)
