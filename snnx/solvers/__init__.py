"""How parameters are moved: by gradient, or by evolution. The trainer's loops know solvers through one protocol."""

from snnx.solvers._choose import as_solver as as_solver
from snnx.solvers._evolution import Evolution as Evolution
from snnx.solvers._solver import AbstractSolver as AbstractSolver
from snnx.solvers._solver import Candidates as Candidates
from snnx.solvers._solver import GradientDescent as GradientDescent
from snnx.solvers._solver import Objective as Objective
from snnx.solvers._solver import Step as Step
from snnx.solvers._solver import all_finite as all_finite

__all__ = ["AbstractSolver", "Candidates", "Evolution", "GradientDescent", "Objective", "Step"]
