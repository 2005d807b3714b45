"""Layers in a row, and branches: containers whose wiring follows from the order of their parts."""

from collections.abc import Callable, Iterable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from snnx._checks import checked
from snnx._errors import ShapeError, describe
from snnx.cells import AbstractCell
from snnx.inputs import AbstractInputs
from snnx.layers._apply import takes_as_it_is
from snnx.layers._container import AbstractContainer, ArrayOrShape, RunPart, check_parts


@checked
class Sequential(AbstractContainer):
    """Layers one after the other: cells, and plain callables such as `eqx.nn.Linear` or `jnp.tanh`, as they are.

    ```python
    model = snnx.Sequential([eqx.nn.Linear(64, 256, key=k1), snnx.LIF(), eqx.nn.Linear(256, 10, key=k2), snnx.LI()])
    ```

    **Arguments:**
    - `layers`: the layers. A plain callable maps one time step of one example; it gets a `key` only if it takes one.

    The state is a dict, `state["1"].v` being the membrane of layer 1. Shapes are found by `init_state`: nobody types
    a convolution's output size by hand.

    **Raises:** `TypeError` for a layer that is neither a cell nor callable, or that keeps a hidden state
    (`eqx.nn.BatchNorm`); `ShapeError` at `init_state` or the first step where widths do not fit, naming the layer.
    """

    layers: tuple[PyTree, ...]

    def __init__(self, layers: Iterable[PyTree], *more: PyTree):
        if more:
            raise TypeError(
                "Sequential: layers are several arguments, expected one list: snnx.Sequential([first, second])."
            )
        self.layers = tuple(layers)
        if not self.layers:
            raise ValueError("Sequential: layers is empty; expected at least one layer.")

    def __check_init__(self):
        check_parts(self)

    def children(self) -> dict[str, PyTree]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def takes(self, xs: AbstractInputs) -> bool:
        first = self.layers[0]
        return first.takes(xs) if isinstance(first, AbstractCell) else takes_as_it_is(first, xs)

    def wire(self, x: ArrayOrShape, run: RunPart) -> ArrayOrShape:
        for name in self.children():
            x = run(name, x)
        return x

    @checked
    def __getitem__(self, index: int | slice) -> PyTree:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)


class Add(eqx.Module):
    """Joins branches by adding them up, element by element. All have one shape."""

    def __call__(self, *xs: Array) -> Array:
        if len({x.shape for x in xs}) > 1:
            raise ShapeError(
                f"the branches have shapes {', '.join(str(tuple(x.shape)) for x in xs)}, expected one and the same;"
                " change the layers, or the shortcut, so that they agree"
            )
        return sum(xs[1:], start=xs[0])


@checked
class Concat(eqx.Module):
    """Joins branches by concatenating one step along an axis; 0 is features, or the channels of a feature map."""

    axis: int = eqx.field(static=True, default=0)

    def __call__(self, *xs: Array) -> Array:
        return jnp.concatenate(xs, axis=self.axis)


class Identity(eqx.Module):
    """Hands on what it gets."""

    def __call__(self, x: Array) -> Array:
        return x


@checked
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

    def wire(self, x: ArrayOrShape, run: RunPart) -> ArrayOrShape:
        return run("join", run("shortcut", x), run("body", x))


@checked
class Parallel(AbstractContainer):
    """Branches that all see the same input, and whose outputs are joined.

    **Arguments:**
    - `branches`: cells or plain callables.
    - `join`: `Add()`, `Concat(axis)`, or any callable of as many arrays as there are branches.

    **Raises:** `ShapeError` where the branches' outputs cannot be joined.
    """

    branches: tuple[PyTree, ...]
    join: PyTree

    def __init__(self, branches: Iterable[PyTree], join: Callable[..., Array] | None = None):
        self.branches = tuple(branches)
        self.join = Add() if join is None else join
        if not self.branches:
            raise ValueError(f"Parallel: branches is {describe(branches)}; expected at least one branch.")

    def __check_init__(self):
        check_parts(self)

    def children(self) -> dict[str, PyTree]:
        return {str(i): branch for i, branch in enumerate(self.branches)} | {"join": self.join}

    def wire(self, x: ArrayOrShape, run: RunPart) -> ArrayOrShape:
        return run("join", *(run(str(i), x) for i in range(len(self.branches))))
