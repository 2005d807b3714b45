"""Pictures: what is drawn is what was given, without a warning."""

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import jax
import matplotlib
import matplotlib.figure
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from small import CLASSES, HIDDEN, STEPS, fit, make_data, make_model, make_regression

import snnx
from snnx import plot
from snnx._errors import MissingExtraError, ShapeError


def drawn(figure, tmp_path):
    """Draw it, as a file, with every warning an error; the file is there and no blank page."""
    path = tmp_path / "picture.png"
    figure.savefig(path, dpi=50)
    pixels = matplotlib.image.imread(path)
    assert pixels.std() > 0.01
    return pixels


def marks_of(ax):
    """Where the marks of a raster are, as pairs."""
    return {(float(x), float(y)) for collection in ax.collections for x, y in collection.get_offsets()}


# Raster


@pytest.mark.parametrize("dt", [1.0, 0.5])
def test_a_raster_has_a_mark_per_spike(dt, tmp_path):
    spikes = (np.random.default_rng(0).uniform(size=(12, 7)) < 0.3).astype(float)
    ax = plot.raster(spikes, dt=dt)
    expected = {(t * dt, float(n)) for t in range(12) for n in range(7) if spikes[t, n]}
    assert marks_of(ax) == expected
    assert sum(len(collection.get_offsets()) for collection in ax.collections) == int(spikes.sum())
    assert ax.get_xlim() == (-0.5 * dt, 11.5 * dt)
    assert ax.get_ylim() == (-0.5, 6.5)
    assert ax.get_ylabel() == "neuron"
    assert ax.get_xlabel() == ("time step" if dt == 1.0 else "time")
    assert ax.get_title() == f"7 neurons, {spikes.mean():.3f} spikes per neuron and step"
    drawn(ax.figure, tmp_path)


def test_a_raster_flattens_features_and_takes_jax_arrays_and_bools():
    spikes = jax.random.bernoulli(jax.random.key(0), 0.4, (5, 2, 3))
    ax = plot.raster(spikes, title="mine")
    flat = np.asarray(spikes).reshape(5, 6)
    assert marks_of(ax) == {(float(t), float(n)) for t, n in np.argwhere(flat)}
    assert ax.get_title() == "mine"


def test_a_raster_of_silence_and_one_of_a_single_neuron(tmp_path):
    silent = plot.raster(np.zeros((4, 3)))
    assert marks_of(silent) == set()
    assert "0.000 spikes" in silent.get_title()
    drawn(silent.figure, tmp_path)
    drawn(plot.raster(np.ones((1, 1))).figure, tmp_path)


def test_a_raster_is_drawn_where_it_is_told():
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    assert plot.raster(np.eye(4), ax=right) is right
    assert not left.collections
    assert marks_of(right) == {(float(i), float(i)) for i in range(4)}


def test_pictures_are_registered_nowhere():
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    plot.raster(np.eye(3))
    plot.confusion(np.eye(3, dtype=int))
    plot.learning_curve(HISTORY)
    assert matplotlib.pyplot.get_fignums() == before


def test_a_raster_needs_time_and_neurons():
    with pytest.raises(ShapeError, match=r"\bspikes\b"):
        plot.raster(np.zeros(5))


# Sample


def simulated():
    data = make_data()
    model = make_model()
    inputs = data.example(0)
    outputs, _, spikes = snnx.simulate(model, inputs, record=["1"])
    return data, inputs, spikes, outputs


@pytest.mark.slow
def test_a_sample_shows_input_spikes_and_outputs(tmp_path):
    data, inputs, spikes, outputs = simulated()
    label = int(data.targets[0])
    figure = plot.sample(inputs, spikes, outputs, classes=data.classes, label=label)
    drawn(figure, tmp_path)
    first, middle, last = figure.axes[:3]
    np.testing.assert_array_equal(first.images[0].get_array(), np.asarray(inputs).T)
    assert first.get_title() == f"input, true class: {data.classes[label]}"
    assert marks_of(middle) == {(float(t), float(n)) for t, n in np.argwhere(np.asarray(spikes["1"]))}
    assert middle.get_title() == f"spikes of 1: {np.mean(spikes['1']):.3f} per neuron and step"
    highest = int(np.asarray(outputs).mean(axis=0).argmax())
    assert last.get_title() == f"highest mean: {data.classes[highest]}"
    assert len(last.lines) == CLASSES
    for index, line in enumerate(last.lines):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(STEPS))
        np.testing.assert_array_equal(line.get_ydata(), np.asarray(outputs)[:, index])
        assert line.get_label() == data.classes[index]
    # The true class and the one that the network says stand out.
    strong = {index for index, line in enumerate(last.lines) if line.get_linewidth() > 2}
    assert strong == {label, highest}
    assert len({line.get_color() for line in last.lines}) == CLASSES


def test_a_sample_of_a_feature_map_without_names(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(6, 2, 3))
    spikes = {"": rng.integers(0, 2, (6, 4)), "2.neuron": rng.integers(0, 2, (6, 2, 2))}
    figure = plot.sample(images, spikes, rng.normal(size=(6, 12)))
    drawn(figure, tmp_path)
    titles = [ax.get_title().split(":")[0] for ax in figure.axes]
    assert titles[:4] == ["input", "spikes of the model", "spikes of 2.neuron", "highest mean"]
    assert figure.axes[0].images[0].get_clim() == (-np.abs(images).max(), np.abs(images).max())  # zero is white
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), images.reshape(6, 6).T)
    lines = figure.axes[3].lines
    assert [line.get_label() for line in lines] == [str(i) for i in range(12)]
    # More classes than colours: the lines must still be told apart.
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


def test_a_sample_that_does_not_fit_is_refused():
    _, inputs, spikes, outputs = simulated()
    with pytest.raises(ShapeError, match=r"\boutputs\b"):
        plot.sample(inputs, spikes, outputs[:, 0])
    with pytest.raises(ShapeError, match=r"sample: there are 2 class names for 3 outputs"):
        plot.sample(inputs, spikes, outputs, classes=["a", "b"])
    with pytest.raises(ShapeError, match=r"\binputs\b"):
        plot.sample(inputs, spikes, outputs[:-1])
    with pytest.raises(TypeError, match=r"\bspikes\b"):
        plot.sample(inputs, spikes["1"], outputs)
    for label in (-1, CLASSES):
        with pytest.raises(ValueError, match=rf"sample: label is {label}, but there are 3 outputs: 0 to 2"):
            plot.sample(inputs, spikes, outputs, label=label)


# Learning curve


def history(losses, accuracies, validation=True):
    records = []
    for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1):
        record = {"epoch": epoch, "loss": loss, "accuracy": accuracy}
        if validation:
            record |= {"validation_loss": 2 * loss, "validation_accuracy": None if accuracy is None else accuracy / 2}
        records.append(record)
    return records


HISTORY = history([1.0, 0.5, 0.125], [0.5, 0.75, 1.0])


def curves(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_a_learning_curve_has_loss_and_accuracy(tmp_path):
    figure = plot.learning_curve(HISTORY, best_epoch=2)
    drawn(figure, tmp_path)
    loss, accuracy = figure.axes
    epochs = [1, 2, 3]
    best = {"best: epoch 2": ([2, 2], [0, 1])}
    assert curves(loss) == {"training": (epochs, [1.0, 0.5, 0.125]), "validation": (epochs, [2.0, 1.0, 0.25])} | best
    assert (
        curves(accuracy)
        == {
            "training": (epochs, [50.0, 75.0, 100.0]),
            "validation": (epochs, [25.0, 37.5, 50.0]),
        }
        | best
    )
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy (%)")
    assert (loss.get_xlabel(), loss.get_yscale()) == ("epoch", "log")


def test_a_learning_curve_of_regression_or_without_validation(tmp_path):
    figure = plot.learning_curve(history([1.0, 0.5], [None, None]))
    assert len(figure.axes) == 1
    assert curves(figure.axes[0]) == {"training": ([1, 2], [1.0, 0.5]), "validation": ([1, 2], [2.0, 1.0])}
    drawn(figure, tmp_path)
    figure = plot.learning_curve(history([1.0, 0.5], [0.5, 0.6], validation=False))
    assert [list(curves(ax)) for ax in figure.axes] == [["training"], ["training"]]
    drawn(figure, tmp_path)


def test_a_learning_curve_of_one_epoch_is_seen(tmp_path):
    figure = plot.learning_curve(HISTORY[:1], best_epoch=1)
    drawn(figure, tmp_path)
    for ax in figure.axes:
        for line in ax.lines[:2]:
            assert line.get_marker() not in ("", "None", None), "a line through one point cannot be seen"


def test_losses_that_have_no_logarithm_are_drawn_all_the_same(tmp_path):
    figure = plot.learning_curve(history([-1.0, 0.0, -2.0], [None] * 3))
    assert figure.axes[0].get_yscale() == "linear"
    assert curves(figure.axes[0])["training"] == ([1, 2, 3], [-1.0, 0.0, -2.0])
    drawn(figure, tmp_path)


def test_epochs_are_whole_numbers_on_the_axis(tmp_path):
    for length in (1, 2, 3, 40):
        figure = plot.learning_curve(history([0.5] * length, [0.5] * length))
        drawn(figure, tmp_path)
        for ax in figure.axes:
            low, high = ax.get_xlim()
            ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
            assert ticks
            assert all(float(tick).is_integer() for tick in ticks)


def test_a_learning_curve_needs_an_epoch():
    with pytest.raises(ValueError, match=r"\bhistory\b"):
        plot.learning_curve([])
    for wrong in (3, [1.0, 0.5], "history"):
        with pytest.raises(TypeError, match=r"\bresult\b"):
            plot.learning_curve(wrong)


# Confusion


def test_a_confusion_matrix_holds_the_numbers(tmp_path):
    matrix = np.array([[8, 1, 0], [0, 5, 5], [2, 0, 0]])
    ax = plot.confusion(matrix, classes=["cat", "dog", "owl"])
    drawn(ax.figure, tmp_path)
    texts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert texts == {(r, c): str(matrix[r, c]) for r in range(3) for c in range(3) if matrix[r, c]}
    np.testing.assert_allclose(ax.images[0].get_array(), [[8 / 9, 1 / 9, 0], [0, 0.5, 0.5], [1, 0, 0]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog", "owl"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert ax.get_title() == f"21 examples, {100 * 13 / 21:.1f} % right"
    # Numbers are dark on light and light on dark.
    for text in ax.texts:
        x, y = text.get_position()
        behind = np.mean(ax.images[0].cmap(ax.images[0].get_array()[int(y), int(x)])[:3])
        assert abs(np.mean(to_rgb(text.get_color())) - behind) > 0.35


def test_a_confusion_matrix_of_absent_classes_long_names_and_jax_arrays(tmp_path):
    matrix = jax.numpy.asarray([[0, 0], [3, 1]])
    ax = plot.confusion(matrix, classes=["a class with a long name", "another"])
    drawn(ax.figure, tmp_path)
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 0], [0.75, 0.25]])
    drawn(plot.confusion(np.zeros((2, 2), int)).figure, tmp_path)
    figure = matplotlib.figure.Figure()
    own = figure.add_subplot()
    assert plot.confusion(np.eye(4, dtype=int), ax=own) is own
    assert [label.get_text() for label in own.get_xticklabels()] == list("0123")


@pytest.mark.slow
def test_results_are_drawn_as_they_are():
    result = fit(epochs=2, validation=make_data(10, seed=3))
    whole = plot.learning_curve(result)
    parts = plot.learning_curve(result.history, best_epoch=result.best_epoch)
    assert [curves(ax) for ax in whole.axes] == [curves(ax) for ax in parts.axes]
    assert f"best: epoch {result.best_epoch}" in curves(whole.axes[0])
    scored = snnx.evaluate(result.model, make_data())
    written = [t.get_text() for t in plot.confusion(scored).texts]
    assert written == [str(n) for n in np.asarray(scored.confusion).ravel() if n]


def test_a_confusion_matrix_is_square_and_named():
    with pytest.raises(TypeError, match=r"\bscored\b"):
        plot.confusion(snnx.evaluate(make_model(), make_regression(), loss=snnx.MSE(snnx.Mean())))
    with pytest.raises(ShapeError, match=r"\bscored\b"):
        plot.confusion(np.zeros((2, 3), int))
    with pytest.raises(ShapeError, match=r"\bscored\b"):
        plot.confusion(np.zeros(3, int))
    with pytest.raises(ShapeError, match=r"confusion: there are 2 class names for 3 classes"):
        plot.confusion(np.zeros((3, 3), int), classes=["a", "b"])


# Everything fits on its page


def overhang(figure):
    """By how many inches what is drawn reaches beyond the page."""
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    return max(page.x0 - drawn.x0, page.y0 - drawn.y0, drawn.x1 - page.x1, drawn.y1 - page.y1)


@pytest.mark.slow
def test_nothing_is_cut_off():
    rng = np.random.default_rng(0)
    spikes = {f"{i}.neuron": rng.integers(0, 2, (16, 256)) for i in (1, 3)}
    names = [f"a class called {i}" for i in range(10)]
    figures = [
        plot.raster(rng.integers(0, 2, (50, 200))).figure,
        plot.learning_curve(HISTORY, best_epoch=2),
        plot.confusion(rng.integers(0, 2000, (10, 10)), classes=names).figure,
        plot.confusion(rng.integers(0, 90, (20, 20))).figure,
        plot.sample(rng.uniform(size=(16, 64)), spikes, rng.normal(size=(16, 10)), classes=names, label=3),
        plot.sample(rng.uniform(size=(16, 64)), {"1": spikes["1.neuron"]}, rng.normal(size=(16, 20))),
    ]
    assert [round(max(overhang(figure), 0.0), 1) for figure in figures] == [0.0] * len(figures)
    # The measure itself: a title that is too long does reach beyond.
    assert overhang(plot.raster(np.eye(3), title="too long " * 40).figure) > 1.0


# Without matplotlib


def test_without_matplotlib_the_package_works_and_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (
        lambda: plot.raster(np.eye(3)),
        lambda: plot.confusion(np.eye(3, dtype=int)),
        lambda: plot.learning_curve(HISTORY),
        lambda: plot.sample(np.ones((STEPS, 3)), {"1": np.ones((STEPS, HIDDEN))}, np.ones((STEPS, CLASSES))),
    ):
        with pytest.raises(
            MissingExtraError,
            match=r"snnx.plot needs the package 'matplotlib', which is not installed; run: pip install 'snnx\[plot\]'",
        ):
            draw()


@pytest.mark.slow
def test_matplotlib_is_imported_only_for_pictures():
    program = """
        import sys
        import snnx, snnx.plot
        assert not [name for name in sys.modules if name.split(".")[0] == "matplotlib"]
        snnx.plot.raster([[0, 1], [1, 0]])
        assert "matplotlib.figure" in sys.modules
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_a_raster_is_of_spikes():
    for values in (np.full((3, 2), 0.5), np.array([[0.0, -1.0]]), np.array([[np.nan, 1.0]])):
        with pytest.raises(ValueError, match=r"\bspikes\b"):
            plot.raster(values)
    assert marks_of(plot.raster(np.array([[0, 2], [1, 0]]))) == {(0.0, 1.0), (1.0, 0.0)}


def test_a_learning_curve_of_evolution_shows_parameters_and_candidates():
    history = [
        {"generation": g, "value": 10.0 * g, "mean": 5.0 * g, "std": 1.0, "best": 12.0 * g, "failed": g - 1}
        for g in (1, 2, 3)
    ]
    (ax,) = plot.learning_curve(history).axes
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["the parameters themselves"], [10.0, 20.0, 30.0])
    np.testing.assert_allclose(lines["candidates: best"], [12.0, 24.0, 36.0])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (4.0, 16.0)
    assert "3 candidates had no finite value" in ax.get_title()
    assert ax.get_xlabel() == "generation"


def test_a_learning_curve_of_an_ensemble_has_a_line_for_each_member():
    history = [{"epoch": e, "loss": [1.0 / e, 3.0], "accuracy": None, "validation_loss": [2.0, 4.0]} for e in (1, 2)]
    result = SimpleNamespace(history=history, best=0, best_epoch=(1, 2))
    (ax,) = plot.learning_curve(result).axes
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    assert drawn == [[1.0, 0.5], [3.0, 3.0], [1.0, 0.5], [2.0, 2.0], [4.0, 4.0], [2.0, 2.0]]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["training, member 0", "validation, member 0"]
