from snnx._errors import describe
from snnx.cells import replace
from snnx.layers import Graph


def detach(model: Graph) -> Graph:
    """An imported graph without what it was read from.

    Graphs read from different files are of different structure, as each carries its file. Detached ones of one architecture
    can be averaged, stacked to an ensemble, or loaded from one another's checkpoints; they leave as new graphs, with the
    model's numbers in the model's dtype.

    **Raises:** `TypeError` for what is no `Graph`.
    """
    if not isinstance(model, Graph):
        raise TypeError(f"detach: model is {describe(model)}; expected a Graph, such as from_nir gives.")
    return replace(model, source=None)
