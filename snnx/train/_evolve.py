import inspect
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from snnx._errors import CheckpointError, DtypeError, ShapeError, describe
from snnx._readers import read_key
from snnx.parameters import check_params
from snnx.solvers import Evolution, as_solver
from snnx.train._callbacks import AbstractCallback, check_callbacks
from snnx.train._checkpoint import check_resume, load_checkpoint, read_meta
from snnx.train._devices import Devices, mesh_of, spread
from snnx.train._generation_program import FIGURES, PATIENCE, RUNNING, TARGET, Fixed, Plan
from snnx.train._generations import Generations, moving_of
from snnx.train._program import SOLVER, first_state
from snnx.train._programs import Compilation
from snnx.train._progress import Progress, duration, sentence
from snnx.train._state import EvolveState, alike, copied

Goal: TypeAlias = Literal["maximize", "minimize"]
SIGNS = {"maximize": -1.0, "minimize": 1.0}


class EvolveResult(eqx.Module):
    """What `evolve` returns.

    - `params`: what was searched for, as the last generation left it: the mean of the strategy's distribution, or the best
        of its population (which a strategy may have exchanged for a worse one). It has not been evaluated yet, unless the
        target was reached: then it is what reached it.
    - `best`, `best_fitness`: the best candidate of all generations, and what it got. Where fitness is random it may owe
        that to luck.
    - `history`: a dict a generation: `generation`, from 1 on; `fitness` of `params` at its beginning; `mean`, `std` and
        `best` over its candidates; how many `failed`; and what `record` gave.
    - `outcome`: why it ended, in words.
    - `state`: everything of the last generation, and what a checkpoint holds; `evolve(..., resume=result)` goes on from it.
    - `compilation`: the seconds that tracing, lowering, looking up and compiling took.
    - `seconds`: what everything took.
    - `settings`: what a resumed run has to agree with.
    """

    params: PyTree
    best: PyTree
    best_fitness: float
    history: tuple[dict[str, Any], ...]
    outcome: str
    state: EvolveState
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
        return f"EvolveResult of {len(self.history)} generations{last}; {self.outcome}; in {duration(self.seconds)}"

    __str__ = __repr__


def evolve(
    strategy: Any,
    fitness: Callable[[PyTree, Key[Array, ""]], Array],
    params: PyTree,
    *,
    generations: int,
    key: Key[Array, ""],
    goal: Goal,
    target: float | None = None,
    patience: int | None = None,
    record: Callable[[Any], dict[str, Array]] | None = None,
    callbacks: Sequence[AbstractCallback] = (),
    resume: "str | os.PathLike | EvolveResult | None" = None,
    at_once: int | None = None,
    devices: Devices | None = None,
    progress: bool = True,
) -> EvolveResult:
    r"""Search for the parameters of highest (or lowest) fitness, many generations as one compiled program.

    ```python
    params, rest = snnx.partition(policy)

    def fitness(params, key):
        keys = jax.random.split(key, 4)
        run = lambda key: snnx.rollout(snnx.combine(params, rest), env, length=500, key=key)
        return jax.vmap(run)(keys).returns.mean()

    strategy = SNES(population_size=64, solution=params)             # from evosax.algorithms import SNES
    result = snnx.evolve(strategy, fitness, params, generations=25, goal="maximize", target=500.0, key=key)
    policy = snnx.combine(result.params, rest)
    ```

    Every call traces `fitness` anew, so that whatever it reads from outside is read as it is now; a second call with things
    that are made alike finds its program and compiles nothing (docs/compilation.md).

    Every candidate of a generation is evaluated with the same key, and so are the parameters themselves, along with
    them: in generation `g` (from 1 on) with `jax.random.split(jax.random.fold_in(key, g - 1))[0]`.

    Where fitness can be differentiated (`rollout` through a differentiable environment), an optimiser of optax in the
    strategy's place goes up its gradient instead: an analytic policy gradient, each step of it a generation.

    **Arguments:**
    - `strategy`: of evosax, made with `solution=params`; an `Evolution`, for its settings; or an optimiser of optax.
    - `fitness`: from parameters and a key to one float. It is vmapped over the candidates. Arrays that it closes over
        become arguments of the program.
    - `params`: where to start: arrays of floats, the first part of `partition(model)`.
    - `generations`: how many at most, those of a resumed run included.
    - `goal`: `"maximize"` or `"minimize"`; nothing is assumed.
    - `target`: ends the run as soon as `params` have this fitness.
    - `patience`: ends it when the fitness of `params` has not improved for so many generations.
    - `record`: from the strategy's state to a dict of further numbers for the history, e.g.
        `lambda state: {"step": state.std.mean()}`.
    - `callbacks`: `Checkpoint(path)`, `LogFile(path)`, ...: they are told every two seconds or so.
    - `resume`: the path of a checkpoint, or an `EvolveResult`: goes on where that left off, bit for bit, given the same
        key, strategy, goal and number of devices. Whether the fitness, the strategy's settings and the numbers inside an
        optimiser are the same cannot be seen; `params` are those of the run.
    - `at_once`: how many candidates are evaluated beside each other (on each device), where all of them need too much
        memory; by default all.
    - `devices`: among which the candidates are divided; by default all that a CPU has (see `use_cores`), else one.
    - `progress`: whether to show it.

    **Returns:** an `EvolveResult`.

    **Raises:** `TypeError`, `ValueError`, `ShapeError` before anything is compiled for parameters that cannot be evolved,
    a strategy of another structure, a fitness that is no single float; `MemoryError` for a strategy whose state is too
    large; `NonFiniteError` if no candidate of the first generation has a finite fitness, if a step leads to parameters
    that are not finite, or if a gradient is not; `CheckpointError` for a checkpoint of another run.
    """
    begin = time.perf_counter()
    solver = as_solver("evolve", "strategy", strategy)
    check_params("evolve", params)
    _check_finite(params)
    read_key("evolve", "key", key)
    check_callbacks("evolve", callbacks)
    _check_numbers(generations, goal, target, patience, at_once)
    _check_fitness(fitness, params, key)
    sign = SIGNS[goal]
    population = solver.population_size if isinstance(solver, Evolution) else 0
    settings = {
        "generations": generations,
        "goal": goal,
        "strategy": solver.name,
        "target": target,
        "patience": patience,
    }
    start, starting = first_state(solver, params, jax.random.fold_in(key, SOLVER))
    state, history = _initial_state(start, params, key, resume, settings)
    mesh = mesh_of("evolve", devices)
    fitness_arrays, fitness_static = eqx.partition(fitness, eqx.is_array)
    solver_arrays, solver_static = eqx.partition(solver, eqx.is_array)
    extra = _check_record(record, state.solver)
    plan = Plan(
        fitness_static,
        solver_static,
        record,
        sign,
        None if target is None else float(target),
        patience,
        population,
        at_once,
        mesh,
    )
    run = Generations(
        plan,
        spread(mesh, copied(moving_of(state, sign, extra, _outcome(state, history, settings)))),
        spread(mesh, Fixed(fitness_arrays, solver_arrays, key)),
        key,
        history,
        settings,
        callbacks,
    )
    run.tell("before")
    run.compile()
    with Progress(progress, generations, 1, 1, run.generation, "generation", "generations") as bar:
        bar.compiled(starting + run.program.compilation)
        run.run(bar)
    run.tell("after")
    final = run.snapshot()
    return EvolveResult(
        params=final.params,
        best=final.best,
        best_fitness=float(final.best_fitness),
        history=tuple(history),
        outcome=_in_words(int(run.moving.outcome), final, settings),
        state=final,
        compilation=starting + run.program.compilation,
        seconds=time.perf_counter() - begin,
        settings=settings,
    )


def _initial_state(
    start: PyTree,
    params: PyTree,
    key: Array,
    resume: "str | os.PathLike | EvolveResult | None",
    settings: dict[str, Any],
) -> tuple[EvolveState, list[dict[str, Any]]]:
    """The state to start from, and the figures of the generations that are behind it."""
    zero, none = jnp.zeros((), jnp.int32), jnp.asarray(SIGNS[settings["goal"]] * jnp.inf)
    fresh = EvolveState(params, start, key, zero, params, none, none, zero)
    if resume is None:
        return fresh, []
    if isinstance(resume, EvolveResult):
        before, state, history = resume.settings, resume.state, list(resume.history)
        _agree(before, settings)
        if not alike(state, fresh):
            raise CheckpointError("evolve: resume is the result of another strategy or other params; pass the same.")
    else:
        check_resume("evolve", resume, "an EvolveResult")
        meta = read_meta(resume)
        before, history = meta.get("settings", {}), list(meta["history"])
        _agree(before, settings)
        state = load_checkpoint(resume, fresh)
    _agree(before, settings)
    if int(state.generation) > settings["generations"]:
        raise ValueError(
            f"evolve: generations is {settings['generations']}, but resume has {int(state.generation)} behind it;"
            " generations counts those too."
        )
    if not jnp.array_equal(jax.random.key_data(state.key), jax.random.key_data(key)):
        raise CheckpointError(
            "evolve: resume was made with another key; pass the key of that run, to go on as it would."
        )
    return state, history


def _agree(before: dict[str, Any], settings: dict[str, Any]) -> None:
    for name in ("goal", "strategy"):
        if before.get(name) != settings[name]:
            raise CheckpointError(
                f"evolve: resume was made with {name}={before.get(name)}, but this call has {name}={settings[name]}; pass"
                " the arguments of that run, or start anew from its params."
            )


def _outcome(state: EvolveState, history: list[dict[str, Any]], settings: dict[str, Any]) -> int:
    """Where the run that is resumed had come to its end already: as the program would have it."""
    if not history:
        return RUNNING
    sign, target, patience = SIGNS[settings["goal"]], settings["target"], settings["patience"]
    if target is not None and sign * jnp.asarray(history[-1]["fitness"]) <= sign * target:
        return TARGET
    stale = int(state.generation) - 1 - int(state.highest_at)
    return PATIENCE if patience is not None and stale >= patience else RUNNING


def _in_words(outcome: int, state: EvolveState, settings: dict[str, Any]) -> str:
    if outcome == TARGET:
        return f"reached the target {settings['target']:g} in generation {int(state.generation)}"
    if outcome == PATIENCE:
        return f"no better for {settings['patience']} generations"
    return "ran all generations" if int(state.generation) >= settings["generations"] else "stopped by a callback"


def _check_fitness(fitness: Any, params: PyTree, key: Array) -> None:
    if not callable(fitness):
        raise TypeError(f"evolve: fitness is {describe(fitness)}; expected a function of params and a key.")
    try:
        inspect.signature(fitness).bind(params, key)
    except TypeError:
        raise TypeError(
            f"evolve: fitness takes {inspect.signature(fitness)}; expected two arguments: fitness(params, key)."
        ) from None
    except ValueError:  # some callables have no signature
        pass
    found = jax.eval_shape(lambda *given: fitness(*given), params, key)  # a function of our own, that no cache knows
    if not hasattr(found, "shape"):
        raise TypeError(f"evolve: fitness gives {describe(found)}; expected one float.")
    if found.shape != ():
        raise ShapeError(
            f"evolve: fitness gives {describe(found)}; expected one float: of several episodes take the .mean()."
        )
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise DtypeError(f"evolve: fitness gives {describe(found)}; expected one float: jnp.asarray(value, float).")


def _check_finite(params: PyTree) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not bool(jnp.isfinite(leaf).all()):
            raise ValueError(f"evolve: params{jax.tree_util.keystr(path)} holds values that are not finite.")


def _check_record(record: Any, state: PyTree) -> tuple[str, ...]:
    """The names of what is recorded besides."""
    if record is None:
        return ()
    if not callable(record):
        raise TypeError(f"evolve: record is {describe(record)}; expected a function of the strategy's state.")
    found = jax.eval_shape(lambda state: record(getattr(state, "strategy", state)), state)
    if not isinstance(found, dict):
        raise TypeError(f"evolve: record gives {describe(found)}; expected a dict of numbers.")
    for name, value in found.items():
        if name in (*FIGURES, "generation"):
            raise ValueError(f"evolve: record gives {name!r}, which the history has already; take another name.")
        if getattr(value, "shape", None) != ():
            raise ShapeError(f"evolve: record gives {name!r} as {describe(value)}; expected one number, e.g. its mean.")
    return tuple(found)


def _check_numbers(generations: Any, goal: Any, target: Any, patience: Any, at_once: Any) -> None:
    if not isinstance(goal, str) or goal not in SIGNS:
        raise ValueError(f"evolve: goal is {goal!r}, expected 'maximize' or 'minimize'.")
    for name, number in (("generations", generations), ("patience", patience), ("at_once", at_once)):
        optional = name != "generations"
        if optional and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            expected = "a whole number >= 1" + (", or None" if optional else "")
            raise ValueError(f"evolve: {name} is {number!r}, expected {expected}.")
    known = isinstance(target, (int, float, np.floating)) and not isinstance(target, bool)
    if target is not None and not (known and not math.isnan(target)):
        raise ValueError(f"evolve: target is {target!r}, expected a number, or None.")
