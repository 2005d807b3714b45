from jaxtyping import PyTree

from snnx.cells import AbstractCell, walk


def check_spiking(where: str, model: PyTree) -> None:
    """Refuse a model whose last cell puts out no spikes."""
    cells = [(path, part) for path, part in walk(model) if isinstance(part, AbstractCell) and not part.children()]
    if cells and not cells[-1][1].spikes:
        path, last = cells[-1]
        raise ValueError(
            f"{where}: takes the spikes of the output, but the last cell of the model, {path or 'the model'}"
            f" ({type(last).__name__}), puts out none; end with a neuron that fires (one of your own says so by"
            " spikes = True), or take snnx.CrossEntropy or snnx.MSE."
        )
