import inspect
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx._typing import AboveZero
from snnx.inputs import amount
from snnx.parameters import check_params
from snnx.solvers._solver import AbstractSolver, Candidates, Objective, Step, all_finite

SMALLER = (
    "Sep_CMA_ES, SNES, CR_FM_NES, Open_ES or PGPE, whose memory grows with the parameters and not with their square"
)


class EvolutionState(eqx.Module):
    """The strategy's own state, and whether it has been told of a generation yet."""

    strategy: PyTree
    started: Bool[Array, ""]


@checked
class Evolution(AbstractSolver):
    r"""Evolution by a strategy that is asked for candidates and told how they do, such as those of evosax.

    A step is a generation: $n$ candidates are asked for, and evaluated together with the parameters $\theta$ themselves;
    the strategy is told the $n$ values, and the new $\theta$ is the mean of its distribution, or, where it keeps a
    population, the best of that.

    Values that are not finite are never selected: the strategy is told that such a candidate is worse than the worst
    other one, by the distance between the worst and the best. If all are, it is told nothing.

    `evolve(..., optimizer=strategy)` and `fit(optimizer=strategy)` make one of these by themselves.

    ```python
    from evosax.algorithms import SNES

    strategy = SNES(population_size=64, solution=params)
    start = strategy.default_params.replace(std_init=0.1)
    snnx.evolve(objective, params, optimizer=snnx.solvers.Evolution(strategy, start), ...)
    ```

    **Arguments:**
    - `strategy`: an object with `ask`, `tell`, `init`, `default_params`, made for the structure of the parameters
        (evosax: `solution=params`). Less is better.
    - `settings`: the strategy's own parameters; `strategy.default_params` by default.
    - `spread`: of a strategy that keeps a population (`SimpleGA`, `DifferentialEvolution`, `PSO`): the standard deviation,
        around the given parameters, of the first population, one member of which is the given parameters; 0.1 by default.
    - `memory`: how many bytes the strategy's state may take; 2^30 by default.

    **Raises:** (`init`) `ValueError` for a strategy of another structure; `MemoryError` where its state is larger than
    `memory`; `TypeError` for a strategy of another kind, and parameters that are not arrays of floats.
    """

    strategy: Any
    settings: PyTree
    spread: float = eqx.field(static=True)
    memory: float = eqx.field(static=True)

    def __init__(self, strategy: Any, settings: PyTree = None, *, spread: AboveZero = 0.1, memory: AboveZero = 2**30):
        if isinstance(strategy, type) or not (is_strategy(strategy) and hasattr(strategy, "population_size")):
            raise TypeError(
                f"Evolution: strategy is {describe(strategy)}; expected an object with init, ask, tell,"
                " default_params and population_size, e.g. evosax.algorithms.SNES(population_size=64, solution=params)."
            )
        self.strategy, self.spread, self.memory = strategy, spread, memory
        # Here and not within a program: some of evosax's defaults are worked out on the host.
        default = strategy.default_params
        if settings is not None and jax.tree.structure(settings) != jax.tree.structure(default):
            raise TypeError(
                f"Evolution: settings is {describe(settings)}; expected the strategy's own with some exchanged:"
                " strategy.default_params.replace(...)."
            )
        self.settings = default if settings is None else settings

    @property
    def name(self) -> str:
        return f"{type(self.strategy).__name__} of {self.population_size}"

    @property
    def population_size(self) -> int:
        """Candidates in a generation."""
        return int(getattr(self.strategy, "total_population_size", self.strategy.population_size))

    def init(self, params: PyTree, *, key: Key[Array, ""]) -> EvolutionState:
        check_params("Evolution", params)
        self._check_structure(params)
        kind = _kind(self.strategy)
        self._check_memory(params)
        state = self._first(params, kind, key)
        # Numbers of no dtype of their own would be another type after the first step.
        return EvolutionState(jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), state), jnp.array(False))

    def step(self, params: PyTree, state: EvolutionState, objective: Objective, *, key: Key[Array, ""]) -> Step:
        key_ask, key_tell = jax.random.split(key)
        strategy, settings = self.strategy, self.settings
        population, asked = strategy.ask(key_ask, state.strategy, settings)
        keeps_population = _kind(strategy) == "population"
        if keeps_population:  # the first of all generations is the first population itself
            first = strategy.get_population(state.strategy)
            population = _where(state.started, population, first)
        with_center = jax.tree.map(
            lambda all, one: jnp.concatenate([all.astype(one.dtype), one[None]]), population, params
        )
        values, aux = objective.values(with_center)
        told, candidates = _judge(values[:-1], population)
        new, _ = strategy.tell(key_tell, population, told, asked, settings)
        if keeps_population:
            new = _where(state.started, new, strategy.init(key_tell, population, told, settings))
        new = jax.tree.map(lambda n, old: jnp.asarray(n, old.dtype), new, state.strategy)
        center = jax.tree.map(lambda n, old: n.astype(old.dtype), self._center(new), params)
        return Step(
            center,
            EvolutionState(new, jnp.array(True)),
            values[-1],
            jax.tree.map(lambda x: x[-1], aux),
            (candidates.failed < self.population_size) & all_finite(center),
            candidates,
        )

    def _first(self, params: PyTree, kind: str, key: Key[Array, ""]) -> PyTree:
        """The strategy's state before anything is known."""
        if kind == "mean":
            return self.strategy.init(key, params, self.settings)
        key_init, key_spread = jax.random.split(key)
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(key_spread, len(leaves))
        around = [self._around(leaf, k) for leaf, k in zip(leaves, keys, strict=True)]
        nothing_known = jnp.full(self.population_size, jnp.inf)
        return self.strategy.init(key_init, jax.tree.unflatten(structure, around), nothing_known, self.settings)

    def _around(self, leaf: Array, key: Key[Array, ""]) -> Array:
        noise = self.spread * jax.random.normal(key, (self.population_size, *leaf.shape), leaf.dtype)
        return leaf[None] + noise.at[0].set(0.0)

    def _center(self, state: PyTree) -> PyTree:
        return (self.strategy.get_mean if _kind(self.strategy) == "mean" else self.strategy.get_best_solution)(state)

    def _check_structure(self, params: PyTree) -> None:
        made_for = getattr(self.strategy, "solution", params)
        name = type(self.strategy).__name__
        if jax.tree.structure(made_for) != jax.tree.structure(params):
            raise ValueError(
                f"Evolution: the strategy was made for {_shape_of(made_for)}, but params is {_shape_of(params)}; make it with"
                f" {name}(..., solution=params)."
            )
        pairs = zip(jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(made_for), strict=True)
        for (path, leaf), other in pairs:
            if jnp.shape(leaf) != jnp.shape(other):
                raise ShapeError(
                    f"Evolution: the strategy was made for a leaf {jax.tree_util.keystr(path) or 'params'} of shape"
                    f" {jnp.shape(other)}, but it is {describe(leaf)}; make it with {name}(..., solution=params)."
                )

    def _check_memory(self, params: PyTree) -> None:
        """Before it is taken: of a strategy with a matrix it is more than what a computer has, soon enough."""
        like = jax.eval_shape(lambda p: self._first(p, _kind(self.strategy), jax.random.key(0)), params)
        needed = sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(like))
        if needed > self.memory:
            size = sum(leaf.size for leaf in jax.tree.leaves(params))
            square = any(leaf.shape[-2:] == (size, size) for leaf in jax.tree.leaves(like))
            instead = f"take {SMALLER}" if square else "take a smaller population"
            raise MemoryError(
                f"Evolution: the state of {type(self.strategy).__name__} with {size} parameters takes {needed:,} bytes"
                f" ({amount(needed)}), more than memory={self.memory:,}; {instead}, or raise memory=."
            )


def is_strategy(given: Any) -> bool:
    """Whether something can be asked and told."""
    return all(callable(getattr(given, name, None)) for name in ("init", "ask", "tell")) and hasattr(
        given, "default_params"
    )


def _kind(strategy: Any) -> str:
    """Whether a strategy starts from a `"mean"` or from a `"population"`: the two that evosax has."""
    names = list(inspect.signature(strategy.init).parameters)
    for kind, wanted in (
        ("mean", ["key", "mean", "params"]),
        ("population", ["key", "population", "fitness", "params"]),
    ):
        if names == wanted:
            return kind
    raise TypeError(
        f"Evolution: {type(strategy).__name__}.init takes ({', '.join(names)}); expected (key, mean, params) or (key,"
        " population, fitness, params), as evosax 0.3 has them. Strategies of several means are not known here."
    )


def _judge(values: Float[Array, "members"], population: PyTree) -> tuple[Array, Candidates]:
    """What the strategy is told, and the figures of the generation."""
    good = jnp.isfinite(values)
    count = jnp.maximum(jnp.sum(good), 1)
    best, worst = (jnp.min(jnp.where(good, values, jnp.inf)), jnp.max(jnp.where(good, values, -jnp.inf)))
    mean = jnp.sum(jnp.where(good, values, 0.0)) / count
    std = jnp.sqrt(jnp.sum(jnp.where(good, (values - mean) ** 2, 0.0)) / count)
    beyond = worst + (worst - best) + jnp.maximum(jnp.abs(worst) * 1e-3, 1e-6)
    index = jnp.argmin(jnp.where(good, values, jnp.inf))
    of_best = jax.tree.map(lambda x: x[index], population)
    none = ~jnp.any(good)
    mean, std, best = (jnp.where(none, jnp.nan, x) for x in (mean, std, best))
    failed = jnp.sum(~good).astype(jnp.int32)
    return jnp.where(good, values, beyond), Candidates(mean, std, best, failed, of_best, all_finite(population))


def _where(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def _shape_of(tree: PyTree) -> str:
    """A PyTree in a few words."""
    leaves = jax.tree.leaves(tree)
    return f"a {type(tree).__name__} of {len(leaves)} arrays with {sum(jnp.size(x) for x in leaves)} numbers"
