from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._errors import ShapeError, describe
from snnx.layers._container import AbstractContainer, Run, Value, check_parts


class Add(eqx.Module):
    """Joins branches by adding them up, element by element. All have one shape."""

    def __call__(self, *xs: Array) -> Array:
        if len({x.shape for x in xs}) > 1:
            raise ShapeError(
                f"the branches have shapes {', '.join(str(tuple(x.shape)) for x in xs)}, expected one and the same;"
                " change the layers, or the shortcut, so that they agree"
            )
        return sum(xs[1:], start=xs[0])


class Concat(eqx.Module):
    """Joins branches by concatenating one step along an axis; 0 is features, or the channels of a feature map."""

    axis: int = eqx.field(static=True, default=0)

    def __call__(self, *xs: Array) -> Array:
        return jnp.concatenate(xs, axis=self.axis)


class Identity(eqx.Module):
    """Hands on what it gets."""

    def __call__(self, x: Array) -> Array:
        return x


class Residual(AbstractContainer):
    """A body and a shortcut around it: $y = \\text{shortcut}(x) + \\text{body}(x)$.

    **Arguments:**
    - `body`: a cell or a plain callable.
    - `shortcut`: likewise; by default the input itself, which then has the shape of the body's output.

    **Raises:** `ShapeError` where the two do not have one shape.
    """

    body: PyTree
    shortcut: PyTree
    join: Add

    def __init__(self, body: PyTree, shortcut: PyTree = None):
        self.body = body
        self.shortcut = Identity() if shortcut is None else shortcut
        self.join = Add()

    def __check_init__(self):
        check_parts(self)

    def children(self) -> dict[str, PyTree]:
        return {"body": self.body, "shortcut": self.shortcut, "join": self.join}

    def wire(self, x: Value, run: Run) -> Value:
        return run("join", run("shortcut", x), run("body", x))


class Parallel(AbstractContainer):
    """Branches that all see the same input, and whose outputs are joined.

    **Arguments:**
    - `branches`: cells or plain callables.
    - `join`: `Add()`, `Concat(axis)`, or any callable of as many arrays as there are branches.

    **Raises:** `ShapeError` where the branches' outputs cannot be joined.
    """

    branches: tuple[PyTree, ...]
    join: PyTree

    def __init__(self, branches: Sequence[PyTree], join: PyTree = None):
        self.branches = tuple(branches)
        self.join = Add() if join is None else join
        if not self.branches:
            raise ValueError(f"Parallel: branches is {describe(branches)}; expected at least one branch.")

    def __check_init__(self):
        check_parts(self)

    def children(self) -> dict[str, PyTree]:
        return {str(i): branch for i, branch in enumerate(self.branches)} | {"join": self.join}

    def wire(self, x: Value, run: Run) -> Value:
        return run("join", *(run(str(i), x) for i in range(len(self.branches))))
