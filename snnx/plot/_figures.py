"""Figures, drawn with matplotlib (extra `plot`): a raster and a confusion matrix into axes, an example and a run as a whole."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from snnx._checks import checked
from snnx._errors import ShapeError, describe, missing_extra
from snnx._typing import AboveZero, Count, Natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records: TypeAlias = Sequence[Mapping[str, Any]]


def _figure_of(width: float, height: float) -> "Figure":
    # A Figure of its own rather than pyplot's: nothing is registered, so that thousands can be drawn without a leak,
    # and no display is needed.
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        missing_extra("snnx.plot", "matplotlib", "plot", error)
    return Figure(figsize=(width, height), layout="constrained")


def _axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    return _figure_of(width, height).add_subplot() if ax is None else ax


def _draw_raster(ax: "Axes", spikes: np.ndarray, dt: float) -> None:
    times, neurons = np.nonzero(spikes)
    length = float(np.clip(150.0 / max(spikes.shape[1], 1), 1.6, 12.0))  # in points: about the height of a row
    width = float(np.clip(200.0 / max(spikes.shape[0], 1), 0.9, 3.0))
    ax.scatter(times * dt, neurons, s=length**2, marker="|", color="black", linewidths=width)
    ax.set_xlim(-0.5 * dt, (spikes.shape[0] - 0.5) * dt)
    ax.set_ylim(-0.5, spikes.shape[1] - 0.5)


@checked
def raster(spikes: Any, *, ax: "Axes | None" = None, dt: AboveZero = 1.0, title: str | None = None) -> "Axes":
    """When which neuron fired: a mark per spike.

    **Arguments:** `spikes`: `[time, *shape]`, zero where there is no spike; features are flattened. `dt`: time per step.
    **Raises:** `ShapeError` for an array of one axis; `ValueError` for values that are not numbers of spikes.
    """
    values = np.asarray(spikes)
    if values.ndim < 2:
        raise ShapeError(f"raster: spikes is {describe(spikes)}; expected [time, neurons].")
    if not np.all((values >= 0) & (values == np.round(values))):
        raise ValueError("raster: spikes holds values other than 0, 1, 2, ...; membranes are drawn by ax.plot(values).")
    flat = values.reshape(values.shape[0], -1)
    ax = _axes(ax, 6.0, 3.0)
    _draw_raster(ax, flat, dt)
    ax.set_xlabel("time step" if dt == 1.0 else "time")
    ax.set_ylabel("neuron")
    rate = float(np.mean(flat != 0))
    ax.set_title(title if title is not None else f"{flat.shape[1]} neurons, {rate:.3f} spikes per neuron and step")
    return ax


@checked
def sample(
    inputs: Any,
    spikes: Mapping[str, Any],
    outputs: Any,
    *,
    classes: Sequence[str] | None = None,
    label: Natural | None = None,
) -> "Figure":
    """One example on its way through a network: input, spikes of every spiking part, and the outputs over time.

    ```python
    outputs, _, spikes = snnx.simulate(model, inputs, record=snnx.cells.spiking_paths(model))
    snnx.plot.sample(inputs, spikes, outputs)
    ```

    **Arguments:** `inputs`: `[time, *shape]`; `spikes`: name to `[time, *shape]`, as recorded by `simulate`; `outputs`:
    `[time, classes]`; `classes`, `label`: the names, and the true class.
    **Raises:** `ShapeError` if these do not fit together; `TypeError` if `spikes` is not a dict.
    """
    given, ys = np.asarray(inputs), np.asarray(outputs)
    names = _sample_names(given, spikes, ys, classes)
    if label is not None and label >= len(names):
        raise ValueError(f"sample: label is {label}, but there are {len(names)} outputs: 0 to {len(names) - 1}.")
    figure = _figure_of(7.5, 2.2 * (len(spikes) + 2))
    rows = figure.subplots(len(spikes) + 2, 1, sharex=True)
    _draw_inputs(rows[0], given.reshape(given.shape[0], -1))
    rows[0].set_title("input" if label is None else f"input, true class: {names[label]}")
    for ax, (path, trace) in zip(rows[1:-1], spikes.items(), strict=True):
        rate = float(np.mean(np.asarray(trace) != 0))
        raster(trace, ax=ax, title=f"spikes of {path or 'the model'}: {rate:.3f} per neuron and step")
        ax.set_xlabel("")
    _draw_outputs(rows[-1], ys, names, label)
    rows[-1].set_xlabel("time step")
    return figure


def _sample_names(
    inputs: np.ndarray, spikes: Mapping[str, Any], outputs: np.ndarray, classes: Sequence[str] | None
) -> list[str]:
    """The names of the outputs, once all that is to be drawn fits together."""
    if outputs.ndim != 2:
        raise ShapeError(f"sample: outputs is {describe(outputs)}; expected [time, classes].")
    for name, trace in {"outputs": outputs, **{f"spikes[{path!r}]": trace for path, trace in spikes.items()}}.items():
        if np.shape(trace)[0] != inputs.shape[0]:
            raise ShapeError(f"sample: inputs has {inputs.shape[0]} steps, but {name} has {np.shape(trace)[0]}.")
    names = [str(i) for i in range(outputs.shape[1])] if classes is None else list(classes)
    if len(names) != outputs.shape[1]:
        raise ShapeError(f"sample: classes holds {len(names)} names, but there are {outputs.shape[1]} outputs.")
    return names


def _draw_inputs(ax: "Axes", inputs: np.ndarray) -> None:
    """White is zero; currents below it have a colour of their own."""
    largest = float(np.abs(inputs).max()) or 1.0
    low, colors = (-largest, "RdBu_r") if inputs.min() < 0 else (0.0, "Greys")
    picture = ax.imshow(
        inputs.T, aspect="auto", origin="lower", cmap=colors, interpolation="nearest", vmin=low, vmax=largest
    )
    ax.set_ylabel("input channel")
    # Beside its own row: a colorbar that the layout places would stand beyond the legend of the last one.
    ax.figure.colorbar(picture, cax=ax.inset_axes((1.02, 0.0, 0.02, 1.0)))


def _draw_outputs(ax: "Axes", outputs: np.ndarray, names: Sequence[str], label: int | None) -> None:
    highest = int(np.argmax(outputs.mean(axis=0)))
    for index, name in enumerate(names):
        strong = index in (highest, label)
        ax.plot(
            outputs[:, index],
            color=f"C{index % 10}",
            linestyle=("-", "--", ":", "-.")[index // 10 % 4],
            linewidth=2.2 if strong else 0.9,
            alpha=1.0 if strong else 0.5,
            label=name,
        )
    ax.set_ylabel("readout")
    ax.set_title(f"highest mean: {names[highest]}")
    ax.legend(
        title="class",
        ncols=-(-len(names) // 10),
        fontsize="x-small",
        title_fontsize="x-small",
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )


@checked
def confusion(scored: Any, *, classes: Sequence[str] | None = None, ax: "Axes | None" = None) -> "Axes":
    """A confusion matrix: rows are the true classes, columns the predicted ones, cells the numbers of examples.

    **Arguments:** `scored`: an `Evaluation`, or a matrix `int[classes, classes]`; `classes`: names.
    **Raises:** `ShapeError` if the matrix is not square, or the names do not fit; `TypeError` for what is not a matrix.
    """
    matrix = getattr(scored, "confusion", scored)
    if not isinstance(matrix, (Sequence, np.ndarray)) and not hasattr(matrix, "__array__"):
        raise TypeError(
            f"confusion: scored is {describe(scored)}; expected what snnx.evaluate returns on labelled data, or a"
            " matrix [classes, classes]."
        )
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"confusion: scored is {describe(counts)}; expected [classes, classes].")
    names = [str(i) for i in range(len(counts))] if classes is None else list(classes)
    if len(names) != len(counts):
        raise ShapeError(f"confusion: classes holds {len(names)} names, but the matrix has {len(counts)} classes.")
    side = 2.0 + 0.38 * len(counts)
    ax = _axes(ax, side + 0.6, side)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    picture = ax.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    ax.figure.colorbar(picture, ax=ax, label="share of the true class", shrink=0.8)
    for row, column in np.argwhere(counts > 0):
        ax.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.5 else "black",
        )
    ax.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) <= 3 else 60)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    right = np.trace(counts) / max(counts.sum(), 1)
    ax.set_title(f"{counts.sum()} examples, {100 * right:.1f} % right")
    return ax


@checked
def learning_curve(result: Any, *, best_epoch: Count | None = None) -> "Figure":
    """How a run went: of `fit` loss and accuracy over the epochs, of training and validation; of `fit_ensemble` the same, a
    line for each member; of `evolve` the values over the generations: of the parameters, and of the candidates (their
    mean, with a band of one standard deviation, and their best).

    **Arguments:** `result`: what `fit`, `fit_ensemble` or `evolve` returned, or its `history`; `best_epoch`: marked by a
    line, by default the result's.
    **Raises:** `ValueError` for an empty history; `TypeError` for what is not a history.
    """
    history: Records = getattr(result, "history", result)
    if not isinstance(history, Sequence) or not all(isinstance(record, Mapping) for record in history):
        raise TypeError(
            f"learning_curve: result is {describe(result)}; expected what snnx.fit, fit_ensemble or evolve returns, or its"
            " history."
        )
    if not history:
        raise ValueError("learning_curve: result has an empty history; train for at least one epoch.")
    if "value" in history[0]:
        return _values(history)
    best_epoch = getattr(result, "best_epoch", None) if best_epoch is None else best_epoch
    return _losses(history, best_epoch if isinstance(best_epoch, int) else None, getattr(result, "best", None))


def _values(history: Records) -> "Figure":
    generations = [record["generation"] for record in history]
    own, mean, std, best = (
        np.asarray([record[name] for record in history]) for name in ("value", "mean", "std", "best")
    )
    figure = _figure_of(6.0, 3.6)
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
    figure = _figure_of(9.0 if with_accuracy else 5.0, 3.4)
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
