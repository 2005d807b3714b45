"""What a run of training or evolution did, over its epochs or generations."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snnx._errors import describe
from snnx.plot._figures import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]


def learning_curve(result: Any, *, best_epoch: int | None = None) -> "Figure":
    """How a run went: of `fit` loss and accuracy over the epochs, of training and validation; of `fit_ensemble` the same, a
    line for each member; of `evolve` the values over the generations: of the parameters, and of the candidates (their
    mean, with a band of one standard deviation, and their best).

    **Arguments:** `result`: what `fit`, `fit_ensemble` or `evolve` returned, or its `history`; `best_epoch`: marked by a
    line, by default the result's.
    **Raises:** `ValueError` for an empty history; `TypeError` for what is no history.
    """
    history: Records = getattr(result, "history", result)
    if not isinstance(history, Sequence) or not all(isinstance(record, Mapping) for record in history):
        raise TypeError(
            f"learning_curve: result is {describe(result)}; expected what snnx.fit, fit_ensemble or evolve returns, or its"
            " history."
        )
    if not history:
        raise ValueError("learning_curve: history is empty; train for at least one epoch.")
    if "value" in history[0]:
        return _values(history)
    best_epoch = getattr(result, "best_epoch", None) if best_epoch is None else best_epoch
    return _losses(history, best_epoch if isinstance(best_epoch, int) else None, getattr(result, "best", None))


def _values(history: Records) -> "Figure":
    generations = [record["generation"] for record in history]
    own, mean, std, best = (
        np.asarray([record[name] for record in history]) for name in ("value", "mean", "std", "best")
    )
    figure = figure_of(6.0, 3.6)
    ax = figure.add_subplot()
    ax.fill_between(generations, mean - std, mean + std, color="C0", alpha=0.15, linewidth=0)
    ax.plot(generations, mean, color="C0", linewidth=1.0, label="candidates: mean, standard deviation")
    ax.plot(generations, best, color="C0", linewidth=0.8, linestyle=":", label="candidates: best")
    ax.plot(generations, own, color="C3", linewidth=2.0, label="the parameters themselves")
    failed = sum(record["failed"] for record in history)
    if failed:
        ax.set_title(f"{failed} candidates had no finite value", fontsize="small")
    ax.set_ylabel("value")
    _finish(ax, generations, "generation")
    return figure


def _losses(history: Records, best_epoch: int | None, member: int | None) -> "Figure":
    epochs = [record["epoch"] for record in history]
    with_accuracy = any(record.get("accuracy") is not None for record in history)
    figure = figure_of(9.0 if with_accuracy else 5.0, 3.4)
    axes = np.atleast_1d(figure.subplots(1, 2 if with_accuracy else 1))
    for ax, name, factor in zip(axes, ("loss", "accuracy"), (1.0, 100.0), strict=False):
        for key, text in ((name, "training"), (f"validation_{name}", "validation")):
            values = [record.get(key) for record in history]
            if any(v is not None for v in values):
                if isinstance(history[0]["loss"], list):
                    _draw_members(ax, epochs, factor * np.asarray(values, float), text, member)
                else:
                    marker = "." if len(epochs) <= 30 else None
                    ax.plot(epochs, [np.nan if v is None else factor * v for v in values], marker=marker, label=text)
        if best_epoch:
            ax.axvline(best_epoch, color="grey", linewidth=0.8, linestyle="--", label=f"best: epoch {best_epoch}")
        ax.set_ylabel(name if factor == 1.0 else f"{name} (%)")
        _finish(ax, epochs, "epoch")
    losses = np.asarray([record[key] for record in history for key in ("loss", "validation_loss") if key in record])
    if np.nanmin(losses) > 0 and np.nanmax(losses) > 10 * np.nanmin(losses):
        axes[0].set_yscale("log")
    return figure


def _draw_members(ax: "Axes", epochs: list[int], values: np.ndarray, text: str, best: int | None) -> None:
    """A thin line for each member, a thick one for the best; validation solid, training dotted."""
    style, color = (":", "C0") if text == "training" else ("-", "C1")
    lines = ax.plot(epochs, values, color=color, linestyle=style, linewidth=0.7, alpha=0.5)
    if best is None:
        lines[0].set_label(f"{text}, all members")
    else:
        ax.plot(epochs, values[:, best], color=color, linestyle=style, linewidth=2.2, label=f"{text}, member {best}")


def _finish(ax: "Axes", numbers: list[int], unit: str) -> None:
    ax.set_xlabel(unit)
    ax.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # pyright: ignore[reportCallIssue]
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small" if unit == "generation" else None)
