"""The exact gradient for a whole model, and where it cannot pass."""

from typing import TypeVar

from jaxtyping import PyTree

from snnx._checks import checked
from snnx.cells import AbstractCell, exchange, walk
from snnx.layers._affine import is_linear
from snnx.neurons import EventProp

_Model = TypeVar("_Model", bound=AbstractCell)


@checked
def with_gradient(model: _Model, gradient: EventProp | None) -> _Model:
    """The same network with another gradient: exact with `EventProp()`, that of the surrogates with None.

    ```python
    exact = snnx.with_gradient(model, snnx.EventProp())
    result = snnx.fit(exact, train, loss=snnx.CrossEntropy(snnx.Mean()), ...)
    ```

    The forward pass stays as it is. A neuron by itself takes `CubaLIF(..., method="exact", gradient=EventProp())`.

    **Raises:** `ValueError`, naming the part, for neurons that fire and cannot be served (all but `CubaLIF` with
    `method="exact"`), for functions of spikes that are not known to be linear (maximum pooling, a `lambda`), and for models
    in which nothing fires.
    """
    if gradient is not None:
        for path, part in walk(model):
            method = getattr(part, "method", None)
            if hasattr(part, "gradient") and method != "exact":
                raise ValueError(
                    f"with_gradient: EventProp is for method='exact', but part {path or 'model'} ({type(part).__name__}) has"
                    f" method={method!r}; make it with method='exact'."
                )
    changed = exchange(model, "gradient", gradient)
    if gradient is not None and not any(isinstance(getattr(p, "gradient", None), EventProp) for _, p in walk(changed)):
        check_gradients("with_gradient", changed, exact=True)
        raise ValueError("with_gradient: model has no neuron that fires; there is nothing for EventProp to do.")
    check_gradients("with_gradient", changed)
    return changed


def check_gradients(where: str, model: PyTree, exact: bool = False) -> None:
    """Refuse a model in which the exact gradient meets parts that it does not pass.

    **Arguments:** `exact`: taken to be so although no neuron says it.
    """
    parts = [(path or "model", part) for path, part in walk(model)]
    if not exact and not any(isinstance(getattr(part, "gradient", None), EventProp) for _, part in parts):
        return
    source = ""  # the neuron whose spikes the next function is given
    for path, part in parts:
        name = f"part {path} ({type(part).__name__})"
        if isinstance(part, AbstractCell):
            if part.spikes and getattr(part, "gradient", None) is None:
                raise ValueError(
                    f"{where}: EventProp does not serve {name}: its spikes have a surrogate's gradient. Take"
                    " snnx.CubaLIF(method='exact') for every neuron that fires, or snnx.with_gradient(model, None)."
                )
            if not part.children():
                source = path if part.spikes else ""
        elif source and not is_linear(part):
            raise ValueError(
                f"{where}: {name} is given the spikes of part {source}, but is not known to be linear; exact gradients"
                " pass linear layers, delays and readouts. Take one (average or sum pooling, snnx.Flatten, snnx.layers.Scale), or"
                " the gradient of surrogates. A layer of your own that is linear says so: linear = True in its class."
            )
