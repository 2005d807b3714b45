"""Two strategies of a few lines with the interface of evosax, and what they do in NumPy, in double precision.

What is random in them is drawn with the keys that `evolve` hands on; everything else is written out a second time here.
"""

import jax
import jax.numpy as jnp
import numpy as np


class TinyES:
    """Candidates around a mean, at a fixed distance; the new mean is that of the better half of them.

    Its state holds what it asked and what it was told last.
    """

    def __init__(self, population_size, solution, std=0.5):
        self.population_size, self.solution, self.std = population_size, solution, std

    @property
    def default_params(self):
        return {"std": self.std}

    def init(self, key, mean, params):
        nobody = jax.tree.map(lambda m: jnp.zeros((self.population_size, *m.shape), m.dtype), mean)
        return {"mean": mean, "told": 0, "asked": nobody, "values": jnp.zeros(self.population_size)}

    def ask(self, key, state, params):
        return jax.tree.map(lambda m, z: m[None] + params["std"] * z, state["mean"], noise(self, key)), state

    def tell(self, key, population, fitness, state, params):
        better = jnp.argsort(fitness)[: self.population_size // 2]
        mean = jax.tree.map(lambda x: x[better].mean(axis=0), population)
        return {"mean": mean, "told": state["told"] + 1, "asked": population, "values": fitness}, {}

    def get_mean(self, state):
        return state["mean"]


class TinyGA:
    """Keeps the best of all candidates so far; each of them is followed by one beside it."""

    def __init__(self, population_size, solution, std=0.5):
        self.population_size, self.solution, self.std = population_size, solution, std

    @property
    def default_params(self):
        return {"std": self.std}

    def init(self, key, population, fitness, params):
        return {"population": population, "fitness": fitness}

    def ask(self, key, state, params):
        return jax.tree.map(lambda x, z: x + params["std"] * z, state["population"], noise(self, key)), state

    def tell(self, key, population, fitness, state, params):
        fitness = jnp.concatenate([state["fitness"], fitness])
        best = jnp.argsort(fitness)[: self.population_size]
        both = jax.tree.map(lambda old, new: jnp.concatenate([old, new])[best], state["population"], population)
        return {"population": both, "fitness": fitness[best]}, {}

    def get_population(self, state):
        return state["population"]

    def get_best_solution(self, state):
        best = jnp.argmin(state["fitness"])
        return jax.tree.map(lambda x: x[best], state["population"])


def noise(strategy, key):
    """Standard normal numbers, one set a candidate."""
    leaves, structure = jax.tree.flatten(strategy.solution)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, (strategy.population_size, *x.shape), x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def keys_of(key, generation):
    """The keys of a generation (from 0 on): for the fitness, for `ask`, for `tell`."""
    key_fitness, key_solver = jax.random.split(jax.random.fold_in(key, generation))
    return key_fitness, *jax.random.split(key_solver)


def double(tree):
    """The leaves of a PyTree of arrays, in double precision."""
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]


def numpy_es(strategy, cost, params, generations, key):
    """What `TinyES` does to the parameters, in NumPy: a dict a generation, of the parameters before and after it, of its
    candidates and of their costs. `cost` is of a list of arrays and the generation; what is not finite is never chosen."""
    params, found = double(params), []
    for generation in range(generations):
        drawn = double(noise(strategy, keys_of(key, generation)[1]))
        candidates = [
            [m + strategy.std * z[i] for m, z in zip(params, drawn, strict=True)]
            for i in range(strategy.population_size)
        ]
        costs = np.array([cost(candidate, generation) for candidate in candidates])
        order = np.argsort(np.where(np.isfinite(costs), costs, np.inf), kind="stable")
        chosen = [candidates[i] for i in order[: strategy.population_size // 2]]
        after = params
        if np.isfinite(costs).any():
            after = [np.mean(leaves, axis=0) for leaves in zip(*chosen, strict=True)]
        found.append({"before": params, "after": after, "candidates": candidates, "costs": costs})
        params = after
    return found


def numpy_ga(strategy, cost, population, generations, key):
    """What `TinyGA` does to a first population (a list of leaves `[members, ...]`): its best after each generation."""
    size, population, best = strategy.population_size, double(population), []
    costs = np.array([cost([x[i] for x in population], 0) for i in range(size)])
    for generation in range(generations):
        if generation:
            drawn = double(noise(strategy, keys_of(key, generation)[1]))
            beside = [x + strategy.std * z for x, z in zip(population, drawn, strict=True)]
            costs = np.concatenate([costs, [cost([x[i] for x in beside], generation) for i in range(size)]])
            order = np.argsort(costs, kind="stable")[:size]
            population = [np.concatenate([x, y])[order] for x, y in zip(population, beside, strict=True)]
            costs = costs[order]
        best.append([x[np.argmin(costs)] for x in population])
    return best
