import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import jax

from snnx._checks import checked
from snnx._errors import NIRError
from snnx._typing import AboveZero, Shape
from snnx._version import __version__
from snnx.cells import AbstractCell
from snnx.layers import Graph
from snnx.nir._drawing import Drawing
from snnx.nir._node import DT, RESET, VERSION, Edge, Tree, nodes_of
from snnx.nir._origin import Origin, restored
from snnx.nir._tree import graph_of
from snnx.nir._validate import examined


@checked
def to_nir(
    model: AbstractCell,
    input_shape: Shape | Mapping[str, Shape] | None = None,
    *,
    dt: AboveZero,
    strict: bool = False,
) -> Any:
    r"""A model as a `nir.NIRGraph` that has the same spikes wherever the format's rules are kept.

    ```python
    graph = snnx.nir.to_nir(result.model, (64,), dt=1e-3)
    snnx.nir.write(graph, "model.nir")
    ```

    Nodes are called as the parts that `record` takes: `0`, `1`, `3.neuron`. NIR has forward Euler, so that a neuron with
    `method="exponential"` is given the Euler time constant of the same decay, $\tau = \Delta t / \lambda$; one whose input is
    a voltage step (`r` or `w_in` None) the $1/\lambda$ that means it. An imported graph leaves as it came, but for what was
    changed.

    **Arguments:**
    - `model`: neurons, containers, `Graph`; layers of Equinox that are linear, convolutions or pools; in inference mode. Classes
        of one's own have a method `nir_node`, see `Export`; for others there is `register_export`.
    - `input_shape`: of one step, without batch and time; of a graph with several inputs a dict by name; not needed for an
        imported one.
    - `dt`: seconds per step of the model. Time constants of neurons with `dt=1`, in steps, become seconds; other neurons have
        to have this `dt`.
    - `strict`: refuse what NIR itself cannot say, and only metadata of snnx do: a reset by subtraction. Else that is warned
        of, once.

    **Raises:** `NIRError` naming the part, for what NIR cannot say: adaptive thresholds, refractoriness, neurons without
    reset, `method="exact"` of pairs, dropout in training mode, normalisation, maxima, concatenation, feedback that NIR's rule
    would let lag elsewhere; for parameters out of range, as training may leave them; for a neuron of another `dt`.
    """
    dt = float(dt)
    origin = model.source if isinstance(model, Graph) and isinstance(model.source, Origin) else None
    drawing = Drawing(model, dt)
    drawing.model(model, _input_shapes(model, origin, input_shape))
    tree = drawing.tree()
    if origin is None:
        tree = dataclasses.replace(tree, metadata={DT: dt, VERSION: __version__})
    else:
        tree = restored(tree, drawing.given, origin, dt)
    found = examined(tree, dt).accepted("to_nir")
    _check_lags(found.meaning.lagging, frozenset(drawing.lagging))
    _check_resets(tree, strict)
    return graph_of(tree)


def _input_shapes(model: AbstractCell, origin: Origin | None, given: Any) -> dict[str, Shape]:
    """The shape of one step of each input; the model is held to it."""
    names = model.inputs if isinstance(model, Graph) else ("input",)
    if given is None:
        if origin is None:
            raise TypeError(
                "to_nir: input_shape is missing: the shape of one step, e.g. to_nir(model, (64,), dt=1e-3)."
            )
        given = {name: origin.shapes[name][0] for name in names}
    shapes = dict(given) if isinstance(given, Mapping) else {names[0]: given}
    if set(shapes) != set(names):
        raise ValueError(f"to_nir: input_shape is {given!r}; expected a dict by input: {', '.join(map(repr, names))}.")
    jax.eval_shape(lambda: model.init_state(shapes if len(shapes) > 1 else next(iter(shapes.values()))))  # pyright: ignore[reportArgumentType]
    return shapes


def _check_lags(found: frozenset[Edge], meant: frozenset[Edge]) -> None:
    """Refuse a graph in which, by NIR's rule, another edge lags than in the model.

    **Raises:** `NIRError`.
    """
    if found == meant:
        return
    came = ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(found - meant)) or "none"
    expected = ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(meant - found)) or "none"
    raise NIRError(
        f"to_nir: of a cycle NIR lets the edge lag that leaves its last stateful node, here {came}; the model's feedback lags at"
        f" {expected}. A Recurrent whose neuron ends in a layer without state is such a model: put that layer behind it."
    )


def _check_resets(tree: Tree, strict: bool) -> None:
    """Warn of resets that only metadata tell, or refuse them."""
    count = sum(node.array("v_threshold").size for _, node in nodes_of(tree) if node.metadata.get(RESET) == "subtract")
    if not count:
        return
    came = (
        f"to_nir: {count} neurons are reset by subtraction, which NIR cannot say: its neurons are set to v_reset. Other readers"
        " will do that"
    )
    if strict:
        raise NIRError(f"{came}; train with reset=snnx.ValueReset().")
    warnings.warn(f"{came}; snnx.nir.from_nir goes by the metadata.", stacklevel=4)
