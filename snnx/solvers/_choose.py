from typing import Any

import optax

from snnx._errors import describe
from snnx.solvers._evolution import Evolution, is_strategy
from snnx.solvers._solver import AbstractSolver, GradientDescent


def as_solver(where: str, name: str, given: Any) -> AbstractSolver:
    """A solver from what the user gave: an optimiser of optax, a strategy with `ask` and `tell`, or a solver itself."""
    if isinstance(given, AbstractSolver):
        return given
    if isinstance(given, optax.GradientTransformation):
        return GradientDescent(given)
    if is_strategy(given) and not isinstance(given, type):
        return Evolution(given)
    hint = "e.g. optax.adam(1e-3)"
    if isinstance(given, optax.MultiSteps):
        hint = "use .gradient_transformation()"
    elif isinstance(given, str):
        hint = f"evosax.algorithms.{given}(population_size=64, solution=params), from pip install 'snnx[evo]'"
    elif isinstance(given, type) and issubclass(given, AbstractSolver):
        hint = f"an object: {given.__name__}(...)"
    elif isinstance(given, type) and is_strategy(given):
        hint = f"an object: {given.__name__}(population_size=64, solution=params)"
    raise TypeError(
        f"{where}: {name} is {describe(given)}; expected an optax.GradientTransformation, a strategy of evosax, or a"
        f" solver of snnx.solvers: {hint}."
    )
