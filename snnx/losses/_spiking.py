from collections.abc import Iterable

from jaxtyping import PyTree

from snnx.cells import AbstractCell, find, spiking_paths, walk


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


def as_paths(paths: "str | Iterable[str] | None") -> tuple[str, ...] | None:
    """The paths of a regulariser's layers as a tuple; None stands for all parts that spike."""
    return paths if paths is None else (paths,) if isinstance(paths, str) else tuple(paths)


def parts_that_spike(where: str, model: PyTree, paths: tuple[str, ...] | None) -> tuple[str, ...]:
    """The paths given, or those of all parts that spike, each of a part that puts out spikes.

    **Raises:** `ValueError` for another path, and for a model without any part that spikes.
    """
    paths = spiking_paths(model) if paths is None else paths
    if not paths:
        what = type(model).__name__ if isinstance(model, AbstractCell) else repr(model)
        raise ValueError(
            f"{where}: no part of the model ({what}) puts out spikes; name the parts whose outputs are meant, e.g."
            " paths=('1',), or leave the regulariser out."
        )
    for path in paths:
        part = find(model, path)
        if not isinstance(part, AbstractCell) or not (part.spikes or part.children()):
            raise ValueError(
                f"{where}: paths names part {path!r}, a {type(part).__name__}, which puts out no spikes; those that do:"
                f" {', '.join(map(repr, spiking_paths(model))) or 'none'}."
            )
    return paths
