from collections.abc import Iterable, Sequence

from jaxtyping import PyTree

from snnx._errors import describe
from snnx.cells import AbstractCell
from snnx.inputs import AbstractInputs
from snnx.layers._apply import takes_as_it_is
from snnx.layers._container import AbstractContainer, Run, Value, check_parts


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

    def __init__(self, layers: Sequence[PyTree] | Iterable[PyTree], *more: PyTree):
        if more or not isinstance(layers, Iterable):
            raise TypeError("Sequential: expected one list of layers: snnx.Sequential([first, second, ...]).")
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

    def wire(self, x: Value, run: Run) -> Value:
        for name in self.children():
            x = run(name, x)
        return x

    def __getitem__(self, index: int) -> PyTree:
        if not isinstance(index, (int, slice)):
            raise TypeError(f"Sequential: index is {describe(index)}; expected a number: model[1].")
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)
