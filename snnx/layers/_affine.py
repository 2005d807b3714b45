"""Which layers are linear, up to an offset: what events pass between neurons, event-driven and with the exact gradient.

A class of one's own says so by an attribute, `linear = True`; for somebody else's class it is registered.
"""

import types

import equinox as eqx
from jaxtyping import PyTree

from snnx._checks import checked
from snnx.layers._elementwise import Scale
from snnx.layers._feature_maps import Flatten, SumPool2d
from snnx.layers._sequential import Add, Concat, Identity

_WITH_BIAS = (eqx.nn.Linear, eqx.nn.Conv, eqx.nn.ConvTranspose)  # an attribute, which may be None
_WITHOUT = (
    *(eqx.nn.Identity, eqx.nn.Dropout, eqx.nn.AvgPool1d, eqx.nn.AvgPool2d, eqx.nn.AvgPool3d),
    *(eqx.nn.AdaptiveAvgPool1d, eqx.nn.AdaptiveAvgPool2d, eqx.nn.AdaptiveAvgPool3d),
    *(Add, Concat, Flatten, Identity, Scale, SumPool2d),
)
_KNOWN: list[type] = [*_WITH_BIAS, *_WITHOUT]


@checked
def register_linear(kind: type) -> None:
    """Say of somebody else's class of layers that they are linear, up to an offset: $f(x + y) - f(y) = f(x) - f(0)$.

    ```python
    snnx.layers.register_linear(their.GroupedLinear)
    ```

    A class of your own says it by an attribute instead: `linear = True`. Where $f(0) = 0$, a layer says that by `bias = None`;
    one that has no attribute `bias` is taken to have an offset.

    **Raises:** `ValueError` for a class that is registered already, `TypeError` for one whose objects are just functions.
    """
    if issubclass(kind, types.FunctionType | types.BuiltinFunctionType | types.MethodType | eqx.nn.Lambda):
        raise TypeError(f"register_linear: kind is {kind.__name__}, of which some are linear and some are not.")
    if kind in _KNOWN:
        raise ValueError(f"register_linear: {kind.__module__}.{kind.__qualname__} is registered already.")
    _KNOWN.append(kind)


def is_linear(part: PyTree) -> bool:
    """Whether a plain callable is known to be linear, up to an offset.

    Its class is, or one above it, if the `__call__` is that one's: a subclass with another is known only if it says so itself.
    """
    if isinstance(part, eqx.nn.Sequential):
        return all(map(is_linear, part.layers))
    for kind in type(part).__mro__:
        if "linear" in vars(kind):
            return vars(kind)["linear"] is True
        if kind in _KNOWN:
            return True
        if "__call__" in vars(kind):
            return False
    return False


def may_have_offset(part: PyTree) -> bool:
    """Whether a linear layer may give something else than zeros for an input of zeros."""
    if isinstance(part, eqx.nn.Sequential):
        return any(map(may_have_offset, part.layers))
    if hasattr(part, "bias"):
        return part.bias is not None
    return not isinstance(part, _WITHOUT)
